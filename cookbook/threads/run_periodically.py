"""Run a function every few seconds.

Work out when the next call is due and wait for just that long, with
``stop.wait(seconds)`` of a :class:`threading.Event`: it returns at once when
the event is set. The times are start, start + interval, start + 2 * interval
and so on, by a clock that nobody puts forward or back, so the calls do not
drift, however long each takes.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: every n seconds, periodic task, repeating timer, threading.Timer
    repeat, run in the background every minute, schedule a function, interval,
    drift, time.sleep in a loop, stop a timer, polling, heartbeat, cron,
    setInterval, time.monotonic

Use this when
    a function runs again and again beside the rest of the program: a
    heartbeat, a poll, a refresh.

Prefer instead
    cron, or another scheduler of the system, for what must run although the
    program does not.

Pitfalls
    - :class:`threading.Timer` calls once, and one that starts the next is a
      new thread each time.
    - Keep to :func:`time.monotonic`: :func:`time.time` jumps when the
      system's clock is set.

If a job raises
    there are no more calls; the error is raised at the end of the ``with``
    block, unless the block raises one itself. A job that shall go on, or
    whose error you want to know at once, catches and logs it itself.

If it takes too long
    the next call is at the next time that has not passed. Missed calls are
    left out, and two calls never run at the same time. The end of the block
    waits for the call that runs.

On Ctrl-C
    the ``with`` block stops the calls, then :exc:`KeyboardInterrupt` goes on.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import ceil


@contextmanager
def periodically(job: Callable[[], object], interval: float) -> Iterator[None]:
    """Call *job* every *interval* seconds during a ``with`` block.

    Args:
        job: Called in a thread, the first time at once.
        interval: The seconds from one call to the next.

    Raises:
        ValueError: If *interval* is not above 0, or more than
            :data:`threading.TIMEOUT_MAX`.

    Example:
        >>> import threading
        >>> from cookbook.threads.run_periodically import periodically
        >>> called = threading.Event()
        >>> with periodically(called.set, interval=60):
        ...     called.wait(10)
        True
    """
    if not 0 < interval <= threading.TIMEOUT_MAX:
        raise ValueError(f"interval is out of range: {interval!r}")
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        calls = pool.submit(call_every, interval, job, stop)
        try:
            yield
        finally:
            stop.set()
    calls.result()


def call_every(
    interval: float,
    job: Callable[[], object],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Call *job* every *interval* seconds until *stop* is set.

    Args:
        interval: The seconds from one call to the next.
        job: Called in this thread, the first time at once.
        stop: No call begins after a wait for it has returned True.
        clock: Tells the time by which *stop* waits, in seconds.
    """
    start = clock()
    number = 0
    while not stop.wait(max(0, start + number * interval - clock())):
        job()
        number = max(number + 1, ceil((clock() - start) / interval))


class Hour(threading.Event):
    """An hour that is over at once: it passes while somebody waits.

    Attributes:
        now: The minutes since it began; at the end the event is set.
        end: How many minutes it has.
        begins: At which minutes a job began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.end = 60
        self.begins: list[int] = []

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        """Let *timeout* minutes pass; return whether the hour is over."""
        self.now += timeout or 0
        if self.now >= self.end:
            self.set()
        return self.is_set()

    def work(self, minutes: float) -> None:
        """Be busy for some minutes."""
        self.begins.append(round(self.now))
        self.wait(minutes)


def main() -> None:
    """Call a job each 10 minutes of an hour; then one each millisecond.

    >>> main()
    job of 3 min: at 0, 10, 20, 30, 40, 50, stopped at 60
    job of 14 min: at 0, 20, 40, stopped at 60
    3 calls, then stopped
    """
    for minutes in 3, 14:
        hour = Hour()
        call_every(10, partial(hour.work, minutes), hour, hour.clock)
        begins = ", ".join(map(str, hour.begins))
        print(f"job of {minutes} min: at {begins}, stopped at {hour.now:.0f}")
    calls = threading.Semaphore(0)
    with periodically(calls.release, interval=0.001):
        for _ in range(3):
            calls.acquire(timeout=10)
    print("3 calls, then stopped")


def broken_call_every(
    interval: float,
    job: Callable[[], object],
    stop: threading.Event,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Call *job*, sleep for *interval* seconds, and again.

    Warning:
        From one call to the next it takes the interval and the time of the
        job, so the calls drift. While it sleeps it does not see that *stop* is
        set: it ends up to one interval later.
    """
    while not stop.is_set():
        job()
        sleep(interval)


def broken_main() -> None:
    """Call a job each 10 minutes of an hour.

    >>> broken_main()
    job of 3 min: at 0, 13, 26, 39, 52, stopped at 65
    """
    hour = Hour()
    broken_call_every(10, partial(hour.work, 3), hour, hour.wait)
    begins = ", ".join(map(str, hour.begins))
    print(f"job of 3 min: at {begins}, stopped at {hour.now:.0f}")


if __name__ == "__main__":
    main()
    broken_main()
