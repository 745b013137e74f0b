"""Cancel a task, and clean up when you are cancelled.

``task.cancel()`` only requests: :exc:`asyncio.CancelledError` is raised where
the task awaits next. So wait until it has ended: :func:`asyncio.wait` does,
and does not confuse the end of the task with a cancellation of your own. In
the task, clean up in ``finally`` and let the exception pass. ``except
Exception`` does not catch it: it derives from :exc:`BaseException`.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: task.cancel, cancel asyncio task, stop a task, CancelledError,
    except Exception, BaseException, swallow CancelledError, suppress
    CancelledError, task ignores cancel, uncancel, cancelling, clean up on
    cancel, try finally, "asyncio.exceptions.CancelledError"

Use this when
    a task runs until somebody stops it.

Prefer instead
    :func:`asyncio.timeout` to cancel when a time is over
    (:mod:`cookbook.coroutines.timeouts`), :class:`asyncio.TaskGroup` to
    cancel the others when one fails. In anyio and trio you cancel a scope,
    and each await in it is cancelled until you leave it (documented: anyio,
    *Cancellation and timeouts*).

Pitfalls
    - Catch :exc:`asyncio.CancelledError` only to clean up, and re-raise it. A
      task that swallows it is not cancelled; timeouts and task groups break.
    - ``await task`` after ``task.cancel()`` raises
      :exc:`asyncio.CancelledError` too. If you suppress that, you also
      suppress your own cancellation.
    - A task cancelled before its first step never runs: not even its
      ``finally``. One that awaits nothing that waits runs to its end.
    - A second ``cancel()`` is raised in the cleanup, where it awaits.
    - An error that the cleanup raises takes the place of the cancellation,
      and ``except Exception`` catches it: ask ``cancelling()`` before you go
      on.
    - ``cancelling()`` counts the requests. Who ends one on purpose takes it
      back with ``asyncio.current_task().uncancel()``; from 3.13 on, a request
      not taken back is raised again after a task group that fails.

If a job raises
    it is reported, and the next one runs. If the task that you stop raises in
    its cleanup, that error goes to you.

If it takes too long
    :func:`asyncio.timeout` around :func:`stop` ends your waiting, and leaves
    the task to its cleanup.

On cancellation
    of :func:`stop` itself: it goes on at once. The task has been asked to
    end, and cleans up without you.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, then all others; each cleans
    up, and then :exc:`KeyboardInterrupt` is raised.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

Job = Callable[[], Awaitable[object]]


async def stop(task: asyncio.Task[Any]) -> bool:
    """Cancel *task*, and wait until it has ended.

    Args:
        task: Any task but the one that calls this.

    Returns:
        True if it was cancelled, False if it had a result all the same.

    Raises:
        ValueError: If *task* would wait for itself; it is not cancelled.
        Exception: What the task raised.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.cancellation import stop
        >>> async def main():
        ...     return await stop(asyncio.create_task(asyncio.sleep(60)))
        >>> asyncio.run(main())
        True
    """
    if task is asyncio.current_task():
        raise ValueError(f"a task cannot wait for its own end: {task!r}")
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()  # raises what it raised
    return task.cancelled()


async def work(*jobs: Job) -> None:
    """Await *jobs* one after another; one that fails is reported.

    Args:
        jobs: Coroutine functions that need no argument.
    """
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    requests = task.cancelling()
    try:
        for job in jobs:
            try:
                await job()
            except Exception as error:  # a CancelledError is none
                if task.cancelling() > requests:
                    raise  # it failed to clean up: this task is to end
                print(f"reported: {error!r}")
    finally:
        print("cleaned up")


async def stop_in_the_middle(work: Callable[..., Any]) -> None:
    """Stop *work* while its second job waits.

    Args:
        work: :func:`work`, or a function with its signature.
    """
    waiting = asyncio.Event()

    async def fail() -> None:
        raise OSError("no reply")

    async def wait() -> None:
        waiting.set()
        await asyncio.Event().wait()

    async def go_on() -> None:
        print("goes on with the next job")

    task = asyncio.create_task(work(fail, wait, go_on))
    await waiting.wait()
    print("cancelled:", await stop(task))


def main() -> None:
    """Stop a task in the second of its three jobs.

    >>> main()
    reported: OSError('no reply')
    cleaned up
    cancelled: True
    """
    asyncio.run(stop_in_the_middle(work))


async def broken_work(*jobs: Job) -> None:
    """Await *jobs* one after another; whatever happens is reported.

    Args:
        jobs: Coroutine functions that need no argument.

    Warning:
        This catches the cancellation too, and goes on. ``except:``, ``except
        BaseException`` and ``suppress(asyncio.CancelledError)`` do the same.
        Who asked the task to stop waits for all the jobs.
    """
    try:
        for job in jobs:
            try:
                await job()
            except (Exception, asyncio.CancelledError) as error:
                print(f"reported: {error!r}")
    finally:
        print("cleaned up")


def broken_main() -> None:
    """Stop a task that swallows it: it goes on.

    >>> broken_main()
    reported: OSError('no reply')
    reported: CancelledError()
    goes on with the next job
    cleaned up
    cancelled: False
    """
    asyncio.run(stop_in_the_middle(broken_work))


if __name__ == "__main__":
    main()
    broken_main()
