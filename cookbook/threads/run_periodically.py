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
    the error is logged at once, with its traceback, and the next call is at
    its time. A program that has not set up logging prints it on stderr. A job
    that calls :func:`sys.exit` ends the calls, without a word.

If it takes too long
    the next call is at the next time that has not passed. Missed calls are
    left out, and two calls never run at the same time. The end of the block
    waits for the call that runs.

On Ctrl-C
    the ``with`` block stops the calls, then :exc:`KeyboardInterrupt` goes on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

logger = logging.getLogger(__name__)


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
    thread = threading.Thread(target=call_every, args=(interval, job, stop))
    try:
        thread.start()
        yield
    finally:
        stop.set()
        if thread.ident:  # it was started
            thread.join()


def call_every(
    interval: float, job: Callable[[], object], stop: threading.Event
) -> None:
    """Call *job* every *interval* seconds until *stop* is set.

    Args:
        interval: The seconds from one call to the next.
        job: Called in this thread, the first time at once.
        stop: No call begins after a wait for it has returned True.
    """
    start = time.monotonic()
    number = 0
    while not stop.wait(max(0, start + number * interval - time.monotonic())):
        try:
            job()
        except Exception:
            logger.exception("%r failed", job)
        number = max(number + 1, ceil((time.monotonic() - start) / interval))


def main() -> None:
    """Call a job each millisecond, three times.

    >>> main()
    3 calls, then stopped
    """
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
    """Call a job of 3 minutes each 10 minutes, until the hour is over.

    >>> broken_main()
    calls at [0, 13, 26, 39, 52], stopped at 65
    """
    now, end = 0.0, 60
    calls: list[int] = []
    stop = threading.Event()

    def pass_time(minutes: float) -> None:
        nonlocal now
        now += minutes
        if now >= end:
            stop.set()

    def job() -> None:
        calls.append(round(now))
        pass_time(3)

    broken_call_every(10, job, stop, sleep=pass_time)
    print(f"calls at {calls}, stopped at {now:.0f}")


if __name__ == "__main__":
    main()
    broken_main()
