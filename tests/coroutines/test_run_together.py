"""What the recipe says of running coroutines together, shown to be so."""

import asyncio
import functools
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from cookbook.coroutines.run_together import (
    broken_run_together,
    meet,
    most_in_flight,
    run_together,
)

RUNS = [run_together, broken_run_together]
Job = Callable[[], Coroutine[Any, Any, Any]]
Run = Callable[..., Awaitable[list[Any]]]


class Waiting:
    """Jobs that wait until they are cancelled, and take time to clean up."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.started = asyncio.Semaphore(0)

    async def job(self) -> None:
        """Wait until it is cancelled."""
        self.log.append("starts")
        self.started.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("is cancelled")
            await asyncio.sleep(0.001)
            self.log.append("has cleaned up")
            raise

    def assert_ended(self, jobs: int) -> None:
        """Assert that so many jobs were cancelled and ran to their end."""
        assert sorted(self.log) == sorted(
            jobs * ["starts", "is cancelled", "has cleaned up"]
        )


async def fail() -> None:
    raise OSError("no answer")


def test_jobs_that_wait_for_one_another_pass_when_they_run_together() -> None:
    asyncio.run(meet(run_together))


def test_jobs_that_wait_for_one_another_hang_one_after_another() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(meet(broken_run_together), 0.05))


def test_three_jobs_run_together_are_all_in_flight_at_once() -> None:
    assert asyncio.run(most_in_flight(run_together)) == 3


def test_of_jobs_awaited_one_after_another_one_is_in_flight() -> None:
    assert asyncio.run(most_in_flight(broken_run_together)) == 1


def test_two_awaits_in_a_row_never_overlap() -> None:
    async def two_awaits(first: Job, second: Job, _: Job) -> list[Any]:
        return [await first(), await second()]

    assert asyncio.run(most_in_flight(two_awaits)) == 1


def test_a_task_awaited_as_soon_as_it_is_created_overlaps_nothing() -> None:
    async def one_task_at_a_time(*jobs: Job) -> list[Any]:
        return [await asyncio.create_task(job()) for job in jobs]

    assert asyncio.run(most_in_flight(one_task_at_a_time)) == 1


@pytest.mark.parametrize("run", RUNS)
def test_results_come_in_the_order_of_the_jobs_whichever_ends_first(
    run: Run,
) -> None:
    ended = []

    async def job(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(turns)
        return turns

    jobs = [functools.partial(job, turns) for turns in (5, 1, 3)]
    assert asyncio.run(run(*jobs)) == [5, 1, 3]  # type: ignore[arg-type]
    assert ended == ([1, 3, 5] if run is run_together else [5, 1, 3])


def test_no_jobs_give_no_results() -> None:
    assert asyncio.run(run_together()) == []


def test_every_job_starts_at_once_even_a_thousand() -> None:
    started = 0

    async def job() -> int:
        nonlocal started
        started += 1
        await asyncio.sleep(0)
        return started

    assert asyncio.run(run_together(*[job] * 1000)) == [1000] * 1000


def test_when_a_job_raises_the_others_are_cancelled_and_awaited() -> None:
    waiting = Waiting()
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run_together(waiting.job, fail, waiting.job))
    message = "unhandled errors in a TaskGroup (1 sub-exception)"
    assert str(caught.value) == message
    [error] = caught.value.exceptions
    assert repr(error) == "OSError('no answer')"
    waiting.assert_ended(2)


def test_every_error_is_in_the_group_and_except_star_catches_it() -> None:
    async def fail_otherwise() -> None:
        raise KeyError("other")

    caught: list[BaseException] = []
    try:
        asyncio.run(run_together(fail, fail_otherwise))
    except* OSError as group:
        caught += group.exceptions
    except* KeyError as group:
        caught += group.exceptions
    assert [type(error) for error in caught] == [OSError, KeyError]


def test_gather_raises_at_once_and_leaves_the_other_tasks_running() -> None:
    waiting = Waiting()

    async def main() -> None:
        other = asyncio.create_task(waiting.job())
        with pytest.raises(OSError, match="no answer"):
            await asyncio.gather(other, fail())
        assert not other.done()
        assert waiting.log == ["starts"]
        other.cancel()
        await asyncio.wait([other])

    asyncio.run(main())


def test_gather_with_return_exceptions_returns_results_and_errors() -> None:
    async def main() -> tuple[object, object]:
        return await asyncio.gather(
            fail(), asyncio.sleep(0, "result"), return_exceptions=True
        )

    error, result = asyncio.run(main())
    assert repr(error) == "OSError('no answer')"
    assert result == "result"


def test_a_timeout_cancels_all_jobs_and_waits_until_they_have_ended() -> None:
    waiting = Waiting()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await run_together(waiting.job, waiting.job)
        waiting.assert_ended(2)

    asyncio.run(main())


def test_a_cancellation_cancels_all_jobs_and_waits_until_they_have_ended() -> (
    None
):
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.create_task(run_together(waiting.job, waiting.job))
        await waiting.started.acquire()
        await waiting.started.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waiting.assert_ended(2)

    asyncio.run(main())


def test_ctrl_c_cancels_all_jobs_and_is_raised_when_they_have_ended() -> None:
    waiting = Waiting()

    async def press_ctrl_c() -> None:
        await waiting.started.acquire()
        await waiting.started.acquire()
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run_together(waiting.job, waiting.job, press_ctrl_c))
    waiting.assert_ended(2)


def test_a_job_that_cannot_be_called_is_refused_before_any_starts() -> None:
    started = []

    async def job() -> None:
        started.append(1)

    with pytest.raises(TypeError, match="must be a function, not 5"):
        asyncio.run(run_together(job, 5))  # type: ignore[arg-type]
    assert not started


def test_a_job_that_is_no_coroutine_function_lets_no_other_start() -> None:
    started = []

    async def job() -> None:
        started.append(1)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run_together(job, lambda: 5))  # type: ignore[arg-type, return-value]
    [error] = caught.value.exceptions
    assert isinstance(error, TypeError)
    assert not started


def test_a_job_that_raises_cancelled_error_itself_lets_the_others_end() -> (
    None
):
    ended = []

    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    async def other() -> None:
        await asyncio.sleep(0)
        ended.append("other")

    async def main() -> int:
        with pytest.raises(asyncio.CancelledError):
            await run_together(cancels_itself, other)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert ended == ["other"]
