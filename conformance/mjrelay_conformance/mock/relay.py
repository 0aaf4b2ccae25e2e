"""A mock relay: an ASGI application built from a contract."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from attrs import evolve, frozen

from mjrelay.contract import request_problem
from mjrelay.semantics import parse_expression
from mjrelay_conformance.mock import asgi, responses
from mjrelay_conformance.mock.dialects import select_dialect
from mjrelay_conformance.mock.faults import select_faults
from mjrelay_conformance.mock.media import MediaFiles
from mjrelay_conformance.mock.received import ReceivedRequest, compile_path
from mjrelay_conformance.mock.responses import MockRequest, MockResponse, Route
from mjrelay_conformance.mock.store import TaskStore, as_datetime
from mjrelay_conformance.mock.submits import Refused, SubmitDesk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mjrelay.base import Location, Pattern
    from mjrelay.contract import Contract
    from mjrelay.semantics import Batch, Seed
    from mjrelay_conformance.mock.asgi import Receive, Scope, Send


__all__ = ["MockRelay", "MockResponse"]


class MockRelay(TaskStore):
    """
    A mock relay: an ASGI application that follows a contract, except for its faults.

    It serves the task examples of the contract; ``known`` maps each state that has an example to the id of
    that task. `submit` adds tasks that progress over time. Serve it with `Server`, or call `answer` directly.
    Media links lead to the host that a request asks, which serves a small file behind each.

    Args:
        contract: The contract to follow.
        key: The API key that requests need.
        faults: Names of faults to enable; see `FAULTS`.
        dialect: Name of a dialect, a conforming variant of the contract's examples; see `DIALECTS`.
        latency: Delay of each response in seconds.
        jitter: Maximum random deviation from ``latency`` in seconds.
        clock: Returns the current time in seconds since 1970.
        seed: Random seed of task ids and jitter.
        duration: Seconds from a submit to the end of its task.
        queue: Maximum number of unfinished tasks that were submitted; more are refused. Default: no limit.

    Raises:
        UnknownFaultError: No fault has this name.
        InapplicableFaultError: The contract does not support the fault.
        UnknownDialectError: No dialect has this name.
        InapplicableDialectError: The contract does not support the dialect.
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
        duration: float = 30.0,
        queue: int | None = None,
    ) -> None:
        super().__init__(contract, clock, seed=seed, duration=duration)
        self.faults = select_faults(faults, contract)
        self.dialect = None if dialect is None else select_dialect(dialect, contract)
        self.key = key
        self._behaviours = self.faults if self.dialect is None else (self.dialect, *self.faults)
        self._latency, self._jitter = latency, jitter
        self._delay_random = random.Random(f"the mock's haste {seed}")  # noqa: S311 - to be repeatable
        self._requests = 0
        self._queue = queue
        self._place, self._name = parse_expression(contract.reader.ask)
        self._operations = tuple(self._described_operations())
        self._media = MediaFiles(contract)
        self._reads: Counter[str] = Counter()

    def answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> MockResponse:
        """
        Return the response to a request, without a network; never raises.

        Args:
            method: The request method.
            target: Path and query, or an absolute URL.
            headers: Request headers.
            body: The request body.

        Returns:
            The response. Its delay, truncation and stall are data; applying them is up to the caller.
        """
        fields = list(headers.items() if isinstance(headers, Mapping) else headers)
        path, _, query = _origin_form(target).partition("?")
        matching = [
            (operation, match) for operation in self._operations if (match := operation.path.fullmatch(path))
        ]
        # If no operation supports the method, the first one with this path handles the request.
        found = next(((d, m) for d, m in matching if method in d.methods), next(iter(matching), None))
        if found is None:
            received = ReceivedRequest.at({}, query, fields, body, method)
            media = self._media.answer(path, received, self.key)
            response = media or responses.elsewhere(self.contract) or MockResponse(404)
        else:
            operation, match = found
            allowed = [one for operation, _ in matching for one in operation.methods]
            received = ReceivedRequest.at(match.groupdict(), query, fields, body, method)
            response = operation.handle(received, allowed)
        self._requests += 1
        response = evolve(response, delay=response.delay + self._next_delay())
        return _without_body(response) if method == "HEAD" else response

    def _next_delay(self) -> float:
        """Return the delay of the next response in seconds; reproducible for a seed."""
        return max(0.0, self._latency + self._delay_random.uniform(-self._jitter, self._jitter))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI connection: HTTP or lifespan."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await asgi.serve_lifespan(receive, send)
            case other:
                raise ValueError(f"unsupported ASGI connection type {other}; send HTTP requests")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await asgi.read_body(receive)
        except asgi.TooLargeError:
            await asgi.refuse_body(send)
            return
        if body is None:
            return
        raw: bytes | None = scope.get("raw_path")
        target = quote(scope["path"]) if raw is None else raw.decode("latin-1")
        if scope.get("query_string"):
            target += "?" + scope["query_string"].decode("latin-1")
        headers = [
            (name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in scope["headers"]
        ]
        response = self.answer(scope["method"], target, headers, body)
        if response.delay:
            await asyncio.sleep(response.delay)
        framed = [(name.encode("latin-1"), value.encode("utf-8")) for name, value in response.framed]
        await send({"type": "http.response.start", "status": response.status, "headers": framed})
        # A truncated body is announced but not sent, so the server has to close the connection.
        piece = response.body[: response.cut]
        await send({"type": "http.response.body", "body": piece, "more_body": response.broken})
        if response.broken and response.stall:
            await asgi.wait_for_disconnect(receive, response.stall)

    def _described_operations(self) -> Iterator[_Operation]:
        """Yield the supported operations, those with a fixed path first."""
        contract, reader = self.contract, self.contract.reader
        if reader.batch is not None and contract.batch is not None:
            yield _Operation.at(contract.batch, partial(self._get_batch, reader.batch))
        if reader.seed is not None and contract.seed is not None:
            yield _Operation.at(contract.seed, partial(self._get_seed, reader.seed))
        if contract.lookup is not None:
            yield _Operation.at(contract.lookup, self._list_tasks)
        for location in dict.fromkeys(operation.location for operation in contract.submits):
            yield _Operation.at(location, partial(self._receive_submit, SubmitDesk(contract, location)))
        yield _Operation.at(contract.location, self._get_task)

    def _get_task(self, received: ReceivedRequest, allowed: Sequence[str]) -> MockResponse:
        request = self._route(received, allowed, self.contract.location)
        response = self._error(request, allowed, self.contract.location)
        if response is None:
            request, document = self._read_task(request)
            response = responses.task(self.contract, document)
        return self._change_response(request, response)

    def _get_batch(self, batch: Batch, received: ReceivedRequest, allowed: Sequence[str]) -> MockResponse:
        operation = self.contract.batch or ()
        ids = received.texts(*parse_expression(batch.ids))
        unlisted = None if ids is not None else "the ids are not a list"
        request = self._route(received, allowed, operation, tuple(ids or ()), unlisted)
        response = self._error(request, allowed, operation)
        if response is not None:
            return self._change_response(request, response)
        read = [
            self._read_task(evolve(request, route=Route.TASK, task_id=task_id))
            for task_id in reversed(self._tasks)  # an arbitrary order, because contracts promise none
            if task_id in (request.ids or ())
        ]
        documents = [document for _, document in read]
        for behaviour in self._behaviours:
            documents = behaviour.change_list(request, documents)
        response = responses.tasks(self.contract, batch, documents)
        if read:
            response = self._change_response(read[0][0], response)
        return self._change_response(request, response)

    def _get_seed(self, seed: Seed, received: ReceivedRequest, allowed: Sequence[str]) -> MockResponse:
        operation = self.contract.seed or ()
        request = self._route(received, allowed, operation)
        response = self._error(request, allowed, operation)
        if response is None:
            request = evolve(request, state=self._tasks[request.task_id].at(as_datetime(self.clock()))[0])
            response = responses.seed(self.contract, seed, request.task_id)
        return self._change_response(request, response)

    def _list_tasks(self, received: ReceivedRequest, allowed: Sequence[str]) -> MockResponse:
        """Return all tasks, those that were submitted last first."""
        operation = self.contract.lookup or ()
        request = self._route(received, allowed, operation, tuple(self._tasks))
        response = self._error(request, allowed, operation)
        if response is None:
            now = as_datetime(self.clock())
            documents = [task.at(now)[1] for task in reversed(self._tasks.values())]
            response = responses.tasks_listed(self.contract, documents)
        return self._change_response(request, response)

    def _receive_submit(
        self, desk: SubmitDesk, received: ReceivedRequest, allowed: Sequence[str]
    ) -> MockResponse:
        request = self._route(received, allowed, desk.location, submits=True)
        response = self._error(request, allowed, desk.location)
        if response is None:
            request, response = self._examined(desk, request)
        return self._change_response(request, response)

    def _examined(self, desk: SubmitDesk, request: MockRequest) -> tuple[MockRequest, MockResponse]:
        """Decide about a submit, and return the request with the ids of its tasks and the response."""
        states, buttons = self._snapshot(request.now)
        unfinished = sum(not states[task_id].terminal for task_id in self.accepted if task_id in states)
        full = self._queue is not None and unfinished >= self._queue
        decision = desk.examine(request, states, buttons, full=full)
        if isinstance(decision, Refused):
            return request, desk.refused(decision)
        copies = max((one.copies for one in self._behaviours), default=1)
        made = tuple(dict.fromkeys(self._accept(decision) for _ in range(copies)))
        return evolve(request, made=made), desk.accepted(decision.outcome, made[0])

    def _route(
        self,
        received: ReceivedRequest,
        allowed: Sequence[str],
        operation: Location,
        ids: tuple[str, ...] | None = None,
        problem: str | None = None,
        *,
        submits: bool = False,
    ) -> MockRequest:
        """Route a request. A request without a task id is one for a missing task."""
        task_id = next(iter(received.values(self._place, self._name)), "")
        secrets = tuple(
            secret for one in self.contract.credentials for secret in received.presented(one) if secret
        )
        request = MockRequest(
            self.contract,
            Route.REFUSED,
            task_id=task_id,
            secrets=secrets,
            reads=self._reads[task_id],
            tasks=tuple(self._tasks),
            ids=ids,
            problem=problem
            or request_problem(
                self.contract, operation, received.query_string, received.headers, received.body
            ),
            key=self.key,
            number=self._requests,
            now=as_datetime(self.clock()),
            submit=operation if submits else None,
            received=received,
        )
        if received.method not in allowed:
            request = evolve(request, route=Route.ELSEWHERE)
        elif request.has_access:
            request = request.with_access
        for behaviour in self._behaviours:
            request = behaviour.change_request(request)
        return request

    def _error(
        self, request: MockRequest, allowed: Sequence[str], operation: Location
    ) -> MockResponse | None:
        """Return the error response for a request that does not get a task, or None."""
        match request.route:
            case Route.ELSEWHERE:
                return responses.elsewhere(self.contract) or MockResponse(
                    405, (("allow", ", ".join(allowed)),)
                )
            case Route.REFUSED:
                return responses.refused(self.contract, operation if request.submit else None)
            case Route.MISSING:
                return responses.missing(self.contract, operation)
            case Route.INVALID:
                return responses.invalid(self.contract, operation, request.problem or "")
            case _:
                return None

    def _read_task(self, request: MockRequest) -> tuple[MockRequest, Any]:
        """Read a task and count the read; HEAD requests are not counted."""
        state, document = self._tasks[request.task_id].at(request.now)
        request = evolve(request, state=state, reads=self._reads[request.task_id])
        self._reads[request.task_id] += request.received.method != "HEAD"
        document = self._media.link(document, next(iter(request.received.values("header", "host")), None))
        for behaviour in self._behaviours:
            document = behaviour.change_document(request, document)
        return request, document

    def _change_response(self, request: MockRequest, response: MockResponse) -> MockResponse:
        for behaviour in self._behaviours:
            response = behaviour.change_response(request, response)
        return response


@frozen
class _Operation:
    """An operation of the contract, and the function that handles its requests."""

    method: str
    path: Pattern
    handle: Callable[[ReceivedRequest, Sequence[str]], MockResponse]

    @classmethod
    def at(
        cls, location: Location, handle: Callable[[ReceivedRequest, Sequence[str]], MockResponse]
    ) -> _Operation:
        """Build the operation at a location in the contract."""
        _, path, method = location
        return cls(str(method).upper(), compile_path(str(path)), handle)

    @property
    def methods(self) -> tuple[str, ...]:
        """The supported methods; HEAD is supported wherever GET is."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


def _origin_form(target: str) -> str:
    """Reduce a request target in absolute form to its path and query."""
    origin = re.match(r"https?://[^/?]*", target, re.IGNORECASE)
    return target if origin is None else target[origin.end() :] or "/"


def _without_body(response: MockResponse) -> MockResponse:
    """Return the response to HEAD: the same status and headers, but no body."""
    if response.status in responses.BODILESS:
        return response
    return evolve(response, headers=response.framed, body=b"", cut=None)
