"""The verdict as a badge: JSON for the endpoint badge of shields.io."""

from __future__ import annotations

from typing import Any

from mjrelay_conformance.report.document import INCOMPLETE, RunReport
from mjrelay_conformance.report.reading import ReportError
from mjrelay_conformance.report.text import one_line

_COLOURS = {
    "conformant": "brightgreen",
    "non-conformant": "red",
    "partial": "yellow",
    "unreachable": "lightgrey",
    "error": "purple",
    INCOMPLETE: "lightgrey",
}
_LONGEST = 60


def render(document: dict[str, Any], relay: str | None = None) -> dict[str, Any]:
    """
    Return the badge of one relay, or of the worst verdict of the run.

    Args:
        document: The record.
        relay: The name of the relay. Default: all relays.

    Raises:
        ReportError: The record does not contain that relay.
    """
    run = RunReport.of(document)
    verdicts = {one.name: one.verdict for one in run.relays}
    if relay is not None and relay not in verdicts:
        names = one_line(", ".join(verdicts) or "none", 200)
        raise ReportError(f"the record has no relay {relay!r}; choose one of: {names}")
    verdict = run.verdict if relay is None else verdicts[relay]
    label = relay if relay is not None else next(iter(verdicts)) if len(verdicts) == 1 else "relays"
    return {
        "schemaVersion": 1,
        "label": one_line(label, _LONGEST),
        "message": verdict,
        "color": _COLOURS[verdict],
    }
