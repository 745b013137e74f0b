"""What the recipe says of finding calls that block, shown to be so."""

import asyncio
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from textwrap import indent
from traceback import StackSummary
from types import SimpleNamespace

import pytest

from cookbook.coroutines import find_what_blocks
from cookbook.coroutines.find_what_blocks import (
    broken_timed,
    search,
    watch_lag,
    watched_loop,
)
from cookbook.testing.without_sleeping import run_in_virtual_time
from tests.linting import ruff

BLOCKING = """
import subprocess
import time

import requests


def helper():
    time.sleep(1)


async def handler():
    helper()
    time.sleep(1)
    open("file")
    requests.get("address")
    subprocess.run(["true"])
"""

BLOCKBUSTED = """
import asyncio, time
import blockbuster

def query():
    time.sleep(0)

async def handler():
    query()

async def main():
"""
END = """

with blockbuster.blockbuster_ctx():
    asyncio.run(main())
"""


class Query:
    """A call that blocks its thread until it was seen often enough."""

    def __init__(self, times: int = 1) -> None:
        self.seen = threading.Semaphore(0)
        self.stacks: list[StackSummary] = []
        self.times = times

    def block(self) -> None:
        """Return when it was reported so many times."""
        for _ in range(self.times):
            assert self.seen.acquire(timeout=10)

    def report(self, stack: StackSummary) -> None:
        """Take a report; others than of :meth:`block` do not count."""
        if "block" in [frame.name for frame in stack]:
            self.stacks.append(stack)
            self.seen.release()


def test_the_stack_of_a_call_that_blocks_is_reported_while_it_blocks() -> None:
    query = Query()

    async def main() -> None:
        with watched_loop(query.report, 0.01):
            await search(query.block)

    asyncio.run(main())
    names = [frame.name for frame in query.stacks[0]]
    assert names[names.index("search") + 1] == "block"


def test_a_call_is_reported_again_as_long_as_it_blocks() -> None:
    query = Query(times=3)

    async def main() -> None:
        with watched_loop(query.report, 0.01):
            await search(query.block)

    asyncio.run(main())
    assert len(query.stacks) >= 3


def test_the_loop_is_asked_again_after_a_call_that_blocked() -> None:
    first, second = Query(), Query()

    def report(stack: StackSummary) -> None:
        first.report(stack)
        second.report(stack)

    async def main() -> None:
        with watched_loop(report, 0.01):
            await search(first.block)
            await asyncio.sleep(0)
            second.stacks.clear()
            while second.seen.acquire(blocking=False):
                pass
            await search(second.block)

    asyncio.run(main())
    assert second.stacks


def test_a_loop_that_answers_is_not_reported() -> None:
    stacks: list[StackSummary] = []

    async def main() -> None:
        with watched_loop(stacks.append, 10):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert not stacks


def test_the_end_of_the_block_is_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = threading.Event()
    stacks: list[StackSummary] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            loop, "call_soon_threadsafe", lambda _: asked.set()
        )
        with watched_loop(stacks.append, 0.05):
            asked.wait(timeout=10)  # the loop never answers

    asyncio.run(main())
    assert asked.is_set()
    names = {frame.name for stack in stacks for frame in stack}
    assert "watched_loop" not in names


def test_the_block_ends_without_waiting_to_ask_again() -> None:
    async def main() -> None:
        with watched_loop(print, 3600):
            pass
        assert threading.active_count() == before

    before = threading.active_count()
    asyncio.run(main())


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_if_report_raises_watching_ends_and_the_program_goes_on() -> None:
    has_raised = threading.Event()

    def report(_: StackSummary) -> None:
        has_raised.set()
        raise OSError("cannot log")

    async def main() -> str:
        with watched_loop(report, 0.01):
            await search(lambda: has_raised.wait(timeout=10))
            return "goes on"

    assert asyncio.run(main()) == "goes on"
    assert has_raised.is_set()


def test_an_exception_of_the_block_is_raised_and_the_thread_has_ended() -> (
    None
):
    async def main() -> None:
        with (
            pytest.raises(OSError, match="no answer"),
            watched_loop(print, 3600),
        ):
            raise OSError("no answer")
        assert threading.active_count() == before

    before = threading.active_count()
    asyncio.run(main())


def test_a_cancellation_is_raised_and_the_thread_has_ended() -> None:
    async def watched() -> None:
        with watched_loop(print, 3600):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(watched())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert threading.active_count() == before

    before = threading.active_count()
    asyncio.run(main())


def test_ctrl_c_cancels_the_main_task_when_the_call_has_returned() -> None:
    log = []

    def query() -> None:
        signal.raise_signal(signal.SIGINT)
        log.append("returns")

    async def main() -> None:
        with watched_loop(print, 3600):
            await search(query)
            await asyncio.sleep(10)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert log == ["returns"]
    assert threading.active_count() == before


@pytest.mark.parametrize("limit", [0, -0.1, math.nan, math.inf])
def test_a_limit_that_is_no_positive_number_is_refused_by_value(
    limit: float,
) -> None:
    async def main() -> None:
        with (
            pytest.raises(ValueError, match=f"limit .* not {limit!r}"),
            watched_loop(print, limit),
        ):
            pass
        with pytest.raises(ValueError, match=f"every .* not {limit!r}"):
            await watch_lag(print, limit)

    asyncio.run(main())


