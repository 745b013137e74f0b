"""Log from worker processes into one file.

Let one process write. Each worker gets a
:class:`~logging.handlers.QueueHandler`, by the initializer, and nothing else:
it sends what is logged to a queue. A
:class:`~logging.handlers.QueueListener` in the parent reads the queue in a
thread and gives each record to the handler of the file.

A worker needs it even if the parent has set up logging. Under spawn and
forkserver nothing is set up in a worker: ``logger.info`` says nothing, and a
warning goes to stderr as a bare line. Under fork it has copies of the parent's
handlers, and all write to the same file.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method, on POSIX
:search: logging with multiprocessing, QueueHandler, QueueListener, log to one
    file from several processes, multiprocessing logging, logging in
    ProcessPoolExecutor, logs of workers missing, logger.info prints nothing in
    child process, RotatingFileHandler loses lines, log lines appear twice,
    basicConfig in worker, dictConfig, "PermissionError: [WinError 32] The
    process cannot access the file because it is being used by another process"

Use this when
    workers log, and their lines go to one place, with those of the parent.

Prefer instead
    a plain handler for threads, which may share it.
    :class:`~logging.handlers.SocketHandler` or
    :class:`~logging.handlers.SysLogHandler` for processes that have no parent
    in common. From Python 3.12 :func:`logging.config.dictConfig` makes a
    handler and its listener, ``handler.listener``, for the threads of one
    process.

Pitfalls
    - Stop the listener last. All that a worker has logged is in the queue only
      when it has ended. Leaving the with-block of an executor waits for that;
      leaving that of a pool kills the workers, so call
      :meth:`~multiprocessing.pool.Pool.close` and
      :meth:`~multiprocessing.pool.Pool.join` first.
    - ``logging.basicConfig(handlers=[QueueHandler(queue)])`` gives the handler
      a format, so the line is formatted twice: ``INFO:jobs:INFO:jobs:...``
    - A listener asks no logger for its level or its handlers, and a handler
      for its level only with ``respect_handler_level=True``. Set the level in
      the worker: what is not logged is not sent.
    - A forked worker has copies of all its parent's handlers. Those of the
      root logger are replaced here; those of another logger write each line a
      second time.
    - On Windows the rollover of a file that another process has open fails:
      ``PermissionError: [WinError 32] The process cannot access the file
      because it is being used by another process`` (documented:
      :class:`~logging.handlers.WatchedFileHandler`).

If a job raises
    the error is raised again in the parent when all lines have been handled.
    A traceback that is logged is sent as a part of the line.

If a worker is killed
    the lines that it has not written to the pipe are lost. If it was writing
    one, it had the lock of the queue: whoever writes after it waits for ever,
    as ``stop()`` of a plain listener does. The one here only reads. Only if
    the kill cuts a line longer than the pipe holds does it wait for ever.
"""

import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from multiprocessing.context import BaseContext
from multiprocessing.queues import Queue
from pathlib import Path
from queue import Empty
from typing import TypeVar

from cookbook.primes import WORKERS, checked

T = TypeVar("T")
logger = logging.getLogger(__name__)


def square(n: int) -> int:
    """Return the square of *n*, and log that it was asked for."""
    logger.info("square of %d", n)
    return n * n


def log_to_queue(queue: "Queue[logging.LogRecord]", level: int) -> None:
    """Send all that this process logs, from *level* on, to *queue*.

    Args:
        queue: Where a :class:`WorkersListener` reads.
        level: What is below it is not sent.
    """
    root = logging.getLogger()
    root.handlers[:] = [QueueHandler(queue)]
    root.setLevel(level)


