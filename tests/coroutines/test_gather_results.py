"""What the recipe says of results and errors of many jobs, shown to be so."""

import asyncio
import signal
from typing import Any

import pytest

from cookbook.coroutines import gather_results
from cookbook.coroutines.gather_results import results_and_errors
from cookbook.testing.without_sleeping import run_in_virtual_time


class Waiting:
    """A job that waits until it is cancelled, and takes time to clean up."""

    def __init__(self) -> None:
        self.starts = asyncio.Semaphore(0)
        self.ended = 0

    async def job(self, argument: object) -> None:
        """Wait until it is cancelled."""
        del argument
        self.starts.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended += 1


async def after(seconds: float) -> float:
    """Return *seconds* when they are over; fail if they are negative."""
    if seconds < 0:
        raise ValueError(f"{seconds} seconds")
    await asyncio.sleep(seconds)
    if seconds == 13:
        raise OSError("unlucky")
    return seconds


def test_results_come_in_the_order_of_the_arguments() -> None:
    results, errors = run_in_virtual_time(
        results_and_errors(after, [3, 1, 2], expected=())
    )
    assert results == [(3, 3), (1, 1), (2, 2)]
    assert not errors


def test_all_jobs_run_at_the_same_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await results_and_errors(after, [3, 1, 2], expected=())
        return loop.time() - start

    assert run_in_virtual_time(main()) == pytest.approx(3)


def test_expected_errors_come_with_their_arguments_and_nothing_is_lost() -> (
    None
):
    results, errors = run_in_virtual_time(
        results_and_errors(
            after, [-1, 2, 13, 1], expected=(ValueError, OSError)
        )
    )
    assert results == [(2, 2), (1, 1)]
    assert [(argument, repr(error)) for argument, error in errors] == [
        (-1, "ValueError('-1 seconds')"),
        (13, "OSError('unlucky')"),
    ]


def test_any_other_error_is_raised_when_all_jobs_have_ended() -> None:
    ended = []

    async def job(seconds: float) -> None:
        try:
            await after(seconds)
        finally:
            ended.append(seconds)

    with pytest.raises(ExceptionGroup, match="jobs failed") as caught:
        run_in_virtual_time(
            results_and_errors(job, [-1, 13, 1, -2], expected=OSError)
        )
    assert [str(error) for error in caught.value.exceptions] == [
        "-1 seconds",
        "-2 seconds",
    ]
    assert sorted(ended) == [-2, -1, 1, 13]


def test_a_job_that_is_cancelled_is_no_value() -> None:
    async def job(argument: int) -> None:
        raise asyncio.CancelledError(argument)

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(results_and_errors(job, [5], expected=Exception))
    [error] = caught.value.exceptions
    assert isinstance(error, asyncio.CancelledError)
    assert not isinstance(error, Exception)


def test_without_return_exceptions_the_first_error_is_raised_at_once() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        tasks = [asyncio.create_task(after(n)) for n in (2, -1)]
        with pytest.raises(ValueError, match="-1 seconds"):
            await asyncio.gather(*tasks)
        spent = loop.time() - start
        assert not tasks[0].done()
        await tasks[0]
        return spent

    assert run_in_virtual_time(main()) == pytest.approx(0)


def test_a_timeout_cancels_all_jobs_and_loses_all_results() -> None:
    waiting = Waiting()

    async def job(number: int) -> None:
        if number:
            await waiting.job(number)

    async def main() -> None:
        async with asyncio.timeout(5):
            await results_and_errors(job, [0, 1, 2], expected=())

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
    assert waiting.ended == 2


def test_a_timeout_within_each_job_costs_that_one_alone() -> None:
    async def job(seconds: float) -> float:
        async with asyncio.timeout(5):
            return await after(seconds)

    results, errors = run_in_virtual_time(
        results_and_errors(job, [1, 60, 2], expected=TimeoutError)
    )
    assert [argument for argument, _ in results] == [1, 2]
    assert [argument for argument, _ in errors] == [60]


def test_a_cancellation_goes_on_when_all_jobs_have_ended() -> None:
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.create_task(
            results_and_errors(waiting.job, [1, 2], expected=())
        )
        await waiting.starts.acquire()
        await waiting.starts.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.ended == 2

    asyncio.run(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_are_never_results(
    error: type[BaseException],
) -> None:
    ended = []

    async def job(number: int) -> None:
        try:
            await asyncio.sleep(0)
            if number:
                raise error
            await asyncio.sleep(3600)
        finally:
            ended.append(number)

    with pytest.raises(error):
        asyncio.run(results_and_errors(job, [0, 1], expected=Exception))
    assert sorted(ended) == [0, 1]


def test_ctrl_c_ends_all_jobs_and_is_raised() -> None:
    waiting = Waiting()

    async def job(number: int) -> None:
        if number:
            await waiting.job(number)
        await waiting.starts.acquire()
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(results_and_errors(job, [0, 1], expected=()))
    assert waiting.ended == 1


def test_an_exception_counts_as_a_price_in_the_trap(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gather_results.broken_main()
    assert capsys.readouterr().out == "with a price: 3\n"


def test_for_the_same_items_the_right_way_tells_which_has_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gather_results.main()
    assert capsys.readouterr().out == "total: 7\nmilk: no price for milk\n"


def test_to_add_an_exception_to_a_number_is_a_type_error() -> None:
    async def main() -> list[Any]:
        coroutines = [after(0), after(-1)]
        return await asyncio.gather(*coroutines, return_exceptions=True)

    message = r"unsupported operand type\(s\) for \+: 'int' and 'ValueError'"
    found = run_in_virtual_time(main())
    with pytest.raises(TypeError, match=message):
        sum(found)


def test_no_arguments_give_two_empty_lists() -> None:
    async def main() -> None:
        nothing: list[float] = []
        found = await results_and_errors(after, nothing, expected=())
        assert found == ([], [])

    asyncio.run(main())


def test_a_job_that_cannot_be_called_is_refused_by_value() -> None:
    wrong: Any = 5
    arguments = iter([1])
    with pytest.raises(TypeError, match="a coroutine function, not 5"):
        asyncio.run(results_and_errors(wrong, arguments, expected=()))
    assert list(arguments) == [1]
