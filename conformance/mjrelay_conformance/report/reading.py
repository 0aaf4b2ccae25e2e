"""Read the record of a run from a file, and refuse an incomplete or invalid file."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema_rs

from mjrelay.base import MjrelayError, open_file
from mjrelay_conformance.judging import FORMAT, schema_text
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from pathlib import Path


NAME = "results.json"
"""The file name of a record."""
MAX_BYTES = 67_108_864
"""The largest record that is read. `LARGEST_RECORD` keeps the records of runs below it."""
_QUOTED = 200
"""Characters of a foreign value that an error quotes."""


class ReportError(MjrelayError):
    """A record cannot be read, or a report cannot be made from it."""


def read_record(path: Path) -> dict[str, Any]:
    """
    Read a record from a file, or from `results.json` in a directory.

    A record without a footer is valid: its run was cut short.

    Args:
        path: The file or the directory.

    Raises:
        ReportError: The file cannot be read, was cut off, or does not conform to the JSON Schema of records.
    """
    try:
        if path.is_dir():
            path /= NAME
        if path.exists() and not path.is_file():
            _refuse(path, "is not a regular file")
        with open_file(path) as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ReportError(
            f"{path}: {reason}; make a record with: mjrelay conform --report-dir DIR"
        ) from error
    if len(data) > MAX_BYTES:
        raise ReportError(f"{path} is larger than {MAX_BYTES // 1_048_576} MiB; judge fewer relays per run")
    return _valid(path, _parsed(path, data))


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema_text()), validate_formats=True)


def _parsed(path: Path, data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_invalid_number)
        if b"\\u" in data:  # JSON allows half a surrogate pair, UTF-8 does not
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError as error:
        _refuse(path, "is not UTF-8, or was cut off", error)
    except json.JSONDecodeError as error:
        _refuse(path, f"is not JSON, or was cut off: {error}", error)
    except (ValueError, RecursionError) as error:
        _refuse(path, f"cannot be read as JSON: {error}", error)
    return document


def _valid(path: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        _refuse(path, f"is not the record of a run: its format is not {FORMAT}")
    try:
        problem = next(_validator().iter_errors(document), None)
    except ValueError as error:  # nested too deeply
        _refuse(path, f"is not a valid record: {error}", error)
    if problem is not None:
        pointer = one_line("".join(f"/{part}" for part in problem.instance_path), _QUOTED) or "/"
        _refuse(path, f"is not a valid record, at {pointer}: {one_line(problem.message, _QUOTED)}")
    return document


def _refuse(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    raise ReportError(f"{path} {reason}; make a new record with: mjrelay conform --report-dir DIR") from cause


def _invalid_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not a JSON number")
