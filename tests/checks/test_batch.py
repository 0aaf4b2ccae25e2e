"""Checks of the batch operation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from mjrelay_conformance.checks import CHECKS
from mjrelay_conformance.judging.checking import Outcome, judge_observation
from mjrelay_conformance.judging.observation import Kind, Observation
from observations import FAIL, INFO, JSON, MUST, NOT, PASS, SHOULD, example, observed, outcome, row

SUCCEEDED, FAILED = example(), example("failed")
IDS = (SUCCEEDED["id"], FAILED["id"], "9999999999999999")
CHANGED = example(prompt="a dog")
BATCH = ["status", "json", "only-asked", "missing-omitted", "schema", "like-single"]


def batched(document: Any, *earlier: Observation, ids: tuple[str, ...] = IDS, **more: Any) -> Observation:
    """Return an observation of a batch request whose tasks were fetched before."""
    readings = earlier or (observed(SUCCEEDED), observed(FAILED))
    return observed(document, Kind.BATCH, ids=ids, earlier=readings, **more)


@pytest.mark.parametrize(
    ("document", "broken"),
    [
        (b"[", "json"),
        ([SUCCEEDED, {}], "missing-omitted"),
        ({"tasks": [SUCCEEDED]}, "schema"),
        ([{**FAILED, "status": "SUCCESS"}], "like-single"),
        ([SUCCEEDED, {**FAILED, "failReason": "another"}], None),
        ([FAILED, {**SUCCEEDED, "imageUrl": SUCCEEDED["imageUrl"] + "x=1"}], None),
    ],
)
def test_batch(document: Any, broken: str | None) -> None:
    """Each fault of a batch breaks one check, at the level of the contract's evidence."""
    rows = judge_observation(batched(document), 1, CHECKS.values())
    found = {one.check: one.level for one in rows if one.outcome in {FAIL, Outcome.ERROR}}
    level = {"only-asked": MUST, "complete": INFO}.get(str(broken), SHOULD)
    assert found == ({} if broken is None else {f"batch/{broken}": level})


def test_a_rejected_batch() -> None:
    """A batch with known ids must return 200; one without may return anything but other tasks."""
    refused = batched({"code": 4}, exchange={"status": 400})
    found = row("batch/status", refused)
    assert (found.outcome, found.level) == (FAIL, SHOULD)
    unknown = evolve(refused, ids=IDS[2:])
    assert [outcome(f"batch/{name}", unknown) for name in BATCH] == [NOT, NOT, PASS, NOT, NOT, NOT]
    leak = batched({"code": 4, "data": SUCCEEDED}, ids=IDS[2:], exchange={"status": 400})
    assert outcome("batch/only-asked", leak) is FAIL


@pytest.mark.parametrize(
    ("document", "reading", "check"),
    [
        ({"code": 4}, observed(b"", task_id=IDS[0], exchange={"status": 500}), "status"),
        (b"<html>", observed(b"<html>", task_id=IDS[0]), "json"),
        ([example(submitTime="now")], observed(example(submitTime="now")), "schema"),
        ([None], observed(None, task_id=IDS[0]), "missing-omitted"),
    ],
)
def test_faults_of_single_fetches_block_the_batch_checks(
    document: Any, reading: Observation, check: str
) -> None:
    """A fault that the single fetch has too is no finding of the batch."""
    status = {"status": 500} if check == "status" else {}
    observation = batched(document, reading, exchange=status)
    assert outcome(f"batch/{check}", observation) is Outcome.BLOCKED


def test_a_changing_task_blocks_the_batch_checks() -> None:
    """If two fetches of an ended task differ, a third proves nothing about the batch."""
    readings = (observed(SUCCEEDED), observed(CHANGED))
    assert outcome("batch/like-single", batched([example(prompt="a third")], *readings)) is Outcome.BLOCKED
    wrong = observed(example(id="1730621826053000"), task_id=IDS[0])
    assert outcome("batch/only-asked", batched([example(id="1730621826053000")], wrong)) is PASS
    running = observed(example("running"), task_id=IDS[0])
    assert outcome("batch/like-single", batched([SUCCEEDED], running)) is NOT


@given(st.binary() | JSON.map(lambda document: json.dumps(document).encode()), st.sampled_from([200, 404]))
def test_any_batch_is_judged(body: bytes, status: int) -> None:
    """Any batch response is judged, and no check crashes."""
    rows = judge_observation(batched(body, exchange={"status": status}), 1, CHECKS.values())
    assert Outcome.ERROR not in {one.outcome for one in rows}
