"""What the recipe says of tasks that nobody keeps, shown to be so."""

import asyncio
import gc
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cookbook.coroutines.lost_task import (
    ask_and_fail,
    broken_start,
    kept,
    start_in,
)
from cookbook.testing.without_sleeping import run_in_virtual_time


class Waiting:
    """Jobs that wait until they are cancelled, and take time to clean up."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def job(self) -> None:
        """Wait until it is cancelled."""
        self.log.append("starts")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.log.append("has cleaned up")

    async def run(self, then: Callable[[], object]) -> None:
        """Start two jobs, and call *then* inside the block."""
        async with asyncio.TaskGroup() as group:
            start_in(group, self.job)
            start_in(group, self.job)
            await asyncio.sleep(0)
            then()

    def assert_ended(self) -> None:
        """Assert that both jobs ran to their end."""
        assert self.log == 2 * ["starts"] + 2 * ["has cleaned up"]


async def fail() -> None:
    raise OSError("no answer")


def raise_key_error() -> None:
    raise KeyError("mine")


def heard() -> list[str]:
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, what: messages.append(what["message"])
    )
    return messages


def test_a_kept_task_gets_its_answer_after_garbage_was_collected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(kept())
    assert "answer: yes" in capsys.readouterr().out


def test_a_forgotten_task_is_collected_in_the_middle_of_its_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asyncio.run(ask_and_fail(broken_start))
    out = capsys.readouterr().out
    assert "Task was destroyed but it is pending!" in out
    assert "answer:" not in out


def test_the_loop_holds_a_forgotten_task_that_waits_for_a_timer() -> None:
    ended = []

    async def job() -> None:
        await asyncio.sleep(1)
        ended.append(1)

    async def main() -> None:
        messages = heard()
        broken_start(job)
        await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(2)
        assert not messages

    run_in_virtual_time(main())
    assert ended == [1]


def test_a_failed_task_is_not_reported_as_long_as_you_hold_it() -> None:
    async def main() -> None:
        messages = heard()
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        gc.collect()
        assert task.done()
        assert not messages
        del task
        gc.collect()
        assert messages == ["Task exception was never retrieved"]

    asyncio.run(main())


def test_a_failed_task_whose_exception_was_asked_for_is_not_reported() -> None:
    async def main() -> None:
        messages = heard()
        task = asyncio.create_task(fail())
        await asyncio.wait([task])
        assert repr(task.exception()) == "OSError('no answer')"
        del task
        gc.collect()
        assert not messages

    asyncio.run(main())


def test_a_failed_future_that_nobody_asks_is_reported_as_a_future() -> None:
    async def main() -> None:
        messages = heard()
        future = asyncio.get_running_loop().create_future()
        future.set_exception(OSError("no answer"))
        del future
        gc.collect()
        assert messages == ["Future exception was never retrieved"]

    asyncio.run(main())


def test_an_error_goes_to_the_handler_at_once_and_the_others_go_on() -> None:
    ended = []

    async def other() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append("other")

    async def main() -> None:
        contexts: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, what: contexts.append(what))
        async with asyncio.TaskGroup() as group:
            start_in(group, other)
            start_in(group, fail)
            await asyncio.sleep(0)
            [context] = contexts
            assert not ended
        assert ended == ["other"]
        assert len(contexts) == 1
        message = "background task failed: OSError('no answer')"
        assert context["message"] == message
        assert repr(context["exception"]) == "OSError('no answer')"

    asyncio.run(main())


def test_an_error_is_logged_with_its_traceback_by_default(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            start_in(group, fail)

    asyncio.run(main())
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert record.getMessage().startswith("background task failed: OSError")
    assert "in fail" in caplog.text


def test_a_cancelled_job_is_no_failure() -> None:
    async def main() -> None:
        messages = heard()
        waiting = Waiting()
        with pytest.raises(ExceptionGroup):
            await waiting.run(raise_key_error)
        waiting.assert_ended()
        assert not messages

    asyncio.run(main())


def test_the_block_waits_for_tasks_that_its_tasks_start() -> None:
    ended = []

    async def second() -> None:
        await asyncio.sleep(0)
        ended.append("second")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:

            async def first(argument: str) -> None:
                await asyncio.sleep(0)
                ended.append(argument)
                start_in(group, second)

            start_in(group, first, "first")

    asyncio.run(main())
    assert ended == ["first", "second"]


def test_run_cancels_what_still_runs_when_main_returns() -> None:
    waiting = Waiting()
    tasks = []

    async def main() -> None:
        tasks.append(asyncio.create_task(waiting.job()))
        await asyncio.sleep(0)

    asyncio.run(main())
    assert waiting.log == ["starts", "has cleaned up"]
    assert tasks[0].cancelled()


def test_a_timeout_cancels_all_tasks_and_waits_until_they_have_ended() -> None:
    waiting = Waiting()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await waiting.run(bool)
        waiting.assert_ended()

    run_in_virtual_time(main())


def test_an_error_in_the_block_cancels_all_tasks() -> None:
    waiting = Waiting()

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await waiting.run(raise_key_error)
        [error] = caught.value.exceptions
        assert repr(error) == "KeyError('mine')"
        waiting.assert_ended()

    asyncio.run(main())


def test_a_cancellation_cancels_all_tasks_and_goes_on_when_they_end() -> None:
    waiting = Waiting()

    async def main() -> None:
        task = asyncio.create_task(waiting.run(bool))
        for _ in range(4):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        waiting.assert_ended()

    asyncio.run(main())


def test_ctrl_c_cancels_all_tasks_and_is_raised_when_they_have_ended() -> None:
    waiting = Waiting()

    def press_ctrl_c() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(signal.raise_signal, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(waiting.run(press_ctrl_c))
    waiting.assert_ended()


def test_what_cannot_be_called_is_refused_by_value() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            with pytest.raises(TypeError, match="function, not 5"):
                start_in(group, 5)  # type: ignore[arg-type]
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
