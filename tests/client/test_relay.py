"""The clients over real sockets, sync and async: a task of any relay, or an error."""

from __future__ import annotations

import copy
import gzip
import json
import logging
import pickle
import re
import time
import traceback
import warnings
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mocks import served_example
from sampled import SEVERAL
from twins import Async, Sync, UVLoop

from mjrelay import (
    AnswerError,
    DownloadError,
    EmptyAnswerError,
    EnvelopeError,
    Exchange,
    ForbiddenError,
    MissingTaskError,
    PlainHTTPWarning,
    RateLimitedError,
    Relay,
    RelayError,
    SettingError,
    SomeTasksError,
    State,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    UnknownRelayError,
    WaitTimeoutError,
    WebPageError,
    WrongTaskError,
    __version__,
)
from mjrelay.client.responses import ResponseReader
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.http.redaction import Redactor
from mjrelay.transport.transport import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    Twin = type[Sync | Async]

KEY = "sk-never-to-be-seen-4711"
TWINS = pytest.mark.parametrize("twin", [Sync, Async, UVLoop])


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment does not affect the tests."""
    for name in ("MJRELAY_API_KEY", "MJRELAY_BASE_URL", "MJRELAY_ZHONGZHUAN_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def app(*answers: tuple[int, bytes, dict[str, str]], seen: list[Any] | None = None) -> Callable[..., Any]:
    """An application that sends these responses in turn and repeats the last; ``seen`` records requests."""
    turns = iter(answers)
    last = answers[-1]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if seen is not None:
            seen.append(scope)
        status, body, headers = next(turns, last)
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return application


JSON = {"content-type": "application/json"}


def document(state: str, task_id: str = "1", **changes: Any) -> bytes:
    """The body of an example of the contract."""
    return json.dumps({**load_contract("zhongzhuan").examples[state], "id": task_id, **changes}).encode()


@TWINS
def test_every_state_of_every_relay_is_read(twin: Twin) -> None:
    """A task in each state of the mock is returned in that state, with its id and its document."""
    for name in relay_names() if twin is Sync else SEVERAL:
        mock = MockRelay(load_contract(name), key=KEY)
        with Server(mock) as base_url, twin(name, KEY, base_url=base_url) as relay:
            assert relay.client.name == name
            for state, task_id in mock.known.items():
                task = relay.fetch(task_id)
                assert (task.state, task.id) == (state, task_id)
                assert task.document == served_example(load_contract(name), state, base_url)
                assert bool(task.images or task.videos) == (state is State.SUCCEEDED)
                assert task.to_dict()["state"] == state.value


def test_a_task_is_typed() -> None:
    """The page's own task: percent, times as aware datetimes, images, buttons; previews while it runs."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url + "/") as relay:
        task = relay.fetch(mock.known[State.SUCCEEDED])
        running = relay.fetch(mock.known[State.RUNNING])
        failed = relay.fetch(mock.known[State.FAILED])
    assert (task.progress, task.kind, task.prompt, task.status) == (100, "IMAGINE", "pig --v 6.1", "SUCCESS")
    assert task.finished == datetime(2024, 11, 3, 8, 17, 35, 817000, tzinfo=UTC)
    assert [button.label for button in task.buttons[:2]] == ["U1", "U2"]
    assert (len(task.images), task.previews, task.failure) == (1, (), None)
    assert (running.images, len(running.previews), running.progress, running.finished) == ((), 1, 31, None)
    assert failed.failure == "任务超时"


@TWINS
@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("html-200", WebPageError, "the response is a web page; check the base URL"),
        ("html-labelled-json", WebPageError, "the response is a web page"),
        ("empty-200", EmptyAnswerError, "the response body is empty"),
        ("truncated-json", UndecodableError, "the response is not JSON"),
        ("error-envelope-200", EnvelopeError, "a 200 without a task"),
        ("body-is-array", EnvelopeError, "a 200 without a task"),
        ("status-500", UnavailableError, "returned 500"),
        ("redirect-to-other-host", AnswerError, "returned 302 to http"),
        ("wrong-id", WrongTaskError, "but the response holds"),
        ("connection-reset", TransportError, "; try again later"),
    ],
)
def test_a_response_without_the_task_is_one_error(
    fault: str, kind: type[RelayError], message: str, twin: Twin
) -> None:
    """Each fault is one error class, with relay, task and exchange, and no secret."""
    for name in SEVERAL if twin is Sync else ["zhongzhuan"]:
        if FAULTS[fault].applies(load_contract(name)):
            check_error(name, fault, kind, message, twin)


