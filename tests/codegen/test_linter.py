"""The linter: each rule finds what it is there for, at its line and with the mend, and no other does."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from mjrelay_codegen.linter.draft import task_schema
from mjrelay_codegen.linter.linting import GATES, RULES, Violation, lint_file, lint_overlay, lint_relay
from ruamel.yaml import YAML

from mjrelay.contract.yaml import plain_yaml
from mjrelay.errors import ContractError
from mjrelay.semantics.compiler import compile_reader

REPOSITORY = Path(__file__).parents[2]
CONTRACTS = sorted((REPOSITORY / "openapi").glob("*.yaml"))
OVERLAYS = sorted((REPOSITORY / "overlays").rglob("*.yaml"))
RELAYS = sorted((REPOSITORY / "overlays" / "relays").glob("*.yaml"))

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
        seed: {operation: fetchSeed, value: $.seed}
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
                  value: {id: "2", status: DONE, progress: 100, at: 5, image: 2.png, buttons: [{custom: u}]}
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
        - secret: []
        - bearer: []
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
        "401":
          description: Refused.
  /seed/{id}:
    get:
      operationId: fetchSeed
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
      responses:
        "200":
          description: The seed.
          content:
            application/json:
              schema:
                $ref: "#/components/schemas/Seed"
              examples:
                seed:
                  value: {seed: 7, more: {}}
        "401":
          description: Refused.
  /about:
    get:
      operationId: fetchAbout
      tags: [task]
      security:
        - {}
      responses:
        "200":
          description: Words.
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
          type: [integer]
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
    Seed:
      type: object
      properties:
        seed:
          type: [integer]
          description: The seed.
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
# What stands in the base (-) and what instead (+); the line to be named (>, or @ where it is another); what
# is wrong there, and the mend (!). A case is called after the rule that it breaks.
CASES = r"""
# json-date
-   version: "2026-01-31"
>   version: 2026-01-31
! a date in YAML; quotes

# json-evidence-date
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: somewhere, date: 2026-01-31}
! a date; quotes

# json-key
-         "401":
>         401:
! the key 401 is a number; quotes

# json-nan
-                   value: {code: 4, reason: none}
>                   value: {code: .nan, reason: none}
! nan is no number; leave it out

# yaml-alias
- openapi: 3.1.0
+ &all
+ openapi: 3.1.0
> x-all: *all
! the alias leads back; write it out

# reference-external
-             $ref: "#/components/schemas/Button"
>             $ref: https://a.example/Button.json
! does not lead to a component of this contract; write #/components/schemas/Name

# reference-file
-             $ref: "#/components/schemas/Button"
>             $ref: other.yaml#/Button
! does not lead to a component of this contract; write #/components/schemas/Name

# reference-dangling
-             $ref: "#/components/schemas/Button"
>             $ref: "#/components/schemas/Buton"
! there is no component Buton; known are Task, Button, Word, Ids, Seed, Refusal

# reference-siblings
-             - $ref: "#/components/schemas/Word"
+             - $ref: "#/components/schemas/Word"
>               title: W
! title beside a $ref is dropped; inside anyOf

# reference-response
-         "401":
-           description: Refused.
+         "401":
>           $ref: "#/components/responses/No"
! a response is not referred to; write it out here

# reference-component
-     Button:
+     Alias:
>       $ref: "#/components/schemas/Task"
+     Button:
! more than a reference; refer to #/components/schemas/Task itself

# reference-path
-   /tasks:
+   /tasks:
>     $ref: "#/paths/~1other"
! a path is not referred to; write it out here

# openapi-version
- openapi: 3.1.0
> openapi: 3.2.0
! OpenAPI 3.2.0; write openapi: 3.1.0

# openapi-unknown-key
-           description: Refused.
+           descripton: Refused.
@ "401":
! description; correct it as OpenAPI 3.1

# openapi-schema
-           type: [integer]
-           description: When.
>           type: [intger]
+           description: When.
! intger; correct it as

# openapi-duplicate-id
-       operationId: listTasks
+       operationId: fetchTask
@ post:
! 'fetchTask' for 'post' in '/tasks' is not unique; correct it

# openapi-path-parameter
-   /task/{id}:
-     get:
+   /task:
>     get:
! Path parameter 'id'; correct it

# operation-id
-       operationId: fetchTask
>       operationId: fetch_task
! no operationId that names it; such as fetchTask

# operation-no-id
-     get:
-       operationId: fetchTask
>     get:
! no operationId; such as fetchTask

# operation-no-tag
-     get:
-       operationId: fetchTask
-       tags: [task]
>     get:
+       operationId: fetchTask
! a package of the tag; write exactly one

# operation-two-tags
-       tags: [task]
>       tags: [task, more]
! a package of the tag; write exactly one

# operation-chinese-tag
-       tags: [task]
>       tags: [任务]
! a package of the tag; small ASCII letters

# operation-no-401
-       operationId: fetchAbout
-       tags: [task]
-       security:
-         - {}
-       responses:
+       operationId: fetchAbout
+       tags: [task]
+       security:
+         - secret: []
>       responses:
! has no 401; describe it

