"""Call an event loop from another thread.

A loop, its tasks, futures, queues and events belong to the thread that runs
the loop. Other threads have two doors: :func:`call_from_thread` runs a
coroutine on the loop and waits for its result
(:func:`asyncio.run_coroutine_threadsafe`), :func:`send_from_thread` hands
something over and goes on (:meth:`asyncio.loop.call_soon_threadsafe`). Both
wake the loop; what you do past them waits until something else does.

:models: asyncio, threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: asyncio's debug mode (``asyncio.run(main(), debug=True)``), which
    raises :exc:`RuntimeError` in the thread that touches the loop
:search: run_coroutine_threadsafe, call_soon_threadsafe, call async function
    from a thread, await in a thread, asyncio.Queue from another thread, set
    asyncio.Event from a thread, callback of a library in another thread,
    schedule a coroutine from sync code, event loop does not wake up, asyncio
    Queue hangs, "RuntimeError: Non-thread-safe operation invoked on an event
    loop other than the current one", "RuntimeError: no running event loop",
    "Event loop is closed", "A coroutine object is required", janus

Use this when
    a thread (a callback of a library, a worker of
    :func:`asyncio.to_thread`) has to reach tasks of a loop that runs in
    another thread.

Prefer instead
    ``await asyncio.to_thread(...)`` and its return value, when the thread has
    one result and no more. :mod:`cookbook.coroutines.background_loop` when
    the program is synchronous and has no loop yet. With anyio or trio,
    ``from_thread.run`` and ``from_thread.run_sync``.

Pitfalls
    - In the thread, ``asyncio.get_running_loop()`` and
      ``asyncio.create_task()`` raise ``RuntimeError: no running event loop``:
      they need a coroutine or a callback of a running loop. Get the loop in
      your ``async def main()``, which ``asyncio.run(main())`` starts, and
      pass it to the thread.
    - To wait for the result in the thread of the loop itself would be a
      deadlock: :func:`call_from_thread` refuses; use ``await`` there.
    - ``asyncio.Event.set``, ``Task.cancel`` and ``Future.set_result`` are as
      unsafe as ``Queue.put_nowait``: hand each to ``call_soon_threadsafe``.
    - What a callback of ``call_soon_threadsafe`` raises goes to the loop's
      exception handler, not to the thread: use :func:`call_from_thread` for
      whatever may fail, such as ``queue.put`` on a queue with a limit.

If a job raises
    the thread gets the same exception.

If it takes too long
    the thread gets :exc:`TimeoutError`, and the coroutine is cancelled; the
    thread does not wait until it has cleaned up.

On cancellation
    if the task on the loop is cancelled, which :func:`asyncio.run` does at
    its end and on Ctrl-C too, the thread gets
    :exc:`concurrent.futures.CancelledError`: not the one of asyncio, and a
    subclass of :exc:`Exception`. A call that comes when the tasks have been
    cancelled already is not cancelled: one that waits ends with
    :exc:`TimeoutError`. So end your threads before the loop. When that has
    ended, both functions raise :exc:`RuntimeError`.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def call_from_thread(
    loop: asyncio.AbstractEventLoop,
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: object,
    timeout: float,
) -> T:
    """Run a coroutine on a loop of another thread; return its result.

    Args:
        loop: A loop that runs.
        function: A coroutine function.
        args: What it is called with.
        timeout: How many seconds to wait; then the coroutine is cancelled.

    Raises:
        TimeoutError: If there is no result in time.
        RuntimeError: If *loop* does not run, or if a loop runs in this
            thread: nothing is started.
        ValueError: If *timeout* is no number of seconds.
    """
    if not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    if not loop.is_running():
        raise RuntimeError(f"the loop does not run: {loop!r}")
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        future = asyncio.run_coroutine_threadsafe(function(*args), loop)
    else:
        raise RuntimeError(f"use await: {here!r} runs in this thread")
    try:
        return future.result(timeout)
    finally:
        future.cancel()  # does nothing when it is done


def send_from_thread(
    loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[T], item: T
) -> None:
    """Put *item* into a queue of another thread's loop, and go on.

    Raises:
        RuntimeError: If *loop* is closed.
        ValueError: If *queue* has a limit: when it is full, the item would be
            lost. Use :func:`call_from_thread` with ``queue.put``.
    """
    if queue.maxsize > 0:
        raise ValueError(f"queue must have no limit, not {queue.maxsize}")
    loop.call_soon_threadsafe(queue.put_nowait, item)


class TellingSelector(selectors.DefaultSelector):
    """Tells other threads when the loop has nothing to do but to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until something is ready, as every selector does."""
        if timeout is None:
            self.waits.set()
        return super().select(timeout)


def deliver(send: Callable[..., None], patience: float) -> None:
    """Send an item to a loop that waits; print whether that wakes the loop.

    Args:
        send: :func:`send_from_thread`, or a function with its signature.
        patience: How many seconds the thread waits for the item to arrive.
    """
    selector = TellingSelector()
    received = threading.Event()

    def work(
        loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[str]
    ) -> None:
        selector.waits.wait(timeout=10)
        send(loop, queue, "item")
        print("the loop wakes up:", received.wait(patience))

    async def receive() -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(work, loop, queue))
            item = await queue.get()
            received.set()
        print("in the end it gets:", item)

    def make_loop() -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop(selector)

    with asyncio.Runner(debug=False, loop_factory=make_loop) as runner:
        runner.run(receive())


def main() -> None:
    """Call a coroutine from a thread; then send an item to a task.

    >>> main()
    result in the thread: ok
    the loop wakes up: True
    in the end it gets: item
    """

    async def answer() -> str:
        return "ok"

    async def call() -> str:
        loop = asyncio.get_running_loop()

        def work() -> str:
            return call_from_thread(loop, answer, timeout=10)

        return await asyncio.to_thread(work)

    print("result in the thread:", asyncio.run(call()))
    deliver(send_from_thread, patience=10)


def broken_send(
    _: asyncio.AbstractEventLoop, queue: asyncio.Queue[T], item: T
) -> None:
    """Put *item* into a queue of another thread's loop.

    Warning:
        The task that waits for the queue becomes ready, but the loop sleeps
        in its selector and does not hear of it: the task goes on only when
        something else, such as a timer, a socket or the end of a
        ``to_thread`` call, wakes the loop. Where nothing does, it is for
        ever. While the loop is busy all seems well.
    """
    queue.put_nowait(item)


def broken_main() -> None:
    """Send an item without a door; then the same in debug mode.

    >>> broken_main()
    the loop wakes up: False
    in the end it gets: item
    in debug mode: Non-thread-safe operation
    """
    deliver(broken_send, patience=0.05)

    async def touch() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon, print)

    try:
        asyncio.run(touch(), debug=True)
    except RuntimeError as error:
        print("in debug mode:", str(error).partition(" invoked")[0])


if __name__ == "__main__":
    main()
    broken_main()