def check_error(name: str, fault: str, kind: type[RelayError], message: str, twin: Twin) -> None:
    """Fetch a task of a relay with the fault, and check the error."""
    mock = MockRelay(load_contract(name), key=KEY, faults=[fault])
    task_id = mock.known[State.SUCCEEDED]
    with (
        Server(mock) as base_url,
        twin(name, KEY, base_url=base_url) as relay,
        pytest.raises(kind) as caught,
    ):
        relay.fetch(task_id)
    error = caught.value
    assert type(error) is kind
    assert message in str(error)
    assert str(error).startswith(f"{name}: ")
    assert error.exchange is not None
    assert (error.relay, error.task_id, error.exchange.method) == (name, task_id, "GET")
    assert KEY not in str(error) + repr(error) + repr(error.exchange) + str(error.exchange.request_headers)


@pytest.mark.parametrize("fault", ["unknown-enum", "null-field", "progress-150", "seconds-not-ms"])
def test_odd_values_are_no_errors(fault: str) -> None:
    """Unknown statuses, nulls and values out of range do not raise."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY, faults=[fault])
    with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        task = relay.fetch(mock.known[State.SUCCEEDED])
    assert task.state is (State.UNKNOWN if fault == "unknown-enum" else State.SUCCEEDED)
    assert task.progress in {100, None}


@pytest.mark.parametrize("name", relay_names())
def test_missing_and_refused_are_different_errors(name: str) -> None:
    """A missing task and a refused key have different error classes, if the relay refuses keys."""
    with Server(MockRelay(load_contract(name), key=KEY)) as base_url:
        with (
            Relay(name, KEY, base_url=base_url) as relay,
            pytest.raises(MissingTaskError, match="no task 42 "),
        ):
            relay.fetch("42")
        with (
            Relay(name, "wrong", base_url=base_url) as relay,
            pytest.raises(MissingTaskError, match="no task 42 ")
            if load_contract(name).open
            else pytest.raises(UnauthorizedError, match="it was sent as header "),
        ):
            relay.fetch("42")


def test_no_server() -> None:
    """Without a server, fetch raises a `TransportError`."""
    with Server(MockRelay(load_contract("apiai"))) as base_url:
        pass
    with Relay("apiai", KEY, base_url=base_url) as relay, pytest.raises(TransportError):
        relay.fetch("1")


def _endless(first: bytes) -> Callable[..., Any]:
    """An application whose body never ends."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": first, "more_body": True})
        await receive()

    return app


