"""The command doctor: its requests, its output, and what it redacts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

import forked
import pytest
from jsonschema import Draft202012Validator
from scripted import (
    ID,
    KEY,
    PATH,
    REFUSED,
    RELAY,
    SCHEMA,
    SUCCEEDED,
    Received,
    Reply,
    ScriptedRelay,
    diagnosed,
    examined,
    relay_with,
    serving,
    task_body,
)

from mjrelay.doctor import ProbeRequest
from mjrelay.doctor.access_problems import CONNECTION_FAILURES


def environment(key: str | None = KEY) -> dict[str, str]:
    """Return a clean environment."""
    return {"PATH": "", "COLUMNS": "100"} | ({} if key is None else {"MJRELAY_API_KEY": key})


def echoing(request: Received) -> Reply:
    """Respond with the key in every form, in header, body and link."""
    secret = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not secret:
        return Reply(401, REFUSED)
    forms = f"{secret} {quote(secret)} {base64.b64encode(secret.encode()).decode()}"
    link = f"http://localhost:3000/{secret}"
    task = task_body(imageUrl=link, status=f"S {forms}", failReason=forms, **{secret: 1})
    return Reply(200, task, headers=(("x-echo", secret), ("location", f"/{secret}")))


def test_each_request_is_announced_before_it_is_sent() -> None:
    """Requests are announced in order, before they are sent, and without the key."""
    relay, announced = relay_with(), list[tuple[ProbeRequest, int]]()
    with serving(relay) as base_url:
        examined(base_url, ID, announce=lambda step: announced.append((step, len(relay.requests))))
    assert [number for _, number in announced] == list(range(len(relay.requests)))
    assert [step.request.target for step, _ in announced] == [one.target for one in relay.requests]
    assert KEY not in "".join(str(step) + repr(step.request.headers) for step, _ in announced)


def test_the_key_goes_to_the_likeliest_path_only() -> None:
    """Of the paths that are tried, only the first and the relay's own receive the key."""
    relay = relay_with(prefix="/x")
    with serving(relay) as base_url:
        examined(f"{base_url}/x/y", ID)
        examined(f"{base_url}/no/relay", "1730621826000000")
    keyed = {one.target for one in relay.requests if KEY in str(one.headers)}
    assert {target for target in keyed if not target.startswith("/x/mj/")} == {
        f"/x/y{PATH}",
        "/no/relay/mj/task/1730621826000000/fetch",
    }


def test_the_batch_endpoint_is_tested_once_and_last() -> None:
    """The only POST is the batch operation with the known id, and it is last."""
    relay = relay_with()
    found = diagnosed(relay)
    assert [one.method for one in relay.requests] == ["GET"] * (len(relay.requests) - 1) + ["POST"]
    assert json.loads(relay.requests[-1].body) == {"ids": [ID]}
    assert found.data()["batch"] == {"asked": True, "there": True}


@pytest.mark.parametrize("form", ["pretty", "json"])
def test_no_output_has_the_key(form: str) -> None:
    """An echoed key appears neither on stdout nor on stderr."""
    with serving(ScriptedRelay(echoing)) as base_url:
        done = forked.run(["doctor", base_url, "--task", ID, "--format", form], environment())
    shown = done.stdout + done.stderr
    assert done.returncode == 1, done.stderr
    assert not any(one in shown for one in (KEY, base64.b64encode(KEY.encode()).decode(), "never-to-be-seen"))
    assert "local-links" in done.stdout


def test_text_and_json() -> None:
    """The text contains Python code, command and overlay; the JSON fits its schema."""
    times = {name: SUCCEEDED[name] // 1000 for name in ("submitTime", "startTime", "finishTime")}
    with serving(relay_with(task_body(**times))) as base_url:
        seconds = forked.run(["doctor", base_url, "--task", ID, "--format", "pretty"], environment())
    assert "# times.yaml\n    overlay: 1.1.0\n" in seconds.stdout
    assert "update: {format: s}" in seconds.stdout
    with serving(relay_with()) as base_url:
        pretty = forked.run(["doctor", f"{base_url}{PATH}", "--format", "pretty"], environment())
        done = forked.run(["doctor", base_url, "--task", ID, "--json"], environment())
    assert pretty.returncode == done.returncode == 0, pretty.stderr + done.stderr
    data = json.loads(done.stdout)
    SCHEMA.validate(data)
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
    with serving(relay_with()) as base_url:
        runs = {
            (base_url, "--task", ID): 0,
            (base_url, "--task", "1"): 1,
            ("ftp://host",): 2,
            (): 2,
            ("http://127.0.0.1:1",): 4,
            ("--schema",): 0,
        }
        for arguments, code in runs.items():
            done = forked.run(["doctor", *arguments], environment())
            assert done.returncode == code, (arguments, done.stderr)
    Draft202012Validator.check_schema(json.loads(done.stdout))
    assert forked.run(["doctor", "https://a.invalid"], environment("white space")).returncode == 2
    shown = forked.run(["doctor", "--help"], environment()).stdout
    assert "0 identified and healthy, 1 a problem was found" in " ".join(shown.split())


def test_a_users_contract(tmp_path: Path) -> None:
    """A user's contract is tried first, and named if it fits; other methods than GET and POST are refused."""
    text = RELAY.source.read_text(encoding="utf-8").replace("/mj/task/{id}/fetch", "/my/jobs/{id}")
    file = tmp_path / "mine.yaml"
    relay = ScriptedRelay(
        lambda request: Reply(200, task_body()) if request.target == f"/my/jobs/{ID}" else Reply(404, b"{}")
    )
    with serving(relay) as base_url:
        arguments = ["doctor", base_url, "--task", ID, "--json", "--contract", str(file)]
        file.write_text(text, encoding="utf-8")
        done = forked.run(arguments, environment())
        file.write_text(
            text.replace("    get:\n      operationId: fetchTask", "    put:\n      operationId: fetchTask")
        )
        refused = forked.run(arguments, environment())
    assert json.loads(done.stdout)["relay"] == "mine", done.stderr
    assert relay.requests[0].target == f"/my/jobs/{ID}"
    assert refused.returncode == 2
    assert "tasks are fetched with PUT" in refused.stderr


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
