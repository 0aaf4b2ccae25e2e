"""What a contract means to who writes a client for it, and where two differ."""

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

EVERY = pytest.mark.parametrize("name", relay_names())


def mjrelay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return forked.run(["relays", *arguments], {"COLUMNS": "200", "PATH": "/nowhere"}, "")


@EVERY
def test_every_contract_has_a_profile(name: str) -> None:
    """It is JSON, names the contract's own request, and has each field that is read and no other twice."""
    contract = load_contract(name)
    found = contract_profile(contract)
    assert json.loads(json.dumps(found)) == found
    assert (found["method"], found["path"]) == (contract.method, contract.path)
    assert len(found["auth"]) == len(contract.credentials)
    at = [way for one in found["fields"].values() for way in one["at"]]
    assert not set(found["extra"]) & {way for way in at if isinstance(way, str)}
    assert "id" in found["fields"]
    assert ("status" in found["fields"]) is (contract.reader.status_path is not None)


def test_the_terms_of_a_client_author() -> None:
    """Where the id goes, how the key is sent, what is sent for unset, and what a missing task looks like."""
    found = contract_profile(load_contract("zhongzhuan"))
    assert found["id"] == "path id"
    assert found["auth"] == ["header Authorization: Bearer …", "header mj-api-secret: …"]
    assert found["open"] is False
    assert found["states"]["queued"] == [None, "", "NOT_START", "SUBMITTED"]
    assert found["progress"] == {"format": "percent"}
    assert found["times"] == {"format": "ms", "zone": None, "unset": [0]}
    assert found["fields"]["finished"] == {"at": ["$.finishTime"], "unset": {"0": ["queued", "running"]}}
    assert found["fields"]["images"]["unset"] == {'""': ["queued", "failed"]}
    assert found["fields"]["buttons"]["unset"] == {"null": ["queued", "running", "failed"]}
    where = {"$.code": 4, "$.description": {"match": "task_no_found ?"}}
    assert found["missing"] == [{"status": 400, "body": "application/json", "where": where}]
    assert found["unauthorized"] == [{"status": 401, "body": "application/json", "where": None}]
    assert found["refresh"] == 15
    assert found["batch"] == {
        "method": "POST",
        "path": "/mj/task/list-by-condition",
        "ids": "body /ids",
        "items": "$[*]",
        "as": None,
        "limit": 100,
    }
    assert found["seed"] == {"method": "GET", "path": "/mj/task/{id}/image-seed", "value": "$.result"}
    assert found["words"]["$.status"]["open"] is True
    assert "SUCCESS" in found["words"]["$.status"]["words"]
    assert found["extra"]["$.properties.finalPrompt"] == {
        "type": "string",
        "unset": {"null": ["queued", "running", "failed"]},
    }
    assert {"$.buttons[*].type", "$.buttons[*].style", "$.description"} <= found["extra"].keys()
    assert not {"$.buttons[*].customId", "$.buttons[*].label"} & found["extra"].keys()


def test_an_envelope_and_what_is_not_said() -> None:
    """Paths include the envelope, and two paths are unset together. None means not stated."""
    found = contract_profile(load_contract("mjdjourney"))
    assert found["accept"] == {"$.code": 0}
    assert found["fields"]["videos"]["unset"] == {'"" and []': ["queued", "running", "failed"]}
    assert (found["refresh"], found["batch"], found["seed"], found["forbidden"]) == (None, None, None, [])
    assert found["extra"]["$.data.width"] == {"type": "integer", "unset": {}}
    assert found["missing"] == [{"status": 404, "body": None, "where": None}]


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
                                "schema": {"$ref": "#/components/schemas/Answer"},
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
            "Answer": {"type": "object", "properties": {"job": {"$ref": "#/components/schemas/Job"}}},
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
    """A contract of few fields; ``changes`` are of its `x-mj-task`."""
    document = copy.deepcopy(SMALL)
    document["paths"]["/jobs"]["get"]["x-mj-task"].update(changes)
    return Contract("small", document, Path("small.yaml"))


def test_a_contract_of_another_kind() -> None:
    """No key, an id in the query, states without words, odd names, and a schema that holds itself."""
    found = contract_profile(small())
    assert (found["id"], found["auth"], found["open"]) == ("query jobId", [], True)
    assert found["fields"]["submitted"]["unset"] == {"0": ["queued"]}
    assert found["fields"]["images"]["unset"] == {"[] and null": ["queued"]}
    assert found["words"] == {'$.job["odd-name"]': {"words": ["x", "y"], "open": False}}
    assert found["missing"] == [{"status": 200, "body": "empty", "where": None}]
    assert found["extra"].keys() == {"$.job.files[*].size", '$.job["odd-name"]', "$.job.parent"}
    assert found["extra"]['$.job["odd-name"]']["unset"] == {"absent": ["queued"]}


@EVERY
def test_a_contract_differs_in_nothing_from_itself(name: str) -> None:
    """And a mere order of words is no difference."""
    found = contract_profile(load_contract(name))
    turned = copy.deepcopy(found)
    for words in turned["states"].values():
        words.reverse()
    assert profile_differences(found, turned) == []


def test_differences_are_told_by_their_terms() -> None:
    """A difference has both sides. For enums only values that the other one lacks count."""
    left = contract_profile(small(states={"queued": ["a", "b"]}, status="$.job.word", refresh=5))
    right = contract_profile(
        small(states={"queued": ["b", "c"], "failed": ["d"]}, status="$.job.word", inputs=["$.in"])
    )
    assert profile_differences(left, right) == [
        Difference(("states", "queued"), ["a"], ["c"]),
        Difference(("states", "failed"), None, ["d"]),
        Difference(("fields", "inputs", "at"), None, ["$.in"]),
        Difference(("fields", "inputs", "unset"), None, {"absent": ["queued", "succeeded"]}),
        Difference(("refresh",), 5, None),
    ]


def test_a_profile_is_told_statement_by_statement() -> None:
    """What is unset, and a field that is not read, is one statement each."""
    terms = [term for term, _ in profile_statements(contract_profile(load_contract("zhongzhuan")))]
    assert len(set(terms)) == len(terms)
    assert {("fields", "images", "unset"), ("extra", "$.botType"), ("states", "queued")} <= set(terms)


@EVERY
def test_show_prints_a_profile(name: str) -> None:
    """As JSON it is the profile; for people and in markdown it has the path, and no value is cut off."""
    shown = mjrelay("show", name)
    assert (shown.returncode, json.loads(shown.stdout)) == (0, contract_profile(load_contract(name)))
    for view in ("pretty", "markdown"):
        shown = mjrelay("show", name.upper(), "--format", view)
        assert shown.returncode == 0
        assert load_contract(name).path in shown.stdout
        assert "open without a key" in shown.stdout
        assert "…" not in shown.stdout.replace("Bearer …", "").replace(": …", "")


def test_compare_prints_the_differences() -> None:
    """In all three forms, and with exit code 0: that two relays differ is no failure."""
    found = mjrelay("compare", "zhongzhuan", "apiai")
    told = json.loads(found.stdout)
    assert (found.returncode, told["left"], told["right"]) == (0, "zhongzhuan", "apiai")
    assert {"term": ["base_url"], "left": "https://api.zhongzhuan.chat", "right": None} in told["differences"]
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
        (["compare", "apiai", "nobody"], "no relay is called"),
        (["compare", "apiai"], "Missing argument"),
        (["--format", "json", "show", "apiai"], "write it after show"),
        (["list"], "No such command"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    """A relay that is not known, one too few, or a misplaced option: one message, exit code 2."""
    done = mjrelay(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not done.stdout
