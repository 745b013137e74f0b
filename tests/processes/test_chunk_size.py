"""What the recipe says of chunks, shown to be so."""

import math
import multiprocessing
import operator
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from cookbook.primes import WORKERS, is_prime, is_prime_with_pid
from cookbook.processes import chunk_size as recipe
from cookbook.processes.chunk_size import (
    Counted,
    broken_all_at_once,
    broken_one_by_one,
    broken_rounded_down,
    chunk_size,
    map_in_executor,
    map_in_pool,
)

METHODS = multiprocessing.get_all_start_methods()
ONE = multiprocessing.get_context(METHODS[0])
NO_NUMBER: Any = "eight"

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize(
    ("jobs", "workers", "size"),
    [
        (0, 2, 1),
        (1, 2, 1),
        (8, 2, 1),
        (9, 2, 2),
        (100, 2, 13),
        (100, 1, 25),
        (10_000, 4, 625),
    ],
)
def test_the_chunk_size_is_a_quarter_of_a_workers_share_rounded_up(
    jobs: int, workers: int, size: int
) -> None:
    assert chunk_size(jobs, workers) == size


def test_the_number_of_chunks_for_each_worker_can_be_chosen() -> None:
    assert chunk_size(100, 2, chunks=1) == 50
    assert chunk_size(100, 2, chunks=50) == 1


@pytest.mark.parametrize(
    ("jobs", "workers", "chunks"), [(-1, 2, 4), (9, 0, 4), (9, 2, 0)]
)
def test_numbers_that_cannot_be_shared_are_refused_by_value(
    jobs: int, workers: int, chunks: int
) -> None:
    text = rf"^no share of {jobs} in {workers} \* {chunks}$"
    with pytest.raises(ValueError, match=text):
        chunk_size(jobs, workers, chunks=chunks)


@every_method
@pytest.mark.parametrize("function", [map_in_executor, map_in_pool])
def test_the_right_ways_send_about_four_chunks_to_each_worker(
    method: str, function: Callable[..., list[object]]
) -> None:
    job = Counted(is_prime)
    context = multiprocessing.get_context(method)
    answers = function(job, range(10), workers=2, context=context)
    assert answers == [n in {2, 3, 5, 7} for n in range(10)]
    assert job.sent == 5


@pytest.mark.parametrize(
    ("function", "messages"),
    [(broken_one_by_one, 10), (broken_all_at_once, 1)],
)
def test_the_broken_ways_send_a_message_for_each_job_or_one_for_all(
    function: Callable[..., list[object]], messages: int
) -> None:
    job = Counted(is_prime)
    answers = function(job, range(10), workers=2, context=ONE)
    assert answers == [n in {2, 3, 5, 7} for n in range(10)]
    assert job.sent == messages


@pytest.mark.parametrize("jobs", [1, 4, 5, 8, 9, 17])
def test_the_default_of_a_pool_is_the_chunk_size_of_the_recipe(
    jobs: int,
) -> None:
    job: Counted[int, int] = Counted(abs)
    with ONE.Pool(1) as pool:
        pool.map(job, range(jobs))
    assert job.sent == math.ceil(jobs / chunk_size(jobs, 1))


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_the_default_of_imap_is_a_message_for_each_job(name: str) -> None:
    job: Counted[int, int] = Counted(abs)
    with ONE.Pool(1) as pool:
        assert set(getattr(pool, name)(job, range(9))) == set(range(9))
        assert job.sent == 9
        assert set(getattr(pool, name)(job, range(9), 3)) == set(range(9))
        assert job.sent == 12


def test_one_worker_runs_the_whole_chunk() -> None:
    with ONE.Pool(2) as pool:
        answers = pool.map(is_prime_with_pid, range(12), chunksize=4)
    pids = [pid for *_, pid in answers]
    assert [len(set(pids[n : n + 4])) for n in (0, 4, 8)] == [1, 1, 1]


