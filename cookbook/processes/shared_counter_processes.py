"""Share a counter between processes.

A global is no counter: each process changes a copy of its own, and the
parent's stays as it was. :func:`multiprocessing.Value` puts one number into
memory that all processes see, with a lock. ``counter.value += 1`` takes that
lock twice, to read and to write, and lets go between the two; so hold it from
the read to the write: ``with counter.get_lock():``.

A shared object reaches a worker only while the worker is started: among the
``args`` of a :class:`~multiprocessing.Process`, or through the ``initializer``
of a pool or an executor. Make it, the locks and the processes from one
context.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: share variable between processes multiprocessing, shared counter,
    multiprocessing Value, get_lock, Value lost update, Array, atomic
    increment, multiprocessing global variable not updated in child process
    3.14, global stays 0 in parent, share lock with pool workers,
    SemLock created in a fork context is being shared with a process in a spawn
    context,
    "RuntimeError: A SemLock created in a fork context is being shared with a
    process in a spawn context.",
    "RuntimeError: Synchronized objects should only be shared between
    processes through inheritance",
    "RuntimeError: Lock objects should only be shared between processes
    through inheritance",
    "RuntimeError: Queue objects should only be shared between processes
    through inheritance",
    "RuntimeError: Condition objects should only be shared between processes
    through inheritance"

Use this when
    other processes, or the parent, read the number while the work goes on: for
    progress, or to stop when enough is found.

Prefer instead
    to return the count from each job, and to add up in the parent. That needs
    no lock and no shared memory. For an array use
    :func:`multiprocessing.Array`, or
    :class:`~multiprocessing.shared_memory.SharedMemory` if it is large; for
    a dict or a list, the proxies of :mod:`cookbook.processes.manager`.

Pitfalls
    A pool's queue takes no shared object: ``RuntimeError: Synchronized objects
    should only be shared between processes through inheritance``, or ``Lock
    objects``, ``Queue objects``; an Event is named ``Condition objects``. A
    :class:`multiprocessing.Queue` pickles in a thread, so that ``put`` raises
    nothing and the error is on standard error alone.

    ``RuntimeError: A SemLock created in a fork context is being shared with a
    process in a spawn context`` means that two contexts are mixed, and
    forkserver counts as spawn here. ``multiprocessing.Lock()``, ``Value()``
    and ``Queue()`` use the default context, which is fork on Linux up to
    Python 3.13. Make all of them from one ``context =
    multiprocessing.get_context("spawn")``.

    A global that the parent sets later has its first value in a worker, or
    does not exist there, unless the worker is forked: see
    :mod:`cookbook.processes.start_methods`.

    ``"q"`` is a signed number of 64 bits. ``"i"`` has 32, and goes from
    2147483647 to -2147483648 without an error.

If a job raises
    in a process of its own it prints the traceback on standard error, and the
    parent raises :exc:`RuntimeError` with the exit codes when all have ended.
    An executor raises the error itself.

On Ctrl-C
    :func:`count_in_processes` kills its workers, and waits for their end. If
    it comes inside ``start()``, the new worker may go on: see
    :mod:`cookbook.processes.queues_and_pipes`.

If a worker is killed
    in a job, its exit code is in the :exc:`RuntimeError`; the executor raises
    :exc:`~concurrent.futures.process.BrokenProcessPool`. A worker that is
    killed while it holds the lock keeps it: see
    :mod:`cookbook.processes.events_between_processes`.
"""

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier

from cookbook.primes import WORKERS, checked, count_primes, is_prime

Job = Callable[[], int]

COUNTERS: dict[str, "Synchronized[int]"] = {}


def add(counter: "Synchronized[int]", amount: int) -> None:
    """Add *amount* to a number that other processes change too."""
    with counter.get_lock():
        counter.value += amount


def add_answer(counter: "Synchronized[int]", job: Job) -> None:
    """Run *job* without the lock, and add what it returns."""
    add(counter, job())


