"""Stress code with many threads at once.

Set up fresh objects, let all threads begin at once, at a barrier, and check
the result; then the next round. A wrong result of code that is right in one
thread proves a race. Rounds that pass prove nothing: with the GIL a race whose
gap has no call and no loop in it never shows
(:mod:`cookbook.testing.force_a_race`).

So stress where it can show. ``sys.setswitchinterval(1e-6)`` lets the GIL
change hands as often as it can. A free-threaded build needs no switch: add
jobs with 3.13t and 3.14t to your CI, and set ``PYTHON_GIL=0`` there (or
``-X gil=0``): an extension module may else switch the GIL on again
(documented: :ref:`freethreading-python-howto`). ``pytest
--parallel-threads=8 --iterations=50`` of pytest-run-parallel (third party)
runs each test of a suite that you have in that many threads at once.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: builds with the GIL
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the schedule
    that the stress does not meet
:search: stress test, run a test many times, run under load, pytest-repeat,
    pytest-run-parallel, thread sanitizer, free-threaded CI, PYTHON_GIL,
    test without the GIL, sys._is_gil_enabled, sys.setswitchinterval, flaky,
    "Disabling the GIL is not supported by this build"

Use this when
    the code is too large to explore, or calls into C, and a free-threaded
    build is at hand.

Prefer instead
    :mod:`cookbook.testing.every_interleaving` for a few lines of Python: it
    proves. :mod:`cookbook.testing.force_a_race` when you know the gap.

Pitfalls
    - See the stress find a race before you trust it: take the lock out.
    - Without a barrier the first thread may have ended before the next one
      begins.
    - ``-X gil=0`` needs a free-threaded build. Others end with ``Disabling the
      GIL is not supported by this build`` from 3.13; 3.11 and 3.12 ignore it
      without a word. From 3.13 on, let a step of the CI check it: ``python -c
      "import sys, yourpackage; assert not sys._is_gil_enabled()"``.

If a job raises
    the first error is raised when the threads of the round have ended, and no
    further round begins.

If it takes too long
    a thread that hangs makes the stress hang: use it under a time limit, such
    as pytest's ``faulthandler_timeout``.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

THREADS = 4
Round = tuple[Callable[[], object], Callable[[], bool]]


def stress(
    make: Callable[[int], Round], *, rounds: int = 100, threads: int = THREADS
) -> int:
    """Run a job in many threads at once, and again with fresh objects.

    Args:
        make: Called for each round with the number of threads. Sets
            everything up and returns the job, which each thread runs once,
            and a function that tells whether the result is right.
        rounds: How many rounds to run.
        threads: How many threads begin at once.

    Returns:
        In how many rounds the result was wrong.

    Raises:
        ValueError: If *rounds* is below 1, or *threads* below 2.

    Example:
        >>> from cookbook.testing.stress import stress
        >>> def make(threads):
        ...     seen = []
        ...     return lambda: seen.append(1), lambda: len(seen) == threads
        >>> stress(make, rounds=10)
        0
    """
    if rounds < 1 or threads <= 1:
        raise ValueError(f"too few: {rounds=}, {threads=}")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(threads) as pool:
            passed = [
                run(pool, threads, *make(threads)) for _ in range(rounds)
            ]
    finally:
        sys.setswitchinterval(interval)
    return passed.count(False)


def run(
    pool: ThreadPoolExecutor,
    threads: int,
    job: Callable[[], object],
    is_right: Callable[[], bool],
) -> bool:
    """Run one round, and tell whether it went right."""
    start = threading.Barrier(threads, timeout=10)

    def work() -> None:
        start.wait()
        job()

    for future in [pool.submit(work) for _ in range(threads)]:
        future.result()
    return is_right()


class Number:
    """A number that threads share."""

    def __init__(self) -> None:
        self.value = 0


class Counter:
    """The code under test: it adds one to a number."""

    def __init__(self, number: Number) -> None:
        self.number = number
        self.lock = threading.Lock()

    def add(self) -> None:
        """Add one."""
        with self.lock:
            self.number.value += 1


def all_add_to(
    make_counter: Callable[[Number], Counter], threads: int
) -> Round:
    """Return a round in which each thread adds one."""
    number = Number()
    return make_counter(number).add, lambda: number.value == threads


def main() -> None:
    """Stress a counter that has a lock.

    >>> main()
    with a lock: wrong in 0 of 100 rounds
    """
    wrong = stress(partial(all_add_to, Counter))
    print("with a lock: wrong in", wrong, "of 100 rounds")


class BrokenCounter(Counter):
    """A counter that loses updates.

    Warning:
        Another thread can change the number between the read and the write.
        With the GIL no switch falls in that gap, because there is no call in
        it, so no number of rounds shows the race. That the stress passes says
        nothing about a free-threaded build, or about the day when somebody
        puts a call there.
    """

    def add(self) -> None:
        """Add one."""
        self.number.value += 1


class CalledNumber(Number):
    """A number whose read is a call, in which all threads meet."""

    def __init__(self, threads: int) -> None:
        self.all_read = threading.Barrier(threads, timeout=10)
        super().__init__()

    @property
    def value(self) -> int:
        """The number when the reader looked."""
        seen = self.total
        self.all_read.wait()
        return seen

    @value.setter
    def value(self, value: int) -> None:
        self.total = value


def all_meet_in_the_gap(threads: int) -> Round:
    """Return a round in which all threads read before one of them writes."""
    number = CalledNumber(threads)
    return BrokenCounter(number).add, lambda: number.total == threads


def broken_main() -> None:
    """Stress a counter without a lock, then put a call into the gap.

    >>> broken_main()  # with the GIL
    without a lock: wrong in 0 of 100 rounds
    with a call in the gap: wrong in 100 of 100 rounds
    >>> broken_main()  # without the GIL
    without a lock: wrong in ... of 100 rounds
    with a call in the gap: wrong in 100 of 100 rounds
    """
    wrong = stress(partial(all_add_to, BrokenCounter))
    print("without a lock: wrong in", wrong, "of 100 rounds")
    wrong = stress(all_meet_in_the_gap)
    print("with a call in the gap: wrong in", wrong, "of 100 rounds")


if __name__ == "__main__":
    main()
    broken_main()
