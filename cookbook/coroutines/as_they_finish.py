"""Take results as they finish.

:func:`asyncio.as_completed` takes tasks and gives back awaitables: the first
of them has the result of whichever task ends first, and so on. Let each task
return its argument along with its result, so that you know whose result it
is, and cancel what still runs when you stop early.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio.as_completed, process results as they complete, which task
    finished, order of completion, async for as_completed, progress, stream
    results, asyncio.wait FIRST_COMPLETED, "TypeError: 'async for' requires an
    object with __aiter__ method", imap_unordered for asyncio

Use this when
    there is something to do with each result, and it need not wait for the
    others.

Prefer instead
    a job that handles its own result, in a task group
    (:mod:`cookbook.coroutines.task_groups`), when the handling may overlap
    too. :mod:`cookbook.coroutines.gather_results` for all results at once,
    :mod:`cookbook.coroutines.first_result` for one of them.

Pitfalls
    - The awaitables are not the tasks. From 3.13 ``async for task in
      asyncio.as_completed(tasks)`` gives the tasks themselves; before, it is
      a :exc:`TypeError`.
    - ``as_completed`` cancels nothing: not when the loop is left by ``break``
      or an error, and not when its *timeout* is over. This block does.
    - All jobs start at once (:mod:`cookbook.coroutines.limit_concurrency`).

If a job raises
    the ``await`` of its turn raises the error. Unless you catch it there, the
    block ends: the others are cancelled, and have ended when it is left.

If it takes too long
    :func:`asyncio.timeout` around the block cancels all jobs, waits until
    they have ended, and raises :exc:`TimeoutError`. Results that you have had
    are yours.

On cancellation
    all jobs are cancelled, and the cancellation goes on when they have ended.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all jobs, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
import contextlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from typing import Any, TypeVar

A = TypeVar("A")
R = TypeVar("R")


@contextlib.asynccontextmanager
async def as_they_finish(
    job: Callable[[A], Coroutine[Any, Any, R]], arguments: Iterable[A]
) -> AsyncIterator[Iterator[Awaitable[tuple[A, R]]]]:
    """Run ``job(argument)`` for all *arguments* at the same time.

    Args:
        job: A coroutine function.
        arguments: What it is called with.

    Yields:
        An iterator over awaitables; each gives the argument and the result of
        the next job that ends, or raises its error. No job outlives the
        block.

    Raises:
        TypeError: If *job* cannot be called; nothing is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.as_they_finish import as_they_finish
        >>> async def main():
        ...     async with as_they_finish(asyncio.sleep, [0.01, 0]) as results:
        ...         return [(await result)[0] for result in results]
        >>> asyncio.run(main())
        [0, 0.01]
    """
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")

    async def run(argument: A) -> tuple[A, R]:
        return argument, await job(argument)

    tasks = [asyncio.create_task(run(argument)) for argument in arguments]
    try:
        yield iter(asyncio.as_completed(tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def take_turns(count: int) -> str:
    """Stand for a request that takes so many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)
    return f"answer after {count} turns"


async def print_as_they_finish(counts: Iterable[int]) -> None:
    """Print each answer when it is there."""
    async with as_they_finish(take_turns, counts) as results:
        for result in results:
            _, answer = await result
            print(answer)


def main() -> None:
    """Print the quick answer first.

    >>> main()
    answer after 1 turns
    answer after 5 turns
    answer after 9 turns
    """
    asyncio.run(print_as_they_finish([9, 1, 5]))


async def broken_print_as_they_finish(counts: Iterable[int]) -> None:
    """Await the tasks one after another.

    Warning:
        The first ``await`` waits for the first task, however long it takes.
        Answers that are there wait behind it, and so does an error.
    """
    tasks = [asyncio.create_task(take_turns(count)) for count in counts]
    for task in tasks:
        print(await task)


def broken_main() -> None:
    """Print the slow answer first.

    >>> broken_main()
    answer after 9 turns
    answer after 1 turns
    answer after 5 turns
    """
    asyncio.run(broken_print_as_they_finish([9, 1, 5]))


if __name__ == "__main__":
    main()
    broken_main()
