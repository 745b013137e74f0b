"""What the recipe says of queues between tasks, shown to be so."""

import asyncio
import re
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from cookbook.coroutines import queues
from cookbook.coroutines.queues import (
    broken_process_all,
    process_all,
    process_all_and_shut_down,
)
from cookbook.testing.without_sleeping import run_in_virtual_time

Process = Callable[..., Coroutine[Any, Any, None]]

has_shutdown = pytest.mark.skipif(
    sys.version_info < (3, 13), reason="Queue.shutdown came with 3.13"
)
both_ways = pytest.mark.parametrize(
    "process",
    [
        process_all,
        pytest.param(process_all_and_shut_down, marks=has_shutdown),
    ],
)


class Slow:
    """Work that takes a second of virtual time, and counts itself."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.now = self.most = self.ended = 0

    async def work(self, item: int) -> None:
        """Take a second."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(1)
            self.done.append(item)
        finally:
            self.now -= 1
            self.ended += 1


async def fail(item: object) -> None:
    raise OSError(f"no answer for {item}")


@both_ways
def test_each_item_is_worked_on_once_by_so_many_tasks_at_most(
    process: Process,
) -> None:
    slow = Slow()
    run_in_virtual_time(process(range(20), slow.work, consumers=4))
    assert sorted(slow.done) == list(range(20))
    assert slow.most == 4


@both_ways
def test_one_consumer_works_in_the_order_of_the_items(
    process: Process,
) -> None:
    slow = Slow()
    run_in_virtual_time(process(iter([3, 1, 2]), slow.work, consumers=1))
    assert slow.done == [3, 1, 2]


@both_ways
def test_no_items_end_at_once(process: Process) -> None:
    run_in_virtual_time(process([], fail))


@both_ways
@pytest.mark.parametrize(
    ("sizes", "most"),
    [
        ({"consumers": 2, "maxsize": 3}, 2 + 3),
        ({"consumers": 1, "maxsize": 1}, 1 + 1),
        ({}, 3 + 10),
    ],
)
def test_a_fast_producer_waits_for_slow_consumers(
    process: Process, sizes: dict[str, int], most: int
) -> None:
    slow = Slow()
    ahead = []

    def numbers() -> Iterator[int]:
        for number in range(30):
            ahead.append(number - len(slow.done))
            yield number

    run_in_virtual_time(process(numbers(), slow.work, **sizes))
    assert max(ahead) == most  # worked on and waiting, as one is in the hand


def test_without_maxsize_the_queue_holds_all_and_put_lets_nobody_run() -> None:
    turns: list[int] = []

    async def main() -> int:
        asyncio.get_running_loop().call_soon(turns.append, 1)
        queue: asyncio.Queue[int] = asyncio.Queue()
        for number in range(1000):
            await queue.put(number)
        assert not turns
        return queue.qsize()

    assert asyncio.run(main()) == 1000


@both_ways
def test_if_work_raises_all_others_are_cancelled_and_it_is_raised(
    process: Process,
) -> None:
    slow = Slow()
    read = []

    async def work(item: int) -> None:
        await (slow.work(item) if item else fail(item))

    def numbers() -> Iterator[int]:
        for number in (1, 2, 0, *range(3, 100)):
            read.append(number)
            yield number

    with pytest.raises(ExceptionGroup) as caught:
        run_in_virtual_time(process(numbers(), work, maxsize=2))
    assert [str(error) for error in caught.value.exceptions] == [
        "no answer for 0"
    ]
    assert (slow.ended, slow.done) == (2, [])
    assert len(read) < 10


@both_ways
@pytest.mark.parametrize("consumers", [1, 2])
def test_work_that_raises_cancelled_error_itself_fails_with_its_item(
    process: Process, consumers: int
) -> None:
    other = Slow()
    cancelled = asyncio.CancelledError("by others")

    async def work(item: int) -> None:
        if item == 1:
            raise cancelled
        await other.work(item)

    run = process(range(30), work, consumers=consumers, maxsize=10)
    with pytest.raises(ExceptionGroup) as caught:
        run_in_virtual_time(run)
    [error] = caught.value.exceptions
    assert repr(error) == "RuntimeError('work on 1 was cancelled')"
    assert error.__cause__ is cancelled
    assert other.now == 0
    assert other.done == ([0] if consumers == 1 else [])


@both_ways
def test_work_that_awaits_a_task_cancelled_by_others_fails_like_any_other(
    process: Process,
) -> None:
    async def main() -> None:
        session = asyncio.create_task(asyncio.sleep(60))

        async def work(_: int) -> None:
            await session

        asyncio.get_running_loop().call_later(1, session.cancel)
        await process(range(30), work)

    with pytest.raises(ExceptionGroup) as caught:
        run_in_virtual_time(main())
    assert {type(error) for error in caught.value.exceptions} == {RuntimeError}


