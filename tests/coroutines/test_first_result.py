"""What the recipe says of the first of several results, shown to be so."""

import asyncio
import functools
import math
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cookbook.coroutines import first_result as recipe
from cookbook.coroutines.first_result import broken_first_result, first_result
from cookbook.testing.without_sleeping import run_in_virtual_time

Job = Callable[[], Coroutine[Any, Any, Any]]


class Jobs:
    """Jobs that take virtual time, and a log of what became of them."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def after(self, seconds: float, result: object) -> Job:
        """Return a job that gives or raises *result* after *seconds*."""

        async def job() -> object:
            self.log.append(f"{result} starts")
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                self.log.append(f"{result} is cancelled")
                raise
            if isinstance(result, BaseException):
                raise result
            return result

        return job


async def timed(main: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Return the result of *main*, and how many seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    result = await main
    return result, loop.time() - start


def test_the_first_result_is_returned_when_the_others_have_ended() -> None:
    jobs = Jobs()
    result, seconds = run_in_virtual_time(
        timed(first_result(jobs.after(9, "slow"), jobs.after(1, "quick")))
    )
    assert result == "quick"
    assert seconds == pytest.approx(1)
    assert jobs.log == ["slow starts", "quick starts", "slow is cancelled"]


def test_a_failure_is_passed_over_while_others_run() -> None:
    jobs = Jobs()
    result = run_in_virtual_time(
        first_result(
            jobs.after(1, OSError("down")),
            jobs.after(5, "answer"),
            jobs.after(2, OSError("down too")),
        )
    )
    assert result == "answer"


def test_when_all_fail_their_errors_are_raised_in_a_group() -> None:
    jobs = Jobs()
    with pytest.raises(ExceptionGroup, match="every job failed") as caught:
        run_in_virtual_time(
            first_result(
                jobs.after(2, OSError("b")), jobs.after(1, OSError("a"))
            )
        )
    assert [str(error) for error in caught.value.exceptions] == ["a", "b"]


def test_the_next_job_is_started_after_the_delay_and_not_before() -> None:
    jobs = Jobs()
    hedged = first_result(
        jobs.after(9, "slow"), jobs.after(1, "hedge"), delay=3
    )
    result, seconds = run_in_virtual_time(timed(hedged))
    assert result == "hedge"
    assert seconds == pytest.approx(4)


def test_if_the_first_answers_within_the_delay_no_other_is_started() -> None:
    jobs = Jobs()
    hedged = first_result(
        jobs.after(2, "first"), jobs.after(0, "hedge"), delay=3
    )
    assert run_in_virtual_time(hedged) == "first"
    assert jobs.log == ["first starts"]


def test_a_failure_starts_the_next_job_at_once() -> None:
    jobs = Jobs()
    hedged = first_result(
        jobs.after(1, OSError("down")), jobs.after(1, "hedge"), delay=30
    )
    result, seconds = run_in_virtual_time(timed(hedged))
    assert result == "hedge"
    assert seconds == pytest.approx(2)


def test_of_two_results_at_once_the_first_in_order_is_returned() -> None:
    jobs = Jobs()
    both = [jobs.after(1, name) for name in ("a", "b")]
    assert run_in_virtual_time(first_result(*both)) == "a"


def test_an_error_that_comes_with_the_result_is_not_reported() -> None:
    errors: list[Any] = []

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: errors.append(what))
        jobs = Jobs()
        return str(
            await first_result(
                jobs.after(1, "a"), jobs.after(1, OSError("at once"))
            )
        )

    assert run_in_virtual_time(main()) == "a"
    assert not errors


def test_what_a_cancelled_job_raises_in_cleaning_up_is_lost() -> None:
    errors: list[Any] = []

    async def fail_when_cancelled() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise OSError("in cleaning up")

    async def main() -> object:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: errors.append(what))
        return await first_result(fail_when_cancelled, Jobs().after(1, "a"))

    assert run_in_virtual_time(main()) == "a"
    assert not errors


def test_a_job_that_raises_cancelled_error_itself_ends_the_call() -> None:
    jobs = Jobs()
    cancelled = jobs.after(1, asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        run_in_virtual_time(first_result(jobs.after(9, "a"), cancelled))
    assert jobs.log == ["a starts", " starts", "a is cancelled"]


def test_a_timeout_cancels_all_jobs_and_is_raised() -> None:
    jobs = Jobs()

    async def main() -> None:
        async with asyncio.timeout(1):
            await first_result(jobs.after(9, "a"), jobs.after(9, "b"))

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
    assert jobs.log[2:] == ["a is cancelled", "b is cancelled"]


def test_a_cancellation_goes_on_when_all_jobs_have_ended() -> None:
    jobs = Jobs()

    async def main() -> None:
        task = asyncio.create_task(
            first_result(jobs.after(9, "a"), jobs.after(9, "b"))
        )
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert jobs.log[2:] == ["a is cancelled", "b is cancelled"]

    run_in_virtual_time(main())


def test_ctrl_c_ends_all_jobs_and_is_raised() -> None:
    jobs = Jobs()

    async def press() -> None:
        await asyncio.sleep(0)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(first_result(jobs.after(3600, "a"), press))
    assert jobs.log == ["a starts", "a is cancelled"]


def test_the_trap_raises_a_failure_and_leaves_the_others_running(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "no answer: mirror a is down",
        "still running: 2",
    ]


def test_with_the_same_mirrors_the_right_way_gets_the_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe.main()
    assert capsys.readouterr().out.splitlines() == [
        "answer: mirror b",
        "still running: 0",
    ]


@pytest.mark.parametrize("ended_by", ["timeout", "cancellation"])
def test_wait_cancels_nothing_that_still_runs(ended_by: str) -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(100))
        if ended_by == "timeout":
            done, pending = await asyncio.wait([task], timeout=1)
            assert (done, pending) == (set(), {task})
        else:
            waiting = asyncio.create_task(asyncio.wait([task]))
            await asyncio.sleep(1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert not task.cancelling()
        await task

    run_in_virtual_time(main())


def test_wait_raises_no_error_of_a_task() -> None:
    async def main() -> None:
        job = Jobs().after(1, OSError("down"))
        task = asyncio.create_task(job())
        await asyncio.wait([task])
        with pytest.raises(OSError, match="down"):
            await task

    run_in_virtual_time(main())


def test_wait_takes_no_coroutines_and_no_empty_set() -> None:
    async def main() -> None:
        coroutine: Any = asyncio.sleep(0)
        message = "Passing coroutines is forbidden, use tasks explicitly."
        with pytest.raises(TypeError) as caught:
            await asyncio.wait([coroutine])
        assert str(caught.value) == message
        coroutine.close()
        with pytest.raises(ValueError, match="is empty"):
            await asyncio.wait([])

    asyncio.run(main())


def test_without_jobs_there_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="at least one job"):
        asyncio.run(first_result())


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf])
def test_a_delay_that_is_negative_or_not_finite_is_refused_by_value(
    delay: float,
) -> None:
    job = functools.partial(asyncio.sleep, 0)
    with pytest.raises(ValueError, match=f"not {delay!r}$"):
        asyncio.run(first_result(job, delay=delay))


def test_what_cannot_be_called_is_refused_before_anything_starts() -> None:
    jobs = Jobs()
    wrong: Any = 5
    with pytest.raises(TypeError, match="a job must be a function, not 5"):
        asyncio.run(first_result(jobs.after(1, "a"), wrong))
    assert not jobs.log


def test_the_first_to_end_is_taken_by_the_trap_if_it_has_a_result() -> None:
    jobs = Jobs()
    quick = jobs.after(1, "quick")
    assert run_in_virtual_time(broken_first_result(quick)) == "quick"
