"""Where a pasted URL may lead: the endpoints that it names, and those that the contracts would put there."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING
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
"""What pages of documentation write where an id belongs."""

_LEAST = 2
"""Words of a contract's path that the end of a pasted one must have, where its beginning was left out."""

Steps = tuple[str, ...]


@frozen
class Endpoint:
    """
    One way of asking for a task at a host: a path, what stands before it, and where the id goes.

    ``closing`` is the slash that a pasted URL ended with.
    """

    prefix: str
    path: str
    ask: str
    closing: str = ""

    def request(self, task_id: str) -> Request:
        """The request that asks for a task, without a credential."""
        return build_request("GET", f"{self.prefix}{self.path}{self.closing}", self.ask, task_id)

    def nowhere(self, word: str, task_id: str) -> Request:
        """A request to a path beneath this one, where a relay has nothing."""
        return build_request("GET", f"{self.prefix}{self.path}/{word}", self.ask, task_id)

    def before(self, contract: Contract) -> str | None:
        """
        What stands here before the contract's own path, None where this is not its way of asking.

        It may hold an end that the path begins with, as `join_url` takes it.
        """
        own, steps = _steps(contract.path), _steps(self.path, self.prefix)
        if not is_fetchable(contract) or _place(contract.reader.ask) != _place(self.ask):
            return None
        if steps[-len(own) :] != own:
            return None
        prefix = "".join(f"/{step}" for step in steps[: -len(own)])
        # A base URL that repeats what the path begins with would not be repeated.
        return prefix if _joined(prefix, contract.path) == prefix + contract.path else None

    def __str__(self) -> str:
        place, name = parse_expression(self.ask)
        return f"{self.prefix}{self.path}{self.closing}" + (f"?{name}={{id}}" if place == "query" else "")


@frozen
class Address:
    """
    A pasted URL, taken apart: where it leads, and the task that it names.

    ``pasted`` is its path, ``endpoints`` the ways of asking that are worth trying there, the likeliest first.
    """

    origin: str
    pasted: str
    task_id: str | None
    endpoints: tuple[Endpoint, ...] = field(repr=False)

    @classmethod
    def of(cls, url: str, contracts: Sequence[Contract]) -> Address:
        """The address in a URL; raises `SettingError` for what is none."""
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
        several += _based(_steps(endpoint.prefix), asking, contracts)
        return cls(origin, _path(steps), named, tuple(dict.fromkeys(several)))


def is_fetchable(contract: Contract) -> bool:
    """Return whether a task is fetched with GET and no body, which is all that an examination sends."""
    return contract.method == "GET" and parse_expression(contract.reader.ask)[0] != "body"


def _likeliest(contracts: Sequence[Contract], host: str | None) -> list[Contract]:
    """A contract for each way of asking: that of the host's own relay first, then the most common."""
    ways = Counter(_way(contract) for contract in contracts if is_fetchable(contract))
    own = {_way(one) for one in contracts if one.base_url and urlsplit(one.base_url).hostname == host}
    first = {_way(one): one for one in reversed(contracts) if is_fetchable(one)}
    ordered = sorted(ways, key=lambda way: (way not in own, -ways[way], way))
    return [first[way] for way in ordered]


def _way(contract: Contract) -> tuple[Steps, tuple[str, str]]:
    return _steps(contract.path), _place(contract.reader.ask)


def _place(ask: str) -> tuple[str, str]:
    """Where the id goes; what a parameter of the path is called is nothing that is sent."""
    place, name = parse_expression(ask)
    return place, "" if place == "path" else name


def _steps(path: str, prefix: str = "") -> Steps:
    """The steps of a path; its parameters are all alike."""
    return tuple(_HOLE.sub("{}", step) for step in (prefix + path).split("/") if step)


def _path(steps: Iterable[str]) -> str:
    return "".join(f"/{quote(unquote(step), safe=_SENT)}" for step in steps)


_SENT = "!$&'()*+,;=:@~"


def _joined(prefix: str, path: str) -> str:
    return origin_and_target(f"https://host{prefix}", path)[1]


def _read(
    steps: Steps, query: dict[str, str], asking: Sequence[Contract]
) -> Iterator[tuple[str | None, Endpoint]]:
    """The readings of a pasted path that ends as a contract's does; the longest end first."""
    longest = max((len(_steps(one.path)) for one in asking), default=0)
    for left_out in range(longest):
        for contract in sorted(asking, key=lambda one: -len(_steps(one.path))):
            found = _ending(steps, query, contract, left_out)
            if found is not None:
                yield found


def _ending(
    steps: Steps, query: dict[str, str], contract: Contract, left_out: int
) -> tuple[str | None, Endpoint] | None:
    own = tuple(step for step in contract.path.split("/") if step)
    tail = own[left_out:]
    place, name = parse_expression(contract.reader.ask)
    words = [step for step in tail if not _HOLE.search(step)]
    if not tail or len(steps) < len(tail) or (left_out and len(words) < _LEAST):
        return None
    pairs = list(zip(steps[-len(tail) :], tail, strict=True))
    if any(given != step for given, step in pairs if not _HOLE.search(step)):
        return None
    held = next((unquote(given) for given, step in pairs if step == f"{{{name}}}"), None)
    task_id = query.get(name) if place == "query" else held
    if (place == "path" and held is None) or (place == "query" and left_out and task_id is None):
        return None
    prefix = _path(steps[: -len(tail)])
    return task_id, Endpoint(prefix, "".join(f"/{step}" for step in tail), contract.reader.ask)


def _based(steps: Steps, asking: Sequence[Contract], contracts: Sequence[Contract]) -> Iterator[Endpoint]:
    """The endpoints that a path may be the base of, and those elsewhere at the host."""
    prefixes = [_path(steps)]
    for contract in asking[:1]:  # the address of another operation of the same relay begins alike
        begins = _steps(contract.path)[0]
        prefixes += [_path(steps[:place]) for place, step in enumerate(steps) if step == begins]
    prefixes.append("")
    for likely, several in ((asking[:1], prefixes), (asking[1:], prefixes[:1]), (asking[1:], prefixes[1:])):
        for contract in likely:
            yield from (_endpoint(prefix, contract) for prefix in several)
    for prefix in dict.fromkeys(_servers(contracts)):
        yield from (_endpoint(prefix, contract) for contract in asking[:1])


def _endpoint(prefix: str, contract: Contract) -> Endpoint:
    before = _joined(prefix, contract.path).removesuffix(contract.path)
    return Endpoint(before, contract.path, contract.reader.ask)


def _servers(contracts: Iterable[Contract]) -> Iterator[str]:
    """The paths of the servers that contracts name: what may stand before their own paths."""
    for contract in contracts:
        for server in contract.document.get("servers") or ():
            path = urlsplit(str(server.get("url", ""))).path.rstrip("/")
            if path.startswith("/") and not _HOLE.search(path):
                yield path
