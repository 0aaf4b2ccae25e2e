"""
The record of a run as JUnit XML: a suite for each relay, a test case for each check.

A failure is what makes the verdict non-conformant, so that a job which reads this file and one which reads
the exit code agree: a broken MUST, with ``strict`` every finding, and a baseline's line whose finding is
gone. Other findings, and accepted ones, stand in the case's output. A mistake of our own is an error, and so
is a relay that did not answer or a run that was cut short. What proved nothing is skipped, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from mjrelay.base import replace_unprintable
from mjrelay_conformance.report.document import (
    CUT_SHORT,
    complete,
    family,
    judged,
    line,
    proven,
    sentence,
    why,
)

if TYPE_CHECKING:
    from mjrelay_conformance.report.document import Judged, ReportFinding


_MESSAGE = 300
"""Characters of a message; the whole stands below it."""


def render(document: dict[str, Any]) -> str:
    """The XML document."""
    root = ET.Element("testsuites", name="mjrelay conform")
    for relay in judged(document):
        _suite(root, document, relay)
    if not complete(document):
        _error(ET.SubElement(root, "testsuite", name="run"), "run", CUT_SHORT)
    for suite in (*root, root):
        suite.set("tests", str(len(list(suite.iter("testcase")))))
        for kind in ("failure", "error", "skipped"):
            plural = kind if kind == "skipped" else f"{kind}s"
            suite.set(plural, str(len(list(suite.iter(kind)))))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(root: ET.Element, document: dict[str, Any], relay: Judged) -> None:
    header = document["header"]
    suite = ET.SubElement(root, "testsuite", name=line(relay.name), timestamp=line(header["started"]))
    properties = ET.SubElement(suite, "properties")
    entry = relay.entry or {"contract": "", "version": "", "stopped": None}
    said = {
        "verdict": relay.verdict,
        "contract": entry["contract"],
        "version": entry["version"],
        "tool": header["tool"],
        "mode": header["options"]["mode"],
        "profile": header["options"]["profile"],
        "seed": str(header["options"]["seed"]),
        "stopped": entry["stopped"] or "",
        "reproduce": header["reproduce"],
    }
    for name, value in said.items():
        ET.SubElement(properties, "property", name=name, value=line(value))
    if relay.verdict == "unreachable":
        _error(suite, relay.name, "the relay did not answer")
    gone = {item["check"]: item for item in relay.gone}
    checks = relay.checks()
    for check in (*checks, *(check for check in gone if check not in checks)):
        _check(suite, relay, check, gone.get(check), strict=header["options"]["strict"])


def _check(
    suite: ET.Element, relay: Judged, check: str, gone: dict[str, Any] | None, *, strict: bool
) -> None:
    findings = [finding for finding in relay.findings if finding.check == check]
    errors = [finding for finding in findings if finding.label == "error"]
    counted = [
        finding for finding in findings if finding.label == "must" or (strict and finding not in errors)
    ]
    others = [finding for finding in findings if finding not in errors + counted]
    others += [finding for finding in relay.accepted if finding.check == check]
    rows = relay.checks().get(check, ())
    case = ET.SubElement(suite, "testcase", classname=line(f"{relay.name}.{family(check)}"), name=line(check))
    if errors:
        _told(case, "error", errors)
    elif counted:
        _told(case, "failure", counted)
    elif gone is not None:
        text = (
            f"accepted since {gone['date']} ({gone['reason']}), but gone: take the line out of the baseline"
        )
        plain = replace_unprintable(text, keep_lines=True)
        ET.SubElement(case, "failure", message=line(text, _MESSAGE), type="baseline").text = plain
    elif not proven(rows):
        ET.SubElement(case, "skipped", message=line(why(rows), _MESSAGE))
    if others:
        ET.SubElement(case, "system-out").text = "\n\n".join(map(_text, others))


def _told(case: ET.Element, kind: str, findings: list[ReportFinding]) -> None:
    message = line(findings[0].actual or sentence(findings[0].check), _MESSAGE)
    told = ET.SubElement(case, kind, message=message, type=findings[0].label)
    told.text = "\n\n".join(map(_text, findings))


def _text(finding: ReportFinding) -> str:
    accepted, exchange = finding.accepted, finding.exchange
    lines = [
        f"{finding.label.upper()} {sentence(finding.check)}".rstrip(),
        accepted and f"accepted since {accepted['date']}: {accepted['reason']}",
        finding.expected and f"expected: {finding.expected}",
        finding.actual and f"came: {finding.actual}",
        finding.clause and f"clause: {finding.clause}",
        finding.driver,
        f"exchanges: {', '.join(str(one['number']) for one in finding.exchanges)}" if exchange else "",
        exchange and f"again: {exchange['curl']}",
    ]
    return replace_unprintable("\n".join(one for one in lines if one), keep_lines=True)


def _error(suite: ET.Element, of: str, message: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=line(of), name="verdict")
    ET.SubElement(case, "error", message=message, type="verdict")
