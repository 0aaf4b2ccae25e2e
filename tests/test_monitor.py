"""The monitor judges the responses that a program receives, within bounds."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from mjrelay_conformance.drivers import LiveJudge
from mjrelay_conformance.drivers import monitor as live
from mjrelay_conformance.judging import Kind
from sampled import WHOLE
from twins import Async, Sync, UVLoop

from mjrelay import (
    Exchange,
    MissingExtraError,
    MjrelayError,
    RelayError,
    SettingError,
    State,
    UnknownRelayError,
    monitor,
)
from mjrelay.contract.loading import relay_names
from mjrelay.monitor import Finding, Monitor
from mjrelay.testing import NoWaitClock, mock

if TYPE_CHECKING:
    from collections.abc import Iterator

    Twin = type[Sync | Async]

KEY = "sk-never-to-be-seen-0123456789abcdef"
RELAY = "zhongzhuan"
TWINS = pytest.mark.parametrize("twin", [Sync, Async])
JSON = (("Content-Type", "application/json"),)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of this machine."""
    for name in ("MJRELAY_API_KEY", "MJRELAY_BASE_URL", "MJRELAY_ZHONGZHUAN_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hold back judging until the event is set."""
    event, judge = threading.Event(), LiveJudge.judge

    def wait(self: LiveJudge, *queued: Any) -> None:
        event.wait(30)
        judge(self, *queued)

    monkeypatch.setattr(LiveJudge, "judge", wait)
    yield event
    event.set()


def exchange(status: int | None = 200, body: bytes = b"{}", **changes: Any) -> Exchange:
    """Return an exchange with a relay."""
    failure = None if status else "connection refused"
    given = {"status": status, "headers": JSON, "body": body, "failure": failure}
    return Exchange("GET", "https://relay.example/mj/task/1/fetch", **{**given, **changes})


def judged(twin: Twin, *faults: str, times: int = 1, **options: Any) -> tuple[list[Finding], Monitor]:
    """Fetch each task of a mock a number of times, and return the findings."""
    found: list[Finding] = []
    with (
        mock(RELAY, faults=faults, key=KEY) as served,
        Monitor(RELAY, on_finding=found.append, api_key=KEY, **options) as watching,
        twin(RELAY, KEY, base_url=served.base_url, on_exchange=watching) as relay,
    ):
        for task_id in served.known.values():
            for _ in range(times):
                with suppress(RelayError):
                    relay.fetch(task_id)
    return found, watching


@TWINS
def test_a_fault_is_found_by_the_check_of_the_suite(twin: Twin) -> None:
    """A fault is a finding of the suite's check, with task, clause, expected and actual value."""
    for fault, check, times in (
        ("seconds-not-ms", "fetch/200/times", 1),
        ("html-200", "fetch/200/media-type", 1),
        ("wrong-id", "fetch/200/id", 1),
        ("secret-echoed", "fetch/secret", 1),
        ("connection-reset", "fetch/transfer", 1),
        ("changes-when-read", "sequence/content", 2),
    ):
        found, watching = judged(twin, fault, times=times)
        assert {finding.check for finding in found} == {check}
        finding = found[0]
        assert (finding.relay, finding.level) == (RELAY, "must")
        assert finding.expected
        assert finding.actual
        assert finding.clause.startswith(("openapi/zhongzhuan.yaml:", "RFC "))
        assert finding.exchange.url.endswith(f"/mj/task/{finding.task_id}/fetch")
        assert watching.findings[check] >= len(found)
        assert KEY not in f"{found} {[(one.exchange.body, one.exchange.headers) for one in found]}"


@pytest.mark.parametrize(
    ("name", "twin"), [*((name, Sync) for name in relay_names()), *((name, Async) for name in WHOLE)]
)
def test_a_conformant_relay_has_no_finding(name: str, twin: Twin) -> None:
    """Tasks of a conformant relay, fetched twice, waited for, in batches, and missing, have no finding."""
    with (
        mock(name, key=KEY) as served,
        Monitor(name, api_key=KEY, level="should") as watching,
        twin(name, KEY, base_url=served.base_url, on_exchange=watching, clock=served.clock) as relay,
    ):
        for task_id in (*served.known.values(), *served.known.values()):
            relay.fetch(task_id)
        with pytest.raises(RelayError):
            relay.fetch("4211111111")
        relay.wait(served.submit(60))
        assert len(relay.wait_all([served.submit(5), served.submit(50)])) == 2
        assert len(relay.fetch_all([*served.known.values(), "4211111112"], on_error=lambda _: None))
        requests = served.requests
    assert (watching.findings, watching.judged) == ({}, requests)


@pytest.mark.parametrize("twin", [Sync, Async, UVLoop])
def test_the_hook_is_called_for_each_exchange(twin: Twin) -> None:
    """The hook is called once for each request, with its task ids."""
    ids: list[tuple[str, ...]] = []
    options: dict[str, Any] = {"clock": NoWaitClock(), "on_exchange": lambda _, asked: ids.append(asked)}
    with (
        mock(RELAY, key=KEY, clock=options["clock"]) as served,
        twin(RELAY, KEY, base_url=served.base_url, **options) as relay,
    ):
        one, two = served.submit(20), served.submit(20)
        relay.wait(one)
        relay.watch(one)
        several = len(ids)
        relay.wait_all([one, two])
        relay.fetch_all([two, one])
        assert len(ids) == served.requests
    assert set(ids[:several]) == {(one,)}
    assert {frozenset(asked) for asked in ids[several:]} == {frozenset((one, two))}


@TWINS
def test_downloads_are_not_judged(twin: Twin, tmp_path: Any) -> None:
    """The hook is not called for downloads."""
    seen: list[Exchange] = []
    with (
        mock(RELAY, key=KEY) as served,
        twin(RELAY, KEY, base_url=served.base_url, on_exchange=lambda one, _: seen.append(one)) as relay,
    ):
        relay.fetch(served.known[State.SUCCEEDED])
        assert relay.download(relay.client.read(seen[0].body), tmp_path)
    assert len(seen) == 1


@TWINS
def test_a_failing_hook_breaks_no_fetch(twin: Twin, caplog: pytest.LogCaptureFixture) -> None:
    """Tasks are still returned, and the failure is logged once for the relay and its copies."""

    def fails(exchange: Exchange, ids: tuple[str, ...]) -> None:
        raise ValueError("no luck")

    with (
        mock(RELAY, key=KEY) as served,
        twin(RELAY, KEY, base_url=served.base_url, on_exchange=fails, clock=served.clock) as relay,
    ):
        task_id = served.known[State.SUCCEEDED]
        assert relay.wait(task_id).state is State.SUCCEEDED
        for options in ({"timeout": 9}, {"on_exchange": None}):
            relay.client = relay.client.with_options(**options)
            assert relay.fetch(task_id).state is State.SUCCEEDED
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mjrelay", "ERROR")
    assert "no luck" in caplog.text


def test_an_invalid_hook_is_an_error() -> None:
    """A value that cannot be called, and a coroutine function, raise before anything is sent."""

    async def awaited(exchange: Exchange, ids: tuple[str, ...]) -> None:
        raise AssertionError("it is not awaited")

    for wrong in (4, "print", awaited):
        hook: Any = wrong
        with pytest.raises(SettingError, match="give a plain function"), Sync(RELAY, KEY, on_exchange=hook):
            raise AssertionError("created")


def test_a_failing_callback_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two different findings are both counted, and the callback's failure is logged once."""
    reported: list[Finding] = []

    def fails(finding: Finding) -> None:
        reported.append(finding)
        raise ValueError("no luck")

    with Monitor(RELAY, api_key=KEY, on_finding=fails) as watching:
        for one in (exchange(500), exchange(502), exchange(200, b"no JSON")):
            watching(one, ("1",))
    assert len(reported) >= 2
    assert watching.judged == 3
    assert sum("on_finding failed" in record.message for record in caplog.records) == 1


def test_an_internal_error_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error is no finding and ends nothing; its traceback is redacted."""

    def fails(exchange: Exchange) -> Any:
        raise ValueError(exchange.body.decode())

    with Monitor(RELAY, api_key=KEY) as watching:
        monkeypatch.setattr(live, "_fresh", fails)
        for _ in range(3):
            watching(exchange(500, f"seen: {KEY}".encode()), ("1",))
        assert watching.flush()
        monkeypatch.undo()
        watching(exchange(500), ("1",))
    assert (watching.judged, watching.findings) == (1, {"fetch/known/status": 1})
    assert sum("could not be judged" in record.message for record in caplog.records) == 1
    assert "ValueError: seen: [redacted]" in caplog.text
    assert KEY not in caplog.text


def test_a_crashed_check_is_no_finding(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, under its id, and the other checks continue."""

    def fails(_: Any) -> Any:
        raise ValueError("no luck")

    with Monitor(RELAY, api_key=KEY) as watching:
        checks = watching._judge.checks
        broken, *others = checks[Kind.KNOWN]
        checks[Kind.KNOWN] = (evolve(broken, judge=fails), *others)
        for _ in range(2):
            watching(exchange(500), ("1",))
    assert watching.judged == 2
    assert broken.id not in watching.findings
    assert sum(broken.id in record.message for record in caplog.records if record.levelname == "ERROR") == 1
    assert "NoneType" not in caplog.text


def test_without_a_callback_each_new_finding_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The same finding in many responses, whatever its numbers, is one line without control characters."""
    with Monitor(RELAY, api_key=KEY) as watching:
        for number in range(30):
            body = b'{"code": %d, "description": "\x1b[31mred\\u202e"}' % number
            watching(exchange(500, body), (str(number),))
        assert watching.flush()
        watching(exchange(500), ("1",))
    lines = [record.getMessage() for record in caplog.records]
    assert {(record.name, record.levelname) for record in caplog.records} == {("mjrelay.monitor", "WARNING")}
    assert watching.findings == {"fetch/known/status": 31}
    assert len(lines) == 2
    assert lines[0].startswith("zhongzhuan: check fetch/known/status (MUST) failed for task 0: ")
    assert all(line.isprintable() for line in lines)
    assert logging.getLogger("mjrelay.monitor") is monitor._log


def test_varying_findings_are_reported_a_limited_number_of_times() -> None:
    """A relay whose every error differs fills no log; all findings are counted."""
    reported: list[Finding] = []
    with Monitor(RELAY, api_key=KEY, on_finding=reported.append) as watching:
        for number in range(100):
            watching(exchange(500, b'"' + b"x" * number + b'"'), ("1",))
    assert 1 < len(reported) <= 20
    assert watching.findings["fetch/known/status"] == 100


def test_inconclusive_responses_are_no_findings() -> None:
    """No response, an overload, a refused key and a task that may be missing prove nothing."""
    for one in (
        exchange(None),
        exchange(429),
        exchange(503, b'{"error": {"message": "system cpu overloaded"}}'),
        exchange(522, b"<html>"),
        exchange(401, b'{"error": "who are you?"}'),
        exchange(404, b"no such task"),
        exchange(410, b""),
    ):
        with Monitor(RELAY, api_key=KEY) as watching:
            watching(exchange(500), ("before",))
            watching(one, ("1",))
        tasks = {
            id_: n for id_, n in watching.findings.items() if id_.startswith(("fetch/known", "fetch/200"))
        }
        assert tasks == {"fetch/known/status": 1}, one


def test_a_task_that_disappears_is_found() -> None:
    """Once a task was read, a response for a missing task breaks the contract."""
    with mock(RELAY, key=KEY) as served, Monitor(RELAY, api_key=KEY) as watching:
        relay = served.relay(on_exchange=watching)
        task_id = served.known[State.SUCCEEDED]
        relay.fetch(task_id)
        missing = served.relay(api_key=KEY)
        with pytest.raises(RelayError) as caught:
            missing.fetch("4211111111")
        assert caught.value.exchange is not None
        assert watching.flush()
        assert watching.findings == {}
        watching(caught.value.exchange, (task_id,))
    assert watching.findings == {"fetch/known/status": 1}


def test_overlapping_fetches_have_no_order() -> None:
    """Two responses are compared only if the first one ended before the second request started."""
    with mock(RELAY, key=KEY) as served:
        relay = served.relay()
        ended = relay.fetch(served.known[State.SUCCEEDED]).exchange
        running = relay.fetch(served.known[State.RUNNING]).exchange
    assert ended is not None
    assert running is not None
    task_id = served.known[State.SUCCEEDED]
    late = running.body.replace(served.known[State.RUNNING].encode(), task_id.encode())
    for elapsed, findings in ((60.0, {}), (0.0, {"sequence/terminal": 1})):
        with Monitor(RELAY, api_key=KEY, checks=["sequence/*"]) as watching:
            watching(ended, (task_id,))
            time.sleep(0.001)
            watching(exchange(200, late, elapsed=elapsed), (task_id,))
        assert watching.findings == findings


def test_the_caller_may_change_its_document(held: threading.Event) -> None:
    """A change of the caller's document before it is judged is no finding."""
    with mock(RELAY, key=KEY) as served, Monitor(RELAY, api_key=KEY) as watching:
        task = served.relay(on_exchange=watching).fetch(served.known[State.SUCCEEDED])
        task.document.clear()
        held.set()
    assert (watching.judged, watching.findings) == (1, {})


def test_levels_and_checks_are_selected() -> None:
    """INFO is reported on request. Only selected checks are reported, though those they need run as well."""
    counts = []
    for level in ("must", "should", "info"):
        with Monitor(RELAY, api_key=KEY, level=level, checks=["fetch/200/status-word"]) as watching:
            watching(exchange(200, b'{"id": "1", "status": "DREAMING"}'), ("1",))
        counts.append(watching.findings.get("fetch/200/status-word", 0))
    assert counts == [0, 0, 1]
    found, _ = judged(Sync, "seconds-not-ms", "secret-echoed", checks=["fetch/secret"])
    assert {finding.check for finding in found} == {"fetch/secret"}
    assert judged(Sync, "html-200", checks=["fetch/200/times*"])[0] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": 1.5}, "every is 1.5"),
        ({"level": "shall"}, "must, should, info"),
        ({"checks": ["fetch/nothing"]}, "fetch/nothing: no check has such an id"),
        ({"checks": "fetch/*"}, "pass a list"),
        ({"secrets": "another"}, "pass a list"),
        ({"api_key": None}, "MJRELAY_ZHONGZHUAN_API_KEY"),
        ({"api_key": "k"}, "fewer than 4"),
    ],
)
def test_invalid_arguments_are_errors(options: dict[str, Any], message: str) -> None:
    """The error names the argument and a valid value; so does that of an unknown relay."""
    with pytest.raises(MjrelayError, match=message):
        Monitor(RELAY, **{"api_key": KEY, **options})
    with pytest.raises(UnknownRelayError):
        Monitor("zhongzuan", api_key=KEY)


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response that contains the key or another secret is found, and the secret is redacted."""
    monkeypatch.setenv("MJRELAY_ZHONGZHUAN_API_KEY", KEY)
    reported: list[Finding] = []
    other = "another-secret-key-9876543210"
    with Monitor(RELAY, on_finding=reported.append, secrets=[other], checks=["fetch/secret"]) as watching:
        for secret in (KEY, other):
            fields = (*JSON, ("X-Echo", secret))
            for failure in (f"with {secret}", None):
                one = exchange(500, secret.encode(), headers=fields, failure=failure)
                watching(one, (secret,))
    assert watching.findings["fetch/secret"] == 2
    assert reported[0].exchange.body == b"[redacted]"
    shown = f"{[(one, str(one), one.exchange.headers, one.exchange.body) for one in reported]}"
    assert KEY not in shown
    assert other not in shown


@pytest.mark.parametrize("every", [2, 3, 10])
def test_a_share_of_the_responses_is_judged(every: int) -> None:
    """The count is exact, and of tasks that are fetched in turn none is left out."""
    with Monitor(RELAY, api_key=KEY, every=every) as watching:
        for number in range(every * 90):
            watching(exchange(500, b""), (str(number % every),))
            if number % every == 0:
                assert watching.flush()
        assert watching.flush()
        assert watching.judged == 90
    turns = {number % every for number in range(every * 90) if monitor._due(number, every)}
    assert turns == set(range(every))


def test_a_full_queue_drops_and_counts(held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers never wait: responses beyond the limits of number and size are dropped and counted."""
    monkeypatch.setattr(monitor, "_MAX_QUEUED", 10)
    monkeypatch.setattr(monitor, "_MAX_QUEUED_BYTES", 1000)
    with Monitor(RELAY, api_key=KEY) as watching:
        started = time.monotonic()
        for _ in range(100):
            watching(exchange(500, b""), ("1",))
        assert time.monotonic() - started < 5
        assert 89 <= watching.dropped <= 90
        dropped = watching.dropped
        held.set()
        assert watching.flush()
        held.clear()
        for _ in range(3):
            watching(exchange(500, b"x" * 900), ("1",))
        assert watching.dropped in {dropped + 1, dropped + 2}
        held.set()
    assert watching.judged + watching.dropped == 103


