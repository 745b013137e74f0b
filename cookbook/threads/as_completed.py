"""Take each result as soon as it is there.

:func:`concurrent.futures.as_completed` yields futures in the order in which
their jobs end, whatever the order in which you submitted them. It does not say
which input a future belongs to: keep that in a dictionary from future to item.
A loop over the futures themselves waits for the first one first, even if it is
the slowest.

:models: threads, processes
:work: CPU-bound, I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: as_completed, order of completion, results out of order, first result,
    fastest first, show progress of threads, which
    input does a future belong to, future to item, completed futures,
    executor.map waits for the slowest, "futures unfinished", TimeoutError

Use this when
    you handle or count each result when it comes, as a progress bar does, or
    want the first good one.

Prefer instead
    :mod:`cookbook.threads.thread_pool` when you need the results in the order
    of the items; :mod:`cookbook.threads.bounded_map` when there are too many
    items to submit all of them first; :func:`concurrent.futures.wait` when
    you want to know which ones are done, not to loop over them.

Pitfalls
    - Futures that are already done when the loop starts come first, in any
      order.
    - A future given twice comes once: ``as_completed`` makes a set of them.
    - A list or a dictionary of futures keeps each result until it is dropped
      itself. Here a future is taken out of the dictionary before you get it.
    - No job is submitted before you ask for the first result.
    - In a pool of processes the next few jobs, which are on their way to the
      workers, cannot be cancelled any more
      (:mod:`cookbook.processes.pool_or_executor`).

If a job raises
    its future comes when the job ends, like any other, and ``result()`` raises
    the error: catch it inside the loop, and you know the item and go on.
    If an error comes out of the items, jobs that have not started are
    cancelled.

If it takes too long
    :exc:`TimeoutError` is raised in the loop, such as ``1 (of 2) futures
    unfinished``. *timeout* is for all jobs together, from the moment when the
    last is submitted, and your own work in the loop counts too. Jobs that
    have not started are cancelled; those that run go on
    (:mod:`cookbook.threads.pool_timeouts`).

On cancellation
    of the iteration, by ``break`` or ``close()``, jobs that have not started
    are cancelled; by ``break`` only when nothing keeps the iterator. A future
    that somebody else cancels comes too, and ``result()`` raises
    :exc:`~concurrent.futures.CancelledError`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
    wait,
)
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_as_completed(
    pool: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    timeout: float | None = None,
) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item, with its future, when its job has ended.

    Args:
        pool: Any executor, of threads or of processes.
        function: Called with one item in a worker of the pool.
        items: All of them are submitted before the first is yielded.
        timeout: How many seconds the whole iteration may take.

    Raises:
        TimeoutError: If jobs are unfinished after *timeout* seconds.
        ValueError: If *timeout* is out of range; nothing is submitted.

    Example:
        >>> from cookbook.threads.as_completed import *
        >>> lengths = {}
        >>> with ThreadPoolExecutor() as pool:
        ...     for word, job in map_as_completed(pool, len, ["a", "bcd"]):
        ...         lengths[word] = job.result()
        >>> sorted(lengths.items())
        [('a', 1), ('bcd', 3)]
    """
    if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    item_of: dict[Future[R], T] = {}
    try:
        for item in items:
            item_of[pool.submit(function, item)] = item
        for future in as_completed(item_of, timeout):
            yield item_of.pop(future), future
    finally:
        for future in item_of:
            future.cancel()


class Pages:
    """Two pages; the slow one comes when the other one has been reported.

    Attributes:
        reported: Set when a page has been reported.
        patience: For how many seconds the slow one waits for that.
    """

    def __init__(self, patience: float) -> None:
        self.reported = threading.Event()
        self.patience = patience

    def fetch(self, name: str) -> str:
        """Return the page of that name."""
        if name == "missing":
            raise ValueError("no such page")
        in_time = self.reported.wait(self.patience)
        return "came last" if in_time else "held back the other"

    def report(self, pages: Iterable[tuple[str, Future[str]]]) -> None:
        """Print each page when it comes."""
        for count, (name, future) in enumerate(pages, start=1):
            try:
                text = future.result()
            except ValueError as error:
                text = f"failed, {error}"
            print(f"{count} of 2: {name}: {text}")
            self.reported.set()


def main() -> None:
    """Report one page while the one submitted before it is on its way.

    >>> main()
    1 of 2: missing: failed, no such page
    2 of 2: slow: came last
    """
    pages = Pages(patience=10)
    with ThreadPoolExecutor(max_workers=2) as pool:
        pages.report(map_as_completed(pool, pages.fetch, ["slow", "missing"]))


def broken_map(
    pool: Executor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[tuple[T, Future[R]]]:
    """Yield each item, with its future, when its job has ended.

    Warning:
        This is the order in which the jobs were submitted. While the first
        one runs you learn nothing of the others, though they may have ended
        or failed long ago, and the progress stands still.
    """
    futures = [(item, pool.submit(function, item)) for item in items]
    for item, future in futures:
        wait([future])
        yield item, future


def broken_main() -> None:
    """Report nothing until the first page comes.

    >>> broken_main()
    1 of 2: slow: held back the other
    2 of 2: missing: failed, no such page
    """
    pages = Pages(patience=0.1)
    with ThreadPoolExecutor(max_workers=2) as pool:
        pages.report(broken_map(pool, pages.fetch, ["slow", "missing"]))


if __name__ == "__main__":
    main()
    broken_main()
