"""Run CPU-bound jobs with multiprocessing.Pool.

Each worker process has an interpreter and a memory of its own, so the jobs
run in parallel on every build. :meth:`~multiprocessing.pool.Pool.map` shares
the numbers out and returns the answers in the order of the input.

Whatever goes to a worker is pickled. A function is pickled as the name that it
is imported by, so the job has to be a function at the top level of a module.

:models: processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build, every start method
:told by: ``pickle.dumps(job)``, which raises the same error with no process
:search: multiprocessing Pool, Pool.map, parallel for loop, use all cores,
    lambda in multiprocessing, nested function,
    "AttributeError: Can't pickle local object",
    "AttributeError: Can't get local object",
    "_pickle.PicklingError: Can't pickle local object <function"

Use this when
    many independent jobs are CPU-bound, each is worth far more than sending
    its argument and its answer, and all the answers fit into memory.

Prefer instead
    :mod:`cookbook.processes.executor_map` when a worker may be killed, by the
    system when memory runs out or by a crash in C code: a pool replaces the
    worker but not its job, and waits for that for ever.
    :mod:`cookbook.processes.several_arguments` when the job takes more than
    one, and :mod:`cookbook.processes.results_as_they_come` for the pool's
    other methods: answers as they come, or calls that are not waited for.

Pitfalls
    A bound method takes its whole object along, and what else is refused
    stands in :mod:`cookbook.processes.pickling`.

    Leaving the with-block terminates the pool. What ``map_async`` has not
    finished by then is lost, without an error.

    A parent that is ended by SIGTERM or SIGKILL leaves its workers: they
    finish the job at hand, ignoring Ctrl-C, and then end. See
    :mod:`cookbook.processes.orphans`.

    A job may not start processes: see :mod:`cookbook.processes.nested_pools`.

If a job raises
    the error is raised again in the parent, with the worker's traceback as
    its cause. The rest of its chunk is not run; the other chunks still are,
    and all their answers are lost.

On Ctrl-C
    the workers ignore it once they have started. The parent terminates them,
    whatever they run, and :exc:`KeyboardInterrupt` leaves the function. In a
    pool whose workers do not ignore it, one that is interrupted while it takes
    a job can keep the queue's lock, and terminating the pool then waits for
    ever (observed on Python 3.13).

If a worker is killed
    a new worker takes its place, the job that it ran is lost, and
    :meth:`~multiprocessing.pool.Pool.map` waits for that job for ever.
"""

import multiprocessing
import os
import pickle
import re
import signal
from collections.abc import Iterable
from multiprocessing.context import BaseContext

from cookbook.primes import (
    PRIMES,
    WORKERS,
    checked,
    is_prime,
    is_prime_with_pid,
)


def parallelism_with_multiprocess(
    *,
    numbers: Iterable[int] = PRIMES,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[tuple[int, bool, int]]:
    """Tell of each number whether it is prime, in a pool of processes.

    Args:
        numbers: What to test.
        workers: How many processes to start.
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

    Example:
        >>> from cookbook.processes.pool_map import (
        ...     parallelism_with_multiprocess,
        ... )
        >>> found = parallelism_with_multiprocess(numbers=[9, 7], workers=2)
        >>> [(number, prime) for number, prime, pid in found]
        [(9, False), (7, True)]
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    # A worker leaves Ctrl-C to the parent, which terminates the pool.
    ignore_ctrl_c = (signal.SIGINT, signal.SIG_IGN)
    with context.Pool(workers, signal.signal, ignore_ctrl_c) as pool:
        return pool.map(is_prime_with_pid, jobs)


def main() -> None:
    """Test four numbers in two processes.

    >>> main()
    2 True
    9 False
    97 True
    100 False
    all in worker processes: True
    """
    answers = parallelism_with_multiprocess(numbers=(2, 9, 97, 100), workers=2)
    for number, prime, _ in answers:
        print(number, prime)
    here = os.getpid()
    print("all in worker processes:", all(pid != here for *_, pid in answers))


def broken_with_lambda(
    *,
    numbers: Iterable[int],
    workers: int,
    context: BaseContext | None = None,
) -> list[tuple[int, bool]]:
    """Send a lambda to the workers.

    Warning:
        Pickle writes down where a worker can import the function, not what
        the function does. A lambda has no name to be imported by, so pickling
        it fails in the parent, before any job is sent.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        return pool.map(lambda n: (n, is_prime(n)), numbers)


def broken_with_local_job(
    *,
    numbers: Iterable[int],
    workers: int,
    context: BaseContext | None = None,
) -> list[tuple[int, bool]]:
    """Send a function that is defined inside this one to the workers.

    Warning:
        A local function exists only while the function around it runs. No
        import leads to it, so it cannot be pickled either.
    """

    def job(n: int) -> tuple[int, bool]:
        return n, is_prime(n)

    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        return pool.map(job, numbers)


def broken_main() -> None:
    """Send a lambda, then a local function, and print the errors.

    >>> broken_main()  # 3.11 to 3.12
    AttributeError:
    Can't pickle local object 'broken_with_lambda.<locals>.<lambda>'
    AttributeError:
    Can't pickle local object 'broken_with_local_job.<locals>.job'

    >>> broken_main()  # 3.13
    AttributeError:
    Can't get local object 'broken_with_lambda.<locals>.<lambda>'
    AttributeError:
    Can't get local object 'broken_with_local_job.<locals>.job'

    >>> broken_main()  # 3.14 and later
    PicklingError:
    Can't pickle local object <function broken_with_lambda.<locals>.<lambda>>
    PicklingError:
    Can't pickle local object <function broken_with_local_job.<locals>.job>
    """
    for broken in broken_with_lambda, broken_with_local_job:
        try:
            broken(numbers=[7, 8, 9], workers=1)
        except (AttributeError, pickle.PicklingError) as error:
            reason = re.sub(" at 0x[0-9A-Fa-f]+", "", str(error))
            print(f"{type(error).__name__}:\n{reason}")


if __name__ == "__main__":
    main()
    broken_main()
