"""The record of a run as typed data: what each view shows, grouped by relay and by finding."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import fields, frozen

from mjrelay_conformance.checks import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterable


LEVELS = ("must", "should", "info")
"""The levels of a check, most severe first."""
INCOMPLETE = "incomplete"
"""Replaces the verdict on a relay if the run was cut short."""
CUT_SHORT = "The run was cut short: checks are missing, and there is no verdict."

_T = TypeVar("_T")


@frozen
class RowEntry:
    """The outcome of one check, for one exchange or for none."""

    relay: str
    check: str
    level: str
    outcome: str
    clause: str | None
    exchange: int | None
    expected: str | None
    actual: str | None
    quote: str | None

    @property
    def is_finding(self) -> bool:
        """Whether the check failed or crashed."""
        return self.outcome in {"fail", "error"}


@frozen
class ExchangeEntry:
    """A request, as far as findings show it."""

    number: int
    relay: str
    driver: str
    kind: str
    label: str
    method: str
    target: str
    curl: str
    elapsed_ms: float


@frozen
class BaselineEntry:
    """A line of the baseline."""

    check: str
    reason: str
    date: str


@frozen
class FeatureEntry:
    """Something that a run can exercise, and how."""

    name: str
    core: bool
    exercised: bool
    hint: str


@frozen
class FuzzEntry:
    """The size of the property-based phase."""

    cases: int
    reached_200: int


@frozen
class ReportFinding:
    """
    A failed or crashed check, with all exchanges that show the same expected and received value.

    ``accepted`` is the line of the baseline that accepts the finding.
    """

    relay: str
    check: str
    level: str
    outcome: str
    expected: str | None
    actual: str | None
    clause: str | None
    quote: str | None
    exchanges: tuple[ExchangeEntry, ...]
    accepted: BaselineEntry | None

    @property
    def label(self) -> str:
        """The level, or ``error`` if the check crashed."""
        return "error" if self.outcome == "error" else self.level

    @property
    def severity(self) -> int:
        """The sort key: most severe first."""
        return ("error", *LEVELS).index(self.label)

    @property
    def sentence(self) -> str:
        """What the check requires; empty for a check of another version."""
        return sentence(self.check)

    @property
    def exchange(self) -> ExchangeEntry | None:
        """The first exchange that shows the finding."""
        return self.exchanges[0] if self.exchanges else None

    @property
    def request(self) -> str:
        """The first request that shows the finding, and the number of other requests."""
        if self.exchange is None:
            return ""
        more = f" (and {len(self.exchanges) - 1} more)" if len(self.exchanges) > 1 else ""
        purpose = self.exchange.label or self.exchange.kind
        return f"{self.exchange.method} {self.exchange.target}, {purpose}{more}"

    @property
    def source(self) -> str:
        """The driver that found it; empty for the plan."""
        drivers = {exchange.driver for exchange in self.exchanges}
        if drivers == {"fuzz"}:
            return "found by the property-based phase"
        return "found in recorded traffic" if drivers == {"replay"} else ""

    @property
    def place(self) -> str | None:
        """The clause without its JSON Pointer: file and line, or the section of a standard."""
        return None if self.clause is None else self.clause.partition("#")[0]

    @property
    def cited(self) -> str | None:
        """The clause on one line: its place and its text."""
        text = " ".join((self.quote or "").split())
        return f"{self.place}: {text}" if text else self.place


@frozen
class RelayReport:
    """
    The part of a record that concerns one relay.

    ``name`` is its label, or the name of its contract, which is ``relay``. ``findings`` are those that affect
    the verdict, most severe first; ``accepted`` those that the baseline accepts; ``gone`` the lines of the
    baseline whose check passes again.
    """

    name: str
    relay: str
    url: str | None
    verdict: str
    rows: tuple[RowEntry, ...]
    exchanges: tuple[ExchangeEntry, ...]
    findings: tuple[ReportFinding, ...]
    accepted: tuple[ReportFinding, ...] = ()
    gone: tuple[BaselineEntry, ...] = ()
    contract: str = ""
    version: str = ""
    requests: int | None = None
    features: tuple[FeatureEntry, ...] = ()
    fuzz: FuzzEntry | None = None
    stopped: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of checks with a finding, by level; crashed checks as ``error``."""
        found: dict[str, set[str]] = {label: set() for label in (*LEVELS, "error")}
        for finding in self.findings:
            found[finding.label].add(finding.check)
        return {label: len(checks) for label, checks in found.items()}

    @property
    def accepted_checks(self) -> dict[str, BaselineEntry]:
        """The checks with an accepted finding, and the line that accepts it."""
        return {finding.check: finding.accepted for finding in self.accepted if finding.accepted}

    def count(self, outcome: str) -> int:
        """Return the number of checks with a final outcome, as the page's matrix shows it."""
        return sum(final_outcome(rows) == outcome for rows in self.checks().values())

    def checks(self) -> dict[str, list[RowEntry]]:
        """Group the rows by check, in the order of the suite."""
        grouped: dict[str, list[RowEntry]] = {}
        for row in self.rows:
            grouped.setdefault(row.check, []).append(row)
        return dict(sorted(grouped.items(), key=lambda item: _order(item[0])))

    def unproven(self) -> dict[str, str]:
        """Return the checks that neither passed nor failed, with the reason."""
        return {check: skip_reason(rows) for check, rows in self.checks().items() if not proven(rows)}