def test_the_lag_is_how_much_later_than_asked_the_loop_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lags: list[float] = []
    blocked = [0.0]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        time_of_loop = loop.time
        monkeypatch.setattr(loop, "time", lambda: time_of_loop() + blocked[0])
        meter = asyncio.create_task(watch_lag(lags.append, 2))
        await asyncio.sleep(3)  # at 2 it is not late
        blocked[0] = 4  # for so long a call blocks, from 3 to 7
        await asyncio.sleep(0.5)
        meter.cancel()

    run_in_virtual_time(main())
    assert lags == [0, 3]


def test_timing_an_await_blames_the_tasks_that_wait_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    stub = SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(find_what_blocks, "time", stub)
    slow: list[str] = []

    def query() -> None:
        clock[0] += 1

    async def main() -> None:
        await asyncio.gather(
            broken_timed("before", asyncio.sleep(0), slow),
            broken_timed("search", search(query), slow),
            broken_timed("after", asyncio.sleep(0), slow),
        )

    asyncio.run(main())
    assert slow == ["search", "before"]


def logged(caplog: pytest.LogCaptureFixture, call: Callable[[], None]) -> str:
    async def innocent() -> None:
        await asyncio.sleep(0)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        default = loop.slow_callback_duration
        loop.slow_callback_duration = 0.02
        other = asyncio.create_task(innocent(), name="innocent")
        task = asyncio.create_task(search(call), name="the culprit")
        await asyncio.wait([task, other])
        loop.call_soon(call)
        await asyncio.sleep(0)
        return default

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert asyncio.run(main(), debug=True) == 0.1
    return "\n".join(caplog.messages)


def test_the_debug_mode_logs_the_task_or_callback_that_blocked_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def block_for_a_while() -> None:
        assert "the culprit" not in caplog.text
        time.sleep(0.03)

    def block_again() -> None:
        time.sleep(0.03)

    text = logged(caplog, block_for_a_while)
    assert "Executing <Task finished name='the culprit'" in text
    assert "took 0.0" in text
    text = logged(caplog, block_again)
    assert "Executing <Handle " in text


def test_the_debug_mode_names_the_task_and_not_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def block() -> None:
        time.sleep(0.03)

    text = logged(caplog, block)
    [line] = [one for one in text.splitlines() if "the culprit" in one]
    assert "search()" in line
    assert "block()" not in line
    assert "sleep" not in line


def test_the_debug_mode_logs_no_task_that_only_waited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = [0.0]

    def query() -> None:
        clock[0] += 1

    async def innocent() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.time = lambda: clock[0]  # type: ignore[method-assign]
        before = asyncio.create_task(innocent(), name="innocent")
        task = asyncio.create_task(search(query), name="the culprit")
        after = asyncio.create_task(innocent(), name="innocent too")
        await asyncio.wait([before, task, after])

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        asyncio.run(main(), debug=True)
    [line] = [one for one in caplog.messages if "took 1.000 seconds" in one]
    assert "name='the culprit'" in line
    assert "innocent" not in caplog.text


@pytest.mark.parametrize(
    ("option", "environment"),
    [([], {"PYTHONASYNCIODEBUG": "1"}), (["-X", "dev"], {}), ([], {})],
    ids=["variable", "dev", "neither"],
)
def test_the_variable_and_x_dev_turn_the_debug_mode_on(
    option: list[str], environment: dict[str, str]
) -> None:
    script = """
import asyncio
async def main():
    return asyncio.get_running_loop().get_debug()
print(asyncio.run(main()))
"""
    cleared = {"PYTHONASYNCIODEBUG": "", "PYTHONDEVMODE": ""}
    run = subprocess.run(
        [sys.executable, *option, "-c", script],
        env=os.environ | cleared | environment,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.strip() == str(bool(option or environment))


def test_ruff_reports_calls_in_the_coroutine_and_not_in_its_helper() -> None:
    assert sorted(ruff(BLOCKING, "ASYNC")) == [
        ("ASYNC210", 'requests.get("address")'),
        ("ASYNC221", 'subprocess.run(["true"])'),
        ("ASYNC230", 'open("file")'),
        ("ASYNC251", "time.sleep(1)"),
    ]


def blockbusted(body: str) -> str:
    """Return what a coroutine of that body prints under blockbuster.

    In another process: what blockbuster imports keeps a file open.
    """
    if find_spec("blockbuster") is None:
        pytest.skip("blockbuster is not installed")
    script = BLOCKBUSTED + indent(body, "    ")
    run = subprocess.run(
        [sys.executable, "-c", script + END],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        # Else on 3.11.7 the process can crash at its end, as shown below.
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    return run.stdout.strip()


def test_blockbuster_raises_however_deep_the_call_is_but_not_in_a_thread() -> (
    None
):
    said = blockbusted("""
await asyncio.to_thread(query)
try:
    await handler()
except blockbuster.BlockingError as error:
    print(error)
""")
    assert said == "Blocking call to time.sleep"


def test_blockbuster_lets_code_that_computes_pass() -> None:
    assert blockbusted("print(sum(range(1000)))") == "499500"


@pytest.mark.skipif(
    sys.platform != "linux" or sys.version_info[:3] != (3, 11, 7),
    reason="was seen on 3.11.7 on Linux",
)
def test_on_3_11_7_a_script_that_used_blockbuster_crashes_at_its_end() -> None:
    script = (
        "import blockbuster\n"
        "with blockbuster.blockbuster_ctx(): pass\n"
        "print('done')"
    )
    surroundings = dict(os.environ)
    surroundings.pop("PYTHONUNBUFFERED", None)
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env=surroundings,
    )
    assert run.stdout == "done\n"
    assert run.returncode == -signal.SIGSEGV
