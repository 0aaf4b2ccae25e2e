"""The doctor identifies the contract of a URL and its problems, with few requests and without leaks."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import forked
import pytest
from attrs import evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mjrelay_conformance.mock.dialects import DIALECTS
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server
from peers import closed_port
from sampled import WHOLE

from mjrelay import Relay
from mjrelay.cli.doctor import _schema
from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.doctor.access_problems import CONNECTION_FAILURES
from mjrelay.doctor.addresses import Address
from mjrelay.doctor.diagnosis import Diagnosis, diagnose
from mjrelay.doctor.examination import examine
from mjrelay.doctor.observations import Purpose, ResponseKind, sent_form
from mjrelay.doctor.plan import CREDENTIAL_LIMIT, REQUEST_LIMIT, Plan, ProbeRequest, random_id
from mjrelay.doctor.score import WEIGHTS, rank
from mjrelay.doctor.similarity import example_similarity, similarity
from mjrelay.errors import SettingError
from mjrelay.http.exchange import Exchange
from mjrelay.http.redaction import Redactor
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk-never-to-be-seen-4711"
CONTRACTS = [load_contract(name) for name in relay_names()]
SHAPE = Draft202012Validator(json.loads(_schema()))
RELAY = load_contract("zhongzhuan")
ID = "1730621826053455"
PATH = f"/mj/task/{ID}/fetch"
SHOWN: dict[str, Any] = RELAY.examples["succeeded"]
PAGE = b"<!doctype html><html><body>Welcome</body></html>"
MISSING = b'{"code":4,"description":"task_no_found ","type":"upstream_error"}'
REFUSED = b'{"error":{"message":"Invalid token (request id: 1)","type":"new_api_error"}}'
LIMITED = b'{"error":{"code":"","message":"This token has no access to model","type":"new_api_error"}}'


@frozen
class Received:
    """A request that a test relay received."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes


@frozen
class Reply:
    """The response of a test relay."""

    status: int
    body: bytes = b""
    media_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class ScriptedRelay:
    """A relay that responds by a function and records its requests."""

    def __init__(self, answer: Callable[[Received], Reply]) -> None:
        self.answer, self.asked = answer, list[Received]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        asked = Received(scope["method"], target, headers, body)
        self.asked.append(asked)
        problem = self.answer(asked)
        fields = [(name.encode(), value.encode()) for name, value in problem.headers]
        if problem.media_type:
            fields.append((b"content-type", problem.media_type.encode()))
        await send({"type": "http.response.start", "status": problem.status, "headers": fields})
        await send({"type": "http.response.body", "body": problem.body})


def body(**changes: Any) -> bytes:
    """Return the finished task with changed fields; ... removes a field."""
    document = {name: value for name, value in {**SHOWN, **changes}.items() if value is not ...}
    return json.dumps(document).encode()


def fresh(**changes: Any) -> bytes:
    """Return the task without an expired link."""
    return body(**{"imageUrl": "https://cdn.example.com/a.png", **changes})


def served(
    task: bytes = b"",
    *,
    prefix: str = "",
    header: str = "authorization",
    value: str = f"Bearer {KEY}",
    elsewhere: Reply = Reply(200, PAGE, "text/html"),
) -> ScriptedRelay:
    """Return a relay of the most common family with one task."""

    def answer(asked: Received) -> Reply:
        if not asked.target.startswith(f"{prefix}/mj/task/"):
            return elsewhere
        if asked.headers.get(header) != value:
            return Reply(401, REFUSED)
        if asked.target == prefix + PATH:
            return Reply(200, task or fresh())
        if asked.target.endswith("/list-by-condition"):
            return Reply(200, b"[" + (task or fresh()) + b"]")
        return Reply(400, MISSING) if asked.target.endswith("/fetch") else elsewhere

    return ScriptedRelay(answer)


def ask(url: str, task_id: str | None = None, key: str | None = KEY, **options: Any) -> Diagnosis:
    """Examine a URL and check the format of the diagnosis."""
    redactor = Redactor(*([] if key is None else [key]))
    found = examine(url, CONTRACTS, redactor=redactor, key=key, task_id=task_id, **options)
    check(found)
    return found


def check(found: Diagnosis) -> None:
    """Check the schema and the request limits of a diagnosis."""
    SHAPE.validate(json.loads(json.dumps(found.data())))
    seen = found.observations.attempts
    assert len(seen) <= REQUEST_LIMIT
    assert len({one.credential for one in seen if one.credential is not None}) <= CREDENTIAL_LIMIT
    posts = [one for one in seen if one.exchange.method != "GET"]
    assert len(posts) <= 1
    assert all(one.purpose is Purpose.BATCH for one in posts)


