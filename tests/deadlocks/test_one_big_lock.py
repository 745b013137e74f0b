"""What the recipe says of one lock for two structures, shown to be so."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.deadlocks.one_big_lock import (
    BoxOffice,
    BrokenBoxOffice,
    MeasuredLock,
)
from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from tests.exploring import Explore

AnyOffice = type[BoxOffice] | type[BrokenBoxOffice]


def one_sells_one_counts(kind: AnyOffice) -> Callable[[], Setup]:
    """Return a set-up of an office with one seat, and one who counts."""

    def make() -> Setup:
        office = kind(["1A"], lambda: "x7")
        seen: list[tuple[int, int]] = []

        def sell() -> None:
            office.sell()

        def count() -> None:
            seen.append(office.free_and_sold())

        return [sell, count], lambda: sum(seen[0])

    return make


def test_with_one_lock_each_count_finds_every_seat_wherever_threads_switch(
    explore: Explore,
) -> None:
    explore(
        one_sells_one_counts(BoxOffice),
        "``BoxOffice``: one sells the seat, one counts",
        right={1: "one seat is counted"},
        preemptions=2,
        threads=("sells", "counts"),
    )


def test_with_a_lock_for_each_a_count_misses_a_seat_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        one_sells_one_counts(BrokenBoxOffice),
        "``BrokenBoxOffice``: one sells the seat, one counts",
        right={1: "one seat is counted"},
        wrong={0: "no seat is counted", 2: "one seat is counted twice"},
        preemptions=2,
        threads=("sells", "counts"),
    )


def two_sell_the_last_seat() -> Setup:
    """Set up an office with one seat, and two who want it."""
    codes = iter(["x7", "x8"])
    office = BoxOffice(["1A"], lambda: next(codes))

    def sell() -> None:
        office.sell()

    return [sell, sell], office.free_and_sold


def test_one_thread_that_takes_the_lock_twice_hangs() -> None:
    def make() -> Setup:
        lock = threading.Lock()
        office = BoxOffice(["1A"], lambda: "x7", lock)

        def count_under_the_lock() -> None:
            with lock:
                office.free_and_sold()

        return [count_under_the_lock], lambda: "ended"

    assert set(every_interleaving(make)) == {DEADLOCK}


def test_the_last_seat_is_sold_once_wherever_threads_switch() -> None:
    outcomes = every_interleaving(two_sell_the_last_seat, preemptions=2)
    assert set(outcomes) == {"LookupError: sold out"}


def test_a_seat_given_back_while_it_is_counted_is_counted_once() -> None:
    def make() -> Setup:
        office = BoxOffice(["1A"], lambda: "x7")
        seen: list[tuple[int, int]] = []
        office.sell()

        def give_back() -> None:
            office.give_back("x7")

        def count() -> None:
            seen.append(office.free_and_sold())

        return [give_back, count], lambda: seen[0]

    assert set(every_interleaving(make)) == {(0, 1), (1, 0)}


def count_in_the_gap(kind: AnyOffice) -> list[tuple[int, int]]:
    """Return what is counted while the code is made, and after that."""
    counted: list[tuple[int, int]] = []

    def new_code() -> str:
        with ThreadPoolExecutor(max_workers=1) as pool:
            counted.append(pool.submit(office.free_and_sold).result(10))
        return "x7"

    office = kind(["1A", "1B"], new_code)
    assert office.sell() == "x7"
    return [*counted, office.free_and_sold()]


def test_who_counts_between_two_locks_counts_a_seat_too_few() -> None:
    assert count_in_the_gap(BrokenBoxOffice) == [(1, 0), (1, 1)]


def test_with_one_lock_the_code_is_made_before_and_all_seats_are_there() -> (
    None
):
    assert count_in_the_gap(BoxOffice) == [(2, 0), (1, 1)]


def broken_code() -> str:
    """Fail to make a code."""
    raise OSError("no random numbers")


def test_an_error_in_new_code_changes_nothing_and_leaves_the_lock_free() -> (
    None
):
    office = BoxOffice(["1A"], broken_code)
    with pytest.raises(OSError, match="no random numbers"):
        office.sell()
    assert office.free_and_sold() == (1, 0)


def test_with_two_locks_an_error_in_new_code_loses_the_seat() -> None:
    office = BrokenBoxOffice(["1A"], broken_code)
    with pytest.raises(OSError, match="no random numbers"):
        office.sell()
    assert office.free_and_sold() == (0, 0)


def test_a_reader_that_takes_the_lock_twice_may_see_two_moments() -> None:
    def make() -> Setup:
        office = BoxOffice(["1A"], lambda: "x7")
        seen: list[int] = []

        def sell() -> None:
            office.sell()

        def count() -> None:
            free, _ = office.free_and_sold()
            _, sold = office.free_and_sold()
            seen.append(free + sold)

        return [sell, count], lambda: seen[0]

    outcomes = every_interleaving(make, preemptions=1)
    assert set(outcomes) == {1, 2}


def test_no_seat_is_free_after_all_are_sold_and_one_given_back_is() -> None:
    codes = iter(["x7", "x8", "x9"])
    office = BoxOffice(["1A"], lambda: next(codes))
    code = office.sell()
    with pytest.raises(LookupError, match=r"^sold out$"):
        office.sell()
    office.give_back(code)
    with pytest.raises(KeyError, match=code):
        office.give_back(code)
    assert office.free_and_sold() == (1, 0)
    assert office.sell() == "x9"


def test_the_office_uses_the_lock_that_it_is_given() -> None:
    lock = MeasuredLock()
    office = BoxOffice(["1A"], lambda: "x7", lock)
    office.give_back(office.sell())
    office.free_and_sold()
    assert lock.taken == 3


def test_a_free_lock_is_taken_without_measuring() -> None:
    lock = MeasuredLock()
    for _ in range(3):
        with lock:
            pass
    assert (lock.taken, lock.waited) == (3, 0.0)


def test_each_wait_for_a_held_lock_is_measured_and_added_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = MeasuredLock()
    waits = threading.Semaphore(0)
    clock = iter([10.0, 13.0, 20.0, 24.0])

    def perf_counter() -> float:
        waits.release()
        return next(clock)

    def work() -> None:
        with lock:
            pass

    monkeypatch.setattr(time, "perf_counter", perf_counter)
    for _ in range(2):
        thread = threading.Thread(target=work)
        with lock:
            thread.start()
            assert waits.acquire(timeout=10)
        thread.join()
        assert waits.acquire(timeout=10)
    assert (lock.taken, lock.waited) == (4, 7.0)


def test_an_error_under_the_measured_lock_leaves_it_free() -> None:
    lock = MeasuredLock()
    with pytest.raises(OSError, match="no answer"), lock:
        raise OSError("no answer")
    with lock:
        assert lock.waited == 0.0
