"""End a job in a process when its time is up.

``future.result(timeout=1)`` ends your waiting, not the job: the job keeps its
worker, and the end of the executor's ``with`` block waits for it. What can be
ended from outside is a process. So give a job that may get stuck a process and
a pipe of its own, wait for the answer as long as you like, and then terminate
the process; kill it if that does not help. Nobody else uses the pipe, so it
does not matter where in the job that happens.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: timeout for a job in a process pool, kill a process after a timeout,
    ProcessPoolExecutor timeout, hung worker, stuck worker, job hangs, kill a
    future, stop a running future, function timeout, Process.terminate,
    Process.kill, join timeout, terminate_workers, kill_workers, pool.get
    timeout, exit code -15, TimeoutError but still running, endless loop,
    regular expression hangs, "multiprocessing.context.TimeoutError"

Use this when
    a job may run for ever and cannot be asked to stop: a loop in C code, a
    regular expression, a library.

Prefer instead
    :mod:`cookbook.threads.pool_timeouts` for a job that looks at an event, or
    the timeout of the call that blocks. From Python 3.14 an executor has
    ``terminate_workers()`` and ``kill_workers()``: they end all its workers,
    cancel what is pending, and what ran raises
    :exc:`~concurrent.futures.process.BrokenProcessPool`.

Pitfalls
    - A process costs its start for each job (see
      :mod:`cookbook.processes.start_methods`), and the start counts: the time
      runs from there. For many jobs, call this function in the threads of a
      :class:`~concurrent.futures.ThreadPoolExecutor`, and with another
      context than fork.
    - SIGTERM ends a worker where it is: no ``finally`` runs. A forked worker
      has the handler that its parent had for it; if that does not end it, it
      takes the kill.
    - A program that is ended by SIGTERM leaves its worker
      (:mod:`cookbook.processes.orphans`).
    - Processes that the job has started go on (documented:
      ``Process.terminate``).
    - Terminating a process that writes to a queue or holds a lock of others
      leaves it unusable for them (documented: ``Process.terminate``).
    - A pool's ``result.get(timeout)`` raises ``multiprocessing.TimeoutError``,
      which is not the built-in one. Leaving the pool's ``with`` block ends its
      workers, and so the job.
    - ``process.join(timeout)`` returns ``None`` in any case: look at
      ``process.exitcode``, which is ``None`` while the process runs.

If a job raises
    the error is raised in the parent, without the worker's traceback. If it
    cannot be sent, the worker ends with exit code 1.

If it takes too long
    the worker is terminated, after *grace* seconds killed, and
    :exc:`TimeoutError` is raised when it has ended.

On Ctrl-C
    the same, and :exc:`KeyboardInterrupt` goes to the caller. If it comes
    inside ``start()``, the process may go on: see
    :mod:`cookbook.processes.queues_and_pipes`.

If a worker is killed
    :exc:`RuntimeError` tells its exit code (see
    :mod:`cookbook.processes.dead_worker`).
"""

import contextlib
import math
import multiprocessing
import multiprocessing.connection
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from cookbook.primes import is_prime

T = TypeVar("T")
R = TypeVar("R")


def send_outcome(sender: Connection, job: Callable[[T], R], item: T) -> None:
    """Call *job* in the worker; send what it returns or raises."""
    outcome: tuple[bool, R | Exception]
    try:
        outcome = True, job(item)
    except Exception as error:
        outcome = False, error
    sender.send(outcome)


def receive_outcome(
    receiver: Connection, process: BaseProcess, timeout: float
) -> Any:
    """Wait for the result of the job; return it or raise the error."""
    sources: list[Any] = [receiver, process.sentinel]  # ready at its end
    if not multiprocessing.connection.wait(sources, timeout):
        raise TimeoutError(f"no result in {timeout} seconds")
    outcome = None
    with contextlib.suppress(EOFError, OSError):  # before or in the result
        if receiver.poll():
            outcome = receiver.recv()
    if outcome is None:
        process.join()
        raise RuntimeError(f"worker ended with exit code {process.exitcode}")
    is_result, value = outcome
    if not is_result:
        raise value
    return value


def end(process: BaseProcess, grace: float) -> None:
    """Terminate a process; kill it if it is there after *grace* seconds."""
    process.terminate()
    process.join(grace)
    process.kill()
    process.join()


def call_with_timeout(
    job: Callable[[T], R],
    item: T,
    *,
    timeout: float,
    grace: float = 1,
    context: BaseContext | None = None,
) -> R:
    """Return the result of *job* in a process; end it if it takes too long.

    Args:
        job: A function at the top level of a module.
        item: Its argument.
        timeout: How many seconds to wait for the result.
        grace: How many seconds to wait for the end of the process: when the
            result is there, and again when it was told to end.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TimeoutError: If there is no result in time.
        RuntimeError: If the process ended with no result.
        ValueError: If *timeout* or *grace* is not a positive finite number.

    Example:
        >>> from cookbook.processes.stuck_worker import call_with_timeout
        >>> call_with_timeout(abs, -7, timeout=60)
        7
    """
    for name, value in ("timeout", timeout), ("grace", grace):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, finite, not {value!r}")
    own = (context or multiprocessing).get_context()
    receiver, sender = own.Pipe(duplex=False)
    process = own.Process(target=send_outcome, args=(sender, job, item))
    with receiver:
        try:
            with sender:
                process.start()
            result: R = receive_outcome(receiver, process, timeout)
            process.join(grace)
            return result
        finally:
            if process.pid:  # it was started
                end(process, grace)


def main() -> None:
    """Test a small number, and one that would take far too long.

    >>> main()
    97: True
    2**127 - 1: TimeoutError: no result in 0.2 seconds
    processes left: []
    """
    print("97:", call_with_timeout(is_prime, 97, timeout=60))
    try:
        call_with_timeout(is_prime, 2**127 - 1, timeout=0.2)
    except TimeoutError as error:
        print("2**127 - 1: TimeoutError:", error)
    print("processes left:", multiprocessing.active_children())


def broken_result(future: Future[R], *, timeout: float) -> R | None:
    """Return the result, or stop the job and return None.

    Warning:
        A job that has begun is not stopped: ``cancel()`` returns ``False``.
        The job keeps its worker, and does all that it does. The end of the
        executor's ``with`` block waits for it, and so does the interpreter at
        its exit, even after ``shutdown(wait=False)``.
    """
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        return None


def wait_for(path: Path) -> None:
    """Wait until there is a file at *path*."""
    while not path.exists():
        time.sleep(0.01)


def work(folder: Path) -> str:
    """Begin, wait until the work may go on, and do it."""
    folder.joinpath("begun").touch()
    wait_for(folder / "go on")
    folder.joinpath("done").touch()
    return "too late"


def broken_main() -> None:
    """Give up a job that has begun, and see what it does then.

    >>> broken_main()
    result: None
    cancelled: False
    after the with block: done
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ProcessPoolExecutor(1) as executor:
            future = executor.submit(work, folder)
            wait_for(folder / "begun")
            result = broken_result(future, timeout=0.05)
            print("result:", result)
            print("cancelled:", future.cancelled())
            folder.joinpath("go on").touch()
        done = folder.joinpath("done").exists()
        print("after the with block:", "done" if done else "not done")


if __name__ == "__main__":
    main()
    broken_main()
