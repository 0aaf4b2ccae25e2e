"""One page about the records of many runs: the verdicts of each label and relay, and their trend."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import Counter
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from attrs import field, frozen

from mjrelay_conformance.report.document import CUT_SHORT, INCOMPLETE, LEVELS, RunReport
from mjrelay_conformance.report.reading import NAME, ReportError, read_record
from mjrelay_conformance.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


_PAGE_OF_RUN = "report.html"
"""The HTML report of a run, in the directory of its record."""
_POINTS = 60
"""Runs in a trend: the latest ones."""
_ROWS = 10
"""Runs of a relay that are listed; earlier runs are collapsed."""
_WIDTH, _HEIGHT, _STEP = 240, 40, 12
_COUNTED = (*LEVELS, "error")
_COLUMNS = ("run", "verdict", *_COUNTED, "profile", "contract", "file")
_WORST_FIRST = ("error", "non-conformant", "unreachable", INCOMPLETE, "partial", "conformant")


@frozen
class IndexedRun:
    """The result of one run for one relay; ``name`` is its label, or its contract's name ``relay``."""

    name: str
    relay: str
    url: str | None
    mode: str
    profile: str
    moment: datetime
    version: str
    verdict: str
    counts: dict[str, int]
    path: Path

    @property
    def subject(self) -> tuple[str, str, str | None]:
        """
        What the runs of one trend have in common.

        A run against a mock is not part of the trend of the relay itself. Live relays without a label are
        different ones if their URLs are: one server may be sold by several vendors.
        """
        return self.name, self.mode, self.url if self.mode == "live" and self.name == self.relay else None

    @property
    def found(self) -> int:
        """The number of checks with a finding."""
        return sum(self.counts.values())


@frozen
class Index:
    """The runs in a directory, and why the other records could not be read."""

    directory: Path
    runs: tuple[IndexedRun, ...]
    unreadable: dict[Path, str] = field(factory=dict)


def collect(directory: Path) -> Index:
    """
    Read all records in a directory and its subdirectories, without following symbolic links.

    Args:
        directory: The directory.

    Raises:
        ReportError: The directory does not exist or contains no record.
    """
    if not directory.is_dir():
        raise ReportError(f"{directory} is not a directory; pass the parent of the --report-dir of your runs")
    runs: list[IndexedRun] = []
    unreadable: dict[Path, str] = {}
    for path in _records(directory):
        try:
            runs += _runs(path, RunReport.of(read_record(path)))
        except ReportError as error:
            unreadable[path] = str(error)
    if not runs and not unreadable:
        raise ReportError(
            f"{directory} contains no {NAME}; make one with: mjrelay conform --report-dir {directory}/NAME"
        )
    runs.sort(key=lambda run: run.moment)
    return Index(directory, tuple(runs), unreadable)