def test_an_endless_body_is_an_error() -> None:
    """A body beyond the limit is not read further."""
    app = _endless(b" " * (LARGEST_BODY // 32))
    with (
        Server(app) as base_url,
        Relay("apiai", KEY, base_url=base_url) as relay,
        pytest.raises(UndecodableError, match="larger than"),
    ):
        relay.fetch("1")


def test_a_stalled_body_times_out() -> None:
    """A response that stalls in the middle runs into the request's timeout."""
    with (
        Server(_endless(b" ")) as base_url,
        Relay("apiai", KEY, base_url=base_url, timeout=0.3) as relay,
        pytest.raises(TransportError, match=r"0\.3 seconds"),
    ):
        relay.fetch("1")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's own variable wins over the general one; what is missing is named."""
    with pytest.raises(SettingError, match="set MJRELAY_ZHONGZHUAN_API_KEY or MJRELAY_API_KEY"):
        Relay("zhongzhuan")
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    with Server(mock) as base_url:
        monkeypatch.setenv("MJRELAY_API_KEY", "another")
        monkeypatch.setenv("MJRELAY_ZHONGZHUAN_API_KEY", KEY)
        monkeypatch.setenv("MJRELAY_BASE_URL", base_url)
        with Relay("zhongzhuan") as relay:
            assert relay.fetch(mock.known[State.SUCCEEDED]).state is State.SUCCEEDED
            assert KEY not in repr(relay)
    monkeypatch.delenv("MJRELAY_BASE_URL")
    with pytest.raises(SettingError, match="names no host"):
        Relay("apiai")


def test_names_forgive_hyphens_and_help_with_typos() -> None:
    """Case and hyphens do not matter in a relay's name, and a typo gets the nearest name."""
    with Relay("Zhong-Zhuan", KEY) as relay:
        assert relay.name == "zhongzhuan"
    with pytest.raises(UnknownRelayError, match="did you mean mjdjourney"):
        Relay("midjourney", KEY)


def test_no_log_holds_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    """At the most talkative level no logger of ours or of the libraries beneath says the key."""
    caplog.set_level(logging.DEBUG)
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        relay.fetch(mock.known[State.SUCCEEDED])
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["sk-with a space", "sk-line\nbreak", "sk-ключ"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    """A malformed key raises before a request is sent, and is not in the message."""
    with pytest.raises(SettingError, match="copy it once more") as caught:
        Relay("zhongzhuan", key)
    assert key not in str(caught.value)


def _answering(body: bytes, **headers: str) -> Callable[..., Any]:
    """An application with one answer to everything."""
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app


def test_what_was_compressed_twice_is_given_up() -> None:
    """A few bytes that would unpack to gigabytes are not unpacked."""
    bomb = gzip.compress(gzip.compress(b" " * 50_000_000))
    app = _answering(bomb, content_encoding="gzip, gzip")
    with (
        Server(app) as base_url,
        Relay("apiai", KEY, base_url=base_url) as relay,
        pytest.raises(TransportError, match="only gzip was requested"),
    ):
        relay.fetch("1")


def test_an_id_that_is_a_secret_is_not_repeated() -> None:
    """Whatever a relay puts in the place of an id, the message shows neither the key nor a megabyte."""
    for wrong in (KEY, "x" * 1_000_000):
        app = _answering(json.dumps({"id": wrong, "status": "SUCCESS"}).encode())
        with (
            Server(app) as base_url,
            Relay("apiai", KEY, base_url=base_url) as relay,
            pytest.raises(WrongTaskError) as caught,
        ):
            relay.fetch("1")
        assert KEY not in str(caught.value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("task_id", ["\ud800", 5, None, ""])
def test_an_id_that_cannot_be_sent_is_a_clear_error(task_id: Any) -> None:
    """What is no text of Unicode is refused before anything is sent."""
    with Relay("zhongzhuan", KEY) as relay, pytest.raises(SettingError, match="as the relay returned it"):
        relay.fetch(task_id)


@TWINS
@pytest.mark.parametrize(
    ("status", "headers", "body", "kind", "message"),
    [
        (
            401,
            {},
            b"",
            UnauthorizedError,
            "Authorization: Bearer …; the contract also allows header mj-api-secret: … (scheme='secret')",
        ),
        (
            403,
            JSON,
            b'{"error": {"message": "no access to model"}}',
            ForbiddenError,
            "(no access to model); check what the key is limited to",
        ),
        (404, {}, b"", MissingTaskError, "there is no task 1 (returned 404)"),
        (204, {}, b"", MissingTaskError, "there is no task 1"),
        (200, {}, b" \n", EmptyAnswerError, "there is no task 1 (the response body is empty)"),
        (200, JSON, b"null", EmptyAnswerError, "there is no task 1 (the response body is empty)"),
        (404, {"content-type": "text/html"}, b"<html>", AnswerError, "check the base URL"),
        (200, {"content-type": "text/html"}, b"<html>", WebPageError, "check the base URL"),
        (429, {}, b"", RateLimitedError, "too many requests"),
        (502, {"content-type": "text/html"}, b"<html>", UnavailableError, "try again later"),
        (524, {}, b"", UnavailableError, "returned 524; try again later"),
        (418, {}, b"", AnswerError, "returned 418; check the base URL"),
        (201, JSON, b"{}", AnswerError, "returned 201; check the base URL"),
        (
            200,
            JSON,
            b'{"code": 23, "description": "queue full"}',
            EnvelopeError,
            "a 200 without a task (23: queue full)",
        ),
        (200, JSON, b'{"id": "1', UndecodableError, "the response is not JSON"),
        (200, JSON, b"[]", EnvelopeError, "a 200 without a task"),
        (
            200,
            JSON,
            b'{"id": "2", "status": "SUCCESS"}',
            WrongTaskError,
            "but the response holds '2'",
        ),
        (
            307,
            {"location": "https://elsewhere.example/mj"},
            b"",
            AnswerError,
            "to https://elsewhere.example/mj; redirects are not followed",
        ),
    ],
)
def test_every_status_has_its_error(
    twin: Twin, *, status: int, headers: dict[str, str], body: bytes, kind: type[RelayError], message: str
) -> None:
    """What came is one class of error, which carries it and says what to do next."""
    with (
        Server(app((status, body, headers))) as base_url,
        twin("zhongzhuan", KEY, base_url=base_url) as relay,
        pytest.raises(RelayError) as caught,
    ):
        relay.fetch("1")
    error = caught.value
    assert type(error) is kind
    assert message in str(error)
    assert error.exchange is not None
    assert (error.exchange.status, error.exchange.body) == (status, body if status != 204 else b"")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("a date", 100.0), ("soon", None), ("-5", None)],
)
def test_retry_after_is_read(value: str, seconds: float | None) -> None:
    """Seconds and dates are understood, and everything else is as if it were not there."""
    if value == "a date":
        value = formatdate(time.time() + 100, usegmt=True)
    with (
        Server(app((429, b"", {"retry-after": value}))) as base_url,
        Relay("zhongzhuan", KEY, base_url=base_url) as relay,
        pytest.raises(RateLimitedError) as caught,
    ):
        relay.fetch("1")
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=5))


