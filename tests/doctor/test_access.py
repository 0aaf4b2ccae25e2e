"""Problems of the path and of the key."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from scripted import (
    ID,
    KEY,
    LIMITED,
    MISSING,
    PATH,
    REFUSED,
    WEB_PAGE,
    Received,
    Reply,
    ScriptedRelay,
    diagnosed,
    examined,
    problem_names,
    relay_with,
    serving,
    task_body,
    text_of,
)

from mjrelay.contract import load_contract
from mjrelay.doctor import CREDENTIAL_LIMIT

OVERLOADED = (
    b'{"error":{"message":"system cpu overloaded (current: 100.0%, threshold: 90%)","type":"new_api_error",'
    b'"param":"","code":"system_cpu_overloaded"}}'
)
WRONG_MODE = '{"code":4,"description":"无效的加速模式","type":"one_hub_error"}'.encode()
CHANNEL = '{"error":{"message":"普通用户不支持指定渠道 (request id: 1)","type":"one_hub_error"}}'.encode()


@pytest.mark.parametrize(
    ("elsewhere", "name"),
    [
        (WEB_PAGE, "web-page"),
        (evolve(WEB_PAGE, status=404), "web-page"),
        (Reply(404, b'{"error":{"message":"Invalid URL","type":"invalid_request_error"}}'), "wrong-path"),
        (Reply(400, WRONG_MODE), "wrong-path"),
    ],
    ids=["page", "page-404", "gateway", "mode"],
)
def test_a_wrong_or_missing_prefix(elsewhere: Reply, name: str) -> None:
    """Whatever the response there, a wrong prefix is reported with its message and the right path."""
    with serving(relay_with(elsewhere=elsewhere)) as base_url:
        for pasted in ("/foo", f"/foo{PATH}", f"/task/{ID}/fetch"):
            found = examined(base_url + pasted, ID)
            assert problem_names(found, wrong=True) == {name}
            assert found.relay is not None
            assert found.base_url == base_url
            assert f"JSON was found at {base_url}/mj/task/{{id}}/fetch" in text_of(found, name)
            message = {400: "无效的加速模式", 404: "Invalid URL"}.get(elsewhere.status, "")
            assert name == "web-page" or message in text_of(found, name)
            assert found.exit_code == 1


def test_replies_that_are_no_relays() -> None:
    """A reply of something else is named; a challenge, a limit and a foreign redirect end the examination."""
    away = (("location", "http://127.0.0.1:9/stolen?key=x"),)
    for reply, name, requests in (
        (WEB_PAGE, "web-page", 7),
        (Reply(404, b"{}"), "wrong-path", 5),
        (Reply(200, b"<html><title>Just a moment...</title></html>", "text/html"), "challenge", 1),
        (Reply(503, b"<html><title>Just a moment...</title></html>", "text/html"), "challenge", 1),
        (Reply(403, b"<!DOCTYPE html><title>Blocked</title>", "text/html"), "challenge", 1),
        (Reply(401, b"<html><h1>401 Authorization Required</h1></html>", "text/html"), "challenge", 1),
        (Reply(302, b"", None, away), "redirect", 1),
        (Reply(429, b"{}", headers=(("retry-after", "17"),)), "rate-limited", 1),
    ):
        found = diagnosed(reply)
        assert problem_names(found) == {name}
        assert len(found.observations.attempts) <= requests
        assert (found.relay, found.python, found.exit_code) == (None, (), 1)
        assert "key=x" not in json.dumps(found.data()["complaints"])
        assert name != "rate-limited" or "17 seconds" in text_of(found, name)


def test_a_trailing_slash() -> None:
    """A trailing slash that causes a redirect is reported, and the path without it is found."""
    inner = relay_with()

    def respond(request: Received) -> Reply:
        if request.target.endswith("/"):
            return Reply(301, b"", None, (("location", request.target.rstrip("/")),))
        return inner.respond(request)

    relay = ScriptedRelay(respond)
    with serving(relay) as base_url:
        found = examined(f"{base_url}{PATH}/")
    assert problem_names(found, wrong=True) == {"trailing-slash"}
    assert found.relay is not None
    assert [one.target for one in relay.requests[:2]] == [f"{PATH}/", PATH]


def test_a_missing_task() -> None:
    """A missing task is reported with the relay's message; an empty response is noted."""
    found = diagnosed(relay_with(), "1730621826000000")
    assert problem_names(found, wrong=True) == {"unknown-task"}
    assert "task_no_found" in text_of(found, "unknown-task")
    assert found.exit_code == 1
    found = diagnosed(Reply(200, b"", None))
    assert "unknown-task" in problem_names(found, wrong=True)
    assert "empty-missing" in problem_names(found, wrong=False)


