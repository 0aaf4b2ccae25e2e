"""
Load YAML and JSON documents and keep their line numbers.

The functions import ruamel.yaml: it is slow to import, and packaged contracts are JSON.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError, read_file
from mjrelay.contract.limits import LARGEST
from mjrelay.http import NotJSONError, parse_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_MALFORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Exceptions that ruamel.yaml raises for values such as ``!!bool x`` and ``!!int ""``."""
_PLAIN = frozenset({str, bool, int, float, type(None)})


def load_yaml(path: Path) -> Any:
    """
    Load a YAML 1.2 or JSON file. A key that occurs twice in one mapping is an error.

    The result is shared by all callers and must not be changed.
    A file that ends in .json is JSON. So is any other file that begins with a brace and is valid JSON: a YAML
    reader rejects long keys, and takes an escaped surrogate pair for two characters.

    Raises:
        ContractError: The file cannot be read, is not YAML or JSON, or exceeds a limit.
    """
    try:
        text = read_file(path, LARGEST).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ContractError("there is no such file; check the path", source=path) from error
    except OSError as error:
        raise ContractError(f"cannot be read: {error.strerror}; name another file", source=path) from error
    except UnicodeDecodeError as error:
        raise ContractError(f"cannot be read: {error}", source=path) from error
    is_json = path.suffix.lower() == ".json"
    if is_json or text.lstrip().startswith("{"):
        try:
            parse_json(text.encode())
        except NotJSONError as error:
            if is_json:
                line = getattr(error.__cause__, "lineno", None)
                raise ContractError(f"is not JSON: {error}", source=path, line=line) from error
        else:
            return _composed(path, text, "JSON")
    return _composed(path, text, "YAML")


@lru_cache(maxsize=8)  # several overlays extend one contract
def _composed(path: Path, text: str, kind: str) -> Any:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415 - slow to import

    from mjrelay.contract.composing import LimitError, compose, compose_json  # noqa: PLC0415 - slow to import

    try:
        return compose_json(text) if kind == "JSON" else compose(text)
    except LimitError as error:
        raise ContractError(str(error), source=path, line=error.line) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problem = str(error.problem).partition("\n")[0]
        raise ContractError(f"is not {kind}: {problem}", source=path, line=line) from error
    except RecursionError as error:
        raise ContractError("is nested too deeply; nest less", source=path) from error
    except YAMLError as error:
        raise ContractError(f"is not {kind}: {error}", source=path) from error
    except _MALFORMED as error:
        raise ContractError(
            f"is not {kind}: a value does not have its declared type ({error})", source=path
        ) from error


def yaml_line(document: Any, location: Sequence[str | int]) -> int:
    """Return the line (from 1) of a node, or of its nearest ancestor in the document."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415 - slow to import

    found = document.lc.line + 1 if isinstance(document, CommentedMap | CommentedSeq) else 1
    for part in location:
        # An unquoted 200 is a number here, and text in the plain document.
        names = document if isinstance(document, CommentedMap) and part not in document else ()
        step = next((name for name in names if str(name) == part), part)
        if isinstance(document, CommentedMap) and step in document and step in (document.lc.data or {}):
            found = document.lc.key(step)[0] + 1
        elif (
            isinstance(document, CommentedSeq)
            and isinstance(step, int)
            and step < len(document)
            and step in (document.lc.data or {})
        ):
            found = document.lc.item(step)[0] + 1
        else:
            break
        document = document[step]
    return int(found)


def plain_yaml(document: Any) -> Any:
    """Return the document as plain dicts, lists and scalars."""
    if isinstance(document, dict):
        return {str(name): plain_yaml(value) for name, value in document.items()}
    if isinstance(document, list):
        return [plain_yaml(item) for item in document]
    if type(document) in _PLAIN:
        return document
    for kind, builtin in _scalars().items():
        if isinstance(document, kind):
            return builtin(document)
    return document


@cache
def _scalars() -> dict[type, type]:
    """Return the scalar types of ruamel.yaml and the built-in type of each."""
    from ruamel.yaml.scalarbool import ScalarBoolean  # noqa: PLC0415 - slow to import
    from ruamel.yaml.scalarfloat import ScalarFloat  # noqa: PLC0415 - slow to import
    from ruamel.yaml.scalarint import ScalarInt  # noqa: PLC0415 - slow to import
    from ruamel.yaml.scalarstring import ScalarString  # noqa: PLC0415 - slow to import

    return {ScalarString: str, ScalarBoolean: bool, ScalarFloat: float, ScalarInt: int}
