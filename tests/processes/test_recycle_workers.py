"""What the recipe says of workers that are replaced, shown to be so."""

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, process
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.processes.recycle_workers import (
    broken_map_in_fresh_workers,
    leak,
    map_in_fresh_workers,
)
from tests.programs import end_by_ctrl_c, group_is_gone, program

METHODS = multiprocessing.get_all_start_methods()
NO_FORK = [method for method in METHODS if method != "fork"]
# The name of what mends CPython's issue 115634.
MENDED = "_replace_dead_worker" in Path(process.__file__).read_text("utf-8")

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@every_method
def test_a_worker_ends_after_its_number_of_jobs(method: str) -> None:
    found = map_in_fresh_workers(
        leak,
        iter(range(5)),
        workers=1,
        jobs_each=2,
        context=multiprocessing.get_context(method),
    )
    assert [count for _, count in found] == [1, 2, 1, 2, 1]
    assert len({pid for pid, _ in found}) == 3


@every_method
def test_with_chunks_of_its_own_choice_a_pool_gives_a_worker_more_jobs(
    method: str,
) -> None:
    found = broken_map_in_fresh_workers(
        leak,
        range(12),
        workers=1,
        jobs_each=3,
        context=multiprocessing.get_context(method),
    )
    assert [count for _, count in found] == [*range(1, 10), 1, 2, 3]


def test_no_worker_is_replaced_when_there_are_fewer_chunks_than_tasks() -> (
    None
):
    found = broken_map_in_fresh_workers(
        leak, range(400), workers=1, jobs_each=5
    )
    assert max(count for _, count in found) == 400


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_imap_sends_one_job_at_a_time_by_default(name: str) -> None:
    with multiprocessing.get_context("spawn").Pool(
        1, maxtasksperchild=2
    ) as pool:
        found = list(getattr(pool, name)(leak, range(5)))
    assert max(count for _, count in found) == 2


@pytest.mark.parametrize(("workers", "jobs_each"), [(1, 4), (2, 1)], ids=str)
def test_no_worker_gets_more_jobs_than_it_may(
    workers: int, jobs_each: int
) -> None:
    found = map_in_fresh_workers(
        leak, range(7), workers=workers, jobs_each=jobs_each
    )
    assert len(found) == 7
    assert max(Counter(pid for pid, _ in found).values()) <= jobs_each
    assert os.getpid() not in {pid for pid, _ in found}


def test_the_workers_start_by_spawn_unless_you_say_otherwise() -> None:
    with patch.object(
        multiprocessing, "get_context", wraps=multiprocessing.get_context
    ) as get_context:
        assert map_in_fresh_workers(abs, [-1]) == [1]
    get_context.assert_any_call("spawn")


def test_a_worker_is_replaced_after_a_hundred_jobs_by_default() -> None:
    signature = inspect.signature(map_in_fresh_workers)
    assert signature.parameters["jobs_each"].default == 100


