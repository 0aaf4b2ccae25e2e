"""Checks of repeated fetches and of caching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from observations import FAIL, INFO, NOT, PASS, example, observed, outcome, row

if TYPE_CHECKING:
    from mjrelay_conformance.judging.checking import Outcome


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ({"progress": "31%"}, {"progress": "31%"}, PASS),
        ({"progress": "31%"}, {"progress": "30%"}, FAIL),
        ({"progress": "31%"}, {"progress": "waiting"}, PASS),
        ({"progress": "31%"}, {"progress": "", "status": "FAILURE", "failReason": "banned"}, PASS),
        ({"progress": "31%"}, {"progress": "0%", "status": "SUBMITTED"}, FAIL),
        ({"progress": "0%", "status": ""}, {"progress": "0%"}, NOT),
    ],
)
def test_a_running_task_never_goes_back(
    before: dict[str, Any], after: dict[str, Any], result: Outcome
) -> None:
    """Decreasing progress and a return to the queue are findings; a failure without progress is not."""
    first = observed(example("running", **before))
    second = observed(example("running", **after), earlier=(first,))
    found = row("sequence/progress", second)
    assert (found.outcome, found.level) == (result, INFO)
    assert outcome("sequence/progress", first) is NOT


@pytest.mark.parametrize(
    ("state", "before", "after", "result"),
    [
        ("running", 1730621855817, 1730621855817, FAIL),
        ("running", 0, 1730621855817, PASS),
        ("running", 1730621855817, 0, PASS),
        ("succeeded", 1730621855817, 1730621855817, NOT),
    ],
)
def test_a_running_task_has_no_finish_time(state: str, before: int, after: int, result: Outcome) -> None:
    """Servers have a moment in which it has one, so only the second fetch proves a fault."""
    first = observed(example(state, finishTime=before))
    found = row("sequence/unfinished", observed(example(state, finishTime=after), earlier=(first,)))
    assert (found.outcome, found.level) == (result, INFO)
    assert outcome("sequence/unfinished", first) is NOT


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (None, PASS),
        ("no-store", PASS),
        ("private", PASS),
        ("public", FAIL),
        ("Public, Max-Age=60", FAIL),
        ("private, max-age=60", FAIL),
        ('s-maxage="5"', FAIL),
        ("max-age=0", PASS),
        ("public, max-age=0, must-revalidate", PASS),
        ("no-cache, max-age=60", PASS),
    ],
)
def test_caching_of_a_running_task(value: str | None, result: Outcome) -> None:
    """Only a cacheable response of a running task is a finding."""
    headers = [("Content-Type", "application/json")]
    headers += [] if value is None else [("Cache-Control", value)]
    assert outcome("caching/running", observed(example("running"), headers=headers)) is result
    assert outcome("caching/running", observed(example(), headers=headers)) is NOT


@given(st.lists(st.text()))
def test_any_cache_control_is_judged(value: list[str]) -> None:
    """Any Cache-Control is judged."""
    headers = [("Content-Type", "application/json"), *(("Cache-Control", value) for value in value)]
    assert outcome("caching/running", observed(example("running"), headers=headers)) in {PASS, FAIL}


def test_undocumented_fields_may_change() -> None:
    """Undocumented fields may change between fetches, documented ones may not."""
    task = example(relay="mjdjourney")
    changed = {**task["data"], "width": 1}
    first = observed({**task, "request_id": "a"}, relay="mjdjourney")
    for change, result in (({"request_id": "b"}, PASS), ({"data": changed}, FAIL)):
        again = observed({**task, **change}, relay="mjdjourney", earlier=(first,))
        assert outcome("sequence/content", again) is result