# operation-no-example
-         "401":
-           description: Refused.
+         "401":
+           description: Refused.
>           content: {application/json: {schema: {$ref: "#/components/schemas/Refusal"}}}
! no example of this body; write one under examples

# reference-external-example
-                 missing:
>                 other: {externalValue: "https://a.example/x"}
+                 missing:
! https://a.example/x lies elsewhere; value

# security-missing
-     get:
-       operationId: fetchAbout
-       tags: [task]
-       security:
-         - {}
>     get:
+       operationId: fetchAbout
+       tags: [task]
! how to authenticate; [{}] where the server is open

# security-empty
-       security:
-         - {}
>       security: []
! says nothing; write [{}]

# security-both
-       operationId: fetchAbout
-       tags: [task]
-       security:
-         - {}
+       operationId: fetchAbout
+       tags: [task]
+       security:
>         - bearer: []
+           secret: []
-       responses:
-         "200":
-           description: Words.
+       responses:
+         "200":
+           description: Words.
+         "401":
+           description: Refused.
! bearer and secret are asked for at once; alternatives

# security-unknown
-       operationId: fetchAbout
-       tags: [task]
-       security:
-         - {}
+       operationId: fetchAbout
+       tags: [task]
+       security:
+         - {}
>         - token: []
-       responses:
-         "200":
-           description: Words.
+       responses:
+         "200":
+           description: Words.
+         "401":
+           description: Refused.
! no security scheme token; define it

# security-kind
-     bearer:
-       type: http
-       scheme: bearer
>     bearer:
+       type: http
+       scheme: digest
! bearer is of a kind; write type http

# convention-server-path
-   - url: https://relay.example
>   - url: https://relay.example/api
! scheme and host; into each path

# convention-scalar-component
-     Button:
+     Id:
>       type: string
+     Button:
! this is neither; a component is an object

# convention-required
-     Seed:
-       type: object
+     Seed:
+       type: object
>       required: [more]
! names more; correct one

# description
-         action:
-           type: [string, "null"]
-           description: The job.
>         action:
+           type: [string, "null"]
! not described; give it a description

# convention-plain-type
-           type: [integer]
-           description: When.
>           type: integer
+           description: When.
! not a list; type: [string]

# convention-inline-object
-     Ids:
-       type: object
-       properties:
+     Ids:
+       type: object
+       properties:
>         of: {type: [object], description: Whose.}
! not a list of what may stand inline; type: [string]

# convention-inline-enum
-           type: [string, "null"]
-           description: The job.
+           type: [string, "null"]
+           description: The job.
>           enum: [DRAW]
! enum has no place; component of its own

# convention-default
-           type: [string, "null"]
-           description: The job.
+           type: [string, "null"]
+           description: The job.
>           default: A
! default has no place; in the description

# convention-const
-           type: [string, "null"]
-           description: The job.
+           type: [string, "null"]
+           description: The job.
>           const: DRAW
! const has no place; enumeration of one word

# convention-one-of
-           type: [string, "null"]
-           description: The job.
+           description: The job.
>           oneOf: [{type: string}]
+           type: [string, "null"]
! oneOf has no place; write anyOf

# convention-unknown-keyword
-           type: [integer]
-           description: When.
+           type: [integer]
+           description: When.
>           minimun: 0
! minimun has no place; a property has

# convention-inline-any-of
-             - type: "null"
+             - type: "null"
+             - type: string
@ anyOf:
! only {type: "null"}; refers to components

# convention-items
-           items:
-             type: string
+           items:
>             type: [string]
! not one plain type; $ref to a component

# convention-items-of-several
-           items:
-             $ref: "#/components/schemas/Button"
+           items:
+             anyOf:
+               - $ref: '#/components/schemas/Button'
>               - {type: [string]}
! one plain type; anyOf

# convention-no-items
-         buttons:
-           type: [array]
-           description: What next.
-           items:
-             $ref: "#/components/schemas/Button"
>         buttons:
+           type: [array]
+           description: What next.
! items with an array; write both

# convention-body
-               schema:
-                 type: array
-                 items:
-                   $ref: "#/components/schemas/Task"
>               schema:
+                 type: array
! this is neither; a body is a $ref

# convention-parameter
-             type: string
-           example: "1"
>             type: [string]
+           example: "1"
! not one plain type; a parameter has

# convention-array-in-a-path
-           schema:
-             type: string
-           example: "1"
>           schema:
+             type: array
+             items: {type: string}
+           example: ["1"]
! only a query repeats a parameter; one plain type

# convention-enum-title
-         - type: string
-           title: Word
>         - type: string
! misnamed; write title: Word

# convention-enum-open
-           enum: [NEW, DONE]
-         - type: string
+           enum: [NEW, DONE]
>         - type: integer
! what opens the list; write {type: string}

# convention-enum-bare
-         - type: string
-           title: Word
-           enum: [NEW, DONE]
-         - type: string
>         - type: string
! no closed list; an enumeration is written

