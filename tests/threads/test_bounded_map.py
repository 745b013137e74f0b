"""What the recipe says of a lazy map, shown to be so."""

import multiprocessing
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from itertools import count, islice
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest

from cookbook.threads.bounded_map import (
    CountedInput,
    bounded_map,
    broken_map,
    double,
)

HAS_BUFFERSIZE = sys.version_info >= (3, 14)


def built_in(
    pool: Executor,
    function: Callable[[int], int],
    items: Iterable[int],
    *,
    ahead: int,
) -> Iterator[int]:
    """Call ``Executor.map`` as from Python 3.14 on."""
    lazy_map: Any = pool.map
    results: Iterator[int] = lazy_map(function, items, buffersize=ahead)
    return results


from_3_14 = pytest.mark.skipif(not HAS_BUFFERSIZE, reason="new in 3.14")
each_lazy_map = pytest.mark.parametrize(
    "lazy_map",
    [bounded_map, pytest.param(built_in, marks=from_3_14)],
)


class Manual(Executor):
    """An executor that runs nothing."""

    future: type[Future[Any]] = Future

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(  # type: ignore[override]
        self, *_: object
    ) -> Future[Any]:
        """Note the job."""
        self.futures.append(self.future())
        return self.futures[-1]


@each_lazy_map
@pytest.mark.parametrize("ahead", [1, 2, 7, 8, 50])
@pytest.mark.parametrize("items", [0, 1, 7])
def test_results_come_in_the_order_of_the_items(
    lazy_map: Callable[..., Iterator[int]], ahead: int, items: int
) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = lazy_map(pool, double, range(items), ahead=ahead)
        assert list(results) == [2 * number for number in range(items)]


@each_lazy_map
def test_an_endless_input_gives_results(
    lazy_map: Callable[..., Iterator[int]],
) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = lazy_map(pool, double, count(), ahead=3)
        assert [next(results) for _ in range(5)] == [0, 2, 4, 6, 8]


def test_a_pool_of_processes_gives_the_same_results() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        results = bounded_map(pool, double, count(), ahead=3)
        assert list(islice(results, 5)) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("ahead", [1, 3])
def test_never_more_jobs_than_ahead_are_submitted_and_not_taken(
    ahead: int,
) -> None:
    source = CountedInput()
    with ThreadPoolExecutor(1) as pool:
        results = bounded_map(pool, double, source.numbers(), ahead=ahead)
        assert source.read == 0
        for taken in range(1, 4):
            next(results)
            assert source.read == taken + ahead - 1


def test_by_default_eight_jobs_are_submitted_ahead() -> None:
    source = CountedInput()
    with ThreadPoolExecutor(1) as pool:
        next(bounded_map(pool, double, source.numbers()))
    assert source.read == 8


@from_3_14
def test_from_3_14_buffersize_submits_at_the_call_and_one_more_at_next() -> (
    None
):
    source = CountedInput()
    with ThreadPoolExecutor(1) as pool:
        results = built_in(pool, double, source.numbers(), ahead=3)
        assert source.read == 3
        next(results)
        assert source.read == 4


@pytest.mark.skipif(HAS_BUFFERSIZE, reason="3.14 has it")
def test_before_3_14_map_has_no_buffersize() -> None:
    message = "Executor.map() got an unexpected keyword argument 'buffersize'"
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(TypeError, match=f"^{re.escape(message)}$"),
    ):
        built_in(pool, double, [1], ahead=3)


def test_executor_map_reads_the_whole_input_before_the_first_result() -> None:
    source = CountedInput()
    with ThreadPoolExecutor(1) as pool:
        results = broken_map(pool, double, source.numbers(stop=1000))
        assert source.read == 1000
        assert next(results) == 0


def test_imap_of_a_pool_reads_the_whole_input_although_no_job_is_done() -> (
    None
):
    all_read, go_on = threading.Event(), threading.Event()

    def numbers() -> Iterator[int]:
        yield from range(1000)
        all_read.set()

    pool = ThreadPool(1)
    try:
        pool.imap(lambda _: go_on.wait(timeout=10), numbers())
        assert all_read.wait(timeout=10)
    finally:
        go_on.set()
        pool.close()
        pool.join()


def test_after_an_error_waiting_jobs_are_cancelled_others_go_on() -> None:
    source = CountedInput()
    running, go_on = threading.Event(), threading.Event()
    ran: list[int] = []

    def job(number: int) -> None:
        if number == 0:
            assert running.wait(timeout=10)
            raise ValueError("job 0")
        running.set()
        go_on.wait(timeout=10)
        ran.append(number)

    with ThreadPoolExecutor(2) as pool:
        results = bounded_map(pool, job, source.numbers(), ahead=5)
        with pytest.raises(ValueError, match="job 0"):
            next(results)
        assert ran == []
        assert source.read == 5
        assert next(results, "over") == "over"
        go_on.set()
    assert 1 in ran
    assert set(ran) <= {1, 2}


