"""Draw random numbers in worker processes.

Give each job a generator of its own, seeded from one root seed and the job's
number. Then no two jobs share a sequence, and the results are the same with
any number of workers, whichever of them takes which job.

A generator that the module makes does neither. A forked worker has a copy of
it, with its state. A worker that is started fresh imports the module and makes
it anew, from the same seed. So the workers draw the same numbers.

:models: processes
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build, every start method; without a fixed seed, fork and, from
    Python 3.13.8 and 3.14.1, forkserver
:search: random numbers in multiprocessing, same random numbers in every
    process, workers return identical results, random seed in worker,
    reproducible parallel simulation, Monte Carlo, random.seed, numpy random
    multiprocessing, SeedSequence.spawn, default_rng, "TypeError: The only
    supported seed types are: None, int, float, str, bytes, and bytearray."

Use this when
    jobs simulate, sample or shuffle, and a run can be repeated.

Prefer instead
    ``secrets.randbits(64)`` as the root seed when a run need not be repeated;
    log it, and it can be. With NumPy, ``SeedSequence(seed).spawn(jobs)`` gives
    a seed for each job, to ``default_rng(...)`` (documented: NumPy, *Parallel
    random number generation*).

Pitfalls
    - Without a fixed seed, forked workers draw the same all the same. So do
      those of a forkserver that has imported the main module, as it does from
      Python 3.13.8 and 3.14.1: see :mod:`cookbook.processes.main_guard`.
    - The functions of :mod:`random`, such as :func:`random.random`, are seeded
      anew after a fork: the workers differ, whatever the parent's
      ``random.seed(42)``. Under spawn that line, at the top level of the
      module, makes them all draw the same.
    - NumPy's ``numpy.random.rand()`` is not seeded anew after a fork (observed
      on NumPy 2): the workers draw the same.
    - One seed for each worker is not enough: a job's numbers then depend on
      the jobs that its worker did before.
    - With ``seed + number`` the second job of seed 1 is the first of seed 2.
    - A tuple is no seed from Python 3.11: ``TypeError: The only supported seed
      types are: None, int, float, str, bytes, and bytearray.``
      ``hash((seed, "name"))`` is another number in every run.
"""

import multiprocessing
import random
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext

from cookbook.primes import WORKERS, checked


def draw(seed: int, number: int) -> float:
    """Return what job *number* draws under the root *seed*."""
    generator = random.Random(f"{seed}/{number}")
    return generator.random()


def draw_all(
    *,
    seed: int,
    numbers: Iterable[int],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[float]:
    """Run the jobs *numbers* in processes, each with a sequence of its own.

    Args:
        seed: The root seed. The same seed gives the same results.
        numbers: The numbers of the jobs.
        workers: How many processes to start.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Returns:
        What the jobs draw, in the order of *numbers*.

    Raises:
        TypeError: If *seed* or *workers* is not an int or *numbers* not
            iterable, before a process is started.
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.processes.random_seeds import draw, draw_all
        >>> draw_all(seed=42, numbers=[5, 6]) == [draw(42, 5), draw(42, 6)]
        True
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, not {seed!r}")
    jobs = checked(numbers, workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        return list(executor.map(partial(draw, seed), jobs))


def main() -> None:
    """Run four jobs, in one worker and in three.

    >>> main()
    one worker: 0.267 0.896 0.603 0.293
    three workers: the same
    """
    one = draw_all(seed=42, numbers=range(4), workers=1)
    three = draw_all(seed=42, numbers=range(4), workers=3)
    print("one worker:", *(f"{drawn:.3f}" for drawn in one))
    print("three workers:", "the same" if three == one else three)


GENERATOR = random.Random(42)


def broken_draw(number: int) -> tuple[int, float]:
    """Return *number*, and what the generator of this process draws.

    Warning:
        Each process has its own ``GENERATOR``, and all start in the same
        state, so the first jobs of all workers draw the same number.
    """
    return number, GENERATOR.random()


def broken_draw_all(
    *,
    numbers: Iterable[int],
    workers: int,
    context: BaseContext | None = None,
) -> list[tuple[int, float]]:
    """Run each of the jobs in a new process."""
    context = context or multiprocessing.get_context()
    with context.Pool(workers, maxtasksperchild=1) as pool:
        return pool.map(broken_draw, numbers, chunksize=1)


def broken_main() -> None:
    """Run four jobs, each the first of its worker.

    >>> broken_main()
    job 0 draws 0.639
    job 1 draws 0.639
    job 2 draws 0.639
    job 3 draws 0.639
    """
    for number, drawn in broken_draw_all(numbers=range(4), workers=2):
        print(f"job {number} draws {drawn:.3f}")


if __name__ == "__main__":
    main()
    broken_main()
