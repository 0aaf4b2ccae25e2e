"""The curl command of an exchange, run in a shell against a mock."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.drivers.plan import KnownTask, plan
from mjrelay_conformance.drivers.probe import Probe
from mjrelay_conformance.judging.curl import curl
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay.contract.loading import load_contract
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import REDACTED, Redactor

KEY = 'the-key-"of"-the-$mock`'


def test_each_request_can_be_repeated() -> None:
    """The command of every request of a plan gets the same response as the suite."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    one = load_contract("zhongzhuan")
    mock = MockRelay(one, key=KEY, faults=["seconds-not-ms"])
    known = [KnownTask(task_id, state) for state, task_id in mock.known.items()]
    with Server(mock) as base_url:
        probe = Probe(base_url, Redactor(KEY))
        environment = {"PATH": "/usr/bin:/bin", "MJRELAY_BASE_URL": base_url, "MJRELAY_API_KEY": KEY}
        for step in plan(one, known[:1], KEY, profile="all"):
            exchange = probe.send(step.request)
            command = curl(exchange, base_url)
            assert KEY not in command
            assert base_url not in command
            shown = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=True)
            head, _, body = shown.stdout.partition(b"\r\n\r\n")
            assert head.split()[1] == str(exchange.status).encode(), command
            assert body == exchange.body, command


def test_a_prefix_of_the_base_url_is_not_doubled() -> None:
    """The base URL with its path is in the variable only."""
    exchange = Exchange("GET", "https://relay.test/api/mj/task/1/fetch?x=[1]")
    assert curl(exchange, "https://relay.test/api/") == (
        'curl --include --silent --show-error --globoff "${MJRELAY_BASE_URL}/mj/task/1/fetch?x=[1]"'
    )


@given(
    value=st.text(st.characters(blacklist_characters="\0\r\n", blacklist_categories=["Cs"])),
    body=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])),
)
def test_values_are_quoted_for_the_shell(value: str, body: str) -> None:
    """The shell passes any header and body to curl unchanged, with the key in place."""
    exchange = Exchange(
        "POST", "http://relay.test/x", (("X", f"{value}{REDACTED}{value}"), ("Y", f"a{value}")), body.encode()
    )
    words = curl(exchange, "http://relay.test").removeprefix("curl")
    shown = subprocess.run(
        ["sh", "-c", f"printf '%s\\0' {words}"],
        env={"MJRELAY_BASE_URL": "B", "MJRELAY_API_KEY": "K"},
        capture_output=True,
        check=True,
    ).stdout.decode()
    given = shown.split("\0")
    assert f"X: {value}K{value}" in given
    assert f"Y: a{value}" in given
    if body:
        assert body in given
