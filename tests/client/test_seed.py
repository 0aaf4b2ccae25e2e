"""Seeds over real sockets, sync and async: opaque text, or an error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from served import JSON, KEY, app
from twins import TWINS

from mjrelay import (
    EmptyAnswerError,
    EnvelopeError,
    Exchange,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    Relay,
    RelayError,
    SettingError,
    State,
    UnauthorizedError,
    UnavailableError,
    WebPageError,
)
from mjrelay.contract.loading import load_contract
from mjrelay.monitor import Monitor

if TYPE_CHECKING:
    from twins import Twin


@TWINS
def test_a_seed_is_returned(twin: Twin) -> None:
    """The seed is text; its request has the prefix of the base URL and is passed to the hook."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    exchanges: list[tuple[Exchange, tuple[str, ...]]] = []

    async def prefixed(scope: Any, receive: Any, send: Any) -> None:
        await mock({**scope, "path": scope["path"].removeprefix("/fast"), "raw_path": None}, receive, send)

    def hook(exchange: Exchange, ids: tuple[str, ...]) -> None:
        exchanges.append((exchange, ids))

    task_id = mock.known[State.SUCCEEDED]
    with (
        Server(prefixed) as base_url,
        twin("zhongzhuan", KEY, base_url=base_url + "/fast", on_exchange=hook) as relay,
    ):
        seed = relay.seed(task_id)
        assert seed == relay.seed(task_id)
    assert seed.isdecimal()
    assert [ids for _, ids in exchanges] == [(task_id,)] * 2
    exchange = exchanges[0][0]
    assert (exchange.method, exchange.url) == ("GET", f"{base_url}/fast/mj/task/{task_id}/image-seed")
    assert KEY not in repr(exchange.request_headers)


def test_a_seed_is_opaque_text() -> None:
    """A number becomes its digits, 0 is a valid seed, and text is returned unchanged."""
    for found, seed in (("636646138", "636646138"), (0, "0"), (4294967295, "4294967295"), ("s-7_x", "s-7_x")):
        body = json.dumps({"code": 1, "description": "成功", "properties": {}, "result": found}).encode()
        with Server(app((200, body, JSON))) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
            assert relay.seed("1") == seed


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (
            400,
            b'{"code":4,"description":"task_no_found ","type":"x"}',
            JSON,
            (MissingTaskError, "task_no_found"),
        ),
        (404, b'{"code":3,"description":"gone","result":null}', JSON, (MissingTaskError, "3: gone")),
        (204, b"", {}, (MissingTaskError, "returned 204")),
        (200, b"", {}, (EmptyAnswerError, "the response body is empty")),
        (200, b"null", JSON, (EmptyAnswerError, "the response body is empty")),
        (200, b'{"code":21,"description":"not yet","result":null}', JSON, (EnvelopeError, "21: not yet")),
        (200, b'{"code":1,"description":"ok","result":""}', JSON, (EnvelopeError, "a 200 without a seed")),
        (200, b'{"code":1,"result":{"seed":7}}', JSON, (EnvelopeError, "a 200 without a seed")),
        (200, b"[]", JSON, (EnvelopeError, "retry when the task has succeeded")),
        (200, b"<html>", {"content-type": "text/html"}, (WebPageError, "web page")),
        (401, b'{"error":{"message":"no","type":"t"}}', JSON, (UnauthorizedError, "the key was refused")),
        (403, b'{"error":{"message":"no","type":"t"}}', JSON, (ForbiddenError, "returned 403")),
        (429, b"", {"retry-after": "7"}, (RateLimitedError, "too many requests")),
        (502, b"", {}, (UnavailableError, "returned 502")),
    ],
)
def test_a_response_without_a_seed_is_one_error(
    status: int, body: bytes, headers: dict[str, str], expected: tuple[type[RelayError], str]
) -> None:
    """Each response without a seed is one error class, after one request."""
    seen: list[Any] = []
    kind, message = expected
    with (
        Server(app((status, body, headers), seen=seen)) as base_url,
        Relay("zhongzhuan", KEY, base_url=base_url) as relay,
        pytest.raises(kind, match=message) as caught,
    ):
        relay.seed("1730")
    error = caught.value
    assert error.exchange is not None
    assert type(error) is kind
    assert (error.relay, error.task_id, error.exchange.status) == ("zhongzhuan", "1730", status)
    assert error.retry_after == (7.0 if status == 429 else None)
    assert len(seen) == 1


@TWINS
def test_a_relay_without_seeds(twin: Twin) -> None:
    """A contract without the operation raises, and no request is sent."""
    seen: list[Any] = []
    with (
        Server(app((200, b"", {}), seen=seen)) as base_url,
        twin("apiai", KEY, base_url=base_url) as relay,
        pytest.raises(
            SettingError, match="apiai has no operation for seeds: its contract has no seed in x-mj-task"
        ),
    ):
        relay.seed("1")
    assert not seen


def test_a_monitor_ignores_seeds() -> None:
    """The response of another operation is not judged as a task."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    task_id = mock.known[State.SUCCEEDED]
    with (
        Server(mock) as base_url,
        Monitor("zhongzhuan", api_key=KEY) as monitor,
        Relay("zhongzhuan", KEY, base_url=base_url, on_exchange=monitor) as relay,
    ):
        relay.seed(task_id)
        relay.fetch(task_id)
        assert monitor.flush()
        assert (monitor.judged, dict(monitor.findings)) == (1, {})
