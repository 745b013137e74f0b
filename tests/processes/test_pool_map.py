"""What the recipe says of a pool of processes, shown to be so."""

import inspect
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.primes import PRIMES, is_prime_with_pid
from cookbook.processes.main_guard import run_in_process
from cookbook.processes.pool_map import (
    broken_with_lambda,
    broken_with_local_job,
    parallelism_with_multiprocess,
)
from tests.calls import Call
from tests.programs import end_by_ctrl_c, group_is_gone, program

METHODS = multiprocessing.get_all_start_methods()
ENDLESS = 2**127 - 1  # a prime that no worker ever finds to be one
LAMBDAS = [lambda n: n]

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.mark.parametrize("method", METHODS)
def test_the_answers_come_in_the_order_of_the_numbers(method: str) -> None:
    answers = parallelism_with_multiprocess(
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
    answers = parallelism_with_multiprocess(
        numbers=range(10),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    pids = {pid for *_, pid in answers}
    assert os.getpid() not in pids
    assert len(pids) in {1, 2}


def test_no_numbers_give_no_answers() -> None:
    assert parallelism_with_multiprocess(numbers=[], workers=1) == []


def test_without_arguments_it_tests_the_numbers_of_the_core() -> None:
    signature = inspect.signature(parallelism_with_multiprocess)
    assert signature.parameters["numbers"].default is PRIMES


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
        parallelism_with_multiprocess(
            numbers=cast("Any", numbers),
            workers=cast("Any", workers),
            context=starts_nothing,
        )


def pickling_error(name: str) -> tuple[type[Exception], str]:
    """Return what this Python raises for the local function *name*."""
    name = re.escape(name)
    if sys.version_info >= (3, 14):
        return (
            pickle.PicklingError,
            rf"Can't pickle local object <function {name} at 0x\w+>",
        )
    verb = "get" if sys.version_info >= (3, 13) else "pickle"
    return AttributeError, rf"Can't {verb} local object '{name}'"


@pytest.mark.parametrize("method", METHODS)
def test_a_lambda_cannot_be_sent_to_a_worker(method: str) -> None:
    error, text = pickling_error("broken_with_lambda.<locals>.<lambda>")
    with pytest.raises(error) as caught:
        broken_with_lambda(
            numbers=[7],
            workers=1,
            context=multiprocessing.get_context(method),
        )
    assert re.fullmatch(text, str(caught.value))


@pytest.mark.parametrize("method", METHODS)
def test_a_local_function_cannot_be_sent_to_a_worker(method: str) -> None:
    error, text = pickling_error("broken_with_local_job.<locals>.job")
    with pytest.raises(error) as caught:
        broken_with_local_job(
            numbers=[7],
            workers=1,
            context=multiprocessing.get_context(method),
        )
    assert re.fullmatch(text, str(caught.value))


def test_a_lambda_at_the_top_level_cannot_be_sent_either() -> None:
    reason = (
        rf"it's not found as {__name__}\.<lambda>"
        if sys.version_info >= (3, 14)
        else rf"attribute lookup <lambda> on {__name__} failed"
    )
    text = rf"Can't pickle <function <lambda> at 0x\w+>: {reason}"
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(pickle.PicklingError) as caught,
    ):
        pool.map(LAMBDAS[0], [7])
    assert re.fullmatch(text, str(caught.value))


def test_pickle_tells_of_a_lambda_and_a_local_function_without_a_process() -> (
    None
):
    def local(n: int) -> int:
        return n

    here = inspect.stack()[0].function + ".<locals>."
    for job, name in (lambda n: n, "<lambda>"), (local, "local"):
        error, text = pickling_error(here + name)
        with pytest.raises(error) as caught:
            pickle.dumps(job)
        assert re.fullmatch(text, str(caught.value))


def test_leaving_the_with_block_loses_what_map_async_has_not_finished() -> (
    None
):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        unfinished = pool.map_async(is_prime_with_pid, [7, ENDLESS])
    assert not unfinished.ready()


def test_a_job_of_a_pool_may_not_start_processes() -> None:
    text = "^daemonic processes are not allowed to have children$"
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        pytest.raises(AssertionError, match=text),
    ):
        pool.apply(run_in_process, [7])


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_a_job_is_raised_in_the_parent(method: str) -> None:
    numbers: list[Any] = [7, "eight", 9]
    text = "^n must be an int, not 'eight'$"
    with pytest.raises(TypeError, match=text) as caught:
        parallelism_with_multiprocess(
            numbers=numbers,
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert "in is_prime_with_pid" in str(caught.value.__cause__)


@pytest.mark.parametrize(("chunksize", "made"), [(1, True), (2, False)])
def test_after_an_error_other_chunks_run_but_not_the_rest_of_its_own(
    tmp_path: Path,
    chunksize: int,
    made: object,
) -> None:
    folder = tmp_path / "made"
    jobs = [tmp_path / "missing" / "folder", folder]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(FileNotFoundError):
            pool.map(os.mkdir, jobs, chunksize)
        assert folder.exists() is made


@posix
@pytest.mark.parametrize("method", METHODS)
def test_the_job_of_a_killed_worker_is_lost_and_waited_for_for_ever(
    method: str,
) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        first_worker = pool.apply(os.getpid)
        job = pool.map_async(signal.raise_signal, [signal.SIGKILL])
        # A pool of one worker answers in turn: this comes after that job.
        assert pool.apply(os.getpid) != first_worker
        assert not job.ready()


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_ignores_ctrl_c(method: str) -> None:
    handler: Any = Call(signal.getsignal, signal.SIGINT)
    [(found, _, _)] = parallelism_with_multiprocess(
        numbers=[handler],
        workers=1,
        context=multiprocessing.get_context(method),
    )
    assert found == signal.SIG_IGN


INTERRUPTED = """\
import multiprocessing, os, sys
from cookbook.processes.main_guard import run_in_process
from cookbook.processes.pool_map import parallelism_with_multiprocess

class Announcement:
    def __reduce__(self):
        return os.write, (1, b"a job runs\\n")

if __name__ == "__main__":
    parallelism_with_multiprocess(
        numbers=[2**127 - 1, Announcement(), 2**127 - 1],
        workers=2,
        context=multiprocessing.get_context(sys.argv[1]),
    )
"""


@posix
@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_ends_the_program_and_leaves_no_process(
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


TERMINATED = """
import multiprocessing, os, signal, sys

def job():
    print(os.getpid(), flush=True)
    while True:
        signal.pause()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ignore = signal.SIGINT, signal.SIG_IGN
    with context.Pool(1, signal.signal, ignore) as pool:
        pool.apply(job)
"""


@posix
@pytest.mark.parametrize("method", METHODS)
def test_sigterm_to_the_parent_leaves_its_workers_at_their_jobs(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(TERMINATED, encoding="utf-8")
    command = [sys.executable, "-I", str(program), method]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.terminate()
        try:
            assert parent.wait(timeout=60) == -signal.SIGTERM
            os.kill(worker, 0)  # raises ProcessLookupError if it has ended
        finally:
            os.kill(worker, signal.SIGKILL)
