"""Judging in production: what a monitor finds in the answers that clients had anyway, and its bounds."""

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
from attrs import asdict, evolve
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
    """What is set on the machine at hand does not reach the tests."""
    for name in ("MJRELAY_API_KEY", "MJRELAY_BASE_URL", "MJRELAY_ZHONGZHUAN_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Monitors judge nothing until the event is set."""
    event, judge = threading.Event(), LiveJudge.judge

    def wait(self: LiveJudge, *answer: Any) -> None:
        event.wait(30)
        judge(self, *answer)

    monkeypatch.setattr(LiveJudge, "judge", wait)
    yield event
    event.set()


def answer(status: int | None = 200, body: bytes = b"{}", **changes: Any) -> Exchange:
    """An exchange that a relay might have had."""
    failure = None if status else "connection refused"
    given = {"status": status, "headers": JSON, "body": body, "failure": failure}
    return Exchange("GET", "https://relay.example/mj/task/1/fetch", **{**given, **changes})


def judged(twin: Twin, *faults: str, times: int = 1, **options: Any) -> tuple[list[Finding], Monitor]:
    """What is found where each task of a mock is fetched so many times."""
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


def shown(found: list[Finding]) -> str:
    """All that findings hold."""
    return f"{[(one, str(one), one.clause, asdict(one.exchange)) for one in found]}"


@TWINS
@pytest.mark.parametrize(
    ("fault", "check", "times"),
    [
        ("seconds-not-ms", "fetch/200/times", 1),
        ("html-200", "fetch/200/media-type", 1),
        ("truncated-json", "fetch/200/json", 1),
        ("status-500", "fetch/known/status", 1),
        ("wrong-id", "fetch/200/id", 1),
        ("wrong-type", "fetch/200/schema", 1),
        ("secret-echoed", "fetch/secret", 1),
        ("connection-reset", "fetch/transfer", 1),
        ("terminal-regression", "sequence/terminal", 2),
        ("changes-when-read", "sequence/content", 2),
    ],
)
def test_a_fault_is_found_by_the_check_of_the_suite(fault: str, check: str, times: int, twin: Twin) -> None:
    """A fault is a finding of the suite's check, with task, clause, expected and actual value."""
    found, watching = judged(twin, fault, times=times)

    assert {finding.check for finding in found} == {check}
    finding = found[0]
    assert (finding.relay, finding.level) == (RELAY, "must")
    assert finding.expected
    assert finding.actual
    assert finding.clause.startswith(("openapi/zhongzhuan.yaml:", "RFC "))
    assert finding.task_id
    assert finding.exchange.url.endswith(f"/mj/task/{finding.task_id}/fetch")
    assert watching.findings[check] >= len(found)
    assert (
        KEY not in f"{found} {[one.exchange.body for one in found]} {[one.exchange.headers for one in found]}"
    )


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
        twin(
            RELAY, KEY, base_url=served.base_url, on_exchange=lambda exchange, _: seen.append(exchange)
        ) as relay,
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
        assert relay.fetch(task_id).state is State.SUCCEEDED
        assert relay.wait(task_id).state is State.SUCCEEDED
        relay.client = relay.client.with_options(timeout=9)
        assert relay.fetch(task_id).state is State.SUCCEEDED
        relay.client = relay.client.with_options(on_exchange=None)
        assert relay.fetch(task_id).state is State.SUCCEEDED
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mjrelay", "ERROR")
    assert "no luck" in caplog.text


@pytest.mark.parametrize("hook", [4, "print"])
def test_what_cannot_be_called_is_no_hook(hook: Any) -> None:
    """It is said before anything is sent; so it is of a function that would have to be awaited."""

    async def awaited(exchange: Exchange, ids: tuple[str, ...]) -> None:
        raise AssertionError("it is not awaited")

    for wrong in (hook, awaited):
        with pytest.raises(SettingError, match="give a plain function"), Sync(RELAY, KEY, on_exchange=wrong):
            raise AssertionError("made")


def test_a_callback_that_fails_is_logged_once_and_judging_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Two different findings are both counted, and the callback's failure is logged once."""
    told: list[Finding] = []

    def fails(finding: Finding) -> None:
        told.append(finding)
        raise ValueError("no luck")

    with Monitor(RELAY, api_key=KEY, on_finding=fails) as watching:
        watching(answer(500), ("1",))
        watching(answer(502), ("1",))
        watching(answer(200, b"no JSON"), ("1",))
    assert len(told) >= 2
    assert watching.judged == 3
    assert sum("on_finding failed" in record.message for record in caplog.records) == 1


def test_what_fails_in_judging_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of our own is no finding, and ends nothing."""
    with Monitor(RELAY, api_key=KEY) as watching:
        monkeypatch.setattr(live, "_fresh", lambda _: 1 / 0)
        for _ in range(3):
            watching(answer(500), ("1",))
        assert watching.flush()
        monkeypatch.undo()
        watching(answer(500), ("1",))
    assert (watching.judged, watching.findings) == (1, {"fetch/known/status": 1})
    assert sum("could not be judged" in record.message for record in caplog.records) == 1


def test_what_is_logged_of_a_failure_holds_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback of an internal error is redacted, because it may quote a response."""

    def fails(exchange: Exchange) -> Any:
        raise ValueError(exchange.body.decode())

    with Monitor(RELAY, api_key=KEY) as watching:
        monkeypatch.setattr(live, "_fresh", fails)
        watching(answer(500, f"seen: {KEY}".encode()), ("1",))
        assert watching.flush()
    assert "ValueError: seen: [redacted]" in caplog.text
    assert KEY not in caplog.text


def test_a_check_that_fails_by_itself_is_no_finding(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, under its id, and the other checks go on."""

    def fails(_: Any) -> Any:
        raise ValueError("no luck")

    with Monitor(RELAY, api_key=KEY) as watching:
        checks = watching._judge.checks
        broken, *others = checks[Kind.KNOWN]
        checks[Kind.KNOWN] = (evolve(broken, judge=fails), *others)
        for _ in range(2):
            watching(answer(500), ("1",))
    assert watching.judged == 2
    assert broken.id not in watching.findings
    assert sum(broken.id in record.message for record in caplog.records if record.levelname == "ERROR") == 1
    assert "NoneType" not in caplog.text


def test_without_a_callback_each_new_finding_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The same finding on many answers, whatever its numbers, is one line without control characters."""
    with Monitor(RELAY, api_key=KEY) as watching:
        for number in range(30):
            body = b'{"code": %d, "description": "\x1b[31mred\\u202e"}' % number
            watching(answer(500, body), (str(number),))
        assert watching.flush()
        watching(answer(500), ("1",))
    lines = [record.getMessage() for record in caplog.records]
    assert {record.name for record in caplog.records} == {"mjrelay.monitor"}
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert watching.findings == {"fetch/known/status": 31}
    assert len(lines) == 2
    assert lines[0].startswith("zhongzhuan: check fetch/known/status (MUST) failed for task 0: ")
    assert all(line.isprintable() for line in lines)


def test_varying_findings_are_reported_a_limited_number_of_times() -> None:
    """A relay that finds new words for each answer fills no log; what is not told is counted."""
    told: list[Finding] = []
    with Monitor(RELAY, api_key=KEY, on_finding=told.append) as watching:
        for number in range(100):
            watching(answer(500, b'"' + b"x" * number + b'"'), ("1",))
    assert 1 < len(told) <= 20
    assert watching.findings["fetch/known/status"] == 100


@pytest.mark.parametrize(
    "exchange",
    [
        answer(None),
        answer(429),
        answer(503, b'{"error": {"message": "system cpu overloaded"}}'),
        answer(522, b"<html>"),
        answer(401, b'{"error": "who are you?"}'),
        answer(404, b"no such task"),
        answer(410, b""),
    ],
    ids=["nothing", "too-many", "overloaded", "no-origin", "refused", "missing", "gone"],
)
def test_what_proves_nothing_is_no_finding(exchange: Exchange) -> None:
    """No answer, a limit, a refused key, a task that may not be there: none is held against the relay."""
    with Monitor(RELAY, api_key=KEY) as watching:
        watching(answer(500), ("before",))
        before = {"fetch/known/status": 1}
        watching(exchange, ("1",))
    assert {check for check in watching.findings if check.startswith(("fetch/known", "fetch/200"))} == {
        *before
    }
    assert watching.findings["fetch/known/status"] == 1


def test_a_task_that_was_read_and_is_gone_is_found() -> None:
    """Once it was there, "no such task" breaks the contract."""
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


def test_readings_that_overlap_prove_no_order() -> None:
    """An answer that was asked for before another one came is not held to be the later of them."""
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
            watching(answer(200, late, elapsed=elapsed), (task_id,))
        assert watching.findings == findings


def test_the_caller_may_change_what_it_got(held: threading.Event) -> None:
    """What a program does to its document while the answer waits to be judged is not the relay's doing."""
    with mock(RELAY, key=KEY) as served, Monitor(RELAY, api_key=KEY) as watching:
        task = served.relay(on_exchange=watching).fetch(served.known[State.SUCCEEDED])
        task.document.clear()
        held.set()
    assert (watching.judged, watching.findings) == (1, {})


def test_info_is_reported_on_request() -> None:
    """What is only worth knowing is left out unless it is wanted."""
    body = b'{"id": "1", "status": "DREAMING"}'
    counts = []
    for level in ("must", "should", "info"):
        with Monitor(RELAY, api_key=KEY, level=level, checks=["fetch/200/status-word"]) as watching:
            watching(answer(200, body), ("1",))
        counts.append(watching.findings.get("fetch/200/status-word", 0))
    assert counts == [0, 0, 1]


def test_checks_are_chosen_by_globs() -> None:
    """Only the selected checks are reported, though the checks they need run as well."""
    found, _ = judged(Sync, "seconds-not-ms", "secret-echoed", checks=["fetch/secret"])
    assert {finding.check for finding in found} == {"fetch/secret"}
    found, _ = judged(Sync, "html-200", checks=["fetch/200/times*"])
    assert found == []


@pytest.mark.parametrize(
    ("options", "said"),
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
def test_what_cannot_be_is_said(options: dict[str, Any], said: str) -> None:
    """Each invalid argument is named, with a valid one; an unknown relay is too."""
    with pytest.raises(MjrelayError, match=said):
        Monitor(RELAY, **{"api_key": KEY, **options})
    with pytest.raises(UnknownRelayError):
        Monitor("zhongzuan", api_key=KEY)


def test_the_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is taken from where a relay takes it; an answer that holds it is found, and it is not told."""
    monkeypatch.setenv("MJRELAY_ZHONGZHUAN_API_KEY", KEY)
    told: list[Finding] = []
    other = "another-key-of-ours-9876543210"
    with Monitor(RELAY, on_finding=told.append, secrets=[other], checks=["fetch/secret"]) as watching:
        for secret in (KEY, other):
            fields = (*JSON, ("X-Echo", secret))
            watching(answer(500, secret.encode(), headers=fields, failure=f"with {secret}"), (secret,))
            watching(answer(500, secret.encode(), headers=fields), (secret,))
    assert watching.findings["fetch/secret"] == 2
    shown = (
        f"{told} {[str(one) for one in told]} {[(one.exchange.headers, one.exchange.body) for one in told]}"
    )
    assert told
    assert KEY not in shown
    assert other not in shown
    assert told[0].exchange.body == b"[redacted]"


@pytest.mark.parametrize("every", [2, 3, 10])
def test_one_answer_in_so_many_is_judged(every: int) -> None:
    """The count is exact, and tasks that are asked for in turn are all judged in time."""
    with Monitor(RELAY, api_key=KEY, every=every) as watching:
        for number in range(every * 90):
            watching(answer(500, b""), (str(number % every),))
            if number % every == 0:
                assert watching.flush()
        assert watching.flush()
        assert watching.judged == 90
    turns = {number % every for number in range(every * 90) if monitor._due(number, every)}
    assert turns == set(range(every))


def test_a_full_queue_drops_and_counts(held: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers never wait: what does not fit is counted, by number and by size, and the rest is judged."""
    monkeypatch.setattr(monitor, "_MAX_QUEUED", 10)
    monkeypatch.setattr(monitor, "_MAX_QUEUED_BYTES", 1000)
    with Monitor(RELAY, api_key=KEY) as watching:
        begun = time.monotonic()
        for _ in range(100):
            watching(answer(500, b""), ("1",))
        assert time.monotonic() - begun < 5
        assert 89 <= watching.dropped <= 90
        dropped = watching.dropped
        held.set()
        assert watching.flush()
        held.clear()
        for _ in range(3):
            watching(answer(500, b"x" * 900), ("1",))
        assert watching.dropped in {dropped + 1, dropped + 2}
        held.set()
    assert watching.judged + watching.dropped == 103


def test_what_is_kept_of_tasks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings of the tasks asked for last are kept, a first and a last one, within a number and a size."""
    monkeypatch.setattr(live, "_MAX_TASKS", 50)
    monkeypatch.setattr(live, "_MAX_KEPT_BYTES", 4000)
    with Monitor(RELAY, api_key=KEY) as watching:
        for number in range(300):
            for progress in (1, 2, 3):
                body = b'{"id": "%d", "status": "IN_PROGRESS", "progress": "%d%%"}' % (number, progress)
                watching(answer(200, body), (str(number),))
            assert watching.flush()
            tasks = watching._judge._tasks
            assert len(tasks) <= 50
            assert watching._judge._kept == sum(kept.size for kept in tasks.values()) <= 4000
    assert str(number) in tasks
    assert b'"1%"' in tasks[str(number)].first.exchange.body
    assert b'"3%"' in tasks[str(number)].last.exchange.body


def test_closing_judges_what_waits_and_ends_the_thread(held: threading.Event) -> None:
    """What was had before is judged, nothing after it, and no thread is left; closing twice is nothing."""
    before = threading.active_count()
    watching = Monitor(RELAY, api_key=KEY)
    assert watching.flush(0)
    assert threading.active_count() == before  # nothing runs before there is something to judge
    for _ in range(5):
        watching(answer(500), ("1",))
    assert threading.active_count() == before + 1
    assert not watching.flush(0.01)
    threading.Timer(0.05, held.set).start()
    watching.close()
    assert watching.judged == 5
    assert watching.flush()
    assert not any(thread.name == "mjrelay-monitor" for thread in threading.enumerate())
    watching.close()
    watching(answer(500), ("1",))
    assert watching.judged == 5
    assert "judged=5" in repr(watching)
    assert KEY not in repr(watching) + repr(watching._judge)


def test_closing_is_bounded(held: threading.Event) -> None:
    """A callback that hangs does not hold up the end of a program, and what then waits is given up."""
    watching = Monitor(RELAY, api_key=KEY)
    for _ in range(5):
        watching(answer(500), ("1",))
    begun = time.monotonic()
    watching.close(0.05)
    assert time.monotonic() - begun < 5
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
    watching(answer(500), ("1",))
    assert watching._thread is not None
    watching._thread.join(10)
    assert not watching._thread.is_alive()
    assert flushed == [False]


def test_a_monitor_that_nobody_closed_ends_with_what_held_it() -> None:
    """Its thread does not keep it."""
    watching = Monitor(RELAY, api_key=KEY)
    watching(answer(500), ("1",))
    thread = watching._thread
    assert thread is not None
    del watching
    thread.join(10)
    assert not thread.is_alive()


def test_threads_and_relays_share_a_monitor() -> None:
    """Each of many answers to many threads is judged once."""
    with Monitor(RELAY, api_key=KEY, checks=["fetch/known/*"]) as watching, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: watching(answer(500), (str(number),)), range(400)))
        assert watching.flush(30)
        assert watching.judged + watching.dropped == 400
        assert watching.findings == {"fetch/known/status": watching.judged}
        assert sum(thread.name == "mjrelay-monitor" for thread in threading.enumerate()) == 1


def test_a_loop_is_not_held_up(held: threading.Event) -> None:
    """While judging stands still, many tasks are fetched at once."""

    async def main(relay: Any, ids: list[str]) -> int:
        async with relay:
            return len(await asyncio.gather(*(relay.fetch(task_id) for task_id in ids)))

    with mock(RELAY, key=KEY) as served, Monitor(RELAY, api_key=KEY) as watching:
        relay = served.async_relay(on_exchange=watching)
        assert asyncio.run(main(relay, [served.known[State.SUCCEEDED]] * 30)) == 30
        assert watching.judged == 0
        held.set()
    assert (watching.judged, watching.findings) == (30, {})


def python(program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with every warning an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "MJRELAY_API_KEY": KEY, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


SETUP = """
import os, sys, threading, time
from mjrelay import Exchange
from mjrelay.monitor import Monitor
exchange = Exchange("GET", "https://relay.example/mj/task/1/fetch", status=500, body=b"{}")
"""


def test_nothing_heavy_is_imported() -> None:
    """Judging takes neither what generates requests nor a server, nor does importing take the suite."""
    heavy = ("schemathesis", "hypothesis", "uvicorn", "requests", "pytest", "jsonschema")
    done = python(
        f"""{SETUP}
assert not any(name.startswith(("mjrelay_conformance", "jsonschema_rs")) for name in sys.modules)
with Monitor("zhongzhuan", on_finding=print) as monitor:
    monitor(Exchange("GET", "https://r.example", status=200, body=b'{{"id": 1}}',
                     headers=(("content-type", "application/json"),)), ("1",))
assert monitor.judged == 1 and monitor.findings, monitor
assert "jsonschema_rs" in sys.modules
print([name for name in {heavy!r} if name in sys.modules])
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_missing_is_said() -> None:
    """Without the extra it is said what to install, when the monitor is made and not before."""
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
        "this needs jsonschema_rs, which is not installed; run: pip install 'mjrelay[monitor]'\n"
    ), done.stderr
    assert MissingExtraError("monitor", "x").extra == "monitor"


def test_the_end_of_a_program_judges_what_waits() -> None:
    """A program that forgets to close hears what was found all the same, and ends."""
    done = python(
        f"""{SETUP}
monitor = Monitor("zhongzhuan", on_finding=lambda finding: print(finding.check, flush=True))
monitor(exchange, ("1",))
"""
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fetch/known/status\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_process_judges_for_itself() -> None:
    """A forked process has its own thread, and no lock stays held."""
    done = python(
        f"""{SETUP}
monitor = Monitor("zhongzhuan", on_finding=lambda finding: print(finding.check, flush=True))
monitor(exchange, ("1",))
assert monitor.flush()
monitor._queue._lock.acquire()
child = os.fork()
if not child:
    monitor(exchange, ("1",))
    monitor(Exchange("GET", "https://relay.example", status=200, body=b"no JSON",
                     headers=(("content-type", "application/json"),)), ("2",))
    assert monitor.flush()
    os._exit(monitor.judged)
monitor._queue._lock.release()
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fetch/known/status\nfetch/200/json\nchild 3\n"


def test_logging_names_the_logger() -> None:
    """The warnings can be silenced, or sent elsewhere, by the name that the page gives."""
    assert logging.getLogger("mjrelay.monitor") is monitor._log
