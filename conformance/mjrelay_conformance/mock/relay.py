"""A mock relay, made from a contract alone: it answers as the contract says, or wrongly in named ways."""

from __future__ import annotations

import asyncio
import contextlib
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

from mjrelay.semantics import State, parse_expression
from mjrelay_conformance.judging import another_text
from mjrelay_conformance.mock import response, writer
from mjrelay_conformance.mock.dialects import select_dialect
from mjrelay_conformance.mock.faults import select_faults
from mjrelay_conformance.mock.received import Received, compile_path
from mjrelay_conformance.mock.response import MockRequest, MockResponse, Route
from mjrelay_conformance.mock.tasks import Living, Shown, copied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping, Sequence

    from mjrelay.base import Location, Pattern
    from mjrelay.contract import Contract
    from mjrelay.semantics import Batch, Seed

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


__all__ = ["MockRelay", "MockResponse"]


class MockRelay:
    """
    A relay of its own, as an ASGI application.

    ``known`` holds one task for each of the contract's examples that is named after a state, by that state;
    they are served as the contract shows them. It answers after ``latency`` seconds, give or take as much as
    ``jitter``. ``dialect`` names another way of keeping the contract. Raises `UnknownFaultError`,
    `InapplicableFaultError` and their like for dialects where one cannot be switched on.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        key: str = "mock-key",
        faults: Sequence[str] = (),
        dialect: str | None = None,
        latency: float = 0.0,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        self.contract = contract
        self.faults = select_faults(faults, contract)
        self.dialect = None if dialect is None else select_dialect(dialect, contract)
        self.known: dict[State, str] = {}
        self.key = key
        self.clock = clock
        self._changes = self.faults if self.dialect is None else (self.dialect, *self.faults)
        self._latency, self._jitter = latency, jitter
        self._haste = random.Random(f"the mock's haste {seed}")  # noqa: S311 - to be repeatable
        self._requests = 0
        self._chance = random.Random(f"the mock's own tasks {seed}")  # noqa: S311 - to be repeatable
        self._place, self._name = parse_expression(contract.reader.ask)
        self._doors = tuple(self._open_doors())
        self._tasks: dict[str, Shown | Living] = {}
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
        task = Living(self.contract, task_id, _moment(self.clock()), timedelta(seconds=duration), outcome)
        task.document(outcome, None)  # raises now, not when it is asked for
        self._tasks[task_id] = task
        return task_id

    def answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> MockResponse:
        """The answer to a request; whatever it is, this raises nothing."""
        fields = list(headers.items() if isinstance(headers, Mapping) else headers)
        path, _, query = _origin_form(target).partition("?")
        matching = [(door, match) for door in self._doors if (match := door.path.fullmatch(path))]
        # Where no operation has the method, the first that has the path says what becomes of it.
        found = next(((d, m) for d, m in matching if method in d.methods), next(iter(matching), None))
        if found is None:
            answer = response.elsewhere(self.contract) or MockResponse(404)
        else:
            door, match = found
            allowed = [one for door, _ in matching for one in door.methods]
            answer = door.answer(Received.at(match, query, fields, body, method), allowed)
        self._requests += 1
        answer = evolve(answer, delay=answer.delay + self._lag())
        return _bodiless(answer) if method == "HEAD" else answer

    def _lag(self) -> float:
        """Seconds that the next answer takes, the same for a seed."""
        return max(0.0, self._latency + self._haste.uniform(-self._jitter, self._jitter))

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
        framed = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in answer.framed]
        await send({"type": "http.response.start", "status": answer.status, "headers": framed})
        # What was cut is announced but never comes; a server then has to close the connection.
        piece = answer.body[: answer.cut]
        await send({"type": "http.response.body", "body": piece, "more_body": answer.broken})
        if answer.broken and answer.stall:
            await _left(receive, answer.stall)

    def _show(self, state: State, example: Any) -> None:
        """Add the contract's own example, under another id where that is taken already."""
        found = self.contract.reader.id(example)
        if found in (None, ""):
            return
        task_id, document = str(found), example
        if task_id in self._tasks:
            task_id = self._another_id()
            document = writer.rename(self.contract, copied(example), task_id)
        self.known[state] = task_id
        self._tasks[task_id] = Shown(state, document)

    def _another_id(self) -> str:
        """An id that nobody has, of the make of the contract's own."""
        pattern = next(iter(self._tasks), "0000000000000000")
        while (drawn := another_text(pattern, self._chance, set(self._tasks))).startswith("0"):
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

    def _fetch(self, request: Received, allowed: Sequence[str]) -> MockResponse:
        call = self._call(request, allowed)
        answer = self._refusal(call, allowed)
        if answer is None:
            call, document = self._read(call)
            answer = response.task(self.contract, document)
        return self._finished(call, answer)

    def _list(self, batch: Batch, request: Received, allowed: Sequence[str]) -> MockResponse:
        ids = request.texts(*parse_expression(batch.ids))
        call = self._call(request, allowed, tuple(ids or ()))
        answer = self._refusal(call, allowed)
        if answer is not None:
            return self._finished(call, answer)
        if ids is None:
            return response.malformed(self.contract)
        read = [
            self._read(evolve(call, route=Route.TASK, task_id=task_id))
            for task_id in reversed(self._tasks)  # in an order of its own, for none is promised
            if task_id in (call.ids or ())
        ]
        documents = [document for _, document in read]
        for change in self._changes:
            documents = change.listed(call, documents)
        answer = response.tasks(self.contract, batch, documents)
        if read:
            answer = self._finished(read[0][0], answer)
        return self._finished(call, answer)

    def _tell_seed(self, seed: Seed, request: Received, allowed: Sequence[str]) -> MockResponse:
        call = self._call(request, allowed)
        answer = self._refusal(call, allowed, self.contract.seed)
        if answer is None:
            call = evolve(call, state=self._tasks[call.task_id].at(_moment(self.clock()))[0])
            answer = response.seed(self.contract, seed, call.task_id)
        return self._finished(call, answer)

    def _call(
        self, request: Received, allowed: Sequence[str], ids: tuple[str, ...] | None = None
    ) -> MockRequest:
        """What becomes of a request; one that names no task is for a missing one."""
        task_id = next(iter(request.values(self._place, self._name)), "")
        secrets = tuple(
            secret for one in self.contract.credentials for secret in request.presented(one) if secret
        )
        call = MockRequest(
            self.contract,
            Route.REFUSED,
            task_id=task_id,
            secrets=secrets,
            reads=self._reads[task_id],
            tasks=tuple(self._tasks),
            ids=ids,
            key=self.key,
            number=self._requests,
            now=_moment(self.clock()),
            request=request,
        )
        if request.method not in allowed:
            call = evolve(call, route=Route.ELSEWHERE)
        elif call.entitled:
            call = call.admitted
        for change in self._changes:
            call = change.decided(call)
        return call

    def _refusal(
        self, call: MockRequest, allowed: Sequence[str], operation: Location | None = None
    ) -> MockResponse | None:
        """The answer to a call that gets no task, in the words of an operation."""
        match call.route:
            case Route.ELSEWHERE:
                return response.elsewhere(self.contract) or MockResponse(
                    405, (("allow", ", ".join(allowed)),)
                )
            case Route.REFUSED:
                return response.refused(self.contract)
            case Route.MISSING:
                return response.missing(self.contract, operation)
            case _:
                return None

    def _read(self, call: MockRequest) -> tuple[MockRequest, Any]:
        """The call with what is known of its task, and the task's document; HEAD is no reading."""
        state, document = self._tasks[call.task_id].at(call.now)
        call = evolve(call, state=state, reads=self._reads[call.task_id])
        self._reads[call.task_id] += call.request.method != "HEAD"
        for change in self._changes:
            document = change.altered(call, document)
        return call, document

    def _finished(self, call: MockRequest, answer: MockResponse) -> MockResponse:
        for change in self._changes:
            answer = change.finished(call, answer)
        return answer


