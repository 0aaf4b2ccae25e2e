"""Findings that are known and accepted, each with its reason and the day on which that was decided."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from mjrelay.base import ContractError, MjrelayError, did_you_mean, nearest_names
from mjrelay.contract import load_yaml, plain_yaml
from mjrelay_conformance.judging.checking import CHECKS, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mjrelay_conformance.judging.checking import Row


_KEYS = {"relay", "check", "reason", "date"}
_EXAMPLE = "write: - {relay: NAME, check: ID, reason: why it is accepted, date: YYYY-MM-DD}"


class BaselineError(MjrelayError):
    """A baseline cannot be used."""


@frozen
class Accepted:
    """One finding that does not count; ``date`` is an ISO 8601 day."""

    relay: str
    check: str
    reason: str
    date: str


@frozen
class Baseline:
    """
    The findings that were accepted.

    It is strict: where a check that is accepted to find something finds nothing any more, the line has to go,
    so that the file says what is and not what was.
    """

    accepted: tuple[Accepted, ...] = field(default=())

    @classmethod
    def load(cls, path: Path) -> Baseline:
        """The baseline in a YAML file, a list of entries; raises `BaselineError` for what is none."""
        try:
            document = plain_yaml(load_yaml(path))
        except ContractError as error:
            raise BaselineError(f"--baseline: {error}") from error
        if not isinstance(document, list):
            raise BaselineError(f"--baseline {path}: is no list; {_EXAMPLE}")
        return cls(tuple(_entry(path, number, entry) for number, entry in enumerate(document, 1)))

    def checks(self, relay: str) -> frozenset[str]:
        """The checks whose findings are accepted for a relay."""
        return frozenset(one.check for one in self.accepted if one.relay == relay)

    def applied(self, relay: str, rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
        """
        What of the baseline is ``accepted`` in this run, and what is ``gone`` from it.

        A check that judged nothing this time is neither.
        """
        found = {row.check for row in rows if row.finding}
        passed = {row.check for row in rows if row.outcome is Outcome.PASS}
        own = [one for one in self.accepted if one.relay == relay]
        return {
            "accepted": [_shown(one) for one in own if one.check in found],
            "gone": [_shown(one) for one in own if one.check in passed - found],
        }


def _shown(one: Accepted) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name != "relay"}


def _entry(path: Path, number: int, entry: Any) -> Accepted:
    where = f"--baseline {path}, entry {number}"
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        raise BaselineError(f"{where}: needs {', '.join(sorted(_KEYS))} and nothing else; {_EXAMPLE}")
    texts = {name: str(value).strip() for name, value in entry.items()}
    empty = [name for name, text in texts.items() if not text or entry[name] is None]
    if empty:
        raise BaselineError(f"{where}: {empty[0]} is empty; {_EXAMPLE}")
    if texts["check"] not in CHECKS:
        near = nearest_names(texts["check"], CHECKS, count=1, cutoff=0.6)
        hint = did_you_mean(near) or "list them with: mjrelay conform --list"
        raise BaselineError(f"{where}: no check is called {texts['check']}; {hint}")
    try:
        day = date.fromisoformat(texts["date"])
    except ValueError as error:
        raise BaselineError(f"{where}: {texts['date']!r} is no date; write YYYY-MM-DD") from error
    return Accepted(texts["relay"], texts["check"], texts["reason"], day.isoformat())
