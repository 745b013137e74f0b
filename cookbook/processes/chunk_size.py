"""Choose the chunk size for many small jobs.

A job that is sent alone costs a message to a worker and a message back, each
pickled, written to a pipe and read from it. A chunk sends several jobs in one
message, so large chunks cost less. But one worker runs the whole chunk, and
with too few chunks other workers have nothing to do. Make about four chunks
for each worker: few messages, and enough of them to even out jobs that take
unequal time.

This is the default of :meth:`~multiprocessing.pool.Pool.map`. The default of
:meth:`Executor.map <concurrent.futures.Executor.map>`, of
:meth:`~multiprocessing.pool.Pool.imap` and of
:meth:`~multiprocessing.pool.Pool.imap_unordered` is 1: each job travels alone,
and the program can be slower than the loop that it replaces.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: chunksize, multiprocessing chunksize choose, executor.map chunksize,
    multiprocessing pool slower than for loop, multiprocessing slower than
    single process, many small tasks, overhead of a task, cost of pickling,
    batching, how many chunks, one worker does everything, workers idle, only
    one core used, imap slow, map returns None, Pool.map hangs with a float,
    "ValueError: chunksize must be >= 1.",
    "ValueError: Chunksize must be 1+, not 0"

Use this when
    there are thousands of jobs of less than a millisecond, or processes are
    slower than the plain loop.

Prefer instead
    the plain loop when all the work takes less than starting the workers.
    Chunk size 1 when a job takes 10 ms or more: pool and executor were then
    more than 1.8 times as fast as the loop (measured on Python 3.13 on Linux
    with 2 cores).

Pitfalls
    - Jobs of under a microsecond, one by one, took 25 times as long as a loop
      in a pool, and 120 times in an executor. Chunks of 1000 made the
      executor 100 times faster. One by one, a job had to take 0.1 ms in a
      pool, and 0.3 ms in an executor, to be no slower than the loop (all
      measured as above, start method fork).
    - If chunks do not help, what is sent is too large, or the workers are
      started too often. Send what is needed to make the data, rather than the
      data. Keep one pool for all the work.
    - ``Pool.map`` has to know how many items there are: it makes a list of
      what has no length. ``imap`` reads them one after the other.
    - A chunk size that is a float, such as ``len(items) / 8``, can make
      ``Pool.map`` wait for ever (observed on Python 3.11 to 3.15).

If a job raises
    the rest of its chunk is not run, and the answers of the chunk are lost.

If a worker is killed
    a pool loses the whole chunk (:mod:`cookbook.processes.pool_or_executor`).
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from cookbook.primes import WORKERS, checked, is_prime_with_pid

T = TypeVar("T")
R = TypeVar("R")


def chunk_size(jobs: int, workers: int, *, chunks: int = 4) -> int:
    """Return how many jobs to send at once, rounded up.

    Args:
        jobs: How many there are.
        workers: How many processes share them.
        chunks: How many chunks to make for each worker.

    Raises:
        ValueError: If *jobs* is negative, or another one less than 1.

    Example:
        >>> from cookbook.processes.chunk_size import chunk_size
        >>> chunk_size(10_000, workers=2), chunk_size(3, workers=2)
        (1250, 1)
    """
    if jobs < 0 or workers < 1 or chunks < 1:
        raise ValueError(f"no share of {jobs} in {workers} * {chunks}")
    return max(1, -(-jobs // (workers * chunks)))


def map_in_executor(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item; send about four chunks to each worker.

    Args:
        function: Called with one item in a worker; a function of a module.
        items: What to call it with.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The answers, in the order of *items*.

    Raises:
        TypeError: If *items* is not iterable or *workers* not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.chunk_size import map_in_executor
        >>> map_in_executor(abs, [-3, 5], workers=1)
        [3, 5]
    """
    checked((), workers)
    jobs = list(items)
    size = chunk_size(len(jobs), workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(function, jobs, chunksize=size))


def map_in_pool(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item; a pool's default does the same.

    Args:
        function: Called with one item in a worker; a function of a module.
        items: What to call it with.
        workers: How many processes to start.
        context: The start method's context, as above.
    """
    checked((), workers)
    jobs = list(items)
    context = context or multiprocessing.get_context()
    # A worker leaves Ctrl-C to the parent, which terminates the pool.
    ignore_ctrl_c = (signal.SIGINT, signal.SIG_IGN)
    with context.Pool(workers, signal.signal, ignore_ctrl_c) as pool:
        return pool.map(function, jobs)


class Counted(Generic[T, R]):
    """A function that counts how often it is sent: once with each chunk.

    Attributes:
        function: What is called in the worker.
        sent: How often it was pickled.
    """

    def __init__(self, function: Callable[[T], R]) -> None:
        self.function = function
        self.sent = 0

    def __getstate__(self) -> dict[str, Any]:
        self.sent += 1
        return self.__dict__

    def __call__(self, item: T) -> R:
        """Return what the function returns for *item*."""
        return self.function(item)


def main() -> None:
    """Count the messages that take a hundred jobs to two workers.

    >>> main()
    chunk size: 13
    executor: 8 messages
    pool: 8 messages
    """
    print("chunk size:", chunk_size(100, workers=2))
    job = Counted(is_prime_with_pid)
    map_in_executor(job, range(100), workers=2)
    print(f"executor: {job.sent} messages")
    job = Counted(is_prime_with_pid)
    map_in_pool(job, range(100), workers=2)
    print(f"pool: {job.sent} messages")


def broken_one_by_one(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    context: BaseContext | None = None,
) -> list[R]:
    """Leave the chunk size of an executor at its default.

    Warning:
        The default is 1. If a job takes less time than its message, the
        workers spend most of theirs on messages.
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(function, items))


def broken_all_at_once(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    context: BaseContext | None = None,
) -> list[R]:
    """Send all the jobs in one chunk, for the fewest messages.

    Warning:
        One worker gets the chunk and does everything. The others wait.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        return pool.map(function, items, chunksize=len(items))


def broken_rounded_down(
    function: Callable[[T], R],
    items: Sequence[T],
    *,
    workers: int,
    context: BaseContext | None = None,
) -> list[R]:
    """Make four chunks for each worker, and round their size down.

    Warning:
        With fewer items than chunks the size is 0. ``Pool.map`` then calls
        nothing, and returns ``None`` for each item without an error.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        size = len(items) // (4 * workers)
        return pool.map(function, items, chunksize=size)


def broken_main() -> None:
    """Send too many messages, too few, and none.

    >>> broken_main()
    one by one: 100 messages
    all at once: 1 message, 1 of 2 workers
    rounded down: [None, None, None]
    """
    job = Counted(is_prime_with_pid)
    broken_one_by_one(job, range(100), workers=2)
    print(f"one by one: {job.sent} messages")
    job = Counted(is_prime_with_pid)
    answers = broken_all_at_once(job, range(100), workers=2)
    pids = {pid for *_, pid in answers}
    print(f"all at once: {job.sent} message, {len(pids)} of 2 workers")
    found = broken_rounded_down(is_prime_with_pid, [7, 8, 9], workers=2)
    print("rounded down:", found)


if __name__ == "__main__":
    main()
    broken_main()
