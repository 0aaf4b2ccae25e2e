"""Relays in forked processes: each has its own connections, and no lock is held by a missing thread."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from certificates import Certificates

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

NAMES = """
import asyncio, contextlib, gc, json, logging, multiprocessing, os, signal, sys, threading, time, traceback
from pathlib import Path
from mjrelay import AsyncRelay, Relay, SettingError, TransportError
logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
URL = os.environ["URL"]
options = json.loads(os.environ["OPTIONS"])

def relay(kind=Relay, **more):
    return kind("zhongzhuan", "mock-key", base_url=URL, **{"timeout": 20, **options, **more})

def check(ids, of):
    for number in ids:
        assert of.fetch(str(number)).id == str(number)
        assert of.seed(str(number)) == f"seed-of-{number}"

def fork(main):
    child = os.fork()
    if not child:
        signal.alarm(30)
        code = 1
        try:
            main()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child

def sockets():
    folder = "/proc/self/fd"
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"{folder}/{name}"))
    return [one for one in found if one.startswith("socket:")]

def join(*children):
    for child in children:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
"""The common part of the programs below."""


class Handler(BaseHTTPRequestHandler):
    """
    Responds for any task id.

    The program controls when: to "slow" after "release", and to "await-3" once three other requests wait.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Site

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        path = self.path.removeprefix(self.server.origin)  # a whole URL if this server is used as a proxy
        if path.startswith("/file"):
            self._file()
            return
        _, _, _, task_id, what = path.split("/")
        match task_id.split("-"):
            case ["slow", *_]:
                self.server.wait_for_release()
            case ["await", number]:
                self.server.wait_for(int(number))
            case ["release"]:
                self.server.released.set()
        self._json({"code": 1, "result": f"seed-of-{task_id}"} if what == "image-seed" else task(task_id))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(404)  # tasks are fetched one by one

    def _json(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self) -> None:
        """Send half a file, and the rest to the request that resumes."""
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "image/png")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(8 - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-7/8")
        self.end_headers()
        self.wfile.write(b"12345678"[start : None if start else 4])
        if not start:
            self.wfile.flush()
            self.server.wait_for_release()
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Site(ThreadingHTTPServer):
    """A relay on loopback that counts its connections."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0
        self.released = threading.Event()
        self._waiting = threading.Semaphore(0)
        self._tls = tls
        self.origin = f"{'https' if tls else 'http'}://localhost:{self.server_port}"

    def wait_for_release(self) -> None:
        """Wait until the program requests "release"."""
        self._waiting.release()
        self.released.wait(30)

    def wait_for(self, number: int) -> None:
        """Wait until this number of requests wait."""
        for _ in range(number):
            self._waiting.acquire(timeout=30)

    def get_request(self) -> Any:
        client, address = super().get_request()
        if self._tls is not None:  # the connection's thread does the handshake
            client = self._tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def handle_error(self, *_: object) -> None:
        """Print nothing."""


def task(task_id: str) -> dict[str, Any]:
    """A task that has ended."""
    return {"id": task_id, "action": "IMAGINE", "status": "SUCCESS", "progress": "100%", "imageUrl": None}


