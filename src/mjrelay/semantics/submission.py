"""Compile `x-mj-submit`: where the arguments of a submit go in a request, and what its response means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import ContractError, Pattern
from mjrelay.semantics.compiler import FormError, check_keys, compile_keys, positive
from mjrelay.semantics.outcomes import AnswerReader
from mjrelay.semantics.paths import JSONPath, parse_expression
from mjrelay.semantics.predicate import same_value
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mjrelay.semantics.reader import Button, Reader

SUBMIT_VERSION = 1
"""The supported version of `x-mj-submit`."""

TEXTS = ("prompt", "index", "speed", "aspect", "bot", "motion", "state", "callback", "secret")
"""Arguments that are text or a number."""

MEDIA = ("images", "end", "mask", "source", "target")
"""Arguments that are images."""

ARGUMENTS = (*TEXTS, *MEDIA, "task", "button")
"""All arguments of a submit."""

ENCODINGS = ("url", "data-url", "base64", "file")
"""How a request carries an image; ``file`` is a part of a multipart form."""

_SERVER = re.compile(r"\$server\.([A-Za-z0-9_-]+)", re.ASCII)
_ACTION = re.compile(r"[a-z]+(-[a-z]+)*", re.ASCII)
_PART = re.compile(r"\$request\.body#/[^/]+")
_TEMPLATE = re.compile(r"[^{}]*\{\}[^{}]*")
_PLACEMENT_KEYS = {
    **{name: {"to", "before", "after", "values"} for name in TEXTS},
    **{name: {"to", "before", "as"} for name in MEDIA},
    "task": {"to", "from"},
    "button": {"to", "match", "values"},
}


@frozen
class Place:
    """
    Where a request carries a value.

    Attributes:
        text: The expression as the contract writes it.
        kind: ``path``, ``query``, ``header``, ``body`` or ``server``.
        name: The name of the parameter or server variable, or a JSON Pointer into the body.
    """

    text: str
    kind: str
    name: str

    @classmethod
    def compile(cls, text: Any) -> Place:
        """Compile an OpenAPI runtime expression, or ``$server.NAME`` for a variable of a server's URL."""
        if not isinstance(text, str):
            raise ContractError(f"{text!r} is not a place; write $request.body#/name or similar")
        if server := _SERVER.fullmatch(text):
            return cls(text, "server", server[1])
        return cls(text, *parse_expression(text))


@frozen
class Placement:
    """
    Where an argument goes, and which values it accepts.

    Attributes:
        argument: The argument's name.
        to: Its place, or None if it is joined to the prompt or only selects the operation.
        before: A template with one ``{}`` that is put before the prompt, or None.
        after: The same, after the prompt.
        values: Our values and the relay's; empty if every value is accepted as it is.
        match: What a button must match as a whole, or None.
        encodings: How an image may be sent, preferred first.
        source: For ``task``: what the request carries instead of the parent's id.
    """

    argument: str
    to: Place | None = None
    before: str | None = None
    after: str | None = None
    values: Mapping[str, Any] = field(factory=dict)
    match: Pattern | None = None
    encodings: tuple[str, ...] = ()
    source: JSONPath | None = None

    @classmethod
    def compile(cls, argument: str, form: Any) -> Placement:
        """Compile a place, or an object as `docs/x-mj-submit.md` describes it."""
        if isinstance(form, str):
            form = {"to": form}
        if not isinstance(form, dict) or form.keys() - _PLACEMENT_KEYS[argument]:
            keys = ", ".join(sorted(_PLACEMENT_KEYS[argument]))
            raise ContractError(f"{form!r} is not a placement; write a place, or an object with {keys}")
        if argument in MEDIA and "as" not in form:
            raise ContractError(f"as is missing; write one or more of {', '.join(ENCODINGS)}")
        if "file" in _encodings(form.get("as", ENCODINGS[0])) and not _PART.fullmatch(str(form.get("to"))):
            raise ContractError("as: a file is a member of the body; write to: $request.body#/name")
        if sum(key in form for key in ("to", "before", "after")) != 1 and "match" not in form:
            raise ContractError("write exactly one of to, before and after")
        for key in form.keys() & {"before", "after"}:
            if not isinstance(form[key], str) or not _TEMPLATE.fullmatch(form[key]):
                raise ContractError(f"{key}: {form[key]!r} is not a template; write text with one {{}}")
        if {"match", "values"} <= form.keys():
            raise ContractError("write match or values, not both")
        return cls(
            argument,
            to=Place.compile(form["to"]) if "to" in form else None,
            before=form.get("before"),
            after=form.get("after"),
            values=_values(form.get("values", {})),
            match=Pattern.compile(form["match"]) if "match" in form else None,
            encodings=_encodings(form["as"]) if "as" in form else (),
            source=JSONPath.compile(form["from"]) if "from" in form else None,
        )

    def accepted(self, value: str) -> Any:
        """Return the relay's value for ours, or None if the placement does not accept it."""
        if self.match is not None:
            return value if self.match.fullmatch(value) else None
        return self.values.get(value) if self.values else value

    def pressed(self, button: Button | str) -> tuple[int, Any] | None:
        """
        Return how well a button fits and the relay's value for it, or None.

        Args:
            button: A button, tried by id, then label, then emoji; or text, which needs ``match`` or
                ``values``.

        Returns:
            0 for the id, 1 for the label or text, 2 for the emoji.
        """
        texts: tuple[str | None, ...]
        if isinstance(button, str):
            texts = (None, button, None) if self.match or self.values else (None, None, None)
        else:
            texts = (button.id, button.label, button.emoji)
        for rank, text in enumerate(texts):
            if text is not None and (value := self.accepted(text)) is not None:
                return rank, value
        return None


