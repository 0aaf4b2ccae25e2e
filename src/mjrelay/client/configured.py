"""A relay with its options: what its requests need, without waiting and submitting."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Never, Self, TypeVar, Unpack

from attrs import evolve

from mjrelay.base import Clock, SettingError
from mjrelay.client.batches import BatchSize
from mjrelay.client.options import (
    CONNECTION_OPTIONS,
    ClientOptions,
    OptionChanges,
    check_known,
    warn_of_plain_http,
)
from mjrelay.client.polling import CONNECT_GRACE
from mjrelay.client.requests import RequestBuilder
from mjrelay.client.responses import ResponseReader
from mjrelay.client.schedule import RefreshModel
from mjrelay.client.shared_transport import SharedTransport
from mjrelay.client.spending import SubmitLedger
from mjrelay.contract import (
    checked_key,
    environment_key,
    load_contract,
    missing_key,
    resolve_base_url,
)
from mjrelay.http import Redactor
from mjrelay.transport import LARGEST_BATCH, LARGEST_BODY, TransportConfig

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    from mjrelay.client.spending import SubmitRecord
    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Exchange


T = TypeVar("T")  # the transport

_OPTIONS = (
    *("name", "overlays", *OptionChanges.__annotations__, "client", "clock"),
    *("max_submits", "submit_retries", "submit_log", "log_prompts", "on_submit"),
)
"""The arguments of the constructor."""

_BATCH = 100
"""The number of tickets in one request if the contract has no limit."""

NO_SCHEME = "none"
"""The value of ``scheme`` that sends no key."""


class ConfiguredRelay(Generic[T]):
    """A relay's contract, options and connections; `BaseRelay` adds what is done with them."""

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

    def _record(self, exchange: Exchange, ids: tuple[str, ...]) -> None:
        """Note that the relay has responded, and pass the exchange to the caller's hook."""
        self._responded |= exchange.status is not None
        if (hook := self._options.on_exchange) is not None:
            hook(exchange, ids)

    def _max_body(self, ids: tuple[str, ...]) -> int:
        """Return the maximum size of the body of a response for these ids."""
        return self._options.max_body or (LARGEST_BATCH if len(ids) > 1 else LARGEST_BODY)


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