# convention-enum-case
-           enum: [NEW, DONE]
>           enum: [NEW, DONE, done]
! differ only in case; x-enum-varnames

# convention-enum-empty-word
-           enum: [NEW, DONE]
>           enum: [NEW, DONE, ""]
! begin with a letter; x-enum-varnames

# convention-enum-type
-     Ids:
+     Kind:
+       anyOf:
>         - type: integer
+           title: Kind
+           enum: [A, B]
+     Ids:
! no word is of type integer; correct the type

# convention-enum-names
-           enum: [NEW, DONE]
+           enum: [NEW, DONE]
>           x-enum-varnames: [A]
! 2 words and 1 names; one for each

# dropped-security
- tags:
-   - name: task
> security: [{bearer: []}]
+ tags:
+   - name: task
! drops security; on each operation

# dropped-webhooks
- tags:
-   - name: task
> webhooks: {}
+ tags:
+   - name: task
! drops webhooks; leave them out

# dropped-discriminator
-     Button:
+     Button:
>       discriminator: {propertyName: custom}
! drops discriminator; leave it out

# dropped-response-headers
-           description: Refused.
+           description: Refused.
>           headers: {X-A: {schema: {type: string}}}
! drops headers; say it in the description

# dropped-explode
-           required: true
+           required: true
>           explode: true
! drops explode; leave it out

# dropped-style
-           required: true
+           required: true
>           style: label
! drops style; leave it out

# dropped-shared-responses
-   securitySchemes:
>   responses: {No: {description: No.}}
+   securitySchemes:
! drops responses; write them out

# dropped-servers
-       operationId: listTasks
+       operationId: listTasks
>       servers: [{url: https://b.example}]
! drops servers; at the root

# dropped-boolean-schema
-             - type: "null"
+             - type: "null"
>             - true
! boolean schemas; write what

# dropped-mixed-enum
-           enum: [NEW, DONE]
>           enum: [NEW, DONE, 3]
! more than one type; one enumeration for each

# dropped-null-enum
-           enum: [NEW, DONE]
>           enum: [NEW, DONE, null]
! null among the words; write {type: "null"}

# dropped-title
-           type: [string, "null"]
-           description: The job.
+           type: [string, "null"]
+           description: The job.
>           title: 任务
! name of a class; ASCII

# dropped-auth-parameter
-       parameters:
+       parameters:
>         - {name: x-secret, in: header, schema: {type: string}}
! no parameter but a credential; leave it to security

# dropped-authorization
-       parameters:
+       parameters:
>         - {name: Authorization, in: header, schema: {type: string}}
! no parameter but a credential; leave it to security

# dropped-extension
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidnce: {source: somewhere, date: "2026-01-31"}
! nothing reads x-evidnce; known are x-enum-varnames, x-evidence, x-mj-task

# evidence-source
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: " ", date: "2026-01-31"}
! names no source; write where

# evidence-no-date
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: somewhere}
! has no date; YYYY-MM-DD

# evidence-no-day
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: somewhere, date: "2026-02-30"}
! has no date; YYYY-MM-DD

# evidence-week
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: somewhere, date: "2026-W01-1"}
! has no date; YYYY-MM-DD

# evidence-of-an-answer
-           - {status: 200, body: empty}
>           - {status: 200, body: empty, x-evidence: {source: somewhere, date: "2026-02-30"}}
! has no date; YYYY-MM-DD

# evidence-of-an-answer-form
-           - {status: 200, body: empty}
>           - {status: 200, body: empty, x-evidence: {source: somewhere, date: "2026-01-31", url: a}}
! x-evidence has no url; source, date and assumed

# evidence-key
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: {source: here, date: "2026-01-31", url: a}
! has no url; source, date and assumed

# evidence-assumed
-               x-evidence: {source: somewhere, date: "2026-01-31", assumed: true}
>               x-evidence: {source: somewhere, date: "2026-01-31", assumed: false}
! true or left out; delete it

