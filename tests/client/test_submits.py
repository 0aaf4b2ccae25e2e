"""Submits: sent once, with typed outcomes, limited and recorded."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from paid import CUT, LOSSES, REFUSALS, PaidServer, accepted, error, refused, unreliable

from mjrelay import (
    AsyncRelay,
    BalanceError,
    BannedPromptError,
    ButtonRefusedError,
    InvalidSubmitError,
    MissingTaskError,
    ParentNotReadyError,
    QueueFullError,
    RateLimitedError,
    Relay,
    RelayError,
    SettingError,
    SpendingLimitError,
    Submission,
    SubmitOutcomeUnknownError,
    SubmitRecord,
    SubmitRefusedError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    WebPageError,
)
from mjrelay.testing import NoWaitClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from paid import Answer

KEY = "sk-a-key-of-the-tests-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)


def relay(url: str, name: str = "newapi", **options: Any) -> Relay:
    """A relay that does not really wait."""
    return Relay(name, KEY, base_url=url, clock=NoWaitClock(), **options)


def attempt(answer: Callable[[int, dict[str, Any]], Answer], **options: Any) -> tuple[Any, int]:
    """Submit once; return the submission or the error, and how many requests the server received."""
    with PaidServer(answer) as server, relay(server.url, **options) as client:
        try:
            result: Any = client.imagine("a pig")
        except RelayError as failed:
            result = failed
        return result, len(server.received)


PAGE = {"Content-Type": "text/html"}
TAKEN = b'{"code": 1, "description": "ok", "result": "17956"}'
FAILED_INSERT = "insert_midjourney_task_failed Error 1040:\nToo many connections"

# What happened; the response; the class of the result; charged; may_resend; requests received.
TABLE: list[tuple[str, Answer, type[Any], str, str, int]] = [
    ("accepted", accepted(), Submission, "yes", "never", 1),
    ("queued", accepted(code=22), Submission, "yes", "never", 1),
    ("window", accepted(code=21), Submission, "unknown", "never", 1),
    ("no account", REFUSALS["no account"], UnavailableError, "no", "later", 4),
    ("parameters at the server", refused(200, 4, "base64"), InvalidSubmitError, "no", "never", 1),
    ("failure", refused(200, 9, "提交失败"), SubmitRefusedError, "no", "never", 1),
    ("queue full", REFUSALS["queue full"], QueueFullError, "no", "later", 4),
    ("queue full, code 9", REFUSALS["queue full as a failure"], QueueFullError, "no", "later", 4),
    (
        "queue full with an id",
        refused(200, 23, "full", "14001929738841620"),
        QueueFullError,
        "no",
        "unknown",
        1,
    ),
    ("banned", REFUSALS["banned"], BannedPromptError, "no", "never", 1),
    ("parameters at the gateway", REFUSALS["parameters"], InvalidSubmitError, "no", "never", 1),
    ("router", error(400, "json: cannot unmarshal"), InvalidSubmitError, "no", "never", 1),
    ("button", error(400, "unknown_action (request id: 1)"), ButtonRefusedError, "no", "never", 1),
    ("parent not ready", refused(400, 4, "task_status_not_success "), ParentNotReadyError, "no", "later", 4),
    ("parent missing", refused(400, 4, "task_not_found "), MissingTaskError, "no", "never", 1),
    ("no balance", refused(400, 4, "quota_not_enough "), BalanceError, "no", "never", 1),
    ("a bad key", error(401, "Invalid token"), UnauthorizedError, "no", "never", 1),
    ("the operator's key", (401, None, {}), SubmitRefusedError, "no", "never", 1),
    ("saturated", REFUSALS["saturated"], RateLimitedError, "no", "later", 4),
    ("a 429 with an id", (429, {"code": 1, "result": "78"}, {}), RateLimitedError, "unknown", "unknown", 1),
    ("no channel", REFUSALS["no channel"], UnavailableError, "no", "later", 4),
    ("a bare 503", (503, None, {}), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("a page with 503", (503, b"<html>", PAGE), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("a page with 200", (200, b"<html>", PAGE), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("a redirect", (302, b"<html>", PAGE), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("520", (520, None, {}), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("504", (504, None, {}), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("empty 200", (200, None, {}), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("a panic", error(500, "Panic detected"), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("code 5", refused(400, 5, "do_request_failed "), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("code 5 as text", (400, {"code": "5"}, {}), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    (
        "charged without an id, with the reason",
        refused(400, 4, FAILED_INSERT),
        SubmitOutcomeUnknownError,
        "yes",
        "never",
        1,
    ),
    (
        "charged without an id",
        refused(400, 4, "insert_midjourney_task_failed "),
        SubmitOutcomeUnknownError,
        "yes",
        "never",
        1,
    ),
    ("no id with code 1", LOSSES["null result"]("1"), SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("connection lost", CUT, SubmitOutcomeUnknownError, "unknown", "unknown", 1),
    ("an error after the id", (200, TAKEN + b'{"error": {}}', {}), Submission, "unknown", "never", 1),
    ("a warning before it", (200, b"<b>Warning</b>: x\n" + TAKEN, {}), Submission, "unknown", "never", 1),
    ("not gzip", (200, TAKEN, {"Content-Encoding": "gzip"}), Submission, "unknown", "never", 1),
]


def test_each_outcome_is_charged_and_repeated_as_the_servers_do() -> None:
    """Every known response has its class, what it costs, and is repeated only where nothing was taken."""
    for name, answer, kind, charged, may_resend, requests in TABLE:
        result, received = attempt(lambda *_, answer=answer: answer)
        found = (type(result), result.charged, result.may_resend, received)
        assert found == (kind, charged, may_resend, requests), name


def test_unsent_requests_are_repeated_and_cost_nothing() -> None:
    """Without a connection nothing is charged, the submit may be sent again now, and no limit is used up."""
    with PaidServer(lambda *_: accepted()) as server:
        url = server.url
    with relay(url, max_submits=1) as client:
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                client.imagine("a pig")
            assert (caught.value.charged, caught.value.may_resend) == ("no", "now")


def test_each_repeat_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Before each repeat the logger has the reason and the pause at INFO, whatever the outcome was."""
    caplog.set_level(logging.INFO, "mjrelay")
    with PaidServer(lambda *_: accepted()) as server:
        unsent = server.url
    for name, answer, kind, _, _, requests in TABLE:
        caplog.clear()
        attempt(lambda *_, answer=answer: answer)
        repeats = [one.getMessage() for one in caplog.records if "sending it again in" in one.getMessage()]
        assert len(repeats) == requests - 1, (name, kind)
        assert all(one.levelno == logging.INFO for one in caplog.records), name
    caplog.clear()
    with relay(unsent) as client, pytest.raises(TransportError):
        client.imagine("a pig")
    assert [one.getMessage().partition("nothing was sent; ")[2] for one in caplog.records] == [
        f"sending it again in {pause} s (attempt {attempt})"
        for attempt, pause in ((2, 3.0), (3, 6.0), (4, 12.0))
    ]


