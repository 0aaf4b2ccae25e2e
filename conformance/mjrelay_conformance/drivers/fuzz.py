"""The property-based phase: send what Schemathesis generates, and judge the responses by our checks."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import hypothesis
from attrs import define

from mjrelay_conformance.drivers.cases import Cases
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Request
    from mjrelay_conformance.drivers.cases import Case, Generated, Source


def run(
    contract: Contract,
    send: Callable[[Request], Exchange],
    judge: Callable[[Kind, str, Exchange], list[str]],
    *,
    ids: Sequence[str],
    credential: Callable[[Request], Request],
    secret: str,
    cases: int,
    seed: int,
    mode: str = "gentle",
    may_send: Callable[[Kind], bool],
    stopped: Callable[[], bool],
) -> int:
    """
    Send generated requests and judge the responses.

    Nothing is shrunk or sent twice: each case is one request.

    Args:
        contract: The contract of the relay.
        send: Sends one request.
        judge: Judges one exchange, and returns the ids of the checks that found something.
        ids: The ids of known tasks.
        credential: Adds the caller's credential to a request.
        secret: The caller's API key, which no made-up credential may equal.
        cases: The maximum number of requests.
        seed: The random seed; the same seed generates the same requests.
        mode: ``gentle`` sends ordinary requests: four fifths for known tasks, the others for ids that match
            the schema. ``full`` also varies the spelling, ids, methods and credentials.
        may_send: Waits until a request of a kind may be sent; returns False if none may be sent any more.
        stopped: Whether no more requests may be sent.

    Returns:
        The number of requests sent.
    """
    phase = _Phase(send, judge, credential, may_send, stopped)
    generated = Cases(contract, ids, secret, random.Random(seed))  # noqa: S311 - must be repeatable
    for source, count in _gentle(generated, cases) if mode == "gentle" else _full(generated, cases):
        phase.run(source, count, seed)
    return phase.sent


def _gentle(generated: Cases, cases: int) -> list[tuple[Source, int]]:
    missing = cases // 5 if generated.ids else cases
    known = [(generated.known(), cases - missing)] if generated.ids else []
    return [*known, (generated.missing(), missing)]


def _full(generated: Cases, cases: int) -> list[tuple[Source, int]]:
    if not generated.ids:
        return [(generated.odd(), cases)]
    others = [(generated.odd(), cases * 18 // 100), (generated.other_methods(), cases * 6 // 100)]
    if generated.closed:
        others.append((generated.known(Kind.NO_CREDENTIAL), cases * 2 // 100))
        others.append((generated.bad_credentials(), cases * 4 // 100))
    return [(generated.mixed(), cases - sum(count for _, count in others)), *others]


@define
class _Phase:
    """Runs sources in order; an unexpected exception ends all of them."""

    send: Callable[[Request], Exchange]
    judge: Callable[[Kind, str, Exchange], list[str]]
    credential: Callable[[Request], Request]
    may_send: Callable[[Kind], bool]
    stopped: Callable[[], bool]
    sent: int = 0

    def run(self, source: Source, count: int, seed: int) -> None:
        limit, errors = self.sent + count, list[Exception]()

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=max(count, 1),
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
            verbosity=hypothesis.Verbosity.quiet,
        )
        @hypothesis.given(source.drawn)
        def phase(drawn: tuple[str, Generated]) -> None:
            if self.sent >= limit or errors or self.stopped():
                return
            try:
                self._send(source.case(*drawn))
            except Exception as error:  # noqa: BLE001 - Hypothesis would repeat the case to confirm the error
                errors.append(error)

        if count and not self.stopped():
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # the contract allows no such request
                phase()
        if errors:
            raise errors[0]

    def _send(self, case: Case) -> None:
        if not self.may_send(case.kind):
            return
        self.sent += 1
        exchange = self.send(case.sent(self.credential))
        case.judged(exchange, lambda: self.judge(case.kind, case.task_id, exchange))