# evidence-text
-                   x-evidence: {source: somewhere, date: "2026-01-31"}
>                   x-evidence: somewhere
! is an object; write {source

# example-body
-                   value: {code: 4, reason: none}
>                   value: {code: 4, reason: 5}
! 5 is not of type 'string'; correct

# example-extra-key
-                   value: {code: 4, reason: none}
>                   value: {code: 4, reason: none, x: 1}
! Additional properties; correct

# example-enum
-           type: [string, "null"]
-           description: The job.
+           description: The job.
+           anyOf: [{$ref: "#/components/schemas/Word"}]
>           examples: [7]
! the example breaks its schema; correct

# example-parameter
-           example: "1"
>           example: 1
! 1 is not of type 'string'; correct

# example-property
-           examples: ["1"]
>           examples: [1]
! 1 is not of type 'string'; correct

# example-format
-           description: The id.
-           examples: ["1"]
+           description: The id.
+           examples: ["1"]
+           format: regex
>           example: "("
! is not a 'regex'; correct

# extension-unknown-key
-         kind: $.action
+         knd: $.action
@ x-mj-task:
! knd is unknown; kind

# extension-shape
-         progress: {path: $.progress, format: percent}
>         progress: {path: $.progress, format: percents}
! "percents" does not belong; percent or fraction

# extension-missing
-         id: $.id
@ x-mj-task:
! 'id' is a required property; write it

# extension-version
-         version: 1
>         version: 2
! 2 does not belong; The number 1

# extension-state
-           queued: [NEW]
+           queud: [NEW]
@ states:
! "queud" does not belong; One of queued

# extension-jsonpath
-         kind: $.action
>         kind: "$.a["
! is not a JSONPath; correct it

# extension-regexp
-           - {status: 404, content: application/json, where: {$.code: 4}}
+           - {status: 404, content: application/json, where: {$.code: {match: "("}}}
@ missing:
! is not a regular expression; correct it

# extension-ask
-         ask: $request.path.id
>         ask: $request.query.id
! the query parameter id; declare it

# extension-ask-body
-         ask: $request.path.id
>         ask: $request.body#/id
! names the body; declare it

# extension-operation
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTask, ids: $request.body#/ids, items: "$[*]", limit: 10}
! no operation is called listTask; correct the operationId

# extension-word-twice
-           succeeded: [DONE]
>           succeeded: [DONE, NEW]
! 'NEW' means queued already; delete one

# extension-relation-twice
-         relations:
+         relations:
+           - {id: image-names-task, left: {path: $.id}, equals: {path: $.id}}
@ - id: image-names-task
! names another relation; rename one

# extension-two
-       operationId: listTasks
+       operationId: listTasks
>       x-mj-task: {version: 1}
! another operation has x-mj-task; keep the one

# jsonpath-top
-         kind: $.action
>         kind: $.acton
! $.acton selects nothing; correct it, or add

# jsonpath-times
-         times: {submitted: $.at, format: s}
>         times: {submitted: $.when, format: s}
! $.when selects nothing; correct it

# jsonpath-media
-         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
>         images: [$.imageUrl, {path: $.image, unless: {$.action: [TEXT]}}]
! $.imageUrl selects nothing; correct it

# jsonpath-predicate
-         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
>         images: [$.image, {path: $.image, unless: {$.acton: [TEXT]}}]
! $.acton selects nothing; correct it

# link-format
-           type: [string, "null"]
-           description: The job.
+           type: [string, "null"]
+           format: uri
+           description: The job.
@         action:
! nothing reads the links at $.action; ignored: {"$.action": …}

# link-name
-         buttons:
-           type: [array]
+         thumbnail_urls:
+           type: [array]
+           description: Small copies.
>           items: {anyOf: [{type: string}, {$ref: "#/components/schemas/Button"}]}
+         buttons:
+           type: [array]
! nothing reads the links at $.thumbnail_urls[*]; ignored: {"$.thumbnail_urls[*]": …}

# link-example
-                   value: {id: "2", status: DONE, progress: 100, at: 5, image: 2.png, buttons: [{custom: u}]}
+                   value: {id: "2", status: DONE, progress: 100, at: 5, image: 2.p, buttons: [{custom: "http://a"}]}
@         custom:
! nothing reads the links at $.buttons[*].custom; ignored: {"$.buttons[*].custom": …}

# link-ignored-unknown
-         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
+         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
>         ignored: {$.thumb: A copy.}
! $.thumb is no field in the schema of a task; correct the path, or delete it

# link-ignored-read
-         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
+         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
>         ignored: {"$['image']": A copy.}
! $['image'] is read as media; delete it here, or there

# extension-ignored
-         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
+         images: [$.image, {path: $.image, unless: {$.action: [TEXT]}}]
>         ignored: {$.action: ""}
! "" does not belong here; The reason, in words.

# jsonpath-error
-         error: {code: [$.code], message: [$.reason]}
>         error: {code: [$.cod], message: [$.reason]}
! $.cod selects nothing; correct it

# jsonpath-button
-         buttons: {items: "$.buttons[*]", id: custom}
>         buttons: {items: "$.buttons[*]", id: customId}
! $.buttons[*]["customId"] selects nothing; correct it

# jsonpath-batch
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTasks, ids: $request.body#/ids, items: "$.list[*]", limit: 10}
! $.list[*] selects nothing; correct it

# jsonpath-predicate-of-a-state
-           queued: [NEW]
>           queued: [NEW, {where: {$.ok: [true, null]}}]
! $.ok selects nothing; correct it

# jsonpath-count
-         relations:
+         relations:
>           - {id: at, left: {path: $.at}, equals: {count: "$.bottons[*]"}, within: 9}
! $.bottons[*] selects nothing; correct it

# state-name
-                   value: {id: "1", status: NEW, action: DRAW}
>                   value: {id: "1", status: null, action: DRAW}
! queued reads as unknown; correct it, or states

# state-missing
-                 queued:
+                 waiting:
@ queued: [NEW]
! no example of a 200; add one called queued

# state-accept
-         accept: {$.code: {present: false}}
+         accept: {$.image: {present: true}}
@ value: {id: "1", status: NEW, action: DRAW}
! not what accept asks for; correct one

# state-complete
-                   value: {id: "2", status: DONE, progress: 100, at: 5, image: 2.png, buttons: [{custom: u}]}
>                   value: {id: "2", status: DONE, progress: 99, at: 5, image: 2.png, buttons: [{custom: u}]}
! the example has no progress; or complete

# matcher-status
-         unauthorized: {status: 401}
>         unauthorized: {status: 402}
! no response 402; describe it there

# matcher-content
-           - {status: 404, content: application/json, where: {$.code: 4}}
>           - {status: 404, content: text/html}
! no content text/html; describe it there

# matcher-where
-           - {status: 404, content: application/json, where: {$.code: 4}}
>           - {status: 404, content: application/json, where: {$.code: 5}}
! no example of the response 404; add the example

# matcher-empty
-           - {status: 200, body: empty}
>           - {status: 404, body: empty}
! 404 has a body; take its content out

# relation-broken
-                   value: {id: "2", status: DONE, progress: 100, at: 5, image: 2.png, buttons: [{custom: u}]}
+                   value: {id: "2", status: DONE, progress: 100, at: 5, image: 1.png, buttons: [{custom: u}]}
@ - id: image-names-task
! does not hold; correct one

# relation-idle
-             left: {path: $.image}
+             left: {path: $.image, capture: "(x+)"}
@ - id: image-names-task
! no value on one side; correct its capture

# batch-ids
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTasks, ids: $request.body#/idz, items: "$[*]", limit: 10}
! $request.body#/idz is no list of texts in the request of listTasks; describe it there

# batch-ids-numbers
-           description: The ids.
-           items:
-             type: string
+           description: The ids.
+           items:
+             type: integer
@ batch:
! is no list of texts; describe it there

# batch-ids-in-the-query
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTasks, ids: $request.query.ids, items: "$[*]", limit: 10}
! $request.query.ids is no list of texts; describe it there

