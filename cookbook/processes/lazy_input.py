"""Feed a process pool from an endless input.

``Executor.map`` and ``Pool.map`` read the whole input before they give the
first result. ``Pool.imap`` returns at once, but a thread of the pool reads on,
and the results that nobody has taken pile up in the parent. Submit a few
chunks ahead and no more, and read the next one when a result is wanted: then
the memory holds *ahead* chunks, however long the input is. From Python 3.14
``executor.map(function, items, buffersize=ahead)`` does it.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: lazy imap, imap generator memory, Pool.imap consumes whole iterator,
    Pool.imap reads ahead, executor.map infinite generator, large file line by
    line with multiprocessing, read in chunks, buffersize, back-pressure,
    out of memory, limit pending jobs of ProcessPoolExecutor,
    "TypeError: ProcessPoolExecutor.map() got an unexpected keyword argument
    'buffersize'"

Use this when
    the input is endless or larger than the memory, such as the lines of a
    file, or you may stop before its end.

Prefer instead
    - ``executor.map(function, items, buffersize=ahead, chunksize=size)`` from
      Python 3.14 on. There, too, *buffersize* counts chunks.
    - :mod:`cookbook.threads.bounded_map` for threads, or for an executor that
      exists already.

Pitfalls
    - The input is read in the parent, by the thread that takes the results;
      while that is busy with a result, the workers run out of jobs after
      *ahead* chunks. Let it be twice the number of workers at least.
    - A chunk that takes long holds back the results behind it.
    - A generator that is left half way still holds its workers. Close it, as
      :func:`contextlib.closing` does.

If a job raises
    the error is raised in place of its chunk, and the iteration is over: what
    is queued is cancelled, the workers end, no further item is read.

On cancellation
    of the iteration, by ``close()``, the same. The chunks that run are waited
    for, and up to one for each worker and one more that have been sent.

If a worker is killed
    :exc:`BrokenProcessPool <concurrent.futures.process.BrokenProcessPool>` is
    raised at the next result that is not there.
"""

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from itertools import count, islice
from multiprocessing.context import BaseContext
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def lazy_map(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int = 2,
    ahead: int = 4,
    chunksize: int = 1,
    context: BaseContext | None = None,
) -> Generator[R, None, None]:
    """Return an iterator over the results, in the order of *items*.

    Args:
        function: A function of a module, which a worker can import.
        items: May be endless. Nothing is read before the first result is
            asked for.
        workers: How many processes to start at most.
        ahead: At most so many chunks are sent whose results have not been
            taken.
        chunksize: How many items are sent at once.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        ValueError: If *workers*, *ahead* or *chunksize* is less than 1.
    """
    for name, value in (
        ("workers", workers),
        ("ahead", ahead),
        ("chunksize", chunksize),
    ):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value!r}")
    iterator = iter(items)
    chunks = iter(lambda: list(islice(iterator, chunksize)), [])
    context = context or multiprocessing.get_context()
    return take_results(function, chunks, workers, ahead, context)


def take_results(
    function: Callable[[T], R],
    chunks: Iterable[list[T]],
    workers: int,
    ahead: int,
    context: BaseContext,
) -> Generator[R, None, None]:
    """Start the workers, and yield the results."""
    waiting: deque[Future[list[R]]] = deque()
    with ProcessPoolExecutor(workers, context) as executor:
        try:
            for chunk in chunks:
                waiting.append(executor.submit(run_chunk, function, chunk))
                if len(waiting) == ahead:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            executor.shutdown(cancel_futures=True)


def run_chunk(function: Callable[[T], R], chunk: list[T]) -> list[R]:
    """Call *function* for each item of a chunk, in a worker."""
    return [function(item) for item in chunk]


class CountedInput:
    """Numbers from 0, and how many of them have been read.

    Attributes:
        read: How many.
        ended: Set when all have been read.
    """

    def __init__(self) -> None:
        self.read = 0
        self.ended = threading.Event()

    def numbers(self, stop: int | None = None) -> Iterator[int]:
        """Yield the numbers below *stop*, or all."""
        for number in islice(count(), stop):
            self.read += 1
            yield number
        self.ended.set()


def main() -> None:
    """Take three results of an endless input.

    >>> main()
    results: [0, 1, 2]
    items read: 6
    """
    source = CountedInput()
    with closing(lazy_map(abs, source.numbers(), ahead=4)) as results:
        print("results:", list(islice(results, 3)))
    print("items read:", source.read)


def broken_lazy_map(
    function: Callable[[int], R],
    source: CountedInput,
    stop: int,
    *,
    context: BaseContext | None = None,
) -> tuple[int, list[R]]:
    """Take three results late; tell how many items had been read by then.

    Warning:
        ``imap`` gives results one at a time, but asks for items all the time:
        a thread of the pool sends them as fast as the workers take them,
        whether anybody takes the results or not. These wait in a queue of the
        parent that has no bound.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(2) as pool:
        results = pool.imap(function, source.numbers(stop))
        source.ended.wait(timeout=60)  # the parent is busy with other things
        return source.read, list(islice(results, 3))


def broken_main() -> None:
    """Take three results of an input that is not quite endless.

    >>> broken_main()
    items read before the first result is taken: 1000
    results: [0, 1, 2]
    """
    read, results = broken_lazy_map(abs, CountedInput(), 1000)
    print("items read before the first result is taken:", read)
    print("results:", results)


if __name__ == "__main__":
    main()
    broken_main()
