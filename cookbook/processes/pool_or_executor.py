"""Choose between Pool and ProcessPoolExecutor.

Both run jobs in a fixed number of processes. They differ when a worker dies,
killed by the system when memory runs out or by a crash in C code. The executor
notices, unless the worker was just sending a large answer: every job that has
no answer yet raises :exc:`~concurrent.futures.process.BrokenProcessPool`. A
pool starts a new worker, forgets the job that the old one ran, and waits for
its answer for ever. So take the executor, unless you need what only a pool
has, and then give every wait a timeout.

.. list-table::
   :header-rows: 1

   * -
     - Pool
     - ProcessPoolExecutor
   * - A worker dies
     - new worker, job lost, no error
     - ``BrokenProcessPool``; make a new executor
   * - A job raises
     - ``map`` raises the error; the pool goes on
     - ``map`` raises the error when its answer is read; the executor goes on
   * - Leaving the with-block
     - terminates the jobs
     - waits for the jobs
   * - Cancel one job
     - no
     - ``future.cancel()``, until it is on its way to a worker
   * - End jobs that run
     - ``terminate()``
     - from Python 3.14 ``terminate_workers()`` and ``kill_workers()``
   * - Await in asyncio
     - no
     - ``loop.run_in_executor()``
   * - Answers as they come
     - ``imap_unordered``
     - ``as_completed``
   * - Several arguments
     - ``starmap``
     - one iterable for each
   * - Chunk size of ``map``
     - a quarter of a worker's share
     - 1
   * - Workers start
     - all at once
     - when jobs need them; under fork all with the first job
   * - The same with threads
     - ``multiprocessing.pool.ThreadPool``
     - ``ThreadPoolExecutor``

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: Pool vs ProcessPoolExecutor, multiprocessing or concurrent.futures,
    difference between Pool and ProcessPoolExecutor, which is better, pool
    hangs when a worker is killed, pool waits forever, segmentation fault in a
    worker, out of memory, OOM killer, worker process died, lost job, cancel a
    job, terminate_workers, kill_workers

Use this when
    you start new code, or a pool hangs and you cannot tell why.

Prefer instead
    a pool for many small jobs that do not crash: it spends less on each. Sent
    one by one, jobs of a microsecond took an executor 5 times as long as a
    pool (measured on Python 3.13 on Linux, start method fork). Sent in chunks,
    they took both the same (:mod:`cookbook.processes.chunk_size`).

Pitfalls
    - An executor, too, waits for ever for a worker that is killed while it
      sends a large answer: see :mod:`cookbook.processes.ctrl_c_pools`.
    - A worker that is killed while it waits for a job keeps the lock of the
      pool's queue. No worker gets a job any more, and leaving the with-block
      waits for ever as well (observed on Python 3.11 to 3.15).
    - ``future.cancel()`` returns ``False`` for a job that runs, and for the
      next few, which are on their way to the workers.

If a job raises
    both functions raise the error again and return no answers. To keep the
    others, see :mod:`cookbook.processes.results_as_they_come`.

If it takes too long
    the *timeout* of :func:`answers_of_pool` is for all the jobs together:
    :exc:`multiprocessing.TimeoutError` is raised, and the workers are
    terminated.

On Ctrl-C
    the workers of :func:`answers_of_pool` ignore it, and the parent terminates
    them. Those of the executor do not: pressed in a terminal, it raises
    :exc:`KeyboardInterrupt` in the jobs that run, too.

If a worker is killed
    :func:`answers_of_executor` raises ``BrokenProcessPool`` and leaves no
    worker. :func:`answers_of_pool` waits until *timeout*.
"""

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import TypeVar

from cookbook.primes import WORKERS, checked, is_prime

T = TypeVar("T")
R = TypeVar("R")

UNLUCKY = 13


def is_prime_or_crash(n: int) -> bool:
    """Tell whether *n* is prime; ``UNLUCKY`` ends the process at once."""
    if n == UNLUCKY:
        os._exit(1)
    return is_prime(n)


def answers_of_executor(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item in the processes of an executor.

    Args:
        function: Called with one item; a function of a module.
        items: What to call it with.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The answers, in the order of *items*.

    Raises:
        concurrent.futures.process.BrokenProcessPool: If a worker dies.
        TypeError: If *items* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.pool_or_executor import *
        >>> answers_of_executor(abs, [-3, 5], workers=1)
        [3, 5]
    """
    checked((), workers)
    jobs = list(items)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(function, jobs))


def answers_of_pool(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    timeout: float,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item in the processes of a pool.

    Args:
        function: Called with one item; a function of a module.
        items: What to call it with.
        timeout: How many seconds all the jobs may take together.
        workers: How many processes to start.
        context: The start method's context, as above.

    Raises:
        multiprocessing.TimeoutError: If an answer is missing by then.
        TypeError: If *items* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1 or *timeout* is not a positive
            number.

    Example:
        >>> from cookbook.processes.pool_or_executor import *
        >>> answers_of_pool(abs, [-3, 5], workers=1, timeout=60)
        [3, 5]
    """
    checked((), workers)
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be positive, not {timeout!r}")
    jobs = list(items)
    context = context or multiprocessing.get_context()
    # A worker leaves Ctrl-C to the parent, which terminates the pool.
    ignore_ctrl_c = (signal.SIGINT, signal.SIG_IGN)
    with context.Pool(workers, signal.signal, ignore_ctrl_c) as pool:
        return pool.map_async(function, jobs).get(timeout)


def main() -> None:
    """Run the same jobs in both; then let a worker of the executor crash.

    >>> main()
    executor: [True, False]
    pool: [True, False]
    executor, a worker dies: BrokenProcessPool
    """
    job = is_prime_or_crash
    print("executor:", answers_of_executor(job, [7, 8], workers=2))
    print("pool:", answers_of_pool(job, [7, 8], workers=2, timeout=60))
    try:
        answers_of_executor(job, [7, UNLUCKY, 8], workers=2)
    except BrokenProcessPool:
        print("executor, a worker dies: BrokenProcessPool")


def broken_answers_of_pool(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    patience: float | None = None,
    context: BaseContext | None = None,
) -> list[R] | None:
    """Call *function* for each item, and wait until all are answered.

    Args:
        function: Called with one item.
        items: What to call it with.
        workers: How many processes to start.
        patience: After how many seconds to return ``None``, so that the trap
            can be shown; by default never, as with ``map``.
        context: The start method's context, as above.

    Warning:
        The job of a worker that died is given to nobody. Its answer never
        comes, and nothing tells this from a job that takes long.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        result = pool.map_async(function, items, chunksize=1)
        result.wait(patience)
        return result.get() if result.ready() else None


def broken_main() -> None:
    """Let a worker of a pool crash, and lose patience.

    >>> broken_main()
    pool: [True, False]
    pool, a worker dies: None
    """
    job = is_prime_or_crash
    print("pool:", broken_answers_of_pool(job, [7, 8], workers=2))
    numbers = [7, UNLUCKY, 8]
    found = broken_answers_of_pool(job, numbers, workers=2, patience=0.3)
    print("pool, a worker dies:", found)


if __name__ == "__main__":
    main()
    broken_main()
