"""The mock relay of the tests of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cli_process import KEY, Counting
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def relay(request: pytest.FixtureRequest) -> Iterator[tuple[Counting, str]]:
    """A mock of one relay on loopback, with the faults of the test's parameter, and its base URL."""
    app = Counting(load_contract("zhongzhuan"), key=KEY, faults=getattr(request, "param", ()))
    with Server(app) as base_url:
        yield app, base_url
