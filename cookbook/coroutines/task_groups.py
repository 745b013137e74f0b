"""Let the failure of one task end the others.

Tasks of an :class:`asyncio.TaskGroup` live as long as its block: leaving it
waits for all of them, and when one fails, the others are cancelled before the
error is raised. :func:`asyncio.gather` raises the first error and leaves the
other tasks running. They go on behind the code that has handled the error.

:models: asyncio
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: TaskGroup vs gather, asyncio.gather does not cancel, other tasks keep
    running after one fails, structured concurrency, nursery, except*,
    ExceptionGroup, "unhandled errors in a TaskGroup", "has not been
    entered", "is finished", "asyncio.exceptions.InvalidStateError: Result is
    not set.", "SyntaxError: 'break', 'continue' and 'return' cannot
    appear in an except* block", create_task vs ensure_future vs await

Use this when
    tasks belong together: one that fails makes the others pointless or wrong.

Prefer instead
    :mod:`cookbook.coroutines.run_together` for a list of jobs of one kind.
    ``gather(..., return_exceptions=True)`` when each may fail on its own.
    ``await job()`` when nothing has to overlap: it runs *job* now, and the
    next line after it. In trio, a nursery.

Pitfalls
    - Read ``task.result()`` after the block. Inside it raises
      ``InvalidStateError: Result is not set.`` while the task runs.
    - The error is an :exc:`ExceptionGroup` even if one task failed, and even
      if the block itself did. ``except* OSError`` picks out its members;
      ``return`` and ``break`` are not allowed in such a block.
    - A task may start more tasks: pass it the group. Before and after the
      block ``create_task`` raises :exc:`RuntimeError`.
    - A task that swallows :exc:`asyncio.CancelledError` holds up the block.
      One that raises it itself ends alone: no other task is cancelled.
    - :func:`asyncio.create_task` starts a task that no group waits for
      (:mod:`cookbook.coroutines.lost_task`).

If a job raises
    the other tasks and the block are cancelled, and when all have ended an
    :exc:`ExceptionGroup` with every error is raised. An error that a task
    raises while it is cancelled is in it as well.

If it takes too long
    :func:`asyncio.timeout` around the block cancels all tasks, waits until
    they have ended, and raises :exc:`TimeoutError`.

On cancellation
    all tasks are cancelled, and the cancellation goes on when they have
    ended. If one of them raises an error as it cleans up, an
    :exc:`ExceptionGroup` takes the place of the cancellation; so it does of a
    :exc:`TimeoutError`.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all others, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

P = TypeVar("P")
R = TypeVar("R")


async def buy(
    pay: Callable[[], Coroutine[Any, Any, P]],
    reserve: Callable[[], Coroutine[Any, Any, R]],
) -> tuple[P, R]:
    """Pay and reserve at the same time; both, or neither goes on.

    Args:
        pay: A coroutine function.
        reserve: A coroutine function.

    Returns:
        What *pay* and *reserve* returned.

    Raises:
        TypeError: If one of them cannot be called; nothing is started.
        ExceptionGroup: If one raises; holds the errors of all that did.

    Example:
        >>> import asyncio, functools
        >>> from cookbook.coroutines.task_groups import buy
        >>> pay = functools.partial(asyncio.sleep, 0, "receipt")
        >>> reserve = functools.partial(asyncio.sleep, 0, "seat 5")
        >>> asyncio.run(buy(pay, reserve))
        ('receipt', 'seat 5')
    """
    for job in (pay, reserve):
        if not callable(job):
            raise TypeError(f"a job must be a function, not {job!r}")
    async with asyncio.TaskGroup() as group:
        paid = group.create_task(pay())
        reserved = group.create_task(reserve())
    return paid.result(), reserved.result()


async def buy_with_a_bad_card(
    buy: Callable[..., Awaitable[object]],
) -> None:
    """Print what is left of a stock of five when the card is declined.

    Args:
        buy: :func:`buy`, or a function with its signature.
    """
    stock = 5

    async def pay() -> None:
        await asyncio.sleep(0)  # stands for a question to the bank
        raise OSError("card declined")

    async def reserve() -> None:
        nonlocal stock
        for _ in range(3):
            await asyncio.sleep(0)  # stands for questions to the warehouse
        stock -= 1

    try:
        await buy(pay, reserve)
    except* OSError as group:
        print("refused:", *group.exceptions)
    for _ in range(5):
        await asyncio.sleep(0)  # the program goes on
    print("in stock:", stock)


def main() -> None:
    """Pay with a bad card; nothing is taken from the stock.

    >>> main()
    refused: card declined
    in stock: 5
    """
    asyncio.run(buy_with_a_bad_card(buy))


async def broken_buy(
    pay: Callable[[], Coroutine[Any, Any, P]],
    reserve: Callable[[], Coroutine[Any, Any, R]],
) -> tuple[P, R]:
    """Do the same with :func:`asyncio.gather`.

    Args:
        pay: A coroutine function.
        reserve: A coroutine function.

    Returns:
        What *pay* and *reserve* returned.

    Warning:
        ``gather`` raises the first error at once and cancels nothing. The
        other task goes on, and if it fails as well, nobody hears of it.
    """
    paid, reserved = await asyncio.gather(pay(), reserve())
    return paid, reserved


def broken_main() -> None:
    """Pay with a bad card; the stock shrinks all the same.

    >>> broken_main()
    refused: card declined
    in stock: 4
    """
    asyncio.run(buy_with_a_bad_card(broken_buy))


if __name__ == "__main__":
    main()
    broken_main()