def test_a_repeat_honours_retry_after_and_the_timeout() -> None:
    """Retry-After is waited for; one beyond the timeout of the submit ends the repeats."""
    script: list[Answer] = [(429, {"code": 30}, {"Retry-After": "20"}), accepted()]
    result, received = attempt(lambda number, _: script[number - 1])
    assert (type(result), received) == (Submission, 2)
    late: Answer = (429, {"code": 30}, {"Retry-After": "66"})
    result, received = attempt(lambda *_: late)
    assert (type(result), result.retry_after, received) == (RateLimitedError, 66.0, 1)


def test_the_id_counts_whatever_the_code_and_the_media_type() -> None:
    """A number, a list, an unknown code and HTML are all read; no paid id is lost."""
    for name, ids in (
        ("id as a number", ("17956",)),
        ("code as text", ("17956",)),
        ("HTML media type", ("17956",)),
        ("list of ids", ("17956", "179561")),
    ):
        result, _ = attempt(lambda *_, name=name: LOSSES[name]("17956"))
        assert result.ids == ids, name


def test_a_response_of_another_server_has_a_hint() -> None:
    """A web page with status 200 and a redirect are unknown; the message says to check the base URL."""
    for status, hint in ((200, "a web page"), (302, "a redirect"), (404, "check the base URL")):
        result, received = attempt(lambda *_, status=status: (status, b"<html>", PAGE))
        assert (type(result), received) == (SubmitOutcomeUnknownError, 1), status
        assert hint in str(result)
        assert "check the base URL" in str(result)


