"""Turn a for loop into jobs for several processes.

Split the body in two. What computes goes into a function at the top level of
the module, which gets all that it needs as arguments and returns all that it
finds. What changes something, appends, adds up, prints, stays in the loop,
which now reads the results of ``executor.map`` in the order of the input. The
workers have memories of their own, so a body that changes an outer variable
changes it there, where nobody looks.

:models: processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build, every start method
:search: parallel for loop, parallelize a loop, parfor, loop over a list with
    multiprocessing, run loop iterations in parallel, use all cores, global
    variable not changed by a process, list stays empty, append in a worker,
    dict not updated by multiprocessing, nonlocal, sum in parallel

Use this when
    no iteration needs what another has done, and each computes for a
    millisecond or more.

Prefer instead
    - the loop as it is, when the body is short. Sent one by one, jobs of
      0.01 ms took 20 times as long in an executor with two workers as in the
      loop; jobs of 0.3 ms were level, jobs of 3 ms 1.8 times as fast
      (measured on Python 3.13 with 2 cores). With *chunksize* many short
      iterations become one job.
    - a better algorithm, when each iteration needs the one before, such as a
      running total: no pool can help there.
    - :mod:`cookbook.threads.thread_pool` when the body waits for disk or
      network. Threads share the variables, which then need a lock.
    - :mod:`cookbook.processes.lazy_input` when the input is endless, or the
      loop has a ``break``: by then ``map`` has submitted all of the jobs.

Pitfalls
    - An argument is a copy too. A list, a dict or ``self`` that a worker
      changes is unchanged in the parent, unless the job returns it.
    - To add up, let each job return its part, and add the parts in the loop.
    - What workers print comes in any order. Print in the loop.
    - A body that is a lambda or a local function cannot be sent: see
      :mod:`cookbook.processes.pool_map`.

If a job raises
    the loop raises, at the place of that item; what was appended before it
    is there. The jobs that have not been sent are cancelled.

If a worker is killed
    the loop raises, as in :mod:`cookbook.processes.executor_map`.
"""

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext

from cookbook.primes import checked, is_prime


def primes_in_loop(numbers: Iterable[int]) -> tuple[list[int], int]:
    """Return the primes among *numbers* and their sum: the plain loop.

    Example:
        >>> from cookbook.processes.parallel_for import primes_in_loop
        >>> primes_in_loop([2, 9, 97, 100])
        ([2, 97], 99)
    """
    found, total = [], 0
    for n in numbers:
        if is_prime(n):
            found.append(n)
            total += n
    return found, total


def primes_in_processes(
    numbers: Iterable[int],
    *,
    workers: int = 2,
    chunksize: int = 1,
    context: BaseContext | None = None,
) -> tuple[list[int], int]:
    """Do the same: the processes test, the loop collects.

    Args:
        numbers: What to test.
        workers: How many processes to start at most.
        chunksize: How many numbers are sent at once.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* or *chunksize* is less than 1.
    """
    jobs = checked(numbers, workers)
    found, total = [], 0
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, context) as executor:
        answers = executor.map(is_prime, jobs, chunksize=chunksize)
        for n, prime in zip(jobs, answers, strict=True):
            if prime:
                found.append(n)
                total += n
    return found, total


def main() -> None:
    """Find primes in a loop, and in processes.

    >>> main()
    loop: ([2, 97], 99)
    processes: ([2, 97], 99)
    """
    numbers = 2, 9, 97, 100
    print("loop:", primes_in_loop(numbers))
    print("processes:", primes_in_processes(numbers))


FOUND: list[int] = []


def append_if_prime(n: int) -> int:
    """Be the whole body of the loop; tell how many primes are found."""
    if is_prime(n):
        FOUND.append(n)
    return len(FOUND)


def broken_primes_in_processes(
    numbers: Iterable[int],
    *,
    workers: int = 2,
    context: BaseContext | None = None,
) -> list[int]:
    """Send the whole body to the workers; return what they found last.

    Warning:
        ``FOUND`` is a different list in each process. The workers append to
        theirs, which end with them; the list of the parent stays empty, and
        nothing is raised.
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, context) as executor:
        return list(executor.map(append_if_prime, numbers))


def broken_main() -> None:
    """Look for the primes where they are not.

    >>> broken_main()
    found by the worker: [1, 1, 2, 2]
    found in the parent: []
    """
    counts = broken_primes_in_processes([2, 9, 97, 100], workers=1)
    print("found by the worker:", counts)
    print("found in the parent:", FOUND)


if __name__ == "__main__":
    main()
    broken_main()
