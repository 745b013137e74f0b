"""The table of what is measured, and of the sentences that it supports.

A sentence is true of every run on two cores, so that measuring again changes
no word of the book. Its predicate says when it is; it leaves a wide margin to
what was found.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from bench.engines import CEILING, METHODS
from bench.figures import Row, Rows, row

OWN = ""  # the Python that has the engines
VERSIONS = ("3.11", "3.12", "3.13", "3.13t", "3.14", "3.15")
POOLS = [f"Pool, {method}" for method in METHODS]
EXECUTORS = [f"ProcessPoolExecutor, {method}" for method in METHODS]
PROCESS_RECIPES = ["recipe executor_map", "recipe pool_map"]
PEERS = ["joblib", "mpire", "Pool, fork"]
RANGES = "recipe several_arguments, ranges"


@dataclass(frozen=True)
class Case:
    """What one new interpreter measures in each round.

    Attributes:
        measurement: Module and function of this package.
        names: What the function is called with, in changing order.
        python: Which interpreter.
        rounds: How often.
        limit: How many seconds a round may take; the next ones are left out.
    """

    measurement: str
    names: tuple[str, ...] = ()
    python: str = OWN
    rounds: int = 3
    limit: float = 120.0


@dataclass(frozen=True)
class Chart:
    """A chart of the book.

    Attributes:
        title: What it shows.
        sentence: What it supports.
        holds: Tells whether it does so, by the rows.
        recipes: On whose pages it stands.
        unit: Of the values.
        cases: What is measured for it.
        x: Label and scale of the x-axis of lines; None for bars.
        log: Whether the values need a logarithmic scale.
        reference: Label of a line across, and how it is found.
    """

    title: str
    sentence: str
    holds: Callable[[Rows], bool]
    recipes: Sequence[str]
    unit: str
    cases: Sequence[Case]
    x: Mapping[str, Any] | None = None
    log: bool = False
    reference: tuple[str, Callable[[Rows], float]] | None = None

    @property
    def kind(self) -> Literal["bars", "lines"]:
        """How it is drawn."""
        return "lines" if self.x else "bars"


def models_hold(rows: Rows) -> bool:
    """Judge the chart ``models``."""
    ceilings = rows.series(CEILING)
    parallel = [*(rows.at(name) for name in POOLS + EXECUTORS)]
    near = [found / ceilings[rows.own] for found in parallel]
    threads = rows.series("ThreadPoolExecutor")
    near += [
        found / ceilings[python]
        for python, found in [
            *rows.series("InterpreterPoolExecutor").items(),
            *((one, threads[one]) for one in threads if one.endswith("t")),
        ]
    ]
    return (
        min(near) > 0.75
        and rows.at("ThreadPoolExecutor") < 1.25
        and rows.at("asyncio.to_thread") < 1.25
    )


def fine_holds(rows: Rows) -> bool:
    """Judge the chart ``fine``."""
    loop = rows.at("one after another")
    one_by_one = [
        one["median"] for one in rows.rows if "one by one" in one["label"]
    ]
    return (
        max(one_by_one) < loop
        and rows.at("Pool, fork, large chunks") > 1.1 * loop
        and rows.at(RANGES) > 0.8
    )


def waits_hold(rows: Rows) -> bool:
    """Judge the chart ``waits``."""
    at_once = rows.at("asyncio")
    return (
        at_once < 2
        and at_once < rows.at("a thread for each") < rows.at("32 threads")
        and rows.at("32 threads") > 25
        and rows.at("32 processes") > 25
    )


def scaling_holds(rows: Rows) -> bool:
    """Judge the chart ``scaling``."""
    tasks, threads = rows.line("asyncio"), rows.line("a thread for each")
    return tasks[1000] < 2 and 2 * tasks[10_000] < threads[10_000]


def crossover_holds(rows: Rows) -> bool:
    """Judge the chart ``crossover``."""
    names = ["Pool, fork", "ProcessPoolExecutor, fork"]
    alone = [rows.line(f"{name}, one by one") for name in names]
    chunks = [rows.line(f"{name}, large chunks") for name in names]
    threads = rows.line("ThreadPoolExecutor, one by one")
    return (
        all(line[3] < 0.7 and line[30_000] > 1.1 for line in alone)
        and all(line[100] > 1.2 for line in chunks)
        and statistics.median(threads.values()) < 1.2
    )


def chunk_size_holds(rows: Rows) -> bool:
    """Judge the chart ``chunk_size``."""
    lines = [rows.line(name) for name in ["Pool, fork", EXECUTORS[0]]]
    return all(
        line[1] < 0.7
        and max(line[1000], line[2500], line[5000]) > 1.15
        and line[20_000] < 1.25
        for line in lines
    )


def startup_holds(rows: Rows) -> bool:
    """Judge the chart ``startup``."""
    fork, server, spawn = (
        rows.series(f"{method}, again") for method in METHODS
    )
    return all(
        1.3 * fork[python] < server[python] < spawn[python] / 1.3
        for python in fork
    )


def per_task_holds(rows: Rows) -> bool:
    """Judge the chart ``per_task``."""
    executor = rows.at(EXECUTORS[0])
    cheap = [rows.at("ThreadPoolExecutor"), rows.at("Pool, fork")]
    dear = [
        one["median"] for one in rows.rows if one["label"] in ("Dask", "Ray")
    ]
    return bool(dear) and 1.5 * max(cheap) < executor < min(dear) / 1.5


def data_holds(rows: Rows) -> bool:
    """Judge the chart ``data``."""
    new = rows.at("a new block: create, copy, unlink")
    mapped = rows.at("a mapped block: copy")
    return 1.3 < new < mapped / 3 < rows.at("a filled block: its name") / 6


def memory_holds(rows: Rows) -> bool:
    """Judge the chart ``memory``."""
    fork, spawn = rows.at("process, fork"), rows.at("process, spawn")
    task, thread = rows.at("task"), rows.at("thread")
    return 4 * task < thread < fork / 20 and 1.3 * fork < spawn


def locks_hold(rows: Rows) -> bool:
    """Judge the chart ``locks``."""
    plain = rows.series("one thread, no lock")
    alone = rows.series("one thread, a lock")
    apart = rows.series("two threads, a lock for each")
    shared = rows.series("two threads, one lock")
    free = [python for python in plain if python.endswith("t")]
    if not free:
        raise LookupError("threads without the GIL")
    return (
        all(plain[python] < alone[python] / 1.3 for python in plain)
        and all(shared[python] > 0.7 * alone[python] for python in plain)
        and all(
            (apart[python] < 0.75 * alone[python]) is (python in free)
            for python in plain
        )
    )


SMALL = ("Pool, fork", "ProcessPoolExecutor, fork")
CHARTS = {
    "models": Chart(
        title="Balanced coarse work by model",
        sentence=(
            "Two workers come close to the ceiling as processes, under every "
            "start method, as interpreters, and as threads without the GIL; "
            "threads with the GIL gain nothing."
        ),
        holds=models_hold,
        recipes=[
            "processes.executor_map",
            "processes.pool_map",
            "threads.thread_pool",
            "coroutines.to_thread",
            "parallel_threads.interpreter_pool",
        ],
        unit="times as fast as one after another",
        cases=[
            Case(
                "computing.models",
                (CEILING, *PROCESS_RECIPES, *POOLS, *EXECUTORS, *PEERS[:2]),
                rounds=7,
                limit=300,
            ),
            Case(
                "computing.models", ("ThreadPoolExecutor", "asyncio.to_thread")
            ),
            Case("computing.models", ("Dask",)),
            Case("computing.models", ("Ray",)),
            Case("computing.models", ("ThreadPoolExecutor", CEILING), "3.13t"),
            *(
                Case(
                    "computing.models",
                    ("InterpreterPoolExecutor", CEILING),
                    python,
                )
                for python in ("3.14", "3.15")
            ),
        ],
        reference=("this machine's ceiling", lambda rows: rows.at(CEILING)),
    ),
    "fine": Chart(
        title="Many small jobs",
        sentence=(
            "Small jobs that are sent one by one take longer than the plain "
            "loop; large chunks gain in a pool, and ranges in place of items "
            "come close to the ceiling."
        ),
        holds=fine_holds,
        recipes=["processes.several_arguments", "processes.chunk_size"],
        unit="share of the ceiling",
        cases=[
            Case(
                "computing.fine",
                ("Pool, fork", "ProcessPoolExecutor, fork", *PEERS[:2]),
                rounds=5,
                limit=300,
            )
        ],
        reference=("this machine's ceiling", lambda _: 1.0),
    ),
    "crossover": Chart(
        title="How long a job must take before a pool pays",
        sentence=(
            "Jobs of a few microseconds are slower in a pool than in a loop "
            "when each is sent alone; in large chunks they gain much sooner, "
            "long jobs gain either way, and threads with the GIL never."
        ),
        holds=crossover_holds,
        recipes=["measuring.crossover", "processes.parallel_for"],
        unit="times as fast as a loop",
        cases=[
            Case("computing.crossover", ("ThreadPoolExecutor", *SMALL)),
        ],
        x={"label": "work in one job, µs", "log": True},
        log=True,
        reference=("the plain loop", lambda _: 1.0),
    ),
    "chunk_size": Chart(
        title="The size of chunks, with small jobs",
        sentence=(
            "Chunks of one are slower than the loop, large chunks gain, and "
            "one chunk that holds all the jobs leaves a worker idle."
        ),
        holds=chunk_size_holds,
        recipes=["processes.chunk_size"],
        unit="times as fast as a loop",
        cases=[Case("computing.chunks", SMALL, rounds=5)],
        x={"label": "jobs in one chunk", "log": True},
        log=True,
        reference=("the plain loop", lambda _: 1.0),
    ),
    "per_task": Chart(
        title="What it costs to send one job",
        sentence=(
            "An empty job costs least in threads and in a pool, a multiple "
            "in an executor of processes, and a multiple of that in an "
            "engine made for clusters."
        ),
        holds=per_task_holds,
        recipes=["processes.pool_or_executor"],
        unit="µs for each empty job",
        cases=[
            Case(
                "computing.per_task",
                (
                    "ThreadPoolExecutor",
                    "asyncio.to_thread",
                    *SMALL,
                    *PEERS[:2],
                ),
            ),
            Case("computing.per_task", ("Dask",)),
            Case("computing.per_task", ("Ray",)),
            Case("computing.per_task", ("InterpreterPoolExecutor",), "3.14"),
        ],
        log=True,
    ),
    "waits": Chart(
        title="A thousand waits",
        sentence=(
            "Tasks of one event loop wait a thousand times in less than twice "
            "the time of one wait, a thread for each takes longer, and a pool "
            "of 32 workers needs a turn for every 32 waits."
        ),
        holds=waits_hold,
        recipes=["coroutines.run_together", "threads.bounded_map"],
        unit="times as long as one wait",
        cases=[
            Case("waiting.waits", ("asyncio",), rounds=7),
            Case(
                "waiting.waits",
                (
                    "32 threads",
                    "200 threads",
                    "a thread for each",
                    "32 processes",
                ),
            ),
        ],
        log=True,
        reference=("one wait", lambda _: 1.0),
    ),
    "scaling": Chart(
        title="From ten waits to ten thousand",
        sentence=(
            "A thousand tasks take less than twice as long as one wait; with "
            "ten thousand waits a task for each takes less than half of the "
            "time that a thread for each takes."
        ),
        holds=scaling_holds,
        recipes=["coroutines.limit_concurrency"],
        unit="times as long as one wait",
        cases=[
            Case("waiting.scaling", ("asyncio",)),
            Case("waiting.scaling", ("a thread for each",)),
        ],
        x={"label": "waits at once", "log": True},
        log=True,
        reference=("one wait", lambda _: 1.0),
    ),
    "startup": Chart(
        title="Starting two workers, by start method and Python",
        sentence=(
            "On every Python, once the program has had one, a pool of forked "
            "processes starts fastest, and one of spawned processes slowest."
        ),
        holds=startup_holds,
        recipes=["processes.start_methods"],
        unit="ms from start to end, with one answer",
        cases=[
            *(
                Case("starting.startup", (way,), python)
                for python in VERSIONS
                for way in METHODS
            ),
            *(
                Case("starting.startup", ("interpreter",), python)
                for python in ("3.14", "3.15")
            ),
        ],
        log=True,
    ),
    "memory": Chart(
        title="Memory for each worker",
        sentence=(
            "A task that waits takes a fraction of the memory of a thread, a "
            "thread a small fraction of a process, and a forked process less "
            "than a spawned one."
        ),
        holds=memory_holds,
        recipes=[
            "measuring.memory_per_worker",
            "parallel_threads.interpreters_or_processes",
        ],
        unit="KiB for each",
        cases=[
            *(
                Case("starting.memory", (kind,))
                for kind in ("task", "thread", *METHODS)
            ),
            Case("starting.memory", ("interpreter",), "3.14"),
        ],
        log=True,
    ),
    "data": Chart(
        title="Handing 100 MB to a worker",
        sentence=(
            "Shared memory hands data over faster than pickling does, many "
            "times faster if the block is already mapped, and faster still "
            "if the data is already there."
        ),
        holds=data_holds,
        recipes=["processes.shared_memory", "processes.big_data"],
        unit="times as fast as pickling",
        cases=[Case("sharing.data", rounds=9)],
        log=True,
    ),
    "locks": Chart(
        title="A lock that nobody else wants, and one that two threads want",
        sentence=(
            "A lock makes an increment dearer; two threads gain only without "
            "the GIL, and only if each has a lock of its own."
        ),
        holds=locks_hold,
        recipes=["measuring.contention", "threads.shared_counter"],
        unit="ns for each increment",
        cases=[
            Case("sharing.locks", python=python, rounds=5)
            for python in (OWN, "3.13t", "3.14", "3.15")
        ],
    ),
}


class Target(TypedDict):
    """A figure that the book's own recipes are to reach.

    Attributes:
        text: What is measured.
        target: What it is to be.
        measured: The median of the rounds.
        low: The lowest value.
        high: The highest value.
        met: Whether the target is met.
    """

    text: str
    target: str
    measured: float
    low: float
    high: float
    met: bool


@dataclass(frozen=True)
class Goal:
    """How a target is computed from the rows of a chart.

    Attributes:
        text: What is measured.
        chart: Its chart.
        values: The value of each round, by the rows.
        least: The target, if more is better.
        most: The target, if less is better.
        spread: Whether it is enough that one round reaches it.
    """

    text: str
    chart: str
    values: Callable[[Rows], Sequence[float]]
    least: float | None = None
    most: float | None = None
    spread: bool = False

    def judge(self, rows: Rows) -> Target:
        """Compare what was measured with the target.

        Raises:
            LookupError: If it was not measured.
        """
        found: Row = row(rows.own, self.text, None, self.values(rows))
        if self.most is not None:
            words, met = f"<= {self.most:g}", found["median"] <= self.most
        else:
            least = self.least or 0.0
            reached = found["high"] if self.spread else found["median"]
            words, met = f">= {least:g}", reached >= least
        return {
            "text": self.text,
            "target": words + ", within the spread" * self.spread,
            "measured": found["median"],
            "low": found["low"],
            "high": found["high"],
            "met": met,
        }


def against_best_peer(recipe: str) -> Callable[[Rows], Sequence[float]]:
    """Return how to compare a recipe with the best of its peers."""

    def values(rows: Rows) -> Sequence[float]:
        best = max(PEERS, key=rows.at)
        return rows.ratios(recipe, best)

    return values


def against_ceiling(recipe: str) -> Callable[[Rows], Sequence[float]]:
    """Return how to compare a recipe with the ceiling."""
    return lambda rows: rows.ratios(recipe, CEILING)


GOALS = [
    *(
        Goal(
            f"{name}, balanced coarse work: share of the ceiling",
            "models",
            against_ceiling(name),
            least=0.95,
        )
        for name in PROCESS_RECIPES
    ),
    *(
        Goal(
            f"{name}, balanced coarse work: against the best of joblib, mpire "
            "and Pool.map",
            "models",
            against_best_peer(name),
            least=1.0,
            spread=True,
        )
        for name in PROCESS_RECIPES
    ),
    Goal(
        "ranges in place of items, many small jobs: share of the ceiling",
        "fine",
        lambda rows: rows.find(RANGES)["values"],
        least=0.9,
    ),
    Goal(
        "asyncio, 1,000 waits: times as long as one wait",
        "waits",
        lambda rows: rows.find("asyncio")["values"],
        most=1.2,
    ),
    Goal(
        "100 MB through a mapped block: times as fast as pickling",
        "data",
        lambda rows: rows.find("a mapped block: copy")["values"],
        least=15,
    ),
    Goal(
        "100 MB through a new block: times as fast as pickling",
        "data",
        lambda rows: rows.find("a new block: create, copy, unlink")["values"],
        least=2,
    ),
]


def targets(charts: Mapping[str, Rows]) -> list[Target]:
    """Return the targets whose charts were measured, and what came of them."""
    found = []
    for goal in GOALS:
        try:
            found.append(goal.judge(charts[goal.chart]))
        except LookupError:
            continue  # not measured
    return found
