"""One record of several runs, so that every report can show them as one matrix."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mjrelay_conformance.judging import Verdict, worst
from mjrelay_conformance.report.reading import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_PARTS = ("relays", "rows", "exchanges")


def merge(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """
    Return one record of several runs.

    A relay keeps its name if no other run has it. Otherwise the host is added, and then the time of the run.

    Raises:
        ReportError: Only some of the runs are strict, or a run is given twice.
    """
    headers = [document["header"] for document in documents]
    if len({header["options"]["strict"] for header in headers}) > 1:
        raise ReportError("runs with and without --strict count findings differently; merge them separately")
    merged: dict[str, Any] = {"format": documents[0]["format"], "header": _header(headers)}
    parts: dict[str, list[dict[str, Any]]] = {part: [] for part in _PARTS}
    for document, names in zip(documents, _names(documents), strict=True):
        mock = document["header"]["options"]["mode"] == "mock"
        for name, target in document["header"]["targets"].items():
            merged["header"]["targets"][names[name]] = target | ({"url": None} if mock else {})
        offset = len(parts["exchanges"])
        for part, entries in parts.items():
            entries += [one | {"relay": names[one["relay"]]} | _moved(one, offset) for one in document[part]]
    footers = [document["footer"] for document in documents]
    return merged | parts | {"footer": _footer(footers) if all(footers) else None}


def _moved(entry: dict[str, Any], offset: int) -> dict[str, int]:
    """Return the number of an exchange, or of the exchange of a row, in the merged record."""
    return {name: entry[name] + offset for name in ("number", "exchange") if entry.get(name) is not None}


def _names(documents: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the names of each document's relays in the merged record: the shortest that are unique."""
    candidates = [_candidates(document) for document in documents]
    uses = Counter(text for one in candidates for texts in one.values() for text in texts)
    chosen = [
        {name: next((text for text in texts if uses[text] == 1), "") for name, texts in one.items()}
        for one in candidates
    ]
    if not all(text for one in chosen for text in one.values()):
        raise ReportError("a run is given twice; give each record once")
    return chosen


def _candidates(document: dict[str, Any]) -> dict[str, list[str]]:
    """Return the possible names of each relay in a record."""
    header, found = document["header"], {}
    names = [*header["targets"], *(one["relay"] for part in _PARTS for one in document[part])]
    for name in dict.fromkeys(names):
        url = header["targets"].get(name, {}).get("url") or ""  # foreign, so it may be no URL
        host = url.partition("://")[2].partition("/")[0]
        at = f"{name} at {host}" if host else name
        found[name] = [*dict.fromkeys((name or "relay", at, f"{at}, {header['started']}"))]
    return found


def _header(headers: list[dict[str, Any]]) -> dict[str, Any]:
    options = [header["options"] for header in headers]

    def common(name: str, otherwise: Any) -> Any:
        return options[0][name] if all(one[name] == options[0][name] for one in options) else otherwise

    return {
        "tool": headers[0]["tool"],
        "started": min(header["started"] for header in headers),
        "options": {
            "mode": common("mode", "mixed"),
            "profile": common("profile", "mixed"),
            "fuzz": any(one["fuzz"] for one in options),
            "strict": options[0]["strict"],
            **{name: common(name, []) for name in ("checks", "excluded", "overlays")},
            "seed": common("seed", None),
        },
        "reproduce": "\n".join(header["reproduce"] for header in headers),
        "targets": {},
    }


def _footer(footers: list[dict[str, Any]]) -> dict[str, Any]:
    verdict = worst(Verdict(footer["verdict"]) for footer in footers)
    code = verdict.exit_code or max(footer["exit_code"] for footer in footers)
    return {"finished": max(one["finished"] for one in footers), "verdict": verdict.value, "exit_code": code}