def test_a_path_that_no_contract_has() -> None:
    """Known responses at an unknown path are reported, without Python code."""
    inner = relay_with()
    relay = ScriptedRelay(lambda request: inner.respond(evolve(request, target=f"/mj{request.target}")))
    with serving(relay) as base_url:
        found = examined(f"{base_url}/task/{ID}/fetch")
    assert {"own-path", "no-contract"} <= problem_names(found, wrong=True)
    assert found.python == ()


def test_the_wrong_header() -> None:
    """A refused and an accepted header are both noted, with the scheme."""
    found = diagnosed(relay_with(header="mj-api-secret", value=KEY))
    assert problem_names(found) == {"wrong-header"}
    assert "mj-api-secret" in text_of(found, "wrong-header")
    assert found.scheme == "secret"
    assert found.exit_code == 0


def test_the_refusal_names_the_header() -> None:
    """The header of the contracts whose refusal matches is tried next, before more common ones."""
    refusal = Reply(401, b'{"error":{"message":"no","type":"one_hub_error"}}')
    relay = relay_with(header="mj-api-secret", value=KEY, refusal=refusal)
    with serving(relay) as base_url:
        several = [load_contract(name) for name in ("newapi", "deerapi", "onehub")]
        examined(f"{base_url}/wrong", ID, contracts=several)
    keyed = [name for one in relay.requests[1:] for name, value in one.headers.items() if KEY in value]
    assert set(keyed) == {"mj-api-secret"}


def test_a_refused_key() -> None:
    """A refused key is reported with the headers that were tried and the message, without Python code."""
    relay = relay_with(value="another key")
    found = diagnosed(relay)
    assert problem_names(found, wrong=True) == {"key-refused"}
    assert "Invalid token (request id: 1)" in text_of(found, "key-refused")
    assert found.relay is not None
    assert (found.python, found.conform) == ((), None)
    sent = {name for one in relay.requests for name, value in one.headers.items() if KEY in value}
    assert 1 <= len(sent) <= CREDENTIAL_LIMIT


@pytest.mark.parametrize(
    ("body", "message"),
    [(LIMITED, "This token has no access to model"), (CHANNEL, "普通用户不支持指定渠道")],
)
def test_a_restricted_key(body: bytes, message: str) -> None:
    """A 403 with a key is reported with the relay's message, without Python code."""
    found = diagnosed(ScriptedRelay(lambda one: Reply(403, body) if one.target == PATH else WEB_PAGE))
    assert problem_names(found, wrong=True) == {"forbidden"}
    assert message in text_of(found, "forbidden")
    assert (found.python, found.conform, found.exit_code) == ((), None, 1)


def test_no_key() -> None:
    """A refusal without a key names the likely header; the code takes the key from the environment."""
    for refusal in (Reply(401, REFUSED), Reply(403, LIMITED)):
        relay = relay_with(refusal=refusal)
        found = diagnosed(relay, key=None)
        assert problem_names(found) == {"no-key"}
        assert "Authorization" in text_of(found, "no-key")
        assert found.python
        assert not any("authorization" in one.headers for one in relay.requests)
        assert problem_names(diagnosed(relay)) == set()


def test_an_open_relay() -> None:
    """A relay that serves requests without a key is noted, with the given path or another one."""

    def respond(request: Received) -> Reply:
        if request.target == PATH:
            return Reply(200, task_body())
        return Reply(400, MISSING) if request.target.startswith("/mj") else Reply(404, b"{}")

    with serving(ScriptedRelay(respond)) as base_url:
        for prefix in ("", "/foo"):
            found = examined(base_url + prefix, ID)
            assert "open" in problem_names(found, wrong=False)
            assert found.observations.open is True
            assert found.observations.credential is not None


def test_errors_at_other_paths_are_ignored() -> None:
    """A 5xx at another path is ignored; a 5xx at the given path or for an unknown id is reported."""
    with serving(relay_with(prefix="/x", elsewhere=Reply(502, b"{}"))) as base_url:
        assert problem_names(examined(f"{base_url}/x/mj/submit/imagine", ID)) == {"unavailable"}
        assert problem_names(examined(f"{base_url}/x", ID)) == set()
    inner = relay_with()
    failing = ScriptedRelay(lambda one: inner.respond(one) if PATH in one.target else Reply(500, b"{}"))
    assert problem_names(diagnosed(failing)) == {"unavailable"}


@pytest.mark.parametrize("status", [503, 521, 530])
def test_an_overloaded_relay(status: int) -> None:
    """An overload ends the examination, at first or later, and the relay's message is quoted."""
    replies = [Reply(401, REFUSED), Reply(status, OVERLOADED)]
    for before in (0, 1):
        later = iter(replies[1 - before :])
        found = diagnosed(ScriptedRelay(lambda _, later=later: next(later)))  # type: ignore[misc]
        assert "unavailable" in problem_names(found, wrong=True)
        assert "system cpu overloaded (current: 100.0%, threshold: 90%)" in text_of(found, "unavailable")
        assert len(found.observations.attempts) == 1 + before