@pytest.mark.parametrize(
    ("numbers", "workers", "jobs_each", "error", "text"),
    [
        ([7], 0, 1, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", 1, TypeError, "workers must be an int, not '2'"),
        (7, 2, 1, TypeError, "numbers must be iterable, not 7"),
        ([7], 2, 0, ValueError, "maxtasksperchild must be a positive int or"),
    ],
)
def test_bad_arguments_are_refused_and_leave_no_process(
    numbers: object,
    workers: object,
    jobs_each: int,
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        map_in_fresh_workers(
            abs,
            cast("Any", numbers),
            workers=cast("Any", workers),
            jobs_each=jobs_each,
        )
    assert multiprocessing.active_children() == []


def test_a_job_that_raises_counts_and_its_worker_goes_on() -> None:
    unhashable: Any = [[1], 2, 3, 4]
    with multiprocessing.get_context("spawn").Pool(
        1, maxtasksperchild=2
    ) as pool:
        first = pool.apply(os.getpid)
        with pytest.raises(TypeError, match="unhashable"):
            pool.apply(hash, [unhashable])
        assert pool.apply(os.getpid) != first
    with pytest.raises(TypeError, match="bad operand"):
        map_in_fresh_workers(abs, cast("Any", [1, None, 2]), workers=1)


@posix
def test_the_job_of_a_killed_worker_is_lost_to_a_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(
        1, maxtasksperchild=9
    ) as pool:
        killed = pool.map_async(signal.raise_signal, [signal.SIGKILL])
        # A pool of one worker answers in turn: this comes after that job.
        assert pool.apply(leak, [1])[1] == 1
        assert not killed.ready()


@posix
def test_an_executor_with_recycled_workers_reports_a_killed_one() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as executor:
        killed = executor.submit(signal.raise_signal, signal.SIGKILL)
        assert isinstance(killed.exception(), BrokenProcessPool)


@pytest.mark.parametrize("method", NO_FORK)
def test_an_executor_with_one_task_for_each_worker_runs_them_all(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, context, max_tasks_per_child=1) as executor:
        found = list(executor.map(leak, range(4)))
    assert [count for _, count in found] == 4 * [1]


def test_a_chunk_is_one_task_of_an_executor() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as executor:
        found = list(executor.map(leak, range(6), chunksize=3))
    assert [count for _, count in found] == [1, 2, 3, 1, 2, 3]


def test_an_executor_refuses_to_recycle_workers_that_fork() -> None:
    text = (
        r"^max_tasks_per_child is incompatible with the 'fork'"
        r" multiprocessing start method; supply a different mp_context\.$"
    )
    context = multiprocessing.get_context("fork")
    with pytest.raises(ValueError, match=text):
        ProcessPoolExecutor(1, context, max_tasks_per_child=1)


def test_an_executor_that_recycles_starts_by_spawn_by_default() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=1) as executor:
        executor.submit(time.sleep, 0)
        [worker] = multiprocessing.active_children()
        assert type(worker).__name__ == "SpawnProcess"


STRANDED = """\
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, context, max_tasks_per_child=2)
    first = executor.submit(Path.read_text, Path(sys.argv[1]))
    others = [executor.submit(os.getpid) for _ in range(4)]
    Path(sys.argv[1]).write_text("go")  # all jobs are waiting by now
    while multiprocessing.active_children():
        time.sleep(0.01)
    done, waiting = wait(others, timeout=0.5)
    print("workers:", multiprocessing.active_children())
    print("done:", len(done), "waiting:", len(waiting), flush=True)
    os._exit(0)
"""


@posix
@pytest.mark.skipif(MENDED, reason="issue 115634 is fixed in this release")
def test_an_executor_without_the_fix_has_no_worker_for_the_jobs_that_wait(
    tmp_path: Path,
) -> None:
    program, gate = tmp_path / "program.py", tmp_path / "gate"
    program.write_text(STRANDED)
    os.mkfifo(gate)
    ended = subprocess.run(
        [sys.executable, program, gate],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout == "workers: []\ndone: 1 waiting: 3\n"


@pytest.mark.skipif(not MENDED, reason="needs the fix of issue 115634")
def test_an_executor_with_the_fix_replaces_workers_while_jobs_wait() -> None:
    with ProcessPoolExecutor(1, max_tasks_per_child=2) as executor:
        found = list(executor.map(leak, range(5)))
    assert [count for _, count in found] == [1, 2, 1, 2, 1]


@every_method
def test_every_fresh_worker_ignores_ctrl_c(method: str) -> None:
    context = multiprocessing.get_context(method)
    found = map_in_fresh_workers(
        signal.getsignal,
        [signal.SIGINT, signal.SIGINT],
        workers=1,
        jobs_each=1,
        context=context,
    )
    assert found == [signal.SIG_IGN, signal.SIG_IGN]


INTERRUPTED = """\
import multiprocessing, os, signal, sys
from cookbook.processes.recycle_workers import map_in_fresh_workers

def job(n):
    if n == 2:
        os.write(1, b"a successor runs\\n")
        while True:
            signal.pause()

if __name__ == "__main__":
    map_in_fresh_workers(
        job,
        range(4),
        workers=1,
        jobs_each=2,
        context=multiprocessing.get_context(sys.argv[1]),
    )
"""


@posix
@every_method
def test_ctrl_c_ends_the_program_and_leaves_no_process(
    method: str, tmp_path: Path
) -> None:
    with program(tmp_path, INTERRUPTED, method) as running:
        assert running.stdout
        assert running.stderr
        assert running.stdout.readline() == "a successor runs\n"
        end_by_ctrl_c(running)
        assert running.returncode == -signal.SIGINT
        errors = running.stderr.read()
        assert errors.endswith("\nKeyboardInterrupt\n")
        assert errors.count("\nKeyboardInterrupt") == 1
        assert group_is_gone(running.pid)
