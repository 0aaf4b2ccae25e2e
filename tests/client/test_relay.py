"""The clients over real sockets, sync and async: a task of any relay, or an error."""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from mocks import served_example
from sampled import SEVERAL
from served import JSON, KEY, app, document
from twins import TWINS, Sync, runner

from mjrelay import (
    AsyncRelay,
    DownloadError,
    MissingTaskError,
    PlainHTTPWarning,
    Relay,
    RelayError,
    SettingError,
    SomeTasksError,
    State,
    Task,
    WaitTimeoutError,
    __version__,
)
from mjrelay.contract import load_contract, relay_names
from mjrelay.testing import NoWaitClock

if TYPE_CHECKING:
    from twins import Twin


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
    """Percent, times as aware datetimes, images, buttons and failure; previews while the task runs."""
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


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's own variable wins over the general one; a missing setting is named."""
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


class BrokenClock(NoWaitClock):
    """A clock that raises an exception once, after a response."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.due = error, False

    def break_once(self, *_: object) -> None:
        self.due = True

    def now(self) -> float:
        if self.due:
            self.due = False
            raise self.error
        return super().now()


@TWINS
def test_an_exception_of_the_callers_code_ends_the_wait(twin: Twin) -> None:
    """An exception reaches the caller, even if the loops use its class themselves."""
    with Server(app((200, document("succeeded"), JSON))) as base_url:
        for error in (TimeoutError("foreign"), Empty("foreign")):
            clock = BrokenClock(error)
            options = {"base_url": base_url, "clock": clock, "on_exchange": clock.break_once}
            with twin("zhongzhuan", KEY, **options) as relay, pytest.raises(type(error), match="foreign"):
                relay.wait("1", timeout=60)


@TWINS
def test_the_security_scheme_can_be_chosen(twin: Twin) -> None:
    """With ``scheme``, the key is sent in the contract's second header only."""
    seen: list[Any] = []
    with Server(app((200, document("succeeded"), JSON), seen=seen)) as base_url:
        with twin("zhongzhuan", KEY, base_url=base_url, scheme="secret") as relay:
            relay.fetch("1")
    headers = dict(seen[0]["headers"])
    assert headers[b"mj-api-secret"] == KEY.encode()
    assert b"authorization" not in headers
    with pytest.raises(SettingError, match="has 'bearer', 'secret'"):
        Relay("zhongzhuan", KEY, scheme="basic")


def test_a_base_url_may_hold_a_path() -> None:
    """Prefixes are kept, trailing slashes ignored, and what the contract's path repeats is sent once."""
    seen: list[Any] = []
    paths = [
        ("zhongzhuan", "", "/mj/task/1/fetch"),
        ("zhongzhuan", "/", "/mj/task/1/fetch"),
        ("zhongzhuan", "/mj-fast", "/mj-fast/mj/task/1/fetch"),
        ("zhongzhuan", "/mj-fast/mj/", "/mj-fast/mj/task/1/fetch"),
        ("zhongzhuan", "/mj", "/mj/task/1/fetch"),
        ("mjdjourney", "/api", "/api/mj/task/1/fetch"),
        ("mjdjourney", "/api/mj", "/api/mj/task/1/fetch"),
    ]
    with Server(app((404, b"", {}), seen=seen)) as base_url:
        for name, given, _ in paths:
            with Relay(name, KEY, base_url=base_url + given) as relay, pytest.raises(MissingTaskError):
                relay.fetch("1")
    assert [scope["path"] for scope in seen] == [path for *_, path in paths]


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


