"""Fixtures of the tests of recorded traffic."""

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove keys and other settings from the environment."""
    for name in [name for name in os.environ if name.startswith("MJRELAY_")]:
        monkeypatch.delenv(name)
