"""The client of a contract with rare features: places of parameters and credentials, ranges, recursion."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from canned import TOKEN, Server, server
from mjrelay_codegen import generator
from mjrelay_codegen.source import RelaySource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = ["server"]

OVERLAYS = sorted((Path(__file__).parents[2] / "overlays" / "client").glob("*.yaml"))

ODD: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "奇怪", "version": "1"},
    "security": [{"inCookie": []}, {}],
    "paths": {
        "/jobs/{d}": {
            "get": {
                "operationId": "fetchJob",
                "tags": ["job"],
                "security": [{"inQuery": []}, {"inCookie": []}],
                "parameters": [
                    {"name": "d", "in": "path", "required": True, "schema": {"type": "string"}},
                    {"name": "full", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                ],
                "responses": {
                    "2XX": {
                        "description": "ok",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}},
                    },
                    "404": {"description": "no", "content": {"text/html": {"schema": {"type": "string"}}}},
                },
            }
        },
        "/jobs": {
            "get": {
                "operationId": "listJobs",
                "tags": ["job"],
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}}
                            }
                        },
                    },
                    "204": {"description": "none"},
                },
            },
            "delete": {
                "operationId": "dropJobs",
                "tags": ["job"],
                "responses": {"204": {"description": "done"}},
            },
        },
    },
    "components": {
        "securitySchemes": {
            "inQuery": {"type": "apiKey", "in": "query", "name": "api_key"},
            "inCookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
        },
        "schemas": {
            "Job": {
                "type": "object",
                "required": ["d"],
                "additionalProperties": False,
                "properties": {
                    "d": {"type": ["string"], "description": 'A """quoted""" \\ name.'},
                    "at": {"type": ["string"], "format": "date-time"},
                    "size": {"type": ["string", "number"]},
                    "level": {"anyOf": [{"$ref": "#/components/schemas/Level"}]},
                    "kinds": {"type": ["array"], "items": {"$ref": "#/components/schemas/Kind"}},
                    "children": {"type": ["array"], "items": {"$ref": "#/components/schemas/Job"}},
                    "labels": {"anyOf": [{"$ref": "#/components/schemas/Labels"}]},
                    "free": {"anyOf": [{"$ref": "#/components/schemas/Free"}]},
                },
            },
            "Level": {"anyOf": [{"type": "integer", "title": "Level", "enum": [0, 1]}]},
            "Kind": {"anyOf": [{"type": "string", "title": "Kind", "enum": ["a", "b"]}]},
            "Labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "Free": {"type": "object"},
        },
    },
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """Import modules of the client that is generated from that contract."""
    folder = tmp_path_factory.mktemp("odd")
    path = folder / "odd.yaml"
    path.write_text(json.dumps(ODD), encoding="utf-8")
    relay = RelaySource.load(path, "odd.yaml", folder)
    generator.write_clients(folder / "tree", [relay], OVERLAYS, "a test")
    (folder / "tree" / "mjrelay_clients").rename(folder / "odd_clients")
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"odd_clients.odd{name}")
    sys.path.remove(str(folder))


def test_nested_and_free_objects(odd: Callable[[str], ModuleType]) -> None:
    """Recursion, typed and free additional keys, and enums in arrays survive the round trip."""
    models = odd(".models")
    document: dict[str, Any] = {
        "level": 1,
        "at": "2024-05-30 14:41:21",
        "size": 1.5,
        "kinds": ["a", "new"],
        "children": [{"d": "y", "children": [{"level": 9}]}],
        "labels": {"one": "1"},
        "free": {"any": [1, None]},
        "unknown": [],
    }
    job = models.Job.from_dict(document)
    assert job.to_dict() == document
    assert job.level is models.Level.VALUE_1
    assert job.kinds == [models.Kind.A, "new"]
    assert job.children[0].children[0].level == 9
    with pytest.raises(odd(".errors").DecodeError) as caught:
        models.Job.from_dict({"children": [{"labels": {"two words": 1}}]})
    assert caught.value.path == "$.children[0].labels['two words']"
    with pytest.raises(odd(".errors").DecodeError, match="integer or null, got boolean"):
        models.Job.from_dict({"level": True})


def test_deep_recursion_is_a_decode_error(odd: Callable[[str], ModuleType]) -> None:
    """A document nested beyond the recursion limit raises DecodeError."""
    depth = 400
    body = b'{"children": [' * depth + b"]}" * depth

    def fetch() -> Any:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
        client = odd(".client").AuthenticatedClient(
            base_url="http://x", token=TOKEN, httpx_args={"transport": transport}
        )
        with client:
            return odd(".api.job.fetch_job").sync_detailed("1", client=client)

    with pytest.raises(odd(".errors").DecodeError, match="nested too deeply"):
        fetch()


def test_the_places_of_parameters_and_credentials(odd: Callable[[str], ModuleType], server: Server) -> None:
    """Query, header and cookie parameters are sent beside a credential in the query or in a cookie."""
    server.respond({"d": "x"})
    client = odd(".client").AuthenticatedClient
    fetch = odd(".api.job.fetch_job").sync
    with client(base_url=server.url, token=TOKEN) as first:
        assert fetch("1", client=first, full=True, x_trace="t", session="s").d == "x"
    with client(base_url=server.url, token=TOKEN, scheme="inCookie") as second:
        fetch("1", client=second, session="s")
    (path, headers), (bare, cookies) = server.received
    assert path == f"/jobs/1?full=true&api_key={TOKEN}"
    assert (headers["x-trace"], headers["cookie"]) == ("t", "session=s")
    assert bare == "/jobs/1"
    assert cookies["cookie"] == f"session=s; sid={TOKEN}"


def test_optional_security(odd: Callable[[str], ModuleType], server: Server) -> None:
    """Root security applies to operations without security, and both clients can call them."""
    server.respond([{"d": "x"}, {}])
    listing = odd(".api.job.list_jobs").sync
    with odd(".client").Client(base_url=server.url) as client:
        assert [job.to_dict() for job in listing(client=client)] == [{"d": "x"}, {}]
    with odd(".client").AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        listing(client=client)
    with (
        odd(".client").AuthenticatedClient(base_url=server.url, token=TOKEN, scheme="inQuery") as client,
        pytest.raises(ValueError, match="takes inCookie, not 'inQuery'"),
    ):
        listing(client=client)
    assert ["cookie" in headers for _, headers in server.received] == [False, True]


def test_a_contract_without_a_server(odd: Callable[[str], ModuleType]) -> None:
    """Without a server in the contract, base_url is required."""
    with pytest.raises(TypeError, match="base_url"):
        odd(".client").Client()


def test_status_ranges_text_bodies_and_empty_bodies(odd: Callable[[str], ModuleType], server: Server) -> None:
    """A status range, a text body and an empty success are decoded as documented."""
    with odd(".client").AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        server.respond({"d": "x"}, 299)
        assert odd(".api.job.fetch_job").sync("1", client=client).d == "x"
        server.status, server.body = 404, b"<html>"
        assert odd(".api.job.fetch_job").sync_detailed("1", client=client).parsed == "<html>"
        server.status, server.body = 204, b""
        assert odd(".api.job.list_jobs").sync(client=client) is None
    transport = httpx.MockTransport(lambda _: httpx.Response(204))
    with odd(".client").Client(base_url="http://x", httpx_args={"transport": transport}) as client:
        assert odd(".api.job.drop_jobs").sync(client=client) is None
