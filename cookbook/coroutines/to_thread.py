"""Stop what a coroutine runs in a thread.

:func:`asyncio.to_thread` runs a call in a thread of the loop's default pool.
Its await can be cancelled, its thread cannot: the call goes on, and changes
whatever it changes. So hand the call a :class:`threading.Event`, set it when
the await ends, and let the call look at it between its steps.

:models: asyncio, threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: cancel asyncio.to_thread, kill a thread started by asyncio, timeout
    around to_thread does not stop the thread, wait_for run_in_executor keeps
    running, asyncio.to_thread vs run_in_executor, to_thread max workers, own
    ThreadPoolExecutor in asyncio, set_default_executor, contextvars in
    run_in_executor, run_in_executor keyword arguments, "RuntimeError: can't
    create new thread at interpreter shutdown", "RuntimeError: cannot schedule
    new futures after interpreter shutdown"

Use this when
    a call in a thread takes long, and is made of steps between which it can
    look whether it is still wanted. For the first steps, see
    :mod:`cookbook.coroutines.blocking_call`.

Prefer instead
    the call's own timeout when it is one long wait. A process, which can be
    ended from outside (:mod:`cookbook.coroutines.subprocesses`), for code
    that cannot look at an event. With anyio,
    ``to_thread.run_sync(..., abandon_on_cancel=True)`` does what asyncio
    does; without the argument, the cancellation waits for the thread
    (documented: anyio, *Working with threads*).

Pitfalls
    - ``to_thread`` uses the loop's default pool of ``min(32, CPUs + 4)``
      threads, passes keyword arguments on and copies the context variables.
      ``loop.run_in_executor(pool, function, *args)`` takes the pool that you
      choose and size, takes positional arguments only, and does not copy the
      context: :func:`to_thread_of` has all of it.
    - The end of ``with ThreadPoolExecutor() as pool`` blocks the loop until
      the pool is idle: make the pool outside ``asyncio.run``.
    - In a thread that outlives the main thread, ``to_thread`` raises
      ``RuntimeError: cannot schedule new futures after interpreter
      shutdown`` (``can't register atexit after shutdown`` where no pool was
      used before); so it does in an ``atexit`` handler. In 3.12.0 to 3.12.2
      even ``Thread.start`` raises in both: ``RuntimeError: can't create new
      thread at interpreter shutdown`` (documented: CPython issue 113964). So
      does the first ``put`` of a :class:`multiprocessing.Queue`, which starts
      a thread. Start threads earlier, and join them before the main thread
      ends.

If a job raises
    the await raises the same exception. What a call raises after its await
    was cancelled is lost. Never let :exc:`StopIteration` out of a thread, as
    ``to_thread(next, iterator)`` does: from 3.13 it becomes a
    :exc:`RuntimeError`; in 3.11 and the first releases of 3.12 the await never
    returns (documented: CPython issue 112182).

If it takes too long
    :func:`asyncio.timeout` raises :exc:`TimeoutError` on time, and the call
    is asked to stop.

On cancellation
    the await raises :exc:`asyncio.CancelledError` at once, and the call is
    asked to stop; one that waits for a free thread is never made.
    :func:`asyncio.run` waits for the thread at its end.

On Ctrl-C
    the same, and :func:`asyncio.run` raises :exc:`KeyboardInterrupt`.
"""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")


async def to_stoppable_thread(job: Callable[..., T], *args: object) -> T:
    """Call *job* in a thread; ask it to stop when the await ends.

    Args:
        job: Called with a :class:`threading.Event` and *args*. Has to look at
            the event between its steps, and to return when it is set.
        args: What else it is called with.

    Raises:
        TypeError: If *job* cannot be called; no thread is started.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.to_thread import to_stoppable_thread
        >>> asyncio.run(to_stoppable_thread(lambda stop, n: n * n, 3))
        9
    """
    if not callable(job):
        raise TypeError(f"job must be a function, not {job!r}")
    stop = threading.Event()
    try:
        return await asyncio.to_thread(job, stop, *args)
    finally:
        stop.set()


async def to_thread_of(
    pool: ThreadPoolExecutor,
    function: Callable[..., T],
    *args: object,
    **options: object,
) -> T:
    """Do as :func:`asyncio.to_thread` does, in a pool of your own."""
    context = contextvars.copy_context()
    call = partial(context.run, function, *args, **options)
    return await asyncio.get_running_loop().run_in_executor(pool, call)


def cancel_a_call(run: Callable[..., Awaitable[None]]) -> None:
    """Cancel a call in a thread, and print what the thread does then.

    Args:
        run: :func:`to_stoppable_thread`, or a function with its signature.
    """
    begun, cancelled = threading.Event(), threading.Event()
    log = []

    def work(stop: threading.Event) -> None:
        begun.set()
        cancelled.wait(timeout=10)  # stands for a step that takes long
        log.append("stops" if stop.is_set() else "saves its result")

    async def cancel() -> None:
        task = asyncio.ensure_future(run(work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.wait([task])
        print("cancelled:", task.cancelled())
        cancelled.set()

    asyncio.run(cancel())
    print("the thread:", *log)


def main() -> None:
    """Cancel a call that can stop; then use a pool of one thread.

    >>> main()
    cancelled: True
    the thread: stops
    in a pool of its own: 255
    """
    cancel_a_call(to_stoppable_thread)
    with ThreadPoolExecutor(max_workers=1) as pool:
        result = asyncio.run(to_thread_of(pool, int, "ff", base=16))
    print("in a pool of its own:", result)


async def broken_to_thread(job: Callable[..., T], *args: object) -> T:
    """Call *job* in a thread, and do not tell it when the await ends.

    Warning:
        ``task.cancel()`` and :func:`asyncio.timeout` end the await alone. The
        thread does not hear of it: it writes its file or charges the card
        although you have reported a failure, and keeps a thread of the pool
        until it returns.
    """
    return await asyncio.to_thread(job, threading.Event(), *args)


def broken_main() -> None:
    """Cancel a call that nobody asks to stop.

    >>> broken_main()
    cancelled: True
    the thread: saves its result
    """
    cancel_a_call(broken_to_thread)


if __name__ == "__main__":
    main()
    broken_main()
