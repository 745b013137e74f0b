"""What the recipe says of races that the GIL hides, shown to be so."""

import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cookbook.parallel_threads.what_breaks_without_the_gil import (
    BrokenOffice,
    Office,
    may_switch,
)
from cookbook.testing.every_interleaving import Setup, every_interleaving
from tests.exploring import Explore

HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
Kind = type[Office]


def two_count(kind: Kind) -> Setup:
    office = kind()
    return [office.count] * 2, lambda: office.visitors


def two_reserve(kind: Kind) -> Setup:
    office = kind()
    sold = []

    def for_ann() -> None:
        sold.append(office.reserve("1A", "Ann"))

    def for_bob() -> None:
        sold.append(office.reserve("1A", "Bob"))

    return [for_ann, for_bob], lambda: sum(sold)


def one_moves_and_one_looks(kind: Kind) -> Setup:
    office = kind()
    seen: list[tuple[int, int]] = []

    def move() -> None:
        office.move(5)

    def look() -> None:
        seen.append(office.prices())

    return [move, look], lambda: seen[0]


def two_take_notes(kind: Kind) -> Setup:
    office = kind()

    def note() -> None:
        office.notes().append("x")

    return [note] * 2, lambda: len(office.notes())


def one_counts_while_one_sells(kind: Kind) -> Setup:
    office = kind()
    office.seats = {"1A": "Ann", "1B": "Bob"}
    found: list[int] = []

    def look() -> None:
        found.append(office.seats_of("Ann"))

    def sell() -> None:
        office.reserve("1C", "Ann")

    return [look, sell], lambda: found[0]


def test_without_a_lock_a_visitor_is_lost(explore: Explore) -> None:
    explore(
        lambda: two_count(BrokenOffice),
        "``BrokenOffice.count``: two visitors",
        right={2: "two counted"},
        wrong={1: "one lost"},
        by="bytecode",
    )


def test_without_a_lock_one_seat_is_sold_twice(explore: Explore) -> None:
    explore(
        lambda: two_reserve(BrokenOffice),
        "``BrokenOffice.reserve``: two want one seat",
        right={1: "sold to one"},
        wrong={2: "sold to both"},
        by="bytecode",
        preemptions=1,
    )


def test_without_a_lock_half_of_a_change_is_seen(explore: Explore) -> None:
    explore(
        lambda: one_moves_and_one_looks(BrokenOffice),
        "``BrokenOffice.move`` while ``prices`` looks",
        right={(0, 10): "the old prices", (5, 15): "the new prices"},
        wrong={
            (5, 10): "one price is new",
            (0, 15): "the other price is new",
        },
        by="bytecode",
        preemptions=1,
    )


def test_without_a_lock_a_note_goes_into_a_list_that_is_lost(
    explore: Explore,
) -> None:
    explore(
        lambda: two_take_notes(BrokenOffice),
        "``BrokenOffice.notes``: two take a note",
        right={2: "both notes kept"},
        wrong={1: "one note lost"},
        by="bytecode",
        preemptions=1,
    )


def test_without_a_lock_a_sale_during_the_loop_is_a_runtime_error(
    explore: Explore,
) -> None:
    explore(
        lambda: one_counts_while_one_sells(BrokenOffice),
        "``BrokenOffice.seats_of`` while a seat is sold",
        right={1: "counted before the sale", 2: "counted after it"},
        wrong={
            "RuntimeError: dictionary changed size during iteration": (
                "the loop breaks off"
            )
        },
        by="bytecode",
        preemptions=1,
    )


@pytest.mark.parametrize(
    ("setup", "outcomes"),
    [
        (two_count, {2}),
        (two_reserve, {1}),
        (one_moves_and_one_looks, {(0, 10), (5, 15)}),
        (two_take_notes, {2}),
        (one_counts_while_one_sells, {1, 2}),
    ],
)
def test_with_the_lock_all_ends_well_wherever_threads_switch_once(
    setup: Callable[[Kind], Setup], outcomes: set[Hashable]
) -> None:
    found = every_interleaving(
        lambda: setup(Office), by="bytecode", preemptions=1
    )
    assert set(found) == outcomes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("count", False),
        ("reserve", False),
        ("move", False),
        ("prices", False),
        ("notes", False),
        ("seats_of", True),
    ],
)
def test_there_is_a_place_to_switch_in_a_loop_and_at_a_call_alone(
    name: str, expected: bool
) -> None:
    assert may_switch(getattr(BrokenOffice, name)) is expected
    assert may_switch(getattr(Office, name))  # taking a lock is a call


def loop(items: list[int]) -> None:
    for item in items:
        items[0] = item


def while_loop(items: list[int]) -> None:
    while items[0]:
        items[0] = 0


def call(items: list[int]) -> int:
    return len(items)


def call_by_name(items: list[int]) -> str:
    return str(object=items)


def call_spread(items: list[int]) -> int:
    return max(*items)


@pytest.mark.parametrize(
    "function", [loop, while_loop, call, call_by_name, call_spread]
)
def test_each_kind_of_loop_and_of_call_is_found(
    function: Callable[[list[int]], object],
) -> None:
    assert may_switch(function)


@pytest.mark.skipif(not HAS_GIL, reason="there is no GIL to hide it")
def test_with_the_gil_no_visitor_is_lost_in_a_stress_run() -> None:
    office = BrokenOffice()
    interval = sys.getswitchinterval()

    def count_many() -> None:
        for _ in range(20_000):
            office.count()

    sys.setswitchinterval(1e-6)  # seconds: switch wherever it may
    try:
        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(count_many) for _ in range(4)]
        for job in jobs:
            job.result()
    finally:
        sys.setswitchinterval(interval)
    assert office.visitors == 80_000


def two_take(iterator: Iterator[int]) -> Setup:
    taken: list[int] = []

    def take() -> None:
        taken.append(next(iterator))

    return [take] * 2, lambda: tuple(sorted(taken))


def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


ALREADY = "ValueError: generator already executing"


def test_two_threads_in_one_generator_are_an_error() -> None:
    found = every_interleaving(
        lambda: two_take(numbers()), by="bytecode", preemptions=1
    )
    assert set(found) == {(1, 2), ALREADY}


def test_between_two_bytecodes_a_list_iterator_gives_each_item_once() -> None:
    found = every_interleaving(
        lambda: two_take(iter([1, 2])), by="bytecode", preemptions=2
    )
    assert set(found) == {(1, 2)}


@pytest.mark.skipif(
    sys.version_info < (3, 15), reason="serialize_iterator is of 3.15"
)
def test_a_serialized_generator_waits_for_the_other_thread() -> None:
    serialize: Any = getattr(threading, "serialize_iterator", None)
    inside = threading.Event()
    go_on = threading.Event()

    def slow() -> Iterator[int]:
        inside.set()
        assert go_on.wait(timeout=60)
        yield 1
        yield 2

    iterator = serialize(slow())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(next, iterator)
        assert inside.wait(timeout=60)
        second = pool.submit(next, iterator)
        go_on.set()
        assert [first.result(60), second.result(60)] == [1, 2]
