"""The generated clients against a server: requests, statuses, credentials and limits."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import inspect
import pickle
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from canned import TOKEN, Server, server
from mjrelay_clients.runtime.types import Model
from mjrelay_clients.zhongzhuan import AuthenticatedClient, Client, DecodeError, UnexpectedStatus
from mjrelay_clients.zhongzhuan.api.task import fetch_seed, fetch_task, list_tasks
from mjrelay_clients.zhongzhuan.models import (
    AuthError,
    SeedProperties,
    Task,
    TaskError,
    TaskIds,
    TaskSeed,
    TaskStatus,
)
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server as MockServer
from mocks import served_example
from sampled import SEVERAL

from mjrelay import State
from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["server"]

SUCCEEDED: dict[str, Any] = load_contract("zhongzhuan").examples["succeeded"]


@pytest.fixture
def client(server: Server) -> Iterator[AuthenticatedClient]:
    """A client of that server."""
    with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        yield client


def test_a_task_is_typed(server: Server, client: AuthenticatedClient) -> None:
    """The example becomes a model, whatever the header says; see tests/typing for the types."""
    server.respond(SUCCEEDED)
    server.headers = {"Content-Type": "text/html; charset=gbk"}
    response = fetch_task.sync_detailed("1730621826053455", client=client)
    task = fetch_task.sync("1730621826053455", client=client)
    assert response.parsed == task
    assert response.status_code == 200
    assert response.content == server.body
    assert response.headers["content-type"] == "text/html; charset=gbk"
    assert task.status is TaskStatus.SUCCESS
    assert task.finish_time == 1730621855817
    assert isinstance(task.buttons, list)
    assert task.buttons[4].emoji == "🔄"
    assert isinstance(task.properties, Model)
    assert task.to_dict() == SUCCEEDED
    assert {path for path, _ in server.received} == {"/mj/task/1730621826053455/fetch"}


def test_the_async_functions(server: Server, client: AuthenticatedClient) -> None:
    """The async functions return and raise the same as the sync ones."""
    server.respond(SUCCEEDED)

    async def run() -> None:
        async with client:
            assert await fetch_task.asyncio("1", client=client) == Task.from_dict(SUCCEEDED)
            server.respond({"code": 4, "description": "task_no_found ", "type": "upstream_error"}, 400)
            response = await fetch_task.asyncio_detailed("1", client=client)
            assert isinstance(response.parsed, TaskError)
            with pytest.raises(UnexpectedStatus) as caught:
                await fetch_task.asyncio("1", client=client)
            assert caught.value.parsed == response.parsed
            server.status, server.body = 200, b"<html>"
            with pytest.raises(DecodeError, match="expected JSON"):
                await fetch_task.asyncio("1", client=client)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"{}", {"Content-Encoding": "gzip"}, "compressed"),
        (gzip.compress(b" " * 65537, mtime=0), {"Content-Encoding": "gzip"}, "at most"),
    ],
)
def test_a_body_that_cannot_be_decompressed(
    server: Server, monkeypatch: pytest.MonkeyPatch, body: bytes, headers: dict[str, str], message: str
) -> None:
    """A body that is not compressed as its header says, or that expands too far, raises DecodeError."""
    monkeypatch.setattr("mjrelay_clients.runtime.client.LARGEST_BODY", 65536)
    server.body, server.headers = body, headers

    async def run() -> None:
        async with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
            await fetch_task.asyncio("1", client=client)

    with (
        AuthenticatedClient(base_url=server.url, token=TOKEN) as client,
        pytest.raises(DecodeError, match=message) as caught,
    ):
        fetch_task.sync("1", client=client)
    assert caught.value.status_code == 200
    with pytest.raises(DecodeError, match=message):
        asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "document", "model"),
    [
        *((status, "<html>", None) for status in (201, 302, 404, 429, 500, 520, 599)),
        (400, {"code": 4, "description": "task_no_found ", "type": "upstream_error"}, TaskError),
        (401, {"error": {"message": "无效的令牌", "type": "new_api_error"}}, AuthError),
    ],
)
def test_other_statuses(
    server: Server, client: AuthenticatedClient, status: int, document: Any, model: type[Model] | None
) -> None:
    """`sync_detailed` returns any status, decoded if documented; `sync` raises it."""
    server.respond(document, status)
    response = fetch_task.sync_detailed("1", client=client)
    assert (response.status_code, type(response.status_code)) == (status, int)
    assert response.content == server.body
    if model is None:
        assert response.parsed is None
    else:
        assert isinstance(response.parsed, model)
        assert response.parsed.to_dict() == document
    with pytest.raises(UnexpectedStatus, match=str(status)) as caught:
        fetch_task.sync("1", client=client)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):  # noqa: S301
        assert (error.status_code, error.content, error.parsed) == (status, server.body, response.parsed)


def test_a_redirect_is_not_followed(server: Server) -> None:
    """A redirect is not followed, even if the httpx client is configured to."""
    server.status, server.headers = 302, {"Location": f"{server.url}/other"}
    with AuthenticatedClient(base_url=server.url, token=TOKEN, scheme="secret") as client:
        client.get_httpx_client().follow_redirects = True
        with pytest.raises(UnexpectedStatus):
            fetch_task.sync("1", client=client)
    assert [path for path, _ in server.received] == ["/mj/task/1/fetch"]


def test_the_token_is_sent_as_the_scheme_says(server: Server) -> None:
    """The first scheme is the default, another one is chosen by name, and only one is sent."""
    server.respond(SUCCEEDED)
    with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        fetch_task.sync("1", client=client)
    with AuthenticatedClient(base_url=server.url, token=TOKEN, scheme="secret") as client:
        fetch_task.sync("1", client=client)
    (_, first), (_, second) = server.received
    assert first["authorization"] == f"Bearer {TOKEN}"
    assert "mj-api-secret" not in first
    assert second["mj-api-secret"] == TOKEN
    assert "authorization" not in second


def test_an_unknown_scheme_is_an_error() -> None:
    """An unknown scheme raises ValueError with the known ones."""
    with pytest.raises(ValueError, match=r"'basic'.*bearer, secret"):
        AuthenticatedClient(token=TOKEN, scheme="basic")


def test_the_token_shows_in_no_repr(server: Server) -> None:
    """No repr or message of a client, a response or an error has the token."""
    server.status, server.body = 200, f"<html>no such token: {TOKEN}</html>".encode()
    with AuthenticatedClient(
        base_url=server.url, token=TOKEN, headers={"X-Other": TOKEN}, httpx_args={"trust_env": False}
    ) as client:
        with pytest.raises(DecodeError) as caught:
            fetch_task.sync("1", client=client)
        server.status = 502
        response = fetch_task.sync_detailed("1", client=client)
        with pytest.raises(UnexpectedStatus) as unexpected:
            fetch_task.sync("1", client=client)
        beneath = client.get_httpx_client()
        for thing in (client, beneath, response, caught.value, unexpected.value):
            assert TOKEN not in repr(thing)
            assert TOKEN not in str(thing)
    assert "[redacted]" in str(caught.value)


@pytest.mark.parametrize("token", ["", "sk-1\n", " sk-1", "sk 1", "密钥"])
def test_an_invalid_token_is_an_error(token: str) -> None:
    """A token that no header can have raises ValueError without the token."""
    with pytest.raises(ValueError, match="token") as caught:
        AuthenticatedClient(token=token)
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "relay.example",
        "ftp://relay.example",
        "https://",
        "https://user:sk-1@relay.example",
        "https://\x00",
        1,
    ],
)
def test_an_invalid_base_url_is_an_error(base_url: Any) -> None:
    """A base URL without scheme or host or with a password is rejected, and the password not shown."""
    with pytest.raises((ValueError, TypeError)) as caught:
        Client(base_url=base_url)
    assert "sk-1" not in str(caught.value)


def test_the_base_url(server: Server) -> None:
    """The default is the server of the contract; the path of another one is a prefix."""
    assert AuthenticatedClient(token=TOKEN).base_url == "https://api.zhongzhuan.chat"
    server.respond(SUCCEEDED)
    with AuthenticatedClient(base_url=f"{server.url}/prefix/", token=TOKEN) as client:
        fetch_task.sync("1", client=client)
    assert [path for path, _ in server.received] == ["/prefix/mj/task/1/fetch"]


def test_the_timeout_is_finite(server: Server) -> None:
    """The default is finite, and neither an infinite timeout nor httpx_args remove what protects."""
    client = AuthenticatedClient(token=TOKEN)
    assert client.timeout == httpx.Timeout(30, connect=5)
    assert AuthenticatedClient(token=TOKEN, timeout=2).timeout == httpx.Timeout(2)
    for infinite in (None, httpx.Timeout(5, read=None)):
        with pytest.raises(ValueError, match="timeout"):
            AuthenticatedClient(token=TOKEN, timeout=infinite)  # type: ignore[arg-type]
    for name in ("follow_redirects", "auth", "timeout", "headers"):
        with pytest.raises(ValueError, match=name):
            AuthenticatedClient(token=TOKEN, httpx_args={name: True})
    with AuthenticatedClient(token=TOKEN, base_url=server.url, timeout=3) as client:
        assert client.get_httpx_client().timeout == httpx.Timeout(3)


def test_an_id_stays_one_segment(server: Server, client: AuthenticatedClient) -> None:
    """An id is quoted into one path segment, and `.` and `..` are rejected."""
    server.respond(SUCCEEDED)
    fetch_task.sync("../a?b=c#d%20e", client=client)
    assert server.received[0][0] == "/mj/task/..%2Fa%3Fb%3Dc%23d%2520e/fetch"
    for invalid in ("", ".", ".."):
        with pytest.raises(ValueError, match="part of a path"):
            fetch_task.sync(invalid, client=client)


def test_threads_share_a_client(server: Server, client: AuthenticatedClient) -> None:
    """Many threads can use one client."""
    server.respond(SUCCEEDED)
    got: list[Task] = []
    threads = [
        threading.Thread(target=lambda: got.append(fetch_task.sync("1", client=client))) for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [Task.from_dict(SUCCEEDED)] * 32


def test_a_closed_client_opens_again(server: Server) -> None:
    """A client can be used again after closing."""
    server.respond(SUCCEEDED)
    client = AuthenticatedClient(base_url=server.url, token=TOKEN)
    for _ in range(2):
        with client:
            fetch_task.sync("1", client=client)
    assert len(server.received) == 2


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_task_is_fetched_from_a_mock(relay: str) -> None:
    """Over a socket, sync and async, a client fetches the documented task from the mock."""
    module: Any = importlib.import_module(f"mjrelay_clients.{relay}")
    operation: Any = importlib.import_module(f"mjrelay_clients.{relay}.api.task.fetch_task")
    contract = load_contract(relay)
    mock = MockRelay(contract, key=TOKEN)
    task_id = mock.known[State.SUCCEEDED]
    parameter = next(name for name in inspect.signature(operation.sync).parameters if name != "client")
    known, unknown = {parameter: task_id}, {parameter: "0"}
    statuses = {matcher.status for matcher in contract.reader.missing}

    async def awaited(base_url: str) -> Any:
        async with module.AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            if statuses == {204}:
                assert await operation.asyncio(**unknown, client=client) is None
            else:
                with pytest.raises((module.UnexpectedStatus, DecodeError)):
                    await operation.asyncio(**unknown, client=client)
            detailed = await operation.asyncio_detailed(**known, client=client)
            assert detailed.status_code == 200
            return await operation.asyncio(**known, client=client)

    with MockServer(mock) as base_url:
        with module.AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            task = operation.sync(**known, client=client)
            if statuses == {200}:  # which has no body
                with pytest.raises(DecodeError, match="an empty body"):
                    operation.sync_detailed(**unknown, client=client)
            else:
                assert operation.sync_detailed(**unknown, client=client).status_code in statuses
        assert asyncio.run(awaited(base_url)) == task
        for scheme in module.client.SCHEMES:
            with module.AuthenticatedClient(base_url=base_url, token=TOKEN, scheme=scheme) as client:
                assert operation.sync(**known, client=client) == task
        with module.AuthenticatedClient(base_url=base_url, token="wrong") as client:
            with pytest.raises(module.UnexpectedStatus) as refused:
                operation.sync(**known, client=client)
            assert refused.value.status_code == 401
    assert task.to_dict() == served_example(contract, State.SUCCEEDED, base_url)
    assert not task.additional_properties


def test_a_batch_and_a_seed_are_fetched_from_the_mock() -> None:
    """Over a socket, sync and async, both operations and their errors are typed."""
    mock = MockRelay(load_contract("zhongzhuan"), key=TOKEN)
    known = mock.known[State.SUCCEEDED]
    ids = TaskIds(ids=["0", known, mock.known[State.QUEUED]])
    refusal = TaskError(code=4, description="do_request_failed ", type_="upstream_error")

    async def awaited(base_url: str) -> tuple[list[Task], TaskSeed]:
        async with AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            refused = await list_tasks.asyncio_detailed(client=client, body=numbers())
            assert (refused.status_code, refused.parsed) == (400, refusal)
            with pytest.raises(UnexpectedStatus):
                await fetch_seed.asyncio("0", client=client)
            listed = await list_tasks.asyncio(client=client, body=ids)
            return listed, await fetch_seed.asyncio(known, client=client)

    with MockServer(mock) as base_url:
        with AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            tasks = list_tasks.sync(client=client, body=ids)
            seed = fetch_seed.sync(known, client=client)
            refused = list_tasks.sync_detailed(client=client, body=numbers())
            assert refused.headers["content-type"] == "text/plain"
            assert refused.parsed == refusal
            assert isinstance(fetch_seed.sync_detailed("0", client=client).parsed, TaskError)
            assert list_tasks.sync(client=client, body=TaskIds()) == []
        with AuthenticatedClient(base_url=base_url, token="wrong", scheme="secret") as client:
            assert isinstance(list_tasks.sync_detailed(client=client, body=ids).parsed, AuthError)
            assert isinstance(fetch_seed.sync_detailed(known, client=client).parsed, AuthError)
        assert asyncio.run(awaited(base_url)) == (tasks, seed)
    assert {task.id: task.status for task in tasks} == {
        known: TaskStatus.SUCCESS,
        mock.known[State.QUEUED]: "",
    }
    assert isinstance(seed.result, str)
    assert seed.result.isdecimal()
    assert isinstance(seed.properties, SeedProperties)


def numbers() -> TaskIds:
    """Return ids of a wrong type."""
    ids: Any = [1730621826053455]
    return TaskIds(ids=ids)
