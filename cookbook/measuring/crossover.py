"""Find how long a job must be for a pool to pay.

A pool is slower than the plain loop if it adds more time than it saves. It
adds the start of its workers once, and to each job a message there and one
back: pickled, written to a pipe, read and unpickled. With *w* workers it saves
at most ``(w - 1) / w`` of the work. So all the work has to take longer than
``(start + jobs * message) * w / (w - 1)``. This is the cross-over. A job
shorter than ``message * w / (w - 1)`` never pays, however many there are.

Measure both: the time of a pool that does nothing, and the time of one item in
the loop. If an item is too short, put many into one job: a job of at least
``10 * w`` times the cost of an empty one, which is some milliseconds. Keep one
pool for the whole program, and send less: a range or a path, not the data.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: cross-over, break-even, multiprocessing pool slower than for loop,
    multiprocessing slower than single process, ProcessPoolExecutor slow, when
    does multiprocessing pay off, is it worth it, overhead of multiprocessing,
    overhead of pickling, IPC cost, tasks too small, batch small tasks, batch
    size, chunksize, granularity, how long should a task be, reuse the pool,
    pool created in a loop, pool.apply in a loop, submit result in a loop, no
    speedup

Use this when
    a pool is slower than the loop, or you want to know before you write one.

Prefer instead
    the plain loop when all of it takes less than the cross-over of the start.
    :mod:`cookbook.processes.chunk_size` when the jobs pay and you only want a
    good number of them.

Pitfalls
    - The formula gives the least. A worker that has nothing to do sleeps, and
      has to be woken: an executor and a pool drew level with the loop at up
      to twice that (measured on Python 3.13 on Linux with 2 cores, start
      method fork).
    - The cost of a job grows with what is sent: the empty jobs here are sent
      your items. What comes back is not in it; if answers are large, let the
      workers reduce them.
    - Measure in your own program. Under spawn each worker imports your main
      module, and all that it imports; under forkserver each worker does so or
      the server does (:mod:`cookbook.processes.main_guard`). That is in the
      start.
    - The start and the loop are measured once each, and nothing is warmed up.
      A program's first pool may take several times as long as a later one
      (:mod:`cookbook.measuring.time_it_right`).
    - More workers than CPUs save nothing more
      (:mod:`cookbook.processes.how_many_workers`), and jobs of unequal length
      save less.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import cycle, islice
from multiprocessing.context import BaseContext
from statistics import median
from typing import Any, Generic, NamedTuple, TypeVar

from cookbook.primes import WORKERS, checked, is_prime

T = TypeVar("T")
R = TypeVar("R")
JOBS, ROUNDS = 100, 5  # empty jobs in a round; the median of the rounds counts


class Costs(NamedTuple):
    """What decides whether a pool pays, in seconds.

    Attributes:
        start: To start a pool and to end it.
        job: To send one job that does nothing, and to get its answer.
        item: To do the work of one item in the plain loop.
    """

    start: float
    job: float
    item: float


def crossover(cost: float, workers: int) -> float:
    """Return how long work must take for a pool to be no slower.

    Args:
        cost: What the pool adds to the work: to a job, or at its start.
        workers: How many there are, each on a CPU of its own.

    Raises:
        ValueError: If *workers* is less than 2, which saves nothing.

    Example:
        >>> from cookbook.measuring.crossover import crossover
        >>> crossover(cost=90, workers=2), crossover(cost=90, workers=4)
        (180.0, 120.0)
    """
    if workers <= 1:
        raise ValueError(f"workers must be at least 2, not {workers!r}")
    return cost * workers / (workers - 1)


def items_in_a_job(costs: Costs, workers: int, *, times: int = 10) -> int:
    """Return how many items to send at once, for a job that pays well.

    Args:
        costs: What was measured.
        workers: How many share the work.
        times: How much longer the work of the jobs is to take than sending
            them; with 10, ten elevenths of the workers' time is work.

    Raises:
        ValueError: If *workers* or *times* is less than 1.

    Example:
        >>> from cookbook.measuring.crossover import Costs, items_in_a_job
        >>> items_in_a_job(Costs(start=0.02, job=9e-5, item=1e-6), workers=2)
        1800
    """
    if workers < 1 or times < 1:
        raise ValueError(f"less than 1: {workers=}, {times=}")
    return max(1, round(times * workers * costs.job / costs.item))


def nothing(_: object) -> None:
    """Stand for a job that takes no time; it gets what your jobs get."""


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return how long *work* takes, by this clock."""
    begin = clock()
    work()
    return clock() - begin


