"""What the recipe says of timeouts, shown to be so."""

import asyncio
import contextvars
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cookbook.coroutines.timeouts import (
    answer_or,
    answers_by,
    broken_answer_or,
    yes,
)
from cookbook.testing.without_sleeping import run_in_virtual_time


def block() -> None:
    time.sleep(0.01)


def now() -> float:
    return asyncio.get_running_loop().time()


class Slow:
    """A job that takes ten seconds, and one more to clean up."""

    def __init__(self, *, swallows: bool = False) -> None:
        self.log: list[str] = []
        self.swallows = swallows

    async def __call__(self) -> str:
        """Wait; clean up."""
        self.log.append("starts")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            self.log.append("is cancelled")
            await asyncio.sleep(1)
            self.log.append("has cleaned up")
            if not self.swallows:
                raise
        return "late"


async def with_block(job: Callable[[], Awaitable[str]]) -> str:
    async with asyncio.timeout(5):
        return await job()


async def with_wait_for(job: Callable[[], Any]) -> str:
    return await asyncio.wait_for(job(), 5)


both = pytest.mark.parametrize("limited", [with_block, with_wait_for])
CLEAN = ["starts", "is cancelled", "has cleaned up"]


@both
def test_both_cancel_the_job_wait_for_its_cleanup_and_raise(
    limited: Callable[[Slow], Awaitable[str]],
) -> None:
    async def main() -> None:
        job = Slow()
        with pytest.raises(TimeoutError) as caught:
            await limited(job)
        assert job.log == CLEAN
        assert now() == pytest.approx(6)
        assert not str(caught.value)

    run_in_virtual_time(main())


@both
def test_a_job_that_swallows_the_cancellation_meets_no_timeout(
    limited: Callable[[Slow], Awaitable[str]],
) -> None:
    async def main() -> None:
        assert await limited(Slow(swallows=True)) == "late"

    run_in_virtual_time(main())


def test_the_answer_comes_back_and_the_default_when_it_is_late() -> None:
    async def main() -> None:
        assert await answer_or(None, yes, seconds=5) == "yes"
        assert await answer_or(None, Slow(), seconds=10.5) == "late"
        job = Slow()
        assert await answer_or(None, job, seconds=5) is None
        assert job.log == CLEAN
        assert now() == pytest.approx(16)

    run_in_virtual_time(main())


def test_an_error_inside_the_block_is_a_cancellation_not_a_timeout() -> None:
    async def main() -> None:
        job = Slow()
        with pytest.raises(TimeoutError):
            await broken_answer_or("default", job, seconds=5)
        assert job.log == CLEAN

    run_in_virtual_time(main())


def test_a_timeout_error_of_the_job_goes_to_the_caller() -> None:
    async def fail() -> str:
        raise TimeoutError("connection timed out")

    async def main() -> None:
        with pytest.raises(TimeoutError, match="connection timed out"):
            await answer_or(None, fail, seconds=5)
        with pytest.raises(TimeoutError, match="connection timed out"):
            await answers_by(60, fail, seconds=5)

    run_in_virtual_time(main())


def test_an_error_of_the_job_goes_to_the_caller() -> None:
    async def fail() -> str:
        raise OSError("no route")

    async def main() -> None:
        with pytest.raises(OSError, match="no route"):
            await answer_or(None, fail, seconds=5)

    run_in_virtual_time(main())


def test_all_calls_share_one_deadline_and_keep_the_answers_so_far() -> None:
    async def main() -> None:
        slow = [Slow() for _ in range(3)]
        jobs: list[Callable[[], Awaitable[str]]]
        jobs = [yes, slow[0], yes, slow[1], slow[2]]
        got = await answers_by(now() + 9, *jobs, seconds=5)
        assert got == ["yes", None, "yes"]
        assert now() == pytest.approx(10)
        assert [job.log for job in slow] == [CLEAN, CLEAN, []]

    run_in_virtual_time(main())


def test_a_second_timeout_that_runs_out_cancels_the_cleanup_too() -> None:
    async def main() -> None:
        job = Slow()
        assert await answers_by(now() + 5.5, job, seconds=5) == []
        assert job.log == CLEAN[:2]
        assert now() == pytest.approx(5.5)

    run_in_virtual_time(main())


