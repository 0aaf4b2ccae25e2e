"""Results of polls as JSON, for the rows of the database."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mjrelay import errors
from mjrelay.client import Poll, RelayError, Task, Ticket

if TYPE_CHECKING:
    from mjrelay.client import Relay

Record = dict[str, Any]
"""The result of a wait: ``ticket`` as text, the task's ``document``, ``error`` as its class and message."""

_LONGEST_ID = 100


def to_record(poll: Poll) -> Record:
    """Return the record of the result of a wait."""
    return {
        "ticket": poll.ticket.to_json(),
        "document": None if poll.task is None else poll.task.document,
        "error": None if poll.error is None else [type(poll.error).__name__, str(poll.error)],
    }


def to_poll(relay: Relay, record: Record) -> Poll:
    """Return the result of a wait. The task and the error have no exchange."""
    ticket = Ticket.from_json(record["ticket"])
    contract = relay._contract  # noqa: SLF001 - the relay's own contract
    task = None if record["document"] is None else Task(contract, record["document"])
    error: RelayError | None = None
    if record["error"] is not None:
        name, message = record["error"]
        kind = getattr(errors, name, RelayError)
        error = kind(message, relay=relay.name, task_id=ticket.id, task=task)
    return Poll(task, error, ticket, done=True)


def key_of(poll: Poll) -> str:
    """
    Return what makes the result of a wait unique: the task's id, and how the wait ended.

    A task that needs input ends twice: when it asks, and after ``modal``.
    """
    task_id = quote(poll.ticket.id, safe="")
    if len(task_id) > _LONGEST_ID:
        task_id = sha256(task_id.encode()).hexdigest()
    if poll.error is not None:
        return f"{task_id}:{type(poll.error).__name__}:{poll.ticket.deadline:.3f}"
    return f"{task_id}:{'' if poll.task is None else poll.task.state.value}"
