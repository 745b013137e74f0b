"""What the recipe says of calls in threads, shown to be so."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cookbook.coroutines.to_thread import (
    broken_to_thread,
    cancel_a_call,
    to_stoppable_thread,
    to_thread_of,
)

USER = contextvars.ContextVar("user", default="nobody")
RUNS = [to_stoppable_thread, broken_to_thread]


class Steps:
    """A call that works until it is asked to stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.log: list[str] = []

    def work(self, stop: threading.Event) -> None:
        """Return when the event is set."""
        self.begun.set()
        self.log.append("stops" if stop.wait(timeout=10) else "goes on")

    async def start(self) -> asyncio.Task[None]:
        """Return a task that awaits this call, after the call has begun."""
        task = asyncio.create_task(to_stoppable_thread(self.work))
        await asyncio.to_thread(self.begun.wait, 10)
        return task


@pytest.mark.parametrize(
    ("run", "end"),
    [(to_stoppable_thread, "stops"), (broken_to_thread, "saves its result")],
)
def test_a_cancelled_call_stops_and_the_broken_one_saves_its_result(
    run: Callable[..., Awaitable[None]],
    end: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cancel_a_call(run)
    printed = f"cancelled: True\nthe thread: {end}\n"
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("run", RUNS)
def test_the_await_returns_what_the_call_returns(
    run: Callable[..., Awaitable[Any]],
) -> None:
    def add(stop: threading.Event, *numbers: int) -> int:
        assert not stop.is_set()
        return sum(numbers)

    async def main() -> None:
        assert await run(add, 1, 2) == 3

    asyncio.run(main())


def test_a_timeout_is_raised_on_time_and_asks_the_call_to_stop() -> None:
    steps = Steps()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await to_stoppable_thread(steps.work)

    asyncio.run(main())
    assert steps.log == ["stops"]


def test_a_cancelled_await_asks_the_call_to_stop_and_run_waits_for_it() -> (
    None
):
    steps = Steps()

    async def main() -> None:
        task = await steps.start()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert steps.log == ["stops"]


def test_the_end_of_asyncio_run_asks_the_call_to_stop_and_waits_for_it() -> (
    None
):
    steps = Steps()
    asyncio.run(steps.start())
    assert steps.log == ["stops"]


def test_ctrl_c_asks_the_call_to_stop_and_run_raises_when_it_has() -> None:
    steps = Steps()

    async def main() -> None:
        task = await steps.start()
        asyncio.get_running_loop().call_soon(
            signal.raise_signal, signal.SIGINT
        )
        await task

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert steps.log == ["stops"]


def test_a_cancelled_call_that_waits_for_a_free_thread_is_never_made() -> None:
    steps = Steps()
    made: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        first = asyncio.create_task(to_stoppable_thread(steps.work))
        second = asyncio.create_task(to_stoppable_thread(made.append, 1))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        first.cancel()
        await asyncio.wait([first])

    asyncio.run(main())
    assert made == []


def test_an_exception_of_the_call_is_raised_by_the_await() -> None:
    error = OSError("no answer")

    def fail(_: threading.Event) -> None:
        raise error

    async def main() -> None:
        with pytest.raises(OSError, match=r"no answer") as caught:
            await to_stoppable_thread(fail)
        assert caught.value is error

    asyncio.run(main())


def test_stop_iteration_becomes_a_runtime_error_or_never_comes() -> None:
    async def comes() -> bool:
        loop = asyncio.get_running_loop()
        reported: asyncio.Future[Exception] = loop.create_future()
        loop.set_exception_handler(
            lambda _, what: reported.set_result(what["exception"])
        )
        nothing: Iterator[int] = iter([])
        call = asyncio.create_task(asyncio.to_thread(next, nothing))
        either: list[asyncio.Future[Any]] = [call, reported]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        message = "^StopIteration interacts badly with generators"
        if call.done():
            with pytest.raises(RuntimeError, match=message):
                await call
            return True
        assert isinstance(reported.result(), TypeError)
        call.cancel()
        await asyncio.wait([call])
        return False

    may = {True} if sys.version_info >= (3, 13) else {False}
    if sys.version_info[:2] == (3, 12):
        may = {False, True}
    assert asyncio.run(comes()) in may


def test_what_a_call_raises_after_the_cancellation_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = threading.Event()

    def fail(stop: threading.Event) -> None:
        begun.set()
        stop.wait(timeout=10)
        raise OSError("no answer")

    async def main() -> None:
        task = asyncio.create_task(to_stoppable_thread(fail))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main(), debug=False)
    assert caplog.messages == []


