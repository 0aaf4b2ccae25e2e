"""What a recording holds of one relay: what it was asked, and with which keys."""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import define, evolve, field, frozen

from mjrelay.base import Pattern, open_file
from mjrelay.http import NotJSONError, Redactor, join_url, parse_json
from mjrelay.semantics import parse_expression
from mjrelay_conformance.checks import SHORTEST
from mjrelay_conformance.judging import Kind
from mjrelay_conformance.replay.entries import UNRECORDED, Unreadable
from mjrelay_conformance.replay.files import TrafficError, read_traffic
from mjrelay_conformance.replay.secrets import keys, private_values, scheme

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay_conformance.replay.entries import Entry


TOLD = 10
"""Entries of one kind that are told one by one."""
_MOST_KEYS = 16
"""Different keys in one recording that are looked for; each costs time at every answer."""
_MOST_PRIVATE = 32
"""Other private values that are looked for everywhere; the others are where they were sent."""
_INSTANCES = 5


@frozen
class Recording:
    """
    What a recording holds of one relay.

    ``calls`` stand in the order of time. ``keys`` are those that no answer may hold; ``redactor`` takes them
    out of what is written, and all other ``private`` values too, as far as they are looked for everywhere.
    ``told`` says what of the file is passed by.
    """

    calls: list[RecordedCall]
    told: list[str]
    keys: tuple[str, ...] = field(repr=False)
    private: tuple[str, ...] = field(repr=False)
    redactor: Redactor = field(repr=False)

    def redactor_of(self, contract: Contract, exchange: Exchange) -> Redactor:
        """What also takes out the private values of one exchange that are not looked for everywhere."""
        own = set(private_values(contract, exchange)).difference(self.private)
        return Redactor(*self.private, *own) if own else self.redactor

    @classmethod
    def load(cls, file: str, contract: Contract, base_url: str | None, keys: Iterable[str]) -> Recording:
        """
        Read a file, or stdin where it is called ``-``; ``keys`` are looked for besides those that it holds.

        Raises `TrafficError` where it cannot be read, or asks the relay for nothing.
        """
        name = name_of(file)
        calls: list[RecordedCall] = []
        unreadable: list[str] = []
        others: list[Exchange] = []
        passed = 0
        private, made_up = dict.fromkeys(keys), set[str]()
        for entry in _entries(file, name):
            if isinstance(entry, Unreadable):
                unreadable.append(f"{entry.place} {entry.reason}")
                continue
            found = call(entry, contract, base_url)
            if found is None:
                passed += 1
                others += [entry.exchange] if passed <= _INSTANCES else []
                continue
            calls.append(found)
            private.update(dict.fromkeys(found.keys))
            made_up.update(found.keys if found.kind is Kind.BAD_CREDENTIAL else ())
            if len(private) > _MOST_KEYS:
                raise TrafficError(
                    f"{name}: holds more than {_MOST_KEYS} different keys, too many to be kept out of what "
                    "is written; export the traffic of fewer callers"
                )
        others_of = dict.fromkeys(
            value for one in calls for value in private_values(contract, one.entry.exchange)
        )
        everywhere = (*private, *[value for value in others_of if value not in private][:_MOST_PRIVATE])
        redactor = Redactor(*everywhere)
        if not calls:
            where = "" if base_url is None else f" at {base_url}"
            seen = "; ".join(dict.fromkeys(_shown(other, redactor) for other in others))
            raise TrafficError(
                f"{name}: none of its {passed} exchanges"
                + (f", and {len(unreadable)} that cannot be read," if unreadable else "")
                + f" asks {contract.name}{where} for a task ({contract.method} …{contract.path}); it holds"
                + (f", for instance: {seen}" if seen else " no exchange")
                + ". Record a fetch, or name the relay that was asked"
            )
        told = [f"skipped: {line}" for line in unreadable[:TOLD]]
        if len(unreadable) > TOLD:
            told.append(f"skipped: {len(unreadable) - TOLD} more entries that cannot be read")
        if passed:
            told.append(f"skipped: {passed} exchanges that ask {contract.name} for no task")
        sought = tuple(key for key in private if len(key) >= SHORTEST and key not in made_up)
        return cls(_ordered(calls), told, sought, everywhere, redactor)


