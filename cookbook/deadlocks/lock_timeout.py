"""Take several locks before a deadline, or none.

Where no order can be kept (:mod:`cookbook.deadlocks.lock_ordering`), a thread
must be able to give up. Wait for one lock while you hold none, try the others
without waiting, and if one is held, let go of all, pause for a random time and
start again. When the deadline passes, raise an error and hold nothing.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:search: lock with timeout, acquire timeout, try lock, trylock, acquire
    several locks, std::lock, deadlock avoidance, livelock, back-off, retry,
    jitter, program hangs in acquire, starvation,
    "RuntimeError: release unlocked lock",
    "RuntimeError: cannot release un-acquired lock"

Use this when
    the locks come from different places and nobody can put them in an order,
    or when the caller must get an answer in time.

Prefer instead
    :mod:`cookbook.deadlocks.lock_ordering` where you can name an order: it
    needs no deadline and no second attempt.

Pitfalls
    - Look at what ``lock.acquire(timeout=...)`` returns. After ``False`` you
      do not hold the lock, and ``lock.release()`` raises ``RuntimeError:
      release unlocked lock``, or frees the lock that another thread holds. An
      :class:`~threading.RLock` that this thread does not hold raises
      ``RuntimeError: cannot release un-acquired lock``.
    - There is no queue: while others keep taking the locks one by one, a
      thread that needs all of them may starve until its deadline.

If a job raises
    an error in the ``with`` block leaves all the locks free.

If it takes too long
    :exc:`TimeoutError` is raised, and no lock is held.
"""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Protocol

LONGEST_PAUSE = 0.01


class Lockable(Protocol):
    """What a Lock, an RLock and a Semaphore have in common."""

    def acquire(self, *, timeout: float = -1) -> bool:
        """Wait up to *timeout* seconds, and tell whether it was taken."""

    def release(self) -> None:
        """Let go."""


@contextmanager
def acquire_all(*locks: Lockable, timeout: float) -> Iterator[None]:
    """Hold all *locks* during a ``with`` block.

    Args:
        locks: Any number of different locks, in any order.
        timeout: For how many seconds to try; 0 tries once.

    Raises:
        TimeoutError: If the locks were not all free in time.
        ValueError: If *timeout* is negative or too large, or a lock is given
            twice.

    Example:
        >>> import threading
        >>> from cookbook.deadlocks.lock_timeout import acquire_all
        >>> with acquire_all(threading.Lock(), threading.Lock(), timeout=1):
        ...     print("both are mine")
        both are mine
    """
    if not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more seconds, not {timeout!r}")
    if len({id(lock) for lock in locks}) < len(locks):
        raise ValueError(f"a lock is given twice: {locks!r}")
    deadline = time.monotonic() + timeout
    waiting = list(locks)
    while True:
        left = max(0.0, deadline - time.monotonic())
        with ExitStack() as held:
            busy = take(waiting, left, held)
            if busy is None:
                yield
                return
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"locks not free within {timeout!r} s")
        time.sleep(min(left, random.uniform(0, LONGEST_PAUSE)))
        # Next time it waits for that one, while it holds nothing.
        waiting.sort(key=lambda lock: lock is not busy)


def take(
    locks: list[Lockable], timeout: float, held: ExitStack
) -> Lockable | None:
    """Wait for the first of *locks*, then try the others.

    Args:
        locks: The first is waited for; no lock may be held meanwhile.
        timeout: For how many seconds to wait for the first.
        held: Lets go of what was taken when it is closed.

    Returns:
        The lock that was not free, or None if all were taken.
    """
    for lock in locks:
        if not lock.acquire(timeout=timeout):
            return lock
        held.callback(lock.release)
        timeout = 0
    return None


def main() -> None:
    """Take two locks in both orders at once; then one that stays held.

    >>> main()
    both locks held: 200 times
    one lock held by another: TimeoutError
    locks still held by me: 0
    """
    a, b = threading.Lock(), threading.Lock()
    held = []

    def work(first: threading.Lock, second: threading.Lock) -> None:
        for _ in range(100):
            with acquire_all(first, second, timeout=60):
                held.append(1)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for job in [pool.submit(work, a, b), pool.submit(work, b, a)]:
            job.result()
    print("both locks held:", len(held), "times")
    with b:
        try:
            with acquire_all(a, b, timeout=0.05):
                held.append(1)
        except TimeoutError as error:
            print("one lock held by another:", type(error).__name__)
    print("locks still held by me:", a.locked() + b.locked())


@contextmanager
def broken_acquire_all(*locks: Lockable) -> Iterator[None]:
    """Hold all *locks* during a ``with`` block, whenever that will be.

    Warning:
        An acquire without a timeout waits for as long as another thread holds
        the lock, and holds on to the locks that it has already taken. If that
        thread waits for one of these, both wait for ever.
    """
    with ExitStack() as held:
        for lock in locks:
            lock.acquire()
            held.callback(lock.release)
        yield


@contextmanager
def broken_retry_at_once(*locks: Lockable, attempts: int) -> Iterator[None]:
    """Hold all *locks* during a ``with`` block; else try again at once.

    Args:
        locks: Any number of different locks.
        attempts: How often to try; the usual ``while True`` never ends.

    Raises:
        TimeoutError: If no attempt took all locks.

    Warning:
        Two threads that start with opposite locks both take the first, both
        find the second held, both let go, and do the same again at once: a
        livelock. They are busy and get nowhere. A pause of a different length
        for each lets one of them through.
    """
    for _ in range(attempts):
        with ExitStack() as held:
            if take(list(locks), -1, held) is None:
                yield
                return
    raise TimeoutError(f"locks not free in {attempts} attempts")


class LockstepLock:
    """A lock whose holders take it, and let it go, at the same time.

    Attributes:
        step: Where the two threads wait for each other.
    """

    def __init__(self, step: threading.Barrier) -> None:
        self.step = step
        self._lock = threading.Lock()

    def acquire(self, *, timeout: float = -1) -> bool:
        """Wait for the lock and then for the other thread; 0 only tries."""
        taken = self._lock.acquire(timeout=timeout)
        if timeout != 0:
            self.step.wait()
        return taken

    def release(self) -> None:
        """Let go, when the other thread does."""
        self.step.wait()
        self._lock.release()


def broken_main() -> None:
    """Wait for a lock that stays held; then retry in lockstep.

    >>> broken_main()
    no timeout: still waiting
    no pause: TimeoutError: locks not free in 5 attempts
    no pause: TimeoutError: locks not free in 5 attempts
    """
    lock = threading.Lock()
    step = threading.Barrier(2, timeout=10)
    a, b = LockstepLock(step), LockstepLock(step)

    def wait() -> None:
        with broken_acquire_all(lock):
            pass

    def retry(first: Lockable, second: Lockable) -> None:
        with broken_retry_at_once(first, second, attempts=5):
            pass

    with ThreadPoolExecutor(max_workers=2) as pool:
        with lock:
            waiting = pool.submit(wait)
            try:
                waiting.result(timeout=0.1)
            except TimeoutError:
                print("no timeout: still waiting")
        for trying in [pool.submit(retry, a, b), pool.submit(retry, b, a)]:
            error = trying.exception()
            print(f"no pause: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
    broken_main()
