"""The generated clients against a local server with valid and invalid responses."""

from __future__ import annotations

import asyncio
import copy
import gzip
import importlib
import inspect
import json
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_clients import zhongzhuan
from mjrelay_clients.runtime.types import Model
from mjrelay_clients.zhongzhuan import (
    UNSET,
    AuthenticatedClient,
    Client,
    DecodeError,
    UnexpectedStatus,
    Unset,
)
from mjrelay_clients.zhongzhuan.api.task import fetch_seed, fetch_task, list_tasks
from mjrelay_clients.zhongzhuan.models import (
    AuthError,
    SeedProperties,
    Task,
    TaskError,
    TaskIds,
    TaskSeed,
    TaskStatus,
)
from mjrelay_codegen import generator as _generator
from mjrelay_codegen.source import RelaySource
from mjrelay_conformance.mock.relay import MockRelay
from mjrelay_conformance.mock.server import Server as MockServer
from mocks import served_example
from sampled import SEVERAL

from mjrelay import State
from mjrelay.contract import loading as _contract

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

REPOSITORY = Path(__file__).parents[2]
TOKEN = "sk-7f3a9c51-never-shown"
CLIENTS = REPOSITORY / "generated" / "mjrelay_clients"


def contract(relay: str) -> Any:
    """Return the resolved contract of a client."""
    return json.loads((CLIENTS / relay / "contract.json").read_text(encoding="utf-8"))


def examples(relay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each example of a relay with the name of its schema; for an array, its items."""
    responses = [
        response
        for item in contract(relay)["paths"].values()
        for operation in item.values()
        for response in operation["responses"].values()
    ]
    for response in responses:
        for media in response.get("content", {}).values():
            for example in media.get("examples", {}).values():
                schema, value = media.get("schema", {}), example["value"]
                for document in value if "items" in schema else [value]:
                    reference = schema.get("items", schema).get("$ref")
                    if reference is not None:
                        yield reference.rpartition("/")[2], document


SUCCEEDED: dict[str, Any] = next(
    value for name, value in examples("zhongzhuan") if name == "Task" and value["status"] == "SUCCESS"
)


@define
class Server:
    """A relay on loopback: its next response, and the received requests."""

    url: str
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(factory=lambda: {"Content-Type": "application/json"})
    received: list[tuple[str, dict[str, str]]] = field(factory=list)

    def respond(self, document: Any, status: int = 200) -> None:
        """Set a JSON document as the response."""
        self.status, self.body = status, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.received.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state = Server(f"http://127.0.0.1:{http.server_address[1]}")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[AuthenticatedClient]:
    """A client of that server."""
    with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        yield client


def decoded(body: bytes, status: int = 200) -> Any:
    """Return the parsed body of a response, without a socket."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    with AuthenticatedClient(token=TOKEN, httpx_args={"transport": transport}) as client:
        return fetch_task.sync_detailed("1", client=client).parsed


# Documents


def test_every_example_survives_the_round_trip() -> None:
    """Decoding and encoding an example of a contract gives the same document."""
    for relay in SEVERAL:
        models = importlib.import_module(f"mjrelay_clients.{relay}.models")
        documents = list(examples(relay))
        assert documents
        for name, document in documents:
            model = getattr(models, name).from_dict(document)
            assert model.to_dict() == document
            assert model.additional_properties == {}


def test_a_task_is_typed(server: Server, client: AuthenticatedClient) -> None:
    """The example of the page becomes a model with enums, numbers, buttons and properties."""
    server.respond(SUCCEEDED)
    response = fetch_task.sync_detailed("1730621826053455", client=client)
    task = fetch_task.sync("1730621826053455", client=client)
    assert response.parsed == task
    assert response.status_code == 200
    assert response.content == server.body
    assert response.headers["content-type"] == "application/json"
    assert task.status is TaskStatus.SUCCESS
    assert task.finish_time == 1730621855817
    assert isinstance(task.buttons, list)
    assert task.buttons[4].emoji == "🔄"
    assert isinstance(task.properties, Model)
    assert task.to_dict() == SUCCEEDED
    assert {path for path, _ in server.received} == {"/mj/task/1730621826053455/fetch"}


def test_the_async_functions(server: Server, client: AuthenticatedClient) -> None:
    """The async functions return and raise the same as the sync ones."""
    server.respond(SUCCEEDED)

    async def run() -> None:
        async with client:
            assert await fetch_task.asyncio("1", client=client) == Task.from_dict(SUCCEEDED)
            server.respond({"code": 4, "description": "task_no_found ", "type": "upstream_error"}, 400)
            response = await fetch_task.asyncio_detailed("1", client=client)
            assert isinstance(response.parsed, TaskError)
            with pytest.raises(UnexpectedStatus) as caught:
                await fetch_task.asyncio("1", client=client)
            assert caught.value.parsed == response.parsed
            server.status, server.body = 200, b"<html>"
            with pytest.raises(DecodeError, match="expected JSON"):
                await fetch_task.asyncio("1", client=client)

    asyncio.run(run())


@pytest.mark.parametrize("word", ["PAUSED", "", "success", "排队中"])
def test_an_unknown_status_is_kept(word: str) -> None:
    """An unknown status is a string, also after copying, pickling and encoding."""
    task = Task.from_dict({**SUCCEEDED, "status": word})
    assert task.status == word
    for twin in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):  # noqa: S301
        assert twin == task
        assert twin.status == word
        assert twin.to_dict()["status"] == word