@frozen
class RunReport:
    """A record: how the run was started, and its result for each relay."""

    tool: str
    started: str
    reproduce: str
    mode: str
    profile: str
    seed: int | None
    strict: bool
    complete: bool
    verdict: str
    relays: tuple[RelayReport, ...]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Read a valid record."""
        header, options, footer = document["header"], document["header"]["options"], document["footer"]
        exchanges = {data["number"]: _entry(ExchangeEntry, data) for data in document["exchanges"]}
        judged = {data["relay"]: data for data in document["relays"]}
        rows: dict[str, list[RowEntry]] = {name: [] for name in (*header["targets"], *judged)}
        for data in document["rows"]:
            rows.setdefault(data["relay"], []).append(_entry(RowEntry, data))
        return cls(
            tool=header["tool"],
            started=header["started"],
            reproduce=header["reproduce"],
            mode=options["mode"],
            profile=options["profile"],
            seed=options["seed"],
            strict=options["strict"],
            complete=footer is not None,
            verdict=INCOMPLETE if footer is None else footer["verdict"],
            relays=tuple(
                _relay(
                    name,
                    _target(header, name),
                    judged.get(name),
                    own,
                    {number: entry for number, entry in exchanges.items() if entry.relay == name},
                )
                for name, own in rows.items()
            ),
        )

    @property
    def start_time(self) -> datetime:
        """The start of the run in UTC; the year 1 if Python cannot represent it."""
        try:
            return datetime.fromisoformat(self.started).astimezone(UTC)
        except (ValueError, OverflowError):  # the schema allows leap seconds and the year 1
            return datetime.min.replace(tzinfo=UTC)


def _target(header: dict[str, Any], name: str) -> tuple[str, str | None]:
    """Return the contract and the URL of a relay; the URL of an embedded mock means nothing to readers."""
    target = header["targets"].get(name, {"relay": name, "url": None})
    return target["relay"], None if header["options"]["mode"] == "mock" else target["url"]


def complete(document: dict[str, Any]) -> bool:
    """Return False for the record of a run that was cut short."""
    return document["footer"] is not None


def proven(rows: Iterable[RowEntry]) -> bool:
    """Return whether a check passed or failed at least once."""
    return any(row.outcome in {"pass", "fail"} for row in rows)


def final_outcome(rows: Iterable[RowEntry]) -> str:
    """Return the outcome of a check for a relay: the first that any of its exchanges has."""
    outcomes = {row.outcome for row in rows}
    shown = ("fail", "error", "pass", "blocked", "inconclusive")
    return next((outcome for outcome in shown if outcome in outcomes), "not-exercised")


def skip_reason(rows: Iterable[RowEntry]) -> str:
    """Return why a check neither passed nor failed, the most important reason first."""
    reasons = {row.outcome: row.actual for row in rows}
    for outcome in ("error", "inconclusive", "blocked", "not-applicable", "not-exercised"):
        if outcome in reasons:
            name = outcome.replace("-", " ")
            return f"{name}: {reasons[outcome]}" if reasons[outcome] else name
    return "not exercised"


def family(check: str) -> str:
    """Return the family of a check: the first two parts of a long id, the first part of a short one."""
    parts = check.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def sentence(check: str) -> str:
    """Return what a check requires; empty for a check of another version."""
    return CHECKS[check].sentence if check in CHECKS else ""


def explanation(check: str) -> str:
    """Return why a check matters; empty for a check of another version."""
    return CHECKS[check].why if check in CHECKS else ""


def known(check: str) -> bool:
    """Return whether this version has the check."""
    return check in CHECKS


def in_order(checks: Iterable[str]) -> list[str]:
    """Sort checks in the order of the suite; checks of another version come last."""
    return sorted(checks, key=_order)


def _entry(cls: type[_T], data: dict[str, Any]) -> _T:
    return cls(**{attribute.name: data[attribute.name] for attribute in fields(cls)})  # type: ignore[arg-type]  # an attrs class


def _relay(
    name: str,
    target: tuple[str, str | None],
    judged: dict[str, Any] | None,
    rows: list[RowEntry],
    exchanges: dict[int, ExchangeEntry],
) -> RelayReport:
    common = (name, *target)
    if judged is None:  # the run ended before this relay was judged
        findings = _findings(name, rows, exchanges, {})
        return RelayReport(*common, INCOMPLETE, tuple(rows), tuple(exchanges.values()), findings)
    baseline = judged["baseline"] or {"accepted": [], "gone": []}
    accepted = {data["check"]: _entry(BaselineEntry, data) for data in baseline["accepted"]}
    findings = _findings(name, rows, exchanges, accepted)
    return RelayReport(
        *common,
        verdict=judged["verdict"],
        rows=tuple(rows),
        exchanges=tuple(exchanges.values()),
        findings=tuple(finding for finding in findings if finding.accepted is None),
        accepted=tuple(finding for finding in findings if finding.accepted is not None),
        gone=tuple(_entry(BaselineEntry, data) for data in baseline["gone"]),
        contract=judged["contract"],
        version=judged["version"],
        requests=judged["requests"],
        features=tuple(_entry(FeatureEntry, data) for data in judged["features"]),
        fuzz=None if judged["fuzz"] is None else _entry(FuzzEntry, judged["fuzz"]),
        stopped=judged["stopped"],
    )


def _findings(
    relay: str,
    rows: list[RowEntry],
    exchanges: dict[int, ExchangeEntry],
    accepted: dict[str, BaselineEntry],
) -> tuple[ReportFinding, ...]:
    groups: dict[tuple[str | None, ...], list[RowEntry]] = {}
    for row in rows:
        if row.is_finding:
            key = (row.check, row.level, row.outcome, row.expected, row.actual, row.clause)
            groups.setdefault(key, []).append(row)
    findings = [
        ReportFinding(
            relay=relay,
            check=row.check,
            level=row.level,
            outcome=row.outcome,
            expected=row.expected,
            actual=row.actual,
            clause=row.clause,
            quote=row.quote,
            exchanges=tuple(exchanges[one.exchange] for one in group if one.exchange in exchanges),
            accepted=accepted.get(row.check) if row.outcome == "fail" else None,
        )
        for group in groups.values()
        for row in group[:1]
    ]
    return tuple(sorted(findings, key=lambda finding: (finding.severity, _order(finding.check))))


@cache
def _positions() -> dict[str, int]:
    return {check: position for position, check in enumerate(CHECKS)}


def _order(check: str) -> tuple[int, str]:
    return _positions().get(check, len(CHECKS)), check
