"""Initialise something once, whoever comes first.

Take the lock, look whether the value is there, create it if not: the first
caller creates it, the others wait and get the same one. Take the lock each
time: looking first without it ("double-checked locking") can let others see
the value before it is complete, if it is assigned before it is filled.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the schedules
    on which the value is seen before it is complete
:search: thread-safe singleton, lazy initialisation, lazy initialization, init
    once, call once, run once, double-checked locking, lazy global, shared
    connection, functools.cache thread-safe, lru_cache called twice,
    cached_property thread-safe, cached_property lock, once-only, import lock

Use this when
    the value is expensive, may never be needed, and there must be one.

Prefer instead
    - an assignment at the top of a module: a module's code is run once. A
      thread that imports the module meanwhile waits until it is complete.
    - :func:`functools.cache` or :func:`~functools.lru_cache` when a second
      run does no harm. Their cache stays whole (documented:
      :func:`functools.lru_cache`), but no lock is held while the function
      runs: threads that call it at once all run it, and each gets its own
      result.
    - :func:`functools.cached_property` for the same in an object. Up to
      Python 3.11 it holds a lock, one for all objects of the class; from 3.12
      on it holds none and may run more than once.
    - :mod:`cookbook.threads.check_then_act` for one value for each key.

Pitfalls
    - Create the lock where the module or the object is created. A lock that
      is itself made on first use needs another one.
    - *create* must not ask for the value itself: the lock would wait for
      itself.
    - If you do look without the lock, create the value in a local variable,
      finish it, and let the assignment be the last step.

If a job raises
    an error in *create* goes to its caller; the next caller tries again.

If it takes too long
    the others wait for as long as *create* runs: give it a timeout of its
    own.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

V = TypeVar("V")


class Once(Generic[V]):
    """A value that is created when it is first asked for.

    Args:
        create: Makes the value; runs until it has once returned.

    Example:
        >>> from cookbook.threads.initialise_once import Once
        >>> squares = Once(lambda: [number**2 for number in range(4)])
        >>> squares.get()
        [0, 1, 4, 9]
        >>> squares.get() is squares.get()
        True
    """

    def __init__(self, create: Callable[[], V]) -> None:
        self._create = create
        self._created: list[V] = []
        self._lock = threading.Lock()

    def get(self) -> V:
        """Return the value, which the first caller creates."""
        with self._lock:
            if not self._created:
                self._created.append(self._create())
            return self._created[0]


def main() -> None:
    """Let eight threads ask for settings that are read once.

    >>> main()
    reads the settings
    8 threads have port 80
    """

    def read() -> dict[str, int]:
        print("reads the settings")
        return {"port": 80}

    settings = Once(read)
    with ThreadPoolExecutor(max_workers=8) as pool:
        jobs = [pool.submit(settings.get) for _ in range(8)]
    ports = [job.result()["port"] for job in jobs]
    print(ports.count(80), "threads have port 80")


class BrokenSettings:
    """Settings that others see before they are read.

    Warning:
        The first check holds no lock, so it tells only that the dictionary is
        there. It is there before it is filled.
    """

    def __init__(self, read: Callable[[], dict[str, int]]) -> None:
        self._read = read
        self._values: dict[str, int] | None = None
        self._lock = threading.Lock()

    def get(self) -> dict[str, int]:
        """Return the settings, which the first caller reads."""
        if self._values is None:
            with self._lock:
                if self._values is None:
                    self._values = {}
                    self._values.update(self._read())
        return self._values


def broken_main() -> None:
    """Ask for the settings while another thread reads them.

    >>> broken_main()
    second thread: {}
    first thread: {'port': 80}
    """
    reading, has_looked = threading.Event(), threading.Event()

    def read() -> dict[str, int]:
        reading.set()
        has_looked.wait(timeout=10)
        return {"port": 80}

    settings = BrokenSettings(read)
    with ThreadPoolExecutor(max_workers=1) as pool:
        first = pool.submit(settings.get)
        try:
            reading.wait(timeout=10)
            print("second thread:", settings.get())
        finally:
            has_looked.set()
        print("first thread:", first.result())


if __name__ == "__main__":
    main()
    broken_main()
