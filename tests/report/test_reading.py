"""Records are read whole and valid, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mjrelay_conformance.report.document import RunReport
from mjrelay_conformance.report.reading import ReportError, read_record
from records import FAILS, record, row, write

if TYPE_CHECKING:
    from pathlib import Path


def test_a_record_is_read(real: Path) -> None:
    """A record is read from its file or its directory, and contains the findings, most severe first."""
    document = read_record(real)
    assert document == read_record(real / "results.json")
    (relay,) = RunReport.of(document).relays
    assert relay.verdict == "non-conformant"
    assert {finding.check for finding in relay.findings} == {"fetch/200/times", "fetch/200/failed/reason"}
    assert relay.findings[0].level == "must"
    assert all(finding.exchanges for finding in relay.findings)


def test_a_truncated_record_is_refused(tmp_path: Path) -> None:
    """A record that is cut off anywhere raises, and the message names the next step."""
    document = record(row(**FAILS), text='a"\\任务\U0001f600')
    data = json.dumps(document, ensure_ascii=False, indent=1).encode()
    path = tmp_path / "results.json"
    for length in range(0, len(data) - 1, 41):
        path.write_bytes(data[:length])
        with pytest.raises(ReportError, match=r"cut off.*make a new record with: mjrelay conform"):
            read_record(path)
    path.write_bytes(data)
    assert read_record(path) == document


def test_an_invalid_file_is_refused(tmp_path: Path) -> None:
    """Each kind of invalid file raises an error of one line with the reason."""
    for content, reason in (
        (b"", "cut off"),
        (b"\xff", "UTF-8"),
        (b"[]", "not the record of a run"),
        (b'{"format": "urn:mjrelay:results:2"}', "not the record of a run"),
        (b'{"format": "urn:mjrelay:results:1"}', "not a valid record, at /"),
        (b"[" * 200_000, "cannot be read as JSON|not JSON"),
        (b'{"format": NaN}', "NaN is not a JSON number"),
        (b'{"format": "\\ud800"}', "UTF-8"),
        (b"9" * 5000, "cannot be read as JSON"),
        (
            b'{"format": "urn:mjrelay:results:1", "rows": ' + b"[" * 500 + b"]" * 500 + b"}",
            "not a valid record: .*[Rr]ecursion",
        ),
    ):
        (tmp_path / "results.json").write_bytes(content)
        with pytest.raises(ReportError, match=reason) as raised:
            read_record(tmp_path)
        assert "\n" not in str(raised.value)


def test_an_invalid_record_is_refused_with_its_location(tmp_path: Path) -> None:
    """A record that does not match the schema is refused with a JSON Pointer; so is a missing file."""
    document = record(row(**FAILS))
    document["rows"][0]["outcome"] = "splendid"
    with pytest.raises(ReportError, match="at /rows/0/outcome"):
        read_record(write(tmp_path / "a.json", document))
    with pytest.raises(ReportError, match="make a record with"):
        read_record(tmp_path / "absent")


def test_a_record_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """A file of 10 GB raises before it is read into memory."""
    with (tmp_path / "results.json").open("wb") as file:
        file.truncate(10**10)
    with pytest.raises(ReportError, match="larger than 64 MiB"):
        read_record(tmp_path)
