"""The result of a submit, and the errors of submits."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from mjrelay.base import SettingError
from mjrelay.client.task import RelayError, Task
from mjrelay.contract import checked_id
from mjrelay.semantics import SubmitOutcome

if TYPE_CHECKING:
    from mjrelay.contract import Contract
    from mjrelay.http import Exchange
    from mjrelay.semantics import Charged, MayResend, State


@frozen
class Submission:
    """
    A submit that the relay accepted.

    Pass it to `wait`, `watch`, `fetch` and `press` instead of the task's id.

    Attributes:
        relay: The relay's name.
        action: What was submitted, such as ``imagine``.
        ids: The ids of the new tasks; usually one. An upload has none.
        links: The URLs that an upload returned.
        needs_modal: Whether the task waits for `modal`.
        position: The number of tasks ahead in the queue, or None.
        prompt: The prompt that the modal window shows, or None.
        code: The relay's code, as text, or None.
        description: The relay's message, or None.
        state: The state token that was sent with the submit, or None.
        charged: Whether the submit costs money: ``yes``, ``no`` or ``unknown``.
        may_resend: Whether the same submit may be sent again without paying twice; here always ``never``.
        passes: A state that the task may keep until it ends; `wait` goes on through it.
        exchange: The request, without the key, and the response.
    """

    relay: str
    action: str
    ids: tuple[str, ...]
    links: tuple[str, ...]
    needs_modal: bool
    position: int | None
    prompt: str | None = field(repr=False)
    code: str | None
    description: str | None = field(repr=False)
    state: str | None
    charged: Charged
    passes: State | None = field(repr=False)
    exchange: Exchange = field(repr=False, eq=False)
    may_resend: MayResend = "never"

    @property
    def id(self) -> str:
        """
        The id of the new task; the first of several.

        Raises:
            ValueError: There is no task, as after an upload.
        """
        if not self.ids:
            raise ValueError(f"this {self.action} has no task; its result is in .links")
        return self.ids[0]


TaskLike: TypeAlias = Task | Submission | str
"""A task, its submission, or its id."""


def id_of(contract: Contract, task: TaskLike) -> str:
    """Return the id of a task, of a submission, or the id itself; raise `SettingError` without one."""
    if isinstance(task, Submission):
        if len(task.ids) != 1:
            count = f"{len(task.ids)} tasks; pass one of its ids" if task.ids else "no task"
            raise SettingError(f"this {task.action} has {count}")
        return task.ids[0]
    return checked_id(contract, task.id if isinstance(task, Task) else task)


class SubmitError(RelayError):
    """A submit failed. ``charged`` and ``may_resend`` say what it costs and whether to send it again."""


class BannedPromptError(SubmitError):
    """The relay refused the prompt because of a banned word."""


class BalanceError(SubmitError):
    """The account has not enough balance."""


class ButtonRefusedError(SubmitError):
    """The relay does not let this button through."""


class QueueFullError(SubmitError):
    """The relay's queue is full."""

    transient = True


class ParentNotReadyError(SubmitError):
    """The relay does not have the parent task as succeeded yet."""

    transient = True


class InvalidSubmitError(SubmitError):
    """The relay refused the request's parameters."""


class SubmitRefusedError(SubmitError):
    """The relay refused the submit without a reason that the contract describes."""


class SubmitOutcomeUnknownError(SubmitError):
    """
    The task may run and cost money, but its id is not known. Do not send the submit again blindly.

    Look for the task with `find_submission` where the relay supports it, or in the relay's own list.

    Attributes:
        sent_at: When the request was sent, in Unix time.
    """

    sent_at: float | None = None


class SpendingLimitError(SubmitError):
    """The relay object has sent ``max_submits`` submits. Nothing was sent."""


SUBMIT_ERRORS: dict[SubmitOutcome, type[SubmitError]] = {
    SubmitOutcome.BANNED: BannedPromptError,
    SubmitOutcome.BALANCE: BalanceError,
    SubmitOutcome.BUTTON_REFUSED: ButtonRefusedError,
    SubmitOutcome.QUEUE_FULL: QueueFullError,
    SubmitOutcome.PARENT_NOT_READY: ParentNotReadyError,
    SubmitOutcome.FAILED: SubmitRefusedError,
    SubmitOutcome.INVALID: InvalidSubmitError,
    SubmitOutcome.UNKNOWN: SubmitOutcomeUnknownError,
}
"""The error of each outcome that only a submit has."""
