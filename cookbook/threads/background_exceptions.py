"""Notice when background work fails.

A pool keeps a job's error in the future that ``submit()`` returned. If nobody
asks that future, nothing is raised and nothing is printed. So decide at the
start who is told: wait for all jobs and fail at the first error, or let a
callback report each error as it happens. Plain threads have a hook for it.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: exception swallowed, silent failure, ThreadPoolExecutor swallows
    exceptions, submit without result, exception lost, fire and forget, run a
    function in the background, log exceptions of threads, fail fast,
    FIRST_EXCEPTION, add_done_callback, cancel remaining futures,
    cancel_futures, threading.excepthook, no traceback, "ExceptionGroup: jobs
    failed (1 sub-exception)", "exception calling callback"

Use this when
    jobs run for what they do, not for what they return: :func:`run_all` when
    one failure makes the rest pointless, :func:`start_reported` when the
    others shall go on, :func:`threads_reported` for threads without a pool.

Prefer instead
    :mod:`cookbook.threads.thread_results` when you need the values too.

Pitfalls
    - Nothing warns of an error that nobody asks for, not even ``-X dev``.
      asyncio's "exception was never retrieved" has no counterpart in threads.
    - ``pool.map()`` swallows in the same way if you do not read its results.
    - :func:`threading.excepthook` does not see the errors of a pool's jobs,
      and the pool's callback does not see those of plain threads.
    - Do not raise in a callback: the pool logs ``exception calling callback``
      and goes on. A callback runs in the worker's thread, or at once in yours
      if the job has already ended.
    - The default hook ignores ``SystemExit``; a hook of your own gets it.

If a job raises
    :func:`run_all` cancels the jobs that have not started, waits for those
    that run, and raises all their errors as one :exc:`ExceptionGroup`.

On Ctrl-C
    :func:`run_all` cancels and waits in the same way; then
    :exc:`KeyboardInterrupt` goes on, and the errors of the jobs are lost.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_EXCEPTION,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import contextmanager
from functools import partial

Job = Callable[[], object]
Report = Callable[[BaseException | None], object]

logger = logging.getLogger(__name__)


def log_error(error: BaseException | None) -> None:
    """Log *error* with its traceback.

    A program that has not set up logging prints it on stderr.
    """
    logger.error("background job failed", exc_info=error)


def run_all(jobs: Iterable[Job], *, workers: int = 4) -> None:
    """Run *jobs* in a pool; stop at the first error.

    Args:
        jobs: Functions without arguments. All are taken before this function
            waits.
        workers: How many threads to use.

    Raises:
        ExceptionGroup: If a job fails. Holds the error of each failed job; a
            :exc:`BaseExceptionGroup` if one of them is no Exception.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.threads.background_exceptions import run_all
        >>> run_all([lambda: 1 / 1, lambda: 1 / 0])
        Traceback (most recent call last):
        ExceptionGroup: jobs failed (1 sub-exception)
    """
    pool = ThreadPoolExecutor(workers)
    try:
        futures = [pool.submit(job) for job in jobs]
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        pool.shutdown(cancel_futures=True)
    errors = [
        error
        for future in futures
        if not future.cancelled() and (error := future.exception()) is not None
    ]
    if errors:
        raise BaseExceptionGroup("jobs failed", errors)


def start_reported(
    pool: ThreadPoolExecutor, job: Job, report: Report = log_error
) -> None:
    """Start *job* in *pool* and forget it, unless it fails.

    Args:
        pool: Leave its ``with`` block, or shut it down, to wait for the job.
        job: A function without arguments.
        report: Called with the error, in the thread of the job, or at once
            in this one if the job has failed already.
    """
    pool.submit(job).add_done_callback(partial(report_error, report))


def report_error(report: Report, future: Future[object]) -> None:
    """Call *report* if the job of *future*, which is done, has failed."""
    if not future.cancelled() and future.exception() is not None:
        report(future.exception())


@contextmanager
def threads_reported(report: Report = log_error) -> Iterator[None]:
    """Report the errors of plain threads during a ``with`` block.

    Args:
        report: Called with the error, in the thread that failed. It replaces
            the traceback that Python prints.
    """

    def hook(failed: threading.ExceptHookArgs) -> None:
        report(failed.exc_value)

    before, threading.excepthook = threading.excepthook, hook
    try:
        yield
    finally:
        threading.excepthook = before


def save(row: int, saved: list[int]) -> None:
    """Save a row that is not negative; stands for your job."""
    if row < 0:
        raise ValueError(f"bad row: {row}")
    saved.append(row)


def main() -> None:
    """Let a bad row fail in a pool, in the background and in a thread.

    >>> main()
    failed: (ValueError('bad row: -2'),)
    background: bad row: -4
    thread: bad row: -5
    """
    saved: list[int] = []
    try:
        run_all(partial(save, row, saved) for row in (1, -2))
    except* ValueError as group:
        print("failed:", group.exceptions)
    with ThreadPoolExecutor() as pool:
        for row in (3, -4):
            job = partial(save, row, saved)
            start_reported(pool, job, partial(print, "background:"))
    with threads_reported(partial(print, "thread:")):
        thread = threading.Thread(target=save, args=(-5, saved))
        thread.start()
        thread.join()


def broken_run_all(jobs: Iterable[Job], *, workers: int = 4) -> None:
    """Run *jobs* in a pool and ask nobody how it went.

    Warning:
        Each error stays in a future that is thrown away. Leaving the ``with``
        block waits for the jobs and raises nothing, and the others go on.
    """
    with ThreadPoolExecutor(workers) as pool:
        for job in jobs:
            pool.submit(job)


def broken_main() -> None:
    """Save three rows, one of them bad.

    >>> broken_main()
    no error, rows saved: [1, 3]
    """
    saved: list[int] = []
    broken_run_all(partial(save, row, saved) for row in (1, -2, 3))
    print("no error, rows saved:", sorted(saved))


if __name__ == "__main__":
    main()
    broken_main()
