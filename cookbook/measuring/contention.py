"""Keep threads from waiting for one lock.

Threads that want one lock take turns. Held around all of the work, it makes
any number of threads as slow as one. To see that, count how often a thread
finds the lock taken: ``lock.acquire(blocking=False)`` returns false then. A
count is not a time: :mod:`cookbook.deadlocks.one_big_lock` measures for how
long threads wait. If they wait long, change this, in this order.

1. Hold it for a shorter time. Compute, wait and call others before you take
   it, and take it for the update alone.
2. Do without it. Give each thread a total of its own, and add up at the end.
3. Split it. If keys have nothing to do with each other, take one lock for each
   group of keys (*striping*): threads meet only where their keys do.

With the GIL, threads that compute take turns anyway. Two or eight of them that
did nothing but add under one lock found it taken less than once in a thousand
times, and took no longer for an addition than one thread (measured on Python
3.11 and 3.13). Held while a thread waits for a disk or a network, a lock stops
the others on every build, and so it does while C code computes without the
GIL. On a free-threaded build, also while Python code computes.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build; with the GIL only for work that waits or releases it
:search: lock contention, contended lock, threads wait for a lock, threads run
    one after another, threads not faster, multithreading slow because of
    lock, how to measure lock contention, acquire non-blocking, lock striping,
    sharded counter, striped lock, concurrent dict, per-thread counter,
    critical section too long, hold lock while doing I/O, scalability,
    free-threaded Python slower, lock convoy

Use this when
    threads with a lock are no faster than one, or stop being faster as you
    add more.

Prefer instead
    the one short lock as long as nobody waits for it: taking it made an
    increment several times as dear (measured on Python 3.11 to 3.14), which is
    little beside any work.
    :mod:`cookbook.parallel_threads.threads_that_scale` for data that can be
    dealt out before the threads start.

Pitfalls
    - Before you split a lock, ask what it keeps in step: what has to agree
      needs one lock.
    - A ``WatchedLock`` is Python code, and slower than the lock in it. Take
      it out when you have counted.
    - A total over all stripes is not of one moment: while one stripe is read,
      another may change. Take all locks, in order, if that matters
      (:mod:`cookbook.deadlocks.lock_ordering`).
    - Stripes do not help if all threads want the same key.
    - What is computed before the lock is taken may be out of date when it is
      held: read again what the update depends on
      (:mod:`cookbook.threads.check_then_act`).

If a job raises
    the lock is free again, and the error is raised here when the jobs that
    were begun have ended. The counts are lost.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from cookbook.primes import WORKERS, checked

T = TypeVar("T")


class WatchedLock:
    """A lock that counts how often a thread had to wait for it.

    Attributes:
        taken: How often it was taken.
        waits: How often it was taken by a thread that had to wait.

    Example:
        >>> from cookbook.measuring.contention import WatchedLock
        >>> lock = WatchedLock()
        >>> with lock:
        ...     print(f"taken {lock.taken} time, {lock.waits} waits")
        taken 1 time, 0 waits
    """

    def __init__(self, on_wait: Callable[[], object] | None = None) -> None:
        """Make the lock.

        Args:
            on_wait: Called by a thread that finds it taken, before it waits.
        """
        self.taken = 0
        self.waits = 0
        self._on_wait = on_wait
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        waits = not self._lock.acquire(blocking=False)
        if waits:
            if self._on_wait:
                self._on_wait()
            self._lock.acquire()
        self.taken += 1  # the lock is held here
        self.waits += waits

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def count_with_short_lock(
    work: Callable[[T], Hashable],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    lock: AbstractContextManager[object] | None = None,
) -> Counter[Hashable]:
    """Count the answers of *work*; hold the lock for the update alone.

    Args:
        work: Called with one item, in several threads at once.
        items: What to call it with.
        workers: How many threads to use.
        lock: Guards the counts; by default a new one.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.measuring.contention import count_with_short_lock
        >>> count_with_short_lock(len, ["a", "b", "abc"])[1]
        2
    """
    checked((), workers)
    lock = threading.Lock() if lock is None else lock
    counts: Counter[Hashable] = Counter()

    def job(item: T) -> None:
        answer = work(item)
        with lock:
            counts[answer] += 1

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(job, items))
    return counts


def count_alone(
    work: Callable[[T], Hashable],
    items: Sequence[T],
    *,
    workers: int = WORKERS,
) -> Counter[Hashable]:
    """Count the answers of *work*; each thread counts its share alone.

    Args:
        work: As above.
        items: As above; each thread gets every *workers*-th of them.
        workers: As above.
    """
    checked((), workers)
    shares = [items[first::workers] for first in range(workers)]
    total: Counter[Hashable] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for counts in pool.map(
            lambda share: Counter(map(work, share)), shares
        ):
            total.update(counts)
    return total


class StripedCounts:
    """Counts that threads add to, with a lock for each group of keys.

    Attributes:
        locks: They are taken for keys with the same remainder of their hash.

    Example:
        >>> from cookbook.measuring.contention import StripedCounts
        >>> counts = StripedCounts(stripes=8)
        >>> counts.add("a")
        >>> counts.add("b", 2)
        >>> counts.total() == {"a": 1, "b": 2}
        True
    """

    def __init__(
        self,
        stripes: int = 16,
        new_lock: Callable[[], Any] = threading.Lock,
    ) -> None:
        """Make the locks.

        Args:
            stripes: How many; several times as many as there are threads.
            new_lock: Returns a lock; with WatchedLock you see who waits.

        Raises:
            ValueError: If *stripes* is less than 1.
        """
        if stripes < 1:
            raise ValueError(f"stripes must be at least 1, not {stripes!r}")
        self.locks = [new_lock() for _ in range(stripes)]
        self._counts: list[Counter[Hashable]] = [Counter() for _ in self.locks]

    def add(self, key: Hashable, number: int = 1) -> None:
        """Add *number* to the count of *key*."""
        stripe = hash(key) % len(self.locks)
        with self.locks[stripe]:
            self._counts[stripe][key] += number

    def total(self) -> Counter[Hashable]:
        """Return all counts, each stripe as it is when it is read."""
        total: Counter[Hashable] = Counter()
        for lock, counts in zip(self.locks, self._counts, strict=True):
            with lock:
                total.update(counts)
        return total


class Visitors:
    """Work that counts how many threads are in it at once.

    Attributes:
        most: How many there were at most.
    """

    def __init__(self, wait: Callable[[], object]) -> None:
        """Let each thread *wait* while it is in the work."""
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()
        self._wait = wait

    def __call__(self, number: int) -> str:
        """Tell whether *number* is odd or even."""
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self._wait()
        with self._lock:
            self._inside -= 1
        return "odd" if number % 2 else "even"


def main() -> None:
    """Let two threads work at once, and count what they find.

    >>> main()
    short lock: 2 at once, 5 odd of 10, lock taken 10 times
    own totals: 2 at once, 5 odd of 10, no lock
    stripes: 10 keys in 4 groups, locks taken 3, 3, 2, 2 times
    """
    work = Visitors(threading.Barrier(2, timeout=10).wait)
    lock = WatchedLock()
    counts = count_with_short_lock(work, range(10), workers=2, lock=lock)
    print(f"short lock: {work.most} at once,", end=" ")
    print(f"{counts['odd']} odd of 10, lock taken {lock.taken} times")
    work = Visitors(threading.Barrier(2, timeout=10).wait)
    counts = count_alone(work, range(10), workers=2)
    print(
        f"own totals: {work.most} at once, {counts['odd']} odd of 10, no lock"
    )
    striped = StripedCounts(4, WatchedLock)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(striped.add, range(10)))
    taken = ", ".join(str(lock.taken) for lock in striped.locks)
    print(f"stripes: {len(striped.total())} keys in 4 groups,", end=" ")
    print(f"locks taken {taken} times")


def broken_count(
    work: Callable[[T], Hashable],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    lock: AbstractContextManager[object],
) -> Counter[Hashable]:
    """Count the answers of *work*, all of it under the lock.

    Warning:
        The counts are right, and the threads run one after another: only the
        one that has the lock is in the work. More threads only wait more.
    """
    counts: Counter[Hashable] = Counter()

    def job(item: T) -> None:
        with lock:
            counts[work(item)] += 1

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(job, items))
    return counts


def broken_main() -> None:
    """Let one of two threads stay in the work until the other one waits.

    >>> broken_main()
    1 at once, lock taken 2 times, 1 wait
    """
    waits = threading.Event()
    work = Visitors(lambda: waits.wait(timeout=10))
    lock = WatchedLock(on_wait=waits.set)
    broken_count(work, range(2), workers=2, lock=lock)
    print(f"{work.most} at once,", end=" ")
    print(f"lock taken {lock.taken} times, {lock.waits} wait")


if __name__ == "__main__":
    main()
    broken_main()
