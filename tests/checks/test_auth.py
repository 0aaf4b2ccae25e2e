"""Checks of authentication and of other methods."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
from attrs import evolve
from mjrelay_conformance.judging.checking import Level, Outcome
from mjrelay_conformance.judging.observation import Kind, Observation
from observations import FAIL, MUST, NOT, PASS, SHOULD, example, observed, outcome, row
from sampled import SEVERAL

from mjrelay.contract.document import Contract
from mjrelay.contract.loading import load_contract

FAMILIES = {
    "wrong": (Kind.BAD_CREDENTIAL, MUST),
    "none": (Kind.NO_CREDENTIAL, MUST),
    "misplaced": (Kind.MISPLACED, SHOULD),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_rejections(name: str) -> None:
    """A leaked task, a server error and an undescribed response each break one check."""
    kind, highest = FAMILIES[name]
    ids = [f"auth/{name}/{part}" for part in ("refused", "no-server-error", "answer")]

    def outcomes(observation: Observation) -> list[Outcome]:
        return [outcome(id_, observation) for id_ in ids]

    right = observed({"error": {}}, kind, relay="apiai", exchange={"status": 401})
    assert outcomes(right) == [PASS, PASS, PASS]
    let_in = observed(example(relay="apiai"), kind, relay="apiai")
    assert outcomes(let_in) == [FAIL, PASS, Outcome.BLOCKED]
    assert row(ids[0], let_in).level is highest
    broken = observed(b"", kind, relay="apiai", exchange={"status": 502})
    assert outcomes(broken) == [PASS, FAIL, Outcome.BLOCKED]
    other = observed(b"", kind, relay="apiai", exchange={"status": 404})
    assert outcomes(other) == [PASS, PASS, FAIL]
    assert row(ids[2], other).level is highest


def test_a_misplaced_key_counts_only_if_no_key_is_rejected() -> None:
    """A relay that answers without a key has no further finding for a misplaced one."""
    without = observed(example(relay="apiai"), Kind.NO_CREDENTIAL, relay="apiai")
    misplaced = observed(example(relay="apiai"), Kind.MISPLACED, relay="apiai", earlier=(without,))
    assert outcome("auth/misplaced/refused", misplaced) is Outcome.BLOCKED
    assert outcome("auth/misplaced/answer", misplaced) is Outcome.BLOCKED
    refused = observed({"error": {}}, Kind.NO_CREDENTIAL, relay="apiai", exchange={"status": 401})
    assert outcome("auth/misplaced/refused", evolve(misplaced, earlier=(refused,))) is FAIL
    wrong = observed(example(relay="apiai"), Kind.BAD_CREDENTIAL, relay="apiai")
    assert outcome("auth/misplaced/refused", evolve(misplaced, earlier=(wrong,))) is FAIL


@pytest.mark.parametrize(
    ("part", "status", "document", "before", "result"),
    [
        ("answer", 200, {"code": 1, "said": ["no"]}, {"code": 2, "said": ["never"]}, NOT),
        ("answer", 200, {"code": 1}, {"code": "1"}, FAIL),
        ("answer", 200, {"code": 1}, {"reason": 1}, FAIL),
        ("answer", 200, {"code": 1}, b"no JSON", FAIL),
        ("answer", 200, b"<p>1", b"<p>2", NOT),
        ("no-server-error", 502, b"", b"", NOT),
        ("answer", 401, {"error": {}}, {"error": {}}, PASS),
    ],
)
def test_equal_rejections_are_reported_once(
    part: str, status: int, document: Any, before: Any, result: Outcome
) -> None:
    """An equal response to another rejected request is no further finding, except for a wrong key."""

    def refusal(kind: Kind, body: Any, *earlier: Observation, status: int = status) -> Observation:
        return observed(body, kind, relay="apiai", exchange={"status": status}, earlier=earlier)

    wrong = refusal(Kind.BAD_CREDENTIAL, before)
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document, wrong)) is result
    assert outcome(f"auth/misplaced/{part}", refusal(Kind.MISPLACED, document, wrong)) is result
    otherwise = FAIL if result is NOT else result
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document)) is otherwise
    other = refusal(Kind.BAD_CREDENTIAL, before, status=404)
    assert outcome(f"auth/none/{part}", refusal(Kind.NO_CREDENTIAL, document, other)) is otherwise
    none = refusal(Kind.NO_CREDENTIAL, before)
    assert outcome(f"auth/wrong/{part}", refusal(Kind.BAD_CREDENTIAL, document, none)) is otherwise


@pytest.mark.parametrize("name", FAMILIES)
def test_an_open_contract_requires_no_rejections(name: str) -> None:
    """If the contract requires no key, the checks of rejections do not apply."""
    document = copy.deepcopy(load_contract("apiai").document)
    document["paths"]["/mj/task/{id}/fetch"]["get"]["security"].append({})
    one = Contract("open", document, load_contract("apiai").source)
    observation = observed(example(relay="apiai"), FAMILIES[name][0], relay=one)
    for part in ("refused", "no-server-error", "answer"):
        assert outcome(f"auth/{name}/{part}", observation) is NOT


@pytest.mark.parametrize(
    ("credential", "header", "check", "level"),
    [
        ("secret", ("mj-api-secret", "[redacted]"), "auth/alternative/works", SHOULD),
        ("bearer", ("Authorization", "Bearer [redacted]"), "auth/alternative/works", MUST),
        ("bearer", ("authorization", "bearer [redacted]"), "auth/scheme/case", MUST),
    ],
)
def test_each_security_scheme(credential: str, header: tuple[str, str], check: str, level: Level) -> None:
    """A documented scheme must work; the level follows the evidence, or the RFC for the scheme name."""
    other = ({"auth/alternative/works", "auth/scheme/case"} - {check}).pop()
    task = example()
    more: dict[str, Any] = {
        "task_id": task["id"],
        "credential": credential,
        "earlier": (observed(task),),
    }
    sent = {"request_headers": (header,)}
    works = observed(task, Kind.ALTERNATIVE, exchange=sent, **more)
    assert (outcome(check, works), outcome(other, works)) == (PASS, NOT)
    refused = observed({"error": {}}, Kind.ALTERNATIVE, exchange={"status": 401} | sent, **more)
    found = row(check, refused)
    assert (found.outcome, found.level) == (FAIL, level)
    wrong = observed(example(id="7"), Kind.ALTERNATIVE, exchange=sent, **more)
    assert outcome(check, wrong) is FAIL
    lost = observed(b"", exchange={"status": 404})
    for earlier in ((), (observed(task), lost)):
        assert outcome(check, evolve(refused, earlier=earlier)) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(("status", "result"), [(404, PASS), (405, PASS), (501, PASS), (500, FAIL)])
def test_no_server_error_for_other_methods(status: int, result: Outcome) -> None:
    """501 passes, and a relay that always fails has no further finding."""
    observation = observed(b"", Kind.METHOD, exchange={"status": status})
    assert outcome("method/no-server-error", observation) is result
    down = observed(b"", exchange={"status": 502})
    assert outcome("method/no-server-error", evolve(observation, earlier=(down,))) is Outcome.BLOCKED


def test_a_task_is_found_anywhere() -> None:
    """A leaked task is found with any status and in any envelope."""
    for relay in SEVERAL:
        task = example(relay=relay)
        for document, status in itertools.product(
            (task, [task], {"code": 1, "data": task}), (200, 203, 401, 404)
        ):
            for kind, check in (
                (Kind.MISSING, "fetch/unknown/no-task"),
                (Kind.BAD_CREDENTIAL, "auth/wrong/refused"),
            ):
                found = observed(document, kind, relay=relay, task_id="1", exchange={"status": status})
                refused = kind is Kind.BAD_CREDENTIAL and found.contract.open
                assert outcome(check, found) is (NOT if refused else FAIL)


def test_an_error_that_repeats_an_id_is_no_task() -> None:
    """An error document that repeats an id is no task."""
    documents: tuple[Any, ...] = (
        {"id": "1", "error": "none"},
        {"error": {"id": "r-7", "code": 4}},
        [],
        None,
        {"code": 4},
    )
    for document in documents:
        found = observed(document, Kind.MISSING, task_id="1", exchange={"status": 404})
        assert outcome("fetch/unknown/no-task", found) is PASS


def test_an_accepted_key_cannot_be_refused_later() -> None:
    """A 401 is inconclusive until the key was accepted once."""
    for accepted, result in ((False, Outcome.INCONCLUSIVE), (True, FAIL)):
        refused = observed(b"", Kind.MISSING, relay="apiai", exchange={"status": 401}, accepted=accepted)
        assert outcome("fetch/missing/answer", refused) is result
