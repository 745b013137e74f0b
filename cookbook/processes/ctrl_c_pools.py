"""End worker processes on Ctrl-C and SIGTERM.

A terminal sends Ctrl-C to the program and to its workers. So let the workers
ignore it, and let the parent end them as the exception passes. SIGTERM, which
``kill`` sends, goes to the parent alone and by default ends it on the spot: no
``finally`` block runs, and the workers stay. So make it an exception too, by a
handler that raises :exc:`SystemExit`.

An executor waits for the jobs that run, whatever passes through its ``with``
block. Kill its workers first. A pool does that itself.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method; systems other than Windows
:search: Ctrl-C multiprocessing, KeyboardInterrupt in multiprocessing Pool,
    ProcessPoolExecutor does not stop on Ctrl-C, keyboard interrupts,
    SIGTERM handler, kill worker processes, terminate_workers, kill_workers,
    workers left after kill, docker stop, graceful shutdown worker processes,
    catch ctrl+c exit multiprocesses gracefully, cancel_futures, exit code
    143, executor.shutdown hangs, leaked semaphore objects to clean up at
    shutdown

Use this when
    a program with worker processes is ended from outside, and what they are
    doing need not be finished.

Prefer instead
    :mod:`cookbook.coroutines.graceful_shutdown` when the jobs are to finish
    first: there the parent asks the workers by an event.
    :mod:`cookbook.processes.orphans` as well, against SIGKILL: no handler runs
    then.

Pitfalls
    - A forked worker inherits the parent's handlers. With one that raises,
      ``terminate()`` does not end a worker of an executor at work: the job
      raises :exc:`SystemExit` there, which is sent back like any other error.
      Hence the ``SIG_DFL`` in the worker.
    - A worker that is killed while it sends a large answer leaves half of it
      in the pipe. The executor waits for the rest for ever, since the parent
      itself holds the pipe open for writing. So it does after
      ``terminate_workers()`` and ``kill_workers()``, which exist from Python
      3.14. Hence the ``close()``.
    - A signal that comes just before a long wait may be noticed only when the
      wait has ended. Wait in steps, as with ``result(timeout=1)`` in a loop;
      or send it again.
    - Python takes signal handlers in the main thread only, so call
      :func:`ending_executor` and :func:`ending_pool` there.

If a job raises
    and the error leaves the ``with`` block, the other jobs are killed or never
    begin. The error goes on.

On Ctrl-C
    workers are killed in the middle of their jobs, with no ``finally`` block;
    jobs that wait are dropped; :exc:`KeyboardInterrupt` goes on. It is the
    same whether the signal goes to the parent alone or to all. A worker that
    is inside ``start()`` just then may be left: see
    :mod:`cookbook.processes.queues_and_pipes`. So may the name of a semaphore
    that is being made: :doc:`/tested` has how often.

If a worker is killed
    the executor is broken (:mod:`cookbook.processes.executor_map`); a pool
    waits for ever (:mod:`cookbook.processes.pool_map`), until a signal comes.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.pool import Pool
from typing import Any

from cookbook.primes import checked


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM raise SystemExit in the main thread, inside the block.

    Raises:
        ValueError: If this is not the main thread.
    """

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)  # what a shell shows for it

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C in this process, and let SIGTERM end it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def ending_executor(
    workers: int, *, context: BaseContext | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Give an executor whose workers end when the block does.

    If an error or a signal ends the block, all processes that were started
    since it began are killed.

    Args:
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1, or this is not the main
            thread.

    Example:
        >>> from cookbook.processes.ctrl_c_pools import ending_executor
        >>> with ending_executor(1) as executor:
        ...     list(executor.map(abs, [-1, -2]))
        [1, 2]
    """
    checked([], workers)
    before = set(multiprocessing.active_children())
    with exit_on_sigterm():
        executor = ProcessPoolExecutor(
            workers,
            mp_context=context or multiprocessing.get_context(),
            initializer=leave_signals_to_parent,
        )
        answers: Any = executor._result_queue
        try:
            yield executor
            executor.shutdown()
        except BaseException:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
            answers._writer.close()  # nobody sends the rest of an answer
            manager: Any = executor._executor_manager_thread
            # Up to 3.12 an interrupted join counts as one that has ended
            # (CPython issue 90882): with wait=True, what the manager still
            # reads would be closed.
            executor.shutdown(wait=False, cancel_futures=True)
            if manager is not None:
                manager.join()
            raise


@contextmanager
def ending_pool(
    workers: int, *, context: BaseContext | None = None
) -> Iterator[Pool]:
    """Give a pool whose workers end when the block does.

    Args:
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1, or this is not the main
            thread.
    """
    checked([], workers)
    own = context or multiprocessing.get_context()
    # The handler comes second: a forked worker would inherit it.
    with own.Pool(workers, leave_signals_to_parent) as pool, exit_on_sigterm():
        yield pool


def main() -> None:
    """Send this program what Ctrl-C sends, then SIGTERM, as jobs run.

    >>> main()
    executor: KeyboardInterrupt(), workers left: 0
    executor: SystemExit(143), workers left: 0
    pool: KeyboardInterrupt(), workers left: 0
    pool: SystemExit(143), workers left: 0
    """
    for kind in "executor", "pool":
        for number in signal.SIGINT, signal.SIGTERM:
            try:
                if kind == "pool":
                    with ending_pool(2) as pool:
                        pool.apply_async(time.sleep, (60,))
                        signal.raise_signal(number)
                else:
                    with ending_executor(2) as executor:
                        executor.submit(time.sleep, 60)
                        signal.raise_signal(number)
            except (KeyboardInterrupt, SystemExit) as error:
                left = len(multiprocessing.active_children())
                print(f"{kind}: {error!r}, workers left: {left}")


def broken_program(link: Connection, *, context: BaseContext) -> None:
    """Send the id of a worker, and have it work.

    Warning:
        SIGTERM ends this process without leaving the ``with`` block. Its
        worker finishes the job and then waits for another one for ever, since
        it holds both ends of its queue. After a Ctrl-C that this process
        alone gets the block does end, but only after it has run all submitted
        jobs.
    """
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        link.send(executor.submit(os.getpid).result())
        executor.submit(time.sleep, 60).result()


def broken_main() -> None:
    """Send SIGTERM to a program with a worker.

    >>> broken_main()
    exit code of the program: -15
    its worker: still there
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with here, there:
        program = context.Process(
            target=broken_program,
            args=(there,),
            kwargs={"context": context},
        )
        program.start()
        worker = here.recv()
        program.terminate()
        program.join()
    print("exit code of the program:", program.exitcode)
    os.kill(worker, signal.SIGKILL)  # an error, if it had ended
    print("its worker: still there")


if __name__ == "__main__":
    main()
    broken_main()
