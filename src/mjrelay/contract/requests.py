"""Build requests as plain data from an operation and the ids of tasks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError, SettingError
from mjrelay.http import Request, path_segment, with_query
from mjrelay.semantics import body_with, parse_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        before, after = self.target
        shown = None if self.shown is None else self.shown.fill(task_id)
        target = f"{before}{path_segment(_encodable(task_id))}{after}"
        return Request(self.method, target, self.headers, b"", shown)


def build_request(method: str, path: str, values: Mapping[str, Any]) -> Request:
    """
    Build a request from the values at its places. The JSON body holds all values in the body.

    Args:
        method: The method, in upper case.
        path: The path template.
        values: JSON values by OpenAPI runtime expression. A list in the query repeats the parameter.

    Raises:
        ContractError: A place cannot carry a list, or a parameter of the path has no value.
        SettingError: A text cannot be encoded as UTF-8, or a header field cannot carry it.
    """
    headers, body = _ACCEPT, {}
    query: list[tuple[str, str]] = []
    for expression, value in values.items():
        place, name = parse_expression(expression)
        if place == "body":
            body[name] = value
            continue
        several = isinstance(value, list)
        if several and place != "query":
            raise ContractError(f"{expression} can carry one id only; name a place in the body or the query")
        texts = [_text(one) for one in (value if several else [value])]
        if place == "path":
            path = path.replace(f"{{{name}}}", path_segment(texts[0]))
        elif place == "query":
            query += [(name, text) for text in texts]
        elif texts[0] != texts[0].strip():
            raise SettingError("the id has surrounding white space, which a header field cannot carry")
        else:
            headers += ((name, texts[0]),)
    if "{" in path:
        raise ContractError(f"{path!r} has a parameter that {next(iter(values))} does not fill; spell it out")
    for name, text in query:
        path = with_query(path, name, text)
    if not body:
        return Request(method, path, headers)
    document = _encodable(json.dumps(body_with(body), ensure_ascii=False)).encode()
    return Request(method, path, (*headers, ("Content-Type", "application/json")), document)


def _text(value: Any) -> str:
    return _encodable(value if isinstance(value, str) else json.dumps(value))


def _encodable(text: str) -> str:
    try:
        text.encode("utf-8")
    except (AttributeError, UnicodeEncodeError) as error:
        raise SettingError(
            "the id is not text that UTF-8 can encode; pass it as the relay returned it"
        ) from error
    return text
