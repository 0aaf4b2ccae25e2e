"""The record of a run as its views read it: refused unless it is whole, then sorted into what it says."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import jsonschema_rs
from attrs import frozen

from mjrelay.base import MjrelayError, open_file, replace_unprintable
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging import FORMAT, schema_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


NAME = "results.json"
"""What a run calls its record."""
LARGEST = 67_108_864
"""Bytes of a record; a larger one is not read, and none of a run's is: see `LARGEST_RECORD`."""
LEVELS = ("must", "should", "info")
"""From the heaviest."""
INCOMPLETE = "incomplete"
"""Stands for the verdict on a relay that a run, cut short, did not judge to the end."""
CUT_SHORT = "The run was cut short: what is missing here was not tried, and no verdict may be drawn from it."
_SHOWN = 200
"""Characters of a foreign value that an error quotes."""


class ReportError(MjrelayError):
    """A record cannot be read, or a report not be made of it."""


@frozen
class ReportFinding:
    """
    One thing that a check says against a relay, or one mistake of a check's own, with all rows that say so.

    ``accepted`` is the baseline's line on it, or None where the baseline does not know it.
    """

    relay: str
    check: str
    level: str
    outcome: str
    expected: str | None
    actual: str | None
    clause: str | None
    exchanges: tuple[dict[str, Any], ...]
    accepted: dict[str, Any] | None

    @property
    def label(self) -> str:
        """How it weighs, in a word: its level, or ``error`` where the mistake is ours."""
        return "error" if self.outcome == "error" else self.level

    @property
    def weight(self) -> int:
        """The place among others when the heaviest comes first."""
        return ("error", *LEVELS).index(self.label)

    @property
    def exchange(self) -> dict[str, Any] | None:
        """The first exchange that shows it."""
        return self.exchanges[0] if self.exchanges else None

    @property
    def asked(self) -> str:
        """What was sent when it was first found, and how often it was found."""
        if self.exchange is None:
            return ""
        more = f" (and {len(self.exchanges) - 1} more)" if len(self.exchanges) > 1 else ""
        what = self.exchange["label"] or self.exchange["kind"]
        return f"{self.exchange['method']} {self.exchange['target']}, {what}{more}"

    @property
    def driver(self) -> str:
        """Where it comes from, for people; empty where the plan found it."""
        drivers = {exchange["driver"] for exchange in self.exchanges}
        if drivers == {"fuzz"}:
            return "found by the property-based phase"
        return "found in recorded traffic" if drivers == {"replay"} else ""

    @property
    def place(self) -> str | None:
        """The clause without its pointer: file and line, or a section."""
        return None if self.clause is None else self.clause.partition("#")[0]


@frozen
class Judged:
    """What a record says of one relay; ``entry`` is None where the run ended before the relay was judged."""

    name: str
    entry: dict[str, Any] | None
    rows: tuple[dict[str, Any], ...]
    findings: tuple[ReportFinding, ...]
    """Those that count, the heaviest first."""
    accepted: tuple[ReportFinding, ...]
    """Those that the baseline accepts."""

    @property
    def verdict(self) -> str:
        """The word for this relay."""
        return INCOMPLETE if self.entry is None else str(self.entry["verdict"])

    @property
    def gone(self) -> tuple[dict[str, Any], ...]:
        """Lines of the baseline whose findings are no more."""
        return (
            () if self.entry is None or self.entry["baseline"] is None else (*self.entry["baseline"]["gone"],)
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many checks found something, by level; a mistake of ours counts as ``error``."""
        found: dict[str, set[str]] = {label: set() for label in (*LEVELS, "error")}
        for finding in self.findings:
            found[finding.label].add(finding.check)
        return {label: len(checks) for label, checks in found.items()}

    def count(self, outcome: str) -> int:
        """How many rows have this outcome."""
        return sum(row["outcome"] == outcome for row in self.rows)

    def checks(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each check, in the order of the suite."""
        grouped: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            grouped.setdefault(row["check"], []).append(row)
        return dict(sorted(grouped.items(), key=lambda one: _order(one[0])))

    def unproven(self) -> dict[str, str]:
        """Checks that neither passed nor failed, and why."""
        return {check: why(rows) for check, rows in self.checks().items() if not proven(rows)}


def read_record(path: Path) -> dict[str, Any]:
    """
    The record in a file, or in the `results.json` of a directory.

    Raises `ReportError` where there is none, or where it is not whole, not a record or not valid. A record
    without a footer is valid: its run was cut short, see `complete`.
    """
    try:
        if path.is_dir():
            path /= NAME
        if path.exists() and not path.is_file():
            _refuse(path, "is not a file")
        with open_file(path) as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ReportError(
            f"{path}: {reason}; make a record with: mjrelay conform --report-dir DIR"
        ) from error
    if len(data) > LARGEST:
        raise ReportError(f"{path} is larger than {LARGEST // 1_048_576} MiB; judge less at once")
    return _valid(path, _parsed(path, data))


def complete(document: dict[str, Any]) -> bool:
    """Whether the run came to its end."""
    return document["footer"] is not None


def judged(document: dict[str, Any]) -> list[Judged]:
    """What a record says, relay by relay, those that were not judged to the end included."""
    numbered = {exchange["number"]: exchange for exchange in document["exchanges"]}
    entries: dict[str, Any] = {relay["relay"]: relay for relay in document["relays"]}
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in entries}
    for row in document["rows"]:
        rows.setdefault(row["relay"], []).append(row)
    return [_judged(name, entries.get(name), rows[name], numbered) for name in rows]