def names(found: Diagnosis, *, wrong: bool | None = None) -> set[str]:
    """Return the names of the problems."""
    return {one.name for one in found.problems if wrong is None or one.wrong is wrong}


@contextmanager
def at(app: Any) -> Iterator[str]:
    """Serve an application and yield its URL."""
    with Server(app) as base_url:
        yield base_url


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


# Identification.


def test_it_identifies_each_mock() -> None:
    """The contract of each mock is identified below any prefix, and the Python code works."""
    for place, name in enumerate(relay_names()):
        prefix = ("", "/x/y")[place % 2]
        mock = MockRelay(load_contract(name), key=KEY)
        task_id = mock.known[State.SUCCEEDED]
        with at(mounted(mock, prefix)) as base_url:
            found = ask(base_url + prefix, task_id)
            assert name in found.alike
            assert found.relay is not None
            assert found.relay.name in found.alike
            assert found.base_url is not None
            with Relay(found.relay.name, KEY, base_url=found.base_url, scheme=found.scheme) as relay:
                assert relay.fetch(task_id).state is State.SUCCEEDED
        assert found.observations.task is not None
        assert not names(found, wrong=True) - {"expired-links", "local-links"}
        scores = {one.contract.name: one.value for one in found.scores}
        assert all(abs(scores[alike] - scores[name]) < 0.005 for alike in found.alike)


@pytest.mark.parametrize(
    "dialect", ["nulls", "zeros", "absent", "escaped", "reordered", "charset", "chunked"]
)
def test_it_identifies_each_dialect_of_a_mock(dialect: str) -> None:
    """A contract is identified even if the relay deviates from its examples."""
    for name in WHOLE:
        if DIALECTS[dialect].applies(load_contract(name)):
            mock = MockRelay(load_contract(name), key=KEY, dialect=dialect)
            with at(mock) as base_url:
                assert name in ask(base_url, mock.known[State.SUCCEEDED]).alike


def test_without_a_task_it_identifies_the_family() -> None:
    """Without an id the family contains the contract, and the result is marked as uncertain."""
    for name in relay_names():
        with at(MockRelay(load_contract(name), key=KEY)) as base_url:
            found = ask(base_url)
        assert name in found.family
        assert found.observations.endpoint is not None
        assert found.observations.endpoint.before(load_contract(name)) == ""
        assert not found.data()["certain"]


def test_it_finds_each_header() -> None:
    """The only credential that a relay accepts is found and named."""
    distinct = {sent_form(way): (one, way) for one in CONTRACTS for way in one.credentials}
    for known, credential in distinct.values():
        security: list[dict[str, list[str]]] = [{credential.scheme: []}]
        operation = {**known.operation, "security": security}
        paths = {**known.document["paths"], known.path: {known.method.lower(): operation}}
        document = {**known.document, "security": security, "paths": paths}
        mock = MockRelay(evolve(known, document=document), key=KEY)
        with at(mock) as base_url:
            found = ask(base_url, mock.known[State.SUCCEEDED])
        assert found.relay is not None
        assert found.observations.credential is not None
        assert sent_form(found.observations.credential) == sent_form(credential)
        schemes = {one.scheme: one for one in found.relay.credentials}
        assert found.scheme is not None
        assert sent_form(schemes[found.scheme]) == sent_form(credential)


def test_twins_are_both_named() -> None:
    """Two contracts with the same requests and responses are both named."""
    twin = Contract("twin", RELAY.document, RELAY.source)
    with at(served()) as base_url:
        found = examine(base_url, [RELAY, twin], redactor=Redactor(KEY), key=KEY, task_id=ID)
    assert set(found.alike) == {"zhongzhuan", "twin"}


def test_the_host_of_a_contract_decides() -> None:
    """Of two equal contracts, the one that names the host is chosen."""
    document = {**RELAY.document, "servers": [{"url": "http://127.0.0.1"}]}
    twin = Contract("atwin", {**RELAY.document, "servers": []}, RELAY.source)
    with at(served()) as base_url:
        both = [twin, Contract("local", document, RELAY.source)]
        found = examine(base_url, both, redactor=Redactor(KEY), key=KEY, task_id=ID)
    assert found.alike == ("local",)


def test_unset_fields_are_reported() -> None:
    """Fields that are null, empty, zero or absent are reported, and no others."""
    task = fresh(status="IN_PROGRESS", finishTime=0, failReason="", buttons=None, maskBase64=..., prompt=None)
    with at(served(task)) as base_url:
        unset = ask(base_url, ID).unset
    assert unset is not None
    assert "$.finishTime" in unset["zero"]
    assert "$.failReason" in unset["empty"]
    assert {"$.buttons", "$.prompt"} <= set(unset["null"])
    assert unset["absent"] == ["$.maskBase64"]


