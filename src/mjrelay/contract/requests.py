"""A request as plain data, built from a contract's operation, the ids of tasks and a credential."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError, SettingError
from mjrelay.http import Request, path_segment, with_query
from mjrelay.semantics import nested_body, parse_expression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.http import Headers

_ACCEPT: Headers = (("Accept", "application/json"),)


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
        return Request(self.method, f"{before}{path_segment(task_id)}{after}", self.headers, b"", shown)


def build_request(method: str, path: str, expression: str, task_id: str) -> Request:
    """
    The request that asks for one task, whose id goes where the runtime expression says.

    Raises `ContractError` where that leaves a parameter of the path without a value, and `SettingError` for
    an id that cannot be sent.
    """
    place, name = parse_expression(expression)
    _check(task_id)
    if place == "path":
        path = path.replace(f"{{{name}}}", path_segment(task_id))
    _check_filled(path, expression)
    match place:
        case "path":
            return Request(method, path, _ACCEPT)
        case "query":
            return Request(method, with_query(path, name, task_id), _ACCEPT)
        case "header":
            return Request(method, path, (*_ACCEPT, (name, task_id)))
        case _:
            return _with_body(method, path, nested_body(name, task_id))


def build_batch_request(method: str, path: str, expression: str, ids: Sequence[str]) -> Request:
    """
    The request that asks for several tasks: an array of ids in the body, or a query parameter for each.

    Raises what `build_request` does, and `ContractError` where the expression names another place.
    """
    place, name = parse_expression(expression)
    for task_id in ids:
        _check(task_id)
    _check_filled(path, expression)
    match place:
        case "query":
            for task_id in ids:
                path = with_query(path, name, task_id)
            return Request(method, path, _ACCEPT)
        case "body":
            return _with_body(method, path, nested_body(name, list(ids)))
        case _:
            raise ContractError(f"{expression} has room for one id; name a place in the body or the query")


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