def proven(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether a check said anything of the relay: that it passed, or that it failed."""
    return any(row["outcome"] in {"pass", "fail"} for row in rows)


def why(rows: Iterable[dict[str, Any]]) -> str:
    """Why a check said nothing, the strongest reason first."""
    reasons = {row["outcome"]: row["actual"] for row in rows}
    for outcome in ("error", "inconclusive", "blocked", "not-applicable", "not-exercised"):
        if outcome in reasons:
            said = outcome.replace("-", " ")
            return f"{said}: {reasons[outcome]}" if reasons[outcome] else said
    return "not exercised"


def family(check: str) -> str:
    """What a check belongs to: the first two parts of a long id, the first of a short one."""
    parts = check.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def sentence(check: str) -> str:
    """What a check says; empty where this version does not have it."""
    return CHECKS[check].sentence if check in CHECKS else ""


def started(document: dict[str, Any]) -> datetime:
    """When the run began, in UTC; long ago where that cannot be told."""
    try:
        return datetime.fromisoformat(document["header"]["started"]).astimezone(UTC)
    except (ValueError, OverflowError):  # a leap second is valid too, and so is the year 1
        return datetime.min.replace(tzinfo=UTC)


def overall(document: dict[str, Any]) -> str:
    """The word for the whole run."""
    return str(document["footer"]["verdict"]) if complete(document) else INCOMPLETE


def line(text: str, longest: int | None = None) -> str:
    """The same on one line, and cut where it is longer than that."""
    text = " ".join(filter(None, map(str.strip, replace_unprintable(text, keep_lines=True).split("\n"))))
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]} … ({len(text) - longest} characters more)"


@cache
def _validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads(schema_text()), validate_formats=True)


def _parsed(path: Path, data: bytes) -> Any:
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_number)
        if b"\\u" in data:  # half a character may be written so, but is no text
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
        _refuse(path, f"is no record of a run: it is not of format {FORMAT}")
    try:
        error = next(_validator().iter_errors(document), None)
    except ValueError as deep:
        _refuse(path, f"is no valid record: {deep}", deep)
    if error is not None:
        pointer = "".join(f"/{part}" for part in error.instance_path)
        _refuse(path, f"is no valid record, at {line(pointer, _SHOWN) or '/'}: {line(error.message, _SHOWN)}")
    return document


def _refuse(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    raise ReportError(f"{path} {reason}; make it anew with: mjrelay conform --report-dir DIR") from cause


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _judged(
    name: str,
    entry: dict[str, Any] | None,
    rows: list[dict[str, Any]],
    numbered: dict[int, dict[str, Any]],
) -> Judged:
    baseline = (entry or {}).get("baseline") or {"accepted": []}
    accepted = {item["check"]: item for item in baseline["accepted"]}
    groups: dict[tuple[str | None, ...], list[dict[str, Any]]] = {}
    said = ("check", "level", "outcome", "expected", "actual", "clause")
    for row in rows:
        if row["outcome"] in {"fail", "error"}:
            groups.setdefault(tuple(row[part] for part in said), []).append(row)
    found = [
        ReportFinding(
            relay=name,
            exchanges=tuple(numbered[row["exchange"]] for row in group if row["exchange"] in numbered),
            accepted=accepted.get(group[0]["check"]) if group[0]["outcome"] == "fail" else None,
            **{part: group[0][part] for part in said},
        )
        for group in groups.values()
    ]
    found.sort(key=lambda finding: (finding.weight, _order(finding.check)))
    return Judged(
        name,
        entry,
        tuple(rows),
        tuple(finding for finding in found if finding.accepted is None),
        tuple(finding for finding in found if finding.accepted is not None),
    )


@cache
def _places() -> dict[str, int]:
    return {check: place for place, check in enumerate(CHECKS)}


def _order(check: str) -> tuple[int, str]:
    return _places().get(check, len(CHECKS)), check
