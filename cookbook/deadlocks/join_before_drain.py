"""Read what a child sends before you wait for its end.

A pipe holds little: 64 KiB on Linux. A child that sends more waits until
somebody reads. A parent that first waits for the child's end, and wants to
read after that, waits for ever, and so does the child. Read all that the child
sends; then wait. With a :class:`multiprocessing.Queue` the child's end hangs
even though ``put()`` has returned: a thread of the queue's, the feeder, still
writes to the pipe, and the process waits for it. With :mod:`subprocess`, let
``communicate()`` or ``subprocess.run(capture_output=True)`` read.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:told by: :func:`faulthandler.dump_traceback_later`, which prints the line
    where the parent waits
:search: multiprocessing Queue join hangs, Process.join never returns, queue
    full, large result, join before get, feeder thread, QueueFeederThread,
    cancel_join_thread, subprocess hangs, Popen.wait hangs, wait() with PIPE,
    communicate, full pipe, pipe buffer size, 64 KiB, 65536,
    create_subprocess_exec, "queue.Empty", "subprocess.TimeoutExpired"

Use this when
    you start processes or programs yourself and want what they send.

Prefer instead
    :mod:`cookbook.processes.executor_map`: an executor reads the results
    while the workers run, and reports a worker that dies.

Pitfalls
    - A small result fits into the pipe, and the wrong order works until the
      results grow.
    - Reading ``stdout`` to its end, and then ``stderr``, hangs in the same
      way when the program fills ``stderr``. ``communicate()`` reads both.
    - ``asyncio.create_subprocess_exec`` is no different, only that its
      :class:`~asyncio.StreamReader` holds some more: ``await process.wait()``
      hangs, ``await process.communicate()`` does not.
    - ``queue.cancel_join_thread()`` lets the child end, and what has not
      fitted into the pipe is lost.

If a job raises
    the child prints its traceback and sends nothing:
    :func:`collect_from_pipes` raises :exc:`RuntimeError` as soon as the
    results before it are there, :func:`collect_from_queue`
    :exc:`queue.Empty` after *timeout* seconds, and :func:`output_of`
    :exc:`subprocess.CalledProcessError` when the exit code is not 0.

If it takes too long
    :func:`collect_from_queue` raises :exc:`queue.Empty`,
    :func:`collect_from_pipes` :exc:`TimeoutError`, :func:`output_of`
    :exc:`subprocess.TimeoutExpired`. The children have been killed by then:
    the default of 60 seconds ends slower ones, ``timeout=None`` none.

On Ctrl-C
    the children are killed and waited for; the program of :func:`output_of`
    is killed. If it comes inside ``start()``, the new child may go on: see
    :mod:`cookbook.processes.queues_and_pipes`.

If a worker is killed
    :func:`collect_from_pipes` raises :exc:`RuntimeError` with the exit code,
    also when the child was sending. A queue does not notice: its ``get()`` may
    then wait for the rest of an item for ever, whatever its timeout.
"""

import math
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

LARGE = 200_000  # characters: more than a pipe holds


def text(length: int) -> str:
    """Return a text of this length; it stands for your job."""
    return "x" * length


@contextmanager
def children() -> Iterator[list[BaseProcess]]:
    """Wait for the processes in the list after the block, or kill them."""
    processes: list[BaseProcess] = []

    def started() -> list[BaseProcess]:
        return [process for process in processes if process.pid]

    try:
        yield processes
    except BaseException:
        for process in started():
            process.kill()
        raise
    finally:
        for process in started():
            process.join()


def send_result(
    send: Callable[[object], None], job: Callable[[int], object], item: int
) -> None:
    """Send what *job* returns to the parent; runs in the child."""
    send(job(item))


def check(timeout: float | None) -> None:
    """Raise ValueError if nobody can wait for so many seconds."""
    if timeout is not None and not 0 <= timeout < math.inf:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")


def collect_from_queue(
    job: Callable[[int], object],
    items: Iterable[int],
    *,
    timeout: float | None = 60,
    context: BaseContext | None = None,
) -> list[object]:
    """Run *job* on each item in a process of its own; read, then wait.

    Args:
        job: A function of a module, which the child can import.
        items: What it gets.
        timeout: For how many seconds to wait for the next result.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The results, in the order in which they came.

    Raises:
        ValueError: If *timeout* is out of range.

    Example:
        >>> from cookbook.deadlocks.join_before_drain import *
        >>> [len(one) for one in collect_from_queue(text, [LARGE])]
        [200000]
    """
    check(timeout)
    own = (context or multiprocessing).get_context()
    results = own.Queue()
    with children() as processes:
        for item in items:
            process = own.Process(
                target=send_result, args=(results.put, job, item)
            )
            processes.append(process)
            process.start()
        return [results.get(timeout=timeout) for _ in processes]


