"""What `Relay` and `AsyncRelay` share: all but sending and sleeping."""

from __future__ import annotations

import math
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, Never, Self, TypeVar, Unpack

from attrs import evolve

from mjrelay.base import Clock, SettingError
from mjrelay.client.actions import Actions, S
from mjrelay.client.batches import BatchSize
from mjrelay.client.downloads import download_task
from mjrelay.client.events import Collector, Watcher
from mjrelay.client.options import (
    CONNECTION_OPTIONS,
    ClientOptions,
    OptionChanges,
    check_callback,
    check_count,
    check_known,
    check_list,
    check_rate,
    check_seconds,
    warn_of_plain_http,
)
from mjrelay.client.polling import CONNECT_GRACE, Poller
from mjrelay.client.requests import RequestBuilder
from mjrelay.client.responses import ResponseReader
from mjrelay.client.rounds import Round
from mjrelay.client.schedule import RefreshModel
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.client.spending import SubmitLedger
from mjrelay.client.submission import id_of
from mjrelay.client.submitting import Submitter
from mjrelay.client.task import Task
from mjrelay.client.tickets import Ticket
from mjrelay.contract import (
    checked_key,
    environment_key,
    load_contract,
    missing_key,
    resolve_base_url,
)
from mjrelay.download import Downloader, source_name
from mjrelay.http import Redactor
from mjrelay.transport import LARGEST_BATCH, LARGEST_BODY, TransportConfig

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from mjrelay.client.actions import SubmitCall
    from mjrelay.client.events import EventHandler
    from mjrelay.client.spending import SubmitRecord
    from mjrelay.client.submission import TaskLike
    from mjrelay.client.task import RelayError
    from mjrelay.client.tickets import Poll
    from mjrelay.contract import Contract
    from mjrelay.download import Download
    from mjrelay.http import Credential, Exchange


T = TypeVar("T")  # the transport
I = TypeVar("I")  # noqa: E741 - the iterator of tasks

_OPTIONS = (
    *("name", "overlays", *OptionChanges.__annotations__, "client", "clock"),
    *("max_submits", "submit_retries", "submit_log", "log_prompts", "on_submit"),
)
"""The arguments of the constructor."""

_BATCH = 100
"""The number of tickets in one request if the contract has no limit."""

NO_SCHEME = "none"
"""The value of ``scheme`` that sends no key."""


