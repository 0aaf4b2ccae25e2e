"""Validation of documents against the contract's schemas."""

from __future__ import annotations

import json
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field, frozen
from jsonschema_rs import (
    Draft202012Validator,
    FancyRegexOptions,
    ReferencingError,
    ValidationError,
    ValidationErrorKind,
)

from mjrelay.base import ContractError, PatternError
from mjrelay.contract import child_schema, combined_schemas
from mjrelay.http import NotJSONError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mjrelay.base import Location
    from mjrelay.contract import Contract
    from mjrelay.http import Exchange


_MANY = 20
"""Maximum number of violations of one document."""
_LONG = 100
"""Items of a list that are searched for violations: the validator collects all before it yields the first."""
_DEPTH = 8
"""Levels of nesting whose lists are shortened for that."""
_PATTERNS = FancyRegexOptions(backtrack_limit=50_000, size_limit=1 << 20, dfa_size_limit=1 << 20)
"""Only patterns with look-around or back-references backtrack; all others take linear time."""
_FITTING = "a value that matches the schema"
_TYPES = {str: "text", bool: "boolean", int: "integer", float: "number"}
Place: TypeAlias = "tuple[Location, Any]"
"""The location of a schema in the contract, and the schema."""


@frozen
class SchemaViolation:
    """
    One value of a document that does not match the schema.

    Attributes:
        location: The location of the value in the document.
        schema: The location of its schema in the contract, or of the entry in `required` that it lacks.
        expected: What the schema allows.
        message: What is wrong with the value.
        enum: The schema's enum, if it has one and the value has the type of an enum value.
    """

    location: Location
    schema: Location
    expected: str
    message: str
    enum: tuple[Any, ...] = ()

    @property
    def pointer(self) -> str:
        """The location as text."""
        return "".join(f"/{step}" for step in self.location) or "the document"


@define
class Schema:
    """The schemas of a contract's responses, compiled on demand."""

    contract: Contract = field(repr=False)
    _validators: dict[Location, Draft202012Validator] = field(factory=dict, init=False, repr=False)

    def violations(self, exchange: Exchange, operation: Location | None = None) -> list[SchemaViolation]:
        """
        Validate a response against the contract's schema for its status.

        Args:
            exchange: The exchange.
            operation: The location of the operation; without it, the fetch operation.

        Returns:
            The violations; none if the contract has no schema for the status.

        Raises:
            ContractError: The schema is invalid.
        """
        root = None if exchange.status is None else self._root(exchange.status, operation, exchange)
        if root is None:
            return []
        try:
            document = exchange.document
        except NotJSONError as error:
            return [self._whole(root, f"is not JSON: {error}")]
        validator = self._validators.get(root[0]) or self._compiled(root)
        return [] if validator.is_valid(document) else self._violations(validator, document, root)

    def root(self, status: int) -> Place | None:
        """Return the schema of the fetch operation's response with a status."""
        return self._root(status)

    def children(self, parent: Place) -> Callable[[str | int], Place | None]:
        """Return a function that returns the schema of a member or an item, or None if none is described."""
        options = list(combined_schemas(self.contract, parent[1], location=parent[0]))

        def child(step: str | int) -> Place | None:
            for above, option in options:
                if (found := child_schema(option, step)) is not None:
                    place, node = self.contract.follow(found[1], (*above, *found[0]))
                    return place, node
            return None

        return child

    def integer(self, place: Place) -> bool:
        """Whether a schema allows integers and no other numbers."""
        found: set[Any] = set()
        for _, option in combined_schemas(self.contract, place[1]):
            types = option.get("type")
            found.update(types if isinstance(types, list) else [types])
        return "integer" in found and "number" not in found

    def _root(
        self, status: int, operation: Location | None = None, exchange: Exchange | None = None
    ) -> Place | None:
        """Return the schema for a status: that of the response's media type, else the first one."""
        place, response = self.contract.response(status, operation) or ((), {})
        content = response.get("content")
        if not content:
            return None
        media_type = "" if exchange is None else exchange.media_type
        name = media_type if media_type in content else next(iter(content))
        return ((*place, "content", name, "schema"), content[name].get("schema", True))

    def _compiled(self, root: Place) -> Draft202012Validator:
        place, node = root
        # Inside the whole document, so that references resolve; nothing is fetched.
        schema = {**self.contract.document, "allOf": [node]}
        try:
            validator = Draft202012Validator(
                schema, validate_formats=True, offline=True, pattern_options=_PATTERNS
            )
        except (ReferencingError, ValidationError) as error:
            clause = self.contract.clause(*place)
            raise ContractError(f"{clause} is not a valid schema: {error}") from error
        self._validators[place] = validator
        return validator

    def _violations(
        self, validator: Draft202012Validator, document: Any, root: Place
    ) -> list[SchemaViolation]:
        violations = []
        try:
            errors = validator.iter_errors(_shortened(document))
            for error in islice(chain.from_iterable(map(_causes, errors)), _MANY):
                location = tuple(error.instance_path)
                schema, node = self._descend(root, location)
                if isinstance(error.kind, ValidationErrorKind.Required):
                    schema = self._requirement(error.kind.property, schema, node)
                if _exhausted(error):
                    raise PatternError(
                        f"{self.contract.clause(*schema)}: a pattern takes too many steps on the received "
                        "value; write it without look-around and back-references"
                    )
                words = tuple(_words(self.contract, node))
                known = type(error.instance) in {type(word) for word in words}
                violations.append(
                    SchemaViolation(location, schema, *_explained(error), words if known else ())
                )
        except ValueError:  # a deeply nested document can be validated, but not shown
            violations.append(
                self._whole(root, "does not match the schema; the document is too deep to show where")
            )
        if not violations:
            message = f"does not match the schema beyond the first {_LONG} items of a list"
            violations.append(self._whole(root, message))
        return violations

    def _requirement(self, name: str, place: Location, node: Any) -> Location:
        """Return where a property is required, which may be in another file than its schema."""
        for option_place, option in combined_schemas(self.contract, node, location=place):
            if name in (required := option.get("required", ())):
                return (*option_place, "required", required.index(name))
        return place

    def _whole(self, root: Place, message: str) -> SchemaViolation:
        """Return a violation without a place in the document."""
        return SchemaViolation((), self._descend(root, ())[0], _FITTING, message)

    def _descend(self, root: Place, location: Location) -> Place:
        """The schema that judges a place of a document, and where in the contract it stands."""
        place, node = self.contract.follow(root[1], root[0])
        for step in location:
            inner = self.children((place, node))(step)
            if inner is None:
                break
            place, node = inner
        return place, node


