"""Turn responses into tasks, seeds and errors."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from mjrelay.base import PatternError, SettingError, setting_name, time_limit
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
    UnreachableError,
    WebPageError,
    WrongTaskError,
    stage_of,
)
from mjrelay.http import (
    FailureKind,
    NotJSONError,
    OversizeError,
    is_challenge,
    is_web_page,
    parse_json,
    retry_after,
    shown_url,
)
from mjrelay.semantics import scalar_text
from mjrelay.transport import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mjrelay.client.events import PollResult
    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Exchange, Redactor
    from mjrelay.semantics import Matcher


_WEB_PAGE = "the response is a web page"
_BLOCKED = "something in front of the relay blocks programs; ask the relay's operator, or"
_FIXED_LIMIT = "independent of max_body="
_FORBIDDEN = "check what the key is limited to, such as models, IP addresses or its own tasks"

_TRANSIENT = {408, 425, 429}
"""Status codes below 500 of errors that pass."""


@frozen
class ResponseReader:
    """
    Reads responses by a relay's contract.

    Args:
        contract: The relay's contract.
        redactor: Removes secrets from what error messages quote.
        credential: How the key was sent, or None without a key.
        max_body: Maximum size of a callback's body, in bytes.
        timeout: Seconds for the contract's patterns, per response.
    """

    contract: Contract
    redactor: Redactor = field(repr=False)
    credential: Credential | None
    max_body: int = LARGEST_BODY
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
        """Return the requested task; raise a `RelayError`."""
        with self._limited(exchange, task_id):
            return self._task(exchange, task_id)

    def _task(self, exchange: Exchange, task_id: str) -> Task:
        reader = self.contract.reader
        document = self._document(exchange, task_id)
        found = reader.id(document) if reader.accepts(document) else None
        if found is None:
            message = f"a 200 without a task{self._detail(exchange)}"
            raise self._error(EnvelopeError, message, exchange, task_id)
        if found != task_id and scalar_text(found) != task_id:
            message = f"requested task {task_id}, but the response holds {self._quote(repr(found))}"
            raise self._error(WrongTaskError, message, exchange, task_id)
        return self._checked(Task(self.contract, document, exchange))

    def tasks(self, exchange: Exchange, ids: Sequence[str]) -> Mapping[str, Task | RelayError]:
        """Return the task or error of each id; raise a `RelayError` if the response is no list of tasks."""
        with self._limited(exchange, None):
            return self._tasks(exchange, ids)

    def _tasks(self, exchange: Exchange, ids: Sequence[str]) -> Mapping[str, Task | RelayError]:
        batch, reader = self.contract.reader.batch, self.contract.reader
        document = self._document(exchange, None, single=False)
        if batch is None or not isinstance(document, list | dict):
            raise self._error(EnvelopeError, "a 200 without a list of tasks", exchange, None)
        items = batch.documents(document)
        bare = batch.bare(document)
        found: dict[str, Task] = {}
        for item in items if bare else filter(reader.accepts, items):
            item_id = scalar_text(reader.id(item))
            if item_id is None:
                continue
            task = Task(self.contract, item, exchange)
            # Some servers list the task before a modal submission beside the one after it.
            if item_id not in found or stage_of(task) >= stage_of(found[item_id]):
                found[item_id] = task
        if not found and (items or not self._is_empty_list(document)):
            detail = self._detail(exchange)
            raise self._error(EnvelopeError, f"a 200 without a list of tasks{detail}", exchange, None)
        missing = "it is not in the response to the batch"
        return {
            task_id: self._checked(found[task_id])
            if task_id in found
            else self._missing(MissingTaskError, missing, exchange, task_id)
            for task_id in ids
        }

    def results(self, exchange: Exchange, ids: tuple[str, ...]) -> PollResult:
        """Return the task or error of each id, or the error of the whole response."""
        try:
            if len(ids) > 1:
                return self.tasks(exchange, ids)
            return {ids[0]: self.task(exchange, ids[0])}
        except RelayError as error:
            return error

    def seed(self, exchange: Exchange, task_id: str) -> str:
        """Return the seed of a task's image; raise a `RelayError`."""
        with self._limited(exchange, task_id):
            return self._seed(exchange, task_id)

    def _seed(self, exchange: Exchange, task_id: str) -> str:
        form = self.contract.reader.seed
        document = self._document(exchange, task_id, single=False)
        found = None if form is None else scalar_text(form.value.first(document))
        if found is None:
            message = f"a 200 without a seed{self._detail(exchange)}; retry when the task has succeeded"
            raise self._error(EnvelopeError, message, exchange, task_id)
        return found

    def found(self, exchange: Exchange, wanted: str) -> list[Task]:
        """Return the listed tasks with a state token or a prompt; raise a `RelayError`."""
        with self._limited(exchange, None):
            reader, lookup = self.contract.reader, self.contract.reader.lookup
            documents = (
                [] if lookup is None else lookup.documents(self._document(exchange, None, single=False))
            )
            value = reader.token if lookup is not None and lookup.by == "state" else reader.prompt
            found = [one for one in documents if reader.accepts(one) and value(one) == wanted]
            return [self._checked(Task(self.contract, one, exchange)) for one in found if reader.id(one)]

    def _is_empty_list(self, document: Any) -> bool:
        """Return whether a document without tasks is an empty list, not an error."""
        reader, batch = self.contract.reader, self.contract.reader.batch
        if batch is None or not batch.listed(document):
            return False
        enveloped = bool(batch.place) and isinstance(document, dict)
        return not enveloped or reader.accepts(batch.placed({}, batch.around(document)))

    def read(self, body: Any) -> Task:
        """Parse a task from a callback's body, or from parsed JSON; raise an `AnswerError`."""
        name = self.contract.name
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        elif not isinstance(body, bytes):
            try:
                body = json.dumps(body).encode()  # a copy within the bounds of a body
            except (TypeError, ValueError, RecursionError) as error:
                raise SettingError(
                    f"the body, of type {type(body).__name__}, cannot be read as JSON ({error}); pass bytes, "
                    "text or parsed JSON"
                ) from error
        if len(body) > self.max_body:
            message = f"the body has {len(body)} bytes, the limit is {self.max_body}; increase max_body="
            raise UndecodableError(message, relay=name)
        try:
            document = parse_json(body)
        except OversizeError as error:
            raise UndecodableError(f"the body {error}, {_FIXED_LIMIT}", relay=name) from error
        except NotJSONError as error:
            message = f"the body is not JSON: {error}; pass it as received"
            raise UndecodableError(message, relay=name) from error
        reader = self.contract.reader
        with self._limited(None, None):
            if not reader.accepts(document) or reader.id(document) is None:
                raise EnvelopeError("the body holds no task", relay=self.contract.name)
            return self._checked(Task(self.contract, document))

    @contextmanager
    def _limited(self, exchange: Exchange | None, task_id: str | None) -> Iterator[None]:
        """Limit the time of the contract's patterns; raise `AnswerError` beyond it."""
        try:
            with time_limit(self.timeout):
                yield
        except PatternError as error:
            raise AnswerError(
                f"the contract's patterns failed: {self._quote(str(error))}",
                relay=self.contract.name,
                task_id=task_id,
                exchange=exchange,
            ) from error

    def _checked(self, task: Task) -> Task:
        """Return the task; read it once for a user's contract, so that a slow pattern fails here."""
        if self.contract.outside:
            task.to_dict()
        return task

    def _document(self, exchange: Exchange, task_id: str | None, *, single: bool = True) -> Any:
        """
        Return the document of a 200; raise a `RelayError` for any other response.

        Matchers of a missing task's document apply to the response for a ``single`` task only.
        """
        cut = exchange.failure is not None and exchange.oversize
        if exchange.failure is not None and exchange.failure_kind is FailureKind.SETUP:
            raise self._error(UnreachableError, exchange.failure, exchange, task_id)
        if exchange.failure is not None and not cut:
            raise self._error(TransportError, f"{exchange.failure}; try again later", exchange, task_id)
        missing = (one for one in self._missing_in_a_200 if single or one.where is None)
        matchers = (*self._refused_in_a_200, *missing)
        if cut and exchange.status == 200:
            raise self._undecodable(exchange, task_id)
        if exchange.status != 200 or any(matcher.matches(exchange) for matcher in matchers):
            raise self._refusal(exchange, task_id)
        try:
            document = exchange.document
        except NotJSONError as error:
            raise self._undecodable(exchange, task_id, error) from error
        if document is None:
            raise self._missing(EmptyAnswerError, "the response body is empty", exchange, task_id)
        return document

    def _undecodable(
        self, exchange: Exchange, task_id: str | None, error: NotJSONError | None = None
    ) -> RelayError:
        """Return the error of a 200 whose body is not JSON or too large."""
        if is_web_page(exchange):
            return self._error(WebPageError, f"{_WEB_PAGE}; {_base_url(exchange)}", exchange, task_id)
        if error is None:
            length = exchange.header("content-length")
            size = "" if length is None else f" (Content-Length: {self._quote(length)})"
            limit = f"increase {setting_name('max_body')}"
            message = f"{exchange.failure}{size}; {_base_url(exchange)}; if it is right, {limit}"
        elif isinstance(error, OversizeError):
            message = f"the body {error}, {_FIXED_LIMIT}"
        elif not exchange.body.strip():
            return self._missing(EmptyAnswerError, "the response body is empty", exchange, task_id)
        else:
            message = f"the response is not JSON: {error}; try again later, or {_base_url(exchange)}"
        return self._error(UndecodableError, message, exchange, task_id)

    def _refusal(self, exchange: Exchange, task_id: str | None) -> RelayError:
        """Return the error of a response without a task: by the contract's matchers, then by its status."""
        status, detail = exchange.status or 0, self._detail(exchange)
        returned = f"returned {status}{detail}"
        passes = status >= 500 or status in _TRANSIENT
        if not passes and is_web_page(exchange) and not self.contract.documents_page(status):
            return self._page(exchange, task_id)
        if self._matches(exchange, "missing"):
            return self._missing(MissingTaskError, returned, exchange, task_id)
        kind: type[RelayError] = AnswerError
        if status == 401 or self._matches(exchange, "unauthorized"):
            kind, message = UnauthorizedError, f"the key was refused{detail}; {self._credential_hint()}"
        elif status == 403 or self._matches(exchange, "forbidden"):
            kind, message = ForbiddenError, f"{returned}; {_FORBIDDEN}"
        elif status == 429:
            kind, message = RateLimitedError, f"{returned}: too many requests; lower the rate"
        elif passes:
            kind, message = UnavailableError, f"{returned}; try again later"
        elif status in {204, 404}:
            return self._missing(MissingTaskError, returned, exchange, task_id)
        elif 300 <= status < 400:
            target = self._quote(exchange.header("location") or "nowhere")
            message = f"returned {status} to {target}; redirects are not followed, so {_base_url(exchange)}"
        else:
            message = f"{returned}; {_base_url(exchange)}"
        return self._error(kind, message, exchange, task_id)

    def _page(self, exchange: Exchange, task_id: str | None) -> RelayError:
        """Return the error of a web page that does not come from the relay; a challenge may pass."""
        challenge = is_challenge(exchange)
        what = f"returned {exchange.status} with a {'browser challenge' if challenge else 'web page'}"
        hint = f": {_BLOCKED} " if exchange.status in {401, 403} else "; "
        message = f"{what}{hint}{_base_url(exchange)}"
        error = self._error(WebPageError, message, exchange, task_id)
        error.transient = challenge
        return error

    def _matches(self, exchange: Exchange, list_name: str) -> bool:
        return any(matcher.matches(exchange) for matcher in getattr(self.contract.reader, list_name))

    def _credential_hint(self) -> str:
        if self.credential is None:
            return f"no key was sent; set {setting_name('api_key')} or the environment variable"
        others = [one for one in self.contract.credentials if one != self.credential]
        allowed = " or ".join(f"{one} ({setting_name('scheme', one.scheme)})" for one in others)
        other = f"; the contract also allows {allowed}" if allowed else ""
        return f"it was sent as {self.credential}{other}"

    def _missing(
        self, kind: type[MissingTaskError], reason: str, exchange: Exchange, task_id: str | None
    ) -> RelayError:
        what = "the batch was not found" if task_id is None else f"there is no task {task_id}"
        hint = "check the id, that the key is the one that submitted the task, or"
        return self._error(kind, f"{what} ({reason}); {hint} {_base_url(exchange)}", exchange, task_id)

    def _detail(self, exchange: Exchange) -> str:
        """Return the relay's error message, in parentheses."""
        if exchange.object is None:
            return ""
        message = ": ".join(filter(None, self.contract.reader.error(exchange.object)))
        return f" ({self._quote(message)})" if message else ""

    def _quote(self, text: str) -> str:
        return self.redactor.excerpt(text, 200)

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


def _base_url(exchange: Exchange) -> str:
    return f"check the base URL (tried {shown_url(exchange.url)})"
