"""The endpoints that a pasted URL may mean: its own, and those that the contracts suggest."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from attrs import evolve, field, frozen

from mjrelay.base import SettingError
from mjrelay.http import checked_url, origin_and_target
from mjrelay.semantics import parse_expression, scalar_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Request


_HOLE = re.compile(r"\{[^/{}]*\}")
_PLACEHOLDER = re.compile(r"[{<:$].*")
"""Placeholders for an id in documentation, such as ``{id}`` or ``:id``."""

_MIN_SEGMENTS = 2
"""Fixed segments that a pasted path must share with a contract's path whose beginning it lacks."""

_METHODS = {"GET", "POST"}
"""Methods with which doctor fetches a task. Any other may change something."""

Segments = tuple[str, ...]
_SAMPLE = "1" * 16
"""An id that most relays may have, as text or as a number."""


@frozen
class Endpoint:
    """
    An endpoint that may return tasks: a path with its prefix, and how a task is requested there.

    ``contract`` is one of the contracts with this endpoint. ``closing`` is the trailing slash of the pasted
    URL, if any.
    """

    contract: Contract = field(repr=False, eq=False)
    prefix: str
    path: str
    closing: str = ""
    _shape: Request | None = field(init=False, repr=False)

    @_shape.default
    def _find_shape(self) -> Request | None:
        return _shape(self.contract)

    @property
    def method(self) -> str:
        """The method of a request for a task."""
        return self.contract.method

    def request(self, task_id: str) -> Request:
        """Return the request for a task, without a credential. Raises `SettingError` for an unusable id."""
        return self.contract.request(task_id, f"{self.prefix}{self.path}{self.closing}")

    def nowhere(self, segment: str, task_id: str) -> Request:
        """Return a request to a path below this one that no relay has."""
        return self.contract.request(task_id, f"{self.prefix}{self.path}/{segment}")

    def before(self, contract: Contract) -> str | None:
        """
        Return the prefix before the contract's path, or None if this endpoint is not the contract's.

        The prefix may end with the beginning of the path, as in `join_url`.
        """
        own, steps = _segments(contract.path), _segments(self.path, self.prefix)
        if not is_fetchable(contract) or _shape(contract) != self._shape or steps[-len(own) :] != own:
            return None
        prefix = "".join(f"/{step}" for step in steps[: -len(own)])
        # `join_url` does not repeat the part of a base URL that the path begins with.
        return prefix if _joined(prefix, contract.path) == prefix + contract.path else None

    def __str__(self) -> str:
        place, name = parse_expression(self.contract.reader.ask)
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
    def of(cls, url: str, contracts: Sequence[Contract], task_id: str | None = None) -> Address:
        """Parse a URL; raises `SettingError` if it is invalid. ``task_id`` replaces the id in the URL."""
        checked = urlsplit(checked_url(re.split(r"[?#]", url.strip(), maxsplit=1)[0]))
        parts = urlsplit(url.strip())
        origin = f"{checked.scheme}://{checked.netloc}"
        steps = tuple(part for part in checked.path.split("/") if part)
        closing = "/" if parts.path.endswith("/") and steps else ""
        query = dict(parse_qsl(parts.query))
        asking = _likeliest(contracts, checked.hostname, steps, task_id)
        found = next(_read(steps, query, asking, checked.hostname), None)
        if found is None:
            return cls(origin, _path(steps), task_id, tuple(dict.fromkeys(_based(steps, asking, contracts))))
        pasted_id, endpoint = found
        if task_id is None and pasted_id is not None and not _PLACEHOLDER.fullmatch(pasted_id):
            task_id = pasted_id
        before = _segments(endpoint.prefix)
        several = [evolve(endpoint, closing=closing), endpoint]
        several += _based(before, _likeliest(contracts, checked.hostname, before, task_id), contracts)
        return cls(origin, _path(steps), task_id, tuple(dict.fromkeys(several)))


def is_fetchable(contract: Contract) -> bool:
    """Return whether doctor can fetch a task of this relay."""
    return contract.method in _METHODS


def is_added(contract: Contract) -> bool:
    """Return whether a contract is a user's own. It precedes all packaged ones."""
    return contract.file is not None


def example_ids(contract: Contract) -> Iterator[str]:
    """Yield the ids of the tasks in a contract's examples."""
    for example in contract.examples.values():
        if (found := scalar_text(contract.reader.id(example))) is not None:
            yield found


