"""The property-based phase: schemathesis makes requests, the probe sends them, our checks judge."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Protocol

import hypothesis
from attrs import define

from mjrelay_conformance.drivers.cases import Cases
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange, Request
    from mjrelay_conformance.drivers.cases import Case, Generated, Source


class Sender(Protocol):
    """Whatever sends a request and says what came of it."""

    def send(self, request: Request, /) -> Exchange:
        """The exchange that a request leads to."""
        ...


def run(
    contract: Contract,
    probe: Sender,
    judge: Callable[[Kind, str, Exchange], list[str]],
    *,
    ids: Sequence[str],
    credential: Callable[[Request], Request],
    secret: str,
    cases: int,
    seed: int,
    mode: str = "gentle",
    pace: Callable[[], object],
    spent: Callable[[], bool],
) -> int:
    """
    The number of cases sent, ``cases`` at most and none once the relay is ``spent``; the same for a seed.

    A ``gentle`` run asks as anybody asks, four times of five for one of the known ``ids`` and else for
    whatever fits the schema. A ``full`` one asks in many words that mean the same, for what is no id at all,
    with other methods, and last of all without the ``secret`` or with another.
    Nothing is shrunk or sent twice: each case is one request.
    """
    phase = _Phase(probe, judge, credential, pace, spent)
    made = Cases(contract, ids, secret, random.Random(seed))  # noqa: S311 - to be repeatable
    for source, count in _gentle(made, cases) if mode == "gentle" else _full(made, cases):
        phase.run(source, count, seed)
    return phase.sent


def _gentle(made: Cases, cases: int) -> list[tuple[Source, int]]:
    missing = cases // 5 if made.ids else cases
    return [*([(made.known(), cases - missing)] if made.ids else []), (made.missing(), missing)]


def _full(made: Cases, cases: int) -> list[tuple[Source, int]]:
    if not made.ids:
        return [(made.odd(), cases)]
    others = [(made.odd(), cases * 18 // 100), (made.other_methods(), cases * 6 // 100)]
    if made.closed:
        others.append((made.known(Kind.NO_CREDENTIAL), cases * 2 // 100))
        others.append((made.bad_credentials(), cases * 4 // 100))
    return [(made.mixed(), cases - sum(count for _, count in others)), *others]


@define
class _Phase:
    """Runs sources one after the other; what goes wrong on our side ends all of them."""

    probe: Sender
    judge: Callable[[Kind, str, Exchange], list[str]]
    credential: Callable[[Request], Request]
    pace: Callable[[], object]
    spent: Callable[[], bool]
    sent: int = 0

    def run(self, source: Source, count: int, seed: int) -> None:
        limit, trouble = self.sent + count, list[Exception]()

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
            if self.sent >= limit or trouble or self.spent():
                return
            try:
                self._send(source.case(*drawn))
            except Exception as error:  # noqa: BLE001 - Hypothesis would send the case again to see it again
                trouble.append(error)

        if count and not self.spent():
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # the contract allows no such request
                phase()
        if trouble:
            raise trouble[0]

    def _send(self, case: Case) -> None:
        self.pace()
        if self.spent():
            return
        self.sent += 1
        exchange = self.probe.send(case.sent(self.credential))
        case.judged(exchange, lambda: self.judge(case.kind, case.task_id, exchange))
