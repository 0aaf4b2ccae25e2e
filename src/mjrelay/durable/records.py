"""Results of polls as JSON, for the rows of the database."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mjrelay import errors
from mjrelay.client import Poll, RelayError, Task, Ticket

if TYPE_CHECKING:
    from mjrelay.client import Relay

Record = str
"""
The result of a wait as JSON: ``ticket`` as text, the task's ``document``, ``error`` as its class and message.

It is ASCII, so that any database stores what a relay returns, also NUL and half of a surrogate pair.
"""

_LONGEST_ID = 100

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def to_record(relay: Relay, poll: Poll) -> Record:
    """Return the record of the result of a wait, without the key, which some relays repeat."""
    error = poll.error
    values = {
        "ticket": json.dumps(poll.ticket.to_json()),
        "document": _redacted(relay, None if poll.task is None else poll.task.document),
        # Errors put the relay's name before their message.
        "error": _redacted(
            relay, error and [type(error).__name__, str(error).removeprefix(f"{error.relay}: ")]
        ),
    }
    return "{" + ",".join(f'"{name}":{text}' for name, text in values.items()) + "}"


def _redacted(relay: Relay, value: Any) -> str:
    """Return a value as JSON, without the key in its strings. A short key may match a number or an escape."""
    redactor = relay._redactor  # noqa: SLF001 - it knows the key
    text = json.dumps(value, separators=(",", ":"))
    if redactor.text(text) == text:
        return text
    return _STRING.sub(lambda found: json.dumps(redactor.text(json.loads(found[0]))), text)


def to_poll(relay: Relay, record: Record) -> Poll:
    """Return the result of a wait. The task and the error have no exchange."""
    values = json.loads(record)
    ticket = Ticket.from_json(values["ticket"])
    contract = relay._contract  # noqa: SLF001 - the relay's own contract
    task = None if values["document"] is None else Task(contract, values["document"])
    error: RelayError | None = None
    if values["error"] is not None:
        name, message = values["error"]
        kind = getattr(errors, name, RelayError)
        error = kind(message, relay=relay.name, task_id=ticket.id, task=task)
    return Poll(task, error, ticket, done=True)


def key_of(poll: Poll) -> str:
    """
    Return what makes the result of a wait unique: the task's id, and how the wait ended.

    A task ends once. It may need input, and a wait may end with an error, in each wait for it.
    """
    task_id = quote(poll.ticket.id, safe="")
    if len(task_id) > _LONGEST_ID:
        task_id = sha256(task_id.encode()).hexdigest()
    if poll.task is not None and poll.error is None and poll.task.state.terminal:
        return f"{task_id}:{poll.task.state.value}"
    end = "needs-input" if poll.error is None else type(poll.error).__name__
    return f"{task_id}:{end}:{poll.ticket.started:.3f}"
