"""The submit operations of a contract: which one fits the arguments of a submit, and its request."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field, frozen

from mjrelay.base import SettingError, pointer_steps
from mjrelay.contract.acceptance import declared_parameters, request_problem
from mjrelay.contract.forms import checkable, form_parts, has_file, without_content
from mjrelay.contract.values import body_schemas, declared_body, is_json, typed_value, value_problems
from mjrelay.http import Request, decode_form, encode_form, is_form, parse_json, path_segment, with_query

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract, SubmitOperation
    from mjrelay.contract.forms import Image
    from mjrelay.semantics import Button, Place, Placement, SubmitForm

_JSON = "application/json"
_VARIABLE = re.compile(r"\{([^{}]+)\}")


@frozen
class Parent:
    """The task that a submit refers to, and its document if the caller has it."""

    id: str
    document: Any = field(default=None, repr=False)


class NoFitError(Exception):
    """The arguments do not fit an operation. The message is the reason."""


def submit_request(
    contract: Contract,
    action: str,
    arguments: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    token: str | None = None,
) -> tuple[SubmitOperation, Request]:
    """
    Choose the operation for a submit and build its request, without a credential.

    Args:
        contract: The contract.
        action: The action, such as ``imagine``.
        arguments: The arguments by name: text or numbers, a list of `Image`, a `Parent` as ``task``, a
            `Button` or text as ``button``.
        fields: Further members of the body, as the relay names them.
        token: A state token, sent if the operation has a place for it and the arguments have none.

    Raises:
        SettingError: The contract has no such action, or no operation accepts the arguments.
    """
    operations = [one for one in contract.submits if one.form.action == action]
    if not operations:
        known = ", ".join(dict.fromkeys(one.form.action for one in contract.submits)) or "none"
        raise SettingError(f"{contract.name} has no operation for {action}; its contract has: {known}")
    fitting: list[tuple[tuple[int, int], SubmitOperation, Request]] = []
    reasons: dict[str, None] = {}
    for operation in operations:
        try:
            draft, given = _Draft(contract, operation), arguments
            if token is not None and "state" in operation.form.arguments:
                given = {"state": token, **arguments}
            rank = draft.fill(given, fields)
            unused = len(operation.form.arguments.keys() - given.keys())
            fitting.append(((rank, unused), operation, draft.request()))
        except NoFitError as error:
            reasons[f"{operation.method} {operation.path}: {error}"] = None
    if not fitting:
        listed = "; ".join(reasons)
        raise SettingError(f"no operation of {contract.name} accepts this {action} ({listed})")
    _, chosen, request = min(fitting, key=lambda one: one[0])
    return chosen, request


@define
class _Draft:
    """A request while it is filled."""

    contract: Contract
    operation: SubmitOperation
    _body: dict[str, Any] = field(factory=dict, init=False)
    _values: dict[tuple[str, str], Any] = field(factory=dict, init=False)

    def fill(self, arguments: Mapping[str, Any], fields: Mapping[str, Any]) -> int:
        """Write the values; return how well a button fits. Raises `NoFitError`."""
        form = self.operation.form
        rank = 0
        _check_button(form, arguments)
        for place, value in form.constants:
            self._put(place, value)
        prompt = arguments.get("prompt")
        for name, given in arguments.items():
            placement, value = form.arguments.get(name), given
            if placement is None:
                raise NoFitError(f"it does not take {name}; it takes {', '.join(form.arguments)}")
            if name == "button":
                rank, value = _pressed(placement, given)
            if placement.before is not None or placement.after is not None:
                prompt = _joined(placement, value, prompt)
            elif placement.to is not None and name != "prompt":
                self._write(placement.to, name, _values(placement, value))
        placed = None if prompt is None else form.arguments["prompt"].to
        if placed is not None:
            self._write(placed, "prompt", [prompt])
        for name, value in fields.items():
            if name in self._body:
                raise NoFitError(f"{name} is written already; pass it as an argument instead")
            self._body[name] = value
        self._check()
        return rank

    def request(self) -> Request:
        """Return the filled request."""
        path = self._prefix() + self._substituted(self.operation.path, "path")
        for (kind, name), value in self._values.items():
            if kind == "query":
                path = with_query(path, name, str(value))
        extra = tuple((name, str(value)) for (kind, name), value in self._values.items() if kind == "header")

        def request(media_type: str, body: bytes, shown: Request | None = None) -> Request:
            headers = (("Accept", _JSON), ("Content-Type", media_type), *extra)
            return Request(self.operation.method, path, headers, body, shown)

        if not self._is_form:
            return request(_JSON, json.dumps(self._body).encode())
        parts = list(form_parts(self._body))
        shown = request(*encode_form(without_content(parts))) if has_file(self._body) else None
        return request(*encode_form(parts), shown)

    @property
    def _is_form(self) -> bool:
        """Whether the body is a form: it has a file, or the operation takes no JSON."""
        content = declared_body(self.contract, self.operation.location)[1]
        return any(map(is_form, content)) and (has_file(self._body) or not any(map(is_json, content)))

    def _write(self, place: Place, name: str, values: Sequence[Any]) -> None:
        """Write an argument in the type that the schema of its place allows."""
        try:
            self._put(
                place,
                typed_value(
                    self.contract, place_schema(self.contract, self.operation.location, place) or {}, values
                ),
            )
        except ValueError as error:
            raise NoFitError(f"{name} {error}") from error

    def _put(self, place: Place, value: Any) -> None:
        if place.kind != "body":
            self._values[place.kind, place.name] = value
            return
        target = self._body
        *above, last = pointer_steps(place.name)
        for step in above:
            target = target.setdefault(step, {})
        target[last] = value

    def _prefix(self) -> str:
        """Return the path of the server whose variable an argument fills, or an empty string."""
        names = {name for kind, name in self._values if kind == "server"}
        if not names:
            return ""
        for server in self.contract.document.get("servers", ()):
            if names <= set(server.get("variables", {})):
                url = str(server["url"])
                path = url.partition("://")[2].partition("/")[2] if "://" in url else url
                return "/" + self._substituted(path, "server").strip("/")
        raise NoFitError(f"no server of the contract has the variables {', '.join(sorted(names))}")

    def _substituted(self, template: str, kind: str) -> str:
        def value(match: re.Match[str]) -> str:
            if (kind, match[1]) not in self._values:
                raise NoFitError(f"{match[1]} in {template} has no value")
            return path_segment(str(self._values[kind, match[1]]))

        return _VARIABLE.sub(value, template)

    def _check(self) -> None:
        kind = is_form if self._is_form else is_json
        if kind is is_json and has_file(self._body):
            raise NoFitError("it sends an image as a file, but its body has no type multipart/form-data")
        schemas = body_schemas(self.contract, self.operation.location, described_by=kind) or [{}]
        problem = next(value_problems(self.contract, {"anyOf": schemas}, checkable(self._body)), None)
        if problem is not None:
            raise NoFitError(self._in_our_words(problem))
        for parameter in declared_parameters(self.contract, self.operation.location):
            place = (parameter.get("in"), parameter.get("name"))
            if parameter.get("required") and place not in self._values:
                raise NoFitError(f"it needs the {place[0]} parameter {place[1]}")

    def _in_our_words(self, problem: str) -> str:
        """Add the argument's name to a problem with a member of the body."""
        for name, placement in self.operation.form.arguments.items():
            to = placement.to
            if to is not None and to.kind == "body" and re.search(rf"{re.escape(to.name[1:])}\b", problem):
                return f"{problem} (argument {name})"
        return problem


