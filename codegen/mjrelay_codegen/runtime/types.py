"""A response, a missing key, and the base class of models."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeVar

from attrs import define, field, frozen

from .decoding import Decoder, anything, kind, step_into
from .errors import DecodeError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Unset(Enum):
    """The type of `UNSET`; an enumeration, so that copies and pickles are the same object."""

    UNSET = "unset"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""The value of a property whose key is missing. A null is None."""


@define
class Response(Generic[T]):
    """
    A response.

    Attributes:
        status_code: The status.
        content: The body as received.
        headers: The headers.
        parsed: The decoded body, or None if the contract documents no body for this status.
    """

    status_code: int
    content: bytes = field(repr=False)
    headers: httpx.Headers = field(repr=False)
    parsed: T | None


@frozen
class Field:
    """A documented property: its key, its attribute and its decoder."""

    name: str
    attribute: str
    decode: Decoder
    required: bool = False


@frozen
class Shape:
    """The documented properties of a model, and the decoder of all other keys."""

    fields: tuple[Field, ...]
    others: Decoder = anything


@define
class Model:
    """
    The base class of generated models.

    Undocumented keys are kept in ``additional_properties``, so `to_dict` returns the same document that
    `from_dict` received.
    """

    additional_properties: dict[str, Any] = field(init=False, factory=dict)

    @classmethod
    def _shape(cls) -> Shape:
        raise NotImplementedError

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """Decode a JSON object; raises `DecodeError` if it does not match the contract."""
        if not isinstance(src_dict, Mapping):
            raise DecodeError("object", kind(src_dict))
        shape = _shape_of(cls)
        rest = dict(src_dict)
        values: dict[str, Any] = {}
        for known in shape.fields:
            value = rest.pop(known.name, UNSET)
            if value is not UNSET:
                values[known.attribute] = step_into(known.name, known.decode, value)
            elif known.required:
                raise DecodeError("a value", "no such key").within(known.name)
        model = cls(**values)
        if shape.others is anything:
            model.additional_properties = rest
        else:
            model.additional_properties = {
                name: step_into(name, shape.others, value) for name, value in rest.items()
            }
        return model

    def to_dict(self) -> dict[str, Any]:
        """Return the model as a JSON object, undocumented keys included."""
        document = {name: _encode(value) for name, value in self.additional_properties.items()}
        for known in _shape_of(type(self)).fields:
            value = getattr(self, known.attribute)
            if value is not UNSET:
                document[known.name] = _encode(value)
        return document


_SHAPES: dict[type[Model], Shape] = {}


def _shape_of(model: type[Model]) -> Shape:
    # Built on first use, because models may refer to each other in a cycle.
    if model not in _SHAPES:
        _SHAPES[model] = model._shape()  # noqa: SLF001
    return _SHAPES[model]


def _encode(value: Any) -> Any:
    if isinstance(value, Model):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [_encode(item) for item in value]
    return value


__all__ = ["UNSET", "Field", "Model", "Response", "Shape", "Unset"]
