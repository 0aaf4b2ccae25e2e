"""Profiles of contracts, their differences, and the commands that print them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import forked
import pytest

from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract, relay_names
from mjrelay.contract.profiles import Difference, contract_profile, profile_differences, profile_statements

if TYPE_CHECKING:
    import subprocess


def mjrelay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mjrelay relays` with the arguments."""
    return forked.run(["relays", *arguments], {"COLUMNS": "200", "PATH": "/nowhere"}, "")


def test_every_contract_has_a_profile() -> None:
    """A profile is JSON data with the request of the contract. No path is in both `fields` and `extra`."""
    for name in relay_names():
        contract = load_contract(name)
        profile = contract_profile(contract)
        assert json.loads(json.dumps(profile)) == profile
        assert (profile["method"], profile["path"]) == (contract.method, contract.path)
        assert len(profile["auth"]) == len(contract.credentials)
        paths = [path for field in profile["fields"].values() for path in field["at"]]
        assert not set(profile["extra"]) & {path for path in paths if isinstance(path, str)}
        assert "id" in profile["fields"]
        assert ("status" in profile["fields"]) is (contract.reader.status_path is not None)


def test_the_statements_of_a_profile() -> None:
    """A profile has the place of the id, auth headers, unset values and missing tasks."""
    profile = contract_profile(load_contract("zhongzhuan"))
    assert profile["id"] == "path id"
    assert profile["auth"] == ["header Authorization: Bearer …", "header mj-api-secret: …"]
    assert profile["open"] is False
    assert profile["states"]["queued"] == [None, "", "NOT_START", "SUBMITTED"]
    assert profile["progress"] == {"format": "percent"}
    assert profile["times"] == {"format": "ms", "zone": None, "unset": [0]}
    assert profile["fields"]["finished"] == {"at": ["$.finishTime"], "unset": {"0": ["queued", "running"]}}
    assert profile["fields"]["images"]["unset"] == {'""': ["queued", "failed"]}
    assert profile["fields"]["buttons"]["unset"] == {"null": ["queued", "running", "failed"]}
    where = {"$.code": 4, "$.description": {"match": "task_no_found ?"}}
    assert profile["missing"] == [{"status": 400, "body": "application/json", "where": where}]
    assert profile["unauthorized"] == [{"status": 401, "body": "application/json", "where": None}]
    assert profile["refresh"] == 15
    assert profile["batch"] == {
        "method": "POST",
        "path": "/mj/task/list-by-condition",
        "ids": "body /ids",
        "items": "$[*]",
        "as": None,
        "limit": 100,
    }
    assert profile["seed"] == {"method": "GET", "path": "/mj/task/{id}/image-seed", "value": "$.result"}
    assert profile["words"]["$.status"]["open"] is True
    assert "SUCCESS" in profile["words"]["$.status"]["words"]
    assert profile["extra"]["$.properties.finalPrompt"] == {
        "type": "string",
        "unset": {"null": ["queued", "running", "failed"]},
    }
    assert {"$.buttons[*].type", "$.buttons[*].style", "$.description"} <= profile["extra"].keys()
    assert not {"$.buttons[*].customId", "$.buttons[*].label"} & profile["extra"].keys()


def test_an_envelope_and_missing_statements() -> None:
    """Paths include the envelope. Forms of unset from several paths are joined. None means not stated."""
    profile = contract_profile(load_contract("mjdjourney"))
    assert profile["accept"] == {"$.code": 0}
    assert profile["fields"]["videos"]["unset"] == {'"" and []': ["queued", "running", "failed"]}
    assert profile["refresh"] is profile["batch"] is profile["seed"] is None
    assert profile["forbidden"] == []
    assert profile["extra"]["$.data.width"] == {"type": "integer", "unset": {}}
    assert profile["missing"] == [{"status": 404, "body": None, "where": None}]


SMALL: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/jobs": {
            "get": {
                "operationId": "job",
                "x-mj-task": {
                    "version": 1,
                    "ask": "$request.query.jobId",
                    "id": "$['job'].id",
                    "states": {
                        "queued": [{"where": {"$.job.at": 0}}],
                        "succeeded": [{"where": {"$.job.done": True}}],
                    },
                    "times": {"submitted": "$.job.at", "format": "s", "unset": [0]},
                    "images": ["$.job.urls[0]", "$.job.files[*].url"],
                    "missing": [{"status": 200, "body": "empty"}],
                },
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/Response"},
                                "examples": {
                                    "queued": {
                                        "value": {"job": {"id": 1, "at": 0, "urls": [], "files": None}}
                                    },
                                    "succeeded": {
                                        "value": {
                                            "job": {
                                                "id": 1,
                                                "at": 5,
                                                "done": True,
                                                "urls": ["u"],
                                                "files": [{}],
                                                "odd-name": "x",
                                            }
                                        }
                                    },
                                },
                            }
                        }
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Response": {"type": "object", "properties": {"job": {"$ref": "#/components/schemas/Job"}}},
            "Job": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "at": {"type": "integer"},
                    "done": {"type": "boolean"},
                    "urls": {"type": "array", "items": {"type": "string"}},
                    "files": {
                        "type": ["array", "null"],
                        "items": {"properties": {"url": {"type": "string"}, "size": True}},
                    },
                    "odd-name": {"anyOf": [{"enum": ["x", "y"]}, {"type": "null"}]},
                    "parent": {"anyOf": [{"$ref": "#/components/schemas/Job"}, {"type": "null"}]},
                },
            },
        }
    },
}


