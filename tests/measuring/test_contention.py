"""What the recipe says of threads that want one lock, shown to be so."""

import contextlib
import operator
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import Mock, call

import pytest

from cookbook.measuring import contention as recipe
from cookbook.measuring.contention import (
    StripedCounts,
    Visitors,
    WatchedLock,
    broken_count,
    count_alone,
    count_with_short_lock,
)
from cookbook.primes import WORKERS

Count = Callable[..., Counter[object]]
RIGHT = [count_with_short_lock, count_alone]

every_right_way = pytest.mark.parametrize("count", RIGHT)


@every_right_way
@pytest.mark.parametrize("workers", [2, 4])
def test_all_threads_are_in_the_work_at_once(
    count: Count, workers: int
) -> None:
    work = Visitors(threading.Barrier(workers, timeout=60).wait)
    counts = count(work, range(workers * 3), workers=workers)
    assert work.most == workers
    assert counts.total() == workers * 3


def test_the_work_remembers_how_many_were_in_it_and_they_count_no_longer() -> (
    None
):
    meeting = threading.Barrier(2, timeout=60)
    calls = iter(range(4))

    def wait() -> None:
        if next(calls) < 2:
            meeting.wait()

    work = Visitors(wait)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == ["even", "odd"]
    for number in range(2):
        work(number)
    assert work.most == 2
    alone = Visitors(int)
    for number in range(2):
        alone(number)
    assert alone.most == 1


def test_under_one_lock_two_threads_never_meet_in_the_work() -> None:
    meeting = threading.Barrier(2, timeout=0.1)
    met = []

    def work(item: int) -> int:
        try:
            meeting.wait()
        except threading.BrokenBarrierError:
            met.append(False)
        else:
            met.append(True)
        return item

    broken_count(work, range(4), workers=2, lock=threading.Lock())
    assert met == [False] * 4


def test_under_one_lock_all_other_threads_wait_while_one_is_in_the_work() -> (
    None
):
    arrived = threading.Semaphore(0)

    def wait() -> None:
        if lock.taken == 1:
            for _ in range(3):
                assert arrived.acquire(timeout=60)

    work = Visitors(wait)
    lock = WatchedLock(on_wait=arrived.release)
    counts = broken_count(work, range(4), workers=4, lock=lock)
    assert (work.most, lock.taken, lock.waits) == (1, 4, 3)
    assert counts == {"odd": 2, "even": 2}


def test_a_short_lock_is_free_while_a_thread_is_in_the_work() -> None:
    seen: list[bool] = []

    def work(item: int) -> int:
        seen.append(lock.acquire(timeout=60))
        lock.release()
        return item

    lock = threading.Lock()
    count_with_short_lock(work, [7], workers=1, lock=lock)
    assert seen == [True]


@every_right_way
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_way_counts_each_item_once(count: Count, workers: int) -> None:
    items = [1, -1, 2, -2, -2]
    expected = {1: 2, 2: 3}
    assert count(abs, items, workers=workers) == expected
    assert count(abs, [], workers=workers) == {}
    lock = threading.Lock()
    found = broken_count(abs, items, workers=workers, lock=lock)
    assert found == expected


def test_a_short_lock_is_taken_once_for_each_item() -> None:
    lock = WatchedLock()
    count_with_short_lock(abs, range(10), workers=2, lock=lock)
    assert lock.taken == 10


class Answer:
    """An answer that two threads must count at the same time, if they can."""

    def __init__(self, meeting: threading.Barrier) -> None:
        self._meeting = meeting
        self._counted = False

    def __hash__(self) -> int:
        if not self._counted:
            self._counted = True
            with contextlib.suppress(threading.BrokenBarrierError):
                self._meeting.wait()
        return 7


def test_without_a_lock_of_yours_there_is_one_and_no_two_threads_update() -> (
    None
):
    meeting = threading.Barrier(2, timeout=0.1)
    count_with_short_lock(lambda _: Answer(meeting), range(2), workers=2)
    assert meeting.broken


def test_threads_with_totals_of_their_own_update_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60)
    answers = [Answer(meeting), Answer(meeting)]

    def work(number: int) -> Answer:
        return answers[number]

    counts = count_alone(work, range(2), workers=2)
    assert counts.total() == 2
    assert not meeting.broken


def test_a_wait_is_counted_for_each_thread_that_finds_the_lock_taken() -> None:
    arrived = threading.Semaphore(0)
    lock = WatchedLock(on_wait=arrived.release)

    def take() -> None:
        with lock:
            pass

    with ThreadPoolExecutor(3) as pool:
        with lock:
            jobs = [pool.submit(take) for _ in range(3)]
            for _ in jobs:
                assert arrived.acquire(timeout=60)
            assert (lock.taken, lock.waits) == (1, 0)
        for job in jobs:
            job.result(timeout=60)
    assert (lock.taken, lock.waits) == (4, 3)


def test_who_finds_the_lock_free_does_not_wait_and_calls_nothing() -> None:
    lock = WatchedLock(on_wait=Mock(side_effect=AssertionError))
    for _ in range(3):
        with lock:
            pass
    assert (lock.taken, lock.waits) == (3, 0)


