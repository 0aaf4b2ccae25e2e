"""Build requests as plain data from an operation and the ids of tasks."""

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
    A request for one task whose target has a gap for the id, so that later requests are cheap to build.

    ``shown`` is the template of the redacted request.
    """

    method: str
    target: tuple[str, str] = field(repr=False)
    headers: Headers = field(repr=False)
    shown: Template | None = field(default=None, repr=False)

    @classmethod
    def of(cls, request: Request, task_id: str) -> Template | None:
        """Return the template of a request for a task, or None if the id is not in the target alone."""
        before, hole, after = request.target.partition(task_id)
        if not hole or task_id in f"{after}{request.headers}" or request.body:
            return None
        shown = None if request.shown is None else cls.of(request.shown, task_id)
        return cls(request.method, (before, after), request.headers, shown)

    def fill(self, task_id: str) -> Request:
        """Build the request for a task. Raises `SettingError` for an id that cannot be encoded."""
        _check(task_id)
        before, after = self.target
        shown = None if self.shown is None else self.shown.fill(task_id)
        return Request(self.method, f"{before}{path_segment(task_id)}{after}", self.headers, b"", shown)


def build_request(method: str, path: str, expression: str, task_id: str) -> Request:
    """
    Build the request for one task.

    Args:
        method: The method, in upper case.
        path: The path template.
        expression: The OpenAPI runtime expression that says where the id goes.
        task_id: The id.

    Raises:
        ContractError: A parameter of the path has no value.
        SettingError: The id cannot be encoded as UTF-8.
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
    Build the request for several tasks: an array of ids in the body, or one query parameter for each.

    Raises:
        ContractError: The expression names another place, or a parameter of the path has no value.
        SettingError: An id cannot be encoded as UTF-8.
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
            raise ContractError(f"{expression} can carry one id only; name a place in the body or the query")


def _check(task_id: str) -> None:
    try:
        task_id.encode("utf-8")
    except (AttributeError, UnicodeEncodeError) as error:
        raise SettingError(
            "the id is not text that UTF-8 can encode; pass it as the relay returned it"
        ) from error


def _check_filled(path: str, expression: str) -> None:
    if "{" in path:
        raise ContractError(f"{path!r} has a parameter that {expression} does not fill; spell it out")


def _with_body(method: str, path: str, document: Any) -> Request:
    headers = (*_ACCEPT, ("Content-Type", "application/json"))
    return Request(method, path, headers, json.dumps(document).encode())
