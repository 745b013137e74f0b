"""Compute how much faster several workers can be.

Two workers are rarely twice as fast, and two limits can be computed before you
start any. What only one worker can do takes its time however many there are.
If it is a share *s* of the work, *w* workers are at most
``1 / (s + (1 - s) / w)`` times as fast, and never more than ``1 / s``. This is
Amdahl's law. To find *s*, time what is outside the jobs, and divide it by the
time of a run with one worker. Or compute it from a speed-up *S* that you
measured: ``(w / S - 1) / (w - 1)``, which counts all overhead as serial.

And no run is shorter than its longest job. The book's seven numbers are three
primes, which take long, and four even numbers, which take no time. Two workers
need the time of two primes for them: they are 1.5 times as fast, not 2.

A pool hands its jobs out in the order of the input, each to the worker that is
free first. A long job that comes last runs while the others have nothing to
do. So hand out the longest first, and cut what is too long for that.

:models: processes, threads
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: Amdahl's law, speedup, scaling, theoretical maximum speedup, serial
    fraction, not twice as fast with two processes, adding workers does not
    help, 4 cores only 2 times faster, diminishing returns, load balancing,
    unbalanced jobs, uneven tasks, stragglers, one slow task at the end,
    workers idle at the end, longest job first, LPT, makespan, scheduling,
    array_split, split list in equal parts, critical path

Use this when
    more workers make a program no faster, or you want to know how many pay.

Prefer instead
    a shorter serial part, or a shorter longest job, when one of them is the
    limit: no number of workers helps.
    :mod:`cookbook.measuring.crossover` when the jobs are short: then what a
    pool adds is the limit.

Pitfalls
    - The limits leave all overhead out, and count on a CPU for each worker
      (:mod:`cookbook.processes.how_many_workers`).
    - You need no exact lengths: the size of a file will do, if the larger one
      takes longer. In the right order the run takes at most a third longer
      than the best one (documented: Graham, *Bounds on Multiprocessing Timing
      Anomalies*, 1969).
    - A chunk is one job. Large chunks make few long jobs of many short ones.
    - What the parent does with each job is serial too: to read it, to pickle
      it, and to do something with its answer.

If a job raises
    the error is raised here, and the other answers are lost, as in
    :mod:`cookbook.processes.executor_map`.
"""

import heapq
import math
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import TypeVar

from cookbook.primes import PRIMES, WORKERS, checked, is_prime

T = TypeVar("T")
R = TypeVar("R")


def amdahl(serial: float, workers: int) -> float:
    """Return how many times as fast *workers* can be at most.

    Args:
        serial: The share of the work that only one can do, from 0 to 1.
        workers: How many share the rest.

    Raises:
        ValueError: If *serial* is no share, or *workers* less than 1.

    Example:
        >>> from cookbook.measuring.amdahl import amdahl
        >>> amdahl(serial=0.5, workers=2), amdahl(serial=0, workers=2)
        (1.3333333333333333, 2.0)
    """
    checked((), workers)
    if not 0 <= serial <= 1:
        raise ValueError(f"serial must be from 0 to 1, not {serial!r}")
    return 1 / (serial + (1 - serial) / workers)


def schedule(lengths: Iterable[float], workers: int) -> list[list[float]]:
    """Return which jobs each worker of a pool gets.

    Args:
        lengths: How long each job takes, in the order they are handed out.
        workers: How many there are; each gets a job when it is free.

    Raises:
        ValueError: If a length is negative, or *workers* less than 1.

    Example:
        >>> from cookbook.measuring.amdahl import schedule
        >>> schedule([1, 1, 1, 3], workers=2)
        [[1, 1], [1, 3]]
        >>> schedule([3, 1, 1, 1], workers=2)
        [[3], [1, 1, 1]]
    """
    checked((), workers)
    shares: list[list[float]] = [[] for _ in range(workers)]
    free = [(0.0, number) for number in range(workers)]
    for length in lengths:
        if length < 0:
            raise ValueError(f"no job takes {length!r}")
        now, number = free[0]
        shares[number].append(length)
        heapq.heapreplace(free, (now + length, number))
    return shares


