"""Share a counter between threads.

``value += 1`` reads, adds and writes. Two threads that interleave those steps
both read the same number, and one update is lost. Hold a lock from the read to
the write. With the GIL a bare ``value += 1`` may never fail while you try it;
nothing in Python promises that.

:models: threads
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: race condition, lost update, thread-safe counter, lock, mutex,
    synchronized, atomic increment, read-modify-write, += in threads, critical
    section

Use this when
    several threads change one object, and the change depends on its old
    value.

Prefer instead
    a :class:`queue.Queue` when threads hand work over rather than share
    state; no lock is needed when each thread returns its own count and one
    adds them up.

Pitfalls
    Do not call :meth:`Counter.change` from inside ``step``: a
    :class:`threading.Lock` waits for itself for ever.

If a job raises
    an error in ``step`` leaves the value as it was and the lock free.
"""

import threading
from collections.abc import Callable


class Counter:
    """A number that any number of threads may change.

    Example:
        >>> from cookbook.threads.shared_counter import Counter
        >>> counter = Counter()
        >>> counter.change(lambda value: value + 5)
        >>> counter.value
        5
    """

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def change(self, step: Callable[[int], int]) -> None:
        """Replace the value by what *step* makes of it, alone.

        Args:
            step: Gets the old value and returns the new one. No other call
                of this method runs meanwhile; reading or setting the value
                directly takes no lock. An error that it raises goes to the
                caller.
        """
        with self._lock:
            self.value = step(self.value)


def main() -> None:
    """Let two threads add one, a thousand times each.

    >>> main()
    2 threads added 1000 each: 2000
    """
    counter = Counter()

    def work() -> None:
        for _ in range(1000):
            counter.change(lambda value: value + 1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("2 threads added 1000 each:", counter.value)


class BrokenCounter:
    """A number that loses changes.

    Warning:
        While *step* runs, another thread reads the same value, and the later
        write undoes the earlier one. With the GIL the interpreter may switch
        threads at a call, so any call in the gap is enough; without the GIL
        nothing is needed.
    """

    def __init__(self) -> None:
        self.value = 0

    def change(self, step: Callable[[int], int]) -> None:
        """Replace the value by what *step* makes of it."""
        self.value = step(self.value)


def broken_main() -> None:
    """Let two threads add one, both between the other's read and write.

    >>> broken_main()
    2 threads added 1 each: 1
    """
    counter = BrokenCounter()
    both_have_read = threading.Barrier(2, timeout=10)

    def add_one(value: int) -> int:
        both_have_read.wait()
        return value + 1

    threads = [
        threading.Thread(target=counter.change, args=(add_one,))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("2 threads added 1 each:", counter.value)


if __name__ == "__main__":
    main()
    broken_main()
