"""What the recipe says of blocking calls, shown to be so."""

import asyncio
import math
import signal
import subprocess
import sys
import threading
import time
from asyncio import constants
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.coroutines import blocking_call

METHODS = [
    blocking_call.async_method_not_blocked,
    blocking_call.async_method_blocked,
]


class BlockingCall:
    """A call that blocks its thread until it is told to return."""

    def __init__(self) -> None:
        self.has_started = threading.Event()
        self.may_return = threading.Event()
        self.log: list[str] = []

    def block(self) -> None:
        """Return only when another thread lets it."""
        self.has_started.set()
        if not self.may_return.wait(timeout=10):
            self.log.append("nobody let the call return")
        self.log.append("the call returns")

    async def start(self) -> asyncio.Task[None]:
        """Return a task that awaits this call, after the call has begun."""
        task = asyncio.create_task(asyncio.to_thread(self.block))
        await asyncio.to_thread(self.has_started.wait, 10)
        return task

    async def main_that_leaves_it(self) -> None:
        """End while the call still blocks; only then may it return."""
        main = asyncio.current_task()
        assert main is not None
        main.add_done_callback(lambda _: self.log.append("main has ended"))
        main.add_done_callback(lambda _: self.may_return.set())


@pytest.mark.parametrize("seconds", [0, 0.01, 0.05])
def test_another_task_gets_no_turn_while_a_coroutine_blocks(
    seconds: float,
) -> None:
    async def method() -> None:
        await blocking_call.async_method_blocked(seconds)

    assert asyncio.run(blocking_call.turns_during(method)) == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_the_call_is_made_with_the_seconds_that_are_given(
    method: Callable[[float], Awaitable[None]],
    seconds: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def main() -> None:
        await method(seconds)

    monkeypatch.setattr(time, "sleep", slept.append)
    asyncio.run(main())
    assert slept == [seconds]


def test_one_turn_is_counted_for_each_round_of_the_loop() -> None:
    calls = []

    async def method() -> None:
        calls.append("a call")
        await asyncio.sleep(0)

    assert asyncio.run(blocking_call.turns_during(method)) == 3
    assert calls == ["a call"] * 3


def test_another_task_gets_turns_while_a_thread_makes_the_call() -> None:
    may_begin = threading.Event()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        gate = loop.run_in_executor(None, may_begin.wait, 10)
        loop.call_soon(loop.call_soon, may_begin.set)
        turns = await blocking_call.turns_during(
            blocking_call.async_method_not_blocked
        )
        assert await gate
        return turns

    assert asyncio.run(main()) >= 1


def test_asyncio_sleep_gives_other_tasks_turns_without_a_thread() -> None:
    before = set(threading.enumerate())

    async def wait() -> None:
        await asyncio.sleep(0.001)
        assert set(threading.enumerate()) == before

    assert asyncio.run(blocking_call.turns_during(wait)) >= 1


def test_the_task_that_counts_turns_ends_with_the_calls() -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        await blocking_call.turns_during(nothing)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_call_in_a_thread_can_wait_for_what_another_task_does() -> None:
    call = BlockingCall()

    async def main() -> None:
        task = await call.start()
        call.log.append("another task lets it")
        call.may_return.set()
        await task

    asyncio.run(main())
    assert call.log == ["another task lets it", "the call returns"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf])
def test_seconds_that_are_negative_or_not_finite_are_refused_by_value(
    method: Callable[[float], Awaitable[None]],
    seconds: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: float) -> None:
        pytest.fail("the call was made")

    async def main() -> None:
        await method(seconds)

    monkeypatch.setattr(time, "sleep", fail)
    with pytest.raises(ValueError, match=f"not {seconds!r}$"):
        asyncio.run(main())


def test_an_exception_of_the_call_is_raised_by_the_await() -> None:
    error = OSError("no answer")

    def call() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(OSError, match="no answer") as caught:
            await asyncio.to_thread(call)
        assert caught.value is error

    asyncio.run(main())


def test_the_thread_of_a_cancelled_task_goes_on_and_run_waits_for_it() -> None:
    call = BlockingCall()

    async def main() -> None:
        task = await call.start()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        call.log.append("cancelled")
        await call.main_that_leaves_it()

    asyncio.run(main())
    assert call.log == ["cancelled", "main has ended", "the call returns"]


def test_the_limit_of_the_wait_for_a_thread_is_300_s_from_3_12() -> None:
    limit = vars(constants).get("THREAD_JOIN_TIMEOUT")
    assert limit == (300 if sys.version_info >= (3, 12) else None)


SHORT_LIMIT = """
import asyncio, sys
from asyncio import constants

def work():
    print("call began", flush=True)
    sys.stdin.readline()
    print("call ended", flush=True)

async def main():
    task = asyncio.create_task(asyncio.to_thread(work))
    await asyncio.sleep(0)
    task.cancel()

constants.THREAD_JOIN_TIMEOUT = 0.05
asyncio.run(main())
print("run has returned", flush=True)
"""


def test_run_stops_waiting_at_the_limit_from_3_12_3_and_python_does_not() -> (
    None
):
    limited = sys.version_info >= (3, 12, 3)
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SHORT_LIMIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline()]
        if limited:
            lines.append(process.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        process.stdin.close()
        lines += process.stdout.readlines()
        warned = process.stderr.read()
    began, ended, left = "call began\n", "call ended\n", "run has returned\n"
    assert lines == [began, *([left, ended] if limited else [ended, left])]
    message = "The executor did not finishing joining its threads"
    assert (message in warned) is limited
    assert process.returncode == 0


def test_a_timeout_around_a_thread_is_raised_while_the_thread_goes_on() -> (
    None
):
    call = BlockingCall()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.to_thread(call.block)
        call.log.append("TimeoutError")
        await call.main_that_leaves_it()

    asyncio.run(main())
    assert call.log == ["TimeoutError", "main has ended", "the call returns"]


def test_a_timeout_around_a_call_that_blocks_the_loop_never_fires() -> None:
    async def main() -> str:
        async with asyncio.timeout(0.01):
            await blocking_call.async_method_blocked(0.05)
            return "no timeout"

    assert asyncio.run(main()) == "no timeout"


def test_ctrl_c_ends_the_await_and_run_waits_for_the_thread() -> None:
    call = BlockingCall()

    async def main() -> None:
        await call.main_that_leaves_it()
        task = await call.start()
        asyncio.get_running_loop().call_soon(
            signal.raise_signal, signal.SIGINT
        )
        await task

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert call.log == ["main has ended", "the call returns"]


def test_requests_to_a_handler_that_blocks_wait_for_one_another() -> None:
    log = []

    async def handle(request: str) -> None:
        log.append(f"{request} starts")
        await blocking_call.async_method_blocked(0.01)
        log.append(f"{request} ends")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(handle("a"))
            group.create_task(handle("b"))

    asyncio.run(main())
    assert log == ["a starts", "a ends", "b starts", "b ends"]


def test_the_thread_pool_of_anyio_has_40_threads_by_default() -> None:
    anyio = pytest.importorskip("anyio", reason="what the pitfall is about")

    async def main() -> float:
        limiter = anyio.to_thread.current_default_thread_limiter()
        return float(limiter.total_tokens)

    assert asyncio.run(main()) == 40


def test_the_call_can_be_given_to_a_pool_of_your_own() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1) as pool:
            return await loop.run_in_executor(pool, int, "5")

    assert asyncio.run(main()) == 5
