"""The calls of a recording that one contract covers, and the secrets to redact."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import define, evolve, field, frozen

from mjrelay.base import Pattern, open_file, pointer_steps
from mjrelay.http import NotJSONError, Redactor, join_url, parse_json
from mjrelay.semantics import parse_expression
from mjrelay_conformance.checks import SHORTEST
from mjrelay_conformance.judging import Kind
from mjrelay_conformance.replay.entries import UNRECORDED, UnreadableEntry
from mjrelay_conformance.replay.files import TrafficError, read_traffic
from mjrelay_conformance.replay.secrets import private_values, sent_keys, used_scheme

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay_conformance.replay.entries import Entry


MAX_LISTED = 10
"""Entries per notice that are listed individually."""
_MAX_KEYS = 16
"""Different keys per recording that are redacted everywhere; each costs time for every exchange."""
_MAX_PRIVATE = 32
"""Other private values that are redacted everywhere; further ones only in their own exchange."""
_MAX_EXAMPLES = 5


@frozen
class Recording:
    """
    The recorded calls to one relay, in chronological order.

    ``keys`` are the API keys that no response may contain. ``redactor`` removes them and other ``private``
    values from everything that is written. ``notices`` describe the entries that were skipped.
    """

    calls: list[RecordedCall]
    notices: list[str]
    keys: tuple[str, ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)
    redactor: Redactor = field(repr=False)

    def redactor_of(self, contract: Contract, exchange: Exchange) -> Redactor:
        """Return a redactor that also removes those private values that only this exchange has."""
        own = set(private_values(contract, exchange)).difference(self.private)
        return Redactor(*self.private, *own) if own else self.redactor

    @classmethod
    def load(cls, file: str, contract: Contract, base_url: str | None, keys: Iterable[str]) -> Recording:
        """
        Read a recording.

        Args:
            file: A path, or ``-`` for stdin.
            contract: The contract of the relay; requests to other operations are skipped.
            base_url: Skip requests to other base URLs.
            keys: API keys to look for in addition to those in the recording.

        Raises:
            TrafficError: The file cannot be read, or has no request for a task.
        """
        name = file_label(file)
        calls: list[RecordedCall] = []
        unreadable: list[str] = []
        others: list[Exchange] = []
        all_keys, wrong_keys = dict.fromkeys(keys), set[str]()
        skipped = 0
        for entry in _entries(file, name):
            if isinstance(entry, UnreadableEntry):
                unreadable.append(f"{entry.place} {entry.reason}")
                continue
            call = recorded_call(entry, contract, base_url)
            if call is None:
                skipped += 1
                others += [entry.exchange] if skipped <= _MAX_EXAMPLES else []
                continue
            calls.append(call)
            all_keys.update(dict.fromkeys(call.keys))
            wrong_keys.update(call.keys if call.kind is Kind.BAD_CREDENTIAL else ())
            if len(all_keys) > _MAX_KEYS:
                raise TrafficError(
                    f"{name}: contains more than {_MAX_KEYS} different API keys, too many to redact; "
                    "export the traffic of fewer clients"
                )
        found = dict.fromkeys(
            value for one in calls for value in private_values(contract, one.entry.exchange)
        )
        private = (*all_keys, *[value for value in found if value not in all_keys][:_MAX_PRIVATE])
        redactor = Redactor(*private)
        if not calls:
            where = "" if base_url is None else f" at {base_url}"
            examples = "; ".join(dict.fromkeys(_summary(other, redactor) for other in others))
            more = f" and {len(unreadable) - MAX_LISTED} more" if len(unreadable) > MAX_LISTED else ""
            listed = redactor.text("; ".join(unreadable[:MAX_LISTED]) + more)
            raise TrafficError(
                f"{name}: none of its {skipped} exchanges"
                + (f" ({len(unreadable)} more are unreadable: {listed})" if unreadable else "")
                + f" is a request for a task of {contract.name}{where} ({contract.method} …{contract.path}); "
                + (f"it contains, for example: {examples}" if examples else "it contains no exchange")
                + ". Record a request for a task, or name the relay that was used"
            )
        notices = [f"skipped: {line}" for line in unreadable[:MAX_LISTED]]
        if len(unreadable) > MAX_LISTED:
            notices.append(f"skipped: {len(unreadable) - MAX_LISTED} more unreadable entries")
        if skipped:
            notices.append(
                f"skipped: {skipped} exchanges that are not requests for a task of {contract.name}"
            )
        searched = tuple(key for key in all_keys if len(key) >= SHORTEST and key not in wrong_keys)
        return cls(_in_time_order(calls), notices, searched, private, redactor)


def file_label(file: str) -> str:
    """Return the name of a file in messages."""
    return "stdin" if file == "-" else file


def _entries(file: str, name: str) -> Iterable[Entry | UnreadableEntry]:
    if file == "-":
        return read_traffic(sys.stdin.buffer, name)
    try:
        with open_file(file, pipe=True) as stream:
            return read_traffic(stream, name)
    except OSError as error:
        raise TrafficError(f"{name}: cannot be read ({error.strerror}); check the path") from error


def _in_time_order(calls: Iterable[RecordedCall]) -> list[RecordedCall]:
    """Sort calls by time; a call without a time stays behind its predecessor."""
    moment, keyed = float("-inf"), []
    for one in calls:
        moment = moment if one.entry.started is None else one.entry.started
        keyed.append((moment, one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def _summary(exchange: Exchange, redactor: Redactor) -> str:
    """Return the method and path of an exchange without possible secrets."""
    try:
        path = redactor.text(urlsplit(exchange.url).path)
    except ValueError:
        path = "?"
    steps = ["…" if len(step) >= 16 and re.search(r"\d", step) else step[:40] for step in path.split("/")]
    return f"{exchange.method[:10]} {'/'.join(steps[:12])}"


_PORTS = {"http": 80, "https": 443}


@define
class RecordedCall:
    """
    A recorded exchange of a supported operation.

    ``base`` is the part of the URL before the operation's path. ``ids`` are the task ids of a batch.
    ``keys`` are the API keys of the request, ``credential`` is the name of its security scheme. ``kind`` is
    the purpose of the request, or None if unknown. ``skip_reason`` is why the call cannot be judged, if so.
    """

    entry: Entry
    base: str
    task_id: str
    ids: tuple[str, ...]
    keys: tuple[str, ...] = field(repr=False)
    credential: str | None
    kind: Kind | None = None
    skip_reason: str | None = None

    @property
    def task(self) -> tuple[str, str]:
        """The requested task: base URL and id, because an id is unique at one relay only."""
        return self.base, self.task_id


def recorded_call(entry: Entry, contract: Contract, base_url: str | None) -> RecordedCall | None:
    """
    Return the call that an entry records, or None if it is not a request for a task of this relay.

    With ``base_url``, only requests to it count. A request without a recorded host is assumed to be one.
    """
    if entry.relay not in {None, contract.name} or not _is_url(entry.exchange.url):
        return None
    if base_url is not None and entry.exchange.url.startswith(UNRECORDED):
        parts = urlsplit(base_url)
        url = f"{parts.scheme}://{parts.netloc}{entry.exchange.url.removeprefix(UNRECORDED)}"
        entry = evolve(entry, exchange=evolve(entry.exchange, url=url))
    exchange, kind = entry.exchange, entry.kind
    base, task_id = "", entry.task_id or ""
    ids: tuple[str, ...] = ()
    if kind is None:
        matches = (one.match(exchange, base_url) for one in _operations(contract))
        found = next(filter(None, matches), None)
        if found is None:
            return None
        base, ids, kind = found
        ids = () if kind is Kind.SUBMIT else ids
        task_id, ids = next(iter(ids), ""), ids if kind is Kind.BATCH else ()
    elif kind is Kind.BATCH:
        ids = next((one.ids(exchange) for one in _operations(contract) if one.kind is kind), ())
    return RecordedCall(
        entry, base, task_id, ids, tuple(sent_keys(contract, exchange)), used_scheme(contract, exchange), kind
    )


@frozen
class _Operation:
    """
    An operation that returns tasks or submits one.

    It has a method, the end of a path, and the expression for its task ids.

    ``kind`` is the purpose of all its requests, or None if it varies.
    """

    method: str
    path: Pattern
    expression: str
    kind: Kind | None

    @classmethod
    def of(cls, method: str, template: str, expression: str, kind: Kind | None = None) -> _Operation:
        place, name = parse_expression(expression)
        ending = "".join(
            re.escape(part) if index % 2 == 0 else "([^/]+)" if (place, name) == ("path", part) else "[^/]+"
            for index, part in enumerate(re.split(r"\{([^{}/]+)\}", template))
        )
        return cls(method.upper(), Pattern.compile(rf"{ending}\Z"), expression, kind)

    def match(
        self, exchange: Exchange, base_url: str | None
    ) -> tuple[str, tuple[str, ...], Kind | None] | None:
        """Return the base URL, the ids and the kind of a request, or None for another operation."""
        if exchange.method.upper() != self.method:
            return None
        scheme, host, path = _address(exchange.url)
        match = self.path.search(path)
        if match is None:
            return None
        if base_url is not None and (scheme, host, path) != _address(join_url(base_url, match[0])):
            return None
        base = f"{scheme}://{host}{path[: match.start()]}"
        return base, self.ids(exchange, match), self.kind

    def ids(self, exchange: Exchange, match: re.Match[str] | None = None) -> tuple[str, ...]:
        """Return the task ids of a request; ``match`` is the match of its path."""
        place, name = parse_expression(self.expression)
        match place:
            case "path":
                return () if match is None else tuple(map(unquote, match.groups()))
            case "query":
                pairs = parse_qsl(urlsplit(exchange.url).query, keep_blank_values=True)
                return tuple(value for key, value in pairs if key == name)
            case "header":
                return tuple(value for key, value in exchange.request_headers if key.lower() == name.lower())
            case _:
                return _in_body(exchange.request_body, name)


@cache
def _operations(contract: Contract) -> tuple[_Operation, ...]:
    """Return the operations that are judged, the fetch last: its template may match the path of another."""
    reader = contract.reader
    found = [_Operation.of(one.method, one.path, reader.ask, Kind.SUBMIT) for one in contract.submits]
    if contract.batch is not None and reader.batch is not None:
        _, path, method = map(str, contract.batch)
        found.append(_Operation.of(method, path, reader.batch.ids, Kind.BATCH))
    return (*found, _Operation.of(contract.method, contract.path, reader.ask))


def _in_body(body: bytes, pointer: str) -> tuple[str, ...]:
    try:
        node = parse_json(body)
    except NotJSONError:
        return ()
    for name in pointer_steps(pointer):
        if not isinstance(node, dict):
            return ()
        node = node.get(name)
    values = node if isinstance(node, list) else [node]
    return tuple(
        str(value) for value in values if isinstance(value, str | int) and not isinstance(value, bool)
    )


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _address(url: str) -> tuple[str, str, str]:
    """Return the scheme, the host (with its port if not the default one) and the path of a URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    return parts.scheme, host + port, parts.path
