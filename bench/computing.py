"""Measure work that keeps a core busy."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier

from bench import Sample, seconds
from bench.engines import CEILING, ENGINES, WORKERS, context, lacking
from cookbook.primes import (
    count_primes,
    is_prime,
    is_prime_with_pid,
    split_range,
)
from cookbook.processes.chunk_size import (
    chunk_size,
    map_in_executor,
    map_in_pool,
)
from cookbook.processes.several_arguments import count_with_starmap

__all__ = ["lacking"]  # bench.child asks

PRIME = 5_000_000_000_053  # 50 ms or so
SMALL_PRIME = 10_007
COARSE_JOBS = 40
FINE = range(150_000, 200_000)  # about 1 us for a number
FEW = 4_000  # are enough for what is slow
SMALL = range(1_000_000, 1_020_000)  # about 2 us for a number
LENGTHS = [n * 10.0**e for e in range(5) for n in (1, 3)] + [1e5]  # us
CHUNKS = (1, 3, 10, 30, 100, 300, 1000, 2500, 5000, 10_000, 20_000)
SPANS = 2
RANGES = "recipe several_arguments, ranges"
ONE_BY_ONE = ("ThreadPoolExecutor",)  # its map has no chunks


def on_core(
    number: int,
    work: Callable[[], object],
    start: Barrier,
    times: "SimpleQueue[tuple[float, float]]",
) -> None:
    """Work on a core of its own, and tell from when to when."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    start.wait(60)
    begin = time.perf_counter()
    work()
    times.put((begin, time.perf_counter()))


def ceiling(*halves: Callable[[], object]) -> float:
    """Return how long the work takes at best: each half on its own core.

    Nothing is sent while they work, and nothing waited for.
    """
    start = context().Barrier(len(halves))
    times: SimpleQueue[tuple[float, float]] = context().SimpleQueue()
    processes = [
        context().Process(target=on_core, args=(number, half, start, times))
        for number, half in enumerate(halves)
    ]
    for process in processes:
        process.start()
    begins, ends = zip(*[times.get() for _ in processes], strict=True)
    for process in processes:
        process.join()
    times.close()
    taken: float = max(ends) - min(begins)
    return taken


def work_through(numbers: list[int]) -> None:
    """Do the work of the engines in a plain loop."""
    for number in numbers:
        is_prime_with_pid(number)


def models(*names: str, quick: bool) -> Iterator[Sample]:
    """Measure balanced coarse jobs, with workers that have started.

    Args:
        names: Engines; or the ceiling, which is measured first and last.
        quick: See only that it works.

    Yields:
        How many times as fast as one after another.
    """
    # Each job has a number of its own: without the GIL, threads that use the
    # same object contend for its reference count.
    number = str(SMALL_PRIME if quick else PRIME)
    numbers = [int(number) for _ in range(COARSE_JOBS)]
    half = partial(work_through, numbers[::2])
    once = seconds(partial(work_through, numbers))
    engines = [name for name in names if name != CEILING]
    ceilings = [ceiling(half, half)] if CEILING in names else []
    for name in engines:
        with ENGINES[name].open() as run:
            run(is_prime_with_pid, [SMALL_PRIME] * COARSE_JOBS)  # warms up
            taken = seconds(partial(run, is_prime_with_pid, numbers))
        yield name, None, once / taken
    if ceilings:
        ceilings.append(ceiling(half, half))
        yield CEILING, None, 2 * once / sum(ceilings)


def count_in(spans: list[tuple[int, int]]) -> None:
    """Do the work of small jobs in a plain loop."""
    for span in spans:
        count_primes(*span)


def fine(*engines: str, quick: bool) -> Iterator[Sample]:
    """Measure many small jobs: the same range of numbers again and again.

    Yields:
        The speed, as a share of the ceiling.
    """
    spans = split_range(FINE.start, FINE.stop, SPANS) * (2 if quick else 16)
    middle = len(spans) // 2
    halves = [
        partial(count_in, part) for part in (spans[:middle], spans[middle:])
    ]
    taken = {"one after another": seconds(partial(count_in, spans))}
    ceilings = [ceiling(*halves)]
    numbers = [*FINE] * (middle // SPANS)  # half of the work
    for name in engines:
        with ENGINES[name].open() as run:
            run(is_prime, numbers[:100], 1)
            few = numbers[:FEW]
            one_by_one = seconds(partial(run, is_prime, few, 1))
            taken[f"{name}, one by one"] = (
                2 * one_by_one * len(numbers) / len(few)
            )
            if ENGINES[name].batches:
                call = partial(run, is_prime, numbers)
                taken[f"{name}, default chunks"] = 2 * seconds(call)
            large = chunk_size(len(numbers), WORKERS)
            call = partial(run, is_prime, numbers, large)
            taken[f"{name}, large chunks"] = 2 * seconds(call)
    by_two = partial(partial, workers=WORKERS, context=context())
    for recipe in map_in_pool, map_in_executor:
        call = by_two(recipe, is_prime, numbers * 2)
        taken[f"recipe chunk_size, {recipe.__name__}"] = seconds(call)
    taken[RANGES] = seconds(by_two(count_with_starmap, spans=spans))
    ceilings.append(ceiling(*halves))
    for name, time_taken in taken.items():
        yield name, None, sum(ceilings) / 2 / time_taken


def turn(times: int) -> None:
    """Keep a core busy for a little while."""
    for _ in range(times):
        pass


def in_a_loop(function: Callable[[int], object], items: Sequence[int]) -> None:
    """Call the function with each item, one after another."""
    for item in items:
        function(item)


def crossover(*engines: str, quick: bool) -> Iterator[Sample]:
    """Measure jobs of many lengths, sent one by one and in large chunks.

    Yields:
        By the length of a job, how many times as fast as a loop.
    """
    turns_in_us = 1 / seconds(partial(turn, 1_000_000))
    for name in engines:
        with ENGINES[name].open() as run:
            run(turn, [1] * 100, 1)
            for length in LENGTHS[:3] if quick else LENGTHS:
                jobs = [round(length * turns_in_us)] * jobs_of(length)
                once = seconds(partial(in_a_loop, turn, jobs))
                sizes = {"one by one": 1}
                if name not in ONE_BY_ONE:
                    sizes["large chunks"] = chunk_size(len(jobs), WORKERS)
                for words, size in sizes.items():
                    taken = seconds(partial(run, turn, jobs, size))
                    yield f"{name}, {words}", length, once / taken


def jobs_of(length: float) -> int:
    """Return how many jobs of so many microseconds make a tenth second."""
    return min(4_000, max(8, round(100_000 / length)))


def chunks(*engines: str, quick: bool) -> Iterator[Sample]:
    """Measure small jobs in chunks of many sizes.

    Yields:
        By the size of a chunk, how many times as fast as a loop.
    """
    numbers = SMALL[:100] if quick else SMALL
    for name in engines:
        with ENGINES[name].open() as run:
            run(is_prime, numbers[:100], 1)
            for size in CHUNKS:
                once = seconds(partial(in_a_loop, is_prime, numbers))
                taken = seconds(partial(run, is_prime, numbers, size))
                yield name, size, once / taken


def per_task(*engines: str, quick: bool) -> Iterator[Sample]:
    """Measure jobs that do nothing, each sent alone.

    Yields:
        How many microseconds one takes.
    """
    count = 10 if quick else 2_000
    for name in engines:
        with ENGINES[name].open() as run:
            run(abs, range(100), 1)
            taken = seconds(partial(run, abs, range(count), 1))
        yield name, None, taken / count * 1e6