# Addresses.


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
    with at(served(prefix=prefix)) as base_url:
        for pasted in ("", "/mj", PATH):
            found = ask(f"{base_url}{prefix}{pasted}", ID)
            assert found.relay is not None
            assert found.data()["endpoint"] == {"method": "GET", "path": f"{prefix}/mj/task/{{id}}/fetch"}
            assert found.base_url == base_url + prefix
            assert found.exit_code == 0


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


# Problems.


def test_a_web_page_under_the_wrong_prefix() -> None:
    """A web page at an incomplete path is reported, with the endpoint that returns JSON."""
    with at(served()) as base_url:
        found = ask(f"{base_url}/task/{ID}/fetch")
    (problem,) = (one for one in found.problems if one.name == "web-page")
    assert f"JSON was found at {found.observations.origin}/mj/task/{{id}}/fetch" in problem.what
    assert found.relay is not None
    assert found.exit_code == 1


def test_a_404_page_under_the_wrong_base() -> None:
    """A web page with status 404 below a wrong base URL is reported too."""
    with at(served(elsewhere=Reply(404, PAGE, "text/html"))) as base_url:
        found = ask(f"{base_url}/v1", ID)
    assert "web-page" in names(found, wrong=True)
    assert found.base_url == found.observations.origin


def test_web_pages_alone() -> None:
    """If all responses are web pages, no relay is named and no code is shown."""
    with at(ScriptedRelay(lambda _: Reply(200, PAGE, "text/html"))) as base_url:
        found = ask(base_url, ID)
    assert names(found, wrong=True) == {"web-page"}
    assert found.relay is None
    assert found.python == ()
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("status", "page"),
    [
        (200, b"<html><title>Just a moment...</title></html>"),
        (503, b"<html><title>Just a moment...</title></html>"),
        (403, b"<!DOCTYPE html><title>Blocked</title>"),
        (401, b"<html><h1>401 Authorization Required</h1><hr>nginx</html>"),
    ],
)
def test_a_challenge(status: int, page: bytes) -> None:
    """A page of a proxy is neither a wrong path nor a refused key, and ends the examination."""
    relay = ScriptedRelay(lambda _: Reply(status, page, "text/html"))
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert "challenge" in names(found, wrong=True)
    assert len(relay.asked) == 1


def test_a_gateways_404_in_json() -> None:
    """A 404 in JSON at the given path is a wrong path, not a missing task."""
    gateway = Reply(404, b'{"error":{"message":"Invalid URL","type":"invalid_request_error"}}')
    with at(served(elsewhere=gateway)) as base_url:
        found = ask(f"{base_url}/v1", ID)
        assert "wrong-path" in names(found, wrong=True)
        assert found.relay is not None
        assert found.base_url == base_url
    with at(ScriptedRelay(lambda _: gateway)) as base_url:
        found = ask(base_url, ID)
    assert found.relay is None
    assert "wrong-path" in names(found, wrong=True)


def test_a_closing_slash() -> None:
    """A trailing slash that causes a redirect is reported, and the path without it is found."""
    inner = served()

    def answer(asked: Received) -> Reply:
        if asked.target.endswith("/"):
            return Reply(301, b"", None, (("location", asked.target.rstrip("/")),))
        return inner.answer(asked)

    relay = ScriptedRelay(answer)
    with at(relay) as base_url:
        found = ask(f"{base_url}{PATH}/")
    assert names(found, wrong=True) == {"trailing-slash"}
    assert found.relay is not None
    assert [one.target for one in relay.asked[:2]] == [f"{PATH}/", PATH]


def test_redirects_are_not_followed() -> None:
    """A redirect to another host ends the examination; nothing is sent there."""
    relay = ScriptedRelay(lambda _: Reply(302, b"", None, (("location", "http://127.0.0.1:9/stolen?key=x"),)))
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert names(found, wrong=True) == {"redirect"}
    assert "key=x" not in json.dumps(found.data()["complaints"])
    assert len(relay.asked) == 1


def test_an_empty_body_for_an_unknown_id() -> None:
    """An empty response means an unknown task, and its emptiness is noted."""
    with at(ScriptedRelay(lambda _: Reply(200, b"", None))) as base_url:
        found = ask(base_url, ID)
    assert "unknown-task" in names(found, wrong=True)
    assert "empty-missing" in names(found, wrong=False)


def test_a_task_that_was_lost() -> None:
    """A missing task is reported with the relay's message."""
    with at(served()) as base_url:
        found = ask(base_url, "1730621826000000")
    (problem,) = (one for one in found.problems if one.wrong)
    assert problem.name == "unknown-task"
    assert "task_no_found" in problem.what
    assert found.exit_code == 1


