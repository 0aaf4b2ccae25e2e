"""The linter: each rule finds what it is there for, at the right line, with the mend, and nothing else does."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mjrelay_codegen import _meanings
from mjrelay_codegen._linter import GATES, RULES, Violation, lint, lint_overlay

from mjrelay._contract import Contract
from mjrelay._reader import compile_reader
from mjrelay._yaml import load, plain
from mjrelay.errors import ContractError

REPOSITORY = Path(__file__).parent.parent
CONTRACTS = sorted((REPOSITORY / "openapi").glob("*.yaml"))
OVERLAYS = sorted((REPOSITORY / "overlays").rglob("*.yaml"))

# Small, and valid: every case breaks it in one place.
BASE = """\
openapi: 3.1.0
info:
  title: 中转
  version: "2026-01-31"
servers:
  - url: https://relay.example
tags:
  - name: task
paths:
  /task/{id}:
    get:
      operationId: fetchTask
      tags: [task]
      security:
        - bearer: []
        - secret: []
      parameters:
        - name: id
          in: path
          required: true
          schema:
            type: string
          example: "1"
      x-mj-task:
        version: 1
        ask: $request.path.id
        accept: {$.code: {present: false}}
        id: $.id
        kind: $.action
        status: $.status
        states:
          queued: [NEW]
          succeeded: [DONE]
        progress: {path: $.progress, format: percent}
        times: {submitted: $.at, format: s}
        images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
        buttons: {items: "$.buttons[*]", id: custom}
        error: {code: [$.code], message: [$.reason]}
        complete: {progress: true, media: true}
        missing:
          - {status: 404, content: application/json, where: {$.code: 4}}
          - {status: 200, body: empty}
        unauthorized: {status: 401}
        batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
        relations:
          - id: image-names-task
            left: {path: $.image}
            contains: {path: $.id}
      responses:
        "200":
          description: The task.
          content:
            application/json:
              schema:
                $ref: "#/components/schemas/Task"
              examples:
                queued:
                  value: {id: "1", status: NEW, action: DRAW}
                succeeded:
                  x-evidence: {source: somewhere, date: "2026-01-31"}
                  value: {id: "2", status: DONE, progress: 100%, at: 5, image: "https://a/2.png", buttons: [{custom: u}]}
        "401":
          description: Refused.
        "404":
          description: No such task.
          content:
            application/json:
              schema:
                $ref: "#/components/schemas/Refusal"
              examples:
                missing:
                  value: {code: 4, reason: none}
  /tasks:
    post:
      operationId: listTasks
      tags: [task]
      security:
        - {}
      requestBody:
        content:
          application/json:
            schema:
              $ref: "#/components/schemas/Ids"
      responses:
        "200":
          description: The tasks.
          content:
            application/json:
              schema:
                type: array
                items:
                  $ref: "#/components/schemas/Task"
              examples:
                two:
                  value: [{id: "1", status: NEW}, {id: "2"}]
components:
  securitySchemes:
    bearer:
      type: http
      scheme: bearer
    secret:
      type: apiKey
      in: header
      name: X-Secret
  schemas:
    Task:
      type: object
      required: [id]
      properties:
        id:
          type: [string]
          description: The id.
          examples: ["1"]
        status:
          description: The word.
          anyOf:
            - $ref: "#/components/schemas/Word"
              x-evidence: {source: somewhere, date: "2026-01-31", assumed: true}
            - type: "null"
        action:
          type: [string, "null"]
          description: The job.
        progress:
          type: [string]
          description: How far it is.
        at:
          type: [integer]
          description: When.
        image:
          type: [string]
          description: Its URL.
        buttons:
          type: [array]
          description: What next.
          items:
            $ref: "#/components/schemas/Button"
    Button:
      type: object
      properties:
        custom:
          type: [string]
          description: What to submit.
    Word:
      description: The words.
      anyOf:
        - type: string
          title: Word
          enum: [NEW, DONE]
        - type: string
    Ids:
      type: object
      properties:
        ids:
          type: [array]
          description: The ids.
          items:
            type: string
    Refusal:
      type: object
      additionalProperties: false
      properties:
        code:
          type: [integer]
          description: The code.
        reason:
          type: [string]
          description: The reason.
