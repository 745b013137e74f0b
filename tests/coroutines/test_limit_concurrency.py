"""What the recipe says of limiting coroutines, shown to be so."""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from cookbook.coroutines.limit_concurrency import (
    Meter,
    broken_map,
    limited,
    map_with_workers,
)
from cookbook.testing.without_sleeping import run_in_virtual_time

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="limits of open files are POSIX's"
)
TOO_MANY_FILES = """
import asyncio, resource

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    opened = []
    try:
        for _ in range(100):
            opened.append(await asyncio.open_connection(*address))
    except OSError as error:
        print(error)
    for _, writer in opened:
        writer.transport.abort()
    server.close()

asyncio.run(main())
"""
HIGH_DESCRIPTOR = """
import asyncio, os, resource, select

resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
high = 1500
os.dup2(os.pipe()[0], high)
try:
    select.select([high], [], [], 0)
except ValueError as error:
    print(error)

async def main():
    loop = asyncio.get_running_loop()
    loop.add_reader(high, print)
    loop.remove_reader(high)
    print("asyncio takes it")

asyncio.run(main())
"""


class Waiting:
    """A job that waits until it is cancelled, and takes time to clean up."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.cleaned_up: list[int] = []
        self.started = asyncio.Semaphore(0)

    async def job(self, number: int) -> None:
        """Wait until it is cancelled."""
        self.begun.append(number)
        self.started.release()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned_up.append(number)


def child(program: str) -> str:
    command = [sys.executable, "-c", program]
    run = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    )
    return run.stdout


@pytest.mark.parametrize("at_most", [1, 2, 7])
def test_workers_run_as_many_jobs_at_once_as_allowed_and_no_more(
    at_most: int,
) -> None:
    meter = Meter()
    run = map_with_workers(meter.job, range(20), at_most=at_most)
    assert asyncio.run(run) == list(range(20))
    assert meter.most == at_most


def test_workers_need_no_more_tasks_than_places() -> None:
    meter = Meter()
    asyncio.run(map_with_workers(meter.job, range(500), at_most=3))
    assert meter.tasks == 3


def test_a_task_for_each_item_exists_although_few_of_them_run() -> None:
    meter = Meter()
    asyncio.run(broken_map(meter.job, range(500), at_most=3))
    assert (meter.most, meter.tasks) == (3, 500)


def test_workers_take_no_item_before_one_of_them_is_free() -> None:
    taken: list[int] = []
    ended: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            assert len(taken) <= len(ended) + 2
            yield number

    async def job(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)

    asyncio.run(map_with_workers(job, items(), at_most=2))
    assert sorted(ended) == taken == list(range(10))


def test_the_trap_reads_all_items_before_the_first_job_begins() -> None:
    log: list[str] = []

    def items() -> Iterator[int]:
        for number in range(10):
            log.append("item")
            yield number

    async def job(_: int) -> None:
        log.append("job")

    asyncio.run(broken_map(job, items(), at_most=2))
    assert log == 10 * ["item"] + 10 * ["job"]


def test_workers_can_stop_at_an_error_in_items_without_an_end() -> None:
    async def job(number: int) -> None:
        await asyncio.sleep(0)
        if number == 5:
            raise OSError("that is enough")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(map_with_workers(job, itertools.count(), at_most=2))
    [error] = caught.value.exceptions
    assert repr(error) == "OSError('that is enough')"


def test_results_come_in_the_order_of_the_items_whichever_ends_first() -> None:
    ended: list[int] = []

    async def job(seconds: int) -> int:
        await asyncio.sleep(seconds)
        ended.append(seconds)
        return seconds

    items = [9, 1, 5, 2]
    run = map_with_workers(job, items, at_most=3)
    assert run_in_virtual_time(run) == items
    assert ended == [1, 2, 5, 9]


def test_no_items_give_no_results_whatever_the_limit_is() -> None:
    meter = Meter()
    assert asyncio.run(map_with_workers(meter.job, [], at_most=5)) == []


def test_batches_wait_for_the_slowest_job_of_each_and_workers_do_not() -> None:
    seconds = [10, 1, 1, 1, 1, 1]

    async def in_batches() -> float:
        for batch in ([10, 1], [1, 1], [1, 1]):
            await asyncio.gather(*map(asyncio.sleep, batch))
        return asyncio.get_running_loop().time()

    async def in_workers() -> float:
        await map_with_workers(asyncio.sleep, seconds, at_most=2)
        return asyncio.get_running_loop().time()

    assert round(run_in_virtual_time(in_batches())) == 12
    assert round(run_in_virtual_time(in_workers())) == 10


def test_when_a_job_raises_the_others_are_cancelled_and_none_is_begun() -> (
    None
):
    waiting = Waiting()

    async def job(number: int) -> None:
        if number == 2:
            raise OSError("no answer")
        await waiting.job(number)

    items = iter(range(10))
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        asyncio.run(map_with_workers(job, items, at_most=3))
    assert waiting.begun == sorted(waiting.cleaned_up) == [0, 1]
    assert next(items) == 3


def test_an_error_in_the_items_cancels_the_jobs_and_is_raised() -> None:
    waiting = Waiting()

    def items() -> Iterator[int]:
        yield 0
        raise OSError("no more")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(map_with_workers(waiting.job, items(), at_most=2))
    assert repr(caught.value.exceptions) == "(OSError('no more'),)"
    assert waiting.begun == waiting.cleaned_up == [0]


def test_a_job_that_raises_cancelled_error_itself_loses_no_result() -> None:
    async def job(number: int) -> int:
        if number == 1:
            raise asyncio.CancelledError
        return number

    for at_most in (1, 3):
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(map_with_workers(job, range(9), at_most=at_most))


@pytest.mark.parametrize("at_most", [0, -1, 2.5, None, "3"])
def test_a_limit_below_one_is_refused_before_an_item_is_taken(
    at_most: int,
) -> None:
    items = iter([1])
    wrong = f"at_most must be 1 or more, not {at_most!r}"
    with pytest.raises(ValueError, match=wrong):
        asyncio.run(map_with_workers(Meter().job, items, at_most=at_most))
    with pytest.raises(ValueError, match=wrong):
        limited(Meter().job, at_most)
    assert list(items) == [1]


@pytest.mark.parametrize("at_most", [1, 2, 7])
def test_a_limited_job_lets_in_as_many_callers_as_allowed(
    at_most: int,
) -> None:
    meter = Meter()

    async def main() -> list[int]:
        visit = limited(meter.job, at_most)
        return await asyncio.gather(*map(visit, range(20)))

    assert asyncio.run(main()) == list(range(20))
    assert meter.most == at_most


def test_a_limited_job_gives_its_place_back_when_it_raises() -> None:
    async def fail() -> None:
        raise OSError("no answer")

    async def main() -> None:
        job = limited(fail, 1)
        for _ in range(3):
            async with asyncio.timeout(10):
                with pytest.raises(OSError, match="no answer"):
                    await job()

    asyncio.run(main())


def test_a_limited_job_keeps_its_name_and_takes_keyword_arguments() -> None:
    async def divide(one: int, other: int) -> float:
        return one / other

    job = limited(divide, 1)
    assert asyncio.run(job(6, other=3)) == 2  # type: ignore[arg-type]
    assert job.__name__ == "divide"


def test_who_is_cancelled_while_waiting_for_a_place_takes_none() -> None:
    waiting = Waiting()

    async def main() -> None:
        job = limited(waiting.job, 1)
        first = asyncio.ensure_future(job(1))
        second = asyncio.ensure_future(job(2))
        third = asyncio.ensure_future(job(3))
        await waiting.started.acquire()
        second.cancel()
        await asyncio.wait([second])
        assert waiting.begun == [1]
        first.cancel()
        await asyncio.wait([first])
        await waiting.started.acquire()
        assert waiting.begun == [1, 3]
        third.cancel()
        await asyncio.wait([third])

    asyncio.run(main())


def test_a_place_held_around_create_task_limits_nothing() -> None:
    meter = Meter()

    async def main() -> None:
        places = asyncio.Semaphore(1)
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                async with places:
                    group.create_task(meter.job(number))

    asyncio.run(main())
    assert meter.most == 5


def test_a_job_that_calls_itself_through_the_limit_waits_for_ever() -> None:
    async def main() -> None:
        async def count_down(number: int) -> None:
            if number:
                await job(number - 1)

        job = limited(count_down, 2)
        await job(1)
        await job(2)

    with pytest.raises(RuntimeError, match="every task waits"):
        run_in_virtual_time(main())


def test_a_semaphore_that_made_somebody_wait_serves_no_other_loop() -> None:
    meter = Meter()
    visit = limited(meter.job, 1)

    async def one() -> None:
        await visit(1)

    async def two() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(one())
            group.create_task(one())

    asyncio.run(two())
    asyncio.run(one())  # nobody has to wait
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(two())
    [error] = caught.value.exceptions
    assert isinstance(error, RuntimeError)
    assert "is bound to a different event loop" in str(error)


def test_a_timeout_around_the_call_cancels_all_jobs() -> None:
    waiting = Waiting()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await map_with_workers(waiting.job, range(9), at_most=2)

    run_in_virtual_time(main())
    assert waiting.begun == sorted(waiting.cleaned_up) == [0, 1]


def test_a_timeout_around_a_limited_job_counts_the_wait_for_a_place() -> None:
    async def nap() -> None:
        await asyncio.sleep(6)

    async def nap_with_timeout() -> None:
        async with asyncio.timeout(10):
            await nap()

    async def visit(job: Callable[[], Any]) -> str:
        try:
            await job()
        except TimeoutError:
            return "too late"
        return "in time"

    async def main() -> list[str]:
        places = limited(nap, 1)
        outside = partial(asyncio.wait_for, timeout=10)
        inside = limited(nap_with_timeout, 1)
        callers = [visit(lambda: outside(places())) for _ in range(2)]
        callers += [visit(inside) for _ in range(2)]
        return await asyncio.gather(*callers)

    said = run_in_virtual_time(main())
    assert said == ["in time", "too late", "in time", "in time"]


def test_a_cancellation_cancels_and_awaits_all_jobs() -> None:
    waiting = Waiting()

    async def main() -> None:
        run = map_with_workers(waiting.job, range(9), at_most=2)
        task = asyncio.create_task(run)
        await waiting.started.acquire()
        await waiting.started.acquire()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert waiting.begun == sorted(waiting.cleaned_up) == [0, 1]

    asyncio.run(main())


def test_ctrl_c_cancels_and_awaits_all_jobs() -> None:
    waiting = Waiting()

    async def job(number: int) -> None:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        await waiting.job(number)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(map_with_workers(job, range(9), at_most=3))
    assert waiting.begun == sorted(waiting.cleaned_up) == [0, 1, 2]


def test_the_number_of_tasks_tells_of_the_trap() -> None:
    seen: dict[str, int] = {}

    async def job(_: int) -> None:
        seen.setdefault("tasks", len(asyncio.all_tasks()))

    asyncio.run(broken_map(job, range(50), at_most=2))
    assert seen.pop("tasks") == 50 + 1
    asyncio.run(map_with_workers(job, range(50), at_most=2))
    assert seen.pop("tasks") == 2 + 1


@posix_only
def test_each_connection_takes_a_descriptor_until_there_are_none() -> None:
    assert child(TOO_MANY_FILES) == "[Errno 24] Too many open files\n"


@posix_only
def test_select_refuses_a_descriptor_above_1023_and_asyncio_takes_it() -> None:
    said = child(HIGH_DESCRIPTOR).splitlines()
    assert said == [
        "filedescriptor out of range in select()",
        "asyncio takes it",
    ]
