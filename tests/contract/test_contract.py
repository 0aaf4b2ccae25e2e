"""Contracts: loading, requests, credentials, clauses and responses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay.contract import origins as _origin
from mjrelay.contract import read_contract
from mjrelay.contract.document import Clause, Contract, data_folder
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.contract.overlay import Overlay
from mjrelay.errors import ContractError, UnknownRelayError
from mjrelay.http.request import Credential, Request
from mjrelay.http.urls import join_url
from mjrelay.semantics.reader import State

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """\
openapi: 3.1.0
info: {title: Mine, version: "1"}
servers:
  - url: https://relay.example
security:
  - bearer: []
  - secret: []
paths:
  /mj/submit:
    post: {responses: {}}
  /mj/task/{id}/fetch:
    summary: A task.
    get:
      operationId: fetchTask
      x-mj-task:
        version: 1
        ask: $request.path.id
        id: $.id
        status: $.status
        states: {queued: [""], succeeded: [SUCCESS]}
      responses:
        200:
          description: The task.
          content:
            application/json:
              examples:
                queued:
                  value: {id: "1", status: ""}
                succeeded: {$ref: "#/components/examples/done"}
                elsewhere: {externalValue: https://relay.example/sample.json}
        "4XX":
          $ref: "#/components/responses/Error"
        default: {description: Anything else.}
components:
  examples:
    done: {value: {id: "1", status: SUCCESS}}
  responses:
    Error:
      description: An error.
      content:
        application/json: {schema: {type: object}}
  securitySchemes:
    bearer: {type: http, scheme: bearer}
    secret: {type: apiKey, in: header, name: mj-api-secret}
    token: {type: apiKey, in: query, name: token}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A contract file."""
    path = tmp_path / "mine.yaml"
    path.write_text(CONTRACT, encoding="utf-8")
    return path


def edited(file: Path, before: str, after: str) -> Contract:
    """Return the contract after one edit."""
    assert before in CONTRACT
    file.write_text(CONTRACT.replace(before, after), encoding="utf-8")
    return read_contract(file)


# --- loading ---


def test_a_contract_from_a_file(file: Path) -> None:
    """It is named after its file, and finds the fetch operation."""
    mine = read_contract(file)
    assert (mine.name, mine.method, mine.path) == ("mine", "GET", "/mj/task/{id}/fetch")
    assert mine.location == ("paths", "/mj/task/{id}/fetch", "get")
    assert mine.operation["operationId"] == "fetchTask"
    assert mine.base_url == "https://relay.example"
    assert "SUCCESS" not in repr(mine)


def test_a_contract_may_be_json(tmp_path: Path, file: Path) -> None:
    """JSON is YAML."""
    path = tmp_path / "other.json"
    path.write_text(json.dumps(read_contract(file).document), encoding="utf-8")
    assert read_contract(path).document == read_contract(file).document


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a: [", "is not YAML", 1),
        ("a: 1\na: 2\n", "is not YAML", 2),
        ("paths: {}\nb: \t- @\n", "is not YAML", 2),
        ("a: 1\n", "no paths", None),
        ("paths: []\n", "no paths", None),
        ("- paths\n", "no paths", None),
        ("", "no paths", None),
        ("paths: " + "[" * 500, "more than 50 levels", 1),
    ],
)
def test_a_file_that_is_not_a_contract(tmp_path: Path, text: str, message: str, line: int | None) -> None:
    """A file that is not an OpenAPI document is an error with its name and line."""
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=message) as raised:
        read_contract(path)
    assert (raised.value.source, raised.value.line) == (str(path), line)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and invalid UTF-8 are errors."""
    (tmp_path / "latin.yaml").write_bytes(b"paths: \xe9")
    for name in ("none.yaml", ".", "latin.yaml"):
        with pytest.raises(ContractError, match=r"no such file|cannot be read"):
            read_contract(tmp_path / name)


@pytest.mark.parametrize("operation", ["x-other", "X-MJ-TASK"])
def test_a_contract_without_a_fetch_operation(file: Path, operation: str) -> None:
    """A contract without `x-mj-task` has no fetch operation."""
    mine = edited(file, "x-mj-task", operation)
    with pytest.raises(ContractError, match="no operation has x-mj-task"):
        _ = mine.location


@pytest.mark.parametrize("item", ["null", "[]", "{get: null}", "{get: 7}", "x-mj-task"])
def test_other_paths_may_be_anything(file: Path, item: str) -> None:
    """An invalid path item elsewhere does not matter here."""
    mine = edited(file, "\n    post: {responses: {}}", f" {item}")
    assert mine.path == "/mj/task/{id}/fetch"


def test_a_malformed_form_is_named_with_its_line(file: Path) -> None:
    """An error in `x-mj-task` names the line."""
    mine = edited(file, "status: $.status", "status: status")
    with pytest.raises(ContractError, match="x-mj-task: status: 'status' is not a JSONPath") as raised:
        _ = mine.reader
    line = CONTRACT.partition("status: $.status")[0].count("\n") + 1
    assert (raised.value.source, raised.value.line) == (str(file), line)


# --- packaged contracts ---


@pytest.mark.parametrize("name", ["zhongzhuan", "Zhongzhuan", "zhong-zhuan", "ZHONG_ZHUAN"])
def test_a_packaged_contract(name: str) -> None:
    """Case and hyphens are ignored. A contract is read once."""
    assert load_contract(name).name == "zhongzhuan"
    assert load_contract("zhongzhuan") is load_contract("zhongzhuan")


@pytest.mark.parametrize("name", relay_names())
def test_every_packaged_contract_reads_its_own_examples(name: str) -> None:
    """Each example reads as its state and has an id. The succeeded one keeps all relations."""
    known = load_contract(name)
    named = {state.value for state in State} & known.examples.keys()
    assert "succeeded" in named
    for state in named:
        document = known.examples[state]
        assert known.reader.state(document) == state
        assert isinstance(known.reader.id(document), str | int)
    for relation in known.reader.relations:
        assert relation.applies(known.examples["succeeded"])
        assert relation.breach(known.examples["succeeded"]) is None


@pytest.mark.parametrize("name", relay_names())
def test_every_packaged_contract_leads_to_its_file(name: str) -> None:
    """The source file ships, and clauses find the fetch operation in it."""
    known = load_contract(name)
    clause = known.clause(*known.location, "x-mj-task")
    assert known.origins or clause.file == f"openapi/{name}.yaml"
    text = known.source.read_text(encoding="utf-8").splitlines()
    assert text[clause.line - 1].strip() == "x-mj-task:"


@pytest.mark.parametrize("name", [name for name in relay_names() if load_contract(name).origins])
def test_what_an_overlay_changed_leads_to_the_overlay(name: str) -> None:
    """Each part that an overlay changed is cited in the overlay."""
    known = load_contract(name)
    title = known.clause("info", "title")
    assert title.file == f"overlays/relays/{name}.yaml"
    lines = (data_folder("overlays").parent / title.file).read_text(encoding="utf-8").splitlines()
    assert lines[title.line - 1].strip() == f"title: {name}"
    for location, origin in known.origins.items():
        clause = known.clause(*location, "below")
        assert (data_folder("overlays").parent / clause.file) == origin.file
        assert clause.pointer.endswith("/below")
        assert clause.line > 1


def test_a_contract_overlaid_remembers_where(tmp_path: Path) -> None:
    """New, changed and appended parts have an origin in the overlay. Other parts keep theirs."""
    source, changes = tmp_path / "one.yaml", tmp_path / "changes.yaml"
    source.write_text("paths: {}\ninfo:\n  title: one\n  version: '1'\ntags: [{name: a}]\n", encoding="utf-8")
    changes.write_text(
        "overlay: 1.1.0\ninfo: {title: A, version: 1.0.0}\nactions:\n"
        "  - target: $\n    update:\n      info:\n        title: two\n        x-new: {deep: 1}\n"
        "  - target: $.tags\n    update: {name: b}\n"
        "  - target: $.info['x-new']\n    remove: true\n"
        "  - target: $.info\n    update:\n      x-new: 2\n",
        encoding="utf-8",
    )
    one = _origin.apply_overlay(read_contract(source), Overlay.load(changes))
    assert one.document["info"] == {"title": "two", "version": "1", "x-new": 2}
    assert one.clause("info", "title") == Clause(str(changes), 7, "/actions/0/update/info/title")
    assert one.clause("info", "x-new") == Clause(str(changes), 15, "/actions/3/update/x-new")
    assert one.clause("tags", 1, "name") == Clause(str(changes), 10, "/actions/1/update/name")
    assert one.clause("tags", 1) == Clause(str(changes), 10, "/actions/1/update")
    assert one.clause("tags", 0) == Clause(str(source), 5, "/tags/0")
    assert one.clause("info", "version") == Clause(str(source), 4, "/info/version")


def test_did_you_mean() -> None:
    """The error for an unknown name suggests the nearest one."""
    with pytest.raises(UnknownRelayError, match=r"'zhongzuan'; did you mean zhongzhuan\?") as raised:
        load_contract("zhongzuan")
    assert raised.value.near == ["zhongzhuan"]
    assert raised.value.known == relay_names()


@pytest.mark.parametrize("name", ["qqq", "", "..", "runtime"])
def test_an_unknown_name(name: str) -> None:
    """The error for a name that resembles none lists all names."""
    with pytest.raises(UnknownRelayError, match="no relay is called") as raised:
        load_contract(name)
    assert raised.value.name == name
    assert all(relay in str(raised.value) for relay in raised.value.near or relay_names())


# --- clauses ---


@pytest.mark.parametrize(
    ("location", "line", "pointer"),
    [
        ((), 1, ""),
        (("servers", 0, "url"), 4, "/servers/0/url"),
        (("paths", "/mj/task/{id}/fetch", "get", "x-mj-task", "ask"), 17, None),
        (("paths", "/mj/task/{id}/fetch", "get", "responses", "200", "description"), 23, None),
        (("paths", "/mj/task/{id}/fetch", "get", "responses", "4XX", "content"), 31, None),
        (("paths", "/mj~0", "get"), 8, "/paths/~1mj~00/get"),
        (("servers", 7), 3, "/servers/7"),
    ],
)
def test_clauses(file: Path, location: tuple[str | int, ...], line: int, pointer: str | None) -> None:
    """A clause has the line of its node or of the nearest ancestor, also for unquoted statuses."""
    clause = read_contract(file).clause(*location)
    assert (clause.file, clause.line) == (str(file), line)
    assert pointer is None or clause.pointer == pointer
    assert str(clause) == f"{file}:{line}#{clause.pointer}"


def test_a_contract_whose_file_is_gone(tmp_path: Path) -> None:
    """A clause still names the file."""
    path = tmp_path / "gone.yaml"
    assert Contract("gone", {"paths": {}}, path).clause("paths") == Clause(str(path), 1, "/paths")


# --- answers ---


@pytest.mark.parametrize(
    ("status", "key", "description"),
    [
        (200, "200", "The task."),
        (404, "4XX", "An error."),
        (499, "4XX", "An error."),
        (500, "default", "Anything else."),
    ],
)
def test_responses(file: Path, status: int, key: str, description: str) -> None:
    """The exact status comes before its range, and its range before the default."""
    mine = read_contract(file)
    found = mine.response(status)
    assert found is not None
    location, response = found
    assert location == (*mine.location, "responses", key)
    assert response["description"] == description


def test_no_response(file: Path) -> None:
    """A status that the contract leaves out has neither response nor content."""
    mine = edited(file, "default: {description: Anything else.}", "")
    assert mine.response(500) is None
    assert mine.content(500) == {}
    assert mine.content(404) == {"application/json": {"schema": {"type": "object"}}}


def test_examples(file: Path) -> None:
    """Examples are read inline and by reference. External ones are ignored."""
    assert read_contract(file).examples == {
        "queued": {"id": "1", "status": ""},
        "succeeded": {"id": "1", "status": "SUCCESS"},
    }


def test_references(file: Path) -> None:
    """Chains of local references are followed, escapes included."""
    document = read_contract(file).document | {"a/b~": {"x": [{"$ref": "#/a~1b~0/y"}], "y": 7}}
    mine = Contract("mine", document, file)
    assert mine.resolve({"$ref": "#/a~1b~0/x/0"}) == 7
    assert mine.resolve({"$ref": "#/paths/~1mj~1task~1%7Bid%7D~1fetch/summary"}) == "A task."
    assert mine.resolve({"a": 1}) == {"a": 1}
    assert mine.resolve(None) is None


@pytest.mark.parametrize(
    "reference",
    ["#/none", "#/info/title/0", "#/servers/9", "#/servers/x", "other.yaml#/info", "#/loop", "#/first"],
)
def test_references_to_nothing(file: Path, reference: str) -> None:
    """A reference to nothing, to another file or to itself is an error."""
    loops = {"loop": {"$ref": "#/loop"}, "first": {"$ref": "#/second"}, "second": {"$ref": "#/first"}}
    mine = Contract("mine", read_contract(file).document | loops, file)
    with pytest.raises(ContractError, match="refers to"):
        mine.resolve({"$ref": reference})


# --- credentials ---

BEARER = Credential("bearer", "header", "Authorization", "Bearer ")
SECRET = Credential("secret", "header", "mj-api-secret", "")
TOKEN = Credential("token", "query", "token", "")
COOKIE = Credential("session", "cookie", "session", "")


def test_alternatives_in_order(file: Path) -> None:
    """Credentials come in the contract's order. A relay that requires one is not open."""
    mine = read_contract(file)
    assert mine.credentials == (BEARER, SECRET)
    assert not mine.open


@pytest.mark.parametrize(
    ("security", "credentials", "is_open"),
    [
        ("[{token: []}]", (TOKEN,), False),
        ("[{}, {bearer: []}]", (BEARER,), True),
        ("[{bearer: []}, {bearer: []}]", (BEARER,), False),
        ("[]", (), True),
    ],
)
def test_the_operations_own_security(
    file: Path, security: str, credentials: tuple[Credential, ...], *, is_open: bool
) -> None:
    """What the operation says goes before what the document says; an empty alternative means open."""
    mine = edited(file, "operationId: fetchTask", f"operationId: fetchTask\n      security: {security}")
    assert mine.credentials == credentials
    assert mine.open is is_open


def test_a_contract_that_says_nothing_of_security(file: Path) -> None:
    """A relay without any requirement is open."""
    mine = edited(file, "security:\n  - bearer: []\n  - secret: []\n", "")
    assert mine.credentials == ()
    assert mine.open


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{type: http, scheme: bearer}", "{type: http, scheme: basic}"),
        ("{type: http, scheme: bearer}", "{type: oauth2, flows: {}}"),
        ("{type: apiKey, in: header, name: mj-api-secret}", "{type: apiKey, in: body, name: mj-api-secret}"),
        ("{type: apiKey, in: header, name: mj-api-secret}", "{type: apiKey, in: header}"),
        ("- secret: []", "- cookie: []"),
        ("- bearer: []\n  - secret: []", "- {bearer: [], secret: []}"),
    ],
)
def test_credentials_that_are_not_served(file: Path, before: str, after: str) -> None:
    """Other schemes, undeclared ones, and two in one request are errors."""
    with pytest.raises(ContractError, match="secur"):
        _ = edited(file, before, after).credentials


