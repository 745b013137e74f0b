"""Wait until another thread has made something true.

A :class:`threading.Condition` is a lock that a thread can let go of while it
sleeps. Change the shared state under it and notify; wait with ``wait_for``
and a function that looks at the state. It looks before it sleeps, so a change
that came earlier is not missed, and again each time it is woken, because
another thread may have been there first.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds both errors
    on every run
:search: condition variable, wait and notify, wait_for, notify_all, signal
    another thread, wait for a value, lost wake-up, missed signal, spurious
    wakeup, busy waiting, monitor, notify vs notify_all,
    "RuntimeError: cannot notify on un-acquired lock",
    "RuntimeError: cannot wait on un-acquired lock"

Use this when
    a thread must wait for more than "something is there": for enough items, a
    free place, a state.

Prefer instead
    a :class:`queue.Queue` to hand over items one by one, which does all of
    this for you; a :class:`threading.Event` for something that becomes true
    once.

Pitfalls
    - ``RuntimeError: cannot notify on un-acquired lock`` and ``RuntimeError:
      cannot wait on un-acquired lock``: do both inside ``with condition:``,
      where you also read or change the state.
    - ``notify()`` wakes one thread, perhaps one that cannot go on yet, and
      the one that could sleeps on. Use ``notify_all()``, unless all waiting
      threads wait for the same and each change lets one of them go on.
    - ``notify_all()`` does not let go of the lock: the woken threads go on,
      one by one, when the ``with`` block has ended.
    - ``wait()`` lets go of this lock alone. Another one that you hold stays
      held while you sleep.

If a job raises
    an error in the function given to ``wait_for`` goes to the waiting thread;
    the lock is free again.

If it takes too long
    :exc:`TimeoutError` is raised; nothing has been taken. ``wait_for`` itself
    only returns the last answer of its function, which is then false.

On Ctrl-C
    in the main thread, on POSIX, the wait ends with :exc:`KeyboardInterrupt`;
    nothing has been taken, and the lock is free. On Windows a lock can be
    interrupted from 3.14 on (documented: :meth:`threading.Lock.acquire`).
"""

import threading
from concurrent.futures import ThreadPoolExecutor


class Shelf:
    """Items that some threads put there and others wait for.

    Attributes:
        items: To be read or changed only by who holds *changed*.
        changed: The lock, and where threads wait for more items.
    """

    def __init__(self, changed: threading.Condition | None = None) -> None:
        self.items: list[str] = []
        self.changed = threading.Condition() if changed is None else changed


def put(shelf: Shelf, *items: str) -> None:
    """Put *items* there, and wake all that wait."""
    with shelf.changed:
        shelf.items.extend(items)
        shelf.changed.notify_all()


def take(
    shelf: Shelf, count: int = 1, *, timeout: float | None = None
) -> list[str]:
    """Take the first *count* items, when so many are there.

    Args:
        shelf: Where to take them from.
        count: How many to take, all at once.
        timeout: For how many seconds to wait; None is for ever.

    Raises:
        TimeoutError: If there were too few in time. None is taken.
        ValueError: If *timeout* is out of range.

    Example:
        >>> from cookbook.threads.condition import Shelf, put, take
        >>> shelf = Shelf()
        >>> put(shelf, "tea", "milk", "salt")
        >>> take(shelf, 2)
        ['tea', 'milk']
    """
    if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")

    def is_enough() -> bool:
        return len(shelf.items) >= count

    with shelf.changed:
        if not shelf.changed.wait_for(is_enough, timeout):
            raise TimeoutError(f"fewer than {count} items in {timeout!r} s")
        return [shelf.items.pop(0) for _ in range(count)]


def main() -> None:
    """Wait for two items, then for one that does not come.

    >>> main()
    taken: ['tea', 'milk']
    TimeoutError: fewer than 1 items in 0.05 s
    """
    shelf = Shelf()
    with ThreadPoolExecutor(max_workers=1) as pool:
        taken = pool.submit(take, shelf, 2, timeout=60)
        put(shelf, "tea")
        put(shelf, "milk")
        print("taken:", taken.result())
    try:
        take(shelf, timeout=0.05)
    except TimeoutError as error:
        print(f"TimeoutError: {error}")


def broken_take_if(shelf: Shelf) -> str:
    """Take the first item; if there is none, wait to be woken.

    Warning:
        It looks once. Between the call that wakes this thread and its next
        step, another thread may take the item. ``while`` in place of ``if``
        looks again, and so does ``wait_for``.
    """
    with shelf.changed:
        if not shelf.items:
            shelf.changed.wait()
        return shelf.items.pop(0)


def broken_take_unasked(shelf: Shelf, timeout: float | None = None) -> str:
    """Wait to be woken, then take the first item.

    Warning:
        A call of ``notify_all`` wakes the threads that wait at that moment;
        nobody remembers it for one that comes later: a lost wake-up. The item
        is there, and this thread waits for the next one, perhaps for ever.
    """
    with shelf.changed:
        if not shelf.changed.wait(timeout):
            raise TimeoutError(f"not woken, but there are {shelf.items}")
        return shelf.items.pop(0)


class CountedCondition(threading.Condition):
    """A condition that tells how many threads have begun to wait.

    Attributes:
        begun: Released by each thread before it lets go of the lock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be woken."""
        self.begun.release()
        return super().wait(timeout)


def broken_main() -> None:
    """Wake two threads for one item; then put an item before the wait.

    >>> broken_main()
    woken with the item: 'tea'
    woken without: IndexError: pop from empty list
    put before the wait: TimeoutError: not woken, but there are ['milk']
    """
    changed = CountedCondition()
    shelf = Shelf(changed)
    with ThreadPoolExecutor(max_workers=2) as pool:
        takers = [pool.submit(broken_take_if, shelf) for _ in range(2)]
        try:
            for _ in takers:
                changed.begun.acquire(timeout=10)
        finally:
            put(shelf, "tea")
    takers.sort(key=lambda taker: taker.exception() is not None)
    print(f"woken with the item: {takers[0].result()!r}")
    print(f"woken without: IndexError: {takers[1].exception()}")
    put(shelf, "milk")
    try:
        broken_take_unasked(shelf, timeout=0.05)
    except TimeoutError as error:
        print(f"put before the wait: TimeoutError: {error}")


if __name__ == "__main__":
    main()
    broken_main()
