"""Rules of `x-mj-task`: it is well-formed, and it matches the examples of the contract."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import best_match

from mjrelay.base import did_you_mean, nearest_names
from mjrelay.contract import canonical_path, is_json, schema_fields, structural_problems
from mjrelay.semantics import JSONPath, State, compile_predicate
from mjrelay_codegen.linter.draft import (
    MATCHERS,
    SCHEMAS,
    Problem,
    extension_schema,
    matchers,
    trusted_validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mjrelay.base import Location
    from mjrelay.semantics import Reader
    from mjrelay_codegen.linter.draft import Draft


_EXEMPLARY = (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED)
_REFUSALS = MATCHERS[:3]
# The keys of x-mj-task whose values are paths or lists of paths, and those whose values are predicates.
_PATHS = {
    *("kind", "prompt", "status", "state", "path", "count", "submitted", "started", "finished"),
    *("images", "videos", "inputs", "items", "as", "value", "failure", "code", "message"),
}
_PREDICATES = {"accept", "where", "unless"}
_MEDIA = ("images", "videos", "inputs")
_LINK_FORMATS = {"uri", "uri-reference", "iri", "iri-reference"}
_LINK_NAME = re.compile(r"(?:[Uu][Rr][LlIi]|URL|URI|[Ll]ink)s?(?:\[\*\])*$")
_LINK = re.compile(r"https?://\S+")


def extension(draft: Draft) -> Iterator[Problem]:
    """`x-mj-task` is valid against its schema, and what it refers to exists."""
    if len(draft.fetch_operations) != 1:
        return
    here, form = draft.extension
    errors = [
        best_match([error]) for error in trusted_validator(extension_schema("x-mj-task")).iter_errors(form)
    ]
    for error in errors:
        yield Problem((*here, *error.absolute_path), _explain(error, form))
    if draft.reader is not None:
        yield from _unknown_names(draft, here, form)


def structure(draft: Draft) -> Iterator[Problem]:
    """The loader accepts the contract; the rules `security` and `convention` cover those parts."""
    if next(extension(draft), None) is not None:
        return
    for location, message in structural_problems(draft.contract):
        covered = location[:1] in {("servers",), ("security",)} or location[3:4] == ("security",)
        if not covered and location[:2] != ("components", "securitySchemes"):
            yield Problem(location, message)


def _explain(error: Any, form: Mapping[str, Any]) -> str:
    about = error.schema if isinstance(error.schema, dict) else {}
    wanted = about.get("description")
    if wanted is None and error.absolute_path:
        wanted = extension_schema("x-mj-task")["properties"][error.absolute_path[0]]["description"]
    if error.validator == "additionalProperties":
        known = about["properties"]
        unknown = sorted(error.instance.keys() - known.keys())
        advice = did_you_mean([name for key in unknown for name in nearest_names(str(key), known)])
        advice = advice or f"correct it, the keys are {', '.join(known)}"
        return f"{', '.join(unknown)} is unknown here; {advice}"
    if error.validator in {"required", "dependentRequired"} and error.instance is not form:
        return f"{error.message}; write it: {wanted}"
    if error.validator == "required":
        return f"{error.message} of x-mj-task; write it"
    shown = json.dumps(error.instance, ensure_ascii=False)
    names = error.validator_value if error.validator == "enum" else []
    advice = did_you_mean(nearest_names(str(error.instance), names)) or "write this:"
    return f"{shown if len(shown) < 80 else 'the value'} is not valid here; {advice} {wanted}"


def _unknown_names(draft: Draft, here: Location, form: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield names that do not exist and entries that appear twice."""
    places = [((), "ask", form["ask"])] + [((), "set", expression) for expression in form.get("set", ())]
    for _, key, expression in places:
        if place := draft.undeclared(draft.fetch_operations[0], expression):
            yield Problem(
                (*here, key), f"the operation does not have {place}, which {expression} names; declare it"
            )
    for key in ("batch", "seed"):
        if key in form and draft.operation(form[key]["operation"]) is None:
            yield Problem(
                (*here, key, "operation"),
                f"there is no operation {form[key]['operation']}; correct the operationId, or add one",
            )
    values: dict[str, str] = {}
    for state, entries in form["states"].items():
        for index, entry in enumerate(entries):
            other = values.setdefault(json.dumps(entry, sort_keys=True), state)
            if other != state:
                yield Problem(
                    (*here, "states", state, index),
                    f"{json.dumps(entry)} is a value of {other}, too; delete one of the two",
                )
    ids: set[str] = set()
    for index, relation in enumerate(form.get("relations", ())):
        if relation["id"] in ids:
            yield Problem(
                (*here, "relations", index, "id"), f"another relation has the id {relation['id']}; rename one"
            )
        ids.add(relation["id"])


