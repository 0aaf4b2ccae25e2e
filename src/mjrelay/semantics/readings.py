"""Compile readings: paths to texts in a document, such as the ids of new tasks or suggested prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError, Pattern
from mjrelay.semantics.paths import JSONPath
from mjrelay.semantics.predicate import compile_scope
from mjrelay.semantics.values import scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Readings = Callable[[Any], tuple[str, ...]]
    """Returns the texts in a document, each once, in document order."""

_KEYS = {"path", "capture", "where", "unless"}


def compile_readings(forms: Any) -> Readings:
    """
    Compile a list of readings: a path, or ``{path, capture, where, unless}``.

    A scalar is read as text, an array as its items. ``capture`` is a regular expression with one group; each
    of its matches in a text counts.
    """
    if not isinstance(forms, list | tuple):
        raise ContractError(f"{forms!r} is not a list of paths")
    readings = [_reading(form) for form in forms]

    def read(document: Any) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for reading in readings for text in reading(document)))

    return read


def _reading(form: Any) -> Callable[[Any], Iterator[str]]:
    if isinstance(form, str):
        form = {"path": form}
    if not isinstance(form, dict) or "path" not in form or form.keys() - _KEYS:
        raise ContractError(f"{form!r} is not a reading; write a path, or {{path: …, capture: …, where: …}}")
    path = JSONPath.compile(form["path"])
    scope = compile_scope({key: form[key] for key in ("where", "unless") if key in form} or True)
    capture = Pattern.compile(form["capture"]) if "capture" in form else None
    if capture is not None and capture.groups != 1:
        raise ContractError(f"capture: {form['capture']!r} has {capture.groups} groups; write one")

    def read(document: Any) -> Iterator[str]:
        if not scope(document):
            return
        for value in path.find(document):
            for item in value if isinstance(value, list) else (value,):
                text = scalar_text(item)
                if text is None:
                    continue
                if capture is None:
                    yield text
                else:
                    yield from filter(None, capture.captures(text))

    return read
