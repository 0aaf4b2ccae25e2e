"""One page over the records of many runs: what each relay's verdict is, and how it came to be."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import field, frozen

from mjrelay_conformance.report.document import (
    CUT_SHORT,
    INCOMPLETE,
    LEVELS,
    NAME,
    ReportError,
    judged,
    line,
    read_record,
    started,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


_PAGE_OF_RUN = "report.html"
"""What the page of a single run is called, beside its record."""
_POINTS = 60
"""Runs that a trend shows; the latest ones."""
_ROWS = 10
"""Runs of a relay that are listed at once; the earlier ones are folded."""
_WIDTH, _HEIGHT, _STEP = 240, 40, 12
_WORST_FIRST = ("error", "non-conformant", "unreachable", INCOMPLETE, "partial", "conformant")


@frozen
class Run:
    """What one run says of one relay."""

    relay: str
    mode: str
    profile: str
    moment: datetime
    version: str
    verdict: str
    counts: dict[str, int]
    path: Path

    @property
    def found(self) -> int:
        """How many checks found something."""
        return sum(self.counts.values())


@frozen
class Index:
    """The runs below a directory, and the records that could not be read, with the reason."""

    directory: Path
    runs: tuple[Run, ...]
    unreadable: dict[Path, str] = field(factory=dict)


def collect(directory: Path) -> Index:
    """
    All records below a directory; links are not followed.

    Raises `ReportError` where it is no directory or holds no record at all.
    """
    if not directory.is_dir():
        raise ReportError(f"{directory} is no directory; name the one that the runs' --report-dir are in")
    runs: list[Run] = []
    unreadable: dict[Path, str] = {}
    for path in _records(directory):
        try:
            runs += _runs(path, read_record(path))
        except ReportError as error:
            unreadable[path] = str(error)
    if not runs and not unreadable:
        raise ReportError(
            f"{directory}: holds no {NAME}; make one with: mjrelay conform --report-dir {directory / 'NAME'}"
        )
    runs.sort(key=lambda run: run.moment)
    return Index(directory, tuple(runs), unreadable)


def render(index: Index, base: Path | None = None) -> str:
    """The page; its links are relative to ``base``, the directory that it is put into."""
    base = index.directory if base is None else base
    trends: dict[tuple[str, str], list[Run]] = {}
    for run in index.runs:
        # The runs on a mock say nothing of the relay itself, so they are no part of its trend.
        trends.setdefault((run.relay, run.mode), []).append(run)
    ordered = sorted(trends.values(), key=lambda runs: (_WORST_FIRST.index(runs[-1].verdict), runs[-1].relay))
    relays = {run.relay for run in index.runs}
    latest = Counter(runs[-1].verdict for runs in ordered)
    told = ", ".join(f"{latest[verdict]} {verdict}" for verdict in _WORST_FIRST if latest[verdict])
    title = f"Conformance of {len(relays)} {'relay' if len(relays) == 1 else 'relays'}"
    body = [
        f"<h1>{title}</h1>\n<p>Latest: {told or 'no record could be read'}.</p>\n",
        *(_relay(runs, base) for runs in ordered),
        _unreadable(index, base),
    ]
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return _PAGE.format(policy=policy, style=_STYLE, body="".join(body))


def _records(directory: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(directory):
        folders.sort()
        if NAME in files:
            yield Path(folder) / NAME


def _runs(path: Path, document: dict[str, Any]) -> Iterator[Run]:
    options = document["header"]["options"]
    for relay in judged(document):
        yield Run(
            relay=relay.name,
            mode=options["mode"],
            profile=options["profile"],
            moment=started(document),
            version="" if relay.entry is None else relay.entry["version"],
            verdict=relay.verdict,
            counts=relay.counts,
            path=path,
        )


def _relay(runs: list[Run], base: Path) -> str:
    last = runs[-1]
    ordered = runs[::-1]
    latest, earlier = ordered[:_ROWS], ordered[_ROWS:]
    folded = f"<details><summary>{len(earlier)} earlier</summary>\n{_table(earlier, base)}</details>\n"
    return (
        f"<section><h2>{_text(last.relay)} <small>{_text(last.mode)}</small> {_verdict(last.verdict)}</h2>\n"
        f"{_trend(runs[-_POINTS:])}\n{_table(latest, base)}{folded if earlier else ''}</section>\n"
    )


def _table(runs: list[Run], base: Path) -> str:
    return (
        f'<div class="wide"><table><thead><tr><th>run</th><th>verdict</th>'
        f"{''.join(f'<th>{level}</th>' for level in (*LEVELS, 'error'))}"
        "<th>profile</th><th>contract</th><th>file</th></tr></thead>\n"
        f"<tbody>{''.join(_row(run, base) for run in runs)}</tbody></table></div>\n"
    )


def _row(run: Run, base: Path) -> str:
    page, moment = run.path.with_name(_PAGE_OF_RUN), _moment(run.moment)
    # In the first column, which is in sight on a telephone too.
    when = _link(page, moment, base) if page.is_file() else moment
    record = _link(run.path, "record", base)
    numbers = "".join(f'<td class="number">{run.counts[level]}</td>' for level in (*LEVELS, "error"))
    return (
        f"<tr><td>{when}</td><td>{_verdict(run.verdict)}</td>{numbers}"
        f"<td>{_text(run.profile)}</td><td>{_text(run.version)}</td><td>{record}</td></tr>\n"
    )


def _trend(runs: list[Run]) -> str:
    """The number of findings over the runs, each a dot in the colour of its verdict."""
    most = max(1, *(run.found for run in runs))
    step = min(_STEP, (_WIDTH - _STEP) / max(1, len(runs) - 1))
    points = [
        (_STEP / 2 + place * step, _HEIGHT - 6 - run.found / most * (_HEIGHT - 12))
        for place, run in enumerate(runs)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle class="{run.verdict}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        f"<title>{_moment(run.moment)}: {run.verdict}, {run.found} findings</title></circle>"
        for (x, y), run in zip(points, runs, strict=True)
    )
    label = f"Findings in {len(runs)} runs: {', '.join(str(run.found) for run in runs)}"
    return (
        f'<svg role="img" aria-label="{label}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}"><polyline points="{path}"/>{dots}</svg>'
    )


def _unreadable(index: Index, base: Path) -> str:
    if not index.unreadable:
        return ""
    items = "".join(
        f"<li>{_link(path, str(path), base)}: {_text(reason)}</li>\n"
        for path, reason in index.unreadable.items()
    )
    return f"<section><h2>Not readable</h2><ul>{items}</ul></section>\n"


def _verdict(verdict: str) -> str:
    title = f' title="{CUT_SHORT}"' if verdict == INCOMPLETE else ""
    return f'<span class="verdict {verdict}"{title}>{verdict}</span>'


def _moment(moment: datetime) -> str:
    return f"{moment.isoformat(' ', 'minutes')[:16]} UTC"


def _link(path: Path, shown: str, base: Path) -> str:
    # Absolute first, for there is no way from a directory to another that is told relative to a third.
    relative = os.path.relpath(path.absolute(), base.absolute())
    return f'<a href="{quote(os.fsencode(Path(relative).as_posix()))}">{_text(shown)}</a>'


def _text(text: str) -> str:
    return escape(line(text, 500))


_STYLE = """
:root { color-scheme: light dark; --line: #8886;
  --good: #1a7f37; --bad: #cf222e; --unsure: #9a6700; --none: #6e7781; }
@media (prefers-color-scheme: dark) {
  :root { --good: #3fb950; --bad: #ff7b72; --unsure: #d29922; --none: #9198a1; }
}
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; max-width: 70rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
small { font-weight: normal; opacity: 0.7; }
summary { cursor: pointer; padding: 0.4rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.verdict { font-weight: 600; font-size: 0.95rem; }
.conformant { color: var(--good); }
.non-conformant, .error { color: var(--bad); }
.partial, .incomplete { color: var(--unsure); }
.unreachable { color: var(--none); }
svg { display: block; margin: 0.5rem 0; max-width: 100%; }
polyline { fill: none; stroke: var(--line); stroke-width: 2; }
circle { fill: currentColor; }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Conformance</title>
<style>{style}</style>
</head>
<body>
{body}</body>
</html>
"""
