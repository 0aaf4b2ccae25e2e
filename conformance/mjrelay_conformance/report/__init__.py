"""
Reports of a run: terminal, HTML, Markdown, JUnit, badge, comparison and index.

Each view reads only the record, and imports only `judging` and `checks`.
"""

from mjrelay_conformance.report.badge import render as render_badge
from mjrelay_conformance.report.diff import diff as compare_records
from mjrelay_conformance.report.diff import document as plain_diff
from mjrelay_conformance.report.diff import markdown as render_markdown_diff
from mjrelay_conformance.report.diff import terminal as print_diff
from mjrelay_conformance.report.document import complete as is_complete
from mjrelay_conformance.report.html import render as render_html
from mjrelay_conformance.report.index import collect as collect_records
from mjrelay_conformance.report.index import render as render_index
from mjrelay_conformance.report.junit import render as render_junit
from mjrelay_conformance.report.markdown import render as render_markdown
from mjrelay_conformance.report.merging import merge as merge_records
from mjrelay_conformance.report.reading import ReportError, read_record
from mjrelay_conformance.report.terminal import overall as overall_line
from mjrelay_conformance.report.terminal import render as print_record
from mjrelay_conformance.report.terminal import summary as summary_lines

__all__ = [
    "ReportError",
    "collect_records",
    "compare_records",
    "is_complete",
    "merge_records",
    "overall_line",
    "plain_diff",
    "print_diff",
    "print_record",
    "read_record",
    "render_badge",
    "render_html",
    "render_index",
    "render_junit",
    "render_markdown",
    "render_markdown_diff",
    "summary_lines",
]
