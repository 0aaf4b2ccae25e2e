"""The media of a mock: links to itself, small files behind them, no key; downloads work offline."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import forked
from mjrelay_conformance.checks.links import unreachable
from mjrelay_conformance.mock import MockRelay, Server
from mjrelay_conformance.mock.asgi import LARGEST_REQUEST
from mocks import CONTRACTS, KEY, PACKAGED, fetch, request_for, varied

from mjrelay import State
from mjrelay.contract import load_contract, relay_names
from mjrelay.download.media_types import EXTENSIONS, media_extension
from mjrelay.http import Request, parse_json
from mjrelay.testing import mock

if TYPE_CHECKING:
    from pathlib import Path

    from mjrelay.contract import Contract

HOST = "127.0.0.1:8080"


def links(contract: Contract, document: Any) -> list[str]:
    media = (*contract.reader.image_media, *contract.reader.video_media)
    return [url for one in media for url in one.urls(document)]


def test_links_lead_to_the_mock() -> None:
    """Scheme, host and port are those of the request; path, query and all relations stay."""
    for contract in CONTRACTS.values():
        relay = MockRelay(contract, key=KEY)
        for state, task_id in relay.known.items():
            example = contract.examples[state]
            request = request_for(contract, task_id)
            response = relay.answer(request.method, request.target, [*request.headers, ("host", HOST)])
            document = parse_json(response.body)
            found = links(contract, document)
            assert all(url.startswith(f"http://{HOST}/") for url in found)
            assert [url[len(f"http://{HOST}") :] for url in found] == [
                urlsplit(url)._replace(scheme="", netloc="").geturl() for url in links(contract, example)
            ]
            for relation in contract.reader.relations:
                assert relation.breach(document) == relation.breach(example), relation
            assert not any(unreachable(url, f"http://{HOST}{request.target}") for url in found)
        for host in ("", "a b", "evil/", "[", "x@y"):
            answer = relay.answer(request.method, request.target, [*request.headers, ("host", host)])
            assert parse_json(answer.body) == example, host


def test_files_are_served_without_a_key() -> None:
    """A file has the type of its extension; a credential, right or wrong, is a 400."""
    names = ("a.png", "b.webp", "c.jpeg", "d", "ü e.jpg", "f.mp4?x=1")
    contract = varied("files")
    examples = contract.examples
    examples["succeeded"]["pictures"] = [{"url": f"https://cdn.example/{one}"} for one in names]
    types = ["image/png", "image/webp", "image/jpeg", "image/png", "image/jpeg", "video/mp4"]
    relay = MockRelay(contract, key=KEY)
    with Server(relay) as base_url:
        document = parse_json(fetch(base_url, request_for(contract, relay.known[State.SUCCEEDED])).body)
        targets = [
            urlsplit(one["url"])._replace(scheme="", netloc="").geturl().replace("ü e", "%C3%BC%20e")
            for one in document["pictures"]
        ]
        for target, kind in zip(targets, types, strict=True):
            found = fetch(base_url, Request("GET", target))
            assert (found.status, found.media_type) == (200, kind)
            assert media_extension(found.body[:64], "", "") == EXTENSIONS[kind]
            head = fetch(base_url, Request("HEAD", target))
            assert (head.status, head.header("content-length")) == (200, str(len(found.body)))
        for headers in ((("Cookie", "sid=wrong"),), (("X-Any", f"Bearer {KEY}"),)):
            assert fetch(base_url, Request("GET", targets[0], headers)).status == 400
        assert fetch(base_url, Request("GET", f"{targets[0]}?key={KEY}")).status == 400
        assert fetch(base_url, Request("GET", f"{targets[0]}?key=signature")).status == 200
        assert fetch(base_url, Request("GET", "/unknown.png")).status == 404


def test_downloads_work_offline(tmp_path: Path) -> None:
    """`wait --download` saves every file of a task on the mock of every relay, and `fetch --download` too."""
    for name in relay_names():
        contract = load_contract(name)
        with mock(name, key=KEY) as served:
            done = served.known[State.SUCCEEDED]
            variables = {"MJRELAY_API_KEY": KEY, "MJRELAY_BASE_URL": served.base_url, "COLUMNS": "200"}
            for command, wrapped in (("wait", tmp_path / "wait"), ("fetch", tmp_path / "fetch")):
                result = forked.run([command, name, done, "--download", str(wrapped / name)], variables)
                assert result.returncode == 0, result.stdout + result.stderr
                files = json.loads(result.stdout)["files"]
                assert len(files) == len(set(links(contract, contract.examples["succeeded"])))
                assert {one.suffix for one in (wrapped / name).iterdir()} <= {".png", ".webp", ".jpg", ".mp4"}
            with served.relay() as relay:
                task = relay.fetch(served.known.get(State.RUNNING, done))
                if task.previews:
                    first = relay.download(task, tmp_path / name, previews=True)
                    assert relay.download(task, tmp_path / name, previews=True) == first


def test_two_relays_share_a_folder(tmp_path: Path) -> None:
    """Files of one id from two servers, or from two relays at one server, do not collide."""
    paths = []
    for name in ("newapi", "newapi", "mjproxy"):
        with mock(name, key=KEY) as served, served.relay() as relay:
            task = relay.fetch(served.known[State.SUCCEEDED])
            paths += relay.download(task, tmp_path)
    assert len(set(paths)) == len(list(tmp_path.iterdir())) == len(paths)


def test_request_bodies_are_limited() -> None:
    """A request body is read up to the limit and then refused with 413."""
    relay = MockRelay(PACKAGED["zhongzhuan"])
    messages = [{"type": "http.request", "body": bytes(1 << 20), "more_body": True}] * 1000
    received, answers = iter(messages), list[Any]()

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/mj/task/list-by-condition", "headers": []}
    asyncio.run(relay(scope, receive, send))
    assert answers[0]["status"] == 413
    assert len(list(received)) == 1000 - LARGEST_REQUEST // (1 << 20) - 1
