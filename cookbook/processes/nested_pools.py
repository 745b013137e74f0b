"""Start processes from a job that runs in a process.

The workers of :class:`multiprocessing.pool.Pool` are daemonic: their parent
ends them when it ends itself. Since nobody would then end *their* children,
they may have none. The workers of a
:class:`~concurrent.futures.ProcessPoolExecutor` are not daemonic, and may.

Seldom does that pay: the outer workers only wait for the inner ones. Make one
flat list of all the small jobs, for one pool, and put the answers together in
the parent.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: nested multiprocessing, Pool inside Pool, multiprocessing in a worker,
    daemon process, subprocess of a worker, pool in a Process, NoDaemonProcess,
    daemonic processes are not allowed to have children, DataLoader,
    can only join a child process, process object is closed,
    "AssertionError: daemonic processes are not allowed to have children",
    "AssertionError: can only join a child process",
    "AssertionError: can only test a child process",
    "ValueError: process object is closed"

Use this when
    a job in a pool has parts that could run in processes themselves.

Prefer instead
    threads outside and one pool of processes inside, when the outer jobs wait
    for files or the network: see :mod:`cookbook.threads.thread_pool`. An
    executor outside when a library starts processes of its own.

Pitfalls
    - Workers multiply: four that start four each are twenty processes.
    - ``AssertionError: can only join a child process``, or ``can only test a
      child process`` of ``is_alive()``: the :class:`~multiprocessing.Process`
      object came into a forked child as a copy. Only the process that has
      started a process can join or test it, so leave that to the parent.
    - After ``process.close()``, every such call raises ``ValueError: process
      object is closed``.

If a job raises
    the error is raised in the parent, and all answers are lost.
"""

import itertools
import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import BaseContext

from cookbook.primes import is_prime


def count_primes_in_each(
    rows: Sequence[Sequence[int]],
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[int]:
    """Return how many primes each row holds, with one pool for all numbers.

    Args:
        rows: The numbers.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.nested_pools import count_primes_in_each
        >>> count_primes_in_each([[2, 3, 4], [], [5]])
        [2, 0, 1]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    numbers = list(itertools.chain.from_iterable(rows))
    with (context or multiprocessing).get_context().Pool(workers) as pool:
        answers = iter(pool.map(is_prime, numbers))
    return [sum(itertools.islice(answers, len(row))) for row in rows]


def main() -> None:
    """Count the primes of three rows.

    >>> main()
    [2, 0, 1]
    """
    print(count_primes_in_each([[2, 3, 4], [], [5]]))


def broken_count_primes(row: Sequence[int]) -> int:
    """Return how many primes a row holds, with a pool of its own.

    Warning:
        Called in the worker of a pool, it fails: a daemonic process may not
        start another.
    """
    with multiprocessing.Pool(1) as pool:
        return sum(pool.map(is_prime, row))


def broken_count_primes_in_each(
    rows: Sequence[Sequence[int]], *, context: BaseContext | None = None
) -> list[int]:
    """Return how many primes each row holds, with a pool in a pool."""
    with (context or multiprocessing).get_context().Pool(1) as pool:
        return pool.map(broken_count_primes, rows)


def broken_main() -> None:
    """Start a pool in the worker of a pool.

    >>> broken_main()
    AssertionError: daemonic processes are not allowed to have children
    """
    try:
        print(broken_count_primes_in_each([[2, 3, 4], [], [5]]))
    except AssertionError as error:
        print("AssertionError:", error)


if __name__ == "__main__":
    main()
    broken_main()
