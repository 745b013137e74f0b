"""Tell other processes to stop, to wait or to go on.

A :class:`multiprocessing.Event` is one flag that all processes see. Give it to
each worker when you start it. A worker looks at ``stop.is_set()`` between two
jobs, and so ends with nothing half done; the parent calls ``stop.set()``, and
kills only what has not ended in time. A ``Lock``, a ``Semaphore``, a
``Condition`` and a ``Barrier`` of :mod:`multiprocessing` cross to a worker in
the same way.

Always wait with a timeout. What a process holds when it is killed is never let
go: the lock stays locked for every other process, and nothing tells why.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: multiprocessing Event, stop a process gracefully, stop worker
    processes, signal between processes, multiprocessing Condition,
    multiprocessing Barrier, multiprocessing Semaphore, threading.Event in
    multiprocessing, Event not seen in child process, terminate while holding
    lock, killed process holds lock, lock never released, Event.set hangs,
    notify_all hangs, acquire timeout, robust mutex,
    "TypeError: cannot pickle '_thread.lock' object",
    "TypeError: cannot pickle '_thread.RLock' object"

Use this when
    workers run until they are told to stop, or have to wait for one another.

Prefer instead
    an executor when the jobs end by themselves; a
    :class:`multiprocessing.Queue` that ends with ``None`` when the workers
    take their jobs from one; :mod:`cookbook.threads.stop_a_thread` in threads.

Pitfalls
    A bool in a global, or a :class:`threading.Event`, is no signal: a forked
    worker has a copy that stays as it was. Under spawn and forkserver a
    ``threading.Event`` or ``Lock`` cannot be sent at all: ``TypeError: cannot
    pickle '_thread.lock' object``; an ``RLock`` or a ``Condition`` says
    ``'_thread.RLock'``.

    A process that is killed while it is in ``wait()`` of an Event, a Condition
    or a Barrier still counts as waiting. ``set()`` and ``notify_all()`` then
    wait for it to wake up, for ever and without a timeout
    (CPython issue 75158). A worker that looks at ``is_set()`` does not count.

    Do not end workers with ``terminate()``, which sends SIGTERM: no
    ``finally`` runs and no lock is let go.

If a job raises
    the worker prints the traceback, lets go of the lock and ends with exit
    code 1.

If it takes too long
    a worker that has not ended within *timeout* seconds is killed. Its exit
    code is -9 on Linux and macOS.

On Ctrl-C
    :func:`run_meanwhile` kills its workers, and waits for their end. If it
    comes inside ``start()``, the new worker may go on: see
    :mod:`cookbook.processes.queues_and_pipes`.

If a worker is killed
    the exit code is the signal's number, negative. If it held the lock,
    :func:`call_alone` raises :exc:`TimeoutError` in every other process. Make
    a new lock and new workers: what the lock protected may be half changed.
"""

import math
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Event, Lock, Semaphore
from threading import Event as ThreadingEvent

from cookbook.primes import checked

Job = Callable[[], object]

START = 60  # seconds that a worker gets to be ready


def repeat(job: Job, ready: Semaphore, stop: Event) -> None:
    """Say that this worker is ready; run *job* until told to stop."""
    ready.release()
    while not stop.is_set():
        job()