def name_of(file: str) -> str:
    """What a file is called in what is told."""
    return "stdin" if file == "-" else file


def _entries(file: str, name: str) -> Iterable[Entry | Unreadable]:
    if file == "-":
        return read_traffic(sys.stdin.buffer, name)
    try:
        with open_file(file, pipe=True) as stream:
            return read_traffic(stream, name)
    except OSError as error:
        raise TrafficError(f"{name}: cannot be read ({error.strerror}); check the path") from error


def _ordered(calls: Iterable[RecordedCall]) -> list[RecordedCall]:
    """The calls in the order of time; one without a time stays behind the one before it."""
    moment, keyed = float("-inf"), []
    for one in calls:
        moment = moment if one.entry.started is None else one.entry.started
        keyed.append((moment, one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def _shown(exchange: Exchange, redactor: Redactor) -> str:
    """Method and path of an exchange, without what may be a secret."""
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
    One recorded exchange of an operation that is judged.

    ``base`` is what stands before the operation's path, ``ids`` are empty but for a batch. ``keys`` are those
    that it was sent with, ``credential`` is the way in which. ``kind`` is what it was for, None where the
    recording does not say; ``reason`` is why it cannot be judged, if so.
    """

    entry: Entry
    base: str
    task_id: str
    ids: tuple[str, ...]
    keys: tuple[str, ...] = field(repr=False)
    credential: str | None
    kind: Kind | None = None
    reason: str | None = None

    @property
    def task(self) -> tuple[str, str]:
        """The task that it asks for; ids mean something at one relay only."""
        return self.base, self.task_id


def call(entry: Entry, contract: Contract, base_url: str | None) -> RecordedCall | None:
    """
    The call that an entry is; None for what asks this relay for no task.

    With ``base_url`` only what was asked there counts, and what does not say where it was asked was so there.
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
        asked = (one.asked(exchange, base_url) for one in _operations(contract))
        found = next(filter(None, asked), None)
        if found is None:
            return None
        base, ids, kind = found
        task_id, ids = next(iter(ids), ""), ids if kind is Kind.BATCH else ()
    elif kind is Kind.BATCH:
        ids = next((one.ids(exchange) for one in _operations(contract) if one.kind is kind), ())
    return RecordedCall(
        entry, base, task_id, ids, tuple(keys(contract, exchange)), scheme(contract, exchange), kind
    )


@frozen
class _Operation:
    """
    A way of asking: a method, what a path ends with, and a runtime expression that says where ids are.

    ``kind`` is what all that asks so was for, where that is plain.
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

    def asked(
        self, exchange: Exchange, base_url: str | None
    ) -> tuple[str, tuple[str, ...], Kind | None] | None:
        """What stands before the operation's path, and the ids; None for what is another operation."""
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
        """The ids that a request asks for, ``match`` being what was found of its path."""
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
    """The operations that ask for tasks, that for several first: its path may fit the other's template."""
    reader = contract.reader
    fetch = _Operation.of(contract.method, contract.path, reader.ask)
    if contract.batch is None or reader.batch is None:
        return (fetch,)
    _, path, method = map(str, contract.batch)
    return _Operation.of(method, path, reader.batch.ids, Kind.BATCH), fetch


def _in_body(body: bytes, pointer: str) -> tuple[str, ...]:
    try:
        node = parse_json(body)
    except NotJSONError:
        return ()
    for step in pointer.split("/")[1:]:
        if not isinstance(node, dict):
            return ()
        node = node.get(step.replace("~1", "/").replace("~0", "~"))
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
    """Scheme, host with a port that is not the scheme's own, and path."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _PORTS[parts.scheme]} else f":{parts.port}"
    return parts.scheme, host + port, parts.path
