"""What the recipe says of waiting in tests, shown to be so."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from cookbook.testing.without_sleeping import (
    LONGEST,
    VirtualTimeLoop,
    broken_test,
    run_in_virtual_time,
    wait_until,
)


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        self.pauses.append(seconds)
        self.now += seconds


def late(written: list[str]) -> tuple[threading.Thread, threading.Event]:
    """Return a thread that is done only after somebody has looked."""
    has_been_looked_at = threading.Event()

    def work() -> None:
        has_been_looked_at.wait(timeout=10)
        written.append("done")

    return threading.Thread(target=work), has_been_looked_at


def test_a_test_that_sleeps_fails_when_the_thread_is_later() -> None:
    written: list[str] = []
    thread, has_been_looked_at = late(written)
    thread.start()
    try:
        with pytest.raises(AssertionError):
            broken_test(written)
    finally:
        has_been_looked_at.set()
        thread.join()
    assert written == ["done"]


def test_a_test_that_polls_passes_however_late_the_thread_is() -> None:
    written: list[str] = []
    thread, has_been_looked_at = late(written)

    def is_done() -> bool:
        has_been_looked_at.set()
        return written == ["done"]

    thread.start()
    wait_until(is_done)
    thread.join()


def test_a_condition_that_holds_is_asked_once_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    asked = []

    def condition() -> list[int]:
        asked.append(1)
        return asked

    wait_until(condition, timeout=0)
    assert (len(asked), clock.pauses) == (1, [])


def test_a_condition_is_asked_again_after_each_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    wait_until(lambda: len(clock.pauses) == 3)
    wait_until(lambda: len(clock.pauses) == 4, pause=2)
    assert clock.pauses == [0.01, 0.01, 0.01, 2]


def test_a_condition_that_does_not_hold_in_time_raises_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)

    def never() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"never.*not hold within 3 s$"):
        wait_until(never, timeout=3, pause=1)
    assert clock.now == 3


def test_a_condition_gets_a_last_look_when_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    wait_until(lambda: clock.now >= 5, timeout=1, pause=5)


def test_the_default_timeout_is_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    with pytest.raises(TimeoutError, match=r"10\.0 s"):
        wait_until(lambda: None)
    assert clock.now == pytest.approx(10, abs=0.02)


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_of_the_condition_goes_to_the_test(
    error: type[BaseException],
) -> None:
    with pytest.raises(error):
        wait_until(mock.Mock(side_effect=error))


def test_ctrl_c_ends_the_wait_for_a_condition() -> None:
    with pytest.raises(KeyboardInterrupt):
        wait_until(lambda: signal.raise_signal(signal.SIGINT))


@pytest.fixture
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if the thread sleeps."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it slept"))


@pytest.mark.usefixtures("no_real_time")
@pytest.mark.parametrize("seconds", [0, 1e-9, 0.1, 3600.0, LONGEST])
def test_virtual_time_jumps_to_the_next_timer(seconds: float) -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        await asyncio.sleep(seconds)
        return before, loop.time()

    before, after = run_in_virtual_time(main())
    assert before == 0
    assert after == pytest.approx(seconds, abs=1e-8)


def test_virtual_time_ends_after_97_days_with_an_error() -> None:
    async def main() -> None:
        await asyncio.sleep(LONGEST - 1)
        for _ in range(10):
            await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() == pytest.approx(LONGEST)
        await asyncio.sleep(0.1)
        pytest.fail("a timer after the end was reached")

    with pytest.raises(
        RuntimeError, match=r"^virtual time ends after 8388608 s$"
    ):
        run_in_virtual_time(main())


def test_tasks_wake_in_the_order_of_their_timers() -> None:
    woken = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((seconds, asyncio.get_running_loop().time()))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for seconds in (30, 10, 20):
                group.create_task(sleep(seconds))

    run_in_virtual_time(main())
    assert woken == [(10, 10), (20, 20), (30, 30)]


def test_no_timer_is_reached_while_a_task_can_run() -> None:
    async def main() -> float:
        timer = asyncio.create_task(asyncio.sleep(1))
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not timer.done()
        time_before = asyncio.get_running_loop().time()
        await timer
        return time_before

    assert run_in_virtual_time(main()) == 0


def test_a_timeout_is_over_at_its_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == 300


def test_each_run_has_a_loop_of_its_own_that_starts_at_zero() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        start = loop.time()
        await asyncio.sleep(5)
        return start

    assert [run_in_virtual_time(main()) for _ in range(2)] == [0, 0]


def test_what_the_coroutine_raises_goes_to_the_test() -> None:
    error = OSError("no answer")

    async def main() -> None:
        await asyncio.sleep(1)
        raise error

    with pytest.raises(OSError, match="no answer") as caught:
        run_in_virtual_time(main())
    assert caught.value is error


def test_tasks_that_wait_for_each_other_are_found_and_cancelled() -> None:
    cancelled = []

    async def wait(name: str, event: asyncio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    async def main() -> None:
        one, other = asyncio.Event(), asyncio.Event()
        await asyncio.gather(wait("one", one), wait("other", other))

    message = "^every task waits, and no timer is set$"
    with pytest.raises(RuntimeError, match=message):
        run_in_virtual_time(main())
    assert sorted(cancelled) == ["one", "other"]


def test_ctrl_c_ends_a_run_in_virtual_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(3600, signal.raise_signal, signal.SIGINT)
        await asyncio.sleep(7200)

    with pytest.raises(KeyboardInterrupt):
        run_in_virtual_time(main())


def test_a_timeout_around_a_thread_that_works_is_over_at_once() -> None:
    may_return = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await loop.run_in_executor(pool, may_return.wait, 10)
        assert loop.time() == 3600

    with ThreadPoolExecutor(max_workers=1) as pool:
        run_in_virtual_time(main())
        may_return.set()


def test_a_timeout_around_an_answer_that_is_on_its_way_is_over_at_once() -> (
    None
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3600):
                    await loop.sock_recv(one, 1)
            other.send(b"x")
            assert await loop.sock_recv(one, 1) == b"x"

    run_in_virtual_time(main())


def test_other_clocks_go_on_as_usual() -> None:
    async def main() -> None:
        before = time.monotonic()
        await asyncio.sleep(1_000_000)
        assert time.monotonic() - before < 100_000

    run_in_virtual_time(main())


def test_a_mocked_sleep_gives_no_other_task_a_turn() -> None:
    turns = []

    async def other() -> None:
        turns.append("other")

    async def main() -> list[str]:
        task = asyncio.create_task(other())
        with mock.patch("asyncio.sleep") as sleep:
            assert isinstance(sleep, mock.AsyncMock)
            for _ in range(100):
                await asyncio.sleep(1)
        before = list(turns)
        await asyncio.sleep(0)
        assert task.done()
        return before

    assert asyncio.run(main()) == []
    assert turns == ["other"]


class Client:
    """What a test mocks."""

    async def get(self) -> int:
        """Ask a server."""
        raise NotImplementedError


def test_a_magic_mock_cannot_be_awaited_and_an_async_mock_can() -> None:
    async def ask(client: Client) -> int:
        return await client.get()

    message = (
        "^'MagicMock' object can't be awaited$"
        if sys.version_info >= (3, 14)
        else "^object MagicMock can't be used in 'await' expression$"
    )
    with pytest.raises(TypeError, match=message):
        asyncio.run(ask(mock.MagicMock()))
    client = mock.MagicMock(get=mock.AsyncMock(return_value=3))
    assert asyncio.run(ask(client)) == 3
    client.get.assert_awaited_once_with()


def test_patch_puts_an_async_mock_in_the_place_of_an_async_function() -> None:
    with mock.patch.object(Client, "get", return_value=3) as get:
        assert isinstance(get, mock.AsyncMock)
        assert asyncio.run(Client().get()) == 3
    assert isinstance(mock.MagicMock(spec=Client).get, mock.AsyncMock)


def test_join_says_nothing_when_its_time_is_over_and_wait_returns_false() -> (
    None
):
    may_end = threading.Event()
    assert may_end.wait(0) is False
    thread = threading.Thread(target=may_end.wait)
    thread.start()
    join: Callable[[float], object] = thread.join
    assert join(0.01) is None
    assert thread.is_alive()
    may_end.set()
    thread.join()


HANGS = """
import threading

def test_hangs():
    threading.Lock().acquire()
    never = threading.Event()
    never.wait()  # for ever
"""


def test_faulthandler_timeout_prints_where_a_test_hangs_and_ends_the_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(HANGS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\n"
        "faulthandler_timeout = 0.2\n"
        "faulthandler_exit_on_timeout = true\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", path],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert re.search(r'test_it\.py", line 7 in test_hangs', process.stderr)


@pytest.mark.parametrize("daemon", [True, False])
def test_only_a_daemon_thread_lets_the_interpreter_exit(
    *, daemon: bool
) -> None:
    code = (
        "import sys, threading\n"
        "never = threading.Event()\n"
        f"threading.Thread(target=never.wait, daemon={daemon}).start()\n"
        "sys.stdout.write('end')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(3) == b"end"
        if daemon:
            assert process.wait(timeout=10) == 0
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
            process.kill()