@TWINS
def test_the_other_way_to_authenticate_can_be_chosen(twin: Twin) -> None:
    """A relay that reads only the contract's second header is reached by naming the scheme."""
    seen: list[Any] = []
    with Server(app((200, document("succeeded"), JSON), seen=seen)) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url, scheme="secret") as relay:
            relay.fetch("1")
    headers = dict(seen[0]["headers"])
    assert headers[b"mj-api-secret"] == KEY.encode()
    assert b"authorization" not in headers
    with pytest.raises(SettingError, match="has 'bearer', 'secret'"):
        Relay("zhongzhuan", KEY, scheme="basic")


@TWINS
@pytest.mark.parametrize(
    ("name", "given", "path"),
    [
        ("zhongzhuan", "", "/mj/task/1/fetch"),
        ("zhongzhuan", "/", "/mj/task/1/fetch"),
        ("zhongzhuan", "/mj-fast", "/mj-fast/mj/task/1/fetch"),
        ("zhongzhuan", "/mj-fast/mj/", "/mj-fast/mj/task/1/fetch"),
        ("zhongzhuan", "/mj", "/mj/task/1/fetch"),
        ("mjdjourney", "/api", "/api/mj/task/1/fetch"),
        ("mjdjourney", "/api/mj", "/api/mj/task/1/fetch"),
    ],
)
def test_a_base_url_may_hold_a_path(twin: Twin, name: str, given: str, path: str) -> None:
    """Prefixes are kept, slashes at the end forgiven, and what the contract's path repeats stands once."""
    seen: list[Any] = []
    with (
        Server(app((404, b"", {}), seen=seen)) as base_url,
        twin(name, KEY, base_url=base_url + given) as relay,
        pytest.raises(MissingTaskError),
    ):
        relay.fetch("1")
    assert seen[0]["path"] == path


