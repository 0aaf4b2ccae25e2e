"""What a run shows and leaves: the plan of a dry run, the place of its record, the command line."""

from __future__ import annotations

import errno
import shlex
import sys
from typing import TYPE_CHECKING

from mjrelay.http import join_url, printable_text
from mjrelay_conformance.drivers.options import MAX_TIME, ConformError
from mjrelay_conformance.judging import draft_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mjrelay.http import Redactor
    from mjrelay_conformance.drivers.options import Asked, ConformOptions
    from mjrelay_conformance.drivers.plan import Step
    from mjrelay_conformance.drivers.terms import Terms


def results_file(report_dir: Path | None) -> Path | None:
    """
    Where in a directory for reports the record goes.

    Raises `ConformError` where it cannot be made or written, which is to be known before anything is sent.
    """
    if report_dir is None:
        return None
    path = report_dir / "results.json"
    try:
        report_dir.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{path.name} is a directory")
        new = draft_path(path)
        new.touch(exist_ok=False)
        new.unlink()
    except OSError as error:
        raise ConformError(
            f"--report-dir {report_dir}: {error.strerror}; name a directory that can be written to"
        ) from error
    return path


def command_line(command: str, options: Asked, arguments: Sequence[str], **more: object) -> str:
    """
    The command line that does the same again.

    ``more`` are options besides those that every command has: one that is True is given without a value, one
    that is None or False is not given. The relay's address and directories are not told.
    """
    said = {
        "task": options.tasks,
        "strict": options.strict,
        "check": options.globs,
        "exclude": options.excluded,
        "baseline": options.baseline and options.baseline.name,
        "overlay": tuple(path.name for path in options.overlays),
        **more,
    }
    words = ["mjrelay", command, *map(shlex.quote, arguments)]
    words += [] if options.base_url is None else ["--base-url", '"$MJRELAY_BASE_URL"']
    for name, value in said.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, tuple) else (value,):
            if one is True:
                words.append(option)
            elif one is not None and one is not False:
                words += [option, shlex.quote(f"{one:g}" if isinstance(one, float) else str(one))]
    return " ".join(words)


def conform_command(options: ConformOptions, terms: Terms) -> str:
    """The command line of ``mjrelay conform`` that does the same again."""
    return command_line(
        "conform",
        options,
        [] if options.relay is None else [options.relay],
        profile=terms.profile,
        fuzz=terms.cases > 0,
        no_fuzz=terms.cases == 0,
        cases=terms.cases or None,
        rate=options.rate,
        spacing=options.spacing,
        max_requests=options.max_requests,
        max_time=None if options.max_time == MAX_TIME else options.max_time,
        yes=options.yes,
        i_operate_this_relay=options.operator,
        seed=options.seed,
    )


def show_plan(steps: Sequence[Step], base_url: str, redactor: Redactor, cases: int) -> None:
    """Print the plan, secrets left out, on stdout: in a dry run it is the data."""
    for step in steps:
        request = step.request
        line = f"{request.method} {join_url(base_url, request.target)}  # {step}"
        fields = [f"    {name}: {value}" for name, value in request.headers]
        body = [f"    {request.body.decode('utf-8', 'replace')}"] if request.body else []
        shown = (printable_text(redactor.text(text)) for text in (line, *fields, *body))
        sys.stdout.write("\n".join(shown) + "\n")
    sys.stdout.write(f"# {len(steps)} requests\n")
    if cases:
        sys.stdout.write(f"# and up to {cases} of the property-based phase, made while it runs\n")
