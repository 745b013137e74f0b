"""Replace the workers of a pool after a number of jobs.

A worker lives as long as its pool, and so does whatever its jobs leave behind:
a cache without a bound, a list that only grows, memory that a C library never
gives back. With ``maxtasksperchild=n`` a worker of
:class:`multiprocessing.pool.Pool` ends after *n* tasks, the system takes back
all that it held, and a fresh worker takes its place. A task is what is sent at
once, so pass ``chunksize=1`` to ``map`` as well: by default a task holds many
jobs.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: maxtasksperchild, max_tasks_per_child, restart workers, recycle
    workers, max_tasks_per_child maxtasksperchild memory leak worker, memory
    grows, memory not released, worker uses more and more memory,
    "ValueError: max_tasks_per_child is incompatible with the 'fork'
    multiprocessing start method; supply a different mp_context.",
    "ValueError: maxtasksperchild must be a positive int or None",
    ProcessPoolExecutor hangs after max_tasks_per_child

Use this when
    workers run many jobs, what these leave behind adds up, and you cannot
    mend the code that leaves it.

Prefer instead
    - to mend the leak, if it is yours: :mod:`tracemalloc` shows which lines
      allocated what is still there.
    - ``ProcessPoolExecutor(workers, max_tasks_per_child=1)`` when a worker may
      be killed, which an executor reports and a pool does not. It starts
      workers by spawn unless you pass a context, and refuses fork:
      ``ValueError: max_tasks_per_child is incompatible with the 'fork'
      multiprocessing start method; supply a different mp_context.``

Pitfalls
    - With ``max_tasks_per_child`` of 2 or more an executor that has jobs
      waiting can be left without a worker, and waits for ever: on every
      release of Python 3.11 and 3.12, and on 3.13 and 3.14 before the fix of
      July 2026 (documented: CPython issue 115634; 3.13.15 and 3.14.8 have it,
      observed). 1 is safe.
    - An executor counts a chunk as one task too; its ``chunksize`` is 1 by
      default. So is that of ``imap`` and ``imap_unordered``.
    - Each worker has to start, load its modules and run the initializer. Let
      *jobs_each* be so large that the jobs take much longer than that.
    - Under fork the fresh workers are forked by a thread of the pool while
      other threads run: see :mod:`cookbook.deadlocks.fork_with_threads`. This
      function uses spawn unless you say otherwise.

If a job raises
    it counts like any other, and its worker goes on. The error is raised in
    the parent, as in :mod:`cookbook.processes.pool_map`.

On Ctrl-C
    the workers ignore it, and the parent terminates them.

If a worker is killed
    a new one takes its place, but its job is lost and ``map`` waits for ever.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from multiprocessing.context import BaseContext
from typing import TypeVar

from cookbook.primes import checked

R = TypeVar("R")


def map_in_fresh_workers(
    function: Callable[[int], R],
    numbers: Iterable[int],
    *,
    workers: int = 2,
    jobs_each: int = 100,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each number, in workers that do not grow old.

    Args:
        function: A function of a module, which a worker can import.
        numbers: One for each job.
        workers: How many processes run at a time.
        jobs_each: After how many jobs a worker is replaced.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default spawn.

    Returns:
        The results in the order of *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int.
        ValueError: If *workers* or *jobs_each* is less than 1.

    Example:
        >>> from cookbook.processes.recycle_workers import (
        ...     map_in_fresh_workers,
        ... )
        >>> map_in_fresh_workers(abs, [-1, -2, -3], jobs_each=2)
        [1, 2, 3]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context("spawn")
    # A worker leaves Ctrl-C to the parent, which terminates the pool.
    ignore_ctrl_c = (signal.SIGINT, signal.SIG_IGN)
    with context.Pool(
        workers, signal.signal, ignore_ctrl_c, maxtasksperchild=jobs_each
    ) as pool:
        return pool.map(function, jobs, chunksize=1)


LEFT_BEHIND: list[int] = []


def leak(n: int) -> tuple[int, int]:
    """Leave an object behind.

    Returns:
        The id of this process, and how many objects have been left in it.
    """
    LEFT_BEHIND.append(n)
    return os.getpid(), len(LEFT_BEHIND)


def show(found: list[tuple[int, int]]) -> None:
    """Print what the jobs returned, in short."""
    print("jobs:", len(found))
    print("workers:", len({pid for pid, _ in found}))
    print("left behind in a worker:", max(count for _, count in found))


def main() -> None:
    """Run 12 jobs that leak; a worker gets 3 of them.

    >>> main()
    jobs: 12
    workers: 4
    left behind in a worker: 3
    """
    show(map_in_fresh_workers(leak, range(12), workers=1, jobs_each=3))


def broken_map_in_fresh_workers(
    function: Callable[[int], R],
    numbers: Iterable[int],
    *,
    workers: int = 2,
    jobs_each: int = 100,
    context: BaseContext | None = None,
) -> list[R]:
    """Leave it to the pool how many jobs it sends at once.

    Warning:
        ``map`` cuts the jobs into about four chunks for each worker, and a
        chunk is one task, however many jobs it holds. With many jobs no
        worker may ever come to the end of its tasks.
    """
    context = context or multiprocessing.get_context("spawn")
    with context.Pool(workers, maxtasksperchild=jobs_each) as pool:
        return pool.map(function, numbers)


def broken_main() -> None:
    """Do the same in chunks of 3: the worker gets 9 jobs, and the last 3.

    >>> broken_main()
    jobs: 12
    workers: 2
    left behind in a worker: 9
    """
    show(broken_map_in_fresh_workers(leak, range(12), workers=1, jobs_each=3))


if __name__ == "__main__":
    main()
    broken_main()