def run_meanwhile(
    job: Job,
    work: Job,
    *,
    workers: int = 2,
    timeout: float = 10,
    context: BaseContext | None = None,
) -> list[int | None]:
    """Run *job* again and again in *workers* processes, while *work* runs.

    Args:
        job: A function of a module, or :func:`functools.partial` of such.
        work: What this process does meanwhile, when all workers are ready.
        workers: How many processes to start.
        timeout: How many seconds a worker gets to end when it is told to.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The exit codes: 0 for a worker that ended when it was told to.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1, or *timeout* out of range.
        TimeoutError: If a worker is not ready within ``START`` seconds.

    Example:
        >>> from cookbook.processes.events_between_processes import (
        ...     run_meanwhile,
        ... )
        >>> run_meanwhile(int, int, workers=1)
        [0]
    """
    checked([], workers)
    if not 0 <= timeout < math.inf:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    own = (context or multiprocessing).get_context()
    ready, stop = own.Semaphore(0), own.Event()
    arguments = job, ready, stop
    processes = [
        own.Process(target=repeat, args=arguments) for _ in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        for _ in processes:
            if not ready.acquire(timeout=START):
                raise TimeoutError("a worker is not ready")
        work()
        stop.set()
        for process in processes:
            process.join(timeout)
    finally:
        started = [process for process in processes if process.pid]
        for process in started:
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def call_alone(lock: Lock, job: Job, *, timeout: float = 10) -> object:
    """Call *job* while no other process does.

    Args:
        lock: The same for all of them.
        job: What to call.
        timeout: How many seconds to wait for the lock.

    Raises:
        TimeoutError: If the lock was not free in time.
        ValueError: If *timeout* is out of range.

    Example:
        >>> import multiprocessing
        >>> from cookbook.processes.events_between_processes import call_alone
        >>> call_alone(multiprocessing.Lock(), lambda: 7)
        7
    """
    if not 0 <= timeout < math.inf:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    if not lock.acquire(timeout=timeout):
        raise TimeoutError(f"the lock was not free within {timeout} s")
    try:
        return job()
    finally:
        lock.release()


def main() -> None:
    """Let two workers take turns until this process tells them to stop.

    >>> main()
    exit codes of the workers: [0, 0]
    the lock afterwards: free
    """
    lock = multiprocessing.Lock()
    job = partial(call_alone, lock, partial(time.sleep, 0.001))
    codes = run_meanwhile(job, partial(time.sleep, 0.05))
    print("exit codes of the workers:", codes)
    print("the lock afterwards:", call_alone(lock, lambda: "free"))


STOP = {"now": False}


def broken_repeat(job: Job) -> None:
    """Run *job* until a global says stop.

    Warning:
        The worker looks at the ``STOP`` of its own memory. No other process
        can set that.
    """
    while not STOP["now"]:
        job()


def broken_turns(context: BaseContext | None = None) -> int:
    """Tell a worker to stop by a global; count its turns after that."""
    own = (context or multiprocessing).get_context()
    turn = own.Barrier(2, timeout=10)
    process = own.Process(target=broken_repeat, args=(turn.wait,))
    process.start()
    try:
        turn.wait()
        STOP["now"] = True
        return len([turn.wait() for _ in range(3)])
    finally:
        process.kill()
        process.join()


def hold(held: Event) -> None:
    """Say that the lock is held, and keep it."""
    held.set()
    time.sleep(60)


def broken_stop(lock: Lock, context: BaseContext | None = None) -> int | None:
    """Terminate a worker that may hold *lock*.

    Returns:
        The exit code of the worker.

    Warning:
        SIGTERM ends the worker where it is. It runs no ``finally``, and the
        lock, which lives outside of it, stays locked.
    """
    own = (context or multiprocessing).get_context()
    held = own.Event()
    process = own.Process(target=call_alone, args=(lock, partial(hold, held)))
    process.start()
    held.wait(10)
    process.terminate()
    process.join()
    return process.exitcode


def broken_main() -> None:
    """Set a global, send an event for threads, terminate in the lock.

    >>> broken_main()
    turns after the global was set: 3
    TypeError: cannot pickle '_thread.lock' object
    TimeoutError: the lock was not free within 0.2 s
    """
    print("turns after the global was set:", broken_turns())
    spawn = multiprocessing.get_context("spawn")
    try:
        spawn.Process(target=hold, args=(ThreadingEvent(),)).start()
    except TypeError as error:
        print("TypeError:", error)
    lock = multiprocessing.Lock()
    broken_stop(lock)
    try:
        call_alone(lock, int, timeout=0.2)
    except TimeoutError as error:
        print("TimeoutError:", error)


if __name__ == "__main__":
    main()
    broken_main()
