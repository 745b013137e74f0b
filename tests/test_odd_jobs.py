"""Jobs whose error or result cannot cross, and jobs that never return.

What runs a reader's job in a process ends all the same, says why, and leaves
no process. A pool waits for ever for an error that cannot be unpickled, as
the page of ``worker_exceptions`` says and its tests show.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from multiprocessing.pool import MaybeEncodingError  # type: ignore[attr-defined]
from queue import Empty
from typing import Any

import pytest

from cookbook.deadlocks.join_before_drain import (
    collect_from_pipes,
    collect_from_queue,
)
from cookbook.processes.chunk_size import map_in_executor, map_in_pool
from cookbook.processes.dead_worker import map_with_retries
from cookbook.processes.lazy_input import lazy_map
from cookbook.processes.pool_or_executor import (
    answers_of_executor,
    answers_of_pool,
)
from cookbook.processes.progress_bar import map_with_progress
from cookbook.processes.queues_and_pipes import result_of
from cookbook.processes.recycle_workers import map_in_fresh_workers
from cookbook.processes.results_as_they_come import (
    answers_as_they_come,
    answers_of_apply_async,
)
from cookbook.processes.stuck_worker import call_with_timeout
from cookbook.processes.worker_exceptions import map_keeping_errors

METHODS = multiprocessing.get_all_start_methods()
QUICKEST = "fork" if "fork" in METHODS else "spawn"
OWN = multiprocessing.get_context(QUICKEST)
SHORT = 0.3  # seconds to wait for a result that never comes
LONG = 60
NO_LOCK = "cannot pickle '_thread.lock' object"
Job = Callable[[Any], object]
Error = type[BaseException]


class KeepsLockError(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("keeps a lock")
        self.lock = threading.Lock()


class WantsTwoError(Exception):
    """Cannot be unpickled: it is made again with what *super* got."""

    def __init__(self, _first: object, _second: object) -> None:
        super().__init__("wants two arguments")


def raise_keeps_lock(_: object) -> object:
    raise KeepsLockError


def raise_wants_two(_: object) -> object:
    raise WantsTwoError(1, 2)


def return_lock(_: object) -> object:
    return threading.Lock()


def never_return(_: object) -> object:
    while True:
        time.sleep(LONG)


def show_nothing(*_: object) -> None:
    pass


def with_executor(job: Job) -> object:
    return map_in_executor(job, [1], context=OWN)


def with_pool(job: Job) -> object:
    return map_in_pool(job, [1], context=OWN)


def with_retries(job: Job) -> object:
    [answer] = map_with_retries(job, [1], context=OWN)
    if isinstance(answer, BrokenProcessPool):
        raise answer
    return answer


def with_lazy_map(job: Job) -> object:
    return list(lazy_map(job, [1], context=OWN))


def with_progress(job: Job) -> object:
    return map_with_progress(job, [1], show_nothing, context=OWN)


def with_fresh_workers(job: Job) -> object:
    return map_in_fresh_workers(job, [1], context=OWN)


def as_they_come(job: Job, timeout: float = LONG) -> object:
    answers: Any = answers_as_they_come(job, [1], timeout=timeout, context=OWN)
    with closing(answers):
        _, answer, failure = next(answers)
    if failure:
        raise RuntimeError(failure)
    return answer


def with_apply_async(job: Job) -> object:
    return answers_of_apply_async(job, [1], context=OWN)


def of_executor(job: Job) -> object:
    return answers_of_executor(job, [1], context=OWN)


def of_pool(job: Job, timeout: float = LONG) -> object:
    return answers_of_pool(job, [1], timeout=timeout, context=OWN)


def keeping_errors(job: Job) -> object:
    [answer] = map_keeping_errors(job, [1], context=OWN)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def of_process(job: Job) -> object:
    return result_of(job, 1, context=OWN)


def with_timeout(job: Job, timeout: float = LONG) -> object:
    return call_with_timeout(job, 1, timeout=timeout, context=OWN)


def from_pipes(job: Job, timeout: float = LONG) -> object:
    return collect_from_pipes(job, [1], timeout=timeout, context=OWN)


def from_queue(job: Job, timeout: float = SHORT) -> object:
    return collect_from_queue(job, [1], timeout=timeout, context=OWN)


EXECUTORS = [with_executor, with_lazy_map, with_progress, of_executor]
POOLS = [with_pool, with_fresh_workers, with_apply_async, of_pool]
EXPECTED: list[tuple[Job, Job, Error, str]] = [
    *((call, raise_keeps_lock, TypeError, NO_LOCK) for call in EXECUTORS),
    *((call, return_lock, TypeError, NO_LOCK) for call in EXECUTORS),
    *((call, raise_wants_two, BrokenProcessPool, "") for call in EXECUTORS),
    (with_retries, raise_keeps_lock, TypeError, NO_LOCK),
    (with_retries, return_lock, TypeError, NO_LOCK),
    (with_retries, raise_wants_two, BrokenProcessPool, ""),
    *((call, raise_keeps_lock, MaybeEncodingError, NO_LOCK) for call in POOLS),
    *((call, return_lock, MaybeEncodingError, NO_LOCK) for call in POOLS),
    (as_they_come, raise_keeps_lock, RuntimeError, "keeps a lock"),
    (as_they_come, raise_wants_two, RuntimeError, "wants two arguments"),
    (as_they_come, return_lock, MaybeEncodingError, NO_LOCK),
    (keeping_errors, raise_keeps_lock, RuntimeError, "keeps a lock"),
    (keeping_errors, raise_wants_two, RuntimeError, "wants two arguments"),
    (keeping_errors, return_lock, TypeError, NO_LOCK),
    (of_process, raise_keeps_lock, RuntimeError, "no result, exit code 1"),
    (of_process, raise_wants_two, TypeError, "positional argument"),
    (of_process, return_lock, TypeError, NO_LOCK),
    (with_timeout, raise_keeps_lock, RuntimeError, "exit code 1"),
    (with_timeout, raise_wants_two, TypeError, "positional argument"),
    (with_timeout, return_lock, RuntimeError, "exit code 1"),
    (from_pipes, raise_keeps_lock, RuntimeError, "exit code 1"),
    (from_pipes, raise_wants_two, RuntimeError, "exit code 1"),
    (from_pipes, return_lock, RuntimeError, "exit code 1"),
    (from_queue, raise_keeps_lock, Empty, ""),
    (from_queue, raise_wants_two, Empty, ""),
    (from_queue, return_lock, Empty, ""),
]
TIMED: list[tuple[Callable[[Job, float], object], Error]] = [
    (as_they_come, multiprocessing.TimeoutError),
    (of_pool, multiprocessing.TimeoutError),
    (with_timeout, TimeoutError),
    (from_pipes, TimeoutError),
    (from_queue, Empty),
]


def name(value: object) -> str:
    return getattr(value, "__name__", "")


@pytest.mark.parametrize(("call", "job", "error", "text"), EXPECTED, ids=name)
def test_what_cannot_cross_is_an_error_in_the_parent(
    call: Job,
    job: Job,
    error: Error,
    text: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(error) as caught:
        call(job)
    assert text in str(caught.value)
    said = capfd.readouterr().err
    # The feeder thread of a child that ends may say nothing.
    may_be_silent = call is from_queue and job is return_lock
    if "exit code" in text or (error is Empty and not may_be_silent):
        reasons = NO_LOCK, "keeps a lock", "wants two arguments"
        assert any(reason in said for reason in reasons)


@pytest.mark.parametrize(("call", "error"), TIMED, ids=name)
def test_a_job_that_never_returns_is_ended_after_the_timeout(
    call: Callable[[Job, float], object], error: Error
) -> None:
    with pytest.raises(error):
        call(never_return, SHORT)
    assert not multiprocessing.active_children()