def measured(
    function: Callable[[T], object],
    items: Sequence[T],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Costs:
    """Measure a pool that does nothing, and *function* in the plain loop.

    Args:
        function: The work; it is called here, and not in a worker.
        items: Some of what it is called with: enough for 0.1 s or more.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.
        clock: Returns the time, in seconds.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1, or there are no *items*.
    """
    checked((), workers)
    if not items:
        raise ValueError("there are no items to measure")
    pool = partial(ProcessPoolExecutor, workers, mp_context=context)
    empty = list(islice(cycle(items), JOBS))

    def start_and_end() -> None:
        with pool() as executor:
            list(executor.map(nothing, empty[:workers]))

    start = timed(start_and_end, clock)
    with pool() as executor:
        rounds = [
            timed(lambda: list(executor.map(nothing, empty)), clock)
            for _ in range(ROUNDS)
        ]
    loop = timed(lambda: [function(item) for item in items], clock)
    return Costs(start, median(rounds) / JOBS, loop / len(items))


def map_batches(
    function: Callable[[T], R],
    batches: Iterable[Iterable[T]],
    *,
    size: int,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[list[R]]:
    """Call *function* for all items of all batches, in one pool.

    Args:
        function: Called with one item in a worker; a function of a module.
        batches: What to call it with; all of one batch is done before the
            next is read.
        size: How many items make a job: see :func:`items_in_a_job`.
        workers: How many processes to start at most.
        context: The start method's context, as above.

    Raises:
        TypeError: If *workers* is not an int.
        ValueError: If *workers* or *size* is less than 1.

    Example:
        >>> from cookbook.measuring.crossover import map_batches
        >>> map_batches(abs, [[-1, -2], [3]], size=1000, workers=1)
        [[1, 2], [3]]
    """
    checked((), workers)
    if size < 1:
        raise ValueError(f"size must be at least 1, not {size!r}")
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return [
            list(executor.map(function, batch, chunksize=size))
            for batch in batches
        ]


class Counted(Generic[T, R]):
    """A function that counts how often it is sent: once with each job.

    Attributes:
        function: What is called in the worker.
        sent: How often it was pickled.
    """

    def __init__(self, function: Callable[[T], R]) -> None:
        self.function = function
        self.sent = 0

    def __getstate__(self) -> dict[str, Any]:
        self.sent += 1
        return self.__dict__

    def __call__(self, item: T) -> R:
        """Return what the function returns for *item*."""
        return self.function(item)


def worker_of(_: object) -> str:
    """Return the name of the worker; the parent numbers those it starts."""
    return multiprocessing.current_process().name


def report(job: Counted[object, str], names: list[list[str]]) -> None:
    """Print how many workers were started, and how often the job was sent."""
    workers = len({name for batch in names for name in batch})
    print(f"workers started: {workers}, messages: {job.sent}")


def main() -> None:
    """Measure, choose a size, and send as few messages as that allows.

    >>> main()
    start of the pool: ... ms
    one empty job: ... us
    one item in the loop: ... us
    to pay, a job must take ... us, and all of them ... ms
    items to send at once: ...
    workers started: 1, messages: 5
    """
    costs = measured(is_prime, range(10_001, 20_001, 2), workers=2)
    print(f"start of the pool: {costs.start * 1e3:.0f} ms")
    print(f"one empty job: {costs.job * 1e6:.0f} us")
    print(f"one item in the loop: {costs.item * 1e6:.1f} us")
    job, start = crossover(costs.job, 2), crossover(costs.start, 2)
    print(f"to pay, a job must take {job * 1e6:.0f} us,", end=" ")
    print(f"and all of them {start * 1e3:.0f} ms")
    print("items to send at once:", items_in_a_job(costs, 2))
    counted = Counted(worker_of)
    batches = [range(20)] * 5
    report(counted, map_batches(counted, batches, size=1000, workers=1))


def broken_map_batches(
    function: Callable[[T], R],
    batches: Iterable[Iterable[T]],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[list[R]]:
    """Start a pool for each batch, and send one item after the other.

    Warning:
        Each batch pays for the start again, and each item for a message.
        ``result()`` waits for the answer before the next item is sent, so no
        two jobs ever run at the same time: this cannot be faster than the
        loop. ``Pool.apply`` in a loop does the same.
    """
    answers = []
    for batch in batches:
        with ProcessPoolExecutor(workers, mp_context=context) as executor:
            answers.append(
                [executor.submit(function, item).result() for item in batch]
            )
    return answers


def broken_main() -> None:
    """Count what the same batches cost.

    >>> broken_main()
    workers started: 5, messages: 100
    """
    counted = Counted(worker_of)
    batches = [range(20)] * 5
    report(counted, broken_map_batches(counted, batches, workers=1))


if __name__ == "__main__":
    main()
    broken_main()
