"""What the recipe says of results as they come, shown to be so."""

import gc
import multiprocessing
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from typing import Any

import pytest

from cookbook.threads.as_completed import (
    Pages,
    broken_map,
    map_as_completed,
)

NAMES = ["slow", "missing"]


class Manual(Executor):
    """An executor that runs nothing."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, *_: object) -> Future[Any]:  # type: ignore[override]
        """Note the job."""
        self.futures.append(Future())
        return self.futures[-1]


def test_results_come_in_the_order_in_which_the_jobs_end() -> None:
    may_end = [threading.Event() for _ in range(4)]
    order = [2, 0, 3, 1]
    may_end[2].set()

    def job(number: int) -> str:
        assert may_end[number].wait(timeout=10)
        return f"result {number}"

    taken = []
    with ThreadPoolExecutor(4) as pool:
        for number, future in map_as_completed(pool, job, range(4)):
            taken.append(number)
            assert future.result() == f"result {number}"
            for successor in order[len(taken) : len(taken) + 1]:
                may_end[successor].set()
    assert taken == order


def test_in_the_order_of_submission_the_first_job_holds_back_the_others() -> (
    None
):
    pages = Pages(patience=0.05)
    with ThreadPoolExecutor(2) as pool:
        results = broken_map(pool, pages.fetch, NAMES)
        name, future = next(results)
        assert name == "slow"
        assert future.result() == "held back the other"
        assert next(results)[0] == "missing"


def test_on_the_same_schedule_the_job_that_ends_first_comes_first() -> None:
    pages = Pages(patience=10)
    with ThreadPoolExecutor(2) as pool:
        results = map_as_completed(pool, pages.fetch, NAMES)
        assert next(results)[0] == "missing"
        pages.reported.set()
        name, future = next(results)
        assert name == "slow"
        assert future.result() == "came last"


def test_a_pool_of_processes_gives_the_results_with_their_items() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        results = map_as_completed(pool, abs, [-1, -2])
        assert {item: job.result() for item, job in results} == {-1: 1, -2: 2}


def test_two_equal_items_have_a_future_each() -> None:
    with ThreadPoolExecutor(2) as pool:
        taken = [
            (item, future.result())
            for item, future in map_as_completed(pool, len, ["ab", "ab"])
        ]
    assert taken == [("ab", 2), ("ab", 2)]


def test_no_items_give_no_results() -> None:
    assert list(map_as_completed(Manual(), len, [])) == []


def test_no_job_is_submitted_before_the_first_result_is_asked_for() -> None:
    pool = Manual()
    results = map_as_completed(pool, len, ["a"], timeout=0)
    assert pool.futures == []
    with pytest.raises(TimeoutError):
        next(results)
    assert len(pool.futures) == 1


def test_as_completed_gives_a_future_once_and_those_that_are_done_first() -> (
    None
):
    done, pending = Future[int](), Future[int]()
    done.set_result(1)
    futures = as_completed([pending, done, done])
    assert next(futures) is done
    pending.set_result(2)
    assert list(futures) == [pending]


def test_a_job_that_raises_is_told_by_its_item_and_the_others_go_on() -> None:
    def job(number: int) -> float:
        return 1 / number

    errors, good = {}, []
    with ThreadPoolExecutor(2) as pool:
        for number, future in map_as_completed(pool, job, [1, 0, 2]):
            if error := future.exception():
                errors[number] = type(error)
            else:
                good.append(future.result())
    assert errors == {0: ZeroDivisionError}
    assert sorted(good) == [0.5, 1.0]


@pytest.mark.parametrize("way", ["break", "close", "error"])
def test_leaving_the_loop_cancels_the_jobs_that_have_not_started(
    way: str,
) -> None:
    ran: list[int] = []
    started, go_on = threading.Event(), threading.Event()

    def job(number: int) -> None:
        ran.append(number)
        if number > 0:
            started.set()
            go_on.wait(timeout=10)

    with ThreadPoolExecutor(1) as pool:
        results = map_as_completed(pool, job, range(10))
        _, future = next(results)
        assert started.wait(timeout=10)
        if way == "close":
            results.close()  # type: ignore[attr-defined]
        elif way == "break":
            del results
        else:
            with pytest.raises(OSError, match="disk full"):
                results.throw(OSError("disk full"))  # type: ignore[attr-defined]
        go_on.set()
    assert future.done()
    assert ran == [0, 1]


def test_a_break_cancels_no_job_while_a_name_keeps_the_iterator() -> None:
    def items() -> Iterator[int]:
        yield 1
        pool.futures[0].set_result(1)
        yield 2

    pool = Manual()
    results = map_as_completed(pool, abs, items())
    for _ in results:
        break
    assert not pool.futures[1].cancelled()
    del results
    assert pool.futures[1].cancelled()


def test_an_error_in_the_items_cancels_the_jobs_submitted_before() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("no more")

    pool = Manual()
    with pytest.raises(OSError, match="no more"):
        next(map_as_completed(pool, abs, items()))
    assert [one.cancelled() for one in pool.futures] == [True, True]


def test_a_future_that_somebody_cancels_comes_too_and_raises() -> None:
    go_on = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(go_on.wait, 10)
        second = pool.submit(go_on.wait, 10)
        assert second.cancel()
        go_on.set()
        taken = set(as_completed([first, second]))
    assert taken == {first, second}
    with pytest.raises(CancelledError):
        second.result()


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_after_the_timeout_jobs_that_run_go_on_and_the_rest_is_cancelled(
    timeout: float,
) -> None:
    started, go_on = threading.Event(), threading.Event()
    ended: list[int] = []

    def job(number: int) -> None:
        started.set()
        assert go_on.wait(timeout=10)
        ended.append(number)

    def items() -> Iterator[int]:
        yield 1
        assert started.wait(timeout=10)
        yield 2

    with ThreadPoolExecutor(1) as pool:
        results = map_as_completed(pool, job, items(), timeout=timeout)
        message = r"^2 \(of 2\) futures unfinished$"
        with pytest.raises(TimeoutError, match=message):
            next(results)
        assert ended == []
        go_on.set()
    assert ended == [1]


def test_the_timeout_is_for_all_jobs_and_counts_the_work_in_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    go_on = threading.Event()

    def items() -> Iterator[float]:
        nonlocal now
        yield 0
        now += 100  # the time in which items come does not count
        yield 10

    with ThreadPoolExecutor(2) as pool:
        results = map_as_completed(pool, go_on.wait, items(), timeout=60)
        assert next(results)[0] == 0
        now += 61
        message = r"^1 \(of 2\) futures unfinished$"
        with pytest.raises(TimeoutError, match=message):
            next(results)
        go_on.set()


def test_a_result_is_not_kept_when_you_have_dropped_it() -> None:
    class Result:
        """What a job returns."""

    def job(_: int) -> Result:
        return Result()

    with ThreadPoolExecutor(1) as pool:
        results = map_as_completed(pool, job, range(3))
        first = weakref.ref(next(results)[1].result())
        next(results)
        gc.collect()
        assert first() is None
        results.close()  # type: ignore[attr-defined]
