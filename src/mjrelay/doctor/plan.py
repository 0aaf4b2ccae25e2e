"""The read-only requests of an examination. Each depends on the responses to the ones before."""

from __future__ import annotations

import random
import string
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from mjrelay.base import SettingError
from mjrelay.doctor.addresses import Address, example_ids, is_added, is_fetchable
from mjrelay.doctor.observations import (
    Attempt,
    Observations,
    Purpose,
    ResponseKind,
    classify,
    document,
    sent_form,
)
from mjrelay.doctor.score import rank, response_fit

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from mjrelay.contract import Contract
    from mjrelay.doctor.addresses import Endpoint
    from mjrelay.http import Credential, Exchange, Request


REQUEST_LIMIT = 8
"""Maximum number of requests."""
CREDENTIAL_LIMIT = 3
"""Maximum number of headers or parameters in which the key is sent."""
_LENGTH = 12
"""Minimum length of a random id: a short one may be a counter, and exist."""


@frozen
class ProbeRequest:
    """A request to send. It contains no secret; ``credential`` is where the key goes."""

    purpose: Purpose
    endpoint: Endpoint
    task_id: str
    credential: Credential | None
    request: Request

    def __str__(self) -> str:
        key = "no key" if self.credential is None else f"the key in {self.credential}"
        return f"{self.request.method} {self.request.target} ({self.purpose}; {key})"


