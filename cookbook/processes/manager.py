"""Share a dict or a list between processes.

A manager is one more process, which holds the objects. ``manager.dict()``
returns a proxy: each call on it is sent to that process, and the answer comes
back. A proxy can be pickled, so it may go to a worker with any job.

What ``groups["prime"]`` returns is a copy, made for the process that asked. To
change a list inside of a shared dict, make it a proxy too, with
``manager.list()``; or change the copy and assign it back, under a lock. ``+=``
on an item reads in one call and writes in another, so it needs the lock too.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: multiprocessing Manager, manager dict, manager list, DictProxy,
    ListProxy, share dict between processes, shared dictionary, share list
    between processes, manager dict nested list not updated, append on manager
    dict does nothing, nested proxy, ForkAwareLocal object has no attribute
    connection manager, BaseProxy, manager shut down, "AttributeError:
    'ForkAwareLocal' object has no attribute 'connection'", "FileNotFoundError:
    [Errno 2] No such file or directory", "ConnectionRefusedError: [Errno 111]
    Connection refused", "BrokenPipeError: [Errno 32] Broken pipe", "EOFError",
    "OSError: AF_UNIX path too long"

Use this when
    several processes read and change one dict or list while they run, and
    seldom: each access is a message to another process and an answer from it.

Prefer instead
    to return the results, and to put them together in the parent. For one
    number, :mod:`cookbook.processes.shared_counter_processes`; to hand work
    over, :class:`multiprocessing.Queue`, which is eight to ten times faster
    than a manager's (measured on Python 3.11 to 3.13).

Pitfalls
    A proxy is of use while its manager runs. The manager ends when its
    with-block is left, when nothing in the parent refers to it or to one of
    its proxies, and when the parent ends, even if workers still run. So keep
    the manager, and join the workers first. After that the error depends on
    what the worker was doing:

    - ``FileNotFoundError: [Errno 2] No such file or directory`` or, if the
      manager was killed, ``ConnectionRefusedError``: it had not used the proxy
      yet, and connects. Above it stands ``AttributeError: 'ForkAwareLocal'
      object has no attribute 'connection'``, which says no more than that
      there was no connection yet.
    - ``BrokenPipeError``: it has a connection, from an earlier call.
    - ``EOFError``: it waited for the answer to a call.

    ``groups["prime"] += [7]`` does change a plain list in a shared dict, since
    ``+=`` assigns what it has changed. It loses what others add meanwhile.

    ``OSError: AF_UNIX path too long``, which the manager prints when it starts
    and the parent gets an ``EOFError`` (observed on Python 3.11): see
    :mod:`cookbook.processes.queues_and_pipes`.

    A manager unpickles what it is sent. Who can reach it, and who is let in:
    :doc:`/safety`.

    ``print(groups)`` shows nested proxies as ``<ListProxy object, ...>``. Take
    a copy with ``groups["prime"][:]``.

If a job raises
    the executor raises it again in the parent, and the manager ends. An error
    in a call, such as :exc:`KeyError`, is raised in the worker that called.

If a worker is killed
    the executor raises :exc:`~concurrent.futures.process.BrokenProcessPool`,
    and the manager ends. A parent that is killed with SIGKILL leaves the
    manager running.
"""

import multiprocessing
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
)
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from threading import Barrier, Lock

from cookbook.primes import WORKERS, checked, count_primes, is_prime

Job = Callable[[], int]
Groups = Mapping[str, MutableSequence[int]]
Counts = MutableMapping[str, int]


def run_jobs(
    job: Callable[..., object],
    arguments: Iterable[object],
    *,
    workers: int,
    context: BaseContext,
) -> None:
    """Call *job* with each of *arguments* in the processes of an executor."""
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        for _ in executor.map(job, arguments):
            pass  # reading raises what a job raised


def put_into_group(groups: Groups, n: int) -> None:
    """Append *n* to the group that it belongs to."""
    groups["prime" if is_prime(n) else "other"].append(n)


def group_numbers(
    numbers: Iterable[int],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> dict[str, list[int]]:
    """Sort *numbers* into lists that the processes share.

    Args:
        numbers: What to test.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The primes and the others, each in ascending order.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.manager import group_numbers
        >>> group_numbers([9, 8, 7], workers=1)
        {'prime': [7], 'other': [8, 9]}
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with context.Manager() as manager:
        groups = manager.dict(prime=manager.list(), other=manager.list())
        job = partial(put_into_group, groups)
        run_jobs(job, jobs, workers=workers, context=context)
        return {name: sorted(group) for name, group in groups.items()}


def add_answer(counts: Counts, lock: Lock, job: Job) -> None:
    """Run *job* without the lock, and add what it returns under the lock."""
    amount = job()
    with lock:
        counts["primes"] += amount


def add_up(
    jobs: Iterable[Job],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> int:
    """Add up what *jobs* return, in one item of a shared dict.

    Args:
        jobs: Functions of a module, or :func:`functools.partial` of such.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1.
    """
    checked([], workers)
    context = context or multiprocessing.get_context()
    with context.Manager() as manager:
        counts = manager.dict(primes=0)
        add = partial(add_answer, counts, manager.Lock())
        run_jobs(add, jobs, workers=workers, context=context)
        return counts["primes"]


def main() -> None:
    """Sort numbers into groups, and count primes, in two processes.

    >>> main()
    {'prime': [2, 3, 5, 7], 'other': [0, 1, 4, 6, 8, 9]}
    primes below 100: 25
    """
    print(group_numbers(range(10), workers=2))
    jobs = [partial(count_primes, 0, 50), partial(count_primes, 50, 100)]
    print("primes below 100:", add_up(jobs, workers=2))


def broken_group_numbers(
    numbers: Iterable[int],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> dict[str, list[int]]:
    """Sort *numbers* into plain lists in a shared dict.

    Warning:
        The same job as above gets a copy of a plain list, appends to it, and
        drops it. The list in the manager stays as it was, with no error.
    """
    context = context or multiprocessing.get_context()
    with context.Manager() as manager:
        plain: dict[str, list[int]] = {"prime": [], "other": []}
        groups = manager.dict(plain)
        job = partial(put_into_group, groups)
        run_jobs(job, numbers, workers=workers, context=context)
        return groups.copy()


def broken_add_answer(counts: Counts, job: Job) -> None:
    """Run *job*, and add what it returns.

    Warning:
        ``+=`` sends one message to read and another to write. The manager
        answers other processes between the two, and the later write undoes
        theirs.
    """
    counts["primes"] += job()


def meet(barrier: Barrier) -> int:
    """Wait for another process, and return one."""
    barrier.wait()
    return 1


def broken_main() -> None:
    """Lose what is appended, and one of two counts.

    >>> broken_main()
    {'prime': [], 'other': []}
    2 processes added 1 each: 1
    """
    print(broken_group_numbers(range(10), workers=2))
    context = multiprocessing.get_context()
    with context.Manager() as manager:
        counts = manager.dict(primes=0)
        add = partial(broken_add_answer, counts)
        jobs = [partial(meet, manager.Barrier(2, timeout=10))] * 2
        run_jobs(add, jobs, workers=2, context=context)
        print("2 processes added 1 each:", counts["primes"])


if __name__ == "__main__":
    main()
    broken_main()