@both_ways
def test_if_all_consumers_cancel_themselves_the_producer_waits_for_ever(
    process: Process,
) -> None:
    async def work(_: int) -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await asyncio.sleep(1)

    async def main() -> None:
        async with asyncio.timeout(3600):
            await process(range(30), work, consumers=2, maxsize=10)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())


@both_ways
def test_a_timeout_cancels_all_consumers_and_is_raised(
    process: Process,
) -> None:
    slow = Slow()

    async def main() -> None:
        async with asyncio.timeout(1.5):
            await process(range(100), slow.work)

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
    assert (len(slow.done), slow.now) == (3, 0)


@both_ways
def test_a_cancellation_cancels_all_consumers_and_goes_on(
    process: Process,
) -> None:
    slow = Slow()

    async def main() -> None:
        task = asyncio.create_task(process(range(100), slow.work))
        await asyncio.sleep(0.5)
        assert slow.now == 3
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slow.now == 0

    run_in_virtual_time(main())


def test_ctrl_c_ends_all_consumers_and_is_raised() -> None:
    slow = Slow()

    async def work(item: int) -> None:
        if item:
            await slow.work(item)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(process_all([1, 2, 0], work))
    assert slow.ended == 2


@both_ways
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"consumers": 0}, ValueError, "consumers must be at least 1, not 0"),
        ({"maxsize": 0}, ValueError, "maxsize must be at least 1, not 0"),
        ({"work": 5}, TypeError, "work must be a coroutine function, not 5"),
    ],
)
def test_bad_arguments_are_refused_by_value_before_an_item_is_read(
    process: Process,
    arguments: dict[str, object],
    error: type[Exception],
    text: str,
) -> None:
    items = iter([1])
    with pytest.raises(error, match=re.escape(text)):
        asyncio.run(process(items, **{"work": fail, **arguments}))
    assert list(items) == [1]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="it is there")
def test_before_3_13_there_is_no_shutdown_and_the_recipe_says_so() -> None:
    async def main() -> None:
        with pytest.raises(AttributeError, match="no attribute 'shutdown'"):
            asyncio.Queue().shutdown()  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="'QueueShutDown'"):
            _ = asyncio.QueueShutDown  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match=r"needs Python 3\.13 or"):
            await process_all_and_shut_down([], fail)

    asyncio.run(main())


@has_shutdown
def test_after_shutdown_what_is_in_the_queue_can_still_be_taken() -> None:
    async def main() -> None:
        queue: Any = asyncio.Queue()
        ended: Any = getattr(asyncio, "QueueShutDown")  # noqa: B009
        queue.put_nowait(1)
        queue.shutdown()
        with pytest.raises(ended):
            await queue.put(2)
        assert await queue.get() == 1
        with pytest.raises(ended):
            await queue.get()

    asyncio.run(main())


@has_shutdown
def test_shutdown_immediate_empties_the_queue() -> None:
    async def main() -> None:
        queue: Any = asyncio.Queue()
        queue.put_nowait(1)
        queue.shutdown(immediate=True)
        assert queue.empty()

    asyncio.run(main())


def test_join_waits_for_ever_when_the_last_consumer_has_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queues.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "label: Ada",
        "it still waits, and nobody works",
    ]
    with pytest.raises(TimeoutError):
        run_in_virtual_time(
            asyncio.wait_for(broken_process_all([1], fail), 1000)
        )


def test_under_the_same_failure_the_right_way_raises_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queues.main()
    assert "ValueError('a label needs a name')" in capsys.readouterr().out


def test_join_and_then_cancel_ends_consumers_that_do_not_fail() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        await asyncio.sleep(1)
        done.append(item)

    async def main() -> None:
        await queues.broken_process_all(range(5), work, consumers=2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_in_virtual_time(main())
    assert done == [0, 1, 2, 3, 4]


def test_task_done_in_finally_does_not_help_when_all_have_failed() -> None:
    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def consume() -> None:
            item = await queue.get()
            try:
                await fail(item)
            finally:
                queue.task_done()

        queue.put_nowait(1)
        queue.put_nowait(2)
        task = asyncio.create_task(consume())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.join(), 1000)
        with pytest.raises(OSError, match="no answer for 1"):
            await task

    run_in_virtual_time(main())


def test_more_calls_of_task_done_than_items_are_an_error() -> None:
    message = re.escape("task_done() called too many times")
    with pytest.raises(ValueError, match=message):
        asyncio.Queue().task_done()


def test_another_thread_puts_items_in_through_the_loop() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[int] = asyncio.Queue()
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(queue.put_nowait, 5)
        )
        thread.start()
        try:
            return await queue.get()
        finally:
            thread.join()

    assert asyncio.run(main()) == 5


def test_a_full_queue_raises_queue_full_in_the_loop() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        errors: list[Any] = []
        loop.set_exception_handler(lambda _, what: errors.append(what))
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        queue.put_nowait(1)
        loop.call_soon_threadsafe(queue.put_nowait, 2)
        await asyncio.sleep(0)
        return errors

    [error] = asyncio.run(main())
    assert isinstance(error["exception"], asyncio.QueueFull)
