"""``mjrelay imagine`` and the other commands that submit, and ``mjrelay submits``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mjrelay.base import MjrelayError, SettingError, read_file
from mjrelay.cli.options import (
    PATH,
    argument,
    base_url_option,
    fast_option,
    key_file_option,
    make_relay,
    overlays_option,
    relay_argument,
    scheme_option,
)
from mjrelay.cli.output import format_option, is_pretty, json_text, print_message, write_json, write_line
from mjrelay.cli.results import Results
from mjrelay.client import DownloadError, Relay, Submission
from mjrelay.http import origin_and_target, printable_text
from mjrelay.semantics import State, SubmitOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay.client import SubmitCall, Submitter, Task

_LOG = "submits.jsonl"
_LONGEST = 200
"""Characters of a value that the request is shown with; an image in it is longer."""
_SECONDS = click.FloatRange(min=0.1)
_LARGEST_LOG = 256 << 20


class DeclinedError(MjrelayError):
    """The user did not confirm the request. Nothing was sent."""


class _AskingRelay(Relay):
    """A relay that shows a submit and asks before it is sent."""

    def _submitter(self, call: SubmitCall, parent: Task | None) -> Submitter:
        submitter = super()._submitter(call, parent)
        print_message("this submit may cost money:")
        request = submitter.request.shown or submitter.request
        print_message(f"{request.method} {origin_and_target(self.base_url, '/')[0]}{request.target}")
        for name, value in json.loads(request.body).items():
            print_message(f"  {name}: {_short(value)}")
        if sys.stdin is None or sys.__stderr__ is None or not sys.stdin.isatty():
            raise SettingError("there is no terminal to ask on; repeat the command with --yes")
        try:
            confirmed = click.confirm("Send it?", err=True)
        except click.Abort:  # Ctrl-C or the end of the input
            confirmed = False
        if not confirmed:
            raise DeclinedError("nothing was sent")
        return submitter


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def _log_path() -> Path:
    """Return the default path of the log of submits."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "mjrelay" / _LOG


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that all submits share."""
    for option in (
        format_option("pretty", "json"),
        overlays_option,
        fast_option,
        key_file_option,
        scheme_option,
        base_url_option,
        click.option("--yes", is_flag=True, help="Send without asking. Required without a terminal."),
        click.option("--log", type=PATH, metavar="FILE", help="Log of submits. Default: the user's."),
        click.option("--log-prompts", is_flag=True, help="Write prompts to the log too."),
        click.option("--out", type=PATH, metavar="FILE", help="Append the task to this JSON Lines file."),
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
    path = log or _log_path()
    if log is None:
        _make_folder(path.parent, "name another log with --log FILE")
    if download is not None:
        _make_folder(download, "choose another for --download")
    given = {name: value for name, value in arguments.items() if value not in (None, ())}
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
                kind=Relay if yes else _AskingRelay,
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
        if not (wait or download or out) or not submission.ids:
            _print_submission(submission, pretty=is_pretty(format_))
            return
        task = client.wait(submission, timeout=timeout)
        result = task.to_dict()
        if download is not None:
            result["files"] = list(map(str, _downloaded(client, task, download, relay)))
        if results is not None and task.state.terminal:
            results.add(result)
        if is_pretty(format_):
            from mjrelay.cli.terminal import print_task  # noqa: PLC0415 - rich is slow to import

            print_task(task)
        else:
            write_json(result)
    sys.exit(int(task.state is not State.SUCCEEDED))


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


def _downloaded(client: Relay, task: Task, folder: Path, relay: str) -> list[Path]:
    try:
        return client.download(task, folder) if task.images or task.videos else []
    except DownloadError:
        again = shlex.join(["mjrelay", "fetch", relay, task.id, "--download", str(folder)])
        print_message(f"the task is paid for and has ended; download it again with: {again}")
        raise


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
    if submission.needs_modal:
        print_message(f"the task waits for: mjrelay modal {submission.relay} {submission.ids[0]} PROMPT")


@click.command()
@argument("file", required=False, type=PATH, help="Log of submits. Default: the user's.")
@format_option("pretty", "json")
def submits(*, file: Path | None, format_: str | None) -> None:
    """
    List the submits of a log: accepted, refused, and those whose outcome is unknown.

    Exit codes: 0 every outcome is known, 1 an outcome is unknown, 2 wrong usage, 5 internal error.
    """
    path = file or _log_path()
    if file is None and not path.exists():
        print_message("no submits yet")
        return
    try:
        lines = read_file(path, _LARGEST_LOG).splitlines()
    except OSError as error:
        raise SettingError(f"{path} cannot be read ({error.strerror}); name a log of submits") from error
    rows: dict[str, dict[str, Any]] = {}
    skipped = 0
    for line in filter(bytes.strip, lines):
        if (record := _logged(line)) is None:
            skipped += 1
        else:
            rows.setdefault(record["submit"], {}).update(record)
    if skipped and not rows:
        raise SettingError(f"{path} has no record of a submit, but other data; name a log of submits")
    if skipped:
        print_message(f"{path}: lines that are no record of a submit, and were skipped: {skipped}")
    unknown = 0
    for row in rows.values():
        verdict = _verdict(row)
        unknown += verdict == "unknown"
        row["verdict"] = verdict
        write_line(_row(row) if is_pretty(format_) else json_text(row))
    print_message(f"{len(rows)} submits, {unknown} with an unknown outcome")
    sys.exit(int(unknown > 0))


def _logged(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line of a log, without members of other types, or None."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not isinstance(record.get("submit"), str):
        return None
    return {name: value for name, value in record.items() if _has_its_type(name, value)}


def _has_its_type(name: str, value: Any) -> bool:
    if name in {"ids", "links"}:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return isinstance(value, str)


def _verdict(row: dict[str, Any]) -> str:
    named = row.get("ids") or row.get("links")
    outcomes = [one for one in SubmitOutcome if one == row.get("outcome")]
    if row.get("event") != "answered" or not outcomes:
        return "unknown"
    if outcomes[0].accepted or (outcomes[0] is SubmitOutcome.UNKNOWN and named):
        return "accepted"
    return "refused" if row.get("charged") == "no" else "unknown"


def _row(row: dict[str, Any]) -> str:
    ids = " ".join((*row.get("ids", ()), *row.get("links", ()))) or (row.get("state") or "")
    text = (
        f"{row.get('time', '')}  {row['verdict']:8}  {row.get('relay', '')}  {row.get('action', '')}  {ids}"
    )
    return printable_text(text.rstrip())
