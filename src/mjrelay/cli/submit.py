"""``mjrelay imagine`` and the other commands that submit."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from mjrelay.base import SettingError
from mjrelay.cli.asking import AskingRelay
from mjrelay.cli.options import (
    PATH,
    allow_private_option,
    argument,
    make_relay,
    relay_argument,
    relay_options,
)
from mjrelay.cli.output import is_pretty, print_message, write_json, write_line
from mjrelay.cli.results import Results
from mjrelay.cli.resuming import wait_command
from mjrelay.cli.submits import log_path
from mjrelay.cli.waiting import WaitRun, exit_now, print_log
from mjrelay.http import printable_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mjrelay.client import Relay, Submission, Task

_SECONDS = click.FloatRange(min=0.1)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all submits share."""
    command = relay_options(command)
    for option in (
        click.option("--yes", is_flag=True, help="Send without asking. Required without a terminal."),
        click.option("--log", type=PATH, metavar="FILE", help="Log of submits. Default: the user's."),
        click.option("--log-prompts", is_flag=True, help="Write prompts to the log too."),
        click.option("--out", type=PATH, metavar="FILE", help="Append the task to this JSON Lines file."),
        allow_private_option,
        click.option("--download", type=PATH, metavar="DIR", help="Wait, and download to this directory."),
        click.option("--wait", "wait", is_flag=True, help="Wait until the task has ended."),
        click.option("--timeout", type=_SECONDS, default=900.0, help="Seconds to wait for the task."),
        click.option("--request-timeout", type=_SECONDS, help="Timeout of the submit. Default: the relay's."),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="NAME=JSON",
            help="A further member of the request body, as the relay names it; repeatable.",
        ),
        click.option("--callback", metavar="URL", help="URL that the relay calls when the task changes."),
        click.option("--state", metavar="TOKEN", help="Token that the task repeats. Default: a random one."),
        click.option("--bot", metavar="NAME", help="midjourney or niji."),
        click.option("--aspect", metavar="W:H", help="Aspect ratio, such as 16:9."),
        click.option("--speed", metavar="NAME", help="fast, relax or turbo."),
    ):
        command = option(command)
    asked: Callable[..., None] = relay_argument(command)
    return asked


_EXIT = """

    The key comes from MJRELAY_<RELAY>_API_KEY, MJRELAY_API_KEY or --key-file. The request is shown and must
    be confirmed, or --yes given; it is written to the log before it is sent.

    Exit codes: 0 submitted (with --wait: and succeeded), 1 refused, not succeeded or outcome unknown, 2 wrong
    usage, 5 internal error, 130 interrupted.
"""


def _command(name: str, summary: str, *parameters: Callable[[Any], Any]) -> click.Command:
    """Return the command of an action. ``parameters`` add its own arguments and options."""

    def run(**given: Any) -> None:
        _submit(name, **given)

    run.__doc__ = f"{summary}{_EXIT}"
    command: Callable[..., None] = _options(run)
    for parameter in reversed(parameters):
        command = parameter(command)
    # Arguments are read in the order of their decorators; the relay comes first.
    return click.command(name)(relay_first(command))


def relay_first(command: Callable[..., None]) -> Callable[..., None]:
    """Put the relay before the other arguments."""
    parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    relay = next(one for one in parameters if one.name == "relay")
    parameters.remove(relay)
    parameters.append(relay)
    return command


_prompt = argument("prompt", help="Prompt.")
_optional_prompt = argument("prompt", required=False, help="Prompt.")
_task = argument("task", metavar="ID", help="Id of the parent task.")
_images = argument("images", nargs=-1, required=True, metavar="IMAGE...", help="URLs or paths.")
_image_option = click.option(
    "--image", "images", multiple=True, metavar="IMAGE", help="URL or path; repeatable."
)
_one_image = argument("images", nargs=1, metavar="IMAGE", help="URL or path.")
_mask = click.option("--mask", metavar="IMAGE", help="URL or path of a mask; white is drawn anew.")

imagine = _command("imagine", "Draw images from a prompt.", _prompt, _image_option)
blend = _command("blend", "Blend two to five images.", _images)
describe = _command("describe", "Suggest prompts for an image.", _one_image)
shorten = _command("shorten", "Suggest shorter prompts.", _prompt)
press = _command(
    "press",
    "Press a button of a finished task, such as U1.",
    _task,
    argument("button", help="Id, label or emoji of a button."),
)
modal = _command("modal", "Confirm the window that a button opened.", _task, _optional_prompt, _mask)
video = _command(
    "video",
    "Make a video from an image or a task.",
    _optional_prompt,
    click.option("--image", "images", metavar="IMAGE", help="URL or path of the first frame."),
    click.option("--end", metavar="IMAGE", help="URL or path of the last frame."),
    click.option("--motion", metavar="NAME", help="low or high."),
    click.option("--task", metavar="ID", help="Id of a task to start from."),
    click.option("--index", type=int, metavar="N", help="Which of its results."),
)
edits = _command("edits", "Edit an image by a prompt.", _prompt, _one_image, _mask)
swap_face = _command(
    "swap-face",
    "Put the face of one image into another.",
    argument("source", metavar="SOURCE", help="Image with the face: URL or path."),
    argument("target", metavar="TARGET", help="Image that receives it: URL or path."),
)
upload = _command("upload", "Upload images and print their URLs.", _images)


