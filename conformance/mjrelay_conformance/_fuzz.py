"""The property-based phase: schemathesis makes requests, the probe sends them, our checks judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import hypothesis
from attrs import define

from mjrelay_conformance._cases import Cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hypothesis import strategies as st

    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange
    from mjrelay._request import Request
    from mjrelay_conformance._cases import Case
    from mjrelay_conformance._check import Kind


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
    made = Cases(contract, ids, secret)
    for strategy, count in _gentle(made, cases) if mode == "gentle" else _full(made, cases):
        phase.run(strategy, count, seed)
    return phase.sent


def _gentle(made: Cases, cases: int) -> Iterator[tuple[st.SearchStrategy[Case], int]]:
    missing = cases // 5 if made.ids else cases
    if made.ids:
        yield made.known(), cases - missing
    yield made.missing(), missing


def _full(made: Cases, cases: int) -> Iterator[tuple[st.SearchStrategy[Case], int]]:
    others = [
        (made.odd(), cases * 18 // 100 if made.ids else cases),
        (made.other_methods(), cases * 6 // 100),
        (made.without_credential(), cases * 2 // 100),
        (made.bad_credentials(), cases * 4 // 100),
    ]
    able = [(strategy, count) for strategy, count in others if strategy is not None]
    if made.ids:
        yield made.mixed(), cases - sum(count for _, count in able)
    yield from able


@define
class _Phase:
    """Runs strategies one after the other; what goes wrong on our side ends all of them."""

    probe: Sender
    judge: Callable[[Kind, str, Exchange], list[str]]
    credential: Callable[[Request], Request]
    pace: Callable[[], object]
    spent: Callable[[], bool]
    sent: int = 0

    def run(self, strategy: st.SearchStrategy[Case], count: int, seed: int) -> None:
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
        @hypothesis.given(strategy)
        def phase(case: Case) -> None:
            if self.sent >= limit or trouble or self.spent():
                return
            try:
                self._send(case)
            except Exception as error:  # noqa: BLE001 - Hypothesis would send the case again to see it again
                trouble.append(error)

        if count and not self.spent():
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
