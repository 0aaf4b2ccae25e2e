"""From a prompt to a downloaded image, on the mock of every packaged relay that accepts submits."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import forked
import pytest
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import Button, SettingError, State
from mjrelay.contract import load_contract, relay_names
from mjrelay.testing import mock

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay import Relay
    from mjrelay.testing import Mock

WITHOUT_SUBMITS = {"mjdjourney"}
"""Relays whose pages show no submit."""
WITHOUT_UPSCALE: set[str] = set()
"""Relays that accept submits but cannot upscale."""
WITHOUT_PROMPTS = {"ttapi"}
"""Relays whose pages do not show the result of a describe."""
WINDOWS = {"apimart": "Vary (Region)"}
"""The button that opens a window, where it is not a button of Midjourney."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
SUBMITTING = [name for name in relay_names() if name not in WITHOUT_SUBMITS]


def actions(name: str) -> set[str]:
    """The actions of a relay."""
    return {one.form.action for one in load_contract(name).submits}


def to_the_image(relay: Relay, folder: Path) -> None:
    """Imagine, wait, press U1, wait, download."""
    submission = relay.imagine("a pig")
    assert (submission.charged, submission.may_resend) == ("yes", "never")
    task = relay.wait(submission)
    assert (task.state, task.id) == (State.SUCCEEDED, submission.id)
    upscaled = relay.wait(relay.press(task, "U1"))
    assert upscaled.state is State.SUCCEEDED
    assert relay.download(upscaled, folder)


def test_the_relays_that_submit() -> None:
    """Exactly the relays named here accept no submits, and the others imagine and upscale."""
    for name in relay_names():
        found = actions(name)
        assert (not found) is (name in WITHOUT_SUBMITS), name
        assert (not found or {"imagine", "press"} <= found) or name in WITHOUT_UPSCALE, name


def test_from_a_prompt_to_an_image(tmp_path: Path) -> None:
    """Each relay imagines, upscales and downloads, sync, with fast, and async."""

    async def by_async(served: Mock, folder: Path) -> None:
        async with served.async_relay() as relay:
            task = await relay.wait(await relay.imagine("a pig"))
            upscaled = await relay.wait(await relay.press(task, "U1"))
            assert await relay.download(upscaled, folder)

    for name in SUBMITTING:
        with mock(name) as served:
            to_the_image(served.relay(), tmp_path / name)
            to_the_image(served.relay(fast=True), tmp_path / f"{name}-fast")
            asyncio.run(by_async(served, tmp_path / f"{name}-async"))


def test_by_the_command(tmp_path: Path) -> None:
    """The command imagines, presses a button of the task by its id, waits and downloads."""
    for name in SUBMITTING:
        with Server(MockRelay(load_contract(name), key="mock-key", duration=0.0)) as url:
            variables = os.environ | {"MJRELAY_API_KEY": "mock-key", "MJRELAY_BASE_URL": url}
            common = ["--yes", "--log", str(tmp_path / "log"), "--format", "json"]
            imagined = forked.run(["imagine", name, "a pig", *common], variables)
            assert imagined.returncode == 0, (name, imagined.stderr)
            (task_id,) = json.loads(imagined.stdout)["ids"]
            folder = tmp_path / name
            pressed = forked.run(
                ["press", name, task_id, "U1", *common, "--wait", "--download", str(folder)], variables
            )
            assert pressed.returncode == 0, (name, pressed.stderr)
            assert json.loads(pressed.stdout)["state"] == "succeeded"
            assert [path for path in folder.rglob("*") if path.is_file()], name


def test_describe_and_shorten_suggest_prompts() -> None:
    """After describe and shorten the task has prompts, where the relay has these actions."""
    for name in SUBMITTING:
        with mock(name) as served:
            relay = served.relay()
            for action in actions(name) & {"describe", "shorten"}:
                given = {"prompt": "a pig"} if action == "shorten" else {"images": image_of(name)}
                task = relay.wait(relay.submit(action, **given))
                assert bool(task.prompts) is (name not in WITHOUT_PROMPTS), (name, action)


def image_of(name: str) -> str | bytes:
    """An image in a form that the relay's describe takes."""
    submits = load_contract(name).submits
    forms = [one.form.arguments["images"].encodings for one in submits if one.form.action == "describe"]
    return PNG if any(set(form) - {"url"} for form in forms) else "https://example.com/a.png"


def test_the_window() -> None:
    """A button that opens a window: needs_modal, modal, and every kind of wait goes on to the end."""
    for name in SUBMITTING:
        if "modal" not in actions(name):
            continue
        with mock(name) as served:
            relay = served.relay()
            task = relay.wait(relay.imagine("a pig"))
            button = WINDOWS.get(name, Button("MJ::CustomZoom::1", None, None))
            window = relay.press(task, button)
            assert window.needs_modal, name
            if State.NEEDS_INPUT.value in load_contract(name).examples:
                assert relay.wait(window).state is State.NEEDS_INPUT, name
            confirmed = relay.modal(window, "a pig with a hat")
            assert relay.wait(confirmed).state is State.SUCCEEDED, name
            again = relay.modal(relay.press(task, button), "a pig")
            (result,) = relay.wait_all([again])
            assert result.state is State.SUCCEEDED, name
            watched = relay.modal(relay.press(task, button), "a pig")
            assert list(relay.watch(watched))[-1].state is State.SUCCEEDED, name


def test_a_submission_is_found_again() -> None:
    """Where the contract has `find`, a submit is found by its token or its prompt."""
    found = set()
    for name in SUBMITTING:
        contract = load_contract(name)
        with mock(name) as served:
            relay = served.relay()
            submission = relay.imagine("a pig that is lost")
            if contract.reader.lookup is None:
                with pytest.raises(SettingError, match="cannot look for a submit"):
                    relay.find_submission("x")
                continue
            found.add(name)
            wanted = submission.state if contract.reader.lookup.by == "state" else "a pig that is lost"
            assert wanted is not None
            assert [task.id for task in relay.find_submission(wanted)] == [submission.id], name
            assert relay.find_submission("another") == []
    assert found
