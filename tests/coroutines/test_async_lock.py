"""What the recipe says of locks between tasks, shown to be so."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cookbook.coroutines import async_lock
from cookbook.coroutines.async_lock import BrokenCached, Cached
from cookbook.testing.without_sleeping import run_in_virtual_time

Kind = Callable[[Callable[[], Awaitable[int]]], Cached[int]]


class Loader:
    """Loads a number when it is let, and counts the loads."""

    def __init__(self) -> None:
        self.loads = 0
        self.may_end = asyncio.Event()

    async def load(self) -> int:
        """Wait until it may end."""
        self.loads += 1
        await self.may_end.wait()
        return self.loads


async def loads_for_three_tasks(kind: Kind) -> int:
    """Return how often it is loaded for tasks that all ask before it is."""
    loader = Loader()
    cached = kind(loader.load)
    tasks = [asyncio.create_task(cached.get()) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    loader.may_end.set()
    await asyncio.gather(*tasks)
    return loader.loads


def test_with_the_lock_three_tasks_load_once() -> None:
    assert asyncio.run(loads_for_three_tasks(Cached)) == 1


def test_without_the_lock_each_of_three_tasks_loads() -> None:
    assert asyncio.run(loads_for_three_tasks(BrokenCached)) == 3


def test_what_the_programs_print_is_what_the_page_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async_lock.main()
    async_lock.broken_main()
    assert capsys.readouterr().out.splitlines() == [
        "loaded: 1 got: 1 1 1",
        "loaded: 3 got: 3 3 3",
    ]


def test_a_value_that_was_loaded_is_not_loaded_again() -> None:
    async def main() -> int:
        loader = Loader()
        loader.may_end.set()
        cached = Cached(loader.load)
        assert await cached.get() == 1
        return await cached.get()

    assert asyncio.run(main()) == 1


def test_none_is_a_value_too() -> None:
    calls = []

    async def load() -> None:
        calls.append(1)

    async def main() -> None:
        cached = Cached(load)
        await cached.get()
        await cached.get()

    asyncio.run(main())
    assert calls == [1]


def test_if_loading_raises_nothing_is_kept_and_the_next_task_tries_again() -> (
    None
):
    answers: list[Any] = [OSError("no answer"), "token"]

    async def load() -> str:
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return str(answer)

    async def main() -> tuple[Any, Any]:
        cached = Cached(load)
        first, second = await asyncio.gather(
            cached.get(), cached.get(), return_exceptions=True
        )
        return first, second

    first, second = asyncio.run(main())
    assert (repr(first), second) == ("OSError('no answer')", "token")


@pytest.mark.parametrize("number", [0, 1])
def test_a_cancelled_task_lets_go_of_the_lock_and_the_others_go_on(
    number: int,
) -> None:
    async def main() -> list[Any]:
        loader = Loader()
        cached = Cached(loader.load)
        tasks = [asyncio.create_task(cached.get()) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
        tasks[number].cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        loader.may_end.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    got = asyncio.run(main())
    assert isinstance(got.pop(number), asyncio.CancelledError)
    assert got == [2 - number, 2 - number]


def test_a_timeout_gives_up_the_wait_for_the_lock() -> None:
    async def main() -> int:
        loader = Loader()
        cached = Cached(loader.load)
        task = asyncio.create_task(cached.get())
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await cached.get()
        loader.may_end.set()
        return await task

    assert run_in_virtual_time(main()) == 1


def test_a_timeout_cancels_the_load_that_is_under_way() -> None:
    async def main() -> None:
        cached = Cached(Loader().load)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await cached.get()

    run_in_virtual_time(main())


def test_waiting_tasks_get_the_lock_in_the_order_in_which_they_asked() -> None:
    order: list[int] = []

    async def main() -> None:
        lock = asyncio.Lock()

        async def take(number: int) -> None:
            async with lock:
                await asyncio.sleep(0)
                order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(take(number))

    asyncio.run(main())
    assert order == [0, 1, 2, 3, 4]


def test_a_threading_lock_held_across_an_await_stops_the_loop() -> None:
    lock = threading.Lock()
    log: list[str] = []

    async def hold() -> None:
        with lock:
            await asyncio.sleep(0)
            log.append("back, and lets go")

    async def want() -> None:
        # A second task would wait here without end; this one gives up.
        got = lock.acquire(timeout=0.05)
        log.append(f"got it: {got}")

    async def main() -> None:
        await asyncio.gather(hold(), want())

    asyncio.run(main())
    assert log == ["got it: False", "back, and lets go"]


def test_a_step_without_await_is_not_interrupted_by_another_task() -> None:
    count = 0

    async def add() -> None:
        nonlocal count
        for _ in range(1000):
            before = count
            count = before + 1

    async def main() -> None:
        await asyncio.gather(*(add() for _ in range(5)))

    asyncio.run(main())
    assert count == 5000


def test_a_lock_that_a_task_waited_for_is_bound_to_that_event_loop() -> None:
    lock = asyncio.Lock()

    async def use_twice() -> None:
        async def use() -> None:
            async with lock:
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(use())
            group.create_task(use())

    asyncio.run(use_twice())
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(use_twice())
    [error] = caught.value.exceptions
    assert isinstance(error, RuntimeError)
    assert str(error).endswith("is bound to a different event loop")


def test_a_lock_that_nobody_waited_for_is_bound_to_no_event_loop() -> None:
    lock = asyncio.Lock()

    async def use() -> None:
        async with lock:
            pass

    asyncio.run(use())
    asyncio.run(use())


def test_to_release_what_nobody_holds_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=re.escape("Lock is not acquired.")):
        asyncio.Lock().release()


def test_a_lock_is_entered_with_async_with_only() -> None:
    async def main() -> None:
        lock: Any = asyncio.Lock()
        with (
            pytest.raises(TypeError, match="context manager protocol"),
            lock,
        ):
            pass

    asyncio.run(main())


def test_what_cannot_be_called_is_refused_by_value() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="a coroutine function, not 5"):
        Cached(wrong)
