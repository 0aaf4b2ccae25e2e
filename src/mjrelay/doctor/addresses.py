"""The endpoints that a pasted URL may mean: its own, and those that the contracts suggest."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import evolve, field, frozen

from mjrelay.contract import build_request
from mjrelay.http import checked_url, origin_and_target
from mjrelay.semantics import parse_expression

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Request


_HOLE = re.compile(r"\{[^/{}]*\}")
_PLACEHOLDER = re.compile(r"[{<:$].*")
"""Placeholders for an id in documentation, such as ``{id}`` or ``:id``."""

_MIN_SEGMENTS = 2
"""Fixed segments that a pasted path must share with a contract's path whose beginning it lacks."""

Segments = tuple[str, ...]


@frozen
class Endpoint:
    """
    An endpoint that may return tasks: a path with its prefix, and where the id goes.

    ``closing`` is the trailing slash of the pasted URL, if any.
    """

    prefix: str
    path: str
    ask: str
    constants: tuple[tuple[str, str | float], ...] = ()
    closing: str = ""

    def request(self, task_id: str) -> Request:
        """Return the request for a task, without a credential."""
        return self._built(f"{self.prefix}{self.path}{self.closing}", task_id)

    def nowhere(self, segment: str, task_id: str) -> Request:
        """Return a request to a path below this one that no relay has."""
        return self._built(f"{self.prefix}{self.path}/{segment}", task_id)

    def _built(self, path: str, task_id: str) -> Request:
        return build_request("GET", path, {self.ask: task_id, **dict(self.constants)})

    def before(self, contract: Contract) -> str | None:
        """
        Return the prefix before the contract's path, or None if this endpoint is not the contract's.

        The prefix may end with the beginning of the path, as in `join_url`.
        """
        own, steps = _segments(contract.path), _segments(self.path, self.prefix)
        if not is_fetchable(contract) or _place(contract.reader.ask) != _place(self.ask):
            return None
        if steps[-len(own) :] != own:
            return None
        prefix = "".join(f"/{step}" for step in steps[: -len(own)])
        # `join_url` does not repeat the part of a base URL that the path begins with.
        return prefix if _joined(prefix, contract.path) == prefix + contract.path else None

    def __str__(self) -> str:
        place, name = parse_expression(self.ask)
        return f"{self.prefix}{self.path}{self.closing}" + (f"?{name}={{id}}" if place == "query" else "")


@frozen
class Address:
    """
    A parsed URL: its origin, path and task id, and the endpoints to try, the likeliest first.

    ``pasted`` is its path.
    """

    origin: str
    pasted: str
    task_id: str | None
    endpoints: tuple[Endpoint, ...] = field(repr=False)

    @classmethod
    def of(cls, url: str, contracts: Sequence[Contract]) -> Address:
        """Parse a URL; raises `SettingError` if it is invalid."""
        checked = urlsplit(checked_url(re.split(r"[?#]", url.strip(), maxsplit=1)[0]))
        parts = urlsplit(url.strip())
        origin = f"{checked.scheme}://{checked.netloc}"
        asking = _likeliest(contracts, checked.hostname)
        steps = tuple(part for part in checked.path.split("/") if part)
        closing = "/" if parts.path.endswith("/") and steps else ""
        query = dict(parse_qsl(parts.query))
        found = next(_read(steps, query, asking), None)
        if found is None:
            return cls(origin, _path(steps), None, tuple(dict.fromkeys(_based(steps, asking, contracts))))
        task_id, endpoint = found
        named = None if task_id is None or _PLACEHOLDER.fullmatch(task_id) else task_id
        several = [evolve(endpoint, closing=closing), endpoint]
        several += _based(_segments(endpoint.prefix), asking, contracts)
        return cls(origin, _path(steps), named, tuple(dict.fromkeys(several)))


def is_fetchable(contract: Contract) -> bool:
    """Return whether a task is fetched by GET without a body, the only request that the doctor sends."""
    values = (contract.reader.ask, *contract.reader.constants)
    return contract.method == "GET" and not any(parse_expression(one)[0] == "body" for one in values)


