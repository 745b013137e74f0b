"""Hostile and odd input: a clear error before anything starts.

What a recipe describes under ``Args:`` is its interface. Each number, name
and path there is given what it cannot be, or stands in ``EXEMPT`` with the
reason. What else is public is a part of the program, or stands for the
reader's own job.
"""

import asyncio
import contextlib
import importlib
import inspect
import linecache
import logging
import math
import multiprocessing
import queue
import re
import subprocess
import sys
import tempfile
import threading
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cookbook import catalogue
from cookbook.coroutines.background_loop import BackgroundLoop
from cookbook.deadlocks.lock_ordering import Account
from cookbook.measuring.crossover import Costs
from cookbook.measuring.see_your_program import Timeline
from cookbook.testing.every_interleaving import unlocked_counter
from cookbook.threads.condition import Shelf

Arguments = dict[str, Any]
REFUSALS = (ArithmeticError, AttributeError, TypeError, ValueError)
CAN_FORK = "fork" in multiprocessing.get_all_start_methods()
OWN = multiprocessing.get_context("fork" if CAN_FORK else "spawn")
HUGE = 10**30
ENOUGH = 20  # calls of a job that is called for ever
NOTHING = [sys.executable, "-c", ""]
PLACES = "handed on to the engine or the system, which knows its places"
HANDED_ON = "handed on to the job as it is"
NAME = "a name to show, whatever it is"
CHECKED = "a part of the recipe, called with what has been checked"
SHOWN = "a part of what the page shows, not of what a reader calls"

#: Functions, or parameters of them, that take anything.
EXEMPT = {
    "threads.thread_results.ResultThread.result": "starts nothing: it waits",
    "threads.check_then_act.Account": HANDED_ON,
    "threads.objects_bound_to_a_thread.add": HANDED_ON,
    "threads.run_periodically.call_every": CHECKED,
    "coroutines.stop_a_group_early.search_rooms": HANDED_ON,
    "coroutines.retry.retry.pause": "no number is an error at the first pause",
    "coroutines.context_variables.serving": NAME,
    "coroutines.async_context.Connection": NAME,
    "coroutines.streams.Service.host": PLACES,
    "coroutines.streams.Service.port": PLACES,
    "coroutines.background_loop.stop_during_a_call": SHOWN,
    "coroutines.call_from_thread.deliver": SHOWN,
    "coroutines.eager_tasks.start": NAME,
    "processes.main_guard.run_in_process": HANDED_ON,
    "processes.start_methods.scale_by_argument.factor": HANDED_ON,
    "processes.start_methods.scale_by_initializer.factor": HANDED_ON,
    "processes.several_arguments.count_with_partial.start": HANDED_ON,
    "processes.orphans.outlives_parent": SHOWN,
    "processes.pickling.Times": HANDED_ON,
    "processes.pickling.Scaler": HANDED_ON,
    "processes.oversubscription.limit_threads": CHECKED,
    "processes.logging_from_workers.log_to_queue": CHECKED,
    "processes.repl_and_notebook.type_in": SHOWN,
    "processes.repl_and_notebook.with_import": SHOWN,
    "deadlocks.lock_timeout.take": CHECKED,
    "deadlocks.nested_submit.crawl.first": HANDED_ON,
    "measuring.time_it_right.check_result": NAME,
    "measuring.time_it_right.speed_up": "a key: the KeyError says which",
    "measuring.find_the_bottleneck.profiled": HANDED_ON,
    "measuring.find_the_bottleneck.calls": NAME,
    "measuring.see_your_program.check": HANDED_ON,
    "measuring.crossover.crossover.cost": "arithmetic alone: of nan comes nan",
    "measuring.memory_per_worker.memory": PLACES,
    "measuring.memory_per_worker.family": PLACES,
    "clusters.executor_on_a_cluster.connected": PLACES,
    "clusters.executor_on_a_cluster.parallelism_with_cluster_executor"
    ".address": PLACES,
    "clusters.survive_a_lost_worker.publish_once": PLACES,
    "clusters.real_cluster.cluster": PLACES,
    "clusters.ray_and_mpi.parallelism_with_ray.address": PLACES,
}
#: The smallest int that is allowed, where that is not 1.
SMALLEST = {
    "primes.is_prime.n": -math.inf,
    "primes.is_prime_with_pid.n": -math.inf,
    "primes.count_primes.start": -math.inf,
    "primes.count_primes.stop": -math.inf,
    "primes.split_range.start": -math.inf,
    "threads.condition.take.count": -math.inf,
    "coroutines.cpu_bound.count_in_processes.stop": 0,
    "processes.chunk_size.chunk_size.jobs": 0,
    "processes.how_many_workers.workers_for.jobs": 0,
    "processes.random_seeds.draw_all.seed": -math.inf,
    "deadlocks.lock_ordering.transfer.amount": 0,
    "testing.every_interleaving.every_interleaving.preemptions": 0,
}
#: Where Python takes None for its own default, though the recipe's type has
#: none.
NONE_IS_A_DEFAULT = {
    "threads.thread_results.outcomes.workers",
    "threads.pool_timeouts.map_with_timeout.workers",
    "threads.background_exceptions.run_all.workers",
    "threads.ctrl_c_threads.run_stoppable.workers",
    "processes.recycle_workers.map_in_fresh_workers.jobs_each",
    "processes.progress_bar.map_with_progress.workers",
    "processes.big_data.total.workers",
    "parallel_threads.interpreters_or_processes.map_in_parallel.workers",
    "deadlocks.nested_submit.crawl.workers",
    "deadlocks.nested_submit.count_in_two_pools.workers",
}
#: Where the items have been read when Python, or a file, says no.
READS_FIRST = {
    "processes.parallel_for.primes_in_processes.chunksize",
    "processes.recycle_workers.map_in_fresh_workers.jobs_each",
    "processes.worker_state.predict_all.path",
}
#: Where an infinite time is an OverflowError of Python's own.
NOT_FOR_EVER = {"deadlocks.find_where_it_hangs.dump_after.seconds"}


