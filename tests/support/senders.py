"""Each transport behind one interface, so that one test covers all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from attrs import frozen
from twins import runner

from mjrelay.http.redaction import Redactor
from mjrelay.http.request import Request
from mjrelay.transport.factory import connect, connect_async
from mjrelay.transport.transport import TransportConfig

if TYPE_CHECKING:
    from peers import Peer

    from mjrelay.http.exchange import Exchange

T = TypeVar("T")
KEY = "sk-never-to-be-seen-4711"
TARGET = "/mj/task/1/fetch?n=1"


def make_request(method: str = "GET", body: bytes = b"") -> Request:
    """Return a request with a key, and with its redacted form."""
    accept = ("Accept", "application/json")
    shown = Request(method, TARGET, (accept, ("Authorization", "[redacted]")), body)
    return Request(method, TARGET, (accept, ("Authorization", f"Bearer {KEY}")), body, shown)


@frozen
class Kind:
    """A kind of transport."""

    asynchronous: bool
    fast: bool = False
    uvloop: bool = False

    def __str__(self) -> str:
        loop = " uvloop" if self.uvloop else " async" if self.asynchronous else ""
        return ("fast" if self.fast else "h11") + loop

    def runner(self) -> asyncio.Runner:
        """Return a runner with this kind's event loop."""
        return runner(uvloop=self.uvloop)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in a new event loop."""
        with self.runner() as running:
            return running.run(main)


KINDS = [Kind(asynchronous, fast) for fast in (False, True) for asynchronous in (False, True)]

with_uvloop = pytest.mark.parametrize(
    "kind", [*KINDS, Kind(asynchronous=True, uvloop=True)], indirect=True, ids=str
)
"""For tests of what depends on the event loop: connections, timeouts, TLS and errors of the system."""


class Sender:
    """A transport of any kind, driven by the thread of the test."""

    def __init__(self, kind: Kind, config: TransportConfig, client: Any = None) -> None:
        self.runner = kind.runner() if kind.asynchronous else None
        make: Any = connect_async if kind.asynchronous else connect
        self.transport: Any = make(config, fast=kind.fast, client=client)

    def send(self, request: Request | None = None, timeout: float = 30.0) -> Exchange:
        """Return one exchange."""
        sent = self.transport.send(request or make_request(), timeout)
        exchange: Exchange = self.runner.run(sent) if self.runner else sent
        return exchange

    def many(self, number: int, concurrency: int, timeout: float = 30.0) -> list[Exchange]:
        """Return many exchanges, several at a time."""
        if self.runner is None:
            with ThreadPoolExecutor(concurrency) as threads:
                return list(
                    threads.map(lambda _: self.transport.send(make_request(), timeout), range(number))
                )

        async def send_all() -> list[Exchange]:
            slots = asyncio.Semaphore(concurrency)

            async def send() -> Exchange:
                async with slots:
                    exchange: Exchange = await self.transport.send(make_request(), timeout)
                    return exchange

            return await asyncio.gather(*(send() for _ in range(number)))

        return self.runner.run(send_all())

    def settle(self) -> None:
        """Wait until what was sent has arrived."""
        if self.runner:
            self.runner.run(asyncio.sleep(0.1))
        else:
            time.sleep(0.1)

    def close(self) -> None:
        """Close the transport."""
        closed = self.transport.close()
        if self.runner:
            self.runner.run(closed)

    def stop(self) -> None:
        """Close the transport and its event loop."""
        self.close()
        if self.runner:
            self.runner.close()


MakeSender = Callable[..., Sender]
MakeClient = Callable[..., Any]


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Return each kind of transport in turn."""
    chosen: Kind = request.param
    if chosen.fast:
        pytest.importorskip("pyreqwest")
    return chosen


@pytest.fixture
def make(kind: Kind) -> Iterator[MakeSender]:
    """Make transports to an origin, and close them after the test."""
    with contextlib.ExitStack() as stack:

        def made(origin: str, client: Any = None, **options: Any) -> Sender:
            sender = Sender(kind, TransportConfig(origin, Redactor(KEY), **options), client)
            stack.callback(sender.stop)
            return sender

        yield made


@pytest.fixture
def clients(kind: Kind) -> Iterator[MakeClient]:
    """Make httpx clients of the kind that fits the transport."""
    made: list[Any] = []

    def make_one(**options: Any) -> Any:
        made.append((httpx.AsyncClient if kind.asynchronous else httpx.Client)(trust_env=False, **options))
        return made[-1]

    yield make_one
    for one in made:
        if kind.asynchronous:
            kind.run(one.aclose())
        else:
            one.close()


@pytest.fixture
def make_client(kind: Kind, clients: MakeClient) -> MakeClient:
    """Make httpx clients, for the kinds that use one."""
    if kind.fast:
        pytest.skip("a client replaces the fast transport")
    return clients


@pytest.fixture
def make_routed(make: MakeSender, clients: MakeClient, kind: Kind) -> MakeSender:
    """Make transports to a peer: directly, over a user's client, or to it as a proxy."""

    def made(peer: Peer, route: str) -> Sender:
        if kind.fast and route != "own":
            pytest.skip("the fast transport has one route")
        if route == "proxy":
            return make("http://relay.test", proxy=peer.origin)
        return make(peer.origin, clients() if route == "client" else None)

    return made


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies and certificates of the machine."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name in {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
            monkeypatch.delenv(name)
