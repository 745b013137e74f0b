"""Measure work that waits."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

from bench import Sample, seconds
from bench.engines import context
from cookbook.coroutines.run_together import run_together

WAIT = 0.05  # seconds
WAITS = 1_000


def in_tasks(count: int) -> None:
    """Wait in a task for each wait."""
    asyncio.run(run_together(*[partial(asyncio.sleep, WAIT)] * count))


def in_threads(count: int, threads: int | None = None) -> None:
    """Wait in threads; by default in as many as there are waits."""
    with ThreadPoolExecutor(threads or count) as executor:
        list(executor.map(time.sleep, [WAIT] * count))


def in_processes(count: int, processes: int) -> None:
    """Wait in processes."""
    with ProcessPoolExecutor(processes, mp_context=context()) as executor:
        list(executor.map(time.sleep, [WAIT] * count))


WAYS: dict[str, Callable[[int], None]] = {
    "asyncio": in_tasks,
    "32 threads": partial(in_threads, threads=32),
    "200 threads": partial(in_threads, threads=200),
    "a thread for each": in_threads,
    "32 processes": partial(in_processes, processes=32),
}


def times_one_wait(way: Callable[[int], None], count: int) -> float:
    """Return how long so many waits take, in waits."""
    return seconds(partial(way, count)) / WAIT


def waits(*ways: str, quick: bool) -> Iterator[Sample]:
    """Measure 1,000 waits, with all that starts and ends for them.

    Yields:
        How many times as long as one wait they take.
    """
    for way in ways:
        count = 10 if quick else WAITS
        WAYS[way](count)  # warms up
        yield way, None, times_one_wait(WAYS[way], count)


def scaling(*ways: str, quick: bool) -> Iterator[Sample]:
    """Measure from ten waits to 10,000.

    Yields:
        By their number, how many times as long as one wait they take.
    """
    for way in ways:
        WAYS[way](2)
        for count in (10, 20) if quick else (10, 100, 1_000, 10_000):
            yield way, count, times_one_wait(WAYS[way], count)