def test_kept_responses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last response of the latest tasks are kept, within limits of number and size."""
    monkeypatch.setattr(live, "_MAX_TASKS", 50)
    monkeypatch.setattr(live, "_MAX_KEPT_BYTES", 4000)
    with Monitor(RELAY, api_key=KEY) as watching:
        for number in range(300):
            for progress in (1, 2, 3):
                body = b'{"id": "%d", "status": "IN_PROGRESS", "progress": "%d%%"}' % (number, progress)
                watching(exchange(200, body), (str(number),))
            assert watching.flush()
            tasks = watching._judge._tasks
            assert len(tasks) <= 50
            assert watching._judge._kept == sum(kept.size for kept in tasks.values()) <= 4000
    assert b'"1%"' in tasks[str(number)].first.exchange.body
    assert b'"3%"' in tasks[str(number)].last.exchange.body


def test_closing_judges_the_queue_and_ends_the_thread(held: threading.Event) -> None:
    """Queued responses are judged and later ones are not; closing twice does nothing."""
    before = threading.active_count()
    watching = Monitor(RELAY, api_key=KEY)
    assert watching.flush(0)
    assert threading.active_count() == before  # the thread starts with the first response
    for _ in range(5):
        watching(exchange(500), ("1",))
    assert threading.active_count() == before + 1
    assert not watching.flush(0.01)
    threading.Timer(0.05, held.set).start()
    watching.close()
    assert watching.judged == 5
    assert watching.flush()
    assert not any(thread.name == "mjrelay-monitor" for thread in threading.enumerate())
    watching.close()
    watching(exchange(500), ("1",))
    assert "judged=5" in repr(watching)
    assert KEY not in repr(watching) + repr(watching._judge)


def test_closing_is_bounded(held: threading.Event) -> None:
    """A callback that hangs does not delay the end of a program; its queue is dropped."""
    watching = Monitor(RELAY, api_key=KEY)
    for _ in range(5):
        watching(exchange(500), ("1",))
    started = time.monotonic()
    watching.close(0.05)
    assert time.monotonic() - started < 5
    assert watching._thread is not None
    held.set()
    watching._thread.join(10)
    assert watching.judged <= 1


def test_a_callback_may_close_and_flush() -> None:
    """Neither waits for the thread that it is called in."""
    flushed: list[bool] = []

    def enough(_: Finding) -> None:
        flushed.append(watching.flush())
        watching.close()

    watching = Monitor(RELAY, api_key=KEY, on_finding=enough)
    watching(exchange(500), ("1",))
    assert watching._thread is not None
    watching._thread.join(10)
    assert not watching._thread.is_alive()
    assert flushed == [False]


def test_an_unreferenced_monitor_ends_its_thread() -> None:
    """The thread holds no reference to its monitor."""
    watching = Monitor(RELAY, api_key=KEY)
    watching(exchange(500), ("1",))
    thread = watching._thread
    assert thread is not None
    del watching
    thread.join(10)
    assert not thread.is_alive()


def test_threads_and_relays_share_a_monitor() -> None:
    """Each of many responses in many threads is judged once, in one thread."""
    with Monitor(RELAY, api_key=KEY, checks=["fetch/known/*"]) as watching, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: watching(exchange(500), (str(number),)), range(400)))
        assert watching.flush(30)
        assert watching.judged + watching.dropped == 400
        assert watching.findings == {"fetch/known/status": watching.judged}
        assert sum(thread.name == "mjrelay-monitor" for thread in threading.enumerate()) == 1


def test_an_event_loop_is_not_blocked(held: threading.Event) -> None:
    """Many tasks are fetched while judging stands still."""

    async def main(relay: Any, ids: list[str]) -> int:
        async with relay:
            return len(await asyncio.gather(*(relay.fetch(task_id) for task_id in ids)))

    with mock(RELAY, key=KEY) as served, Monitor(RELAY, api_key=KEY) as watching:
        relay = served.async_relay(on_exchange=watching)
        assert asyncio.run(main(relay, [served.known[State.SUCCEEDED]] * 30)) == 30
        assert watching.judged == 0
        held.set()
    assert (watching.judged, watching.findings) == (30, {})


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "MJRELAY_API_KEY": KEY},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


SETUP = """
import os, sys
from mjrelay import Exchange
from mjrelay.monitor import Monitor
exchange = Exchange("GET", "https://relay.example/mj/task/1/fetch", status=500, body=b"{}")
other = Exchange("GET", "https://relay.example", status=200, body=b"no JSON",
                 headers=(("content-type", "application/json"),))
