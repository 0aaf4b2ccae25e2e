"""Rules of `x-mj-task`: that it is well-formed, and true of the contract's own examples."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import best_match

from mjrelay.base import ContractError
from mjrelay.contract import canonical_path, schema_fields
from mjrelay.semantics import JSONPath, State, compile_predicate, compile_reader
from mjrelay_codegen.linter.draft import (
    MATCHERS,
    SCHEMAS,
    Problem,
    is_json,
    matchers,
    task_schema,
    trusted_validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mjrelay.base import Location
    from mjrelay.semantics import Reader
    from mjrelay_codegen.linter.draft import Draft


_EXEMPLARY = (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED)
_REFUSALS = MATCHERS[:3]
# The keys of x-mj-task under which paths stand, as they are or in a list, and predicates.
_PATHS = {
    *("kind", "prompt", "status", "path", "count", "submitted", "started", "finished"),
    *("images", "videos", "inputs", "items", "as", "value", "failure", "code", "message"),
}
_PREDICATES = {"accept", "where", "unless"}
_MEDIA = ("images", "videos", "inputs")
_LINK_FORMATS = {"uri", "uri-reference", "iri", "iri-reference"}
_LINK_NAME = re.compile(r"(?:[Uu][Rr][LlIi]|URL|URI|[Ll]ink)s?(?:\[\*\])*$")
_LINK = re.compile(r"https?://\S+")


def extension(draft: Draft) -> Iterator[Problem]:
    """Exactly one operation has `x-mj-task`, in a form that compiles, about things that there are."""
    if not draft.fetches:
        yield Problem(("paths",), "no operation has x-mj-task; put it on the one that fetches a task")
    for node in draft.fetches[1:]:
        yield Problem(
            (*node.location, "x-mj-task"),
            "another operation has x-mj-task already; keep the one that fetches a task",
        )
    if len(draft.fetches) != 1:
        return
    here, form = draft.extension
    faults = [best_match([error]) for error in trusted_validator(task_schema()).iter_errors(form)]
    for fault in faults:
        yield Problem((*here, *fault.absolute_path), _told(fault, form))
    if faults:
        return
    try:
        compile_reader(form)
    except ContractError as error:
        key, _, problem = str(error).removeprefix("x-mj-task: ").partition(": ")
        yield Problem((*here, key), f"{problem}; correct it, or the reader cannot be made")
    else:
        yield from _strays(draft, here, form)


def _told(fault: Any, form: Mapping[str, Any]) -> str:
    about = fault.schema if isinstance(fault.schema, dict) else {}
    wanted = about.get("description")
    if wanted is None and fault.absolute_path:
        wanted = task_schema()["properties"][fault.absolute_path[0]]["description"]
    if fault.validator == "additionalProperties":
        strays = ", ".join(sorted(fault.instance.keys() - about["properties"].keys()))
        return f"{strays} is unknown here; correct it, the keys are {', '.join(about['properties'])}"
    if fault.validator in {"required", "dependentRequired"} and fault.instance is not form:
        return f"{fault.message}; write it: {wanted}"
    if fault.validator == "required":
        return f"{fault.message} of x-mj-task; write it"
    shown = json.dumps(fault.instance, ensure_ascii=False)
    return f"{shown if len(shown) < 80 else 'this'} does not belong here; write this: {wanted}"


def _strays(draft: Draft, here: Location, form: Mapping[str, Any]) -> Iterator[Problem]:
    """What the form refers to and there is not, or says twice."""
    place = draft.undeclared(draft.fetches[0], form["ask"])
    if place:
        yield Problem(
            (*here, "ask"),
            f"{form['ask']} names {place}, which the operation does not have; declare it there",
        )
    for key in ("batch", "seed"):
        if key in form and draft.operation(form[key]["operation"]) is None:
            yield Problem(
                (*here, key, "operation"),
                f"no operation is called {form[key]['operation']}; correct the operationId, or write that "
                "operation",
            )
    words: dict[str, str] = {}
    for state, entries in form["states"].items():
        for index, entry in enumerate(entries):
            other = words.setdefault(json.dumps(entry, sort_keys=True), state)
            if other != state:
                yield Problem(
                    (*here, "states", state, index),
                    f"{entry!r} means {other} already; delete one of the two",
                )
    ids: set[str] = set()
    for index, relation in enumerate(form.get("relations", ())):
        if relation["id"] in ids:
            yield Problem(
                (*here, "relations", index, "id"), f"{relation['id']} names another relation; rename one"
            )
        ids.add(relation["id"])


def jsonpath(draft: Draft) -> Iterator[Problem]:
    """Each path selects something in one of the examples that it is about."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for location, text in _paths(form):
        if location == ("batch", "as"):
            answers = draft.tasks
        elif location[0] in {"batch", "seed"}:
            operation = draft.operation(form[location[0]]["operation"])
            if operation is None:
                continue
            answers = draft.answers(operation, "200")
        else:
            answers = (
                draft.answers(draft.fetches[0]) if location[0] in {"error", "elsewhere"} else draft.tasks
            )
        if not any(JSONPath.compile(text).find(answer.document) for answer in answers):
            yield Problem(
                (*here, *location),
                f"{text} selects nothing in any example that it is about; correct it, or add an example",
            )