@every_method
def test_all_jobs_at_once_are_done_by_one_worker(method: str) -> None:
    answers = broken_all_at_once(
        is_prime_with_pid,
        range(50),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert len({pid for *_, pid in answers}) == 1


def two_that_meet(gate: Path) -> list[Callable[[], object]]:
    """Return two jobs that end only if they run at the same time."""
    os.mkfifo(gate)
    return [
        partial(Path.read_text, gate),
        partial(Path.write_text, gate, "met"),
    ]


@posix
@every_method
@pytest.mark.parametrize("function", [map_in_executor, map_in_pool])
def test_jobs_in_chunks_of_this_size_run_at_the_same_time(
    method: str, function: Callable[..., list[object]], tmp_path: Path
) -> None:
    answers = function(
        operator.call,
        two_that_meet(tmp_path / "gate"),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert answers == ["met", 3]


@posix
def test_in_one_chunk_they_never_meet_though_a_worker_is_idle(
    tmp_path: Path,
) -> None:
    jobs = two_that_meet(tmp_path / "gate")
    with ONE.Pool(2) as pool:
        result = pool.map_async(operator.call, jobs, chunksize=2)
        assert pool.apply(abs, (-7,)) == 7
        result.wait(0.1)
        assert not result.ready()


@every_method
def test_a_size_rounded_down_to_0_gives_none_for_each_item(
    method: str,
) -> None:
    answers = broken_rounded_down(
        is_prime,
        [7, 8, 9],
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert answers == [None] * 3


def test_rounded_down_is_right_with_enough_items() -> None:
    answers = broken_rounded_down(is_prime, range(9), workers=1, context=ONE)
    assert answers == [n in {2, 3, 5, 7} for n in range(9)]


def test_imap_and_an_executor_refuse_a_size_of_0() -> None:
    with ONE.Pool(1) as pool:
        for method in pool.imap, pool.imap_unordered:
            with pytest.raises(ValueError, match=r"^Chunksize .* 1\+, not 0$"):
                method(abs, [1, 2], 0)
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        text = r"^chunksize must be >= 1\.$"
        with pytest.raises(ValueError, match=text):
            executor.map(abs, [1, 2], chunksize=0)


def test_a_pool_waits_for_ever_with_a_size_that_is_a_float() -> None:
    size: Any = 3 / 2
    with ONE.Pool(1) as pool:
        result = pool.map_async(abs, [1, 2, 3], chunksize=size)
        # A pool of one worker answers in turn: this comes after the error.
        assert pool.apply(abs, (-7,)) == 7
        result.wait(0.1)
        assert not result.ready()


def items_that_fail() -> Iterator[int]:
    """Yield one item, then raise an error."""
    yield 1
    raise OSError("no more items")


def test_map_reads_all_items_first_and_imap_one_after_the_other() -> None:
    with ONE.Pool(1) as pool:
        with pytest.raises(OSError, match="no more items"):
            pool.map_async(abs, items_that_fail())
        answers = pool.imap(abs, items_that_fail())
        assert next(answers) == 1
        with pytest.raises(OSError, match="no more items"):
            next(answers)


@posix
def test_a_job_that_raises_takes_its_chunk_with_it_and_no_other(
    tmp_path: Path,
) -> None:
    jobs = [tmp_path / "one", tmp_path / "no" / "two", tmp_path / "three"]
    jobs += [tmp_path / "four"]
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        answers = executor.map(os.mkdir, jobs, chunksize=3)
        # The error that is read cancels the chunks that have not begun.
        deadline = time.monotonic() + 30
        while not jobs[3].exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(FileNotFoundError):
            next(answers)
    assert [job.exists() for job in jobs] == [True, False, False, True]


@posix
def test_a_pool_loses_the_whole_chunk_of_a_killed_worker() -> None:
    killer = partial(signal.raise_signal, signal.SIGKILL)
    jobs: list[Callable[[], object]] = [partial(abs, -n) for n in (1, 2, 3)]
    run: Any = operator.call
    with ONE.Pool(1) as pool:
        answers = iter(pool.imap_unordered(run, [jobs[0], killer, *jobs], 2))
        assert [next(answers) for _ in range(3)] == [1, 2, 3]


def test_no_items_give_no_answers() -> None:
    assert map_in_executor(abs, [], workers=1) == []
    assert map_in_pool(abs, [], workers=1) == []


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"items": 7}, TypeError, "^'int' object is not iterable$"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    given: Any = {"items": [7], "context": starts_nothing} | options
    with pytest.raises(error, match=text):
        map_in_executor(is_prime, **given)
    with pytest.raises(error, match=text):
        map_in_pool(is_prime, **given)


@pytest.mark.parametrize("function", [map_in_executor, map_in_pool])
def test_an_error_in_a_job_is_raised_in_the_parent(
    function: Callable[..., list[object]],
) -> None:
    with pytest.raises(TypeError, match="n must be an int, not 'eight'"):
        function(is_prime, [7, NO_NUMBER], workers=1, context=ONE)


def test_both_have_the_workers_asked_for_and_a_pools_ignore_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    executor = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(recipe, "ProcessPoolExecutor", executor)
    assert map_in_executor(abs, iter([-1]), context=spawn) == [1]
    assert executor.mock_calls[0] == call(WORKERS, mp_context=spawn)
    context = Mock(wraps=ONE)
    assert map_in_pool(abs, iter([-1]), context=context) == [1]
    ignoring = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    assert context.Pool.mock_calls == [call(WORKERS, *ignoring)]
