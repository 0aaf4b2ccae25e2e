"""Which requests a doctor sends: the next one follows from the answers to those before, and all only read."""

from __future__ import annotations

import random
import string
from collections import Counter
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from mjrelay.doctor.addresses import Address, is_fetchable
from mjrelay.doctor.observations import Attempt, Observations, Purpose, ResponseKind, document, form, outcome
from mjrelay.semantics import scalar_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from mjrelay.contract import Contract
    from mjrelay.doctor.addresses import Endpoint
    from mjrelay.http import Credential, Exchange, Request


REQUEST_LIMIT = 8
"""Requests at most."""
CREDENTIAL_LIMIT = 3
"""Ways of sending the key at most."""
SEARCHED = 5
"""Endpoints that are tried at most."""

_LENGTH = 12
"""Characters that a made-up id has at least: short ones may count upwards, and be somebody's."""


@frozen
class ProbeRequest:
    """A request that is about to be sent; it holds no secret, ``way`` says where the key goes."""

    purpose: Purpose
    endpoint: Endpoint
    task_id: str
    way: Credential | None
    request: Request

    def __str__(self) -> str:
        key = "no key" if self.way is None else f"the key in {self.way}"
        return f"{self.request.method} {self.request.target} ({self.purpose}; {key})"


@define
class Plan:
    """
    The requests to an address, one after another.

    ``steps`` is a generator that is told the exchange that each step led to, and ``evidence`` what is known
    when it has ended. Nothing here sends anything.
    """

    address: Address
    contracts: Sequence[Contract] = field(repr=False)
    task_id: str | None
    keyed: bool
    _observations: list[Attempt] = field(factory=list, init=False)
    _used: list[Credential] = field(factory=list, init=False)
    _endpoint: Endpoint | None = field(default=None, init=False)
    _way: Credential | None = field(default=None, init=False)
    _batch: str | None = field(default=None, init=False)

    def steps(self) -> Generator[ProbeRequest, Exchange, None]:
        """The steps, while there are any that say more."""
        yield from self._search()
        if self._endpoint is None or self._over:
            return
        yield from self._other_ways()
        last = self._observations[-1]
        if self._left and last.outcome in {ResponseKind.TASK, ResponseKind.OTHER_TASK} and self.task_id:
            yield from self._ask(Purpose.MISSING, self._endpoint, self._made_up(self._endpoint), self._way)
        if self._way is not None and not self._seen(Purpose.STRANGER) and self._left:
            yield from self._ask(Purpose.STRANGER, self._endpoint, last.task_id, None)
        if self._left and not self._missed:
            yield from self._nowhere(self._endpoint)
        if self._left:
            yield from self._several(self._endpoint)

    @property
    def evidence(self) -> Observations:
        """What the steps so far have shown."""
        tried = {one.endpoint for one in self._observations}
        return Observations(
            origin=self.address.origin,
            pasted=self.address.pasted,
            named=self.task_id,
            keyed=self.keyed,
            observations=tuple(self._observations),
            endpoint=self._endpoint,
            way=self._way,
            ways=tuple(way for way in self._ways(self._endpoint) if way not in self._used),
            endpoints=tuple(one for one in self.address.endpoints if one not in tried),
            batch=self._batch,
        )

    @property
    def _left(self) -> int:
        """Requests that may still be sent."""
        return 0 if self._over else REQUEST_LIMIT - len(self._observations)

    @property
    def _over(self) -> bool:
        """Whether the last answer was one after which nothing more is asked."""
        if not self._observations:
            return False
        last = self._observations[-1]
        return last.unserved or (
            last.outcome is ResponseKind.REDIRECT and not _within(last.exchange, self.address.origin)
        )

    @property
    def _missed(self) -> bool:
        """Whether it was seen what comes at a path that leads nowhere."""
        kinds = {ResponseKind.PAGE, ResponseKind.ABSENT}
        return any(one.outcome in kinds and one.endpoint != self._endpoint for one in self._observations)

    def _seen(self, purpose: Purpose) -> bool:
        return any(one.purpose is purpose for one in self._observations)

    def _search(self) -> Generator[ProbeRequest, Exchange, None]:
        """Try the endpoints until one is a relay's."""
        # A task shows itself to its owner alone. Without one, that a stranger is refused tells the most.
        purpose = Purpose.TASK if self.task_id else Purpose.STRANGER
        for endpoint in self.address.endpoints[:SEARCHED]:
            task_id = self.task_id or self._made_up(endpoint)
            way = self._likeliest(endpoint) if self.keyed and self.task_id else None
            seen = yield from self._ask(purpose, endpoint, task_id, way)
            if seen.outcome.strength > 2 or self._over:
                break
        best = max(self._observations, key=lambda one: one.outcome.strength)
        if best.outcome.strength > 1:
            self._endpoint = best.endpoint
            self._way = best.way if best.outcome.admits else None
        else:
            yield from self._strangers()

    def _strangers(self) -> Generator[ProbeRequest, Exchange, None]:
        """Ask without a key where nothing was: what is not there may be the task, and not the path."""
        absent = [
            one for one in self._observations if one.outcome is ResponseKind.ABSENT and one.way is not None
        ]
        for one in absent[: self._left]:
            seen = yield from self._ask(Purpose.STRANGER, one.endpoint, one.task_id, None)
            if seen.outcome in {ResponseKind.REFUSED, ResponseKind.FORBIDDEN}:
                self._endpoint, self._way = one.endpoint, one.way
                return

    def _other_ways(self) -> Generator[ProbeRequest, Exchange, None]:
        """Send the key in other places while it is refused."""
        last = self._observations[-1]
        if self._way is not None or not self.keyed:
            return
        purpose = Purpose.TASK if self.task_id else Purpose.FAMILY
        for way in self._ways(self._endpoint):
            if last.outcome is not ResponseKind.REFUSED or not self._left:
                return
            if way in self._used or len(self._used) == CREDENTIAL_LIMIT:
                continue
            last = yield from self._ask(purpose, last.endpoint, last.task_id, way)
            if last.outcome.admits or last.outcome is ResponseKind.ABSENT:
                self._way = way

    def _nowhere(self, endpoint: Endpoint) -> Generator[ProbeRequest, Exchange, None]:
        task_id = self._made_up(endpoint)
        request = endpoint.nowhere("nothing-is-here", task_id)
        yield from self._send(ProbeRequest(Purpose.NOWHERE, endpoint, task_id, self._way, request))

    def _several(self, endpoint: Endpoint) -> Generator[ProbeRequest, Exchange, None]:
        """Ask for several tasks at once, once: it is a POST in most contracts, but it only reads."""
        if self._way is None and not any(one.outcome.admits for one in self._observations):
            return
        from mjrelay.doctor.score import rank  # noqa: PLC0415 - which asks for what this has seen

        likely = [one.contract for one in rank(self.evidence, self.contracts)]
        for contract in likely:
            prefix, path = endpoint.before(contract), contract.batch_path
            if prefix is not None and path is not None:
                task_id = self.task_id or self._made_up(endpoint)
                request = contract.batch_request([task_id], prefix + path)
                seen = yield from self._send(
                    ProbeRequest(Purpose.BATCH, endpoint, task_id, self._way, request)
                )
                found, batch = document(seen.exchange), contract.reader.batch
                listed = isinstance(found, list) or (batch is not None and batch.items.find(found))
                if seen.exchange.status == 200 and listed:
                    self._batch = f"{request.method} {request.target}"
                return

    def _ask(
        self, purpose: Purpose, endpoint: Endpoint, task_id: str, way: Credential | None
    ) -> Generator[ProbeRequest, Exchange, Attempt]:
        return (
            yield from self._send(ProbeRequest(purpose, endpoint, task_id, way, endpoint.request(task_id)))
        )

    def _send(self, step: ProbeRequest) -> Generator[ProbeRequest, Exchange, Attempt]:
        if step.way is not None and step.way not in self._used:
            self._used.append(step.way)
        exchange = yield step
        found = outcome(exchange, step.task_id, self._fitting(step.endpoint))
        seen = Attempt(step.purpose, step.endpoint, step.task_id, step.way, exchange, found)
        self._observations.append(seen)
        return seen

    def _fitting(self, endpoint: Endpoint | None) -> list[Contract]:
        """The contracts that ask as this endpoint is asked; all, where none does."""
        asking = [one for one in self.contracts if endpoint and endpoint.before(one) is not None]
        return asking or [one for one in self.contracts if is_fetchable(one)]

    def _ways(self, endpoint: Endpoint | None) -> list[Credential]:
        """The ways of authenticating there, the likeliest first; those of one form are one way."""
        weights: Counter[tuple[str, str, str]] = Counter()
        for contract in self._fitting(endpoint):
            for place, credential in enumerate(contract.credentials):
                weights[form(credential)] += 60 // (1 + place)
        named = {form(way): way for one in reversed(self.contracts) for way in reversed(one.credentials)}
        ordered = sorted(weights, key=lambda one: (-weights[one], one))
        return [evolve(named[one], scheme="") for one in ordered]

    def _likeliest(self, endpoint: Endpoint) -> Credential | None:
        """The first way there that may still be used."""
        ways = self._ways(endpoint)
        if len(self._used) == CREDENTIAL_LIMIT:
            ways = [way for way in ways if way in self._used]
        return next(iter(ways), None)

    def _made_up(self, endpoint: Endpoint) -> str:
        """An id like those that are known here, of a task that is not there."""
        return made_up(self.task_id or _example(self._fitting(endpoint)))


def made_up(pattern: str) -> str:
    """A text of the same make, the same for the same pattern: digits for digits, letters for letters."""
    pattern = pattern[:100].ljust(_LENGTH, "0")
    chance = random.Random(pattern)  # noqa: S311 - to be repeatable, not secret
    letters = "abcdef" if all(one in f"{string.hexdigits}-" for one in pattern) else string.ascii_lowercase

    def other(character: str) -> str:
        if character.isdigit():
            return chance.choice(string.digits)
        if character.isalpha():
            drawn = chance.choice(letters)
            return drawn.upper() if character.isupper() else drawn
        return character

    drawn = "".join(map(other, pattern))
    return drawn if drawn != pattern else f"{drawn}0"


def _example(contracts: Iterable[Contract]) -> str:
    for contract in contracts:
        for example in contract.examples.values():
            found = scalar_text(contract.reader.id(example))
            if found is not None and any(map(str.isdigit, found)):
                return found
    return "0" * _LENGTH


def _within(exchange: Exchange, origin: str) -> bool:
    """Whether a redirect stays at the same host."""
    target = exchange.header("location") or ""
    return (target.startswith("/") and not target.startswith("//")) or target.startswith(f"{origin}/")