# batch-path
-   /tasks:
-     post:
+   /tasks/{of}:
+     parameters:
+       - {name: of, in: path, required: true, schema: {type: string}}
+     post:
@ batch:
! no such request can be made; spell it out

# batch-credentials
-       operationId: listTasks
-       tags: [task]
-       security:
-         - secret: []
+       operationId: listTasks
+       tags: [task]
>       security:
! not those of the operation that fetches a task; write the same security

# batch-item
-                   value: [{id: "1", status: NEW}, {id: "2"}]
>                   value: [{id: "1", status: NEW}, {id: ""}]
! no id at $.id; correct it, or items

# extension-ids-in-the-header
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTasks, ids: $request.header.X-Ids, items: "$[*]", limit: 10}
! "$request.header.X-Ids" does not belong; a place that holds many

# extension-limit
-         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 10}
>         batch: {operation: listTasks, ids: $request.body#/ids, items: "$[*]", limit: 1.5}
! 1.5 does not belong; A whole number

# extension-seed-operation
-         seed: {operation: fetchSeed, value: $.seed}
>         seed: {operation: getSeed, value: $.seed}
! no operation is called getSeed; correct the operationId

# jsonpath-seed
-         seed: {operation: fetchSeed, value: $.seed}
>         seed: {operation: fetchSeed, value: $.sed}
! $.sed selects nothing; correct it

# seed-value
-         seed: {operation: fetchSeed, value: $.seed}
>         seed: {operation: fetchSeed, value: $.more}
! $.more selects what is no text or number; correct it

# seed-path
-   /seed/{id}:
+   /seed/{id}/{of}:
+     parameters:
+       - {name: of, in: path, required: true, schema: {type: string}}
@ seed:
! no such request can be made; spell it out

# seed-ask
-   /seed/{id}:
-     get:
-       operationId: fetchSeed
-       tags: [task]
-       security:
-         - bearer: []
-         - secret: []
-       parameters:
-         - name: id
-           in: path
-           required: true
-           schema:
-             type: string
+   /seed:
+     get:
+       operationId: fetchSeed
+       tags: [task]
+       security:
+         - bearer: []
+         - secret: []
@ seed:
! names the path parameter id, which fetchSeed does not have; declare it there

# seed-credentials
-       operationId: fetchSeed
-       tags: [task]
-       security:
-         - bearer: []
-         - secret: []
+       operationId: fetchSeed
+       tags: [task]
>       security:
+         - bearer: []
! not those of the operation that fetches a task; write the same security
"""


@frozen
class Case:
    """One way of breaking the base, and what is to be said of it."""

    rule: str
    contract: str
    line: int
    wrong: str
    mend: str

    @classmethod
    def read(cls, block: str) -> Case:
        """The case that a block of the table above denotes."""
        name, *rest = block.splitlines()
        lines = [(text[0], text[2:]) for text in rest]
        old = "\n".join(text for mark, text in lines if mark == "-")
        new = [(mark, text) for mark, text in lines if mark in "+>"]
        assert old in BASE, block
        contract = BASE.replace(old, "\n".join(text for _, text in new), 1)
        elsewhere = [text for mark, text in lines if mark == "@"]
        if elsewhere:
            before, _, _ = contract.partition(elsewhere[0])
            line = before.count("\n") + 1
        else:
            line = BASE.partition(old)[0].count("\n") + 1 + [mark for mark, _ in new].index(">")
        wrong, _, mend = lines[-1][1].partition("; ")
        return cls(name.removeprefix("# ").partition("-")[0], contract, line, wrong, mend)


def write(folder: Path, contract: str, name: str = "relay.yaml") -> Path:
    """A contract in a file of its own."""
    path = folder / name
    path.write_text(contract, encoding="utf-8")
    return path


def test_the_base_is_clean(tmp_path: Path) -> None:
    """What the cases below find is what each of them broke."""
    assert lint_file(write(tmp_path, BASE)) == []


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_our_contracts_are_clean(path: Path) -> None:
    """Every contract of this repository keeps every rule."""
    assert [str(violation) for violation in lint_file(path)] == []


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.stem)
def test_our_overlays_are_clean(path: Path) -> None:
    """Every overlay of this repository can be read and says why."""
    assert [str(violation) for violation in lint_overlay(path)] == []


BLOCKS = {block.partition("\n")[0].removeprefix("# "): block for block in CASES.strip().split("\n\n")}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_broken_contract_breaks_exactly_its_rule(block: str, tmp_path: Path) -> None:
    """One thing wrong gives one violation: its rule, its line, what is wrong and the mend."""
    case = Case.read(block)
    violations = lint_file(write(tmp_path, case.contract))
    assert [(violation.rule, violation.line) for violation in violations] == [(case.rule, case.line)], (
        violations
    )
    wrong, _, mend = violations[0].message.partition("; ")
    assert case.wrong in wrong
    assert case.mend in mend


@pytest.mark.parametrize(
    ("schema", "rules"), [("{type: array, items: {type: string}}", []), ("{type: string}", ["batch"])]
)
def test_ids_may_go_into_the_query(schema: str, rules: list[str], tmp_path: Path) -> None:
    """A parameter that a query repeats holds ids; a plain one holds but one."""
    text = BASE.replace("$request.body#/ids", "$request.query.ids").replace(
        "      requestBody:",
        f"      parameters: [{{name: ids, in: query, schema: {schema}}}]\n      requestBody:",
    )
    assert [violation.rule for violation in lint_file(write(tmp_path, text))] == rules


def test_every_rule_has_a_case() -> None:
    """No rule is there that nothing shows to bite; the name's rule has tests of its own."""
    assert {Case.read(block).rule for block in BLOCKS.values()} == {"yaml", *GATES, *RULES} - {"name"}


@pytest.mark.parametrize(
    "name", ["Relay.yaml", "my-relay.yaml", "1relay.yaml", "relay_2.yaml", "runtime.yaml"]
)
def test_a_name_that_is_no_package_is_refused(name: str, tmp_path: Path) -> None:
    """A relay is called after its file, so the file's name must do as a package and an argument."""
    (violation,) = lint_file(write(tmp_path, BASE, name))
    assert (violation.rule, violation.line) == ("name", 1)
    assert "small letters and digits" in violation.message


def test_the_fetch_operation_must_be_named(tmp_path: Path) -> None:
    """Without any x-mj-task nothing would say which operation fetches a task."""
    start, end = BASE.index("      x-mj-task:"), BASE.index("      responses:")
    path = write(tmp_path, BASE[:start] + BASE[end:])
    (violation,) = lint_file(path)
    assert (violation.rule, violation.pointer) == ("extension", "/paths")
    assert "put it on the one that fetches a task" in violation.message


def test_a_violation_reads_like_a_compiler_s_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File (from here), line, rule and message stand on one line, and the pointer names the node."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openapi").mkdir()
    path = write(tmp_path / "openapi", BASE.replace("kind: $.action", "kind: $.acton"))
    (violation,) = lint_file(path)
    assert violation.pointer == "/paths/~1task~1{id}/get/x-mj-task/kind"
    assert str(violation) == (
        "openapi/relay.yaml:29: jsonpath: $.acton selects nothing in any example that it is about; "
        "correct it, or add an example"
    )


