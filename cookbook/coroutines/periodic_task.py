"""Run a coroutine periodically.

Sleep until a time, not for a time: the turns are due at fixed moments of
``loop.time()``, and how long the work takes does not shift them. A turn that
is missed because the work was slow is left out. Report the error of a turn
where it happens, or the first one ends all turns. Keep the task, and cancel it
when you are done.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: periodically execute function, every n seconds, asyncio timer, cron,
    setInterval, repeat a coroutine, asyncio scheduler, drift, heartbeat,
    polling loop, background task stops silently, while True sleep,
    periodic task stops after exception

Use this when
    something has to be done again and again as long as the program runs.

Prefer instead
    a scheduler of your system for times of the day, and for work that must
    outlive the program: ``loop.time()`` counts seconds, and knows no date.

Pitfalls
    - ``await job()``, then ``await asyncio.sleep(n)``: the work's time is
      added to each period, so the turns drift.
    - Turns never overlap. One that takes longer than a period delays the
      next to the first moment that is still due.
    - Create the task in a :class:`asyncio.TaskGroup` or keep it: the event
      loop does not (:mod:`cookbook.coroutines.lost_task`).
    - Code that blocks delays all turns
      (:mod:`cookbook.coroutines.blocking_call`).

If a job raises
    the error goes to the loop's exception handler, which logs it, and the
    next turn comes in time. A job that raises :exc:`asyncio.CancelledError`
    itself ends all turns, and nothing is logged.

If it takes too long
    turns are left out. To limit each, put :func:`asyncio.timeout` in the job:
    :exc:`TimeoutError` is reported like any error.

On cancellation
    the turn under way is cancelled, cleans up, and no other comes. If the
    cleanup raises an error, the task ends with that.
    :func:`asyncio.run` cancels a task that is left at the end.

On Ctrl-C
    the same, and :exc:`KeyboardInterrupt` is raised.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

Job = Callable[[], Awaitable[object]]


async def every(seconds: float, job: Job) -> None:
    """Await *job* now and every so many seconds, until cancelled.

    Args:
        seconds: From the begin of a turn to the begin of the next.
        job: A coroutine function that needs no argument.

    Raises:
        ValueError: If *seconds* is not above 0, or without end.
        TypeError: If *job* cannot be called.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.periodic_task import every
        >>> async def main():
        ...     ticking = asyncio.create_task(every(60, tick))
        ...     await asyncio.sleep(0)
        ...     ticking.cancel()
        >>> async def tick():
        ...     print("tick")
        >>> asyncio.run(main())
        tick
    """
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds must be above 0 and finite, not {seconds}")
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")
    loop = asyncio.get_running_loop()
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    requests = task.cancelling()
    start, turn = loop.time(), 0
    while True:
        try:
            await job()
        except Exception as error:
            if task.cancelling() > requests:
                raise  # it failed to clean up: this task is to end
            what = f"a periodic task failed: {error!r}"
            loop.call_exception_handler({"message": what, "exception": error})
        missed = math.ceil((loop.time() - start) / seconds)
        turn = max(turn + 1, missed)
        await asyncio.sleep(start + turn * seconds - loop.time())


async def watch(every: Callable[[float, Job], Any]) -> None:
    """Run a job that fails in its second turn, and stop it in its fourth.

    Args:
        every: :func:`every`, or a function with its signature.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: print(what["message"]))
    turns = iter(range(1, 5))

    async def job() -> None:
        turn = next(turns)
        print("turn", turn)
        if turn == 2:
            raise OSError("no reply")
        if turn == 4:
            task.cancel()

    task = asyncio.create_task(every(0.01, job))
    await asyncio.wait([task])
    print("stopped" if task.cancelled() else f"ended: {task.exception()!r}")


def main() -> None:
    """Run a job every 0.01 seconds until it is stopped.

    >>> main()
    turn 1
    turn 2
    a periodic task failed: OSError('no reply')
    turn 3
    turn 4
    stopped
    """
    asyncio.run(watch(every))


async def broken_every(seconds: float, job: Job) -> None:
    """Await *job*, sleep, and so on.

    Args:
        seconds: From the end of a turn to the begin of the next.
        job: A coroutine function that needs no argument.

    Warning:
        The first error ends the task, and nobody is told as long as the task
        is kept and not awaited. And the turns drift: each comes later by the
        time that the work takes.
    """
    while True:
        await job()
        await asyncio.sleep(seconds)


def broken_main() -> None:
    """Run the same job: its second turn is the last.

    >>> broken_main()
    turn 1
    turn 2
    ended: OSError('no reply')
    """
    asyncio.run(watch(broken_every))


if __name__ == "__main__":
    main()
    broken_main()
