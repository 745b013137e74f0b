"""Put a timeout on a coroutine.

When the time is over, :func:`asyncio.timeout` cancels the task that is inside
its block. So the coroutine sees :exc:`asyncio.CancelledError` where it awaits,
and cleans up; only at the end of the block does this become
:exc:`TimeoutError`. Catch it outside the block. Timeouts nest: each ends its
own block, and ``expired()`` tells whose time was over.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio.timeout, wait_for, timeout_at, deadline, timeout for await,
    asyncio.TimeoutError, TimeoutError without message, expired, reschedule,
    except TimeoutError does not catch, "TimeoutError", "CancelledError",
    nested timeouts, timeout does not work, async_timeout,
    "RuntimeError: Timeout should be used inside a task",
    "RuntimeError: Attempted to exit cancel scope in a different task than it
    was entered in"

Use this when
    you wait for something that may never come.

Prefer instead
    ``asyncio.wait_for(coroutine, seconds)`` for a single await: it cancels
    the coroutine and raises :exc:`TimeoutError` too. In 3.11 it runs it in a
    task of its own, from 3.12 in yours. :func:`asyncio.wait` with a timeout
    cancels nothing and raises nothing. In anyio and trio, ``fail_after``.

Pitfalls
    - A timeout cannot stop code that blocks: the time is looked at when the
      event loop runs again. If the block ends before, there is no
      :exc:`TimeoutError`. A thread of :func:`asyncio.to_thread` keeps running
      (:mod:`cookbook.coroutines.to_thread`).
    - The block ends when the coroutine has cleaned up, however late; a second
      timeout that runs out meanwhile cancels the cleanup too. If it swallows
      the cancellation, there is no :exc:`TimeoutError` at all.
    - ``asyncio.TimeoutError`` is :exc:`TimeoutError` since 3.11. That is also
      what a socket raises, so ask ``expired()``. It has no text.
    - With 0 seconds, ``asyncio.timeout`` stops at the first await that waits;
      ``wait_for`` does not even start the coroutine.
    - Do not ``yield`` inside the block in an async generator: the timeout
      then cancels the caller, outside the block. In anyio the same ends in
      ``Attempted to exit cancel scope in a different task``
      (:mod:`cookbook.coroutines.async_generators`).

If a job raises
    its error goes to the caller, a :exc:`TimeoutError` of its own too.

If it takes too long
    it is cancelled, and the default is returned when it has cleaned up.

On cancellation
    the job is cancelled and the cancellation goes on, even if the time was
    over in the same moment.

On Ctrl-C
    the same: :func:`asyncio.run` cancels the main task, and raises
    :exc:`KeyboardInterrupt`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
D = TypeVar("D")


async def answer_or(
    default: D, job: Callable[[], Awaitable[T]], *, seconds: float
) -> T | D:
    """Return what *job* returns, or *default* if it takes too long.

    Args:
        default: Returned when the time is over.
        job: A coroutine function that needs no argument.
        seconds: How long it may take.

    Raises:
        ValueError: If *seconds* is not above 0; nothing is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.timeouts import answer_or
        >>> asyncio.run(answer_or("late", asyncio.Event().wait, seconds=0.01))
        'late'
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, not {seconds}")
    try:
        async with asyncio.timeout(seconds) as limit:
            return await job()
    except TimeoutError:  # out here: inside, it is a CancelledError
        if not limit.expired():
            raise  # the job's own
        return default


async def answers_by(
    deadline: float, *jobs: Callable[[], Awaitable[T]], seconds: float
) -> list[T | None]:
    """Await *jobs* one after another until *deadline*.

    Args:
        deadline: On the event loop's clock: ``loop.time() + 60`` is in a
            minute. Hand it on, and all calls share one limit.
        jobs: Coroutine functions that need no argument.
        seconds: How long each may take.

    Returns:
        The answers so far; None for a job that took too long.

    Raises:
        ValueError: If *seconds* is not above 0, or *deadline* is not a time.
    """
    if math.isnan(deadline):
        raise ValueError(f"deadline must be a time, not {deadline!r}")
    answers: list[T | None] = []
    try:
        async with asyncio.timeout_at(deadline) as limit:
            for job in jobs:
                answer = await answer_or(None, job, seconds=seconds)
                answers.append(answer)
    except TimeoutError:
        if not limit.expired():
            raise
    return answers


async def yes() -> str:
    """Answer at once."""
    return "yes"


async def never() -> str:
    """Wait for an answer that does not come, and clean up."""
    try:
        await asyncio.Event().wait()
    finally:
        print("cleaned up")
    return "never"


async def ask() -> None:
    """Ask with a limit for each answer, then with one for all."""
    loop = asyncio.get_running_loop()
    later, soon = loop.time() + 60, loop.time() + 0.1
    print(await answers_by(later, yes, never, yes, seconds=0.01))
    print(await answers_by(soon, yes, never, yes, seconds=60))


def main() -> None:
    """Ask three times, with 0.01 seconds each; then with 0.1 in all.

    >>> main()
    cleaned up
    ['yes', None, 'yes']
    cleaned up
    ['yes']
    """
    asyncio.run(ask())


async def broken_answer_or(
    default: D, job: Callable[[], Awaitable[T]], *, seconds: float
) -> T | D:
    """Return what *job* returns, or *default* if it takes too long.

    Args:
        default: Returned, or so it seems, when the time is over.
        job: A coroutine function that needs no argument.
        seconds: How long it may take.

    Warning:
        Inside the block there is no :exc:`TimeoutError` yet, only a
        cancellation. The ``except`` never runs, and the error comes out of
        the function.
    """
    async with asyncio.timeout(seconds):
        try:
            return await job()
        except TimeoutError:
            return default


def broken_main() -> None:
    """Catch the error inside the block: it comes out all the same.

    >>> broken_main()
    cleaned up
    raised: TimeoutError()
    """
    try:
        print(asyncio.run(broken_answer_or("late", never, seconds=0.01)))
    except TimeoutError as error:
        print(f"raised: {error!r}")


if __name__ == "__main__":
    main()
    broken_main()
