"""Real servers of Redis and Postgres for tests, on free ports of loopback; their folders are removed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pwd import struct_passwd

_PATIENCE = 30.0
"""Seconds that a server may take to start or stop on a busy machine."""


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """Start Redis without persistence, and yield its URL. It ends with the context."""
    program = shutil.which("redis-server")
    if program is None:
        _miss("Redis", "redis-server")
    password = secrets.token_hex(16)
    with _folder() as folder:

        def start(port: int) -> subprocess.Popen[bytes]:
            settings = {
                "bind": "127.0.0.1",
                "port": port,
                "requirepass": password,
                "save": '""',
                "appendonly": "no",
                "dir": folder,
                "logfile": folder / "log",
            }
            # Through stdin, because other users of the machine can read arguments.
            process = _start([program, "-"], folder, stdin=subprocess.PIPE)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write("".join(f"{name} {value}\n" for name, value in settings.items()).encode())
            return process

        def is_ready(port: int) -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
                connection.sendall(f"AUTH {password}\r\n".encode())
                return connection.recv(64).startswith(b"+OK")
            return False

        with _serving(start, is_ready, signal.SIGKILL, folder / "log") as port:
            yield f"redis://:{password}@127.0.0.1:{port}/0"


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Start Postgres with an empty database, and yield its URL. It ends with the context."""
    programs = _postgres_programs()
    if programs is None:
        _miss("Postgres", "postgresql")
    password = secrets.token_hex(16)
    with _folder() as folder:
        data, log = folder / "data", folder / "log"
        (folder / "password").write_text(password, encoding="ascii")
        if user := _other_user():
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        made = _start(
            [
                str(programs / "initdb"),
                f"--pgdata={data}",
                f"--pwfile={folder / 'password'}",
                "--username=mjrelay",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "--no-instructions",
            ],
            folder,
            user,
        )
        assert made.wait(4 * _PATIENCE) == 0, log.read_text(encoding="utf-8", errors="replace")

        def start(port: int) -> subprocess.Popen[bytes]:
            settings = {
                "listen_addresses": "127.0.0.1",
                "port": port,
                "unix_socket_directories": "",
                "fsync": "off",
                "synchronous_commit": "off",
                "full_page_writes": "off",
                "shared_buffers": "16MB",
            }
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            return _start([str(programs / "postgres"), "-D", str(data), *options], folder, user)

        def is_ready(_: int) -> bool:
            with contextlib.suppress(OSError):
                lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
                return len(lines) >= 8 and lines[7].strip() == "ready"
            return False

        # SIGQUIT ends it without a last write of the data.
        with _serving(start, is_ready, signal.SIGQUIT, log) as port:
            yield f"postgresql://mjrelay:{password}@127.0.0.1:{port}/postgres"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a Redis that the tests of this process share: use names of your own, or empty it first."""
    with running_redis() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres that the tests of this process share: make a database or a schema of your own."""
    with running_postgres() as url:
        yield url


def _miss(name: str, package: str) -> NoReturn:
    """Skip the test, or fail with MJRELAY_REQUIRE_SERVICES."""
    missing = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("MJRELAY_REQUIRE_SERVICES"):
        pytest.fail(missing)
    pytest.skip(missing)


def _postgres_programs() -> Path | None:
    """The folder of Postgres's programs. Debian keeps them out of PATH."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


def _other_user() -> struct_passwd | None:
    """The user to run Postgres as, because it refuses to run as root; None for this user."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - Windows has none

    users = {one.pw_name: one for one in pwd.getpwall()}
    return users.get("postgres") or pwd.getpwuid(65534)  # the user without rights


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder that another user may own; those of pytest can be entered by this user only."""
    folder = Path(tempfile.mkdtemp(prefix="mjrelay-service-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    command: list[str], folder: Path, user: struct_passwd | None = None, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests, which then stop the server
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=user and [],
        )


@contextlib.contextmanager
def _serving(
    start: Callable[[int], subprocess.Popen[bytes]],
    is_ready: Callable[[int], bool],
    stop: signal.Signals,
    log: Path,
) -> Iterator[int]:
    """Start a server, and stop it at the end. Another port is tried if another program was quicker."""
    for _ in range(3):
        port = _free_port()
        process = start(port)
        try:
            if _becomes_ready(process, partial(is_ready, port)):
                yield port
                return
        finally:
            process.send_signal(stop)
            process.wait(_PATIENCE)
    pytest.fail(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace')}")


def _becomes_ready(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        if is_ready():
            return True
        time.sleep(0.01)
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port: int = one.getsockname()[1]
        return port