def test_a_known_status_survives_copies() -> None:
    """A known status stays an enum member that equals its string."""
    task = Task.from_dict(SUCCEEDED)
    for twin in (copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))):  # noqa: S301
        assert twin == task
        assert twin.status is TaskStatus.SUCCESS
        assert twin.status == "SUCCESS"


def test_null_and_missing_keys_are_distinguished() -> None:
    """For every property, null and a missing key survive the round trip."""
    for name in SUCCEEDED:
        null = {**SUCCEEDED, name: None}
        assert Task.from_dict(null).to_dict() == null
        missing = {key: value for key, value in SUCCEEDED.items() if key != name}
        assert Task.from_dict(missing).to_dict() == missing


def test_an_empty_task_has_nothing_set() -> None:
    """Every property of an empty object is UNSET, which is false and a singleton."""
    task = Task.from_dict({})
    assert task.status is UNSET
    assert not UNSET
    for twin in (copy.copy(UNSET), copy.deepcopy(UNSET), pickle.loads(pickle.dumps(UNSET))):  # noqa: S301
        assert twin is UNSET
    assert pickle.loads(pickle.dumps(task)).status is UNSET  # noqa: S301
    assert isinstance(UNSET, Unset)
    assert repr(UNSET) == "UNSET"


def test_unknown_keys_are_kept() -> None:
    """Undocumented keys are kept at every depth."""
    document = {**SUCCEEDED, "videoUrl": "x", "self": 1, "buttons": [{"label": "U1", "new": {"a": [None]}}]}
    task = Task.from_dict(document)
    assert task.additional_properties == {"videoUrl": "x", "self": 1}
    assert task.to_dict() == document


def test_an_integer_may_be_written_as_a_float() -> None:
    """The number 1.0 is an integer."""
    assert repr(Task.from_dict({"startTime": 1730621828024.0}).start_time) == "1730621828024"