@pytest.mark.parametrize(("status", "progress"), [("SUBMITTED", "0%"), ("IN_PROGRESS", "85%")])
def test_a_task_that_is_stuck(status: str, progress: str) -> None:
    """An unfinished task is stuck after hours, not after minutes."""
    for age, stuck in ((timedelta(hours=5), True), (timedelta(minutes=2), False)):
        submitted = int((datetime.now(UTC) - age).timestamp() * 1000)
        task = fresh(
            status=status, progress=progress, submitTime=submitted, startTime=submitted, finishTime=0
        )
        with at(served(task)) as base_url:
            found = ask(base_url, ID)
        assert names(found, wrong=True) == ({"stuck"} if stuck else set())
        if stuck:
            assert f"at {progress.rstrip('%')} %" in next(one.what for one in found.problems)


def test_a_refused_submission_with_an_id() -> None:
    """A task whose status stays empty beside a reason is named with the reason."""
    refused = fresh(status="", progress="0%", failReason="queue full", imageUrl="")
    with at(served(refused)) as base_url:
        found = ask(base_url, ID)
    assert "refused-submission" in names(found, wrong=True)
    assert any("queue full" in problem.what for problem in found.problems)


def test_a_failed_task_with_a_picture() -> None:
    """A failed task is a note with its reason and its picture."""
    with at(served(fresh(status="FAILURE", failReason="任务超时"))) as base_url:
        found = ask(base_url, ID)
    (problem,) = found.problems
    assert problem.name == "failed"
    assert "任务超时" in problem.what
    assert "picture" in problem.what
    assert found.exit_code == 0


def test_a_video_that_is_missing() -> None:
    """A succeeded task without links is reported."""
    with at(served(fresh(imageUrl=""))) as base_url:
        assert names(ask(base_url, ID), wrong=True) == {"no-media"}


def test_a_key_in_the_wrong_header() -> None:
    """A refused and an accepted header are both reported, with the scheme."""
    with at(served(header="mj-api-secret", value=KEY)) as base_url:
        found = ask(base_url, ID)
    (problem,) = found.problems
    assert problem.name == "wrong-header"
    assert "mj-api-secret" in problem.then
    assert found.scheme == "secret"
    assert found.exit_code == 0


def test_a_refused_key() -> None:
    """A refused key is reported with the headers that were tried, at most three."""
    relay = served(value="another key")
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert "key-refused" in names(found, wrong=True)
    assert found.relay is not None
    sent = {name for one in relay.asked for name, value in one.headers.items() if KEY in value}
    assert 1 <= len(sent) <= CREDENTIAL_LIMIT


def test_without_a_key() -> None:
    """A missing key is reported with its likely header."""
    relay = served()
    with at(relay) as base_url:
        found = ask(base_url, ID, key=None)
    (problem,) = found.problems
    assert problem.name == "no-key"
    assert "Authorization" in problem.then
    assert not any("authorization" in one.headers for one in relay.asked)


def test_a_limited_key() -> None:
    """A 403 for a fetch is reported as a restricted key."""
    relay = ScriptedRelay(
        lambda asked: Reply(403, LIMITED) if asked.target == PATH else Reply(200, PAGE, "text/html")
    )
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert names(found, wrong=True) == {"forbidden"}
    assert found.exit_code == 1


def test_a_403_without_a_key() -> None:
    """A 403 without a key is no problem of an accepted key."""
    inner = served()

    def answer(asked: Received) -> Reply:
        return inner.answer(asked) if "authorization" in asked.headers else Reply(403, LIMITED)

    with at(ScriptedRelay(answer)) as base_url:
        assert names(ask(base_url, ID)) == set()
        assert names(ask(base_url, ID, key=None)) == {"no-key"}


def test_errors_at_other_paths_are_ignored() -> None:
    """A 5xx at another path is ignored; a 5xx for an unknown id is reported."""
    elsewhere = Reply(502, b"{}")
    with at(served(prefix="/x", elsewhere=elsewhere)) as base_url:
        assert names(ask(f"{base_url}/x/mj/submit/imagine", ID)) == {"unavailable"}  # as it was pasted
        assert names(ask(f"{base_url}/x", ID)) == set()
    inner = served()
    failing = ScriptedRelay(lambda asked: inner.answer(asked) if PATH in asked.target else Reply(500, b"{}"))
    with at(failing) as base_url:
        assert names(ask(base_url, ID)) == {"unavailable"}


