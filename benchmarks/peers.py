"""Alternatives that fetch one task: HTTP libraries, and clients of other generators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import httpx
import msgspec
from pyreqwest.client import ClientBuilder, SyncClientBuilder

from benchmarks import clients
from benchmarks.example import KEY, TARGET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack, ExitStack

    Fetch = Callable[[str], str]
    """Fetch a task by its id; return the id in the response."""

    AsyncFetch = Callable[[str], Awaitable[str]]

AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}


class Button(msgspec.Struct):
    """A button, decoded by `msgspec`."""

    customId: str  # noqa: N815 - the relay's field name
    emoji: str
    label: str
    type: int
    style: int


class Task(msgspec.Struct):
    """The fields that a minimal program decodes."""

    id: str
    status: str
    progress: str
    prompt: str
    submitTime: int  # noqa: N815 - the relay's field name
    startTime: int  # noqa: N815 - same
    finishTime: int  # noqa: N815 - same
    imageUrl: str  # noqa: N815 - same
    failReason: str  # noqa: N815 - same
    buttons: list[Button] | None


DECODER = msgspec.json.Decoder(Task)


def raw_httpx(url: str, stack: ExitStack) -> Fetch:
    """`httpx.Client.get` and `json.loads`."""
    client = stack.enter_context(httpx.Client(headers=AUTHORIZATION))
    address = url + TARGET

    def fetch(_: str) -> str:
        return str(json.loads(client.get(address).content)["id"])

    return fetch


def stock(url: str, stack: ExitStack) -> Fetch:
    """The client of openapi-python-client, used as documented."""
    made = clients.stock()
    client = stack.enter_context(made.client(base_url=url, token=KEY))
    sync = made.operation.sync

    def fetch(task_id: str) -> str:
        return str(sync(task_id, client=client).id)

    return fetch


def pydantic(url: str, stack: ExitStack) -> Fetch:
    """The client of openapi-generator; raises `clients.AbsentError` if it is not available."""
    made = clients.pydantic()
    settings = made.Configuration(host=url, access_token=KEY)
    tasks = made.TaskApi(stack.enter_context(made.ApiClient(settings)))

    def fetch(task_id: str) -> str:
        return str(tasks.fetch_task(task_id).id)

    return fetch


def limit(url: str, stack: ExitStack) -> Fetch:
    """`pyreqwest` and a `msgspec` Struct."""
    client = stack.enter_context(SyncClientBuilder().default_headers(AUTHORIZATION).build())
    address = url + TARGET

    def fetch(_: str) -> str:
        return DECODER.decode(client.get(address).build().send().bytes()).id

    return fetch


async def async_httpx(url: str, stack: AsyncExitStack) -> AsyncFetch:
    """`httpx.AsyncClient.get` and `json.loads`."""
    client = await stack.enter_async_context(httpx.AsyncClient(headers=AUTHORIZATION))
    address = url + TARGET

    async def fetch(_: str) -> str:
        return str(json.loads((await client.get(address)).content)["id"])

    return fetch


async def async_stock(url: str, stack: AsyncExitStack) -> AsyncFetch:
    """The async counterpart of `stock`."""
    made = clients.stock()
    client = await stack.enter_async_context(made.client(base_url=url, token=KEY))
    asyncio = made.operation.asyncio

    async def fetch(task_id: str) -> str:
        return str((await asyncio(task_id, client=client)).id)

    return fetch


async def async_aiohttp(url: str, stack: AsyncExitStack) -> AsyncFetch:
    """`aiohttp` and its ``json()``."""
    client = await stack.enter_async_context(aiohttp.ClientSession(headers=AUTHORIZATION))
    address = url + TARGET

    async def fetch(_: str) -> str:
        async with client.get(address) as response:
            return str((await response.json())["id"])

    return fetch


async def async_pyreqwest(url: str, stack: AsyncExitStack) -> AsyncFetch:
    """`pyreqwest` and its ``json()``."""
    client = await stack.enter_async_context(ClientBuilder().default_headers(AUTHORIZATION).build())
    address = url + TARGET

    async def fetch(_: str) -> str:
        return str((await (await client.get(address).build().send()).json())["id"])

    return fetch


async def async_limit(url: str, stack: AsyncExitStack) -> AsyncFetch:
    """`pyreqwest` and a `msgspec` Struct."""
    client = await stack.enter_async_context(ClientBuilder().default_headers(AUTHORIZATION).build())
    address = url + TARGET

    async def fetch(_: str) -> str:
        return DECODER.decode(await (await client.get(address).build().send()).bytes()).id

    return fetch


ASYNC: dict[str, Callable[[str, AsyncExitStack], Awaitable[AsyncFetch]]] = {
    "raw httpx and json": async_httpx,
    "raw aiohttp and its json()": async_aiohttp,
    "raw pyreqwest and its json()": async_pyreqwest,
}