@pytest.mark.parametrize(
    ("change", "path", "expected", "got"),
    [
        ({"buttons": [{"style": "2"}]}, "$.buttons[0].style", "integer or null", "string"),
        ({"buttons": [{}, 3]}, "$.buttons[1]", "object", "integer"),
        ({"buttons": [None]}, "$.buttons[0]", "object", "null"),
        ({"buttons": {}}, "$.buttons", "array or null", "object"),
        ({"submitTime": True}, "$.submitTime", "integer or null", "boolean"),
        ({"submitTime": 1.5}, "$.submitTime", "integer or null", "number"),
        ({"submitTime": "1730621826053"}, "$.submitTime", "integer or null", "string"),
        ({"progress": 100}, "$.progress", "string or null", "integer"),
        ({"status": 7}, "$.status", "string or null", "integer"),
        ({"status": ["SUCCESS"]}, "$.status", "string or null", "array"),
        ({"properties": "{}"}, "$.properties", "object or null", "string"),
    ],
)
def test_a_wrong_type_is_an_error(change: dict[str, Any], path: str, expected: str, got: str) -> None:
    """A wrong JSON type raises DecodeError with the path, the documented and the received type."""
    with pytest.raises(DecodeError) as caught:
        Task.from_dict({**SUCCEEDED, **change})
    error = caught.value
    assert (error.path, error.expected, error.got) == (path, expected, got)
    assert str(error) == f"{path}: expected {expected}, got {got}"
    assert (error.status_code, error.content) == (None, b"")


BAD = {
    "empty": b"",
    "blank": b" \r\n",
    "html": b"<!DOCTYPE html><title>502</title>",
    "truncated": b'{"id": "1", "status": "SUCC',
    "two documents": b"{}{}",
    "nan": b'{"startTime": NaN}',
    "infinity": b'{"other": [-Infinity]}',
    "overflow": b'{"startTime": 1e999}',
    "huge integer": b'{"startTime": ' + b"1" * 10_000 + b"}",
    "not utf-8": b'{"id": "\xff"}',
    "utf-16": '{"id": "1"}'.encode("utf-16"),
    "nested deeply": b"[" * 200_000,
    "array": b"[]",
    "string": b'"SUCCESS"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
}


@pytest.mark.parametrize("case", BAD)
def test_an_undocumented_body_is_a_decode_error(case: str) -> None:
    """Any body but a JSON object raises DecodeError with status and body, and a short message."""
    for status in (200, 401):
        with pytest.raises(DecodeError) as caught:
            decoded(BAD[case], status)
        assert caught.value.status_code == status
        assert caught.value.content == BAD[case]
        assert str(status) in str(caught.value)
        assert max(len(str(caught.value)), len(repr(caught.value))) < 300


def test_a_decode_error_survives_pickling() -> None:
    """A pickled error keeps its fields and its message, which has the start of the body."""
    body = b"<html>" + b"x" * 100_000
    with pytest.raises(DecodeError) as caught:
        decoded(body)
    twin = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert (twin.path, twin.status_code, twin.content) == ("$", 200, body)
    assert str(twin) == str(caught.value)
    assert "<html>xxx" in str(twin)


@pytest.mark.parametrize(
    "body", [b'\xef\xbb\xbf{"id": "1"}', b'{"id": "\\ud800"}', b'{"id": "1", "id": "1"}', b' {"id":\t"1"}\n']
)
def test_unusual_json_is_accepted(body: bytes) -> None:
    """A byte order mark, a lone surrogate, a duplicate key and white space are accepted."""
    assert isinstance(decoded(body), Task)


def test_a_wrong_content_type_is_ignored(server: Server, client: AuthenticatedClient) -> None:
    """The body is decoded by the contract, not by the header."""
    server.respond(SUCCEEDED)
    server.headers = {"Content-Type": "text/html; charset=gbk"}
    assert fetch_task.sync("1", client=client).to_dict() == SUCCEEDED


def test_a_wrong_content_encoding_is_a_decode_error(server: Server, client: AuthenticatedClient) -> None:
    """A body that is not compressed as its header says raises DecodeError with the status."""
    server.respond(SUCCEEDED)
    server.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(DecodeError, match="compressed") as caught:
        fetch_task.sync("1", client=client)
    assert caught.value.status_code == 200

    async def run() -> None:
        async with client:
            with pytest.raises(DecodeError, match="compressed"):
                await fetch_task.asyncio("1", client=client)

    asyncio.run(run())


