"""What the recipe says of CPU-bound work in a loop, shown to be so."""

import asyncio
import multiprocessing
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from cookbook.coroutines import cpu_bound
from cookbook.coroutines.cpu_bound import (
    broken_count,
    count_in_processes,
    turns_during,
)
from cookbook.primes import count_primes

METHODS = [m for m in multiprocessing.get_all_start_methods() if m != "fork"]


def test_another_task_gets_turns_while_processes_compute() -> None:
    assert asyncio.run(turns_during(count_in_processes)).endswith("some turns")


def test_no_other_task_gets_a_turn_while_the_coroutine_computes() -> None:
    assert asyncio.run(turns_during(broken_count)).endswith("no turns")


@pytest.mark.parametrize("count", [count_in_processes, broken_count])
def test_the_count_is_right_and_an_empty_range_holds_no_primes(
    count: Callable[[int], Awaitable[int]],
) -> None:
    async def main() -> tuple[int, int]:
        return await count(100), await count(0)

    assert asyncio.run(main()) == (25, 0)


@pytest.mark.parametrize("method", METHODS)
def test_each_safe_start_method_counts_and_leaves_no_process(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    assert asyncio.run(count_in_processes(100, context=context)) == 25
    assert multiprocessing.active_children() == []


def test_the_start_method_is_spawn_unless_you_say_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    get_context = multiprocessing.get_context

    def noted(method: str) -> multiprocessing.context.BaseContext:
        asked.append(method)
        return get_context(method)

    monkeypatch.setattr(multiprocessing, "get_context", noted)
    assert asyncio.run(count_in_processes(0)) == 0
    assert asked == ["spawn"]


def test_the_error_of_a_job_is_raised_when_all_workers_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu_bound, "count_primes", os.rmdir)

    async def main() -> None:
        with pytest.raises(TypeError):
            await count_in_processes(10)
        assert multiprocessing.active_children() == []

    asyncio.run(main())


def test_a_cancellation_waits_for_the_workers_and_goes_on() -> None:
    async def main() -> None:
        task = asyncio.create_task(count_in_processes(1000))
        while not multiprocessing.active_children():  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()  # the loop goes on meanwhile
        with pytest.raises(asyncio.CancelledError):
            await task
        assert multiprocessing.active_children() == []

    asyncio.run(main())


def test_nothing_stops_a_call_that_a_worker_has_begun(tmp_path: Path) -> None:
    async def main() -> None:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(1, mp_context=context)
        try:
            call = pool.submit(os.mkdir, tmp_path / "made")
            future = asyncio.wrap_future(call)
            while not call.running():  # noqa: ASYNC110
                await asyncio.sleep(0)
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
        finally:
            await asyncio.to_thread(pool.shutdown)
        assert not call.cancelled()

    asyncio.run(main())
    assert (tmp_path / "made").is_dir()


def test_when_a_worker_is_killed_broken_process_pool_is_raised() -> None:
    async def main() -> None:
        task = asyncio.create_task(count_in_processes(1000))
        while len(multiprocessing.active_children()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        for worker in multiprocessing.active_children():
            worker.kill()
        with pytest.raises(BrokenProcessPool):
            await task

    asyncio.run(main())


def test_a_queue_of_processes_is_read_in_a_thread() -> None:
    async def main() -> int:
        queue = multiprocessing.get_context("spawn").Queue()
        queue.put(7)
        try:
            return await asyncio.to_thread(queue.get)
        finally:
            queue.close()
            queue.join_thread()

    assert asyncio.run(main()) == 7


@pytest.mark.parametrize(
    ("stop", "workers", "message"),
    [(-1, 2, "stop -1 is below"), (9, 0, "must be at least 1, not 0")],
)
def test_a_number_out_of_range_is_refused_before_a_process_starts(
    stop: int, workers: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        asyncio.run(count_in_processes(stop, workers=workers))
    with pytest.raises(TypeError, match="must be an int, not 'x'"):
        asyncio.run(count_in_processes("x"))  # type: ignore[arg-type]


def test_the_trap_does_the_work_all_the_same() -> None:
    assert asyncio.run(broken_count(1000)) == count_primes(0, 1000) == 168
