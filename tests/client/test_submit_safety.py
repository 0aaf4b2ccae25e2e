"""Nothing is paid twice: whatever the network, the transport, the client of the user and the arguments do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, Any

import forked
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paid import CUT, PaidServer, accepted

from mjrelay import (
    AsyncRelay,
    Relay,
    RelayError,
    SettingError,
    Submission,
    SubmitOutcomeUnknownError,
    SubmitRecord,
    TransportError,
)
from mjrelay.contract import load_contract, relay_names
from mjrelay.http import Exchange
from mjrelay.testing import NoWaitClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "sk-a-key-of-the-tests-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)


def submit_by_each_transport(
    url: str, times: int = 1, *, timeout: float | None = None, **options: Any
) -> Iterator[tuple[str, list[Any]]]:
    """Submit some times by each transport; yield its name, and the submissions or errors."""
    common: dict[str, Any] = {"base_url": url, "clock": NoWaitClock(), "submit_retries": 0, **options}
    call: dict[str, Any] = {} if timeout is None else {"timeout": timeout}

    def sync(**own: Any) -> list[Any]:
        results: list[Any] = []
        with Relay("newapi", KEY, **common, **own) as relay:
            for _ in range(times):
                try:
                    results.append(relay.imagine("a pig", **call))
                except RelayError as error:
                    results.append(error)
        return results

    async def asynchronous(**own: Any) -> list[Any]:
        results: list[Any] = []
        async with AsyncRelay("newapi", KEY, **common, **own) as relay:
            for _ in range(times):
                try:
                    results.append(await relay.imagine("a pig", **call))
                except RelayError as error:
                    results.append(error)
        return results

    async def by_client() -> list[Any]:
        async with httpx.AsyncClient() as client:
            return await asynchronous(client=client)

    yield "h11", sync()
    yield "fast", sync(fast=True)
    yield "async h11", asyncio.run(asynchronous())
    yield "async fast", asyncio.run(asynchronous(fast=True))
    if "proxy" not in options:
        with httpx.Client() as client:
            yield "httpx", sync(client=client)
        yield "async httpx", asyncio.run(by_client())


@contextmanager
def listening(answer: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """A listener that passes each connection to a function, or accepts none; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while answer is not None:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_only_a_connection_that_failed_costs_nothing() -> None:
    """Refused, and TLS that fails: every transport knows that nothing was sent."""
    with PaidServer(lambda *_: accepted()) as server:
        port = server.url.rpartition(":")[2]
        for name, (result,) in submit_by_each_transport(f"https://127.0.0.1:{port}"):
            assert (type(result), result.charged, result.may_resend) == (TransportError, "no", "now"), name
    for name, (result,) in submit_by_each_transport(server.url):
        assert (type(result), result.charged) == (TransportError, "no"), name


def test_a_timeout_while_connecting() -> None:
    """A TLS handshake without end sends nothing; a transport that cannot know so says unknown."""
    with listening(None) as port:
        for name, (result,) in submit_by_each_transport(f"https://127.0.0.1:{port}", timeout=0.3):
            assert result.charged in ({"no"} if "h11" in name else {"no", "unknown"}), name
            if name == "httpx":
                break  # anyio leaves a socket open when a handshake of httpx is cancelled


def test_a_timeout_after_sending_is_unknown() -> None:
    """The request was received, so that its outcome is unknown, by every transport."""
    release = threading.Event()

    def answer(*_: Any) -> Any:
        release.wait(10)
        return accepted()

    with PaidServer(answer, locked=False) as server:
        for number, (name, (result,)) in enumerate(submit_by_each_transport(server.url, timeout=0.4), 1):
            assert type(result) is SubmitOutcomeUnknownError, name
            assert (result.charged, result.may_resend) == ("unknown", "unknown"), name
            assert len(server.received) == number, name
        release.set()