@cache
def schema_of(contract: Contract) -> Schema:
    """Return the schemas of a contract, which are compiled on demand."""
    return Schema(contract)


def _shortened(node: Any, depth: int = 0) -> Any:
    """Return a document with long lists cut."""
    if depth < _DEPTH and isinstance(node, list):
        return [_shortened(item, depth + 1) for item in node[:_LONG]]
    if depth < _DEPTH and isinstance(node, dict):
        return {name: _shortened(value, depth + 1) for name, value in node.items()}
    return node


def _exhausted(error: ValidationError) -> bool:
    """Whether a pattern exceeded its limit, here or in a branch of anyOf or oneOf."""
    return isinstance(error.kind, ValidationErrorKind.BacktrackLimitExceeded) or any(
        _exhausted(inner) for branch in _branches(error) for inner in branch
    )


def _branches(error: ValidationError) -> list[list[ValidationError]]:
    """Return the errors of each branch of anyOf or oneOf."""
    branches: list[list[ValidationError]] = getattr(error.kind, "context", [])
    return branches


def _causes(error: ValidationError) -> list[ValidationError]:
    """
    Return the deepest causes of an error.

    A branch that allows another type than that of the value explains nothing. Of the other branches, the one
    whose errors lie deepest was meant.
    """
    if _exhausted(error):
        return [error]
    place = error.instance_path
    meant = [
        [cause for inner in branch for cause in _causes(inner)]
        for branch in _branches(error)
        if not any(_is_type(inner) and inner.instance_path == place for inner in branch)
    ]
    if not meant:
        return [error]
    return max(meant, key=lambda causes: (min(len(one.instance_path) for one in causes), -len(causes)))


def _is_type(error: ValidationError) -> bool:
    return isinstance(error.kind, ValidationErrorKind.Type)


def _explained(error: ValidationError) -> tuple[str, str]:
    """Return what the schema allows, and what the value is instead."""
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.Required):
        return f"a property {kind.property}", f"has no property {kind.property}"
    errors = [error, *chain.from_iterable(_branches(error))]
    types = [name for one in errors for name in getattr(one.kind, "types", ())]
    if not types:
        return _FITTING, error.message
    value = error.instance
    if isinstance(value, dict | list):
        shown = "an object" if isinstance(value, dict) else "a list"
    else:
        name = "null" if value is None else _TYPES[type(value)]
        shown = name if value is None else f"{json.dumps(value, ensure_ascii=False)} ({name})"
    names = dict.fromkeys("text" if one == "string" else one for one in sorted(types, key="null".__eq__))
    return " or ".join(names), f"is {shown}"


def _words(contract: Contract, node: Any) -> list[Any]:
    return [word for _, option in combined_schemas(contract, node) for word in option.get("enum", ())]
