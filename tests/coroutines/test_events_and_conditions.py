"""What the recipe says of tasks that wait for a state, shown to be so."""

import asyncio
import re
import threading

import pytest

from cookbook.coroutines import events_and_conditions
from cookbook.coroutines.events_and_conditions import BrokenStock, Stock
from cookbook.testing.without_sleeping import run_in_virtual_time
from tests.linting import ruff


async def turns(count: int = 9) -> None:
    """Let all other tasks take their turns."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_one_thing_goes_to_one_of_two_and_the_other_waits_on() -> None:
    async def main() -> None:
        stock = Stock()
        first, second = (asyncio.create_task(stock.take(1)) for _ in "ab")
        await turns()
        await stock.add(1)
        await turns()
        assert (first.done(), second.done(), stock.count) == (True, False, 0)
        await stock.add(1)
        await second

    asyncio.run(main())


def test_an_event_set_for_a_moment_sells_one_thing_to_two(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events_and_conditions.broken_main()
    assert capsys.readouterr().out == "sold: 2\nin stock: -1\n"


def test_for_the_same_customers_the_right_way_sells_it_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events_and_conditions.main()
    assert capsys.readouterr().out == "sold: 1\nin stock: 0\n"


def test_who_comes_after_the_moment_is_not_woken_in_the_trap() -> None:
    async def main() -> None:
        stock = BrokenStock()
        await stock.add(1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stock.take(1), 1000)

    run_in_virtual_time(main())


def test_who_comes_when_there_are_enough_does_not_wait() -> None:
    async def main() -> None:
        stock = Stock()
        await stock.add(2)
        await stock.take(2)
        assert stock.count == 0

    asyncio.run(main())


def test_who_wants_more_waits_until_there_are_enough() -> None:
    async def main() -> None:
        stock = Stock()
        many = asyncio.create_task(stock.take(3))
        few = asyncio.create_task(stock.take(1))
        await turns()
        await stock.add(2)
        await few
        assert not many.done()
        await stock.add(2)
        await many
        assert stock.count == 0

    asyncio.run(main())


@pytest.mark.parametrize("ended_by", ["timeout", "cancellation"])
def test_a_timeout_or_a_cancellation_takes_nothing_and_others_wait_on(
    ended_by: str,
) -> None:
    async def main() -> None:
        stock = Stock()
        other = asyncio.create_task(stock.take(1))
        if ended_by == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await stock.take(1)
        else:
            task = asyncio.create_task(stock.take(1))
            await turns()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await stock.add(1)
        await other
        assert stock.count == 0

    run_in_virtual_time(main())


def test_if_the_state_cannot_be_checked_the_lock_is_released() -> None:
    async def main() -> None:
        condition = asyncio.Condition()

        def fail() -> bool:
            raise OSError("no state")

        async def wait() -> None:
            async with condition:
                await condition.wait_for(fail)

        with pytest.raises(OSError, match="no state"):
            await wait()
        assert not condition.locked()

    asyncio.run(main())


def test_wait_and_notify_want_the_lock_to_be_held() -> None:
    async def main() -> None:
        condition = asyncio.Condition()
        message = re.escape("cannot wait on un-acquired lock")
        with pytest.raises(RuntimeError, match=message):
            await condition.wait()
        message = re.escape("cannot notify on un-acquired lock")
        with pytest.raises(RuntimeError, match=message):
            condition.notify_all()

    asyncio.run(main())


def test_an_event_that_stays_set_is_seen_by_all_who_come() -> None:
    async def main() -> None:
        event = asyncio.Event()
        early = asyncio.create_task(event.wait())
        await turns()
        event.set()
        assert await early
        assert await event.wait()

    asyncio.run(main())


def test_a_future_brings_a_value_or_an_error_to_all_who_wait() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[int] = loop.create_future()
        loop.call_soon(answer.set_result, 5)
        assert [await answer, await answer] == [5, 5]
        failure: asyncio.Future[int] = loop.create_future()
        loop.call_soon(failure.set_exception, OSError("no answer"))
        with pytest.raises(OSError, match="no answer"):
            await failure

    asyncio.run(main())


def test_another_thread_sets_an_event_through_the_loop() -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        event = asyncio.Event()
        thread = threading.Thread(
            target=loop.call_soon_threadsafe, args=(event.set,)
        )
        thread.start()
        try:
            return await event.wait()
        finally:
            thread.join()

    assert asyncio.run(main())


def test_a_task_cancelled_at_a_barrier_does_not_break_it() -> None:
    async def main() -> None:
        barrier = asyncio.Barrier(3)
        tasks = [asyncio.create_task(barrier.wait()) for _ in range(2)]
        await turns()
        tasks[0].cancel()
        await turns()
        assert not barrier.broken
        assert not tasks[1].done()
        await barrier.abort()
        with pytest.raises(asyncio.BrokenBarrierError):
            await tasks[1]
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    asyncio.run(main())


def test_ruff_reports_a_loop_that_polls() -> None:
    source = (
        "import asyncio\n\nREADY = []\n\n\nasync def wait() -> None:\n"
        "    while not READY:\n        await asyncio.sleep(0.1)\n"
    )
    assert ruff(source, "ASYNC110") == [("ASYNC110", "while not READY:")]


@pytest.mark.parametrize("number", [0, -2])
def test_less_than_one_is_refused_by_value(number: int) -> None:
    message = f"number must be at least 1, not {number}"
    with pytest.raises(ValueError, match=message):
        asyncio.run(Stock().add(number))
    with pytest.raises(ValueError, match=message):
        asyncio.run(Stock().take(number))
