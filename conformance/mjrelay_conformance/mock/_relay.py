"""A mock relay, made from a contract alone: it answers as the contract says, or wrongly in named ways."""

from __future__ import annotations

import asyncio
import copy
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote

from attrs import evolve, frozen

from mjrelay import _request
from mjrelay._exchange import NotJSONError, parse
from mjrelay._reader import State
from mjrelay_conformance._plan import another
from mjrelay_conformance.mock import _answer, _faults, _writer
from mjrelay_conformance.mock._answer import Answer, Call, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence

    from mjrelay._contract import Contract
    from mjrelay._credential import Credential

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

__all__ = ["Answer", "MockRelay"]

_QUEUED_PART = 0.1
"""The part of a task's duration that it waits in the queue."""

_BODILESS = {204, 304}


class MockRelay:
    """
    A relay of its own, as an ASGI application.

    ``known`` holds one task for each of the contract's examples that is named after a state, by that state;
    they are served as the contract shows them. Raises `UnknownFaultError` and `InapplicableFaultError` for
    faults that cannot be switched on.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        key: str = "mock-key",
        faults: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        self.contract = contract
        self.faults = _faults.select(faults, contract)
        self.known: dict[State, str] = {}
        self._key = key
        self._clock = clock
        self._chance = random.Random(f"the mock's own tasks {seed}")  # noqa: S311 - to be repeatable
        self._place, self._name = _request.ask(contract.reader.ask)
        self._template = _compile_path(contract.path)
        self._tasks: dict[str, _Shown | _Living] = {}
        self._reads: Counter[str] = Counter()
        for state in _STATES:
            if state.value in contract.examples:
                self._show(state, contract.examples[state.value])

    def submit(
        self, duration: float = 30.0, *, outcome: State = State.SUCCEEDED, task_id: str | None = None
    ) -> str:
        """
        Add a task that is queued, runs and ends as ``outcome`` after ``duration`` seconds; its id.

        Where the contract shows neither of the two on the way, it ends at once.
        Raises `ContractError` where the contract has no example of that outcome.
        """
        if task_id is None:
            task_id = self._another_id()
        if not {State.QUEUED.value, State.RUNNING.value} & self.contract.examples.keys():
            duration = 0
        task = _Living(self.contract, task_id, _moment(self._clock()), timedelta(seconds=duration), outcome)
        task.document(outcome, None)  # raises now, not when it is asked for
        self._tasks[task_id] = task
        return task_id

    def answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Answer:
        """The answer to a request; whatever it is, this raises nothing."""
        fields = list(headers.items() if isinstance(headers, Mapping) else headers)
        path, _, query = _origin_form(target).partition("?")
        route = self._template.fullmatch(path)
        head = method == "HEAD" and self.contract.method == "GET"
        if route is None or (method != self.contract.method and not head):
            answer = _answer.elsewhere(self.contract) or self._nowhere(known_path=route is not None)
            return _bodiless(answer) if method == "HEAD" else answer
        request = _Request(route.groupdict(), parse_qsl(query, keep_blank_values=True), fields, body)
        call = self._call(request)
        for fault in self.faults:
            call = fault.decided(call)
        call, answer = self._answered(call, counting=not head)
        for fault in self.faults:
            answer = fault.finished(call, answer)
        return _bodiless(answer) if head else answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak ASGI: HTTP and lifespan."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case other:
                raise ValueError(f"a relay does not speak {other}; ask it over HTTP")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            return
        raw: bytes | None = scope.get("raw_path")
        target = quote(scope["path"]) if raw is None else raw.decode("latin-1")
        if scope.get("query_string"):
            target += "?" + scope["query_string"].decode("latin-1")
        headers = [
            (name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in scope["headers"]
        ]
        answer = self.answer(scope["method"], target, headers, body)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        await send({"type": "http.response.start", "status": answer.status, "headers": _sent_headers(answer)})
        # What was cut is announced but never comes; a server then has to close the connection.
        cut = answer.cut is not None and answer.cut < len(answer.body)
        await send({"type": "http.response.body", "body": answer.body[: answer.cut], "more_body": cut})

    def _show(self, state: State, example: Any) -> None:
        """Add the contract's own example, under another id where that is taken already."""
        found = self.contract.reader.id(example)
        if found in (None, ""):
            return
        task_id, document = str(found), example
        if task_id in self._tasks:
            task_id = self._another_id()
            document = _writer.rename(self.contract, copy.deepcopy(example), task_id)
        self.known[state] = task_id
        self._tasks[task_id] = _Shown(state, document)

    def _another_id(self) -> str:
        """An id that nobody has, of the make of the contract's own."""
        pattern = next(iter(self._tasks), "0000000000000000")
        while (drawn := another(pattern, self._chance, set(self._tasks))).startswith("0"):
            continue
        return drawn

    def _call(self, request: _Request) -> Call:
        task_id = request.values(self._place, self._name)
        secrets = tuple(
            secret for one in self.contract.credentials for secret in _presented(one, request) if secret
        )
        call = Call(
            self.contract,
            Route.TASK,
            task_id=task_id[0] if task_id else "",
            secrets=secrets,
            tasks=tuple(self._tasks),
        )
        open_ = self.contract.open or not self.contract.credentials
        if not open_ and self._key not in secrets:
            return evolve(call, route=Route.REFUSED)
        return call if call.task_id in self._tasks else evolve(call, route=Route.MISSING)

    def _answered(self, call: Call, *, counting: bool) -> tuple[Call, Answer]:
        """The answer before it is finished, and the call with what is known of the task."""
        if call.route is Route.MISSING:
            return call, _answer.missing(self.contract)
        if call.route is Route.REFUSED:
            return call, _answer.refused(self.contract)
        state, document = self._tasks[call.task_id].at(_moment(self._clock()))
        call = evolve(call, state=state, reads=self._reads[call.task_id])
        self._reads[call.task_id] += counting
        for fault in self.faults:
            document = fault.altered(call, document)
        return call, _answer.task(self.contract, document)

    def _nowhere(self, *, known_path: bool) -> Answer:
        if not known_path:
            return Answer(404)
        allowed = "GET, HEAD" if self.contract.method == "GET" else self.contract.method
        return Answer(405, (("allow", allowed),))


