"""What the recipe says of tasks that wait for themselves, shown to be so."""

import asyncio
import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path

import pytest

from cookbook.deadlocks import async_deadlock
from cookbook.deadlocks.async_deadlock import (
    BrokenCache,
    Cache,
    broken_load,
    broken_work_off,
    load,
    work_off,
)

ROOT = Path(async_deadlock.__file__).parents[2]


async def never_ends(waiting: Awaitable[object]) -> bool:
    """Tell whether *waiting* is still waiting when all others are done."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return True


def test_a_task_that_takes_an_asyncio_lock_again_waits_for_itself() -> None:
    async def main() -> None:
        lock = asyncio.Lock()
        async with lock:
            assert await never_ends(lock.acquire())

    asyncio.run(main())


def test_broken_cache_waits_for_its_own_lock_with_no_other_task() -> None:
    async def main() -> None:
        cache = BrokenCache(load)
        assert await cache.get("a") == "text of a"
        assert await never_ends(cache.get_all(["a"]))
        async with asyncio.timeout(10):  # the timeout has freed the lock
            assert await cache.get("a") == "text of a"

    asyncio.run(main())


def test_the_cache_gets_one_text_and_all_texts_and_loads_each_once() -> None:
    loaded = []

    async def slow(key: str) -> str:
        loaded.append(key)
        return await load(key)

    async def main() -> None:
        cache = Cache(slow)
        one, all_of_them, again = await asyncio.gather(
            cache.get("a"), cache.get_all(["b", "a", "b"]), cache.get("a")
        )
        assert one == again == "text of a"
        assert all_of_them == ["text of b", "text of a", "text of b"]

    asyncio.run(main())
    assert loaded == ["a", "b"]


def test_no_other_call_comes_in_between_the_keys_of_one_call() -> None:
    loaded = []

    async def slow(key: str) -> str:
        loaded.append(key)
        return await load(key)

    async def main() -> None:
        cache = Cache(slow)
        await asyncio.gather(cache.get_all("ab"), cache.get_all("cd"))
        await asyncio.gather(cache.get("e"), cache.get("f"))

    asyncio.run(main())
    assert loaded == list("abcdef")


def test_an_error_of_load_goes_to_the_caller_and_leaves_the_lock_free() -> (
    None
):
    errors = [OSError("no answer")]

    async def fail_once(key: str) -> str:
        if errors:
            raise errors.pop()
        return await load(key)

    async def main() -> None:
        cache = Cache(fail_once)
        with pytest.raises(OSError, match="no answer"):
            await cache.get_all("ab")
        async with asyncio.timeout(10):
            assert await cache.get("a") == "text of a"

    asyncio.run(main())


@pytest.mark.parametrize("method", ["get", "get_all"])
def test_a_timeout_or_a_cancellation_leaves_the_lock_of_the_cache_free(
    method: str,
) -> None:
    may_load = asyncio.Event()

    async def blocked(key: str) -> str:
        await may_load.wait()
        return await load(key)

    async def main() -> None:
        cache = Cache(blocked)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await getattr(cache, method)("a")
        holder = asyncio.create_task(cache.get("a"))
        waiter = asyncio.create_task(cache.get("a"))
        await asyncio.sleep(0)
        waiter.cancel()
        holder.cancel()
        await asyncio.wait([holder, waiter])
        may_load.set()
        async with asyncio.timeout(10):
            assert await cache.get("a") == "text of a"

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_items_are_handled_once_and_the_workers_end(workers: int) -> None:
    handled = []

    async def handle(item: str) -> None:
        await asyncio.sleep(0)
        handled.append(item)

    async def main() -> None:
        await work_off("abc", handle, workers=workers)
        await work_off("", handle, workers=workers)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert sorted(handled) == ["a", "b", "c"]


def test_by_default_two_items_are_handled_at_once_and_not_three() -> None:
    running = most = 0

    async def handle(_: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1

    asyncio.run(work_off("abcdef", handle))
    assert most == 2


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused_by_value(workers: int) -> None:
    async def handle(_: str) -> None:
        pytest.fail("an item was handled")

    message = rf"^workers must be at least 1, not {workers}$"
    with pytest.raises(ValueError, match=message):
        asyncio.run(work_off("a", handle, workers=workers))


def test_an_error_of_handle_ends_work_off_and_cancels_the_other_workers() -> (
    None
):
    error = ValueError("no")
    handled = []

    async def handle(item: str) -> None:
        if item == "b":
            raise error
        await asyncio.sleep(60)
        handled.append(item)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await work_off("abc", handle)
        assert caught.value.exceptions == (error,)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert handled == []


def test_a_timeout_around_work_off_leaves_no_worker() -> None:
    async def handle(_: str) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        assert await never_ends(work_off("abc", handle))

    asyncio.run(main())


def test_join_waits_for_ever_when_a_handler_raised_before_task_done() -> None:
    async def refuse(item: str) -> None:
        raise ValueError(item)

    async def accept(_: str) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with asyncio.timeout(10):
            await broken_work_off("abc", accept)
        assert await never_ends(broken_work_off("a", refuse))

    asyncio.run(main())


def test_one_task_done_too_many_is_a_value_error() -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        queue.put_nowait(1)
        queue.task_done()
        message = r"^task_done\(\) called too many times$"
        with pytest.raises(ValueError, match=message):
            queue.task_done()

    asyncio.run(main())


def test_result_in_the_thread_of_the_loop_stops_what_it_waits_for() -> None:
    ran: list[str] = []

    async def note() -> None:
        ran.append("ran")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        waiting = asyncio.run_coroutine_threadsafe(note(), loop)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.05)
        assert ran == []
        await asyncio.wrap_future(waiting)
        assert ran == ["ran"]

    asyncio.run(main())


def test_a_timeout_of_asyncio_cannot_end_a_result_that_stops_the_loop() -> (
    None
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await broken_load("a", 0.1)
        assert loop.time() - started >= 0.1
        await asyncio.sleep(0)

    asyncio.run(main())


def test_result_in_another_thread_is_right() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()

        def ask() -> str:
            waiting = asyncio.run_coroutine_threadsafe(load("a"), loop)
            return waiting.result(timeout=10)

        return await asyncio.to_thread(ask)

    assert asyncio.run(main()) == "text of a"


def test_a_threading_lock_held_over_an_await_stops_the_loop() -> None:
    lock = threading.Lock()
    log = []

    async def hold() -> None:
        with lock:
            await asyncio.sleep(0)
            log.append("holder goes on")

    async def want() -> None:
        got_it = lock.acquire(timeout=0.05)  # without it, for ever
        log.append(f"got it: {got_it}")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(hold())
            group.create_task(want())

    asyncio.run(main())
    assert log == ["got it: False", "holder goes on"]


def test_code_between_two_awaits_is_not_interrupted_and_an_await_is() -> None:
    async def count(*, awaiting: bool) -> int:
        value = 0

        async def add_one() -> None:
            nonlocal value
            old = value
            if awaiting:
                await asyncio.sleep(0)
            value = old + 1

        await asyncio.gather(add_one(), add_one())
        return value

    assert asyncio.run(count(awaiting=False)) == 2
    assert asyncio.run(count(awaiting=True)) == 1


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Condition"])
def test_with_in_place_of_async_with_is_a_type_error_that_says_so_since_3_14(
    kind: str,
) -> None:
    async def main() -> None:
        with getattr(asyncio, kind)():
            pass

    message = f"'{kind}' object does not support the context manager protocol"
    if sys.version_info >= (3, 14):
        message = (
            f"'asyncio.locks.{kind}' object does not support the context "
            "manager protocol (missed __exit__ method) but it supports the "
            "asynchronous context manager protocol. "
            "Did you mean to use 'async with'?"
        )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        asyncio.run(main())


HANGING = """
import asyncio
from cookbook.deadlocks.async_deadlock import *

async def main():
    waiting = asyncio.create_task(BrokenCache(load).get_all("a"))
    await asyncio.sleep(0.01)
    print("waits", flush=True)
    async with asyncio.timeout(60):
        await waiting

asyncio.run(main())
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="from 3.14")
def test_pstree_shows_the_line_that_awaits_the_lock_of_its_own_task() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGING],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as hanging:
        try:
            assert hanging.stdout is not None
            assert hanging.stdout.readline() == "waits\n"
            shown = subprocess.run(
                [sys.executable, "-m", "asyncio", "pstree", str(hanging.pid)],
                capture_output=True,
                check=False,
                text=True,
                timeout=60,
            )
        finally:
            hanging.kill()
    if "ermission" in shown.stderr or os.name == "nt":
        pytest.skip("this user may not trace a process")
    for function, call in (
        (BrokenCache.get_all, "self.get("),
        (Cache.get, "async with self._lock"),
    ):
        lines, first = inspect.getsourcelines(function)
        where = first + [call in line for line in lines].index(True)
        name = function.__name__
        assert re.search(
            rf"{name} .*async_deadlock\.py:{where}$",
            shown.stdout,
            re.MULTILINE,
        )
    assert "Lock.acquire" in shown.stdout