def collect_from_pipes(
    job: Callable[[int], object],
    items: Iterable[int],
    *,
    timeout: float | None = 60,
    context: BaseContext | None = None,
) -> list[object]:
    """Run *job* on each item in a process with a pipe of its own.

    Args:
        job: A function of a module, which the child can import.
        items: What it gets.
        timeout: For how many seconds to wait for the next result.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The results, in the order of the items.

    Raises:
        RuntimeError: If a child ends before it has sent its result.
        TimeoutError: If the next result does not come in time.
        ValueError: If *timeout* is out of range.

    Example:
        >>> from cookbook.deadlocks.join_before_drain import *
        >>> [len(one) for one in collect_from_pipes(text, [LARGE, 1])]
        [200000, 1]
    """
    check(timeout)
    own = (context or multiprocessing).get_context()
    with ExitStack() as pipes, children() as processes:
        receivers = []
        for item in items:
            receiver, sender = own.Pipe(duplex=False)
            receivers.append(pipes.enter_context(receiver))
            process = own.Process(
                target=send_result, args=(sender.send, job, item)
            )
            processes.append(process)
            # Once the child has it, ours must not keep the pipe open.
            with sender:
                process.start()
        return list(map(receive, receivers, processes, repeat(timeout)))


def receive(
    receiver: Connection, process: BaseProcess, timeout: float | None = None
) -> object:
    """Return what the process sends, or raise an error if it has ended."""
    if not receiver.poll(timeout):
        raise TimeoutError(f"{process.name}: no result within {timeout} s")
    try:
        return receiver.recv()
    except (EOFError, OSError) as error:  # before or in the message
        process.join()
        raise RuntimeError(
            f"{process.name} sent no result: exit code {process.exitcode}"
        ) from error


def output_of(command: Sequence[str], *, timeout: float | None = 60) -> str:
    """Run a program, and return what it prints.

    Args:
        command: The program and its arguments.
        timeout: After how many seconds it is killed.

    Raises:
        subprocess.CalledProcessError: If its exit code is not 0.
        subprocess.TimeoutExpired: If it takes too long.
        ValueError: If *timeout* is out of range.

    Example:
        >>> import sys
        >>> from cookbook.deadlocks.join_before_drain import output_of
        >>> len(output_of([sys.executable, "-c", "print('x' * 200_000)"]))
        200001
    """
    check(timeout)
    return subprocess.run(
        command, capture_output=True, check=True, text=True, timeout=timeout
    ).stdout


def main() -> None:
    """Read large results of a process, and of a program.

    >>> main()
    queue: [200000]
    pipes: [200000, 1]
    program: 200000
    """
    found = collect_from_queue(text, [LARGE])
    print("queue:", [len(str(one)) for one in found])
    found = collect_from_pipes(text, [LARGE, 1])
    print("pipes:", [len(str(one)) for one in found])
    command = [sys.executable, "-c", f"print('x' * {LARGE}, end='')"]
    print("program:", len(output_of(command)))


def broken_collect(
    job: Callable[[int], object],
    item: int,
    *,
    patience: float | None = None,
    context: BaseContext | None = None,
) -> object:
    """Run *job* in a process; wait for its end, then read the result.

    Args:
        job: A function of a module, which the child can import.
        item: What it gets.
        patience: After how many seconds to give up; usually never.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TimeoutError: If the child has not ended by then. It is killed.

    Warning:
        The child cannot end before its feeder thread has written the result
        into the pipe, and the pipe is full until somebody reads.
    """
    own = (context or multiprocessing).get_context()
    results = own.Queue()
    with children() as processes:
        process = own.Process(
            target=send_result, args=(results.put, job, item)
        )
        processes.append(process)
        process.start()
        process.join(patience)
        if process.is_alive():
            raise TimeoutError("the child has not ended")
        return results.get()


def broken_output_of(
    command: Sequence[str], *, patience: float | None = None
) -> str:
    """Run a program; wait for its end, then read what it printed.

    Args:
        command: The program and its arguments.
        patience: After how many seconds to give up; usually never.

    Raises:
        subprocess.TimeoutExpired: If it has not ended by then. It is killed.

    Warning:
        The program waits for somebody to read, and this for the program.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            process.wait(patience)
            return process.communicate()[0].decode()
        finally:
            process.kill()


def broken_main() -> None:
    """Wait for the end of a process, and of a program, that fill the pipe.

    >>> broken_main()
    process: TimeoutError: the child has not ended
    program: TimeoutExpired
    """
    try:
        broken_collect(text, LARGE, patience=0.2)
    except TimeoutError as error:
        print("process: TimeoutError:", error)
    command = [sys.executable, "-c", f"print('x' * {LARGE})"]
    try:
        broken_output_of(command, patience=0.2)
    except subprocess.TimeoutExpired as error:
        print("program:", type(error).__name__)


if __name__ == "__main__":
    main()
    broken_main()