@given(body=st.binary(), status=st.sampled_from([200, 400, 401, 403]))
def test_arbitrary_bytes_decode_or_raise_decode_error(body: bytes, status: int) -> None:
    """No body raises anything but DecodeError."""
    try:
        parsed = decoded(body, status)
    except DecodeError as error:
        assert error.content == body  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(parsed, Model)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SUCCEEDED, "other"]), JSON))
def test_arbitrary_documents_decode_or_raise_decode_error(document: dict[str, Any]) -> None:
    """A decoded document survives the round trip; otherwise DecodeError has a path."""
    try:
        task = Task.from_dict(document)
    except DecodeError as error:
        assert error.path.startswith("$.")  # noqa: PT017 - either outcome is right
    else:
        assert task.to_dict() == document


# Statuses


@pytest.mark.parametrize("status", [201, 302, 404, 429, 500, 520, 599])
def test_an_undocumented_status(server: Server, client: AuthenticatedClient, status: int) -> None:
    """`sync_detailed` returns any status; `sync` raises UnexpectedStatus."""
    server.status, server.body = status, b"<html>error code: 520</html>"
    response = fetch_task.sync_detailed("1", client=client)
    assert type(response.status_code) is int
    assert response.status_code == status
    assert response.content == server.body
    assert response.parsed is None
    with pytest.raises(UnexpectedStatus) as caught:
        fetch_task.sync("1", client=client)
    assert caught.value.status_code == status
    assert caught.value.content == server.body
    assert caught.value.parsed is None
    assert str(status) in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).status_code == status  # noqa: S301


@pytest.mark.parametrize(
    ("status", "document", "model"),
    [
        (400, {"code": 4, "description": "task_no_found ", "type": "upstream_error"}, TaskError),
        (401, {"error": {"message": "无效的令牌", "type": "new_api_error"}}, AuthError),
    ],
)
def test_a_documented_error_is_its_model(
    server: Server, client: AuthenticatedClient, status: int, document: Any, model: type[Model]
) -> None:
    """`sync_detailed` returns a documented error decoded; `sync` raises it in `parsed`."""
    server.respond(document, status)
    parsed = fetch_task.sync_detailed("1", client=client).parsed
    assert isinstance(parsed, model)
    assert parsed.to_dict() == document
    with pytest.raises(UnexpectedStatus) as caught:
        fetch_task.sync("1", client=client)
    assert caught.value.parsed == parsed


def test_a_redirect_is_not_followed(server: Server) -> None:
    """A redirect is not followed, even if the httpx client is configured to."""
    server.status, server.headers = 302, {"Location": f"{server.url}/other"}
    with AuthenticatedClient(base_url=server.url, token=TOKEN, scheme="secret") as client:
        client.get_httpx_client().follow_redirects = True
        with pytest.raises(UnexpectedStatus):
            fetch_task.sync("1", client=client)
    assert [path for path, _ in server.received] == ["/mj/task/1/fetch"]


# The request


def test_the_token_is_sent_as_the_scheme_says(server: Server) -> None:
    """The first scheme is the default, another one is chosen by name, and only one is sent."""
    server.respond(SUCCEEDED)
    with AuthenticatedClient(base_url=server.url, token=TOKEN) as client:
        fetch_task.sync("1", client=client)
    with AuthenticatedClient(base_url=server.url, token=TOKEN, scheme="secret") as client:
        fetch_task.sync("1", client=client)
    (_, first), (_, second) = server.received
    assert first["authorization"] == f"Bearer {TOKEN}"
    assert "mj-api-secret" not in first
    assert second["mj-api-secret"] == TOKEN
    assert "authorization" not in second


