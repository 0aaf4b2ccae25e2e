"""Rules of parts that must agree: requests and operations, states and enumerations, examples and schemas."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mjrelay.base import ContractError, SettingError
from mjrelay.contract import Shape, canonical_path, request_problem, schema_fields, undocumented_keys
from mjrelay.semantics import State, compile_predicate, same_value, scalar_text
from mjrelay_codegen.linter.draft import Problem, contract_validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mjrelay.base import Location
    from mjrelay.http import Request
    from mjrelay_codegen.linter.draft import Draft


_UNSET = (None, "")


def request(draft: Draft) -> Iterator[Problem]:
    """Each request that `x-mj-task` describes fits the parameters and the body of its operation."""
    if draft.reader is None:
        return
    contract, reader = draft.contract, draft.reader
    task_id = next(filter(None, (scalar_text(reader.id(one.document)) for one in draft.task_examples)), "1")
    requests: dict[str, Callable[[], tuple[Location | None, Request]]] = {
        "ask": lambda: (contract.location, contract.request(task_id))
    }
    if reader.batch is not None:
        requests["batch"] = lambda: (contract.batch, contract.batch_request([task_id]))
    if reader.seed is not None:
        requests["seed"] = lambda: (contract.seed, contract.seed_request(task_id))
    for key, build in requests.items():
        with suppress(ContractError, SettingError):  # the rule `structure` reports them
            operation, sent = build()
            query = sent.target.partition("?")[2]
            problem = request_problem(contract, operation or (), query, sent.headers, sent.body)
            if problem is not None:
                yield Problem(
                    (*draft.extension[0], key),
                    f"the operation does not accept the request: {problem}; correct {key} or set, or the "
                    "operation",
                )


def status(draft: Draft) -> Iterator[Problem]:
    """The statuses that the schema lists and those that `states` lists are the same."""
    if draft.reader is None or draft.reader.status_path is None:
        return
    here, form = (*draft.extension[0], "states"), draft.extension[1]
    path = canonical_path(form["status"])
    schemas = dict(schema_fields(draft.contract)).get(path, [])
    words = [word for schema in schemas for word in schema.get("enum", ())]
    if not words:
        return
    for word in words:
        if str(word).lower() == State.UNKNOWN:  # no state has it, which is what it means
            continue
        if word not in _UNSET and not any(
            _means(entry, path, word) for entries in form["states"].values() for entry in entries
        ):
            yield Problem(
                here,
                f"the schema lists the status {json.dumps(word)}, and states does not; add it to a state",
            )
    if any("enum" not in schema and schema.get("type") != "null" for schema in schemas):
        return
    for name, entries in form["states"].items():
        for index, entry in enumerate(entries):
            listed = isinstance(entry, dict) or any(same_value(entry, word) for word in (*words, *_UNSET))
            if not listed:
                yield Problem(
                    (*here, name, index),
                    f"the schema does not list the status {json.dumps(entry)}; add it there, or delete it",
                )


def _means(entry: Any, path: str, word: Any) -> bool:
    """Return whether an entry of `states` is a status, or a scope whose condition on the status allows it."""
    if not isinstance(entry, dict):
        return same_value(entry, word)
    conditions: Mapping[str, Any] = entry["where"]
    return any(
        canonical_path(text) == path and compile_predicate({"$": condition})(word)
        for text, condition in conditions.items()
    )


def key(draft: Draft) -> Iterator[Problem]:
    """The schema describes each key of an example; otherwise the suite reports it as undocumented."""
    for media in draft.of("media"):
        schema = media.value.get("schema", {})
        shape = Shape(draft.contract, [schema])
        validator = contract_validator(draft.document).evolve(schema=schema)
        for location, document in media.examples:
            # The rule `example` reports keys that a closed schema forbids.
            for pointer in undocumented_keys(shape, document) if validator.is_valid(document) else ():
                yield Problem(
                    location, f"no schema describes {pointer} of the example; describe it, or delete it"
                )
