"""
A contract from outside the package: a file of the user's own, or overlays of theirs over any other contract.

What the linter would say of a packaged contract nobody has said of this one, so it is checked when it is
loaded, as far as can be seen without examples.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError, PatternError, SettingError, time_limit
from mjrelay.contract.references import METHODS, stray_references
from mjrelay.contract.schemas import schema_faults
from mjrelay.http import Credential
from mjrelay.semantics import FormError, compile_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract

    Fault = tuple[Location, str]


_SECONDS = 0.2
"""Processor time that the contract's patterns have for one of its examples."""
_NOTHING = object()

_FORMS = {
    "ask": "ask: $request.path.id, or $request.query.id, $request.header.X-Id, $request.body#/id",
    "accept": "accept: {$.code: 0}",
    "id": "id: $.id",
    "kind": "kind: $.kind",
    "prompt": "prompt: $.prompt",
    "status": "status: $.status",
    "states": 'states: {queued: [null, ""], running: [RUNNING], succeeded: [DONE], failed: [FAILED]}',
    "progress": "progress: {path: $.progress, format: percent}, or format: fraction",
    "times": "times: {submitted: $.submitted, finished: $.finished, format: ms, unset: [0]}",
    "images": "images: [$.image]",
    "videos": "videos: [$.video]",
    "inputs": "inputs: [$.source]",
    "ignored": "ignored: {$.thumbnail: A smaller copy of the image.}",
    "buttons": 'buttons: {items: "$.buttons[*]", id: id, label: label, emoji: picture}',
    "failure": "failure: [$.reason]",
    "error": "error: {code: [$.code], message: [$.message]}",
    "complete": "complete: {progress: true, media: true, finished: true}",
    "missing": "missing: [{status: 404}]",
    "unauthorized": "unauthorized: [{status: 401}]",
    "forbidden": "forbidden: [{status: 403}]",
    "elsewhere": "elsewhere: {status: 200, content: text/html}",
    "relations": "relations: [{id: image-names-task, left: {path: $.image}, contains: {path: $.id}}]",
    "refresh": "refresh: 15",
    "batch": 'batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 100}',
    "seed": "seed: {operation: fetchSeed, value: $.seed}",
}
"""What each part of `x-mj-task` looks like."""

_OPERATION: dict[str, Any] = {
    "security": [{}],
    "responses": {"*": {"content": {"*": {"examples": {"*": {}}}}}},
}
_DOCUMENT: dict[str, Any] = {
    "servers": [{}],
    "security": [{}],
    "paths": {"*": dict.fromkeys(METHODS, _OPERATION)},
    "components": {"securitySchemes": {"*": {}}},
}
"""What has to be an object or a list; `*` is every key that is not named."""


def _at(document: Any, location: Location) -> Any:
    for step in location:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return _NOTHING
    return document


def _faults(contract: Contract) -> Iterator[Fault]:
    """What keeps a contract from being used; the later rules take for granted what the earlier ones say."""
    document = contract.document
    yield from _not_json(document, ())
    version = document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        yield ("openapi",), f"openapi is {version!r}; write openapi: 3.1.0"
    yield from _misshapen(document, _DOCUMENT, ())
    yield from stray_references(document)
    yield from schema_faults(contract)
    fetches = [
        ("paths", path, method)
        for path, item in document["paths"].items()
        for method in METHODS
        if "x-mj-task" in item.get(method, {})
    ]
    if not fetches:
        yield ("paths",), "no operation has x-mj-task; write it on the one that fetches a task"
    if len(fetches) > 1:
        first = contract.clause(*fetches[0]).line
        yield fetches[1], f"x-mj-task stands on the operation of line {first} too; delete one of the two"
    yield from _meaningless(contract)
    yield from _slow(contract)
    yield from _unreachable(contract)
    yield from _locked(contract)