def _likeliest(contracts: Sequence[Contract], host: str | None) -> list[Contract]:
    """Return a contract per endpoint: first that of the host's own relay, then the most common."""
    fetchable = [one for one in contracts if is_fetchable(one)]
    endpoints = Counter(map(_endpoint_key, fetchable))
    own = {
        _endpoint_key(one) for one in fetchable if one.base_url and urlsplit(one.base_url).hostname == host
    }
    first = {_endpoint_key(one): one for one in reversed(fetchable)}
    ordered = sorted(endpoints, key=lambda one: (one not in own, -endpoints[one], one))
    return [first[one] for one in ordered]


def _endpoint_key(contract: Contract) -> tuple[Segments, tuple[str, str], tuple[Any, ...]]:
    reader = contract.reader
    return _segments(contract.path), _place(reader.ask), tuple(reader.constants.items())


def _place(ask: str) -> tuple[str, str]:
    """Return where the id goes. The name of a path parameter is not sent."""
    place, name = parse_expression(ask)
    return place, "" if place == "path" else name


def _segments(path: str, prefix: str = "") -> Segments:
    """Return the segments of a path, each parameter as ``{}``."""
    return tuple(_HOLE.sub("{}", step) for step in (prefix + path).split("/") if step)


def _path(steps: Iterable[str]) -> str:
    return "".join(f"/{quote(unquote(step), safe=_SENT)}" for step in steps)


_SENT = "!$&'()*+,;=:@~"


def _joined(prefix: str, path: str) -> str:
    return origin_and_target(f"https://host{prefix}", path)[1]


def _read(
    steps: Segments, query: dict[str, str], asking: Sequence[Contract]
) -> Iterator[tuple[str | None, Endpoint]]:
    """Yield the readings of a path that ends like a contract's, the longest match first."""
    longest = max((len(_segments(one.path)) for one in asking), default=0)
    for left_out in range(longest):
        for contract in sorted(asking, key=lambda one: -len(_segments(one.path))):
            found = _ending(steps, query, contract, left_out)
            if found is not None:
                yield found


def _ending(
    steps: Segments, query: dict[str, str], contract: Contract, left_out: int
) -> tuple[str | None, Endpoint] | None:
    own = tuple(step for step in contract.path.split("/") if step)
    tail = own[left_out:]
    place, name = parse_expression(contract.reader.ask)
    fixed = [step for step in tail if not _HOLE.search(step)]
    if not tail or len(steps) < len(tail) or (left_out and len(fixed) < _MIN_SEGMENTS):
        return None
    pairs = list(zip(steps[-len(tail) :], tail, strict=True))
    if any(given != step for given, step in pairs if not _HOLE.search(step)):
        return None
    held = next((unquote(given) for given, step in pairs if step == f"{{{name}}}"), None)
    task_id = query.get(name) if place == "query" else held
    if (place == "path" and held is None) or (place == "query" and left_out and task_id is None):
        return None
    prefix = _path(steps[: -len(tail)])
    return task_id, _of(contract, prefix, "".join(f"/{step}" for step in tail))


def _based(steps: Segments, asking: Sequence[Contract], contracts: Sequence[Contract]) -> Iterator[Endpoint]:
    """Yield the endpoints below a path, then others at the host."""
    prefixes = [_path(steps)]
    for contract in asking[:1]:  # another operation of the relay begins alike
        begins = _segments(contract.path)[0]
        prefixes += [_path(steps[:place]) for place, step in enumerate(steps) if step == begins]
    prefixes.append("")
    for likely, several in ((asking[:1], prefixes), (asking[1:], prefixes[:1]), (asking[1:], prefixes[1:])):
        for contract in likely:
            yield from (_endpoint(prefix, contract) for prefix in several)
    for prefix in dict.fromkeys(_servers(contracts)):
        yield from (_endpoint(prefix, contract) for contract in asking[:1])


def _endpoint(prefix: str, contract: Contract) -> Endpoint:
    before = _joined(prefix, contract.path).removesuffix(contract.path)
    return _of(contract, before, contract.path)


def _of(contract: Contract, prefix: str, path: str) -> Endpoint:
    return Endpoint(prefix, path, contract.reader.ask, tuple(contract.reader.constants.items()))


def _servers(contracts: Iterable[Contract]) -> Iterator[str]:
    """Yield the paths of the servers in the contracts, which are possible prefixes."""
    for contract in contracts:
        for server in contract.document.get("servers") or ():
            path = urlsplit(str(server.get("url", ""))).path.rstrip("/")
            if path.startswith("/") and not _HOLE.search(path):
                yield path
