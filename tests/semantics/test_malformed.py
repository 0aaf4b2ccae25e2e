"""Malformed members of `x-mj-task` are errors that name the key."""

from __future__ import annotations

from typing import Any

import pytest
from readers import form, reader, yaml

from mjrelay.errors import ContractError
from mjrelay.semantics.compiler import compile_reader

MALFORMED = {
    "version": ["2", "true", "null"],
    "ask": ["id", "7"],
    "id": ["id", "7"],
    "accept": ["[0]", "{code: 0}", "{$.code: {is: 0}}"],
    "kind": ["action"],
    "prompt": ["[$.prompt]"],
    "status": ["status"],
    "states": [
        "[queued]",
        "{finished: [SUCCESS]}",
        "{unknown: [x]}",
        "{queued: SUBMITTED}",
        "{queued: null}",
        "{queued: [[SUBMITTED]]}",
        "{running: [{when: {$.a: 1}}]}",
        "{running: [{where: {$.a: 1}, until: {$.b: 1}}]}",
    ],
    "progress": [
        "$.progress",
        "{path: $.p}",
        "{format: percent}",
        "{path: $.p, format: permille}",
        "{path: $.p, format: percent, scale: 2}",
    ],
    "times": [
        "{finished: $.t}",
        "{finished: $.t, format: rfc2822}",
        "{finish: $.t, format: ms}",
        "{finished: $.t, format: ms, unset: 0}",
        "{finished: $.t, format: ms, unset: [[0]]}",
        *(f"{{finished: $.t, format: iso8601, zone: {zone}}}" for zone in ("Moon/Sea", "../etc", '""', "8")),
        '{finished: $.t, format: iso8601, zone: "+25:00"}',
    ],
    "images": ["$.imageUrl", "[{where: {$.a: 1}}]", "[{path: $.a, when: {$.a: 1}}]"],
    "videos": ["[7]"],
    "inputs": ["[{path: a}]"],
    "ignored": ["{$.a: ' '}", "{$.a: 1}", "{a: reason}"],
    "buttons": [
        '"$.buttons[*]"',
        "{id: customId}",
        '{items: "$.b[*]"}',
        '{items: "$.b[*]", id: customId, text: label}',
        '{items: "$.b[*]", id: 0}',
    ],
    "failure": ["$.failReason"],
    "error": ["[$.code]", "{code: $.code}", "{text: [$.msg]}"],
    "complete": ["[media]", "{media: false}", "{medium: true}"],
    "missing": ["[400]", "{where: {$.code: 4}}", "{status: 200, body: none}"],
    "unauthorized": ["{status: '401'}"],
    "forbidden": ["{status: 403, when: {}}", "{status: 403, where: []}"],
    "elsewhere": ["{status: 200, content: 7}"],
    "relations": ["{id: r}", "[r]"],
    "refresh": ["often", "0"],
    "batch": [
        "listTasks",
        "{operation: a, ids: $request.body#/ids}",
        '{operation: a, ids: ids, items: "$[*]"}',
        '{operation: a, ids: $request.body#/ids, items: "$[*]", limit: -1}',
        '{operation: a, ids: $request.body#/ids, items: "$[*]", max: 1}',
    ],
    "seed": ["{operation: a}", "{operation: a, value: $.v, unset: 0}"],
}


def test_malformed_members() -> None:
    """Each malformed value is an error whose message begins with its key."""
    for key, values in MALFORMED.items():
        for value in values:
            with pytest.raises(ContractError, match=rf"^x-mj-task: {key}\b"):
                compile_reader(form("status: $.s") | yaml(f"{key}: {value}"))


def test_unknown_and_missing_keys() -> None:
    """An unknown key is an error, and so is a missing required key. Status values need a path."""
    for key in ("stauts", "7"):
        with pytest.raises(ContractError, match=f"^x-mj-task: unknown key '?{key}"):
            reader(f"{key}: $.status")
    for key in ("ask", "id", "states"):
        parts = form()
        del parts[key]
        with pytest.raises(ContractError, match=f"x-mj-task: {key}: '{key}' is missing"):
            compile_reader(parts)
    with pytest.raises(ContractError, match=r"^x-mj-task: status is missing"):
        reader("states: {queued: [SUBMITTED]}")


def test_a_form_is_an_object() -> None:
    """Any value other than an object is an error."""
    values: list[Any] = [None, [], "x", 1]
    for value in values:
        with pytest.raises(ContractError, match=r"x-mj-task: .* is not an object"):
            compile_reader(value)
