"""Start tasks at once, without a turn of the event loop.

``create_task`` only puts a task in the queue of the event loop; it starts
when the loop comes round to it. On a loop with
``asyncio.eager_task_factory`` (from 3.12) it starts inside ``create_task``
and runs as far as its first real wait. A task that never has to wait, as with
a cached answer, is done when ``create_task`` returns. This changes the order
of events: what the task relies on must be there before it is created.

:models: asyncio
:work: I/O-bound
:level: expert
:since: 3.11
:trap: every build from 3.12
:search: eager_task_factory, create_eager_task_factory, eager_start,
    set_task_factory, task starts immediately, run a task synchronously until
    its first await, create_task does not start the task, asyncio faster,
    "RuntimeError: eager tasks need Python 3.12 or later", "RecursionError:
    maximum recursion depth exceeded"

Use this when
    many tasks end without waiting, and you have measured that creating them
    costs. It can be 2 to 5 times faster (documented: *What's New In Python
    3.12*). Python 3.11 has no eager tasks.

Prefer instead
    plain ``await`` where nothing runs beside the coroutine: it starts at once
    on every loop, and needs no task. For single tasks, from 3.14,
    ``create_task(job(), eager_start=True)`` on an ordinary loop; from 3.12
    ``asyncio.Task(job(), loop=loop, eager_start=True)``.

Pitfalls
    - The task runs before the line after ``create_task``, and even before
      ``self.task = asyncio.create_task(...)`` has assigned it.
    - Many tasks that do not wait, created in a row, give other tasks no turn.
    - A task that creates a task that creates a task is a call in a call:
      ``RecursionError: maximum recursion depth exceeded``.
    - ``eager_start=False``, from 3.14, starts one task later on an eager loop.
    - A task group whose eager task fails or cancels the group before its first
      wait can hang in releases before the fixes (documented: CPython issues
      128550 and 155418).

If a job raises
    the await of the task raises, not ``create_task``. Two errors come out of
    ``create_task`` if the task has not waited yet: :exc:`KeyboardInterrupt`
    and :exc:`SystemExit`.

If it takes too long
    :func:`asyncio.timeout` works in an eager task as in any other.

On cancellation
    ``cancel()`` right after ``create_task`` finds a task that has started: it
    is cancelled where it waits, or is done and not cancelled at all. An
    ordinary task has not started, and never does.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Job = Callable[[], Coroutine[Any, Any, T]]


def run_eagerly(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* as :func:`asyncio.run` does; its tasks start at once.

    Args:
        main: What it returns is returned, what it raises is raised.

    Raises:
        RuntimeError: If this is Python 3.11.
    """
    if sys.version_info >= (3, 12):
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            return runner.run(main)
    main.close()
    raise RuntimeError("eager tasks need Python 3.12 or later")


def start(
    name: str, job: Job[T], running: dict[str, asyncio.Task[T]]
) -> asyncio.Task[T]:
    """Run *job* in a task that is in *running* until it has ended.

    Right on every loop: the callback of a task that is done already runs at
    the next turn of the loop, after the task was put in.

    Args:
        name: The task's key in *running*.
        job: A coroutine function.
        running: The tasks that have not ended.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.eager_tasks import start
        >>> async def main():
        ...     return await start("one", lambda: asyncio.sleep(0, "page"), {})
        >>> asyncio.run(main())
        'page'
    """
    running[name] = task = asyncio.create_task(job())
    task.add_done_callback(lambda _: running.pop(name, None))
    return task


def show(start: Callable[..., asyncio.Task[None]]) -> None:
    """Print in which order things happen, on both kinds of loop.

    Args:
        start: :func:`start`, or a function with its signature.
    """

    async def main() -> None:
        running: dict[str, asyncio.Task[None]] = {}
        log = []

        async def fetch() -> None:  # it is cached: nothing to wait for
            log.append("task")

        task = start("page", fetch, running)
        log.append("next line")
        await task
        await asyncio.sleep(0)
        print(*log, sep=", ", end="; ")
        print("still running:", list(running))

    for run in (asyncio.run, run_eagerly):
        try:
            run(main())
        except RuntimeError as error:
            print(error)


def main() -> None:
    """Start a task on an ordinary loop, then on an eager one.

    >>> main()  # 3.12 and later
    next line, task; still running: []
    task, next line; still running: []
    >>> main()  # 3.11
    next line, task; still running: []
    eager tasks need Python 3.12 or later
    """
    show(start)


def broken_start(
    name: str, job: Job[T], running: dict[str, asyncio.Task[T]]
) -> asyncio.Task[T]:
    """Do the same with a task that removes itself.

    Args:
        name: The task's key in *running*.
        job: A coroutine function.
        running: The tasks that have not ended, and some that have.

    Warning:
        On an eager loop the task can end, and remove itself, before it is put
        in. Then it stays for ever, and who waits until nothing runs any more
        waits for ever. On an ordinary loop nothing is wrong.
    """

    async def run() -> T:
        try:
            return await job()
        finally:
            running.pop(name, None)

    running[name] = asyncio.create_task(run())
    return running[name]


def broken_main() -> None:
    """Leave a task that has ended among those that run.

    >>> broken_main()  # 3.12 and later
    next line, task; still running: []
    task, next line; still running: ['page']
    >>> broken_main()  # 3.11
    next line, task; still running: []
    eager tasks need Python 3.12 or later
    """
    show(broken_start)


if __name__ == "__main__":
    main()
    broken_main()
