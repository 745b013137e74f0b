"""Give large data to worker processes.

All that goes to a worker, a DataFrame or an array too, is pickled, written to
a pipe, read and built again, for each job anew. So do not send the data. Send
a path and let the worker read its part. Or send a slice, which copies each
part once. Or give the whole to each worker once, through ``initializer``, and
send ranges; under fork nothing is sent then but the ranges. What a job returns
travels in the same way: return the sum and not the table.

To see what a job costs, look at ``len(pickle.dumps(job))``.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:told by: the recipe's own ``bytes_sent``
:search: multiprocessing large argument pickle slow, send a DataFrame to each
    task, large array, multiprocessing slower than serial, overhead of pickle,
    copy data to workers once, initializer, initargs, pass data by path,
    multiprocessing memory usage each process, workers use too much memory,
    copy-on-write, read-only global, MemoryError, mmap, memmap

Use this when
    jobs read parts of data that is large beside their work. Sending 100 MB to
    a worker of a pool took about a thousand times as long as sending one byte,
    which is no more than the round trip (measured on CPython 3.13).

Prefer instead
    :mod:`cookbook.processes.worker_state` for what is built rather than sent.
    :mod:`cookbook.processes.shared_memory` when workers write to the data, or
    read a large array again and again. Libraries for arrays can map a file
    into memory, as ``numpy.load(path, mmap_mode="r")`` does, so that a worker
    reads only what it touches; joblib does so by itself with a large array
    (documented there).

Pitfalls
    - A bound method takes its object along, and a partial its arguments. They
      are sent with each job of ``submit`` and each chunk of ``map``.
    - Under fork a global of the parent is in the worker, and nothing is sent.
      Under spawn and forkserver it is not there: see
      :mod:`cookbook.processes.start_methods`.
    - Why workers need so much memory: each has its own interpreter, all that
      your main module imports, what it was sent, and its answers. Import less
      in the main module, start fewer workers, and send parts. ``map`` of
      a pool keeps all answers until the end; ``imap`` hands each out as it
      comes. ``max_tasks_per_child=1``, or ``maxtasksperchild`` of a pool,
      replaces a worker that has grown: see
      :mod:`cookbook.processes.recycle_workers`, which says why 1.
    - A forked worker shares the parent's memory until one of them writes to
      it, and Python writes to almost every object that it uses, since it
      counts the references (documented: :pep:`683`).

If a job raises
    the error is raised again in the parent; the other jobs still run.

If a worker is killed
    by the system when memory runs out, or otherwise:
    :exc:`~concurrent.futures.process.BrokenProcessPool`.
"""

import multiprocessing
import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from pathlib import Path

from cookbook.primes import WORKERS, split_range

Job = Callable[[], int]
KEPT: list[Sequence[int]] = []  # what this worker was given when it started


def sum_of_file(path: Path, start: int, stop: int) -> int:
    """Sum the numbers from *start* to *stop* of a file, and read no others."""
    numbers = array("q")
    with path.open("rb") as file:
        file.seek(start * numbers.itemsize)
        numbers.fromfile(file, stop - start)
    return sum(numbers)


def by_path(path: Path, parts: int) -> list[Job]:
    """Return jobs that sum a file of ints of 64 bits, each a part of it.

    Args:
        path: The file.
        parts: How many jobs at most.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    length = path.stat().st_size // array("q").itemsize
    spans = split_range(0, length, parts)
    return [partial(sum_of_file, path, *span) for span in spans]


def by_slice(numbers: Sequence[int], parts: int) -> list[Job]:
    """Return jobs that sum *numbers*, each with a part of them."""
    spans = split_range(0, len(numbers), parts)
    return [partial(sum, numbers[start:stop]) for start, stop in spans]


def keep(numbers: Sequence[int]) -> None:
    """Keep the data in this process, for :func:`sum_kept`."""
    KEPT[:] = [numbers]


def sum_kept(start: int, stop: int) -> int:
    """Sum a part of the data that this process was given."""
    return sum(KEPT[0][start:stop])


def by_range(numbers: Sequence[int], parts: int) -> list[Job]:
    """Return jobs that sum what :func:`keep` was called with."""
    spans = split_range(0, len(numbers), parts)
    return [partial(sum_kept, *span) for span in spans]


def bytes_sent(jobs: Iterable[Job]) -> int:
    """Return how many bytes the jobs are when they are pickled.

    Example:
        >>> from array import array
        >>> from cookbook.processes.big_data import by_slice, bytes_sent
        >>> bytes_sent(by_slice(array("q", range(1000)), 4)) > 8000
        True
    """
    return sum(len(pickle.dumps(job)) for job in jobs)


def total(
    jobs: Iterable[Job],
    *,
    kept: Sequence[int] = (),
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> int:
    """Run the jobs in worker processes, and add up their answers.

    Args:
        jobs: What to run.
        kept: Given to each worker once, for the jobs of :func:`by_range`.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        ValueError: If *workers* is less than 1.
        concurrent.futures.process.BrokenProcessPool: If a worker is killed.

    Example:
        >>> from array import array
        >>> from cookbook.processes.big_data import by_range, total
        >>> numbers = array("q", [1, 2, 3, 4])
        >>> total(by_range(numbers, 2), kept=numbers, workers=2)
        10
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=keep, initargs=(kept,)
    ) as executor:
        futures = [executor.submit(job) for job in jobs]
    return sum(future.result() for future in futures)


def show(name: str, jobs: list[Job], kept: Sequence[int] = ()) -> None:
    """Print the sum of 10,000 numbers, and how often they are sent."""
    times = round(bytes_sent(jobs) / 80_000)
    answer = total(jobs, kept=kept, workers=2)
    print(f"{name}: {answer}, all data is sent {times} times")


def main() -> None:
    """Sum numbers in four jobs, which are sent in three ways.

    >>> main()
    a path: 49995000, all data is sent 0 times
    a slice: 49995000, all data is sent 1 times
    a range: 49995000, all data is sent 0 times
    """
    numbers = array("q", range(10_000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "numbers")
        path.write_bytes(numbers)
        show("a path", by_path(path, 4))
    show("a slice", by_slice(numbers, 4))
    show("a range", by_range(numbers, 4), kept=numbers)


class BrokenTable:
    """Sums parts of its numbers.

    Warning:
        A job that is a method of this object takes all its numbers along.
        Four jobs send them four times, a thousand jobs a thousand times.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers

    def sum(self, start: int, stop: int) -> int:
        """Sum the numbers from *start* to *stop*."""
        return sum(self.numbers[start:stop])


def broken_by_method(numbers: Sequence[int], parts: int) -> list[Job]:
    """Return jobs that look as small as those of :func:`by_range`."""
    table = BrokenTable(numbers)
    spans = split_range(0, len(numbers), parts)
    return [partial(table.sum, *span) for span in spans]


def broken_main() -> None:
    """Sum the same numbers in four jobs that are bound to them.

    >>> broken_main()
    a bound method: 49995000, all data is sent 4 times
    """
    numbers = array("q", range(10_000))
    show("a bound method", broken_by_method(numbers, 4))


if __name__ == "__main__":
    main()
    broken_main()
