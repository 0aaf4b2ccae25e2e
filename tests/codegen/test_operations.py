"""All operations of all generated clients, submits included, against the mock of their relay."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import pkgutil
import re
import typing
from typing import TYPE_CHECKING, Any

import pytest
from canned import TOKEN
from mjrelay_clients.runtime.types import Model
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import State
from mjrelay.contract import Contract, load_contract, relay_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


@pytest.mark.parametrize("relay", relay_names())
def test_each_operation_is_called(relay: str) -> None:
    """Sync and async, each operation sends its contract's example and decodes the mock's response."""
    contract = load_contract(relay)
    client: Any = importlib.import_module(f"mjrelay_clients.{relay}")
    statuses = {}
    mock = MockRelay(contract, key=TOKEN, duration=0.0)
    with Server(mock) as base_url, client.AuthenticatedClient(base_url=base_url, token=TOKEN) as opened:
        for name, operation in _operations(contract):
            module = _module(relay, name)
            arguments = _arguments(module, contract, operation, mock.known[State.SUCCEEDED])
            response = module.sync_detailed(client=opened, **arguments)
            statuses[name] = response.status_code
            assert _shown(response.parsed) == json.loads(response.content), name
            if response.status_code < 300:
                assert type(module.sync(client=opened, **arguments)) is type(response.parsed)
            else:  # the task or the button of the example is unknown
                with pytest.raises(client.UnexpectedStatus) as caught:
                    module.sync(client=opened, **arguments)
                assert type(caught.value.parsed) is type(response.parsed)
            assert asyncio.run(_awaited(client, base_url, module, arguments)) is type(response.parsed)
    assert sorted(statuses) == sorted(one.rpartition(".")[2] for one in _modules(relay))
    for name, status in statuses.items():
        assert status < 300 or name.startswith("submit_"), name
    assert statuses.get("submit_imagine", 200) < 300


def _shown(parsed: Any) -> Any:
    return [one.to_dict() for one in parsed] if isinstance(parsed, list) else parsed.to_dict()


async def _awaited(client: Any, base_url: str, module: Any, arguments: dict[str, Any]) -> type:
    async with client.AuthenticatedClient(base_url=base_url, token=TOKEN) as opened:
        response = await module.asyncio_detailed(client=opened, **arguments)
        try:
            assert type(await module.asyncio(client=opened, **arguments)) is type(response.parsed)
        except client.UnexpectedStatus:
            assert response.status_code >= 400
        return type(response.parsed)


def _operations(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the operations with their ids in Python's spelling."""
    for _, operation in contract.operations():
        yield re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation["operationId"]).lower(), operation


def _modules(relay: str) -> list[str]:
    """Return the names of the modules that each hold one operation."""
    package = importlib.import_module(f"mjrelay_clients.{relay}.api")
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    return [one.name for one in found if not one.ispkg]


def _module(relay: str, name: str) -> ModuleType:
    return importlib.import_module(next(one for one in _modules(relay) if one.rpartition(".")[2] == name))


def _arguments(module: Any, contract: Contract, operation: dict[str, Any], known: str) -> dict[str, Any]:
    """Return the arguments: the body of the first example, and a known task for each other parameter."""
    types = typing.get_type_hints(module.sync_detailed)
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(module.sync_detailed).parameters.items():
        if name == "body":
            media = contract.resolve(operation["requestBody"])["content"]["application/json"]
            example = next(iter(media["examples"].values()))["value"]
            body = types[name]
            assert issubclass(body, Model)
            given[name] = body.from_dict(example)
            assert given[name].to_dict() == example
        elif name != "client" and parameter.default is inspect.Parameter.empty:
            given[name] = known
    return given
