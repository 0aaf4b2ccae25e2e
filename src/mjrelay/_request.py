"""A request as plain data, built from a contract's operation, the ids of tasks and a credential."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from attrs import field, frozen

from mjrelay._redaction import REDACTED
from mjrelay.errors import ContractError, SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay._credential import Credential
    from mjrelay._exchange import Headers

_EXPRESSION = re.compile(r"\$request\.(?:(path|query|header)\.([\w.-]+)|body#((?:/[^/]+)+))")
_ACCEPT: Headers = (("Accept", "application/json"),)


@frozen
class Request:
    """
    What is sent. ``target`` is path and query, percent-encoded; nothing in it is shown by `repr`.

    ``shown`` is the same without the secrets, where it holds any.
    """

    method: str
    target: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    shown: Request | None = field(default=None, repr=False)

    def authenticated(self, credential: Credential, secret: str) -> Request:
        """The same request with a secret where the credential belongs."""
        return _holding(self, credential, secret, _holding(self.shown or self, credential, REDACTED))

    def with_headers(self, fields: Headers, shown: Headers) -> Request:
        """The same request with more header fields, and what stands in their place when it is shown."""
        seen = self.shown or self
        shown_request = Request(seen.method, seen.target, (*seen.headers, *shown), seen.body)
        return Request(self.method, self.target, (*self.headers, *fields), self.body, shown_request)


@frozen
class Template:
    """
    A request for one task with a hole in its target where the id belongs: made once, filled for each task.

    ``shown`` is the same for what is shown.
    """

    method: str
    target: tuple[str, str] = field(repr=False)
    headers: Headers = field(repr=False)
    shown: Template | None = field(default=None, repr=False)

    @classmethod
    def of(cls, request: Request, task_id: str) -> Template | None:
        """The template that a request for a task came from; None where its id is not in the target alone."""
        before, hole, after = request.target.partition(task_id)
        if not hole or task_id in f"{after}{request.headers}" or request.body:
            return None
        shown = None if request.shown is None else cls.of(request.shown, task_id)
        return cls(request.method, (before, after), request.headers, shown)

    def fill(self, task_id: str) -> Request:
        """The request for a task; raises `SettingError` for an id that cannot be sent."""
        _check(task_id)
        before, after = self.target
        shown = None if self.shown is None else self.shown.fill(task_id)
        return Request(self.method, f"{before}{_segment(task_id)}{after}", self.headers, b"", shown)


@cache
def ask(expression: str) -> tuple[str, str]:
    """
    Where a request carries the id: ``path``, ``query`` or ``header`` and a name, ``body`` and a pointer.

    Raises `ContractError` for what is not an OpenAPI runtime expression of a request.
    """
    match = _EXPRESSION.fullmatch(expression)
    if match is None:
        raise ContractError(f"{expression!r} is no runtime expression; write $request.path.id or the like")
    place, name, pointer = match.groups()
    return (place, name) if pointer is None else ("body", pointer)


def build(method: str, path: str, expression: str, task_id: str) -> Request:
    """
    The request that asks for one task, whose id goes where the runtime expression says.

    Raises `ContractError` where that leaves a parameter of the path without a value, and `SettingError` for
    an id that cannot be sent.
    """
    place, name = ask(expression)
    _check(task_id)
    if place == "path":
        path = path.replace(f"{{{name}}}", _segment(task_id))
    _check_filled(path, expression)
    match place:
        case "path":
            return Request(method, path, _ACCEPT)
        case "query":
            return Request(method, _with_query(path, name, task_id), _ACCEPT)
        case "header":
            return Request(method, path, (*_ACCEPT, (name, task_id)))
        case _:
            return _with_body(method, path, nested(name, task_id))


def build_many(method: str, path: str, expression: str, ids: Sequence[str]) -> Request:
    """
    The request that asks for several tasks: an array of ids in the body, or a query parameter for each.

    Raises what `build` does, and `ContractError` where the expression names another place.
    """
    place, name = ask(expression)
    for task_id in ids:
        _check(task_id)
    _check_filled(path, expression)
    match place:
        case "query":
            for task_id in ids:
                path = _with_query(path, name, task_id)
            return Request(method, path, _ACCEPT)
        case "body":
            return _with_body(method, path, nested(name, list(ids)))
        case _:
            raise ContractError(f"{expression} has room for one id; name a place in the body or the query")


def nested(pointer: str, value: Any) -> Any:
    """The smallest document that holds a value at a JSON Pointer through objects."""
    document: Any = value
    for step in reversed(pointer.split("/")[1:]):
        document = {step.replace("~1", "/").replace("~0", "~"): document}
    return document


def join(base_url: str, target: str) -> str:
    """
    The URL of a target on a relay.

    A base URL keeps its own path as a prefix, but what it ends with and the target begins with stands once:
    ``https://host/api`` and ``/api/task`` make ``https://host/api/task``.
    """
    return "".join(locate(base_url, target))


def locate(base_url: str, target: str) -> tuple[str, str]:
    """The two halves of what `join` makes: scheme and host, and the target behind the base URL's own path."""
    base = urlsplit(base_url)
    prefix = [part for part in base.path.split("/") if part]
    path, mark, query = target.partition("?")
    steps = path.split("/")[1:]
    for overlap in range(min(len(prefix), len(steps)), 0, -1):
        if prefix[-overlap:] == steps[:overlap]:
            prefix = prefix[:-overlap]
            break
    return f"{base.scheme}://{base.netloc}", "/" + "/".join([*prefix, *steps]) + mark + query


def _check(task_id: str) -> None:
    try:
        task_id.encode("utf-8")
    except (AttributeError, UnicodeEncodeError) as error:
        raise SettingError("the id is no text that can be sent; give it as the relay returned it") from error


def _check_filled(path: str, expression: str) -> None:
    if "{" in path:
        raise ContractError(f"{path!r} has a parameter that {expression} does not fill; spell it out")


def _with_body(method: str, path: str, document: Any) -> Request:
    headers = (*_ACCEPT, ("Content-Type", "application/json"))
    return Request(method, path, headers, json.dumps(document).encode())


def _holding(request: Request, credential: Credential, secret: str, shown: Request | None = None) -> Request:
    value = credential.value(secret)
    target, headers = request.target, request.headers
    match credential.place:
        case "header":
            headers = (*headers, (credential.field, value))
        case "cookie":
            headers = (*headers, ("Cookie", f"{credential.field}={quote(value, safe='')}"))
        case _:
            target = _with_query(target, credential.field, value)
    return Request(request.method, target, headers, request.body, shown)


def _segment(value: str) -> str:
    """One segment of a path; dots alone would climb out of it."""
    if value.isascii() and value.isalnum():  # as most ids are, and much quicker
        return value
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _with_query(target: str, name: str, value: str) -> str:
    return target + ("&" if "?" in target else "?") + urlencode({name: value}, quote_via=quote)
