"""What the recipe says of philosophers, shown to be so."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial

import pytest

from cookbook.deadlocks.dining_philosophers import (
    BothAtOnce,
    BrokenTable,
    InOrder,
    Table,
    WithWaiter,
    dine,
)
from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from tests.exploring import Explore

NewTable = Callable[[int], Table]
CURES: list[NewTable] = [InOrder, WithWaiter, BothAtOnce]
every_cure = pytest.mark.parametrize("cure", CURES)


def broken(seats: int) -> Table:
    """Return a table where all take the left fork first."""
    return BrokenTable([threading.Lock() for _ in range(seats)])


def philosophers(new_table: NewTable, seats: int) -> Callable[[], Setup]:
    """Return a set-up where each eats once."""

    def make() -> Setup:
        table = new_table(seats)
        eaten: list[int] = []

        def eat(seat: int) -> None:
            with table.forks(seat):
                eaten.append(seat)

        return [partial(eat, seat) for seat in range(seats)], lambda: len(
            eaten
        )

    return make


def explored(
    explore: Explore, new_table: NewTable, name: str, seats: int
) -> None:
    """Explore philosophers at a table."""
    wrong = {DEADLOCK: "each holds one fork"} if name == "BrokenTable" else {}
    explore(
        philosophers(new_table, seats),
        f"``{name}``: {({2: 'two', 3: 'three'})[seats]} eat once",
        right={seats: "all eat"},
        wrong=wrong,
        preemptions=1,
        threads=tuple(f"seat {seat}" for seat in range(seats)),
    )


def test_in_order_two_neighbours_eat_wherever_threads_switch(
    explore: Explore,
) -> None:
    explored(explore, InOrder, "InOrder", 2)


def test_with_a_waiter_all_three_eat_wherever_threads_switch(
    explore: Explore,
) -> None:
    explored(explore, WithWaiter, "WithWaiter", 3)


def test_with_both_forks_at_once_two_neighbours_eat_wherever_they_switch(
    explore: Explore,
) -> None:
    explored(explore, BothAtOnce, "BothAtOnce", 2)


def test_with_the_left_fork_first_three_deadlock_on_some_schedules(
    explore: Explore,
) -> None:
    explored(explore, broken, "BrokenTable", 3)


@every_cure
def test_two_neighbours_never_eat_at_once_wherever_threads_switch(
    cure: NewTable,
) -> None:
    def make() -> Setup:
        table = cure(2)
        eating: list[int] = []
        together: list[int] = []

        def eat(seat: int) -> None:
            with table.forks(seat):
                eating.append(seat)
                together.append(len(eating))
                eating.remove(seat)

        return [partial(eat, 0), partial(eat, 1)], lambda: tuple(together)

    assert set(every_interleaving(make, preemptions=1)) == {(1, 1)}


def test_two_philosophers_with_the_left_fork_first_may_deadlock_too() -> None:
    outcomes = every_interleaving(philosophers(broken, 2), preemptions=1)
    assert set(outcomes) == {2, DEADLOCK}


@every_cure
@pytest.mark.parametrize("seats", [1, 0])
def test_a_table_for_fewer_than_two_is_refused_by_value(
    cure: NewTable, seats: int
) -> None:
    message = f"^seats must be at least 2, not {seats}$"
    with pytest.raises(ValueError, match=message):
        cure(seats)


@every_cure
def test_five_philosophers_eat_all_their_meals_in_threads(
    cure: NewTable,
) -> None:
    assert dine(cure(5), 5, meals=20) == [20] * 5


class NotedTable:
    """A table with more than enough forks, but none for seat 2."""

    def __init__(self) -> None:
        self.eating: list[int] = []

    def forks(self, seat: int) -> AbstractContextManager[None]:
        """Note who eats, or fail."""
        if seat == 2:
            raise OSError("no fork")
        self.eating.append(seat)
        return nullcontext()


def test_each_meal_is_eaten_with_forks_and_an_error_at_one_seat_goes_on() -> (
    None
):
    table = NotedTable()
    assert dine(table, 2, meals=3) == [3, 3]
    assert sorted(table.eating) == [0, 0, 0, 1, 1, 1]
    with pytest.raises(OSError, match="no fork"):
        dine(table, 3, meals=1)


@every_cure
def test_neighbours_keep_each_other_waiting_and_nobody_else_does(
    cure: NewTable,
) -> None:
    table = cure(4)

    def eats(seat: int) -> bool:
        """Tell whether one more can eat now; wait until it has eaten."""
        over = threading.Event()

        def eat() -> None:
            with table.forks(seat):
                over.set()

        thread = threading.Thread(target=eat)
        thread.start()
        threads.append(thread)
        return over.wait(timeout=10 if seat == 2 else 0.05)

    threads: list[threading.Thread] = []
    with table.forks(0):
        assert eats(2)
        assert not eats(1)
    with table.forks(0):
        assert not eats(3)
    for thread in threads:
        thread.join()


def one_eats_until_its_opposite_has_eaten(
    new_table: NewTable,
) -> Callable[[], Setup]:
    """Return a set-up of seat 1, which eats for long, 3, and 0 between."""

    def make() -> Setup:
        table = new_table(4)
        opposite_has_eaten = threading.Event()

        def eat_for_long() -> None:
            with table.forks(1):
                opposite_has_eaten.wait()

        def between() -> None:
            with table.forks(0):
                pass

        def opposite() -> None:
            with table.forks(3):
                opposite_has_eaten.set()

        return [eat_for_long, between, opposite], lambda: "all eat"

    return make


@pytest.mark.parametrize("cure", [InOrder, WithWaiter])
def test_one_who_holds_a_fork_and_waits_keeps_the_other_neighbour_waiting(
    cure: NewTable,
) -> None:
    make = one_eats_until_its_opposite_has_eaten(cure)
    outcomes = every_interleaving(make, preemptions=0)
    assert set(outcomes) == {"all eat", DEADLOCK}


def test_one_who_waits_for_both_at_once_keeps_nobody_waiting() -> None:
    make = one_eats_until_its_opposite_has_eaten(BothAtOnce)
    outcomes = every_interleaving(make, preemptions=0)
    assert set(outcomes) == {"all eat"}


def test_two_who_eat_in_turns_starve_the_one_between_them() -> None:
    table = BothAtOnce(4)
    has_eaten = threading.Event()

    def between() -> None:
        with table.forks(1):
            has_eaten.set()

    thread = threading.Thread(target=between)
    with ExitStack() as left, ExitStack() as right:
        left.enter_context(table.forks(0))
        right.enter_context(table.forks(2))
        thread.start()
        for _ in range(20):
            left.close()
            left.enter_context(table.forks(0))
            right.close()
            right.enter_context(table.forks(2))
            assert not has_eaten.wait(timeout=0.001)
    assert has_eaten.wait(timeout=10)
    thread.join()


@every_cure
def test_an_error_at_the_table_goes_on_and_leaves_all_forks_free(
    cure: NewTable,
) -> None:
    table = cure(3)
    for seat in range(3):
        with pytest.raises(OSError, match="no salt"), table.forks(seat):
            raise OSError("no salt")
    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(dine, table, 3, 1).result(10) == [1, 1, 1]
