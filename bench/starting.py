"""Measure what workers cost before they work: time to start, and memory.

Only what is measured is imported: the first use pays for the imports.
"""

import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import Sample, seconds

AGAIN = 4  # uses after the first
COUNTS = {"task": 10_000, "thread": 1_000}


def lacking(name: str) -> str:
    """Return why a way cannot be measured here; nothing if it can."""
    if name in ("fork", "forkserver") and not hasattr(os, "fork"):
        return f"this system has no {name}"
    if name == "interpreter" and sys.version_info < (3, 14):
        return "it needs Python 3.14"
    return ""


def use(way: str) -> None:
    """Start two workers, get one answer, and end them."""
    if way == "threads":
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as executor:
            executor.submit(abs, -1).result()
    elif way == "interpreter" and sys.version_info >= (3, 14):
        from concurrent.futures import InterpreterPoolExecutor

        with InterpreterPoolExecutor(2) as executor:
            executor.submit(abs, -1).result()
    else:
        from multiprocessing import get_context

        with get_context(way).Pool(2) as pool:
            pool.apply(abs, (-1,))
            pool.close()
            pool.join()


def startup(way: str = "", *, quick: bool) -> Iterator[Sample]:
    """Measure two workers: start them, get one answer, end them.

    Yields:
        Milliseconds, for the first use in a program and for later ones.
    """
    uses = 1 + (1 if quick else AGAIN)
    first, *again = [seconds(partial(use, way)) * 1000 for _ in range(uses)]
    yield f"{way}, first", None, first
    yield f"{way}, again", None, sorted(again)[len(again) // 2]


def memory(kind: str = "", *, quick: bool) -> Iterator[Sample]:
    """Measure the memory of workers that wait.

    Yields:
        KiB for each. What processes share is divided between them.
    """
    count = COUNTS.get(kind, 4) // (100 if quick else 1) or 1
    measure = {"task": tasks, "thread": threads, "interpreter": interpreters}
    if kind in measure:
        yield kind, None, measure[kind](count)
    else:
        yield f"process, {kind}", None, processes(kind, count)


def kib(pid: int | str = "self") -> float:
    """Return the memory of a process, with its part of what is shared."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    [line] = [one for one in rollup.splitlines() if one.startswith("Pss:")]
    return float(line.split()[1])


def processes(method: str, count: int) -> float:
    """Return the mean memory of processes that have each done a job."""
    import multiprocessing

    with multiprocessing.get_context(method).Pool(count) as pool:
        pool.map(time.sleep, [0.1] * count, 1)
        workers = multiprocessing.active_children()
        return sum(kib(worker.pid or "") for worker in workers) / count


def interpreters(count: int) -> float:
    """Return the memory that an interpreter of a pool adds to the process."""
    import concurrent.futures

    before = kib()
    if sys.version_info >= (3, 14):
        with concurrent.futures.InterpreterPoolExecutor(count) as executor:
            list(executor.map(time.sleep, [0.2] * count))
            return (kib() - before) / count
    raise RuntimeError("interpreters need Python 3.14")


def threads(count: int) -> float:
    """Return the memory that a thread that waits adds to the process."""
    import threading

    end = threading.Event()
    waiting = [threading.Thread(target=end.wait) for _ in range(count)]
    before = kib()
    for thread in waiting:
        thread.start()
    try:
        return (kib() - before) / count
    finally:
        end.set()
        for thread in waiting:
            thread.join()


def tasks(count: int) -> float:
    """Return the memory that a task that waits adds to the process."""
    import asyncio

    async def measure() -> float:
        end = asyncio.Event()
        before = kib()
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(end.wait())
            await asyncio.sleep(0)  # each begins to wait
            after = kib()
            end.set()
        return (after - before) / count

    return asyncio.run(measure())
