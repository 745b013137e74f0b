"""What the recipe says of stopping a task group, shown to be so."""

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from cookbook.coroutines import stop_a_group_early
from cookbook.coroutines.stop_a_group_early import (
    StoppableGroup,
    broken_search_rooms,
    search_rooms,
)
from cookbook.testing.without_sleeping import run_in_virtual_time

GROUPS: list[Any] = [StoppableGroup]
if sys.version_info >= (3, 15):
    GROUPS.append(asyncio.TaskGroup)

T = TypeVar("T")
every_group = pytest.mark.parametrize("group_type", GROUPS)


class Waiting:
    """Jobs that wait until they are cancelled, and take time to clean up."""

    def __init__(self) -> None:
        self.started = self.ended = 0
        self.starts = asyncio.Semaphore(0)

    async def job(self) -> None:
        """Wait until it is cancelled."""
        self.started += 1
        self.starts.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended += 1

    async def has_started(self, count: int) -> None:
        """Wait until so many jobs have started."""
        for _ in range(count):
            await self.starts.acquire()


async def fail() -> None:
    raise OSError("no answer")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end; it may not wait for ever."""
    return run_in_virtual_time(asyncio.wait_for(main, 60))


@every_group
def test_cancel_ends_all_tasks_and_the_block_without_an_error(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()
    reached = []

    async def main() -> None:
        async with group_type() as group:
            group.create_task(waiting.job())
            group.create_task(waiting.job())
            await waiting.has_started(2)
            group.cancel()
            await asyncio.sleep(1)
            reached.append("after the next await")
        reached.append("after the block")
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(main())
    assert (waiting.started, waiting.ended) == (2, 2)
    assert reached == ["after the block"]


@every_group
def test_a_task_of_the_group_may_cancel_it(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()
    log: list[str] = []

    async def main() -> None:
        async def stop() -> None:
            await waiting.has_started(1)
            group.cancel()
            log.append("goes on")
            await asyncio.sleep(1)
            log.append("until its next await")

        async with group_type() as group:
            group.create_task(waiting.job())
            group.create_task(stop())

    run(main())
    assert waiting.ended == 1
    assert log == ["goes on"]


@every_group
def test_cancel_may_be_called_again_and_when_the_group_has_ended(
    group_type: type[StoppableGroup],
) -> None:
    async def main() -> None:
        async with group_type() as group:
            group.create_task(asyncio.sleep(3600))
            await asyncio.sleep(0)
            group.cancel()
            group.cancel()
        group.cancel()
        async with group_type() as group:
            pass
        group.cancel()

    run(main())


@every_group
def test_cancel_before_the_block_stops_the_group_as_it_begins(
    group_type: type[StoppableGroup],
) -> None:
    reached = []

    async def main() -> None:
        group = group_type()
        group.cancel()
        async with group:
            await asyncio.sleep(1)
            reached.append("after an await")

    run(main())
    assert not reached


@every_group
def test_the_block_is_not_left_before_its_next_await(
    group_type: type[StoppableGroup],
) -> None:
    log = []

    async def main() -> None:
        async with group_type() as group:
            group.cancel()
            log.append("goes on")

    run(main())
    assert log == ["goes on"]


@every_group
def test_without_cancel_it_is_a_task_group(
    group_type: type[StoppableGroup],
) -> None:
    answers = []

    async def main() -> None:
        async with group_type() as group:
            task = group.create_task(asyncio.sleep(1, 5))
        answers.append(await task)

    run(main())
    assert answers == [5]


@every_group
def test_the_error_of_a_task_is_raised_though_the_group_was_stopped(
    group_type: type[StoppableGroup],
) -> None:
    async def fail_late() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await fail()

    async def main() -> None:
        async with group_type() as group:
            group.create_task(fail_late())
            await asyncio.sleep(0)
            group.cancel()

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert [repr(error) for error in caught.value.exceptions] == [
        "OSError('no answer')"
    ]


@every_group
def test_the_error_of_the_block_is_raised_though_the_group_was_stopped(
    group_type: type[StoppableGroup],
) -> None:
    async def main() -> None:
        async with group_type() as group:
            group.cancel()
            await fail()

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert [repr(error) for error in caught.value.exceptions] == [
        "OSError('no answer')"
    ]


@every_group
def test_if_a_task_raises_the_others_are_cancelled_and_it_is_raised(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()

    async def main() -> None:
        async with group_type() as group:
            group.create_task(waiting.job())
            await waiting.has_started(1)
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        run(main())
    assert waiting.ended == 1


@every_group
def test_cancel_after_a_task_has_failed_changes_nothing(
    group_type: type[StoppableGroup],
) -> None:
    async def main() -> None:
        async def stop_late() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                group.cancel()

        async with group_type() as group:
            group.create_task(stop_late())
            await asyncio.sleep(0)
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        run(main())
    assert len(caught.value.exceptions) == 1


@every_group
def test_a_timeout_cancels_all_tasks_and_is_raised(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()

    async def main() -> None:
        async with asyncio.timeout(5), group_type() as group:
            group.create_task(waiting.job())

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
    assert waiting.ended == 1


@every_group
def test_a_cancellation_goes_on_when_all_tasks_have_ended(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()

    async def block() -> None:
        async with group_type() as group:
            group.create_task(waiting.job())

    async def main() -> None:
        task = asyncio.create_task(block())
        await waiting.has_started(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert waiting.ended == 1


@every_group
@pytest.mark.parametrize("first", ["cancel", "stop"])
def test_a_cancellation_goes_on_though_it_comes_as_the_group_is_stopped(
    group_type: type[StoppableGroup], first: str
) -> None:
    waiting = Waiting()
    groups = []

    async def block() -> str:
        async with group_type() as group:
            groups.append(group)
            group.create_task(waiting.job())
        return "went on as if nothing had been"

    async def main() -> None:
        task = asyncio.create_task(block())
        await waiting.has_started(1)
        steps: list[Callable[[], object]] = [task.cancel, groups[0].cancel]
        if first == "stop":
            steps.reverse()
        for step in steps:
            step()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert waiting.ended == 1


def test_a_cancelled_task_may_stop_a_group_as_it_cleans_up() -> None:
    log = []

    async def job() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            async with StoppableGroup() as group:
                group.create_task(asyncio.sleep(3600))
                group.cancel()
            log.append("goes on after the group")

    async def main() -> None:
        task = asyncio.create_task(job())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert log == ["goes on after the group"]


def test_ctrl_c_ends_all_tasks_and_is_raised() -> None:
    waiting = Waiting()

    async def main() -> None:
        async with StoppableGroup() as group:
            group.create_task(waiting.job())
            await waiting.has_started(1)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert waiting.ended == 1


def test_a_task_that_raises_cancelled_error_ends_alone() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    async def main() -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(give_up())
            task = group.create_task(asyncio.sleep(1, 5))
        return task.result()

    assert run(main()) == 5


def test_a_cancelled_task_ends_alone() -> None:
    async def main() -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(3600)).cancel()
            task = group.create_task(asyncio.sleep(1, 5))
        return task.result()

    assert run(main()) == 5


def test_the_cancel_of_task_group_came_with_python_3_15() -> None:
    message = "'TaskGroup' object has no attribute 'cancel'"

    async def main() -> None:
        group: Any = asyncio.TaskGroup()
        group.cancel()

    if sys.version_info >= (3, 15):
        asyncio.run(main())
    else:
        with pytest.raises(AttributeError, match=re.escape(message)):
            asyncio.run(main())


def test_the_right_way_leaves_the_other_rooms_when_the_key_is_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stop_a_group_early.main()
    assert capsys.readouterr().out.splitlines() == [
        "found in room 1",
        "searched to the end: []",
    ]


def test_leaving_the_block_by_return_waits_for_every_task() -> None:
    rooms = [3 * ["book"], ["key"], 9 * ["cup"]]
    searched: list[int] = []
    found = run(broken_search_rooms(rooms, "key", searched))
    assert (found, searched) == (1, [0, 2])


def test_if_no_room_has_it_all_are_searched_and_none_is_returned() -> None:
    searched: list[int] = []
    assert run(search_rooms([["a"], [], ["b"]], "key", searched)) is None
    assert sorted(searched) == [0, 1, 2]


def test_a_task_that_raises_and_except_star_stop_a_group_too() -> None:
    class FoundError(Exception):
        pass

    waiting = Waiting()

    async def find() -> None:
        await waiting.has_started(1)
        raise FoundError

    async def main() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(waiting.job())
                group.create_task(find())
        except* FoundError:
            pass

    run(main())
    assert waiting.ended == 1


@every_group
def test_after_it_the_next_await_is_not_cancelled(
    group_type: type[StoppableGroup],
) -> None:
    async def main() -> str:
        async with group_type():
            pass
        async with group_type() as group:
            group.cancel()
        await asyncio.sleep(0)
        with contextlib.suppress(ExceptionGroup):
            async with group_type() as group:
                group.cancel()
                await fail()
        await asyncio.sleep(0)
        return "went on"

    assert run(main()) == "went on"


@every_group
def test_a_block_that_swallows_its_cancellation_stops_the_tasks_too(
    group_type: type[StoppableGroup],
) -> None:
    waiting = Waiting()

    async def main() -> None:
        async with group_type() as group:
            group.create_task(waiting.job())
            await waiting.has_started(1)
            group.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    run(main())
    assert waiting.ended == 1
