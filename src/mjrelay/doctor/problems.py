"""All problems of an examination, the most severe first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mjrelay.doctor.access_problems import access_problems
from mjrelay.doctor.observations import Purpose, ResponseKind
from mjrelay.doctor.problem import Problem, quoted_message
from mjrelay.doctor.task_problems import task_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.contract import Contract
    from mjrelay.doctor.observations import Observations


def find_problems(
    observations: Observations, contract: Contract | None, now: datetime | None = None
) -> list[Problem]:
    """Return the problems, then the notes; responses are read by this contract."""
    problems = [*access_problems(observations, contract)]
    if contract is not None:
        problems += _response_problems(observations, contract)
        task = observations.task
        if task is not None:
            problems += task_problems(task, contract, observations.origin, now or datetime.now(UTC))
    unique = {(one.name, one.what): one for one in problems}
    return sorted(unique.values(), key=lambda one: not one.wrong)


def _response_problems(observations: Observations, contract: Contract) -> Iterator[Problem]:
    endpoint = observations.endpoint
    if endpoint is not None and endpoint.before(contract) is None:
        yield Problem(
            "own-path",
            f"No contract's path ends like {endpoint}, but the responses resemble those of {contract.name}.",
            "Write a contract for this relay, with this path.",
        )
    attempts = [one for one in observations.of(Purpose.TASK) if one.kind is not ResponseKind.REFUSED]
    last = attempts[-1] if attempts else None
    absent = {ResponseKind.MISSING, ResponseKind.EMPTY, ResponseKind.ABSENT, ResponseKind.DOCUMENT}
    if last is not None and last.kind in absent and observations.task is None:
        message = quoted_message(last.exchange, contract)
        detail = f"{last.exchange.status}{f', {message}' if message else ''}"
        yield Problem(
            "unknown-task",
            f"The relay has no such task ({detail}).",
            "Check the id, and that the key is the one that submitted the task; relays delete tasks after a "
            "while, some of them at each restart.",
        )
    missing = observations.missing
    if missing is not None and not missing.exchange.body.strip() and (missing.exchange.status or 0) < 300:
        yield Problem(
            "empty-missing",
            f"For an unknown id the relay returns {missing.exchange.status} and no body.",
            "Do not parse such a response as JSON; mjrelay raises EmptyAnswerError or MissingTaskError.",
            wrong=False,
        )
