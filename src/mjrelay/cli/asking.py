"""A relay that asks before it submits, and names the command that looks for a lost submit."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import MjrelayError, SettingError
from mjrelay.cli.output import print_message
from mjrelay.cli.resuming import find_command
from mjrelay.client import Relay
from mjrelay.http import decode_form, is_form, origin_and_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.client import SubmitCall, Submitter, Task
    from mjrelay.http import Request

_LONGEST = 200
"""Characters of a value that the request is shown with; an image in it is longer."""


class DeclinedError(MjrelayError):
    """The user did not confirm the request. Nothing was sent."""


class AskingRelay(Relay):
    """A relay of a command that submits: it shows the request, and asks without ``--yes``."""

    def _submitter(self, call: SubmitCall, parent: Task | None) -> Submitter:
        submitter = super()._submitter(call, parent)
        context = click.get_current_context()
        if submitter.wanted is not None:
            submitter.finder = find_command(context, submitter.wanted)
        if context.params["yes"]:
            return submitter
        request = submitter.request.shown or submitter.request
        lines = [
            "this submit may cost money:",
            f"{request.method} {origin_and_target(self.base_url, '/')[0]}{request.target}",
            *(f"  {line}" for line in _members(request)),
        ]
        shown = all(print_message(line) for line in lines) and sys.__stderr__ is not None
        if not shown or sys.stdin is None or not sys.stdin.isatty():
            raise SettingError("there is no terminal to ask on; repeat the command with --yes")
        try:
            confirmed = click.confirm("Send it?", err=True)
        except click.Abort:  # Ctrl-C or the end of the input
            confirmed = False
        if not confirmed:
            raise DeclinedError("nothing was sent")
        return submitter


def _members(request: Request) -> Iterator[str]:
    """Yield the members of a body: the values of JSON, or the texts of a form and the sizes of its files."""
    media_type = next(value for name, value in request.headers if name == "Content-Type")
    if is_form(media_type):
        for part in decode_form(media_type, request.body):
            text = part.data.decode("utf-8", "replace")
            file = part.filename is not None
            yield f"{part.name}: {f'{part.filename} {text}' if file else _short(text)}"
    else:
        for name, value in json.loads(request.body).items():
            yield f"{name}: {_short(value)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
