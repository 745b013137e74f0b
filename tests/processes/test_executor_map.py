"""What the recipe says of a process pool executor, shown to be so."""

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock, call

import pytest

from cookbook.primes import PRIMES, WORKERS, is_prime_with_pid
from cookbook.processes import executor_map
from cookbook.processes.executor_map import (
    broken_parallelism_with_concurrent_process_pool,
    parallelism_with_concurrent_process_pool,
)
from tests.calls import Call
from tests.programs import end_by_ctrl_c, group_is_gone, program

METHODS = multiprocessing.get_all_start_methods()
TERMINATED = (
    "A process in the process pool was terminated abruptly while the future"
    " was running or pending."
)
UNUSABLE = (
    "A child process terminated abruptly, the process pool is not usable"
    " anymore"
)

forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.mark.parametrize("method", METHODS)
def test_the_answers_come_in_the_order_of_the_numbers(method: str) -> None:
    answers = parallelism_with_concurrent_process_pool(
        numbers=iter([97, 100, 2, 1]),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert [answer[:2] for answer in answers] == [
        (97, True),
        (100, False),
        (2, True),
        (1, False),
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_job_runs_in_a_worker_process(method: str) -> None:
    answers = parallelism_with_concurrent_process_pool(
        numbers=range(10),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    pids = {pid for *_, pid in answers}
    assert os.getpid() not in pids
    assert len(pids) in {1, 2}


def test_no_numbers_give_no_answers() -> None:
    assert parallelism_with_concurrent_process_pool(numbers=[]) == []


def test_without_arguments_it_tests_the_numbers_of_the_core() -> None:
    signature = inspect.signature(parallelism_with_concurrent_process_pool)
    assert signature.parameters["numbers"].default is PRIMES


@pytest.mark.parametrize("options", [{}, {"workers": 3}])
def test_the_executor_gets_the_workers_and_the_context_that_are_given(
    options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(executor_map, "ProcessPoolExecutor", executor)
    given: Any = {"context": multiprocessing.get_context("spawn"), **options}
    assert parallelism_with_concurrent_process_pool(numbers=[], **given) == []
    workers = options.get("workers", WORKERS)
    expected = call(workers, mp_context=given["context"])
    assert executor.mock_calls[0] == expected


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
        parallelism_with_concurrent_process_pool(
            numbers=cast("Any", numbers),
            workers=cast("Any", workers),
            context=starts_nothing,
        )


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_a_job_is_raised_in_the_parent(method: str) -> None:
    numbers: list[Any] = [7, "eight", 9]
    text = "^n must be an int, not 'eight'$"
    with pytest.raises(TypeError, match=text) as caught:
        parallelism_with_concurrent_process_pool(
            numbers=numbers,
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert "in is_prime_with_pid" in str(caught.value.__cause__)


@pytest.mark.parametrize("method", METHODS)
def test_leaving_the_with_block_says_nothing_of_an_error(method: str) -> None:
    numbers: list[Any] = ["seven", 8]
    answers = broken_parallelism_with_concurrent_process_pool(
        numbers=numbers,
        workers=1,
        context=multiprocessing.get_context(method),
    )
    with pytest.raises(TypeError, match="'seven'"):
        next(answers)


@posix
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_leaving_the_with_block_says_nothing_of_a_killed_worker(
    method: str,
) -> None:
    killer: Any = Call(signal.raise_signal, signal.SIGKILL)
    answers = broken_parallelism_with_concurrent_process_pool(
        numbers=[killer],
        workers=1,
        context=multiprocessing.get_context(method),
    )
    with pytest.raises(BrokenProcessPool):
        next(answers)


def test_the_answers_before_an_error_can_be_read_and_those_after_it_not() -> (
    None
):
    numbers: list[Any] = [7, "eight", 9]
    answers = broken_parallelism_with_concurrent_process_pool(
        numbers=numbers,
        workers=1,
        context=multiprocessing.get_context("spawn"),
    )
    assert next(answers)[:2] == (7, True)
    with pytest.raises(TypeError, match="'eight'"):
        next(answers)
    assert list(answers) == []


@pytest.mark.parametrize(
    ("options", "before"), [({}, 1), ({"chunksize": 2}, 0)]
)
def test_a_chunk_is_one_job_by_default_and_an_error_takes_the_whole_chunk(
    options: dict[str, int], before: int
) -> None:
    numbers: list[Any] = [7, "eight"]
    context = multiprocessing.get_context("spawn")
    read: list[object] = []
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        answers = executor.map(is_prime_with_pid, numbers, **options)
        with pytest.raises(TypeError, match="'eight'"):
            read.extend(answer for answer in answers)
    assert len(read) == before


@posix
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_worker_breaks_the_pool_and_nothing_waits_for_ever(
    method: str,
) -> None:
    killer: Any = Call(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool) as caught:
        parallelism_with_concurrent_process_pool(
            numbers=[7, killer, 2**127 - 1],
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert str(caught.value) == TERMINATED
    if cause := caught.value.__cause__:
        assert sys.version_info >= (3, 15)
        assert "terminated abruptly with exit code -9" in str(cause)


@posix
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_worker_ends_every_job_and_the_executor_takes_no_more(
    method: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        running = executor.submit(Path.read_text, gate)
        killed = executor.submit(signal.raise_signal, signal.SIGKILL)
        pending = [executor.submit(is_prime_with_pid, 7) for _ in range(3)]
        gate.write_text("go")  # waits for the reader
        assert running.result() == "go"
        errors = [killed.exception(), *(one.exception() for one in pending)]
        for error in errors:
            assert isinstance(error, BrokenProcessPool)
            assert str(error) == TERMINATED
        with pytest.raises(BrokenProcessPool) as caught:
            executor.submit(is_prime_with_pid, 7)
    assert str(caught.value) == UNUSABLE


INTERRUPTED = """\
import multiprocessing, os, sys
from cookbook.processes.executor_map import *

class Announcement:
    def __reduce__(self):
        return os.write, (1, b"a job runs\\n")

if __name__ == "__main__":
    parallelism_with_concurrent_process_pool(
        numbers=[2**127 - 1, Announcement(), 2**127 - 1],
        workers=2,
        context=multiprocessing.get_context(sys.argv[1]),
    )
"""


@posix
@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_in_a_terminal_ends_the_jobs_and_leaves_no_process(
    method: str, tmp_path: Path
) -> None:
    with program(tmp_path, INTERRUPTED, method) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline() == "a job runs\n"
        end_by_ctrl_c(running)
        assert running.returncode == -signal.SIGINT
        assert running.stderr.read().endswith("\nKeyboardInterrupt\n")
        assert group_is_gone(running.pid)


STARTING = """
import multiprocessing, signal
from cookbook.processes.executor_map import *

class Interrupted(multiprocessing.context.ForkContext):
    class Process(multiprocessing.context.ForkProcess):
        def start(self):
            super().start()
            signal.raise_signal(signal.SIGINT)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        parallelism_with_concurrent_process_pool(
            numbers=[2], workers=1, context=Interrupted()
        )
    finally:
        print("left", flush=True)
"""

SENDING = """
import multiprocessing, signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Lock

def job():
    enter = Lock.__enter__

    def late(lock):
        del Lock.__enter__  # this was the lock of the answers
        enter(lock)
        print("left", flush=True)
        signal.raise_signal(signal.SIGINT)

    Lock.__enter__ = late

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(job).result()
"""


@forks
@pytest.mark.parametrize("source", [STARTING, SENDING])
def test_ctrl_c_at_a_bad_moment_lets_the_program_wait_until_the_next_one(
    source: str, tmp_path: Path
) -> None:
    with program(tmp_path, source) as running:
        assert running.stdout
        assert running.stdout.readline() == "left\n"
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(timeout=0.3)
        end_by_ctrl_c(running)
        assert running.returncode is not None
        assert group_is_gone(running.pid)
