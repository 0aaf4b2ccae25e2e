"""The verdict as a badge: the JSON that shields.io asks an endpoint for."""

from __future__ import annotations

from typing import Any

from mjrelay_conformance.report.document import INCOMPLETE, ReportError, judged, line, overall

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
    The badge of one relay, or of the worst of all.

    Raises `ReportError` where the record does not speak of that relay.
    """
    verdicts = {one.name: one.verdict for one in judged(document)}
    if relay is not None and relay not in verdicts:
        known = ", ".join(verdicts) or "none"
        raise ReportError(f"no relay of this record is called {relay!r}; it has: {line(known, 200)}")
    verdict = overall(document) if relay is None else verdicts[relay]
    label = relay if relay is not None else next(iter(verdicts)) if len(verdicts) == 1 else "relays"
    return {
        "schemaVersion": 1,
        "label": line(label, _LONGEST),
        "message": verdict,
        "color": _COLOURS[verdict],
    }
