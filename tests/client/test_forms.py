"""Submits with files: a relay outside the package that takes multipart forms works by its file alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cli_process import KEY, mjrelay
from mjrelay_conformance.mock import MockRelay
from mjrelay_conformance.mock.server import Server

from mjrelay import AsyncRelay, ContractError, Relay, SettingError, State
from mjrelay.contract import load_contract
from mjrelay.http import FormPart, decode_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mjrelay_conformance.mock.responses import MockResponse

DARKROOM = Path(__file__).parents[1] / "support" / "darkroom.yaml"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(24)
FINISH = FormPart("finish", b'{"paper": "matt"}', "application/json")


class Noting(MockRelay):
    """A mock that keeps the media type and the body of each submit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.received: list[tuple[str, bytes]] = []

    def answer(self, method: str, target: str, headers: Any = (), body: bytes = b"") -> MockResponse:
        """The mock's answer."""
        if method == "POST":
            fields = {name.lower(): value for name, value in headers}
            self.received.append((fields["content-type"], body))
        return super().answer(method, target, headers, body)


@pytest.fixture
def served() -> Iterator[tuple[Noting, str]]:
    """The mock and its URL."""
    app = Noting(load_contract(DARKROOM), key=KEY, duration=0.0)
    with Server(app) as url:
        yield app, url


def test_images_are_sent_as_files(served: tuple[Noting, str]) -> None:
    """Sync, with fast and async: each file has its bytes and sniffed type, objects are JSON, numbers text."""
    app, url = served
    for fast in (False, True):
        with Relay(DARKROOM, KEY, base_url=url, fast=fast) as relay:
            task = relay.wait(relay.imagine("a 猪", images=[PNG, JPEG], fields={"number": 3}))
            assert task.state is State.SUCCEEDED
            assert relay.upload([PNG]).links == ("https://darkroom.example/kept.png",)
            assert relay.wait(relay.swap_face(PNG, JPEG)).state is State.SUCCEEDED

    async def by_async() -> None:
        async with AsyncRelay(DARKROOM, KEY, base_url=url) as relay:
            await relay.wait(await relay.imagine("a 猪", images=[PNG, JPEG], fields={"number": 3}))

    asyncio.run(by_async())
    drawn, kept, swapped, *others = [decode_form(*one) for one in app.received]
    assert drawn == [
        FINISH,
        FormPart("seen", PNG, "image/png", "image-1.png"),
        FormPart("seen", JPEG, "image/jpeg", "image-2.jpeg"),
        FormPart("words", "a 猪".encode()),
        FormPart("number", b"3"),
    ]
    assert kept == [FormPart("file", PNG, "image/png", "image-1.png")]
    assert [one.name for one in swapped] == ["from", "to"]
    assert others == [drawn, kept, swapped, drawn]


def test_without_files_json_is_sent(served: tuple[Noting, str]) -> None:
    """Where an operation takes both, URLs and submits without images are JSON."""
    app, url = served
    with Relay(DARKROOM, KEY, base_url=url) as relay:
        relay.imagine("a pig")
        relay.imagine("a pig", images=["https://example.com/a.png"])
    assert [kind for kind, _ in app.received] == ["application/json"] * 2
    assert json.loads(app.received[1][1])["seen"] == ["https://example.com/a.png"]


def test_what_does_not_fit_is_not_sent(served: tuple[Noting, str]) -> None:
    """Too large or too many files, a URL for a file and text that is no image are refused before sending."""
    app, url = served
    with Relay(DARKROOM, KEY, base_url=url) as relay:
        table: list[tuple[Callable[[], object], str]] = [
            (lambda: relay.imagine("a pig", images=[PNG + bytes(5000)]), "the maximum is 5000"),
            (lambda: relay.imagine("a pig", images=[PNG] * 3), "the maximum is 2"),
            (lambda: relay.imagine("a pig", images=[PNG, "https://example.com/a.png"]), "not both"),
            (lambda: relay.upload(["https://example.com/a.png"]), "pass a path or bytes"),
            (lambda: relay.upload([PNG, PNG]), "takes one value, not 2"),
            (lambda: relay.upload([b"a letter"]), "is not an image"),
            (lambda: relay.imagine("", images=[PNG]), "the minimum is 1"),
        ]
        for call, message in table:
            with pytest.raises(SettingError, match=message):
                call()
    assert not app.received