class WorkersListener(QueueListener):
    """Handle what workers log, until they have ended and all is handled.

    It stops without writing to the queue: a worker that was killed may have
    taken the lock for that along.
    """

    queue: "Queue[logging.LogRecord]"
    ended = False

    def enqueue_sentinel(self) -> None:
        """Ask the thread to end; ``stop()`` calls this, and waits."""
        self.ended = True

    def dequeue(self, block: bool) -> logging.LogRecord:
        """Return the next record."""
        while block and not self.ended:
            with suppress(Empty):
                return self.queue.get(timeout=0.1)
        return self.queue.get_nowait()


def map_and_log(
    job: Callable[[int], T],
    numbers: Iterable[int],
    *,
    handler: logging.Handler,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[T]:
    """Call *job* with each number in a process; handle here what it logs.

    Args:
        job: A function of a module.
        numbers: What the jobs are given.
        handler: What is below its level is not sent. It may be a handler of
            the parent's loggers too.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The answers, in the order of *numbers*.

    Raises:
        TypeError: If *numbers* is not iterable, *workers* not an int or
            *handler* no handler, before a process is started.
        ValueError: If *workers* is less than 1.

    Example:
        >>> import logging
        >>> from cookbook.processes import logging_from_workers
        >>> to_file = logging.FileHandler("/dev/null")
        >>> logging_from_workers.map_and_log(abs, [-1, 2], handler=to_file)
        [1, 2]
        >>> to_file.close()
    """
    jobs = checked(numbers, workers)
    if not isinstance(handler, logging.Handler):
        raise TypeError(f"handler must be a logging.Handler, not {handler!r}")
    context = context or multiprocessing.get_context()
    queue: Queue[logging.LogRecord] = context.Queue()
    listener = WorkersListener(queue, handler)
    executor = ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=log_to_queue,
        initargs=(queue, handler.level),
    )
    answers = executor.map(job, jobs)
    listener.start()  # only now, so that no fork meets its thread
    try:
        with executor:
            return list(answers)
    finally:
        listener.stop()
        queue.close()


def main() -> None:
    """Log from the workers and from the parent into one file.

    >>> main()
    [1, 4, 9]
    INFO square of 1
    INFO square of 2
    INFO square of 3
    WARNING written by the parent
    """
    form = logging.Formatter("%(levelname)s %(message)s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.log")
        with closing(logging.FileHandler(path, encoding="utf-8")) as handler:
            handler.setFormatter(form)
            handler.setLevel(logging.INFO)
            root = logging.getLogger()
            root.addHandler(handler)
            try:
                print(map_and_log(square, [1, 2, 3], handler=handler))
                logger.warning("written by the parent")
            finally:
                root.removeHandler(handler)
        print(*sorted(path.read_text(encoding="utf-8").splitlines()), sep="\n")


def broken_log_to_file(path: Path) -> None:
    """Log to a file that other processes log to as well.

    Warning:
        Whichever process finds the file full renames it. The others go on
        writing to the file that they have open, whatever it is called by now.
        Once it has been the oldest, it is deleted: what they write then is in
        no file, and nobody gets an error.
    """
    root = logging.getLogger()
    root.handlers[:] = [RotatingFileHandler(path, maxBytes=60, backupCount=1)]
    root.setLevel(logging.INFO)


def broken_worker(
    path: Path, context: BaseContext | None = None
) -> ProcessPoolExecutor:
    """Return an executor of one worker, which logs to a shared file."""
    return ProcessPoolExecutor(
        1,
        mp_context=context,
        initializer=broken_log_to_file,
        initargs=(path,),
    )


def broken_main() -> None:
    """Let one worker fill some files, and then the other log a last line.

    >>> broken_main()
    last line logged: square of 7
    last line in the file: square of 1012
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jobs.log")
        with broken_worker(path) as first, broken_worker(path) as second:
            second.submit(abs, 7).result()  # it has opened the file
            list(first.map(square, range(1001, 1013)))
            second.submit(square, 7).result()
        lines = path.read_text(encoding="utf-8").splitlines()
        print("last line logged: square of 7")
        print("last line in the file:", lines[-1])


if __name__ == "__main__":
    main()
    broken_main()
