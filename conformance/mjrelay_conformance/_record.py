"""The record of a run, `results.json`, from which every report is made."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import asdict, define, field

from mjrelay._version import __version__
from mjrelay_conformance._check import redacted
from mjrelay_conformance._verdict import worst

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mjrelay._redaction import Redactor
    from mjrelay_conformance._check import Observation, Row
    from mjrelay_conformance._verdict import Feature, Verdict

FORMAT = "urn:mjrelay:results:1"
"""The identity of the record's JSON Schema, `results.schema.json` beside this module."""
LARGEST_BODY = 65_536
"""Bytes of a body that the record keeps; the rest is counted only."""
_MARGIN = 4096
"""Bytes that are longer than any form of a secret."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@define
class Record:
    """
    What a run saw and said so far, written anew after each exchange so that a run cut short loses nothing.

    Everything that enters goes through one redactor. ``path`` None keeps the record in memory.
    """

    path: Path | None
    redactor: Redactor = field(repr=False)
    options: dict[str, Any] = field(factory=dict)
    _started: str = field(factory=_now, init=False)
    _relays: list[dict[str, Any]] = field(factory=list, init=False)
    _rows: list[dict[str, Any]] = field(factory=list, init=False)
    _exchanges: list[dict[str, Any]] = field(factory=list, init=False)
    _footer: dict[str, Any] | None = field(default=None, init=False)

    def next_number(self) -> int:
        """The number that the next exchange gets, from 1."""
        return len(self._exchanges) + 1

    def add(self, observation: Observation, rows: Iterable[Row], *, driver: str) -> None:
        """One exchange and its rows; ``driver`` says what sent it."""
        exchange = observation.exchange
        self._exchanges.append(
            {
                "number": self.next_number(),
                "relay": observation.contract.name,
                "driver": driver,
                "kind": observation.kind.value,
                "task": observation.task_id,
                "method": exchange.method,
                "target": exchange.url.partition("://")[2].partition("/")[2].join(("/", "")),
                "request_headers": [list(pair) for pair in exchange.request_headers if pair[0] != "Host"],
                "status": exchange.status,
                "headers": [[*map(self.redactor.text, pair)] for pair in exchange.headers],
                "body": self._body(exchange.body),
                "elapsed_ms": round(exchange.elapsed * 1000, 1),
                "failure": exchange.failure,
            }
        )
        self.add_rows(rows)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Rows that belong to exchanges already here, or to none."""
        self._rows += [asdict(redacted(row, self.redactor.text)) for row in rows]
        self.write()

    def add_relay(
        self,
        observation_contract: dict[str, Any],
        verdict: Verdict,
        features: Iterable[Feature],
        requests: int,
        fuzz: dict[str, Any] | None,
    ) -> None:
        """A relay that has been judged to the end."""
        self._relays.append(
            {
                **observation_contract,
                "verdict": verdict.value,
                "requests": requests,
                "features": [asdict(feature) for feature in features],
                "fuzz": fuzz,
            }
        )
        self.write()

    def close(self, verdicts: Iterable[Verdict]) -> None:
        """The end; a record without a footer is not to be trusted."""
        overall = worst(verdicts)
        self._footer = {"finished": _now(), "verdict": overall.value, "exit_code": overall.exit_code}
        self.write()

    def document(self) -> dict[str, Any]:
        """The record as plain data."""
        return {
            "format": FORMAT,
            "header": {"tool": f"mjrelay {__version__}", "started": self._started, "options": self.options},
            "relays": self._relays,
            "rows": self._rows,
            "exchanges": self._exchanges,
            "footer": self._footer,
        }

    def write(self) -> None:
        """Replace the file at once, so that a reader never sees half of it."""
        if self.path is None:
            return
        draft = self.path.with_suffix(".partial")
        draft.write_text(json.dumps(self.document(), ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(self.path)

    def _body(self, body: bytes) -> dict[str, Any]:
        kept = self.redactor.bytes(body[: LARGEST_BODY + _MARGIN])
        if len(body) > LARGEST_BODY + _MARGIN:
            kept = kept[:-_MARGIN]  # which may hold a part of a secret that the cut went through
        kept = kept[:LARGEST_BODY]
        try:
            content = {"text": kept.decode("utf-8")}
        except UnicodeDecodeError:
            content = {"base64": base64.b64encode(kept).decode()}
        return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), **content}
