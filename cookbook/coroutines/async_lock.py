"""Lock what must not change between two awaits.

Between two awaits no other task runs, so a step without ``await`` needs no
lock. A decision that awaits between its check and its act does: another task
runs meanwhile, and makes the same decision. Put ``async with lock:`` around
the whole of it, with one :class:`asyncio.Lock` for what it protects.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio.Lock, race condition in asyncio, do I need a lock in asyncio,
    check then act, shared state between coroutines, cache stampede, fetch the
    same thing twice, async singleton, threading.Lock in async code,
    "RuntimeError: Lock is not acquired.", "is bound to a different event loop"

Use this when
    tasks share something (a cache, a connection, a balance) that takes an
    ``await`` to check or to change.

Prefer instead
    no ``await`` between check and act, and no lock; or one task that owns the
    object and takes requests from a queue (:mod:`cookbook.coroutines.queues`).
    Between threads, :mod:`cookbook.threads.check_then_act`.

Pitfalls
    - An :class:`asyncio.Lock` is for the tasks of one event loop. It does not
      protect anything from other threads (documented: asyncio,
      *Synchronization Primitives*).
    - Holding a :class:`threading.Lock` across an ``await`` stops the whole
      loop as soon as a second task wants it: that task blocks the thread that
      would have to let go of it.
    - ``is bound to a different event loop``: the lock belongs to the loop in
      which a task first waited for it. Make it in the main coroutine rather
      than at module level, one for each :func:`asyncio.run`.
    - The lock is not reentrant: a task that takes it twice waits for ever
      (:mod:`cookbook.deadlocks.async_deadlock`).
    - Waiting tasks get the lock in the order in which they asked.

If a job raises
    the lock is released, nothing is kept, and the next task tries again.

If it takes too long
    :func:`asyncio.timeout` around the call gives up the wait for the lock, or
    cancels what is under way, and raises :exc:`TimeoutError`.

On cancellation
    the lock is released, or no longer waited for; the others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cached(Generic[T]):
    """Load a value once, however many tasks ask for it.

    Args:
        load: A coroutine function that needs no argument.

    Raises:
        TypeError: If *load* cannot be called.

    Example:
        >>> import asyncio, functools
        >>> from cookbook.coroutines.async_lock import Cached
        >>> async def main():
        ...     token = Cached(functools.partial(asyncio.sleep, 0, "secret"))
        ...     return await token.get()
        >>> asyncio.run(main())
        'secret'
    """

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        if not callable(load):
            raise TypeError(f"load must be a coroutine function, not {load!r}")
        self._load = load
        self._lock = asyncio.Lock()
        self._values: list[T] = []

    async def get(self) -> T:
        """Return the value; load it if nobody has."""
        async with self._lock:
            if not self._values:
                self._values.append(await self._load())
        return self._values[0]


async def ask_three_times(
    cached: Callable[[Callable[[], Awaitable[int]]], Cached[int]],
) -> None:
    """Let three tasks ask for a number, and print how often it was loaded.

    Args:
        cached: :class:`Cached`, or a class with its signature.
    """
    loads = 0

    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)  # stands for a request
        return loads

    number = cached(load)
    got = await asyncio.gather(number.get(), number.get(), number.get())
    print("loaded:", loads, "got:", *got)


def main() -> None:
    """Load once for three tasks.

    >>> main()
    loaded: 1 got: 1 1 1
    """
    asyncio.run(ask_three_times(Cached))


class BrokenCached(Cached[T]):
    """The same without the lock.

    Warning:
        While the first task awaits the answer, the others find nothing yet
        and load as well.
    """

    async def get(self) -> T:
        """Return the value; load it if nobody has loaded it yet."""
        if not self._values:
            self._values.append(await self._load())
        return self._values[0]


def broken_main() -> None:
    """Load three times for three tasks.

    >>> broken_main()
    loaded: 3 got: 3 3 3
    """
    asyncio.run(ask_three_times(BrokenCached))


if __name__ == "__main__":
    main()
    broken_main()
