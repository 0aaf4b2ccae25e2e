"""Rules of the operations beside the one that fetches a task: they do what `x-mj-task` uses them for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from referencing.exceptions import Unresolvable

from mjrelay.base import ContractError
from mjrelay.semantics import nested_body, parse_expression, scalar_text
from mjrelay_codegen.linter.draft import Problem, contract_validator, is_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mjrelay_codegen.linter.draft import Draft, Node


def batch(draft: Draft) -> Iterator[Problem]:
    """The operation for several tasks takes a list of ids, and answers with tasks that the reader reads."""
    if draft.reader is None or draft.reader.batch is None:
        return
    form, here = draft.reader.batch, (*draft.extension[0], "batch")
    operation = draft.operation(form.operation)
    if operation is None:  # which the rule `extension` reports
        return
    yield from _same_credentials(draft, operation)
    try:
        draft.contract.batch_request(["1"])
    except ContractError as error:
        yield Problem((*here, "ids"), f"no such request can be made: {error}")
    else:
        if not _takes_list(draft, operation, form.ids):
            yield Problem(
                (*here, "ids"),
                f"{form.ids} is no list of texts in the request of {form.operation}; describe it there, "
                "or correct the place",
            )
    for answer in draft.answers(operation, "200"):
        items = form.documents(answer.document)
        if any(scalar_text(draft.reader.id(item)) is None for item in items):
            yield Problem(
                answer.location,
                f"a task in it has no id at {draft.reader.id_path.text}; correct it, or items or as",
            )
        elif form.place and not form.bare(answer.document) and not all(map(draft.reader.accepts, items)):
            yield Problem(answer.location, "accept refuses a task in it; correct it, or as of batch")


def seed(draft: Draft) -> Iterator[Problem]:
    """The operation for a seed takes the id where the one that fetches does, and answers with a text."""
    if draft.reader is None or draft.reader.seed is None:
        return
    form, here = draft.reader.seed, (*draft.extension[0], "seed")
    operation = draft.operation(form.operation)
    if operation is None:
        return
    yield from _same_credentials(draft, operation)
    if not draft.undeclared(draft.fetches[0], draft.reader.ask):  # which the rule `extension` reports, too
        problem = _unaskable(draft, operation)
        if problem:
            yield Problem((*here, "operation"), problem)
    values = [
        value for answer in draft.answers(operation, "200") for value in form.value.find(answer.document)
    ]
    if any(scalar_text(value) is None for value in values):
        yield Problem((*here, "value"), f"{form.value.text} selects what is no text or number; correct it")


def _unaskable(draft: Draft, operation: Node) -> str | None:
    ask = draft.extension[1]["ask"]
    if place := draft.undeclared(operation, ask):
        return f"ask names {place}, which {operation.value['operationId']} does not have; declare it there"
    try:
        draft.contract.seed_request("1")
    except ContractError as error:
        return f"no such request can be made: {error}"
    return None


def _same_credentials(draft: Draft, operation: Node) -> Iterator[Problem]:
    """A caller has one credential, which is chosen for the operation that fetches a task."""
    if _alternatives(operation) != _alternatives(draft.fetches[0]):
        yield Problem(
            (*operation.location, "security"),
            "the credentials are not those of the operation that fetches a task; write the same security",
        )


def _alternatives(operation: Node) -> set[frozenset[str]]:
    return {frozenset(alternative) for alternative in operation.value.get("security", ())}


def _takes_list(draft: Draft, operation: Node, expression: str) -> bool:
    place, name = parse_expression(expression)
    shown = (
        None if draft.reader is None else scalar_text(draft.reader.id(one.document)) for one in draft.tasks
    )
    ids: list[Any] = [next(filter(None, shown), "1")]
    others: list[Any] = [{}]
    if place == "query":
        return any(
            _describes(draft, parameter.value, ids, others)
            for parameter in draft.parameters(operation)
            if (parameter.value["in"], parameter.value["name"]) == (place, name)
        )
    content = operation.value.get("requestBody", {}).get("content", {})
    return any(
        _describes(draft, media, nested_body(name, ids), nested_body(name, others))
        for media_type, media in content.items()
        if is_json(media_type)
    )


def _describes(draft: Draft, holder: Mapping[str, Any], right: Any, wrong: Any) -> bool:
    """Whether a schema takes the one and refuses the other, as one that says nothing does not."""
    judge = contract_validator(draft.document).evolve(schema=holder.get("schema", {}))
    try:
        return bool(judge.is_valid(right) and not judge.is_valid(wrong))
    except Unresolvable:
        return False