def test_idle_connections_that_were_closed() -> None:
    """A request on a connection that was closed under it is not sent again."""
    for name, results in _each(lambda number, _: CUT if number % 2 == 0 else accepted(), times=2):
        assert [type(one) for one in results] == [Submission, SubmitOutcomeUnknownError], name
    received = []

    def close_early(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data or not data.rstrip().endswith(b"}"):
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        received.append(data)
        body = json.dumps({"code": 1, "result": "17956"}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with listening(close_early) as port:
        for name, results in submit_by_each_transport(f"http://127.0.0.1:{port}", times=3):
            sent, known = len(received), sum(type(one) is Submission for one in results)
            assert known <= sent <= 3, name  # never more requests than submits
            received.clear()


def _each(answer: Callable[..., Any], *, times: int = 1) -> Iterator[tuple[str, list[Any]]]:
    """Submit by each transport to a server; exactly as many requests arrive."""
    with PaidServer(answer) as server:
        for name, results in submit_by_each_transport(server.url, times):
            yield name, results
            assert len(server.received) == times, name
            server.received.clear()


def test_redirects_are_not_followed() -> None:
    """A redirect of any kind is one request with an unknown outcome."""
    for status in (301, 302, 303, 307, 308):
        answer = (status, None, {"Location": "/mj/submit/imagine"})
        for name, (result,) in _each(lambda *_, answer=answer: answer):
            assert type(result) is SubmitOutcomeUnknownError, (name, status)


def test_a_client_with_its_own_retries() -> None:
    """A transport that sends a request and reports a connection error afterwards is not believed."""

    class Retrying(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            try:
                return super().handle_request(request)
            except httpx.TransportError as error:
                raise httpx.ConnectError("the second attempt was refused") from error

    with (
        PaidServer(lambda *_: CUT) as server,
        httpx.Client(transport=Retrying()) as client,
        Relay("newapi", KEY, base_url=server.url, client=client, clock=NoWaitClock()) as relay,
    ):
        with pytest.raises(SubmitOutcomeUnknownError):
            relay.imagine("a pig")
        assert len(server.received) == 1


@pytest.mark.filterwarnings("ignore::mjrelay.PlainHTTPWarning")
def test_proxies_that_answer_themselves() -> None:
    """A refused CONNECT sent nothing; a response to the request itself may have been forwarded."""
    for status in (407, 502):
        seen: list[bytes] = []

        def refuse(connection: socket.socket, status: int = status, seen: list[bytes] = seen) -> None:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)

        with listening(refuse) as port:
            proxy = f"http://127.0.0.1:{port}"
            for name, (result,) in submit_by_each_transport("https://relay.example", proxy=proxy):
                assert (result.charged, seen[-1][:8]) == ("no", b"CONNECT "), (name, status)
            count = len(seen)
            for number, (name, (result,)) in enumerate(
                submit_by_each_transport("http://relay.example", proxy=proxy), 1
            ):
                assert type(result) is SubmitOutcomeUnknownError, (name, status)
                assert len(seen) == count + number, (name, status)


def test_a_bare_503_is_sent_once() -> None:
    """A proxy sends 503 also after the relay took a task: unknown for every relay, whatever the body."""
    bodies: tuple[Any, ...] = (None, b"<html>no server is available</html>", {"message": "upstream timeout"})
    for name in relay_names():
        if not load_contract(name).submits:
            continue
        for body in bodies:
            with PaidServer(lambda *_, body=body: (503, body, {"Retry-After": "0"})) as server:
                with Relay(name, KEY, base_url=server.url, clock=NoWaitClock()) as relay:
                    with pytest.raises(SubmitOutcomeUnknownError) as caught:
                        relay.imagine("a pig")
                assert (caught.value.charged, caught.value.may_resend) == ("unknown", "unknown"), name
                assert len(server.received) == 1, name
    for answer in ANSWERS:
        receipt = answer.read(Exchange("POST", "", status=503, body=b"<html>"))
        assert (receipt.outcome, receipt.may_resend) == ("unknown", "unknown")


def _receive(connection: socket.socket) -> bool:
    """Receive a request with a JSON body. Return False if the connection ends before."""
    data = b""
    while not data.endswith(b"}"):
        piece = connection.recv(65536)
        if not piece:
            return False
        data += piece
    return True


def test_a_response_that_ends_early() -> None:
    """Cut after any byte, by a close or a reset, a response has no id; one that is whole has it."""
    body = b'{"code": 1, "result": "17956"}'
    parts: list[tuple[bytes, bytes, bool]] = []
    heads = (
        b"Content-Length: %d\r\n\r\n" % (len(body) + 1),
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(body) + 1),
        b"Connection: close\r\n\r\n",
    )

    def answer(connection: socket.socket) -> None:
        if _receive(connection):
            head, part, reset = parts[-1]
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + part)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(answer) as port:
        options: dict[str, Any] = {"base_url": f"http://127.0.0.1:{port}"}
        with (
            httpx.Client() as client,
            Relay("newapi", KEY, **options) as plain,
            Relay("newapi", KEY, fast=True, **options) as fast,
            Relay("newapi", KEY, client=client, **options) as by_client,
        ):
            for relay, head, reset in product((plain, fast, by_client), heads, (False, True)):
                for end in (*range(0, len(body), 7), len(body)):
                    parts.append((head, body[:end], reset))
                    try:
                        submission = relay.imagine("a pig")
                    except SubmitOutcomeUnknownError:
                        assert end < len(body) or reset, (head, end)  # a reset may overtake the body
                    else:
                        assert (end, submission.ids) == (len(body), ("17956",)), (head, reset)


