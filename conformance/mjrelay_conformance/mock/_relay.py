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
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve, frozen

from mjrelay import _request
from mjrelay._reader import State
from mjrelay_conformance._plan import another
from mjrelay_conformance.mock import _answer, _faults, _writer
from mjrelay_conformance.mock._answer import Answer, Call, Route
from mjrelay_conformance.mock._received import Received, compile_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence

    from mjrelay._contract import Contract
    from mjrelay._reader import Batch, Seed
    from mjrelay._yaml import Location

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
        self._doors = tuple(self._open_doors())
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
        allowed: list[str] = []
        for door in self._doors:
            match = door.path.fullmatch(path)
            if match is None:
                continue
            methods = ("GET", "HEAD") if door.method == "GET" else (door.method,)
            if method in methods:
                answer = door.answer(Received.at(match, query, fields, body), method != "HEAD")
                break
            allowed += methods
        else:
            answer = _answer.elsewhere(self.contract) or _nowhere(allowed)
        return _bodiless(answer) if method == "HEAD" else answer

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

    def _open_doors(self) -> Iterator[_Door]:
        """The operations that the contract describes and uses, those with a fixed path first."""
        contract, reader = self.contract, self.contract.reader
        if reader.batch is not None and contract.batch is not None:
            yield _Door.at(contract.batch, partial(self._list, reader.batch))
        if reader.seed is not None and contract.seed is not None:
            yield _Door.at(contract.seed, partial(self._tell_seed, reader.seed))
        yield _Door.at(contract.location, self._fetch)

    def _fetch(self, request: Received, counting: bool) -> Answer:
        call = self._call(request)
        answer = self._refusal(call)
        if answer is None:
            call, document = self._read(call, counting=counting)
            answer = _answer.task(self.contract, document)
        return self._finished(call, answer)

    def _list(self, batch: Batch, request: Received, counting: bool) -> Answer:
        call = self._call(request)
        if call.route is Route.REFUSED:
            return self._finished(call, _answer.refused(self.contract))
        ids = request.texts(*_request.ask(batch.ids))
        if ids is None:
            return _answer.malformed(self.contract)
        wanted = set(ids)
        read = [
            self._read(evolve(call, route=Route.TASK, task_id=task_id), counting=counting)
            for task_id in reversed(self._tasks)  # in an order of its own, for none is promised
            if task_id in wanted
        ]
        answer = _answer.tasks(self.contract, batch, [document for _, document in read])
        return self._finished(read[0][0], answer) if read else answer

    def _tell_seed(self, seed: Seed, request: Received, _: bool) -> Answer:
        call = self._call(request)
        answer = self._refusal(call, self.contract.seed)
        if answer is None:
            call = evolve(call, state=self._tasks[call.task_id].at(_moment(self._clock()))[0])
            answer = _answer.seed(self.contract, seed, call.task_id)
        return self._finished(call, answer)

    def _call(self, request: Received) -> Call:
        """What becomes of a request; one that names no task is for a missing one."""
        task_id = next(iter(request.values(self._place, self._name)), "")
        secrets = tuple(
            secret for one in self.contract.credentials for secret in request.presented(one) if secret
        )
        route = Route.TASK if task_id in self._tasks else Route.MISSING
        if not self.contract.open and self.contract.credentials and self._key not in secrets:
            route = Route.REFUSED
        call = Call(self.contract, route, task_id=task_id, secrets=secrets, tasks=tuple(self._tasks))
        for fault in self.faults:
            call = fault.decided(call)
        return call

    def _refusal(self, call: Call, operation: Location | None = None) -> Answer | None:
        """The answer to a call that gets no task, in the words of an operation."""
        match call.route:
            case Route.REFUSED:
                return _answer.refused(self.contract)
            case Route.MISSING:
                return _answer.missing(self.contract, operation)
            case _:
                return None

    def _read(self, call: Call, *, counting: bool) -> tuple[Call, Any]:
        """The call with what is known of its task, and the task's document."""
        state, document = self._tasks[call.task_id].at(_moment(self._clock()))
        call = evolve(call, state=state, reads=self._reads[call.task_id])
        self._reads[call.task_id] += counting
        for fault in self.faults:
            document = fault.altered(call, document)
        return call, document

    def _finished(self, call: Call, answer: Answer) -> Answer:
        for fault in self.faults:
            answer = fault.finished(call, answer)
        return answer


@frozen
class _Door:
    """One operation: what leads to it, and what answers there, counting the reading or not."""

    method: str
    path: re.Pattern[str]
    answer: Callable[[Received, bool], Answer]

    @classmethod
    def at(cls, location: Location, answer: Callable[[Received, bool], Answer]) -> _Door:
        """The door to the operation at a place in the contract."""
        _, path, method = location
        return cls(str(method).upper(), compile_path(str(path)), answer)


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


_STATES = (State.SUCCEEDED, *(state for state in State if state not in {State.SUCCEEDED, State.UNKNOWN}))
"""The states that an example can have, the one that most is asked for first."""


def _origin_form(target: str) -> str:
    """A target without scheme and host, which a client may repeat there."""
    whole = re.match(r"https?://[^/?]*", target, re.IGNORECASE)
    return target if whole is None else target[whole.end() :] or "/"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _nowhere(allowed: Sequence[str]) -> Answer:
    """The answer where the contract says nothing of it: there is no such path, or it takes other methods."""
    return Answer(405, (("allow", ", ".join(allowed)),)) if allowed else Answer(404)


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
