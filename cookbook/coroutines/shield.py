"""Let work finish when its caller is cancelled.

:func:`asyncio.shield` cuts the link from the caller to a task: when the caller
is cancelled, the task goes on. But the caller does not wait for it any more,
and nobody else does. So keep the task, wait until it has ended, and only then
let the cancellation go on.

:models: asyncio
:work: I/O-bound
:level: expert
:since: 3.11
:trap: every build
:search: asyncio.shield, protect from cancellation, uncancellable, critical
    section cancel, finish before cancel, shielded task cancelled, commit on
    cancel, shield does not work, shield and timeout,
    "Task was destroyed but it is pending!"

Use this when
    a step must not stop in the middle: writing a record, giving back a lease.

Prefer instead
    ``finally`` with awaits, which a single cancellation does not interrupt
    (:mod:`cookbook.coroutines.cancellation`). In anyio and trio, a shielded
    cancel scope.

Pitfalls
    - ``asyncio.shield`` does not protect from the shutdown of the loop:
      :func:`asyncio.run` cancels every task that is left, the shielded one
      too. Nor does it from a ``cancel()`` of the task itself.
    - The loop keeps only a weak reference to the task. After
      ``await asyncio.shield(job())`` is cancelled, nothing else may refer to
      it, and it can be collected (:mod:`cookbook.coroutines.lost_task`).
    - A timeout around a shield ends the waiting, not the work.

If a job raises
    its error goes to the caller, after a cancellation too, which it replaces.

If it takes too long
    a timeout around :func:`finish` raises :exc:`TimeoutError` when the job
    has ended: give the job a timeout of its own.

On cancellation
    the job goes on; the cancellation does when the job has ended. A second
    one changes nothing.

On Ctrl-C
    :func:`asyncio.run` cancels the main task alone at first: if that is in
    :func:`finish`, the job ends, then :exc:`KeyboardInterrupt` is raised.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def finish(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await *job*, and let it end before a cancellation goes on.

    Args:
        job: A coroutine function that needs no argument.

    Raises:
        TypeError: If *job* cannot be called; names it.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.shield import finish
        >>> asyncio.run(finish(lambda: asyncio.sleep(0, "saved")))
        'saved'
    """
    if not callable(job):
        raise TypeError(f"job must be a coroutine function, not {job!r}")
    task = asyncio.create_task(job())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.result()  # raises what the job raised
        raise


async def cancel_in_the_middle(
    finish: Callable[[Callable[[], Coroutine[Any, Any, None]]], Any],
) -> None:
    """Cancel a task that saves something, and wait for its end.

    Args:
        finish: :func:`finish`, or a function with its signature.
    """
    writing = asyncio.Event()

    async def save() -> None:
        print("first half written")
        writing.set()
        try:
            for _ in range(10):  # stands for a slow disk
                await asyncio.sleep(0)
            print("second half written")
        except asyncio.CancelledError:
            print("stopped in the middle")
            raise

    task = asyncio.create_task(finish(save))
    await writing.wait()
    task.cancel()
    await asyncio.wait([task])
    print("cancelled:", task.cancelled())


def main() -> None:
    """Cancel a task while it saves: it saves, then it is cancelled.

    >>> main()
    first half written
    second half written
    cancelled: True
    """
    asyncio.run(cancel_in_the_middle(finish))


async def broken_finish(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await *job*, shielded from a cancellation.

    Args:
        job: A coroutine function that needs no argument.

    Warning:
        Only the task is shielded, not the waiting: this ends at once when it
        is cancelled, and the job goes on alone. If the program ends before
        it has, :func:`asyncio.run` cancels it.
    """
    return await asyncio.shield(job())


def broken_main() -> None:
    """Cancel it with a shield alone: the program ends in the middle.

    >>> broken_main()
    first half written
    cancelled: True
    stopped in the middle
    """
    asyncio.run(cancel_in_the_middle(broken_finish))


if __name__ == "__main__":
    main()
    broken_main()
