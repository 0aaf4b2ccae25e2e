"""Serve an ASGI application on the loopback interface, in a thread or in the foreground."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from mjrelay.base import MjrelayError, close_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


_TIMEOUT = 10.0
"""Seconds that a server may take to start or stop."""


class ServerError(MjrelayError):
    """The server could not be started."""


class Server:
    """
    Serve an ASGI application in a thread, on a free port of 127.0.0.1.

    A context manager: entering it starts the server and returns the base URL, leaving it stops the server.
    It can be entered again afterwards.

    Args:
        app: An ASGI 3 application, for instance a `MockRelay`.

    Raises:
        ServerError: On entering, if the server does not start within 10 seconds.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> str:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(_listen("127.0.0.1", 0))
            server = uvicorn.Server(_config(self._app))
            thread = threading.Thread(
                target=server.run, kwargs={"sockets": [listener]}, name="mjrelay-server", daemon=True
            )
            stack.callback(_stop, server, thread)
            thread.start()
            _wait_until_started(server, thread)
            self._stack = stack.pop_all()
        return _url(listener)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def serve_mock(app: Any, host: str, port: int, *, announce: Callable[[str], None] = lambda _: None) -> None:
    """
    Serve an ASGI application in the foreground until it is interrupted (Ctrl-C).

    Args:
        app: An ASGI 3 application, for instance a `MockRelay`.
        host: The address to listen on.
        port: The port to listen on; 0 chooses a free one.
        announce: Called with the base URL before the first request is accepted.

    Raises:
        ServerError: The port is not available.
    """
    with _listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        announce(_url(listener))
        uvicorn.Server(_config(app)).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ServerError(f"cannot listen on {host} port {port}: {error}; choose another port") from error
    close_after_fork(listener)  # a child process must not keep the port
    # asyncio sets it only for sockets that it creates. Without it each body is delayed by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # truncated responses are intended
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,  # delayed responses must not delay the shutdown
    )


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + _TIMEOUT
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise ServerError("the server did not start; check that the application is an ASGI 3 application")
        time.sleep(0.002)


def _stop(server: uvicorn.Server, thread: threading.Thread) -> None:
    server.should_exit = True
    if thread.is_alive():
        thread.join(_TIMEOUT)
