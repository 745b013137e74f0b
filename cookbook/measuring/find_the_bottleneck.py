"""Find out what makes a program slow.

First ask whether it computes or waits: divide the CPU time by the time on the
clock. Near 0 it waits. For a network or a disk, threads or coroutines can wait
for more at a time; for a lock, see :mod:`cookbook.measuring.contention`. Near
1 it computes on one core, and processes can use the others. In between it does
some of each. Near the number of cores, more workers gain nothing: the work
itself has to become less, or the threads of its libraries crowd each other
(:mod:`cookbook.processes.oversubscription`).

Then profile where the work is done. ``cProfile`` sees its own process: in the
parent of a pool it finds the waiting, and none of the jobs. Profile each job
in its worker, and add up.

:models: threads, asyncio, processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: profiler, cProfile, cProfile multiprocessing, cProfile threads,
    profile workers, CPU-bound or I/O-bound, slow program, bottleneck, py-spy,
    py-spy record, flame graph, profiling.sampling, sampling profiler,
    profiling.tracing, importtime, slow import, slow start, process_time,
    "<method 'acquire' of '_thread.lock' objects>",
    "ValueError: Another profiling tool is already active",
    "ValueError: tool 2 is already in use"

Use this when
    a program with workers is too slow, and before you change it.

Prefer instead
    - ``py-spy record --subprocesses -o profile.svg --pid PID`` (third party)
      for a program that runs: it samples all threads and all workers, and
      nothing needs to be prepared. It reads no free-threaded build
      (observed on 0.4).
    - from 3.15, ``python -m profiling.sampling attach -a --subprocesses PID``.
      Without ``-a`` it samples the main thread only. ``--mode=cpu`` counts
      who computes, ``--mode=gil`` who holds the GIL (documented:
      *profiling.sampling*).
    - ``python -X importtime program.py`` when it is the start that is slow: it
      writes to standard error how long each import takes.
    - :mod:`cookbook.coroutines.find_what_blocks` when an event loop stands
      still.

Pitfalls
    - Threads: up to 3.11 cProfile sees only the thread that enables it, and
      each thread can have its own. From 3.12 it sees all threads, but keeps
      one call stack for all: counts, callers and times are wrong as soon as
      two threads take turns. On 3.13 without the GIL it may even crash the
      interpreter (observed on 3.13.15). Sample instead.
    - From 3.12 only one profiler runs in a process. A second one raises
      ``ValueError: Another profiling tool is already active``, in later
      releases ``ValueError: tool 2 is already in use``; so does a job in a
      worker that is forked from a parent that is being profiled.
    - The CPU time of a worker is added to that of its parent when it has ended
      and was waited for: let the pool begin and end inside the call. On
      Windows it is never added (documented: ``os.times``).
    - cProfile makes Python functions look slow beside C functions, since it
      adds to each of their calls (documented: *The Python Profilers*).
    - From 3.15 the module is called :mod:`!profiling.tracing`; ``cProfile``
      is still there.

If a job raises
    the error is raised in the parent, and there is no profile.

If a worker is killed
    :exc:`~concurrent.futures.process.BrokenProcessPool` is raised.
"""

import cProfile
import multiprocessing
import os
import pstats
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from types import SimpleNamespace
from typing import Any, TypeVar

from cookbook.primes import checked, is_prime

R = TypeVar("R")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of children that have ended."""
    return sum(os.times()[:4])


def cpu_share(
    work: Callable[[], object],
    *,
    wall: Callable[[], float] = time.perf_counter,
    cpu: Callable[[], float] = cpu_seconds,
) -> float:
    """Return how many cores *work* keeps busy on average.

    Args:
        work: Called once. Let it take a second or more: the CPU time is
            counted in steps, of a hundredth on Linux.
        wall: The clock that also counts waiting.
        cpu: The clock that does not.

    Example:
        >>> import time
        >>> from cookbook.measuring.find_the_bottleneck import cpu_share
        >>> cpu_share(lambda: time.sleep(0.1)) < 0.5
        True
    """
    began, used = wall(), cpu()
    work()
    return (cpu() - used) / (wall() - began)


def profile_workers(
    function: Callable[[int], R],
    numbers: Iterable[int],
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> tuple[list[R], pstats.Stats]:
    """Call *function* for each number in worker processes, and profile it.

    Args:
        function: A function of a module, which a worker can import.
        numbers: One for each job.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The results in order, and the profiles of all jobs in one: call
        ``sort_stats("tottime").print_stats(10)`` on it.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1, or a worker is being
            profiled already.

    Example:
        >>> from cookbook.measuring.find_the_bottleneck import (
        ...     profile_workers,
        ... )
        >>> results, profile = profile_workers(abs, [-1, -2], workers=1)
        >>> results
        [1, 2]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        found = list(executor.map(partial(profiled, function), jobs))
    profiles: list[Any] = [  # pstats calls create_stats() and reads stats
        SimpleNamespace(stats=stats, create_stats=int) for _, stats in found
    ]
    return [result for result, _ in found], pstats.Stats(*profiles)


def profiled(
    function: Callable[[int], R], number: int
) -> tuple[R, dict[Any, Any]]:
    """Call *function* under a profiler; this runs in a worker.

    Args:
        function: What the job is.
        number: Its argument.

    Returns:
        What it returned, and its statistics in a form that can be sent.
    """
    profiler = cProfile.Profile()
    result = profiler.runcall(function, number)
    profiler.create_stats()
    return result, profiler.stats


def calls(profile: pstats.Stats, name: str) -> int:
    """Return how often a function was called according to a profile.

    Args:
        profile: What a profiler found.
        name: The function's name.
    """
    found = profile.get_stats_profile().func_profiles.get(name)
    return int(found.ncalls.partition("/")[0]) if found else 0


def main() -> None:
    """Tell waiting from work; find the work where it is done.

    >>> main()
    sleeping keeps less than half a core busy: True
    results: [True, False, True, False]
    calls of is_prime in the profile: 4
    """
    share = cpu_share(lambda: time.sleep(0.1))
    print("sleeping keeps less than half a core busy:", share < 1 / 2)
    results, profile = profile_workers(is_prime, [97, 99, 101, 102])
    print("results:", results)
    print("calls of is_prime in the profile:", calls(profile, "is_prime"))


def broken_profile(work: Callable[[], object]) -> pstats.Stats:
    """Profile the parent, while a worker works.

    Args:
        work: Called once.

    Warning:
        ``python -m cProfile program.py`` does the same. What takes the time is
        waiting, such as ``<method 'acquire' of '_thread.lock' objects>``. It
        is no lock to be removed: behind it are the jobs, of which the profile
        holds nothing.
    """
    profiler = cProfile.Profile()
    profiler.runcall(work)
    return pstats.Stats(profiler)


def broken_main() -> None:
    """Look for the work where it is not done.

    >>> broken_main()
    exit code of the worker that called is_prime: 0
    calls of is_prime in the profile: 0
    """
    worker = multiprocessing.Process(target=is_prime, args=(97,))

    def work() -> None:
        worker.start()
        worker.join()

    profile = broken_profile(work)
    print("exit code of the worker that called is_prime:", worker.exitcode)
    print("calls of is_prime in the profile:", calls(profile, "is_prime"))


if __name__ == "__main__":
    main()
    broken_main()
