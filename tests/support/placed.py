"""Contracts that differ in where a request carries the task's id, made from one template."""

from __future__ import annotations

PLACES = ("path", "query", "header", "body", "nested", "integer")
"""Where the id can go: ``nested`` is inside an object of the body, ``integer`` is a number by its schema."""

KEY = "sk-the-key-of-the-placed-relay"

_ASKED = {
    "path": "$request.path.id",
    "query": "$request.query.task_id",
    "header": "$request.header.X-Task-Id",
    "cookie": "$request.cookie.task_id",
    "body": "$request.body#/task_id",
    "nested": "$request.body#/query/task_id",
    "integer": "$request.body#/task_id",
}
_PARAMETERS = {
    "path": "{name: id, in: path, required: true, description: The id., schema: {type: string}}",
    "query": "{name: task_id, in: query, required: true, description: The id., schema: {type: string}}",
    "header": "{name: X-Task-Id, in: header, required: true, description: The id., schema: {type: string}}",
    "cookie": "{name: task_id, in: cookie, required: true, description: The id., schema: {type: string}}",
}
_BODY = """\
      requestBody:
        required: true
        content:
          application/json:
            schema: {{$ref: "#/components/schemas/Lookup"}}
            examples: {{one: {{value: {example}}}}}
"""
_LOOKUPS = {
    "body": """\
    Lookup:
      type: object
      description: The task to fetch.
      required: [task_id]
      properties:
        task_id: {type: [string], description: The id.}
""",
    "nested": """\
    Lookup:
      type: object
      description: The task to fetch.
      required: [query]
      properties:
        query: {description: The query., anyOf: [{$ref: "#/components/schemas/Query"}]}
    Query:
      type: object
      description: The query.
      required: [task_id]
      properties:
        task_id: {type: [string], description: The id.}
""",
    "integer": """\
    Lookup:
      type: object
      description: The task to fetch.
      required: [task_id]
      properties:
        task_id: {type: [integer], description: The id.}
""",
}
_EXAMPLES = {
    "body": '{task_id: "1700000000000001"}',
    "nested": '{query: {task_id: "1700000000000001"}}',
    "integer": "{task_id: 1700000000000001}",
}
_TEMPLATE = """\
openapi: 3.1.0
info:
  title: {name}
  version: "2026-11-25"
  summary: a relay that takes the id in its {place}
  description: Fetches tasks.
servers: [{{url: "https://relay.example"}}]
tags: [{{name: job, description: Jobs}}]
paths:
  {path}:
    {method}:
      operationId: fetchStatus
      summary: Fetch a task
      description: Fetches a task.
      tags: [job]
      security: [{{key: []}}]
{request}      x-mj-task:
        version: 1
        ask: {ask}
        id: $.task_id
        status: $.status
        states:
          queued: [PENDING]
          running: [RUNNING]
          succeeded: [SUCCESS]
          failed: [FAILED]
        progress: {{path: $.progress, format: percent}}
        images: [$.imageUrl]
        failure: [$.failReason]
        complete: {{media: true}}
        missing: [{{status: 404}}]
        unauthorized: [{{status: 401}}]
      responses:
        "200":
          description: The task.
          content:
            application/json:
              schema: {{$ref: "#/components/schemas/Task"}}
              examples:
                queued:
                  value: {{task_id: "1700000000000001", status: PENDING}}
                running:
                  value: {{task_id: "1700000000000002", status: RUNNING, progress: 50%, imageUrl: null}}
                succeeded:
                  value:
                    task_id: "1700000000000003"
                    status: SUCCESS
                    progress: 100%
                    imageUrl: https://relay.example/1.png
                    failReason: null
                failed:
                  value: {{task_id: "1700000000000004", status: FAILED, failReason: moderation}}
        "401": {{description: A bad key.}}
        "404": {{description: No such task.}}
components:
  securitySchemes:
    key: {{type: apiKey, in: header, name: x-api-key}}
  schemas:
{lookup}    Task:
      type: object
      description: A task.
      required: [task_id, status]
      properties:
        task_id: {{type: [string], description: The id.}}
        status: {{description: The status., anyOf: [{{$ref: "#/components/schemas/TaskStatus"}}]}}
        progress: {{type: [string, "null"], description: The progress.}}
        imageUrl: {{type: [string, "null"], format: uri, description: The image.}}
        failReason: {{type: [string, "null"], description: The reason.}}
    TaskStatus:
      anyOf:
        - {{type: string, title: TaskStatus, enum: [PENDING, RUNNING, SUCCESS, FAILED]}}
"""


def contract_text(place: str) -> str:
    """The YAML of a contract whose fetch operation takes the id in that place."""
    in_body = place in _LOOKUPS
    request = (
        _BODY.format(example=_EXAMPLES[place]) if in_body else f"      parameters: [{_PARAMETERS[place]}]\n"
    )
    return _TEMPLATE.format(
        name=place,
        place=place,
        path="/jobs/{id}" if place == "path" else "/jobs",
        method="post" if in_body else "get",
        ask=_ASKED[place],
        request=request,
        lookup=_LOOKUPS.get(place, ""),
    )
