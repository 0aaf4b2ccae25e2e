"""
Examine a URL: find the contract, prefix and credential that fit, and diagnose problems.

All knowledge about relays comes from contracts. `plan` chooses the requests, `observations` holds the
responses, and `score`, `problems` and `diagnosis` are pure functions of them. Only `examine` sends.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mjrelay.base import __version__
from mjrelay.contract import checked_key
from mjrelay.doctor.addresses import Address
from mjrelay.doctor.diagnosis import Diagnosis, diagnose
from mjrelay.doctor.observations import BODY_LIMIT
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
    Examine a URL with at most `REQUEST_LIMIT` requests.

    Args:
        url: The base URL of a relay, or the URL of a task.
        contracts: The contracts to compare with.
        redactor: Redacts the key from all responses.
        key: The API key, if any.
        task_id: An existing task. Default: the id in the URL.
        timeout: Maximum seconds per request.
        patience: Maximum seconds for all requests.
        announce: Called with each request before it is sent.

    Raises:
        SettingError: The URL, the key or the id is invalid.

    """
    if key is not None:
        key = checked_key(key)
    address = Address.of(url, contracts, task_id or None)
    plan = Plan(address, contracts, address.task_id, key is not None)
    config = TransportConfig(origin=address.origin, redactor=redactor)
    end = time.monotonic() + patience
    steps = plan.steps()
    step = next(steps, None)
    while step is not None:
        announce(step)
        # Redact before anything is cut or changed: a part of the key would not be found.
        exchange = redactor.exchange(_send(config, step, key, min(timeout, end - time.monotonic())))
        try:
            step = steps.send(exchange)
        except StopIteration:
            step = None
    return diagnose(plan.observations, contracts)


def _send(config: TransportConfig, step: ProbeRequest, key: str | None, seconds: float) -> Exchange:
    """Send a request on a new connection, so that it is never resent."""
    request = step.request.with_headers(_AGENT, _AGENT)
    if step.credential is not None and key is not None:
        request = request.authenticated(step.credential, key)
    if seconds <= 0:
        shown: Request = request.shown or request
        url = f"{config.origin}{shown.target}"
        return Exchange(shown.method, url, failure="the time limit for all requests has passed")
    transport = connect(config)
    try:
        return transport.send(request, seconds, BODY_LIMIT)
    finally:
        transport.close()