def test_an_error_in_the_input_cancels_what_waits_and_is_raised() -> None:
    pool = Manual()

    def items() -> Iterator[int]:
        yield from range(2)
        raise OSError("no more")

    results = bounded_map(pool, double, items())
    with pytest.raises(OSError, match="no more"):
        next(results)
    assert [one.cancelled() for one in pool.futures] == [True, True]


class FirstDone(Manual):
    """An executor that has done the first job, and begun the second."""

    def submit(self, *_: object) -> Future[Any]:  # type: ignore[override]
        """Note the job."""
        future = super().submit()
        if len(self.futures) <= 2:
            future.set_running_or_notify_cancel()
        if len(self.futures) == 1:
            future.set_result(0)
        return future


@pytest.mark.parametrize("way", ["break", "close"])
def test_leaving_early_cancels_the_jobs_that_have_not_started(
    way: str,
) -> None:
    pool = FirstDone()
    if way == "break":
        for result in bounded_map(pool, double, count(), ahead=4):
            assert result == 0
            break
    else:
        results = bounded_map(pool, double, count(), ahead=4)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
    first, second, *others = pool.futures
    assert first.done()
    assert second.running()
    assert [one.cancelled() for one in others] == [True, True]


def test_a_break_cancels_no_job_while_a_name_keeps_the_iterator() -> None:
    pool = FirstDone()
    results = bounded_map(pool, double, count(), ahead=4)
    for _ in results:
        break
    assert not any(one.cancelled() for one in pool.futures)
    del results
    assert [one.cancelled() for one in pool.futures[2:]] == [True, True]


def test_ctrl_c_while_waiting_cancels_all_jobs_that_have_not_started() -> None:
    class Interrupted(Future[Any]):
        """A future at which Ctrl-C is pressed."""

        def exception(self, timeout: float | None = None) -> None:
            """Be interrupted."""
            raise KeyboardInterrupt(timeout)

        def result(self, timeout: float | None = None) -> None:
            """Be interrupted."""
            raise KeyboardInterrupt(timeout)

    class Pool(Manual):
        """An executor whose futures are interrupted."""

        future = Interrupted

    pool = Pool()
    with pytest.raises(KeyboardInterrupt):
        next(bounded_map(pool, double, count(), ahead=3))
    assert [one.cancelled() for one in pool.futures] == [True, True, True]


def test_after_the_with_block_the_next_item_raises_a_runtime_error() -> None:
    with ThreadPoolExecutor(1) as pool:
        results = bounded_map(pool, double, count(), ahead=2)
        assert next(results) == 0
    message = "^cannot schedule new futures after shutdown$"
    with pytest.raises(RuntimeError, match=message):
        next(results)


def test_a_slow_first_job_holds_back_the_results_and_further_jobs() -> None:
    source = CountedInput()
    others_done, checked = threading.Event(), threading.Event()
    finished: list[int] = []

    def job(number: int) -> int:
        if number == 0:
            assert checked.wait(timeout=10)
        finished.append(number)
        if len(finished) == 3:
            others_done.set()
        return number

    def check() -> None:
        assert others_done.wait(timeout=10)
        assert source.read == 4
        checked.set()

    with ThreadPoolExecutor(3) as pool:
        checking = pool.submit(check)
        results = bounded_map(pool, job, source.numbers(), ahead=4)
        assert next(results) == 0
    assert checking.exception() is None
    assert finished == [1, 2, 3, 0]


def test_submit_never_waits_unless_a_semaphore_counts_what_is_not_done() -> (
    None
):
    go_on = threading.Event()
    free = threading.Semaphore(2)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(100):  # no bound
            pool.submit(go_on.wait, 10)
        for _ in range(2):
            assert free.acquire(timeout=10)
            done = pool.submit(go_on.wait, 10)
            done.add_done_callback(lambda _: free.release())
        assert not free.acquire(blocking=False)
        go_on.set()
        assert free.acquire(timeout=10)


@pytest.mark.parametrize("ahead", [0, -1])
def test_less_than_one_job_ahead_is_refused_by_value_at_the_call(
    ahead: int,
) -> None:
    message = f"^ahead must be at least 1, not {ahead}$"
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ValueError, match=message),
    ):
        bounded_map(pool, double, [1], ahead=ahead)
