"""Score the contracts against the responses. A clue weighs more the fewer servers share it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen

from mjrelay.doctor.addresses import is_added
from mjrelay.doctor.observations import Purpose, ResponseKind, document, matches_any, sent_form
from mjrelay.doctor.similarity import example_similarity, schema, similarity
from mjrelay.semantics import State, scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Attempt, Observations
    from mjrelay.semantics import Matcher


WEIGHTS = {
    "host": 6,  # the server in the contract
    "path": 4,
    "id": 3,
    "keys": 6,  # names and types
    "unset": 5,  # how unset values are written
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
"""The weight of each clue."""

FITS = 0.5
"""Minimum score of a contract that fits."""
APART = 0.005
"""Contracts whose scores differ by less cannot be distinguished."""
FAMILY = 0.12
"""Maximum difference from the best score within a family."""

EARLIEST = datetime(2022, 1, 1, tzinfo=UTC)
"""No task is older."""
_UNSPECIFIED = 0.5
"""The fit of a contract that does not specify a clue."""


@frozen
class Score:
    """The fit of a contract per clue, from 0 to 1."""

    contract: Contract = field(repr=False)
    clues: dict[str, float]

    @property
    def value(self) -> float:
        """The weighted mean of the clues."""
        weight = sum(WEIGHTS[name] for name in self.clues)
        return sum(WEIGHTS[name] * fit for name, fit in self.clues.items()) / weight if weight else 0.0


def rank(
    observations: Observations, contracts: Sequence[Contract], now: datetime | None = None
) -> list[Score]:
    """
    Return the scores of the contracts, the best first.

    Ties: a contract for this host or for none precedes one for another host, a user's contract precedes a
    packaged one, and a contract with fewer fields that the task lacks precedes one with more.
    """
    moment = now or datetime.now(UTC)
    host = urlsplit(observations.origin).hostname
    known = any(_host(one) == host for one in contracts)
    scores = [Score(one, _clues(observations, one, moment, host if known else None)) for one in contracts]

    def order(one: Score) -> tuple[float, bool, bool, int, str]:
        contract = one.contract
        foreign = _host(contract) not in {None, host}
        unseen = _unseen(observations, contract)
        return -round(one.value, 3), foreign, not is_added(contract), unseen, contract.name

    return sorted(scores, key=order)


def plausible(moment: datetime, now: datetime) -> bool:
    """Return whether a task may have this time."""
    return EARLIEST <= moment <= now + timedelta(days=1)


def _unseen(observations: Observations, contract: Contract) -> int:
    """Return the number of the contract's fields that the task lacks; all without a task."""
    alike = similarity(contract, {} if observations.task is None else document(observations.task.exchange))
    return 0 if alike is None else len(alike.absent)


def _host(contract: Contract) -> str | None:
    return urlsplit(contract.base_url).hostname if contract.base_url else None


def _clues(
    observations: Observations, contract: Contract, now: datetime, host: str | None
) -> dict[str, float]:
    endpoint, reader = observations.endpoint, contract.reader
    clues: dict[str, float] = {}
    if endpoint is None:
        return clues
    if host is not None:
        clues["host"] = float(_host(contract) == host)
    clues["path"] = float(endpoint.before(contract) is not None)
    if observations.task is not None:
        clues |= _task_clues(observations.task, contract, now)
    for name, seen, matchers in (
        ("missing", observations.missing, reader.missing),
        ("refusal", observations.refused, reader.unauthorized),
        ("forbidden", observations.forbidden, reader.forbidden),
    ):
        if seen is not None:
            clues[name] = response_fit(seen, contract, matchers)
    if observations.nowhere is not None:
        clues["elsewhere"] = _elsewhere(observations.nowhere, contract)
    return clues | _access_clues(observations, contract)


def _access_clues(observations: Observations, contract: Contract) -> dict[str, float]:
    """Return the clues about credentials and the batch endpoint."""
    clues: dict[str, float] = {}
    if observations.credential is not None and not observations.open:
        clues["credential"] = _credential(observations, contract)
    if observations.open is not None:
        clues["open"] = (
            1.0 if observations.open == contract.open else 0.0 if observations.open else _UNSPECIFIED
        )
    if any(one.purpose is Purpose.BATCH for one in observations.attempts):
        clues["batch"] = float((observations.batch is not None) == (contract.batch is not None))
    return clues


def _task_clues(seen: Attempt, contract: Contract, now: datetime) -> dict[str, float]:
    found, reader = document(seen.exchange), contract.reader
    asked = reader.id(found) if reader.accepts(found) else None
    state = reader.state(found)
    alike = similarity(contract, found)
    right = asked == seen.task_id or (seen.kind is ResponseKind.OTHER_TASK and scalar_text(asked) is not None)
    return {
        "id": 1.0 if right else 0.5 if scalar_text(asked) == seen.task_id else 0.0,
        "keys": _UNSPECIFIED if alike is None else alike.value,
        "unset": example_similarity(contract, found, state),
        "state": float(state is not State.UNKNOWN),
        "times": _times(contract, found, now),
    }


def _times(contract: Contract, found: Any, now: datetime) -> float:
    reader = contract.reader
    stamps = [stamp for stamp in (reader.submitted, reader.started, reader.finished) if stamp is not None]
    raw = [stamp for stamp in stamps if stamp.raw(found) is not None]
    if not raw:
        return _UNSPECIFIED
    read = [stamp.read(found) for stamp in raw]
    return sum(moment is not None and plausible(moment, now) for moment in read) / len(read)


def response_fit(seen: Attempt, contract: Contract, matchers: Iterable[Matcher]) -> float:
    """Return how well a response without a task fits the contract's matchers and schema."""
    if not matches_any(seen.exchange, tuple(matchers)):
        return 0.0
    return 0.6 + 0.4 * _body(seen, contract)


def _body(seen: Attempt, contract: Contract) -> float:
    status = seen.exchange.status or 0
    shown = schema(contract, status) is not None
    empty = not seen.exchange.body.strip()
    if not shown or empty:
        return 1.0 if empty and not shown else _UNSPECIFIED if not shown else 0.0
    found = document(seen.exchange)
    alike = similarity(contract, found, status)
    if isinstance(found, dict | list):
        return 0.0 if alike is None else alike.value
    media = contract.content(status)
    return float(seen.exchange.media_type in media)


def _elsewhere(seen: Attempt, contract: Contract) -> float:
    matchers = contract.reader.elsewhere
    return float(matches_any(seen.exchange, matchers)) if matchers else _UNSPECIFIED


def _credential(observations: Observations, contract: Contract) -> float:
    """Return whether the key is accepted, and not refused, where the contract sends it."""
    specified = {sent_form(one) for one in contract.credentials}
    if observations.credential is None or sent_form(observations.credential) not in specified:
        return 0.0
    refused = {
        sent_form(one.credential)
        for one in observations.attempts
        if one.credential is not None and one.endpoint == observations.endpoint and one.refuses
    }
    return 0.4 if refused & specified else 1.0
