"""The doctor identifies the contract, prefix and header of a URL."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from mjrelay_conformance.mock.dialects import DIALECTS
from mjrelay_conformance.mock.relay import MockRelay
from sampled import WHOLE
from scripted import (
    CONTRACTS,
    ID,
    KEY,
    PAGE,
    RELAY,
    Reply,
    ScriptedRelay,
    diagnosed,
    examined,
    problem_names,
    relay_with,
    serving,
    task_body,
)

from mjrelay import Relay
from mjrelay.contract import Contract, load_contract, relay_names
from mjrelay.doctor import REQUEST_LIMIT
from mjrelay.doctor.observations import sent_form
from mjrelay.errors import SettingError
from mjrelay.semantics import State

FORMS = Path(__file__).parents[1] / "support" / "forms.yaml"
SYNTHETIC = sorted((Path(__file__).parents[1] / "synthetic").glob("*.yaml"))


def mounted(app: Any, prefix: str) -> Any:
    """Return the application below a prefix, with a web page elsewhere."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        raw: str = scope["raw_path"].decode()
        if not raw.startswith(prefix):
            await ScriptedRelay(lambda _: Reply(404, PAGE, "text/html"))(scope, receive, send)
            return
        inner = {"raw_path": raw.removeprefix(prefix).encode(), "path": scope["path"].removeprefix(prefix)}
        await app({**scope, **inner}, receive, send)

    return asgi


def moved(name: str, path: str) -> Contract:
    """Return a packaged contract with another path for tasks."""
    paths = {path: RELAY.document["paths"][RELAY.path]}
    paths |= {one: item for one, item in RELAY.document["paths"].items() if one != RELAY.path}
    return Contract(name, {**RELAY.document, "servers": [], "paths": paths}, RELAY.source)


def mock_of(contract: Contract) -> tuple[MockRelay, str]:
    """Return the mock of a contract and the id of a task that it has, a succeeded one if there is one."""
    mock = MockRelay(contract, key=KEY)
    return mock, mock.known.get(State.SUCCEEDED) or next(iter(mock.known.values()))


def test_the_mock_of_each_contract() -> None:
    """The contract of each mock is identified below any prefix, and the Python code works."""
    for number, name in enumerate(relay_names()):
        prefix = ("", "/x/y")[number % 2]
        mock, task_id = mock_of(load_contract(name))
        with serving(mounted(mock, prefix)) as base_url:
            found = examined(base_url + prefix, task_id)
            assert name in found.alike
            assert found.relay is not None
            assert found.relay.name in found.alike
            with Relay(found.relay.name, KEY, base_url=found.base_url, scheme=found.scheme) as relay:
                assert relay.fetch(task_id).id == task_id
        assert not problem_names(found, wrong=True) - {"local-links"}
        scores = {one.contract.name: one.value for one in found.scores}
        assert all(abs(scores[alike] - scores[name]) < 0.005 for alike in found.alike)


@pytest.mark.parametrize(
    "dialect", ["nulls", "zeros", "absent", "escaped", "reordered", "charset", "chunked"]
)
def test_the_dialects_of_a_mock(dialect: str) -> None:
    """A contract is identified even if the relay deviates from its examples."""
    for name in WHOLE:
        if DIALECTS[dialect].applies(load_contract(name)):
            mock = MockRelay(load_contract(name), key=KEY, dialect=dialect)
            with serving(mock) as base_url:
                assert name in examined(base_url, mock.known[State.SUCCEEDED]).alike


def test_without_a_task_the_family_is_identified() -> None:
    """Without an id the family contains the contract, or the report names its path as not tried."""
    for name in relay_names():
        contract = load_contract(name)
        with serving(mock_of(contract)[0]) as base_url:
            found = examined(base_url)
        assert not found.data()["certain"]
        if not any(one.before(contract) == "" for one in found.observations.untried_endpoints):
            assert name in found.family
            assert found.observations.endpoint is not None
            assert found.observations.endpoint.before(contract) == ""


def test_many_packaged_contracts_hide_none() -> None:
    """Each relay is found, by its base URL and a task, among fifty paths that precede it by name."""
    others = [load_contract(path) for path in SYNTHETIC]
    packaged = [evolve(one, outside={}) for one in others]  # as if they were packaged
    several = [*packaged, *CONTRACTS, *(moved(f"a{n}", f"/a{n}/{{id}}") for n in range(50))]
    for contract in several[: len(packaged) + len(CONTRACTS)]:
        mock, task_id = mock_of(contract)
        with serving(mock) as base_url:
            found = examined(base_url, task_id, contracts=several)
            assert contract.name in found.alike, contract.name
            path = contract.request(task_id).target
            assert contract.name in examined(f"{base_url}{path}", task_id, contracts=several).alike


