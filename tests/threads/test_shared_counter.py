import threading
from collections.abc import Callable

import pytest

from cookbook.testing.every_interleaving import (
    Setup,
    every_interleaving,
)
from cookbook.threads.shared_counter import BrokenCounter, Counter
from tests.exploring import Explore

AnyCounter = type[Counter] | type[BrokenCounter]


def two_threads_add_one(kind: AnyCounter) -> Callable[[], Setup]:
    def make() -> Setup:
        counter = kind()

        def add_one(value: int) -> int:
            return value + 1

        def work() -> None:
            counter.change(add_one)

        return [work, work], lambda: counter.value

    return make


def test_the_counter_keeps_both_updates_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        two_threads_add_one(Counter),
        "``Counter``: two threads add one",
        right={2: "both updates kept"},
    )


def test_the_broken_counter_loses_an_update_on_12_of_20_schedules(
    explore: Explore,
) -> None:
    outcomes = explore(
        two_threads_add_one(BrokenCounter),
        "``BrokenCounter``: two threads add one",
        right={2: "both updates kept"},
        wrong={1: "one update lost"},
    )
    assert {end: found.schedules for end, found in outcomes.items()} == {
        1: 12,
        2: 8,
    }


def test_the_broken_counter_loses_the_update_of_a_thread_in_the_gap() -> None:
    counter = BrokenCounter()

    def meanwhile(value: int) -> int:
        thread = threading.Thread(
            target=counter.change, args=[lambda other: other + 10]
        )
        thread.start()
        thread.join()
        return value + 1

    counter.change(meanwhile)
    assert counter.value == 1


def test_the_counter_keeps_a_thread_out_of_the_gap() -> None:
    counter = Counter()
    came_in = threading.Event()

    def other(value: int) -> int:
        came_in.set()
        return value + 10

    thread = threading.Thread(target=counter.change, args=[other])

    def meanwhile(value: int) -> int:
        thread.start()
        assert not came_in.wait(timeout=0.1)
        return value + 1

    counter.change(meanwhile)
    thread.join()
    assert counter.value == 11


def test_a_step_that_raises_leaves_the_value_and_the_lock_as_they_were() -> (
    None
):
    counter = Counter()
    with pytest.raises(ZeroDivisionError):
        counter.change(lambda value: 1 // value)
    counter.change(lambda value: value + 1)
    assert counter.value == 1


def test_a_step_that_changes_the_same_counter_waits_for_itself() -> None:
    def make() -> Setup:
        counter = Counter()

        def step(value: int) -> int:
            counter.change(step)
            return value

        def work() -> None:
            counter.change(step)

        return [work], lambda: counter.value

    assert set(every_interleaving(make)) == {"deadlock"}