@frozen
class SubmitForm:
    """
    One way to submit one action by an operation.

    Attributes:
        action: What is submitted, such as ``imagine`` or ``press``.
        arguments: The arguments that it accepts.
        constants: Values that every request carries.
        timeout: The longest time in seconds that the relay takes to respond, or None if unknown.
        meanwhile: A state that a task may keep while it runs, after this action.
        answer: Reads the responses.
    """

    action: str
    arguments: Mapping[str, Placement]
    constants: tuple[tuple[Place, Any], ...]
    timeout: float | None
    meanwhile: State | None
    answer: AnswerReader


def compile_submits(form: Any, reader: Reader) -> tuple[SubmitForm, ...]:
    """
    Compile the value of `x-mj-submit`: one form, or a list of forms. References must be resolved.

    Args:
        form: The value.
        reader: The compiled `x-mj-task` of the same contract.

    Raises:
        FormError: The value of one key is invalid. The key of a form in a list has its index before it.
    """
    forms = list(enumerate(form)) if isinstance(form, list) else [(None, form)]
    return tuple(_compiled(one, reader, index) for index, one in forms)


def _compiled(form: Any, reader: Reader, index: int | None) -> SubmitForm:
    if not isinstance(form, dict) or not same_value(form.get("version"), SUBMIT_VERSION):
        raise FormError("version", f"write version: {SUBMIT_VERSION}", extension="x-mj-submit", index=index)
    parts = compile_keys(
        form,
        {
            "action": lambda: _action(form["action"]),
            "arguments": lambda: _arguments(form["arguments"]),
            "set": lambda: tuple((Place.compile(text), value) for text, value in form.get("set", {}).items()),
            "timeout": lambda: positive(form.get("timeout")),
            "meanwhile": lambda: _meanwhile(form),
            "answer": lambda: AnswerReader.compile(form["answer"], reader),
        },
        extension="x-mj-submit",
        index=index,
    )
    return SubmitForm(constants=parts.pop("set"), **parts)


def _action(name: Any) -> str:
    if not isinstance(name, str) or not _ACTION.fullmatch(name):
        raise ContractError(f"{name!r} is not an action; write imagine, press or another name in lower case")
    return name


def _arguments(form: Any) -> dict[str, Placement]:
    check_keys(form, *ARGUMENTS)
    placements: dict[str, Placement] = {}
    for name, placement in form.items():
        try:
            placements[name] = Placement.compile(name, placement)
        except ContractError as error:
            raise ContractError(f"{name}: {error}") from error
    joined = next((name for name, one in placements.items() if one.before or one.after), None)
    if joined and "prompt" not in placements:
        raise ContractError(f"{joined} is joined to the prompt, but prompt has no place")
    return placements


def _values(form: Any) -> dict[str, Any]:
    if not isinstance(form, dict) or any(isinstance(value, list | dict) for value in form.values()):
        raise ContractError(f"values: {form!r} is not an object of scalars")
    return {str(name): value for name, value in form.items()}


def _encodings(form: Any) -> tuple[str, ...]:
    encodings = tuple(form) if isinstance(form, list) else (form,)
    if not encodings or set(encodings) - set(ENCODINGS):
        raise ContractError(f"as: {form!r} is not supported; write one or more of {', '.join(ENCODINGS)}")
    return encodings


def _meanwhile(form: Mapping[str, Any]) -> State | None:
    if "meanwhile" not in form:
        return None
    if form["meanwhile"] != State.NEEDS_INPUT.value or form.get("action") != "modal":
        raise ContractError("only an action modal may have it, and its one value is needs-input")
    return State.NEEDS_INPUT
