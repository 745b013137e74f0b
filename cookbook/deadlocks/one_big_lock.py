"""Keep two structures in step by one lock for both.

When two structures must agree (a seat is either free or sold), the lock
belongs to the rule, not to the structure. With a lock for each, every access
is locked, and a reader still comes between the two and sees a seat that is
neither. One lock for both needs no order, and leaves no second lock to close a
cycle with; taken twice by one thread, it still hangs
(:mod:`cookbook.deadlocks.self_deadlock`). Measure how long threads wait for it
before you split it.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the torn
    read on every run
:search: one lock or many, coarse-grained lock, fine-grained locking, lock
    granularity, global lock, invariant, torn read, inconsistent state,
    lock contention, lock striping, measure lock contention, time spent
    waiting for a lock, atomic update of two variables, thread-safe class,
    each operation locked but still a race

Use this when
    a change touches more than one structure, and a reader must never see the
    half of it. It is the lock to begin with.

Prefer instead
    :mod:`cookbook.threads.immutable_snapshot` when there are many readers and
    few changes. :mod:`cookbook.deadlocks.lock_ordering` when you have
    measured that threads wait for each other, and the parts are independent
    but for a few steps that need two of them.

Pitfalls
    - A lock per structure protects the structure: no access meets another
      half way. It says nothing about two accesses, in writers or in readers.
    - Readers need the lock too, once around all that they compare.
    - Keep slow work out of the block (here: making the code) before you think
      of a second lock: it may be all that the threads wait for.

If a job raises
    an error in ``new_code`` is raised before anything changes; the trap loses
    the seat, which is then neither free nor sold.
"""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import count


class MeasuredLock:
    """A lock that measures how long threads wait for it.

    Attributes:
        taken: How often it was taken.
        waited: For how many seconds threads have waited for it, in total.

    Example:
        >>> from cookbook.deadlocks.one_big_lock import MeasuredLock
        >>> lock = MeasuredLock()
        >>> with lock:
        ...     print("taken", lock.taken, "time, waited", lock.waited, "s")
        taken 1 time, waited 0.0 s
    """

    def __init__(self) -> None:
        self.taken = 0
        self.waited = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            start = time.perf_counter()
            self._lock.acquire()
            self.waited += time.perf_counter() - start
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class BoxOffice:
    """Sells seats, each of which is either free or sold.

    Example:
        >>> from cookbook.deadlocks.one_big_lock import BoxOffice
        >>> office = BoxOffice(["1A", "1B"], new_code=lambda: "x7")
        >>> office.sell()
        'x7'
        >>> office.free_and_sold()
        (1, 1)
    """

    def __init__(
        self,
        seats: Iterable[str],
        new_code: Callable[[], str],
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self._free = list(seats)
        self._sold: dict[str, str] = {}
        self._new_code = new_code
        self._lock = threading.Lock() if lock is None else lock

    def sell(self) -> str:
        """Sell a seat, and return the new code that stands for it.

        Raises:
            LookupError: If no seat is free.
        """
        code = self._new_code()
        with self._lock:
            if not self._free:
                raise LookupError("sold out")
            self._sold[code] = self._free.pop()
        return code

    def give_back(self, code: str) -> None:
        """Set the seat free that was sold under *code*.

        Raises:
            KeyError: If none was.
        """
        with self._lock:
            self._free.append(self._sold.pop(code))

    def free_and_sold(self) -> tuple[int, int]:
        """Count the seats, at one moment."""
        with self._lock:
            return len(self._free), len(self._sold)


def main() -> None:
    """Sell and give back in four threads, and count meanwhile.

    >>> main()
    seats seen in 100 counts: {10}
    10 free, 0 sold, lock taken 301 times
    """
    lock = MeasuredLock()
    numbers = count()
    office = BoxOffice("ABCDEFGHIJ", lambda: f"code {next(numbers)}", lock)

    def work() -> None:
        for _ in range(25):
            office.give_back(office.sell())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = {sum(office.free_and_sold()) for _ in range(100)}
    for thread in threads:
        thread.join()
    free, sold = office.free_and_sold()
    print("seats seen in 100 counts:", seen)
    print(f"{free} free, {sold} sold, lock taken {lock.taken} times")


class BrokenBoxOffice:
    """The same with a lock for each structure.

    Warning:
        Between the two blocks of ``sell`` the seat is neither free nor sold,
        and both locks are free. Who counts then misses the seat; who counts
        the free seats before the sale and the sold ones after it counts it
        twice. An error in between loses the seat for good.
    """

    def __init__(
        self, seats: Iterable[str], new_code: Callable[[], str]
    ) -> None:
        self._free = list(seats)
        self._sold: dict[str, str] = {}
        self._new_code = new_code
        self._free_lock = threading.Lock()
        self._sold_lock = threading.Lock()

    def sell(self) -> str:
        """Sell a seat, and return the new code that stands for it."""
        with self._free_lock:
            seat = self._free.pop()
        code = self._new_code()
        with self._sold_lock:
            self._sold[code] = seat
        return code

    def free_and_sold(self) -> tuple[int, int]:
        """Count the seats, one kind after the other."""
        with self._free_lock:
            free = len(self._free)
        with self._sold_lock:
            return free, len(self._sold)


def broken_main() -> None:
    """Count the seats while another thread sells one of ten.

    >>> broken_main()
    while it is sold: 9 free, 0 sold
    after that: 9 free, 1 sold
    """
    in_between = threading.Barrier(2, timeout=10)
    counted = threading.Barrier(2, timeout=10)

    def new_code() -> str:
        in_between.wait()
        counted.wait()
        return "x7"

    office = BrokenBoxOffice("ABCDEFGHIJ", new_code)
    thread = threading.Thread(target=office.sell)
    thread.start()
    in_between.wait()
    print("while it is sold: {} free, {} sold".format(*office.free_and_sold()))
    counted.wait()
    thread.join()
    print("after that: {} free, {} sold".format(*office.free_and_sold()))


if __name__ == "__main__":
    main()
    broken_main()