def _paths(form: Any, above: Location = ()) -> Iterator[tuple[Location, str]]:
    """
    The paths of an `x-mj-task`, each with where it stands.

    Without those of refusals and relations, of which the rules `matcher` and `relation` ask more; what is
    counted in a relation is among them, for there may be none of it.
    """
    for step, value in form.items() if isinstance(form, dict) else enumerate(form):
        here = (*above, step)
        key = next(name for name in reversed(here) if isinstance(name, str))
        if here[0] in _REFUSALS or (here[0] == "relations" and key == "path"):
            continue
        if key in _PREDICATES:
            conditions = value.items()
            yield from (((*here, text), text) for text, wanted in conditions if wanted != {"present": False})
        elif isinstance(value, dict | list):
            yield from _paths(value, here)
        elif isinstance(value, str) and (key in _PATHS or here == ("id",)):
            yield here, value
        elif here[0] == "buttons" and value != "$":
            yield here, f"{form['items']}[{json.dumps(value)}]"


def link(draft: Draft) -> Iterator[Problem]:
    """Each link in the schema of a task is read as media, or is ignored for a reason."""
    if draft.reader is None:
        return
    here, form = draft.extension
    ignored = {canonical_path(path): path for path in form.get("ignored", {})}
    read = set(_read(draft, form))
    places = {id(node.value): node.location for node in draft.of(*SCHEMAS)}
    known = set()
    for path, schemas in schema_fields(draft.contract):
        known.add(path)
        if path not in read and path not in ignored and _is_link(draft, path, schemas):
            place = next((places[id(one)] for one in schemas if id(one) in places), here)
            yield Problem(
                place,
                f"nothing reads the links at {path}; add it to {', '.join(_MEDIA)} of x-mj-task, or write "
                f"there why it is not read: ignored: {{{json.dumps(path)}: …}}",
            )
    for path, written in ignored.items():
        if path in read:
            yield Problem(
                (*here, "ignored", written), f"{written} is read as media; delete it here, or there"
            )
        elif path not in known:
            yield Problem(
                (*here, "ignored", written),
                f"{written} is no field in the schema of a task; correct the path, or delete it",
            )


def _read(draft: Draft, form: Mapping[str, Any]) -> Iterator[str]:
    """The fields at which media are read: those that paths name, and those that they select in examples."""
    for way in (way for key in _MEDIA for way in form.get(key, ())):
        text = way["path"] if isinstance(way, dict) else way
        yield canonical_path(text)
        for answer in draft.tasks:
            for location in JSONPath.compile(text).locate(answer.document):
                yield canonical_path("$" + "".join(f"[{json.dumps(step)}]" for step in location))


