"""``mjrelay doctor``: what a URL speaks, and what is wrong there."""

from __future__ import annotations

import os
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mjrelay.base import SettingError
from mjrelay.cli.options import KeyFileOption
from mjrelay.cli.output import Format, FormatOption, is_pretty, talk, write_json
from mjrelay.contract import load_contract, read_key, relay_names
from mjrelay.doctor import CREDENTIAL_LIMIT, REQUEST_LIMIT, Diagnosis, ProbeRequest, examine, is_fetchable
from mjrelay.http import Redactor, printable_text, set_redactor

if TYPE_CHECKING:
    from collections.abc import Iterator


_SHOWN = 8
"""Fields of one kind that are named."""


def doctor(
    url: Annotated[str, typer.Argument(metavar="URL", help="A base URL, or the URL of a task.")] = "",
    task: Annotated[
        str | None, typer.Option("--task", metavar="ID", help="A task that is there; else the URL's own.")
    ] = None,
    contract: Annotated[
        list[Path] | None,
        typer.Option("--contract", metavar="FILE", help="A contract of your own, to be compared too."),
    ] = None,
    key_file: KeyFileOption = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that one request may take.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of what --json writes.")
    ] = False,
    format_: FormatOption = None,
) -> None:
    """
    Find out which contract, path prefix and header fit a URL, and what is wrong there.

    It sends 8 requests at most, which only read, each told before it is sent, and follows no redirect. The
    key comes from MJRELAY_API_KEY or --key-file and is sent in 3 headers at most. Without a task it tells
    the family of the relay, not the server. Exit codes: 0 understood and well, 1 something is wrong, 2 wrong
    usage, 4 no answer came, 5 a mistake of our own.
    """
    if schema:
        typer.echo(_schema(), nl=False)
        return
    if not url:
        raise typer.BadParameter("give a URL: that of the relay, or of a task")
    key = read_key(key_file) if key_file else os.environ.get("MJRELAY_API_KEY") or None
    redactor = Redactor(*([] if key is None else [key]))
    set_redactor(redactor)
    contracts = [load_contract(name) for name in relay_names()]
    for own in map(load_contract, contract or ()):
        if not is_fetchable(own):
            raise SettingError(
                f"--contract {own.file}: a task is fetched with {own.method} and {own.reader.ask}, and this "
                "command sends only GET without a body; use mjrelay conform instead"
            )
        contracts.append(own)
    talk(f"at most {REQUEST_LIMIT} requests are sent, the key in at most {CREDENTIAL_LIMIT} headers")
    found = examine(
        url, contracts, redactor=redactor, key=key, task_id=task, timeout=timeout, announce=_announce
    )
    if is_pretty(Format.JSON if as_json else format_):
        _show(found)
    else:
        write_json(found.data())
    raise typer.Exit(found.exit_code)


def _announce(step: ProbeRequest) -> None:
    talk(str(step))


def _schema() -> str:
    file = resources.files("mjrelay") / "doctor" / "diagnosis.schema.json"
    return file.read_text(encoding="utf-8")


def _show(found: Diagnosis) -> None:
    """The diagnosis for people, on stdout."""
    lines = [*_spoken(found), "", *_seen(found)]
    for wrong, title in ((True, "What is wrong"), (False, "Good to know")):
        told = [one for one in found.complaints if one.wrong is wrong]
        lines += ["", title] if told else []
        for one in told:
            lines += [f"  {one.name}: {one.what}", f"    {one.then}"]
    if found.python:
        lines += ["", *(f"    {line}" for line in found.python)]
    if found.conform:
        lines += ["", f"    {found.conform}"]
    sys.stdout.write("\n".join(map(printable_text, lines)) + "\n")


def _seen(found: Diagnosis) -> Iterator[str]:
    evidence, data = found.evidence, found.data()
    if evidence.endpoint is not None:
        yield f"  path      GET {evidence.origin}{evidence.endpoint}"
        yield f"  key       {_key(found)}"
        if evidence.ways:
            yield f"            not tried: {', '.join(map(str, evidence.ways))}"
    if found.state is not None:
        yield f"  task      {evidence.named} is {found.state.value}"
    for kind, paths in (found.unset or {}).items():
        if paths:
            yield f"  {kind:9} {', '.join(paths[:_SHOWN])}{' …' if len(paths) > _SHOWN else ''}"
    if data["missing"]:
        empty = "no body" if data["missing"]["empty"] else data["missing"]["media_type"] or "no media type"
        yield f"  missing   answered with {data['missing']['status']}, {empty}"
    yield f"  batch     {_batch(found)}"
    yield f"  requests  {len(evidence.observations)} of {REQUEST_LIMIT} were sent"


def _spoken(found: Diagnosis) -> list[str]:
    url = found.evidence.origin + found.evidence.pasted
    if not found.reached:
        return [f"{url} does not answer"]
    if found.relay is None and found.evidence.observations[-1].unserved:
        return [f"{url} cannot be examined now: it does not serve requests"]
    if found.relay is None:
        near = f"; nearest is {found.scores[0].contract.name}" if found.evidence.endpoint else ""
        return [f"{url} speaks no dialect that is known here{near}"]
    if found.evidence.task is None:
        return [
            f"{url} is of the family of {', '.join(found.family)}",
            "  Without a task that is there the server cannot be told; give one with --task ID.",
        ]
    score = f"{found.scores[0].value:.0%}"
    if len(found.alike) > 1:
        others = " or ".join(found.alike)
        return [f"{url} speaks {others} ({score}): they cannot be told apart by what comes"]
    return [f"{url} speaks {found.relay.name} ({score} of what came fits)"]


def _key(found: Diagnosis) -> str:
    evidence = found.evidence
    if evidence.way is not None:
        return f"{evidence.way}" + (" (or none: it is open)" if evidence.open else "")
    if not evidence.keyed:
        return "none was sent" + (", and none is wanted" if evidence.open else "")
    return "accepted nowhere"


def _batch(found: Diagnosis) -> str:
    batch = found.data()["batch"]
    if not batch["asked"]:
        return "not asked for"
    return f"there, {found.evidence.batch}" if batch["there"] else "not there"