def test_an_unknown_scheme_is_an_error() -> None:
    """An unknown scheme raises ValueError with the known ones."""
    with pytest.raises(ValueError, match=r"'basic'.*bearer, secret"):
        AuthenticatedClient(token=TOKEN, scheme="basic")


def test_the_token_shows_in_no_repr(server: Server) -> None:
    """No repr or message of a client, a response or an error has the token."""
    server.status, server.body = 200, f"<html>no such token: {TOKEN}</html>".encode()
    with AuthenticatedClient(
        base_url=server.url, token=TOKEN, headers={"X-Other": TOKEN}, httpx_args={"trust_env": False}
    ) as client:
        with pytest.raises(DecodeError) as caught:
            fetch_task.sync("1", client=client)
        server.status = 502
        response = fetch_task.sync_detailed("1", client=client)
        with pytest.raises(UnexpectedStatus) as unexpected:
            fetch_task.sync("1", client=client)
        beneath = client.get_httpx_client()
        for thing in (client, beneath, response, caught.value, unexpected.value):
            assert TOKEN not in repr(thing)
            assert TOKEN not in str(thing)
    assert "[redacted]" in str(caught.value)


@pytest.mark.parametrize("token", ["", "sk-1\n", " sk-1", "sk 1", "密钥"])
def test_an_invalid_token_is_an_error(token: str) -> None:
    """A token that no header can have raises ValueError without the token."""
    with pytest.raises(ValueError, match="token") as caught:
        AuthenticatedClient(token=token)
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "relay.example",
        "ftp://relay.example",
        "https://",
        "https://user:sk-1@relay.example",
        "https://\x00",
        1,
    ],
)
def test_an_invalid_base_url_is_an_error(base_url: Any) -> None:
    """A base URL without scheme or host or with a password is rejected, and the password not shown."""
    with pytest.raises((ValueError, TypeError)) as caught:
        Client(base_url=base_url)
    assert "sk-1" not in str(caught.value)


def test_the_base_url(server: Server) -> None:
    """The default is the server of the contract; the path of another one is a prefix."""
    assert AuthenticatedClient(token=TOKEN).base_url == "https://api.zhongzhuan.chat"
    server.respond(SUCCEEDED)
    with AuthenticatedClient(base_url=f"{server.url}/prefix/", token=TOKEN) as client:
        fetch_task.sync("1", client=client)
    assert [path for path, _ in server.received] == ["/prefix/mj/task/1/fetch"]


def test_the_timeout_is_finite(server: Server) -> None:
    """The default is finite, seconds are accepted, and an infinite timeout is rejected."""
    client = AuthenticatedClient(token=TOKEN)
    assert client.timeout == httpx.Timeout(30, connect=5)
    assert AuthenticatedClient(token=TOKEN, timeout=2).timeout == httpx.Timeout(2)
    for infinite in (None, httpx.Timeout(5, read=None)):
        with pytest.raises(ValueError, match="timeout"):
            AuthenticatedClient(token=TOKEN, timeout=infinite)  # type: ignore[arg-type]
    with AuthenticatedClient(token=TOKEN, base_url=server.url, timeout=3) as client:
        assert client.get_httpx_client().timeout == httpx.Timeout(3)


def test_httpx_args_cannot_set_safe_defaults() -> None:
    """httpx_args cannot set redirects, credentials, timeouts or headers."""
    for name in ("follow_redirects", "auth", "timeout", "headers"):
        with pytest.raises(ValueError, match=name):
            AuthenticatedClient(token=TOKEN, httpx_args={name: True})


def test_an_id_stays_one_segment(server: Server, client: AuthenticatedClient) -> None:
    """An id is quoted into one path segment, and `.` and `..` are rejected."""
    server.respond(SUCCEEDED)
    fetch_task.sync("../a?b=c#d%20e", client=client)
    assert server.received[0][0] == "/mj/task/..%2Fa%3Fb%3Dc%23d%2520e/fetch"
    for invalid in ("", ".", ".."):
        with pytest.raises(ValueError, match="part of a path"):
            fetch_task.sync(invalid, client=client)


