"""What a run will send: a fixed list of requests, known before the first one leaves."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING

from attrs import frozen

from mjrelay._reader import State
from mjrelay.errors import MjrelayError
from mjrelay_conformance._check import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mjrelay._contract import Contract
    from mjrelay._request import Request

CAP = 12
"""Requests of profile ``read``: a live relay costs its user money and may ban whoever asks too often."""


class PlanError(MjrelayError):
    """The plan that was asked for cannot be made."""


@frozen
class KnownTask:
    """A task that the caller knows to be there, and its state where that is known too."""

    task_id: str
    state: State | None = None

    @classmethod
    def parse(cls, text: str) -> KnownTask:
        """The task that ``ID`` or ``ID=STATE`` names; raises `PlanError` for a state that is none."""
        task_id, mark, word = text.rpartition("=")
        if not text:
            raise PlanError("--task: the id is empty; write ID or ID=STATE")
        if not mark:
            return cls(text)
        states = [state.value for state in State if state is not State.UNKNOWN]
        if word not in states or not task_id:
            raise PlanError(
                f"--task {text}: {word!r} is no state; write ID or ID=STATE with one of {', '.join(states)}"
            )
        return cls(task_id, State(word))


@frozen
class Step:
    """One request of a plan, and what it is for."""

    kind: Kind
    task_id: str
    expected: State | None
    request: Request

    def __str__(self) -> str:
        state = f", {self.expected.value}" if self.expected else ""
        return f"{self.kind.value} task{state}" if self.kind is Kind.KNOWN else self.kind.value


def read_plan(contract: Contract, known: Sequence[KnownTask], secret: str, *, seed: int = 0) -> list[Step]:
    """
    The requests of profile ``read``: only the fetch operation, `CAP` at most, one bad credential at most.

    Each known task is read, a missing one is asked for, the known ones are read again as far as the cap
    allows (succeeded ones first), and at last a wrong credential is tried. Raises `PlanError` where the
    tasks are too many, or not readable with GET.
    """
    if contract.method not in {"GET", "POST"}:
        raise PlanError(
            f"the fetch operation of {contract.name} is {contract.method}; only GET and POST read"
        )
    closing = 0 if contract.open else 1
    if len(known) + 1 + closing > CAP:
        raise PlanError(
            f"{len(known)} tasks need {len(known) + 1 + closing} requests or more, and the limit is {CAP}: "
            f"name {CAP - 1 - closing} tasks or fewer"
        )
    chance = random.Random(seed)  # noqa: S311 - a plan is to be repeatable, not secret
    credential = contract.credentials[0] if contract.credentials else None

    def step(kind: Kind, task: KnownTask, key: str) -> Step:
        request = contract.request(task.task_id)
        if credential is not None and key:
            request = request.authenticated(credential, key)
        return Step(kind, task.task_id, task.state, request)

    first = [step(Kind.KNOWN, task, secret) for task in known]
    pattern = known[0].task_id if known else contract.reader.id(next(iter(contract.examples.values()), None))
    # Short ids may count upwards: a made-up one has to be too long to be somebody's.
    unknown = another(str(pattern).ljust(12, "0"), chance, {task.task_id for task in known})
    first.append(step(Kind.MISSING, KnownTask(unknown), secret))
    room = CAP - len(first) - closing
    again = sorted(known, key=lambda task: task.state not in {State.SUCCEEDED, None})[:room]
    second = [step(Kind.KNOWN, task, secret) for task in known if task in again]
    if contract.open:
        return first + second
    wrong = another(secret, chance, {secret})
    victim = next(
        (task for task in known if task.state is State.SUCCEEDED),
        known[0] if known else KnownTask(str(pattern)),
    )
    return [*first, *second, step(Kind.BAD_CREDENTIAL, victim, wrong)]


def another(text: str, chance: random.Random, taken: set[str]) -> str:
    """A text of the same make: digits for digits, letters for letters, and none of those that are taken."""
    if not any(character.isalnum() for character in text):
        text = "0000000000000000"
    letters = "abcdef" if all(c in string.hexdigits + "-" for c in text) else string.ascii_lowercase

    def other(character: str) -> str:
        if character.isdigit():
            return chance.choice(string.digits)
        if character.isalpha():
            drawn = chance.choice(letters)
            return drawn.upper() if character.isupper() else drawn
        return character

    while (drawn := "".join(map(other, text))) in taken:
        text += "0"
    return drawn