def test_all_violations_come_by_line(tmp_path: Path) -> None:
    """Whoever mends a file works through it once, whatever the rules' order is."""
    text = BASE.replace("kind: $.action", "kind: $.acton").replace("title: Word", "title: Wort")
    text = text.replace("tags: [task]", "tags: []", 1).replace("reason: none", "reason: 1")
    found = [(violation.line, violation.rule) for violation in lint_file(write(tmp_path, text))]
    assert found == [(13, "operation"), (29, "jsonpath"), (73, "example"), (185, "convention")]


@pytest.mark.parametrize(
    ("text", "rule", "line"),
    [
        ("openapi: [", "yaml", 1),
        ("openapi: 3.1.0\ninfo: {}\ninfo: {}\n", "yaml", 3),
        ("", "json", 1),
        ("- openapi\n", "json", 1),
        ("openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths: []\n", "openapi", 3),
        ("openapi: 3.1.0\ninfo: {title: A, version: '1'}\npaths: {}\n", "extension", 3),
        (
            "openapi: 3.1.0\ninfo: {title: A, version: '1'}\ncomponents: {schemas: 3}\npaths: {}\n",
            "openapi",
            3,
        ),
    ],
)
def test_what_is_no_contract_at_all_is_told_so(text: str, rule: str, line: int, tmp_path: Path) -> None:
    """Any text gives violations, never a traceback."""
    violations = lint_file(write(tmp_path, text))
    assert [(violation.rule, violation.line) for violation in violations] == [(rule, line)]


