"""Join stages by bounded queues, and stop them all on an error.

Each stage is a thread that takes from one queue and puts into the next. The
queues are bounded, so the slowest stage holds back all before it. When a stage
fails it must not simply end: the stage before it would wait for ever to put,
the stage after it to get. It sets an event that stops the input, goes on
emptying its own queue until the sentinel, and puts the sentinel for the next.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the deadlock;
    :func:`faulthandler.dump_traceback_later`, which shows that one thread
    waits in ``put`` and one in ``get``
:search: pipeline, stages, chain of queues, producer-consumer chain, bounded
    queues, back-pressure, queue.put blocks for ever, queue full hang, worker
    thread died queue hangs, error in a stage, poison pill, ETL, dataflow

Use this when
    each item passes through steps that wait for different things, such as to
    download, to unpack and to store.

Prefer instead
    one function that calls the steps, and :mod:`cookbook.threads.bounded_map`,
    when a step needs no thread of its own: then many items are under way, and
    an error belongs to one of them.
    :mod:`cookbook.threads.producer_consumer` for a single step.

Pitfalls
    - The order of the items is kept because each stage is one thread.
    - ``queue.Queue.shutdown(immediate=True)`` (from 3.13) wakes those who
      wait at one queue. It does not travel on: call it on every queue.
    - The input is read in the thread that calls. While it waits for its next
      item, no error of a stage can stop it.

If a job raises
    no stage begins another item, at most one more item of the input is read,
    the items under way are thrown away, and the error goes to the caller when
    all threads have ended. If two fail, it is the error of the earlier stage.
    An error in the input does the same.

On Ctrl-C
    the same, with :exc:`KeyboardInterrupt`, when each stage has ended the item
    that it is at.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import count
from queue import Queue
from typing import Any

STOP: Any = object()
Stage = Callable[[Any], object]


def run_pipeline(
    items: Iterable[object], *stages: Stage, ahead: int = 4
) -> None:
    """Pass each of *items* through all *stages*; wait for the last.

    Args:
        items: May be endless. Read in the calling thread.
        stages: Functions, each called in a thread of its own with what the
            one before it returned. What the last one returns is dropped.
        ahead: How many items may wait before each stage.

    Raises:
        ValueError: If there is no stage, or *ahead* is less than 1.

    Example:
        >>> from cookbook.threads.pipeline import run_pipeline
        >>> numbers = []
        >>> run_pipeline(["1", "22"], len, abs, numbers.append)
        >>> numbers
        [1, 2]
    """
    if not stages or ahead < 1:
        raise ValueError(f"{len(stages)} stages with {ahead!r} items ahead")
    boxes: list[Queue[Any]] = [Queue(maxsize=ahead) for _ in stages]
    failed = threading.Event()
    with ThreadPoolExecutor(max_workers=len(stages)) as pool:
        try:
            running = [
                pool.submit(run_stage, *one, failed)
                for one in zip(stages, boxes, [*boxes[1:], None], strict=True)
            ]
            feed(items, boxes[0], failed)
            boxes[0].put(STOP)
            for stage in running:
                stage.result()
        except BaseException:
            failed.set()
            boxes[0].put(STOP)
            raise


def feed(
    items: Iterable[object], outbox: Queue[Any], failed: threading.Event
) -> None:
    """Put *items* until a stage has failed."""
    for item in items:
        if failed.is_set():
            return
        outbox.put(item)


def run_stage(
    function: Stage,
    inbox: Queue[Any],
    outbox: Queue[Any] | None,
    failed: threading.Event,
) -> None:
    """Hand on what *function* makes of each item, until the sentinel."""
    try:
        while (item := inbox.get()) is not STOP:
            if not failed.is_set():
                result = function(item)
                if outbox is not None:
                    outbox.put(result)
    except BaseException:
        failed.set()
        while inbox.get() is not STOP:  # or the stage before waits for ever
            pass
        raise
    finally:
        if outbox is not None:
            outbox.put(STOP)  # or the stage after waits for ever


def divide(number: int) -> float:
    """Do what a stage does; this one fails at 3."""
    return 6 / (3 - number)


def main() -> None:
    """Run a pipeline to its end, and one whose second stage fails.

    >>> main()
    results: [2.0, 3.0, 6.0]
    endless input: ZeroDivisionError: division by zero
    threads left: 0
    """
    results: list[object] = []
    before = threading.active_count()
    run_pipeline(["0", "1", "2"], int, divide, results.append)
    print("results:", results)
    try:
        run_pipeline(map(str, count()), int, divide, results.append)
    except ZeroDivisionError as error:
        print(f"endless input: {type(error).__name__}: {error}")
    print("threads left:", threading.active_count() - before)


def broken_stage(
    function: Stage, inbox: Queue[Any], outbox: Queue[Any]
) -> None:
    """Hand on what *function* makes of each item, until the sentinel.

    Warning:
        If *function* raises, this thread is gone. Nobody empties *inbox* any
        more: when it is full, the stage before waits in ``put`` for ever.
        Nobody puts the sentinel either: the stage after waits in ``get`` for
        ever. A caller that waits for these never sees the error.
    """
    while (item := inbox.get()) is not STOP:
        outbox.put(function(item))
    outbox.put(STOP)


def broken_main() -> None:
    """Let the second of three stages fail.

    >>> broken_main()
    second stage: division by zero
    still waiting: first, third
    """
    first, second = Queue[Any](maxsize=1), Queue[Any](maxsize=1)
    failed = threading.Event()
    with ThreadPoolExecutor(max_workers=3) as pool:
        stages = {
            pool.submit(feed, range(10), first, failed): "first",
            pool.submit(broken_stage, divide, first, second): "second",
            pool.submit(run_stage, abs, second, None, failed): "third",
        }
        try:
            failing, _ = wait(stages, return_when=FIRST_COMPLETED)
            for one in failing:
                print(f"{stages[one]} stage: {one.exception()}")
            _, waiting = wait(stages, timeout=0.1)
            names = sorted(stages[one] for one in waiting)
            print("still waiting:", ", ".join(names))
        finally:
            failed.set()
            first.get(timeout=10)
            second.put(STOP)


if __name__ == "__main__":
    main()
    broken_main()
