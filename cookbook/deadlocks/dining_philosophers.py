"""Compare three cures for a circular wait.

Philosophers sit around a table, with one fork between each two, and eat with
the two forks beside them. If each takes the left one first, all can hold one
and wait for the other, for ever: the deadlock of any tasks that need two
shared things at once. Each cure makes one step of that circle impossible.
:class:`InOrder` lets nobody wait for a lower fork while it holds a higher
one. :class:`WithWaiter` lets one fewer sit down than there are seats, so one
of them finds both forks. :class:`BothAtOnce` takes two forks in one step, so
nobody holds one and waits.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the deadlock
    on every run
:search: dining philosophers, five philosophers, forks, chopsticks, circular
    wait, resource hierarchy, waiter solution, arbitrator, monitor solution,
    resource allocation, hold and wait, deadlock prevention, semaphore n - 1,
    Dijkstra, several resources at once

Use this when
    tasks need two or more shared things at once. Begin with :class:`InOrder`:
    it needs no more than a sorted list.

    Take :class:`WithWaiter` when you cannot change the order, as in foreign
    code, and know how many tasks it takes to close the circle.

    Take :class:`BothAtOnce` when the things are held for long: who waits
    holds nothing, so nobody waits for one who waits.

Prefer instead
    one lock for all the forks, unless you have measured that it is too slow:
    :mod:`cookbook.deadlocks.one_big_lock`. For two objects with a lock each
    see :mod:`cookbook.deadlocks.lock_ordering`; where a thread can give up,
    :mod:`cookbook.deadlocks.lock_timeout`.

Pitfalls
    - With :class:`InOrder` and :class:`WithWaiter` one who waits holds a
      fork: the neighbour on the other side waits for one who does not eat.
    - With :class:`BothAtOnce` two neighbours who eat in turns, so that one of
      them always eats, starve the one between them. It needs both forks free
      at one moment, and that never comes.

If a job raises
    an error at the table goes on, and all forks are free again.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Table(Protocol):
    """What all the cures have in common."""

    def forks(self, seat: int) -> AbstractContextManager[None]:
        """Hold the two forks beside *seat* during a ``with`` block."""


def at_least_2(seats: int) -> int:
    """Return *seats*; one alone would wait for its second fork for ever."""
    if seats <= 1:
        raise ValueError(f"seats must be at least 2, not {seats!r}")
    return seats


class InOrder:
    """Everybody takes the fork with the lower number first.

    Raises:
        ValueError: If there are fewer than 2 *seats*; so do the others.

    Example:
        >>> from cookbook.deadlocks.dining_philosophers import InOrder
        >>> with InOrder(seats=5).forks(4):
        ...     print("eats with 0 and 4")
        eats with 0 and 4
    """

    def __init__(self, seats: int) -> None:
        self._forks = [threading.Lock() for _ in range(at_least_2(seats))]

    @contextmanager
    def forks(self, seat: int) -> Iterator[None]:
        """Hold the two forks beside *seat* during a ``with`` block."""
        first, second = sorted((seat, (seat + 1) % len(self._forks)))
        with self._forks[first], self._forks[second]:
            yield


class WithWaiter:
    """A waiter keeps one seat empty; then any order of the forks will do."""

    def __init__(self, seats: int) -> None:
        self._forks = [threading.Lock() for _ in range(at_least_2(seats))]
        self._waiter = threading.Semaphore(seats - 1)

    @contextmanager
    def forks(self, seat: int) -> Iterator[None]:
        """Hold the two forks beside *seat* during a ``with`` block."""
        right = (seat + 1) % len(self._forks)
        with self._waiter, self._forks[seat], self._forks[right]:
            yield


class BothAtOnce:
    """Everybody waits until both forks are free, and takes both."""

    def __init__(self, seats: int) -> None:
        self._seats = at_least_2(seats)
        self._used: set[int] = set()
        self._put_back = threading.Condition()

    @contextmanager
    def forks(self, seat: int) -> Iterator[None]:
        """Hold the two forks beside *seat* during a ``with`` block."""
        both = {seat, (seat + 1) % self._seats}
        with self._put_back:
            self._put_back.wait_for(lambda: not both & self._used)
            self._used |= both
        try:
            yield
        finally:
            with self._put_back:
                self._used -= both
                self._put_back.notify_all()


def dine(table: Table, seats: int, meals: int) -> list[int]:
    """Let a thread for each seat eat so many *meals*, and count them."""
    eaten = [0] * seats

    def eat(seat: int) -> None:
        for _ in range(meals):
            with table.forks(seat):
                eaten[seat] += 1

    with ThreadPoolExecutor(max_workers=seats) as pool:
        for job in [pool.submit(eat, seat) for seat in range(seats)]:
            job.result()
    return eaten


def main() -> None:
    """Let five philosophers eat a hundred meals each, with each cure.

    >>> main()
    InOrder: [100, 100, 100, 100, 100]
    WithWaiter: [100, 100, 100, 100, 100]
    BothAtOnce: [100, 100, 100, 100, 100]
    """
    cures: list[Table] = [InOrder(5), WithWaiter(5), BothAtOnce(5)]
    for table in cures:
        print(f"{type(table).__name__}: {dine(table, 5, meals=100)}")


class BrokenTable:
    """Everybody takes the left fork first.

    Warning:
        When each holds the left fork, each waits for the right one, which its
        neighbour holds. Nobody eats, so nobody puts a fork back.
    """

    def __init__(
        self, forks: Sequence[AbstractContextManager[object]]
    ) -> None:
        self._forks = forks

    @contextmanager
    def forks(self, seat: int) -> Iterator[None]:
        """Hold the two forks beside *seat* during a ``with`` block."""
        right = (seat + 1) % len(self._forks)
        with self._forks[seat], self._forks[right]:
            yield


class MeetingFork:
    """A fork that its first holder gets when all the others have one too."""

    def __init__(
        self, patience: float, all_hold_one: threading.Barrier
    ) -> None:
        self.patience = patience
        self.all_hold_one = all_hold_one
        self.was_held = False
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self.patience):
            raise TimeoutError("the other fork is held")
        if not self.was_held:
            self.was_held = True
            self.all_hold_one.wait()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def broken_main() -> None:
    """Let three philosophers hold a fork each, until the last gives up.

    >>> broken_main()
    philosopher 0: eats in the end
    philosopher 1: eats in the end
    philosopher 2: TimeoutError: the other fork is held
    """
    all_hold_one = threading.Barrier(3, timeout=10)
    patience = [0.1, 10, 10]  # only the first fork is given up soon
    table = BrokenTable([MeetingFork(one, all_hold_one) for one in patience])

    def eat(seat: int) -> str:
        try:
            with table.forks(seat):
                return "eats in the end"
        except TimeoutError as error:
            return f"TimeoutError: {error}"

    with ThreadPoolExecutor(max_workers=3) as pool:
        for seat, end in enumerate(pool.map(eat, range(3))):
            print(f"philosopher {seat}: {end}")


if __name__ == "__main__":
    main()
    broken_main()