def test_of_two_timeouts_in_one_moment_the_outer_one_counts() -> None:
    async def main() -> None:
        assert await answers_by(now() + 5, Slow(), yes, seconds=5) == []

    run_in_virtual_time(main())


def test_a_timeout_can_be_moved_while_it_runs() -> None:
    async def main() -> None:
        async with asyncio.timeout(5) as limit:
            limit.reschedule(now() + 60)
            await asyncio.sleep(10)
        assert not limit.expired()

    run_in_virtual_time(main())


def test_a_cancellation_goes_on_even_if_the_time_is_over_too() -> None:
    async def main(seconds: float) -> None:
        job = Slow()
        task = asyncio.create_task(answer_or(None, job, seconds=seconds))
        await asyncio.sleep(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert job.log == CLEAN

    run_in_virtual_time(main(60))
    run_in_virtual_time(main(5))


def test_ctrl_c_cancels_the_job_and_is_raised_when_it_has_cleaned_up() -> None:
    log = []

    async def job() -> None:
        asyncio.get_running_loop().call_soon(
            signal.raise_signal, signal.SIGINT
        )
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("has cleaned up")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(answer_or(None, job, seconds=60))
    assert log == ["has cleaned up"]


def test_a_block_that_only_blocks_meets_no_timeout() -> None:
    async def main() -> None:
        async with asyncio.timeout(0.001) as limit:
            block()
            assert await yes() == "yes"
        assert not limit.expired()

    asyncio.run(main())


def test_a_block_that_blocks_meets_it_at_its_next_await() -> None:
    async def main() -> None:
        async def job() -> None:
            block()
            await asyncio.sleep(10)

        assert await answer_or("late", job, seconds=0.001) == "late"

    asyncio.run(main())


def test_a_thread_keeps_running_after_the_timeout() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(timeout=10)
        ended.set()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.to_thread(work)
        assert not ended.is_set()
        go_on.set()

    asyncio.run(main())
    assert ended.is_set()


def test_asyncio_wait_with_a_timeout_cancels_and_raises_nothing() -> None:
    async def main() -> None:
        task = asyncio.create_task(Slow()())
        done, pending = await asyncio.wait([task], timeout=5)
        assert not done
        assert pending == {task}
        assert await task == "late"

    run_in_virtual_time(main())


def test_wait_for_runs_it_in_a_task_of_its_own_in_3_11_only() -> None:
    name = contextvars.ContextVar("name", default="unset")

    async def job() -> asyncio.Task[Any] | None:
        name.set("set")
        return asyncio.current_task()

    async def main() -> None:
        same = await asyncio.wait_for(job(), 5) is asyncio.current_task()
        assert same is (sys.version_info >= (3, 12))
        assert (name.get() == "set") is same

    run_in_virtual_time(main())


def test_with_0_seconds_wait_for_does_not_start_what_timeout_starts() -> None:
    async def main() -> None:
        job = Slow()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(job(), 0)
        assert job.log == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await job()
        assert job.log == CLEAN
        async with asyncio.timeout(0):
            assert await yes() == "yes"

    run_in_virtual_time(main())


def test_a_timeout_around_a_yield_cancels_the_caller() -> None:
    async def items() -> AsyncIterator[int]:
        async with asyncio.timeout(5):
            yield 1

    async def main() -> None:
        iterator = items()
        await anext(iterator)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(10)
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)

    run_in_virtual_time(main())


def test_the_error_is_the_builtin_one_since_3_11() -> None:
    assert asyncio.TimeoutError is TimeoutError


def test_outside_a_task_a_timeout_is_refused() -> None:
    async def main() -> None:
        refused: list[str] = []

        def callback() -> None:
            coroutine = asyncio.timeout(1).__aenter__()
            try:
                coroutine.send(None)
            except RuntimeError as error:
                refused.append(str(error))

        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0)
        assert refused == ["Timeout should be used inside a task"]

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_is_not_above_0_is_refused_by_value(
    seconds: float,
) -> None:
    async def main() -> None:
        job = Slow()
        with pytest.raises(ValueError, match=f"above 0, not {seconds}"):
            await answer_or(None, job, seconds=seconds)
        with pytest.raises(ValueError, match=f"above 0, not {seconds}"):
            await answers_by(60, job, seconds=seconds)
        assert job.log == []

    run_in_virtual_time(main())
