"""Check and act under one lock.

Between ``if key not in cache`` and ``cache[key] = value`` another thread may
do the same. Each of the two operations is atomic (documented:
:ref:`thread-safety-dict`); the decision is not. Take one lock before the
check, and hold it until the act is done.

:models: threads
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the schedules
    on which both threads act
:search: check then act, check-then-act, get or create, create if missing,
    cache fill, lazy initialisation, withdraw if enough, overdrawn, TOCTOU,
    time of check to time of use, put if absent, dict.setdefault thread-safe,
    defaultdict thread-safe, test and set, lock around if

Use this when
    what you do depends on what you have just seen: create if missing, fill
    the cache if empty, withdraw if there is enough.

Prefer instead
    - ``values.setdefault(key, value)`` when the value is cheap. It is one
      operation (documented: :ref:`thread-safety-dict`), and all threads get
      the value that came first; but the value is always made, also when it
      is not needed.
    - ``values.pop(key, None)`` instead of ``if key in values: del
      values[key]``.
    - :mod:`cookbook.threads.initialise_once` for one value that is made once.
      :func:`functools.cache` is no lock: it may run the function more than
      once.

Pitfalls
    - A lock in each method is not enough: two calls are two steps again. Put
      the whole decision into one method.
    - While *create* runs, all others wait, whatever their key. If that takes
      long, use a lock for each key:
      ``with locks.setdefault(key, threading.Lock()):``. ``locks`` never
      shrinks: a lock that is removed may be one that a thread waits for.
    - *create* must not ask the same cache: the lock would wait for itself.
    - A :class:`collections.defaultdict` checks and acts too: two threads that
      miss a key at once both run the factory. Up to 3.12, and up to 3.13.11
      and 3.14.2, each also gets an object of its own, and one is lost
      (CPython issue 142495).

If a job raises
    an error in *create* goes to the caller; nothing is stored, the lock is
    free, and the next call tries again.
"""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Values that are created when they are first asked for.

    Args:
        create: Makes the value of a key; one thread at a time runs it.

    Example:
        >>> from cookbook.threads.check_then_act import Cache
        >>> cache = Cache(str.upper)
        >>> cache.get("one")
        'ONE'
    """

    def __init__(self, create: Callable[[K], V]) -> None:
        self._create = create
        self._values: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V:
        """Return the value of *key*, created if it is missing."""
        with self._lock:
            if key not in self._values:
                self._values[key] = self._create(key)
            return self._values[key]


class Account:
    """A balance that never falls below zero.

    Args:
        balance: In the smallest unit of money.

    Example:
        >>> from cookbook.threads.check_then_act import Account
        >>> account = Account(100)
        >>> account.withdraw(80), account.withdraw(80)
        (True, False)
    """

    def __init__(self, balance: int) -> None:
        self.balance = balance
        self._lock = threading.Lock()

    def withdraw(self, amount: int) -> bool:
        """Take *amount* if there is enough, and tell whether there was."""
        with self._lock:
            if self.balance < amount:
                return False
            self.balance -= amount
            return True


def main() -> None:
    """Let eight threads ask for the same value, and for the same money.

    >>> main()
    8 threads asked, created: 1
    8 threads asked for 80 of 100, paid: 1
    """
    created = []

    def create(key: str) -> str:
        created.append(key)
        return key.upper()

    cache, account = Cache(create), Account(100)
    with ThreadPoolExecutor(max_workers=8) as pool:
        set(pool.map(cache.get, ["key"] * 8))
        paid = sum(pool.map(account.withdraw, [80] * 8))
    print("8 threads asked, created:", len(created))
    print("8 threads asked for 80 of 100, paid:", paid)


class BrokenCache(Generic[K, V]):
    """Values that may be created more than once.

    Warning:
        The check is locked and the act is locked, the decision is not: while
        one thread creates the value, the other finds nothing and creates one
        too. The later one stays in the cache; the earlier one is in use.
    """

    def __init__(self, create: Callable[[K], V]) -> None:
        self._create = create
        self._values: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V:
        """Return the value of *key*, created if it was missing."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = self._create(key)
        with self._lock:
            self._values[key] = value
        return value


def broken_main() -> None:
    """Let two threads ask, both before the other has stored its value.

    >>> broken_main()
    2 threads asked, created: 2
    """
    both_have_checked = threading.Barrier(2, timeout=10)

    def create(_: str) -> object:
        both_have_checked.wait()
        return object()

    cache = BrokenCache(create)
    with ThreadPoolExecutor(max_workers=2) as pool:
        values = set(pool.map(cache.get, ["the same key"] * 2))
    print(f"2 threads asked, created: {len(values)}")


if __name__ == "__main__":
    main()
    broken_main()