@frozen
class _Shown:
    """A task that stays as the contract shows it."""

    state: State
    example: Any

    def at(self, _: datetime) -> tuple[State, Any]:
        return self.state, copy.deepcopy(self.example)


@frozen
class _Living:
    """A task that goes from the queue to its outcome; states that the contract does not show are skipped."""

    contract: Contract
    task_id: str
    submitted: datetime
    duration: timedelta
    outcome: State

    @property
    def started(self) -> datetime:
        queued = State.QUEUED.value in self.contract.examples
        return self.submitted + self.duration * (_QUEUED_PART if queued else 0)

    @property
    def finished(self) -> datetime:
        return self.submitted + self.duration

    def at(self, now: datetime) -> tuple[State, Any]:
        shown = self.contract.examples
        state = self.outcome
        if now < self.finished:
            stages = [State.QUEUED, State.RUNNING] if now < self.started else [State.RUNNING, State.QUEUED]
            state = next((stage for stage in stages if stage.value in shown), self.outcome)
        done = (now - self.started) / (self.finished - self.started) if self.finished > self.started else 1.0
        progress = min(max(int(done * 100), 1), 99) if state is State.RUNNING else None
        return state, self.document(state, progress)

    def document(self, state: State, progress: int | None) -> Any:
        times = {"submitted": self.submitted, "started": self.started, "finished": self.finished}
        return _writer.write(self.contract, state, self.task_id, times, progress)


@frozen
class _Request:
    """The parts of a request that may carry an id or a credential."""

    path: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    headers: Sequence[tuple[str, str]]
    body: bytes

    def values(self, place: str, name: str) -> list[str]:
        """What stands in a field of the request; nothing where there is no such field."""
        match place:
            case "path":
                group = _group(name)
                return [unquote(self.path[group], errors="replace")] if group in self.path else []
            case "query":
                return [value for key, value in self.query if key == name]
            case "header":
                return [value.strip() for key, value in self.headers if key.lower() == name.lower()]
            case "cookie":
                pairs = [
                    pair.partition("=")
                    for line in self.values("header", "cookie")
                    for pair in line.split(";")
                ]
                return [
                    unquote(value.strip(), errors="replace") for key, _, value in pairs if key.strip() == name
                ]
            case _:
                return self._pointed(name)

    def _pointed(self, pointer: str) -> list[str]:
        try:
            node = parse(self.body)
        except NotJSONError:
            return []
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict) or name not in node:
                return []
            node = node[name]
        return [] if isinstance(node, dict | list) or node is None else [str(node)]


_STATES = (State.SUCCEEDED, *(state for state in State if state not in {State.SUCCEEDED, State.UNKNOWN}))
"""The states that an example can have, the one that most is asked for first."""


def _presented(credential: Credential, request: _Request) -> Iterable[str]:
    """The secrets that a request holds where a credential belongs; a scheme's case does not matter."""
    for value in request.values(credential.place, credential.field):
        if value[: len(credential.prefix)].lower() == credential.prefix.lower():
            yield value[len(credential.prefix) :].strip()


def _compile_path(template: str) -> re.Pattern[str]:
    """What a path must be to be the template's; each parameter is a segment, or a part of one."""
    pieces = re.split(r"\{([^}]*)\}", template)
    return re.compile(
        "".join(
            f"(?P<{_group(piece)}>[^/]+)" if index % 2 else re.escape(piece)
            for index, piece in enumerate(pieces)
        )
    )


def _group(name: str) -> str:
    return "p_" + name.encode().hex()


def _origin_form(target: str) -> str:
    """A target without scheme and host, which a client may repeat there."""
    whole = re.match(r"https?://[^/?]*", target, re.IGNORECASE)
    return target if whole is None else target[whole.end() :] or "/"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _bodiless(answer: Answer) -> Answer:
    """The answer to HEAD: all that the other method says, but the body."""
    if answer.status in _BODILESS:
        return answer
    length = str(len(answer.body))
    return evolve(answer, headers=(*answer.headers, ("content-length", length)), body=b"", cut=None)


def _sent_headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    headers = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in answer.headers]
    if answer.status in _BODILESS or any(name == b"content-length" for name, _ in headers):
        return headers
    return [*headers, (b"content-length", str(len(answer.body)).encode())]


async def _read(receive: Receive) -> bytes | None:
    """The body of a request, None where the client has gone."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
