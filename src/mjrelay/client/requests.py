"""Build the requests of a relay's contract: one task, several tasks, a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from mjrelay.base import SettingError, __version__
from mjrelay.contract import Template
from mjrelay.http import REDACTED, Request, origin_and_target
from mjrelay.semantics import parse_expression

if TYPE_CHECKING:
    from mjrelay.client.options import ClientOptions
    from mjrelay.contract import Contract
    from mjrelay.http import Credential, Headers

_PLACEHOLDER = "0mjrelay0"
"""The id in the template of a request for one task."""


class RequestBuilder:
    """Builds requests with the caller's header fields and the key; ``origin`` is the relay's."""

    def __init__(self, contract: Contract, options: ClientOptions, credential: Credential | None) -> None:
        def target(path: str | None) -> str | None:
            return None if path is None else self._target(path)

        self._base_url = options.base_url
        self._contract, self._credential, self._api_key = contract, credential, options.api_key
        self.origin, self._path = origin_and_target(options.base_url, contract.path)
        self._seed_path, self._batch_path = target(contract.seed_path), target(contract.batch_path)
        agent = f"mjrelay/{__version__}" + (f" {options.user_agent}" if options.user_agent else "")
        self._headers: Headers = (("User-Agent", agent), *options.headers.items())
        self._shown: Headers = (("User-Agent", agent), *((name, REDACTED) for name in options.headers))
        # A body declares the type of the id, which the placeholder need not have.
        in_body = parse_expression(contract.reader.ask)[0] == "body"
        self._template = None if in_body else Template.of(self._build((_PLACEHOLDER,)), _PLACEHOLDER)

    def _target(self, path: str) -> str:
        return origin_and_target(self._base_url, path)[1]

    def tasks(self, ids: tuple[str, ...]) -> Request:
        """Return the request for one task, or for several in one batch."""
        if len(ids) == 1 and self._template is not None:
            return self._template.fill(ids[0])
        return self._build(ids)

    def seed(self, task_id: str) -> Request:
        """Return the request for a seed; raise `SettingError` if the contract has no such operation."""
        if self._contract.seed is None:
            raise SettingError(
                f"{self._contract.name} has no operation for seeds: its contract has no seed in x-mj-task; "
                "if the relay supports seeds, add the operation to the contract or to an overlay"
            )
        return self._complete(self._contract.seed_request(task_id, self._seed_path))

    def submit(self, request: Request) -> Request:
        """Return a submit with the path of the base URL, the header fields and the key."""
        return self._complete(evolve(request, target=self._target(request.target)))

    def lookup(self) -> Request:
        """Return the request that lists tasks; raise `SettingError` if the contract has no such operation."""
        if self._contract.lookup is None:
            raise SettingError(
                f"{self._contract.name} cannot look for a submit: its contract has no find in x-mj-task"
            )
        _, path, method = self._contract.lookup
        request = Request(str(method).upper(), self._target(str(path)), (("Accept", "application/json"),))
        return self._complete(request)

    def _build(self, ids: tuple[str, ...]) -> Request:
        if len(ids) == 1:
            return self._complete(self._contract.request(ids[0], self._path))
        return self._complete(self._contract.batch_request(ids, self._batch_path))

    def _complete(self, request: Request) -> Request:
        """Add the header fields and the key."""
        request = request.with_headers(self._headers, self._shown)
        if self._credential is not None and self._api_key is not None:
            request = request.authenticated(self._credential, self._api_key)
        return request
