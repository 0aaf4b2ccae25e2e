"""Contracts, requests and a clock for tests of mock relays."""

from __future__ import annotations

import copy
import http.client
import json
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mjrelay.contract import load_contract
from mjrelay.contract.document import Contract
from mjrelay.http.exchange import Exchange

if TYPE_CHECKING:
    from mjrelay_conformance.mock.relay import MockRelay
    from mjrelay_conformance.mock.responses import MockResponse

    from mjrelay.http.request import Credential, Request
    from mjrelay.semantics import State


OPENAPI = Path(__file__).parents[2] / "openapi"

PACKAGED = {path.stem: load_contract(path.stem) for path in sorted(OPENAPI.glob("*.yaml"))}

KEY = "mock-key"
"""The default key of a mock."""

MISSING = "7777777777777777"

ODD = Contract(
    "odd",
    {
        "openapi": "3.1.0",
        "info": {"title": "odd", "version": "1"},
        "security": [{"token": []}, {"session": []}],
        "paths": {
            "/v1/jobs.json": {
                "get": {
                    "parameters": [{"name": "jobId", "in": "query", "schema": {"type": "string"}}],
                    "x-mj-task": {
                        "version": 1,
                        "ask": "$request.query.jobId",
                        "accept": {"$.ok": True},
                        "id": "$.job",
                        "states": {
                            "running": [{"where": {"$.phase": ["drawing"]}}],
                            "succeeded": [{"where": {"$.phase": ["done"]}}],
                            "failed": [{"where": {"$.phase": ["broken"]}}],
                        },
                        "progress": {"path": "$.part", "format": "fraction"},
                        "times": {
                            "submitted": "$.at",
                            "finished": "$.until",
                            "format": "iso8601",
                            "zone": "+08:00",
                        },
                        "images": ["$.pictures[*].url"],
                        "failure": ["$.why"],
                        "complete": {"media": True, "finished": True, "progress": True},
                        "missing": [{"status": 200, "body": "empty"}],
                        "unauthorized": [{"status": 200, "where": {"$.ok": False}}],
                    },
                    "responses": {
                        "200": {
                            "description": "A job, or a refusal.",
                            "content": {
                                "application/json": {
                                    "schema": {
                                        "type": "object",
                                        "required": ["ok"],
                                        "properties": {"part": {"type": ["number", "null"]}},
                                    },
                                    "examples": {
                                        "running": {
                                            "value": {
                                                "ok": True,
                                                "job": 1001,
                                                "phase": "drawing",
                                                "part": 0.5,
                                                "at": "2026-01-02 03:04:05",
                                                "until": None,
                                                "pictures": [],
                                            }
                                        },
                                        "succeeded": {
                                            "value": {
                                                "ok": True,
                                                "job": 1002,
                                                "phase": "done",
                                                "part": 1.0,
                                                "at": "2026-01-02 03:04:05",
                                                "until": "2026-01-02 03:05:05",
                                                "pictures": [{"url": "https://example.com/1.png"}],
                                            }
                                        },
                                        "refusal": {"value": {"ok": False, "why": "no key"}},
                                    },
                                }
                            },
                        }
                    },
                }
            }
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "query", "name": "key"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sid"},
            }
        },
    },
    Path("odd.yaml"),
)

CONTRACTS = {**PACKAGED, "odd": ODD}


class FakeClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


def varied(name: str, **changes: Any) -> Contract:
    """Return ODD with parts of its `x-mj-task` replaced, or removed if None."""
    document = copy.deepcopy(ODD.document)
    form = document["paths"]["/v1/jobs.json"]["get"]["x-mj-task"]
    form.update(changes)
    for key in [key for key, value in changes.items() if value is None]:
        del form[key]
    return Contract(name, document, Path(f"{name}.yaml"))


def request_for(
    contract: Contract, task_id: str, key: str | None = KEY, credential: Credential | None = None
) -> Request:
    """Return the request for a task, by default with the right key."""
    request = contract.request(task_id)
    credential = credential or next(iter(contract.credentials), None)
    return request if key is None or credential is None else request.authenticated(credential, key)


def get(
    relay: MockRelay, task_id: str, key: str | None = KEY, credential: Credential | None = None
) -> MockResponse:
    """Return the response to a request for a task, without a socket."""
    request = request_for(relay.contract, task_id, key, credential)
    return relay.answer(request.method, request.target, request.headers, request.body)


def fetch(base_url: str, request: Request) -> Exchange:
    """Send a request over a socket; a truncated response has a `failure`."""
    url = urlsplit(base_url)
    with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=5)) as connection:
        connection.request(request.method, request.target, request.body or None, dict(request.headers))
        response = connection.getresponse()
        try:
            body, failure = response.read(), None
        except http.client.IncompleteRead as error:
            body, failure = error.partial, str(error)
        return Exchange(
            request.method,
            base_url,
            status=response.status,
            headers=tuple(response.getheaders()),
            body=body,
            failure=failure,
        )


BATCHES = PACKAGED["zhongzhuan"]


def batch(relay: MockRelay, ids: Any, key: str = KEY) -> MockResponse:
    """Return the response to a batch request; ids can be any JSON value."""
    request = relay.contract.batch_request(["1"]).authenticated(relay.contract.credentials[0], key)
    return relay.answer(request.method, request.target, request.headers, json.dumps({"ids": ids}).encode())


def served_example(contract: Contract, state: State, base_url: str) -> Any:
    """Return a task example as the mock at a URL serves it: with links to itself."""
    host = urlsplit(base_url).netloc
    urls = {
        url: re.sub(r"^\w+://[^/]+", f"http://{host}", url)
        for media in (*contract.reader.image_media, *contract.reader.video_media)
        for url in media.urls(contract.examples[state])
    }

    def linked(value: Any) -> Any:
        match value:
            case dict():
                return {name: linked(inner) for name, inner in value.items()}
            case list():
                return [linked(inner) for inner in value]
            case str():
                return urls.get(value, value)
        return value

    return linked(contract.examples[state])
