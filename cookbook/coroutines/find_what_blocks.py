"""Find the call that blocks the event loop.

Let a thread ask the loop for a sign of life every so often: when none comes
in time, the stack of the loop's thread shows the line that blocks, while it
blocks. How late the loop comes back (:func:`watch_lag`) is a number to plot:
it tells that something blocks, not what.

:models: asyncio, threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: the debug mode, which logs the task that blocked and no other
:search: event loop blocked, find blocking call, loop lag, event loop latency,
    slow callback, slow_callback_duration, "Executing <Task", "Executing
    <Handle", "took 0.200 seconds", PYTHONASYNCIODEBUG, asyncio debug mode,
    blockbuster, "BlockingError: Blocking call to time.sleep", ASYNC210,
    ASYNC230, ASYNC251, py-spy, async server freezes

Use this when
    an asyncio program is slow or stands still as a whole. What to do about
    the call: :mod:`cookbook.coroutines.blocking_call`.

Prefer instead
    ruff's ``ASYNC`` rules in the editor: they report ``time.sleep``,
    ``open``, ``requests.get`` and ``subprocess.run`` in an ``async def``, not
    in a function that it calls.
    blockbuster in tests: inside ``blockbuster_ctx()``, ``BlockingError:
    Blocking call to time.sleep`` is raised however deep the call is. It knows
    calls of the standard library; code that computes passes. On 3.11.7 a
    script that used it crashes at its end, after all it had to do.
    The debug mode while you develop: ``asyncio.run(main(), debug=True)``,
    ``PYTHONASYNCIODEBUG=1`` or ``python -X dev``. It logs each step that took
    longer than ``loop.slow_callback_duration`` (0.1 seconds): ``Executing
    <Task ...> took 0.200 seconds``, or ``Executing <Handle ...>`` if it is a
    callback. It names the task, not the call.
    ``py-spy dump --pid PID`` for a program that was not prepared:
    :mod:`cookbook.deadlocks.find_where_it_hangs`.

Pitfalls
    - *report* runs in the watching thread while the loop is blocked: log the
      stack, and touch no task. If it raises, watching ends, and the program
      goes on.
    - A pause of the whole process can be reported too, with a harmless stack.

If a job raises
    the block raises the same exception, and the thread has ended.

If it takes too long
    *report* is called again and again while the call blocks.

On cancellation
    the block raises :exc:`asyncio.CancelledError`; the thread has ended.

On Ctrl-C
    the main task is cancelled when the call has returned, and
    :func:`asyncio.run` raises :exc:`KeyboardInterrupt`.
"""

import asyncio
import contextlib
import math
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator

LONG = 0.04  # seconds


@contextlib.contextmanager
def watched_loop(
    report: Callable[[traceback.StackSummary], object], limit: float = 0.1
) -> Iterator[None]:
    """Report what the running event loop does when it does not answer.

    Args:
        report: Called with the stack of the loop's thread, in another thread.
        limit: How many seconds the loop may take to answer, and how long to
            wait before it is asked again. Leaving the block can take as long.

    Raises:
        ValueError: If *limit* is not a positive finite number.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.find_what_blocks import watched_loop
        >>> async def main():
        ...     with watched_loop(print):
        ...         await asyncio.sleep(0)
        >>> asyncio.run(main())
    """
    if not 0 < limit < math.inf:
        raise ValueError(f"limit must be positive, not {limit!r}")
    loop, loop_thread = asyncio.get_running_loop(), threading.get_ident()
    answered, stopped = threading.Event(), threading.Event()

    def watch() -> None:
        while not stopped.wait(limit):
            answered.clear()
            loop.call_soon_threadsafe(answered.set)
            if not (answered.wait(limit) or stopped.is_set()):
                frame = sys._current_frames()[loop_thread]
                report(traceback.extract_stack(frame))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


async def watch_lag(
    report: Callable[[float], object], every: float = 1.0
) -> None:
    """Report how many seconds late the loop comes back, until cancelled.

    Args:
        report: Called with the number.
        every: How many seconds to sleep each time.

    Raises:
        ValueError: If *every* is not a positive finite number.
    """
    if not 0 < every < math.inf:
        raise ValueError(f"every must be positive, not {every!r}")
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        report(max(0.0, loop.time() - due))


async def search(query: Callable[[], object]) -> None:
    """Answer a request with a call that blocks."""
    query()


def main() -> None:
    """Find the call that blocks, while it does.

    >>> main()
    blocked in: search > query
    the loop was late by 0.04 s or more: True
    """
    found, lags, seen = [], [0.0], threading.Event()

    def query() -> None:
        while not seen.is_set():
            time.sleep(0.06)

    def report(stack: traceback.StackSummary) -> None:
        names = [frame.name for frame in stack]
        if "query" in names and not seen.is_set():
            found.append(" > ".join(names[names.index("search") :][:2]))
            seen.set()

    async def serve() -> None:
        meter = asyncio.create_task(watch_lag(lags.append, 0.01))
        await asyncio.sleep(0)  # the meter starts
        with watched_loop(report, limit=0.02):
            await search(query)
        await asyncio.sleep(0.02)  # the meter comes first
        meter.cancel()

    asyncio.run(serve())
    print("blocked in:", *found)
    print("the loop was late by 0.04 s or more:", max(lags) >= LONG)


async def broken_timed(
    name: str, handler: Awaitable[object], slow: list[str]
) -> None:
    """Add *name* to *slow* if *handler* takes 0.04 seconds or more.

    Args:
        name: The name of the handler.
        handler: Awaited.
        slow: What the name is added to.

    Warning:
        The time from before an ``await`` to after it includes the steps of
        all other tasks that ran meanwhile. When one blocks, all that were
        waiting look slow, and the first in the list is not the one.
    """
    began = time.perf_counter()
    await handler
    if time.perf_counter() - began >= LONG:
        slow.append(name)


def broken_main() -> None:
    """Time each handler: the innocent one looks slow, too.

    >>> broken_main()
    slow: search, index
    """
    slow: list[str] = []

    async def serve() -> None:
        await asyncio.gather(
            broken_timed("index", asyncio.sleep(0), slow),
            broken_timed("search", search(lambda: time.sleep(0.06)), slow),
        )

    asyncio.run(serve())
    print("slow:", ", ".join(slow))


if __name__ == "__main__":
    main()
    broken_main()
