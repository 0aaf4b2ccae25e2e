"""``mjrelay listen`` and ``mjrelay mock --notify``: callbacks from one process to another."""

from __future__ import annotations

import json
import re
from contextlib import closing
from http.client import HTTPConnection
from typing import IO, TYPE_CHECKING

from cli_process import mjrelay, started
from served import document

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def url_in(stream: IO[str] | None) -> str:
    """Return the URL that a started command announces."""
    assert stream is not None
    for line in stream:
        if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
            return found[0]
    raise AssertionError("no URL")


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_mock_notifies_and_listen_prints() -> None:
    """Callbacks of the mock's command reach the listening one, which needs no key and prints each task."""
    with started("listen", "zhongzhuan", "--port", "0") as listening:
        url = url_in(listening.stderr)
        with started("mock", "zhongzhuan", "--port", "0", "--notify", f"{url}/hooks/1"):
            first = json.loads(next_line(listening))
    assert first["path"] == "/hooks/1"
    assert first["task"]["state"] in {"queued", "running"}


def test_a_recorded_callback_is_judged(tmp_path: Path) -> None:
    """``replay`` reads the record of ``listen``: only a callback that breaks the contract fails."""
    codes = {}
    for name, changes in {"good": {}, "bad": {"submitTime": 5, "progress": "7777%"}}.items():
        record = tmp_path / f"{name}.jsonl"
        with started("listen", "zhongzhuan", "--port", "0", "--record", str(record)) as listening:
            port = int(url_in(listening.stderr).rpartition(":")[2])
            with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", "/", document("succeeded", "1730621826053455", **changes), headers)
                assert connection.getresponse().status == 204
        codes[name] = mjrelay("replay", "zhongzhuan", str(record)).returncode
    assert codes == {"good": 3, "bad": 1}


def test_listen_ends_with_its_reader() -> None:
    """If stdout is closed, the command ends, as in ``mjrelay listen … | head -1``."""
    with started("listen", "zhongzhuan", "--port", "0") as listening:
        port = int(url_in(listening.stderr).rpartition(":")[2])
        assert listening.stdout is not None
        listening.stdout.close()
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            connection.request("POST", "/", document("succeeded"))
            assert connection.getresponse().status == 503
        assert listening.wait(10) == 1


def test_listen_reports_bodies_that_are_no_tasks() -> None:
    """A body that cannot be read is named with its path on stderr; pretty output is one line for a task."""
    with started("listen", "zhongzhuan", "--port", "0", "--format", "pretty") as listening:
        port = int(url_in(listening.stderr).rpartition(":")[2])
        for body, status in ((b"{}", 400), (document("running", "1\u001b[31m"), 204)):
            with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection.request("POST", "/wrong", body, {"Content-Type": "application/json"})
                assert connection.getresponse().status == status
        assert listening.stderr is not None
        assert "/wrong" in listening.stderr.readline()
        line = next_line(listening)
    assert re.match(r"/wrong  1\S*  running \d+ %\n", line)
    assert "\u001b" not in line


def test_wrong_options() -> None:
    """A wrong URL or port is wrong usage."""
    assert mjrelay("mock", "zhongzhuan", "--notify", "nowhere").returncode == 2
    assert mjrelay("listen", "zhongzhuan", "--port", "70000").returncode == 2
    assert mjrelay("listen", "zhongzhuan", "--record", "/nowhere/x").returncode == 2
