"""Serves an ASGI application on this machine: in a thread for tests, or in the foreground for people."""

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
"""Seconds that a server may take to start."""


class ServerError(MjrelayError):
    """A server cannot be started."""


class Server:
    """
    An application on a free port of the loopback, for as long as the context lasts.

    Entering it gives the base URL, once the application answers there.
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
    Serve an application until it is interrupted; ``announce`` is told the base URL.

    Raises `ServerError` where the port cannot be had.
    """
    with _listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        announce(_url(listener))
        uvicorn.Server(_config(app)).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        raise ServerError(f"cannot listen on {host}, port {port}: {error}; choose another port") from error
    close_after_fork(listener)  # a child does not accept, and must not keep the port
    # asyncio leaves this out for a listener it did not make; each response would wait 40 ms for its body.
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
        log_level="critical",  # an response that breaks off is meant to, and nothing to complain of
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,  # an response that is slow on purpose must not hold up the end
    )


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + _TIMEOUT
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise ServerError("the server did not start; the application may not be an ASGI 3 application")
        time.sleep(0.002)


def _stop(server: uvicorn.Server, thread: threading.Thread) -> None:
    server.should_exit = True
    if thread.is_alive():
        thread.join(_TIMEOUT)
