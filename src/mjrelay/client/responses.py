"""What a relay's answer means to whoever asked for tasks: the tasks, or the error that says why not."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import PatternError, time_limit
from mjrelay.client.task import (
    AnswerError,
    EmptyAnswerError,
    EnvelopeError,
    ForbiddenError,
    MissingTaskError,
    RateLimitedError,
    RelayError,
    Task,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UndecodableError,
    WebPageError,
    WrongTaskError,
)
from mjrelay.http import NotJSONError, OversizeError, parse_json, retry_after
from mjrelay.semantics import scalar_text
from mjrelay.transport import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Exchange, Redactor
    from mjrelay.semantics import Matcher


_PAGE = "this looks like a web page: is the base URL right?"
_RAISE = "allow more with max_body="
_WHATEVER = "whatever max_body= allows"
_LIMITED = "the key may not do this: check what it is limited to, such as models, addresses or its own tasks"


@frozen
class ResponseReader:
    """
    Reads answers by a relay's contract.

    ``credential`` is the way in which the key was sent, None where there was none. ``largest`` is the number
    of bytes that the body of a callback may have. The contract's patterns get ``timeout`` seconds at most for
    one answer. What is quoted from an answer goes through the redactor.
    """

    contract: Contract
    redactor: Redactor = field(repr=False)
    credential: Credential | None
    largest: int = LARGEST_BODY
    timeout: float = 30.0
    _missing_in_a_200: tuple[Matcher, ...] = field(init=False, repr=False)
    _refused_in_a_200: tuple[Matcher, ...] = field(init=False, repr=False)

    @_missing_in_a_200.default
    def _(self) -> tuple[Matcher, ...]:
        return tuple(matcher for matcher in self.contract.reader.missing if matcher.status == 200)

    @_refused_in_a_200.default
    def _(self) -> tuple[Matcher, ...]:
        reader = self.contract.reader
        return tuple(one for one in (*reader.unauthorized, *reader.forbidden) if one.status == 200)

    def task(self, exchange: Exchange, task_id: str) -> Task:
        """The task that was asked for; raises the `RelayError` that fits."""
        with self._limited(exchange, task_id):
            return self._task(exchange, task_id)

    def _task(self, exchange: Exchange, task_id: str) -> Task:
        reader = self.contract.reader
        document = self._document(exchange, task_id)
        found = reader.id(document) if reader.accepts(document) else None
        if found is None:
            raise self._error(EnvelopeError, f"a 200 without a task{self._said(exchange)}", exchange, task_id)
        if found != task_id and scalar_text(found) != task_id:
            shown = self._quoted(repr(found))
            raise self._error(WrongTaskError, f"asked for task {task_id}, but got {shown}", exchange, task_id)
        return self._readable(Task(self.contract, document, exchange))

    def tasks(self, exchange: Exchange, ids: Sequence[str]) -> Mapping[str, Task | RelayError]:
        """What became of each of several ids; raises the `RelayError` that fits where it is none of them."""
        with self._limited(exchange, None):
            return self._tasks(exchange, ids)

    def _tasks(self, exchange: Exchange, ids: Sequence[str]) -> Mapping[str, Task | RelayError]:
        batch, reader = self.contract.reader.batch, self.contract.reader
        document = self._document(exchange, None, of_a_task=False)
        if batch is None or not isinstance(document, list | dict):
            raise self._error(EnvelopeError, "a 200 without a list of tasks", exchange, None)
        items = batch.documents(document)
        bare = batch.bare(document)
        found = {scalar_text(reader.id(item)): item for item in items if bare or reader.accepts(item)}
        found.pop(None, None)
        if not found and (items or not self._lists_none(document)):
            said = self._said(exchange)
            raise self._error(EnvelopeError, f"a 200 without a list of tasks{said}", exchange, None)
        missing = "the answer to many ids leaves it out"
        return {
            task_id: self._readable(Task(self.contract, found[task_id], exchange))
            if task_id in found
            else self._missing(MissingTaskError, missing, exchange, task_id)
            for task_id in ids
        }

    def seed(self, exchange: Exchange, task_id: str) -> str:
        """The seed of a task's image; raises the `RelayError` that fits."""
        with self._limited(exchange, task_id):
            return self._seed(exchange, task_id)

    def _seed(self, exchange: Exchange, task_id: str) -> str:
        form = self.contract.reader.seed
        document = self._document(exchange, task_id, of_a_task=False)
        found = None if form is None else scalar_text(form.value.first(document))
        if found is None:
            said = self._said(exchange)
            message = f"a 200 without a seed{said}; ask again once the task has succeeded"
            raise self._error(EnvelopeError, message, exchange, task_id)
        return found

    def _lists_none(self, document: Any) -> bool:
        """Whether an answer without tasks is a list that is empty, and not an error in disguise."""
        reader, batch = self.contract.reader, self.contract.reader.batch
        if batch is None or not batch.listed(document):
            return False
        enveloped = bool(batch.place) and isinstance(document, dict)
        return not enveloped or reader.accepts(batch.placed({}, batch.around(document)))

    def read(self, body: bytes) -> Task:
        """The task in the body of a callback; raises `UndecodableError` and `EnvelopeError`."""
        name = self.contract.name
        if len(body) > self.largest:
            message = f"the body has {len(body)} bytes, and {self.largest} are read; if it is right, {_RAISE}"
            raise UndecodableError(message, relay=name)
        try:
            document = parse_json(body)
        except OversizeError as error:
            raise UndecodableError(f"the body {error}, {_WHATEVER}", relay=name) from error
        except NotJSONError as error:
            message = f"the body is no JSON: {error}; give it as it was received"
            raise UndecodableError(message, relay=name) from error
        reader = self.contract.reader
        with self._limited(None, None):
            if not reader.accepts(document) or reader.id(document) is None:
                raise EnvelopeError("the body holds no task", relay=self.contract.name)
            return self._readable(Task(self.contract, document))

    @contextmanager
    def _limited(self, exchange: Exchange | None, task_id: str | None) -> Iterator[None]:
        """Bound the time of the contract's patterns; raises `AnswerError` where it is over."""
        try:
            with time_limit(self.timeout):
                yield
        except PatternError as error:
            raise AnswerError(
                f"the answer cannot be read by the contract: {self._quoted(str(error))}",
                relay=self.contract.name,
                task_id=task_id,
                exchange=exchange,
            ) from error

    def _readable(self, task: Task) -> Task:
        """The task; that of a foreign contract is read once, so that a slow pattern is an error here."""
        if self.contract.outside:
            task.to_dict()
        return task

    def _document(self, exchange: Exchange, task_id: str | None, *, of_a_task: bool = True) -> Any:
        """
        The document of a 200 that is one; everything else is raised.

        What a document says of itself where a task is missing is no sign where it is not ``of_a_task``.
        """
        cut = exchange.failure is not None and exchange.oversize
        if exchange.failure is not None and not cut:
            raise self._error(TransportError, f"{exchange.failure}; try again later", exchange, task_id)
        missing = (one for one in self._missing_in_a_200 if of_a_task or one.where is None)
        signs = (*self._refused_in_a_200, *missing)
        if cut and exchange.status == 200:
            raise self._unreadable(exchange, task_id)
        if exchange.status != 200 or any(matcher.matches(exchange) for matcher in signs):
            raise self._refusal(exchange, task_id)
        try:
            document = exchange.document
        except NotJSONError as error:
            raise self._unreadable(exchange, task_id, error) from error
        if document is None:
            raise self._missing(EmptyAnswerError, "the answer is empty", exchange, task_id)
        return document

    def _unreadable(
        self, exchange: Exchange, task_id: str | None, error: NotJSONError | None = None
    ) -> RelayError:
        """The error that a 200 stands for whose body is not JSON, or larger than is read."""
        body = exchange.body.lstrip()
        if "html" in exchange.media_type or body.startswith(b"<"):
            return self._error(WebPageError, _PAGE, exchange, task_id)
        if error is None:
            length = exchange.header("content-length")
            size = "" if length is None else f" (Content-Length: {self._quoted(length)})"
            message = f"{exchange.failure}{size}; check the base URL, and if it is right, {_RAISE}"
        elif isinstance(error, OversizeError):
            message = f"the body {error}, {_WHATEVER}"
        elif not body:
            return self._missing(EmptyAnswerError, "the answer is empty", exchange, task_id)
        else:
            message = f"no JSON came: {error}; try again later, or check the base URL"
        return self._error(UndecodableError, message, exchange, task_id)

    def _refusal(self, exchange: Exchange, task_id: str | None) -> RelayError:
        """The error that an answer without a document stands for: by the contract, else by its status."""
        status, said = exchange.status or 0, self._said(exchange)
        answered = f"answered {status}{said}"
        if self._means(exchange, "missing"):
            return self._missing(MissingTaskError, answered, exchange, task_id)
        kind: type[RelayError] = AnswerError
        if status == 401 or self._means(exchange, "unauthorized"):
            kind, message = UnauthorizedError, f"the key was refused{said}; {self._ways()}"
        elif status == 403 or self._means(exchange, "forbidden"):
            kind, message = ForbiddenError, f"{answered}; {_LIMITED}"
        elif status == 429:
            kind, message = RateLimitedError, f"{answered}: too many requests; ask less often"
        elif status >= 500 or status in {408, 425}:
            kind, message = UnavailableError, f"{answered}; try again later"
        elif "html" in exchange.media_type:
            message = f"answered {status}; {_PAGE}"
        elif status in {204, 404}:
            return self._missing(MissingTaskError, answered, exchange, task_id)
        elif 300 <= status < 400:
            target = self._quoted(exchange.header("location") or "nowhere")
            message = f"answered {status}, to {target}; none is followed: if it is right, give it as base URL"
        else:
            message = f"{answered}; check the base URL"
        return self._error(kind, message, exchange, task_id)

    def _means(self, exchange: Exchange, meaning: str) -> bool:
        return any(matcher.matches(exchange) for matcher in getattr(self.contract.reader, meaning))

    def _ways(self) -> str:
        if self.credential is None:
            return "none was sent; give one with api_key= or in the environment"
        others = [one for one in self.contract.credentials if one != self.credential]
        allowed = " or ".join(f"{one} (scheme={one.scheme!r})" for one in others)
        tried = f"it was sent as {self.credential}"
        return tried + (
            f"; the contract also allows {allowed}" if allowed else "; the contract allows no other"
        )

    def _missing(
        self, kind: type[MissingTaskError], found: str, exchange: Exchange, task_id: str | None
    ) -> RelayError:
        which = "nothing here" if task_id is None else f"no task {task_id}"
        hint = "check the id, the base URL, and that the key belongs to whoever submitted it"
        return self._error(kind, f"there is {which} ({found}); {hint}", exchange, task_id)

    def _said(self, exchange: Exchange) -> str:
        """What an error document says, in brackets."""
        if exchange.object is None:
            return ""
        said = ": ".join(filter(None, self.contract.reader.error(exchange.object)))
        return f" ({self._quoted(said)})" if said else ""

    def _quoted(self, foreign: str) -> str:
        return self.redactor.excerpt(foreign, 200)

    def _error(
        self, kind: type[RelayError], message: str, exchange: Exchange, task_id: str | None
    ) -> RelayError:
        return kind(
            message,
            relay=self.contract.name,
            task_id=task_id,
            exchange=exchange,
            retry_after=retry_after(exchange),
        )
