"""The submits of a run: each step depends on the response to the one before, and most cost money."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from mjrelay.base import SettingError, another_text
from mjrelay.contract import Parent, submit_request, without_prompt
from mjrelay.http import Request
from mjrelay.semantics import Button, State, SubmitOutcome
from mjrelay_conformance.drivers.plan import Step
from mjrelay_conformance.judging import Kind

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Any

    from mjrelay.contract import Contract, SubmitOperation
    from mjrelay_conformance.judging import Observation

    Steps = Generator[Step, Observation, None]
    """Yields steps; each gets the observation of its exchange."""


MOST_SUBMITS = 6
"""Maximum number of submits of a run."""
_MOST_IDS = 4
"""Maximum number of tasks of one submit that are fetched."""
_POLLS = 60
"""Maximum number of fetches of a submitted task on a relay that draws."""
_PROMPT = "a pig"
_LABELS = ("imagine", "press", "a wrong key", "a body without its prompt")
_WINDOW_LABELS = ("press, which opens a window", "modal")
_WINDOWS = tuple(map(re.compile, (r"(?i)custom ?zoom", r"(?i)remix", r"(?i)inpaint|\(region\)")))
"""Buttons of Midjourney that open a window: first those that need no mask."""
_GUESS = Button("MJ::CustomZoom::1", "Custom Zoom", None)


def submit_labels(contract: Contract, count: int) -> tuple[str, ...]:
    """Return what a run with at most ``count`` submits sends."""
    modal = any(one.form.action == "modal" for one in contract.submits)
    return (*_LABELS, *(_WINDOW_LABELS if modal and count >= MOST_SUBMITS else ()))[:count]


def _succeeded(seen: Observation | None) -> Parent | None:
    """Return the task of an observation as a parent if it succeeded."""
    return Parent(seen.task_id, seen.task) if seen is not None and seen.state is State.SUCCEEDED else None


@define
class Submits:
    """
    The submits of a run, in order: imagine, press a button, a wrong API key, an invalid body.

    If two more may be sent, a button that opens a window is pressed, and the window is confirmed.
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
    _made: dict[str | None, list[str]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._chance = random.Random(f"submits {self.seed}")  # noqa: S311 - a plan must be repeatable

    def steps(self) -> Steps:
        """Yield the steps."""
        first = self._built("imagine", {"prompt": _PROMPT})
        if first is None:
            return
        operation, request, token = first
        refusals = [*self._wrong_key(operation, request), *self._invalid(operation, request)]
        paid, pressed = self.count, None
        windows = self.count >= MOST_SUBMITS
        if paid > 0:
            drawn = yield from self._submit(operation, request, token, "imagine")
            self.parent = _succeeded(drawn) or self.parent
            paid -= 1
        if paid > 0 and self.parent is not None and (press := self._press(self.parent)) is not None:
            pressed = _succeeded((yield from self._submit(*press, "press")))
            paid -= 1
        for step in refusals[: max(paid, 0)]:  # noqa: UP028 - a list cannot receive observations
            yield step
        if windows:
            yield from self._window([one for one in (pressed, self.parent) if one is not None])

    def _window(self, parents: Sequence[Parent]) -> Steps:
        """Press a button that opens a window, and confirm it if the task waits for that."""
        opened = next(filter(None, map(self._opening, parents)), None)
        if opened is None or self._built("modal", {"task": parents[0], "prompt": _PROMPT}) is None:
            return
        token = opened[2]
        waiting = yield from self._submit(*opened, _WINDOW_LABELS[0])
        if waiting is None or waiting.state is not State.NEEDS_INPUT:
            return
        # The relay may keep the token of the press, or that of the modal: both are the same.
        parent = Parent(waiting.task_id, waiting.task)
        modal = self._built("modal", {"task": parent, "prompt": _PROMPT}, token)
        if modal is not None:
            yield from self._submit(*modal, _WINDOW_LABELS[1], window=parent.id)

    def _opening(self, parent: Parent) -> tuple[SubmitOperation, Request, str] | None:
        """Build the press of a button that opens a window. A relay that draws gets no guessed button."""
        buttons: list[Button | str] = [
            one
            for pattern in _WINDOWS
            for one in self.contract.reader.buttons(parent.document)
            if pattern.search(f"{one.id} {one.label}")
        ]
        buttons += ["Vary (Region)", *([] if self.waits else [_GUESS])]
        for button in buttons:
            built = self._built("press", {"task": parent, "button": button})
            outcomes = () if built is None else built[0].form.answer.outcomes
            if any(outcome is SubmitOutcome.NEEDS_MODAL for outcome, _, _ in outcomes):
                return built
        return None

    def _submit(
        self,
        operation: SubmitOperation,
        request: Request,
        token: str | None,
        label: str,
        *,
        window: str = "",
    ) -> Generator[Step, Observation, Observation | None]:
        """
        Send a submit, then fetch its tasks; return the last observation of the first one with a document.

        ``window`` is the task that waits for it.
        """
        token = token if "state" in operation.form.arguments else None
        sent = self._authenticated(request)
        accepted = yield Step(
            Kind.SUBMIT, window, None, sent, label, self._scheme, submit=operation, token=token
        )
        receipt = accepted.receipt
        if receipt is None or not receipt.outcome.accepted or not operation.form.answer.makes_tasks:
            return None
        ids, found = receipt.ids[:_MOST_IDS], None
        same_token = self._made.setdefault(token, [])
        same_token += receipt.ids
        for task_id in ids:
            seen = yield from self._followed(task_id, operation, token, label)
            found = found or (seen if seen is not None and seen.task is not None else None)
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
                ids=tuple(same_token),
                submit=operation,
                token=token,
            )
        return found

    def _followed(
        self, task_id: str, operation: SubmitOperation, token: str | None, label: str
    ) -> Generator[Step, Observation, Observation | None]:
        """Fetch a task until it ends or waits for its window, or once; return the last observation."""
        try:
            request = self._authenticated(self.contract.request(task_id))
        except SettingError:
            return None
        step = Step(
            Kind.SUBMITTED, task_id, None, request, label, self._scheme, submit=operation, token=token
        )
        stops = {State.NEEDS_INPUT} - {operation.form.meanwhile}
        for _ in range(_POLLS if self.waits else 1):
            seen = yield step
            if seen.task is None or seen.state.terminal or seen.state in stops:
                break
            step = evolve(step, again=True)
        return seen

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
        self, action: str, arguments: Mapping[str, Any], token: str | None = None
    ) -> tuple[SubmitOperation, Request, str] | None:
        """Build a request, with a new state token by default; None if the contract has no such submit."""
        token = token or f"{self._chance.getrandbits(64):016x}"
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
