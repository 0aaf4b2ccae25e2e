"""Arguments: wrong ones raise `SettingError` at the call, and pasted ones are taken as they are meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mjrelay import (
    AsyncRelay,
    EnvelopeError,
    Relay,
    RelayError,
    SettingError,
    State,
    UnauthorizedError,
    UndecodableError,
)
from mjrelay.contract import load_contract, relay_names
from mjrelay.testing import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mjrelay.testing import Mock

KEY = "sk-never-to-be-seen-4711"
TASK = load_contract("zhongzhuan").examples["succeeded"]
ID = TASK["id"]


@pytest.fixture(scope="module")
def served() -> Iterator[Mock]:
    """A mock of one relay."""
    with mock("zhongzhuan", key=KEY) as running:
        yield running


async def coroutine(*_: Any) -> None:
    """A function that would have to be awaited."""


OPTIONS: list[tuple[str, Any]] = [
    *(("timeout", value) for value in ("5", True, None, 0, -1, 1e10, float("inf"), float("nan"), [5])),
    *(("connections", value) for value in ("5", True, None, 0, 1.5)),
    *(("retries", value) for value in ("5", True, None, -1)),
    *(("max_body", value) for value in ("1", True, 0, 1 << 31)),
    *(
        ("headers", value)
        for value in ("X: 1", [("X", "1")], 5, {5: "a"}, {"X": 1}, {"X": b"a"}, {"X": None})
    ),
    *(("headers", {name: "a"}) for name in ("", "a:b", "X Team", "Authorization", "user-agent")),
    *(("headers", {"X-Team": value}) for value in ("a\r\nX-Evil: 1", " a", "ä", "")),
    *(("user_agent", value) for value in (5, "ä", "a\n")),
    *(("overlays", value) for value in ("fix.yaml", Path("fix.yaml"), 5, [5], None)),
    *(("api_key", value) for value in ("", " \n", "Bearer ", 5, b"sk-key", "sk", f"{KEY} {KEY}", "sk-ключ")),
    *(("base_url", value) for value in ("", 5, b"http://host", "host", "ftp://host", "http://u:p@host")),
    *(("scheme", value) for value in (5, "basic", "")),
    *(("proxy", value) for value in (5, "http://", "nonsense", "http://[")),
    *(("verify", value) for value in (None, "", 0, 1, 5, list[Any]())),
    *(("client", value) for value in (5, "httpx", object())),
    *(("fast", value) for value in (None, "yes", 1)),
    *(("clock", value) for value in (5, 0, "now")),
    *(("on_exchange", value) for value in (5, "print", coroutine)),
    ("tiemout", 5),
    ("key", KEY),
]


@pytest.mark.parametrize("kind", [Relay, AsyncRelay])
def test_wrong_options_are_refused(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each raises `SettingError` in the constructor; the message has what to write, and no key."""
    monkeypatch.setenv("MJRELAY_API_KEY", KEY)
    for name, value in OPTIONS:
        with pytest.raises(SettingError) as caught:
            kind("zhongzhuan", **{name: value})
        assert KEY not in str(caught.value), name
        assert "<" not in str(caught.value), name
        with pytest.raises(SettingError):
            kind("zhongzhuan").with_options(**{name: value})
    for wrong in (None, 5, b"zhongzhuan", ["zhongzhuan"]):
        with pytest.raises(SettingError, match="give its name or the path of a contract"):
            kind(wrong)
    with pytest.raises(SettingError, match=r"tiemout is not an option here; did you mean timeout\?"):
        kind("zhongzhuan", tiemout=5)


def test_wrong_arguments_are_refused_at_the_call(served: Mock) -> None:
    """Methods raise `SettingError` when they are called, and iterators before the first iteration."""
    relay = served.relay()
    task = relay.fetch(ID)
    sent = served.requests
    wrong: Any
    for wrong in (None, 5, b"1", ["1"], "", " \n", "\ud800", "https://relay.example/other"):
        for method in (relay.fetch, relay.seed, relay.wait, relay.watch):
            with pytest.raises(SettingError, match="pass"):
                method(wrong)
        for many in (relay.wait_all, relay.fetch_all):
            with pytest.raises(SettingError, match="pass"):
                many([wrong])
    for ids in ("12", b"12", 5, None):
        with pytest.raises(SettingError, match="pass a list of ids"):
            relay.wait_all(ids)  # type: ignore[arg-type]
    wrong_options: tuple[dict[str, Any], ...] = (
        *({"timeout": value} for value in ("5", True, None, 0, 1e300, float("nan"))),
        *({"rate": value} for value in ("5", True, 0, float("inf"), float("nan"))),
        *({"concurrency": value} for value in ("5", True, None, 0, 0.5, 2.0)),
        *({name: value} for name in ("on_progress", "on_error") for value in (5, "print", coroutine)),
    )
    for options in wrong_options:
        with pytest.raises(SettingError, match=f"{next(iter(options))} is"):
            relay.wait_all([ID], **options)
    with pytest.raises(SettingError, match="on_progress is"):
        relay.wait(ID, on_progress=5)  # type: ignore[arg-type]
    for args in ((ID, "out"), (None, "out"), (task, 5), (task, None)):
        with pytest.raises(SettingError, match="pass a"):
            relay.download(*args)
    assert served.requests == sent


