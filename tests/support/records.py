"""Records of runs, made without running anything."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path


BODY = {"size": 2, "sha256": "0" * 64, "text": "{}"}
FAILS = {"outcome": "fail", "expected": "a time in milliseconds", "actual": "1730621826"}
BREAKOUTS = [
    "`", "``", "```", "~~~~", "|", "\\|", "\\", "\n", "\n\n", "\r\n", "# ", "- ", "> ", "    ", "@user",
    "#1", "[a](http://b)", "![a](//b)", "<script>alert(1)</script>", "<!--", "-->",
    "</code></summary></details>",
    "]]>", "&lt;", "&#64;", '"', "'", "http://b.test", "www.b.test", "\x1b[31m", "\x00", "\x9b", "\u202e",
    "\ufffe",
    "{}", "{0}", "%s", "任务", "</style>", "javascript:alert(1)", "$a$", "\u2028",
]  # fmt: skip
hostile = st.lists(st.sampled_from(BREAKOUTS) | st.text(max_size=5), max_size=8).map("".join)


def row(check: str = "fetch/200/times", **changes: Any) -> dict[str, Any]:
    """A row of a passed check, with changes."""
    return {
        "relay": "one",
        "check": check,
        "level": "must",
        "outcome": "pass",
        "clause": "openapi/one.yaml:12#/paths",
        "exchange": 1,
        "expected": None,
        "actual": None,
        "quote": None,
        **changes,
    }


def record(*rows: dict[str, Any], text: str = "text", **changes: Any) -> dict[str, Any]:
    """A record of one relay with these rows; ``text`` is every text from a relay or a user."""
    name = changes.get("relay", "one")
    targets = changes.pop("targets", {name: {"relay": name, "url": "https://relay.test"}})
    exchange = {
        "number": 1, "relay": name, "driver": "plan", "kind": "known", "task": text, "label": text,
        "method": text,
        "target": text, "request_headers": [[text, text]], "request_body": BODY, "status": 200,
        "headers": [[text, text]], "body": BODY | {"text": text}, "elapsed_ms": 1.5, "failure": None,
        "curl": text,
    }  # fmt: skip
    options = {
        "mode": "live", "profile": "read", "fuzz": False, "strict": False, "checks": [text], "excluded": [],
        "seed": 0, "overlays": [text],
    }  # fmt: skip
    relay = {
        "relay": "one", "contract": text, "version": text, "verdict": "conformant", "requests": 5,
        "features": [
            {"name": text, "core": True, "exercised": False, "hint": text},
            {"name": text, "core": False, "exercised": False, "hint": text},
        ],
        "fuzz": {"cases": 4, "reached_200": 3, "seed": 0, "mode": "full"},
        "stopped": text, "baseline": None,
    }  # fmt: skip
    return {
        "format": "urn:mjrelay:results:1",
        "header": {
            "tool": text,
            "started": changes.pop("started", "2026-01-02T03:04:05.678+00:00"),
            "options": options,
            "reproduce": text,
            "targets": targets,
        },
        "relays": [relay | {name: changes.pop(name) for name in relay.keys() & changes.keys()}],
        "rows": [{**one} for one in rows],
        "exchanges": [exchange, exchange | {"number": 2, "driver": "fuzz"}],
        "footer": {"finished": "2026-01-02T03:05:05+00:00", "verdict": "conformant", "exit_code": 0},
        **changes,
    }


def nasty(text: str) -> dict[str, Any]:
    """A record with a text in every place that the schema allows."""
    rows = [
        row(text, relay=text, outcome="fail", expected=text, actual=text, clause=text),
        row(
            text,
            relay=text,
            outcome="fail",
            level="info",
            expected=text,
            actual=text,
            clause=text,
            quote=text,
            exchange=2,
        ),
        row(f"{text}/a", relay=text, outcome="error", actual=text, exchange=7),
        row(f"{text}/b", relay=text, outcome="inconclusive", actual=text, exchange=None),
        row(f"{text}/c", relay=text, outcome="blocked", actual=text),
        row(f"{text}/d", relay=text, outcome="fail", expected=text, actual=text),
        row(f"x{text}", relay=f"x{text}", **FAILS),
    ]
    lines = {
        "accepted": [{"check": f"{text}/d", "reason": text, "date": "2026-01-01"}],
        "gone": [{"check": f"{text}/e", "reason": text, "date": "2026-01-01"}],
    }
    targets = {text: {"relay": text, "url": f"https://{text}"}}
    return record(*rows, text=text, relay=text, baseline=lines, targets=targets)


def write(path: Path, document: dict[str, Any]) -> Path:
    """Write a record to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


class Page(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.tags.append(tag)
        self.attributes += attrs
