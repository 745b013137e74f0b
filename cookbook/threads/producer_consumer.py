"""Hand work from a producer to consumers by a queue.

A :class:`queue.Queue` is all that the threads share, and it needs no lock of
yours. Give it a size: then ``put`` waits while it is full, and a producer
faster than its consumers is held back (back-pressure). At the end every
consumer has to be told: put one sentinel for each or, from Python 3.13 on,
call ``shutdown()``, which tells them all.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds that a
    consumer waits for ever on every schedule
:search: producer-consumer, bounded buffer, work queue, worker threads with a
    queue, back-pressure, sentinel, poison pill, queue memory grows, queue.join
    hangs, consumer thread never ends, queue.get blocks for ever, get_nowait,
    maxsize, "queue.ShutDown", "queue.Empty", "queue.Full", "ValueError:
    task_done() called too many times", "AttributeError: 'Queue' object has no
    attribute 'shutdown'"

Use this when
    items come one after another, from a file, a socket or a generator, and
    some threads work on them meanwhile.

Prefer instead
    :mod:`cookbook.threads.thread_pool` when all the items are there at the
    start; :mod:`cookbook.threads.bounded_map` when you want the results too;
    :mod:`cookbook.threads.pipeline` when the work has several steps.

Pitfalls
    - ``None`` is no sentinel where an item may be ``None``. Use an object of
      your own, and compare it by ``is``.
    - Do not ask ``empty()`` before ``get()``: another consumer may take the
      last item in between, and ``get()`` waits for ever.
    - ``join()`` waits until ``task_done()`` was called once for each item ever
      put, sentinels included: call it in a ``finally``. A call missing, and
      ``join()`` waits for ever; one more, and you get ``ValueError:
      task_done() called too many times``. You need neither when you wait for
      the threads themselves, as here.
    - After ``shutdown()``, ``put`` raises ``queue.ShutDown`` at once, and
      ``get`` when the queue is empty. ``shutdown(immediate=True)`` throws away
      what is left, and counts it as done for ``join()``.

If a job raises
    the producer stops, what is still in the queue is thrown away, the other
    consumers end, and the error goes to the caller. An error in the items
    ends the consumers too, when they have worked on what is in the queue.

On Ctrl-C
    the producer stops, on POSIX even when it waits in ``put``; what is in the
    queue is still worked on, then :exc:`KeyboardInterrupt` goes to the
    caller. Rarely it comes just after ``put`` took the lock of the queue:
    nobody gives the lock back, and the call does not return.
"""

import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any, TypeVar

T = TypeVar("T")
STOP: Any = object()


def process_until_sentinel(
    items: Iterable[T],
    work: Callable[[T], object],
    *,
    consumers: int = 2,
    ahead: int = 10,
) -> None:
    """Call *work* for each of *items* in threads; return when all are done.

    Args:
        items: Read in the calling thread, as fast as the consumers allow.
        work: Called with one item at a time in each of the threads.
        consumers: How many threads to use.
        ahead: How many items may wait in the queue.

    Raises:
        ValueError: If *consumers* or *ahead* is less than 1.

    Example:
        >>> from cookbook.threads.producer_consumer import *
        >>> done = []
        >>> process_until_sentinel("abc", done.append)
        >>> sorted(done)
        ['a', 'b', 'c']
    """
    jobs: queue.Queue[T] = queue.Queue(maxsize=at_least_1(ahead))
    failed = threading.Event()
    working: list[Any] = []
    with ThreadPoolExecutor(consumers) as pool:
        try:
            working.extend(
                pool.submit(consume, jobs, work, failed)
                for _ in range(consumers)
            )
            produce(items, jobs, failed)
        finally:
            # Also for one that waits in the pool as its thread did not start.
            finish(jobs, len(working) + 1)
        for consumer in working:
            consumer.result()


def at_least_1(ahead: int) -> int:
    """Return *ahead*; a queue of size 0 would have no bound."""
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, not {ahead!r}")
    return ahead


def produce(
    items: Iterable[T], jobs: queue.Queue[T], failed: threading.Event
) -> None:
    """Put *items* until a consumer has failed."""
    for item in items:
        if failed.is_set():
            return
        jobs.put(item)


