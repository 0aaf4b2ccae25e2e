"""What is wrong with contracts and overlays, each thing with its place and its mend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay import _yaml
from mjrelay._overlay import Overlay
from mjrelay.errors import ContractError
from mjrelay_codegen._relay import Relay
from mjrelay_codegen.linter import _companions, _conventions, _meanings, _validity
from mjrelay_codegen.linter._draft import Draft

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay._yaml import Location

    Rule = Callable[[Draft], Iterator[tuple[Location, str]]]
    Place = Callable[[Location], tuple[str, int]]

GATES: dict[str, Rule] = {
    "name": _validity.name,
    "json": _validity.json,
    "reference": _validity.reference,
    "openapi": _validity.openapi,
}
"""Rules that the others build on: after the first of these that a contract breaks, it is not read further."""

RULES: dict[str, Rule] = {
    "operation": _conventions.operation,
    "security": _conventions.security,
    "convention": _conventions.convention,
    "dropped": _conventions.dropped,
    "evidence": _conventions.evidence,
    "example": _validity.example,
    "extension": _meanings.extension,
    "jsonpath": _meanings.jsonpath,
    "state": _meanings.state,
    "matcher": _meanings.matcher,
    "relation": _meanings.relation,
    "batch": _companions.batch,
    "seed": _companions.seed,
}
"""All others."""


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


def lint(path: Path) -> list[Violation]:
    """Everything that is wrong with the contract in a file, by line."""
    try:
        draft = Draft.load(path)
    except ContractError as error:
        return [_unreadable(path, "yaml", error)]
    return _judged(draft, lambda location: (_shown(path), _yaml.line(draft.source, location)))


def lint_relay(path: Path, contracts: Path) -> list[Violation]:
    """Everything that is wrong with the contract that a relay's overlay makes, each where it is written."""
    try:
        contract = Relay.load(path, str(path), contracts).resolve()
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]

    def place(location: Location) -> tuple[str, int]:
        clause = contract.clause(*location)
        return clause.file, clause.line

    return _judged(Draft(path, contract.document), place)


def lint_overlay(path: Path) -> list[Violation]:
    """Everything that is wrong with the overlay in a file, apart from how it fits a contract."""
    try:
        overlay = Overlay.load(path)
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]
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


def _judged(draft: Draft, place: Place) -> list[Violation]:
    for name, rule in GATES.items():
        if found := _apply(name, rule, draft, place):
            return found
    found = [violation for name, rule in RULES.items() for violation in _apply(name, rule, draft, place)]
    return sorted(found, key=lambda violation: violation.line)


def _apply(name: str, rule: Rule, draft: Draft, place: Place) -> list[Violation]:
    return [
        Violation(
            *place(location),
            pointer="".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location),
            rule=name,
            message=message,
        )
        for location, message in rule(draft)
    ]


def _unreadable(path: Path, rule: str, error: ContractError) -> Violation:
    place = f"{error.source}:{error.line}: " if error.line else f"{error.source}: "
    return Violation(_shown(path), error.line or 1, "", rule, str(error).removeprefix(place))


def _shown(path: Path) -> str:
    here, whole = Path.cwd(), path.absolute()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else str(path)
