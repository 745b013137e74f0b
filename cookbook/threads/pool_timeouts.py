"""Stop jobs in a pool when their time is up.

``future.result(timeout=1)`` ends your waiting, not the job. No thread can be
stopped from outside, ``future.cancel()`` returns ``False`` once the job runs,
and the end of the pool's ``with`` block waits for it. So hand each job a
:class:`threading.Event` to look at between its steps and to pause on; when the
time is up, set it; ``shutdown(cancel_futures=True)`` drops the jobs that have
not started, and waits for those that run.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :func:`faulthandler.dump_traceback_later`, which prints the line at
    which the job still runs, and that the main thread waits in ``shutdown``
:search: result timeout, TimeoutError still blocks, kill a thread in a pool,
    stop a running future, future.cancel returns False, cancel_futures,
    shutdown wait=False, program does not exit, script hangs at exit,
    press Ctrl-C twice, deadline, concurrent.futures.TimeoutError,
    "RuntimeError: cannot schedule new futures after shutdown",
    "RuntimeError: cannot schedule new futures after interpreter shutdown"

Use this when
    jobs in threads must give up in time.

Prefer instead
    the timeout of the call that blocks, such as that of a socket or of
    ``urlopen``, when the job is one such call. A process, which can be ended
    from outside, for code that cannot look at an event: from 3.14 on,
    ``ProcessPoolExecutor`` has ``terminate_workers()`` for that: see
    :mod:`cookbook.processes.stuck_worker`.

Pitfalls
    - A job that does not look at the event holds up everything:
      ``shutdown(wait=False)`` returns at once, but at its exit the
      interpreter joins the threads of all pools, which are no daemons. The
      program ends when the last job does.
    - ``result(timeout=...)`` raises :exc:`TimeoutError` without a text, and so
      may the job. ``future.done()`` tells: it is false if the job still runs.
    - ``concurrent.futures.TimeoutError`` is :exc:`TimeoutError` since 3.11;
      before, it was another class (documented:
      :exc:`concurrent.futures.TimeoutError`).
    - After ``shutdown()`` or the ``with`` block, ``submit`` raises
      ``RuntimeError: cannot schedule new futures after shutdown``. When the
      main thread has ended, ``atexit`` handlers and other threads, such as
      that of a scheduler, get ``RuntimeError: cannot schedule new futures
      after interpreter shutdown``: let the main thread wait for those who
      still submit.
    - ``asyncio.run`` waits for the threads of ``asyncio.to_thread`` too; from
      3.12.3 on, for 300 seconds at most (documented: CPython issue 111358).

If a job raises
    the others are asked to stop too, as soon as the results before it are
    there, and the error goes to the caller when they have. An error in the
    items does the same.

If it takes too long
    the jobs that run are asked to stop, those that have not started are
    cancelled, and :exc:`TimeoutError` is raised when no thread is left.

On Ctrl-C
    the same, and :exc:`KeyboardInterrupt` goes to the caller. Where a job is
    not asked to stop, you press Ctrl-C several times: for ``result()``, for
    the end of the ``with`` block, and from 3.13 on once more at the exit of
    the interpreter.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_with_timeout(
    job: Callable[[threading.Event, T], R],
    items: Iterable[T],
    *,
    timeout: float,
    workers: int = 4,
) -> list[R]:
    """Return the results of all jobs, or stop all jobs.

    Args:
        job: Called in a thread with an event and one of *items*. Has to look
            at the event often, and to return when it is set.
        items: One for each job.
        timeout: How many seconds all the jobs together may take.
        workers: How many threads to use.

    Raises:
        TimeoutError: If there is not a result of each job in time.
        ValueError: If *timeout* or *workers* is out of range.

    Example:
        >>> from cookbook.threads.pool_timeouts import *
        >>> map_with_timeout(lambda stop, n: n * n, [1, 2, 3], timeout=60)
        [1, 4, 9]
    """
    if not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(partial(job, stop), items, timeout=timeout))
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def main() -> None:
    """Take results in time; then stop jobs that would take ten seconds.

    >>> main()
    in time: [1, 4, 9]
    too slow: TimeoutError
    jobs that ran to their end: []
    """
    ended: list[int] = []

    def work(stop: threading.Event, number: int) -> None:
        for _ in range(100):
            if stop.wait(timeout=0.1):  # instead of time.sleep(0.1)
                return
        ended.append(number)

    squares = map_with_timeout(lambda _, n: n * n, [1, 2, 3], timeout=60)
    print("in time:", squares)
    try:
        map_with_timeout(work, range(8), timeout=0.05)
    except TimeoutError as error:
        print("too slow:", type(error).__name__)
    print("jobs that ran to their end:", ended)


def broken_result(future: Future[R], *, timeout: float) -> R | None:
    """Return the result, or stop the job and return None.

    Warning:
        A job that runs is not stopped: ``cancel()`` does nothing and returns
        ``False``. The job goes on, keeps its thread, and changes whatever it
        changes. The end of the pool's ``with`` block waits for it; so does
        the interpreter at its exit, even after ``shutdown(wait=False)``.
    """
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        return None


def broken_main() -> None:
    """Give up a job, and see what it does then.

    >>> broken_main()
    result: None
    cancelled: False, running: True
    after the with block: work done
    """
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def job() -> str:
        begun.set()
        go_on.wait(timeout=10)
        done.append("work done")
        return "too late"

    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            future = pool.submit(job)
            begun.wait(timeout=10)
            print("result:", broken_result(future, timeout=0.05))
            print("cancelled:", future.cancelled(), end=", ")
            print("running:", future.running())
        finally:
            go_on.set()
    print("after the with block:", *done)


if __name__ == "__main__":
    main()
    broken_main()