def _is_link(draft: Draft, path: str, schemas: list[dict[str, Any]]) -> bool:
    """Whether a field holds links by its format, its name or an example."""
    texts = [schema for schema in schemas if "string" in schema.get("type", ())]
    shown = [value for schema in texts for value in schema.get("examples", ())]
    shown += [value for answer in draft.tasks for value in JSONPath.compile(path).find(answer.document)]
    return bool(texts) and (
        any(schema.get("format") in _LINK_FORMATS for schema in texts)
        or _LINK_NAME.search(path, max(path.rfind("."), 0)) is not None
        or any(isinstance(value, str) and _LINK.fullmatch(value) for value in shown)
    )


def state(draft: Draft) -> Iterator[Problem]:
    """Examples read as the state that they are called after, and the states that matter have one."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for answer in draft.tasks:
        if answer.name not in set(State) - {State.UNKNOWN}:
            continue
        read = draft.reader.state(answer.document)
        if read != answer.name:
            yield Problem(
                answer.location, f"the example {answer.name} reads as {read}; correct it, or states"
            )
        elif not draft.reader.accepts(answer.document):
            yield Problem(
                answer.location,
                f"the example {answer.name} is not what accept asks for; correct one of them",
            )
        elif read is State.SUCCEEDED:
            for part in _lacking(draft.reader, answer.document):
                yield Problem(
                    answer.location,
                    f"the example has no {part}, which complete asks for; correct it, or complete",
                )
    for wanted in _EXEMPLARY:
        if wanted in form["states"] and not any(answer.name == wanted for answer in draft.tasks):
            yield Problem(
                (*here, "states", wanted),
                f"no example of a 200 shows this state; add one called {wanted}, with x-evidence if it is "
                "not the page's",
            )


def _lacking(reader: Reader, document: Any) -> Iterator[str]:
    has = {
        "progress": reader.percent(document) == 100,
        "media": bool(reader.images(document) or reader.videos(document)),
        "finished": reader.finished is not None and reader.finished.read(document) is not None,
    }
    yield from (part for part, there in has.items() if reader.completes(part, document) and not there)


def matcher(draft: Draft) -> Iterator[Problem]:
    """Each refusal that `x-mj-task` describes is met by a response that the operation declares."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for key in _REFUSALS:
        for location, matcher in matchers(form, key):
            problem = _unmet(draft, matcher)
            if problem:
                yield Problem((*here, *location), problem)


def _unmet(draft: Draft, form: Mapping[str, Any]) -> str | None:
    status, wanted = form["status"], form.get("content")
    found = draft.contract.response(status)
    if found is None:
        return f"the operation has no response {status}; describe it there, or correct the status"
    location, response = found
    content = response.get("content", {})
    if wanted is not None and wanted.lower() not in {media_type.lower() for media_type in content}:
        return f"the response {status} has no content {wanted}; describe it there, or correct the type"
    # One status has one Response Object: a 200 cannot say that it is a task, or empty.
    if "body" in form and content and status >= 300:
        return f"the response {status} has a body; take its content out, or body: empty"
    if "where" in form:
        predicate = compile_predicate(form["where"])
        bodies = [
            answer.document
            for answer in draft.answers(draft.fetches[0], str(location[-1]))
            if (answer.media_type.lower() == wanted.lower() if wanted else is_json(answer.media_type))
        ]
        if not any(predicate(body) for body in bodies):
            return f"no example of the response {status} is like this; correct where, or add the example"
    return None


def relation(draft: Draft) -> Iterator[Problem]:
    """Each relation can be judged on an example of a succeeded task, and holds on all of them."""
    if draft.reader is None:
        return
    here, _ = draft.extension
    succeeded = [
        answer.document for answer in draft.tasks if draft.reader.state(answer.document) is State.SUCCEEDED
    ]
    for index, one in enumerate(draft.reader.relations):
        breaches = [breach for document in succeeded if (breach := one.breach(document)) is not None]
        if breaches:
            left, right = breaches[0]
            yield Problem(
                (*here, "relations", index),
                f"{one.id} does not hold on an example: {left!r} and {right!r}; correct one of them",
            )
        elif not any(one.applies(document) for document in succeeded):
            yield Problem(
                (*here, "relations", index),
                f"{one.id} has no value on one side in every succeeded example; correct its capture, or add "
                "an example",
            )