def test_threads_share_a_client(server: Server, client: AuthenticatedClient) -> None:
    """Many threads can use one client."""
    server.respond(SUCCEEDED)
    got: list[Task] = []
    threads = [
        threading.Thread(target=lambda: got.append(fetch_task.sync("1", client=client))) for _ in range(32)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [Task.from_dict(SUCCEEDED)] * 32


def test_a_closed_client_opens_again(server: Server) -> None:
    """A client can be used again after closing."""
    server.respond(SUCCEEDED)
    client = AuthenticatedClient(base_url=server.url, token=TOKEN)
    for _ in range(2):
        with client:
            fetch_task.sync("1", client=client)
    assert len(server.received) == 2


def test_the_exports_of_a_package() -> None:
    """The package exports its clients and errors."""
    assert set(zhongzhuan.__all__) >= {
        "AuthenticatedClient",
        "Client",
        "DecodeError",
        "UnexpectedStatus",
        "UNSET",
    }
    assert all(hasattr(zhongzhuan, name) for name in zhongzhuan.__all__)


# A contract with rare features


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
                    "cls": {"type": ["integer"]},
                    "self": {"type": ["boolean"]},
                    "field": {"type": ["number"]},
                    "class": {"type": ["string"], "format": "date-time"},
                    "src_dict": {"type": ["string", "integer"]},
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
    overlays = sorted((REPOSITORY / "overlays" / "client").glob("*.yaml"))
    _generator.write_clients(
        folder / "tree", [RelaySource.load(path, "odd.yaml", folder)], overlays, "a test"
    )
    (folder / "tree" / "mjrelay_clients").rename(folder / "odd_clients")
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"odd_clients.odd{name}")
    sys.path.remove(str(folder))


def test_reserved_names_as_properties(odd: Callable[[str], ModuleType]) -> None:
    """Properties named d, cls, self, field or class survive the round trip."""
    job = odd(".models").Job
    document = {"d": "x", "cls": 1, "self": True, "field": 1.5, "class": "2024-05-30 14:41:21", "src_dict": 3}
    assert job.from_dict(document).to_dict() == document
    assert job.from_dict(document).self_ is True


