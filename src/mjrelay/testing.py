"""
Mocks of relays for the tests of programs that use them, over real sockets of the loopback, with no waiting.

For pytest write ``pytest_plugins = ["mjrelay.testing"]`` into ``conftest.py`` and ask for the fixture
``mock_relay``; `mock` is the same without pytest. It takes the extra: ``pip install 'mjrelay[mock]'``.

PYTEST_DONT_REWRITE: nothing here asserts, and pytest does not mind who has imported it before.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from attrs import field, frozen

from mjrelay.base import Clock, MissingExtraError, renew_after_fork
from mjrelay.client import AsyncRelay, Relay
from mjrelay.contract import load_contract
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike


__all__ = ["Clock", "Mock", "Mocks", "NoWaitClock", "mock"]


class NoWaitClock(Clock):
    """
    A clock that stands still until somebody sleeps by it, and then is later at once.

    A relay that waits by it waits for nothing, and sends what it would have sent in that time. Threads may
    share it; of several waits at once each moves it for all of them.
    """

    def __init__(self) -> None:
        self._unlock()
        renew_after_fork(self, NoWaitClock._unlock)
        self._monotonic, self._unix = time.monotonic(), time.time()
        self._passed = 0.0

    def now(self) -> float:
        """Seconds that only ever grow, from an arbitrary moment."""
        return self._monotonic + self._passed

    def time(self) -> float:
        """Unix time in seconds; it begins with the true one."""
        return self._unix + self._passed

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        with self._lock:
            self._passed += max(seconds, 0.0)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    async def asleep(self, seconds: float) -> None:
        """Let time pass, at once; others have their turn."""
        self.sleep(seconds)
        await asyncio.sleep(0)


@frozen(eq=False)
class Mock:
    """
    A mock of one relay that is being served.

    ``known`` holds the ids of tasks that stand still, by their states.
    """

    base_url: str
    key: str
    clock: Clock
    known: Mapping[State, str]
    _app: Any = field(repr=False)
    _door: _Door = field(repr=False)
    _stack: ExitStack = field(repr=False)
    _name: str | PathLike[str] = field(repr=False)
    _overlays: tuple[str | PathLike[str], ...] = field(repr=False)

    @property
    def requests(self) -> int:
        """How many requests have come."""
        return self._door.requests

    def submit(self, duration: float = 30.0, *, outcome: State = State.SUCCEEDED) -> str:
        """
        The id of a new task that is queued, runs, and ends as ``outcome`` after ``duration`` seconds.

        Raises `ContractError` where the relay's contract has no example of that outcome.
        """
        task_id: str = self._app.submit(duration, outcome=outcome)
        return task_id

    def relay(self, **options: Any) -> Relay:
        """A `Relay` on this mock, with other options of it where given; it is closed with the mock."""
        return self._stack.enter_context(Relay(self._name, **self._with(options)))

    def async_relay(self, **options: Any) -> AsyncRelay:
        """An `AsyncRelay` on this mock, with other options of it where given; use it with ``async with``."""
        return AsyncRelay(self._name, **self._with(options))

    def _with(self, options: dict[str, Any]) -> dict[str, Any]:
        own = {"api_key": self.key, "base_url": self.base_url, "clock": self.clock}
        return own | {"overlays": self._overlays} | options


class Mocks(Protocol):
    """The fixture ``mock_relay``: makes mocks, as `mock` does."""

    def __call__(
        self,
        name: str | PathLike[str],
        *,
        overlays: Iterable[str | PathLike[str]] = (),
        faults: Sequence[str] = (),
        key: str = "mock-key",
        clock: Clock | None = None,
    ) -> Mock:
        """A mock that is served until the test ends."""


@contextmanager
def mock(
    name: str | PathLike[str],
    *,
    overlays: Iterable[str | PathLike[str]] = (),
    faults: Sequence[str] = (),
    key: str = "mock-key",
    clock: Clock | None = None,
) -> Iterator[Mock]:
    """
    A mock of the relay of that name or file, served for as long as the context lasts.

    ``overlays`` are changes to its contract, ``faults`` are ways in which it is wrong (``mjrelay mock NAME
    --list-faults``), ``key`` is the one that it wants. Its tasks and its relays live by ``clock``: a
    `NoWaitClock` of their own, where none is given; with ``clock=Clock()`` time passes as it does. Raises
    `UnknownRelayError`, `ContractError`, and `MissingExtraError` where the extra is not installed.
    """
    overlays = tuple(overlays)
    contract = load_contract(name, overlays)
    try:
        mocks = import_module("mjrelay_conformance.mock")
    except ModuleNotFoundError as error:
        raise MissingExtraError("mock", error.name or "uvicorn") from error
    clock = clock or NoWaitClock()
    app = mocks.MockRelay(contract, key=key, faults=tuple(faults), clock=clock.time)
    door = _Door(app)
    with ExitStack() as stack:
        base_url = stack.enter_context(mocks.Server(door))
        yield Mock(base_url, key, clock, app.known, app, door, stack, name, overlays)


class _Door:
    """
    Counts the requests to an application.

    No connection outlives its answer, so that none is left over by a relay that nobody closed.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def closing(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        self.requests += scope["type"] == "http"
        await self._app(scope, receive, closing)


try:
    import pytest
except ModuleNotFoundError:  # the mocks serve other tests too
    pass
else:

    @pytest.fixture
    def mock_relay() -> Iterator[Mocks]:
        """Mocks of relays: ``mock_relay(name)`` is one, served until the test ends."""
        with ExitStack() as stack:

            def served(name: str | PathLike[str], **options: Any) -> Mock:
                return stack.enter_context(mock(name, **options))

            yield served

    __all__ += ["mock_relay"]
