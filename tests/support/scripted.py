"""A relay that responds by a function, and examinations of a URL by the doctor."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from jsonschema import Draft202012Validator
from mjrelay_conformance.mock.server import Server

from mjrelay.cli.doctor import _schema
from mjrelay.contract import load_contract, relay_names
from mjrelay.doctor import CREDENTIAL_LIMIT, REQUEST_LIMIT, Diagnosis, examine
from mjrelay.http import Redactor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.contract import Contract

KEY = "sk-never-to-be-seen-4711"
CONTRACTS = [load_contract(name) for name in relay_names()]
RELAY = load_contract("zhongzhuan")
ID = "1730621826053455"
PATH = f"/mj/task/{ID}/fetch"
SUCCEEDED: dict[str, Any] = RELAY.examples["succeeded"]
PAGE = b"<!doctype html><html><body>Welcome</body></html>"
MISSING = b'{"code":4,"description":"task_no_found ","type":"upstream_error"}'
REFUSED = b'{"error":{"message":"Invalid token (request id: 1)","type":"new_api_error"}}'
LIMITED = b'{"error":{"code":"","message":"This token has no access to model","type":"new_api_error"}}'
SCHEMA = Draft202012Validator(json.loads(_schema()))


@frozen
class Received:
    """A request that a relay received."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes


@frozen
class Reply:
    """The response of a relay."""

    status: int
    body: bytes = b""
    media_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


WEB_PAGE = Reply(200, PAGE, "text/html")


@define(eq=False)
class ScriptedRelay:
    """A relay that responds by a function and records its requests."""

    respond: Callable[[Received], Reply]
    requests: list[Received] = field(init=False, factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        self.requests.append(Received(scope["method"], target, headers, body))
        reply = self.respond(self.requests[-1])
        fields = [(name.encode(), value.encode()) for name, value in reply.headers]
        if reply.media_type:
            fields.append((b"content-type", reply.media_type.encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": fields})
        await send({"type": "http.response.body", "body": reply.body})


def task_body(**changes: Any) -> bytes:
    """Return a succeeded task with an unsigned link and changed fields; ... removes a field."""
    fields = {**SUCCEEDED, "imageUrl": "https://cdn.example.com/a.png", **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def relay_with(
    task: bytes = b"",
    *,
    prefix: str = "",
    header: str = "authorization",
    value: str = f"Bearer {KEY}",
    refusal: Reply = Reply(401, REFUSED),
    elsewhere: Reply = WEB_PAGE,
) -> ScriptedRelay:
    """Return a relay of the most common family with one task."""

    def respond(request: Received) -> Reply:
        if not request.target.startswith(f"{prefix}/mj/task/"):
            return elsewhere
        if request.headers.get(header) != value:
            return refusal
        if request.target == prefix + PATH:
            return Reply(200, task or task_body())
        if request.target.endswith("/list-by-condition"):
            return Reply(200, b"[" + (task or task_body()) + b"]")
        return Reply(400, MISSING) if request.target.endswith("/fetch") else elsewhere

    return ScriptedRelay(respond)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application and yield its URL."""
    with Server(app) as base_url:
        yield base_url


def examined(
    url: str,
    task_id: str | None = None,
    key: str | None = KEY,
    contracts: list[Contract] = CONTRACTS,
    **options: Any,
) -> Diagnosis:
    """Examine a URL and check the schema and the limits of the diagnosis."""
    redactor = Redactor(*([] if key is None else [key]))
    found = examine(url, contracts, redactor=redactor, key=key, task_id=task_id, **options)
    check(found)
    return found


def diagnosed(reply: Reply | ScriptedRelay, task_id: str | None = ID, key: str | None = KEY) -> Diagnosis:
    """Examine a relay at its root; a reply stands for a relay that always sends it."""
    with serving(ScriptedRelay(lambda _: reply) if isinstance(reply, Reply) else reply) as base_url:
        return examined(base_url, task_id, key)


def check(found: Diagnosis) -> None:
    """Check the schema and the request limits of a diagnosis."""
    SCHEMA.validate(json.loads(json.dumps(found.data())))
    attempts = found.observations.attempts
    assert len(attempts) <= REQUEST_LIMIT
    assert len({one.credential for one in attempts if one.credential is not None}) <= CREDENTIAL_LIMIT


def problem_names(found: Diagnosis, *, wrong: bool | None = None) -> set[str]:
    """Return the names of the problems, of the notes (``wrong=False``), or of both."""
    return {one.name for one in found.problems if wrong is None or one.wrong is wrong}


def text_of(found: Diagnosis, name: str) -> str:
    """Return what the only problem with a name observes, and its next step."""
    (problem,) = (one for one in found.problems if one.name == name)
    return f"{problem.what} {problem.then}"