@TWINS
def test_custom_headers_are_sent_and_redacted(twin: Twin) -> None:
    """Custom header fields and the product's name are sent; the values are in no exchange."""
    seen: list[Any] = []
    with (
        Server(app((200, document("succeeded"), JSON), seen=seen)) as base_url,
        twin("zhongzhuan", KEY, base_url=base_url, headers={"X-Team": "nine"}, user_agent="app/3") as relay,
    ):
        exchange = relay.fetch("1").exchange
    headers = dict(seen[0]["headers"])
    assert headers[b"x-team"] == b"nine"
    assert headers[b"user-agent"].decode() == f"mjrelay/{__version__} app/3"
    assert exchange is not None
    shown = dict(exchange.request_headers)
    assert shown["X-Team"] == shown["Authorization"].removeprefix("Bearer ") == "[redacted]"
    assert shown["User-Agent"] == f"mjrelay/{__version__} app/3"


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Team": "a\r\nX-Evil: 1"}},
        {"headers": {"X Team": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"a:b": "c"}},
        {"headers": {"X-Team": " a"}},
        {"headers": {"Authorization": "mine"}},
        {"headers": {"user-agent": "mine"}},
        {"timeout": None},
        {"timeout": 1e10},
        {"user_agent": "ä"},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"connections": 0},
        {"retries": -1},
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    """An invalid option raises before a request is sent."""
    with pytest.raises(SettingError):
        Relay("zhongzhuan", KEY, **options)


def test_options_are_changed_on_the_same_connections() -> None:
    """A relay with other options shares the connections, and closing it leaves them to the first."""
    ports: list[int] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        ports.append(scope["client"][1])
        await app((200, document("succeeded"), JSON))(scope, receive, send)

    with Server(application) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        relay.fetch("1")
        with relay.with_options(timeout=5, user_agent="other/1") as other:
            other.fetch("1")
        relay.fetch("1")
        with relay.with_options(base_url=base_url + "/mj-fast/") as elsewhere:
            assert elsewhere.base_url == base_url + "/mj-fast"
            elsewhere.fetch("1")
        with pytest.raises(SettingError, match="name is not an option"):
            relay.with_options(name="apiai")  # type: ignore[call-arg]
    assert ports[0] == ports[1] == ports[2] != ports[3]


def test_an_injected_client_is_used_and_left_open() -> None:
    """An injected httpx client sends the requests with its own settings, and is not closed."""
    seen: list[Any] = []
    with Server(app((200, document("succeeded"), JSON), seen=seen)) as base_url:
        with httpx.Client(headers={"X-Mine": "yes"}) as client:
            with Relay("zhongzhuan", KEY, base_url=base_url, client=client) as relay:
                assert relay.fetch("1").state is State.SUCCEEDED
            assert not client.is_closed
    assert dict(seen[0]["headers"])[b"x-mine"] == b"yes"
    with pytest.raises(SettingError, match="leave out fast, proxy and verify"):
        Relay("zhongzhuan", KEY, client=httpx.Client(), fast=True)


def test_plain_http_is_a_warning_once() -> None:
    """Plain HTTP to another machine warns once per host; loopback and HTTPS do not."""
    with pytest.warns(PlainHTTPWarning, match="unencrypted") as caught:
        Relay("zhongzhuan", KEY, base_url="http://plain.example").close()
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Relay("zhongzhuan", KEY, base_url="http://plain.example").close()
        Relay("zhongzhuan", KEY, base_url="https://plain.example").close()
        Relay("zhongzhuan", KEY, base_url="http://127.0.0.1:9").close()


@TWINS
def test_wait_returns_the_ended_task(twin: Twin) -> None:
    """In real time, a task of the mock runs from queued to its end, and each change is reported."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    task_id = mock.submit(1.5)
    told: list[Task] = []
    with Server(mock) as base_url, twin("zhongzhuan", KEY, base_url=base_url) as relay:
        task = relay.wait(task_id, timeout=60, on_progress=told.append)
        assert relay.watch(task_id) == [task]
    assert (task.id, task.state, told[-1]) == (task_id, State.SUCCEEDED, task)
    assert told[0].state is not State.SUCCEEDED


@TWINS
def test_a_timeout_has_the_last_snapshot(twin: Twin) -> None:
    """The error has the id, the last snapshot, and how to resume."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    task_id = mock.submit(100)
    with Server(mock) as base_url, twin("zhongzhuan", KEY, base_url=base_url) as relay:
        with pytest.raises(WaitTimeoutError, match=f"wait\\('{task_id}'\\)") as caught:
            relay.wait(task_id, timeout=0.5)
    assert caught.value.task is not None
    assert caught.value.task.state is State.QUEUED