def test_an_error_under_the_watched_lock_leaves_it_free() -> None:
    lock = WatchedLock()
    for _ in range(2):
        with pytest.raises(OSError, match="no answer"), lock:
            raise OSError("no answer")
    assert (lock.taken, lock.waits) == (2, 0)


def test_a_key_can_be_added_while_a_thread_holds_the_lock_of_another() -> None:
    counts = StripedCounts(4)
    with ThreadPoolExecutor(1) as pool:
        with counts.locks[0]:
            pool.submit(counts.add, 1).result(timeout=60)
            pool.submit(counts.add, 6).result(timeout=60)
        assert counts.total() == {1: 1, 6: 1}


@pytest.mark.parametrize("keys", [(0, 4), (0, 0)])
def test_keys_of_one_stripe_wait_for_each_other_and_lose_nothing(
    keys: tuple[int, int],
) -> None:
    arrived = threading.Semaphore(0)
    counts = StripedCounts(4, partial(WatchedLock, arrived.release))
    with ThreadPoolExecutor(2) as pool:
        with counts.locks[0]:
            jobs = [pool.submit(counts.add, key) for key in keys]
            for _ in jobs:
                assert arrived.acquire(timeout=60)
            assert not any(job.done() for job in jobs)
        for job in jobs:
            job.result(timeout=60)
    assert counts.total() == Counter(keys)


def test_stripes_are_not_watched_unless_told_to() -> None:
    locks = StripedCounts(2).locks
    assert {type(lock) for lock in locks} == {type(threading.Lock())}
    assert locks[0] is not locks[1]


def test_each_key_has_one_lock_and_each_number_is_added() -> None:
    counts = StripedCounts(3, WatchedLock)
    for key in "a", "b", 5, ("a", 5):
        before = [lock.taken for lock in counts.locks]
        counts.add(key)
        counts.add(key, 2)
        after = [lock.taken for lock in counts.locks]
        taken = map(operator.sub, after, before)
        assert sorted(taken) == [0, 0, 2]
    assert counts.total() == {"a": 3, "b": 3, 5: 3, ("a", 5): 3}


def test_a_total_takes_each_lock_once_and_not_all_at_the_same_time() -> None:
    held: list[WatchedLock] = []

    class Lock(WatchedLock):
        def __enter__(self) -> None:
            super().__enter__()
            held.append(self)
            assert held == [self]

        def __exit__(self, *_: object) -> None:
            held.remove(self)
            super().__exit__()

    counts = StripedCounts(3, Lock)
    assert counts.total() == {}
    assert [lock.taken for lock in counts.locks] == [1, 1, 1]


def test_a_total_may_hold_a_later_addition_and_miss_an_earlier_one() -> None:
    class Lock(WatchedLock):
        def __enter__(self) -> None:
            if self is counts.locks[1] and not self.taken:
                self.taken += 1
                counts.add(0)  # comes first
                counts.add(1)
            super().__enter__()

    counts = StripedCounts(2, Lock)
    assert counts.total() == {1: 1}
    assert counts.total() == {0: 1, 1: 1}


@pytest.mark.parametrize("stripes", [0, -1])
def test_fewer_than_one_stripe_is_refused_by_value(stripes: int) -> None:
    text = f"^stripes must be at least 1, not {stripes}$"
    with pytest.raises(ValueError, match=text):
        StripedCounts(stripes)


@every_right_way
def test_an_error_is_raised_here_when_the_work_of_the_others_has_ended(
    count: Count,
) -> None:
    both = threading.Barrier(2, timeout=60)
    go_on = threading.Event()
    ended = []

    def work(item: int) -> int:
        both.wait()
        if item == 0:
            go_on.set()
            raise OSError("no answer")
        assert go_on.wait(timeout=60)
        ended.append(item)
        return item

    with pytest.raises(OSError, match="no answer"):
        count(work, range(2), workers=2)
    assert ended == [1]


@pytest.mark.parametrize("count", [count_with_short_lock, broken_count])
def test_an_error_in_the_work_leaves_the_lock_free(count: Count) -> None:
    lock = threading.Lock()
    with pytest.raises(ZeroDivisionError):
        count(partial(operator.truediv, 1), [0], workers=1, lock=lock)
    assert not lock.locked()


@every_right_way
@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (0, ValueError, "^workers must be at least 1, not 0$"),
        ("2", TypeError, "^workers must be an int, not '2'$"),
    ],
)
def test_workers_that_cannot_be_are_refused_before_a_thread_is_started(
    count: Count,
    workers: object,
    error: type[Exception],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe, "ThreadPoolExecutor", None)
    with pytest.raises(error, match=text):
        count(abs, [7], workers=workers)


@every_right_way
def test_there_are_as_many_threads_as_asked_for_and_four_by_default(
    count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Mock(wraps=ThreadPoolExecutor)
    monkeypatch.setattr(recipe, "ThreadPoolExecutor", pool)
    count(abs, [7])
    count(abs, [7], workers=2)
    assert pool.mock_calls == [call(WORKERS), call(2)]
