"""Let every thread get its turn.

In a livelock threads react to each other for ever: each gives way, fails and
tries again, in step with the other. Give every pause a random length, and a
longer one after each failure; then an attempt is likely to meet nobody
(:func:`retry`). In starvation the others go on and one thread never gets its
turn, because a :class:`threading.Lock` has no queue: the thread that lets go
may take it again before those who wait. :class:`FairLock` hands it to the one
who asked first.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the
    schedule on which a thread gets the lock last
:search: livelock, starvation, fair lock, unfair lock, FIFO lock, ticket lock,
    queue lock, lock convoy, thread never gets the lock, one thread hogs the
    lock, fairness of threading.Lock, exponential back-off, full jitter,
    retry with jitter, polling for a lock, busy waiting

Use this when
    threads that fail because of each other try again, or one thread lets go
    of a lock and takes it again at once while others wait for it.

Prefer instead
    to let go for longer, if you can: work outside the lock, and nobody
    starves. :mod:`cookbook.deadlocks.lock_timeout` to take several locks with
    a random pause. A :class:`queue.Queue` when the turns are jobs.

Pitfalls
    - No pause makes a livelock impossible, a random one makes it improbable.
      A rule that both keep, such as an order, makes it impossible:
      :mod:`cookbook.deadlocks.lock_ordering`.
    - Who asks with ``acquire(blocking=False)`` has no place in any queue, and
      may find the lock held each time.
    - The manual leaves open which waiting thread gets a
      :class:`~threading.Lock`. From 3.13.1 on, CPython hands it to one that
      has waited for more than a millisecond (documented: CPython issue 117721
      and the comments of ``Python/lock.c``), so there nobody who waits
      starves for good.
    - A fair lock makes each turn wait for a switch between threads. Take it
      where you need the order, not for all locks. It is not reentrant.

If a job raises
    an error in the ``with`` block leaves the lock to the next in the queue;
    an error in an attempt leaves :func:`retry` at once.

If it takes too long
    :func:`retry` raises :exc:`TimeoutError` after the last attempt.

On Ctrl-C
    a thread that :exc:`KeyboardInterrupt` takes out of the queue gives up its
    place, or its turn if it has just got it; the others go on.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial


class FairLock:
    """A lock that threads get in the order in which they ask for it.

    Example:
        >>> from cookbook.deadlocks.livelock_and_starvation import FairLock
        >>> lock = FairLock()
        >>> with lock:
        ...     print("threads that wait:", lock.waiting)
        threads that wait: 0
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()  # never held for long
        self._held = False
        self._queue: deque[threading.Lock] = deque()

    @property
    def waiting(self) -> int:
        """How many threads are in the queue."""
        return len(self._queue)

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._queue.append(turn)
        try:
            turn.acquire()
        except BaseException:
            self._leave(turn)
            raise

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the first in the queue its turn; the lock stays held."""
        if self._queue:
            self._queue.popleft().release()
        else:
            self._held = False

    def _leave(self, turn: threading.Lock) -> None:
        """Leave the queue, or hand over if it was this thread's turn."""
        with self._guard:
            if turn in self._queue:
                self._queue.remove(turn)
            else:
                self._hand_over()