def render(index: Index, base: Path | None = None) -> str:
    """
    Return the page.

    Args:
        index: The runs.
        base: The directory that the page is written to; links are relative to it.
    """
    base = index.directory if base is None else base
    trends: dict[tuple[str, str, str | None], list[IndexedRun]] = {}
    for run in index.runs:
        trends.setdefault(run.subject, []).append(run)
    ordered = sorted(trends.values(), key=lambda runs: (_WORST_FIRST.index(runs[-1].verdict), runs[-1].name))
    relays = {(name, url) for name, _, url in trends}
    latest = Counter(runs[-1].verdict for runs in ordered)
    summary = ", ".join(f"{latest[verdict]} {verdict}" for verdict in _WORST_FIRST if latest[verdict])
    title = f"Conformance of {len(relays)} {'relay' if len(relays) == 1 else 'relays'}"
    body = [
        f"<h1>{title}</h1>\n<p>Latest: {summary or 'no record could be read'}.</p>\n",
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


def _runs(path: Path, run: RunReport) -> Iterator[IndexedRun]:
    for relay in run.relays:
        yield IndexedRun(
            name=relay.name,
            relay=relay.relay,
            url=relay.url,
            mode=run.mode,
            profile=run.profile,
            moment=run.start_time,
            version=relay.version,
            verdict=relay.verdict,
            counts=relay.counts,
            path=path,
        )


def _relay(runs: list[IndexedRun], base: Path) -> str:
    last = runs[-1]
    ordered = runs[::-1]
    latest, earlier = ordered[:_ROWS], ordered[_ROWS:]
    collapsed = f"<details><summary>{len(earlier)} earlier</summary>\n{_table(earlier, base)}</details>\n"
    contract = () if last.name == last.relay else (f"contract {last.relay}",)
    about = " · ".join(filter(None, (last.mode, last.url, *contract)))
    return (
        f"<section><h2>{_text(last.name)} {_verdict(last.verdict)}</h2>\n<p>{_text(about)}</p>\n"
        f"{_trend(runs[-_POINTS:])}\n{_table(latest, base)}{collapsed if earlier else ''}</section>\n"
    )


def _table(runs: list[IndexedRun], base: Path) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    rows = "".join(_row(run, base) for run in runs)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n"


def _row(run: IndexedRun, base: Path) -> str:
    page, moment = run.path.with_name(_PAGE_OF_RUN), _moment(run.moment)
    # In the first column, which is visible on a phone too.
    when = _link(page, moment, base) if page.is_file() else moment
    numbers = [str(run.counts[level]) for level in _COUNTED]
    record = _link(run.path, "record", base)
    values = (when, _verdict(run.verdict), *numbers, _text(run.profile), _text(run.version), record)
    cells = zip(_COLUMNS, values, strict=True)
    return f"<tr>{''.join(f'<td data-name={name}>{value}</td>' for name, value in cells)}</tr>\n"


def _trend(runs: list[IndexedRun]) -> str:
    """Return a line of the number of findings, with a dot per run in the colour of its verdict."""
    largest = max(1, *(run.found for run in runs))
    step = min(_STEP, (_WIDTH - _STEP) / max(1, len(runs) - 1))
    points = [
        (_STEP / 2 + position * step, _HEIGHT - 6 - run.found / largest * (_HEIGHT - 12))
        for position, run in enumerate(runs)
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
    return f"<section><h2>Unreadable records</h2><ul>{items}</ul></section>\n"


def _verdict(verdict: str) -> str:
    title = f' title="{CUT_SHORT}"' if verdict == INCOMPLETE else ""
    return f'<span class="verdict {verdict}"{title}>{verdict}</span>'


def _moment(moment: datetime) -> str:
    return f"{moment.isoformat(' ', 'minutes')[:16]} UTC"


def _link(path: Path, shown: str, base: Path) -> str:
    # relpath needs both paths to be absolute if they are relative to different directories.
    relative = os.path.relpath(path.absolute(), base.absolute())
    return f'<a href="{quote(os.fsencode(Path(relative).as_posix()))}">{_text(shown)}</a>'


def _text(text: str) -> str:
    return escape(one_line(text, 500))


_STYLE = """
:root { color-scheme: light dark; --line: #8886;
  --good: #1a7f37; --bad: #cf222e; --unsure: #9a6700; --none: #6e7781; }
@media (prefers-color-scheme: dark) {
  :root { --good: #3fb950; --bad: #ff7b72; --unsure: #d29922; --none: #9198a1; }
}
body { font: 15px/1.5 system-ui, "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; max-width: 70rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.5rem; }
h2 + p { margin: 0; color: var(--none); font-size: 0.9rem; }
summary { cursor: pointer; padding: 0.4rem 0; }
table { border-collapse: collapse; width: 100%; overflow-wrap: normal; }
th, td { text-align: left; padding: 0.25rem 0.6rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
.verdict { font-weight: 600; font-size: 0.95rem; }
.conformant { color: var(--good); }
.non-conformant, .error { color: var(--bad); }
.partial, .incomplete { color: var(--unsure); }
.unreachable { color: var(--none); }
svg { display: block; margin: 0.5rem 0; max-width: 100%; }
polyline { fill: none; stroke: var(--line); stroke-width: 2; }
circle { fill: currentColor; }
@media (max-width: 44rem) { /* each run is a block, and each value has its column's name */
  table, tbody { display: block; }
  thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  tr { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; padding: 0.5rem 0;
    border-bottom: 1px solid var(--line); }
  td { border: 0; padding: 0; white-space: normal; }
  td:first-child { flex-basis: 100%; }
  td:nth-child(n+3)::before { content: attr(data-name) " "; color: var(--none); }
  td a { display: inline-block; padding: 0.3rem 0; }
}
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
