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