def test_where_a_secret_goes() -> None:
    """Each credential puts the secret in its own place, encoded where the place needs it."""
    request = Request("GET", "/task?id=1", (("Accept", "application/json"),))
    secret = "a b&c=/ü;"
    assert request.authenticated(BEARER, secret).headers[-1] == ("Authorization", f"Bearer {secret}")
    assert request.authenticated(SECRET, secret).headers[-1] == ("mj-api-secret", secret)
    assert request.authenticated(COOKIE, secret).headers[-1] == ("Cookie", "session=a%20b%26c%3D%2F%C3%BC%3B")
    target = request.authenticated(TOKEN, secret).target
    assert dict(parse_qsl(urlsplit(target).query)) == {"id": "1", "token": secret}
    assert Request("GET", "/task").authenticated(TOKEN, "x").target == "/task?token=x"
    assert request.headers == (("Accept", "application/json"),)


def test_a_credential_says_what_it_is() -> None:
    """Shown to people, it names the field and the prefix."""
    assert [str(one) for one in (BEARER, SECRET)] == [
        "header Authorization: Bearer …",
        "header mj-api-secret: …",
    ]
    assert Credential.compile("b", {"type": "http", "scheme": "Bearer"}).prefix == "Bearer "


def test_answers_of_another_operation() -> None:
    """Where an operation is named, its responses are read and not the fetch operation's."""
    relay = load_contract("zhongzhuan")
    assert relay.batch is not None
    assert list(relay.content(400, relay.batch)) == ["text/plain"]
    assert list(relay.content(400)) == ["application/json"]
    found = relay.response(200, relay.seed)
    assert found is not None
    assert found[0] == ("paths", "/mj/task/{id}/image-seed", "get", "responses", "200")


