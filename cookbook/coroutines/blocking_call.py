"""Call blocking code from a coroutine.

An event loop runs one step of one task at a time. A coroutine that makes a
blocking call (``time.sleep``, ``requests.get``, a query through an ordinary
database driver) stops every other task of its loop until the call returns.
Hand the call to a thread with :func:`asyncio.to_thread` and await it: the
loop runs the other tasks meanwhile. To do nothing for a while takes no thread:
write ``await asyncio.sleep(seconds)`` in place of ``time.sleep(seconds)``.

:models: asyncio, threads
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: ruff ASYNC251
:search: asyncio with a blocking library, use requests in asyncio, time.sleep
    in async def, asyncio.sleep or time.sleep, to_thread, asyncio.to_thread vs
    run_in_executor, call sync from async, sync function in async code, event
    loop blocked, asyncify, sync_to_async, FastAPI runs calls in serial, async
    def endpoint blocks, ASYNC251, "SynchronousOnlyOperation: You cannot call
    this from an async context"

Use this when
    a library has no asynchronous version and its calls wait for something
    else: the network, a disk, a database, another program.

Prefer instead
    an asynchronous library where there is one (``httpx``, ``asyncpg``): it
    needs no thread for each call that waits.
    ``loop.run_in_executor(pool, function)`` to choose the pool:
    :mod:`cookbook.coroutines.to_thread`.
    A process pool for CPU-bound work: with the GIL threads share one core
    (:mod:`cookbook.coroutines.cpu_bound`).

Pitfalls
    - :mod:`cookbook.coroutines.find_what_blocks` shows which call blocks.
    - What you hand over runs in another thread: it must be thread-safe, and
      must not touch the loop or its tasks
      (:mod:`cookbook.coroutines.call_from_thread`).
    - The calls share one pool of ``min(32, CPUs + 4)`` threads; the next call
      waits until one of them has returned.
    - An ``async def`` handler of a web server that blocks makes all requests
      wait for one another. In FastAPI and Starlette, write it with ``def``:
      it then runs in a thread of anyio's pool, which has 40 by default
      (documented: Starlette, *Thread Pool*).
    - Django refuses the call: ``SynchronousOnlyOperation: You cannot call
      this from an async context``. Use the asynchronous methods (``aget``,
      ``async for``) or ``await sync_to_async(function)()`` (documented:
      Django's manual, *Asynchronous support*).

If a job raises
    the await raises the same exception, but for :exc:`StopIteration`
    (:mod:`cookbook.coroutines.to_thread`).

If it takes too long
    :func:`asyncio.timeout` around the await raises :exc:`TimeoutError` on
    time, but the thread goes on until its call returns: give the call itself
    a timeout too. Around a call that blocks the loop, the timeout cannot fire
    before the call has returned.

On cancellation
    the await raises :exc:`asyncio.CancelledError` at once, and the thread's
    call goes on (:mod:`cookbook.coroutines.to_thread` asks it to stop).
    :func:`asyncio.run` waits for it before it returns: up to 3.12.2 without a
    limit, later for 300 seconds at most (documented: CPython issue 111358).
    Then it warns ``The executor did not finishing joining its threads``, and
    the interpreter still waits.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, waits until the thread's call
    has returned, and raises :exc:`KeyboardInterrupt`.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable


async def async_method_not_blocked(seconds: float = 0.1) -> None:
    """Make a blocking call in a thread, so that other tasks run meanwhile.

    Args:
        seconds: How long the call blocks its thread.

    Raises:
        ValueError: If *seconds* is negative or not finite.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines import blocking_call
        >>> asyncio.run(blocking_call.async_method_not_blocked(0.01))
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
    await asyncio.to_thread(time.sleep, seconds)


async def turns_during(method: Callable[[], Awaitable[None]]) -> int:
    """Count the turns that another task gets while *method* runs.

    Args:
        method: Called three times without arguments, and awaited each time.

    Returns:
        How often the event loop came round to the other task.
    """
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await asyncio.sleep(0)  # it starts, and waits for its first turn
    try:
        for _ in range(3):
            await method()
        return turns
    finally:
        other.cancel()


def main() -> None:
    """Count another task's turns while threads make three blocking calls.

    >>> main()
    turns of another task: 1 or more
    """
    turns = asyncio.run(turns_during(async_method_not_blocked))
    print("turns of another task:", "1 or more" if turns else 0)


async def async_method_blocked(seconds: float = 0.1) -> None:
    """Make a blocking call in the coroutine itself.

    Args:
        seconds: How long the call blocks the event loop.

    Raises:
        ValueError: If *seconds* is negative or not finite.

    Warning:
        ``async def`` makes nothing asynchronous: a coroutine gives way only
        where it awaits something that is not ready. This one never does, so
        no task of the loop runs, no timeout fires and no connection is
        accepted until the call returns.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
    time.sleep(seconds)


def broken_main() -> None:
    """Count another task's turns while coroutines make the same calls.

    >>> broken_main()
    turns of another task: 0
    """
    turns = asyncio.run(turns_during(async_method_blocked))
    print("turns of another task:", "1 or more" if turns else 0)


if __name__ == "__main__":
    main()
    broken_main()
