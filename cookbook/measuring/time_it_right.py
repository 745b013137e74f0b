"""Time two ways of doing the same work.

Measure both in one run, in turns, and quote their ratio with its spread.
Seconds are of one machine on one day; whatever slows the machine down for a
while slows both ways down. Call each way once before, untimed: the first call
pays for imports, caches and the start of a pool.

And see to it that the time contains the work. A way that returns an iterator,
a future or a coroutine, or a list of them, returns at once, and the work comes
later.

:models: threads, asyncio, processes
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: benchmark, measure execution time, time a function, speed-up,
    time.perf_counter, time.time, time.process_time, timeit, pyperf, warm-up,
    median, benchmark threads, benchmark asyncio, time a coroutine,
    multiprocessing pool slower than for loop, executor.map returns
    immediately, "returned a promise, not a result"

Use this when
    you want to know whether a change, such as a pool, makes work faster.

Prefer instead
    - ``python -m timeit -s SETUP STATEMENT`` for a line of code. It runs in
      one process, with the garbage collector off.
    - pyperf for figures that you publish: it starts fresh processes, warms
      up, gives mean and standard deviation, and warns when a result is
      unstable (documented: *pyperf*).
    - :mod:`cookbook.measuring.find_the_bottleneck` to find what to change.

Pitfalls
    - A way that makes its own pool pays for the start each time. For a script
      that is right; for a server, make the pool before, and measure its use.
      The first use of a pool took longer than a later one: under fork three
      to seven times, under spawn about twice (measured on 3.11 to 3.15, see
      :mod:`cookbook.processes.start_methods`).
    - One process may run the same loop up to a tenth faster than another, for
      its whole life (measured). So measure in several
      (:func:`in_fresh_processes`), and take no smaller difference seriously.
    - ``time.time()`` jumps when the system's clock is set.
      ``time.perf_counter()`` never goes back.
    - ``clock=time.process_time`` measures CPU time: waiting does not count,
      all threads of the process do, and other processes do not (documented:
      *time*). A way that works in worker processes seems to need nearly none.
    - To time a coroutine function, give ``lambda: asyncio.run(main())``.
    - Compare the answers first. The faster way may leave something out.

If a job raises
    the error is raised, and there are no times.
"""

import asyncio
import multiprocessing
import statistics
import threading
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import AsyncResult
from typing import TypeVar

from cookbook.primes import is_prime

R = TypeVar("R")
PROMISES = (Iterator, AsyncIterator, Awaitable, Future, AsyncResult)


def time_in_turns(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each way once a round, after one call that does not count.

    Every other round goes backwards, so that no way always comes first.

    Args:
        ways: For each name a function that works and returns the result.
        rounds: How often each way is timed.
        clock: Called before and after. With one that counts jobs you see
            whether the time contains the work.

    Returns:
        For each name what the clock says of each round.

    Raises:
        TypeError: If a way returns an iterator, a future or the like, or a
            list, tuple or set that holds one.
        ValueError: If *rounds* is less than 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds!r}")
    for name, way in ways.items():
        check_result(name, way())
    times: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(rounds):
        for name in order:
            began = clock()
            ways[name]()
            times[name].append(clock() - began)
        order.reverse()
    return times


def check_result(name: str, result: object) -> None:
    """Raise a TypeError if *result* is a promise that work will be done.

    Args:
        name: What the error calls the way.
        result: What the way returned. The items of a list, a tuple or a set
            are looked at too.

    Example:
        >>> from cookbook.measuring.time_it_right import check_result
        >>> check_result("lazy", map(abs, [-1]))
        Traceback (most recent call last):
        TypeError: 'lazy' returned a promise, not a result: map
    """
    items = result if isinstance(result, list | tuple | set) else ()
    promises = [one for one in (result, *items) if isinstance(one, PROMISES)]
    for promise in promises:
        if isinstance(promise, Coroutine):
            promise.close()
    if promises:
        kind = type(promises[0]).__name__
        raise TypeError(f"{name!r} returned a promise, not a result: {kind}")