FULL = """
import os, resource, sys
from mjrelay import Relay, SettingError
url, log = sys.argv[1:]
with Relay("newapi", "sk-a-key-of-the-tests", base_url=url, submit_log=log) as relay:
    relay.imagine("a pig")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(log) + 50, limits[1]))
    try:
        relay.imagine("a pig")
    except SettingError:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        relay.imagine("a pig")
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")
def test_a_line_cut_by_a_full_disk(tmp_path: Path) -> None:
    """Its submit is not sent, and the next line stands alone: `mjrelay submits` lists the unknown submit."""
    log = tmp_path / "log"

    def answer(number: int, _: dict[str, Any]) -> Any:
        if number == 2:
            process.kill()
            process.wait()
        return accepted()

    with PaidServer(answer) as server:
        process = subprocess.Popen([sys.executable, "-c", FULL, server.url, str(log)])
        process.wait(timeout=60)
        assert len(server.received) == 2
    *_, cut, last = log.read_text(encoding="utf-8").splitlines()
    assert (cut.startswith('{"time"'), len(cut)) == (True, 50)
    assert json.loads(last)["state"] == server.received[1][1]["state"]
    done = forked.run(["submits", str(log)], {**os.environ})
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["accepted", "unknown"]
    assert (done.returncode, "were skipped: 1\n" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("hook", ["on_submit", "on_exchange"])
def test_an_interrupted_hook_notes_the_id(tmp_path: Path, hook: str, kind: type[BaseException]) -> None:
    """What ends the program after the response arrived carries the id in a note; the log has it too."""

    def interrupt(record: Any, _: Any = None) -> None:
        if getattr(record, "event", "answered") == "answered":
            raise kind

    def note(result: BaseException | None) -> list[str]:
        return getattr(result, "__notes__", [])

    async def asynchronous(options: dict[str, Any]) -> None:
        async with AsyncRelay("newapi", KEY, **options) as client:
            await client.imagine("a pig")

    with PaidServer(lambda *_: accepted("17956")) as server:
        options: dict[str, Any] = {"base_url": server.url, "submit_log": tmp_path / "log", hook: interrupt}
        with Relay("newapi", KEY, **options) as relay, pytest.raises(kind) as caught:
            relay.imagine("a pig")
        assert note(caught.value) == ["this imagine was answered: 17956"]
        with pytest.raises(kind) as caught:
            asyncio.run(asynchronous(options))
        assert "this imagine was answered: 17956" in note(caught.value)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [line.get("ids") for line in lines] == [None, ["17956"]] * 2


class _FailingHandler(logging.Handler):
    """A log handler of the user that raises."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError(record.getMessage())


