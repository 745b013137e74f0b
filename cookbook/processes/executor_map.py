"""Run CPU-bound jobs with ProcessPoolExecutor.

Each worker process has an interpreter and a memory of its own, so the jobs
run in parallel on every build. :meth:`~concurrent.futures.Executor.map` hands
the numbers out at once and returns an iterator over the answers, in the order
of the input. Read it to the end: an error in a worker is raised when its
answer is read, and not before.

:models: processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build, every start method
:search: ProcessPoolExecutor, concurrent.futures, executor.map, parallel map,
    multiprocessing vs threading pros and cons, threads or processes,
    exception swallowed, error not shown, results never read, chunksize,
    worker killed, out of memory, OOM killer,
    "concurrent.futures.process.BrokenProcessPool",
    "A process in the process pool was terminated abruptly while the future
    was running or pending.",
    "A child process terminated abruptly, the process pool is not usable
    anymore",
    "terminated abruptly with exit code"

Use this when
    many independent jobs are CPU-bound, and the program has to know when a
    worker dies.

Prefer instead
    a :class:`~concurrent.futures.ThreadPoolExecutor` when the jobs wait for
    disk or network, or on a free-threaded build. It is used in the same way,
    and the choice is this. A process computes in parallel on every build,
    shares nothing by accident and can be killed; but it has to start, needs
    memory for an interpreter of its own, and all that is sent to it or comes
    back is pickled. A thread is cheap and shares every object; but with the
    GIL threads compute one at a time, what they change needs a lock
    (:mod:`cookbook.threads.shared_counter`), and none can be killed
    (:mod:`cookbook.threads.stop_a_thread`).

Pitfalls
    Each job travels alone, since *chunksize* is 1 by default. When jobs are
    many and small, pass ``chunksize=`` to send several at once; an error then
    takes the answers of its whole chunk with it.

    What is sent has to be pickled: see :mod:`cookbook.processes.pool_map`
    for a lambda or a local function.

    A parent that is ended by SIGTERM or SIGKILL leaves its workers, which wait
    for another job for ever: see :mod:`cookbook.processes.orphans`.

If a job raises
    the error is raised again in the parent when its answer is read, with the
    worker's traceback as its cause. A loop over the iterator has the answers
    before it; this function, which makes a list, loses them too. Jobs that
    run are waited for.

On Ctrl-C
    pressed in a terminal, it is raised in the jobs that run as well. The
    workers go on with the few jobs that were sent already (documented: CPython
    issue 125886), and then :exc:`KeyboardInterrupt` leaves the function. If it
    comes just as the first worker has started, or as a worker begins to send
    an answer, the program can wait for ever: press it again, or end the
    workers as in :mod:`cookbook.processes.ctrl_c_pools`.

If a worker is killed
    whatever is running or pending ends with :exc:`BrokenProcessPool
    <concurrent.futures.process.BrokenProcessPool>`: ``A process in the
    process pool was terminated abruptly while the future was running or
    pending.`` From Python 3.15 its cause names the process and the exit code,
    if that is known by then. The executor takes no more jobs (``A child
    process terminated abruptly, the process pool is not usable anymore``);
    make a new one. A worker that is killed while it sends a large answer, or
    as the executor shuts down, can go unnoticed: then it waits for ever. See
    :mod:`cookbook.processes.dead_worker`.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any

from cookbook.primes import PRIMES, WORKERS, checked, is_prime_with_pid


def parallelism_with_concurrent_process_pool(
    *,
    numbers: Iterable[int] = PRIMES,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[tuple[int, bool, int]]:
    """Tell of each number whether it is prime, in an executor's processes.

    Args:
        numbers: What to test.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        Number, answer and process id of the worker, in the order of
        *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* is less than 1.
        concurrent.futures.process.BrokenProcessPool: If a worker is killed.

    Example:
        >>> from cookbook.processes.executor_map import (
        ...     parallelism_with_concurrent_process_pool as in_processes,
        ... )
        >>> found = in_processes(numbers=[9, 7], workers=2)
        >>> [(number, prime) for number, prime, pid in found]
        [(9, False), (7, True)]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(is_prime_with_pid, jobs))


def main() -> None:
    """Test four numbers in two processes.

    >>> main()
    2 True
    9 False
    97 True
    100 False
    all in worker processes: True
    """
    answers = parallelism_with_concurrent_process_pool(
        numbers=(2, 9, 97, 100), workers=2
    )
    for number, prime, _ in answers:
        print(number, prime)
    here = os.getpid()
    print("all in worker processes:", all(pid != here for *_, pid in answers))


def broken_parallelism_with_concurrent_process_pool(
    *,
    numbers: Iterable[int],
    workers: int,
    context: BaseContext | None = None,
) -> Iterator[tuple[int, bool, int]]:
    """Start the jobs, and leave the answers for later.

    Warning:
        Leaving the with-block waits for the jobs but reads no answer, so it
        ends in the same way whether they worked or not. An error comes out
        far from here, where the answers are read; if nobody reads them, it
        never comes out.
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return executor.map(is_prime_with_pid, numbers)


def broken_main() -> None:
    """Give the workers a number that is none; read the answers late.

    >>> broken_main()
    with-block left: no error
    answers read: TypeError: n must be an int, not 'eight'
    """
    numbers: list[Any] = [7, "eight", 9]
    answers = broken_parallelism_with_concurrent_process_pool(
        numbers=numbers, workers=1
    )
    print("with-block left: no error")
    try:
        list(answers)
    except TypeError as error:
        print("answers read: TypeError:", error)


if __name__ == "__main__":
    main()
    broken_main()