def test_what_cannot_be_called_is_refused_by_value() -> None:
    with pytest.raises(TypeError, match=r"not 'work'$"):
        asyncio.run(to_stoppable_thread("work"))  # type: ignore[arg-type]


def test_a_pool_of_your_own_gets_keywords_and_the_callers_context() -> None:
    def who(*, prefix: str) -> str:
        return f"{prefix} {USER.get()} {threading.current_thread().name}"

    async def main(pool: ThreadPoolExecutor) -> str:
        await to_thread_of(pool, int)  # starts its thread
        USER.set("me")
        return await to_thread_of(pool, who, prefix="for")

    with ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        assert asyncio.run(main(pool)) == "for me mine_0"


def test_run_in_executor_takes_no_keywords_and_does_not_copy_the_context() -> (
    None
):
    async def main(pool: ThreadPoolExecutor) -> str:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(pool, int)  # starts its thread
        USER.set("me")
        with pytest.raises(TypeError, match=r"base"):
            loop.run_in_executor(pool, int, "ff", base=16)  # type: ignore[call-arg]
        assert await asyncio.to_thread(USER.get) == "me"
        return await loop.run_in_executor(pool, USER.get)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(main(pool)) == "nobody"


def test_the_default_pool_has_min_32_and_cpus_plus_4_threads() -> None:
    cpus = getattr(os, "process_cpu_count", os.cpu_count)() or 1

    async def main() -> int:
        await asyncio.to_thread(int)
        pool = vars(asyncio.get_running_loop())["_default_executor"]
        return int(vars(pool)["_max_workers"])

    assert asyncio.run(main()) == min(32, cpus + 4)


def test_the_end_of_a_with_block_of_a_pool_blocks_the_loop() -> None:
    log: list[str] = []
    begun = threading.Event()
    may_return = threading.Event()

    def work() -> None:
        begun.set()
        may_return.wait(timeout=0.02)
        log.append("the call returns")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            loop.run_in_executor(pool, work)
            begun.wait(timeout=10)
            loop.call_soon(log.append, "another task")
            loop.call_soon(may_return.set)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert log[:2] == ["the call returns", "another task"]


AT_EXIT = """
import asyncio, atexit, multiprocessing, threading

def try_to(start):
    try:
        start()
    except RuntimeError as error:
        print(error)
    else:
        print("starts")

@atexit.register
def at_exit():
    queue = multiprocessing.get_context("fork").Queue()
    try_to(threading.Thread(target=int).start)
    try_to(lambda: queue.put("item"))
    queue.close()
    queue.join_thread()  # at the end its thread can die with the lock of all
    try_to(lambda: asyncio.run(asyncio.to_thread(int)))

asyncio.run(asyncio.to_thread(int))
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no fork")
def test_an_atexit_handler_makes_no_call_and_in_3_12_1_starts_no_thread() -> (
    None
):
    process = subprocess.run(
        [sys.executable, "-I", "-c", AT_EXIT],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    refused = "can't create new thread at interpreter shutdown"
    strict = (3, 12) <= sys.version_info < (3, 12, 3)
    first = refused if strict else "starts"
    late = "cannot schedule new futures after interpreter shutdown"
    last = refused if strict else late
    assert process.stdout.splitlines() == [first, first, last]


AFTER_MAIN = """
import asyncio, contextlib, threading

async def call():
    try:
        await asyncio.to_thread(int)
    except RuntimeError as error:
        print(error)

def after_main():
    threading.main_thread().join()
    try:
        threading.Thread(target=int).start()
    except RuntimeError as error:
        print(error)
    else:
        print("starts")
    with contextlib.suppress(RuntimeError):
        asyncio.run(call())

threading.Thread(target=after_main).start()
"""


@pytest.mark.parametrize(
    ("before", "message"),
    [
        (
            "asyncio.run(asyncio.to_thread(int))",
            "cannot schedule new futures after interpreter shutdown",
        ),
        ("", "can't register atexit after shutdown"),
    ],
    ids=["a pool before", "no pool before"],
)
def test_after_the_main_thread_has_ended_no_call_and_no_thread_starts(
    before: str, message: str
) -> None:
    process = subprocess.run(
        [sys.executable, "-I", "-c", f"import asyncio; {before}{AFTER_MAIN}"],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    refused = "can't create new thread at interpreter shutdown"
    strict = (3, 12) <= sys.version_info < (3, 12, 3)
    first = refused if strict else "starts"
    assert process.stdout.splitlines() == [first, message]