def test_the_key_goes_into_three_headers_at_most() -> None:
    """The limit holds if each contract has its own path and header."""
    several = []
    for number in range(5):
        item = {"get": {**RELAY.operation, "security": [{"own": []}]}}
        paths = {name: one for name, one in RELAY.document["paths"].items() if name != RELAY.path}
        schemes = {"own": {"type": "apiKey", "in": "header", "name": f"X-Key-{number}"}}
        document = {
            **RELAY.document,
            "paths": {f"/way{number}/{{id}}": item, **paths},
            "components": {**RELAY.document["components"], "securitySchemes": schemes},
        }
        several.append(Contract(f"way{number}", document, RELAY.source))
    relay = ScriptedRelay(lambda _: Reply(404, b"{}"))
    with at(relay) as base_url:
        examine(base_url, several, redactor=Redactor(KEY), key=KEY, task_id=ID)
    sent = {name for one in relay.asked for name, value in one.headers.items() if KEY in value}
    assert len(sent) == 1  # the other paths are tried without the key
    assert len(relay.asked) <= REQUEST_LIMIT


def test_an_open_relay() -> None:
    """A relay that serves requests without a key is reported."""
    with at(
        ScriptedRelay(lambda asked: Reply(200, fresh()) if asked.target == PATH else Reply(400, MISSING))
    ) as base_url:
        found = ask(base_url, ID)
    assert "open" in names(found, wrong=False)
    assert found.observations.open is True


@pytest.mark.parametrize("host", ["localhost:3000", "10.0.0.7", "[::1]:8080"])
def test_links_to_localhost(host: str) -> None:
    """Links to private addresses are reported; a link to the relay itself is not."""
    with at(served(body(imageUrl=f"http://{host}/mj/image/{ID}"))) as base_url:
        assert names(ask(base_url, ID), wrong=True) == {"local-links"}
    relay = served()
    with at(relay) as base_url:
        task = body(imageUrl=f"{base_url}/mj/image/{ID}")
        relay.answer = served(task).answer
        assert names(ask(base_url, ID)) == set()


def test_expired_links() -> None:
    """A link is expired if its signature ended yesterday; its query is never shown."""
    for days, expected in ((-1, {"expired-links"}), (1, set())):
        end = int(time.time()) + days * 86_400
        with at(
            served(body(imageUrl=f"https://cdn.example.com/a.png?ex={end:x}&is=1&hm=5ec2e7"))
        ) as base_url:
            found = ask(base_url, ID)
        assert names(found) == expected
        assert found.exit_code == 0
        assert "5ec2e7" not in json.dumps(found.data()["complaints"])


