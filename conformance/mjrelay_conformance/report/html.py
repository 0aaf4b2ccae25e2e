"""
The record of a run as one HTML page without network access.

Text from a relay is hostile. It is embedded as JSON data, never as markup. The page's Content Security Policy
allows only the script and the style of this package, and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from mjrelay_conformance.report.document import CUT_SHORT, RunReport, explanation, family, in_order, sentence

if TYPE_CHECKING:
    from mjrelay_conformance.report.document import ReportFinding


_SCRIPTS = ("elements", "record", "sections", "page")
"""The parts of the page's script in `page/`, in the order in which they run."""
_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode categories of invisible characters, and of characters that reorder others."""
_DANGEROUS = re.compile(
    "[<>&\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""Characters that could end the script element or a line of it, and invisible characters."""


def render(document: dict[str, Any]) -> str:
    """Return the page for a record. A record without a footer is marked as incomplete."""
    run = RunReport.of(document)
    page, style = _file("page.html"), _file("page.css")
    script = "".join(_file(f"{name}.js") for name in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    names = ", ".join(relay.name for relay in run.relays) or "no relay"
    parts = {
        "policy": _policy(style, script),
        "title": _text(f"{names}: {run.verdict}", 200),
        "style": style,
        "script": script,
        "data": _data({"run": document, "checks": _checks(document)}),
        "plain": _plain(run),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)


def _file(name: str) -> str:
    return (resources.files("mjrelay_conformance.report") / "page" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a policy that loads nothing, and runs only this script."""

    def sha256(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {sha256(script)}; style-src {sha256(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _data(value: Any) -> str:
    """Return JSON that cannot end its element, without invisible characters."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def escaped(match: re.Match[str]) -> str:
        return json.dumps(match[0])[1:-1] if match[0] not in "<>&" else f"\\u{ord(match[0]):04x}"

    return _DANGEROUS.sub(escaped, text)


def _checks(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the texts of the checks that the record names, in the order of the suite."""
    return {
        check: {"family": family(check), "sentence": sentence(check), "why": explanation(check)}
        for check in in_order({row["check"] for row in document["rows"]})
    }


def _plain(run: RunReport) -> str:
    """Return verdicts and findings for a browser without scripts."""
    notice = "" if run.complete else f"<p><strong>{_text(CUT_SHORT)}</strong></p>"
    verdicts = "".join(f"<li>{_text(relay.name)}: {_text(relay.verdict)}</li>" for relay in run.relays)
    findings = "".join(
        _item(finding) for relay in run.relays for finding in (*relay.findings, *relay.accepted)
    )
    return (
        f"<h1>{_text(run.verdict)}</h1>{notice}<h2>Relays</h2><ul>{verdicts}</ul>"
        f"<h2>Findings</h2><ul>{findings or '<li>none</li>'}</ul>"
        "<p>The matrix, the filters and the exchanges need scripts.</p>"
    )


def _item(finding: ReportFinding) -> str:
    accepted = finding.accepted
    lines = {
        "rule": finding.sentence,
        "expected": finding.expected,
        "received": finding.actual,
        "clause": finding.cited,
        "accepted": f"{accepted.date}, {accepted.reason}" if accepted else None,
    }
    text = "".join(f"<br>{label}: {_text(value)}" for label, value in lines.items() if value)
    return f"<li><b>{_text(finding.label)}</b> {_text(finding.relay)} {_text(finding.check)}{text}</li>"


def _text(text: str, longest: int = 2000) -> str:
    """Return text as HTML, cut if it is long, with the code points of invisible characters."""
    shown = text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
    return escape(
        "".join(f"[U+{ord(one):04X}]" if unicodedata.category(one) in _INVISIBLE else one for one in shown)
    )
