"""
Mock relays for tests, with real requests over loopback and no waiting.

With pytest, add ``pytest_plugins = ["mjrelay.testing"]`` to ``conftest.py``, and use the fixture
``mock_relay``.
Without pytest, use `mock`. Both need an extra: ``pip install '.[mock]'`` in a clone.

PYTEST_DONT_REWRITE: this module has no asserts, and pytest must not warn if it is imported early.
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
    A clock that only moves when its `sleep` is called, and then jumps.

    A relay with this clock sends the requests of a long wait without waiting. Threads may share it; each of
    several concurrent waits moves it for all.
    """

    def __init__(self) -> None:
        self._unlock()
        renew_after_fork(self, NoWaitClock._unlock)
        self._monotonic, self._unix = time.monotonic(), time.time()
        self._passed = 0.0

    def now(self) -> float:
        """
        Return the monotonic time.

        Returns:
            Seconds from an arbitrary point.
        """
        return self._monotonic + self._passed

    def time(self) -> float:
        """
        Return the Unix time. It starts at the real one.

        Returns:
            Seconds since 1970.
        """
        return self._unix + self._passed

    def sleep(self, seconds: float) -> None:
        """
        Move the clock forward without waiting.

        Args:
            seconds: By how much.
        """
        with self._lock:
            self._passed += max(seconds, 0.0)

    def _unlock(self) -> None:
        self._lock = threading.Lock()

    async def asleep(self, seconds: float) -> None:
        """
        Move the clock forward without waiting, and let other tasks run.

        Args:
            seconds: By how much.
        """
        self.sleep(seconds)
        await asyncio.sleep(0)


@frozen(eq=False)
class Mock:
    """
    A running mock of one relay.

    Attributes:
        base_url: The mock's URL.
        key: The key that it accepts.
        clock: The clock of the mock and its relays.
        known: Ids of tasks whose state does not change, by state.
    """

    base_url: str
    key: str
    clock: Clock
    known: Mapping[State, str]
    _app: Any = field(repr=False)
    _counter: _RequestCounter = field(repr=False)
    _stack: ExitStack = field(repr=False)
    _name: str | PathLike[str] = field(repr=False)
    _overlays: tuple[str | PathLike[str], ...] = field(repr=False)

    @property
    def requests(self) -> int:
        """The number of requests received."""
        return self._counter.requests

    def submit(self, duration: float = 30.0, *, outcome: State = State.SUCCEEDED) -> str:
        """
        Create a task that is queued, runs and ends.

        Args:
            duration: Seconds until the task ends, by `clock`.
            outcome: The final state.

        Returns:
            The task's id.

        Raises:
            ContractError: The relay's contract has no example of this outcome.
        """
        task_id: str = self._app.submit(duration, outcome=outcome)
        return task_id

    def relay(self, **options: Any) -> Relay:
        """
        Create a `Relay` for this mock. It is closed with the mock.

        Args:
            **options: Options of `Relay`, to override the mock's key, base URL, clock and overlays.

        Returns:
            The relay.
        """
        return self._stack.enter_context(Relay(self._name, **self._with(options)))

    def async_relay(self, **options: Any) -> AsyncRelay:
        """
        Create an `AsyncRelay` for this mock. Use it with ``async with``.

        Args:
            **options: Options of `AsyncRelay`, to override the mock's key, base URL, clock and overlays.

        Returns:
            The relay.
        """
        return AsyncRelay(self._name, **self._with(options))

    def _with(self, options: dict[str, Any]) -> dict[str, Any]:
        defaults = {"api_key": self.key, "base_url": self.base_url, "clock": self.clock}
        return defaults | {"overlays": self._overlays} | options


class Mocks(Protocol):
    """The type of the fixture ``mock_relay``: starts mocks, as `mock` does."""

    def __call__(
        self,
        name: str | PathLike[str],
        *,
        overlays: Iterable[str | PathLike[str]] = (),
        faults: Sequence[str] = (),
        key: str = "mock-key",
        clock: Clock | None = None,
    ) -> Mock:
        """Start a mock that runs until the test ends; arguments as for `mock`."""


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
    Run a mock of a relay while the context lasts.

    Args:
        name: A relay's name, or the path of your own contract.
        overlays: Paths of overlays to apply to the contract.
        faults: Names of faults; ``mjrelay mock NAME --list-faults`` lists them.
        key: The key that the mock accepts.
        clock: The clock of the mock and its relays. Default: a new `NoWaitClock`.

    Yields:
        The mock.

    Raises:
        UnknownRelayError: No contract has this name.
        ContractError: The contract or an overlay is invalid.
        MissingExtraError: The extra ``mock`` is not installed.
    """
    contract = load_contract(name, overlays)
    try:
        mocks = import_module("mjrelay_conformance.mock")
    except ModuleNotFoundError as error:
        raise MissingExtraError("mock", error.name or "uvicorn") from error
    clock = clock or NoWaitClock()
    app = mocks.MockRelay(contract, key=key, faults=tuple(faults), clock=clock.time)
    counter = _RequestCounter(app)
    with ExitStack() as stack:
        base_url = stack.enter_context(mocks.Server(counter))
        yield Mock(base_url, key, clock, app.known, app, counter, stack, name, contract.added)


class _RequestCounter:
    """ASGI middleware that counts requests, and closes each connection, as a relay may be left open."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        self.requests += scope["type"] == "http"
        await self._app(scope, receive, send_and_close)


try:
    import pytest
except ModuleNotFoundError:  # `mock` works without pytest
    pass
else:

    @pytest.fixture
    def mock_relay() -> Iterator[Mocks]:
        """Start mock relays: ``mock_relay(name)`` runs one until the test ends."""
        with ExitStack() as stack:

            def start(name: str | PathLike[str], **options: Any) -> Mock:
                return stack.enter_context(mock(name, **options))

            yield start

    __all__ += ["mock_relay"]
