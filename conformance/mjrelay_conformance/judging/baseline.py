"""The baseline: accepted findings, each with a reason and a date."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from mjrelay.base import ContractError, MjrelayError, did_you_mean, nearest_names
from mjrelay.contract import load_yaml, plain_yaml
from mjrelay_conformance.judging.checking import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from mjrelay_conformance.judging.checking import Row


_KEYS = {"relay", "check", "reason", "date"}
_EXAMPLE = "write: - {relay: NAME, check: ID, reason: why it is accepted, date: YYYY-MM-DD}"


class BaselineError(MjrelayError):
    """A baseline cannot be used."""


@frozen
class Accepted:
    """One accepted finding; ``date`` is an ISO 8601 date."""

    relay: str
    check: str
    reason: str
    date: str


@frozen
class Baseline:
    """
    The accepted findings.

    The baseline is strict: if an accepted check passes, its entry must be removed.
    """

    accepted: tuple[Accepted, ...] = field(default=())

    @classmethod
    def load(cls, path: Path, checks: Collection[str]) -> Baseline:
        """
        Load a baseline from a YAML file, which is a list of entries.

        Args:
            path: The file.
            checks: The ids of all checks.

        Raises:
            BaselineError: The file is not a valid baseline.
        """
        try:
            document = plain_yaml(load_yaml(path))
        except ContractError as error:
            raise BaselineError(f"--baseline: {error}") from error
        if not isinstance(document, list):
            raise BaselineError(f"--baseline {path} is not a list; {_EXAMPLE}")
        return cls(tuple(_entry(path, number, entry, checks) for number, entry in enumerate(document, 1)))

    def checks(self, relay: str) -> frozenset[str]:
        """Return the ids of the checks whose findings are accepted for a relay."""
        return frozenset(one.check for one in self.accepted if one.relay == relay)

    def applied(self, relay: str, rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
        """
        Return the entries that are ``accepted`` in this run, and those that are ``gone``.

        A check that was not exercised is neither.
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


def _entry(path: Path, number: int, entry: Any, checks: Collection[str]) -> Accepted:
    where = f"--baseline {path}, entry {number}"
    if not isinstance(entry, dict) or entry.keys() != _KEYS:
        raise BaselineError(f"{where}: must have exactly the keys {', '.join(sorted(_KEYS))}; {_EXAMPLE}")
    texts = {name: str(value).strip() for name, value in entry.items()}
    empty = [name for name, text in texts.items() if not text or entry[name] is None]
    if empty:
        raise BaselineError(f"{where}: {empty[0]} is empty; {_EXAMPLE}")
    if texts["check"] not in checks:
        near = nearest_names(texts["check"], checks, count=1, cutoff=0.6)
        hint = did_you_mean(near) or "list them with: mjrelay conform --list"
        raise BaselineError(f"{where}: there is no check {texts['check']}; {hint}")
    try:
        day = date.fromisoformat(texts["date"])
    except ValueError as error:
        raise BaselineError(f"{where}: {texts['date']} is not a date; write YYYY-MM-DD") from error
    return Accepted(texts["relay"], texts["check"], texts["reason"], day.isoformat())
