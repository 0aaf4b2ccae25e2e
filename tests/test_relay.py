"""The face over real sockets: a task from any relay, or the error that says why not."""

from __future__ import annotations

import gzip
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_conformance.mock import MockRelay, Server

from mjrelay import (
    AnswerError,
    MissingTaskError,
    Relay,
    RelayError,
    SettingError,
    State,
    TransportError,
    UnauthorizedError,
    UnknownRelayError,
    WrongTaskError,
)
from mjrelay._contract import contract, relays
from mjrelay._wire import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "sk-never-to-be-seen-4711"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on the machine at hand does not reach the tests."""
    for name in ("MJRELAY_API_KEY", "MJRELAY_BASE_URL", "MJRELAY_ZHONGZHUAN_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", relays())
def test_every_state_of_every_relay_is_read(name: str) -> None:
    """A task in each state that the mock knows comes back in that state, with its id and its document."""
    mock = MockRelay(contract(name), key=KEY)
    with Server(mock) as base_url, Relay(name, KEY, base_url=base_url) as relay:
        assert relay.name == name
        for state, task_id in mock.known.items():
            task = relay.fetch(task_id)
            assert (task.state, task.id) == (state, task_id)
            assert task.document == contract(name).examples[state.value]
            assert bool(task.images or task.videos) == (state is State.SUCCEEDED)
            assert task.to_dict()["state"] == state.value


def test_a_task_is_typed() -> None:
    """The page's own task: percent, times as aware datetimes, images, buttons; previews while it runs."""
    mock = MockRelay(contract("zhongzhuan"), key=KEY)
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


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("html-200", AnswerError, "this looks like a web page: is the base URL right?"),
        ("html-labelled-json", AnswerError, "this looks like a web page"),
        ("empty-200", AnswerError, "no JSON came: the body is empty"),
        ("truncated-json", AnswerError, "no JSON came"),
        ("error-envelope-200", AnswerError, "a 200 without a task"),
        ("body-is-array", AnswerError, "a 200 without a task"),
        ("status-500", AnswerError, "answered 500"),
        ("redirect-to-other-host", AnswerError, "answered 302; check the base URL"),
        ("wrong-id", WrongTaskError, "but got"),
        ("connection-reset", TransportError, ""),
    ],
)
@pytest.mark.parametrize("name", relays())
def test_what_is_no_task_is_a_clear_error(
    name: str, fault: str, kind: type[RelayError], message: str
) -> None:
    """Each way of not getting the task is one class, with relay, task and exchange, and no secret."""
    mock = MockRelay(contract(name), key=KEY, faults=[fault])
    task_id = mock.known[State.SUCCEEDED]
    with (
        Server(mock) as base_url,
        Relay(name, KEY, base_url=base_url) as relay,
        pytest.raises(kind) as caught,
    ):
        relay.fetch(task_id)
    error = caught.value
    assert type(error) is kind
    assert message in str(error)
    assert str(error).startswith(f"{name}: ")
    assert (error.relay, error.task_id, error.exchange.method) == (name, task_id, "GET")
    assert KEY not in str(error) + repr(error) + repr(error.exchange) + str(error.exchange.request_headers)


@pytest.mark.parametrize("fault", ["unknown-enum", "null-field", "progress-150", "seconds-not-ms"])
def test_what_is_odd_but_a_task_is_a_task(fault: str) -> None:
    """Unknown words, nulls and values out of range are no errors of fetching."""
    mock = MockRelay(contract("zhongzhuan"), key=KEY, faults=[fault])
    with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        task = relay.fetch(mock.known[State.SUCCEEDED])
    assert task.state is (State.UNKNOWN if fault == "unknown-enum" else State.SUCCEEDED)
    assert task.progress in {100, None}


@pytest.mark.parametrize("name", relays())
def test_missing_and_refused_are_told_apart(name: str) -> None:
    """A task that is not there and a key that is refused are errors of their own."""
    with Server(MockRelay(contract(name), key=KEY)) as base_url:
        with (
            Relay(name, KEY, base_url=base_url) as relay,
            pytest.raises(MissingTaskError, match="no task 42;"),
        ):
            relay.fetch("42")
        with (
            Relay(name, "wrong", base_url=base_url) as relay,
            pytest.raises(UnauthorizedError, match="refused"),
        ):
            relay.fetch("42")


def test_nothing_listens() -> None:
    """A relay that is not there is an error of transport."""
    with Server(MockRelay(contract("apiai"))) as base_url:
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


def test_a_body_without_end_is_given_up() -> None:
    """A relay that sends more than any task needs is cut off."""
    app = _endless(b" " * (LARGEST_BODY // 32))
    with (
        Server(app) as base_url,
        Relay("apiai", KEY, base_url=base_url) as relay,
        pytest.raises(TransportError, match="larger than"),
    ):
        relay.fetch("1")


def test_a_body_that_trickles_is_given_up() -> None:
    """A relay that stalls in the middle of its answer runs into the request's timeout."""
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
    mock = MockRelay(contract("zhongzhuan"), key=KEY)
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
    mock = MockRelay(contract("zhongzhuan"), key=KEY)
    with Server(mock) as base_url, Relay("zhongzhuan", KEY, base_url=base_url) as relay:
        relay.fetch(mock.known[State.SUCCEEDED])
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize("key", ["sk-with a space", "sk-line\nbreak", "sk-ключ"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    """A key that was copied with more than itself is told so before anything is sent, and not repeated."""
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
        pytest.raises(TransportError, match="compressed more than once"),
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


@pytest.mark.parametrize("task_id", ["\ud800", 5, None])
def test_an_id_that_cannot_be_sent_is_a_clear_error(task_id: Any) -> None:
    """What is no text of Unicode is refused before anything is sent."""
    with Relay("zhongzhuan", KEY) as relay, pytest.raises(SettingError, match="as the relay returned it"):
        relay.fetch(task_id)


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        ("status-500", "; try again later"),
        ("status-418", "; check the base URL"),
        ("redirect-to-other-host", "; check the base URL"),
    ],
)
def test_an_unexpected_status_says_what_to_do(fault: str, hint: str) -> None:
    """A status that the contract does not explain ends the message with the next step."""
    mock = MockRelay(contract("zhongzhuan"), key=KEY, faults=[fault])
    with (
        Server(mock) as base_url,
        Relay("zhongzhuan", KEY, base_url=base_url) as relay,
        pytest.raises(AnswerError) as caught,
    ):
        relay.fetch(mock.known[State.SUCCEEDED])
    assert str(caught.value).endswith(hint)
