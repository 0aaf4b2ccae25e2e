"""Submits to a relay outside the package, whose submit side is unlike those of the packaged relays."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import BannedPromptError, Relay, SettingError, State, UnauthorizedError
from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mjrelay_conformance.mock.responses import MockResponse

KEY = "sk-the-pass-of-the-atelier"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
SUPPORT = Path(__file__).parents[1] / "support"


def test_another_shape_works_by_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """PUT, a parent in the path, ids in an array, a code 202, another header and plain base64 all work."""
    monkeypatch.chdir(SUPPORT)
    requests: list[tuple[str, str, dict[str, str], Any]] = []

    class Noting(MockRelay):
        def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> MockResponse:
            if method != "GET":
                fields = {name.lower(): value for name, value in headers}
                requests.append((method, target, fields, json.loads(body)))
            return super().answer(method, target, headers, body)

    app = Noting(load_contract("./atelier.yaml"), key=KEY, duration=0.0)
    with Server(app) as url, Relay("./atelier.yaml", KEY, base_url=url) as relay:
        task = relay.wait(relay.imagine("a pig", images=[PNG]))
        upscaled = relay.wait(relay.press(task, "U2"))
        assert (task.state, upscaled.state) == (State.SUCCEEDED, State.SUCCEEDED)
        assert upscaled.id != task.id
        assert upscaled.images
        drawn, enlarged = requests
        assert drawn[:2] == ("PUT", "/pictures")
        assert drawn[3] == {"words": "a pig", "seen": [base64.b64encode(PNG).decode()]}
        assert enlarged[:2] == ("PUT", f"/pictures/{task.id}/enlarged/2")
        for _, _, fields, _ in requests:
            assert fields["x-atelier-pass"] == KEY
            assert "authorization" not in fields


def test_refusals_of_another_shape() -> None:
    """Other codes have their errors; a URL, an unknown button or action is refused before it is sent."""
    path = SUPPORT / "atelier.yaml"
    app = MockRelay(load_contract(path), key=KEY, duration=0.0)
    with Server(app) as url, Relay(path, KEY, base_url=url, max_submits=2) as relay:
        with pytest.raises(BannedPromptError, match="these words are banned") as caught:
            relay.imagine("a banned-word")
        assert caught.value.charged == "no"
        with relay.with_options(api_key="sk-another-pass") as other, pytest.raises(UnauthorizedError):
            other.imagine("a pig")
        unfit: Sequence[Callable[[], object]] = (
            lambda: relay.imagine("a pig", images=["https://example.com/a.png"]),
            lambda: relay.press("pic-s", "V1"),
            lambda: relay.shorten("a pig"),
        )
        for refused in unfit:
            with pytest.raises(SettingError):
                refused()