def test_nested_and_free_objects(odd: Callable[[str], ModuleType]) -> None:
    """Recursion, typed and free additional keys, and enums in arrays survive the round trip."""
    models = odd(".models")
    document: dict[str, Any] = {
        "level": 1,
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


def test_a_body_that_expands_too_far_is_a_decode_error(
    server: Server, client: AuthenticatedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compressed body is not decompressed beyond the limit."""
    monkeypatch.setattr("mjrelay_clients.runtime.client.LARGEST_BODY", 65536)
    server.body = gzip.compress(b" " * 65537)
    server.headers["Content-Encoding"] = "gzip"
    with pytest.raises(DecodeError, match="at most") as caught:
        fetch_task.sync("1", client=client)
    assert caught.value.status_code == 200

    async def run() -> None:
        async with client:
            with pytest.raises(DecodeError, match="at most"):
                await fetch_task.asyncio("1", client=client)

    asyncio.run(run())


@pytest.mark.parametrize("relay", SEVERAL)
def test_a_task_is_fetched_from_a_mock(relay: str) -> None:
    """Over a socket, sync and async, a client fetches the documented task from the mock."""
    module: Any = importlib.import_module(f"mjrelay_clients.{relay}")
    operation: Any = importlib.import_module(f"mjrelay_clients.{relay}.api.task.fetch_task")
    contract = _contract.load_contract(relay)
    mock = MockRelay(contract, key=TOKEN)
    task_id = mock.known[State.SUCCEEDED]
    parameter = next(name for name in inspect.signature(operation.sync).parameters if name != "client")
    known, unknown = {parameter: task_id}, {parameter: "0"}
    statuses = {matcher.status for matcher in contract.reader.missing}

    async def awaited(base_url: str) -> Any:
        async with module.AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            if statuses == {204}:
                assert await operation.asyncio(**unknown, client=client) is None
            else:
                with pytest.raises((module.UnexpectedStatus, DecodeError)):
                    await operation.asyncio(**unknown, client=client)
            detailed = await operation.asyncio_detailed(**known, client=client)
            assert detailed.status_code == 200
            return await operation.asyncio(**known, client=client)

    with MockServer(mock) as base_url:
        with module.AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            task = operation.sync(**known, client=client)
            if statuses == {200}:  # which has no body
                with pytest.raises(DecodeError, match="an empty body"):
                    operation.sync_detailed(**unknown, client=client)
            else:
                assert operation.sync_detailed(**unknown, client=client).status_code in statuses
        assert asyncio.run(awaited(base_url)) == task
        for scheme in module.client.SCHEMES:
            with module.AuthenticatedClient(base_url=base_url, token=TOKEN, scheme=scheme) as client:
                assert operation.sync(**known, client=client) == task
        with module.AuthenticatedClient(base_url=base_url, token="wrong") as client:
            if contract.open:
                assert operation.sync(**known, client=client) == task
            else:
                with pytest.raises(module.UnexpectedStatus) as refused:
                    operation.sync(**known, client=client)
                assert refused.value.status_code == 401
    assert task.to_dict() == served_example(contract, State.SUCCEEDED, base_url)
    assert not task.additional_properties


def test_a_batch_and_a_seed_are_fetched_from_the_mock() -> None:
    """Over a socket, sync and async, both operations and their errors are typed."""
    mock = MockRelay(_contract.load_contract("zhongzhuan"), key=TOKEN)
    known = mock.known[State.SUCCEEDED]
    ids = TaskIds(ids=["0", known, mock.known[State.QUEUED]])
    refusal = TaskError(code=4, description="do_request_failed ", type_="upstream_error")

    async def awaited(base_url: str) -> tuple[list[Task], TaskSeed]:
        async with AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            refused = await list_tasks.asyncio_detailed(client=client, body=numbers())
            assert (refused.status_code, refused.parsed) == (400, refusal)
            with pytest.raises(UnexpectedStatus):
                await fetch_seed.asyncio("0", client=client)
            listed = await list_tasks.asyncio(client=client, body=ids)
            return listed, await fetch_seed.asyncio(known, client=client)

    with MockServer(mock) as base_url:
        with AuthenticatedClient(base_url=base_url, token=TOKEN) as client:
            tasks = list_tasks.sync(client=client, body=ids)
            seed = fetch_seed.sync(known, client=client)
            refused = list_tasks.sync_detailed(client=client, body=numbers())
            assert refused.headers["content-type"] == "text/plain"
            assert refused.parsed == refusal
            assert isinstance(fetch_seed.sync_detailed("0", client=client).parsed, TaskError)
            assert list_tasks.sync(client=client, body=TaskIds()) == []
        with AuthenticatedClient(base_url=base_url, token="wrong", scheme="secret") as client:
            assert isinstance(list_tasks.sync_detailed(client=client, body=ids).parsed, AuthError)
            assert isinstance(fetch_seed.sync_detailed(known, client=client).parsed, AuthError)
        assert asyncio.run(awaited(base_url)) == (tasks, seed)
    assert {task.id: task.status for task in tasks} == {known: TaskStatus.SUCCESS, ids.ids[2]: ""}
    assert isinstance(seed.result, str)
    assert seed.result.isdecimal()
    assert isinstance(seed.properties, SeedProperties)


def numbers() -> TaskIds:
    """Return ids of a wrong type."""
    ids: Any = [1730621826053455]
    return TaskIds(ids=ids)