def test_a_refusal_that_may_cost_money_is_not_repeated(tmp_path: Path) -> None:
    """Where a contract says that a refusal is perhaps charged, it is sent once, and may not be resent."""
    overlay = tmp_path / "charged.json"
    target = "$.components['x-mj-answers'].submitted.outcomes['rate-limited']"
    action = {"target": target, "update": {"charged": "perhaps"}}
    head = {"overlay": "1.1.0", "info": {"title": "Charged", "version": "1"}, "actions": [action]}
    overlay.write_text(json.dumps(head), encoding="utf-8")
    result, received = attempt(lambda *_: REFUSALS["saturated"], overlays=[overlay])
    found = (type(result), result.charged, result.may_resend, received)
    assert found == (RateLimitedError, "unknown", "unknown", 1)


def test_a_page_of_a_proxy_is_not_a_wrong_address(tmp_path: Path) -> None:
    """A contract may describe pages of the site; only those with status 4xx prove that nothing was taken."""
    for status, kind in (
        (302, SubmitOutcomeUnknownError),
        (404, WebPageError),
        (502, SubmitOutcomeUnknownError),
    ):
        overlay = tmp_path / f"{status}.json"
        action = {"target": "$..['x-mj-task'].elsewhere", "update": {"status": status}}
        head = {"overlay": "1.1.0", "info": {"title": "Page", "version": "1"}, "actions": [action]}
        overlay.write_text(json.dumps(head), encoding="utf-8")
        result, received = attempt(lambda *_, status=status: (status, b"<html>", PAGE), overlays=[overlay])
        assert (type(result), received) == (kind, 1), status


def test_a_link_counts_whatever_the_code() -> None:
    """An upload whose response has a link and an unknown code returns the link."""
    link = "https://cdn.example/pig.png"
    with PaidServer(lambda *_: (200, {"code": 99, "result": [link]}, {})) as server:
        with relay(server.url) as client:
            submission = client.upload([PNG])
        assert (submission.links, submission.charged, len(server.received)) == ((link,), "unknown", 1)


def test_unknown_outcomes_say_how_to_look_for_the_task() -> None:
    """The error holds the state token and the time that were sent, and the message both."""
    with PaidServer(lambda *_: (504, None, {})) as server, relay(server.url) as client:
        with pytest.raises(SubmitOutcomeUnknownError, match=r"state token mjrelay-\w+") as caught:
            client.imagine("a pig")
        assert server.received[0][1]["state"] == caught.value.state
        assert caught.value.sent_at is not None
        with pytest.raises(SettingError, match="cannot look for a submit"):
            client.find_submission("x")


@pytest.mark.parametrize("count", [400, pytest.param(2000, marks=pytest.mark.stress)])
def test_no_request_is_sent_twice_after_acceptance(count: int) -> None:
    """Of many submits in threads, each that was taken is known by its id or by one unknown outcome."""
    taken: dict[str, str] = {}
    inner = unreliable(7)

    def answer(number: int, body: dict[str, Any]) -> Answer:
        chosen = inner(number, body)
        if chosen not in REFUSALS.values():
            assert body["state"] not in taken, "a taken request was sent again"
            taken[body["state"]] = str(10**12 + number)
        return chosen

    known: Counter[str] = Counter()
    wrong: list[Any] = []

    def submit(client: Relay, number: int) -> None:
        token = f"token-{number}"
        try:
            submission = client.imagine("a pig", state=token)
            known[token] += 1
            if taken.get(token) not in submission.ids:
                wrong.append(submission)
        except SubmitOutcomeUnknownError as unknown:
            known[token] += 1
            if unknown.state != token or token not in taken:
                wrong.append(unknown)
        except RelayError as failed:
            if token in taken or failed.charged != "no":
                wrong.append(failed)

    with PaidServer(answer) as server, relay(server.url) as client, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: submit(client, number), range(count)))
    assert not wrong
    assert known == Counter(dict.fromkeys(taken, 1))