class StartedError(BaseException):
    """Ends a call that starts something."""


class Probe(contextlib.ExitStack):
    """What a call is given; it notes what becomes of it.

    Attributes:
        folder: An empty folder.
        may_start: Whether a call goes on when it starts something.
        begun: What was started or called.
        read: How many items were read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.may_start = True
        self.begun: list[str] = []
        self.read = 0

    def begin(self, what: str) -> None:
        """Note it, and end the call unless it may go on."""
        self.begun.append(what)
        if not self.may_start or len(self.begun) > ENOUGH:
            raise StartedError(what)

    def pool(self) -> ThreadPoolExecutor:
        """Return a pool that ends with the probe."""
        return self.enter_context(ThreadPoolExecutor(1))

    def file(self, text: str) -> Path:
        """Write a file."""
        path = self.folder / "file"
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def items(self) -> Iterator[int]:
        """Two items, which nobody is to read in vain."""
        for number in (1, 2):
            self.read += 1
            yield number

    def job(self, *_: object) -> int:
        """Be the job of a thread or a process."""
        self.begin("job")
        return 1

    async def task(self, *_: object) -> int:
        """Be the job of a task."""
        return self.job()

    def links(self, *_: object) -> list[str]:
        """Be a job that returns a list."""
        self.begin("job")
        return []

    def mapping(self, job: str = "function", **more: object) -> Arguments:
        """Return what most pools are given."""
        return {job: self.job, "items": self.items, "workers": 1, **more}

    def in_pool(self, job: str = "function", **more: object) -> Arguments:
        """Return the same, for processes."""
        return self.mapping(job, context=OWN, **more)

    def numbers(self, **more: object) -> Arguments:
        """Return what a pool is given that looks for primes."""
        return {"numbers": self.items, "workers": 1, "context": OWN, **more}

    def jobs(self, **more: object) -> Arguments:
        """Return what a pool is given that runs jobs."""
        return {"jobs": [self.job], "workers": 1, "context": OWN, **more}

    def children(self) -> Arguments:
        """Return what is given to a process for each item."""
        return {"job": self.job, "items": self.items, "context": OWN}


def just_numbers(probe: Probe) -> Arguments:
    return {"numbers": probe.items, "workers": 1}


def fed(work: str, probe: Probe) -> Arguments:
    return {"items": probe.items, "work": getattr(probe, work)}


def stocked(_: Probe) -> Arguments:
    shelf = Shelf()
    shelf.items.append("tea")
    return {"shelf": shelf}


def on_a_loop(probe: Probe) -> Arguments:
    loop = probe.enter_context(BackgroundLoop())
    return {"self": loop, "function": probe.task, "timeout": 1}


def on_no_loop(probe: Probe) -> Arguments:
    loop = mock.Mock(is_running=lambda: False)
    return {"loop": loop, "function": probe.task, "timeout": 1}


def answered(probe: Probe) -> Arguments:
    answers: queue.Queue[tuple[int, bool]] = queue.Queue()
    answers.put((1, False))
    answers.put((2, True))
    return {"numbers": probe.items, "jobs": queue.Queue(), "answers": answers}


#: Arguments that are good, for each function; those left out have a default.
GOOD: dict[str, Callable[[Probe], Arguments]] = {
    "primes.is_prime": lambda _: {"n": 1},
    "primes.is_prime_with_pid": lambda _: {"n": 1},
    "primes.count_primes": lambda _: {"start": 1, "stop": 2},
    "primes.split_range": lambda _: {"start": 1, "stop": 2, "parts": 1},
    "primes.checked": just_numbers,
    "threads.thread_pool.concurrent_with_thread_pool": just_numbers,
    "threads.thread_results.outcomes": Probe.mapping,
    "threads.as_completed.map_as_completed": lambda probe: {
        "pool": probe.pool(),
        "function": probe.job,
        "items": probe.items,
    },
    "threads.bounded_map.bounded_map": lambda probe: {
        "pool": probe.pool(),
        "function": probe.job,
        "items": probe.items,
    },
    "threads.pool_timeouts.map_with_timeout": lambda probe: probe.mapping(
        "job", timeout=1
    ),
    "threads.code_that_releases_the_gil.lets_others_run": lambda probe: {
        "call": probe.job,
        "patience": 0,
    },
    "threads.condition.take": stocked,
    "threads.limit_concurrency.limited": lambda probe: {
        "job": probe.job,
        "at_most": 1,
    },
    "threads.barrier.run_in_phases": lambda probe: {
        "workers": [[probe.job], [probe.job]]
    },
    "threads.producer_consumer.process_until_sentinel": partial(fed, "job"),
    "threads.pipeline.run_pipeline": lambda probe: {
        "items": probe.items,
        "stages": [probe.job],
    },
    "threads.background_exceptions.run_all": lambda probe: {
        "jobs": [probe.job]
    },
    "threads.run_periodically.periodically": lambda probe: {
        "job": probe.job,
        "interval": 1,
    },
    "threads.stop_a_thread.stoppable": lambda probe: {"work": probe.job},
    "threads.stop_a_thread.run_for": lambda probe: {
        "work": probe.job,
        "seconds": 10,
        "context": OWN,
    },
    "threads.ctrl_c_threads.run_stoppable": lambda probe: {
        "jobs": [probe.job]
    },
    "coroutines.first_result.first_result": lambda probe: {
        "jobs": [probe.task]
    },
    "coroutines.limit_concurrency.map_with_workers": lambda probe: {
        "job": probe.task,
        "items": probe.items,
        "at_most": 1,
    },
    "coroutines.limit_concurrency.limited": lambda probe: {
        "job": probe.task,
        "at_most": 1,
    },
    "coroutines.rate_limit.RateLimit": lambda _: {"calls": 1},
    "coroutines.fetch_many.fetch_many": lambda _: {
        "urls": ["http://127.0.0.1:1/"],
        "attempts": 1,
    },
    "coroutines.timeouts.answer_or": lambda probe: {
        "default": 1,
        "job": probe.task,
        "seconds": 1,
    },
    "coroutines.timeouts.answers_by": lambda probe: {
        "deadline": HUGE,
        "jobs": [probe.task],
        "seconds": 1,
    },
    "coroutines.retry.retry": lambda probe: {"job": probe.task, "on": OSError},
    "coroutines.periodic_task.every": lambda probe: {
        "seconds": 1,
        "job": probe.task,
    },
    "coroutines.blocking_call.async_method_not_blocked": lambda _: {
        "seconds": 0
    },
    "coroutines.blocking_call.async_method_blocked": lambda _: {"seconds": 0},
    "coroutines.cpu_bound.count_in_processes": lambda _: {
        "stop": 9,
        "context": OWN,
    },
    "coroutines.find_what_blocks.watched_loop": lambda probe: {
        "report": probe.job
    },
    "coroutines.find_what_blocks.watch_lag": lambda probe: {
        "report": probe.job,
        "every": 0.001,
    },
    "coroutines.queues.process_all": partial(fed, "task"),
    "coroutines.queues.process_all_and_shut_down": partial(fed, "task"),
    "coroutines.streams.Service": lambda _: {},
    "coroutines.subprocesses.run_program": lambda _: {"command": NOTHING},
    "coroutines.graceful_shutdown.run_until_signal": lambda probe: {
        "serve": probe.task
    },
    "coroutines.background_loop.BackgroundLoop.run": on_a_loop,
    "coroutines.call_from_thread.call_from_thread": on_no_loop,
    "processes.pool_map.parallelism_with_multiprocess": Probe.numbers,
    "processes.executor_map.parallelism_with_concurrent_process_pool": (
        Probe.numbers
    ),
    "processes.pool_or_executor.answers_of_executor": Probe.in_pool,
    "processes.pool_or_executor.answers_of_pool": lambda probe: probe.in_pool(
        timeout=10
    ),
    "processes.start_methods.scale_by_argument": lambda probe: probe.numbers(
        factor=1
    ),
    "processes.start_methods.scale_by_initializer": (
        lambda probe: probe.numbers(factor=1)
    ),
    "processes.parallel_for.primes_in_processes": Probe.numbers,
    "processes.several_arguments.count_with_starmap": lambda _: {
        "spans": [(1, 2)],
        "context": OWN,
    },
    "processes.several_arguments.count_with_partial": lambda probe: {
        "start": 1,
        "stops": probe.items,
        "context": OWN,
    },
    "processes.several_arguments.count_with_executor": lambda probe: {
        "starts": probe.items,
        "stops": probe.items,
        "context": OWN,
    },
    "processes.results_as_they_come.answers_as_they_come": Probe.in_pool,
    "processes.results_as_they_come.answers_of_apply_async": Probe.in_pool,
    "processes.chunk_size.chunk_size": lambda _: {"jobs": 1, "workers": 1},
    "processes.chunk_size.map_in_executor": Probe.in_pool,
    "processes.chunk_size.map_in_pool": Probe.in_pool,
    "processes.lazy_input.lazy_map": Probe.in_pool,
    "processes.worker_state.Model": lambda probe: {"path": probe.file("[1]")},
    "processes.worker_state.predict_all": lambda probe: probe.numbers(
        path=probe.file("[1]")
    ),
    "processes.recycle_workers.map_in_fresh_workers": (
        lambda probe: probe.numbers(function=probe.job)
    ),
    "processes.progress_bar.map_with_progress": lambda probe: probe.in_pool(
        show=probe.job
    ),
    "processes.worker_exceptions.map_keeping_errors": (
        lambda probe: probe.in_pool("job")
    ),
    "processes.dead_worker.map_with_retries": lambda probe: probe.in_pool(
        "job"
    ),
    "processes.stuck_worker.call_with_timeout": lambda probe: {
        "job": probe.job,
        "item": 1,
        "timeout": 10,
        "context": OWN,
    },
    "processes.ctrl_c_pools.ending_executor": lambda _: {
        "workers": 1,
        "context": OWN,
    },
    "processes.ctrl_c_pools.ending_pool": lambda _: {
        "workers": 1,
        "context": OWN,
    },
    "processes.nested_pools.count_primes_in_each": lambda _: {
        "rows": [[1], [2]],
        "context": OWN,
    },
    "processes.big_data.by_path": lambda probe: {
        "path": probe.file(80 * "0"),
        "parts": 1,
    },
    "processes.big_data.total": Probe.jobs,
    "processes.shared_memory.shared_block": lambda _: {"size": 1},
    "processes.shared_memory.double_all": Probe.numbers,
    "processes.shared_counter_processes.count_in_executor": Probe.numbers,
    "processes.manager.group_numbers": Probe.numbers,
    "processes.manager.add_up": Probe.jobs,
    "processes.events_between_processes.run_meanwhile": lambda probe: {
        "job": probe.job,
        "work": probe.job,
        "workers": 1,
        "context": OWN,
    },
    "processes.events_between_processes.call_alone": lambda probe: {
        "lock": OWN.Lock(),
        "job": probe.job,
    },
    "processes.how_many_workers.cpu_quota": lambda probe: {
        "path": probe.file("max 1")
    },
    "processes.how_many_workers.workers_for": lambda _: {"jobs": 1},
    "processes.oversubscription.map_with_threads": (
        lambda probe: probe.numbers(job=probe.job)
    ),
    "processes.random_seeds.draw_all": lambda probe: probe.numbers(seed=1),
    "processes.logging_from_workers.map_and_log": lambda probe: probe.numbers(
        job=probe.job, handler=logging.NullHandler()
    ),
    "processes.one_file_many_writers.write_in_parent": (
        lambda probe: probe.jobs(path=probe.file(""), jobs=[probe.links])
    ),
    "parallel_threads.threads_that_scale.count_words": lambda _: {
        "texts": ["a b"]
    },
    "parallel_threads.interpreter_pool.map_in_interpreters": (
        lambda probe: probe.mapping("job")
    ),
    "parallel_threads.interpreters_or_processes.map_in_parallel": (
        lambda probe: probe.in_pool("job")
    ),
    "deadlocks.lock_ordering.transfer": lambda _: {
        "source": Account(1, 10),
        "target": Account(2, 10),
        "amount": 1,
    },
    "deadlocks.lock_timeout.acquire_all": lambda _: {
        "locks": [threading.Lock()],
        "timeout": 1,
    },
    "deadlocks.livelock_and_starvation.retry": lambda probe: {
        "attempt": probe.job
    },
    "deadlocks.nested_submit.crawl": lambda probe: {
        "first": "a",
        "links_of": probe.links,
    },
    "deadlocks.nested_submit.count_in_two_pools": lambda probe: {
        "pages": probe.items,
        "links_of": probe.links,
    },
    "deadlocks.join_before_drain.collect_from_queue": Probe.children,
    "deadlocks.join_before_drain.collect_from_pipes": Probe.children,
    "deadlocks.join_before_drain.output_of": lambda _: {"command": NOTHING},
    "deadlocks.fork_with_threads.exit_code_of": lambda probe: {
        "job": probe.job,
        "context": OWN,
    },
    "deadlocks.async_deadlock.work_off": lambda probe: {
        "items": probe.items,
        "handle": probe.task,
    },
    "deadlocks.find_where_it_hangs.dump_after": lambda _: {"seconds": 10},
    "testing.force_a_race.Meeting": lambda _: {},
    "testing.every_interleaving.every_interleaving": lambda _: {
        "make": unlocked_counter
    },
    "testing.every_interleaving.replay": lambda _: {
        "make": unlocked_counter,
        "schedule": [],
    },
    "testing.every_interleaving.steps": lambda _: {
        "make": unlocked_counter,
        "schedule": [],
    },
    "testing.stress.stress": lambda probe: {
        "make": lambda _: (probe.job, lambda: True)
    },
    "testing.without_sleeping.wait_until": lambda probe: {
        "condition": probe.job
    },
    "testing.no_leaks.no_leaks": lambda _: {},
    "measuring.time_it_right.time_in_turns": lambda probe: {
        "ways": {"one": probe.job}
    },
    "measuring.time_it_right.in_fresh_processes": lambda probe: {
        "measure": probe.job
    },
    "measuring.find_the_bottleneck.profile_workers": (
        lambda probe: probe.numbers(function=probe.job)
    ),
    "measuring.see_your_program.Timeline.job": lambda probe: {
        "self": Timeline(probe.folder),
        "name": "job",
    },
    "measuring.see_your_program.record": lambda probe: {
        "path": probe.file("")
    },
    "measuring.crossover.crossover": lambda _: {"cost": 1, "workers": 2},
    "measuring.crossover.items_in_a_job": lambda _: {
        "costs": Costs(1, 1, 1),
        "workers": 2,
    },
    "measuring.crossover.measured": lambda probe: {
        "function": probe.job,
        "items": [1, 2],
        "context": OWN,
    },
    "measuring.crossover.map_batches": lambda probe: {
        "function": probe.job,
        "batches": [probe.items],
        "size": 1,
        "context": OWN,
    },
    "measuring.amdahl.amdahl": lambda _: {"serial": 0.5, "workers": 2},
    "measuring.amdahl.schedule": lambda _: {"lengths": [1], "workers": 2},
    "measuring.amdahl.speed_up": lambda _: {"lengths": [1], "workers": 2},
    "measuring.amdahl.map_longest_first": lambda probe: probe.in_pool(
        length=float
    ),
    "measuring.contention.count_with_short_lock": (
        lambda probe: probe.mapping("work")
    ),
    "measuring.contention.count_alone": lambda probe: {
        "work": probe.job,
        "items": [1],
    },
    "clusters.executor_on_a_cluster.parallelism_with_cluster_executor": (
        just_numbers
    ),
    "clusters.ray_and_mpi.parallelism_with_ray": just_numbers,
    "clusters.ray_and_mpi.parallelism_with_mpi_pool": just_numbers,
    "clusters.job_queue.JobQueue": lambda probe: {
        "path": probe.folder / "jobs"
    },
    "clusters.queue_between_machines.queues_at": lambda _: {
        "address": ("127.0.0.1", 0),
        "authkey": b"key",
    },
    "clusters.queue_between_machines.collect": answered,
}


class Described(NamedTuple):
    """A parameter that a right half describes under ``Args:``."""

    owner: str
    function: Callable[..., Any]
    name: str
    kinds: set[type]


def described() -> Iterator[Described]:
    """Yield the numbers, names and paths of every right half."""
    for recipe in catalogue.recipes():
        module = importlib.import_module(recipe.module)
        for name, function in public(module, recipe.module):
            for parameter in parameters(function):
                found = kinds(parameter.annotation)
                if found & {int, float, str, bytes, Path}:
                    owner = f"{recipe.name}.{name}"
                    yield Described(owner, function, parameter.name, found)


def public(
    scope: object, module: str
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the functions, classes and methods that are no trap."""
    for name, one in vars(scope).items():
        if name.startswith(("_", "broken", "Broken")):
            continue
        if getattr(one, "__module__", None) == module and callable(one):
            yield name, one
            if inspect.isclass(one):
                for method, function in public(one, module):
                    yield f"{name}.{method}", function


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return what stands under ``Args:``, but for ``*args``."""
    _, found, text = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    if not found:
        return []
    section = re.split(r"\n\n?(?=\S)", text)[0]
    names = re.findall(r"^ {4}(\w+):", section, re.MULTILINE)
    every = inspect.signature(function).parameters
    return [
        every[name]
        for name in names
        if every[name].kind is not inspect.Parameter.VAR_POSITIONAL
    ]


def kinds(hint: object) -> set[type]:
    """Return the classes that a parameter may be of."""
    is_union = typing.get_origin(hint) in {types.UnionType, typing.Union}
    found = typing.get_args(hint) if is_union else [hint]
    return {one for one in found if isinstance(one, type)}


DESCRIBED = {f"{one.owner}.{one.name}": one for one in described()}
TRIED = {
    path: one
    for path, one in DESCRIBED.items()
    if path not in EXEMPT and one.owner not in EXEMPT
}


def cannot_be(path: str) -> Iterator[object]:
    """Yield what the parameter cannot be."""
    may_be = TRIED[path].kinds
    if may_be & {int, float}:
        yield from ("1", b"1", 1j, [1], object())
    if int in may_be and math.isfinite(low := SMALLEST.get(path, 1)):
        yield from (int(low) - 1, -HUGE)
    if float in may_be:
        yield math.nan
    if may_be & {str, bytes, Path}:
        yield from (3, 0.5, object())
    if bytes in may_be:
        yield "text"
    if types.NoneType not in may_be and path not in NONE_IS_A_DEFAULT:
        yield None


def can_hardly_be(path: str) -> Iterator[object]:
    """Yield what the parameter can be at best, and what is as odd."""
    may_be = TRIED[path].kinds
    if float in may_be:
        yield from (-1.0, -0.0, 0.0)
        if path not in NOT_FOR_EVER:
            yield from (-math.inf, math.inf)
    if str in may_be:
        yield from ("", "a\0b", "\udc80")
    if bytes in may_be:
        yield b""
    if Path in may_be:
        yield from (Path("not", "there"), Path("a\0b"), Path("\udc80"))


def call(function: Callable[..., Any], arguments: Arguments) -> Any:
    """Call a function with arguments by name, of ``*args`` too."""
    signature = inspect.signature(function)
    for one in signature.parameters.values():
        if one.kind is one.VAR_POSITIONAL and one.name in arguments:
            arguments[one.name] = tuple(arguments[one.name])
    bound = inspect.BoundArguments(signature, OrderedDict(arguments))
    return function(*bound.args, **bound.kwargs)


def exhaust(result: Any, probe: Probe) -> None:
    """Run a coroutine, an iterator, a with-block or a function to its end."""
    if inspect.iscoroutine(result):
        run(result, probe)
    elif isinstance(result, contextlib.AbstractAsyncContextManager):
        run(enter(result), probe)
    elif isinstance(result, contextlib.AbstractContextManager):
        with result:
            pass
    elif isinstance(result, Iterator):
        list(result)
    elif inspect.isfunction(result):
        exhaust(result(), probe)


async def enter(manager: contextlib.AbstractAsyncContextManager[Any]) -> None:
    async with manager:
        pass


def run(main: Coroutine[Any, Any, Any], probe: Probe) -> None:
    """Run a coroutine as asyncio does, and note the tasks that it makes."""

    def make(
        loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        if asyncio.current_task(loop):
            try:
                probe.begin("task")
            except StartedError:
                coroutine.close()
                raise
        return asyncio.Task(coroutine, loop=loop, **options)

    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(make)
        runner.run(main)


@contextlib.contextmanager
def watched(probe: Probe) -> Iterator[None]:
    """Note the threads, processes and programs that start in the block."""
    starts = (
        (threading.Thread, "start"),
        (BaseProcess, "start"),
        (subprocess.Popen, "_execute_child"),
    )
    with contextlib.ExitStack() as patches:
        for owner, name in starts:
            noted = note(probe, getattr(owner, name))
            patches.enter_context(mock.patch.object(owner, name, noted))
        yield


def note(probe: Probe, start: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*args: Any, **options: Any) -> Any:
        probe.begin(start.__qualname__)
        return start(*args, **options)

    return noted


def outcome(
    one: Described, odd: Arguments, *, may_start: bool = False
) -> tuple[BaseException | None, Probe]:
    """Return what a call raises, and the probe that knows what it began."""
    with Probe() as probe:
        arguments = {**GOOD[one.owner](probe), **odd}
        probe.begun.clear()
        probe.may_start = may_start
        try:
            with watched(probe):
                exhaust(call(one.function, arguments), probe)
        except (Exception, StartedError, BaseExceptionGroup) as error:
            return error, probe
        finally:
            probe.may_start = True
        return None, probe


def assert_refused(path: str, value: object, error: BaseException) -> None:
    """See that an error says what was wrong."""
    assert isinstance(error, (TypeError, ValueError, AttributeError))
    said = str(error)
    if not isinstance(error, ValueError):  # may be Python's own
        assert repr(value) in said or type(value).__name__ in said
    elif raised_by_recipe(error) and bytes not in TRIED[path].kinds:
        assert repr(value) in said
    assert said


def raised_by_recipe(error: BaseException) -> bool:
    """Tell whether an error comes from a ``raise`` of the book."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    assert trace
    file = trace.tb_frame.f_code.co_filename
    line = linecache.getline(file, trace.tb_lineno)
    return catalogue.ROOT in Path(file).parents and "raise " in line


