"""What `Relay` and `AsyncRelay` share: everything but the sending and the sleeping."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack

from attrs import evolve

from mjrelay.base import Clock, PlainHTTPWarning, SettingError, __version__
from mjrelay.client.options import WIRED, ClientOptions, OptionChanges, check_seconds, checked_id
from mjrelay.client.polling import GRACE, Event, Polling, PollRequest, TaskChanged, TaskEnded, TaskLost, ends
from mjrelay.client.responses import ResponseReader
from mjrelay.client.schedule import RefreshModel
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.client.task import DownloadError, RelayError, SomeTasksError, Task
from mjrelay.contract import (
    Template,
    checked_key,
    environment_key,
    load_contract,
    missing_key,
    resolve_base_url,
)
from mjrelay.download import Downloader, DownloadFaults
from mjrelay.http import (
    REDACTED,
    Redactor,
    Request,
    checked_url,
    is_loopback_url,
    origin_and_target,
    parse_json,
)
from mjrelay.semantics import State
from mjrelay.transport import LARGEST_BATCH, LARGEST_BODY, TransportConfig

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from os import PathLike
    from pathlib import Path

    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Exchange, Headers

    PollResult = Mapping[str, Task | RelayError] | Exception
    """What becomes of a request: a `RelayError` is the relay's doing, every other exception our own."""


W = TypeVar("W")
"""The wire."""

_ID = "0mjrelay0"
"""An id that stands for any."""

_LEAST = 1.0
"""Seconds that a request may take at least, however near the deadline of a whole wait is."""

_FETCHED = 2
"""Troubles in a row that are borne for a task that is only looked at."""

_warned: set[str] = set()


