"""The face: a relay by its name, and the tasks on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from mjrelay import _contract, _settings
from mjrelay._exchange import NotJSONError
from mjrelay._redaction import Redactor
from mjrelay._task import Task
from mjrelay._wire import Wire
from mjrelay.errors import (
    AnswerError,
    MissingTaskError,
    RelayError,
    SettingError,
    TransportError,
    UnauthorizedError,
    WrongTaskError,
)

if TYPE_CHECKING:
    from types import TracebackType

    from mjrelay._exchange import Exchange


class Relay:
    """
    One relay, by the name of its contract.

    The key comes from ``MJRELAY_<RELAY>_API_KEY`` or ``MJRELAY_API_KEY`` where it is not given, the base URL
    from ``MJRELAY_BASE_URL`` or the contract; ``timeout`` bounds one request in seconds. Raises
    `UnknownRelayError` and `SettingError`.
    """

    def __init__(
        self, name: str, api_key: str | None = None, *, base_url: str | None = None, timeout: float = 30.0
    ) -> None:
        self._contract = _contract.contract(name)
        self._key = api_key or _settings.api_key(self._contract.name)
        if self._key is None and not self._contract.open:
            raise SettingError(
                f"no key for {self._contract.name}: set {_settings.key_variable(self._contract.name)} or "
                "MJRELAY_API_KEY, or give api_key="
            )
        if self._key is not None:
            _settings.checked_key(self._key)
        url = _settings.base_url(base_url, self._contract.base_url, self._contract.name)
        self._wire = Wire(url, Redactor(self._key or ""), timeout)

    @property
    def name(self) -> str:
        """The relay's name."""
        return self._contract.name

    def fetch(self, task_id: str) -> Task:
        """
        The task as it stands now; one request.

        Raises `UnauthorizedError`, `MissingTaskError`, `TransportError`, `WrongTaskError` and `AnswerError`,
        all of them `RelayError`.
        """
        request = self._contract.request(task_id)
        if self._key is not None and self._contract.credentials:
            request = request.authenticated(self._contract.credentials[0], self._key)
        exchange = self._wire.send(request)
        document = self._document(exchange, task_id)
        found = self._contract.reader.id(document)
        if str(found) != task_id:
            raise self._error(
                WrongTaskError, f"asked for task {task_id}, but got {self._shown(found)}", exchange, task_id
            )
        return Task.read(self.name, self._contract.reader, document)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Relay({self.name!r}, base_url={self._wire.base_url!r})"

    def _document(self, exchange: Exchange, task_id: str) -> Any:
        """The document of an answer that is a task, whoever's; everything else is raised."""
        reader = self._contract.reader
        if exchange.failure is not None:
            raise self._error(TransportError, exchange.failure, exchange, task_id)
        if any(matcher.matches(exchange) for matcher in reader.missing):
            hint = "check the id, and that the key belongs to whoever submitted it"
            raise self._error(MissingTaskError, f"there is no task {task_id}; {hint}", exchange, task_id)
        if exchange.status == 401 or any(matcher.matches(exchange) for matcher in reader.unauthorized):
            tried, *others = map(str, self._contract.credentials or ["nothing"])
            ways = f"it was sent as {tried}" + (
                f"; the contract also allows {' or '.join(others)}" if others else ""
            )
            raise self._error(UnauthorizedError, f"the key was refused; {ways}", exchange, task_id)
        if exchange.status != 200:
            said = f"answered {exchange.status}{self._said(exchange)}; {_hint(exchange.status)}"
            raise self._error(AnswerError, said, exchange, task_id)
        try:
            document = exchange.document
        except NotJSONError as error:
            page = "html" in exchange.media_type or exchange.body.lstrip()[:1] == b"<"
            hint = "this looks like a web page: is the base URL right?" if page else f"no JSON came: {error}"
            raise self._error(AnswerError, hint, exchange, task_id) from error
        if not reader.accepts(document) or reader.id(document) is None:
            raise self._error(AnswerError, f"a 200 without a task{self._said(exchange)}", exchange, task_id)
        return document

    def _shown(self, value: Any) -> str:
        return self._wire.redactor.text(repr(value)[:5000])[:200]

    def _said(self, exchange: Exchange) -> str:
        code, message = (
            (None, None) if exchange.object is None else self._contract.reader.error(exchange.object)
        )
        text = ": ".join(part for part in (code, message) if part)
        return f" ({self._wire.redactor.text(text[:5000])[:200]})" if text else ""

    def _error(self, kind: type[RelayError], message: str, exchange: Exchange, task_id: str) -> RelayError:
        return kind(message, relay=self.name, task_id=task_id, exchange=exchange)


def _hint(status: int | None) -> str:
    """What to do about a status that is neither a task nor a refusal that the contract knows."""
    if status == 429 or (status is not None and status >= 500):
        return "try again later"
    return "check what the key may do" if status == 403 else "check the base URL"
