"""Relations between the parts of a succeeded task, compiled from `x-mj-task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from mjrelay.base import ContractError, Pattern
from mjrelay.semantics.paths import JSONPath
from mjrelay.semantics.predicate import Predicate, compile_scope, same_value
from mjrelay.semantics.values import is_number

Operand = Callable[[Any], list[Any]]
"""Returns the values of one side of a relation in a document."""

_SCOPE = {"where", "unless"}
_KEYS = {"id", "description", "level", "left", "equals", "contains", "within"} | _SCOPE
_LEVELS = ("must", "should", "info")
_OPERAND_KEYS = {"path", "capture", "base", "times", "plus"}


@frozen
class Relation:
    """
    A comparison of ``left`` with ``equals`` or ``contains``. Every value of the left side must match.

    ``level`` is the severity of a breach: info, unless the relay's page states the rule.
    """

    id: str
    description: str
    level: str
    _left: Operand = field(repr=False, eq=False)
    _right: Operand = field(repr=False, eq=False)
    _within: float | None = field(repr=False)
    _contains: bool = field(repr=False)
    _scope: Predicate = field(repr=False, eq=False)

    @classmethod
    def compile(cls, form: Mapping[str, Any]) -> Relation:
        """Compile a relation. Raises `ContractError` for an invalid one."""
        sides = form.keys() & {"equals", "contains"}
        if not {"id", "left"} <= form.keys() <= _KEYS or len(sides) != 1:
            raise ContractError(
                f"{dict(form)!r} is not a relation; write id, left, and one of equals or contains"
            )
        if form.get("level", "info") not in _LEVELS:
            raise ContractError(f"level: {form['level']!r} is not a level; write one of {', '.join(_LEVELS)}")
        side = sides.pop()
        return cls(
            id=form["id"],
            description=form.get("description", ""),
            level=form.get("level", "info"),
            left=_operand(form["left"]),
            right=_operand(form[side]),
            within=_parameter(form, "within", None),
            contains=side == "contains",
            scope=compile_scope({key: form[key] for key in form.keys() & _SCOPE} or True),
        )

    def breach(self, document: Any) -> tuple[Any, Any] | None:
        """Return the first left and right values that break the relation, or None."""
        lefts, right = self._sides(document)
        return next(((left, right) for left in lefts if not self._holds(left, right)), None)

    def applies(self, document: Any) -> bool:
        """Return whether the relation applies to this document, and both sides have a value."""
        return bool(self._sides(document)[0])

    def _sides(self, document: Any) -> tuple[list[Any], Any]:
        """Return the values of the left side and the one of the right, or ([], None)."""
        lefts = self._left(document) if self._scope(document) else []
        rights = self._right(document) if lefts else []
        return (lefts, rights[0]) if rights else ([], None)

    def _holds(self, left: Any, right: Any) -> bool:
        if self._contains:
            return isinstance(left, str) and isinstance(right, str) and right in left
        if self._within is not None and is_number(left) and is_number(right):
            return bool(abs(left - right) <= self._within)
        return same_value(left, right)


def _operand(form: Any) -> Operand:
    match form:
        case {"count": str(text)} if len(form) == 1:
            counted = JSONPath.compile(text)
            return lambda document: [len(counted.find(document))]
        case {"path": str(text)} if not form.keys() - _OPERAND_KEYS:
            path = JSONPath.compile(text)
            if form.keys() == {"path"}:
                return lambda document: [found for found in path.find(document) if found not in (None, "")]
            convert = _conversion(form)
            return lambda document: [
                value for found in path.find(document) if (value := convert(found)) not in (None, "")
            ]
        case _:
            raise ContractError(f"{form!r} is not an operand; write {{path: …, capture: …}} or {{count: …}}")


def _conversion(form: Mapping[str, Any]) -> Callable[[Any], Any]:
    pattern = Pattern.compile(form["capture"]) if "capture" in form else None
    if pattern is not None and pattern.groups != 1:
        raise ContractError(f"capture: {form['capture']!r} needs exactly one group")
    base, times, plus = form.get("base"), _parameter(form, "times", 1), _parameter(form, "plus", 0)
    if base is not None and base not in range(2, 37):
        raise ContractError(f"base: {base!r} is not a base; write a number from 2 to 36")

    def convert(value: Any) -> Any:
        if pattern is not None:
            captured = pattern.search(value) if isinstance(value, str) else None
            value = None if captured is None else captured[1]
        if base is not None and isinstance(value, str):
            value = _integer(value, base)
        return value * times + plus if is_number(value) else value

    return convert


def _integer(text: str, base: int) -> int | None:
    try:
        number = int(text, base)
    except ValueError:
        return None
    return number if is_number(number) else None


def _parameter(form: Mapping[str, Any], key: str, default: float | None) -> Any:
    value = form.get(key, default)
    if value is not default and not is_number(value):
        raise ContractError(f"{key}: {value!r} is not a number")
    return value
