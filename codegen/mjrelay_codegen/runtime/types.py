"""The values that stand for a response, for a key that is not there, and for a document."""

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
    """The type of `UNSET`: an enumeration, because its member stays itself when copied or pickled."""

    UNSET = "unset"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""What a property holds whose key the document does not have; not to be confused with None, a null."""


@define
class Response(Generic[T]):
    """
    One answer of a relay: its status, its body as sent, and its body as the contract documents it.

    ``parsed`` is None where the contract gives no body for the status, or does not know the status.
    """

    status_code: int
    content: bytes = field(repr=False)
    headers: httpx.Headers = field(repr=False)
    parsed: T | None


@frozen
class Field:
    """How one documented property is decoded, and which attribute holds it."""

    name: str
    attribute: str
    decode: Decoder
    required: bool = False


@frozen
class Shape:
    """How the documents of one model are decoded: the documented properties, then whatever else comes."""

    fields: tuple[Field, ...]
    others: Decoder = anything


@define
class Model:
    """
    The base of every generated model.

    Keys that the contract does not document are kept in ``additional_properties``, so that `to_dict`
    gives back the document that `from_dict` took.
    """

    additional_properties: dict[str, Any] = field(init=False, factory=dict)

    @classmethod
    def _shape(cls) -> Shape:
        raise NotImplementedError

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        """The model of a JSON object; raises `DecodeError` where the document contradicts the contract."""
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
        """The JSON object this model stands for, the undocumented keys included."""
        document = {name: _encode(value) for name, value in self.additional_properties.items()}
        for known in _shape_of(type(self)).fields:
            value = getattr(self, known.attribute)
            if value is not UNSET:
                document[known.name] = _encode(value)
        return document


_SHAPES: dict[type[Model], Shape] = {}


def _shape_of(model: type[Model]) -> Shape:
    # The models of one contract may refer to each other in circles, so a shape is built on its first use.
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
