"""The record of a run, `results.json`, from which every report is made."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import asdict, define, evolve, field

from mjrelay.base import MjrelayError, __version__
from mjrelay_conformance.judging.samples import curl
from mjrelay_conformance.judging.verdicts import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from mjrelay.contract import Contract
    from mjrelay.http import Redactor
    from mjrelay_conformance.judging.checking import Row
    from mjrelay_conformance.judging.observation import Observation
    from mjrelay_conformance.judging.verdicts import Feature


FORMAT = "urn:mjrelay:results:1"
"""The identity of the record's JSON Schema, `results.schema.json` beside this module."""
LARGEST_BODY = 65_536
"""Bytes of a body that the record keeps; the rest is counted only."""
LARGEST_BODIES = 33_554_432
"""Bytes of JSON that all bodies may take; of those behind them only size and hash are kept."""
LARGEST_RECORD = 62_914_560
"""Bytes of JSON that rows and exchanges may take; what comes behind is kept where it finds something new."""
_SPARED = 8_388_608
"""Bytes of either that only findings may take."""
_MARGIN = 4096
"""Bytes that are longer than any form of a secret."""


class RecordError(MjrelayError):
    """The record cannot be written."""


def schema_text() -> str:
    """The JSON Schema of a record, as it is published."""
    return (resources.files("mjrelay_conformance") / "results.schema.json").read_text(encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def draft_path(path: Path) -> Path:
    """A file beside another one that nobody else has."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def replacing_file(path: Path) -> Iterator[TextIO]:
    """
    A file that takes another one's place at once, so that a reader never sees half of it.

    What stands there is replaced, be it a link, and not written to. Where it fails nothing is left of it.
    """
    new = draft_path(path)
    file = new.open("x", encoding="utf-8", errors="backslashreplace")  # half a surrogate pair is JSON so
    try:
        with file:
            yield file
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@define
class Record:
    """
    What a run saw and said so far, written anew after each exchange so that a run cut short loses nothing.

    Everything that enters goes through one redactor. ``path`` None keeps the record in memory; ``reproduce``
    is the command that does the run again. It never grows beyond what the views read: ``left_out`` counts the
    exchanges that are not in it for that reason.
    """

    path: Path | None
    redactor: Redactor = field(repr=False)
    options: dict[str, Any] = field(factory=dict)
    reproduce: str = ""
    left_out: int = field(default=0, init=False)
    _started: str = field(factory=_now, init=False)
    _relays: list[dict[str, Any]] = field(factory=list, init=False)
    _rows: list[str] = field(factory=list, init=False, repr=False)
    _exchanges: list[str] = field(factory=list, init=False, repr=False)
    _footer: dict[str, Any] | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _bodies: int = field(default=0, init=False)
    _found: set[tuple[str, str]] = field(factory=set, init=False)

    def next_number(self) -> int:
        """The number that the next exchange gets, from 1."""
        return len(self._exchanges) + 1

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
        rows = list(rows)
        new = [row for row in rows if row.finding and (row.relay, row.check) not in self._found]
        if self._size > LARGEST_RECORD - _SPARED and not new:
            self.left_out += 1
            return
        exchange = observation.exchange
        text = self.redactor.text
        room = LARGEST_BODIES - (0 if new else _SPARED)
        entry = _json(
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
                "request_body": self._body(exchange.request_body, room),
                "status": exchange.status,
                "headers": [[*map(text, pair)] for pair in exchange.headers],
                "body": self._body(exchange.body, room),
                "elapsed_ms": round(exchange.elapsed * 1000, 1),
                "failure": None if exchange.failure is None else text(exchange.failure),
                "curl": text(curl(exchange, base_url or _origin(exchange.url))),
            }
        )
        if self._size + _length(entry) > LARGEST_RECORD:
            self.left_out += 1
            self.add_rows(evolve(row, exchange=None) for row in new)
            return
        self._size += _length(entry)
        self._exchanges.append(entry)
        self.add_rows(rows)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Rows that belong to exchanges already here, or to none."""
        for row in rows:
            entry = _json(row.document(self.redactor.text))
            self._size += _length(entry)
            self._rows.append(entry)
            if row.finding:
                self._found.add((row.relay, row.check))
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
            "rows": [*map(json.loads, self._rows)],
            "exchanges": [*map(json.loads, self._exchanges)],
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
        with replacing_file(path) as file:
            file.write(_json(self._head())[:-1])
            for name, entries in (("rows", self._rows), ("exchanges", self._exchanges)):
                file.write(f',\n"{name}": [\n')
                file.write(",\n".join(entries))
                file.write("\n]")
            file.write(f',\n"footer": {_json(self._footer)}\n}}\n')

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

    def _body(self, body: bytes, room: int) -> dict[str, Any]:
        """A body, without its content where all of them take more than ``room`` with it."""
        measured = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        if self._bodies > room:
            return measured
        kept = self.redactor.bytes(body[: LARGEST_BODY + _MARGIN])
        if len(body) > LARGEST_BODY + _MARGIN:
            kept = kept[:-_MARGIN]  # which may hold a part of a secret that the cut went through
        kept = kept[:LARGEST_BODY]
        try:
            content = {"text": kept.decode("utf-8")}
        except UnicodeDecodeError:
            content = {"base64": base64.b64encode(kept).decode()}
        length = _length(_json(content))
        if self._bodies + length > room:
            return measured
        self._bodies += length
        return {**measured, **content}


def _json(entry: Any) -> str:
    return json.dumps(entry, ensure_ascii=False)


def _length(text: str) -> int:
    """Bytes of a text in the file."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
