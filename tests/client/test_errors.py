"""Every response without the task is one error, over real sockets, sync and async."""

from __future__ import annotations

import copy
import gzip
import json
import logging
import pickle
import time
import traceback
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.mock.faults import FAULTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from sampled import SEVERAL
from served import HTML, JSON, KEY, app, document
from twins import TWINS, Sync

from mjrelay import (
    AnswerError,
    EmptyAnswerError,
    EnvelopeError,
    Exchange,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    Relay,
    RelayError,
    State,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    WebPageError,
    WrongTaskError,
)
from mjrelay.client.responses import ResponseReader
from mjrelay.contract import Contract, load_contract, relay_names
from mjrelay.http import Redactor
from mjrelay.testing import NoWaitClock
from mjrelay.transport import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from twins import Twin


FAULTY: list[tuple[str, type[RelayError], str]] = [
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
]


@TWINS
def test_each_fault_is_one_error(twin: Twin) -> None:
    """Each fault is one error class, with relay, task and exchange, and without the key."""
    for name in SEVERAL if twin is Sync else ["zhongzhuan"]:
        for fault, kind, message in FAULTY:
            if not FAULTS[fault].applies(load_contract(name)):
                continue
            mock = MockRelay(load_contract(name), key=KEY, faults=[fault])
            task_id = mock.known[State.SUCCEEDED]
            with Server(mock) as base_url, twin(name, KEY, base_url=base_url) as relay:
                with pytest.raises(kind) as caught:
                    relay.fetch(task_id)
            error = caught.value
            assert type(error) is kind
            assert message in str(error)
            assert str(error).startswith(f"{name}: ")
            assert error.exchange is not None
            assert (error.relay, error.task_id, error.exchange.method) == (name, task_id, "GET")
            shown = str(error) + repr(error) + repr(error.exchange) + str(error.exchange.request_headers)
            assert KEY not in shown


def test_odd_values_are_no_errors() -> None:
    """Unknown statuses, nulls and values out of range do not raise."""
    for fault in ("unknown-enum", "null-field", "byte-order-mark", "progress-150", "seconds-not-ms"):
        mock = MockRelay(load_contract("zhongzhuan"), key=KEY, faults=[fault])
        with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
            task = relay.fetch(mock.known[State.SUCCEEDED])
        assert task.state is (State.UNKNOWN if fault == "unknown-enum" else State.SUCCEEDED)
        assert task.progress in {100, None}


