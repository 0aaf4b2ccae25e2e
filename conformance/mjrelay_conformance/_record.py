"""The record of a run, `results.json`, from which every report is made."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import asdict, define, field

from mjrelay._version import __version__
from mjrelay.errors import MjrelayError
from mjrelay_conformance._curl import curl
from mjrelay_conformance._verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from mjrelay._contract import Contract
    from mjrelay._redaction import Redactor
    from mjrelay_conformance._check import Observation, Row
    from mjrelay_conformance._verdict import Feature

FORMAT = "urn:mjrelay:results:1"
"""The identity of the record's JSON Schema, `results.schema.json` beside this module."""
LARGEST_BODY = 65_536
"""Bytes of a body that the record keeps; the rest is counted only."""
_MARGIN = 4096
"""Bytes that are longer than any form of a secret."""


class RecordError(MjrelayError):
    """The record cannot be written."""


def schema_text() -> str:
    """The JSON Schema of a record, as it is published."""
    return (resources.files(__package__) / "results.schema.json").read_text(encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@define
class _Written:
    """Entries beside their JSON, so that each is written out once however often the file is."""

    entries: list[dict[str, Any]] = field(factory=list)
    _texts: list[str] = field(factory=list)

    def add(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)

    def texts(self) -> list[str]:
        new = self.entries[len(self._texts) :]
        self._texts += [json.dumps(entry, ensure_ascii=False) for entry in new]
        return self._texts


@define
class Record:
    """
    What a run saw and said so far, written anew after each exchange so that a run cut short loses nothing.

    Everything that enters goes through one redactor. ``path`` None keeps the record in memory; ``reproduce``
    is the command that does the run again.
    """

    path: Path | None
    redactor: Redactor = field(repr=False)
    options: dict[str, Any] = field(factory=dict)
    reproduce: str = ""
    _started: str = field(factory=_now, init=False)
    _relays: list[dict[str, Any]] = field(factory=list, init=False)
    _rows: _Written = field(factory=_Written, init=False)
    _exchanges: _Written = field(factory=_Written, init=False)
    _footer: dict[str, Any] | None = field(default=None, init=False)

    def next_number(self) -> int:
        """The number that the next exchange gets, from 1."""
        return len(self._exchanges.entries) + 1

    def add(
        self,
        observation: Observation,
        rows: Iterable[Row],
        *,
        driver: str,
        label: str = "",
        base_url: str = "",
    ) -> None:
        """
        One exchange and its rows.

        ``driver`` says where it comes from, ``label`` what is particular about it; ``base_url`` is the part
        of its URL that the caller gave.
        """
        exchange = observation.exchange
        text = self.redactor.text
        self._exchanges.add(
            {
                "number": self.next_number(),
                "relay": observation.contract.name,
                "driver": driver,
                "kind": observation.kind.value,
                "task": text(observation.task_id),
                "label": text(label),
                "method": exchange.method,
                "target": text(exchange.url.partition("://")[2].partition("/")[2].join(("/", ""))),
                "request_headers": [
                    [*map(text, pair)] for pair in exchange.request_headers if pair[0].lower() != "host"
                ],
                "request_body": self._body(exchange.request_body),
                "status": exchange.status,
                "headers": [[*map(text, pair)] for pair in exchange.headers],
                "body": self._body(exchange.body),
                "elapsed_ms": round(exchange.elapsed * 1000, 1),
                "failure": None if exchange.failure is None else text(exchange.failure),
                "curl": text(curl(exchange, base_url or _origin(exchange.url))),
            }
        )
        self.add_rows(rows)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Rows that belong to exchanges already here, or to none."""
        for row in rows:
            self._rows.add(row.document(self.redactor.text))
        self.write()

    def add_relay(
        self,
        contract: Contract,
        verdict: Verdict,
        features: Iterable[Feature],
        *,
        requests: int,
        fuzz: dict[str, Any] | None = None,
        stopped: str | None = None,
        baseline: dict[str, Any] | None = None,
    ) -> None:
        """
        A relay that has been judged to the end.

        ``requests`` is how many were sent, ``stopped`` why no more of them, ``baseline`` what was accepted
        before and what of it is gone.
        """
        self._relays.append(
            {
                "relay": contract.name,
                "contract": contract.clause().file,
                "version": contract.document["info"]["version"],
                "verdict": verdict.value,
                "requests": requests,
                "features": [asdict(feature) for feature in features],
                "fuzz": fuzz,
                "stopped": stopped,
                "baseline": baseline,
            }
        )
        self.write()

    def close(self, verdicts: Iterable[Verdict]) -> int:
        """The end, and the exit code; a record without a footer is not to be trusted."""
        overall = worst(verdicts)
        gone = any(relay["baseline"] and relay["baseline"]["gone"] for relay in self._relays)
        code = overall.exit_code or (Verdict.NON_CONFORMANT.exit_code if gone else 0)
        self._footer = {"finished": _now(), "verdict": overall.value, "exit_code": code}
        self.write()
        return code

    def document(self) -> dict[str, Any]:
        """The record as plain data."""
        return {
            **self._head(),
            "rows": self._rows.entries,
            "exchanges": self._exchanges.entries,
            "footer": self._footer,
        }

    def write(self) -> None:
        """
        Replace the file at once, so that a reader never sees half of it.

        Raises `RecordError` where it cannot be written.
        """
        if self.path is None:
            return
        try:
            self._replace(self.path)
        except OSError as error:
            raise RecordError(
                f"{self.path}: cannot be written ({error.strerror}); name a directory with room that is yours"
            ) from error

    def _replace(self, path: Path) -> None:
        draft = path.with_suffix(".partial")
        head = json.dumps(self._head(), ensure_ascii=False)[:-1]
        with draft.open("w", encoding="utf-8", errors="backslashreplace") as file:  # half a pair is JSON so
            file.write(head)
            for name, written in (("rows", self._rows), ("exchanges", self._exchanges)):
                file.write(f',\n"{name}": [\n')
                file.write(",\n".join(written.texts()))
                file.write("\n]")
            file.write(f',\n"footer": {json.dumps(self._footer)}\n}}\n')
        draft.replace(path)

    def _head(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "header": {
                "tool": f"mjrelay {__version__}",
                "started": self._started,
                "options": self.options,
                "reproduce": self.reproduce,
            },
            "relays": self._relays,
        }

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


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
