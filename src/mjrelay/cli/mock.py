"""``mjrelay mock``: serve a mock relay on this machine."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from mjrelay.cli.options import overlays_option, relay_argument, seed_option
from mjrelay.cli.output import load_extra, write_line
from mjrelay.contract import known_key, load_contract
from mjrelay.http import checked_url, printable_text
from mjrelay.semantics import State

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@relay_argument
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="Port on 127.0.0.1; 0 picks one.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME,…",
    help="Faults to show (see --list-faults); repeatable.",
)
@click.option("--dialect", metavar="NAME", help="Dialect to use (see --list-dialects).")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="Seconds before each response.")
@click.option("--jitter", type=click.FloatRange(min=0), default=0.0, help="Random variation in seconds.")
@click.option(
    "--duration", type=click.FloatRange(min=0), default=30.0, help="Seconds from a submit to its end."
)
@click.option("--notify", metavar="URL", help="Send a callback to this URL when a task changes.")
@seed_option
@overlays_option
@click.option("--list-faults", is_flag=True, help="List the faults that apply to the relay.")
@click.option("--list-dialects", is_flag=True, help="List the dialects that apply to the relay.")
def mock(
    *,
    relay: str,
    port: int,
    faults: tuple[str, ...],
    dialect: str | None,
    latency: float,
    jitter: float,
    duration: float,
    notify: str | None,
    seed: int,
    overlays: tuple[Path, ...],
    list_faults: bool,
    list_dialects: bool,
) -> None:
    """
    Serve a mock of a relay, made from its contract, until Ctrl-C.

    The mock has one task in each state. Two more tasks are running: one succeeds after 30 seconds, the
    other one fails. Submitted tasks run for --duration seconds; a prompt with banned-word is refused.

    It expects the key in MJRELAY_<RELAY>_API_KEY or MJRELAY_API_KEY, else mock-key.
    """
    mocks = load_extra("mjrelay_conformance.mock", "mock")
    contract = load_contract(relay, overlays)
    if list_faults or list_dialects:
        listed = [*(mocks.FAULTS.values() if list_faults else ())]
        listed += mocks.DIALECTS.values() if list_dialects else ()
        for one in listed:
            if one.applies(contract):
                write_line(f"{one.name:28}{one.summary}")
        return
    key = known_key(contract.name)
    app = mocks.MockRelay(
        contract,
        **({} if key is None else {"key": key}),
        faults=[name.strip() for names in faults for name in names.split(",") if name.strip()],
        dialect=dialect,
        latency=latency,
        jitter=jitter,
        seed=seed,
        duration=duration,
    )
    lines = ["the key is " + ("mock-key" if key is None else "the one in the environment")]
    lines += [f"  {task_id}  {state.value}" for state, task_id in app.known.items()]
    lines += [
        f"  {app.submit(outcome=outcome)}  {outcome.value} 30 s from now"
        for outcome in (State.SUCCEEDED, State.FAILED)
        if outcome in app.known
    ]

    def announce(base_url: str) -> None:
        shown = [f"{contract.name} at {base_url}{contract.path}", *lines]
        click.echo("\n".join(map(printable_text, shown)), err=True)

    with nullcontext() if notify is None else mocks.Notifier(app, checked_url(notify)):
        mocks.serve_mock(app, "127.0.0.1", port, announce=announce)