def speed_up(
    lengths: Iterable[float], workers: int, *, serial: float = 0
) -> float:
    """Return how many times as fast as one after the other a pool can be.

    Args:
        lengths: How long each job takes, in the order they are handed out.
        workers: How many there are.
        serial: How long it takes to do what only one can do.

    Raises:
        ValueError: If a length or *serial* is negative, *workers* less than
            1, or there is no work.

    Example:
        >>> from cookbook.measuring.amdahl import speed_up
        >>> speed_up([1, 1, 1, 3], 2), speed_up([3, 1, 1, 1], 2)
        (1.5, 2.0)
    """
    if not serial >= 0:
        raise ValueError(f"serial must be 0 or more, not {serial!r}")
    shares = [sum(share) for share in schedule(lengths, workers)]
    if not sum(shares) + serial > 0:
        raise ValueError("there is no work")
    return (serial + sum(shares)) / (serial + max(shares))


def map_longest_first(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    length: Callable[[T], float],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[R]:
    """Call *function* for each item, for those that take longest first.

    Args:
        function: Called with one item in a worker; a function of a module.
        items: What to call it with.
        length: Returns a guess of how long an item takes, in any unit; it is
            called here.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        The answers, in the order of *items*.

    Raises:
        TypeError: If *items* is not iterable, or *workers* not an int.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.measuring.amdahl import map_longest_first
        >>> map_longest_first(len, ["a", "abc"], length=len, workers=1)
        [1, 3]
    """
    checked((), workers)
    jobs = list(items)
    order = sorted(
        range(len(jobs)), key=lambda n: length(jobs[n]), reverse=True
    )
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        found = executor.map(function, [jobs[n] for n in order])
        answers = dict(zip(order, found, strict=True))
    return [answers[n] for n in range(len(jobs))]


def main() -> None:
    """Compute what two workers can do, and let them begin with the longest.

    >>> main()
    a tenth is serial, 2 workers: 1.8 times as fast
    a tenth is serial, 1000 workers: 9.9 times as fast
    three primes of seven numbers, 2 workers: 1.5 times as fast
    eight jobs, the longest last: 1.8 times as fast
    eight jobs, the longest first: 2.0 times as fast
    answers in the order of the items: [True, True, False]
    """
    for workers in 2, 1000:
        print(f"a tenth is serial, {workers} workers:", end=" ")
        print(f"{amdahl(0.1, workers):.1f} times as fast")
    primes = [number % 2 for number in PRIMES]  # the even ones take no time
    print("three primes of seven numbers, 2 workers:", end=" ")
    print(f"{speed_up(primes, 2)} times as fast")
    print("eight jobs, the longest last:", end=" ")
    print(f"{speed_up(range(1, 9), 2)} times as fast")
    print("eight jobs, the longest first:", end=" ")
    print(f"{speed_up(range(8, 0, -1), 2)} times as fast")
    answers = map_longest_first(is_prime, [7, 97, 9], length=int, workers=2)
    print("answers in the order of the items:", answers)


def broken_parts(items: Sequence[T], workers: int) -> list[Sequence[T]]:
    """Give each worker one part, and expect all to be done at once.

    Warning:
        The parts are equal in number and not in length. Who has the short
        part is done first, and no job moves over from the long one.
    """
    size = math.ceil(len(items) / workers)
    return [items[n : n + size] for n in range(0, len(items), size)]


def broken_main() -> None:
    """Add up how long each of two workers has to work.

    >>> broken_main()
    expected: 2 times as fast
    work in each part: [10, 26], 1.4 times as fast
    """
    print("expected: 2 times as fast")
    context = multiprocessing.get_context()
    with context.Pool(2) as pool:
        work = pool.map(sum, broken_parts(range(1, 9), 2), chunksize=1)
    print(f"work in each part: {work},", end=" ")
    print(f"{speed_up(work, 2):.1f} times as fast")


if __name__ == "__main__":
    main()
    broken_main()
