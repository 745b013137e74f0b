"""What the recipe says of periodic tasks, shown to be so."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cookbook.coroutines.periodic_task import broken_every, every, watch
from cookbook.testing.without_sleeping import run_in_virtual_time

Every = Callable[..., Any]


def begins(
    every: Every, *takes: float, fails: bool = False
) -> tuple[list[float], list[str]]:
    """Run a job with a period of 10; say when it began, what was reported."""
    began: list[float] = []
    reported: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, what: reported.append(what["message"])
        )

        async def job() -> None:
            began.append(loop.time())
            await asyncio.sleep(takes[len(began) - 1])
            if len(began) == len(takes):
                task.cancel()
            elif fails:
                raise OSError("no reply")

        task = asyncio.create_task(every(10, job))
        await asyncio.wait([task])

    run_in_virtual_time(main())
    return [round(one, 6) for one in began], reported


def test_the_turns_do_not_drift_however_long_the_work_takes() -> None:
    assert begins(every, 3, 9, 0, 1)[0] == [0, 10, 20, 30]


def test_a_sleep_after_the_work_drifts() -> None:
    assert begins(broken_every, 3, 9, 0, 1)[0] == [0, 13, 32, 42]


def test_a_turn_that_takes_longer_than_a_period_leaves_turns_out() -> None:
    assert begins(every, 25, 1, 11, 1)[0] == [0, 30, 40, 60]


def test_a_turn_that_takes_just_a_period_leaves_none_out() -> None:
    assert begins(every, 10, 10, 1)[0] == [0, 10, 20]


def test_a_thousand_turns_are_each_due_in_time() -> None:
    began, _ = begins(every, *[3] * 1000)
    assert began == [10 * turn for turn in range(1000)]


def test_each_error_is_reported_and_the_next_turn_comes_in_time() -> None:
    began, reported = begins(every, 3, 3, 3, fails=True)
    assert began == [0, 10, 20]
    assert reported == 2 * ["a periodic task failed: OSError('no reply')"]


def test_without_that_the_first_error_ends_the_task_silently() -> None:
    began, reported = begins(broken_every, 3, 3, 3, fails=True)
    assert began == [0]
    assert not [one for one in reported if "never retrieved" not in one]


def test_a_job_that_raises_cancelled_error_itself_ends_all_turns() -> None:
    turns: list[str] = []
    reported: list[object] = []

    async def job() -> None:
        turns.append("begins")
        raise asyncio.CancelledError

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: reported.append(what))
        task = asyncio.create_task(every(10, job))
        await asyncio.wait([task], timeout=100)
        return task.cancelled()

    assert run_in_virtual_time(main())
    assert turns == ["begins"]
    assert not reported


def test_nobody_is_told_while_the_failed_task_is_kept(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(watch(broken_every))
    out = capsys.readouterr().out.splitlines()
    assert out == ["turn 1", "turn 2", "ended: OSError('no reply')"]


def test_an_error_is_logged_with_its_traceback_by_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ValueError("no reply")

    async def main() -> None:
        task = asyncio.create_task(every(10, fail))
        await asyncio.sleep(1)
        task.cancel()

    run_in_virtual_time(main())
    assert "a periodic task failed: ValueError('no reply')" in caplog.text
    assert "in fail" in caplog.text


def test_a_timeout_in_the_job_is_reported_like_any_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns = []

    async def job() -> None:
        turns.append(1)
        async with asyncio.timeout(1):
            await asyncio.sleep(60)

    async def main() -> None:
        task = asyncio.create_task(every(10, job))
        await asyncio.sleep(25)
        task.cancel()

    run_in_virtual_time(main())
    assert len(turns) == 3
    assert "a periodic task failed: TimeoutError()" in caplog.text


class Slow:
    """A job that waits, and takes time to clean up."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def __call__(self) -> None:
        """Wait; clean up."""
        self.log.append("turn")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            self.log.append("has cleaned up")


def test_a_cancellation_cleans_up_the_turn_and_no_other_comes() -> None:
    job = Slow()

    async def main() -> None:
        task = asyncio.create_task(every(10, job))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(100)
        assert task.cancelled()

    run_in_virtual_time(main())
    assert job.log == ["turn", "has cleaned up"]


def test_an_error_in_the_cleanup_ends_the_task_and_no_other_turn_comes() -> (
    None
):
    began: list[float] = []
    reported: list[object] = []

    async def job() -> None:
        began.append(asyncio.get_running_loop().time())
        try:
            await asyncio.sleep(5)
        finally:
            if len(began) == 1:
                raise OSError("in cleaning up")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: reported.append(what))
        task = asyncio.create_task(every(10, job))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task], timeout=100)
        with pytest.raises(OSError, match="in cleaning up"):
            task.result()

    run_in_virtual_time(main())
    assert began == [0]
    assert not reported


def test_in_the_cleanup_of_a_cancelled_task_an_error_is_reported() -> None:
    reported: list[str] = []
    turns: list[str] = []

    async def fail_twice() -> None:
        turns.append("begins")
        if len(turns) < 3:
            raise OSError("no reply")
        await asyncio.Event().wait()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, what: reported.append(what["message"])
        )

        async def job() -> None:
            try:
                await asyncio.sleep(100)
            finally:
                await every(10, fail_twice)

        task = asyncio.create_task(job())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(50)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_in_virtual_time(main())
    assert len(turns) == 3
    assert reported == 2 * ["a periodic task failed: OSError('no reply')"]


def test_run_cancels_a_periodic_task_that_is_left_at_the_end() -> None:
    job = Slow()
    tasks = []

    async def main() -> None:
        tasks.append(asyncio.create_task(every(10, job)))
        await asyncio.sleep(1)

    run_in_virtual_time(main())
    assert job.log == ["turn", "has cleaned up"]
    assert tasks[0].cancelled()


def test_ctrl_c_cleans_up_the_turn_and_is_raised() -> None:
    job = Slow()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, signal.raise_signal, signal.SIGINT)
        await every(10, job)

    with pytest.raises(KeyboardInterrupt):
        run_in_virtual_time(main())
    assert job.log == ["turn", "has cleaned up"]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_a_period_that_is_none_is_refused_by_value(seconds: float) -> None:
    job = Slow()
    with pytest.raises(ValueError, match=f"finite, not {seconds}"):
        run_in_virtual_time(every(seconds, job))
    assert job.log == []


def test_what_cannot_be_called_is_refused_by_value() -> None:
    with pytest.raises(TypeError, match="function, not 5"):
        run_in_virtual_time(every(10, 5))  # type: ignore[arg-type]
