"""What the recipe says of results as they finish, shown to be so."""

import asyncio
import signal
import sys
from typing import Any

import pytest

from cookbook.coroutines import as_they_finish as recipe
from cookbook.coroutines.as_they_finish import as_they_finish
from cookbook.testing.without_sleeping import run_in_virtual_time


class Jobs:
    """A job that takes virtual time, and a log of what became of it."""

    def __init__(self) -> None:
        self.log: list[float] = []

    async def job(self, seconds: float) -> str:
        """Return after *seconds*; fail if they are negative."""
        try:
            await asyncio.sleep(abs(seconds))
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.log.append(seconds)
            raise
        if seconds < 0:
            raise OSError(f"no answer after {-seconds}")
        return f"after {seconds}"


def test_results_come_with_their_arguments_when_each_is_there() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        start = loop.time()
        taken: list[Any] = []
        async with as_they_finish(Jobs().job, [3, 1, 2]) as results:
            for result in results:
                argument, answer = await result
                taken.append((argument, answer, round(loop.time() - start)))
        return taken

    assert run_in_virtual_time(main()) == [
        (1, "after 1", 1),
        (2, "after 2", 2),
        (3, "after 3", 3),
    ]


def test_if_the_block_is_left_early_what_still_runs_has_ended() -> None:
    jobs = Jobs()

    async def main() -> str:
        async with as_they_finish(jobs.job, [3, 1, 2]) as results:
            for result in results:
                _, answer = await result
                break
        assert jobs.log == [3, 2]
        return answer

    assert run_in_virtual_time(main()) == "after 1"


def test_as_completed_that_is_left_early_cancels_nothing() -> None:
    async def main() -> None:
        jobs = Jobs()
        tasks = [asyncio.create_task(jobs.job(n)) for n in (2, 1)]
        for earliest in asyncio.as_completed(tasks):
            await earliest
            break
        assert not tasks[0].done()
        assert await tasks[0] == "after 2"

    run_in_virtual_time(main())


def test_the_timeout_of_as_completed_cancels_nothing() -> None:
    async def main() -> None:
        task = asyncio.create_task(Jobs().job(5))
        [earliest] = asyncio.as_completed([task], timeout=1)
        with pytest.raises(TimeoutError):
            await earliest
        assert not task.done()
        assert await task == "after 5"

    run_in_virtual_time(main())


def test_an_error_is_raised_in_its_turn_and_ends_the_others() -> None:
    jobs = Jobs()
    answers: list[str] = []

    async def main() -> None:
        async with as_they_finish(jobs.job, [1, -2, 3]) as results:
            for result in results:
                _, answer = await result
                answers.append(answer)

    with pytest.raises(OSError, match="no answer after 2"):
        run_in_virtual_time(main())
    assert answers == ["after 1"]
    assert jobs.log == [3]


def test_an_error_that_is_caught_in_its_turn_costs_that_one_alone() -> None:
    async def main() -> list[str]:
        answers = []
        async with as_they_finish(Jobs().job, [1, -2, 3]) as results:
            for result in results:
                try:
                    _, answer = await result
                except OSError as error:
                    answer = str(error)
                answers.append(answer)
        return answers

    expected = ["after 1", "no answer after 2", "after 3"]
    assert run_in_virtual_time(main()) == expected


def test_errors_of_jobs_that_nobody_asked_for_are_not_reported() -> None:
    errors: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: errors.append(what))
        async with as_they_finish(Jobs().job, [-1, -2]):
            await asyncio.sleep(1.5)

    run_in_virtual_time(main())
    assert not errors


def test_a_timeout_cancels_all_jobs_and_results_stay_yours() -> None:
    jobs = Jobs()
    answers: list[str] = []

    async def main() -> None:
        async with (
            asyncio.timeout(1.5),
            as_they_finish(jobs.job, [3, 1, 2]) as results,
        ):
            for result in results:
                _, answer = await result
                answers.append(answer)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
    assert (answers, jobs.log) == (["after 1"], [3, 2])


def test_a_cancellation_goes_on_when_all_jobs_have_ended() -> None:
    jobs = Jobs()

    async def take_all() -> None:
        async with as_they_finish(jobs.job, [3, 2]) as results:
            for result in results:
                await result

    async def main() -> None:
        task = asyncio.create_task(take_all())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert jobs.log == [3, 2]

    run_in_virtual_time(main())


def test_ctrl_c_ends_all_jobs_and_is_raised() -> None:
    jobs = Jobs()

    async def main() -> None:
        async with as_they_finish(jobs.job, [3600, 60]):
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert jobs.log == [3600, 60]


def test_the_awaitables_are_not_the_tasks() -> None:
    async def main() -> None:
        task = asyncio.create_task(Jobs().job(1))
        [earliest] = asyncio.as_completed([task])
        assert earliest is not task
        assert await earliest == "after 1"

    run_in_virtual_time(main())


def test_from_3_13_async_for_gives_the_tasks_themselves() -> None:
    async def main() -> list[Any]:
        tasks: Any = [asyncio.create_task(Jobs().job(n)) for n in (2, 1)]
        completed: Any = asyncio.as_completed(tasks)
        if sys.version_info >= (3, 13):
            found = [task async for task in completed]
            assert found == [tasks[1], tasks[0]]
        else:
            with pytest.raises(TypeError, match="requires an object with __a"):
                [task async for task in completed]
        return await asyncio.gather(*tasks)

    assert run_in_virtual_time(main()) == ["after 2", "after 1"]


def test_the_trap_prints_the_slow_answer_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe.broken_main()
    assert "9" in capsys.readouterr().out.splitlines()[0]


def test_in_the_trap_an_error_waits_behind_the_slow_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def take_turns(count: int) -> str:
        if not count:
            raise OSError("no answer")
        await asyncio.sleep(count)
        return f"answer after {count} s"

    monkeypatch.setattr(recipe, "take_turns", take_turns)

    async def main() -> float:
        with pytest.raises(OSError, match=r"^no answer$"):
            await recipe.broken_print_as_they_finish([9, 0])
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == pytest.approx(9)
    assert capsys.readouterr().out == "answer after 9 s\n"


def test_for_the_same_jobs_the_right_way_prints_the_quick_answer_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"answer after {count} turns" for count in (1, 5, 9)]


def test_no_arguments_give_no_results_and_no_error() -> None:
    async def main() -> list[Any]:
        nothing: list[float] = []
        async with as_they_finish(Jobs().job, nothing) as results:
            return list(results)

    assert run_in_virtual_time(main()) == []


def test_a_job_that_cannot_be_called_is_refused_by_value() -> None:
    wrong: Any = 5

    async def main() -> None:
        async with as_they_finish(wrong, [1]):
            pass

    with pytest.raises(TypeError, match="a coroutine function, not 5"):
        asyncio.run(main())