def test_max_submits_holds_over_threads_and_copies() -> None:
    """Exactly so many requests arrive, in any thread and copy; the next one fails before it is sent."""
    with PaidServer(lambda *_: (504, None, {})) as server, relay(server.url, max_submits=10) as client:
        copies = [client, client.with_options(timeout=20)]
        refusals = []

        def submit(number: int) -> None:
            try:
                copies[number % 2].imagine("a pig")
            except SpendingLimitError as limit:
                refusals.append(limit)
            except SubmitOutcomeUnknownError:
                pass

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(submit, range(30)))
        assert (len(server.received), len(refusals)) == (10, 20)
        assert {one.charged for one in refusals} == {"no"}


def test_the_log_has_a_line_before_and_after(tmp_path: Path) -> None:
    """The first line is on disk when the server receives the request; the second one has the id."""
    log, seen = tmp_path / "submits.jsonl", []

    def answer(*_: Any) -> Answer:
        seen.append(json.loads(log.read_text().splitlines()[-1]))
        return accepted("17956")

    records: list[SubmitRecord] = []
    with PaidServer(answer) as server, relay(server.url, submit_log=log, on_submit=records.append) as client:
        client.imagine("a secret prompt")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert (seen[0], lines[0]["event"]) == (lines[0], "sending")
    assert (lines[1]["event"], lines[1]["ids"], lines[1]["charged"]) == ("answered", ["17956"], "yes")
    assert [record.event for record in records] == ["sending", "answered"]
    assert KEY not in log.read_text()
    assert "secret prompt" not in log.read_text()


def test_a_log_that_cannot_be_written_stops_the_submit(tmp_path: Path) -> None:
    """Without the first line nothing is sent."""
    with PaidServer(lambda *_: accepted()) as server:
        with pytest.raises(SettingError, match="submit_log"):
            relay(server.url, submit_log=tmp_path / "none" / "log")
        if os.path.exists("/dev/full"):  # noqa: PTH110 - a device
            with (
                relay(server.url, submit_log="/dev/full") as client,
                pytest.raises(SettingError, match="nothing"),
            ):
                client.imagine("a pig")
        assert not server.received


KILLED = """
import sys, threading
from mjrelay import Relay
with Relay("newapi", "sk-a-key-of-the-tests", base_url=sys.argv[1], submit_log=sys.argv[2]) as relay:
    while True:
        relay.imagine("a pig")
"""


def test_every_request_received_is_in_the_log_of_a_killed_process(tmp_path: Path) -> None:
    """After kill -9 at any point, each request that arrived has its first line."""
    log, killed = tmp_path / "log", threading.Event()

    def answer(number: int, _: dict[str, Any]) -> Answer:
        if number == 25:
            process.send_signal(signal.SIGKILL)
            killed.set()
        return accepted()

    with PaidServer(answer) as server:
        process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(log)])
        process.wait(timeout=60)
        tokens = {body["state"] for _, body in server.received}
    assert killed.is_set()
    logged = {json.loads(line)["state"] for line in log.read_text().splitlines()}
    assert tokens <= logged