def descriptors() -> int:
    """The number of open files and sockets of this process."""
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="counts open files")
@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_an_unclosed_async_relay_is_a_warning(uvloop: bool) -> None:
    """A relay that is collected with an open connection warns, and its socket is closed; others do not."""
    task_id = load_contract("zhongzhuan").examples["succeeded"]["id"]

    async def main(base_url: str) -> None:
        closed = AsyncRelay("zhongzhuan", KEY, base_url=base_url)
        shared = closed.with_options(timeout=9)
        await shared.fetch(task_id)
        await closed.aclose()
        unused = AsyncRelay("zhongzhuan", KEY, base_url=base_url)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del closed, shared, unused
            gc.collect()
            assert not caught
            left = AsyncRelay("zhongzhuan", KEY, base_url=base_url)
            await left.fetch(task_id)
            files = descriptors()
            del left
            gc.collect()
            (warning,) = caught
        assert warning.category is ResourceWarning
        assert f"an AsyncRelay of {base_url} was not closed" in str(warning.message)
        await asyncio.sleep(0.01)
        assert descriptors() < files

    with Server(MockRelay(load_contract("zhongzhuan"), key=KEY)) as base_url, runner(uvloop=uvloop) as loop:
        loop.run(main(base_url))


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
    snapshots: list[Task] = []
    with Server(mock) as base_url, twin("zhongzhuan", KEY, base_url=base_url) as relay:
        task = relay.wait(task_id, timeout=60, on_progress=snapshots.append)
        assert relay.watch(task_id) == [task]
    assert (task.id, task.state, snapshots[-1]) == (task_id, State.SUCCEEDED, task)
    assert snapshots[0].state is not State.SUCCEEDED


@TWINS
def test_a_timeout_has_the_last_snapshot(twin: Twin) -> None:
    """The error has the id, the last snapshot, and how to resume."""
    mock = MockRelay(load_contract("zhongzhuan"), key=KEY)
    task_id = mock.submit(100)
    with Server(mock) as base_url, twin("zhongzhuan", KEY, base_url=base_url) as relay:
        with pytest.raises(WaitTimeoutError, match=f"task {task_id} was queued") as caught:
            relay.wait(task_id, timeout=0.5)
    assert caught.value.task is not None
    assert caught.value.task.state is State.QUEUED


@TWINS
@pytest.mark.parametrize("name", ["apiai", "zhongzhuan"])
def test_tasks_are_yielded_as_they_end(twin: Twin, name: str) -> None:
    """Each id once, single or in batches; errors go to on_error, or are raised at the end."""
    mock = MockRelay(load_contract(name), key=KEY)
    slow, quick = mock.submit(1.0), mock.submit(0.1)
    ids = [slow, mock.known[State.FAILED], quick, "40", slow]
    lost: list[RelayError] = []
    with Server(mock) as base_url, twin(name, KEY, base_url=base_url) as relay:
        states = {task.id: task.state for task in relay.fetch_all(ids, on_error=lost.append)}
        assert states[mock.known[State.FAILED]] is State.FAILED
        assert states.keys() == {*ids} - {"40"}
        assert [(type(error), error.task_id) for error in lost] == [(MissingTaskError, "40")]
        ended = relay.wait_all(ids[:3], timeout=60)
        assert sorted(task.id for task in ended) == sorted(ids[:3])
        with pytest.raises(
            SomeTasksError, match="1 task could not be fetched \\(1 MissingTaskError\\)"
        ) as caught:
            relay.fetch_all(["40", quick])
    assert [error.task_id for error in caught.value.errors] == ["40"]


def test_an_odd_response_to_a_batch_loses_no_task() -> None:
    """Tasks that are missing in the response to a batch are fetched alone."""
    odd = [
        *(b"[]", b'{"code": 24, "description": "banned"}', b'["x", null, 5]', b'{"data": [{"id": "1"}]}'),
        *(b"null", b"<html>"),
    ]

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = odd[0] if scope["method"] == "POST" else document("succeeded", scope["path"].split("/")[-2])
        await app((200, body, JSON))(scope, receive, send)

    with Server(application) as base_url:
        while odd:
            clock = NoWaitClock()
            with Relay("zhongzhuan", KEY, base_url=base_url, clock=clock) as relay:
                assert {task.id for task in relay.fetch_all(["1", "2", "3"])} == {"1", "2", "3"}
            del odd[0]


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
