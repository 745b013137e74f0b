"""What the recipe says of cancelling tasks, shown to be so."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest

from cookbook.coroutines.cancellation import (
    broken_work,
    stop,
    stop_in_the_middle,
    work,
)
from cookbook.testing.without_sleeping import run_in_virtual_time


class Slow:
    """A job that takes ten seconds, and one more to clean up."""

    def __init__(self, error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.error = error

    async def __call__(self) -> None:
        """Wait; clean up, and raise the error if there is one."""
        self.log.append("starts")
        try:
            await asyncio.sleep(10)
        finally:
            self.log.append("is cleaning up")
            await asyncio.sleep(1)
            self.log.append("has cleaned up")
            if self.error:
                raise self.error

    async def start(self) -> asyncio.Task[None]:
        """Start it in a task, and let it take its first step."""
        task = asyncio.create_task(self())
        await asyncio.sleep(0)
        return task


CLEAN = ["starts", "is cleaning up", "has cleaned up"]


def test_stop_returns_when_the_task_has_cleaned_up() -> None:
    async def main() -> None:
        job = Slow()
        task = await job.start()
        assert await stop(task)
        assert job.log == CLEAN
        assert task.cancelled()
        assert await stop(task)

    run_in_virtual_time(main())


def test_stop_says_so_if_the_task_had_ended_with_a_result() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0, "result"))
        assert await task == "result"
        assert not await stop(task)
        assert not task.cancel()

    run_in_virtual_time(main())


def test_an_error_in_the_cleanup_goes_to_who_stops_the_task() -> None:
    async def main() -> None:
        task = await Slow(OSError("disk full")).start()
        with pytest.raises(OSError, match="disk full"):
            await stop(task)

    run_in_virtual_time(main())


def test_a_task_that_would_stop_itself_is_refused() -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task
        with pytest.raises(ValueError, match="own end: <Task"):
            await stop(task)
        assert not task.cancelling()

    run_in_virtual_time(main())


def test_cancel_only_requests_and_is_raised_at_the_next_await() -> None:
    async def main() -> None:
        job = Slow()
        task = await job.start()
        assert task.cancel("no longer needed")
        assert not task.done()
        assert job.log == ["starts"]
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("no longer needed",)
        assert job.log == CLEAN

    run_in_virtual_time(main())


def test_a_failure_is_reported_and_a_cancellation_passes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(stop_in_the_middle(work))
    out = capsys.readouterr().out.splitlines()
    assert out[1:] == ["cleaned up", "cancelled: True"]


def test_a_task_that_swallows_the_cancellation_is_not_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(stop_in_the_middle(broken_work))
    out = capsys.readouterr().out.splitlines()
    assert "goes on with the next job" in out
    assert out[-1] == "cancelled: False"


def test_the_cancellation_is_no_exception_but_a_base_exception() -> None:
    assert not issubclass(asyncio.CancelledError, Exception)
    assert issubclass(asyncio.CancelledError, BaseException)


@pytest.mark.parametrize("swallow", [True, False])
def test_a_timeout_breaks_if_the_cancellation_is_swallowed(
    swallow: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run: Callable[..., Awaitable[None]] = broken_work if swallow else work

    async def main() -> bool:
        try:
            async with asyncio.timeout(5):
                await run(Slow())
        except TimeoutError:
            return False
        return True

    assert run_in_virtual_time(main()) is swallow
    assert "cleaned up" in capsys.readouterr().out


def test_suppressing_it_around_await_task_loses_your_own() -> None:
    async def with_suppress(task: asyncio.Task[None]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def ends_cancelled(
        how: Callable[[asyncio.Task[None]], Awaitable[object]],
    ) -> bool:
        task = await Slow().start()

        async def stopper() -> None:
            await how(task)

        stopping = asyncio.create_task(stopper())
        await asyncio.sleep(0.5)  # it waits for the cleanup
        stopping.cancel()
        await asyncio.wait([stopping, task])
        return stopping.cancelled()

    assert not run_in_virtual_time(ends_cancelled(with_suppress))
    assert run_in_virtual_time(ends_cancelled(stop))


def test_a_cancelled_stop_leaves_the_task_to_its_cleanup() -> None:
    async def main() -> None:
        job = Slow()
        task = await job.start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await stop(task)
        assert job.log == CLEAN[:2]
        await asyncio.wait([task])
        assert job.log == CLEAN
        assert task.cancelled()

    run_in_virtual_time(main())


def test_a_task_cancelled_before_its_first_step_never_runs() -> None:
    async def main() -> None:
        job = Slow()
        assert await stop(asyncio.create_task(job()))
        assert job.log == []

    run_in_virtual_time(main())


def test_a_task_that_awaits_nothing_that_waits_runs_to_its_end() -> None:
    async def yes() -> str:
        return "yes"

    async def busy() -> list[str]:
        return [await yes() for _ in range(3)]

    async def main() -> None:
        task = asyncio.create_task(busy())
        cancelled = []
        loop = asyncio.get_running_loop()
        loop.call_soon(lambda: cancelled.append(task.cancel()))
        assert await task == ["yes", "yes", "yes"]
        assert cancelled == [False]

    run_in_virtual_time(main())


def test_an_error_in_the_cleanup_of_a_job_ends_the_work_and_is_raised(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = Slow(OSError("in cleaning up")), Slow()

    async def main() -> None:
        task = asyncio.create_task(work(first, second))
        await asyncio.sleep(0)
        await stop(task)

    with pytest.raises(OSError, match="in cleaning up"):
        run_in_virtual_time(main())
    assert first.log == CLEAN
    assert second.log == []
    assert capsys.readouterr().out == "cleaned up\n"


def test_a_task_that_is_cancelled_already_reports_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log: list[str] = []

    async def fail() -> None:
        raise OSError("no reply")

    async def clean_up() -> None:
        log.append("the second job")

    async def job() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await work(fail, clean_up)

    async def main() -> None:
        task = asyncio.create_task(job())
        await asyncio.sleep(0)
        assert await stop(task)

    run_in_virtual_time(main())
    assert log == ["the second job"]
    out = capsys.readouterr().out
    assert out == "reported: OSError('no reply')\ncleaned up\n"


def test_a_second_cancel_is_raised_in_the_cleanup() -> None:
    async def main() -> None:
        job = Slow()
        task = await job.start()
        task.cancel()
        await asyncio.sleep(0.5)
        task.cancel()
        await asyncio.wait([task])
        assert job.log == CLEAN[:2]
        assert task.cancelled()

    run_in_virtual_time(main())


@pytest.mark.parametrize("takes_back", [True, False])
def test_a_swallowed_request_comes_back_after_a_failing_group(
    takes_back: bool,
) -> None:
    async def fail() -> None:
        raise OSError("no reply")

    async def swallows() -> str:
        task = asyncio.current_task()
        assert task
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        assert task.cancelling() == 1
        if takes_back:
            assert task.uncancel() == 0
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        await asyncio.sleep(0)
        return "goes on"

    async def main() -> None:
        task = asyncio.create_task(swallows())
        await asyncio.sleep(0)
        comes_back = not takes_back and sys.version_info >= (3, 13)
        assert await stop(task) is comes_back

    run_in_virtual_time(main())


def test_run_cancels_the_tasks_that_are_left_and_lets_them_clean_up() -> None:
    job = Slow()

    async def main() -> None:
        tasks.append(await job.start())

    tasks: list[asyncio.Task[None]] = []
    run_in_virtual_time(main())
    assert job.log == CLEAN
    assert tasks[0].cancelled()


def test_ctrl_c_cancels_all_tasks_and_is_raised_when_they_are_clean() -> None:
    main_job, other_job = Slow(), Slow()
    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        tasks.append(await other_job.start())
        loop = asyncio.get_running_loop()
        loop.call_soon(signal.raise_signal, signal.SIGINT)
        await main_job()

    with pytest.raises(KeyboardInterrupt):
        run_in_virtual_time(main())
    assert main_job.log == CLEAN
    assert other_job.log == CLEAN