def without_prompt(contract: Contract, operation: SubmitOperation, request: Request) -> Request | None:
    """Return a submit without its prompt, or None if the contract does not require one in the body."""
    place = operation.form.arguments["prompt"].to
    if place is None or place.kind != "body":
        return None
    *above, last = pointer_steps(place.name)
    media_type = next(value for name, value in request.headers if name == "Content-Type")
    if is_form(media_type):
        parts = decode_form(media_type, request.body)
        encoded = encode_form([one for one in parts if one.name != last])
        headers = tuple(one for one in request.headers if one[0] != "Content-Type")
        broken = evolve(
            request, headers=(*headers, ("Content-Type", encoded[0])), body=encoded[1], shown=None
        )
    else:
        document = target = parse_json(request.body)
        for name in above:
            target = target[name]
        del target[last]
        broken = evolve(request, body=json.dumps(document).encode())
    query = request.target.partition("?")[2]
    problem = request_problem(contract, operation.location, query, broken.headers, broken.body)
    return None if problem is None else broken


def _is_described(media_type: str) -> bool:
    return is_json(media_type) or is_form(media_type)


def place_schema(contract: Contract, operation: Location, place: Place) -> Any:
    """Return the schema of a place in an operation's request, or None if the contract has no such place."""
    if place.kind == "body":
        schemas = body_schemas(contract, operation, place.name, described_by=_is_described)
        return None if schemas is None else {"anyOf": schemas}
    if place.kind == "server":
        variables = (server.get("variables", {}) for server in contract.document.get("servers", ()))
        return next((named[place.name] for named in variables if place.name in named), None)
    for parameter in declared_parameters(contract, operation):
        if parameter.get("in") == place.kind and parameter.get("name") == place.name:
            return parameter.get("schema", {})
    return None