def test_a_log_that_fails_after_the_response(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The submission is returned and the logger has the record; if that fails too, the error has the id."""
    log, handler = tmp_path / "log", _FailingHandler()

    def answer(*_: Any) -> Any:
        log.unlink()
        log.mkdir()
        return accepted("17956")

    with PaidServer(answer) as server:
        with Relay("newapi", KEY, base_url=server.url, submit_log=log) as relay:
            assert relay.imagine("a pig").id == "17956"
            assert '"ids": ["17956"]' in caplog.text
            log.rmdir()
            logging.getLogger("mjrelay").addHandler(handler)
            try:
                with pytest.raises(RuntimeError) as caught:
                    relay.imagine("a pig")
            finally:
                logging.getLogger("mjrelay").removeHandler(handler)
    assert caught.value.__notes__ == ["this imagine was answered: 17956"]


def test_the_log_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is that of the directory in which the relay was created."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with (
        PaidServer(lambda *_: accepted()) as server,
        Relay("newapi", KEY, base_url=server.url, submit_log="log") as relay,
    ):
        monkeypatch.chdir(tmp_path / "other")
        relay.imagine("a pig")
    assert len((tmp_path / "log").read_text(encoding="utf-8").splitlines()) == 2


def test_no_repr_shows_a_prompt() -> None:
    """A submission, its exchange, the records of the hook, a refusal and the call hide the prompt."""
    prompt, records = "a pig that is private", list[SubmitRecord]()
    window = {"code": 21, "description": prompt, "result": "17956", "properties": {"finalPrompt": prompt}}
    with (
        PaidServer(lambda *_: (200, window, {})) as server,
        Relay("newapi", KEY, base_url=server.url, log_prompts=True, on_submit=records.append) as relay,
    ):
        submission = relay.imagine(prompt)
        assert (submission.prompt, submission.description) == (prompt, prompt)
        assert records[0].prompt == prompt
        answer = relay_answer(submission.exchange)
        for shown in (submission, submission.exchange, relay, *records, answer):
            assert prompt not in repr(shown)
        with pytest.raises(SettingError) as caught:
            relay.imagine(prompt, speed="slow")
        assert prompt not in repr(caught.value)


def relay_answer(exchange: Exchange) -> object:
    """Return how a response to an imagine is read."""
    return load_contract("newapi").submits[0].form.answer.read(exchange)


JUNK: st.SearchStrategy[Any] = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5)),
    st.lists(st.integers() | st.text(max_size=3), max_size=2),
    st.dictionaries(st.text(max_size=3) | st.integers(), st.integers(), max_size=2),
)
ARGUMENTS = ("prompt", "images", "mask", "task", "button", "index", "speed", "bot", "state", "fields")


def test_arguments_of_any_type_are_sent_or_refused() -> None:
    """Whatever is passed, a submit is sent once, or refused with `SettingError` before anything is sent."""
    with PaidServer(lambda *_: accepted()) as server, Relay("mjproxy", KEY, base_url=server.url) as relay:

        @settings(max_examples=150, deadline=None)
        @given(
            action=st.sampled_from(["imagine", "blend", "describe", "press", "modal"]),
            given_arguments=st.dictionaries(st.sampled_from(ARGUMENTS), JUNK, max_size=4),
        )
        def check(action: str, given_arguments: dict[str, Any]) -> None:
            before = len(server.received)
            try:
                relay.submit(action, **given_arguments)
            except SettingError:
                assert len(server.received) == before
            else:
                assert len(server.received) == before + 1

        check()


def test_a_press_needs_a_button() -> None:
    """Without a button no operation is chosen, also where one stands for a button without sending it."""
    with PaidServer(lambda *_: accepted()) as server:
        for name in relay_names():
            with Relay(name, KEY, base_url=server.url) as relay:
                for button in (None, "", 5, b"U1"):
                    with pytest.raises(SettingError):
                        relay.submit("press", task="1730000000000000", button=button)
                with pytest.raises(SettingError):
                    relay.submit("press", task="1730000000000000")
                with pytest.raises((SettingError, RelayError)) as caught:  # the parent cannot be fetched
                    relay.press("1730000000000000", "U9")
                assert getattr(caught.value, "charged", "no") == "no"
        assert not [path for path, _ in server.received if "submit" in path]


def test_the_log_takes_any_text(tmp_path: Path) -> None:
    """A prompt or token that is not valid Unicode is written to the log, and the id is not lost."""
    log = tmp_path / "log"
    with (
        PaidServer(lambda *_: accepted("17956")) as server,
        Relay("newapi", KEY, base_url=server.url, submit_log=log, log_prompts=True) as relay,
    ):
        assert relay.imagine("a \ud800 pig", state="\udfff").id == "17956"
    first, last = map(json.loads, log.read_text().splitlines())
    assert (first["prompt"], last["ids"]) == ("a \ud800 pig", ["17956"])


def test_a_hook_that_raises_loses_nothing() -> None:
    """The submission is returned although every call of the hook fails."""

    def hook(_: SubmitRecord) -> None:
        raise ValueError("a fault of the hook")

    with (
        PaidServer(lambda *_: accepted("17956")) as server,
        Relay("newapi", KEY, base_url=f"{server.url}/a/path/", on_submit=hook) as relay,
    ):
        assert relay.imagine("a pig").id == "17956"
        assert [path for path, _ in server.received] == ["/a/path/mj/submit/imagine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_counts_on() -> None:
    """A child process keeps the count that it was forked with, and its connection is its own."""
    with (
        PaidServer(lambda *_: accepted()) as server,
        Relay("newapi", KEY, base_url=server.url, max_submits=2) as relay,
    ):
        relay.imagine("a pig")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                relay.imagine("a pig")
                relay.imagine("a pig")
            except RelayError as error:
                code = 0 if type(error).__name__ == "SpendingLimitError" else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(server.received) == 2


BODY = st.one_of(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["code", "result", "error", "data", "jobId", "task_id", "status", "message"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
STATUS = st.sampled_from([200, 201, 204, 301, 400, 401, 402, 403, 404, 429, 499, 500, 502, 503, 504, 520])
ANSWERS = [one.form.answer for name in relay_names() for one in load_contract(name).submits]


@settings(max_examples=300, deadline=None)
@given(
    status=STATUS, body=BODY, answer=st.sampled_from(ANSWERS), media_type=st.sampled_from(["text/html", ""])
)
def test_any_response_is_read(status: int, body: bytes, answer: Any, media_type: str) -> None:
    """No response raises anything, and one with an id is never charged "no" and repeated."""
    exchange = Exchange("POST", "", status=status, headers=(("Content-Type", media_type),), body=body)
    receipt = answer.read(exchange)
    if receipt.ids:
        assert receipt.may_resend in {"never", "unknown"}
    if receipt.outcome.accepted:
        assert receipt.ids or receipt.links
    if receipt.may_resend == "later":
        assert receipt.charged == "no"
