"""
The record of a run as JUnit XML: a test suite for each relay, a test case for each check.

A failure is what makes `mjrelay conform` exit with 1: a broken MUST, any finding with ``strict``, and a line
of the baseline whose check passes again. Other findings and accepted findings are in ``system-out``. An
error is a crashed check, an unreachable relay, or a run that was cut short. Unproven checks are skipped.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from mjrelay.base import replace_unprintable
from mjrelay_conformance.report.document import CUT_SHORT, RunReport, family, proven, skip_reason
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from mjrelay_conformance.report.document import BaselineEntry, RelayReport, ReportFinding


_MESSAGE = 300
"""Characters of the ``message`` attribute; the element's text is not cut."""


def render(document: dict[str, Any]) -> str:
    """Return the XML document."""
    run = RunReport.of(document)
    root = ET.Element("testsuites", name="mjrelay conform")
    for relay in run.relays:
        _suite(root, run, relay)
    if not run.complete:
        _error(ET.SubElement(root, "testsuite", name="run"), "run", CUT_SHORT)
    for suite in (*root, root):
        suite.set("tests", str(len(list(suite.iter("testcase")))))
        for kind in ("failure", "error", "skipped"):
            plural = kind if kind == "skipped" else f"{kind}s"
            suite.set(plural, str(len(list(suite.iter(kind)))))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, run: RunReport, relay: RelayReport) -> None:
    suite = ET.SubElement(root, "testsuite", name=one_line(relay.name), timestamp=one_line(run.started))
    properties = ET.SubElement(suite, "properties")
    values = {
        "relay": relay.relay,
        "url": relay.url or "",
        "verdict": relay.verdict,
        "contract": relay.contract,
        "version": relay.version,
        "tool": run.tool,
        "mode": run.mode,
        "profile": run.profile,
        "seed": "" if run.seed is None else str(run.seed),
        "stopped": relay.stopped or "",
        "reproduce": run.reproduce,
    }
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=one_line(value))
    if relay.verdict == "unreachable":
        _error(suite, relay.name, "no response from the relay")
    gone = {line.check: line for line in relay.gone}
    checks, times = relay.checks(), _times(relay)
    for check in (*checks, *(check for check in gone if check not in checks)):
        case = _check(suite, relay, check, gone.get(check), strict=run.strict)
        case.set("time", f"{times.get(check, 0):.3f}")
    suite.set("time", f"{sum(one.elapsed_ms for one in relay.exchanges) / 1000:.3f}")


def _times(relay: RelayReport) -> dict[str, float]:
    """Return seconds by check: each exchange's time, divided among the checks that judged it."""
    elapsed = {one.number: one.elapsed_ms / 1000 for one in relay.exchanges}
    judged = Counter(row.exchange for row in relay.rows)
    times: dict[str, float] = {}
    for row in relay.rows:
        if row.exchange in elapsed:
            times[row.check] = times.get(row.check, 0.0) + elapsed[row.exchange] / judged[row.exchange]
    return times


def _check(
    suite: ET.Element, relay: RelayReport, check: str, gone: BaselineEntry | None, *, strict: bool
) -> ET.Element:
    findings = [finding for finding in relay.findings if finding.check == check]
    errors = [finding for finding in findings if finding.label == "error"]
    failures = [
        finding for finding in findings if finding.label == "must" or (strict and finding not in errors)
    ]
    others = [finding for finding in findings if finding not in errors + failures]
    others += [finding for finding in relay.accepted if finding.check == check]
    rows = relay.checks().get(check, ())
    name = one_line(f"{relay.name}.{family(check)}")
    case = ET.SubElement(suite, "testcase", classname=name, name=one_line(check))
    if errors:
        _result(case, "error", errors)
    elif failures:
        _result(case, "failure", failures)
    elif gone is not None:
        text = f"accepted since {gone.date} ({gone.reason}), but it passes; remove the line from the baseline"
        failure = ET.SubElement(case, "failure", message=one_line(text, _MESSAGE), type="baseline")
        failure.text = replace_unprintable(text, keep_lines=True)
    elif not proven(rows):
        ET.SubElement(case, "skipped", message=one_line(skip_reason(rows), _MESSAGE))
    if others:
        ET.SubElement(case, "system-out").text = "\n\n".join(map(_text, others))
    return case


def _result(case: ET.Element, kind: str, findings: list[ReportFinding]) -> None:
    message = one_line(findings[0].actual or findings[0].sentence, _MESSAGE)
    result = ET.SubElement(case, kind, message=message, type=findings[0].label)
    result.text = "\n\n".join(map(_text, findings))


def _text(finding: ReportFinding) -> str:
    accepted, exchange = finding.accepted, finding.exchange
    lines = [
        f"{finding.label.upper()} {finding.sentence}".rstrip(),
        accepted and f"accepted since {accepted.date}: {accepted.reason}",
        finding.expected and f"expected: {finding.expected}",
        finding.actual and f"received: {finding.actual}",
        finding.clause and f"clause: {finding.clause}",
        finding.quote,
        finding.source,
        f"exchanges: {', '.join(str(one.number) for one in finding.exchanges)}" if exchange else "",
        exchange and f"reproduce: {exchange.curl}",
    ]
    return replace_unprintable("\n".join(line for line in lines if line), keep_lines=True)


def _error(suite: ET.Element, name: str, message: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=one_line(name), name="verdict")
    ET.SubElement(case, "error", message=message, type="verdict")