def _check_button(form: SubmitForm, arguments: Mapping[str, Any]) -> None:
    """An operation that stands for buttons is never chosen without one; it would be paid for nothing."""
    if "button" in form.arguments and "button" not in arguments:
        raise NoFitError("it needs a button")


def _pressed(placement: Placement, button: Button | str) -> tuple[int, Any]:
    found = placement.pressed(button)
    if found is None:
        shown = button if isinstance(button, str) else button.label or button.emoji or button.id
        known = f"; it takes {', '.join(placement.values)}" if placement.values else ""
        raise NoFitError(f"it does not accept the button {shown!r}{known}")
    return found


def _values(placement: Placement, value: Any) -> list[Any]:
    """Return an argument as the relay's values."""
    name = placement.argument
    if name == "button":
        return [value]
    if isinstance(value, Parent):
        if placement.source is None:
            return [value.id]
        found = None if value.document is None else placement.source.first(value.document)
        if found is None:
            raise NoFitError(f"it needs {placement.source.text} of the task; pass the task, not its id")
        return [found]
    if placement.encodings:
        encoded = [_encoded(placement, image) for image in value]
        if len({isinstance(one, str) for one in encoded}) > 1:
            raise NoFitError(f"{name} is sent as URLs or as files, not both; pass all in one of these ways")
        return encoded
    accepted = placement.accepted(value) if isinstance(value, str) else value
    if placement.values and (accepted := placement.accepted(str(value))) is None:
        raise NoFitError(f"{name} is {value!r}, and must be one of {', '.join(placement.values)}")
    return [accepted]


def _encoded(placement: Placement, image: Image) -> str | Image:
    text = image.encoded(placement.encodings)
    if text is None:
        instead = "a URL" if image.url is None else "a path or bytes"
        raise NoFitError(
            f"{placement.argument} is sent as {' or '.join(placement.encodings)}; pass {instead}"
        )
    return text


def _joined(placement: Placement, value: Any, prompt: Any) -> str:
    """Join an argument to the prompt by a space."""
    texts = _values(placement, value)
    template = placement.before if placement.before is not None else placement.after or ""
    joined = " ".join(template.replace("{}", str(text)) for text in texts)
    parts = (joined, prompt) if placement.before is not None else (prompt, joined)
    return " ".join(str(part) for part in parts if part)