def small(**changes: Any) -> Contract:
    """Return a contract with few fields. ``changes`` replace members of its `x-mj-task`."""
    document = copy.deepcopy(SMALL)
    document["paths"]["/jobs"]["get"]["x-mj-task"].update(changes)
    return Contract("small", document, Path("small.yaml"))


def test_an_unusual_contract() -> None:
    """No auth, an id in the query, states by predicate, quoted names and a recursive schema are supported."""
    profile = contract_profile(small())
    assert (profile["id"], profile["auth"], profile["open"]) == ("query jobId", [], True)
    assert profile["fields"]["submitted"]["unset"] == {"0": ["queued"]}
    assert profile["fields"]["images"]["unset"] == {"[] and null": ["queued"]}
    assert profile["words"] == {'$.job["odd-name"]': {"words": ["x", "y"], "open": False}}
    assert profile["missing"] == [{"status": 200, "body": "empty", "where": None}]
    assert profile["extra"].keys() == {"$.job.files[*].size", '$.job["odd-name"]', "$.job.parent"}
    assert profile["extra"]['$.job["odd-name"]']["unset"] == {"absent": ["queued"]}


def test_a_contract_does_not_differ_from_itself() -> None:
    """A contract has no difference from itself, even if its status values are in another order."""
    for name in relay_names():
        profile = contract_profile(load_contract(name))
        reordered = copy.deepcopy(profile)
        for values in reordered["states"].values():
            values.reverse()
        assert profile_differences(profile, reordered) == []


def test_differences() -> None:
    """A difference has its term and both sides. Status values of both sides are left out."""
    left = contract_profile(small(states={"queued": ["a", "b"]}, status="$.job.state", refresh=5))
    right = contract_profile(
        small(states={"queued": ["b", "c"], "failed": ["d"]}, status="$.job.state", inputs=["$.in"])
    )
    assert profile_differences(left, right) == [
        Difference(("states", "queued"), ["a"], ["c"]),
        Difference(("states", "failed"), None, ["d"]),
        Difference(("fields", "inputs", "at"), None, ["$.in"]),
        Difference(("fields", "inputs", "unset"), None, {"absent": ["queued", "succeeded"]}),
        Difference(("refresh",), 5, None),
    ]


def test_profile_statements() -> None:
    """Each unset form, extra field and state is a statement with a unique term."""
    terms = [term for term, _ in profile_statements(contract_profile(load_contract("zhongzhuan")))]
    assert len(set(terms)) == len(terms)
    assert {("fields", "images", "unset"), ("extra", "$.botType"), ("states", "queued")} <= set(terms)


def test_show_prints_a_profile() -> None:
    """The JSON format prints the profile. The other formats print the path and truncate no value."""
    for name in relay_names():
        shown = mjrelay("show", name)
        assert (shown.returncode, json.loads(shown.stdout)) == (0, contract_profile(load_contract(name)))
        for view in ("pretty", "markdown"):
            shown = mjrelay("show", name.upper(), "--format", view)
            assert shown.returncode == 0
            assert load_contract(name).path in shown.stdout
            assert "open without a key" in shown.stdout
            assert "…" not in shown.stdout.replace("Bearer …", "").replace(": …", "")


def test_show_lists_the_submits() -> None:
    """All three formats list each action that submits with its paths, without repeating one; or none."""
    change, button = "POST /mj/submit/change", "POST /mj/submit/action"
    submits = json.loads(mjrelay("show", "newapi").stdout)["submits"]
    assert submits["press"] == [button, change]
    assert submits["imagine"] == ["POST /mj/submit/imagine"]
    rows = mjrelay("show", "newapi", "--format", "markdown").stdout.splitlines()
    assert f"| submits press | `{button}, {change}` |" in rows
    assert "submits press" in (pretty := mjrelay("show", "newapi", "--format", "pretty").stdout)
    assert f"{button}, {change}" in pretty
    assert json.loads(mjrelay("show", "mjdjourney").stdout)["submits"] == {}
    for name in relay_names():
        contract = load_contract(name)
        assert set(contract_profile(contract)["submits"]) == {one.form.action for one in contract.submits}


def test_compare_prints_the_differences() -> None:
    """All three formats print the differences. The exit code is 0 even if two relays differ."""
    done = mjrelay("compare", "zhongzhuan", "apiai")
    result = json.loads(done.stdout)
    assert (done.returncode, result["left"], result["right"]) == (0, "zhongzhuan", "apiai")
    base_url = {"term": ["base_url"], "left": "https://api.zhongzhuan.chat", "right": None}
    assert base_url in result["differences"]
    pretty = mjrelay("compare", "zhongzhuan", "apiai", "--format", "pretty")
    assert "started unset" in pretty.stdout
    assert "0 when queued" in pretty.stdout
    rows = mjrelay("compare", "zhongzhuan", "apiai", "--format", "markdown").stdout.splitlines()
    assert rows[:2] == ["| term | zhongzhuan | apiai |", "|---|---|---|"]
    assert "| started unset | `0 when queued` | `null when queued, needs-input` |" in rows
    assert json.loads(mjrelay("compare", "apiai", "apiai").stdout)["differences"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "zongzhuan"], "did you mean zhongzhuan"),
        (["compare", "apiai", "missing"], "no relay is called"),
        (["compare", "apiai"], "Missing argument"),
        (["--format", "json", "show", "apiai"], "write it after show"),
        (["list"], "No such command"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    """An unknown relay, a missing argument or a misplaced option prints one message and exits with 2."""
    done = mjrelay(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout
