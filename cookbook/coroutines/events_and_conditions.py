"""Let tasks wait until something is so.

With an :class:`asyncio.Condition`, the task that changes the state and the
tasks that wait for it share a lock: ``wait_for`` checks the state under the
lock, waits for a notification, and checks again. So nobody acts on a state
that is over, and no change is missed. An :class:`asyncio.Event` is enough for
what happens once and stays so.

:models: asyncio
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: asyncio.Event, asyncio.Condition, asyncio.Barrier, wait until, notify,
    notify_all, wait_for predicate, lost wake-up, event set and clear, wait for
    a flag, poll with sleep, ASYNC110, set an event from a thread,
    "RuntimeError: cannot wait on un-acquired lock", "RuntimeError: cannot
    notify on un-acquired lock", one value for many tasks

Use this when
    tasks wait for a state that others bring about: enough in stock, a free
    place, a connection.

Prefer instead
    an :class:`asyncio.Event` for "ready" and "stop"; a future
    (``loop.create_future()``) when a value comes with it, or an error; an
    :class:`asyncio.Barrier` when tasks wait for one another;
    :mod:`cookbook.coroutines.queues` to hand things over. Between threads,
    :mod:`cookbook.threads.condition`.

Pitfalls
    - ``event.set()`` and ``event.clear()`` in a row wake those who wait now,
      and nobody who comes later.
    - A task that is woken runs later: the state may be another by then. Check
      again, as ``wait_for`` does.
    - ``cannot wait on un-acquired lock``, ``cannot notify on un-acquired
      lock``: call both within ``async with condition:``.
    - ``while not ready: await asyncio.sleep(0.1)`` asks ten times a second and
      is up to 0.1 seconds late; ruff ASYNC110 reports it.
    - They are not thread-safe: another thread calls
      ``loop.call_soon_threadsafe(event.set)``.
    - A task that is cancelled at a barrier does not break it: the others wait
      on. ``abort()`` raises ``asyncio.BrokenBarrierError`` in them.

If a job raises
    the lock is released, and the others wait on. Nobody waits for a task that
    has failed, so put them into a task group.

If it takes too long
    :func:`asyncio.timeout` around the call gives up the wait, and takes
    nothing.

On cancellation
    the same: nothing is taken, and the others wait on.
"""

import asyncio
from typing import Protocol


class Shop(Protocol):
    """What has a stock."""

    count: int

    async def add(self, number: int) -> None:
        """Put *number* into the stock."""

    async def take(self, number: int) -> None:
        """Take *number* from it."""


class Stock:
    """A number of things; whoever takes some waits until there are enough.

    Example:
        >>> import asyncio
        >>> from cookbook.coroutines.events_and_conditions import Stock
        >>> async def main():
        ...     stock = Stock()
        ...     await asyncio.gather(stock.take(2), stock.add(3))
        ...     return stock.count
        >>> asyncio.run(main())
        1
    """

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Condition()

    async def add(self, number: int) -> None:
        """Put *number* into the stock.

        Raises:
            ValueError: If it is less than 1.
        """
        check(number)
        async with self._changed:
            self.count += number
            self._changed.notify_all()

    async def take(self, number: int) -> None:
        """Wait until *number* are there, and take them.

        Raises:
            ValueError: If it is less than 1.
        """
        check(number)
        async with self._changed:
            await self._changed.wait_for(lambda: self.count >= number)
            self.count -= number


def check(number: int) -> None:
    """Raise the error that names a bad number."""
    if number < 1:
        raise ValueError(f"number must be at least 1, not {number!r}")


async def sell_one_to_two(stock: Shop) -> None:
    """Let two tasks wait for one thing, and print who got it.

    Args:
        stock: An empty one.
    """
    customers = [asyncio.create_task(stock.take(1)) for _ in range(2)]
    await asyncio.sleep(0)  # both wait now
    await stock.add(1)
    for _ in range(9):
        await asyncio.sleep(0)  # more turns than they need
    print("sold:", sum(customer.done() for customer in customers))
    print("in stock:", stock.count)
    for customer in customers:
        customer.cancel()
    await asyncio.wait(customers)


def main() -> None:
    """Sell one; the other customer waits on.

    >>> main()
    sold: 1
    in stock: 0
    """
    asyncio.run(sell_one_to_two(Stock()))


class BrokenStock:
    """The same with an event that is set for a moment.

    Warning:
        It wakes all who wait, and each takes what one could have. Nobody who
        comes after the moment is woken, though there are enough.
    """

    def __init__(self) -> None:
        self.count = 0
        self._changed = asyncio.Event()

    async def add(self, number: int) -> None:
        """Put *number* into the stock."""
        self.count += number
        self._changed.set()
        self._changed.clear()

    async def take(self, number: int) -> None:
        """Wait for a change, and take *number*."""
        await self._changed.wait()
        self.count -= number


def broken_main() -> None:
    """Sell one thing to two.

    >>> broken_main()
    sold: 2
    in stock: -1
    """
    asyncio.run(sell_one_to_two(BrokenStock()))


if __name__ == "__main__":
    main()
    broken_main()
