"""Detect a deadlock before it closes.

A thread that waits for a lock waits for the thread that holds it. Write down
who holds and who waits: the *wait-for graph*. Before a thread waits, follow
it: from the lock to its holder, from there to the lock that the holder waits
for, and so on. If that leads back to the thread itself, waiting would never
end: raise an error that names the cycle. The look and the first step of
waiting need to be one critical section, so all the locks share one
:class:`threading.Condition`.

Python's imports do so: ``_ModuleLock`` in ``Lib/importlib/_bootstrap.py`` lets
two threads import modules that import each other, by catching the
``_DeadlockError`` that it raises (documented: the comments there).

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the deadlock
    of the plain locks on every run
:search: deadlock detection, wait-for graph, detect deadlock at runtime, lock
    order checker, lockdep, who holds the lock, owner of a lock, deadlock
    error instead of a hang, EDEADLK, "DeadlockError",
    "_frozen_importlib._DeadlockError: deadlock detected by _ModuleLock"

Use this when
    locks are taken in orders that nobody can survey, as by plug-ins, and a
    test or a server should fail with a message rather than hang.

Prefer instead
    :mod:`cookbook.deadlocks.lock_ordering` where you can name an order: then
    no cycle can close, and nobody has to handle an error.

Pitfalls
    - Only the locks of one :class:`WaitForGraph` are seen. A cycle that goes
      through another lock, a queue, or a ``join()`` still hangs.
    - A thread that ends without letting go is no cycle: the others wait for
      ever. Use ``with``.
    - Let go of all locks before you try again; otherwise you meet the same
      cycle.
    - Each step of each lock takes the one condition: for a moment threads
      wait for it whose locks have nothing to do with each other.

If a job raises
    an error in the ``with`` block leaves the lock free.

On Ctrl-C
    a main thread that waits leaves the graph, and holds nothing that it did
    not hold before.
"""

import threading
from contextlib import AbstractContextManager


class DeadlockError(RuntimeError):
    """Waiting for a lock would never end."""


class WaitForGraph:
    """Makes locks, and knows who waits for which of them.

    Example:
        >>> from cookbook.deadlocks.detect_a_cycle import WaitForGraph
        >>> graph = WaitForGraph()
        >>> with graph.lock("accounts"), graph.lock("log"):
        ...     print("both are mine")
        both are mine
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.wanted: dict[threading.Thread, GraphLock] = {}

    def lock(self, name: str) -> "GraphLock":
        """Return a new lock."""
        return GraphLock(name, self)

    def wait(self, thread: threading.Thread, lock: "GraphLock") -> None:
        """Wait until *lock* is free. The caller holds the condition."""
        if cycle := self.cycle(thread, lock):
            raise DeadlockError("; ".join(cycle))
        self.wanted[thread] = lock
        try:
            self.changed.wait_for(lambda: lock.holder is None)
        finally:
            del self.wanted[thread]

    def cycle(self, thread: threading.Thread, lock: "GraphLock") -> list[str]:
        """Return the cycle that closes if *thread* waits for *lock*.

        The caller holds the condition.

        Returns:
            One line for each thread in it, the same whoever closes it; empty
            if the wait can end.
        """
        lines = []
        waiting, wanted = thread, lock
        while holder := wanted.holder:
            step = f"{waiting.name} wants {wanted.name}, held by {holder.name}"
            lines.append(step)
            if holder is thread:
                first = lines.index(min(lines))
                return lines[first:] + lines[:first]
            if holder not in self.wanted:
                break
            waiting, wanted = holder, self.wanted[holder]
        return []


class GraphLock:
    """A lock that raises an error rather than close a cycle.

    Attributes:
        name: What an error calls it.
        holder: The thread that holds it, or None.
    """

    def __init__(self, name: str, graph: WaitForGraph) -> None:
        self.name = name
        self.graph = graph
        self.holder: threading.Thread | None = None

    def __enter__(self) -> None:
        """Wait until the lock is free, and take it.

        Raises:
            DeadlockError: If the wait would never end.
        """
        thread = threading.current_thread()
        with self.graph.changed:
            if self.holder:
                self.graph.wait(thread, self)
            self.holder = thread

    def __exit__(self, *_: object) -> None:
        with self.graph.changed:
            self.holder = None
            self.graph.changed.notify_all()


Lock = AbstractContextManager[object]


def take_crosswise(one: Lock, two: Lock) -> list[str]:
    """Let two threads take two locks in opposite order, and report.

    Each has its first lock before one of them asks for its second.
    """
    both_hold_one = threading.Barrier(2, timeout=10)
    reports = []

    def take(first: Lock, second: Lock) -> None:
        try:
            with first:
                both_hold_one.wait()
                with second:
                    reports.append("finished")
        except (DeadlockError, TimeoutError) as error:
            reports.append(f"{type(error).__name__}: {error}")

    threads = [
        threading.Thread(target=take, args=(one, two), name="first"),
        threading.Thread(target=take, args=(two, one), name="second"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(reports)


def main() -> None:
    """Close a cycle of two threads; one of them is told, and lets go.

    >>> main()
    DeadlockError: first wants b, held by second; second wants a, held by first
    finished
    """
    graph = WaitForGraph()
    for report in take_crosswise(graph.lock("a"), graph.lock("b")):
        print(report)


class BrokenLock:
    """A lock that nobody can ask who holds it.

    Attributes:
        name: What an error calls it.
        patience: How many seconds to wait: this demonstration has to end.

    Warning:
        In a cycle each thread waits for ever, without a word. A
        :class:`threading.Lock` does not know its holder, so nobody can look
        for a cycle. A timeout ends the wait, but it cannot tell a deadlock
        from a lock that is held for long.
    """

    def __init__(self, name: str, patience: float) -> None:
        self.name = name
        self.patience = patience
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self.patience):
            raise TimeoutError(f"no {self.name} within {self.patience} s")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def broken_main() -> None:
    """Close the same cycle with plain locks; one thread waits a bit less.

    >>> broken_main()
    TimeoutError: no b within 0.1 s
    finished
    """
    for report in take_crosswise(BrokenLock("a", 10), BrokenLock("b", 0.1)):
        print(report)


if __name__ == "__main__":
    main()
    broken_main()