def test_a_file_that_is_not_there_is_a_violation(tmp_path: Path) -> None:
    """The message says it without repeating the path."""
    (violation,) = lint_file(tmp_path / "relay.yaml")
    assert violation == Violation(
        str(tmp_path / "relay.yaml"), 1, "", "yaml", "there is no such file; check the path"
    )


def locations(value: Any, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where everything stands in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, item in items for place in locations(item, (*here, key)))]


def changed(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """A copy with another value at one place, or nothing there where the value is ``...``."""
    document = copy.deepcopy(document)
    if not place:
        return document if value is ... else value
    holder = document
    for step in place[:-1]:
        holder = holder[step]
    if value is ...:
        del holder[place[-1]]
    else:
        holder[place[-1]] = value
    return document


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [..., None, True, 0, 3.5, "", "junk", [], ["junk"], [{}], {}, {"junk": 1}, {"$.a": {}}]
)


PLAIN = plain_yaml(YAML().load(BASE))


@settings(max_examples=30)  # a lint takes a third of a second
@given(place=st.sampled_from(locations(PLAIN)), value=JUNK)
def test_no_damage_makes_the_linter_stumble(
    place: tuple[str | int, ...], value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever one place of a contract holds, the answer is a list of violations, each with a mend."""
    path = tmp_path_factory.mktemp("contract") / "relay.yaml"
    path.write_text(json.dumps(changed(PLAIN, place, value)), encoding="utf-8")
    assert all(";" in violation.message for violation in lint_file(path))


# Every form of x-mj-task once.
FULL: dict[str, Any] = {
    "version": 1,
    "ask": "$request.body#/task/id",
    "accept": {"$.code": 0},
    "id": "$.id",
    "kind": "$.kind",
    "prompt": "$.prompt",
    "status": "$.status",
    "states": {
        "queued": [None, "", "NEW"],
        "running": [{"where": {"$.status": ["a", 1]}}],
        "needs-input": ["ASK"],
        "succeeded": [2, True],
        "failed": ["NO"],
        "cancelled": ["OFF"],
    },
    "progress": {"path": "$.progress", "format": "fraction"},
    "times": {
        "submitted": "$.a",
        "started": "$.b",
        "finished": "$.c",
        "format": "iso8601",
        "zone": "+08:00",
        "unset": [0, "-"],
    },
    "images": ["$.image", {"path": "$.image", "where": {"$.a": {"match": "b.*"}}, "unless": {"$.c": "d"}}],
    "videos": ["$.videos[*].url"],
    "inputs": [{"path": "$.image", "where": {"$.a": {"present": True}}}],
    "ignored": {"$.images[*].thumbnail": "A smaller copy."},
    "buttons": {"items": "$.buttons[*]", "id": "$", "label": "label", "emoji": "emoji"},
    "failure": ["$.reason"],
    "error": {"code": ["$.code"], "message": ["$.message", "$.error.message"]},
    "complete": {
        "progress": True,
        "media": {"unless": {"$.kind": ["TEXT"]}},
        "finished": {"where": {"$.kind": "DRAW"}},
    },
    "missing": [{"status": 404, "content": "application/json", "where": {"$.code": 4}}, {"status": 400}],
    "unauthorized": {"status": 401},
    "forbidden": [{"status": 403}],
    "elsewhere": {"status": 200, "content": "text/html", "body": "empty"},
    "refresh": 15,
    "batch": {
        "operation": "listTasks",
        "ids": "$request.query.ids",
        "items": "$[*]",
        "as": "$.a[0]",
        "limit": 100,
    },
    "seed": {"operation": "fetchSeed", "value": "$.result"},
    "relations": [
        {
            "id": "at-finish",
            "description": "Signed then.",
            "level": "must",
            "left": {"path": "$.image", "capture": "is=([0-9a-f]+)", "base": 16, "times": 1000, "plus": 1},
            "equals": {"path": "$.c"},
            "within": 1000,
        },
        {"id": "named", "left": {"count": "$.videos[*]"}, "contains": {"path": "$.id"}},
    ],
}
SCHEMA = Draft202012Validator(task_schema())


def compiles(form: Any) -> bool:
    """Whether there is a reader for a form."""
    try:
        compile_reader(form)
    except ContractError:
        return False
    return True


def test_the_schema_is_one_and_takes_every_form() -> None:
    """The schema is valid by its own dialect, and each form of the extension is valid by the schema."""
    Draft202012Validator.check_schema(task_schema())
    assert task_schema()["$id"] == "urn:mjrelay:x-mj-task:1"
    assert SCHEMA.is_valid(FULL)
    assert compiles(FULL)


def test_the_schema_and_the_reader_know_the_same_keys() -> None:
    """A key that one of the two does not know cannot come into use through the other."""
    assert set(FULL) == set(task_schema()["properties"])
    assert not compiles(FULL | {"junk": 1})


@pytest.mark.parametrize("key", FULL)
def test_the_schema_and_the_reader_need_the_same_keys(key: str) -> None:
    """What may be left out by the one may be left out by the other; words need a status."""
    form = {name: value for name, value in FULL.items() if name != key}
    assert SCHEMA.is_valid(form) is compiles(form)


def test_states_by_predicate_need_no_status() -> None:
    """Where every state is a predicate there may be no word to read."""
    form = changed(changed(FULL, ("states",), {"running": [{"where": {"$.a": 1}}]}), ("status",), ...)
    assert SCHEMA.is_valid(form)
    assert compiles(form)


@given(place=st.sampled_from(locations(FULL)), value=JUNK)
def test_what_the_schema_takes_the_reader_takes(place: tuple[str | int, ...], value: Any) -> None:
    """Damage that the schema lets pass does not stop the reader either."""
    form = changed(FULL, place, value)
    if SCHEMA.is_valid(form):
        assert compiles(form)


@pytest.mark.parametrize("place", locations(FULL)[1:], ids=str)
def test_the_schema_is_closed(place: tuple[str | int, ...]) -> None:
    """A misspelt key is found wherever it stands."""
    value: Any = FULL
    for step in place:
        value = value[step]
    if isinstance(value, dict):
        assert not SCHEMA.is_valid(changed(FULL, (*place, "junk"), 1))


@pytest.mark.parametrize("path", RELAYS, ids=lambda path: path.stem)
def test_what_our_overlays_make_is_clean(path: Path) -> None:
    """The contract that a relay's overlay makes of another is held to the same rules."""
    assert lint_relay(path, REPOSITORY / "openapi") == []


def test_what_an_overlay_makes_is_judged_where_it_is_written(tmp_path: Path) -> None:
    """What an overlay spoils is found in the overlay, and what was wrong before in the contract."""
    base, derived = tmp_path / "base.yaml", tmp_path / "derived.yaml"
    base.write_text(BASE.replace("operationId: fetchTask", "operationId: fetch"), encoding="utf-8")
    derived.write_text(
        "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nextends: ./base.yaml\nactions:\n"
        "  - target: $.components.schemas.Task.properties\n    update:\n      more: {type: [string]}\n",
        encoding="utf-8",
    )
    found = {(violation.file, violation.line, violation.rule) for violation in lint_relay(derived, tmp_path)}
    line = 1 + base.read_text(encoding="utf-8").splitlines().index("      operationId: fetch")
    assert found == {(str(base), line, "operation"), (str(derived), 7, "description")}
    derived.write_text(derived.read_text(encoding="utf-8").replace("./base", "./gone"), encoding="utf-8")
    assert [violation.rule for violation in lint_relay(derived, tmp_path)] == ["overlay"]


def test_an_overlay_that_cannot_be_read_is_a_violation(tmp_path: Path) -> None:
    """What the applier raises comes with file, line and rule, as with contracts."""
    path = write(tmp_path, "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nactions:\n  - target: $.a\n")
    (violation,) = lint_overlay(path)
    assert (violation.rule, violation.line) == ("overlay", 4)
    assert violation.message.startswith("the action changes nothing;")


def test_an_action_says_why(tmp_path: Path) -> None:
    """An action without a description is found, and its neighbour with one is not."""
    path = write(
        tmp_path,
        "overlay: 1.1.0\ninfo: {title: T, version: '1'}\nactions:\n"
        "  - {target: $.a, remove: true, description: It is gone.}\n"
        "  - {target: $.b, remove: true, description: ' '}\n",
    )
    (violation,) = lint_overlay(path)
    assert (violation.rule, violation.line, violation.pointer) == ("overlay", 5, "/actions/1")
    assert "say there why" in violation.message


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    """The command behind nox -s lint prints each violation with its place, and exits with 1."""
    repository = Path(__file__).parents[2]
    shutil.copytree(repository / "overlays" / "client", tmp_path / "overlays" / "client")
    (tmp_path / "openapi").mkdir()
    shutil.copy(repository / "openapi" / "zhongzhuan.yaml", tmp_path / "openapi")
    (tmp_path / "pyproject.toml").touch()
    command = [sys.executable, "-m", "mjrelay_codegen", "lint"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", check=False
        )

    assert run().returncode == 0
    contract = tmp_path / "openapi" / "zhongzhuan.yaml"
    contract.write_text(
        contract.read_text(encoding="utf-8").replace("format: ms", "format: hours"), encoding="utf-8"
    )
    done = run()
    assert done.returncode == 1
    assert "openapi/zhongzhuan.yaml:5" in done.stderr
    assert "extension: " in done.stderr