@TWINS
@pytest.mark.parametrize("name", ["apiai", "zhongzhuan"])
def test_tasks_are_yielded_as_they_end(twin: Twin, name: str) -> None:
    """Each id once, single or in batches; errors go to on_error, or are raised at the end."""
    mock = MockRelay(load_contract(name), key=KEY)
    slow, quick = mock.submit(2.5), mock.submit(0.1)
    ids = [slow, mock.known[State.FAILED], quick, "40", slow]
    lost: list[RelayError] = []
    with Server(mock) as base_url, twin(name, KEY, base_url=base_url) as relay:
        states = {task.id: task.state for task in relay.fetch_all(ids, on_error=lost.append)}
        assert states[mock.known[State.FAILED]] is State.FAILED
        assert states.keys() == {*ids} - {"40"}
        assert [(type(error), error.task_id) for error in lost] == [(MissingTaskError, "40")]
        had = relay.wait_all(ids[:3], timeout=60)
        assert sorted(task.id for task in had) == sorted(ids[:3])
        with pytest.raises(
            SomeTasksError, match="1 task could not be fetched \\(1 MissingTaskError\\)"
        ) as caught:
            relay.fetch_all(["40", quick])
    assert [error.task_id for error in caught.value.errors] == ["40"]


@pytest.mark.parametrize(
    "answer",
    [
        b"[]",
        b'{"code": 24, "description": "banned"}',
        b'["x", null, 5]',
        b'{"data": [{"id": "1"}]}',
        b"null",
        b"<html>",
    ],
)
def test_an_odd_response_to_a_batch_loses_no_task(answer: bytes) -> None:
    """Tasks that are missing in the response to a batch are fetched alone."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = answer if scope["method"] == "POST" else document("succeeded", scope["path"].split("/")[-2])
        await app((200, body, JSON))(scope, receive, send)

    with Server(application) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        assert {task.id for task in relay.fetch_all(["1", "2", "3"])} == {"1", "2", "3"}


def test_the_batch_endpoint_of_the_contract_is_used() -> None:
    """Ten tasks are one request to the batch endpoint, under the path of the base URL."""
    mock, seen = MockRelay(load_contract("zhongzhuan"), key=KEY), []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["method"], scope["path"]))
        await mock({**scope, "path": scope["path"].removeprefix("/mj-fast"), "raw_path": None}, receive, send)

    ids = [mock.submit(0, outcome=State.SUCCEEDED) for _ in range(10)]
    with Server(application) as base_url, Relay("zhongzhuan", KEY, base_url=base_url + "/mj-fast") as relay:
        assert {task.id for task in relay.fetch_all(ids)} == set(ids)
    assert seen == [("POST", "/mj-fast/mj/task/list-by-condition")]


@pytest.mark.parametrize(
    "limits", [{"timeout": None}, {"timeout": 1e300}, {"concurrency": 0}, {"concurrency": 0.5}, {"rate": 0}]
)
def test_invalid_limits_are_refused(limits: dict[str, Any]) -> None:
    """Invalid limits raise before a request is sent."""
    with Relay("zhongzhuan", KEY) as relay, pytest.raises(SettingError):
        relay.wait_all(["1"], **limits)


@pytest.mark.parametrize("ids", ["12", [""], [5], ["\ud800"]])
def test_invalid_ids_are_refused(ids: Any) -> None:
    """A string instead of a list, an empty id, or a number raises before a request is sent."""
    with Relay("zhongzhuan", KEY) as relay, pytest.raises(SettingError):
        relay.wait_all(ids)


@TWINS
def test_a_callback_is_read_as_a_response_is(twin: Twin) -> None:
    """A callback's body is parsed into the same task; anything else is an `AnswerError`."""
    with twin("zhongzhuan", KEY) as relay:
        task = relay.client.read(document("succeeded"))
        assert (task.state, task.exchange, task.progress) == (State.SUCCEEDED, None, 100)
        with pytest.raises(UndecodableError, match="pass it as received"):
            relay.client.read(b"<html>")
        with pytest.raises(EnvelopeError, match="holds no task"):
            relay.client.read(b"[]")