@define
class Plan:
    """
    The requests to an address.

    ``steps`` is a generator of requests to which each exchange is sent back. ``observations`` holds the
    result. This class performs no I/O.
    """

    address: Address
    contracts: Sequence[Contract] = field(repr=False)
    task_id: str | None
    keyed: bool
    _attempts: list[Attempt] = field(factory=list, init=False)
    _used: list[Credential] = field(factory=list, init=False)
    _endpoint: Endpoint | None = field(default=None, init=False)
    _credential: Credential | None = field(default=None, init=False)
    _batch: str | None = field(default=None, init=False)

    def steps(self) -> Generator[ProbeRequest, Exchange, None]:
        """Yield requests as long as they are useful."""
        yield from self._search()
        if self._endpoint is None or self._ended:
            return
        yield from self._authenticate(self._endpoint)
        last = next(one for one in reversed(self._attempts) if one.endpoint == self._endpoint)
        other = self._random_id(self._endpoint)
        found = last.kind in {ResponseKind.TASK, ResponseKind.OTHER_TASK}
        if self._remaining and found and self.task_id and other is not None:
            yield from self._ask(Purpose.MISSING, self._endpoint, other, self._credential)
        if self._credential is not None and not self._tested_without_key and self._remaining:
            yield from self._ask(Purpose.STRANGER, self._endpoint, last.task_id, None)
        # A method that is not GET may create something at a path that the contract does not describe.
        if self._endpoint.method == "GET" and other and self._remaining and not self._knows_nowhere:
            yield from self._nowhere(self._endpoint, other)
        if self._remaining:
            yield from self._batch_request(self._endpoint)

    @property
    def observations(self) -> Observations:
        """The attempts so far."""
        tried = {one.endpoint for one in self._attempts}
        return Observations(
            origin=self.address.origin,
            pasted=self.address.pasted,
            task_id=self.task_id,
            keyed=self.keyed,
            attempts=tuple(self._attempts),
            endpoint=self._endpoint,
            credential=self._credential,
            untried=tuple(
                credential
                for credential in self._credentials(self._endpoint)
                if credential not in self._tried(self._endpoint)
            ),
            untried_endpoints=tuple(one for one in self.address.endpoints if one not in tried),
            batch=self._batch,
        )

    @property
    def _remaining(self) -> int:
        """Number of requests that remain."""
        return 0 if self._ended else REQUEST_LIMIT - len(self._attempts)

    @property
    def _ended(self) -> bool:
        """Whether the last response ends the examination."""
        if not self._attempts:
            return False
        last = self._attempts[-1]
        return last.ends_examination or (
            last.kind is ResponseKind.REDIRECT and not _within(last.exchange, self.address.origin)
        )

    @property
    def _knows_nowhere(self) -> bool:
        """Whether the response at a path that does not exist is known."""
        kinds = {ResponseKind.PAGE, ResponseKind.ABSENT}
        return any(one.kind in kinds and one.endpoint != self._endpoint for one in self._attempts)

    @property
    def _tested_without_key(self) -> bool:
        """Whether the endpoint was requested without a key."""
        return any(one.credential is None for one in self._attempts if one.endpoint == self._endpoint)

    def _tried(self, endpoint: Endpoint | None) -> set[Credential | None]:
        """Return the credentials that were sent to an endpoint, or to any."""
        return {one.credential for one in self._attempts if endpoint in {None, one.endpoint}}

    def _search(self) -> Generator[ProbeRequest, Exchange, None]:
        """
        Try the endpoints until one belongs to a relay.

        Only the likeliest one is sent the key. A refusal, or an open relay's response, identifies the others.
        One request is left to send the key to the one that is found.
        """
        left = int(self.keyed and self.task_id is not None)
        for endpoint in self.address.endpoints:
            task_id = self.task_id or self._random_id(endpoint)
            if self._remaining <= left or task_id is None:
                continue
            credential = self._likeliest(endpoint) if left and not self._attempts else None
            named = self.task_id is not None and (credential is not None or not self.keyed)
            purpose = Purpose.TASK if named else Purpose.STRANGER
            try:
                seen = yield from self._ask(purpose, endpoint, task_id, credential)
            except SettingError:  # this relay has no such id
                continue
            if seen.kind.strength > 2 or self._ended:
                break
        if not self._attempts:
            self.address.endpoints[0].request(self.task_id or "0" * _LENGTH)  # raises the reason
            return
        best = max(self._attempts, key=lambda one: one.kind.strength)
        if best.kind.strength > 1:
            self._endpoint = best.endpoint
            self._credential = best.credential if best.kind.authorized else None
            return
        first = self._attempts[0]
        if first.kind is ResponseKind.ABSENT and first.credential is not None and self._remaining:
            # The 404 may concern the task, and not the path.
            seen = yield from self._ask(Purpose.STRANGER, first.endpoint, first.task_id, None)
            if seen.refuses:
                self._endpoint, self._credential = first.endpoint, first.credential

    def _authenticate(self, endpoint: Endpoint) -> Generator[ProbeRequest, Exchange, None]:
        """Send the key in one header after the other while it is refused."""
        last = next(one for one in reversed(self._attempts) if one.endpoint == endpoint)
        if self._credential is not None or not self.keyed:
            return
        purpose = Purpose.TASK if self.task_id else Purpose.FAMILY
        for credential in self._credentials(endpoint):
            if not self._remaining or not (last.refuses or last.credential is None):
                return
            spent = len(self._used) == CREDENTIAL_LIMIT and credential not in self._used
            if spent or credential in self._tried(endpoint):
                continue
            last = yield from self._ask(purpose, endpoint, last.task_id, credential)
            if last.kind.authorized or last.kind is ResponseKind.ABSENT:
                self._credential = credential

    def _nowhere(self, endpoint: Endpoint, task_id: str) -> Generator[ProbeRequest, Exchange, None]:
        request = endpoint.nowhere("nothing-is-here", task_id)
        yield from self._send(ProbeRequest(Purpose.NOWHERE, endpoint, task_id, self._credential, request))

    def _batch_request(self, endpoint: Endpoint) -> Generator[ProbeRequest, Exchange, None]:
        """Test the batch endpoint. It is a POST in most contracts, but it only reads."""
        if self._credential is None and not any(one.kind.authorized for one in self._attempts):
            return
        likely = [one.contract for one in rank(self.observations, self.contracts)]
        for contract in likely:
            prefix, path = endpoint.before(contract), contract.batch_path
            if prefix is not None and path is not None:
                task_id = self.task_id or self._random_id(endpoint) or ""
                try:
                    request = contract.batch_request([task_id], prefix + path)
                except SettingError:
                    return
                seen = yield from self._send(
                    ProbeRequest(Purpose.BATCH, endpoint, task_id, self._credential, request)
                )
                found, batch = document(seen.exchange), contract.reader.batch
                listed = isinstance(found, list) or (batch is not None and batch.items.find(found))
                if seen.exchange.status == 200 and listed:
                    self._batch = f"{request.method} {request.target}"
                return

    def _ask(
        self, purpose: Purpose, endpoint: Endpoint, task_id: str, credential: Credential | None
    ) -> Generator[ProbeRequest, Exchange, Attempt]:
        return (
            yield from self._send(
                ProbeRequest(purpose, endpoint, task_id, credential, endpoint.request(task_id))
            )
        )

    def _send(self, step: ProbeRequest) -> Generator[ProbeRequest, Exchange, Attempt]:
        if step.credential is not None and step.credential not in self._used:
            self._used.append(step.credential)
        exchange = yield step
        found = classify(exchange, step.task_id, self._fitting(step.endpoint))
        seen = Attempt(step.purpose, step.endpoint, step.task_id, step.credential, exchange, found)
        self._attempts.append(seen)
        return seen

    def _fitting(self, endpoint: Endpoint | None) -> list[Contract]:
        """Return the contracts with this endpoint, or all of them if there is none."""
        asking = [one for one in self.contracts if endpoint and endpoint.before(one) is not None]
        return asking or [one for one in self.contracts if is_fetchable(one)]

    def _credentials(self, endpoint: Endpoint | None) -> list[Credential]:
        """
        Return the distinct credentials of an endpoint, the likeliest first.

        Those of a user's contracts come first, then those of the contracts that the refusal fits best, and
        those that most contracts prefer.
        """
        refusal = next((one for one in self._attempts if one.endpoint == endpoint and one.refuses), None)
        weights: Counter[tuple[str, str, str]] = Counter()
        fits: dict[tuple[str, str, str], tuple[bool, float]] = {}
        named: dict[tuple[str, str, str], Credential] = {}
        for contract in self._fitting(endpoint):
            fit = 0.0 if refusal is None else response_fit(refusal, contract, contract.reader.unauthorized)
            for place, credential in enumerate(contract.credentials):
                form = sent_form(credential)
                weights[form] += 60 // (1 + place)
                fits[form] = max(fits.get(form, (False, 0.0)), (is_added(contract), round(fit, 1)))
                named.setdefault(form, credential)
        ordered = sorted(named, key=lambda one: (*fits[one], weights[one]), reverse=True)
        return [evolve(named[one], scheme="") for one in ordered]

    def _likeliest(self, endpoint: Endpoint) -> Credential | None:
        """Return the first credential that may still be used."""
        credentials = self._credentials(endpoint)
        if len(self._used) == CREDENTIAL_LIMIT:
            credentials = [one for one in credentials if one in self._used]
        return next(iter(credentials), None)

    def _random_id(self, endpoint: Endpoint) -> str | None:
        """Return a random id that looks like the known ones, or None if the relay has no such ids."""
        drawn = random_id(self.task_id or _example(self._fitting(endpoint)))
        with suppress(SettingError):
            endpoint.request(drawn)
            return drawn
        return None


