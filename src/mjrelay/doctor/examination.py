"""
Finds out what a URL speaks: which contract, prefix and credential fit it, and what is wrong there.

All that it knows of relays it knows from contracts. `_plan` says what is sent next, and knows nothing of
sending; `_evidence` is what came; `_score`, `_problems` and `_diagnosis` are pure functions of it. Only
`examine` sends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mjrelay.base import __version__
from mjrelay.contract import checked_key
from mjrelay.doctor.addresses import Address
from mjrelay.doctor.diagnosis import Diagnosis, diagnose
from mjrelay.doctor.plan import Plan, ProbeRequest
from mjrelay.http import Exchange, Request
from mjrelay.transport import TransportConfig, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Redactor


_AGENT = (("User-Agent", f"mjrelay/{__version__} doctor"),)


def examine(
    url: str,
    contracts: Sequence[Contract],
    *,
    redactor: Redactor,
    key: str | None = None,
    task_id: str | None = None,
    timeout: float = 15.0,
    patience: float = 60.0,
    announce: Callable[[ProbeRequest], object] = lambda _: None,
) -> Diagnosis:
    """
    Examine a URL with `REQUEST_LIMIT` requests at most, each announced before it is sent.

    One request takes ``timeout`` seconds at most, all together ``patience``. Raises `SettingError` for a URL,
    a key or an id that cannot be used.
    """
    if key is not None:
        checked_key(key)
    address = Address.of(url, contracts)
    plan = Plan(address, contracts, task_id or address.task_id, key is not None)
    link = TransportConfig(origin=address.origin, redactor=redactor)
    end = time.monotonic() + patience
    steps = plan.steps()
    step = next(steps, None)
    while step is not None:
        announce(step)
        # The secret goes before anything is read, cut or changed: a part of it would not be found.
        exchange = redactor.exchange(_send(link, step, key, min(timeout, end - time.monotonic())))
        try:
            step = steps.send(exchange)
        except StopIteration:
            step = None
    return diagnose(plan.evidence, contracts)


def _send(link: TransportConfig, step: ProbeRequest, key: str | None, seconds: float) -> Exchange:
    """The exchange that a step leads to, on a connection of its own, so that none is sent a second time."""
    request = step.request.with_headers(_AGENT, _AGENT)
    if step.way is not None and key is not None:
        request = request.authenticated(step.way, key)
    if seconds <= 0:
        seen: Request = request.shown or request
        url = f"{link.origin}{seen.target}"
        return Exchange(seen.method, url, failure="the time for all requests together is over")
    wire = connect(link)
    try:
        return wire.send(request, seconds)
    finally:
        wire.close()
