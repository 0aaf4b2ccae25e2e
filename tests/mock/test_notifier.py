"""The callbacks of a mock relay."""

from __future__ import annotations

import json
from typing import Any

from mjrelay_conformance.mock import MockRelay, Notifier, Server
from mocks import PACKAGED, FakeClock

from mjrelay.semantics import State

KEY = "sk-never-to-be-seen-4711"


def test_callbacks_of_the_mock() -> None:
    """One callback per change and in order, the last one twice; no key, no retry after a failure."""
    clock, received = FakeClock(), list[tuple[str, bytes, dict[bytes, bytes]]]()
    relay = MockRelay(PACKAGED["zhongzhuan"], key=KEY, clock=clock)
    reader = relay.contract.reader

    async def hook(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        received.append((scope["path"], message["body"], dict(scope["headers"])))
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with Server(hook) as url:
        notifier = Notifier(relay, f"{url}/hook")
        task_id = relay.submit(10.0, outcome=State.FAILED)
        for _ in range(8):
            notifier.send_changes()
            clock.now += 2.0
    documents = [json.loads(body) for _, body, _ in received]
    states = [reader.state(one) for one in documents]
    progress = [reader.progress(one) or 0 for one in documents if reader.state(one) is State.RUNNING]
    assert states == [State.QUEUED, *[State.RUNNING] * (len(states) - 3), State.FAILED, State.FAILED]
    assert progress == sorted(progress)
    assert len(set(progress)) == len(progress) >= 3
    assert {reader.id(one) for one in documents} == {task_id}
    assert {path for path, _, _ in received} == {"/hook"}
    assert not any(KEY.encode() in value for _, _, fields in received for value in fields.values())
    Notifier(relay, url).send_changes()  # the server is gone: no error
