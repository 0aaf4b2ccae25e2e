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


def test_a_refused_submission_with_an_id() -> None:
    """A task whose status stays empty beside a reason is named with the reason."""
    found = diagnosed(relay_with(task_body(status="", progress="0%", failReason="queue full", imageUrl="")))
    assert "queue full" in text_of(found, "refused-submission")
    assert found.exit_code == 1


def test_a_failed_task_with_an_image() -> None:
    """A failed task is a note with its reason and its image."""
    found = diagnosed(relay_with(task_body(status="FAILURE", failReason="任务超时")))
    assert problem_names(found) == {"failed"}
    assert "任务超时" in text_of(found, "failed")
    assert "picture" in text_of(found, "failed")
    assert found.exit_code == 0


def test_a_succeeded_task_without_links() -> None:
    """A succeeded task without links is reported."""
    assert problem_names(diagnosed(relay_with(task_body(imageUrl=""))), wrong=True) == {"no-media"}


def test_unusual_values() -> None:
    """A textual progress, an unknown status, a numeric id and another id are reported."""
    found = diagnosed(relay_with(task_body(status="DREAMING", progress="nearly", id=int(ID))))
    assert {"odd-progress", "unknown-status", "number-id"} <= problem_names(found)
    found = diagnosed(relay_with(task_body(id="1730621826099999")))
    assert "wrong-task" in problem_names(found, wrong=True)


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
    expected = RELAY.reader.submitted.read(SUCCEEDED)
    assert expected is not None
    assert stamp.read({**SUCCEEDED, **times}) == expected.replace(
        microsecond=0 if per_second == 1 else expected.microsecond
    )
    assert 'overlays=["times.yaml"]' in found.python[1]
    assert "--overlay times.yaml" in (found.conform or "")
    assert diagnosed(relay_with()).overlay is None
