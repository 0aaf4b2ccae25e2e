"""The benchmarks run, compute ratios and targets correctly, and write their results."""

from __future__ import annotations

import io
import itertools
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from benchmarks import decode, durable, example, judge, machine, simulated, submit, table, tickets
from benchmarks.rounds import LEAST, Contender, Effort, Ratio, Timing, interleave
from benchmarks.server import serving
from benchmarks.table import Row, at_least, at_most

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_contenders_take_turns_and_the_order_rotates() -> None:
    """The order rotates each round, and the warm-up run is not counted."""
    order: list[str] = []

    def takes(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    timings = interleave([Contender(name, takes(name)) for name in "abc"], 3)

    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert [len(timing.rounds) for timing in timings.values()] == [3, 3, 3]


def test_a_timing_is_per_operation() -> None:
    """A run's time is divided by its operations; a run that returns seconds is not timed."""
    clock = itertools.count(0.0, 6.0)
    contenders = [Contender("timed", lambda: None, 3), Contender("self-timed", lambda: 0.5)]

    timings = interleave(contenders, 2, timer=lambda: next(clock))

    assert timings["timed"].rounds == (2.0, 2.0)
    assert timings["self-timed"].rounds == (0.5, 0.5)


def test_a_ratio_is_computed_within_rounds() -> None:
    """A machine that slows down half way does not change the ratio."""
    ours, theirs = Timing("ours", (1.0, 10.0, 1.0)), Timing("theirs", (3.0, 30.0, 30.0))

    assert Ratio.of(theirs, ours).median == 3.0
    assert theirs.median / ours.median == 30.0
    assert Ratio.of(Timing("once", (4.0,)), Timing("once", (2.0,))) == Ratio(2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row.faster("", Timing("", (1.0,)), Timing("", (2.0,)), at_least(2.0)), True),
        (Row.faster("", Timing("", (1.0,)), Timing("", (1.999,)), at_least(2.0)), False),
        (Row.longer("", Timing("", (1.3,)), Timing("", (1.0,)), at_most(1.3)), True),
        (Row.longer("", Timing("", (1.31,)), Timing("", (1.0,)), at_most(1.3)), False),
        (Row(what="", ours=4097.0, unit="B", target=at_most(4096)), False),
        (Row(what="", ours=4096.0, unit="B", target=at_most(4096)), True),
        (Row(what="", ours=1.0, target=at_most(2), valid=False), False),
        (Row(what="", target=at_most(4096), note="skipped"), None),
        (Row(what="", ours=1.0), None),
    ],
)
def test_a_target_uses_the_unrounded_value(row: Row, met: bool | None) -> None:
    """Values are not rounded to meet a target; a missing value meets none."""
    assert row.met is met


def test_the_table_and_the_json_agree(tmp_path: Path) -> None:
    """The table and the JSON show the same rows, with the machine."""
    rows = [
        Row.faster("one against other", Timing("", (2e-6,)), Timing("", (5e-6,)), at_least(3.0)),
        Row(what="memory", ours=2048.0, unit="B", target=at_most(4096)),
        Row(what="a peer", note="skipped: not installed"),
    ]
    facts = machine.facts()
    printed = io.StringIO()

    table.show(rows, facts, Console(file=printed, width=120))
    table.write(rows, facts, tmp_path / "bench.json")

    text = printed.getvalue()
    for shown in ("2 µs", "5 µs", "2.5 ×", "≥ 3 ×", "not met", "2 KiB", "≤ 4 KiB", "skipped: not installed"):
        assert shown in text
    written = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert [row["met"] for row in written["rows"]] == [False, True, None]
    assert written["rows"][0]["ratio"]["median"] == pytest.approx(2.5)
    assert written["machine"]["cores"] == facts["cores"]
    assert "httpx" in written["machine"]["libraries"]


def test_decoding_is_compared_with_a_stock_client(tmp_path: Path) -> None:
    """The stock client is generated, both decode the same body, and the rows can be written."""
    rows = decode.measure(LEAST)
    table.write(rows, {}, tmp_path / "bench.json")

    written = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["rows"]
    assert len(written) == 4
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["ratio"]["median"] > 0 for row in written)


def test_a_submit_is_compared_with_a_post() -> None:
    """Relay.imagine and a POST by hand submit to the same server, and their ratio is a row each."""
    rows = submit.measure(LEAST)
    assert [row.what.partition(" against ")[0] for row in rows] == [submit.DEFAULT, submit.FAST]
    assert all(row.ratio is not None and row.ratio.median > 0 for row in rows)


def test_a_simulation_of_waiting_has_rows_with_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each law and relay is a row with a target, with and without batches; its note shows the lag."""
    monkeypatch.setattr(simulated, "TASKS", 30)
    rows = simulated.measure(Effort(1, 0.02))

    assert len(rows) == 16
    assert all(
        row.target is not None and row.ours and row.theirs and "lag median" in row.note for row in rows
    )


def test_effort_is_at_least_one_operation() -> None:
    """The smallest share of a round is one operation."""
    assert Effort(1, 0.001).times(10) == 1
    assert Effort(15, 0.2).times(10) == 2


def test_the_server_responds_in_order() -> None:
    """Each task gets the responses in order, under its own id, in single and batch requests."""
    bodies = [example.body(name, id=example.ID) for name in ("running", "succeeded")]
    task_ids = example.ID, "1730621826059999"
    ids = json.dumps({"ids": task_ids}).encode()
    with serving(example.ID, bodies) as server:
        address = "127.0.0.1", server.port
        alone = [_response(address, _get(task_ids[1])) for _ in range(2)]
        both = _response(address, b"POST /list HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(ids) + ids)
        cost, responses = server.cost()

    assert [(task["id"], task["status"]) for task in alone] == [
        (task_ids[1], "IN_PROGRESS"),
        (task_ids[1], "SUCCESS"),
    ]
    assert [(task["id"], task["status"]) for task in both] == [
        (task_ids[0], "IN_PROGRESS"),
        (task_ids[1], "SUCCESS"),
    ]
    assert responses == 3
    assert cost > 0


def _get(task_id: str) -> bytes:
    return f"GET {example.PATH.replace('{id}', task_id)} HTTP/1.1\r\n\r\n".encode()


def _response(address: tuple[str, int], request: bytes) -> Any:
    with socket.create_connection(address) as connection:
        connection.sendall(request)
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
    return json.loads(body)


def test_judging_an_exchange_is_timed() -> None:
    """A run of the plan against a correct mock gives the time of one exchange, with a target."""
    (row,) = judge.judged(LEAST)

    assert row.ours
    assert row.target is not None


def test_a_thousand_tickets() -> None:
    """Stored tickets have about 200 bytes, and batches of 100 take a hundredth of the requests."""
    size, _, requests = tickets.measure(LEAST)
    assert size.met
    assert (requests.ours or 1) <= 0.011 * (requests.theirs or 0)


def test_the_durable_queue_is_compared_with_a_loop() -> None:
    """Both report two tasks in processes alone, and CPU and memory are a row each."""
    cpu, memory = durable.measure(LEAST)
    for row in (cpu, memory):
        assert (row.ours or 0) > (row.theirs or 0) > 0