@TWINS
def test_media_are_downloaded_without_the_key(twin: Twin, tmp_path: Any) -> None:
    """Images are downloaded from the relay's own host without the key; a failed one is an error."""
    seen: list[Any] = []
    picture = b"\x89PNG and so on"
    with Server(app((200, picture, {"content-type": "image/png"}), seen=seen)) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url) as relay:
            task = relay.client.read(document("succeeded", imageUrl=f"{base_url}/a.png"))
            (path,) = relay.download(task, tmp_path / "out")
            assert re.fullmatch(r"1@zhongzhuan-[0-9a-f]{8}-1\.png", path.name)
            assert path.read_bytes() == picture
            with pytest.raises(DownloadError, match="no media to download; wait until"):
                relay.download(relay.client.read(document("queued")), tmp_path)
            with pytest.raises(DownloadError, match="previews with previews=True"):
                relay.download(relay.client.read(document("running")), tmp_path)
            with pytest.raises(DownloadError, match="no further media will appear"):
                relay.download(relay.client.read(document("failed")), tmp_path, previews=True)
            away = relay.client.read(document("succeeded", imageUrl="http://127.0.0.1:3000/b.png"))
            with pytest.raises(DownloadError, match=r"127\.0\.0\.1") as caught:
                relay.download(away, tmp_path)
    assert caught.value.task == away
    assert all(name not in {b"authorization", b"mj-api-secret"} for name, _ in seen[0]["headers"])


def test_errors_can_be_pickled() -> None:
    """Pickling and copying keep an error's attributes."""
    with Server(app((429, document("running"), {"retry-after": "7"}))) as base_url:
        with Relay("zhongzhuan", KEY, base_url=base_url) as relay, pytest.raises(RelayError) as caught:
            relay.fetch("1")
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):  # noqa: S301 - our own
        assert type(again) is RateLimitedError
        assert (str(again), again.retry_after, again.exchange) == (
            str(caught.value),
            7.0,
            caught.value.exchange,
        )


@TWINS
def test_no_traceback_shows_the_key(twin: Twin) -> None:
    """Even with the local variables of every frame printed, a failed fetch does not show the key."""
    with Server(app((500, KEY.encode(), {"x-echo": KEY}))) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url) as relay, pytest.raises(RelayError) as caught:
            relay.fetch("1")
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in frames.stack if "mjrelay" in frame.filename]
    assert ours
    assert all(KEY not in str(frame.locals) for frame in ours)


FIELDS = st.dictionaries(
    st.sampled_from(["content-type", "retry-after", "location", "content-encoding", "x"]),
    st.text(max_size=20),
)


@given(
    st.integers(100, 599),
    FIELDS,
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(
                    st.sampled_from(
                        ["id", "status", "progress", "imageUrl", "buttons", "submitTime", "code"]
                    ),
                    inner,
                ),
            ),
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.sampled_from(relay_names()),
)
def test_any_response_is_a_task_or_a_relay_error(
    status: int, headers: dict[str, str], body: bytes, name: str
) -> None:
    """Any status, headers and bytes are the requested task or a `RelayError`."""
    answers = ResponseReader(load_contract(name), Redactor(KEY), load_contract(name).credentials[0])
    exchange = Exchange(
        "GET", "https://relay.example", status=status, headers=tuple(headers.items()), body=body
    )
    for read in (
        lambda: [answers.task(exchange, "1")],
        lambda: [one for one in answers.tasks(exchange, ["1", "2"]).values() if isinstance(one, Task)],
        lambda: [answers.read(body)],
    ):
        try:
            tasks = read()
        except RelayError:
            continue
        for task in tasks:
            json.dumps(task.to_dict())
            assert isinstance(task.state, State)


@TWINS
def test_the_log_at_its_most_talkative_shows_no_echoed_key(
    twin: Twin, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay that sends the key back in a header and in the body finds it in no log."""
    caplog.set_level(logging.DEBUG)
    with Server(app((200, document("succeeded", prompt=KEY), {**JSON, "x-echo": KEY}))) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url) as relay:
            relay.fetch("1")
    assert caplog.records
    assert KEY not in caplog.text