def test_no_record_has_the_bytes(served: tuple[Noting, str], tmp_path: Path) -> None:
    """The log, the exchange and the request that the command shows have the size of a file."""
    app, url = served
    log, image = tmp_path / "log.jsonl", tmp_path / "my secret name.png"
    image.write_bytes(PNG)
    with Relay(DARKROOM, KEY, base_url=url, submit_log=log, log_prompts=True) as relay:
        submission = relay.imagine("a pig", images=[image])
    assert b"(264 bytes)" in submission.exchange.request_body
    assert PNG not in submission.exchange.request_body
    assert "PNG" not in log.read_text(encoding="utf-8")
    assert b"secret" not in app.received[0][1]
    shown = mjrelay("imagine", str(DARKROOM), "a pig", "--image", str(image), "--base-url", url)
    assert "seen: image-1.png (264 bytes)" in shown.stderr
    assert 'words: "a pig"' in shown.stderr
    assert shown.returncode == 2
    sent = mjrelay("upload", str(DARKROOM), str(image), "--base-url", url, "--yes", "--log", str(log))
    assert json.loads(sent.stdout)["links"] == ["https://darkroom.example/kept.png"], sent.stderr


def test_the_mock_judges_forms(served: tuple[Noting, str]) -> None:
    """A form of another client is accepted; one that does not fit the schema, or is none, is refused."""
    _, url = served
    image = {"seen": ("x.png", PNG, "image/png")}
    table: list[tuple[str, dict[str, Any], int]] = [
        ("prints", {"data": {"words": "a pig", "number": "3"}, "files": image}, 200),
        ("prints", {"data": {"words": "a pig", "number": "9"}, "files": image}, 422),
        ("prints", {"data": {"words": "a pig", "number": "three"}, "files": image}, 422),
        ("prints", {"data": {}, "files": image}, 422),
        ("files", {"files": {"file": ("x.png", PNG, "image/png")}}, 200),
        ("files", {"json": {"file": "x"}}, 422),
        ("files", {"files": [("file", ("x.png", PNG)), ("file", ("y.png", PNG))]}, 422),
        ("files", {"content": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=y"}}, 422),
    ]
    for path, sent, status in table:
        headers = {"X-Darkroom-Pass": KEY, **sent.pop("headers", {})}
        found = httpx.post(f"{url}/{path}", headers=headers, timeout=30, **sent)
        assert found.status_code == status, (path, sent)


def test_the_suite_and_the_generator_take_the_contract(tmp_path: Path) -> None:
    """The linter has no violations, a client is generated, and the mock conforms, submits included."""
    linted = mjrelay("lint", str(DARKROOM))
    assert linted.returncode == 0, linted.stdout
    generated = mjrelay("generate", str(DARKROOM), "--output", str(tmp_path))
    assert generated.returncode == 0, generated.stderr
    only = tmp_path / "formonly.yaml"
    text = DARKROOM.read_text(encoding="utf-8")
    start, end = (
        text.index("          application/json:\n            schema:\n              type: object\n"),
        0,
    )
    end = text.index("          multipart/form-data:", start)
    only.write_text(text[:start] + text[end:], encoding="utf-8")
    for contract in (DARKROOM, only):
        judged = mjrelay("conform", str(contract), "--report-dir", str(tmp_path / contract.stem))
        assert judged.returncode == 0, judged.stderr
        record = json.loads((tmp_path / contract.stem / "results.json").read_text(encoding="utf-8"))
        assert "submit" in json.dumps(record)


def test_rules_of_files(tmp_path: Path) -> None:
    """A file needs a form with its member, and its place is a member of the body."""
    text = DARKROOM.read_text(encoding="utf-8")
    schema = "schema:\n              type: object\n              required: [from, to]"
    for old, new, message in (
        (
            f"multipart/form-data:\n            {schema}",
            f"application/json:\n            {schema}",
            "a file needs",
        ),
        ("$request.body#/from", "$request.body#/nothing", "the request has no"),
    ):
        assert text.count(old) == 1
        (tmp_path / "own.yaml").write_text(text.replace(old, new), encoding="utf-8")
        linted = mjrelay("lint", str(tmp_path / "own.yaml"))
        assert linted.returncode == 1
        assert message in linted.stdout + linted.stderr
    for place in ("$request.query.from", "$request.body#/a/b"):
        (tmp_path / "own.yaml").write_text(text.replace("$request.body#/from", place), encoding="utf-8")
        with pytest.raises(ContractError, match="a file is a member of the body"):
            _ = load_contract(tmp_path / "own.yaml").submits
