"""Await without waiting for yourself.

Coroutines deadlock too, with one thread and one lock. An
:class:`asyncio.Lock` is not reentrant: a task that holds it, and awaits
something that takes it, waits for itself for ever. So let the public methods
take the lock, and share the work in one that takes none. ``queue.join()``
waits for one ``task_done()`` for each item: call it in a ``finally``. And in
the thread of the event loop only ``await`` waits: ``result()`` stops the loop
that was to bring the result.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: ``python -m asyncio pstree PID`` from Python 3.14, which shows for
    each task of another process what it awaits, if you may trace it
:search: asyncio deadlock, asyncio.Lock not reentrant, asyncio RLock, async
    lock hangs, await while holding a lock, Queue.join hangs, task_done not
    called, run_coroutine_threadsafe result hangs, event loop blocked,
    threading.Lock in asyncio, do I need locks in asyncio, async with lock,
    "TypeError: 'Lock' object does not support the context manager protocol",
    "TypeError: 'asyncio.locks.Lock' object does not support the context
    manager protocol (missed __exit__ method) but it supports the asynchronous
    context manager protocol. Did you mean to use 'async with'?",
    "ValueError: task_done() called too many times"

Use this when
    tasks share state that changes over an ``await``, or hand each other work.

Prefer instead
    no lock at all where nothing is awaited: code between two awaits is not
    interrupted by other tasks. What was read before an await may have changed
    after it, and only for that you need a lock.

Pitfalls
    - A :class:`threading.Lock` held over an await stops the whole loop as
      soon as a second task of the same thread wants it: the loop waits for
      the lock, and its holder for the loop. It is right between threads, for
      code without an await. An :class:`asyncio.Lock` does not protect against
      threads; its documentation says that it is not thread-safe.
    - ``with lock`` in place of ``async with lock`` is ``TypeError: 'Lock'
      object does not support the context manager protocol``. From Python 3.14
      the message says ``'asyncio.locks.Lock'`` and ends with ``Did you mean
      to use 'async with'?``. A semaphore and a condition say the same.
    - ``asyncio.run_coroutine_threadsafe(...).result()`` in the event loop's
      own thread never returns; inside a coroutine just await. From another
      thread it is right; give ``result()`` a timeout.
    - One ``task_done()`` too many is ``ValueError: task_done() called too
      many times``.

If a job raises
    an error of *load* goes to the caller of :meth:`Cache.get`, nothing is
    stored, and the lock is free. An error of *handle* ends :func:`work_off`
    with an :exc:`ExceptionGroup`, the other workers cancelled.

If it takes too long
    put ``asyncio.timeout()`` around the call: the lock is free again, the
    workers are gone. It cannot end a ``result()`` that stops the loop.

On cancellation
    the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

Load = Callable[[str], Awaitable[str]]
Handle = Callable[[str], Awaitable[None]]


class Cache:
    """Texts that are loaded one time each.

    Example:
        >>> import asyncio
        >>> from cookbook.deadlocks.async_deadlock import Cache, load
        >>> asyncio.run(Cache(load).get_all(["a", "b"]))
        ['text of a', 'text of b']
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._texts: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def get(self, key: str) -> str:
        """Return the text of *key*."""
        async with self._lock:
            return await self._get(key)

    async def get_all(self, keys: Iterable[str]) -> list[str]:
        """Return the texts of all *keys*, no other call in between."""
        async with self._lock:
            return [await self._get(key) for key in keys]

    async def _get(self, key: str) -> str:
        # The caller holds the lock.
        if key not in self._texts:
            self._texts[key] = await self._load(key)
        return self._texts[key]


async def load(key: str) -> str:
    """Stand for a slow server."""
    await asyncio.sleep(0)
    return f"text of {key}"


async def work_off(
    items: Iterable[str], handle: Handle, *, workers: int = 2
) -> None:
    """Handle all *items* in several tasks.

    Args:
        items: What *handle* gets.
        handle: The job for one item.
        workers: How many tasks to use.

    Raises:
        ExceptionGroup: If *handle* raises.
        ValueError: If *workers* is less than 1.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers!r}")
    queue: asyncio.Queue[str] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)

    async def work() -> None:
        while True:
            item = await queue.get()
            try:
                await handle(item)
            finally:
                queue.task_done()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work()) for _ in range(workers)]
        await queue.join()
        for task in tasks:
            task.cancel()


def main() -> None:
    """Get texts one by one and together; work off a queue.

    >>> main()
    ['text of a', 'text of b', 'text of a']
    handled: ['a', 'b', 'c']
    """
    handled = []

    async def handle(item: str) -> None:
        handled.append(await load(item))

    async def run() -> None:
        cache = Cache(load)
        await cache.get("a")
        print(await cache.get_all(["a", "b", "a"]))
        await work_off("abc", handle)

    asyncio.run(run())
    print("handled:", [text[-1] for text in sorted(handled)])


class BrokenCache(Cache):
    """Texts that are loaded one time each, if at all.

    Warning:
        ``get_all`` holds the lock and awaits ``get``, which waits for the
        lock. No other task is needed, and none can help.
    """

    async def get_all(self, keys: Iterable[str]) -> list[str]:
        """Return the texts of all *keys*."""
        async with self._lock:
            return [await self.get(key) for key in keys]


async def broken_work_off(items: Iterable[str], handle: Handle) -> None:
    """Handle all *items* in a task.

    Warning:
        An error of *handle* ends the task before ``task_done()``, and
        ``join()`` waits for that for ever.
    """
    queue: asyncio.Queue[str] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)

    async def work() -> None:
        while True:
            await handle(await queue.get())
            queue.task_done()

    task = asyncio.create_task(work())
    try:
        await queue.join()
    finally:
        task.cancel()
        await asyncio.wait([task])


async def broken_load(key: str, patience: float | None = None) -> str:
    """Load a text, as from another thread.

    Args:
        key: What to load.
        patience: After how many seconds to give up; usually never.

    Warning:
        ``result()`` waits in the event loop's own thread, and the coroutine
        that it waits for needs that thread to run.
    """
    loop = asyncio.get_running_loop()
    return asyncio.run_coroutine_threadsafe(load(key), loop).result(patience)


def broken_main() -> None:
    """Walk into each of the three, and give up after a while.

    >>> broken_main()
    a lock taken twice: TimeoutError
    join without task_done: TimeoutError
    result() in the loop's thread: TimeoutError
    """

    async def refuse(item: str) -> None:
        raise ValueError(item)

    async def give_up(name: str, waiting: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(0.1):
                await waiting
        except TimeoutError as error:
            print(f"{name}: {type(error).__name__}")

    async def run() -> None:
        await give_up("a lock taken twice", BrokenCache(load).get_all("ab"))
        await give_up("join without task_done", broken_work_off("a", refuse))
        await give_up("result() in the loop's thread", broken_load("a", 0.1))

    asyncio.run(run())


if __name__ == "__main__":
    main()
    broken_main()
