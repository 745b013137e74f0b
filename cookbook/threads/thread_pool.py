"""Run jobs in a pool of threads.

``ThreadPoolExecutor.map`` hands each item to a free thread and yields the
results in the order of the items. While one job waits for a network or a disk
the others go on; all of them share one process and its memory. Here
``is_prime_with_pid`` stands in for your job: put one in its place that waits.

:models: threads
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: builds with the GIL
:search: thread pool, ThreadPoolExecutor, concurrent.futures, executor.map,
    return value from a thread, exception in a thread, threads not faster,
    only one core used, GIL, multithreading slow, multithreading slower than
    single thread, threads slower than a loop, switch interval, max_workers

Use this when
    the jobs spend their time waiting: for a server, a disk, a database.

Prefer instead
    :mod:`cookbook.processes.executor_map` when the jobs compute and the build
    has a GIL; :mod:`cookbook.coroutines.run_together` when the jobs are
    coroutines.

Pitfalls
    Results come in the order of the items: a slow first job holds back the
    results behind it, not the jobs.

If a job raises
    the error is raised when its result is read. Jobs that have not started
    by then are cancelled, and those that run are waited for.
"""

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from cookbook.primes import (
    PRIMES,
    WORKERS,
    checked,
    count_primes,
    is_prime_with_pid,
)


def concurrent_with_thread_pool(
    *, numbers: Iterable[int] = PRIMES, workers: int = WORKERS
) -> list[tuple[int, bool, int]]:
    """Tell which numbers are prime, with a pool of threads.

    Args:
        numbers: The numbers to test.
        workers: How many threads to use.

    Returns:
        For each number, in the order given: the number, whether it is prime,
        and the process that found out, which is this one.

    Raises:
        TypeError: If *numbers* is not iterable or holds something else than
            ints, or *workers* is not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.threads.thread_pool import *
        >>> answers = concurrent_with_thread_pool(numbers=[7, 8])
        >>> [(number, prime) for number, prime, _ in answers]
        [(7, True), (8, False)]
    """
    numbers = checked(numbers, workers)
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(is_prime_with_pid, numbers))


def main() -> None:
    """Test four numbers in two threads.

    >>> main()
    2 True
    9 False
    97 True
    100 False
    all in this process: True
    """
    answers = concurrent_with_thread_pool(numbers=(2, 9, 97, 100), workers=2)
    for number, prime, _ in answers:
        print(number, prime)
    here = os.getpid()
    print("all in this process:", all(pid == here for *_, pid in answers))


def broken_speed_up(*, jobs: int = 4, workers: int = WORKERS) -> float:
    """Count primes in threads, to keep as many cores busy.

    Args:
        jobs: How often to count the primes below 20,000.
        workers: How many threads to use.

    Returns:
        CPU seconds used per second: how many cores were busy.

    Warning:
        With the GIL one thread at a time runs Python code, so CPU-bound jobs
        take turns: CPU time over wall time stays at 1 however many threads
        there are. They may even take longer than one after another: every 5 ms
        the thread that runs must hand the GIL to one that waits for it
        (documented: comments of CPython's ``ceval_gil.c``), and two threads
        were three quarters as fast as a plain loop (measured on Python 3.13
        with 2 cores). On a free-threaded build they run at once: see
        :mod:`cookbook.parallel_threads.threads_that_scale`.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(count_primes, [0] * jobs, [20_000] * jobs))
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def broken_main() -> None:
    """Hope that four threads keep four cores busy.

    >>> broken_main()  # with the GIL
    4 threads, busy cores: at most 1
    >>> broken_main()  # without the GIL
    4 threads, busy cores: at most ...
    """
    busy = max(1, round(broken_speed_up()))
    print(f"{WORKERS} threads, busy cores: at most {busy}")


if __name__ == "__main__":
    main()
    broken_main()