def _likeliest(
    contracts: Sequence[Contract], host: str | None, steps: Segments, task_id: str | None
) -> list[Contract]:
    """
    Return one contract per endpoint, the likeliest first.

    A user's contracts come first, then those of this host, those whose ids look like the given one, those
    whose endpoint is the most common, and those whose path begins with a segment of the URL. Otherwise their
    order stays, so that a further contract hides none before it. A path of parameters alone is unlikely.
    """
    sharing: dict[tuple[Segments, Request | None], list[Contract]] = {}
    for contract in filter(is_fetchable, contracts):
        sharing.setdefault((_segments(contract.path), _shape(contract)), []).append(contract)

    def order(several: list[Contract]) -> tuple[float, ...]:
        here = any(_is_at(one, host) for one in several)
        likeness = max(
            (_likeness(task_id, other) for one in several for other in example_ids(one)), default=0
        )
        path = _segments(several[0].path)
        begins = not path[:1] or path[0] not in steps
        return -any(map(is_added, several)), -here, -likeness, not _fixed(path), -len(several), begins

    return [
        min(several, key=lambda one: not is_added(one)) for several in sorted(sharing.values(), key=order)
    ]


def _likeness(task_id: str | None, other: str) -> int:
    """Return how much an id looks like another one: in its characters, their separators and its length."""
    if task_id is None:
        return 0
    forms = [(one.isdigit(), re.sub(r"[^\W_]", "", one), len(one)) for one in (task_id, other)]
    return sum(mine == its for mine, its in zip(*forms, strict=True))


def _shape(contract: Contract) -> Request | None:
    """Return the request for a sample id without the path: where the id goes, its type, and constants."""
    for sample in (_SAMPLE, *example_ids(contract)):
        with suppress(SettingError):
            return contract.request(sample, "/")
    return None


def _segments(path: str, prefix: str = "") -> Segments:
    """Return the segments of a path, each parameter as ``{}``."""
    return tuple(_HOLE.sub("{}", step) for step in (prefix + path).split("/") if step)


def _path(steps: Iterable[str]) -> str:
    return "".join(f"/{quote(unquote(step), safe=_SENT)}" for step in steps)


_SENT = "!$&'()*+,;=:@~"


def _joined(prefix: str, path: str) -> str:
    return origin_and_target(f"https://host{prefix}", path)[1]


def _read(
    steps: Segments, query: dict[str, str], asking: Sequence[Contract], host: str | None
) -> Iterator[tuple[str | None, Endpoint]]:
    """Yield the readings of a path that ends like a contract's, those with the most fixed segments first."""
    tails = [
        (contract, own[left_out:], left_out)
        for contract in asking
        for own in [tuple(step for step in contract.path.split("/") if step)]
        for left_out in range(len(own))
        # A path without fixed segments matches every URL.
        if _fixed(own) or is_added(contract) or _is_at(contract, host)
    ]
    for contract, tail, left_out in sorted(tails, key=lambda one: (-_fixed(one[1]), one[2])):
        found = _ending(steps, query, contract, tail, whole=not left_out)
        if found is not None:
            yield found


def _ending(
    steps: Segments, query: dict[str, str], contract: Contract, tail: Segments, *, whole: bool
) -> tuple[str | None, Endpoint] | None:
    place, name = parse_expression(contract.reader.ask)
    if len(steps) < len(tail) or (not whole and _fixed(tail) < _MIN_SEGMENTS):
        return None
    pairs = list(zip(steps[-len(tail) :], tail, strict=True))
    if any(given != step for given, step in pairs if not _HOLE.search(step)):
        return None
    held = next((unquote(given) for given, step in pairs if step == f"{{{name}}}"), None)
    task_id = query.get(name) if place == "query" else held
    if (place == "path" and held is None) or (place == "query" and not whole and task_id is None):
        return None
    return task_id, Endpoint(contract, _path(steps[: -len(tail)]), "".join(f"/{step}" for step in tail))


def _fixed(path: Segments) -> int:
    """Return the number of segments that are no parameter."""
    return sum(not _HOLE.search(step) for step in path)


def _is_at(contract: Contract, host: str | None) -> bool:
    """Return whether a contract names this host."""
    return contract.base_url is not None and urlsplit(contract.base_url).hostname == host


def _based(steps: Segments, asking: Sequence[Contract], contracts: Sequence[Contract]) -> Iterator[Endpoint]:
    """Yield the endpoints below a path, below its beginning, and at the root of the host."""
    for contract in asking:
        begins = _segments(contract.path)[:1]  # another operation of the relay begins alike
        shorter = [_path(steps[:place]) for place in range(len(steps)) if steps[place : place + 1] == begins]
        for prefix in (_path(steps), *shorter, ""):
            yield _endpoint(prefix, contract)
    for prefix in dict.fromkeys(_servers(contracts)):
        yield from (_endpoint(prefix, contract) for contract in asking[:1])


def _endpoint(prefix: str, contract: Contract) -> Endpoint:
    before = _joined(prefix, contract.path).removesuffix(contract.path)
    return Endpoint(contract, before, contract.path)


def _servers(contracts: Iterable[Contract]) -> Iterator[str]:
    """Yield the paths of the servers in the contracts, which are possible prefixes."""
    for contract in contracts:
        for server in contract.document.get("servers") or ():
            path = urlsplit(str(server.get("url", ""))).path.rstrip("/")
            if path.startswith("/") and not _HOLE.search(path):
                yield path