class BaseRelay(Actions[S], Generic[T, I, S]):
    """A client of one relay, without the sending and the sleeping."""

    _connect: Callable[..., T]
    """Makes the transport; static, so that a transport does not keep its relay alive."""

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
        connect_grace: float = CONNECT_GRACE,
        max_body: int | None = None,
        on_exchange: Callable[[Exchange, tuple[str, ...]], object] | None = None,
        clock: Clock | None = None,
        max_submits: int | None = None,
        submit_retries: int = 3,
        submit_log: str | PathLike[str] | None = None,
        log_prompts: bool = False,
        on_submit: Callable[[SubmitRecord], object] | None = None,
        **unknown: Never,
    ) -> None:
        """
        Create a client. No request is sent.

        Args:
            name: A relay's name, or the path of your own contract.
            api_key: The key, with or without ``Bearer``. Default: ``MJRELAY_<RELAY>_API_KEY``, then
                ``MJRELAY_API_KEY``; the latter is not sent to a host that only your own contract names,
                unless ``base_url`` is set.
            base_url: The relay's URL; its path is put before the contract's paths. Default:
                ``MJRELAY_BASE_URL``, then the contract's server.
            overlays: Paths of overlays to apply to the contract.
            scheme: The name of a security scheme of the contract, or ``none`` to send no key. Default: the
                first scheme.
            timeout: Seconds for one request, including the response body.
            headers: Header fields for each request.
            user_agent: Text after ``mjrelay/<version>`` in the User-Agent, such as ``app/3``.
            proxy: A proxy's URL. Default: from the environment.
            verify: A CA file, an `ssl.SSLContext`, or False to disable TLS verification.
            client: An `httpx.Client` to send with (`httpx.AsyncClient` for `AsyncRelay`); it is not closed.
            fast: Use the Rust transport of the extra ``fast``.
            connections: Maximum number of open connections.
            retries: Maximum number of consecutive transient errors while waiting for a task.
            connect_grace: Seconds for which a wait retries a refused connection or an unknown host, if the
                relay has never responded.
            max_body: Maximum size of a response body in bytes, decompressed. Default: 4 MiB for one task,
                16 MiB for several.
            on_exchange: Called with each exchange and its task ids before the response is parsed, in the
                thread or event loop that sent the request. Its first exception is logged, all are ignored.
            clock: The clock to wait by; see `mjrelay.testing.NoWaitClock`.
            max_submits: Maximum number of submits of which a byte is sent, repeats included. Default: no
                limit.
            submit_retries: Maximum number of repeats of a submit that the relay did not take.
            submit_log: The path of a JSON Lines file to which each submit is written before it is sent, and
                again with its outcome.
            log_prompts: Write prompts to ``submit_log`` too.
            on_submit: Called with the same records. Its exceptions are logged and ignored.
            **unknown: Rejected, with the nearest option.

        Raises:
            UnknownRelayError: No contract has this name.
            ContractError: The contract or an overlay is invalid.
            SettingError: An option is invalid, or the key is missing.
            MissingExtraError: ``fast`` is set and its extra is not installed.
        """
        check_known(unknown, _OPTIONS)
        contract = load_contract(name, overlays)
        options = ClientOptions(
            api_key=environment_key(contract, base_url) if api_key is None else checked_key(api_key),
            base_url=resolve_base_url(base_url, contract),
            scheme=scheme,
            timeout=timeout,
            headers={} if headers is None else headers,
            user_agent=user_agent,
            proxy=proxy,
            verify=verify,
            client=client,
            fast=fast,
            connections=connections,
            retries=retries,
            connect_grace=connect_grace,
            max_body=max_body,
            on_exchange=on_exchange,
            clock=Clock() if clock is None else clock,
            max_submits=max_submits,
            submit_retries=submit_retries,
            submit_log=submit_log,
            log_prompts=log_prompts,
            on_submit=on_submit,
        )
        self._ledger = SubmitLedger(max_submits, submit_log, on_submit)
        self._set_up(contract, options, RefreshModel(contract.reader.refresh))
        self._shared, self._owner = self._new_transport(), True

    @property
    def name(self) -> str:
        """The relay's name."""
        return self._contract.name

    @property
    def base_url(self) -> str:
        """The relay's URL: scheme, host, and the path before the contract's paths."""
        return self._options.base_url

    def read(self, body: bytes | str | dict[str, Any] | list[Any]) -> Task:
        """
        Parse a task from the body of a callback.

        Callbacks are not signed: treat the task as a hint, and `fetch` it.

        Args:
            body: The request body as received, or the JSON that a framework parsed from it.

        Returns:
            The task; its ``exchange`` is None.

        Raises:
            UndecodableError: The body is not JSON, or is too large.
            EnvelopeError: The body holds no task.
            SettingError: The body is neither bytes, text nor parsed JSON.
        """
        return self._responses.read(body)

    def watch(self, task_id: TaskLike, *, timeout: float = 600.0) -> I:
        """
        Yield the task each time it has changed, and last in its final state.

        Args:
            task_id: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.

        Returns:
            An iterator of snapshots (an async iterator for `AsyncRelay`).

        Raises:
            WaitTimeoutError: The task has not ended after ``timeout`` seconds.
            RelayError: As in `fetch`.
        """
        return self._run(self._poller([task_id], timeout), Watcher())

    def wait_all(
        self,
        ids: Iterable[TaskLike],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_progress: Callable[[Task], object] | None = None,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> I:
        """
        Yield tasks in the order in which they end; each as `wait` returns it.

        Thousands of ids are fine. Batches are used if the contract has an endpoint for them.

        Args:
            ids: The task ids, submissions or tasks; duplicates are ignored.
            timeout: Seconds for the whole wait, including the time that your loop takes.
            concurrency: Maximum number of requests in flight.
            rate: Maximum number of requests per second, or None.
            on_progress: Called with each changed task.
            on_error: Called with the error of each task that could not be fetched.

        Returns:
            An iterator of tasks (an async iterator for `AsyncRelay`).

        Raises:
            SomeTasksError: Without ``on_error``, after the other tasks, if some could not be fetched.
        """
        check_callback("on_progress", on_progress)
        check_callback("on_error", on_error)
        poller = self._poller(ids, timeout, concurrency=concurrency, rate=rate, batch=True)
        return self._run(poller, Collector(on_progress, on_error))

    def fetch_all(
        self,
        ids: Iterable[TaskLike],
        *,
        timeout: float = 900.0,
        concurrency: int = 16,
        rate: float | None = 10.0,
        on_error: Callable[[RelayError], object] | None = None,
    ) -> I:
        """
        Yield the current state of several tasks, in the order of the responses.

        Args:
            ids: The task ids, submissions or tasks; duplicates are ignored.
            timeout: Seconds for the whole call, including the time that your loop takes.
            concurrency: Maximum number of requests in flight.
            rate: Maximum number of requests per second, or None.
            on_error: Called with the error of each task that could not be fetched.

        Returns:
            An iterator of tasks (an async iterator for `AsyncRelay`).

        Raises:
            SomeTasksError: Without ``on_error``, after the other tasks, if some could not be fetched.
        """
        check_callback("on_error", on_error)
        poller = self._poller(ids, timeout, concurrency=concurrency, rate=rate, batch=True, once=True)
        return self._run(poller, Collector(None, on_error))

    def ticket(self, task: TaskLike, *, timeout: float = 900.0) -> Ticket:
        """
        Return the ticket of a task: the state of waiting for it, to be stored. No request is sent.

        Pass it to `poll` when it is due, in any process; see docs/tickets.md.

        Args:
            task: The task's id, its submission, or the task.
            timeout: Seconds for the whole wait.

        Returns:
            The ticket, which is due immediately.

        Raises:
            SettingError: An argument is invalid.
        """
        task_id = id_of(self._contract, task)
        check_seconds("timeout", timeout)
        now = self._options.clock.time()
        return Ticket(self.name, task_id, now, now + timeout, now, passes=getattr(task, "passes", None))

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """
        Return the same relay with other options.

        Connections are shared unless a changed option affects them. Closing the new relay leaves shared
        connections open; they are closed with the relay that opened them.

        Args:
            **changes: Options of the constructor, except ``name``, ``overlays``, ``client`` and ``clock``.

        Returns:
            A new relay.

        Raises:
            SettingError: An option is invalid or cannot be changed.
            MissingExtraError: ``fast`` is set and its extra is not installed.
        """
        check_known(changes, OptionChanges.__annotations__)
        reconnect = changes.keys() & CONNECTION_OPTIONS
        if reconnect and self._options.client is not None:
            raise SettingError(f"{min(reconnect)} cannot be changed: the connections belong to client=")
        if "base_url" in changes:
            changes["base_url"] = resolve_base_url(changes["base_url"] or "", self._contract)
        if "api_key" in changes:
            changes["api_key"] = checked_key(changes["api_key"])
        if changes.get("headers", {}) is None:
            changes["headers"] = {}
        other = object.__new__(type(self))
        other._ledger = self._ledger
        model = self._refresh_model
        if changes.keys() & {"base_url", "api_key", "scheme"}:  # nothing is known about another server or key
            model = RefreshModel(self._contract.reader.refresh)
        other._set_up(self._contract, evolve(self._options, **changes), model)
        other._shared, other._owner = self._shared, False
        if reconnect or "headers" in changes:  # the transport redacts the values of headers
            other._shared, other._owner = other._new_transport(), True
        return other

    def __repr__(self) -> str:
        if not hasattr(self, "_contract"):  # a traceback may show an instance whose __init__ failed
            return f"{type(self).__name__}(…)"
        return f"{type(self).__name__}({self.name!r}, base_url={self.base_url!r})"

    def _run(self, poller: Poller, handler: EventHandler) -> I:
        """Drive the poller, and yield the handler's tasks."""
        raise NotImplementedError

    @property
    def _transport(self) -> T:
        return self._shared.get()

    def _new_transport(self) -> SharedTransport[T]:
        options = self._options
        config = TransportConfig(
            origin=self._requests.origin,
            redactor=self._redactor,
            proxy=options.proxy,
            verify=options.verify,
            connections=options.connections,
        )
        make = partial(self._connect, config, fast=options.fast, client=options.client)
        return SharedTransport(make, client=options.client is not None)

    def _set_up(self, contract: Contract, options: ClientOptions, refresh_model: RefreshModel) -> None:
        """Check the options and store what follows from them; raise `SettingError`."""
        key, scheme = options.api_key, options.scheme
        if key is not None:
            checked_key(key)
        elif not contract.open and scheme != NO_SCHEME:
            raise SettingError(missing_key(contract))
        credential = None if key is None else _credential(contract, scheme)
        options.check(credential)
        self._contract, self._options, self._refresh_model = contract, options, refresh_model
        self._redactor, self._responded = Redactor(*options.secrets()), False
        form = contract.reader.batch
        self._batch_size = BatchSize(None if form is None else int(form.limit or _BATCH))
        self._unknown_statuses: set[str] = set()
        self._requests = RequestBuilder(contract, options, credential)
        max_body = options.max_body or LARGEST_BODY
        self._responses = ResponseReader(contract, self._redactor, credential, max_body, options.timeout)
        if credential is not None:
            warn_of_plain_http(self._requests.origin)

    def _submitter(self, call: SubmitCall, parent: Task | None) -> Submitter:
        """Choose the operation of a submit and build its request; raise `SettingError`."""
        return Submitter.of(
            self._contract,
            call,
            parent,
            requests=self._requests,
            options=self._options,
            ledger=self._ledger,
            redactor=self._redactor,
        )

    def _record(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        """Note that the relay has responded, and pass the exchange to the caller's hook."""
        self._responded |= exchange.status is not None
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, ids)

    def _max_body(self, ids: tuple[str, ...]) -> int:
        """Return the maximum size of the body of a response for these ids."""
        return self._options.max_body or (LARGEST_BATCH if len(ids) > 1 else LARGEST_BODY)

    def _task(self, exchange: Exchange, task_id: str) -> Task:
        """Return the requested task; raise a `RelayError`."""
        task = self._responses.task(exchange, task_id)
        self._refresh_model.saw_task = True
        return task

    def _poller(
        self,
        ids: Iterable[TaskLike],
        timeout: float,
        *,
        concurrency: int = 1,
        rate: float | None = None,
        batch: bool = False,
        once: bool = False,
    ) -> Poller:
        """Return the poller of these tasks; with ``once`` any state ends the polling of a task."""
        clock, options, form = self._options.clock, self._options, self._contract.reader.batch
        check_list("ids", ids)
        tasks = [(id_of(self._contract, one), getattr(one, "passes", None)) for one in ids]
        check_seconds("timeout", timeout)
        check_rate(rate)
        check_count("concurrency", concurrency)
        now = clock.now()
        poller = Poller(
            contract=self._contract,
            model=self._refresh_model,
            redactor=self._redactor,
            started=now,
            unix_offset=clock.time() - now,
            deadline=now + timeout,
            request_timeout=options.timeout,
            once=once,
            retries=options.retries,
            connect_grace=math.inf if self._responded else options.connect_grace,
            concurrency=concurrency,
            rate=rate,
            batch_size=int(form.limit or len(tasks) or 1) if batch and form else None,
        )
        for task_id, passes in tasks:
            poller.add(task_id, now, passes)
        return poller

    def _round(self, tickets: Iterable[Ticket], concurrency: int) -> tuple[list[Ticket], Round]:
        """Return the tickets, checked, and the poller that polls each of them once."""
        clock, options = self._options.clock, self._options
        check_list("tickets", tickets)
        check_count("concurrency", concurrency)
        tickets = list(tickets)
        for ticket in tickets:
            if not isinstance(ticket, Ticket):
                raise SettingError(
                    f"the ticket is of type {type(ticket).__name__}; pass a Ticket of ticket()"
                )
            if ticket.relay != self.name:
                raise SettingError(f"the ticket is of the relay {ticket.relay!r}, and this is {self.name!r}")
            if id_of(self._contract, ticket.id) != ticket.id:
                raise SettingError(f"the ticket has no valid task id: {ticket.id!r}")
        now = clock.now()
        turn = Round(
            contract=self._contract,
            model=self._refresh_model,
            redactor=self._redactor,
            started=now,
            unix_offset=clock.time() - now,
            request_timeout=options.timeout,
            retries=options.retries,
            concurrency=min(concurrency, max(len(tickets), 1)),
            batch_size=self._batch_size,
            unknown_statuses=self._unknown_statuses,
        )
        turn.load(tickets, now)
        return tickets, turn

    def _polls(self, tickets: list[Ticket], turn: Round) -> list[Poll]:
        """Return the outcomes of a round, in the order of the tickets."""
        clock = self._options.clock
        polls = turn.polls(clock.now(), clock.time())
        return [polls[ticket.id] for ticket in tickets]

    def _download(
        self,
        task: Task,
        folder: str | PathLike[str],
        *,
        previews: bool,
        allow_private: bool,
        timeout: float,
        on_progress: Callable[[Download], object] | None,
        stop: threading.Event | None = None,
    ) -> list[Path]:
        if not isinstance(task, Task):
            raise SettingError(f"the task is of type {type(task).__name__}; pass a Task, as fetch returns it")
        if not isinstance(folder, str | PathLike):
            raise SettingError(f"the folder is of type {type(folder).__name__}; pass a path")
        check_callback("on_progress", on_progress)
        check_seconds("timeout", timeout)
        downloader = Downloader(
            home=self._requests.origin,
            source=source_name(self.name, self.base_url, self._contract.base_url),
            redactor=self._redactor,
            allow_private=allow_private,
            proxy=self._options.proxy,
            verify=self._options.verify,
            read_timeout=self._options.timeout,
            timeout=timeout,
        )
        return download_task(downloader, task, folder, previews=previews, on_progress=on_progress, stop=stop)


def _credential(contract: Contract, scheme: str | None) -> Credential | None:
    """Return the credential of a security scheme of the contract, by default of the first."""
    credentials = contract.credentials
    if scheme is None:
        return credentials[0] if credentials else None
    if scheme == NO_SCHEME:
        return None
    for credential in credentials:
        if credential.scheme == scheme:
            return credential
    known = ", ".join(repr(credential.scheme) for credential in credentials) or "none"
    raise SettingError(f"{contract.name} has no security scheme {scheme!r}; the contract has {known}")
