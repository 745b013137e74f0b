"""Avoid self-deadlock by private methods without the lock.

A :class:`threading.Lock` does not know who holds it: a thread that takes it
twice waits for itself, for ever, without a message. Let each public method
take the lock once and leave the work to private methods, whose names end in
``_locked``: they take no lock and call only each other. As long as each new
method keeps to that, no call inside the class takes the lock twice.

:models: threads
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: :func:`faulthandler.dump_traceback_later`, which prints a thread
    that waits in a method called from one that holds the lock;
    :mod:`cookbook.testing.every_interleaving`, which finds the deadlock on
    every run
:search: self-deadlock, self deadlock, same lock twice, lock taken twice by
    one thread, nested lock, non-reentrant lock, recursive lock, method calls
    another locked method, program hangs for ever in acquire, lock in
    __del__, lock in signal handler, deadlock in weakref callback,
    "RuntimeError: reentrant call inside <_io.BufferedWriter name='<stdout>'>"

Use this when
    methods of a class that share a lock need each other's work.

Prefer instead
    :mod:`cookbook.threads.reentrant_lock` when you cannot tell who calls
    whom, as in a class made to be subclassed. An :class:`~threading.RLock`
    lets its holder in again; what is half changed is then visible to it.

Pitfalls
    - A signal handler runs in the main thread, between two of its steps. If
      the code that it interrupts holds the lock, the handler waits for ever.
      So does ``__del__`` or a weakref callback: it runs in whatever thread
      drops the last reference or starts a garbage collection.
    - In such code take no lock: put a note into a :class:`queue.SimpleQueue`,
      whose ``put`` the manual allows there, and let a normal method read it.
      :class:`queue.Queue` and :class:`threading.Event` have a lock of their
      own that a handler can wait for; ``print`` fails with ``RuntimeError:
      reentrant call inside <_io.BufferedWriter name='<stdout>'>``.
    - Python calls ``__repr__``, ``__eq__`` and ``__hash__`` for you, also
      under your lock: if they take it, logging the object is enough to hang.

If a job raises
    an exchange of more than there is raises :exc:`ValueError`; nothing has
    changed and the lock is free.

If it takes too long
    ``with lock:`` waits without end; ``lock.acquire(timeout=1)`` returns
    False after a second, to the thread that holds the lock too.

On Ctrl-C
    the main thread stops waiting for itself (on Windows from 3.14 on;
    documented: :meth:`threading.Lock.acquire`), and
    :exc:`KeyboardInterrupt` sets the lock free. Any other thread goes on
    waiting.
"""

import threading
from contextlib import AbstractContextManager


class Stock:
    """How many there are of each thing; any threads may change it.

    Example:
        >>> from cookbook.deadlocks.self_deadlock import Stock
        >>> stock = Stock()
        >>> stock.add("pear", 3)
        >>> stock.exchange("pear", "apple", 1)
        >>> stock.count("pear"), stock.count("apple")
        (2, 1)
    """

    def __init__(
        self, lock: AbstractContextManager[object] | None = None
    ) -> None:
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock() if lock is None else lock

    def count(self, thing: str) -> int:
        """Return how many there are of *thing*."""
        with self._lock:
            return self._counts.get(thing, 0)

    def add(self, thing: str, count: int) -> None:
        """Add *count*, which may be negative.

        Raises:
            ValueError: If fewer than none would be left.
        """
        with self._lock:
            self._add_locked(thing, count)

    def exchange(self, old: str, new: str, count: int) -> None:
        """Replace *count* of one thing by as many of another, in one step.

        Raises:
            ValueError: If there are not so many, or *count* is negative;
                nothing has changed then.
        """
        if count < 0:
            raise ValueError(f"count must be 0 or more, not {count!r}")
        with self._lock:
            self._add_locked(old, -count)
            self._add_locked(new, count)

    def _add_locked(self, thing: str, count: int) -> None:
        """Add *count*; the caller holds the lock."""
        left = self._counts.get(thing, 0) + count
        if left < 0:
            raise ValueError(f"{left} {thing} would be left")
        self._counts[thing] = left


def main() -> None:
    """Exchange in two threads at once.

    >>> main()
    50 pears, 50 apples
    """
    stock = Stock()
    stock.add("pear", 100)

    def work() -> None:
        for _ in range(25):
            stock.exchange("pear", "apple", 1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{stock.count('pear')} pears, {stock.count('apple')} apples")


class BrokenStock(Stock):
    """The same with an exchange that calls a public method.

    Warning:
        ``exchange`` holds the lock, and ``add`` waits until it is let go. No
        second thread is needed: the first call hangs.
    """

    def exchange(self, old: str, new: str, count: int) -> None:
        """Replace *count* of one thing by as many of another."""
        with self._lock:
            self.add(old, -count)
            self.add(new, count)


class ImpatientLock:
    """A lock that names its holder rather than wait for it for ever."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.holder = ""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        name = threading.current_thread().name
        if not self._lock.acquire(timeout=self.patience):
            raise TimeoutError(f"{name} waits for {self.holder}")
        self.holder = name

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def broken_main() -> None:
    """Exchange in one thread, and give up after a tenth of a second.

    >>> broken_main()
    TimeoutError: MainThread waits for MainThread
    """
    stock = BrokenStock(ImpatientLock(patience=0.1))
    stock.add("pear", 1)
    try:
        stock.exchange("pear", "apple", 1)
    except TimeoutError as error:
        print("TimeoutError:", error)


if __name__ == "__main__":
    main()
    broken_main()
