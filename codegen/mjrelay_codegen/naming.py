"""
Python names of the parts of a contract.

A name that the generated code uses itself gets a suffix. Names that become the same Python name are refused.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from openapi_python_client.config import ClassOverride
from openapi_python_client.parser.properties import Class
from openapi_python_client.schema import UntrustedString
from openapi_python_client.strings import ClassName, PythonIdentifier, snake_case

from mjrelay.contract import METHODS, schema_objects
from mjrelay_codegen.output import GenerationError
from mjrelay_codegen.runtime import client, errors, types

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from typing import Any

    from openapi_python_client.config import Config
    from openapi_python_client.parser import GeneratorData

    from mjrelay.base import Location
    from mjrelay.contract import Contract


_PREFIX = "field_"
"""Of names that are no identifiers; the generator's default."""
_CLASSES = {
    *(name for module in (client, errors, types) for name in module.__all__),
    *("Any", "BytesIO", "File", "FileTypes", "Final", "IntEnum", "Literal", "StrEnum", "UUID"),
}
_ATTRIBUTES = {name for name in dir(types.Model) if not name.startswith("_")}
_ARGUMENTS = {"body", "client", "cookies", "headers", "params", "url"}
_ARGUMENTS |= {"asyncio_detailed", "cast", "segment", "success", "sync_detailed"}


def class_overrides(document: dict[str, Any]) -> dict[str, ClassOverride]:
    """Return new names for schemas that have the name of a class or constant in generated modules."""
    names = {ClassName(name, _PREFIX) for name in document.get("components", {}).get("schemas", {})}
    # attrs ignores a field whose annotation begins with ClassVar.
    taken = {*_CLASSES, *(name for name in names if name.startswith("ClassVar"))}
    return {name: ClassOverride.model_validate({"class_name": f"Model{name}"}) for name in taken}


def check_names(contract: Contract, config: Config) -> None:
    """
    Check that different names in a contract stay different in Python.

    Raises:
        GenerationError: Two names become the same, or one is no identifier. The message has their lines.
    """
    document = contract.document
    modules = {
        ("components", "schemas", name): Class.from_string(string=name, config=config)
        for name in document.get("components", {}).get("schemas", {})
    }
    _check(contract, "schema", {at: found.module_name for at, found in modules.items()})
    operations = {
        ("paths", path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    ids = {(*at, "operationId"): operation.get("operationId") for at, operation in operations.items()}
    _check(contract, "operation", {at: _identifier(name) for at, name in ids.items() if name})
    for at in operations:
        holders = [(*at, "parameters"), (*at[:2], "parameters")]
        for place in ("path", "query", "header", "cookie"):
            _check(contract, "parameter", dict(_parameters(document, holders, place)))
    reserved = _reserved_attributes(found.name for found in modules.values())
    for here, schema in schema_objects(document):
        if isinstance(properties := schema.get("properties"), dict):
            found = _identifiers(properties, reserved)
            _check(contract, "property", {(*here, "properties", name): found[name] for name in properties})
        if isinstance(schema.get("enum"), list):
            _check(contract, "value", dict(_members(schema, here)))


def rename(data: GeneratorData, config: Config) -> None:
    """Rename the properties and parameters that have a name of the generated code."""
    reserved = _reserved_attributes(one.class_info.name for one in (*data.models, *data.enums))
    for model in data.models:
        for own in (*(model.required_properties or ()), *(model.optional_properties or ())):
            _rename(own, reserved, config)
    for collection in data.endpoint_collections_by_tag.values():
        for endpoint in collection.endpoints:
            for _, parameter in endpoint.iter_all_parameters():
                old = f"{{{parameter.python_name}}}"
                _rename(parameter, _ARGUMENTS, config)
                if parameter in endpoint.path_parameters:
                    path = endpoint.path.get_untrusted_value()
                    endpoint.path = UntrustedString(path.replace(old, f"{{{parameter.python_name}}}"))


def _rename(named: Any, reserved: Container[str], config: Config) -> None:
    if named.python_name in reserved:
        named.set_python_name(UntrustedString(f"{named.python_name}_"), config, skip_snake_case=True)


def _reserved_attributes(classes: Iterable[str]) -> set[str]:
    # In a script without capitals, a property can have the name of the class that is its type.
    return {*_ATTRIBUTES, *classes}


def _parameters(document: Any, holders: Iterable[Location], place: str) -> Iterator[tuple[Location, str]]:
    """Yield the parameters of an operation in one place. It overrides those of its path."""
    names: dict[str, Location] = {}
    for holder in holders:
        item = document
        for step in holder:
            item = item.get(step, {})
        for index, parameter in enumerate(item):
            if parameter.get("in") == place:
                names.setdefault(parameter["name"], (*holder, index))
    found = _identifiers(names, _ARGUMENTS)
    yield from ((at, found[name]) for name, at in names.items())


def _members(schema: dict[str, Any], at: Location) -> Iterator[tuple[Location, str]]:
    """Yield the values of an enumeration with their member names, as the generator chooses them."""
    values, names = schema["enum"], schema.get("x-enum-varnames") or ()
    for index, value in enumerate(values):
        if len(names) == len(values):
            name = str(names[index])
        elif isinstance(value, str):
            name = value if value[:1].isalpha() else f"VALUE_{index}"
        else:
            name = f"VALUE_{value}".replace("-", "NEGATIVE_")
        yield (*at, "enum", index), snake_case(name).upper()


def _identifier(name: str, *, raw: bool = False) -> PythonIdentifier:
    return PythonIdentifier(name, _PREFIX, skip_snake_case=raw)


def _identifiers(names: Iterable[str], reserved: Container[str]) -> dict[str, str]:
    """Return the identifiers of names in one scope, as the generator and then `rename` choose them."""
    found = {name: _identifier(name) for name in names}
    counts = Counter(found.values())
    chosen = {name: one if counts[one] == 1 else _identifier(name, raw=True) for name, one in found.items()}
    return {name: f"{one}_" if one in reserved else one for name, one in chosen.items()}


def _check(contract: Contract, kind: str, found: dict[Location, str]) -> None:
    seen: dict[str, Location] = {}
    for location, name in found.items():
        clause = contract.clause(*location)
        if not name.isidentifier():
            raise GenerationError(
                f"{clause.file}:{clause.line}: {_shown(contract, location)} is not a Python name; rename it"
            )
        if name in seen:
            other = contract.clause(*seen[name])
            raise GenerationError(
                f"{clause.file}:{clause.line}: the {kind} {_shown(contract, location)} and "
                f"{_shown(contract, seen[name])} in line {other.line} both become {name} in Python; "
                "rename or remove one of them"
            )
        seen[name] = location


def _shown(contract: Contract, location: Location) -> str:
    node: Any = contract.document
    for step in location:
        node = node[step]
    name = node.get("name") if isinstance(location[-1], int) and isinstance(node, dict) else node
    return repr(name if isinstance(name, str | int) else location[-1])
