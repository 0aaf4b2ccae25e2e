"""The submits of a run: each step depends on the response to the one before, and most cost money."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from mjrelay.base import SettingError, another_text
from mjrelay.contract import Parent, submit_request, without_prompt
from mjrelay.http import Request
from mjrelay.semantics import State
from mjrelay_conformance.drivers.plan import Step
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay_conformance.judging import Observation

    Steps = Generator[Step, Observation, None]
    """Yields steps; each gets the observation of its exchange."""


MOST_SUBMITS = 4
"""Maximum number of submits of a run."""
_MOST_IDS = 4
"""Maximum number of tasks of one submit that are fetched."""
_POLLS = 60
"""Maximum number of fetches of a submitted task on a relay that draws."""
_PROMPT = "a pig"


@define
class Submits:
    """
    The submits of a run, in order: imagine, press a button, a wrong API key, an invalid body.

    After an accepted submit, its tasks are fetched, and listed where the contract has an operation for it.

    Attributes:
        contract: The contract of the relay.
        secret: The caller's API key.
        count: Maximum number of submits; those with a wrong key or an invalid body count too.
        waits: Whether to poll a submitted task until it ends.
        seed: The random seed of tokens and the wrong key.
        parent: A succeeded task to press a button of, if the submitted one does not succeed.
    """

    contract: Contract
    secret: str = field(repr=False)
    count: int
    waits: bool = False
    seed: int = 0
    parent: Parent | None = None
    _chance: random.Random = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(f"submits {self.seed}")  # noqa: S311 - a plan must be repeatable

    def steps(self) -> Steps:
        """Yield the steps."""
        first = self._built("imagine", {"prompt": _PROMPT})
        if first is None:
            return
        operation, request, token = first
        refusals = [*self._wrong_key(operation, request), *self._invalid(operation, request)]
        paid = self.count
        if paid > 0:
            drawn = yield from self._submit(operation, request, token, "imagine")
            self.parent = drawn or self.parent
            paid -= 1
        if paid > 0 and self.parent is not None and (press := self._press(self.parent)) is not None:
            yield from self._submit(*press, "press")
            paid -= 1
        for step in refusals[: max(paid, 0)]:  # noqa: UP028 - a list cannot receive observations
            yield step

    def _submit(
        self, operation: SubmitOperation, request: Request, token: str | None, label: str
    ) -> Generator[Step, Observation, Parent | None]:
        """Send a submit, then fetch its tasks; return the first one that succeeded and has its document."""
        token = token if "state" in operation.form.arguments else None
        sent = self._authenticated(request)
        accepted = yield Step(Kind.SUBMIT, "", None, sent, label, self._scheme, submit=operation, token=token)
        receipt = accepted.receipt
        if receipt is None or not receipt.outcome.accepted or not operation.form.answer.makes_tasks:
            return None
        ids, found = receipt.ids[:_MOST_IDS], None
        for task_id in ids:
            document = yield from self._followed(task_id, operation, token, label)
            if found is None and document is not None:
                found = Parent(task_id, document)
        if self.contract.lookup is not None:
            _, path, method = self.contract.lookup
            listing = Request(str(method).upper(), str(path), (("Accept", "application/json"),))
            yield Step(
                Kind.LISTED,
                "",
                None,
                self._authenticated(listing),
                label,
                self._scheme,
                ids=receipt.ids,
                submit=operation,
                token=token,
            )
        return found

    def _followed(
        self, task_id: str, operation: SubmitOperation, token: str | None, label: str
    ) -> Generator[Step, Observation, Any]:
        """Fetch a task until it ends, or once; return its document if it succeeded."""
        try:
            request = self._authenticated(self.contract.request(task_id))
        except SettingError:
            return None
        step = Step(
            Kind.SUBMITTED, task_id, None, request, label, self._scheme, submit=operation, token=token
        )
        for _ in range(_POLLS if self.waits else 1):
            seen = yield step
            if seen.task is None or seen.state.terminal or seen.state is State.NEEDS_INPUT:
                break
            step = evolve(step, again=True)
        return seen.task if seen.state is State.SUCCEEDED else None

    def _press(self, parent: Parent) -> tuple[SubmitOperation, Request, str] | None:
        """Build the request for the first button that an operation accepts."""
        buttons = (*self.contract.reader.buttons(parent.document), "U1")
        built = (self._built("press", {"task": parent, "button": button}) for button in buttons)
        return next(filter(None, built), None)

    def _wrong_key(self, operation: SubmitOperation, request: Request) -> list[Step]:
        if not self.contract.credentials or self.contract.open or not self.secret:
            return []
        wrong = another_text(self.secret, self._chance, {self.secret})
        sent = request.authenticated(self.contract.credentials[0], wrong)
        return [Step(Kind.BAD_SUBMIT, "", None, sent, "imagine", self._scheme, submit=operation)]

    def _invalid(self, operation: SubmitOperation, request: Request) -> list[Step]:
        broken = without_prompt(self.contract, operation, request)
        if broken is None:
            return []
        sent = self._authenticated(broken)
        return [Step(Kind.INVALID_SUBMIT, "", None, sent, "without a prompt", self._scheme, submit=operation)]

    def _built(
        self, action: str, arguments: Mapping[str, Any]
    ) -> tuple[SubmitOperation, Request, str] | None:
        """Build a request with a new state token, or return None if the contract has no such submit."""
        token = f"{self._chance.getrandbits(64):016x}"
        try:
            return *submit_request(self.contract, action, arguments, {}, token=token), token
        except SettingError:
            return None

    @property
    def _scheme(self) -> str | None:
        return self.contract.credentials[0].scheme if self.contract.credentials else None

    def _authenticated(self, request: Request) -> Request:
        if not self.contract.credentials or not self.secret:
            return request
        return request.authenticated(self.contract.credentials[0], self.secret)