def _submit(
    action: str,
    *,
    relay: str,
    yes: bool,
    log: Path | None,
    log_prompts: bool,
    wait: bool,
    download: Path | None,
    allow_private: bool,
    out: Path | None,
    timeout: float,
    request_timeout: float | None,
    fields: tuple[str, ...],
    format_: str | None,
    overlays: tuple[Path, ...],
    base_url: str | None,
    scheme: str | None,
    key_file: Path | None,
    fast: bool,
    **arguments: Any,
) -> None:
    del yes  # `AskingRelay` reads it
    path = log or log_path()
    if log is None:
        _make_folder(path.parent, "name another log with --log FILE")
    if download is not None:
        _make_folder(download, "choose another for --download")
    given = {name: value for name, value in arguments.items() if value not in (None, ())}
    print_log()
    pretty = is_pretty(format_)
    with _interruptible(log), ExitStack() as stack:
        client = stack.enter_context(
            make_relay(
                relay,
                overlays=overlays,
                base_url=base_url,
                scheme=scheme,
                timeout=30.0,
                key_file=key_file,
                fast=fast,
                kind=AskingRelay,
                submit_log=path,
                log_prompts=log_prompts,
            )
        )
        results = (
            None if out is None else stack.enter_context(Results(out, client.name, files=bool(download)))
        )
        submission = client.submit(action, **given, fields=dict(map(_field, fields)), timeout=request_timeout)
        # On stderr too, because stdout may be a pipe that is gone.
        print_message(f"submitted: {', '.join((*submission.ids, *submission.links))}")
        if submission.needs_modal:
            print_message(f"the task waits for: mjrelay modal {relay} {submission.ids[0]} PROMPT")
        if not (wait or download or out) or not submission.ids:
            _print_submission(submission, pretty=pretty)
            return
        waiting = _Waiting(submission, pretty)
        run = WaitRun(
            client,
            dict.fromkeys(submission.ids),
            results,
            lambda task: _download(client, task, download, allow_private=allow_private),
            write=waiting.add,
            downloads=download is not None,
        )
        waiting.run(run, timeout)
    sys.exit(int(run.failed or run.states[State.SUCCEEDED] < len(submission.ids)))


def _make_folder(path: Path, remedy: str) -> None:
    """Create a directory before anything is sent; raise `SettingError` if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(f"{path}: the directory cannot be created ({error.strerror}); {remedy}") from error


@contextmanager
def _interruptible(log: Path | None) -> Iterator[None]:
    """End at Ctrl-C without the advice to start again, which may pay twice."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the message
        for note in getattr(interrupt, "__notes__", ()):
            print_message(note)
        listed = shlex.join(["mjrelay", "submits", *([] if log is None else [str(log)])])
        print_message(f"interrupted; look at {listed} before you submit again")
        sys.exit(130)


@define(eq=False)
class _Waiting:
    """The wait for the tasks of a submission, and what is printed of it."""

    submission: Submission
    pretty: bool
    _ended: list[tuple[Task, dict[str, Any]]] = field(factory=list, init=False)

    def add(self, task: Task, result: dict[str, Any]) -> None:
        """Keep a task that has ended; it is printed when no progress bars are drawn."""
        self._ended.append((task, result))

    def run(self, run: WaitRun, timeout: float) -> None:
        """Wait. If a task is left, stdout has the submission, and stderr the command that resumes."""
        reason = ""
        try:
            if self.pretty:
                _print_submission(self.submission, pretty=True)
            run.run(timeout=timeout, submission=self.submission if len(run.left) == 1 else None)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the message
            reason = "interrupted; "
        finally:
            # A task that was reported as failed is not left, nor is one whose files are missing.
            if left := list(self.submission.ids) if run.failed else list(run.left):
                again = wait_command(click.get_current_context(), left)
                print_message(f"{reason}the submit is paid for and not cancelled; resume with: {again}")
            with suppress(BrokenPipeError) if reason else nullcontext():
                self._print()
        if reason:
            exit_now(130)

    def _print(self) -> None:
        for task, result in self._ended:
            _print_task(task, result, pretty=self.pretty)
        if len(self._ended) < len(self.submission.ids) and not self.pretty:
            _print_submission(self.submission, pretty=False)


def _print_task(task: Task, result: dict[str, Any], *, pretty: bool) -> None:
    if not pretty:
        write_json(result)
        return
    from mjrelay.cli.terminal import print_task  # noqa: PLC0415 - rich is slow to import

    print_task(task)
    for path in result.get("files", ()):
        print_message(f"downloaded {path}")


def _download(relay: Relay, task: Task, folder: Path | None, **options: Any) -> list[Path]:
    if folder is None or not (task.images or task.videos):
        return []
    return relay.download(task, folder, **options)


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise SettingError(f"--field {text!r} has no value; write NAME=JSON, such as version=7")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _print_submission(submission: Submission, *, pretty: bool) -> None:
    result = {
        "relay": submission.relay,
        "action": submission.action,
        "ids": list(submission.ids),
        "links": list(submission.links),
        "needs_modal": submission.needs_modal,
        "position": submission.position,
        "prompt": submission.prompt,
        "code": submission.code,
        "description": submission.description,
        "state": submission.state,
        "charged": submission.charged,
    }
    if not pretty:
        write_json(result)
        return
    for one in (*submission.ids, *submission.links):
        write_line(printable_text(one))
