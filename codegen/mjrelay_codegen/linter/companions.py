"""Rules of the operations that `batch` and `seed` of `x-mj-task` name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from referencing.exceptions import Unresolvable

from mjrelay.base import ContractError, SettingError
from mjrelay.contract import body_schemas, typed_value
from mjrelay.semantics import parse_expression, scalar_text
from mjrelay_codegen.linter.draft import Problem, contract_validator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mjrelay_codegen.linter.draft import Draft, Node


def batch(draft: Draft) -> Iterator[Problem]:
    """The batch operation takes a list of ids, and its examples have tasks that the reader accepts."""
    if draft.reader is None or draft.reader.batch is None:
        return
    batch, here = draft.reader.batch, (*draft.extension[0], "batch")
    operation = draft.operation(batch.operation)
    if operation is None:  # the rule `extension` reports it
        return
    yield from _same_credentials(draft, operation)
    if not _takes_list(draft, operation, batch.ids):
        yield Problem(
            (*here, "ids"),
            f"{batch.ids} is not a list of ids in the request of {batch.operation}; describe it there, "
            "or correct ids",
        )
    for example in draft.body_examples(operation, "200"):
        items = batch.documents(example.document)
        if any(scalar_text(draft.reader.id(item)) is None for item in items):
            yield Problem(
                example.location,
                f"a task in the example has no id at {draft.reader.id_path.text}; correct it, items or as",
            )
        elif batch.place and not batch.bare(example.document) and not all(map(draft.reader.accepts, items)):
            yield Problem(
                example.location, "accept rejects a task in the example; correct the example, or as of batch"
            )


def seed(draft: Draft) -> Iterator[Problem]:
    """The seed operation takes the id as the fetch operation does, and its examples have a string."""
    if draft.reader is None or draft.reader.seed is None:
        return
    seed, here = draft.reader.seed, (*draft.extension[0], "seed")
    operation = draft.operation(seed.operation)
    if operation is None:
        return
    yield from _same_credentials(draft, operation)
    ask = draft.reader.ask
    if not draft.undeclared(draft.fetch_operations[0], ask) and (place := draft.undeclared(operation, ask)):
        yield Problem(
            (*here, "operation"),
            f"{seed.operation} does not have {place}, which ask names; declare it there",
        )
    values = [
        value
        for example in draft.body_examples(operation, "200")
        for value in seed.value.find(example.document)
    ]
    if any(scalar_text(value) is None for value in values):
        yield Problem(
            (*here, "value"), f"{seed.value.text} selects a value that is not a string or number; correct it"
        )


def _same_credentials(draft: Draft, operation: Node) -> Iterator[Problem]:
    """A client chooses one credential for the fetch operation and uses it for all operations."""
    if _alternatives(operation) != _alternatives(draft.fetch_operations[0]):
        yield Problem(
            (*operation.location, "security"),
            "the security differs from that of the fetch operation; write the same here",
        )


def _alternatives(operation: Node) -> set[frozenset[str]]:
    return {frozenset(alternative) for alternative in operation.value.get("security", ())}


def _takes_list(draft: Draft, operation: Node, expression: str) -> bool:
    place, name = parse_expression(expression)
    documented = (
        None if draft.reader is None else scalar_text(draft.reader.id(one.document))
        for one in draft.task_examples
    )
    ids: list[Any] = [next(filter(None, documented), "1")]
    others: list[Any] = [{}]
    try:
        draft.contract.batch_request(ids)
    except (ContractError, SettingError):  # the rule `structure` reports it
        return True
    if place == "query":
        return any(
            _distinguishes(draft, parameter.value, ids, others)
            for parameter in draft.parameters(operation)
            if (parameter.value["in"], parameter.value["name"]) == (place, name)
        )
    schemas = body_schemas(draft.contract, operation.location, name)
    if schemas is None:
        return False
    try:
        ids = typed_value(draft.contract, {"anyOf": schemas}, ids)
    except ValueError:  # the schema takes one id
        return False
    return _distinguishes(draft, {"schema": {"anyOf": schemas}}, ids, others)


def _distinguishes(draft: Draft, holder: Mapping[str, Any], valid: Any, invalid: Any) -> bool:
    """Return whether a schema accepts one value and rejects the other; an empty schema accepts both."""
    validator = contract_validator(draft.document).evolve(schema=holder.get("schema", {}))
    try:
        return bool(validator.is_valid(valid) and not validator.is_valid(invalid))
    except Unresolvable:
        return False
