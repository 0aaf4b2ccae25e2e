"""A pasted URL is taken apart into prefix, path and id."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from scripted import CONTRACTS, ID, PATH, examined, relay_with, serving

from mjrelay.contract import load_contract, resolve_base_url
from mjrelay.doctor.addresses import Address
from mjrelay.errors import SettingError


@pytest.mark.parametrize(
    ("pasted", "task_id", "first"),
    [
        (PATH, ID, PATH),
        (f"/x/y{PATH}", ID, f"/x/y{PATH}"),
        (f"{PATH}/", ID, f"{PATH}/"),
        (f"/task/{ID}/fetch", ID, f"/task/{ID}/fetch"),
        (f"{PATH}?x=1#y", ID, PATH),
        ("/mj/task/{id}/fetch", None, "/mj/task/ID/fetch"),
        ("/mj/task/:id/fetch", None, "/mj/task/ID/fetch"),
        ("", None, "/mj/task/ID/fetch"),
        ("/", None, "/mj/task/ID/fetch"),
        ("/mj", None, "/mj/task/ID/fetch"),
        ("/fast/mj/", None, "/fast/mj/task/ID/fetch"),
        ("/v1", None, "/v1/mj/task/ID/fetch"),
        ("/mj/task/a%2Fb/fetch", "a/b", "/mj/task/a%2Fb/fetch"),
    ],
)
def test_a_pasted_url_is_taken_apart(pasted: str, task_id: str | None, first: str) -> None:
    """A task URL yields prefix and id; the URL as given is tried first."""
    address = Address.of(f"https://relay.example.com{pasted}", CONTRACTS)
    assert address.task_id == task_id
    assert address.endpoints[0].request(task_id or "ID").target == first
    assert len(set(address.endpoints)) == len(address.endpoints)


def test_the_url_of_another_operation_has_the_prefix_too() -> None:
    """The part before the first segment of a contract's path is tried as a prefix."""
    address = Address.of("https://relay.example.com/x/mj/submit/imagine", CONTRACTS)
    assert "/x/mj/task/7/fetch" in [one.request("7").target for one in address.endpoints[:3]]


@pytest.mark.parametrize("prefix", ["", "/x/y"])
def test_the_prefix_is_found(prefix: str) -> None:
    """The base URL is the prefix before the contract's path, however much of the path is given."""
    with serving(relay_with(prefix=prefix)) as base_url:
        for pasted in ("", "/mj", PATH):
            found = examined(f"{base_url}{prefix}{pasted}", ID)
            assert found.relay is not None
            assert found.data()["endpoint"] == {"method": "GET", "path": f"{prefix}/mj/task/{{id}}/fetch"}
            assert found.base_url == base_url + prefix
            assert found.exit_code == 0


def test_a_parameter_alone_does_not_read_a_url() -> None:
    """A contract whose path is a parameter alone, which matches every URL, hides no other contract."""
    plain = load_contract(Path(__file__).parents[1] / "synthetic" / "plain.yaml")
    several = [evolve(plain, outside={}), *CONTRACTS]
    for pasted, task_id in ((f"/task/{ID}/fetch", ID), ("/v1", None)):
        assert Address.of(f"https://relay.example.com{pasted}", several).task_id == task_id
    for url, contracts in (("http://plain.example/x1", several), ("http://a.example/x1", [plain])):
        assert Address.of(url, contracts).task_id == "x1"
    assert resolve_base_url("http://a.example/x/y", plain) == "http://a.example/x/y"


@given(url=st.text() | st.from_regex(r"https?://[\w.:@\[\]-]{0,20}(/[^/]{0,9}){0,6}", fullmatch=True))
def test_no_url_crashes(url: str) -> None:
    """An invalid URL raises SettingError; any other yields valid requests."""
    try:
        address = Address.of(url, CONTRACTS)
    except SettingError:
        return
    assert address.endpoints
    for endpoint in address.endpoints:
        assert endpoint.request("7").target.startswith("/")
