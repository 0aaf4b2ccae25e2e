"""Compile the predicates of `x-mj-task`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from mjrelay.base import ContractError, Pattern
from mjrelay.semantics.paths import JSONPath

T = TypeVar("T")

Predicate = Callable[[Any], bool]
"""Returns whether a document matches."""


def always(_document: Any) -> bool:
    """The predicate that every document matches."""
    return True


def compile_predicate(conditions: Mapping[str, Any]) -> Predicate:
    """
    Compile ``{JSONPath: condition}``: every condition must hold.

    A condition is a scalar, a list of scalars (any of them), ``{match: regexp}`` (matches the whole text) or
    ``{present: bool}``. If a path selects several values, one match is enough.
    """
    tests = [(JSONPath.compile(path).find, _condition(condition)) for path, condition in conditions.items()]
    return (lambda document: all(test(find(document)) for find, test in tests)) if tests else always


def compile_scope(scope: Any) -> Predicate:
    """Compile a scope: ``{where: …}``, ``{unless: …}``, both, or true."""
    if scope is True:
        return always
    if not isinstance(scope, Mapping) or not scope or scope.keys() - {"where", "unless"}:
        raise ContractError(f"{scope!r} is not a scope; write true, {{where: …}} or {{unless: …}}")
    where = compile_predicate(scope.get("where", {}))
    unless = compile_predicate(scope["unless"]) if "unless" in scope else None
    return lambda document: where(document) and not (unless is not None and unless(document))


def same_value(left: Any, right: Any) -> bool:
    """Return whether two JSON scalars are equal by JSON type: 1 is 1.0, but 0 is not false."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    try:
        return bool(left == right)
    except RecursionError:
        return False


def table(meanings: Iterable[tuple[Any, T]]) -> Callable[[Any], T | None]:
    """
    Return a function that looks up the meaning of a value, or None. `same_value` decides equality.

    If a scalar occurs twice, the first one counts. Raises `TypeError` for a value that is not a scalar.
    """
    words: dict[Any, T] = {}
    flags: dict[Any, T] = {}
    for scalar, meaning in meanings:
        (flags if isinstance(scalar, bool) else words).setdefault(scalar, meaning)

    def look_up(value: Any) -> T | None:
        try:
            return (flags if value is True or value is False else words).get(value)
        except TypeError:  # an array or an object equals no scalar
            return None

    return look_up


def _condition(condition: Any) -> Callable[[list[Any]], bool]:
    match condition:
        case {"match": str(pattern)} if len(condition) == 1:
            compiled = Pattern.compile(pattern)
            return lambda values: any(isinstance(v, str) and compiled.fullmatch(v) for v in values)
        case {"present": bool(wanted)} if len(condition) == 1:
            return lambda values: bool(values) is wanted
        case list() if not any(isinstance(scalar, list | Mapping) for scalar in condition):
            fits = table((scalar, True) for scalar in condition)
            return lambda values: any(map(fits, values))
        case list() | Mapping():
            raise ContractError(
                f"{condition!r} is not a condition; write a scalar, a list of scalars, {{match: regexp}} "
                "or {present: true|false}"
            )
        case _:
            return _condition([condition])
