"""What the recipe says of blocking calls, shown to be so."""

import asyncio
import contextvars
import logging
import math
import os
import re
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
USER = contextvars.ContextVar("user", default="nobody")
TWO_CALLERS = """
import asyncio, contextvars
from concurrent.futures import ThreadPoolExecutor

USER = contextvars.ContextVar("user", default="nobody")

async def main():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=1) as pool:
        USER.set("me")
        first = await loop.run_in_executor(pool, USER.get)
        USER.set("you")
        second = await loop.run_in_executor(pool, USER.get)
    print(first, second, await asyncio.to_thread(USER.get))

asyncio.run(main())
"""


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


def test_the_debug_mode_of_asyncio_logs_the_step_that_blocks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> float:
        await blocking_call.async_method_blocked(0.2)
        return asyncio.get_running_loop().slow_callback_duration

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        assert asyncio.run(main(), debug=True) == 0.1
    pattern = r"Executing <Task .*main\(\).*> took \d+\.\d{3} seconds"
    assert any(re.match(pattern, message) for message in caplog.messages)


def test_to_thread_runs_at_most_32_or_cpus_plus_4_calls_at_once() -> None:
    cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    limit = min(32, cpus + 4)
    lock = threading.Lock()
    started = threading.Semaphore(0)
    may_return = threading.Event()
    running = most = 0

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        started.release()
        may_return.wait(timeout=10)
        with lock:
            running -= 1

    def let_return_when_full() -> None:
        for _ in range(limit):
            started.acquire(timeout=10)
        may_return.set()

    async def main() -> None:
        watcher = threading.Thread(target=let_return_when_full)
        watcher.start()
        async with asyncio.TaskGroup() as group:
            for _ in range(limit + 3):
                group.create_task(asyncio.to_thread(call))
        watcher.join()

    asyncio.run(main())
    assert most == limit


def test_to_thread_passes_context_on_and_an_executors_thread_keeps_its() -> (
    None
):
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(max_workers=1) as pool:
            await loop.run_in_executor(pool, USER.get)  # starts its thread
            USER.set("me")
            return [
                await asyncio.to_thread(USER.get),
                await loop.run_in_executor(pool, USER.get),
            ]

    assert asyncio.run(main()) == ["me", "nobody"]


@pytest.mark.parametrize("inherit", [0, 1])
@pytest.mark.skipif(
    sys.version_info < (3, 14), reason="the flag exists from 3.14"
)
def test_an_executors_thread_that_inherits_keeps_its_first_callers_context(
    inherit: int,
) -> None:
    option = f"thread_inherit_context={inherit}"
    process = subprocess.run(
        [sys.executable, "-X", option, "-c", TWO_CALLERS],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    empty, inherited = "nobody nobody you\n", "me me you\n"
    assert process.stdout == (inherited if inherit else empty)


def test_to_thread_passes_keywords_on_and_run_in_executor_refuses_them() -> (
    None
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await asyncio.to_thread(int, "ff", base=16) == 255
        with pytest.raises(TypeError, match="base"):
            loop.run_in_executor(None, int, "ff", base=16)  # type: ignore[call-arg]

    asyncio.run(main())


@pytest.mark.parametrize("debug", [True, False])
def test_only_the_debug_mode_notices_a_thread_that_touches_the_loop(
    *, debug: bool
) -> None:
    called: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon, called.append, 1)
        await asyncio.sleep(0)

    if debug:
        message = "^Non-thread-safe operation invoked on an event loop other"
        with pytest.raises(RuntimeError, match=message):
            asyncio.run(main(), debug=True)
    else:
        asyncio.run(main(), debug=False)
    assert called == ([] if debug else [1])


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