def test_all_requests_serve_the_search() -> None:
    """Eight paths are tried, and the report lists the others."""
    several = [moved(f"a{n}", f"/a{n}/{{id}}") for n in range(12)]
    with serving(ScriptedRelay(lambda _: Reply(404, b"{}"))) as base_url:
        found = examined(base_url, contracts=several)
    assert len(found.observations.attempts) == REQUEST_LIMIT
    assert len(found.data()["untried_paths"]) == 12 - REQUEST_LIMIT


def test_a_users_contract_comes_first() -> None:
    """A user's contract is tried before all others, and named first among equals."""
    own = evolve(moved("zz", "/zz/{id}"), outside={Path("zz.yaml"): {}})
    relay = ScriptedRelay(
        lambda request: Reply(200, task_body()) if request.target == f"/zz/{ID}" else Reply(404, b"{}")
    )
    with serving(relay) as base_url:
        found = examined(base_url, ID, contracts=[*(moved(f"a{n}", f"/a{n}/{{id}}") for n in range(50)), own])
    assert (found.relay, relay.requests[0].target) == (own, f"/zz/{ID}")
    twin = evolve(RELAY, name="zz", outside={Path("zz.yaml"): {}})
    with serving(relay_with()) as base_url:
        assert examined(base_url, ID, contracts=[RELAY, twin]).relay is twin


def test_a_post_with_constants() -> None:
    """A task that is fetched by POST is found with the id in the body, as the contract types it."""
    contract = load_contract(FORMS)
    mock, task_id = mock_of(contract)
    with serving(mock) as base_url:
        found = examined(base_url, task_id, contracts=[*CONTRACTS, contract])
        pasted = examined(f"{base_url}/jobs", task_id, contracts=[*CONTRACTS, contract])
    assert found.relay is pasted.relay is contract
    assert found.data()["endpoint"] == {"method": "POST", "path": "/jobs"}
    assert found.exit_code == 0


def test_an_id_that_a_relay_cannot_have() -> None:
    """A relay with numbers as ids is not sent another id; an id that no relay takes is refused."""
    document = deepcopy(load_contract(FORMS).document)
    document["components"]["schemas"]["Lookup"]["properties"]["task_id"]["type"] = ["integer"]
    numbers = Contract("numbers", document, FORMS, outside={FORMS: {}})
    relay = relay_with()
    with serving(relay) as base_url:
        assert examined(base_url, "no-number", contracts=[numbers, RELAY]).relay is RELAY
        with pytest.raises(SettingError, match="integer"):
            examined(base_url, "no-number", contracts=[numbers])
    assert relay.requests[0].method == "GET"


def test_each_header_is_found() -> None:
    """The only credential that a relay accepts is found and named."""
    distinct = {sent_form(one): (known, one) for known in CONTRACTS for one in known.credentials}
    for known, credential in distinct.values():
        security: list[dict[str, list[str]]] = [{credential.scheme: []}]
        operation = {**known.operation, "security": security}
        paths = {**known.document["paths"], known.path: {known.method.lower(): operation}}
        document = {**known.document, "security": security, "paths": paths}
        mock, task_id = mock_of(evolve(known, document=document))
        with serving(mock) as base_url:
            found = examined(base_url, task_id)
        assert found.relay is not None
        assert found.observations.credential is not None
        assert sent_form(found.observations.credential) == sent_form(credential)
        schemes = {one.scheme: one for one in found.relay.credentials}
        assert found.scheme is not None
        assert sent_form(schemes[found.scheme]) == sent_form(credential)


def test_twins_are_both_named() -> None:
    """Of equal contracts all are named, unless one names the host of the URL."""
    twin = Contract("twin", RELAY.document, RELAY.source)
    local = evolve(twin, name="local", document={**RELAY.document, "servers": [{"url": "http://127.0.0.1"}]})
    with serving(relay_with()) as base_url:
        assert set(examined(base_url, ID, contracts=[RELAY, twin]).alike) == {"zhongzhuan", "twin"}
        assert examined(base_url, ID, contracts=[twin, local]).alike == ("local",)


def test_unset_fields_are_reported() -> None:
    """Fields that are null, empty, zero or absent are reported, and no others."""
    task = task_body(
        status="IN_PROGRESS", finishTime=0, failReason="", buttons=None, maskBase64=..., prompt=None
    )
    unset = diagnosed(relay_with(task)).unset
    assert unset is not None
    assert "$.finishTime" in unset["zero"]
    assert "$.failReason" in unset["empty"]
    assert {"$.buttons", "$.prompt"} <= set(unset["null"])
    assert unset["absent"] == ["$.maskBase64"]