@pytest.mark.parametrize(("unit", "per_second"), [("seconds", 1), ("microseconds", 1_000_000)])
def test_seconds_for_milliseconds(unit: str, per_second: int) -> None:
    """Times in another unit than the contract's are reported."""
    times = {name: SHOWN[name] * per_second // 1000 for name in ("submitTime", "startTime", "finishTime")}
    with at(served(fresh(**times))) as base_url:
        assert names(ask(base_url, ID), wrong=True) == {f"{unit}-for-milliseconds"}


def test_odd_words() -> None:
    """A textual progress, an unknown status and a numeric id are reported."""
    task = fresh(status="DREAMING", progress="nearly", id=int(ID))
    with at(served(task)) as base_url:
        found = ask(base_url, ID)
    assert {"odd-progress", "unknown-status", "number-id"} <= names(found)


def test_another_task() -> None:
    """A task with another id than the requested one is reported."""
    with at(served(fresh(id="1730621826099999"))) as base_url:
        found = ask(base_url, ID)
    assert "wrong-task" in names(found, wrong=True)


def test_an_unavailable_relay() -> None:
    """A 503 is reported; a 429 ends the examination and is reported with its delay."""
    with at(ScriptedRelay(lambda _: Reply(503, b"{}"))) as base_url:
        assert "unavailable" in names(ask(base_url, ID), wrong=True)
    relay = ScriptedRelay(lambda _: Reply(429, b"{}", headers=(("retry-after", "17"),)))
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert names(found) == {"rate-limited"}
    assert "17 seconds" in found.problems[0].then
    assert len(relay.asked) == 1


OVERLOADED = (
    b'{"error":{"message":"system cpu overloaded (current: 100.0%, threshold: 90%)","type":"new_api_error",'
    b'"param":"","code":"system_cpu_overloaded"}}'
)


@pytest.mark.parametrize("status", [503, 521, 530])
def test_an_overloaded_relay(status: int) -> None:
    """An overload ends the examination, and the relay's message is quoted."""
    relay = ScriptedRelay(lambda _: Reply(status, OVERLOADED))
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert names(found, wrong=True) == {"unavailable"}
    assert "system cpu overloaded (current: 100.0%, threshold: 90%)" in found.problems[0].what
    assert len(relay.asked) == 1


def test_a_relay_that_becomes_overloaded_is_not_asked_on() -> None:
    """A later 503 ends the examination too."""
    relay = ScriptedRelay(
        lambda asked: Reply(401, REFUSED) if len(relay.asked) == 1 else Reply(503, OVERLOADED)
    )
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert "unavailable" in names(found, wrong=True)
    assert len(relay.asked) == 2


def test_a_path_that_no_contract_has() -> None:
    """Known responses at an unknown path are reported, without Python code."""
    inner = served()
    relay = ScriptedRelay(lambda asked: inner.answer(evolve(asked, target=f"/mj{asked.target}")))
    with at(relay) as base_url:
        found = ask(f"{base_url}/task/{ID}/fetch")
    assert {"own-path", "no-contract"} <= names(found, wrong=True)
    assert found.python == ()


# No answer.


def test_a_failed_connection() -> None:
    """A closed port and an unknown host have different names and exit code 4."""
    with closed_port() as origin:
        found = ask(origin, ID)
    assert names(found) == {"refused"}
    assert found.exit_code == 4
    found = ask("https://certificate.invalid", ID)
    assert names(found) == {"dns"}
    assert found.exit_code == 4


def test_a_failed_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is not running is named, not the host of the relay."""
    with closed_port() as origin:
        monkeypatch.setenv("HTTPS_PROXY", origin)
        found = ask("https://relay.test", ID)
    assert names(found) == {"proxy"}
    assert origin[7:] in str(found.problems)


def test_plain_http_instead_of_tls() -> None:
    """Plain HTTP instead of TLS is reported."""
    with at(served()) as base_url:
        found = ask(base_url.replace("http:", "https:"), ID)
    assert names(found) == {"tls"}
    assert found.exit_code == 4


def test_plain_http_is_warned_about() -> None:
    """A key over http:// to another machine is noted."""
    found = ask("http://relay.invalid", ID)
    assert "plain-http" in names(found, wrong=False)
    assert "plain-http" not in names(ask("http://relay.invalid", ID, key=None))


# Hostile relays.


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that handles each connection by a function."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        if connection.recv(65_536):
                            talk(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stopped.set()
            with socket.socket() as last:
                last.connect(listener.getsockname())
            thread.join(10)


def test_a_relay_that_does_not_answer_in_time() -> None:
    """A timeout ends the examination after one request."""
    with raw(lambda _: time.sleep(1)) as url:
        began = time.monotonic()
        found = ask(url, ID, timeout=0.3)
    assert time.monotonic() - began < 5
    assert names(found) == {"timeout"}
    assert found.exit_code == 4


def test_all_requests_together_are_bounded() -> None:
    """All requests together stay within the time limit."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        await ScriptedRelay(lambda _: Reply(404, b"{}"))(scope, receive, send)

    with at(slow) as base_url:
        began = time.monotonic()
        found = ask(base_url, ID, patience=0.5)
    assert time.monotonic() - began < 3
    assert len(found.observations.attempts) <= 3


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\x17garbage",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + random.Random(7).randbytes(5_000),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00rubbish",
        b"HTTP/1.1 999 What\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    ],
    ids=range(7),
)
def test_garbage(answer: bytes) -> None:
    """Malformed responses lead to a diagnosis without a relay."""
    with raw(lambda connection: connection.sendall(answer)) as url:
        found = ask(url, ID, timeout=2)
    assert found.relay is None
    assert found.exit_code in {1, 4}


def test_a_huge_body() -> None:
    """A huge body is neither parsed nor shown."""
    huge = b'{"id":"' + b"7" * (3 << 20) + b'"}'
    with at(ScriptedRelay(lambda _: Reply(200, huge))) as base_url:
        found = ask(base_url, ID)
    assert found.relay is None
    assert "no-json" in names(found)
    assert len(json.dumps(found.data())) < 50_000


# The requests, and the secret.


def test_each_request_is_announced_before_it_is_sent() -> None:
    """Requests are announced in order, before they are sent, and without the key."""
    relay, problem = served(), list[tuple[ProbeRequest, int]]()
    with at(relay) as base_url:
        examine(
            base_url,
            CONTRACTS,
            redactor=Redactor(KEY),
            key=KEY,
            task_id=ID,
            announce=lambda step: problem.append((step, len(relay.asked))),
        )
    assert [number for _, number in problem] == list(range(len(relay.asked)))
    assert [step.request.target for step, _ in problem] == [one.target for one in relay.asked]
    assert KEY not in "".join(str(step) + repr(step.request.headers) for step, _ in problem)


def test_the_batch_endpoint_is_asked_once_and_last() -> None:
    """The only POST is the batch operation with the known id, and it is last."""
    relay = served()
    with at(relay) as base_url:
        found = ask(base_url, ID)
    assert [one.method for one in relay.asked] == ["GET"] * (len(relay.asked) - 1) + ["POST"]
    assert json.loads(relay.asked[-1].body) == {"ids": [ID]}
    assert found.data()["batch"] == {"asked": True, "there": True}


def test_no_request_is_sent_twice() -> None:
    """A relay that closes the connection receives one request."""
    seen = list[int]()
    with raw(lambda _: seen.append(1)) as url:
        ask(url, ID)
    assert len(seen) == 1


def environment(key: str | None = KEY) -> dict[str, str]:
    """A clean environment."""
    return {"PATH": "", "COLUMNS": "100"} | ({} if key is None else {"MJRELAY_API_KEY": key})


def echoing(asked: Received) -> Reply:
    """Respond with the key in every form, in header, body and link."""
    secret = asked.headers.get("authorization", "").removeprefix("Bearer ")
    if not secret:
        return Reply(401, REFUSED)
    forms = f"{secret} {quote(secret)} {base64.b64encode(secret.encode()).decode()}"
    task = body(
        imageUrl=f"http://localhost:3000/{secret}", status=f"S {forms}", failReason=forms, **{secret: 1}
    )
    return Reply(200, task, headers=(("x-echo", secret), ("location", f"/{secret}")))


@pytest.mark.parametrize("form", ["pretty", "json"])
def test_no_output_holds_the_key(form: str) -> None:
    """An echoed key appears neither on stdout nor on stderr."""
    with at(ScriptedRelay(echoing)) as base_url:
        done = forked.run(["doctor", base_url, "--task", ID, "--format", form], environment())
    shown = done.stdout + done.stderr
    assert done.returncode == 1, done.stderr
    assert KEY not in shown
    assert base64.b64encode(KEY.encode()).decode() not in shown
    assert "never-to-be-seen" not in shown
    assert "local-links" in done.stdout


def test_the_command_prints_text_and_json() -> None:
    """The text contains the Python code and the command; the JSON fits its schema."""
    with at(served()) as base_url:
        pretty = forked.run(["doctor", f"{base_url}{PATH}", "--format", "pretty"], environment())
        problem = forked.run(["doctor", base_url, "--task", ID, "--json"], environment())
    assert pretty.returncode == problem.returncode == 0, pretty.stderr + problem.stderr
    data = json.loads(problem.stdout)
    SHAPE.validate(data)
    assert data["python"] == [
        "from mjrelay import Relay",
        f'relay = Relay("{data["relay"]}", base_url="{base_url}", scheme="bearer")',
        f'print(relay.fetch("{ID}"))',
    ]
    assert data["conform"] == f"mjrelay conform {data['relay']} --base-url {base_url} --task {ID}=succeeded"
    for line in [*data["python"], data["conform"]]:
        assert line in pretty.stdout
    assert f"GET {PATH} (the task; the key in header Authorization: Bearer …)" in pretty.stderr
    assert len(data["requests"]) == pretty.stderr.count("mjrelay: GET") + pretty.stderr.count("mjrelay: POST")


def test_exit_codes() -> None:
    """The exit codes are those of the help: 0, 1, 2 and 4."""
    with at(served()) as base_url:
        assert forked.run(["doctor", base_url, "--task", ID], environment()).returncode == 0
        assert forked.run(["doctor", base_url, "--task", "1"], environment()).returncode == 1
    assert forked.run(["doctor", "ftp://host"], environment()).returncode == 2
    assert forked.run(["doctor"], environment()).returncode == 2
    assert forked.run(["doctor", "https://a.invalid"], environment("white space")).returncode == 2
    assert forked.run(["doctor", "http://127.0.0.1:1"], environment()).returncode == 4
    schema = forked.run(["doctor", "--schema"], environment())
    assert schema.returncode == 0
    Draft202012Validator.check_schema(json.loads(schema.stdout))
    shown = forked.run(["doctor", "--help"], environment()).stdout
    assert "0 identified and healthy, 1 a problem was found" in " ".join(shown.split())


def test_a_users_contract_is_compared(tmp_path: Any) -> None:
    """A user's contract is scored like the others, and named if it fits."""
    text = RELAY.source.read_text(encoding="utf-8").replace("/mj/task/{id}/fetch", "/my/jobs/{id}")
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    relay = ScriptedRelay(
        lambda asked: Reply(200, fresh()) if asked.target == f"/my/jobs/{ID}" else Reply(404, b"{}")
    )
    with at(relay) as base_url:
        done = forked.run(
            ["doctor", base_url, "--task", ID, "--json", "--contract", str(file)], environment()
        )
    assert json.loads(done.stdout)["relay"] == "mine", done.stderr


# Pure: the plan and the scores.

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)
_EXAMPLES = [example for one in CONTRACTS for example in one.examples.values()]


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: JSON, an example with changed values, or bytes."""
    document: Any = draw(_JSON)
    if draw(st.booleans()):
        document = dict(draw(st.sampled_from(_EXAMPLES)))
        for name in draw(st.lists(st.sampled_from(sorted(document)), max_size=4)):
            document[name] = draw(_JSON)
    return draw(st.sampled_from([json.dumps(document).encode(), PAGE, MISSING, b""]) | st.binary(max_size=40))


_TYPES = st.sampled_from(["application/json", "text/html; charset=utf-8", "text/plain", ""])
_FAILURES = st.none() | st.text(max_size=30)
_LOCATIONS = st.sampled_from(["/", "//x", "http://127.0.0.1", "https://other/x", "\x00", "http://["])


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """Draw an exchange, with or without a response."""
    status = draw(st.none() | st.integers(100, 999) | st.sampled_from([200, 301, 400, 401, 403, 404, 503]))
    headers = (("content-type", draw(_TYPES)), ("location", draw(_LOCATIONS)))
    failure = "no answer" if status is None else draw(_FAILURES)
    return Exchange("GET", "http://127.0.0.1/", (), b"", status, headers, draw(bodies()), 0.1, failure)


@settings(max_examples=60)
@given(data=st.data(), keyed=st.booleans(), named=st.sampled_from([None, ID]))
def test_no_response_crashes_it(data: st.DataObject, keyed: bool, named: str | None) -> None:
    """Any responses lead to a valid diagnosis within the request limits."""
    plan = Plan(Address.of("http://127.0.0.1/x", CONTRACTS), CONTRACTS, named, keyed)
    steps, sent = plan.steps(), list[ProbeRequest]()
    step = next(steps, None)
    while step is not None:
        sent.append(step)
        try:
            step = steps.send(evolve(data.draw(exchanges()), method=step.request.method))
        except StopIteration:
            step = None
    found = diagnose(plan.observations, CONTRACTS)
    check(found)
    assert all(one.request.method == "GET" for one in sent[:-1])
    assert keyed or not any(one.credential for one in sent)
    assert all(0 <= one.value <= 1 for one in found.scores)
    assert {name for one in found.scores for name in one.clues} <= WEIGHTS.keys()
    assert found.exit_code in {0, 1, 4}


@settings(max_examples=30)
@given(document=_JSON)
def test_any_document_is_compared(document: Any) -> None:
    """Similarity and example_similarity are parts of one, whatever is compared."""
    for one in CONTRACTS:
        alike = similarity(one, document)
        assert alike is not None
        assert 0 <= alike.value <= 1
        assert 0 <= example_similarity(one, document, State.SUCCEEDED) <= 1


def test_examples_fit_their_own_contract() -> None:
    """Each example fits its own contract completely."""
    for contract in CONTRACTS:
        for state in State:
            example = contract.examples.get(state.value)
            if example is None:
                continue
            assert example_similarity(contract, example, state) == 1
            fit = similarity(contract, example)
            assert fit is not None
            assert fit.value == 1


def test_nothing_is_ranked_by_nothing() -> None:
    """Without a relay every contract has the score 0."""
    plan = Plan(Address.of("http://127.0.0.1", CONTRACTS), CONTRACTS, None, keyed=False)
    assert {one.value for one in rank(plan.observations, CONTRACTS)} == {0.0}


@given(st.text(max_size=40))
def test_a_random_id_id_is_another_one(pattern: str) -> None:
    """A random id differs from its pattern, is repeatable, and is long enough."""
    assert random_id(pattern) != pattern
    assert random_id(pattern) == random_id(pattern)
    assert len(random_id(pattern)) >= 12


def test_the_strength_of_response_kinds() -> None:
    """A task is the strongest evidence for a path; a web page is none."""
    ordered = sorted(ResponseKind, key=lambda one: -one.strength)
    assert ordered[0] is ResponseKind.TASK
    assert ResponseKind.PAGE.strength == ResponseKind.NO_RESPONSE.strength == 0


def test_the_page_names_each_problem() -> None:
    """The tables of the page list the names of the problems and of the notes in the code."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "doctor.md").read_text(encoding="utf-8").partition("## Problems")[2]
    code = "".join(file.read_text(encoding="utf-8") for file in (root / "src/mjrelay/doctor").glob("*.py"))
    named = set(re.findall(r'Problem\(\s*"([a-z-]+)"', code)) | {name for _, name, _ in CONNECTION_FAILURES}
    notes = set(re.findall(r'Problem\(\s*"([a-z-]+)"(?:(?!Problem\()[^#])*?wrong=False', code))
    tables = [
        {
            name
            for row in re.findall(r"^\| (`[a-z`\s-]+`) \|", text, re.MULTILINE)
            for name in re.findall(r"[a-z-]+", row)
        }
        for text in page.partition("## Exit codes")[0].split("Notes")
    ]
    assert tables == [(named - notes) | {"seconds-for-milliseconds"}, notes]
