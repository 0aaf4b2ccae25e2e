"""What is wrong with contracts and overlays, each thing with its place and its mend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.base import ContractError, PatternError, json_pointer
from mjrelay.contract import Overlay, yaml_line
from mjrelay_codegen.linter import companions, conventions, meanings, validity
from mjrelay_codegen.linter.draft import Draft, Problem
from mjrelay_codegen.source import RelaySource

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract

    Rule = Callable[[Draft], Iterator[tuple[Location, str]]]
    Place = Callable[[Location], tuple[str, int]]


_TODO = re.compile(r"#\s*TODO:(.*)")

GATES: dict[str, Rule] = {
    "name": validity.name,
    "json": validity.json,
    "reference": validity.reference,
    "openapi": validity.openapi,
}
"""Rules that the others build on: after the first of these that a contract breaks, it is not read further."""

RULES: dict[str, Rule] = {
    "operation": conventions.operation,
    "security": conventions.security,
    "convention": conventions.convention,
    "description": conventions.description,
    "dropped": conventions.dropped,
    "evidence": conventions.evidence,
    "example": validity.example,
    "extension": meanings.extension,
    "jsonpath": meanings.jsonpath,
    "link": meanings.link,
    "state": meanings.state,
    "matcher": meanings.matcher,
    "relation": meanings.relation,
    "batch": companions.batch,
    "seed": companions.seed,
}
"""All others."""

_INWARD = {"name", "description"}
"""Rules for the contracts of this repository."""


@frozen
class Violation:
    """A rule that a document breaks: the place, what is wrong there, and the mend."""

    file: str
    line: int
    pointer: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


def lint_file(path: Path) -> list[Violation]:
    """Everything that is wrong with the contract in a file, by line."""
    try:
        draft = Draft.load(path)
    except ContractError as error:
        return [_unreadable(path, "yaml", error)]
    found = _judged(draft, lambda location: (_shown(path), yaml_line(draft.source, location)))
    return sorted([*_unfinished(path), *found], key=_line)


def lint_relay(path: Path, contracts: Path) -> list[Violation]:
    """Everything that is wrong with the contract that a relay's overlay makes, each where it is written."""
    try:
        contract = RelaySource.load(path, str(path), contracts).contract
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]
    return sorted(_judged(Draft(path, contract.document), _place(contract)), key=_line)


def lint_contract(contract: Contract) -> list[Violation]:
    """
    Everything that is wrong with a contract that was loaded, and with the overlays that it was made of.

    Its name and its descriptions are not judged: from outside they are their author's own matter.
    """
    overlays = [path for path in contract.outside if path != contract.source]
    begun = [path for path in contract.outside if path == contract.source]
    whole = contract.outside[contract.source] if begun and not overlays else contract.document
    found = [violation for path in overlays for violation in lint_overlay(path)]
    found += [violation for path in begun for violation in _unfinished(path)]
    found += _judged(Draft(contract.source, whole), _place(contract), _INWARD)
    return sorted(found, key=_line)


def lint_overlay(path: Path) -> list[Violation]:
    """Everything that is wrong with the overlay in a file, apart from how it fits a contract."""
    try:
        overlay = Overlay.load(path)
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]
    return [
        *_unfinished(path),
        *_undescribed(path, overlay),
    ]


def _undescribed(path: Path, overlay: Overlay) -> list[Violation]:
    return [
        Violation(
            _shown(path),
            action.line,
            f"/actions/{index}",
            "overlay",
            "the action has no description; say there why it is right, with the evidence",
        )
        for index, action in enumerate(overlay.actions)
        if not (action.description or "").strip()
    ]


def _place(contract: Contract) -> Place:
    def place(location: Location) -> tuple[str, int]:
        clause = contract.clause(*location)
        return _shown(Path(clause.file)), clause.line

    return place


def _line(violation: Violation) -> int:
    return violation.line


def _unfinished(path: Path) -> list[Violation]:
    """What a scaffold leaves to be filled in."""
    marks = enumerate(map(_TODO.search, path.read_text(encoding="utf-8").splitlines()), 1)
    return [
        Violation(_shown(path), line, "", "todo", f"still to do: {_left(mark[1])}; then take the mark away")
        for line, mark in marks
        if mark
    ]


def _left(text: str) -> str:
    text = text.strip()
    return text[:-1].rstrip() if text.endswith((".", ";", ":")) else text


def _judged(draft: Draft, place: Place, without: Container[str] = ()) -> list[Violation]:
    for name, rule in GATES.items():
        if name not in without and (found := _apply(name, rule, draft, place)):
            return found
    rules = {name: rule for name, rule in RULES.items() if name not in without}
    return [violation for name, rule in rules.items() for violation in _apply(name, rule, draft, place)]


def _apply(name: str, rule: Rule, draft: Draft, place: Place) -> list[Violation]:
    try:
        found = list(rule(draft))
    except PatternError as error:
        found = [Problem(draft.extension[0] if draft.fetches else (), str(error))]
    return [
        Violation(*place(location), pointer=json_pointer(location), rule=name, message=message)
        for location, message in found
    ]


def _unreadable(path: Path, rule: str, error: ContractError) -> Violation:
    place = f"{error.source}:{error.line}: " if error.line else f"{error.source}: "
    return Violation(_shown(path), error.line or 1, "", rule, str(error).removeprefix(place))


def _shown(path: Path) -> str:
    here, whole = Path.cwd(), path.absolute()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else str(path)
