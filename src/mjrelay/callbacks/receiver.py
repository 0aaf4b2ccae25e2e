"""The receiver of callbacks for one or several relays."""

from __future__ import annotations

import hmac
import inspect
import logging
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from mjrelay.base import SettingError
from mjrelay.callbacks.endpoint import CallbackEndpoint, Reply
from mjrelay.callbacks.inbox import Inbox, Recent
from mjrelay.client import AnswerError, AsyncRelay, check_rate, stage_of
from mjrelay.http import checked_url, printable_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from mjrelay.client import Task


_log = logging.getLogger("mjrelay")

_LONGEST_ID = 200
_SHORTEST_SECRET = 16


class Callbacks(CallbackEndpoint[str]):
    """An ASGI app that receives callbacks; made by `app`. Mount it, or serve it alone."""

    def __init__(
        self,
        relays: Mapping[str, AsyncRelay],
        on_task: Callable[[Task], object],
        known: Callable[[str], bool | Awaitable[bool]] | None,
        rate: float | None,
        secret: str | None,
    ) -> None:
        super().__init__(self._relay_at, self._receive)
        self._known = known
        self._inboxes = {name: Inbox(relay, on_task, rate) for name, relay in relays.items()}
        self._tokens = {name: _token(name, relay, secret) for name, relay in relays.items()}
        self._unknown = Recent()

    def url(self, base: str, relay: str | None = None) -> str:
        """
        Return the URL to pass as ``callback=`` of a submit. Keep it secret: a request to it causes a fetch.

        Args:
            base: The public URL at which the app is mounted.
            relay: The relay's name in the mapping; needed if there are several.

        Returns:
            The URL. It is the same after a restart.

        Raises:
            SettingError: The base is no http or https URL, or there is no such relay.
        """
        if relay is None and len(self._tokens) == 1:
            relay = next(iter(self._tokens))
        if relay not in self._tokens:
            names = ", ".join(self._tokens)
            raise SettingError(f"{relay!r} is not one of the relays; pass one of: {names}")
        return f"{checked_url(base)}/{self._tokens[relay]}"

    async def aclose(self) -> None:
        """Stop the fetches. A mounted app gets no shutdown event: call this in that of your own app."""
        for inbox in self._inboxes.values():
            await inbox.aclose()

    def __repr__(self) -> str:
        return f"Callbacks({', '.join(self._inboxes)})"

    def _relay_at(self, path: str) -> str | None:
        """Return the relay of a path by its last segment, so that any prefix may be mounted."""
        last = path.rpartition("/")[2].encode("utf-8", "replace")
        found = [name for name, token in self._tokens.items() if hmac.compare_digest(last, token.encode())]
        return next(iter(found), None)

    async def _receive(self, name: str, body: bytes) -> Reply:
        inbox = self._inboxes[name]
        try:
            task = inbox.relay.read(body)
        except AnswerError as error:
            _log.info("a callback of %s was refused: %s", name, error)
            return 400, "the body is not a task of this relay"
        if not 0 < len(task_id := task.id) <= _LONGEST_ID:
            return 400, f"the id is empty or longer than {_LONGEST_ID} characters"
        try:
            if not await self._is_known(task_id):
                if self._unknown.first_time(task_id):
                    _log.warning("a callback of %s names an unknown task, %s", name, printable_text(task_id))
                return 404, "unknown task"
        except Exception:  # noqa: BLE001 - a faulty function must not break the app
            _log.exception("known failed; the callback was refused, and polling still finds the task")
            return 503, "try again later"
        # A state that the contract does not list is no reason to skip a fetch before the end.
        stage = stage_of(task, unknown=State.RUNNING)
        return (204, "") if inbox.add(task_id, stage) else (503, "the queue is full")

    async def _is_known(self, task_id: str) -> bool:
        if self._known is None:
            return True
        known = self._known(task_id)
        return bool(await known) if inspect.isawaitable(known) else bool(known)


def app(
    relays: Mapping[str, AsyncRelay],
    *,
    on_task: Callable[[Task], object],
    known: Callable[[str], bool | Awaitable[bool]] | None = None,
    rate: float | None = 10.0,
    secret: str | None = None,
) -> Callbacks:
    """
    Return an ASGI app that receives callbacks, fetches their tasks, and calls a function with each.

    Nothing in a callback is trusted but the id. The task is fetched with the relay's key, after the reply.

    Args:
        relays: The relays by name. The name is part of what makes the path of a relay.
        on_task: Called with each fetched task; a plain or a coroutine function. Its exceptions are logged,
            and the next callback of the task calls it again.
        known: Returns whether a task id is yours; a plain or a coroutine function. If not, the reply is 404.
        rate: Maximum number of fetches per second and relay, or None.
        secret: At least 16 random characters from which the paths are derived. Default: the relay's key.

    Returns:
        The app.

    Raises:
        SettingError: An argument is invalid, or a relay has no key and there is no ``secret``.
    """
    _check(relays, on_task, known, secret)
    check_rate(rate)
    return Callbacks(relays, on_task, known, rate, secret)


def _check(relays: Any, on_task: Any, known: Any, secret: Any) -> None:
    if not isinstance(relays, Mapping) or not relays:
        raise SettingError("relays is not a dict of relays by name; pass {name: AsyncRelay(…)}")
    for name, relay in relays.items():
        if not isinstance(name, str) or not name or not isinstance(relay, AsyncRelay):
            raise SettingError(f"{name!r} is not the name of an AsyncRelay; pass {{name: AsyncRelay(…)}}")
    for argument, function in (("on_task", on_task), ("known", known)):
        if not callable(function) and (argument, function) != ("known", None):
            raise SettingError(f"{argument} is of type {type(function).__name__}; pass a function")
    if secret is not None and (not isinstance(secret, str) or len(secret) < _SHORTEST_SECRET):
        raise SettingError(f"secret is not text of at least {_SHORTEST_SECRET} characters")


def _token(name: str, relay: AsyncRelay, secret: str | None) -> str:
    """
    Derive the path of a relay, stable between restarts and machines.

    HMAC does not reveal its key, and a different input is hashed for each name.
    """
    if (key := secret or relay._options.api_key) is None:  # noqa: SLF001 - it stays in this process
        raise SettingError(f"{name} has no key from which to derive its path; pass secret=")
    digest = hmac.digest(key.encode(), b"mjrelay callbacks\0" + name.encode(), "sha256")
    return urlsafe_b64encode(digest[:24]).decode()