def speed_up(
    times: Mapping[str, list[float]], name: str, base: str
) -> tuple[float, float, float]:
    """Say how many times as fast a way is as another, round by round.

    Args:
        times: What :func:`time_in_turns` returned.
        name: The way.
        base: What it is compared with.

    Returns:
        The median of the ratios, the lowest and the highest.

    Raises:
        ValueError: If *name* took no time in a round: give it more to do.

    Example:
        >>> from cookbook.measuring.time_it_right import speed_up
        >>> speed_up({"new": [2, 4, 8], "old": [8, 8, 8]}, "new", "old")
        (2.0, 1.0, 4.0)
    """
    if min(times[name]) <= 0:
        raise ValueError(f"{name!r} is too short for this clock")
    rounds = zip(times[base], times[name], strict=True)
    ratios = [other / one for other, one in rounds]
    return statistics.median(ratios), min(ratios), max(ratios)


def in_fresh_processes(
    measure: Callable[[], R], processes: int = 3
) -> list[R]:
    """Call *measure* in several processes, one after another.

    Args:
        measure: A function of a module, which a new process can import.
        processes: How many times; each is started by spawn, for this only.

    Returns:
        What the calls returned.

    Raises:
        ValueError: If *processes* is less than 1.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, not {processes!r}")
    context = multiprocessing.get_context("spawn")
    found = []
    for _ in range(processes):
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            found.append(executor.submit(measure).result())
    return found


NUMBERS = range(1000, 1008)
DONE: list[int] = []


def job(n: int) -> bool:
    """Tell whether *n* is prime, and note that it is done."""
    prime = is_prime(n)
    DONE.append(n)
    return prime


def in_a_loop() -> list[bool]:
    """Work in this thread."""
    return [job(n) for n in NUMBERS]


def in_threads() -> list[bool]:
    """Work in two threads."""
    with ThreadPoolExecutor(2) as executor:
        return list(executor.map(job, NUMBERS))


WAYS = {"loop": in_a_loop, "threads": in_threads}


def jobs_done() -> int:
    """Be a clock that counts jobs."""
    return len(DONE)


def measure() -> tuple[float, float, float]:
    """Compare the two; leave out the clock, and it is their time."""
    times = time_in_turns(WAYS, clock=jobs_done)
    return speed_up(times, "threads", "loop")


def main() -> None:
    """Time jobs by a clock that counts them: all are in the time.

    >>> main()
    jobs in three rounds: {'loop': [8, 8, 8], 'threads': [8, 8, 8]}
    speed-up in two processes: [(1.0, 1.0, 1.0), (1.0, 1.0, 1.0)]
    in time: threads ... times as fast (... to ...)
    'lazy' returned a promise, not a result: generator
    """
    times = time_in_turns(WAYS, rounds=3, clock=jobs_done)
    print("jobs in three rounds:", times)
    print("speed-up in two processes:", in_fresh_processes(measure, 2))
    ratio, low, high = speed_up(time_in_turns(WAYS), "threads", "loop")
    print(f"in time: threads {ratio:.2f} times as fast", end=" ")
    print(f"({low:.2f} to {high:.2f})")
    try:
        time_in_turns({"lazy": lambda: (job(n) for n in NUMBERS)})
    except TypeError as error:
        print(error)


def broken_time(
    way: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Time one call, whatever it returns.

    Args:
        way: What is called.
        clock: Called before and after.

    Warning:
        A generator has not begun when it is returned, and
        ``executor.map()``, ``pool.imap()`` and ``create_task()`` return when
        the jobs are handed out. The clock is read before the work is done,
        and the change looks far faster than it is.
    """
    began = clock()
    way()
    return clock() - began


def broken_main() -> None:
    """Count the jobs that are in such a time.

    >>> broken_main()
    generator: 0 of 8 jobs
    executor.map: 0 of 8 jobs
    create_task: 0 of 8 jobs
    """
    lazy = broken_time(lambda: (job(n) for n in NUMBERS), jobs_done)
    print("generator:", lazy, "of 8 jobs")

    clock_stopped = threading.Event()

    def slow_job(n: int) -> bool:
        clock_stopped.wait()
        return job(n)

    with ThreadPoolExecutor(2) as executor:
        handed_out = broken_time(
            lambda: executor.map(slow_job, NUMBERS), jobs_done
        )
        clock_stopped.set()
    print("executor.map:", handed_out, "of 8 jobs")

    async def start_tasks() -> float:
        async def one(n: int) -> bool:
            return job(n)

        return broken_time(
            lambda: [asyncio.create_task(one(n)) for n in NUMBERS], jobs_done
        )

    print("create_task:", asyncio.run(start_tasks()), "of 8 jobs")


if __name__ == "__main__":
    main()
    broken_main()