"""
WORDS = "enum: [NEW, DONE]"
ACTION = 'type: [string, "null"]\n          description: The job.'
AT = "type: [integer]\n          description: When."
BATCH = "batch: {operation: listTasks, ids: $request.body#/ids, items:"
EVIDENCE = 'x-evidence: {source: somewhere, date: "2026-01-31"}'
SECRET = "- secret: []"


def broken(folder: Path, old: str, new: str) -> Path:
    """The base with its first ``old`` replaced, in a file of its own."""
    assert old in BASE
    path = folder / "relay.yaml"
    path.write_text(BASE.replace(old, new, 1), encoding="utf-8")
    return path


def line_of(path: Path, text: str) -> int:
    """The line (from 1) where a text stands first."""
    return path.read_text(encoding="utf-8").partition(text)[0].count("\n") + 1


def test_the_base_is_clean(tmp_path: Path) -> None:
    """What the cases below find is what each of them broke."""
    assert lint(broken(tmp_path, "openapi:", "openapi:")) == []


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_our_contracts_are_clean(path: Path) -> None:
    """Every contract of this repository keeps every rule."""
    assert [str(violation) for violation in lint(path)] == []


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_our_overlays_are_clean(path: Path) -> None:
    """Every overlay of this repository can be read and says why."""
    assert [str(violation) for violation in lint_overlay(path)] == []


# rule; what stands there, and what instead; where it is found; what is wrong; the mend
CASES = {
    "json-date": (
        "json",
        'version: "2026-01-31"',
        "version: 2026-01-31",
        "version: 2026",
        "a date in YAML",
        "quotes",
    ),
    "json-evidence-date": (
        "json",
        'date: "2026-01-31"}',
        "date: 2026-01-31}",
        "date: 2026",
        "a date",
        "quotes",
    ),
    "json-key": ("json", '"401":', "401:", "401:", "the key 401 is a number", "quotes"),
    "json-nan": ("json", "at: 5", "at: .nan", 'value: {id: "2"', "nan is no number", "leave it out"),
    "json-alias": (
        "json",
        "- url: https://relay.example",
        "&a\n  - *a",
        "- *a",
        "leads back",
        "write it out",
    ),
    "reference-external": (
        *("reference", '$ref: "#/components/schemas/Button"', "$ref: https://a.example/Button.json"),
        *(
            "$ref: https://a",
            "does not lead to a component of this contract",
            "write #/components/schemas/Name",
        ),
    ),
    "reference-file": (
        *("reference", '$ref: "#/components/schemas/Button"', "$ref: other.yaml#/Button"),
        *("$ref: other", "does not lead to a component of this contract", "write #/components/schemas/Name"),
    ),
    "reference-dangling": (
        *("reference", '$ref: "#/components/schemas/Button"', '$ref: "#/components/schemas/Buton"'),
        *("schemas/Buton", "there is no component Buton", "known are Task, Button, Word, Ids, Refusal"),
    ),
    "reference-siblings": (
        *(
            "reference",
            '$ref: "#/components/schemas/Word"',
            '$ref: "#/components/schemas/Word"\n              title: W',
        ),
        *("title: W\n", "title beside a $ref is dropped", "inside anyOf"),
    ),
    "reference-response": (
        *(
            "reference",
            '"401":\n          description: Refused.',
            '"401":\n          $ref: "#/components/responses/No"',
        ),
        *("#/components/responses/No", "a response is not referred to", "write it out here"),
    ),
    "reference-component": (
        *("reference", "    Button:\n", '    Alias:\n      $ref: "#/components/schemas/Task"\n    Button:\n'),
        *(
            '      $ref: "#/components/schemas/Task"\n    Button',
            "more than a reference",
            "refer to #/components/schemas/Task itself",
        ),
    ),
    "openapi-version": (
        "openapi",
        "openapi: 3.1.0",
        "openapi: 3.2.0",
        "openapi:",
        "OpenAPI 3.2.0",
        "write openapi: 3.1.0",
    ),
    "openapi-unknown-key": (
        "openapi",
        "description: Refused.",
        "descripton: Refused.",
        '"401":',
        "description",
        "correct it as OpenAPI 3.1",
    ),
    "openapi-schema": (
        "openapi",
        "type: [integer]\n          description: When.",
        "type: [intger]\n          description: When.",
        "type: [intger]",
        "intger",
        "correct it as",
    ),
    "openapi-duplicate-id": (
        "openapi",
        "operationId: listTasks",
        "operationId: fetchTask",
        "post:",
        "'fetchTask' for 'post' in '/tasks' is not unique",
        "correct it",
    ),
    "openapi-path-parameter": (
        "openapi",
        "/task/{id}:",
        "/task/{task}:",
        "get:",
        "Path parameter 'id'",
        "correct it",
    ),
    "operation-id": (
        "operation",
        "operationId: fetchTask",
        "operationId: fetch_task",
        "operationId:",
        "no operationId that names it",
        "such as fetchTask",
    ),
    "operation-no-id": (
        "operation",
        "      operationId: fetchTask\n",
        "",
        "get:",
        "no operationId",
        "such as fetchTask",
    ),
    "operation-no-tag": (
        "operation",
        "      tags: [task]\n",
        "",
        "get:",
        "a package of the tag",
        "write exactly one",
    ),
    "operation-two-tags": (
        "operation",
        "tags: [task]",
        "tags: [task, more]",
        "tags: [task",
        "a package of the tag",
        "write exactly one",
    ),
    "operation-chinese-tag": (
        "operation",
        "tags: [task]",
        "tags: [任务]",
        "tags: [任务",
        "a package of the tag",
        "small ASCII letters",
    ),
    "operation-no-401": (
        "operation",
        '        "401":\n          description: Refused.\n',
        "",
        "responses:",
        "has no 401",
        "describe it",
    ),
    "operation-no-example": (
        *(
            "operation",
            "              examples:\n                missing:\n                  value: {code: 4, reason: none}\n  /tasks",
            "  /tasks",
        ),
        *("PLACEHOLDER", "no example of this body", "write one under examples"),
    ),
    "operation-external-example": (
        "operation",
        'two:\n                  value: [{id: "1", status: NEW}, {id: "2"}]',
        "two:\n                  externalValue: https://a.example/x",
        "two:",
        "stands elsewhere",
        "inline",
    ),
    "security-missing": (
        "security",
        "      security:\n        - {}\n",
        "",
        "post:",
        "how to authenticate",
        "[{}] where the server is open",
    ),
    "security-empty": (
        "security",
        "      security:\n        - {}\n",
        "      security: []\n",
        "security: []",
        "says nothing",
        "write [{}]",
    ),
    "security-both": (
        "security",
        "- bearer: []\n        - secret: []",
        "- bearer: []\n          secret: []",
        "- bearer: []",
        "bearer and secret are asked for at once",
        "alternatives",
    ),
    "security-unknown": (
        "security",
        SECRET,
        "- token: []",
        "- token",
        "no security scheme token",
        "define it",
    ),
    "security-kind": (
        "security",
        "scheme: bearer",
        "scheme: digest",
        "    bearer:\n",
        "bearer is of a kind",
        "write type http",
    ),
    "evidence-source": (
        "evidence",
        EVIDENCE,
        'x-evidence: {source: " ", date: "2026-01-31"}',
        "x-evidence:",
        "names no source",
        "write where",
    ),
    "evidence-no-date": (
        "evidence",
        EVIDENCE,
        "x-evidence: {source: somewhere}",
        "x-evidence:",
        "has no date",
        "YYYY-MM-DD",
    ),
    "evidence-no-day": (
        "evidence",
        EVIDENCE,
        'x-evidence: {source: somewhere, date: "2026-02-30"}',
        "x-evidence:",
        "has no date",
        "YYYY-MM-DD",
    ),
    "evidence-week": (
        "evidence",
        EVIDENCE,
        'x-evidence: {source: somewhere, date: "2026-W01-1"}',
        "x-evidence:",
        "has no date",
        "YYYY-MM-DD",
    ),
    "evidence-key": (
        "evidence",
        EVIDENCE,
        'x-evidence: {source: here, date: "2026-01-31", url: a}',
        "x-evidence:",
        "has no url",
        "source, date and assumed",
    ),
    "evidence-assumed": (
        "evidence",
        "assumed: true",
        "assumed: false",
        "assumed:",
        "true or left out",
        "delete it",
    ),
    "evidence-text": (
        "evidence",
        EVIDENCE,
        "x-evidence: somewhere",
        "x-evidence:",
        "is an object",
        "write {source",
    ),
    "dropped-security": (
        "dropped",
        "tags:\n  - name",
        "security: [{bearer: []}]\ntags:\n  - name",
        "security:",
        "drops security",
        "on each operation",
    ),
    "dropped-webhooks": (
        "dropped",
        "tags:\n  - name",
        "webhooks: {}\ntags:\n  - name",
        "webhooks:",
        "drops webhooks",
        "leave them out",
    ),
    "dropped-discriminator": (
        "dropped",
        "    Button:\n",
        "    Button:\n      discriminator: {propertyName: custom}\n",
        "discriminator:",
        "drops discriminator",
        "leave it out",
    ),
    "dropped-response-headers": (
        "dropped",
        "description: Refused.",
        "description: Refused.\n          headers: {X-A: {schema: {type: string}}}",
        "headers:",
        "drops headers",
        "say it in the description",
    ),
    "dropped-explode": (
        "dropped",
        "required: true\n",
        "required: true\n          explode: true\n",
        "explode:",
        "drops explode",
        "leave it out",
    ),
    "dropped-style": (
        "dropped",
        "required: true\n",
        "required: true\n          style: label\n",
        "style:",
        "drops style",
        "leave it out",
    ),
    "dropped-shared-responses": (
        "dropped",
        "  securitySchemes:\n",
        "  responses: {No: {description: No.}}\n  securitySchemes:\n",
        "responses: {No",
        "drops responses",
        "write them out",
    ),
    "dropped-servers": (
        "dropped",
        "operationId: listTasks",
        "operationId: listTasks\n      servers: [{url: https://b.example}]",
        "servers: [",
        "drops servers",
        "at the root",
    ),
    "dropped-boolean-schema": (
        "dropped",
        '- type: "null"',
        '- type: "null"\n            - true',
        "- true",
        "boolean schemas",
        "write what",
    ),
    "dropped-mixed-enum": (
        "dropped",
        WORDS,
        "enum: [NEW, DONE, 3]",
        "enum: [NEW",
        "more than one type",
        "one enumeration for each",
    ),
    "dropped-null-enum": (
        "dropped",
        WORDS,
        "enum: [NEW, DONE, null]",
        "enum: [NEW",
        "null among the words",
        'write {type: "null"}',
    ),
    "dropped-title": (
        "dropped",
        ACTION,
        ACTION + "\n          title: 任务",
        "title: 任务",
        "name of a class",
        "ASCII",
    ),
    "dropped-auth-parameter": (
        "dropped",
        "      parameters:\n",
        "      parameters:\n        - {name: x-secret, in: header, schema: {type: string}}\n",
        "- {name: x-secret",
        "no parameter but a credential",
        "leave it to security",
    ),
    "dropped-authorization": (
        "dropped",
        "      parameters:\n",
        "      parameters:\n        - {name: Authorization, in: header, schema: {type: string}}\n",
        "- {name: Auth",
        "no parameter but a credential",
        "leave it to security",
    ),
    "dropped-extension": (
        "dropped",
        EVIDENCE,
        EVIDENCE.replace("evidence", "evidnce"),
        "x-evidnce:",
        "nothing reads x-evidnce",
        "known are x-enum-varnames, x-evidence, x-mj-task",
    ),
    "convention-server-path": (
        "convention",
        "https://relay.example",
        "https://relay.example/api",
        "url:",
        "scheme and host",
        "into each path",
    ),
    "convention-scalar-component": (
        "convention",
        "    Button:\n",
        "    Id:\n      type: string\n    Button:\n",
        "type: string\n    Button",
        "this is neither",
        "a component is an object",
    ),
    "convention-required": (
        "convention",
        "required: [id]",
        "required: [id, ide]",
        "required: [id",
        "names ide",
        "correct one",
    ),
    "convention-description": (
        "convention",
        ACTION,
        'type: [string, "null"]',
        "        action:\n",
        "not described",
        "give it a description",
    ),
    "convention-plain-type": (
        "convention",
        AT,
        AT.replace("[integer]", "integer"),
        "type: integer",
        "not a list",
        "type: [string]",
    ),
    "convention-inline-object": (
        "convention",
        AT,
        AT.replace("[integer]", "[object]"),
        "type: [object]",
        "may stand inline",
        "type: [string]",
    ),
    "convention-inline-enum": (
        "convention",
        ACTION,
        ACTION + "\n          enum: [A, B]",
        "enum: [A",
        "enum has no place",
        "component of its own",
    ),
    "convention-default": (
        "convention",
        ACTION,
        ACTION + "\n          default: A",
        "default: A",
        "default has no place",
        "in the description",
    ),
    "convention-const": (
        "convention",
        ACTION,
        ACTION + "\n          const: A",
        "const: A",
        "const has no place",
        "enumeration of one word",
    ),
    "convention-one-of": (
        "convention",
        ACTION,
        'description: The job.\n          oneOf: [{type: string}]\n          type: [string, "null"]',
        "oneOf:",
        "oneOf has no place",
        "write anyOf",
    ),
    "convention-unknown-keyword": (
        "convention",
        AT,
        AT + "\n          minimun: 0",
        "minimun: 0",
        "minimun has no place",
        "a property has",
    ),
    "convention-inline-any-of": (
        "convention",
        '- type: "null"',
        '- type: "null"\n            - type: string',
        "anyOf:",
        'only {type: "null"}',
        "refers to components",
    ),
    "convention-items": (
        "convention",
        "          items:\n            type: string",
        "          items:\n            type: [string]",
        "type: [string]\n    Refusal",
        "not one plain type",
        "$ref to a component",
    ),
    "convention-no-items": (
        "convention",
        "          items:\n            type: string\n",
        "",
        "        ids:\n",
        "items with an array",
        "write both",
    ),
    "convention-body": (
        "convention",
        'type: array\n                items:\n                  $ref: "#/components/schemas/Task"',
        "type: array",
        "              schema:\n                type: array",
        "this is neither",
        "a body is a $ref",
    ),
    "convention-parameter": (
        "convention",
        "            type: string\n          example",
        "            type: [string]\n          example",
        "type: [string]\n          example",
        "not one plain type",
        "a parameter has",
    ),
    "convention-enum-title": (
        "convention",
        "          title: Word\n",
        "",
        "- type: string",
        "misnamed",
        "write title: Word",
    ),
    "convention-enum-open": (
        "convention",
        "enum: [NEW, DONE]\n        - type: string",
        "enum: [NEW, DONE]\n        - type: integer",
        "- type: integer",
        "what opens the list",
        "write {type: string}",
    ),
    "convention-enum-bare": (
        "convention",
        "        - type: string\n          title: Word\n          " + WORDS + "\n",
        "",
        "- type: string\n    Ids",
        "no closed list",
        "an enumeration is written",
    ),
    "convention-enum-case": (
        "convention",
        WORDS,
        "enum: [NEW, DONE, done]",
        "enum: [NEW",
        "differ only in case",
        "x-enum-varnames",
    ),
    "convention-enum-empty-word": (
        "convention",
        WORDS,
        'enum: [NEW, DONE, ""]',
        "enum: [NEW",
        "begin with a letter",
        "x-enum-varnames",
    ),
    "convention-enum-names": (
        "convention",
        WORDS,
        WORDS + "\n          x-enum-varnames: [A]",
        "x-enum-varnames",
        "2 words and 1 names",
        "one for each",
    ),
    "example-body": (
        "example",
        "value: {code: 4, reason: none}",
        "value: {code: 4, reason: 5}",
        "value: {code",
        "5 is not of type 'string'",
        "correct",
    ),
    "example-extra-key": (
        "example",
        "value: {code: 4, reason: none}",
        "value: {code: 4, reason: none, x: 1}",
        "value: {code",
        "Additional properties",
        "correct",
    ),
    "example-enum": (
        "example",
        ACTION,
        'description: The job.\n          anyOf: [{$ref: "#/components/schemas/Word"}]\n          examples: [7]',
        "examples: [7]",
        "the example breaks its schema",
        "correct",
    ),
    "example-parameter": (
        "example",
        'example: "1"',
        "example: 1",
        "example: 1",
        "1 is not of type 'string'",
        "correct",
    ),
    "example-property": (
        "example",
        'examples: ["1"]',
        "examples: [1]",
        "examples: [1]",
        "1 is not of type 'string'",
        "correct",
    ),
    "example-format": (
        "example",
        ACTION,
        ACTION + "\n          format: date-time\n          examples: [2026-01-31 08:00]",
        "examples: [2026",
        "is not a 'date-time'",
        "correct",
    ),
    "extension-unknown-key": (
        "extension",
        "kind: $.action",
        "knd: $.action",
        "x-mj-task:",
        "knd is unknown",
        "kind",
    ),
    "extension-shape": (
        "extension",
        "format: percent",
        "format: percents",
        "format: percents",
        '"percents" does not belong',
        "percent or fraction",
    ),
    "extension-missing": (
        "extension",
        "        id: $.id\n",
        "",
        "x-mj-task:",
        "'id' is a required property",
        "write it",
    ),
    "extension-version": (
        "extension",
        "        version: 1\n",
        "        version: 2\n",
        "version: 2\n",
        "2 does not belong",
        "The number 1",
    ),
    "extension-state": (
        "extension",
        "queued: [NEW]",
        "queud: [NEW]",
        "states:",
        '"queud" does not belong',
        "One of queued",
    ),
    "extension-jsonpath": (
        "extension",
        "kind: $.action",
        'kind: "$.a["',
        'kind: "$.a["',
        "is not a JSONPath",
        "correct it",
    ),
    "extension-regexp": (
        "extension",
        "$.code: 4}",
        '$.code: {match: "("}}',
        "missing:",
        "is not a regular expression",
        "correct it",
    ),
    "extension-ask": (
        "extension",
        "ask: $request.path.id",
        "ask: $request.query.id",
        "ask:",
        "the query parameter id",
        "declare it",
    ),
    "extension-ask-body": (
        "extension",
        "ask: $request.path.id",
        "ask: $request.body#/id",
        "ask:",
        "names the body",
        "declare it",
    ),
    "extension-operation": (
        "extension",
        "operation: listTasks",
        "operation: listTask",
        "batch:",
        "no operation is called listTask",
        "correct the operationId",
    ),
    "extension-word-twice": (
        "extension",
        "succeeded: [DONE]",
        "succeeded: [DONE, NEW]",
        "succeeded: [DONE, NEW]",
        "'NEW' means queued already",
        "delete one",
    ),
    "extension-relation-twice": (
        *(
            "extension",
            "        relations:\n",
            "        relations:\n          - {id: image-names-task, left: {path: $.id}, equals: {path: $.id}}\n",
        ),
        *("          - id: image-names-task", "names another relation", "rename one"),
    ),
    "extension-two": (
        "extension",
        "operationId: listTasks",
        "operationId: listTasks\n      x-mj-task: {version: 1}",
        "x-mj-task: {version",
        "another operation has x-mj-task",
        "keep the one",
    ),
    "jsonpath-top": (
        "jsonpath",
        "kind: $.action",
        "kind: $.acton",
        "kind:",
        "$.acton selects nothing",
        "correct it, or add",
    ),
    "jsonpath-times": (
        "jsonpath",
        "submitted: $.at",
        "submitted: $.when",
        "times:",
        "$.when selects nothing",
        "correct it",
    ),
    "jsonpath-media": (
        "jsonpath",
        "images: [$.image,",
        "images: [$.imageUrl,",
        "images:",
        "$.imageUrl selects nothing",
        "correct it",
    ),
    "jsonpath-predicate": (
        "jsonpath",
        "unless: {$.action",
        "unless: {$.acton",
        "images:",
        "$.acton selects nothing",
        "correct it",
    ),
    "jsonpath-accept": (
        "jsonpath",
        "$.code: {present: false}",
        "$.code: {present: false}, $.ok: [true, null]",
        "accept:",
        "$.ok selects nothing",
        "correct it",
    ),
    "jsonpath-error": (
        "jsonpath",
        "code: [$.code]",
        "code: [$.cod]",
        "error:",
        "$.cod selects nothing",
        "correct it",
    ),
    "jsonpath-button": (
        "jsonpath",
        "id: custom}",
        "id: customId}",
        "buttons:",
        '$.buttons[*]["customId"] selects nothing',
        "correct it",
    ),
    "jsonpath-batch": (
        "jsonpath",
        'items: "$[*]"',
        'items: "$.list[*]"',
        "batch:",
        "$.list[*] selects nothing",
        "correct it",
    ),
    "jsonpath-relation": (
        "jsonpath",
        "left: {path: $.image}",
        "left: {count: $.images}",
        "left:",
        "$.images selects nothing",
        "correct it",
    ),
    "state-name": (
        "state",
        "status: NEW, action: DRAW",
        "status: null, action: DRAW",
        'value: {id: "1", status: null',
        "queued reads as unknown",
        "correct it, or states",
    ),
    "state-missing": (
        "state",
        "                queued:\n",
        "                waiting:\n",
        "queued: [NEW]",
        "no example of a 200",
        "add one called queued",
    ),
    "state-accept": (
        "state",
        "{$.code: {present: false}}",
        "{$.image: {present: true}}",
        'value: {id: "1", status: NEW',
        "not what accept asks for",
        "correct one",
    ),
    "state-complete": (
        "state",
        "progress: 100%",
        "progress: 99%",
        'value: {id: "2"',
        "the example has no progress",
        "or complete",
    ),
    "matcher-status": (
        "matcher",
        "unauthorized: {status: 401}",
        "unauthorized: {status: 402}",
        "unauthorized:",
        "no response 402",
        "describe it there",
    ),
    "matcher-content": (
        "matcher",
        "content: application/json, where: {$.code: 4}",
        "content: text/html",
        "{status: 404",
        "no content text/html",
        "describe it there",
    ),
    "matcher-where": (
        "matcher",
        "where: {$.code: 4}",
        "where: {$.code: 5}",
        "{status: 404",
        "no example of the response 404",
        "add the example",
    ),
    "matcher-empty": (
        "matcher",
        "{status: 200, body: empty}",
        "{status: 404, body: empty}",
        "{status: 404, body",
        "404 has a body",
        "take its content out",
    ),
    "relation-broken": (
        "relation",
        "https://a/2.png",
        "https://a/1.png",
        "- id: image-names-task",
        "does not hold",
        "correct one",
    ),
    "relation-idle": (
        "relation",
        "left: {path: $.image}",
        'left: {path: $.image, capture: "(x+)"}',
        "- id: image-names-task",
        "no value on one side",
        "correct its capture",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_broken_contract_breaks_exactly_its_rule(case: tuple[str, ...], tmp_path: Path) -> None:
    """One thing wrong gives one violation: its rule, its line, what is wrong and the mend."""
    rule, old, new, place, wrong, mend = case
    path = broken(tmp_path, old, new)
    violations = lint(path)
    assert [(v.rule, v.line) for v in violations] == [(rule, line_of(path, place))], violations
    assert wrong in violations[0].message.partition(";")[0]
    assert mend in violations[0].message.partition(";")[2]
