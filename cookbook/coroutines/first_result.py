"""Take the first result, and cancel the rest.

Start the jobs as tasks, and wait with :func:`asyncio.wait` until the first has
ended. If it failed, go on waiting; if it has a result, cancel the others and
wait until they have ended. With a *delay* between the starts this is a hedged
request: the second server is asked only if the first has not answered by then.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: first completed, FIRST_COMPLETED, asyncio.wait, race several
    coroutines, fastest mirror, first task wins, hedged request, happy
    eyeballs, staggered race, cancel the others, first successful result, any,
    Promise.any, Promise.race, "TypeError: Passing coroutines is forbidden, use
    tasks explicitly.", "ValueError: Set of Tasks/Futures is empty."

Use this when
    any one of several answers will do, and the sooner the better.

Prefer instead
    :func:`asyncio.as_completed` for all results, the first first. One job with
    a timeout and a second try (:mod:`cookbook.coroutines.retry`) when asking
    several servers costs too much.

Pitfalls
    - The first task that ends may be one that failed.
    - :func:`asyncio.wait` neither raises the tasks' errors nor cancels what
      still runs, not even when its *timeout* is over or it is cancelled.
    - It takes tasks: ``Passing coroutines is forbidden, use tasks
      explicitly.``
    - A job that is cancelled may have done its work: use this for what may be
      done twice, such as a question.

If a job raises
    the others go on, and the next is started at once. When all have failed,
    their errors are raised in an :exc:`ExceptionGroup`. What a cancelled job
    raises while it cleans up is lost. A job that raises
    :exc:`asyncio.CancelledError` itself ends the call: the others are
    cancelled, and it is raised here.

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
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


async def first_result(
    *jobs: Callable[[], Coroutine[Any, Any, R]], delay: float = 0.0
) -> R:
    """Return the result of the job that succeeds first.

    Args:
        jobs: Coroutine functions that need no argument.
        delay: How many seconds after one job the next is started, if none
            has ended before.

    Returns:
        The result; of several that are there at once, the first in the order
        of *jobs*. All other jobs have ended.

    Raises:
        TypeError: If a job cannot be called; nothing is started.
        ValueError: If there are no jobs, or *delay* is negative or not
            finite.
        ExceptionGroup: If all jobs failed; holds their errors.

    Example:
        >>> import asyncio, functools
        >>> from cookbook.coroutines.first_result import first_result
        >>> soon = functools.partial(asyncio.sleep, 0, "soon")
        >>> late = functools.partial(asyncio.sleep, 3600, "late")
        >>> asyncio.run(first_result(late, soon))
        'soon'
    """
    check(jobs, delay)
    errors: list[BaseException] = []
    tasks: list[asyncio.Task[R]] = []
    try:
        for number, job in enumerate(jobs, 1):
            tasks.append(asyncio.create_task(job()))
            is_last = number == len(jobs)
            while tasks:
                done, _ = await asyncio.wait(
                    tasks,
                    timeout=None if is_last else delay,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                ended = [task for task in tasks if task in done]
                tasks = [task for task in tasks if task not in done]
                failures = [task.exception() for task in ended]
                for task, failure in zip(ended, failures, strict=True):
                    if failure is None:
                        return task.result()
                    errors.append(failure)
                if not is_last:
                    break
        raise BaseExceptionGroup("every job failed", errors)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def check(jobs: tuple[object, ...], delay: float) -> None:
    """Raise the error that names a bad argument."""
    for job in jobs:
        if not callable(job):
            raise TypeError(f"a job must be a function, not {job!r}")
    if not jobs:
        raise ValueError("there must be at least one job")
    if not 0 <= delay < math.inf:
        raise ValueError(f"delay must be 0 or more seconds, not {delay!r}")


async def ask_mirrors(
    first_result: Callable[..., Awaitable[str]],
) -> None:
    """Ask three mirrors, of which one is down and one never answers.

    Args:
        first_result: :func:`first_result`, or one with its signature.
    """

    async def down() -> str:
        raise OSError("mirror a is down")

    async def quick() -> str:
        for _ in range(3):
            await asyncio.sleep(0)  # stands for a request
        return "mirror b"

    async def slow() -> str:
        await asyncio.Event().wait()
        return "mirror c"

    try:
        print("answer:", await first_result(down, quick, slow))
    except OSError as error:
        print("no answer:", error)
    print("still running:", len(asyncio.all_tasks()) - 1)


def main() -> None:
    """Get an answer; nothing is left running.

    >>> main()
    answer: mirror b
    still running: 0
    """
    asyncio.run(ask_mirrors(first_result))


async def broken_first_result(
    *jobs: Callable[[], Coroutine[Any, Any, R]],
) -> R:
    """Return what the first task that ends returns.

    Args:
        jobs: Coroutine functions that need no argument.

    Returns:
        The result of the first, if it has one.

    Warning:
        The first to end is the one that fails at once. The others go on
        until the program ends.
    """
    tasks = [asyncio.create_task(job()) for job in jobs]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    return done.pop().result()


def broken_main() -> None:
    """Get an error, though a mirror would have answered.

    >>> broken_main()
    no answer: mirror a is down
    still running: 2
    """
    asyncio.run(ask_mirrors(broken_first_result))


if __name__ == "__main__":
    main()
    broken_main()
