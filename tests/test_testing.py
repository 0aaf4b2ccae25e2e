"""The mocks for users' tests."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from twins import runner

from mjrelay import SettingError, State, UnauthorizedError, UnknownRelayError
from mjrelay.base.clock import Clock
from mjrelay.testing import NoWaitClock, mock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mjrelay.testing import Mock


@pytest.fixture
def zhongzhuan() -> Iterator[Mock]:
    """A mock of one relay."""
    with mock("zhongzhuan") as served:
        yield served


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with every warning an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_relays_left_open_are_no_warning(tmp_path: Path) -> None:
    """Relays that are not closed, on a loop that has ended, leave no open socket."""
    (tmp_path / "test_open.py").write_text(
        "import asyncio, gc\n"
        'pytest_plugins = ["mjrelay.testing"]\n'
        "def test_open(mock_relay):\n"
        '    mock = mock_relay("zhongzhuan")\n'
        "    for _ in range(2):\n"
        "        mock.relay().fetch(next(iter(mock.known.values())))\n"
        "        relay = mock.async_relay()\n"
        "        asyncio.run(relay.wait(mock.submit(5)))\n"
        "        del relay\n"
        "        gc.collect()\n",
        encoding="utf-8",
    )
    done = python("-m", "pytest", "-q", "-pno:schemathesis", "-pno:cacheprovider", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wait_takes_no_time_and_sends_all_requests(zhongzhuan: Mock) -> None:
    """A wait of ten minutes sends the requests of ten minutes, without waiting."""
    begun = time.monotonic()
    quick = zhongzhuan.relay().wait(zhongzhuan.submit(0.5))
    few = zhongzhuan.requests
    slow = zhongzhuan.relay().wait(zhongzhuan.submit(580, outcome=State.FAILED))
    assert (quick.state, slow.state) == (State.SUCCEEDED, State.FAILED)
    assert slow.finished is not None
    assert slow.submitted is not None
    assert (slow.finished - slow.submitted).total_seconds() == pytest.approx(580, abs=0.01)
    assert zhongzhuan.clock.time() - time.time() == pytest.approx(580, abs=60)
    assert time.monotonic() - begun < 20
    assert 1 <= few < 6
    assert 10 < zhongzhuan.requests - few < 200


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
def test_the_twins_wait_alike(zhongzhuan: Mock, uvloop: bool) -> None:
    """Sync and async relays share the mock's clock, and do not wait."""

    async def main() -> list[State]:
        async with zhongzhuan.async_relay() as relay:
            return [task.state async for task in relay.wait_all([zhongzhuan.submit(n) for n in (9, 99)])]

    begun = time.monotonic()
    with runner(uvloop=uvloop) as running:
        assert running.run(main()) == [State.SUCCEEDED] * 2
    tasks = zhongzhuan.relay().wait_all([zhongzhuan.submit(n) for n in (9, 99)])
    assert [task.state for task in tasks] == [State.SUCCEEDED] * 2
    assert time.monotonic() - begun < 20


def test_a_mock_wants_its_key_and_options_pass_through(zhongzhuan: Mock) -> None:
    """Options are passed to the relay: another key is refused, and so are unknown options."""
    with pytest.raises(UnauthorizedError):
        zhongzhuan.relay(api_key="another-key").fetch(zhongzhuan.known[State.SUCCEEDED])
    with pytest.raises(SettingError):
        zhongzhuan.relay(timeout=-1)
    with pytest.raises(SettingError, match="tiemout is not an option here; did you mean timeout"):
        zhongzhuan.relay(tiemout=1)
    with pytest.raises(UnknownRelayError), mock("zhongzuan"):
        raise AssertionError("entered")


def test_a_real_clock_can_be_used() -> None:
    """With `Clock` a task takes real time."""
    with mock("zhongzhuan", clock=Clock()) as served:
        task_id, begun = served.submit(1), time.monotonic()
        served.relay().wait(task_id)
        assert time.monotonic() - begun > 0.9


def test_threads_may_share_a_clock() -> None:
    """Sleeps of several threads add up; a negative one does nothing."""
    clock = NoWaitClock()
    before, unix = clock.now(), clock.time()

    def sleep() -> None:
        for _ in range(1000):
            clock.sleep(0.5)

    threads = [threading.Thread(target=sleep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.sleep(-1)
    assert clock.now() - before == pytest.approx(2000)
    assert clock.time() - unix == pytest.approx(2000)


def test_optional_packages(tmp_path: Path) -> None:
    """Without pytest the mocks work; without the extra the message has the command that installs it."""
    for missing, program, expected in (
        ("pytest", "with mock('zhongzhuan') as m: print(m.relay().fetch(m.submit(0)).state)", "succeeded"),
        ("uvicorn", "with mock('zhongzhuan'): pass", "pip install '.[mock]'"),
    ):
        hidden = f"import sys; sys.modules[{missing!r}] = None\nfrom mjrelay.testing import mock\n{program}\n"
        done = python("-c", hidden, cwd=tmp_path)
        assert expected in (done.stdout + done.stderr)
        assert (done.returncode == 0) == (missing == "pytest")
