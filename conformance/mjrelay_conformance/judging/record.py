"""The record of a run, `results.json`, which all reports are made from."""

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
from mjrelay.http import plain_url
from mjrelay_conformance.judging.curl import curl
from mjrelay_conformance.judging.verdicts import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self, TextIO

    from mjrelay.contract import Contract
    from mjrelay.http import Redactor
    from mjrelay_conformance.judging.checking import Row
    from mjrelay_conformance.judging.observation import Observation
    from mjrelay_conformance.judging.verdicts import Feature


FORMAT = "urn:mjrelay:results:1"
"""The identity of the record's JSON Schema, `results.schema.json` beside this module."""
LARGEST_BODY = 65_536
"""Maximum bytes of one body; the rest is cut off."""
LARGEST_BODIES = 33_554_432
"""Maximum bytes of JSON of all bodies; later bodies are kept as size and hash."""
LARGEST_RECORD = 62_914_560
"""Maximum bytes of JSON of rows and exchanges."""
_SPARED = 8_388_608
"""Bytes of either limit that are reserved for exchanges with new findings."""
_MARGIN = 4096
"""Bytes that are longer than any form of a secret."""
_SMALL = 65_536
"""Bytes of a record that is written after each exchange."""


class RecordError(MjrelayError):
    """The record cannot be written."""


