"""Rules of `x-mj-submit`: it is well-formed, its places exist, and its outcomes match the examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from jsonschema.exceptions import best_match

from mjrelay.base import ContractError, SettingError
from mjrelay.contract import Image, Parent, combined_schemas, declared_body, place_schema, submit_request
from mjrelay.http import Exchange, is_form
from mjrelay.semantics import State, SubmitOutcome
from mjrelay_codegen.linter.draft import Problem, extension_schema, trusted_validator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mjrelay.base import Location
    from mjrelay.contract import SubmitOperation
    from mjrelay.semantics import Place, Placement
    from mjrelay_codegen.linter.draft import BodyExample, Draft

_EXTENSION = "x-mj-submit"
_OF_THE_TASK = {SubmitOutcome.UNAUTHORIZED, SubmitOutcome.FORBIDDEN, SubmitOutcome.ELSEWHERE}
"""Outcomes that `x-mj-task` describes."""
_SAMPLE = Image(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")


def submit(draft: Draft) -> Iterator[Problem]:
    """Each `x-mj-submit` is valid against its schema, and all fit the rest of the contract."""
    found = False
    for node in draft.of("operation"):
        form = node.value.get(_EXTENSION)
        if form is None:
            continue
        resolved = draft.contract.submit_forms(form)
        for error in trusted_validator(extension_schema(_EXTENSION)).iter_errors(resolved):
            best = best_match([error])
            found = True
            yield Problem((*node.location, _EXTENSION, *best.absolute_path), _explain(best))
    if found or draft.reader is None:
        return
    try:
        operations = draft.contract.submits
    except ContractError:  # the rule `structure` reports it
        return
    for operation in operations:
        yield from _operation(draft, operation)
    yield from _whole(draft, operations)


def _explain(error: Any) -> str:
    about = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "additionalProperties" and "properties" in about:
        unknown = ", ".join(sorted(error.instance.keys() - about["properties"].keys()))
        return f"{unknown} is unknown here; correct it, the keys are {', '.join(about['properties'])}"
    shown = json.dumps(error.instance, ensure_ascii=False)
    wanted = about.get("description", "a value that docs/x-mj-submit.md describes")
    return f"{shown if len(shown) < 80 else 'the value'} is not valid here; write this: {wanted}"


def _operation(draft: Draft, operation: SubmitOperation) -> Iterator[Problem]:
    here = (*operation.location, _EXTENSION)
    places_exist = True
    for problem in _places(draft, operation, here):
        places_exist = False
        yield problem
    yield from _outcomes(draft, operation, here)
    if places_exist:
        yield from _sample(draft, operation, here)
    contract = draft.contract
    own = contract.document["paths"][operation.path][operation.location[2]].get(
        "security", contract.document.get("security", [])
    )
    if own != contract.security:
        yield Problem(
            (*operation.location, "security"),
            "the security is not that of the fetch operation; copy it",
        )


def _places(draft: Draft, operation: SubmitOperation, here: Location) -> Iterator[Problem]:
    """Each place exists, and the values for it fit its enumeration."""
    form = operation.form
    named: list[tuple[Location, Place | None, Iterable[Any]]] = [
        (("arguments", name), one.to, one.values.values()) for name, one in form.arguments.items()
    ]
    named += [(("set", place.text), place, [value]) for place, value in form.constants]
    content = declared_body(draft.contract, operation.location)[1]
    for name, one in form.arguments.items():
        if "file" in one.encodings and not any(map(is_form, content)):
            yield Problem(
                (*here, "arguments", name),
                "a file needs a requestBody of type multipart/form-data; add it, or write another as",
            )
    for key, place, values in named:
        if place is None:
            continue
        schema = place_schema(draft.contract, operation.location, place)
        if schema is None:
            yield Problem((*here, *key), f"the request has no {place.text}; declare it, or correct the place")
            continue
        allowed = [
            value for _, one in combined_schemas(draft.contract, schema) for value in one.get("enum", ())
        ]
        for value in values if allowed else ():
            if value not in allowed:
                yield Problem(
                    (*here, *key), f"{value!r} is not in the enumeration of {place.text}; correct one of them"
                )


def _outcomes(draft: Draft, operation: SubmitOperation, here: Location) -> Iterator[Problem]:
    """Each example of a response has the outcome that its name says, and each matcher has an example."""
    node = next(node for node in draft.of("operation") if node.location == operation.location)
    examples = [example for example in draft.body_examples(node) if example.status.isdecimal()]
    answer = operation.form.answer
    for example in examples:
        outcome = answer.read(_response(example)).outcome
        named = _outcome_name(str(example.name))
        if named is None:
            names = ", ".join(one.value for one in SubmitOutcome)
            yield Problem(
                example.location,
                f"name the example after its outcome ({outcome}), alone or with a suffix: {names}",
            )
        elif named != outcome:
            yield Problem(
                example.location,
                f"the outcome of the example {example.name} is {outcome}; correct the example, or outcomes",
            )
    described = draft.contract.document["paths"][operation.path][operation.location[2]].get("responses", {})
    for outcome, matcher, _ in answer.outcomes:
        if matcher.evidence is not None or outcome in _OF_THE_TASK:
            continue
        bodiless = matcher.where is None and not draft.contract.content(matcher.status, operation.location)
        if bodiless and str(matcher.status) in described:
            continue
        if not any(matcher.matches(_response(example)) for example in examples):
            yield Problem(
                (*here, "answer"),
                f"no example matches {outcome.value}: {matcher}; add one, or write x-evidence in the matcher",
            )


def _outcome_name(name: str) -> SubmitOutcome | None:
    return next((one for one in SubmitOutcome if name == one.value or name.startswith(f"{one.value}-")), None)


def _response(example: BodyExample) -> Exchange:
    return Exchange(
        "POST",
        "/",
        status=int(example.status),
        headers=(("Content-Type", example.media_type),),
        body=json.dumps(example.document).encode(),
    )


def _sample(draft: Draft, operation: SubmitOperation, here: Location) -> Iterator[Problem]:
    """A request with every argument is valid, and this operation is the one that is chosen for it."""
    arguments = {name: _argument(draft, operation, one) for name, one in operation.form.arguments.items()}
    if arguments.get("button", "") is None:
        yield Problem(
            (*here, "arguments", "button"),
            "no button of an example matches; add such a button to an example of a succeeded task",
        )
        return
    try:
        chosen, _ = submit_request(draft.contract, operation.form.action, arguments, {})
    except SettingError as error:
        yield Problem((*here, "arguments"), f"a request with every argument does not fit: {error}")
        return
    except ContractError:  # the rule `security` reports it
        return
    if chosen != operation:
        yield Problem(
            (*here, "arguments"),
            f"{chosen.method} {chosen.path} takes the same arguments and is chosen first; delete one",
        )


def _argument(draft: Draft, operation: SubmitOperation, placement: Placement) -> Any:
    """Return a value that an argument accepts, or None for a button that no example has."""
    if placement.encodings:
        image = Image(url="https://example.com/a.png") if "url" in placement.encodings else _SAMPLE
        schema = place_schema(draft.contract, operation.location, placement.to) if placement.to else None
        least = [one.get("minItems", 1) for _, one in combined_schemas(draft.contract, schema or {})]
        return [image] * max([1, *least])
    if placement.argument == "task":
        return Parent("1", next(iter(_succeeded(draft)), None))
    if placement.values:
        return next(iter(placement.values))
    if placement.argument == "button":
        return _button(draft, placement)
    schema = None if placement.to is None else place_schema(draft.contract, operation.location, placement.to)
    samples: list[Any] = []
    for _, one in combined_schemas(draft.contract, schema or {}):
        samples += [value for value in one.get("enum", ()) if value is not None]
        samples += [one.get("minimum", 1)] if "integer" in one.get("type", ()) else []
    return samples[0] if samples else "a sample"


def _button(draft: Draft, placement: Placement) -> Any:
    buttons: list[Any] = []
    if draft.reader is not None:
        buttons += [button for document in _succeeded(draft) for button in draft.reader.buttons(document)]
    if placement.match is not None:
        buttons += [text.replace("\\", "") for text in placement.match.text.split("|")]  # (a|b) is rare
    return next((one for one in buttons if placement.pressed(one) is not None), None)


def _succeeded(draft: Draft) -> list[Any]:
    documents = [example.document for example in draft.task_examples]
    reader = draft.reader
    return [one for one in documents if reader is not None and reader.state(one) is State.SUCCEEDED]


def _whole(draft: Draft, operations: tuple[SubmitOperation, ...]) -> Iterator[Problem]:
    """The actions fit each other and `x-mj-task`."""
    here, form = draft.extension
    actions = {operation.form.action for operation in operations}
    for operation in operations:
        modal = any(outcome is SubmitOutcome.NEEDS_MODAL for outcome, _, _ in operation.form.answer.outcomes)
        if modal and ("modal" not in actions or State.NEEDS_INPUT.value not in form["states"]):
            yield Problem(
                (*operation.location, _EXTENSION),
                "the outcome needs-modal needs an operation with the action modal and the state needs-input; "
                "add them, or delete the outcome",
            )
            return
    lookup = form.get("find")
    if lookup is None:
        return
    if draft.operation(lookup["operation"]) is None:
        yield Problem(
            (*here, "find"), f"there is no operation {lookup['operation']}; correct the operationId"
        )
    if lookup["by"] == "state" and "state" not in form:
        yield Problem((*here, "find"), "by: state needs the path of the token; write state")
