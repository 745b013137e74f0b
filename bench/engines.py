"""The engines that are measured, under the names that the charts show.

Each is a context manager that starts two workers, yields a function that does
what :func:`map` does with them, and leaves nothing behind.
"""

import importlib.util
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.context import DefaultContext
from typing import Any, NamedTuple, Protocol

from cookbook.processes.executor_map import (
    parallelism_with_concurrent_process_pool,
)
from cookbook.processes.pool_map import parallelism_with_multiprocess

WORKERS = 2  # on every machine, so that the sentences are of two cores


class Map(Protocol):
    """What an engine yields."""

    def __call__(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        chunk: int | None = None,
        /,
    ) -> list[Any]:
        """Call *function* with each item, *chunk* of them in a message."""
        ...


def context() -> DefaultContext:
    """Return the start method with which recipes are measured: fork."""
    method = "fork" if hasattr(os, "fork") else "spawn"
    return multiprocessing.get_context(method).get_context()


@contextmanager
def recipe(function: Callable[..., list[Any]]) -> Iterator[Map]:
    """Use a recipe as it stands: its workers start and end with each call."""
    yield lambda _, items, __=None: function(
        numbers=items, workers=WORKERS, context=context()
    )


@contextmanager
def threads() -> Iterator[Map]:
    """Use a pool of threads."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(WORKERS) as executor:
        yield lambda function, items, _=None: [*executor.map(function, items)]


@contextmanager
def to_thread() -> Iterator[Map]:
    """Use coroutines that call in a thread."""
    import asyncio

    from cookbook.coroutines.run_together import run_together

    with asyncio.Runner() as runner:

        def run(
            function: Callable[[Any], Any],
            items: Sequence[Any],
            _: int | None = None,
        ) -> list[Any]:
            jobs = [partial(asyncio.to_thread, function, it) for it in items]
            return runner.run(run_together(*jobs))

        yield run


@contextmanager
def pool(method: str) -> Iterator[Map]:
    """Use a pool of processes."""
    with multiprocessing.get_context(method).Pool(WORKERS) as workers:
        yield workers.map


@contextmanager
def executor(method: str) -> Iterator[Map]:
    """Use an executor of processes."""
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(WORKERS, mp_context=context) as processes:
        yield lambda function, items, chunk=None: [
            *processes.map(function, items, chunksize=chunk or 1)
        ]


@contextmanager
def interpreters() -> Iterator[Map]:
    """Use an executor of interpreters."""
    import concurrent.futures

    if sys.version_info >= (3, 14):
        with concurrent.futures.InterpreterPoolExecutor(WORKERS) as workers:
            yield lambda function, items, chunk=None: [
                *workers.map(function, items, chunksize=chunk or 1)
            ]
    else:
        raise RuntimeError("interpreters need Python 3.14")


@contextmanager
def joblib() -> Iterator[Map]:
    """Use joblib, whose processes are those of loky."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    def run(
        function: Callable[[Any], Any],
        items: Sequence[Any],
        chunk: int | None = None,
    ) -> list[Any]:
        parallel = Parallel(n_jobs=WORKERS, batch_size=chunk or "auto")
        answers: list[Any] = parallel(map(delayed(function), items))
        return answers

    try:
        yield run
    finally:
        get_reusable_executor().shutdown(wait=True)


@contextmanager
def mpire() -> Iterator[Map]:
    """Use mpire."""
    from mpire import WorkerPool
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread, which other engines would fork
    with WorkerPool(n_jobs=WORKERS, keep_alive=True) as workers:
        yield lambda function, items, chunk=None: workers.map(
            function, items, chunk_size=chunk
        )


@contextmanager
def dask() -> Iterator[Map]:
    """Use Dask on this machine alone."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster) as client,
        client.get_executor(pure=False) as processes,
    ):
        yield lambda function, items, _=None: [*processes.map(function, items)]


@contextmanager
def ray() -> Iterator[Map]:
    """Use Ray on this machine alone."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    def run(
        function: Callable[[Any], Any],
        items: Sequence[Any],
        _: int | None = None,
    ) -> list[Any]:
        def call(item: object) -> object:  # not every callable is taken
            return function(item)

        job = ray.remote(call)
        answers: list[Any] = ray.get([job.remote(item) for item in items])
        return answers

    with tempfile.TemporaryDirectory(
        prefix="ray", ignore_cleanup_errors=True
    ) as folder:
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        try:
            yield run
        finally:
            ray.shutdown()


class Engine(NamedTuple):
    """An engine, and what it needs.

    Attributes:
        open: Starts the workers.
        package: What has to be installed.
        fork: Whether the system has to know fork.
        since: The first Python that has it.
        batches: Whether it makes larger messages by itself.
    """

    open: Callable[[], AbstractContextManager[Map]]
    package: str = ""
    fork: bool = False
    since: tuple[int, int] = (3, 11)
    batches: bool = False


CEILING = "ceiling: two pinned processes"  # not an engine, measured like one
METHODS = ("fork", "forkserver", "spawn")
RECIPES = {
    "recipe executor_map": parallelism_with_concurrent_process_pool,
    "recipe pool_map": parallelism_with_multiprocess,
}
ENGINES = {
    **{name: Engine(partial(recipe, job)) for name, job in RECIPES.items()},
    "ThreadPoolExecutor": Engine(threads),
    "asyncio.to_thread": Engine(to_thread),
    **{
        f"Pool, {method}": Engine(
            partial(pool, method), fork=method != "spawn", batches=True
        )
        for method in METHODS
    },
    **{
        f"ProcessPoolExecutor, {method}": Engine(
            partial(executor, method), fork=method != "spawn"
        )
        for method in METHODS
    },
    "InterpreterPoolExecutor": Engine(interpreters, since=(3, 14)),
    "joblib": Engine(joblib, "joblib", batches=True),
    "mpire": Engine(mpire, "mpire", batches=True),
    "Dask": Engine(dask, "distributed"),
    "Ray": Engine(ray, "ray"),
}


def lacking(name: str) -> str:
    """Return why an engine cannot be measured here; nothing if it can."""
    if name == CEILING:
        return ""
    if name not in ENGINES:
        raise ValueError(f"no engine is called {name!r}")
    engine = ENGINES[name]
    if engine.package and importlib.util.find_spec(engine.package) is None:
        return f"{engine.package} is not installed"
    if engine.fork and not hasattr(os, "fork"):
        return "this system has no fork"
    if sys.version_info < engine.since:
        return "it needs Python {}.{}".format(*engine.since)
    return ""