def finish(jobs: queue.Queue[T], consumers: int) -> None:
    """Put one sentinel for each consumer."""
    for _ in range(consumers):
        jobs.put(STOP)


def consume(
    jobs: queue.Queue[T], work: Callable[[T], object], failed: threading.Event
) -> None:
    """Work on items until the sentinel; after an error throw them away."""
    try:
        while (item := jobs.get()) is not STOP:
            if not failed.is_set():
                work(item)
    except BaseException:
        failed.set()
        while jobs.get() is not STOP:  # or the producer waits for ever
            pass
        raise


def process_until_shutdown(
    items: Iterable[T],
    work: Callable[[T], object],
    *,
    consumers: int = 2,
    ahead: int = 10,
) -> None:
    """Do the same with ``Queue.shutdown``, from Python 3.13 on.

    Raises:
        NotImplementedError: Before Python 3.13.
        ValueError: If *consumers* or *ahead* is less than 1.
    """
    if sys.version_info >= (3, 13):
        jobs: queue.Queue[T] = queue.Queue(maxsize=at_least_1(ahead))

        def consume() -> None:
            while True:
                try:
                    item = jobs.get()
                except queue.ShutDown:
                    return
                try:
                    work(item)
                except BaseException:
                    jobs.shutdown(immediate=True)
                    raise

        with ThreadPoolExecutor(consumers) as pool:
            try:
                working = [pool.submit(consume) for _ in range(consumers)]
                for item in items:
                    try:
                        jobs.put(item)
                    except queue.ShutDown:  # a consumer has failed
                        break
            finally:
                jobs.shutdown()
            for consumer in working:
                consumer.result()
        return
    raise NotImplementedError("Queue.shutdown needs Python 3.13")


def main() -> None:
    """Let a fast producer feed two consumers, in each way that there is.

    >>> main()  # 3.11 to 3.12
    by sentinel: 100 items done, never more than 5 ahead: True
    >>> main()  # 3.13 and later
    by sentinel: 100 items done, never more than 5 ahead: True
    by shutdown: 100 items done, never more than 5 ahead: True
    """
    print("by sentinel:", feed(process_until_sentinel))
    if sys.version_info >= (3, 13):
        print("by shutdown:", feed(process_until_shutdown))


def feed(process: Callable[..., None]) -> str:
    """Tell how far a producer that never pauses gets ahead of consumers."""
    consumers, ahead = 2, 2
    done: list[int] = []
    backlog: list[int] = []

    def read() -> Iterator[int]:
        for number in range(100):
            backlog.append(number + 1 - len(done))
            yield number

    process(read(), done.append, consumers=consumers, ahead=ahead)
    # those in the queue, one with each consumer, one with the producer
    is_bounded = max(backlog) <= ahead + consumers + 1
    return f"{len(done)} items done, never more than 5 ahead: {is_bounded}"


def broken_produce(items: Iterable[T], jobs: queue.Queue[Any]) -> None:
    """Put *items*, and then a sentinel.

    Warning:
        One sentinel stops one consumer; each of the others waits for ever.
        And if the queue was made without a size, ``put`` never waits: all the
        items are in memory as soon as the producer has read them.
    """
    for item in items:
        jobs.put(item)
    jobs.put(STOP)


def broken_main() -> None:
    """Feed two slow consumers by a queue without a size, and stop one.

    >>> broken_main()
    items put: 1000, done: 0
    consumers ended: 1 of 2
    """
    jobs: queue.Queue[int] = queue.Queue()
    go_on, failed = threading.Event(), threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        go_on.wait(timeout=10)
        done.append(number)

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(consume, jobs, work, failed) for _ in range(2)]
        try:
            broken_produce(range(1000), jobs)
            print(f"items put: 1000, done: {len(done)}")
            go_on.set()
            wait(working, timeout=10, return_when=FIRST_COMPLETED)
            ended, _ = wait(working, timeout=0.1)
            print(f"consumers ended: {len(ended)} of 2")
        finally:
            go_on.set()
            finish(jobs, 2)


if __name__ == "__main__":
    main()
    broken_main()
