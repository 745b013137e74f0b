"""Limit how many coroutines do one thing at once.

For many items, start a fixed set of workers that share one iterator: each
takes the next item when it has done one, so there are never more tasks than
places, and no item is read before a worker is free for it. When the callers
are not all yours, put an :class:`asyncio.Semaphore` around the job: a caller
waits where all places are taken.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: ``len(asyncio.all_tasks())``, which grows with the items instead of
    with the limit
:search: asyncio.Semaphore, limit concurrent requests, at most n at once,
    gather with a limit, worker pool in asyncio, bounded gather, batches,
    gather in chunks, million tasks memory, throttle, too many connections,
    "OSError: [Errno 24] Too many open files", "ValueError: too many file
    descriptors in select()", "ValueError: filedescriptor out of range in
    select()", "Semaphore is bound to a different event loop"

Use this when
    there are more jobs than a server, a memory or a table of open files
    stands at once.

Prefer instead
    :mod:`cookbook.coroutines.rate_limit` when the server counts calls per
    second. Workers around an :class:`asyncio.Queue` when items come in over
    time: :mod:`cookbook.coroutines.queues`. For threads,
    :mod:`cookbook.threads.limit_concurrency`. In anyio and trio, a
    ``CapacityLimiter``.

Pitfalls
    - ``async with places: create_task(job())`` limits nothing: the block ends
      before the job begins. The job itself must hold the place.
    - A job that calls itself through the limit needs a second place while it
      holds the first; when all have done so, all wait for ever.
    - ``gather`` over batches waits for the slowest job of each batch.
    - A semaphore serves one event loop. On another loop the first caller
      that has to wait gets a :exc:`RuntimeError`: ``is bound to a different
      event loop``.
    - ``OSError: [Errno 24] Too many open files``: each connection takes a
      file descriptor. Lower the limit, reuse connections (one client or
      session for all requests), close what you open; only then raise
      ``ulimit -n``. On Windows the selector event loop is limited to 512
      sockets: ``ValueError: too many file descriptors in select()``; use the
      default loop, the proactor (documented: asyncio, *Platform Support*).
    - ``filedescriptor out of range in select()`` comes from
      :func:`select.select`, which refuses descriptors above 1023; on Linux
      and macOS asyncio does without it.

If a job raises
    with workers, the other jobs are cancelled, no further item is taken, and
    an :exc:`ExceptionGroup` is raised when all have ended. With the
    semaphore, the place is free again and the error goes to the caller.

If it takes too long
    :func:`asyncio.timeout` around the call cancels all jobs. Around a limited
    job it counts the wait for a place, too; inside the job it does not.

On cancellation
    the jobs are cancelled and awaited; whoever is cancelled while it waits
    for a place takes none.

On Ctrl-C
    the same, and :func:`asyncio.run` raises :exc:`KeyboardInterrupt`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from operator import itemgetter
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def checked(at_most: object) -> int:
    """Return *at_most*, or raise ValueError if it is no number of places."""
    if not isinstance(at_most, int) or at_most < 1:
        raise ValueError(f"at_most must be 1 or more, not {at_most!r}")
    return at_most


async def map_with_workers(
    job: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_most: int
) -> list[R]:
    """Run *job* on every item, in a fixed set of workers.

    Args:
        job: Called with one of *items*, and awaited.
        items: May be a generator: an item is taken when a worker is free.
        at_most: How many jobs may be under way at once.

    Returns:
        The results in the order of *items*.

    Raises:
        ValueError: If *at_most* is less than 1; no item is taken.
        ExceptionGroup: If a job raises, or *items* does.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.limit_concurrency import *
        >>> job = lambda number: asyncio.sleep(0, number * number)
        >>> asyncio.run(map_with_workers(job, range(5), at_most=2))
        [0, 1, 4, 9, 16]
    """
    checked(at_most)
    numbered = enumerate(items)

    async def work() -> list[tuple[int, R]]:
        return [(number, await job(item)) for number, item in numbered]

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work()) for _ in range(at_most)]
    results = [result for worker in workers for result in worker.result()]
    return [result for _, result in sorted(results, key=itemgetter(0))]


def limited(
    job: Callable[P, Awaitable[R]], at_most: int
) -> Callable[P, Awaitable[R]]:
    """Return *job* as a coroutine function that few tasks are in at once.

    Args:
        job: What to limit.
        at_most: How many tasks may be in it; the others wait.

    Raises:
        ValueError: If *at_most* is less than 1.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.limit_concurrency import limited
        >>> nap = limited(asyncio.sleep, at_most=2)
        >>> asyncio.run(nap(0, "well rested"))
        'well rested'
    """
    places = asyncio.Semaphore(checked(at_most))

    @wraps(job)
    async def limited_job(*args: P.args, **kwargs: P.kwargs) -> R:
        async with places:
            return await job(*args, **kwargs)

    return limited_job


class Meter:
    """A job that counts how many of it run, and how many tasks there are.

    Attributes:
        most: How many ran at once.
        tasks: How many tasks there were besides the main one.
    """

    def __init__(self) -> None:
        self.most = self.tasks = self._running = 0

    async def job(self, number: int) -> int:
        """Return *number* when the other tasks have had their turn."""
        self._running += 1
        self.most = max(self.most, self._running)
        self.tasks = max(self.tasks, len(asyncio.all_tasks()) - 1)
        await asyncio.sleep(0)  # stands for an answer from the network
        self._running -= 1
        return number


def main() -> None:
    """Run a hundred jobs in three workers; then let in two of five callers.

    >>> main()
    jobs: 100, most at once: 3, tasks: 3
    callers: 5, most at once: 2
    """
    meter = Meter()
    results = asyncio.run(map_with_workers(meter.job, range(100), at_most=3))
    print(f"jobs: {len(results)}, most at once: {meter.most}", end=", ")
    print("tasks:", meter.tasks)

    async def callers(meter: Meter) -> list[int]:
        visit = limited(meter.job, at_most=2)
        return await asyncio.gather(*map(visit, range(5)))

    meter = Meter()
    results = asyncio.run(callers(meter))
    print(f"callers: {len(results)}, most at once: {meter.most}")


async def broken_map(
    job: Callable[[T], Awaitable[R]], items: Iterable[T], *, at_most: int
) -> list[R]:
    """Run *job* on every item, in a task for each that waits for a place.

    Warning:
        The semaphore limits the tasks that go on, not those that exist. All
        items are read and all tasks are made before the first job begins: for
        a million items, a million tasks that wait in memory; for items
        without an end, no job begins at all.
    """
    places = asyncio.Semaphore(at_most)

    async def work(item: T) -> R:
        async with places:
            return await job(item)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(item)) for item in items]
    return [task.result() for task in tasks]


def broken_main() -> None:
    """Run the same hundred jobs in a task each.

    >>> broken_main()
    jobs: 100, most at once: 3, tasks: 100
    """
    meter = Meter()
    results = asyncio.run(broken_map(meter.job, range(100), at_most=3))
    print(f"jobs: {len(results)}, most at once: {meter.most}", end=", ")
    print("tasks:", meter.tasks)


if __name__ == "__main__":
    main()
    broken_main()
