"""
The structural rules that every contract keeps, so that all other code can rely on them.

The loader raises the first problem. The linter reports the problems of packaged contracts and adds rules of
its own, for which it needs a JSON Schema validator.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError, PatternError, SettingError, time_limit
from mjrelay.contract.references import METHODS, stray_references
from mjrelay.contract.schemas import schema_problems
from mjrelay.http import Credential
from mjrelay.semantics import FormError, compile_reader, compile_submits, scalar_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract.document import Contract

    Problem = tuple[Location, str]


_SECONDS = 0.2
"""Processor time for all patterns of a contract on one of its examples."""

_SURROGATE = re.compile("[\ud800-\udfff]")

_FORMS = {
    "ask": "ask: $request.path.id, or $request.query.id, $request.header.X-Id, $request.body#/id",
    "set": "set: {$request.body#/action: retrieve}",
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
    "state": "state: $.state",
    "prompts": 'prompts: ["$.prompts[*]"]',
    "find": 'find: {operation: listTasks, items: "$[*]", by: state}',
}
"""An example of each key of `x-mj-task`."""

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
"""The parts of a document that must be objects or lists; `*` stands for every other key."""


def structural_problems(contract: Contract) -> Iterator[Problem]:
    """
    Yield what makes a contract unusable: the location, and a message that says how to correct it.

    The rules run in groups. Later groups rely on earlier ones, so the first group with a problem is the last
    that runs. No JSON Schema validator is used.
    """
    for rules in _RULES:
        found = False
        for rule in rules:
            for problem in rule(contract):
                found = True
                yield problem
        if found:
            return


def not_openapi(document: Any) -> str | None:
    """Return why a document is not an OpenAPI document at all, or None if it is one."""
    if isinstance(document, dict) and isinstance(document.get("paths"), dict):
        return None
    return "is not an OpenAPI document: it has no paths; begin it with openapi: 3.1.0, info and paths"


def _paths(contract: Contract) -> Iterator[Problem]:
    if problem := not_openapi(contract.document):
        yield (), problem


def _json(contract: Contract) -> Iterator[Problem]:
    yield from _not_json(contract.document, ())


def _not_json(value: Any, location: Location) -> Iterator[Problem]:
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _not_json(step, (*location, step))
            yield from _not_json(item, (*location, step))
    elif isinstance(value, str) and _SURROGATE.search(value):
        yield location, "the text has half a surrogate pair, which is not a character; write the character"
    elif (isinstance(value, float) and not math.isfinite(value)) or not isinstance(
        value, str | int | float | None
    ):
        yield (
            location,
            f"{value} is a {type(value).__name__} in YAML, which JSON does not have; put it in quotes",
        )


def _version(contract: Contract) -> Iterator[Problem]:
    version = contract.document.get("openapi")
    if not isinstance(version, str) or not version.startswith("3."):
        yield ("openapi",), f"openapi is {version!r}; write openapi: 3.1.0"


def _shape(contract: Contract) -> Iterator[Problem]:
    yield from _misshapen(contract.document, _DOCUMENT, ())


def _misshapen(value: Any, shape: Any, location: Location) -> Iterator[Problem]:
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


def _references(contract: Contract) -> Iterator[Problem]:
    yield from stray_references(contract.document)


def _fetch_operation(contract: Contract) -> Iterator[Problem]:
    """Exactly one operation has `x-mj-task`."""
    fetches = [
        ("paths", path, method)
        for path, item in contract.document["paths"].items()
        for method in METHODS
        if "x-mj-task" in item.get(method, {})
    ]
    if not fetches:
        yield ("paths",), "no operation has x-mj-task; write it on the one that fetches a task"
    for other in fetches[1:]:
        first = contract.clause(*fetches[0]).line
        yield (
            (*other, "x-mj-task"),
            f"the operation in line {first} has x-mj-task too; delete one of the two",
        )


def _form(contract: Contract) -> Iterator[Problem]:
    """`x-mj-task` compiles."""
    here = (*contract.location, "x-mj-task")
    try:
        compile_reader(contract.operation["x-mj-task"])
    except FormError as error:
        yield (*here, *error.location), f"{error}; for example: {_FORMS[str(error.location[-1])]}"
    except ContractError as error:
        yield here, f"{error}; docs/x-mj-task.md lists all keys"


def _submits(contract: Contract) -> Iterator[Problem]:
    """Each `x-mj-submit` compiles."""
    for location, operation in contract.operations():
        here = (*location, "x-mj-submit")
        try:
            if "x-mj-submit" in operation:
                compile_submits(contract.submit_forms(operation["x-mj-submit"]), contract.reader)
        except FormError as error:
            yield (*here, *error.location), f"{error}; docs/x-mj-submit.md shows each key"
        except ContractError as error:
            yield here, f"{_message(error)}; docs/x-mj-submit.md lists all keys"


def _slow(contract: Contract) -> Iterator[Problem]:
    """The patterns match the contract's own examples in time."""
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


def _server(contract: Contract) -> Iterator[Problem]:
    """The server's URL is one that requests can be sent to."""
    url = contract.base_url
    if url is not None and not re.fullmatch(r"https?://[^\s{}?#@]+", url):
        yield (
            ("servers", 0, "url"),
            f"{url!r} is not an http or https URL; write https://host, or delete servers and pass a base URL",
        )


def _requests(contract: Contract) -> Iterator[Problem]:
    """Each request that `x-mj-task` describes can be built."""
    here = (*contract.location, "x-mj-task")
    shown = map(contract.reader.id, contract.examples.values())
    task_id = next(filter(None, map(scalar_text, shown)), "1")
    requests: dict[str, Callable[[], object]] = {"ask": lambda: contract.request(task_id)}
    if contract.reader.batch is not None:
        requests["batch"] = lambda: contract.batch_request([task_id])
    if contract.reader.seed is not None:
        requests["seed"] = lambda: contract.seed_request(task_id)
    for key, request in requests.items():
        try:
            request()
        except (ContractError, SettingError) as error:
            yield (*here, key), f"{_message(error)}; for example: {_FORMS[key]}"


def _security(contract: Contract) -> Iterator[Problem]:
    """The credentials of the fetch operation are declared, and of a supported kind."""
    document = contract.document
    schemes = document.get("components", {}).get("securitySchemes", {})
    own = "security" in contract.operation
    here: Location = (*contract.location, "security") if own else ("security",)
    for index, requirement in enumerate(contract.security):
        for name in requirement:
            if name not in schemes:
                form = f"{{securitySchemes: {{{name}: {{type: http, scheme: bearer}}}}}}"
                yield (*here, index), f"securitySchemes has no {name}; write components: {form}"
                continue
            try:
                Credential.compile(name, contract.resolve(schemes[name]))
            except ContractError as error:
                yield ("components", "securitySchemes", name), _message(error)
        if len(requirement) > 1:
            yield (
                (*here, index),
                "two credentials in one request are not supported; write each as an alternative",
            )


_RULES: tuple[tuple[Callable[[Contract], Iterator[Problem]], ...], ...] = (
    (_paths,),
    (_json,),
    (_version, _shape),
    (_references,),
    (schema_problems, _fetch_operation),
    (_form,),
    (_submits,),
    (_slow, _server, _requests, _security),
)


def _message(error: Exception) -> str:
    """Return an error's message without its file."""
    source = getattr(error, "source", None)
    return str(error) if source is None else str(error).removeprefix(f"{source}: ")
