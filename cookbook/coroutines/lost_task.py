"""Keep every task that you start until it has ended.

The event loop keeps only weak references to tasks. A task that you start and
forget can be collected in the middle of its work, and if it fails, you hear
of it when it is collected, or never. Start background tasks in a task group,
which keeps them and ends when they have ended, and report the error of each
where it happens, so that it does not stop the others.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: ruff RUF006
:search: fire and forget, background task, create_task without await, task
    garbage collected, task disappears, task stops in the middle, keep a
    reference to a task, RUF006, "Task exception was never retrieved",
    "Future exception was never retrieved",
    "Task was destroyed but it is pending!", set_exception_handler,
    done callback

Use this when
    nobody awaits a task's result, but it must end and its failure must be
    seen: sending mail after a request, writing an audit log.

Prefer instead
    the group alone when a failure should stop the other tasks:
    :mod:`cookbook.coroutines.run_together`.

Pitfalls
    - ``Task exception was never retrieved``: a task failed and nobody awaited
      it or called ``exception()`` before it was collected. Await it, use a
      group, or add a done callback that reports the error. ``Future exception
      was never retrieved`` is the same for a future.
    - As long as you hold a task that has failed, nothing is reported.
    - ``Task was destroyed but it is pending!``: a task was collected before
      it had ended. While it waits for a timer, the loop holds it; while it
      waits for a future that only it refers to, nothing does.
    - :func:`asyncio.run` cancels what still runs when the main coroutine
      returns: leave the group's block first, which waits.

If a job raises
    its error goes at once to the loop's exception handler
    (:meth:`asyncio.loop.set_exception_handler`; by default it is logged).
    The other tasks go on.

If it takes too long
    :func:`asyncio.timeout` around the group's block cancels all tasks, waits
    until they have ended, and raises :exc:`TimeoutError`.

On cancellation
    all tasks are cancelled, and the cancellation goes on when they have
    ended. An error in the block cancels them too.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it the tasks, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

Job = Callable[..., Coroutine[Any, Any, object]]


async def reporting(job: Job, *args: object) -> None:
    """Await ``job(*args)``; its error goes to the loop's exception handler."""
    try:
        await job(*args)
    except Exception as error:
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": f"background task failed: {error!r}",
                "exception": error,
            }
        )


def start_in(group: asyncio.TaskGroup, job: Job, *args: object) -> None:
    """Run ``job(*args)`` in a task of *group*, which goes on if it fails.

    Args:
        group: Keeps the task; its block does not end before the task has.
        job: A coroutine function.
        args: What it is called with.

    Raises:
        TypeError: If *job* cannot be called; names it.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.lost_task import start_in
        >>> async def main():
        ...     async with asyncio.TaskGroup() as group:
        ...         start_in(group, asyncio.sleep, 0)
        >>> asyncio.run(main())
    """
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")
    group.create_task(reporting(job, *args))


async def ask_and_fail(start: Callable[[Job], object]) -> None:
    """Start a task that waits and one that fails, and collect garbage.

    Args:
        start: Called with a coroutine function; starts a task.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: print(what["message"]))
    replies: weakref.WeakSet[asyncio.Future[str]] = weakref.WeakSet()

    async def ask() -> None:
        reply = loop.create_future()
        replies.add(reply)
        print("answer:", await reply)

    async def fail() -> None:
        raise OSError("no reply")

    start(fail)
    start(ask)
    await asyncio.sleep(0)  # both tasks take their first step
    gc.collect()  # Python does this by itself, some time
    for reply in replies:
        reply.set_result("yes")
    await asyncio.sleep(0)


async def kept() -> None:
    """Do it with tasks of a group."""
    async with asyncio.TaskGroup() as group:
        await ask_and_fail(lambda job: start_in(group, job))


def main() -> None:
    """Run both tasks, and keep them.

    >>> main()
    background task failed: OSError('no reply')
    answer: yes
    """
    asyncio.run(kept())


def broken_start(job: Job) -> None:
    """Run ``job()`` in a task, and forget the task.

    Warning:
        Nothing refers to the task but what it waits for. If only the task
        refers to that, the garbage collector takes both: the work stops in
        the middle, without an exception that anybody could catch.
    """
    asyncio.create_task(job())


def broken_main() -> None:
    """Run the same tasks, and forget them: no answer comes.

    >>> broken_main()
    Task exception was never retrieved
    Task was destroyed but it is pending!
    """
    asyncio.run(ask_and_fail(broken_start))


if __name__ == "__main__":
    main()
    broken_main()
