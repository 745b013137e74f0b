"""Measure what it costs to hand data over, and to share a number."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory

from bench import Sample, seconds
from bench.engines import context
from cookbook.processes.shared_memory import attach, shared_block

SIZE = 100_000_000  # bytes
STEP = 4096  # a worker looks at each page of the memory
INCREMENTS = 500_000
ATTACHED: dict[str, SharedMemory] = {}


def look(data: bytes | memoryview) -> int:
    """Look at each page of the data."""
    return sum(data[::STEP])


def look_at_block(name: str) -> int:
    """Attach a block, look at it, and let it go."""
    block = attach(name)
    try:
        return look_at(block)
    finally:
        block.close()


def look_at(block: SharedMemory) -> int:
    """Look at each page of a block."""
    with memoryview(block.buf or b"") as data, data[::STEP] as pages:
        return sum(pages)


def keep(name: str) -> None:
    """Attach a block, for as long as this worker lives."""
    ATTACHED[name] = attach(name)


def look_at_kept(name: str) -> int:
    """Look at a block that this worker has attached."""
    return look_at(ATTACHED[name])


def answer_bytes(connection: Connection) -> None:
    """Look at whatever comes, until nothing does."""
    while data := connection.recv_bytes():
        connection.send(look(data))


def data(*, quick: bool) -> Iterator[Sample]:
    """Hand 100 MB to a worker, which looks at each page.

    Yields:
        How many times as fast as pickled into the pipe of a pool.
    """
    payload = bytes(SIZE // (1000 if quick else 1))
    # The block comes first: so the worker has this process's tracker.
    with (
        shared_block(len(payload)) as block,
        context().Pool(1, keep, (block.name,)) as pool,
    ):

        def by_new_block() -> None:
            with shared_block(len(payload)) as own:
                fill(own, payload)
                pool.apply(look_at_block, (own.name,))

        def by_same_block() -> None:
            fill(block, payload)
            pool.apply(look_at_kept, (block.name,))

        by_same_block()  # maps the pages on both sides
        ways: dict[str, Callable[[], object]] = {
            "pickled": lambda: pool.apply(look, (payload,)),
            "a new block: create, copy, unlink": by_new_block,
            "a mapped block: copy": by_same_block,
            "a filled block: its name": lambda: pool.apply(
                look_at_kept, (block.name,)
            ),
        }
        taken = {way: seconds(call) for way, call in ways.items()}
    taken["send_bytes, not pickled"] = through_a_pipe(payload)
    for way, time_taken in taken.items():
        yield way, None, taken["pickled"] / time_taken


def fill(block: SharedMemory, payload: bytes) -> None:
    """Copy the data into a block."""
    if block.buf is not None:
        block.buf[: len(payload)] = payload


def through_a_pipe(payload: bytes) -> float:
    """Return how long the data takes through a pipe, as bytes."""
    here, there = context().Pipe()
    worker = context().Process(target=answer_bytes, args=(there,))
    worker.start()
    with here, there:

        def send(message: bytes) -> None:
            here.send_bytes(message)
            here.recv()

        send(b"1")  # it has started
        taken = seconds(lambda: send(payload))
        here.send_bytes(b"")
        worker.join()
    return taken


class Number:
    """A number that is incremented, with a lock or without.

    Attributes:
        value: The number.
        lock: Taken for each increment.
    """

    def __init__(self) -> None:
        self.value = 0
        self.lock = threading.Lock()

    def plainly(self, times: int) -> None:
        """Increment it so many times."""
        for _ in range(times):
            self.value += 1

    def locked(self, times: int) -> None:
        """Increment it so many times, under its lock."""
        for _ in range(times):
            with self.lock:
                self.value += 1


def together(*calls: Callable[[], None]) -> float:
    """Return how long the calls take, each in a thread of its own."""
    start = threading.Barrier(len(calls))
    begins, ends = [], []

    def run(call: Callable[[], None]) -> None:
        start.wait()
        begins.append(time.perf_counter())
        call()
        ends.append(time.perf_counter())

    running = [threading.Thread(target=run, args=(one,)) for one in calls]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return max(ends) - min(begins)


def locks(*, quick: bool) -> Iterator[Sample]:
    """Increment numbers in one thread and in two.

    Yields:
        Nanoseconds of wall-clock time for each increment.
    """
    times = 1_000 if quick else INCREMENTS
    one, other = Number(), Number()
    for name, steps in {
        "one thread, no lock": [one.plainly],
        "one thread, a lock": [one.locked],
        "two threads, a lock for each": [one.locked, other.locked],
        "two threads, one lock": [one.locked, one.locked],
    }.items():
        taken = together(*[partial(step, times) for step in steps])
        yield name, None, taken / (len(steps) * times) * 1e9
