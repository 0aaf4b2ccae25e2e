"""The record of a real run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from mjrelay_conformance.drivers.options import ConformOptions
from mjrelay_conformance.drivers.run import judge_relays
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from rich.console import Console

from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from pathlib import Path


KEY = "sk-of-the-tests-4711"


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run against a mock that breaks a MUST and a SHOULD."""
    directory = tmp_path_factory.mktemp("real")
    mock = MockRelay(load_contract("apiai"), key=KEY, faults=("seconds-not-ms", "failure-without-reason"))
    with pytest.MonkeyPatch.context() as patch, Server(mock) as base_url:
        patch.setenv("MJRELAY_API_KEY", KEY)
        options = ConformOptions(
            relay="apiai",
            base_url=base_url,
            tasks=tuple(f"{task}={state.value}" for state, task in mock.known.items()),
            fuzz=False,
            report_dir=directory,
        )
        judge_relays(options, Console(file=io.StringIO()))
    return directory
