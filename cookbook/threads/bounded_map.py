"""Map a function over an endless input in a pool.

``Executor.map`` reads the whole input and submits a job for each item before
it returns, so an endless input never gives a result, and a huge one fills the
memory. Submit a few jobs ahead and no more: read the next item when the oldest
result has been taken. Results come in the order of the items. Python 3.14 has
it built in, as ``pool.map(function, items, buffersize=8)``.

:models: threads, processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: lazy map, executor.map memory, executor.map infinite generator,
    executor.map consumes generator, buffersize, back-pressure, limit queue
    size of ThreadPoolExecutor, too many futures, imap, prefetch,
    submit blocks, "RuntimeError: cannot schedule new futures after shutdown",
    "TypeError: Executor.map() got an unexpected keyword argument 'buffersize'"

Use this when
    the input is endless, or too large to be in memory, or you may stop before
    its end.

Prefer instead
    ``pool.map(function, items, buffersize=ahead)`` where Python 3.14 is the
    oldest version that you support: it gives the same results in the same
    order. :mod:`cookbook.threads.thread_pool` for a short list.
    :mod:`cookbook.threads.as_completed` when the order does not matter.

Pitfalls
    - The queue of a :class:`~concurrent.futures.ThreadPoolExecutor` has no
      bound: ``submit`` never waits. Where you need no results, acquire a
      :class:`threading.Semaphore` before each ``submit`` and release it in
      the future's done callback; if ``submit`` raises, release it yourself.
    - ``buffersize`` is not the same to the item: ``map`` submits that many
      jobs when it is called, and one more before it waits for a result. This
      function reads nothing until the first result is asked for.
    - Take the results inside the pool's ``with`` block. After it, the next
      item raises ``RuntimeError: cannot schedule new futures after shutdown``.
    - A slow first job holds back the results behind it, and when all of these
      are there no further job is submitted. Let *ahead* be larger than the
      number of workers.
    - In a pool of processes the next few jobs, which are on their way to the
      workers, cannot be cancelled any more
      (:mod:`cookbook.processes.pool_or_executor`).
    - ``imap`` of a :class:`multiprocessing.pool.Pool` is no way out: it
      returns at once, but a thread of the pool reads on to the end of the
      input.

If a job raises
    the error is raised in place of its result, and the iteration is over:
    jobs that have not started are cancelled, those that run go on, and no
    further item is read. The same is true of an error in the input; the
    results that have not been taken are lost.

On cancellation
    of the iteration, by ``break`` or ``close()``, jobs that have not started
    are cancelled; by ``break`` only when nothing keeps the iterator. The end
    of the pool's ``with`` block waits for the others.

On Ctrl-C
    while a result is waited for, the same.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import count, islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def bounded_map(
    pool: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    ahead: int = 8,
) -> Iterator[R]:
    """Return an iterator over the results, in the order of *items*.

    Args:
        pool: Any executor, of threads or of processes.
        function: Called with one item in a worker of the pool.
        items: May be endless. Read in the thread that takes the results.
        ahead: At most so many jobs are submitted whose results have not been
            taken.

    Raises:
        ValueError: If *ahead* is less than 1.

    Example:
        >>> from itertools import count
        >>> from cookbook.threads.bounded_map import *
        >>> with ThreadPoolExecutor() as pool:
        ...     squares = bounded_map(pool, lambda n: n * n, count())
        ...     print(next(squares), next(squares), next(squares))
        0 1 4
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, not {ahead!r}")
    return take_results(pool, function, items, ahead)


def take_results(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """Yield the results."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == ahead:
                yield take_oldest(waiting)
        while waiting:
            yield take_oldest(waiting)
    finally:
        for future in waiting:
            future.cancel()


def take_oldest(waiting: deque[Future[R]]) -> R:
    """Wait for the oldest result, and only then take it out."""
    waiting[0].exception()
    return waiting.popleft().result()


def double(number: int) -> int:
    """Return twice the *number*."""
    return 2 * number


class CountedInput:
    """Numbers from 0, and how many of them have been read.

    Attributes:
        read: How many.
    """

    def __init__(self) -> None:
        self.read = 0

    def numbers(self, stop: int | None = None) -> Iterator[int]:
        """Yield the numbers below *stop*, or all."""
        for number in islice(count(), stop):
            self.read += 1
            yield number


def main() -> None:
    """Take three results of an endless input.

    >>> main()
    results: [0, 2, 4]
    items read: 6
    """
    source = CountedInput()
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = bounded_map(pool, double, source.numbers(), ahead=4)
        print("results:", list(islice(results, 3)))
    print("items read:", source.read)


def broken_map(
    pool: Executor, function: Callable[[T], R], items: Iterable[T]
) -> Iterator[R]:
    """Return an iterator over the results, when the input has ended.

    Warning:
        The built-in ``map`` reads an item when a result is asked for;
        ``Executor.map`` reads all of them at once, when it is called, and
        submits a job for each. If the input never ends, it never returns, and
        the list of jobs grows until the memory is full.
    """
    return pool.map(function, items)


def broken_main() -> None:
    """Take three results of an input that is not quite endless.

    >>> broken_main()
    items read before the first result: 1000
    results: [0, 2, 4]
    """
    source = CountedInput()
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = broken_map(pool, double, source.numbers(stop=1000))
        print("items read before the first result:", source.read)
        print("results:", list(islice(results, 3)))


if __name__ == "__main__":
    main()
    broken_main()
