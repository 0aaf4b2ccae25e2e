"""The property-based phase: schemathesis makes requests, the probe sends them, our checks judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay._exchange import Exchange
    from mjrelay._request import Request
    from mjrelay_conformance._probe import Probe
    from mjrelay_conformance._schema import Case, Schema


def run(
    schema: Schema,
    probe: Probe,
    judge: Callable[[str, Exchange], list[str]],
    *,
    ids: Sequence[str],
    credential: Callable[[Request], Request],
    cases: int,
    seed: int,
    pace: Callable[[], None],
    spent: Callable[[], bool],
) -> int:
    """
    The number of cases sent, ``cases`` at most and none once the relay is ``spent``; the same for a seed.

    Four of five ask for one of the known ``ids``, so that most cases reach a task; the others ask for
    whatever fits the schema. Nothing is shrunk or sent twice: each case is one request.
    """
    sent = 0
    odd = schema.cases(None)
    known = [schema.cases(task_id) for task_id in ids]
    strategy: st.SearchStrategy[Case] = st.integers(0, 4).flatmap(
        lambda die: st.one_of(known) if known and die else odd
    )

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(strategy)
    def phase(case: Case) -> None:
        nonlocal sent
        if sent >= cases or spent():
            return
        sent += 1
        pace()
        exchange = probe.send(credential(case.request))
        schema.hook(case, exchange, lambda: judge(case.task_id, exchange))

    phase()
    return sent