class BaseRelay(Generic[W]):
    """A relay by its contract, and the meaning of what it sends; how to send is the subclass's."""

    _connect: Callable[..., W]
    """Makes the wire along which requests go; static, so that a wire does not keep its relay alive."""

    def __init__(
        self,
        name: str | PathLike[str],
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        overlays: Iterable[str | PathLike[str]] = (),
        scheme: str | None = None,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        proxy: str | None = None,
        verify: bool | str | ssl.SSLContext = True,
        client: Any = None,
        fast: bool = False,
        connections: int = 100,
        retries: int = 8,
        max_body: int | None = None,
        on_exchange: Callable[[Exchange, tuple[str, ...]], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if isinstance(overlays, str):
            raise SettingError("overlays is one text; give a list of files")
        contract = load_contract(name, overlays)
        options = ClientOptions(
            api_key=api_key or environment_key(contract, base_url),
            base_url=resolve_base_url(base_url, contract.base_url, contract.name),
            scheme=scheme,
            timeout=timeout,
            headers=headers or {},
            user_agent=user_agent,
            proxy=proxy,
            verify=verify,
            client=client,
            fast=fast,
            connections=connections,
            retries=retries,
            max_body=max_body,
            on_exchange=on_exchange,
            clock=clock or Clock(),
        )
        self._set_up(contract, options, RefreshModel(contract.reader.refresh))
        self._shared, self._owner = self._connected(), True

    @property
    def name(self) -> str:
        """The relay's name."""
        return self._contract.name

    @property
    def base_url(self) -> str:
        """Where the relay is: scheme, host, and the path that stands before the contract's."""
        return self._options.base_url

    def read(self, body: bytes) -> Task:
        """
        The task in a body that the relay sent by itself, to a callback for instance.

        Nothing proves who sent it: take it for a hint, and `fetch` the task. Raises `UndecodableError` and
        `EnvelopeError`.
        """
        return self._answers.read(body)

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """
        The same relay with other options; the connections are shared where the change allows it.

        Closing it leaves shared connections open: they are closed with the relay that opened them.
        """
        unknown = changes.keys() - OptionChanges.__annotations__.keys()
        if unknown:
            known = ", ".join(OptionChanges.__annotations__)
            raise SettingError(f"{min(unknown)} is no option that can be changed; these are: {known}")
        wired = changes.keys() & WIRED
        if wired and self._options.client is not None:
            raise SettingError(f"{min(wired)} cannot be changed: the connections are those of client=")
        if "base_url" in changes:
            changes["base_url"] = checked_url(changes["base_url"] or "")
        if "headers" in changes:
            changes["headers"] = changes["headers"] or {}
        other = object.__new__(type(self))
        other._set_up(self._contract, evolve(self._options, **changes), self._rhythm)
        other._shared, other._owner = self._shared, False
        if wired or "headers" in changes:  # a header's value is kept out of what the wire tells
            other._shared, other._owner = other._connected(), True
        return other

    def __repr__(self) -> str:
        if not hasattr(self, "_contract"):  # a traceback may show one that was never finished
            return f"{type(self).__name__}(…)"
        return f"{type(self).__name__}({self.name!r}, base_url={self.base_url!r})"

    @property
    def _transport(self) -> W:
        return self._shared.get()

    def _connected(self) -> SharedTransport[W]:
        options = self._options
        make = partial(self._connect, self._link(), fast=options.fast, client=options.client)
        return SharedTransport(make, client=options.client is not None)

    def _set_up(self, contract: Contract, options: ClientOptions, rhythm: RefreshModel) -> None:
        """Take the options; raises `SettingError` for what cannot be used."""
        key = options.api_key
        if key is not None:
            checked_key(key)
        elif not contract.open:
            raise SettingError(missing_key(contract, "give api_key="))
        self._contract, self._options, self._rhythm = contract, options, rhythm
        self._credential = None if key is None else _chosen(contract, options.scheme)
        options.check(self._credential)
        self._redactor = Redactor(*options.secrets())
        largest = options.max_body or LARGEST_BODY
        self._answers = ResponseReader(contract, self._redactor, self._credential, largest, options.timeout)
        self._origin, self._path = origin_and_target(options.base_url, contract.path)
        self._seed_path = contract.seed_path and origin_and_target(options.base_url, contract.seed_path)[1]
        self._batch_path = contract.batch_path and origin_and_target(options.base_url, contract.batch_path)[1]
        agent = f"mjrelay/{__version__}" + (f" {options.user_agent}" if options.user_agent else "")
        self._fields: Headers = (("User-Agent", agent), *options.headers.items())
        self._shown: Headers = (("User-Agent", agent), *((name, REDACTED) for name in options.headers))
        self._template = Template.of(self._composed((_ID,)), _ID)
        if key is not None:
            _warn_of_plain_http(self._origin)

    def _link(self) -> TransportConfig:
        options = self._options
        return TransportConfig(
            origin=self._origin,
            redactor=self._redactor,
            proxy=options.proxy,
            verify=options.verify,
            connections=options.connections,
        )

    def _asking(self, ids: tuple[str, ...]) -> Request:
        """The request for one task, or for several at once."""
        if len(ids) == 1 and self._template is not None:
            return self._template.fill(ids[0])
        return self._composed(ids)

    def _composed(self, ids: tuple[str, ...]) -> Request:
        if len(ids) == 1:
            request = self._contract.request(ids[0], self._path)
        else:
            request = self._contract.batch_request(ids, self._batch_path)
        return self._signed(request)

    def _largest(self, ids: tuple[str, ...]) -> int:
        """Bytes that the response to a request for these ids may have."""
        return self._options.max_body or (LARGEST_BATCH if len(ids) > 1 else LARGEST_BODY)

    def _asking_for_seed(self, task_id: str) -> Request:
        """The request for the seed of a task's image; raises `SettingError` where the relay tells none."""
        if self._contract.seed is None:
            raise SettingError(
                f"{self.name} tells no seeds: its contract has no seed in x-mj-task; if the relay has an "
                "operation for it, describe that there"
            )
        return self._signed(self._contract.seed_request(checked_id(task_id), self._seed_path))

    def _signed(self, request: Request) -> Request:
        """The request as it is sent: with our header fields, the caller's, and the key."""
        request = request.with_headers(self._fields, self._shown)
        if self._credential is not None and self._options.api_key is not None:
            request = request.authenticated(self._credential, self._options.api_key)
        return request

    def _told(self, ask: PollRequest, exchange: Exchange) -> Mapping[str, Task | RelayError] | RelayError:
        """What an answer says of each id, or why it says nothing; the hook is told of it."""
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, ask.ids)
        try:
            if len(ask.ids) > 1:
                return self._answers.tasks(exchange, ask.ids)
            return {ask.ids[0]: self._answers.task(exchange, ask.ids[0])}
        except RelayError as error:
            return error

    def _told_of_seed(self, exchange: Exchange, task_id: str) -> str:
        """The seed that an answer tells; the hook is told of it."""
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, (task_id,))
        return self._answers.seed(exchange, task_id)

    def _waiting(
        self,
        ids: Iterable[str],
        timeout: float,
        *,
        concurrency: int = 1,
        rate: float | None = None,
        batch: bool = False,
        once: bool = False,
    ) -> Polling:
        """The machine that waits for these tasks; with ``once`` any state of them will do."""
        clock, reader = self._options.clock, self._contract.reader
        if isinstance(ids, str):
            raise SettingError("ids is one text; give a list of ids")
        ids = [checked_id(task_id) for task_id in ids]
        check_seconds(timeout)
        if rate is not None and not 0 < rate < math.inf:
            raise SettingError(f"rate is {rate!r}; give requests per second above 0, or None for no bound")
        if concurrency < 1 or int(concurrency) != concurrency:
            raise SettingError(f"concurrency is {concurrency!r}; give a whole number above 0")
        now = clock.now()
        waiting = Polling(
            relay=self.name,
            rhythm=self._rhythm,
            redactor=self._redactor,
            restore=lambda body: Task(self._contract, parse_json(body)),
            started=now,
            epoch=clock.time() - now,
            deadline=now + timeout,
            retries=min(self._options.retries, _FETCHED) if once else self._options.retries,
            concurrency=concurrency,
            rate=rate,
            batch=int(reader.batch.limit or len(ids) or 1) if batch and reader.batch else None,
            until=(lambda _: True) if once else ends,
            grace=0.0 if once else GRACE,
        )
        for task_id in ids:
            waiting.add(task_id, now)
        return waiting

    def _patience(self, waiting: Polling) -> float:
        """Seconds that the next request of a wait may take."""
        left = waiting.deadline - self._options.clock.now()
        return min(self._options.timeout, max(left, _LEAST))

    def _downloader(self, *, allow_private: bool) -> Downloader:
        options = self._options
        return Downloader(
            home=self._origin,
            redactor=self._redactor,
            allow_private=allow_private,
            proxy=options.proxy,
            verify=options.verify,
        )

    def _media(self, task: Task, *, previews: bool) -> tuple[str, ...]:
        """The URLs of what a task made; raises `DownloadError` where it made nothing yet."""
        media = (*task.images, *task.videos, *(task.previews if previews else ()))
        if not media and task.state is not State.SUCCEEDED:
            hint = "there is nothing to come" if task.state.terminal else "wait for it"
            if task.previews:
                hint = "take what it shows with previews=True"
            raise DownloadError(
                f"task {task.id} is {task.state} and shows nothing to download; {hint}",
                failures={},
                paths=(),
                relay=self.name,
                task=task,
            )
        return media

    def _download(
        self,
        downloader: Downloader,
        task: Task,
        media: tuple[str, ...],
        folder: Path,
        **events: Any,
    ) -> list[Path]:
        try:
            previews = task.state is not State.SUCCEEDED
            return downloader.download(task.id, media, folder, previews=previews, **events)
        except DownloadFaults as faults:
            failures = {fault.url: fault.message for fault in faults.faults}
            raise DownloadError(
                f"task {task.id}: {'; '.join(failures.values())}",
                failures=failures,
                paths=faults.paths,
                relay=self.name,
                task=task,
            ) from faults