def jsonpath(draft: Draft) -> Iterator[Problem]:
    """Each path selects a value in at least one of its examples."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for location, text in _paths(form):
        if location == ("batch", "as"):
            examples = draft.task_examples
        elif location[0] in {"batch", "seed", "find"}:
            operation = draft.operation(form[location[0]]["operation"])
            if operation is None:
                continue
            examples = draft.body_examples(operation, "200")
        else:
            examples = (
                draft.body_examples(draft.fetch_operations[0])
                if location[0] in {"error", "elsewhere"}
                else draft.task_examples
            )
        if not any(JSONPath.compile(text).find(example.document) for example in examples):
            yield Problem(
                (*here, *location),
                f"{text} selects nothing in any of its examples; correct it, or add an example",
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
    """Each URL in the schema of a task is read as media, or ignored with a reason."""
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
                f"the URLs at {path} are not read; add the path to {', '.join(_MEDIA)} of x-mj-task, or "
                f"write the reason there: ignored: {{{json.dumps(path)}: …}}",
            )
    for path, written in ignored.items():
        if path in read:
            yield Problem(
                (*here, "ignored", written), f"{written} is both media and ignored; delete one of the two"
            )
        elif path not in known:
            yield Problem(
                (*here, "ignored", written),
                f"the schema of a task has no field {written}; correct the path, or delete it",
            )


def _read(draft: Draft, form: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields of media: the paths in `x-mj-task`, and what they select in the examples."""
    for source in (source for key in _MEDIA for source in form.get(key, ())):
        text = source["path"] if isinstance(source, dict) else source
        yield canonical_path(text)
        for example in draft.task_examples:
            for location in JSONPath.compile(text).locate(example.document):
                yield canonical_path("$" + "".join(f"[{json.dumps(step)}]" for step in location))


def _is_link(draft: Draft, path: str, schemas: list[dict[str, Any]]) -> bool:
    """Return whether a field has URLs, by its format, its name or an example."""
    texts = [schema for schema in schemas if "string" in schema.get("type", ())]
    shown = [value for schema in texts for value in schema.get("examples", ())]
    shown += [
        value for example in draft.task_examples for value in JSONPath.compile(path).find(example.document)
    ]
    return bool(texts) and (
        any(schema.get("format") in _LINK_FORMATS for schema in texts)
        or _LINK_NAME.search(path, max(path.rfind("."), 0)) is not None
        or any(isinstance(value, str) and _LINK.fullmatch(value) for value in shown)
    )


def state(draft: Draft) -> Iterator[Problem]:
    """Each example has the state that its name says, and each main state has an example."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for example in draft.task_examples:
        if example.name not in set(State) - {State.UNKNOWN}:
            continue
        state = draft.reader.state(example.document)
        if state != example.name:
            yield Problem(
                example.location,
                f"the state of the example {example.name} is {state}; correct the example, or states",
            )
        elif not draft.reader.accepts(example.document):
            yield Problem(
                example.location,
                f"accept rejects the example {example.name}; correct one of them",
            )
        elif state is State.SUCCEEDED:
            for part in _missing_parts(draft.reader, example.document):
                yield Problem(
                    example.location,
                    f"the example has no {part}, which complete requires; correct one of them",
                )
    for wanted in _EXEMPLARY:
        if wanted in form["states"] and not any(example.name == wanted for example in draft.task_examples):
            yield Problem(
                (*here, "states", wanted),
                f"no example of a 200 has this state; add one named {wanted}, with x-evidence if it is not "
                "from the page",
            )


def _missing_parts(reader: Reader, document: Any) -> Iterator[str]:
    has = {
        "progress": reader.percent(document) == 100,
        "media": bool(reader.images(document) or reader.videos(document)),
        "finished": reader.finished is not None and reader.finished.read(document) is not None,
    }
    yield from (part for part, there in has.items() if reader.completes(part, document) and not there)


def matcher(draft: Draft) -> Iterator[Problem]:
    """Each matcher of `x-mj-task` fits a response that the operation declares."""
    if draft.reader is None:
        return
    here, form = draft.extension
    for key in _REFUSALS:
        for location, matcher in matchers(form, key):
            if problem := _matcher_problem(draft, matcher):
                yield Problem((*here, *location), problem)


def _matcher_problem(draft: Draft, form: Mapping[str, Any]) -> str | None:
    status, wanted = form["status"], form.get("content")
    found = draft.contract.response(status)
    if found is None:
        return f"the operation has no response {status}; add it, or correct the status"
    location, response = found
    content = response.get("content", {})
    if wanted is not None and wanted.lower() not in {media_type.lower() for media_type in content}:
        return f"the response {status} has no content {wanted}; add it, or correct the media type"
    # A status has one Response Object, so a 200 cannot be declared as a task or an empty body.
    if "body" in form and content and status >= 300:
        return f"the response {status} has a body; delete its content, or body: empty"
    if "where" in form:
        predicate = compile_predicate(form["where"])
        bodies = [
            example.document
            for example in draft.body_examples(draft.fetch_operations[0], str(location[-1]))
            if (example.media_type.lower() == wanted.lower() if wanted else is_json(example.media_type))
        ]
        if not any(predicate(body) for body in bodies):
            return f"no example of the response {status} matches; correct where, or add an example"
    return None


def relation(draft: Draft) -> Iterator[Problem]:
    """Each relation applies to an example of a succeeded task, and holds for all of them."""
    if draft.reader is None:
        return
    here, _ = draft.extension
    succeeded = [
        example.document
        for example in draft.task_examples
        if draft.reader.state(example.document) is State.SUCCEEDED
    ]
    for index, one in enumerate(draft.reader.relations):
        breaches = [breach for document in succeeded if (breach := one.breach(document)) is not None]
        if breaches:
            left, right = breaches[0]
            yield Problem(
                (*here, "relations", index),
                f"{one.id} does not hold for an example: {left!r} and {right!r}; correct one of them",
            )
        elif not any(one.applies(document) for document in succeeded):
            yield Problem(
                (*here, "relations", index),
                f"{one.id} applies to no succeeded example: one side has no value; correct its capture, or "
                "add an example",
            )
