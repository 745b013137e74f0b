"""Publish a new snapshot instead of changing the old one.

A writer builds a new object from the old one and publishes it by one
assignment; what was published never changes again. Readers take no lock: each
reads the attribute once and then works on a snapshot that is whole, however
long it takes. Writers take a lock, or one of two new snapshots would be lost.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the schedules
    on which a reader sees half a change
:search: copy-on-write, immutable, read-copy-update, RCU, lock-free reads,
    readers without a lock, torn read, inconsistent read, hot reload of
    settings, frozen dataclass, MappingProxyType, frozendict, iterate over a
    dict while another thread changes it, snapshot of a dict,
    "RuntimeError: dictionary changed size during iteration",
    "RuntimeError: dictionary keys changed during iteration",
    "RuntimeError: Set changed size during iteration",
    "RuntimeError: deque mutated during iteration"

Use this when
    many threads read, few write, and a copy for each write is cheap enough:
    settings, routes, lists of listeners.

Prefer instead
    - :mod:`cookbook.threads.shared_counter` or
      :mod:`cookbook.threads.readers_and_writers` when writes are frequent or
      the data is large: each write copies all of it.
    - ``for key in values.copy():`` when you cannot change the writers of a
      dictionary. The manual documents ``copy`` as one step
      (:ref:`thread-safety-dict`); two fields of a change can still be torn.

Pitfalls
    - Read ``current`` once and keep it in a variable: two reads may give two
      snapshots.
    - A frozen dataclass that holds a list is not immutable, and a copy of a
      dictionary shares its values: replace what is inside, too. A
      :class:`types.MappingProxyType` (or ``frozendict``, from Python 3.15
      on) turns a change in place into an error.
    - That one assignment to an attribute is atomic no test can prove; it is
      documented in the manual's Library and Extension FAQ, "What kinds of
      global value mutation are thread-safe?".
    - A list raises no error when it is changed during an iteration: an
      insertion before the iterator's place shows an item twice, and a
      deletion skips one.

If a job raises
    an error in ``step`` goes to the writer; the old snapshot stays
    published, and the lock is free.
"""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

S = TypeVar("S")


class Published(Generic[S]):
    """An immutable object that is replaced, never changed.

    Attributes:
        current: The latest snapshot; read it once, without a lock.

    Example:
        >>> from cookbook.threads.immutable_snapshot import Published
        >>> routes = Published((("/", "home"),))
        >>> routes.replace(lambda old: (*old, ("/help", "manual")))
        >>> routes.current
        (('/', 'home'), ('/help', 'manual'))
    """

    def __init__(self, first: S) -> None:
        self.current = first
        self._lock = threading.Lock()

    def replace(self, step: Callable[[S], S]) -> None:
        """Publish what *step* makes of the current snapshot.

        Args:
            step: Gets the old snapshot and returns a new one; it must leave
                the old one alone. One thread at a time runs it.
        """
        with self._lock:
            self.current = step(self.current)


def main() -> None:
    """Iterate over a snapshot while another thread publishes new ones.

    >>> main()
    iterated over: {'low': 10, 'high': 20}
    published now: {'low': 30, 'high': 40, 'step': 5}
    """
    first: Mapping[str, int] = MappingProxyType({"low": 10, "high": 20})
    limits = Published(first)

    def raise_limits(old: Mapping[str, int]) -> Mapping[str, int]:
        return MappingProxyType({**old, "low": 30, "high": 40, "step": 5})

    seen = {}
    for name, value in limits.current.items():
        writer = threading.Thread(target=limits.replace, args=[raise_limits])
        writer.start()
        writer.join()
        seen[name] = value
    print("iterated over:", seen)
    print("published now:", limits.current)


class BrokenLimits:
    """Limits that are changed in place.

    Attributes:
        current: The limits.

    Warning:
        The lock keeps writers apart, but readers take none. A reader that
        looks between two assignments sees half a change, and one that is
        iterating when a key is added gets a :exc:`RuntimeError`.
    """

    def __init__(self, low: int, high: int) -> None:
        self.current = {"low": low, "high": high}
        self._lock = threading.Lock()

    def replace(self, low: int, high: int, step: int) -> None:
        """Change the limits."""
        with self._lock:
            self.current["low"] = low
            self.current["high"] = high
            self.current["step"] = step


def broken_main() -> None:
    """Iterate over the limits while another thread changes them.

    >>> broken_main()
    RuntimeError: dictionary changed size during iteration
    seen: {'low': 10}
    """
    limits = BrokenLimits(10, 20)
    seen = {}
    try:
        for name, value in limits.current.items():
            seen[name] = value
            writer = threading.Thread(target=limits.replace, args=[30, 40, 5])
            writer.start()
            writer.join()
    except RuntimeError as error:
        print(f"RuntimeError: {error}")
    print("seen:", seen)


if __name__ == "__main__":
    main()
    broken_main()
