"""What the recipe says of a loop in processes, shown to be so."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from operator import call, methodcaller
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.processes import parallel_for
from cookbook.processes.parallel_for import (
    FOUND,
    broken_primes_in_processes,
    primes_in_loop,
    primes_in_processes,
)

METHODS = multiprocessing.get_all_start_methods()

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@every_method
@pytest.mark.parametrize("chunksize", [1, 4])
def test_the_processes_find_what_the_loop_finds_in_its_order(
    method: str, chunksize: int
) -> None:
    numbers = [*range(20, -3, -1), 7, 7]
    found = primes_in_processes(
        iter(numbers),
        chunksize=chunksize,
        context=multiprocessing.get_context(method),
    )
    assert found == primes_in_loop(numbers)
    assert found == ([19, 17, 13, 11, 7, 5, 3, 2, 7, 7], 91)


@every_method
def test_what_workers_append_to_a_global_list_is_not_in_the_parents(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    counts = broken_primes_in_processes([2, 3, 5], workers=1, context=context)
    assert counts == [1, 2, 3]
    assert FOUND == []


def test_an_argument_that_a_worker_changes_is_unchanged_in_the_parent() -> (
    None
):
    mine: list[int] = [1, 2]
    with ProcessPoolExecutor(1) as executor:
        popped = executor.submit(methodcaller("pop"), mine).result()
    assert popped == 2
    assert mine == [1, 2]


def test_no_numbers_give_no_primes_and_no_sum() -> None:
    assert primes_in_processes([]) == primes_in_loop([]) == ([], 0)


@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    numbers: object, workers: object, error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(error, match=text):
        primes_in_processes(
            cast("Any", numbers),
            workers=cast("Any", workers),
            context=starts_nothing,
        )


def test_a_chunk_of_less_than_one_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^chunksize must be >= 1\.$"):
        primes_in_processes([7], chunksize=0)


def test_as_many_workers_as_asked_for_start_as_asked_for() -> None:
    context = multiprocessing.get_context("spawn")
    with patch.object(
        parallel_for, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        assert primes_in_processes([7], workers=1, context=context) == ([7], 7)
    assert executor.call_args.args == (1, context)


@every_method
def test_an_error_of_a_job_is_raised_by_the_loop(method: str) -> None:
    numbers: list[Any] = [7, "eight", 9]
    context = multiprocessing.get_context(method)
    with pytest.raises(TypeError, match=r"^n must be an int, not 'eight'"):
        primes_in_processes(numbers, context=context)
    assert multiprocessing.active_children() == []


def test_what_was_collected_before_the_error_is_there() -> None:
    numbers: list[Any] = [-7, "eight"]
    collected: list[int] = []
    with ProcessPoolExecutor(1) as executor:
        answers = executor.map(abs, numbers)
        with pytest.raises(TypeError, match="bad operand type"):
            collected.extend(answer for answer in answers)
    assert collected == [7]


@posix
@pytest.mark.parametrize("end", ["break", "error"])
def test_jobs_run_on_after_a_break_but_few_after_an_error(
    tmp_path: Path, end: str
) -> None:
    gate, made = tmp_path / "gate", tmp_path / "made"
    os.mkfifo(gate)
    made.mkdir()
    first = partial(int, "8" if end == "break" else "eight")
    jobs: list[Any] = [first, partial(Path.read_text, gate)]
    jobs += [partial(os.mkdir, made / str(n)) for n in range(9)]
    with ProcessPoolExecutor(1) as executor:
        results = executor.map(cast("Any", call), jobs)
        if end == "break":
            assert next(results) == 8
        else:
            with pytest.raises(ValueError, match="invalid literal"):
                next(results)
        gate.write_text("go")  # waits for the job that reads it
    ran = len(list(made.iterdir()))
    assert ran == 9 if end == "break" else ran <= 2


@posix
def test_a_killed_worker_raises_in_the_loop() -> None:
    class Killer:
        def __reduce__(self) -> tuple[object, tuple[int]]:
            return signal.raise_signal, (signal.SIGKILL,)

    numbers: list[Any] = [7, Killer()]
    context = multiprocessing.get_context("spawn")
    with pytest.raises(BrokenProcessPool):
        primes_in_processes(numbers, context=context)
