"""Keep jobs with threads of their own from crowding the CPUs.

A library such as NumPy computes in threads of its own, one for each CPU. With
as many workers as CPUs that is CPUs times CPUs threads. They take turns, and
the program gets slower (documented: scikit-learn, *Parallelism*). Keep workers
times threads at about the number of CPUs: with many jobs, one thread for each
worker.

BLAS and OpenMP libraries read their limit from the environment, once, when
they are imported (observed on NumPy 2.5 with OpenBLAS). So set it before that:
in the shell, in the first lines of the program, or by the initializer of the
workers if only the job imports the library.

:models: processes, threads
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: oversubscription, numpy multiprocessing oversubscription
    OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, threadpoolctl,
    threadpool_limits, numpy slower with multiprocessing, BLAS threads, OpenMP,
    scikit-learn n_jobs, joblib, nested parallelism, pool inside a pool,
    multiprocessing uses more CPUs than workers

Use this when
    the jobs of your workers use NumPy, SciPy, PyTorch or whatever else has
    threads, or start a pool themselves.

Prefer instead
    one process and the library's threads when its operations are large. With
    ``threadpoolctl`` a job sets the limit at any time:
    ``with threadpool_limits(1):`` (observed on NumPy 2.5 with OpenBLAS).
    ``joblib`` limits the threads of its workers by itself (documented:
    scikit-learn, *Parallelism*).
    :mod:`cookbook.processes.how_many_workers` for the number of CPUs.

Pitfalls
    - A worker that is spawned imports the main module before its initializer
      runs, and a forked one has what the parent has imported. If the main
      module imports the library, the initializer comes too late; the first
      lines of the main module do not.
    - The workers of a forkserver have the environment that the server was
      started with. What the parent sets after its first worker does not reach
      them.
    - A job that starts a pool multiplies in the same way. Give the pool of a
      job its share of the CPUs too.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing.context import BaseContext
from typing import TypeVar

from cookbook.primes import WORKERS, checked

T = TypeVar("T")
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@cache
def threads_of_library() -> int:
    """Stand for a library that is imported here, when this is first called.

    Returns:
        How many threads it computes in.
    """
    return int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def job(number: int) -> tuple[int, int]:
    """Return *number*, and in how many threads the library computes."""
    return number, threads_of_library()


def limit_threads(threads: int) -> None:
    """Limit the threads of libraries that this process imports from now on.

    Args:
        threads: How many threads a library may compute in.
    """
    for name in VARIABLES:
        os.environ[name] = str(threads)


def map_with_threads(
    job: Callable[[int], T],
    numbers: Iterable[int],
    *,
    threads: int = 1,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[T]:
    """Call *job* with each number in workers that have few threads each.

    Args:
        job: A function of a module, which imports its library itself.
        numbers: What the jobs are given.
        threads: How many threads the libraries of a worker may compute in.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The answers, in the order of *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable, *threads* or *workers* not an
            int, before a process is started.
        ValueError: If *threads* or *workers* is less than 1.

    Example:
        >>> from cookbook.processes.oversubscription import (
        ...     job,
        ...     map_with_threads,
        ... )
        >>> map_with_threads(job, [7, 8], threads=2, workers=1)
        [(7, 2), (8, 2)]
    """
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads must be an int, not {threads!r}")
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads!r}")
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=limit_threads,
        initargs=(threads,),
    ) as executor:
        return list(executor.map(job, jobs))


def main() -> None:
    """Run three jobs, each in a worker whose library has one thread.

    >>> main()
    job 1: 1 thread
    job 2: 1 thread
    job 3: 1 thread
    """
    for number, threads in map_with_threads(job, [1, 2, 3], workers=2):
        print(f"job {number}: {threads} thread{'s' * (threads != 1)}")


def broken_job(number: int) -> tuple[int, int, int]:
    """Import the library, limit its threads, and use it.

    Returns:
        *number*, and the threads of the library before and after.

    Warning:
        The library has read the variable by now, and does not read it again.
        It goes on with a thread for each CPU, in each worker.
    """
    before = threads_of_library()  # import numpy
    limit_threads(before + 1)
    return number, before, threads_of_library()


def broken_main() -> None:
    """Change the limit in a worker that has imported the library.

    >>> broken_main()
    job 1: as many threads as before
    job 2: as many threads as before
    """
    context = multiprocessing.get_context()
    with context.Pool(1) as pool:
        for number, before, after in pool.map(broken_job, [1, 2]):
            same = "as many threads as before"
            print(f"job {number}:", same if before == after else after)


if __name__ == "__main__":
    main()
    broken_main()
