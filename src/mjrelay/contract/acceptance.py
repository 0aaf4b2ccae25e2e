"""Whether a request fits what an operation declares: its parameters and its body, JSON or a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from mjrelay.contract.forms import form_document
from mjrelay.contract.values import body_schemas, declared_body, is_json, typed_value, value_problems
from mjrelay.http import NotFormError, NotJSONError, decode_form, is_form, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract


_CLIENTS_OWN = {"accept", "authorization", "content-type"}
"""Headers that OpenAPI does not allow as parameters, in lower case."""


def declared_parameters(contract: Contract, operation: Location) -> Iterator[dict[str, Any]]:
    """Yield the Parameter Objects of an operation, without the headers that carry a credential."""
    _, path, method = operation
    item = contract.document["paths"][path]
    found = {}
    for one in map(contract.resolve, [*item.get("parameters", ()), *item[method].get("parameters", ())]):
        found[one.get("in"), one.get("name")] = one
    credentials = {(one.place, one.field.lower()) for one in contract.credentials}
    for (place, name), one in found.items():
        own = place == "header" and str(name).lower() in _CLIENTS_OWN
        if not own and (place, str(name).lower()) not in credentials:
            yield one


def request_problem(
    contract: Contract, operation: Location, query: str, headers: Sequence[tuple[str, str]], body: bytes
) -> str | None:
    """
    Return why an operation does not accept a request, or None. Its path is not checked.

    Args:
        contract: The contract.
        operation: The location of the operation.
        query: The query string.
        headers: The request headers.
        body: The request body.
    """
    return next(_parameter_problems(contract, operation, query, headers), None) or next(
        _body_problems(contract, operation, headers, body), None
    )


def _parameter_problems(
    contract: Contract, operation: Location, query: str, headers: Sequence[tuple[str, str]]
) -> Iterator[str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    for one in declared_parameters(contract, operation):
        place, name = one.get("in"), str(one.get("name"))
        if place == "query":
            texts = [value for key, value in pairs if key == name]
        elif place == "header":
            texts = [value for key, value in headers if key.lower() == name.lower()]
        else:
            continue
        what = f"the {place} parameter {name}"
        if texts and "schema" in one:
            yield from _text_problems(contract, one["schema"], texts, what)
        elif one.get("required"):
            yield f"{what} is missing"


def _text_problems(contract: Contract, schema: Any, texts: list[str], what: str) -> Iterable[str]:
    try:
        value = typed_value(contract, schema, texts)
    except ValueError as error:
        return [f"{what} {error}"]
    return value_problems(contract, schema, value, what)


def _body_problems(
    contract: Contract, operation: Location, headers: Sequence[tuple[str, str]], body: bytes
) -> Iterator[str]:
    required, content = declared_body(contract, operation)
    takes_json, takes_form = any(map(is_json, content)), any(map(is_form, content))
    if not takes_json and not takes_form:
        return
    sent = next((value for name, value in headers if name.lower() == "content-type"), None)
    if not body:
        if required:
            yield "the body is missing"
    elif takes_form and is_form(sent or ""):
        yield from _form_problems(contract, operation, sent or "", body)
    elif takes_json and is_json(sent or "application/json"):
        yield from _json_problems(contract, operation, body)
    elif (sent or "").partition(";")[0].strip().lower() not in content:
        yield f"the body is {sent or 'of no type'}, expected {', '.join(content)}"


def _form_problems(contract: Contract, operation: Location, media_type: str, body: bytes) -> Iterator[str]:
    schemas = body_schemas(contract, operation, described_by=is_form) or [{}]
    try:
        form = form_document(contract, schemas, decode_form(media_type, body))
    except NotFormError as error:
        yield f"the body is not a form: {error}"
    except ValueError as error:
        yield str(error)
    else:
        yield from value_problems(contract, {"anyOf": schemas}, form)


def _json_problems(contract: Contract, operation: Location, body: bytes) -> Iterator[str]:
    try:
        document = parse_json(body)
    except NotJSONError as error:
        yield f"the body is not JSON: {error}"
        return
    schemas = body_schemas(contract, operation)
    if schemas:
        yield from value_problems(contract, {"anyOf": schemas}, document)
