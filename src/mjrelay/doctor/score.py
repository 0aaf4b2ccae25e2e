"""Which contract fits best what came: each clue is weighed by how seldom two servers agree in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen

from mjrelay.doctor.observations import Purpose, ResponseKind, document, form, means
from mjrelay.doctor.similarity import likeness, resemblance, schema
from mjrelay.semantics import State, scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Attempt, Observations
    from mjrelay.semantics import Matcher


WEIGHTS = {
    "host": 6,  # it is the relay's own
    "path": 4,
    "id": 3,
    "keys": 6,  # names and types
    "unset": 5,  # what stands where nothing is set
    "state": 1,
    "times": 1,
    "missing": 4,
    "refusal": 3,
    "forbidden": 2,
    "credential": 2,
    "open": 1,
    "elsewhere": 1,
    "batch": 1,
}
"""The clues, and how much each counts."""

FITS = 0.5
"""The score from which on a contract is named at all."""
APART = 0.005
"""Two contracts whose scores are closer than this cannot be told apart by what came."""
FAMILY = 0.12
"""The difference up to which a contract is of the same family as the best one."""

EARLIEST = datetime(2022, 1, 1, tzinfo=UTC)
"""Before there was any task."""
_SILENT = 0.5
"""What a contract gets that says nothing of a clue."""


@frozen
class Score:
    """How a contract fits, 0 to 1, and by which clues."""

    contract: Contract = field(repr=False)
    clues: dict[str, float]

    @property
    def value(self) -> float:
        """The part of the clues' weight that fits."""
        weight = sum(WEIGHTS[name] for name in self.clues)
        return sum(WEIGHTS[name] * fit for name, fit in self.clues.items()) / weight if weight else 0.0


def rank(evidence: Observations, contracts: Sequence[Contract], now: datetime | None = None) -> list[Score]:
    """
    The contracts by how they fit what came, the best first.

    Of those that fit alike, one that names the host, or none, stands before one that names another host, and
    one that shows just what came before one that shows more.
    """
    moment = now or datetime.now(UTC)
    host = urlsplit(evidence.origin).hostname
    known = any(_host(one) == host for one in contracts)
    scores = [Score(one, _clues(evidence, one, moment, host if known else None)) for one in contracts]

    def order(one: Score) -> tuple[float, bool, int, str]:
        foreign = _host(one.contract) not in {None, host}
        return -round(one.value, 3), foreign, _unseen(evidence, one.contract), one.contract.name

    return sorted(scores, key=order)


def plausible(moment: datetime, now: datetime) -> bool:
    """Whether a task can have been there at this time."""
    return EARLIEST <= moment <= now + timedelta(days=1)


def _unseen(evidence: Observations, contract: Contract) -> int:
    """How many names the contract shows that the task does not have; all of them, where none came."""
    alike = likeness(contract, {} if evidence.task is None else document(evidence.task.exchange))
    return 0 if alike is None else len(alike.absent)


def _host(contract: Contract) -> str | None:
    return urlsplit(contract.base_url).hostname if contract.base_url else None


def _clues(evidence: Observations, contract: Contract, now: datetime, host: str | None) -> dict[str, float]:
    endpoint, reader = evidence.endpoint, contract.reader
    clues: dict[str, float] = {}
    if endpoint is None:
        return clues
    if host is not None:
        clues["host"] = float(_host(contract) == host)
    clues["path"] = float(endpoint.before(contract) is not None)
    if evidence.task is not None:
        clues |= _of_task(evidence.task, contract, now)
    for name, seen, matchers in (
        ("missing", evidence.missing, reader.missing),
        ("refusal", evidence.refused, reader.unauthorized),
        ("forbidden", evidence.forbidden, reader.forbidden),
    ):
        if seen is not None:
            clues[name] = _answered(seen, contract, matchers)
    if evidence.nowhere is not None:
        clues["elsewhere"] = _elsewhere(evidence.nowhere, contract)
    return clues | _of_callers(evidence, contract)


def _of_callers(evidence: Observations, contract: Contract) -> dict[str, float]:
    """Whom the relay serves, and what with."""
    clues: dict[str, float] = {}
    if evidence.way is not None and not evidence.open:
        clues["credential"] = _credential(evidence, contract)
    if evidence.open is not None:
        clues["open"] = 1.0 if evidence.open == contract.open else 0.0 if evidence.open else _SILENT
    if any(one.purpose is Purpose.BATCH for one in evidence.observations):
        clues["batch"] = float((evidence.batch is not None) == (contract.batch is not None))
    return clues


def _of_task(seen: Attempt, contract: Contract, now: datetime) -> dict[str, float]:
    found, reader = document(seen.exchange), contract.reader
    asked = reader.id(found) if reader.accepts(found) else None
    state = reader.state(found)
    alike = likeness(contract, found)
    right = asked == seen.task_id or (
        seen.outcome is ResponseKind.OTHER_TASK and scalar_text(asked) is not None
    )
    return {
        "id": 1.0 if right else 0.5 if scalar_text(asked) == seen.task_id else 0.0,
        "keys": _SILENT if alike is None else alike.value,
        "unset": resemblance(contract, found, state),
        "state": float(state is not State.UNKNOWN),
        "times": _times(contract, found, now),
    }


def _times(contract: Contract, found: Any, now: datetime) -> float:
    reader = contract.reader
    stamps = [stamp for stamp in (reader.submitted, reader.started, reader.finished) if stamp is not None]
    raw = [stamp for stamp in stamps if stamp.raw(found) is not None]
    if not raw:
        return _SILENT
    read = [stamp.read(found) for stamp in raw]
    return sum(moment is not None and plausible(moment, now) for moment in read) / len(read)


def _answered(seen: Attempt, contract: Contract, matchers: Iterable[Matcher]) -> float:
    """How an answer without a task fits: as the contract's words say, and as its schema shows it."""
    if not means(seen.exchange, tuple(matchers)):
        return 0.0
    return 0.6 + 0.4 * _body(seen, contract)


def _body(seen: Attempt, contract: Contract) -> float:
    status = seen.exchange.status or 0
    shown = schema(contract, status) is not None
    empty = not seen.exchange.body.strip()
    if not shown or empty:
        return 1.0 if empty and not shown else _SILENT if not shown else 0.0
    found = document(seen.exchange)
    alike = likeness(contract, found, status)
    if isinstance(found, dict | list):
        return 0.0 if alike is None else alike.value
    media = contract.content(status)
    return float(seen.exchange.media_type in media)


def _elsewhere(seen: Attempt, contract: Contract) -> float:
    matchers = contract.reader.elsewhere
    return float(means(seen.exchange, matchers)) if matchers else _SILENT


def _credential(evidence: Observations, contract: Contract) -> float:
    """Whether the key is accepted where the contract says, and not refused anywhere that it says."""
    ways = {form(one) for one in contract.credentials}
    if evidence.way is None or form(evidence.way) not in ways:
        return 0.0
    refused = {
        form(one.way)
        for one in evidence.observations
        if one.way is not None and one.endpoint == evidence.endpoint and one.refuses
    }
    return 0.4 if refused & ways else 1.0
