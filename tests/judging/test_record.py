"""The record: how often its file is written, what a killed run leaves, and that it holds no secret."""

from __future__ import annotations

import json
import multiprocessing
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging import record as _record
from mjrelay_conformance.judging.checking import judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from mjrelay_conformance.judging.record import Record
from mjrelay_conformance.judging.schema import schema_of
from mjrelay_conformance.judging.verdicts import Verdict
from mjrelay_conformance.report import is_complete, read_record, render_markdown

from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

OPTIONS = {
    "mode": "mock",
    "profile": "read",
    "fuzz": False,
    "strict": False,
    "checks": [],
    "excluded": [],
    "seed": 0,
    "overlays": [],
}
SECRET = "sk-0123456789abcdef0123456789abcdef"


def observed(body: bytes) -> Observation:
    """Return an observation of a response with this body."""
    one = load_contract("apiai")
    exchange = Exchange("GET", "http://relay.test/mj/task/1/fetch", status=200, body=body)
    return Observation(one, schema_of(one), Kind.ODD, "1", exchange, secrets=(SECRET,))


def fill(record: Record, exchanges: int) -> None:
    """Add exchanges of some kilobytes with their rows."""
    for _ in range(exchanges):
        observation = observed(b"x" * 4000)
        rows = judge_observation(observation, record.next_number(), CHECKS.values())
        record.add(observation, rows, driver="plan")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the size of each file that a record writes."""
    sizes: list[int] = []
    replacing = _record.replacing_file

    @contextmanager
    def counting(path: Path) -> Iterator[Any]:
        with replacing(path) as file:
            yield file
        sizes.append(path.stat().st_size)

    monkeypatch.setattr(_record, "replacing_file", counting)
    return sizes


def test_bytes_written_are_proportional_to_the_final_size(tmp_path: Path, written: list[int]) -> None:
    """Each exchange of a small record is written; in total at most six times the final size is written."""
    record = Record(tmp_path / "results.json", Redactor(), OPTIONS)
    fill(record, 3)
    assert len(json.loads((tmp_path / "results.json").read_bytes())["exchanges"]) == 3
    fill(record, 300)
    record.close([Verdict.PARTIAL])
    assert is_complete(read_record(tmp_path / "results.json"))
    assert written[-1] > 1_500_000
    assert sum(written) <= 6 * written[-1]


def _run_on(path: Path, connection: Connection) -> None:
    record = Record(path, Redactor(), OPTIONS)
    fill(record, 100)
    connection.send(None)
    fill(record, 10_000)


def test_a_killed_run_leaves_a_readable_record(tmp_path: Path) -> None:
    """SIGKILL leaves a record with at least four fifths of the exchanges, shown as incomplete."""
    path = tmp_path / "results.json"
    fork = multiprocessing.get_context("fork")
    receiving, sending = fork.Pipe(duplex=False)
    process = fork.Process(target=_run_on, args=(path, sending))
    process.start()
    receiving.recv()
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    document = read_record(path)
    assert len(document["exchanges"]) >= 80
    assert not is_complete(document)
    assert "cut short" in render_markdown(document)


def test_an_interrupted_run_loses_nothing(tmp_path: Path) -> None:
    """An exception that ends the run, Ctrl-C included, writes the record as far as it goes."""
    path = tmp_path / "results.json"
    with suppress(KeyboardInterrupt), Record(path, Redactor(), OPTIONS) as record:
        fill(record, 90)
        raise KeyboardInterrupt
    document = read_record(path)
    assert len(document["exchanges"]) == 90
    assert not is_complete(document)


def test_a_long_body_is_cut_without_a_part_of_the_secret() -> None:
    """Wherever a secret is in a body that is too long to keep, no part of it is kept."""
    record = Record(None, Redactor(SECRET))
    for before in (*range(65_500, 65_540, 9), 67_000, *range(69_590, 69_640, 9)):
        body = b"." * before + SECRET.encode() + b"." * 9000
        record.add(observed(body), [], driver="plan")
        kept = json.loads(record._exchanges.pop())["body"]
        assert kept["size"] == len(body)
        assert len(kept["text"]) <= 65_536
        assert "sk-" not in kept["text"]
        assert "0123" not in kept["text"]


def test_another_redactor_replaces_that_of_the_record() -> None:
    """An exchange with secrets of its own is recorded without them, in its rows too."""
    record = Record(None, Redactor())
    observation = observed(b'{"seen": "' + SECRET.encode() + b'"}')
    rows = judge_observation(observation, 1, CHECKS.values())
    record.add(observation, rows, driver="replay", redactor=Redactor(SECRET))
    assert SECRET not in json.dumps(record.document())