def retry(
    attempt: Callable[[], bool],
    *,
    attempts: int = 10,
    pause: float = 0.01,
    longest_pause: float = 1,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Call *attempt* until it returns True, with random pauses in between.

    Args:
        attempt: Tells whether it succeeded.
        attempts: How often to try, 1 or more.
        pause: The first pause is at most so many seconds; each further one
            may be twice as long.
        longest_pause: No pause is longer than this.
        sleep: What to pause with; ``wait`` of an event lets you end it.

    Raises:
        TimeoutError: If no attempt succeeded.
        ValueError: If *attempts* is below 1, or a pause is negative.

    Example:
        >>> from cookbook.deadlocks.livelock_and_starvation import retry
        >>> answers = [True, False, False]
        >>> retry(answers.pop)
        >>> answers
        []
    """
    if attempts < 1:
        raise ValueError(f"attempts must be 1 or more, not {attempts!r}")
    if not (pause >= 0 and longest_pause >= 0):
        raise ValueError(f"not 0 or more: {pause=}, {longest_pause=}")
    for left in reversed(range(attempts)):
        if attempt():
            return
        if left:
            sleep(random.uniform(0, pause))
            pause = min(2 * pause, longest_pause)
    raise TimeoutError(f"no success in {attempts} attempts")


def main() -> None:
    """Queue for a lock; then pass each other in a corridor.

    >>> main()
    asked: 0, 1, 2; got it: [0, 1, 2]
    on different sides: True
    """
    lock = FairLock()
    order: list[int] = []
    sides = [0, 0]

    def enter(number: int) -> None:
        with lock:
            order.append(number)

    def has_passed(me: int) -> bool:
        blocked = sides[0] == sides[1]
        sides[me] ^= blocked  # step aside
        return not blocked

    with ThreadPoolExecutor(max_workers=3) as pool:
        with lock:
            for number in range(3):
                pool.submit(enter, number)
                while lock.waiting == number:
                    time.sleep(0.001)
        for me in range(2):
            pool.submit(retry, partial(has_passed, me))
    print("asked: 0, 1, 2; got it:", order)
    print("on different sides:", sides[0] != sides[1])


def broken_retry(
    attempt: Callable[[], bool],
    *,
    attempts: int = 10,
    pause: float = 0.01,
) -> None:
    """Call *attempt* until it returns True, with pauses of one length.

    Warning:
        Threads that have failed because of each other pause for the same
        time and meet again, attempt after attempt: a livelock. And a thread
        that polls comes when it comes: if the lock happens to be held each
        time, it starves, however often the lock was free in between.
    """
    for _ in range(attempts):
        if attempt():
            return
        time.sleep(pause)
    raise TimeoutError(f"no success in {attempts} attempts")


def step_aside_in_lockstep(attempts: int) -> list[BaseException | None]:
    """Let two walk who look, and step aside, at the same time."""
    sides = [0, 0]
    step = threading.Barrier(2, timeout=10)

    def has_passed(me: int) -> bool:
        blocked = sides[0] == sides[1]
        step.wait()
        sides[me] ^= blocked
        step.wait()
        return not blocked

    def walk(me: int) -> None:
        broken_retry(partial(has_passed, me), attempts=attempts, pause=0.001)

    with ThreadPoolExecutor(max_workers=2) as pool:
        walks = [pool.submit(walk, me) for me in range(2)]
    return [one.exception() for one in walks]


def poll_in_lockstep(attempts: int) -> BaseException | None:
    """Let one poll for a lock whenever another one has its turn."""
    lock = threading.Lock()
    step = threading.Barrier(2, timeout=10)

    def take_turns() -> None:
        for _ in range(attempts):
            with lock:
                step.wait()
                step.wait()

    def has_lock() -> bool:
        step.wait()
        taken = lock.acquire(blocking=False)
        step.wait()
        return taken

    def poll() -> None:
        broken_retry(has_lock, attempts=attempts, pause=0.001)

    with ThreadPoolExecutor(max_workers=2) as pool:
        pool.submit(take_turns)
        return pool.submit(poll).exception()


def broken_main() -> None:
    """Step aside, and poll for a lock, in lockstep with another thread.

    >>> broken_main()
    first in the corridor: no success in 5 attempts
    second in the corridor: no success in 5 attempts
    polling for a lock that was free 4 times: no success in 5 attempts
    """
    first, second = step_aside_in_lockstep(attempts=5)
    print("first in the corridor:", first)
    print("second in the corridor:", second)
    print("polling for a lock that was free 4 times:", poll_in_lockstep(5))


if __name__ == "__main__":
    main()
    broken_main()
