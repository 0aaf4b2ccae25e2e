"""
The registry of checks, and the selection of checks for a run.

The families are listed in the order of judging, which is that of a response: it arrives, has the right
status, is JSON, matches the schema, makes sense, and stays the same.
"""

from __future__ import annotations

import itertools
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mjrelay.base import MjrelayError, did_you_mean, nearest_names
from mjrelay.http import Exchange, printable_text
from mjrelay_conformance.checks import (
    auth,
    batch,
    media,
    representation,
    schema,
    sequence,
    status,
    submit,
    task,
    transport,
)
from mjrelay_conformance.judging import Check, Observation, schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.contract import Contract


class SelectionError(MjrelayError):
    """No check matches an id or a glob."""


def _registry(*families: Iterable[Check]) -> dict[str, Check]:
    checks: dict[str, Check] = {}
    for one in itertools.chain(*families):
        if one.id in checks or not checks.keys() >= {*one.needs}:
            raise ValueError(f"{one.id} is registered twice, or before a check that it needs")
        checks[one.id] = one
    return checks


CHECKS = _registry(
    transport.CHECKS,
    status.CHECKS,
    representation.CHECKS,
    schema.CHECKS,
    task.CHECKS,
    media.CHECKS,
    auth.CHECKS,
    sequence.CHECKS,
    status.METHOD_CHECKS,
    batch.CHECKS,
    submit.CHECKS,
)
"""All checks by id, in the order of judging: a check follows those that it needs."""


def select_checks(globs: Sequence[str], excluded: Sequence[str] = ()) -> list[Check]:
    """
    Select checks by id, with the checks that they need.

    Args:
        globs: Patterns of ids; without any, all checks are selected.
        excluded: Patterns of ids to leave out, unless a selected check needs them.

    Raises:
        SelectionError: A pattern matches no check, or no check is left.
    """
    wanted = matching_ids("--check", globs) if globs else set(CHECKS)
    wanted -= matching_ids("--exclude", excluded)
    if not wanted:
        raise SelectionError("--exclude leaves no check to run; exclude fewer")
    return needed_checks(wanted)


def needed_checks(wanted: Iterable[str]) -> list[Check]:
    """Return the checks with these ids and the checks that they need, in the order of judging."""
    ids = set(wanted)
    for one in reversed(CHECKS.values()):
        if one.id in ids:
            ids.update(one.needs)
    return [one for one in CHECKS.values() if one.id in ids]


def check_lines(contract: Contract, checks: Sequence[Check]) -> Iterator[str]:
    """Yield one line for each check: its id, level, sentence and clause."""
    for one in checks:
        yield f"{one.id:32}{one.level.value:8}{one.sentence}  [{clause(contract, one)}]"


def explain_check(contract: Contract, id_: str) -> str:
    """
    Explain a check: what it judges, why, and how relays usually break it.

    Raises:
        SelectionError: No check has this id.
    """
    if id_ not in CHECKS:
        hint = did_you_mean(nearest_names(id_, CHECKS)) or "list them with: mjrelay conform --list"
        raise SelectionError(f"there is no check {id_}; {hint}")
    one = CHECKS[id_]
    parts = {
        "level": f"{one.level.value}, or lower if the contract's evidence is weaker",
        "judges": ", ".join(sorted(kind.value for kind in one.kinds)),
        "needs": ", ".join(one.needs) or "nothing",
        "clause": clause(contract, one),
    }
    described = "\n".join(f"{name + ':':9}{text}" for name, text in parts.items())
    return f"{one.id}\n\n{one.sentence}\n\n{one.why}\n\n{described}"


def clause(contract: Contract, one: Check) -> str:
    """Return the clause of a check that has not judged a response yet."""
    observation = Observation(contract, schema_of(contract), min(one.kinds), "", Exchange("", ""))
    return printable_text(str(one.clause(observation)))


def matching_ids(option: str, globs: Sequence[str]) -> set[str]:
    """
    Return the ids that match one of the globs of an option.

    Raises:
        SelectionError: A glob matches no check.
    """
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