def random_id(pattern: str) -> str:
    """Return a random id for a pattern, always the same one: digits for digits, letters for letters."""
    pattern = pattern[:100].ljust(_LENGTH, "0")
    chance = random.Random(pattern)  # noqa: S311 - repeatable, not secret
    letters = "abcdef" if all(one in f"{string.hexdigits}-" for one in pattern) else string.ascii_lowercase

    def other(character: str) -> str:
        if character.isdigit():
            return chance.choice(string.digits)
        if character.isalpha():
            drawn = chance.choice(letters)
            return drawn.upper() if character.isupper() else drawn
        return character

    drawn = "".join(map(other, pattern))
    if drawn.startswith("0") and not pattern.startswith("0"):
        drawn = f"1{drawn[1:]}"  # a number has no leading zero
    return drawn if drawn != pattern else f"{drawn}0"


def _example(contracts: Iterable[Contract]) -> str:
    ids = (one for contract in contracts for one in example_ids(contract))
    return next((one for one in ids if any(map(str.isdigit, one))), "0" * _LENGTH)


def _within(exchange: Exchange, origin: str) -> bool:
    """Return whether a redirect stays at the same origin."""
    target = exchange.header("location") or ""
    return (target.startswith("/") and not target.startswith("//")) or target.startswith(f"{origin}/")
