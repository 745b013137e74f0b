"""What the recipe says of shielded tasks, shown to be so."""

import asyncio
import gc
import signal
import weakref

import pytest

from cookbook.coroutines.shield import (
    broken_finish,
    cancel_in_the_middle,
    finish,
)
from cookbook.testing.without_sleeping import run_in_virtual_time


class Slow:
    """A job that takes ten seconds."""

    def __init__(self, error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.error = error

    async def __call__(self) -> str:
        """Work, and return or raise."""
        self.log.append("starts")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            self.log.append("is cut off")
            raise
        self.log.append("has ended")
        if self.error:
            raise self.error
        return "saved"


WHOLE = ["starts", "has ended"]


def now() -> float:
    return asyncio.get_running_loop().time()


def test_the_result_of_the_job_comes_back() -> None:
    assert run_in_virtual_time(finish(Slow())) == "saved"


def test_an_error_of_the_job_goes_to_the_caller() -> None:
    with pytest.raises(OSError, match="disk full"):
        run_in_virtual_time(finish(Slow(OSError("disk full"))))


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_cancellation_goes_on_when_the_job_has_ended(times: int) -> None:
    async def main() -> None:
        job = Slow()
        task = asyncio.create_task(finish(job))
        for _ in range(times):
            await asyncio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert job.log == WHOLE
        assert now() == pytest.approx(10)

    run_in_virtual_time(main())


def test_an_error_after_a_cancellation_replaces_it() -> None:
    async def main() -> None:
        task = asyncio.create_task(finish(Slow(OSError("disk full"))))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(OSError, match="disk full"):
            await task

    run_in_virtual_time(main())


def test_a_timeout_is_raised_when_the_job_has_ended() -> None:
    async def main() -> None:
        job = Slow()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await finish(job)
        assert job.log == WHOLE

    run_in_virtual_time(main())


def test_a_timeout_around_a_shield_ends_the_waiting_not_the_work() -> None:
    async def main() -> None:
        job = Slow()
        task = asyncio.create_task(job())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(task)
        assert now() == pytest.approx(1)
        assert await task == "saved"
        assert job.log == WHOLE

    run_in_virtual_time(main())


def test_a_shield_alone_does_not_wait_and_the_end_of_run_cuts_it_off() -> None:
    job = Slow()

    async def main() -> None:
        task = asyncio.create_task(broken_finish(job))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert now() == pytest.approx(1)
        assert job.log == ["starts"]

    run_in_virtual_time(main())
    assert job.log == ["starts", "is cut off"]


def test_both_halves_are_written_with_finish_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(cancel_in_the_middle(finish))
    assert "second half" in capsys.readouterr().out
    asyncio.run(cancel_in_the_middle(broken_finish))
    assert "second half" not in capsys.readouterr().out


def test_the_shutdown_of_the_loop_cancels_the_shielded_task_too() -> None:
    job = Slow()
    tasks = []

    async def main() -> None:
        tasks.append(asyncio.create_task(finish(job)))
        await asyncio.sleep(1)

    run_in_virtual_time(main())
    assert job.log == ["starts", "is cut off"]
    assert tasks[0].cancelled()


def test_a_cancel_of_the_shielded_task_itself_cancels_it() -> None:
    async def main() -> None:
        task = asyncio.create_task(Slow()())
        shield = asyncio.shield(task)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await shield
        assert task.cancelled()

    run_in_virtual_time(main())


def test_a_shielded_task_that_nobody_keeps_is_collected() -> None:
    async def main() -> None:
        messages: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, what: messages.append(what["message"])
        )
        replies: weakref.WeakSet[asyncio.Future[str]] = weakref.WeakSet()

        async def ask() -> None:
            reply = loop.create_future()
            replies.add(reply)
            await reply

        task = asyncio.create_task(broken_finish(ask))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(replies) == 1
        task.cancel()
        await asyncio.wait([task])
        del task
        gc.collect()
        assert messages == ["Task was destroyed but it is pending!"]
        assert not replies

    asyncio.run(main())


def test_ctrl_c_is_raised_when_the_job_has_ended() -> None:
    job = Slow()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(1, signal.raise_signal, signal.SIGINT)
        await finish(job)

    with pytest.raises(KeyboardInterrupt):
        run_in_virtual_time(main())
    assert job.log == WHOLE


def test_what_cannot_be_called_is_refused_by_value() -> None:
    with pytest.raises(TypeError, match="function, not 5"):
        run_in_virtual_time(finish(5))  # type: ignore[arg-type]