def run_in_processes(
    target: Callable[..., object],
    arguments: Iterable[tuple[object, ...]],
    *,
    context: BaseContext | None = None,
) -> None:
    """Run *target* with each of *arguments*, each in a process of its own.

    Raises:
        RuntimeError: If a process has failed, once all have ended.
    """
    own = (context or multiprocessing).get_context()
    processes = [own.Process(target=target, args=one) for one in arguments]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        started = [process for process in processes if process.pid]
        for process in started:
            process.kill()  # if the wait was interrupted
            process.join()
    codes = [process.exitcode for process in processes]
    if any(codes):
        raise RuntimeError(f"exit codes of the workers: {codes}")


def count_in_processes(
    jobs: Iterable[Job], *, context: BaseContext | None = None
) -> int:
    """Add up what *jobs* return, each in a process of its own.

    Args:
        jobs: Functions of a module, or :func:`functools.partial` of such.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If one of *jobs* cannot be called, before any is started.
        RuntimeError: If a job has failed, once all have ended.

    Example:
        >>> from functools import partial
        >>> from cookbook.primes import count_primes
        >>> from cookbook.processes.shared_counter_processes import (
        ...     count_in_processes,
        ... )
        >>> count_in_processes([partial(count_primes, 0, 100)])
        25
    """
    jobs = list(jobs)
    for job in jobs:
        if not callable(job):
            raise TypeError(f"a job must be callable, not {job!r}")
    context = context or multiprocessing.get_context()
    counter: Synchronized[int] = context.Value("q", 0)
    arguments = [(counter, job) for job in jobs]
    run_in_processes(add_answer, arguments, context=context)
    return counter.value


def keep(counter: "Synchronized[int]") -> None:
    """Keep *counter* for the jobs that this worker will run."""
    COUNTERS["primes"] = counter


def count_if_prime(n: int) -> None:
    """Add one to the counter that this worker keeps, if *n* is prime."""
    if is_prime(n):
        add(COUNTERS["primes"], 1)


def count_in_executor(
    numbers: Iterable[int],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> int:
    """Count the primes among *numbers* in the processes of an executor.

    Args:
        numbers: What to test.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *numbers* is not iterable or *workers* not an int,
            before a process is started; or from a worker, if one of
            *numbers* is not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.shared_counter_processes import (
        ...     count_in_executor,
        ... )
        >>> count_in_executor([2, 3, 4], workers=1)
        2
    """
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    counter: Synchronized[int] = context.Value("q", 0)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=keep, initargs=(counter,)
    ) as executor:
        for _ in executor.map(count_if_prime, jobs):
            pass  # reading raises what a job raised
    return counter.value


def main() -> None:
    """Count the primes below 100 in two ways.

    >>> main()
    in processes of their own: 25
    in an executor: 25
    """
    jobs = [partial(count_primes, 0, 50), partial(count_primes, 50, 100)]
    print("in processes of their own:", count_in_processes(jobs))
    print("in an executor:", count_in_executor(range(100), workers=2))


TOTAL = {"primes": 0}


def broken_add_to_global(job: Job) -> None:
    """Add what *job* returns to a global.

    Warning:
        The worker adds to the ``TOTAL`` of its own memory, and takes it along
        when it ends. Fork gives it a copy of the parent's, the other start
        methods a new one; none gives it back.
    """
    TOTAL["primes"] += job()


def broken_add_answer(counter: "Synchronized[int]", job: Job) -> None:
    """Add what *job* returns to the shared number.

    Warning:
        ``+=`` reads the number, runs the job, and writes. The lock is held
        while it reads and while it writes, and free between the two. What
        other processes add there is overwritten. With ``+= 1`` the gap is
        short, and a program loses some of its counts on some of its runs.
    """
    counter.value += job()


def meet(barrier: Barrier) -> int:
    """Wait for another process, and return one."""
    barrier.wait()
    return 1


def broken_main() -> None:
    """Let two processes add one, both between the other's read and write.

    >>> broken_main()
    2 processes added 1 each to a global: 0
    2 processes added 1 each without the lock: 1
    """
    context = multiprocessing.get_context()
    meeting = partial(meet, context.Barrier(2, timeout=10))
    run_in_processes(broken_add_to_global, [(meeting,)] * 2)
    print("2 processes added 1 each to a global:", TOTAL["primes"])
    counter: Synchronized[int] = context.Value("q", 0)
    run_in_processes(broken_add_answer, [(counter, meeting)] * 2)
    print("2 processes added 1 each without the lock:", counter.value)


if __name__ == "__main__":
    main()
    broken_main()
