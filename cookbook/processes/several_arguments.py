"""Pass several arguments to each job of a pool.

The ``map`` of a pool calls the job with one argument, the item as it is. If
the items are tuples of arguments, call
:meth:`~multiprocessing.pool.Pool.starmap`, which calls ``job(*item)``. If an
argument is the same for every job, set it beforehand with
:func:`functools.partial`, and map the rest.

The ``map`` of an executor takes one iterable for each argument, as the
built-in :func:`map` does, and stops with the shortest. Pair them first with
``zip(..., strict=True)``, which raises if they differ in length.

:models: processes
:work: CPU-bound
:level: first steps
:since: 3.11
:trap: every build, every start method
:told by: mypy, if the job is handed to ``map`` under its own name (observed on
    mypy 2.4)
:search: starmap, multiprocessing pool.map multiple arguments, several
    arguments, two arguments, keyword arguments, constant argument, extra
    argument, functools.partial, executor.map multiple iterables, unpack
    tuples, results missing, zip strict, Placeholder,
    "missing 1 required positional argument",
    "argument after * must be an iterable, not int",
    "TypeError: '<=' not supported between instances of 'list' and 'int'"

Use this when
    a job needs more than one argument, and a pool or an executor is to call
    it for many.

Prefer instead
    :mod:`cookbook.processes.start_methods` when the argument that stays the
    same is large: there each worker gets it once. A partial is sent again
    with every chunk of jobs.

Pitfalls
    - ``pool.map(job, xs, ys)`` takes *ys* for the chunk size: ``TypeError:
      '<=' not supported between instances of 'list' and 'int'``.
    - A lambda that unpacks the tuple cannot be sent to a worker
      (:mod:`cookbook.processes.pool_map`).
    - A partial fills the places from the left. What varies takes the first
      place that is free; the arguments after it have to be given by keyword.
      From Python 3.14 :data:`functools.Placeholder` leaves a place free.
    - ``starmap`` unpacks whatever can be iterated over: a string into its
      letters, a dictionary into its keys. For keyword arguments that differ,
      call ``pool.apply_async(job, args, kwargs)`` or
      ``executor.submit(job, *args, **kwargs)`` for each job.
    - The arguments of ``apply_async`` are a tuple even if there is one:
      ``apply_async(job, (5,))``. With ``(5)`` the error is ``argument after *
      must be an iterable, not int``, from Python 3.15 ``Value after * must be
      an iterable, not int``.

If a job raises
    the error is raised again in the parent, and the other answers are lost.

If a worker is killed
    ``starmap`` waits for ever, as ``map`` does; the executor raises
    :exc:`~concurrent.futures.process.BrokenProcessPool`.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext

from cookbook.primes import WORKERS, checked, count_primes

# A worker of a pool leaves Ctrl-C to the parent, which terminates the pool.
IGNORE_CTRL_C = (signal.signal, (signal.SIGINT, signal.SIG_IGN))


def count_with_starmap(
    *,
    spans: Iterable[tuple[int, int]],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Count the primes of each span in a pool: arguments in tuples.

    Args:
        spans: The arguments of each job, start and stop.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The counts, in the order of *spans*.

    Raises:
        TypeError: If *spans* is not iterable or *workers* not an int, before
            a process is started; or from a worker, if a span is not of two.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.several_arguments import *
        >>> count_with_starmap(spans=[(0, 10), (10, 100)], workers=1)
        [4, 21]
    """
    checked((), workers)
    jobs = list(spans)
    context = context or multiprocessing.get_context()
    with context.Pool(workers, *IGNORE_CTRL_C) as pool:
        return pool.starmap(count_primes, jobs)


def count_with_partial(
    *,
    start: int,
    stops: Iterable[int],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Count the primes from one start to each stop: an argument is set.

    Args:
        start: The argument that is the same for every job.
        stops: The argument that varies.
        workers: How many processes to start.
        context: The start method's context, as for the others.

    Example:
        >>> from cookbook.processes.several_arguments import *
        >>> count_with_partial(start=0, stops=[10, 100], workers=1)
        [4, 25]
    """
    jobs = checked(stops, workers)
    context = context or multiprocessing.get_context()
    with context.Pool(workers, *IGNORE_CTRL_C) as pool:
        return pool.map(partial(count_primes, start), jobs)


def count_with_executor(
    *,
    starts: Iterable[int],
    stops: Iterable[int],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Count the primes from each start to its stop: an iterable for each.

    Args:
        starts: The first argument of each job.
        stops: The second argument of each job.
        workers: How many processes to start at most.
        context: The start method's context, as for the others.

    Raises:
        ValueError: If there are more of one than of the other, or *workers*
            is less than 1; before a process is started.

    Example:
        >>> from cookbook.processes.several_arguments import *
        >>> count_with_executor(starts=[0, 10], stops=[10, 100], workers=1)
        [4, 21]
    """
    checked((), workers)
    pairs = list(zip(starts, stops, strict=True))
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(count_primes, *zip(*pairs, strict=True)))


def main() -> None:
    """Call a function of two arguments in three ways.

    >>> main()
    starmap: [4, 21]
    partial: [4, 25]
    executor: [4, 21]
    starts without a stop: zip() argument 2 is shorter than argument 1
    """
    counts = count_with_starmap(spans=[(0, 10), (10, 100)], workers=2)
    print("starmap:", counts)
    counts = count_with_partial(start=0, stops=[10, 100], workers=2)
    print("partial:", counts)
    counts = count_with_executor(starts=[0, 10], stops=[10, 100], workers=2)
    print("executor:", counts)
    try:
        count_with_executor(starts=[0, 10, 20], stops=[10, 100])
    except ValueError as error:
        print("starts without a stop:", error)


def broken_count_with_map(
    job: Callable[..., int],
    *,
    spans: Iterable[tuple[int, int]],
    workers: int,
    context: BaseContext | None = None,
) -> list[int]:
    """Hand tuples of arguments to ``map``.

    Warning:
        ``map`` unpacks nothing. The whole tuple becomes the first argument of
        the job, and the second one is missing.
    """
    context = context or multiprocessing.get_context()
    with context.Pool(workers) as pool:
        return pool.map(job, spans)


def broken_count_with_executor(
    *,
    starts: Iterable[int],
    stops: Iterable[int],
    workers: int,
    context: BaseContext | None = None,
) -> list[int]:
    """Hand one iterable for each argument to ``map``, unequal or not.

    Warning:
        Jobs end with the shortest iterable. What is left over in the other
        one is dropped without an error.
    """
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(count_primes, starts, stops))


def broken_main() -> None:
    """Map tuples; then map three starts with two stops.

    >>> broken_main()
    TypeError: count_primes() missing 1 required positional argument: 'stop'
    3 starts, 2 answers: [4, 21]
    """
    try:
        broken_count_with_map(
            count_primes, spans=[(0, 10), (10, 100)], workers=1
        )
    except TypeError as error:
        print("TypeError:", error)
    starts, stops = [0, 10, 20], [10, 100]
    counts = broken_count_with_executor(starts=starts, stops=stops, workers=1)
    print(f"{len(starts)} starts, {len(counts)} answers: {counts}")


if __name__ == "__main__":
    main()
    broken_main()