# --- base URLs ---


@pytest.mark.parametrize(
    ("base_url", "target", "url"),
    [
        ("https://h", "/mj/task/1/fetch", "https://h/mj/task/1/fetch"),
        ("https://h/", "/mj/task/1/fetch", "https://h/mj/task/1/fetch"),
        ("https://h:8080/proxy", "/mj/task/1", "https://h:8080/proxy/mj/task/1"),
        ("https://h/proxy//", "/mj/task/1", "https://h/proxy/mj/task/1"),
        ("https://h/api", "/api/mj/task/1", "https://h/api/mj/task/1"),
        ("https://h/api/mj/", "/api/mj/task/1", "https://h/api/mj/task/1"),
        ("https://h/mj", "/mj/task/1", "https://h/mj/task/1"),
        ("https://h/mj-fast/mj", "/mj/task/1", "https://h/mj-fast/mj/task/1"),
        ("https://h/mj/mj", "/mj/task/1", "https://h/mj/mj/task/1"),
        ("https://h/mj/api", "/mj/task/1", "https://h/mj/api/mj/task/1"),
        ("https://h/m", "/mj/task/1", "https://h/m/mj/task/1"),
        ("https://h/API", "/api/task/1", "https://h/API/api/task/1"),
        ("https://h/api", "/fetch?jobId=/api/x?y", "https://h/api/fetch?jobId=/api/x?y"),
        ("https://h/v1", "/mj/task//fetch", "https://h/v1/mj/task//fetch"),
        ("https://h/v1", "/mj/task/a%2Fb/fetch/", "https://h/v1/mj/task/a%2Fb/fetch/"),
        ("http://[::1]:9", "/task", "http://[::1]:9/task"),
    ],
)
def test_join(base_url: str, target: str, url: str) -> None:
    """A prefix is kept, a part on both sides is kept once, and the target is unchanged."""
    assert join_url(base_url, target) == url


