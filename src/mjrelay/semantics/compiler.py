"""Compile `x-mj-task` into a reader. Errors name the key that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError
from mjrelay.semantics.matcher import Matcher
from mjrelay.semantics.paths import JSONPath, parse_expression
from mjrelay.semantics.predicate import Predicate, compile_predicate, compile_scope, same_value, table
from mjrelay.semantics.reader import (
    VERSION,
    Batch,
    Button,
    Lookup,
    Media,
    Reader,
    Seed,
    State,
    Timestamp,
    first_text,
)
from mjrelay.semantics.readings import compile_readings
from mjrelay.semantics.relation import Relation
from mjrelay.semantics.values import PROGRESS_FORMATS, compile_time, is_number, scalar_text

if TYPE_CHECKING:
    from mjrelay.base import Location


class FormError(ContractError):
    """
    A key of an extension whose value is invalid.

    ``location`` is where the value stands below the extension: the key, or an index and the key.
    """

    def __init__(
        self, key: str, message: str, *, extension: str = "x-mj-task", index: int | None = None
    ) -> None:
        self.location: Location = (key,) if index is None else (index, key)
        super().__init__(f"{extension}: {key}: {message}")


def compile_reader(form: Mapping[str, Any]) -> Reader:
    """
    Compile the value of `x-mj-task`.

    Raises:
        FormError: The value of one key is invalid.
        ContractError: The value is not an object, or has an unknown key or version.
    """
    if not isinstance(form, Mapping):
        raise ContractError(f"x-mj-task: {form!r} is not an object")
    if not same_value(form.get("version"), VERSION):
        raise ContractError(f"x-mj-task: version {form.get('version')!r} is not supported; write {VERSION}")
    compilers: dict[str, Callable[[], Any]] = {
        "ask": lambda: _ask(form["ask"]),
        "set": lambda: compile_constants(form.get("set", {}), form["ask"]),
        "id": lambda: JSONPath.compile(form["id"]),
        "accept": lambda: compile_predicate(form.get("accept", {})),
        "kind": lambda: _path(form.get("kind")),
        "prompt": lambda: _path(form.get("prompt")),
        "status": lambda: _path(form.get("status")),
        "states": lambda: _states(form["states"]),
        "progress": lambda: _progress(form.get("progress")),
        "times": lambda: _times(form.get("times", {})),
        "images": lambda: _media(form.get("images", ())),
        "videos": lambda: _media(form.get("videos", ())),
        "inputs": lambda: _media(form.get("inputs", ())),
        "ignored": lambda: _ignored(form.get("ignored", {})),
        "buttons": lambda: _compile_buttons(form.get("buttons")),
        "failure": lambda: _paths(form.get("failure", ())),
        "error": lambda: compile_error(form.get("error", {})),
        "complete": lambda: _members(
            compile_scope, form.get("complete", {}), "progress", "media", "finished"
        ),
        "missing": lambda: _matchers(form.get("missing", ())),
        "unauthorized": lambda: _matchers(form.get("unauthorized", ())),
        "forbidden": lambda: _matchers(form.get("forbidden", ())),
        "elsewhere": lambda: _matchers(form.get("elsewhere", ())),
        "relations": lambda: tuple(map(Relation.compile, _list(form.get("relations", ())))),
        "refresh": lambda: positive(form.get("refresh")),
        "batch": lambda: _batch(form.get("batch")),
        "seed": lambda: _seed(form.get("seed"), form["ask"]),
        "state": lambda: _path(form.get("state")),
        "prompts": lambda: compile_readings(form.get("prompts", ())),
        "find": lambda: _lookup(form.get("find")),
    }
    parts = compile_keys(form, compilers)
    words, meaning, wheres = parts["states"]
    if words and parts["status"] is None:
        raise ContractError(
            f"x-mj-task: status is missing; add the path of the status, because states lists {words[0][0]!r}"
        )
    progress_path, progress_scale = parts["progress"]
    return Reader(
        ask=parts["ask"],
        constants=parts["set"],
        id_path=parts["id"],
        status_path=parts["status"],
        progress_path=progress_path,
        prompt_path=parts["prompt"],
        submitted=parts["times"].get("submitted"),
        started=parts["times"].get("started"),
        finished=parts["times"].get("finished"),
        image_media=parts["images"],
        video_media=parts["videos"],
        input_media=parts["inputs"],
        missing=parts["missing"],
        unauthorized=parts["unauthorized"],
        forbidden=parts["forbidden"],
        elsewhere=parts["elsewhere"],
        relations=parts["relations"],
        refresh=parts["refresh"],
        batch=parts["batch"],
        seed=parts["seed"],
        lookup=parts["find"],
        prompts=parts["prompts"],
        token_path=parts["state"],
        accept=parts["accept"],
        kind=parts["kind"],
        meaning=meaning,
        wheres=wheres,
        progress_scale=progress_scale,
        buttons=parts["buttons"],
        has_buttons="buttons" in form,
        failure_paths=parts["failure"],
        error=parts["error"],
        complete=parts["complete"],
    )


def compile_keys(
    form: Mapping[str, Any],
    compilers: Mapping[str, Callable[[], Any]],
    *,
    extension: str = "x-mj-task",
    index: int | None = None,
) -> dict[str, Any]:
    """
    Compile each key of an extension.

    Raises:
        FormError: The value of one key is invalid, or missing.
        ContractError: A key is unknown.
    """
    try:
        check_keys(form, "version", *compilers)
    except ContractError as error:
        raise ContractError(f"{extension}: {error}") from error
    parts = {}
    for key, compiler in compilers.items():
        try:
            parts[key] = compiler()
        except ContractError as error:
            raise FormError(key, str(error), extension=extension, index=index) from error
        except KeyError as error:
            raise FormError(key, f"{error} is missing", extension=extension, index=index) from error
        except (TypeError, AttributeError) as error:
            problem = f"does not have the shape that {extension}.schema.json requires: {error}"
            raise FormError(key, problem, extension=extension, index=index) from error
    return parts


def check_keys(form: Mapping[str, Any], *keys: str) -> None:
    """Raise `ContractError` for a key that is not one of these."""
    unknown = form.keys() - set(keys)
    if unknown:
        raise ContractError(f"unknown key {min(unknown, key=str)!r}; the keys are {', '.join(keys)}")


def _list(form: Any) -> Iterable[Any]:
    if not isinstance(form, list | tuple):
        raise ContractError(f"{form!r} is not a list")
    return form


def _members(compiler: Callable[[Any], Any], form: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    check_keys(form, *keys)
    return {key: compiler(member) for key, member in form.items()}


def positive(value: Any) -> Any:
    """Return a number above 0, or None; raise `ContractError` for anything else."""
    if value is not None and not (is_number(value) and value > 0):
        raise ContractError(f"{value!r} is not a number above 0")
    return value


def _ask(expression: str) -> str:
    parse_expression(expression)
    return expression


def compile_constants(form: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """
    Return the constants of a request: JSON values by place.

    Args:
        form: ``{runtime expression: value}``, for the query, a header or the JSON body.
        others: The places that the request fills otherwise.

    Raises:
        ContractError: A place or a value is invalid, or two values have the same place.
    """
    taken = [parse_expression(other) for other in others]
    for expression, value in form.items():
        place, name = parse_expression(expression)
        if place == "path":
            raise ContractError(f"{expression}: write the value into the path")
        if place != "body" and not isinstance(value, str | int | float):
            raise ContractError(f"{expression}: {value!r} is not text, a number, true or false")
        if place == "header" and not _HEADER_VALUE.fullmatch(str(value)):
            raise ContractError(f"{expression}: {value!r} is not the value of a header; write visible ASCII")
        if place == "header" and name.lower() in _OWN_HEADERS:
            raise ContractError(f"{expression}: the client sends this header itself; delete it")
        if any(place == other and _overlap(place, name, at) for other, at in taken):
            raise ContractError(f"{expression}: another value has this place; delete one of the two")
        taken.append((place, name))
    return dict(form)


_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_OWN_HEADERS = {
    *("accept", "authorization", "connection", "content-length", "content-type", "cookie", "host", "te"),
    *("expect", "transfer-encoding", "upgrade"),
}
"""Headers that a constant may not set, in lower case."""


def _overlap(place: str, one: str, other: str) -> bool:
    if place == "header":
        return one.lower() == other.lower()
    return (
        one == other
        or (place == "body" and f"{one}/".startswith(f"{other}/"))
        or (place == "body" and f"{other}/".startswith(f"{one}/"))
    )


def _path(text: str | None) -> JSONPath | None:
    return None if text is None else JSONPath.compile(text)


def _paths(texts: Iterable[str]) -> tuple[JSONPath, ...]:
    return tuple(JSONPath.compile(text) for text in _list(texts))


def _states(
    form: Mapping[str, Any],
) -> tuple[list[tuple[Any, State]], Callable[[Any], State | None], tuple[tuple[Predicate, State], ...]]:
    """Return the status values with their states, their lookup function, and the predicates."""
    words: list[tuple[Any, State]] = []
    wheres: list[tuple[Predicate, State]] = []
    known = [state.value for state in State if state is not State.UNKNOWN]
    for name, entries in form.items():
        if name not in known:
            raise ContractError(f"{name!r} is not a state; the states are {', '.join(known)}")
        for entry in _list(entries):
            if isinstance(entry, Mapping):
                wheres.append((compile_scope(entry), State(name)))
            else:
                words.append((entry, State(name)))
    return words, table(words), tuple(wheres)


def _progress(form: Mapping[str, str] | None) -> tuple[JSONPath | None, int]:
    if form is None:
        return None, 1
    check_keys(form, "path", "format")
    if form["format"] not in PROGRESS_FORMATS:
        raise ContractError(f"{form['format']!r} is not a format; write one of {', '.join(PROGRESS_FORMATS)}")
    return JSONPath.compile(form["path"]), PROGRESS_FORMATS[form["format"]]


def _times(form: Mapping[str, Any]) -> dict[str, Timestamp]:
    if not form:
        return {}
    moments = ("submitted", "started", "finished")
    check_keys(form, *moments, "format", "zone", "unset")
    read = compile_time(form["format"], form.get("zone"))
    values = (None, "", *_list(form.get("unset", ())))
    listed, times = table((value, True) for value in values), {*map(read, values)} - {None}
    unset = (lambda value: listed(value) or read(value) in times) if times else listed  # "0" as 0 is
    return {name: Timestamp(*_scoped(form[name]), unset, read) for name in moments if name in form}


def _media(forms: Iterable[Any]) -> tuple[Media, ...]:
    return tuple(Media(*_scoped(form)) for form in _list(forms))


def _scoped(form: Any) -> tuple[JSONPath, Predicate]:
    """Compile a path, or ``{path}`` with a scope."""
    if isinstance(form, str):
        return JSONPath.compile(form), compile_scope(True)
    scope = {key: form[key] for key in form if key != "path"}
    return JSONPath.compile(form["path"]), compile_scope(scope or True)


def _ignored(form: Mapping[str, Any]) -> None:
    """Check the ignored links. Only the linter and the profile use them."""
    for path, reason in form.items():
        JSONPath.compile(path)
        if not isinstance(reason, str) or not reason.strip():
            raise ContractError(f"{path} has no reason; write why it is not read")


def _compile_buttons(form: Mapping[str, str] | None) -> Callable[[Any], tuple[Button, ...]]:
    if form is None:
        return lambda _: ()
    check_keys(form, "items", "id", "label", "emoji")
    items = JSONPath.compile(form["items"]).find
    id_, label, emoji = _member(form["id"]), _member(form.get("label")), _member(form.get("emoji"))
    objects = form["id"] != "$"

    def button(item: Any) -> Button | None:
        if objects and isinstance(item, str):  # some servers send plain text instead of an object
            return Button(item, item, None) if item else None
        found = id_(item)
        return None if found is None else Button(found, label(item), emoji(item))

    def buttons(document: Any) -> tuple[Button, ...]:
        return tuple([found for item in items(document) if (found := button(item)) is not None])

    return buttons


def _member(name: str | None) -> Callable[[Any], str | None]:
    """Return a function that reads a button's member. ``$`` is the button itself, for plain text."""
    if name == "$":
        return scalar_text
    if not isinstance(name, str | None):
        raise ContractError(f"{name!r} is not the name of a member; write text")

    def read(item: Any) -> str | None:
        try:
            return scalar_text(item[name])
        except (KeyError, TypeError):  # a missing member, or a button that is not an object
            return None

    return read