def expected(answer: PollResult) -> Mapping[str, Task | RelayError] | RelayError:
    """The answer; raises it where it is an error of our own."""
    if isinstance(answer, Exception) and not isinstance(answer, RelayError):
        raise answer
    return answer


class Collector:
    """Hands out tasks as they end, and keeps what went wrong until the others are done."""

    def __init__(
        self,
        on_progress: Callable[[Task], object] | None = None,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> None:
        self._on_progress, self._on_error = on_progress, on_error
        self._errors: list[RelayError] = []

    def take(self, event: Event) -> Iterator[Task]:
        """The task, where one has ended."""
        match event:
            case TaskEnded(task) | TaskChanged(task):
                if self._on_progress is not None:
                    self._on_progress(task)
                if isinstance(event, TaskEnded):
                    yield task
            case TaskLost(error):
                take = self._errors.append if self._on_error is None else self._on_error
                take(error)

    def finish(self) -> None:
        """Raise `SomeTasksError` where an error was given to nobody."""
        if self._errors:
            raise SomeTasksError(self._errors)


def _chosen(contract: Contract, scheme: str | None) -> Credential | None:
    """The way to authenticate: the one of that name, else the relay's own first."""
    ways = contract.credentials
    if scheme is None:
        return ways[0] if ways else None
    for way in ways:
        if way.scheme == scheme:
            return way
    known = ", ".join(repr(way.scheme) for way in ways) or "none"
    raise SettingError(f"{contract.name} has no security scheme {scheme!r}; the contract knows {known}")


def _warn_of_plain_http(origin: str) -> None:
    if origin.startswith("http:") and not is_loopback_url(origin) and origin not in _warned:
        _warned.add(origin)
        message = f"the key goes to {origin} unencrypted; give https:// if the relay speaks it"
        warnings.warn(message, PlainHTTPWarning, stacklevel=4)