STEPS = st.lists(st.sampled_from(["api", "mj", "mj-fast", "v1"]), max_size=3)


@given(STEPS, STEPS, STEPS)
def test_join_doubles_nothing(prefix: list[str], shared: list[str], rest: list[str]) -> None:
    """Whatever the base URL repeats of the path, the target ends the URL and nothing before it is new."""
    base = "https://h" + "".join(f"/{step}" for step in (*prefix, *shared))
    target = "".join(f"/{step}" for step in (*shared, *rest, "task"))
    url = join_url(base, target)
    assert url.endswith(target)
    assert url.startswith("https://h/")
    assert len(url) <= len(base) + len(target) - len("".join(f"/{step}" for step in shared))
    assert base.startswith(url.removesuffix(target))
    assert join_url(base + "/", target) == url


def test_the_longest_part_in_common_counts() -> None:
    """A base URL that ends in the whole beginning of the path does not keep half of it."""
    assert join_url("https://h/mj/mj", "/mj/mj/task") == "https://h/mj/mj/task"


# --- nothing shows a secret ---


def test_repr_shows_no_secret(file: Path) -> None:
    """Neither a request that carries a secret nor anything on the way to it shows one."""
    secret = "sk-0123456789"
    base: dict[str, Any] = {"target": f"/task?token={secret}", "body": secret.encode()}
    shown = [repr(Request("GET", headers=(("X", secret),), **base))]
    shown += [
        repr(read_contract(file).request("1").authenticated(one, secret))
        for one in (BEARER, SECRET, TOKEN, COOKIE)
    ]
    shown += [repr(one) for one in read_contract(file).credentials]
    assert secret not in "\n".join(shown)