def test_missing_and_refused_are_different_errors() -> None:
    """A missing task and a refused key have different error classes, if the relay refuses keys."""
    for name in relay_names():
        with Server(MockRelay(load_contract(name), key=KEY)) as base_url:
            for key in (KEY, "wrong"):
                accepted = key == KEY or not load_contract(name).credentials
                kind = MissingTaskError if accepted else UnauthorizedError
                message = "no task 42 " if accepted else "it was sent as (header|query|cookie) "
                with Relay(name, key, base_url=base_url) as relay, pytest.raises(kind, match=message):
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
    with (
        Server(_endless(b" " * (LARGEST_BODY // 32))) as base_url,
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


def test_a_body_that_is_compressed_twice_is_not_decompressed() -> None:
    """A few bytes that would decompress to gigabytes are an error."""
    bomb = gzip.compress(gzip.compress(b" " * 50_000_000))
    with (
        Server(app((200, bomb, {"content-encoding": "gzip, gzip"}))) as base_url,
        Relay("apiai", KEY, base_url=base_url) as relay,
        pytest.raises(TransportError, match="only gzip was requested"),
    ):
        relay.fetch("1")


def test_a_wrong_id_is_quoted_safely() -> None:
    """Whatever a relay returns as an id, the message shows neither the key nor a megabyte."""
    for wrong in (KEY, "x" * 1_000_000):
        body = json.dumps({"id": wrong, "status": "SUCCESS"}).encode()
        with (
            Server(app((200, body, {}))) as base_url,
            Relay("apiai", KEY, base_url=base_url) as relay,
            pytest.raises(WrongTaskError) as caught,
        ):
            relay.fetch("1")
        assert KEY not in str(caught.value)
        assert len(str(caught.value)) < 400


NGINX = b"<html><h1>401 Authorization Required</h1><hr>nginx</html>"

CHALLENGE = b"<!DOCTYPE html><title>Just a moment...</title>"

OTHER_SCHEME = "Authorization: Bearer …; the contract also allows header mj-api-secret: … (scheme='secret')"

NO_MODEL = b'{"error": {"message": "no access to model"}}'

ERRORS: list[tuple[int, dict[str, str], bytes, type[RelayError], str]] = [
    (401, {}, b"", UnauthorizedError, OTHER_SCHEME),
    (401, HTML, b'{"error": {"message": "bad key"}}', UnauthorizedError, "the key was refused"),
    (401, HTML, NGINX, WebPageError, "returned 401 with a web page: something in front of the relay"),
    (403, HTML, NGINX, WebPageError, "returned 403 with a web page: something in front of the relay"),
    (403, HTML, CHALLENGE, WebPageError, "returned 403 with a browser challenge: something in front"),
    (403, JSON, NO_MODEL, ForbiddenError, "(no access to model); check what the key is limited to"),
    (404, {}, b"", MissingTaskError, "there is no task 1 (returned 404)"),
    (204, {}, b"", MissingTaskError, "there is no task 1"),
    (200, {}, b" \n", EmptyAnswerError, "there is no task 1 (the response body is empty)"),
    (200, JSON, b"null", EmptyAnswerError, "there is no task 1 (the response body is empty)"),
    (404, HTML, b"<html>", WebPageError, "returned 404 with a web page; check the base URL"),
    (200, HTML, b"<html>", WebPageError, "check the base URL"),
    (429, {}, b"", RateLimitedError, "too many requests"),
    (429, HTML, CHALLENGE, RateLimitedError, "too many requests"),
    (502, HTML, b"<html>", UnavailableError, "try again later"),
    (503, HTML, CHALLENGE, UnavailableError, "try again later"),
    (524, {}, b"", UnavailableError, "returned 524; try again later"),
    (418, {}, b"", AnswerError, "returned 418; check the base URL"),
    (201, JSON, b"{}", AnswerError, "returned 201; check the base URL"),
    (200, JSON, b'{"code": 23, "description": "full"}', EnvelopeError, "a 200 without a task (23: full)"),
    (200, JSON, b'{"id": "1', UndecodableError, "the response is not JSON"),
    (200, JSON, b"[]", EnvelopeError, "a 200 without a task"),
    (200, JSON, b'{"id": "2", "status": "SUCCESS"}', WrongTaskError, "but the response holds '2'"),
    (
        307,
        {"location": "https://b.example/mj"},
        b"",
        AnswerError,
        "to https://b.example/mj; redirects are not",
    ),
]


@TWINS
def test_every_response_has_its_error(twin: Twin) -> None:
    """Each response without the task is one error, which has the response and the next step."""
    with (
        Server(app(*((status, body, headers) for status, headers, body, *_ in ERRORS))) as base_url,
        twin("zhongzhuan", KEY, base_url=base_url) as relay,
    ):
        for status, _, body, kind, message in ERRORS:
            with pytest.raises(RelayError) as caught:
                relay.fetch("1")
            error = caught.value
            assert type(error) is kind, (status, body)
            assert message in str(error)
            assert error.exchange is not None
            assert (error.exchange.status, error.exchange.body) == (status, body if status != 204 else b"")


@TWINS
def test_a_page_in_front_of_the_relay_is_no_refused_key(twin: Twin) -> None:
    """A wait retries a challenge until the task comes, and ends with a login page, not with the key."""
    challenge = (403, CHALLENGE, {**HTML, "cf-mitigated": "challenge"})
    with Server(app(challenge, (200, document("succeeded"), JSON))) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url, clock=NoWaitClock()) as relay:
            assert relay.wait("1").state is State.SUCCEEDED
    seen: list[Any] = []
    with Server(app((401, NGINX, HTML), seen=seen)) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url) as relay, pytest.raises(WebPageError) as caught:
            relay.wait("1")
    assert (caught.value.transient, len(seen)) == (False, 1)
    assert "key" not in str(caught.value)


def test_a_documented_web_page_is_the_relays_own() -> None:
    """If the contract documents HTML for a status, that status counts; for an unknown path it does not."""
    contract = load_contract("zhongzhuan")
    changed = copy.deepcopy(contract.document)
    fetch = Contract("made", changed, contract.source).operation
    fetch["responses"]["401"] = {"description": "Refused.", "content": {"text/html": {}}}
    reader = ResponseReader(Contract("made", changed, contract.source), Redactor(KEY), None)
    page = Exchange("GET", "https://relay.example", status=401, headers=tuple(HTML.items()), body=NGINX)
    with pytest.raises(UnauthorizedError):
        reader.task(page, "1")
    elsewhere = evolve(page, status=404)
    with pytest.raises(WebPageError, match="check the base URL"):
        ResponseReader(load_contract("mjproxy"), Redactor(KEY), None).task(elsewhere, "1")


def test_retry_after_is_read() -> None:
    """Retry-After is seconds or a date; anything else is ignored."""
    date = formatdate(time.time() + 100, usegmt=True)
    values = {"7": 7.0, date: pytest.approx(100, abs=30), "soon": None, "-5": None}
    with (
        Server(app(*((429, b"", {"retry-after": value}) for value in values))) as base_url,
        Relay("zhongzhuan", KEY, base_url=base_url) as relay,
    ):
        for seconds in values.values():
            with pytest.raises(RateLimitedError) as caught:
                relay.fetch("1")
            assert caught.value.retry_after == seconds


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
    reads: tuple[Callable[[], list[Task]], ...] = (
        lambda: [answers.task(exchange, "1")],
        lambda: [one for one in answers.tasks(exchange, ["1", "2"]).values() if isinstance(one, Task)],
        lambda: [answers.read(body)],
    )
    for read in reads:
        try:
            tasks = read()
        except RelayError:
            continue
        for task in tasks:
            json.dumps(task.to_dict())
            assert isinstance(task.state, State)


@TWINS
def test_no_log_shows_the_key(twin: Twin, caplog: pytest.LogCaptureFixture) -> None:
    """At level DEBUG, no log of mjrelay or an HTTP library has the key, even if the relay echoes it."""
    caplog.set_level(logging.DEBUG)
    with Server(app((200, document("succeeded", prompt=KEY), {**JSON, "x-echo": KEY}))) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url) as relay:
            relay.fetch("1")
    assert caplog.records
    assert KEY not in caplog.text
