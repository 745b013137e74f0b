"""What the recipe says of processes in processes, shown to be so."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from cookbook.processes.nested_pools import (
    broken_count_primes,
    broken_count_primes_in_each,
    count_primes_in_each,
)

METHODS = multiprocessing.get_all_start_methods()
SPAWN = multiprocessing.get_context("spawn")
ROWS = [[2, 3, 4], [], [5]]

every_method = pytest.mark.parametrize("method", METHODS)
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@every_method
def test_one_pool_counts_the_primes_of_each_row(method: str) -> None:
    context = multiprocessing.get_context(method)
    assert count_primes_in_each(ROWS, context=context) == [2, 0, 1]


def test_no_rows_give_no_answers() -> None:
    assert count_primes_in_each([]) == []


@every_method
def test_a_worker_of_a_pool_may_not_start_a_pool(method: str) -> None:
    context = multiprocessing.get_context(method)
    text = "^daemonic processes are not allowed to have children$"
    with pytest.raises(AssertionError, match=text):
        broken_count_primes_in_each(ROWS, context=context)


@every_method
def test_a_worker_of_an_executor_may_start_a_pool(method: str) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert list(executor.map(broken_count_primes, ROWS)) == [2, 0, 1]


@pytest.mark.parametrize("workers", [0, -1])
def test_too_few_workers_are_refused_before_a_process_is_started(
    workers: int,
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(ValueError, match=f"at least 1, not {workers}$"):
        count_primes_in_each(ROWS, workers=workers, context=starts_nothing)


def test_an_error_of_a_job_is_raised_and_leaves_no_process() -> None:
    rows: list[Any] = [[2], ["eight"]]
    with pytest.raises(TypeError, match="'eight'"):
        count_primes_in_each(rows)


FORKED = """
import multiprocessing, os

def use():
    for call in process.join, process.is_alive:
        try:
            call()
        except AssertionError as error:
            print(error, flush=True)

context = multiprocessing.get_context("fork")
process = context.Process(target=int)
process.start()
other = context.Process(target=use)
other.start()
other.join()
process.join()
print(process.is_alive())
"""


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_child_can_neither_join_nor_test_a_process_of_its_parent(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.py"
    script.write_text(FORKED, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-I", str(script)],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == [
        "can only join a child process",
        "can only test a child process",
        "False",
    ]


def test_after_close_a_process_can_be_neither_joined_nor_tested() -> None:
    process = SPAWN.Process(target=os.getpid)
    process.start()
    process.join()
    process.close()
    for call in process.join, process.is_alive:
        with pytest.raises(ValueError, match=r"^process object is closed$"):
            call()


@pytest.mark.parametrize(
    ("method", "workers"), [(None, 3), *((method, 1) for method in METHODS)]
)
def test_the_workers_are_as_many_as_asked_for_and_of_the_context(
    method: str | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        started.append((type(process), process.daemon))
        start(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    context: Any = multiprocessing.get_context(method)
    given: Any = {} if method is None else {"context": context}
    assert count_primes_in_each(ROWS, workers=workers, **given) == [2, 0, 1]
    assert started == [(context.Process, True)] * workers
