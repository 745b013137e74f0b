"""Hand work from task to task through a queue.

A fixed set of consumer tasks takes items from an :class:`asyncio.Queue`; a
producer puts them in. Give the queue a *maxsize*, so that a fast producer
waits for slow consumers (back-pressure). Run the consumers in a task group: if
one fails, the producer and the others stop, and the error is raised. At the
end put in one end marker for each consumer; from Python 3.13
``queue.shutdown()`` does the same.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio.Queue, producer consumer asyncio, worker tasks, queue.join
    hangs, queue.join never returns, task_done, maxsize, back-pressure,
    sentinel, poison pill, asyncio.QueueShutDown, Queue.shutdown, QueueFull,
    QueueEmpty, "ValueError: task_done() called too many times",
    "AttributeError: module 'asyncio' has no attribute 'QueueShutDown'",
    "AttributeError: 'Queue' object has no attribute 'shutdown'"

Use this when
    items come faster than they can be worked on, or without end, and a task
    for each would be too many.

Prefer instead
    :mod:`cookbook.coroutines.run_together` for a few jobs that are all known.
    Between threads, :mod:`cookbook.threads.producer_consumer`.

Pitfalls
    - Without *maxsize* the queue holds all that the producer makes, and
      ``await queue.put()`` lets no other task run.
    - Without end markers: ``await queue.join()``, then cancel the consumers.
      It waits for ``task_done()`` for each item. Call it in ``finally``; and
      if every consumer has failed, it waits for ever all the same. It does
      not tell of errors.
    - ``task_done() called too many times``: more calls than items.
    - The queue is not thread-safe: another thread calls
      ``loop.call_soon_threadsafe(queue.put_nowait, item)``
      (:mod:`cookbook.coroutines.call_from_thread`). A full queue then raises
      ``asyncio.QueueFull`` in the loop.
    - After ``shutdown()`` what is in the queue can still be taken, then
      ``get()`` raises ``asyncio.QueueShutDown``; ``put()`` raises it at once.
      ``shutdown(immediate=True)`` empties the queue.

If a job raises
    the other consumers and the producer are cancelled, and an
    :exc:`ExceptionGroup` is raised. What is in the queue is not worked on.
    :exc:`asyncio.CancelledError` out of a job, as of one that awaits a task
    cancelled by others, counts as a failure: a :exc:`RuntimeError` names the
    item. A job that cancels its own task ends its consumer alone; if all
    consumers have ended so, the producer waits for ever.

If it takes too long
    :func:`asyncio.timeout` around the call cancels all consumers, waits until
    they have ended, and raises :exc:`TimeoutError`.

On cancellation
    all consumers are cancelled, and the cancellation goes on when they have
    ended.

On Ctrl-C
    :func:`asyncio.run` cancels the main task, and with it all consumers, and
    raises :exc:`KeyboardInterrupt` when they have ended.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def process_all(
    items: Iterable[T],
    work: Callable[[T], Awaitable[object]],
    *,
    consumers: int = 3,
    maxsize: int = 10,
) -> None:
    """Await ``work(item)`` for each item, in a fixed set of tasks.

    Args:
        items: What to work on; read as the consumers come for more.
        work: A coroutine function.
        consumers: How many items are worked on at the same time.
        maxsize: How many items may wait for a consumer.

    Raises:
        TypeError: If *work* cannot be called.
        ValueError: If *consumers* or *maxsize* is less than 1.
        ExceptionGroup: If *work* raises; holds the errors of all that did.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.queues import process_all
        >>> asyncio.run(process_all([0, 0, 0], asyncio.sleep))
    """
    check(work, consumers, maxsize)
    queue: asyncio.Queue[Any] = asyncio.Queue(maxsize)
    end = object()

    async def consume() -> None:
        while (item := await queue.get()) is not end:
            await attempt(work, item)

    async with asyncio.TaskGroup() as group:
        for _ in range(consumers):
            group.create_task(consume())
        for item in items:
            await queue.put(item)
        for _ in range(consumers):
            await queue.put(end)


async def attempt(work: Callable[[T], Awaitable[object]], item: T) -> None:
    """Await ``work(item)``; fail if it is cancelled and this task is not."""
    try:
        await work(item)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task and not task.cancelling():  # the group would overlook it
            raise RuntimeError(f"work on {item!r} was cancelled") from error
        raise


async def process_all_and_shut_down(
    items: Iterable[T],
    work: Callable[[T], Awaitable[object]],
    *,
    consumers: int = 3,
    maxsize: int = 10,
) -> None:
    """Do the same with ``queue.shutdown()``.

    Args:
        items: What to work on; read as the consumers come for more.
        work: A coroutine function.
        consumers: How many items are worked on at the same time.
        maxsize: How many items may wait for a consumer.

    Raises:
        RuntimeError: Before Python 3.13.
    """
    check(work, consumers, maxsize)
    if sys.version_info >= (3, 13):
        queue: asyncio.Queue[T] = asyncio.Queue(maxsize)

        async def consume() -> None:
            while True:
                try:
                    item = await queue.get()
                except asyncio.QueueShutDown:
                    return
                await attempt(work, item)

        async with asyncio.TaskGroup() as group:
            for _ in range(consumers):
                group.create_task(consume())
            for item in items:
                await queue.put(item)
            queue.shutdown()
    else:
        raise RuntimeError("queue.shutdown() needs Python 3.13 or later")


def check(work: object, consumers: int, maxsize: int) -> None:
    """Raise the error that names a bad argument."""
    if not callable(work):
        raise TypeError(f"work must be a coroutine function, not {work!r}")
    if consumers < 1:
        raise ValueError(f"consumers must be at least 1, not {consumers!r}")
    if maxsize < 1:
        raise ValueError(f"maxsize must be at least 1, not {maxsize!r}")


async def print_labels(process_all: Callable[..., Awaitable[None]]) -> None:
    """Have one consumer print labels; the second cannot be printed.

    Args:
        process_all: :func:`process_all`, or one with its signature.
    """

    async def print_label(name: str) -> None:
        if not name:
            raise ValueError("a label needs a name")
        print("label:", name)

    names = ["Ada", "", "Grace"]
    printing = process_all(names, print_label, consumers=1)
    task = asyncio.ensure_future(printing)
    for _ in range(20):
        await asyncio.sleep(0)  # more turns than all tasks need
    if not task.done():
        print("it still waits, and nobody works")
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        print(repr(task.exception()))


def main() -> None:
    """Print labels until one fails.

    >>> main()
    label: Ada
    ExceptionGroup('unhandled errors in a TaskGroup', \
[ValueError('a label needs a name')])
    """
    asyncio.run(print_labels(process_all))


async def broken_process_all(
    items: Iterable[T],
    work: Callable[[T], Awaitable[object]],
    *,
    consumers: int = 3,
) -> None:
    """Wait with ``queue.join()`` for consumers that nobody waits for.

    Args:
        items: What to work on.
        work: A coroutine function.
        consumers: How many items are worked on at the same time.

    Warning:
        A consumer that fails has not called ``task_done()`` for its item, and
        takes no other. When the last one has failed, ``join()`` waits for
        ever, and the error is in a task that nobody awaits.
    """
    queue: asyncio.Queue[T] = asyncio.Queue()

    async def consume() -> None:
        while True:
            item = await queue.get()
            await work(item)
            queue.task_done()

    tasks = [asyncio.create_task(consume()) for _ in range(consumers)]
    try:
        for item in items:
            queue.put_nowait(item)
        await queue.join()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def broken_main() -> None:
    """Print the same labels, and wait for ever.

    >>> broken_main()
    label: Ada
    it still waits, and nobody works
    """
    asyncio.run(print_labels(broken_process_all))


if __name__ == "__main__":
    main()
    broken_main()