def assert_refused_at_once(path: str, value: object) -> None:
    """See that the value is refused before anything starts."""
    error, probe = outcome(TRIED[path], {TRIED[path].name: value})
    assert error, f"{path} may be {value!r}"
    assert not probe.begun, f"{path} may be {value!r}: {probe.begun}"
    assert_refused(path, value, error)
    assert not probe.read or path in READS_FIRST


def paths_of(owner: str) -> list[str]:
    return [path for path, one in TRIED.items() if one.owner == owner]


def is_odd(owner: str) -> bool:
    """Tell whether there is anything between what may be and what cannot."""
    return any([*can_hardly_be(path)] for path in paths_of(owner))


def test_every_parameter_is_tried_or_exempt() -> None:
    assert {one.owner for one in TRIED.values()} == GOOD.keys()
    named = {one.owner for one in DESCRIBED.values()} | DESCRIBED.keys()
    assert EXEMPT.keys() <= named
    special = SMALLEST.keys() | NONE_IS_A_DEFAULT | READS_FIRST | NOT_FOR_EVER
    assert special <= TRIED.keys()


@pytest.mark.parametrize("owner", GOOD)
def test_what_cannot_be_is_refused_before_anything_starts(owner: str) -> None:
    paths = paths_of(owner)
    error, probe = outcome(TRIED[paths[0]], {})
    assert probe.begun or not isinstance(error, REFUSALS)  # with good ones
    for path in paths:
        for value in cannot_be(path):
            assert_refused_at_once(path, value)


@settings(max_examples=100, derandomize=True, database=None)
@given(
    path=st.sampled_from(
        [path for path, one in TRIED.items() if int in one.kinds]
    ),
    below=st.integers(min_value=1),
)
def test_any_number_below_the_smallest_is_refused(
    path: str, below: int
) -> None:
    smallest = SMALLEST.get(path, 1)
    if math.isfinite(smallest):
        assert_refused_at_once(path, int(smallest) - below)


@pytest.mark.skipif(not CAN_FORK, reason="a worker cannot import a test")
@pytest.mark.parametrize("owner", [*filter(is_odd, GOOD)])
def test_what_is_odd_works_or_is_refused_before_anything_starts(
    owner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some names are good enough for a file
    for path in paths_of(owner):
        for value in can_hardly_be(path):
            odd = {TRIED[path].name: value}
            error, probe = outcome(TRIED[path], odd, may_start=True)
            if isinstance(error, REFUSALS):
                assert not probe.begun, f"{path}, {value!r}: {error!r}"
                assert_refused(path, value, error)
                assert not probe.read or path in READS_FIRST
