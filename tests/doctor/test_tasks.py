"""Problems of the task that a relay returns."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from scripted import (
    ID,
    RELAY,
    SUCCEEDED,
    diagnosed,
    examined,
    problem_names,
    relay_with,
    serving,
    task_body,
    text_of,
)

from mjrelay.contract import load_contract

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("status", "progress"), [("SUBMITTED", "0%"), ("IN_PROGRESS", "85%")])
def test_a_stuck_task(status: str, progress: str) -> None:
    """An unfinished task is stuck after hours, not after minutes."""
    for age, stuck in ((timedelta(hours=5), True), (timedelta(minutes=2), False)):
        submitted = int((datetime.now(UTC) - age).timestamp() * 1000)
        times = {"submitTime": submitted, "startTime": submitted, "finishTime": 0}
        found = diagnosed(relay_with(task_body(status=status, progress=progress, **times)))
        assert problem_names(found, wrong=True) == ({"stuck"} if stuck else set())
        if stuck:
            assert f"at {progress.rstrip('%')} %" in text_of(found, "stuck")


def test_the_problems_of_a_task() -> None:
    """Each problem, or note, of a task is reported with the relay's own text, and only a problem counts."""
    for changes, wrong, notes, text in (
        (
            {"status": "", "failReason": "queue full", "imageUrl": ""},
            {"refused-submission"},
            set(),
            "queue full",
        ),
        ({"status": "FAILURE", "failReason": "任务超时"}, set(), {"failed"}, "任务超时. It has a picture"),
        ({"imageUrl": ""}, {"no-media"}, set(), "no link"),
        ({"status": "DREAMING"}, {"unknown-status"}, set(), "DREAMING"),
        ({"progress": "nearly"}, set(), {"odd-progress"}, "nearly"),
        ({"id": int(ID)}, set(), {"number-id"}, "JSON number"),
        ({"id": "1730621826099999"}, {"wrong-task"}, set(), f"1730621826099999 instead of {ID}"),
    ):
        found = diagnosed(relay_with(task_body(submitTime=0, **changes)))
        assert (problem_names(found, wrong=True), problem_names(found, wrong=False)) == (wrong, notes)
        assert text in text_of(found, *wrong, *notes)
        assert found.exit_code == len(wrong)


@pytest.mark.parametrize("host", ["localhost:3000", "10.0.0.7", "[::1]:8080"])
def test_links_to_private_addresses(host: str) -> None:
    """Links to private addresses are reported; a link to the relay itself is not."""
    found = diagnosed(relay_with(task_body(imageUrl=f"http://{host}/mj/image/{ID}")))
    assert problem_names(found, wrong=True) == {"local-links"}
    relay = relay_with()
    with serving(relay) as base_url:
        relay.respond = relay_with(task_body(imageUrl=f"{base_url}/mj/image/{ID}")).respond
        assert problem_names(examined(base_url, ID)) == set()


def test_an_old_task() -> None:
    """The expired links of an old task are a note, exit code 0, and their query is never shown."""
    for days, names in ((-1, {"expired-links"}), (1, set())):
        end = int(time.time()) + days * 86_400
        link = f"https://cdn.example.com/a.png?ex={end:x}&is=1&hm=5ec2e7"
        found = diagnosed(relay_with(task_body(imageUrl=link)))
        assert problem_names(found, wrong=False) == names
        assert found.exit_code == 0
        assert "5ec2e7" not in json.dumps(found.data()["complaints"])


@pytest.mark.parametrize(("unit", "per_second"), [("seconds", 1), ("microseconds", 1_000_000)])
def test_times_in_another_unit(unit: str, per_second: int, tmp_path: Path) -> None:
    """The overlay for times in another unit corrects the contract, and Python and command use it."""
    times = {name: SUCCEEDED[name] * per_second // 1000 for name in ("submitTime", "startTime", "finishTime")}
    found = diagnosed(relay_with(task_body(**times)))
    assert problem_names(found, wrong=True) == {f"{unit}-for-milliseconds"}
    assert found.relay is not None
    assert found.overlay is not None
    assert found.overlay == found.data()["overlay"]
    file = tmp_path / "times.yaml"
    file.write_text(found.overlay, encoding="utf-8")
    stamp = load_contract(found.relay.name, overlays=[file]).reader.submitted
    assert stamp is not None
    assert RELAY.reader.submitted is not None
    expected = RELAY.reader.submitted.read({**SUCCEEDED, "submitTime": 1730621826000})
    assert stamp.read({**SUCCEEDED, "submitTime": 1730621826 * per_second}) == expected
    assert 'overlays=["times.yaml"]' in found.python[1]
    assert "--overlay times.yaml" in (found.conform or "")
    assert diagnosed(relay_with()).overlay is None