"""


def test_few_packages_are_imported() -> None:
    """Judging imports neither generators nor a server, and importing the module does not import the suite."""
    heavy = ("schemathesis", "hypothesis", "uvicorn", "requests", "pytest", "jsonschema")
    done = python(
        f"""{SETUP}
assert not any(name.startswith(("mjrelay_conformance", "jsonschema_rs")) for name in sys.modules)
with Monitor("zhongzhuan", on_finding=print) as monitor:
    monitor(other, ("1",))
assert monitor.judged == 1 and monitor.findings, monitor
assert "jsonschema_rs" in sys.modules
print([name for name in {heavy!r} if name in sys.modules])
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_missing_extra_is_named() -> None:
    """Creating a monitor without the extra raises; importing it does not."""
    done = python(
        """
import sys
sys.modules["jsonschema_rs"] = None
from mjrelay import MissingExtraError
from mjrelay.monitor import Monitor
try:
    Monitor("zhongzhuan")
except MissingExtraError as error:
    print(error)
"""
    )
    assert done.stdout == (
        "this needs jsonschema_rs, which is not installed; in a clone of mjrelay, run: "
        "pip install '.[monitor]'\n"
    ), done.stderr
    assert MissingExtraError("monitor", "x").extra == "monitor"


def test_the_end_of_a_program_judges_the_queue() -> None:
    """A program that does not close its monitor still gets the findings, and ends."""
    done = python(
        f"""{SETUP}
monitor = Monitor("zhongzhuan", on_finding=lambda finding: print(finding.check, flush=True))
monitor(exchange, ("1",))
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fetch/known/status\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_process_has_its_own_thread() -> None:
    """A forked process judges in a thread of its own, and no lock stays held."""
    done = python(
        f"""{SETUP}
monitor = Monitor("zhongzhuan", on_finding=lambda finding: print(finding.check, flush=True))
monitor(exchange, ("1",))
assert monitor.flush()
monitor._queue._lock.acquire()
child = os.fork()
if not child:
    monitor(exchange, ("1",))
    monitor(other, ("2",))
    assert monitor.flush()
    os._exit(monitor.judged)
monitor._queue._lock.release()
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fetch/known/status\nfetch/200/json\nchild 3\n"