def _not_json(value: Any, location: Location) -> Iterator[Fault]:
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_json(item, (*location, step))
    elif (isinstance(value, float) and not math.isfinite(value)) or not isinstance(
        value, str | int | float | None
    ):
        yield location, f"{value} is a {type(value).__name__} in YAML and nothing in JSON; put it in quotes"


def _misshapen(value: Any, shape: Any, location: Location) -> Iterator[Fault]:
    """Objects and lists that are none, as far as anything here reads them."""
    if not isinstance(value, type(shape)):
        wanted = "an object" if isinstance(shape, dict) else "a list"
        yield location, f"{location[-1]} must be {wanted}; correct it as OpenAPI asks"
    elif isinstance(shape, list):
        for index, item in enumerate(value):
            yield from _misshapen(item, shape[0], (*location, index))
    else:
        for name, item in value.items():
            inner = shape.get(name) if name.startswith("x-") else shape.get(name, shape.get("*"))
            if inner is not None:
                yield from _misshapen(item, inner, (*location, name))


def _meaningless(contract: Contract) -> Iterator[Fault]:
    here = (*contract.location, "x-mj-task")
    try:
        compile_reader(contract.operation["x-mj-task"])
    except FormError as error:
        yield (*here, error.key), f"{error}; it is written so: {_FORMS[error.key]}"
        return
    except ContractError as error:
        yield here, f"{error}; docs/x-mj-task.md has all keys"
        return


def _slow(contract: Contract) -> Iterator[Fault]:
    """Patterns that take too long on the contract's own examples."""
    reader = contract.reader
    for document in contract.examples.values():
        try:
            with time_limit(_SECONDS):
                reader.accepts(document)
                reader.state(document)
                for urls in (reader.images, reader.videos, reader.inputs):
                    urls(document)
                for relation in reader.relations:
                    relation.breach(document)
        except PatternError as error:
            yield (*contract.location, "x-mj-task"), str(error)
            return


def _unreachable(contract: Contract) -> Iterator[Fault]:
    """A host that is no URL, and requests that cannot be made."""
    url = contract.base_url
    if url is not None and not re.fullmatch(r"https?://[^\s{}?#@]+", url):
        yield (
            ("servers", 0, "url"),
            f"{url!r} is no http or https URL; write https://host, or leave servers out and give a base URL",
        )
    here = (*contract.location, "x-mj-task")
    requests: dict[str, Callable[[], object]] = {"ask": lambda: contract.request("1")}
    if contract.reader.batch is not None:
        requests["batch"] = lambda: contract.batch_request(["1"])
    if contract.reader.seed is not None:
        requests["seed"] = lambda: contract.seed_request("1")
    for key, request in requests.items():
        try:
            request()
        except (ContractError, SettingError) as error:
            yield (*here, key), f"{_said(error)}; it is written so: {_FORMS[key]}"


def _locked(contract: Contract) -> Iterator[Fault]:
    """Credentials that are not declared, or of a kind that is not known."""
    document = contract.document
    schemes = document.get("components", {}).get("securitySchemes", {})
    here: Location = (*contract.location, "security")
    if "security" not in contract.operation:
        here = ("security",)
    for index, requirement in enumerate(_at(document, here) if _at(document, here) is not _NOTHING else ()):
        for name in requirement:
            if name not in schemes:
                form = f"{{securitySchemes: {{{name}: {{type: http, scheme: bearer}}}}}}"
                yield (*here, index), f"securitySchemes has no {name}; write components: {form}"
                continue
            try:
                Credential.compile(name, contract.resolve(schemes[name]))
            except ContractError as error:
                yield ("components", "securitySchemes", name), _said(error)
        if len(requirement) > 1:
            yield (
                (*here, index),
                "two schemes at once are not served; write each as an alternative of its own",
            )


def _said(error: Exception) -> str:
    """An error's message without the place that it names."""
    source = getattr(error, "source", None)
    return str(error) if source is None else str(error).removeprefix(f"{source}: ")
