"""What the recipe says of task groups, shown to be so."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cookbook.coroutines import task_groups
from cookbook.coroutines.task_groups import broken_buy, buy
from cookbook.testing.without_sleeping import run_in_virtual_time


class Waiting:
    """A job that waits until it is cancelled, and takes time to clean up."""

    def __init__(self) -> None:
        self.starts = asyncio.Semaphore(0)
        self.log: list[str] = []

    async def job(self) -> None:
        """Wait until it is cancelled."""
        self.starts.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.log.append("cleaned up")


async def fail() -> None:
    raise OSError("no answer")


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run *main*; it may not wait for ever."""
    run_in_virtual_time(asyncio.wait_for(main, 1000))


def test_both_jobs_run_at_the_same_time_and_both_results_are_returned() -> (
    None
):
    async def main() -> None:
        meeting = asyncio.Barrier(2)

        async def job() -> int:
            await meeting.wait()
            return 5

        assert await buy(job, job) == (5, 5)

    run(main())


def test_when_one_fails_the_other_has_ended_before_the_error_is_raised() -> (
    None
):
    waiting = Waiting()

    async def fail_late() -> None:
        await waiting.starts.acquire()
        await fail()

    with pytest.raises(ExceptionGroup) as caught:
        run(buy(fail_late, waiting.job))  # type: ignore[arg-type]
    assert [str(error) for error in caught.value.exceptions] == ["no answer"]
    assert waiting.log == ["cleaned up"]


def test_gather_raises_at_once_and_leaves_the_other_running() -> None:
    waiting = Waiting()

    async def main() -> None:
        with pytest.raises(OSError, match="no answer"):
            await broken_buy(fail, waiting.job)
        await waiting.starts.acquire()
        assert not waiting.log
        assert len(asyncio.all_tasks()) == 2
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_with_gather_nobody_hears_of_a_second_error() -> None:
    heard: list[object] = []
    failed = asyncio.Event()

    async def fail_later() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            failed.set()
        raise OSError("no answer either")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: heard.append(what))
        with pytest.raises(OSError, match=r"no answer$"):
            await broken_buy(fail, fail_later)
        await failed.wait()
        await asyncio.sleep(0)  # its last step is over
        gc.collect()

    run(main())
    assert failed.is_set()
    assert not heard


def test_gather_that_is_cancelled_itself_cancels_all() -> None:
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.create_task(broken_buy(waiting.job, waiting.job))
        await waiting.starts.acquire()
        await waiting.starts.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert waiting.log == ["cleaned up", "cleaned up"]


def test_with_gather_the_stock_shrinks_after_the_card_was_declined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task_groups.broken_main()
    assert capsys.readouterr().out.splitlines()[1] == "in stock: 4"


def test_in_a_group_the_stock_stays_as_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task_groups.main()
    assert capsys.readouterr().out.splitlines()[1] == "in stock: 5"


def test_the_error_of_a_task_that_is_being_cancelled_is_in_the_group_too() -> (
    None
):
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("in cleaning up")

    async def fail_late() -> None:
        await asyncio.sleep(0)
        await fail()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(buy(fail_late, fail_when_cancelled))
    assert [type(error) for error in caught.value.exceptions] == [
        OSError,
        ValueError,
    ]


def test_an_error_of_the_block_cancels_all_tasks_and_comes_in_a_group() -> (
    None
):
    waiting = Waiting()

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(waiting.job())
            await waiting.starts.acquire()
            raise OSError("in the block")

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert [str(error) for error in caught.value.exceptions] == [
        "in the block"
    ]
    assert waiting.log == ["cleaned up"]


def test_a_timeout_cancels_all_tasks_and_is_raised() -> None:
    waiting = Waiting()

    async def main() -> None:
        async with asyncio.timeout(5):
            await buy(waiting.job, waiting.job)

    with pytest.raises(TimeoutError):
        run(main())
    assert waiting.log == ["cleaned up", "cleaned up"]


def test_a_cancellation_goes_on_when_all_tasks_have_ended() -> None:
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.create_task(buy(waiting.job, waiting.job))
        await waiting.starts.acquire()
        await waiting.starts.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.log == ["cleaned up", "cleaned up"]

    run(main())


@pytest.mark.parametrize("ended_by", ["timeout", "cancellation"])
def test_an_error_in_the_cleanup_takes_the_place_of_the_cancellation(
    ended_by: str,
) -> None:
    async def fail_to_clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("in cleaning up")

    async def main() -> None:
        async with asyncio.timeout(1 if ended_by == "timeout" else None):
            await buy(fail_to_clean_up, Waiting().job)

    async def end() -> None:
        task = asyncio.create_task(main())
        await asyncio.sleep(1)
        if ended_by == "cancellation":
            task.cancel()
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert repr(caught.value.exceptions) == "(OSError('in cleaning up'),)"

    run(end())


def test_ctrl_c_ends_all_tasks_and_is_raised() -> None:
    waiting = Waiting()

    async def press() -> None:
        await waiting.starts.acquire()
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(buy(press, waiting.job))
    assert waiting.log == ["cleaned up"]


def test_the_result_of_a_task_that_runs_is_not_set() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(1, 5))
            message = "^Result is not set.$"
            with pytest.raises(asyncio.InvalidStateError, match=message):
                task.result()
        assert task.result() == 5

    run(main())


def test_a_task_may_start_more_tasks_of_its_group() -> None:
    log: list[int] = []

    async def main() -> None:
        async def count_down(number: int) -> None:
            log.append(number)
            if number:
                group.create_task(count_down(number - 1))

        async with asyncio.TaskGroup() as group:
            group.create_task(count_down(3))
        assert log == [3, 2, 1, 0]

    run(main())


def test_before_and_after_the_block_create_task_raises_runtime_error() -> None:
    async def main() -> None:
        group = asyncio.TaskGroup()
        job = asyncio.sleep(0)
        with (
            contextlib.closing(job),
            pytest.raises(RuntimeError, match="has not been entered"),
        ):
            group.create_task(job)
        async with group:
            pass
        job = asyncio.sleep(0)
        with (
            contextlib.closing(job),
            pytest.raises(RuntimeError, match="is finished"),
        ):
            group.create_task(job)

    run(main())


def test_a_task_that_raises_cancelled_error_itself_ends_alone() -> None:
    done: list[str] = []

    async def cancel() -> None:
        raise asyncio.CancelledError

    async def work() -> None:
        await asyncio.sleep(1)
        done.append("work")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            cancelled = group.create_task(cancel())
            group.create_task(work())
        assert cancelled.cancelled()

    run(main())
    assert done == ["work"]


def test_a_task_that_swallows_its_cancellation_holds_up_the_block() -> None:
    log: list[str] = []

    async def swallow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(100)
        log.append("went on")

    async def fail_late() -> None:
        await asyncio.sleep(0)
        await fail()

    with pytest.raises(ExceptionGroup):
        run(buy(fail_late, swallow))  # type: ignore[arg-type]
    assert log == ["went on"]


def test_return_is_not_allowed_in_an_except_star_block() -> None:
    source = "def f():\n try: pass\n except* OSError: return"
    message = "'break', 'continue' and 'return' cannot appear in an except"
    with pytest.raises(SyntaxError, match=message):
        compile(source, "x", "exec")


@pytest.mark.parametrize("jobs", [(5, fail), (fail, 5)])
def test_what_cannot_be_called_is_refused_before_anything_starts(
    jobs: tuple[Callable[..., Any], Callable[..., Any]],
) -> None:
    with pytest.raises(TypeError, match="a job must be a function, not 5"):
        asyncio.run(buy(*jobs))