def compile_error(form: Mapping[str, Any]) -> Callable[[Any], tuple[str | None, str | None]]:
    """Compile ``{code: [paths], message: [paths]}`` into a function that reads both from a document."""
    paths = _members(_paths, form, "code", "message")
    code, message = paths.get("code", ()), paths.get("message", ())
    return lambda document: (first_text(code, document), first_text(message, document))


def _matchers(forms: Any) -> tuple[Matcher, ...]:
    return tuple(Matcher.compile(form) for form in (forms if isinstance(forms, list | tuple) else [forms]))


def _batch(form: Mapping[str, Any] | None) -> Batch | None:
    if form is None:
        return None
    check_keys(form, "operation", "ids", "set", "items", "as", "limit")
    _ask(form["ids"])
    items = JSONPath.compile(form["items"])
    return Batch(
        operation=form["operation"],
        ids=form["ids"],
        constants=compile_constants(form.get("set", {}), form["ids"]),
        items=items,
        limit=positive(form.get("limit")),
        array=_path(items.array),
        place=_place(form["as"]) if "as" in form else (),
    )


def _place(text: str) -> Location:
    """Return where an item of a list belongs in the document of a task."""
    place = JSONPath.compile(text).location
    if not place or any(step != 0 for step in place if isinstance(step, int)):
        raise ContractError(f"{text!r} is not the location of one item; write $.data, $.data[0] or similar")
    return place


def _seed(form: Mapping[str, Any] | None, ask: str) -> Seed | None:
    if form is None:
        return None
    check_keys(form, "operation", "set", "value")
    constants = compile_constants(form.get("set", {}), ask)
    return Seed(form["operation"], constants, JSONPath.compile(form["value"]))


def _lookup(form: Mapping[str, Any] | None) -> Lookup | None:
    if form is None:
        return None
    check_keys(form, "operation", "items", "as", "by")
    if form["by"] not in {"state", "prompt"}:
        raise ContractError(f"by: {form['by']!r} is not supported; write state or prompt")
    place = _place(form["as"]) if "as" in form else ()
    return Lookup(form["operation"], form["by"], JSONPath.compile(form["items"]), place)