def test_the_environments_key_needs_none(served: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only None means the environment's key, and the scheme none sends no key at all."""
    monkeypatch.setenv("MJRELAY_API_KEY", f" Bearer {KEY}\n")
    assert served.relay(api_key=None).fetch(ID).id == ID
    keyless = served.relay(scheme="none")
    with pytest.raises(UnauthorizedError, match="no key was sent"):
        keyless.fetch(ID)
    monkeypatch.delenv("MJRELAY_API_KEY")
    served.relay(api_key=None, scheme="none")


def test_pasted_keys_are_taken_as_meant(served: Mock) -> None:
    """White space, ``Bearer`` and the name of the header field are no part of a key."""
    for pasted in (
        f"{KEY}\n",
        f" {KEY} ",
        f"Bearer {KEY}",
        f"bearer  {KEY}",
        f"Authorization: Bearer {KEY}\n",
    ):
        for scheme in ("bearer", "secret"):
            assert served.relay(api_key=pasted, scheme=scheme).fetch(ID).id == ID
            assert served.relay().with_options(api_key=pasted, scheme=scheme).fetch(ID).id == ID


def test_pasted_ids_are_taken_as_meant(served: Mock) -> None:
    """A task's URL, with any prefix and query, and white space around an id stand for the id."""
    relay = served.relay()
    for pasted in (
        f"{ID}\n",
        f"\t{ID} ",
        f"{served.base_url}/mj/task/{ID}/fetch",
        f" HTTPS://relay.example/v1/mj/task/{ID}/fetch/?x=1#y ",
    ):
        assert relay.fetch(pasted).id == relay.wait(pasted).id == ID
        assert [task.id for task in relay.wait_all([pasted, ID])] == [ID]


def test_pasted_urls_of_every_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of a request for a task stands for its id and for its base URL, wherever the id goes."""
    for name in relay_names():
        contract = load_contract(name)
        target = contract.request("a%2/é").target
        with Relay(name, KEY, base_url="https://relay.example/v1") as relay:
            url = f"{relay.base_url}{target}"
            if "a%252" in target:
                assert getattr(relay._poller([url], 1.0)._queue[0][2], "id", None) == "a%2/é"
            else:  # the id is in the body
                with pytest.raises(SettingError, match="is not the URL of a task"):
                    relay.fetch(url)
        base = f"https://relay.example/v1{contract.path}"
        with Relay(name, KEY, base_url=base) as relay:
            assert relay.base_url == "https://relay.example/v1"
        host = contract.base_url
        if host:
            with pytest.raises(SettingError, match=rf"is a URL, but .* base_url= .*\b{name}\b"):
                Relay(host, KEY)
    with pytest.raises(SettingError, match=r"mjrelay doctor https://relay\.invalid"):
        Relay("https://relay.invalid", KEY)
    with Relay(" Zhong-Zhuan\n", KEY) as relay:
        assert relay.name == "zhongzhuan"


def test_a_wrong_prefix_names_the_url_tried(served: Mock) -> None:
    """Under a wrong prefix the error has the URL that was requested."""
    relay = served.relay(base_url=f"{served.base_url}/v9")
    with pytest.raises(RelayError, match=f"tried {served.base_url}/v9/mj/task/{ID}/fetch"):
        relay.fetch(ID)


def test_a_callback_is_read_from_bytes_text_or_json(served: Mock) -> None:
    """All forms of one body are the same task; other data is an error of the family, or `SettingError`."""
    relay = served.relay()
    text = json.dumps(TASK)
    for body in (text, text.encode(), TASK):
        task = relay.read(body)
        assert (task.id, task.state, task.document, task.exchange) == (ID, State.SUCCEEDED, TASK, None)
    assert relay.read(TASK).document is not TASK
    for body in ("<html>", b"<html>", "\ud800", {**TASK, "progress": float("nan")}):
        with pytest.raises(UndecodableError, match="pass it as received"):
            relay.read(body)
    for body in ("[]", b"{}", [], {}, None, 5):
        with pytest.raises(EnvelopeError, match="holds no task"):
            relay.read(body)  # type: ignore[arg-type]
    for body in (object(), {"a": {1}}, {(1,): 1}):
        with pytest.raises(SettingError, match="pass bytes, text or parsed JSON"):
            relay.read(body)  # type: ignore[arg-type]


@given(
    value=st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.lists(st.text())
)
def test_any_argument_is_taken_or_refused(value: Any) -> None:
    """Whatever is given for an option or an id is accepted or is a `SettingError`, never a raw error."""
    for name in {name for name, _ in OPTIONS} - {"overlays", "verify"}:
        try:
            with Relay("zhongzhuan", **{"api_key": KEY, name: value}) as relay:
                relay.watch(value)
        except SettingError:
            pass