def schema_text() -> str:
    """Return the JSON Schema of a record, as it is published."""
    return (resources.files("mjrelay_conformance") / "results.schema.json").read_text(encoding="utf-8")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def draft_path(path: Path) -> Path:
    """Return a unique path beside another one, for an atomic write."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


@contextmanager
def replacing_file(path: Path) -> Iterator[TextIO]:
    """
    Open a temporary file that atomically replaces ``path`` when the block ends.

    A symbolic link is replaced, not followed. If the block raises, the temporary file is removed.
    """
    new = draft_path(path)
    file = new.open("x", encoding="utf-8", errors="backslashreplace")  # keeps lone surrogates as JSON escapes
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
    The exchanges and rows of a run, and the file that holds them.

    The file is replaced whenever the record has grown by a quarter, so that the bytes written stay
    proportional to its final size. A killed run leaves a file with at least four fifths of the record and
    without a footer, which reports show as incomplete. As a context manager, the record is also written when
    an exception ends the run.

    Attributes:
        path: The file; None keeps the record in memory.
        redactor: Removes secrets from everything that is added.
        options: The options of the run.
        reproduce: The command that repeats the run.
        label: Replaces the relay's name, to tell two relays with one contract apart.
        left_out: The number of exchanges left out because the record is full.
    """

    path: Path | None
    redactor: Redactor = field(repr=False)
    options: dict[str, Any] = field(factory=dict)
    reproduce: str = ""
    label: str | None = None
    left_out: int = field(default=0, init=False)
    _started: str = field(factory=_now, init=False)
    _targets: dict[str, dict[str, Any]] = field(factory=dict, init=False)
    _relays: list[dict[str, Any]] = field(factory=list, init=False)
    _rows: list[str] = field(factory=list, init=False, repr=False)
    _exchanges: list[str] = field(factory=list, init=False, repr=False)
    _footer: dict[str, Any] | None = field(default=None, init=False)
    _size: int = field(default=0, init=False)
    _written: int = field(default=0, init=False)
    _bodies: int = field(default=0, init=False)
    _found: set[tuple[str, str]] = field(factory=set, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, RecordError) and self._written < self._size:
            self.write()

    def add_target(self, contract: Contract, url: str | None) -> None:
        """Name a relay that is judged, and its base URL without credentials; None if it is not known."""
        self._targets[self.label or contract.name] = {
            "relay": contract.name,
            "url": None if url is None else self.redactor.text(plain_url(url)),
        }

    def next_number(self) -> int:
        """Return the number of the next exchange, from 1."""
        return len(self._exchanges) + 1

    def add(
        self,
        observation: Observation,
        rows: Iterable[Row],
        *,
        driver: str,
        label: str = "",
        base_url: str = "",
        redactor: Redactor | None = None,
    ) -> None:
        """
        Add one exchange and its rows.

        Args:
            observation: The exchange.
            rows: Its rows.
            driver: The source of the exchange.
            label: What is special about the exchange.
            base_url: The part of its URL that precedes the contract's path.
            redactor: Replaces the record's own redactor for this exchange and its rows.
        """
        redactor = redactor or self.redactor
        rows = list(rows)
        new = [row for row in rows if row.finding and (row.relay, row.check) not in self._found]
        if self._size > LARGEST_RECORD - _SPARED and not new:
            self.left_out += 1
            return
        exchange = observation.exchange
        text = redactor.text
        room = LARGEST_BODIES - (0 if new else _SPARED)
        entry = _json(
            {
                "number": self.next_number(),
                "relay": self.label or observation.contract.name,
                "driver": driver,
                "kind": observation.kind.value,
                "task": text(observation.task_id),
                "label": text(label),
                "method": exchange.method,
                "target": text(exchange.url.partition("://")[2].partition("/")[2].join(("/", ""))),
                "request_headers": [
                    [*map(text, pair)] for pair in exchange.request_headers if pair[0].lower() != "host"
                ],
                "request_body": self._body(exchange.request_body, room, redactor),
                "status": exchange.status,
                "headers": [[*map(text, pair)] for pair in exchange.headers],
                "body": self._body(exchange.body, room, redactor),
                "elapsed_ms": round(exchange.elapsed * 1000, 1),
                "failure": None if exchange.failure is None else text(exchange.failure),
                "curl": text(curl(exchange, base_url or _origin(exchange.url))),
            }
        )
        if self._size + _length(entry) > LARGEST_RECORD:
            self.left_out += 1
            self._add_rows([evolve(row, exchange=None) for row in new], redactor)
            return
        self._size += _length(entry)
        self._exchanges.append(entry)
        self._add_rows(rows, redactor)

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add rows that belong to no exchange."""
        self._add_rows(rows, self.redactor)

    def _add_rows(self, rows: Iterable[Row], redactor: Redactor) -> None:
        for row in rows:
            document = row.document(redactor.text)
            entry = _json(document | {"relay": self.label or row.relay})
            self._size += _length(entry)
            self._rows.append(entry)
            if row.finding:
                self._found.add((row.relay, row.check))
        if self._size < _SMALL or self._size - self._written > self._written / 4:
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
        Add the verdict on a relay.

        Args:
            contract: The relay's contract.
            verdict: The verdict.
            features: The features that were exercised or not.
            requests: How many requests were sent.
            fuzz: What the property-based phase did.
            stopped: Why the run stopped early.
            baseline: The accepted findings, and those that are gone.
        """
        self._relays.append(
            {
                "relay": self.label or contract.name,
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

    def close(self, verdicts: Iterable[Verdict]) -> int:
        """
        Write the footer, without which a record is incomplete.

        Returns:
            The exit code of the run.
        """
        overall = worst(verdicts)
        gone = any(relay["baseline"] and relay["baseline"]["gone"] for relay in self._relays)
        code = overall.exit_code or (Verdict.NON_CONFORMANT.exit_code if gone else 0)
        self._footer = {"finished": _now(), "verdict": overall.value, "exit_code": code}
        self.write()
        return code

    def document(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            **self._head(),
            "rows": [*map(json.loads, self._rows)],
            "exchanges": [*map(json.loads, self._exchanges)],
            "footer": self._footer,
        }

    def write(self) -> None:
        """
        Replace the file atomically.

        Raises:
            RecordError: The file cannot be written.
        """
        self._written = self._size
        if self.path is None:
            return
        try:
            self._replace(self.path)
        except OSError as error:
            raise RecordError(
                f"{self.path} cannot be written: {error.strerror}; choose another --report-dir"
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
                "targets": self._targets,
            },
            "relays": self._relays,
        }

    def _body(self, body: bytes, room: int, redactor: Redactor) -> dict[str, Any]:
        """Return the entry of a body, without its content if all contents would exceed ``room`` bytes."""
        measured = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        if self._bodies > room:
            return measured
        kept = redactor.bytes(body[: LARGEST_BODY + _MARGIN])
        if len(body) > LARGEST_BODY + _MARGIN:
            kept = kept[:-_MARGIN]  # the cut may have split a secret
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
    """Return the bytes that a text takes in the file."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "backslashreplace"))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
