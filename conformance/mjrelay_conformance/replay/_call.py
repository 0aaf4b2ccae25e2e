"""Which recorded exchanges ask a relay for tasks, and for which."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import define, evolve, field, frozen

from mjrelay import _request
from mjrelay._exchange import NotJSONError, parse
from mjrelay_conformance._check import Kind
from mjrelay_conformance.replay._entry import UNRECORDED
from mjrelay_conformance.replay._secrets import keys, scheme

if TYPE_CHECKING:
    from mjrelay._contract import Contract
    from mjrelay._exchange import Exchange
    from mjrelay_conformance.replay._entry import Entry

_PORTS = {"http": 80, "https": 443}


@define
class Call:
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


def call(entry: Entry, contract: Contract, base_url: str | None) -> Call | None:
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
    return Call(entry, base, task_id, ids, tuple(keys(contract, exchange)), scheme(contract, exchange), kind)


@frozen
class _Operation:
    """
    A way of asking: a method, what a path ends with, and a runtime expression that says where ids are.

    ``kind`` is what all that asks so was for, where that is plain.
    """

    method: str
    path: re.Pattern[str]
    expression: str
    kind: Kind | None

    @classmethod
    def of(cls, method: str, template: str, expression: str, kind: Kind | None = None) -> _Operation:
        place, name = _request.ask(expression)
        ending = "".join(
            re.escape(part) if index % 2 == 0 else "([^/]+)" if (place, name) == ("path", part) else "[^/]+"
            for index, part in enumerate(re.split(r"\{([^{}/]+)\}", template))
        )
        return cls(method.upper(), re.compile(rf"{ending}\Z"), expression, kind)

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
        if base_url is not None and (scheme, host, path) != _address(_request.join(base_url, match[0])):
            return None
        base = f"{scheme}://{host}{path[: match.start()]}"
        return base, self.ids(exchange, match), self.kind

    def ids(self, exchange: Exchange, match: re.Match[str] | None = None) -> tuple[str, ...]:
        """The ids that a request asks for, ``match`` being what was found of its path."""
        place, name = _request.ask(self.expression)
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
        node = parse(body)
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