@frozen
class _Door:
    """One operation: what leads to it, and what answers there, told which methods the path takes."""

    method: str
    path: Pattern
    answer: Callable[[Received, Sequence[str]], MockResponse]

    @classmethod
    def at(cls, location: Location, answer: Callable[[Received, Sequence[str]], MockResponse]) -> _Door:
        """The door to the operation at a place in the contract."""
        _, path, method = location
        return cls(str(method).upper(), compile_path(str(path)), answer)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that lead to it; HEAD goes wherever GET does."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


_STATES = (State.SUCCEEDED, *(state for state in State if state not in {State.SUCCEEDED, State.UNKNOWN}))
"""The states that an example can have, the one that most is asked for first."""


def _origin_form(target: str) -> str:
    """A target without scheme and host, which a client may repeat there."""
    whole = re.match(r"https?://[^/?]*", target, re.IGNORECASE)
    return target if whole is None else target[whole.end() :] or "/"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _bodiless(answer: MockResponse) -> MockResponse:
    """The answer to HEAD: all that the other method says, but the body."""
    if answer.status in response.BODILESS:
        return answer
    return evolve(answer, headers=answer.framed, body=b"", cut=None)


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


async def _left(receive: Receive, seconds: float) -> None:
    """Wait until the client has gone, or for so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                continue


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