def test_a_cancelled_submit_is_recorded_as_unknown(tmp_path: Path) -> None:
    """Cancelling a task while its submit is in flight leaves a record of an unknown outcome, and a note."""
    arrived, release = threading.Event(), threading.Event()

    def answer(*_: Any) -> Answer:
        arrived.set()
        release.wait(10)
        return accepted()

    async def cancelled(url: str) -> BaseException:
        async with AsyncRelay("newapi", KEY, base_url=url, submit_log=tmp_path / "log") as client:
            task = asyncio.ensure_future(client.imagine("a pig"))
            await asyncio.to_thread(arrived.wait, 10)
            task.cancel()
            (result,) = await asyncio.gather(task, return_exceptions=True)
            release.set()
            assert isinstance(result, BaseException)
            return result

    with PaidServer(answer) as server:
        result = asyncio.run(cancelled(server.url))
    assert isinstance(result, asyncio.CancelledError)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line.get("outcome") for line in lines] == [None, "unknown"]


def test_wrong_arguments_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """Unknown actions, unknown arguments, URLs where data is needed, and files that are no image."""
    page = tmp_path / "page.png"
    page.write_bytes(b"<html>")
    with PaidServer(lambda *_: accepted()) as server, relay(server.url) as client:
        calls: tuple[tuple[Callable[[], object], str], ...] = (
            (lambda: client.submit("dance"), "its contract has: imagine"),
            (lambda: client.submit("imagine", promt="x"), "promt is not an argument"),
            (lambda: client.imagine(""), "minimum is 1"),
            (lambda: client.describe("https://example.com/a.png"), "pass a path or bytes"),
            (lambda: client.describe(page), "is not an image"),
            (lambda: client.describe(tmp_path / "none.png"), "cannot be read"),
            (lambda: client.blend([PNG]), "minimum is 2"),
            (lambda: client.imagine("a pig", speed="slow"), "does not take speed"),
            (lambda: client.imagine("a pig", aspect="banana"), "a ratio such as 16:9"),
            (lambda: client.imagine("a pig", callback="me"), "an http or https URL"),
            (lambda: client.video("it runs"), "needs an image or a task"),
            (lambda: client.imagine("a pig", fields={"prompt": "x"}), "is written already"),
            (lambda: client.blend([PNG, PNG], aspect="16:9"), "must be one of portrait"),
        )
        for call, message in calls:
            with pytest.raises(SettingError, match=message):
                call()
        assert not server.received
    with PaidServer(lambda *_: accepted()) as server, relay(server.url, "mjdjourney") as client:
        with pytest.raises(SettingError, match="no operation for imagine; its contract has: none"):
            client.imagine("a pig")


def test_arguments_are_written_as_the_contract_says() -> None:
    """Images as data URLs, the aspect ratio in the prompt, the bot's name, a token, and further fields."""
    with PaidServer(lambda *_: accepted()) as server, relay(server.url) as client:
        client.imagine(
            "a pig", images=[PNG], aspect="16:9", bot="niji", callback="https://me.example/x", fields={"x": 1}
        )
        path, body = server.received[0]
    assert path == "/mj/submit/imagine"
    assert body.pop("state").startswith("mjrelay-")
    assert body.pop("base64Array")[0].startswith("data:image/png;base64,iVBOR")
    assert body == {
        "prompt": "a pig --ar 16:9",
        "botType": "NIJI_JOURNEY",
        "notifyHook": "https://me.example/x",
        "x": 1,
    }


def test_the_log_has_the_links_of_an_upload(tmp_path: Path) -> None:
    """An upload has no task, so its links are what must not be lost."""
    link = "https://cdn.example.com/pig.png"
    answer: Answer = (200, {"code": 1, "description": "ok", "result": [link]}, {})
    log = tmp_path / "log"
    with PaidServer(lambda *_: answer) as server, relay(server.url, submit_log=log) as client:
        assert client.upload([PNG]).links == (link,)
    assert json.loads(log.read_text().splitlines()[-1])["links"] == [link]


def test_a_refusal_that_names_a_task_says_so() -> None:
    """The error has the id of that task, and does not advise to send again."""
    result, _ = attempt(lambda *_: (429, {"code": 1, "result": "78"}, {}))
    assert result.task_id == "78"
    assert "names task 78; fetch it before you submit again" in str(result)
