"""
The checks, in the order of judging, and which of them a run uses.

A check stands behind those that it needs, so the families are imported in the order of an answer's journey:
it arrives, it has the right status, it is JSON, it fits the schema, it makes sense, it stays.
"""

# ruff: noqa: I001, F401 - the order is the order of judging, and each family registers its checks
from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay.http import Exchange, printable_text
from mjrelay_conformance.checks import transport
from mjrelay_conformance.checks import status
from mjrelay_conformance.checks import representation
from mjrelay_conformance.checks import schema
from mjrelay_conformance.checks import task
from mjrelay_conformance.checks import auth
from mjrelay_conformance.checks import sequence
from mjrelay_conformance.checks import methods
from mjrelay_conformance.checks import batch
from mjrelay_conformance.judging import CHECKS, Observation, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.contract import Contract
    from mjrelay_conformance.judging import Check


class SelectionError(MjrelayError):
    """No check has the id that was asked for."""


def select_checks(globs: Sequence[str], excluded: Sequence[str] = ()) -> list[Check]:
    """
    The checks whose ids match one of the globs, and those that they need; all of them without globs.

    Those that match an ``excluded`` glob are left out, unless another one needs them. Raises `SelectionError`
    for a glob that matches none, and where nothing is left.
    """
    wanted = matching_ids("--check", globs) if globs else set(CHECKS)
    wanted -= matching_ids("--exclude", excluded)
    if not wanted:
        raise SelectionError("--exclude leaves no check; exclude fewer")
    return needed_checks(wanted)


def needed_checks(wanted: Iterable[str]) -> list[Check]:
    """The checks with these ids and those that they need, in the order of the suite."""
    ids = set(wanted)
    for one in reversed(CHECKS.values()):
        if one.id in ids:
            ids.update(one.needs)
    return [one for one in CHECKS.values() if one.id in ids]


def check_lines(contract: Contract, checks: Sequence[Check]) -> Iterator[str]:
    """One line for each check: its id, its level, its sentence and the clause that it judges."""
    for one in checks:
        yield f"{one.id:32}{one.level.value:8}{one.sentence}  [{clause(contract, one)}]"


def explain_check(contract: Contract, id_: str) -> str:
    """
    What a check judges, why, and how relays usually break it.

    Raises `SelectionError` for an id that no check has.
    """
    if id_ not in CHECKS:
        hint = did_you_mean(nearest_names(id_, CHECKS)) or "list them with: mjrelay conform --list"
        raise SelectionError(f"no check is called {id_}; {hint}")
    one = CHECKS[id_]
    parts = {
        "level": f"{one.level.value}, unless the contract's evidence makes it less",
        "judges": ", ".join(sorted(kind.value for kind in one.kinds)),
        "needs": ", ".join(one.needs) or "nothing",
        "clause": clause(contract, one),
    }
    described = "\n".join(f"{name + ':':9}{text}" for name, text in parts.items())
    return f"{one.id}\n\n{one.sentence}\n\n{one.why}\n\n{described}"


def clause(contract: Contract, one: Check) -> str:
    """The clause that a check judges, as far as no answer makes it more precise."""
    nothing = Exchange("", "")
    observation = Observation(contract, schema_of(contract), min(one.kinds), "", nothing)
    return printable_text(str(one.clause(observation)))


def matching_ids(option: str, globs: Sequence[str]) -> set[str]:
    """The ids that match one of the globs an option gives; raises `SelectionError` for one that none does."""
    found: set[str] = set()
    for glob in globs:
        ids = {id_ for id_ in CHECKS if fnmatchcase(id_, glob)}
        if not ids:
            near = nearest_names(glob, CHECKS, count=1, cutoff=0.6)
            hint = f"{did_you_mean(near)} List them" if near else "list them"
            raise SelectionError(
                f"{option} {glob}: no check has such an id; {hint} with: mjrelay conform --list"
            )
        found |= ids
    return found
