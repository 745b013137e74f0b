"""Run coroutines together and collect their results.

``await job()`` runs *job* to its end before the next line starts, so jobs
awaited one after another never overlap. A task runs beside the code that
created it: create all tasks first, then wait for them.
:class:`asyncio.TaskGroup` does both, and if one of them fails it cancels the
others and waits until they have ended.

:models: asyncio
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: gather, TaskGroup, create_task, ensure_future vs create_task vs await,
    wait for all tasks, await several coroutines at once, run coroutines
    concurrently, async requests one after another, await in a for loop, async
    list comprehension is slow, gather exception other tasks continue, except*,
    "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
    "unhandled errors in a TaskGroup"

Use this when
    several coroutines do not need one another's results, and a failure of
    one makes the others pointless.

Prefer instead
    ``asyncio.gather(*coroutines, return_exceptions=True)`` when you want
    every result, failures included. Without ``return_exceptions``,
    :func:`asyncio.gather` raises the first error at once and leaves the other
    tasks running. :func:`asyncio.ensure_future` is the older way to create a
    task; it also takes futures, and is rarely needed.

Pitfalls
    - Every job starts at once, whether ten or ten thousand.
    - A job that raises :exc:`asyncio.CancelledError` itself does not cancel
      the others: they run to their end, and then it is raised here.
    - Tasks take turns only where they await: one that blocks
      (:mod:`cookbook.coroutines.blocking_call`) stops all of them.
    - A task that you await as soon as you have created it
      (``await asyncio.create_task(job())`` in a loop) overlaps nothing.

If a job raises
    the other jobs are cancelled, and when all have ended an
    :exc:`ExceptionGroup` with every error is raised. Catch it with
    ``except*``.

If it takes too long
    :func:`asyncio.timeout` around the call cancels all jobs, waits until they
    have ended, and raises :exc:`TimeoutError`.

On cancellation
    all jobs are cancelled, and the cancellation goes on when they have ended.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all jobs, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def run_together(
    *jobs: Callable[[], Coroutine[Any, Any, T]],
) -> list[T]:
    """Run *jobs* at the same time.

    Args:
        jobs: Coroutine functions that need no argument; bind arguments with
            :func:`functools.partial`.

    Returns:
        The results in the order of *jobs*.

    Raises:
        TypeError: If a job cannot be called; nothing is started.
        ExceptionGroup: If a job raises; holds the errors of all that did.

    Example:
        >>> import asyncio, functools
        >>> from cookbook.coroutines.run_together import run_together
        >>> jobs = [functools.partial(asyncio.sleep, 0, n) for n in range(3)]
        >>> asyncio.run(run_together(*jobs))
        [0, 1, 2]
    """
    for job in jobs:
        if not callable(job):
            raise TypeError(f"a job must be a function, not {job!r}")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job()) for job in jobs]
    return [task.result() for task in tasks]


async def most_in_flight(run: Callable[..., Awaitable[list[Any]]]) -> int:
    """Count how many of three jobs are under way at once, at most.

    Args:
        run: :func:`run_together`, or a function with its signature.
    """
    now = most = 0

    async def job() -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)  # stands for an answer from the network
        now -= 1

    await run(job, job, job)
    return most


async def meet(run: Callable[..., Awaitable[list[Any]]]) -> None:
    """Run three jobs that wait for one another.

    Args:
        run: :func:`run_together`, or a function with its signature.
    """
    meeting = asyncio.Barrier(3)
    await run(meeting.wait, meeting.wait, meeting.wait)


def main() -> None:
    """Run three jobs together; then three that wait for one another.

    >>> main()
    jobs in flight: at most 3
    jobs that wait for one another: done
    """
    most = asyncio.run(most_in_flight(run_together))
    print("jobs in flight: at most", most)
    asyncio.run(meet(run_together))
    print("jobs that wait for one another: done")


async def broken_run_together(
    *jobs: Callable[[], Coroutine[Any, Any, T]],
) -> list[T]:
    """Run *jobs* one after another.

    Args:
        jobs: Coroutine functions that need no argument.

    Returns:
        The results in the order of *jobs*.

    Warning:
        ``await`` waits until the job has ended; only then is the next one
        called. ``await first(); await second()`` is the same mistake. The
        results are right, so nothing tells you: the waiting times add up,
        and jobs that wait for one another wait for ever.
    """
    return [await job() for job in jobs]


def broken_main() -> None:
    """Do the same with jobs that are awaited one after another.

    >>> broken_main()
    jobs in flight: at most 1
    jobs that wait for one another: TimeoutError
    """
    most = asyncio.run(most_in_flight(broken_run_together))
    print("jobs in flight: at most", most)
    try:
        asyncio.run(asyncio.wait_for(meet(broken_run_together), 0.1))
    except TimeoutError as error:
        print("jobs that wait for one another:", type(error).__name__)


if __name__ == "__main__":
    main()
    broken_main()
