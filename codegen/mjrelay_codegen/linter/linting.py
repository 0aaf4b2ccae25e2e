"""Lint contracts and overlays: apply every rule and report violations with file and line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay.base import ContractError, PatternError, json_pointer
from mjrelay.contract import Overlay, load_yaml, read_contract, structural_problems, yaml_line
from mjrelay_codegen.linter import (
    agreements,
    companions,
    conventions,
    evidence,
    meanings,
    submits,
    validity,
)
from mjrelay_codegen.linter.draft import Draft, Problem
from mjrelay_codegen.normalizing import normalize
from mjrelay_codegen.source import RelaySource

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import Contract

    Rule = Callable[[Draft], Iterator[Problem]]
    Locate = Callable[[Location], tuple[str, int]]


_TODO = re.compile(r"#\s*TODO:(.*)")

GATES: dict[str, Rule] = {
    "name": validity.name,
    "json": validity.json,
    "reference": validity.reference,
    "openapi": validity.openapi,
}
"""Preconditions of the other rules: linting stops after the first of these that a contract breaks."""

RULES: dict[str, Rule] = {
    "operation": conventions.operation,
    "security": conventions.security,
    "convention": conventions.convention,
    "description": conventions.description,
    "dropped": conventions.dropped,
    "evidence": evidence.evidence,
    "example": validity.example,
    "extension": meanings.extension,
    "structure": meanings.structure,
    "jsonpath": meanings.jsonpath,
    "link": meanings.link,
    "state": meanings.state,
    "matcher": meanings.matcher,
    "relation": meanings.relation,
    "request": agreements.request,
    "status": agreements.status,
    "key": agreements.key,
    "batch": companions.batch,
    "seed": companions.seed,
    "submit": submits.submit,
}
"""The other rules, in the order in which they run."""

_REPOSITORY_RULES = {"name", "description", "operation", "convention"}
"""Rules that apply only to the contracts of this repository."""


@frozen
class Violation:
    """One broken rule: the file, the line, the JSON Pointer of the value, and a message with the fix."""

    file: str
    line: int
    pointer: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.message}"


def lint_file(path: Path) -> list[Violation]:
    """Return the violations of the contract in a file, sorted by line."""
    try:
        draft = Draft.load(path)
    except ContractError as error:
        return [_unreadable(path, "yaml", error)]
    found = _violations(
        find_problems(draft), lambda location: (_label(path), yaml_line(draft.source, location))
    )
    return sorted([*_todos(path), *found], key=_line)


def lint_relay(path: Path, contracts: Path) -> list[Violation]:
    """
    Return the violations of the contract that a relay's overlay produces, sorted by line.

    Args:
        path: The overlay. It names the contract it changes in `extends`.
        contracts: The folder in which the bare name of another relay is looked up.
    """
    try:
        contract = RelaySource.load(path, str(path), contracts).contract
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]
    problems = find_problems(Draft(path, contract.document))
    return sorted(_violations(problems, _locate_in(contract)), key=_line)


def lint_user_file(path: Path) -> list[Violation]:
    """
    Return the violations of a contract or an overlay from outside this repository, sorted by line.

    An overlay without `extends` changes no contract: only its form is checked.

    Raises:
        ContractError: There is no such file.
    """
    if not path.is_file():
        raise ContractError("there is no such file; check the path", source=path)
    try:
        written = load_yaml(path)
        if isinstance(written, dict) and "overlay" in written and Overlay.read(path, written).extends is None:
            return _todos(path)
        return lint_contract(read_contract(path))
    except ContractError as error:
        return [_unreadable(path, "contract", error)]


def lint_contract(contract: Contract) -> list[Violation]:
    """
    Return the violations of a loaded contract and of the overlays applied to it, sorted by line.

    The contract is normalized first, and the rules of this repository's contracts do not apply to it.
    """
    locate = _locate_in(contract)
    found = [violation for path in contract.outside for violation in _todos(path)]
    problems = list(structural_problems(contract))
    if any("x-mj-task" not in location for location, _ in problems):
        broken = [("structure", Problem(*problem)) for problem in problems]
        return sorted([*found, *_violations(broken, locate)], key=_line)
    normal = normalize(contract.document)
    draft = Draft(contract.source, normal.document)
    problems_by_rule = find_problems(draft, _REPOSITORY_RULES)
    found += _violations(problems_by_rule, lambda location: locate(normal.source(location)))
    return sorted(dict.fromkeys(found), key=_line)


def lint_overlay(path: Path) -> list[Violation]:
    """Return the violations of the overlay in a file. The contract that it changes is not read."""
    try:
        overlay = Overlay.load(path)
    except ContractError as error:
        return [_unreadable(path, "overlay", error)]
    undescribed = [
        Violation(
            _label(path),
            action.line,
            f"/actions/{index}",
            "overlay",
            "the action has no description; write its evidence there",
        )
        for index, action in enumerate(overlay.actions)
        if not (action.description or "").strip()
    ]
    return [*_todos(path), *undescribed]


def find_problems(draft: Draft, skip: Container[str] = ()) -> list[tuple[str, Problem]]:
    """Apply every rule to a draft, except those in ``skip``, and return the problems by rule."""
    for name, rule in GATES.items():
        if name not in skip and (found := _apply(rule, draft)):
            return [(name, problem) for problem in found]
    return [
        (name, found) for name, rule in RULES.items() if name not in skip for found in _apply(rule, draft)
    ]


def _apply(rule: Rule, draft: Draft) -> list[Problem]:
    try:
        return list(rule(draft))
    except PatternError as error:
        return [Problem(draft.extension[0] if draft.fetch_operations else (), str(error))]


def _violations(problems: Iterable[tuple[str, Problem]], locate: Locate) -> list[Violation]:
    return [
        Violation(*locate(location), pointer=json_pointer(location), rule=name, message=message)
        for name, (location, message) in problems
    ]


def _locate_in(contract: Contract) -> Locate:
    def locate(location: Location) -> tuple[str, int]:
        clause = contract.clause(*location)
        return _label(Path(clause.file)), clause.line

    return locate


def _line(violation: Violation) -> int:
    return violation.line


def _todos(path: Path) -> list[Violation]:
    """Return the TODO marks of a scaffold."""
    marks = enumerate(map(_TODO.search, path.read_text(encoding="utf-8").splitlines()), 1)
    return [
        Violation(_label(path), line, "", "todo", f"still to do: {_clause(mark[1])}; then delete the mark")
        for line, mark in marks
        if mark
    ]


def _clause(text: str) -> str:
    text = text.strip()
    return text[:-1].rstrip() if text.endswith((".", ";", ":")) else text


def _unreadable(path: Path, rule: str, error: ContractError) -> Violation:
    place = f"{error.source}:{error.line}: " if error.line else f"{error.source}: "
    return Violation(_label(path), error.line or 1, "", rule, str(error).removeprefix(place))


def _label(path: Path) -> str:
    here, whole = Path.cwd(), path.absolute()
    return whole.relative_to(here).as_posix() if whole.is_relative_to(here) else str(path)
