"""
The record of a run as one page for a browser, which needs nothing but itself.

What a relay answered is hostile text. It goes into the page as data and never as markup; the page's policy
lets run and style it only what this package ships, and lets it ask nobody for anything.
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

from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.report.document import CUT_SHORT, complete, family, judged, overall, sentence

if TYPE_CHECKING:
    from mjrelay_conformance.report.document import ReportFinding


_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
"""Unicode's categories of characters that cannot be seen, or that change how others are."""
_DANGEROUS = re.compile(
    "[<>&\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
"""What would end a script's element or a line of it, and what a text editor would not show."""


def render(document: dict[str, Any]) -> str:
    """The page for a record; one without a footer says loudly that the run was cut short."""
    files = resources.files("mjrelay_conformance.report")
    page, style, script = (
        files.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
    names = ", ".join(one.name for one in judged(document)) or "no relay"
    parts = {
        "policy": _policy(style, script),
        "title": _text(f"{names}: {overall(document)}", 200),
        "style": style,
        "script": script,
        "data": _data({"run": document, "checks": _checks(document)}),
        "plain": _plain(document),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def _policy(style: str, script: str) -> str:
    """Nothing may be loaded, and nothing run that is not the script beside this module."""

    def sha256(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {sha256(script)}; style-src {sha256(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _data(value: Any) -> str:
    """JSON that stays inside its element whatever it holds, and that a text editor shows as it is."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    def escaped(found: re.Match[str]) -> str:
        return json.dumps(found[0])[1:-1] if found[0] not in "<>&" else f"\\u{ord(found[0]):04x}"

    return _DANGEROUS.sub(escaped, text)


def _checks(document: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What the page says of the checks that the record names, in the order of judging."""
    named = {row["check"] for row in document["rows"]}
    ordered = [id_ for id_ in CHECKS if id_ in named]
    ordered += sorted(named - CHECKS.keys())  # of another version's record
    return {
        id_: {
            "family": family(id_),
            "sentence": sentence(id_),
            "why": CHECKS[id_].why if id_ in CHECKS else "",
        }
        for id_ in ordered
    }


def _plain(document: dict[str, Any]) -> str:
    """Verdicts and findings for a browser without scripts."""
    relays = judged(document)
    cut = "" if complete(document) else f"<p><strong>{_text(CUT_SHORT)}</strong></p>"
    verdicts = "".join(f"<li>{_text(one.name)}: {_text(one.verdict)}</li>" for one in relays)
    findings = "".join(_item(finding) for one in relays for finding in (*one.findings, *one.accepted))
    return (
        f"<h1>{_text(overall(document))}</h1>{cut}<h2>Relays</h2><ul>{verdicts}</ul>"
        f"<h2>Findings</h2><ul>{findings or '<li>none</li>'}</ul>"
        "<p>The matrix, the filters and the exchanges need scripts.</p>"
    )


def _item(finding: ReportFinding) -> str:
    accepted = finding.accepted
    lines = {
        "says": sentence(finding.check),
        "expected": finding.expected,
        "came": finding.actual,
        "clause": finding.place,
        "accepted": f"{accepted['date']}, {accepted['reason']}" if accepted else None,
    }
    said = "".join(f"<br>{name}: {_text(text)}" for name, text in lines.items() if text)
    return f"<li><b>{_text(finding.label)}</b> {_text(finding.relay)} {_text(finding.check)}{said}</li>"


def _text(text: str, longest: int = 2000) -> str:
    """A text as HTML, cut where it is long; characters that cannot be seen are named."""
    shown = text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
    return escape(
        "".join(f"[U+{ord(one):04X}]" if unicodedata.category(one) in _UNSEEN else one for one in shown)
    )
