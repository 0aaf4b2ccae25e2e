"""Responses that real servers sent, judged by the contracts of these servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mjrelay.contract import load_contract
from mjrelay.semantics import State

REAL = Path(__file__).parent / "real"


@pytest.mark.parametrize(("relay", "exchanges"), [("mjproxy", 52), ("onehub", 39)])
def test_real_servers_keep_their_contracts(relay: str, exchanges: int) -> None:
    """Nothing is found but that the servers send no cache headers, and one of them no buttons."""
    command = [sys.executable, "-m", "mjrelay", "replay", relay, str(REAL / f"{relay}.jsonl")]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, check=False)
    record = json.loads(done.stdout)
    findings = {row["check"] for row in record["rows"] if row["outcome"] in {"fail", "error"}}
    assert findings == {"caching/none", *({"fetch/200/succeeded/buttons"} if relay == "onehub" else ())}
    assert (record["footer"]["verdict"], len(record["exchanges"])) == ("partial", exchanges)


def test_a_refused_submission_has_failed() -> None:
    """An empty status with a reason is a failure on servers that never change it, and queued without one."""
    rows = [json.loads(line) for line in (REAL / "onehub.jsonl").read_text("utf-8").splitlines()]
    bodies = {row["label"]: row["body"] for row in rows}
    rejected, fresh = json.loads(bodies["rejected"]), json.loads(bodies["fresh"])
    assert (rejected["status"], fresh["status"]) == ("", "")
    for relay in ("newapi", "newapiold", "onehub", "zhongzhuan", "yunwu", "cometapi"):
        reader = load_contract(relay).reader
        assert (reader.state(rejected), reader.failure(rejected)) == (State.FAILED, rejected["failReason"])
        assert reader.state(fresh) is State.QUEUED