@contextlib.contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Serve a site until the context ends."""
    with Site(tls) as site:
        threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield site
        finally:
            site.released.set()
            site.shutdown()


@pytest.fixture
def site() -> Iterator[Site]:
    """A relay without TLS."""
    with served() as opened:
        yield opened


class Reached:
    """A site, and the options of a relay that reaches it."""

    def __init__(self, site: Site, **options: Any) -> None:
        self.site, self.options = site, options


@pytest.fixture(params=["plain", "tls", "fast", "fast tls", "proxy"])
def reached(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Reached]:
    """A relay, with each kind of connection."""
    tls, options = "tls" in request.param, dict[str, Any]()
    if "fast" in request.param:
        pytest.importorskip("pyreqwest")
        options["fast"] = True
    with served(certificates.context if tls else None) as opened:
        if tls:
            options["verify"] = certificates.authority
        if request.param == "proxy":
            options["proxy"] = opened.origin.replace("localhost", "127.0.0.1")
            opened.origin = "http://relay.test"
        yield Reached(opened, **options)


def run(site: Site, program: str, *arguments: str, url: str | None = None, **options: Any) -> tuple[str, str]:
    """Run a program with every warning an error; its output and what it logged."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    quiet = [
        "-W",
        "ignore:This process",
        "-W",
        "ignore:the key is sent",
        "-W",
        "ignore:unclosed:ResourceWarning",
    ]
    done = subprocess.run(
        # From Python 3.12 on, forking a process with threads warns by itself; and relay.test has no TLS.
        [sys.executable, "-W", "error", *quiet, "-c", NAMES + program, *arguments],
        env={**environment, "URL": url or site.origin, "OPTIONS": json.dumps(options)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def test_children_have_separate_connections(reached: Reached) -> None:
    """A parent and four children that share a used relay each get the tasks and seeds that they request."""
    program = """
with relay() as shared:
    shared.fetch("1")
    children = [fork(lambda: check(range(n * 100, n * 100 + 20), shared)) for n in range(1, 5)]
    check(range(20), shared)
    join(*children)
    check(range(20), shared)
"""
    run(reached.site, program, **reached.options)
    if "fast" not in reached.options:  # pyreqwest may open one more while it puts the last one back
        assert reached.site.connections == 5  # no child closed the parent's connection


def test_a_fork_during_requests(reached: Reached) -> None:
    """While threads of the parent wait for responses, a child works, and has none of their sockets."""
    program = """
def child():
    assert options.get("fast") or not sockets(), sockets()
    check(range(5), shared)

with relay() as shared:
    found = []
    threads = [threading.Thread(target=lambda: found.append(shared.fetch("slow").id)) for _ in range(3)]
    for thread in threads:
        thread.start()
    shared.fetch("await-3")
    join(fork(child), fork(child))
    check(range(5), shared)
    shared.fetch("release")
    for thread in threads:
        thread.join()
    assert found == ["slow"] * 3
"""
    run(reached.site, program, **reached.options)


@pytest.mark.parametrize("options", [{}, {"fast": True}], ids=["own", "fast"])
def test_a_pool_of_processes(site: Site, options: dict[str, Any]) -> None:
    """A `multiprocessing.Pool` with the method "fork" fetches with a relay that the parent uses meanwhile."""
    if options:
        pytest.importorskip("pyreqwest")
    program = """
def work(number):
    return shared.fetch(str(number)).id, shared.seed(str(number))

with relay() as shared:
    shared.fetch("1")
    thread = threading.Thread(target=shared.fetch, args=("slow",))
    thread.start()
    shared.fetch("await-1")
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map_async(work, range(60), chunksize=4)
        check(range(20), shared)
        assert found.get(30) == [(str(n), f"seed-of-{n}") for n in range(60)]
        pool.close()
        pool.join()
    shared.fetch("release")
    thread.join()
"""
    run(site, program, **options)


def test_fast_falls_back_with_one_warning(site: Site) -> None:
    """If the parent has started pyreqwest, a child uses h11 and logs one warning with the remedy."""
    pytest.importorskip("pyreqwest")
    program = """
def child():
    check(range(2), shared)
    with relay() as another:
        check(range(2), another)
    asyncio.run(asynchronous())

async def asynchronous():
    async with relay(AsyncRelay) as another:
        assert (await another.fetch("7")).id == "7"

with relay() as shared:
    shared.fetch("1")
    join(fork(child))
    check(range(2), shared)
"""
    _, log = run(site, program, fast=True)
    assert log.count("WARNING mjrelay ") == 1
    assert "create the Relay after fork" in log


def test_fast_works_in_a_child_whose_parent_did_not_use_it(site: Site) -> None:
    """A relay that is created after the fork is fast, without a warning."""
    pytest.importorskip("pyreqwest")
    program = """
def child():
    with relay() as own:
        check(range(2), own)
        assert "Pyreqwest" in type(own._transport).__name__

join(fork(child), fork(child))
"""
    assert run(site, program, fast=True) == ("", "")


def test_a_client_of_the_parent_is_refused(site: Site) -> None:
    """A child does not read from an httpx client of the parent; it works with a new one."""
    program = """
import httpx

def child():
    for given in (shared, shared.with_options(timeout=5)):
        try:
            given.fetch("2")
        except SettingError as error:
            print(error)
    shared.close()
    with httpx.Client(trust_env=False) as own:
        check(range(2), relay(client=own))

with httpx.Client(trust_env=False) as client:
    shared = relay(client=client)
    shared.fetch("1")
    join(fork(child))
    check(range(2), shared)
"""
    output, _ = run(site, program)
    assert output.count("create the client and the Relay after fork\n") == 2


LOOPS = ["asyncio", "uvloop"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reached", ["plain", "tls", "proxy"], indirect=True)
def test_a_fork_within_an_event_loop(reached: Reached, loop: str) -> None:
    """An `AsyncRelay` works in a new loop of a child, and continues in the parent on the same connections."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    program = """
import importlib
new_event_loop = importlib.import_module(sys.argv[1]).new_event_loop

async def some(first):
    found = await asyncio.gather(*(shared.fetch(str(first + n)) for n in range(8)))
    assert [task.id for task in found] == [str(first + n) for n in range(8)]
    assert await shared.seed(str(first)) == f"seed-of-{first}"

def child():
    assert options.get("proxy") or set(sockets()) <= {*loops_own}, sockets()
    for first in (100, 200):
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(some(first))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(some(300))
        runner.run(shared.aclose())
    gc.collect()

async def main():
    loops_own.extend(sockets())
    async with shared:
        await some(0)
        slow = [asyncio.create_task(shared.fetch("slow")) for _ in range(2)]
        await shared.fetch("await-2")
        await asyncio.to_thread(join, fork(child), fork(child))
        await some(20)
        await shared.fetch("release")
        assert [task.id for task in await asyncio.gather(*slow)] == ["slow"] * 2
        await some(40)

shared, loops_own = relay(AsyncRelay), []
with asyncio.Runner(loop_factory=new_event_loop) as runner:
    runner.run(main())
"""
    run(reached.site, program, loop, **reached.options)


def test_a_wait_continues_in_a_child(site: Site) -> None:
    """After a fork between two tasks of `wait_all`, both processes get all others, also those in flight."""
    program = """
ids = ["await-2", "slow-1", "slow-2"]  # the first ends once the others are in flight
with relay() as shared:
    tasks = shared.wait_all(ids, concurrency=4, rate=None)
    first = next(tasks).id
    def rest():
        assert sorted([first, *(task.id for task in tasks)]) == sorted(ids)
    child = fork(rest)
    shared.fetch("await-2")
    shared.fetch("release")
    rest()
    join(child)
"""
    run(site, program)


def test_no_lock_stays_held_in_a_child(site: Site) -> None:
    """A child works, whichever lock of this package another thread held during the fork."""
    program = """
import functools

def recorded(make):
    def lock():
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in {"threading", "functools"}:
            frame = frame.f_back
        held = make()
        if frame.f_globals["__name__"].startswith("mjrelay"):
            locks.append(held)
        return held
    return lock

locks = []
for name in [name for name in sys.modules if name.startswith("mjrelay")]:
    del sys.modules[name]
threading.Lock, threading.RLock = recorded(threading.Lock), recorded(threading.RLock)
functools.RLock = threading.RLock

from mjrelay import Exchange, Relay
from mjrelay.monitor import Monitor
from mjrelay.testing import NoWaitClock

clock = NoWaitClock()
monitor = Monitor("zhongzhuan", api_key="mock-key", level="must", on_finding=print)
proxied = Relay("zhongzhuan", "mock-key", base_url="http://relay.test", proxy=URL)
shared = Relay("zhongzhuan", "mock-key", base_url=URL, on_exchange=monitor, clock=clock, connections=2)

def work():
    assert [task.id for task in shared.wait_all(["1", "2"])] in (["1", "2"], ["2", "1"])
    check(range(2), shared)
    with Relay("zhongzhuan", "mock-key", base_url=URL) as own:
        check(range(2), own)
    clock.sleep(1)
    logging.getLogger("httpx").warning("a line")
    check(range(1), proxied)
    assert monitor.flush(20)
    assert monitor.judged
    assert Exchange("GET", URL, status=200, body=b"{}").document == {}

def hold():
    for lock in locks:
        lock.acquire(timeout=5)
    holding.set()
    done.wait(60)
    for lock in locks:
        with contextlib.suppress(RuntimeError):
            lock.release()

holding, done = threading.Event(), threading.Event()
work()
thread = threading.Thread(target=hold)
thread.start()
holding.wait(30)
assert len(locks) > 5
child = fork(work)
join(child)
done.set()
thread.join()
work()
monitor.close()
proxied.close()
shared.close()
"""
    site.origin, origin = "http://relay.test", site.origin
    run(site, program, url=origin)


def test_a_download_is_resumed_while_a_child_lives(site: Site, tmp_path: Path) -> None:
    """A child does not hold the lock of a file that its parent was downloading."""
    pytest.importorskip("fcntl")
    program = """
folder = sys.argv[1]
from mjrelay.download import Downloader

def download():
    downloader = Downloader(home=URL, source="relay", clock=NoWaitClock())
    return downloader.download("1", [URL + "/file"], Path(folder))

from mjrelay.testing import NoWaitClock
reading, writing = os.pipe()
found = []
with relay() as shared:
    thread = threading.Thread(target=lambda: found.extend(download()))
    thread.start()
    shared.fetch("await-1")
    while not list(Path(folder).glob("*.part")):
        time.sleep(0.01)
    child = fork(lambda: os.read(reading, 1))  # the child lives until the download has ended
    shared.fetch("release")
    thread.join()
    os.write(writing, b"1")
    join(child)
assert [path.read_bytes() for path in found] == [b"12345678"], found
"""
    run(site, program, str(tmp_path))


def test_a_fork_during_a_download_ends_it_in_the_child(site: Site, tmp_path: Path) -> None:
    """If the caller forks in `on_progress`, `download` raises in the child and continues in the parent."""
    program = """
folder = sys.argv[1]
from attrs import evolve
from mjrelay import DownloadError

def on_progress(_):
    if not children:
        children.append(os.fork())
        if not children[0]:
            signal.alarm(30)
        else:
            shared.fetch("release")

children = []
with relay() as shared:
    task = shared.fetch("1")
    task.document["imageUrl"] = URL + "/file"
    task = shared.read(json.dumps(task.document).encode())
    try:
        paths = shared.download(task, folder, on_progress=on_progress)
    except DownloadError as error:
        os._exit(0 if not children[0] and "stopped" in str(error) else 1)
    if not children[0]:
        os._exit(2)
    join(*children)
    assert [path.read_bytes() for path in paths] == [b"12345678"]
"""
    run(site, program, str(tmp_path))
