"""The plan of a run: a fixed list of requests, known before the first one is sent."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from mjrelay.base import MjrelayError, SettingError, another_text
from mjrelay.http import Credential
from mjrelay.semantics import State, parse_expression
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay.http import Request


PROFILES = {"read": 12, "auth": 24, "robust": 40, "all": 52}
"""
The profiles, and the maximum number of requests of each.

Requests to a live relay cost money, and relays ban clients that send too many.
"""
CAP = PROFILES["read"]

ELSEWHERE = "X-Api-Key"
"""A header field that other services use for API keys."""
_OTHER_SCHEME = "Token "
"""An authentication scheme that other services use."""
_URL_NAMES = ("key", "token")
"""Query parameters in which servers accept API keys, and which access logs keep."""
_ODD_IDS = {
    "an empty id": "",
    "a space": " ",
    "300 digits": "7" * 300,
    "non-ASCII letters": "\u4efb\u52a1-\u00e9",
    "an encoded slash": "a/b",
    "two dots": "..",
    "a quotation mark": "' OR '1'='1",
}
_DRAWS = 1_000
"""Attempts to make up an id that the contract allows."""
_HARMLESS = ("HEAD", "OPTIONS", "POST")
_CHANGING = ("PUT", "PATCH", "DELETE")


class PlanError(MjrelayError):
    """The plan cannot be made."""


@frozen
class KnownTask:
    """A task that exists on the relay, and its state if the caller gave one."""

    task_id: str
    state: State | None = None

    @classmethod
    def parse(cls, text: str) -> KnownTask:
        """
        Parse ``ID`` or ``ID=STATE``.

        Raises:
            PlanError: The id is empty, or the state is unknown.
        """
        task_id, separator, word = text.rpartition("=")
        if not text:
            raise PlanError("--task: the id is empty; write ID or ID=STATE")
        if not separator:
            return cls(text)
        states = [state.value for state in State if state is not State.UNKNOWN]
        if word not in states or not task_id:
            raise PlanError(
                f"--task {text}: {word or 'an empty text'} is not a state; write ID or ID=STATE with one of "
                f"{', '.join(states)}"
            )
        return cls(task_id, State(word))


@frozen
class Step:
    """
    One request of a plan.

    Attributes:
        kind: The purpose of the request.
        task_id: The requested task id.
        expected: The state of the task, if known.
        request: The request.
        label: What is special about the request, for reports.
        credential: The name of the security scheme that it uses.
        ids: The task ids of a batch request.
        again: Whether it fetches a task a second time, some time after the first.
        submit: The operation of a submit.
        token: The state token of a submit.
    """

    kind: Kind
    task_id: str
    expected: State | None
    request: Request
    label: str = ""
    credential: str | None = None
    ids: tuple[str, ...] = ()
    again: bool = False
    submit: SubmitOperation | None = None
    token: str | None = None

    def __str__(self) -> str:
        state = f", {self.expected.value}" if self.expected and self.kind is Kind.KNOWN else ""
        again = ", again" if self.again else ""
        return f"{self.kind.value}{state}{again}" + (f": {self.label}" if self.label else "")


def plan(
    contract: Contract,
    known: Sequence[KnownTask],
    secret: str,
    *,
    profile: str = "read",
    seed: int = 0,
    careful: bool = False,
    key_in_url: bool = False,
) -> list[Step]:
    """
    Plan the requests of a profile, in order.

    ``read`` uses only the fetch operation: for each known task, for a missing one, for the known ones again
    within the limit (succeeded ones first), and last with a wrong API key. ``auth`` adds other credentials.
    ``robust`` adds unusual ids, other methods and the batch operation. Methods that may change something come
    last.

    Args:
        contract: The contract of the relay.
        known: Existing tasks.
        secret: The caller's API key.
        profile: One of `PROFILES`.
        seed: The random seed of made-up ids and keys.
        careful: Leave out methods that may change something.
        key_in_url: Send the API key in the URL too, which access logs keep.

    Raises:
        PlanError: There are too many tasks, or the fetch operation uses neither GET nor POST.
    """
    planner = _Planner(contract, known, secret, seed)
    return planner.plan(profile, careful=careful, key_in_url=key_in_url)


class _Planner:
    """Builds the steps of a plan for one contract, its tasks and the API key."""

    def __init__(self, contract: Contract, known: Sequence[KnownTask], secret: str, seed: int) -> None:
        self.contract = contract
        self.known = list(dict.fromkeys(known))
        self.secret = secret
        self.chance = random.Random(seed)  # noqa: S311 - a plan must be repeatable
        example = contract.reader.id(next(iter(contract.examples.values()), None))
        pattern = str(known[0].task_id if known else example)
        # Short ids may be sequential, so a made-up id is longer.
        taken = {task.task_id for task in known}
        drawn = (another_text(pattern.ljust(12, "0"), self.chance, taken) for _ in range(_DRAWS))
        self.missing = next(filter(self._takes, drawn), pattern)
        succeeded = (task for task in self.known if task.state is State.SUCCEEDED)
        self.first = next(succeeded, self.known[0] if self.known else KnownTask(pattern))

    def plan(self, profile: str, *, careful: bool, key_in_url: bool) -> list[Step]:
        if self.contract.method not in {"GET", "POST"}:
            raise PlanError(
                f"the fetch operation of {self.contract.name} uses {self.contract.method}; "
                "the suite supports GET and POST"
            )
        steps = self._fetches(self._refusals if profile == "read" else min(self._refusals, 1))
        if profile in {"robust", "all"}:
            steps += [*self._odd(), *self._other_methods(_HARMLESS), *self._batch()]
        if profile in {"auth", "all"}:
            steps += self._alternatives()
        if self._refusals:
            if profile in {"auth", "all"} or self.contract.open:
                steps.append(self._without())
            if profile in {"auth", "all"}:
                steps += self._misplaced(in_url=key_in_url)
            if profile == "all":
                steps += self._batch_without()
            steps.append(self._wrong())
        if profile in {"robust", "all"} and not careful:
            steps += self._other_methods(_CHANGING)
        return steps

    @property
    def _refusals(self) -> int:
        """
        Requests of the smallest profile that must be refused: with a wrong key.

        Where a key is optional, a request without one comes first, which shows whether the relay needs it.
        """
        if not self.contract.open:
            return 1
        possible = self.contract.credentials and self.secret and 0 < len(self.known) <= CAP - 4
        return 2 if possible else 0

    def _fetches(self, closing: int) -> list[Step]:
        # The verdict needs a missing task, a task that is read twice, and the requests that must be refused.
        others = 1 + closing
        room = CAP - others - len(self.known)
        if self.known and room < 1:
            raise PlanError(
                f"{len(self.known)} tasks need at least {CAP - room + 1} requests, and the limit is {CAP}; "
                f"name at most {CAP - others - 1} tasks"
            )
        again = sorted(self.known, key=lambda task: task.state not in {State.SUCCEEDED, None})[:room]
        return [
            *(self._step(Kind.KNOWN, task) for task in self.known),
            self._step(Kind.MISSING, KnownTask(self.missing)),
            *(self._step(Kind.KNOWN, task, again=True) for task in self.known if task in again),
        ]

    def _odd(self) -> list[Step]:
        return [
            self._step(Kind.ODD, KnownTask(task_id), label=label)
            for label, task_id in _ODD_IDS.items()
            if self._takes(task_id)
            and ("/" not in task_id or parse_expression(self.contract.reader.ask)[0] == "path")
        ]

    def _takes(self, task_id: str) -> bool:
        """Return whether the contract allows a request for an id: its body may declare numbers."""
        try:
            self.contract.request(task_id)
        except SettingError:
            return False
        return True

    def _other_methods(self, methods: Sequence[str]) -> list[Step]:
        return [
            evolve(step, request=evolve(step.request, method=method))
            for method in methods
            if method != self.contract.method
            for step in [self._step(Kind.METHOD, self.first, label=method)]
        ]

    def _batch(self) -> list[Step]:
        batch = self.contract.reader.batch
        if batch is None or not self.known:
            return []
        room = len(self.known) if batch.limit is None else max(batch.limit - 1, 1)
        ids = tuple(task.task_id for task in self.known)[:room]
        batches = {
            "known tasks and a missing one": (*ids, self.missing),
            "a missing one": (self.missing,),
        }
        return [
            Step(
                Kind.BATCH,
                wanted[0],
                None,
                self._authenticated(self.contract.batch_request(wanted)),
                label,
                self._scheme,
                wanted,
            )
            for label, wanted in batches.items()
        ]

    def _alternatives(self) -> list[Step]:
        if not self.secret or not self.known:
            return []
        others = list(self.contract.credentials[1:])
        others += [evolve(one, prefix=one.prefix.lower()) for one in self.contract.credentials if one.prefix]
        return [
            self._step(Kind.ALTERNATIVE, self.first, label=str(other), credential=other, secret=self.secret)
            for other in others
        ]

    def _without(self) -> Step:
        return Step(
            Kind.NO_CREDENTIAL,
            self.first.task_id,
            self.first.state,
            self.contract.request(self.first.task_id),
            "no credential",
        )

    def _batch_without(self) -> list[Step]:
        if self.contract.reader.batch is None or not self.known:
            return []
        ids = (self.first.task_id,)
        request = self.contract.batch_request(ids)
        label = "no credential, batch"
        return [Step(Kind.NO_CREDENTIAL, ids[0], self.first.state, request, label, ids=ids)]

    def _misplaced(self, *, in_url: bool) -> list[Step]:
        if not self.secret:
            return []
        first = self.contract.credentials[0]
        places = [Credential("", "header", ELSEWHERE, "")]
        if first.place == "header":
            places.append(Credential("", "header", first.field, _OTHER_SCHEME))
        places += [Credential("", "query", name, "") for name in _URL_NAMES if in_url]
        taken = {(one.place, one.field.lower(), one.prefix) for one in self.contract.credentials}
        taken |= {(one["in"], str(one["name"]).lower(), "") for one in self.contract.parameters()}
        return [
            self._step(Kind.MISPLACED, self.first, label=str(place), credential=place, secret=self.secret)
            for place in places
            if (place.place, place.field.lower(), place.prefix) not in taken
        ]

    def _wrong(self) -> Step:
        wrong = another_text(self.secret, self.chance, {self.secret})
        return self._step(Kind.BAD_CREDENTIAL, self.first, secret=wrong)

    @property
    def _scheme(self) -> str | None:
        return self.contract.credentials[0].scheme if self.contract.credentials else None

    def _step(
        self,
        kind: Kind,
        task: KnownTask,
        *,
        label: str = "",
        credential: Credential | None = None,
        secret: str | None = None,
        again: bool = False,
    ) -> Step:
        request = self._authenticated(self.contract.request(task.task_id), credential, secret)
        scheme = self._scheme if credential is None else credential.scheme or None
        return Step(kind, task.task_id, task.state, request, label, scheme, again=again)

    def _authenticated(
        self, request: Request, credential: Credential | None = None, secret: str | None = None
    ) -> Request:
        secret = self.secret if secret is None else secret
        if credential is None and self.contract.credentials:
            credential = self.contract.credentials[0]
        return request.authenticated(credential, secret) if credential and secret else request
