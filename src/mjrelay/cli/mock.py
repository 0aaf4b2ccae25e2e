"""``mjrelay mock``: a relay that costs nothing, on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from mjrelay.cli.options import OverlaysOption, RelayArgument
from mjrelay.cli.output import load
from mjrelay.contract import known_key, load_contract
from mjrelay.http import printable_text
from mjrelay.semantics import State


def mock(
    relay: RelayArgument,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")
    ] = 8080,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,…", help="Faults to show; may be given several times."),
    ] = None,
    dialect: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another way of keeping the contract.")
    ] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds that each answer takes.")] = 0.0,
    jitter: Annotated[float, typer.Option(min=0, help="Seconds that it takes more or less.")] = 0.0,
    seed: Annotated[int, typer.Option(help="What random choices begin with.")] = 0,
    overlay: OverlaysOption = None,
    list_faults: Annotated[
        bool, typer.Option("--list-faults", help="List the faults that it can show.")
    ] = False,
    list_dialects: Annotated[
        bool, typer.Option("--list-dialects", help="List the dialects that it can speak.")
    ] = False,
) -> None:
    """
    Serve a mock of a relay, made from its contract, until Ctrl-C.

    It knows one task in each state, and two that go on living: one succeeds after 30 seconds, one fails.
    The key it wants is MJRELAY_<RELAY>_API_KEY or MJRELAY_API_KEY, else mock-key.
    """
    mocks = load("mjrelay_conformance.mock", "mock")
    contract = load_contract(relay, overlay or ())
    if list_faults or list_dialects:
        listed = [*(mocks.FAULTS.values() if list_faults else ())]
        listed += mocks.DIALECTS.values() if list_dialects else ()
        for one in listed:
            if one.applies(contract):
                typer.echo(f"{one.name:28}{one.summary}")
        return
    key = known_key(contract.name)
    app = mocks.MockRelay(
        contract,
        **({} if key is None else {"key": key}),
        faults=[name.strip() for names in fault or () for name in names.split(",") if name.strip()],
        dialect=dialect,
        latency=latency,
        jitter=jitter,
        seed=seed,
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
        typer.echo("\n".join(map(printable_text, shown)), err=True)

    mocks.serve_mock(app, "127.0.0.1", port, announce=announce)
