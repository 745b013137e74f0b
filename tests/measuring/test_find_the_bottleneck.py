"""What the recipe says of finding the bottleneck, shown to be so."""

import _thread
import contextlib
import cProfile
import importlib.util
import multiprocessing
import os
import pstats
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.measuring.find_the_bottleneck import (
    broken_profile,
    calls,
    cpu_seconds,
    cpu_share,
    profile_workers,
    profiled,
)
from cookbook.primes import is_prime
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
GLOBAL = sys.version_info >= (3, 12)  # a profiler sees every thread
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
TAKEN = "Another profiling tool is already active|tool 2 is already in use"
BURN = "import time\nwhile time.process_time() < 0.2: pass"
BUSY = """
import multiprocessing, os, sys, threading

def compute():
    parent = os.getppid()
    while os.getppid() == parent:
        pass

def compute_in_a_thread():
    while True:
        pass

def wait_for_the_end():
    sys.stdin.read()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    threading.Thread(target=compute_in_a_thread, daemon=True).start()
    worker = context.Process(target=compute)
    worker.start()
    print("ready", flush=True)
    wait_for_the_end()
    worker.terminate()
    worker.join()
"""

every_method = pytest.mark.parametrize("method", METHODS)
with_gil = pytest.mark.skipif(
    FREE_THREADED, reason="cProfile may crash 3.13t when several threads run"
)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.mark.parametrize(
    ("used", "passed", "share"), [(0.1, 2.0, 0.05), (6.0, 2.0, 3.0)]
)
def test_the_share_is_the_cpu_time_divided_by_the_time_on_the_clock(
    used: float, passed: float, share: float
) -> None:
    clocks = {"wall": 100.0, "cpu": 7.0}

    def work() -> None:
        clocks["wall"] += passed
        clocks["cpu"] += used

    found = cpu_share(
        work, wall=lambda: clocks["wall"], cpu=lambda: clocks["cpu"]
    )
    assert found == pytest.approx(share)


def test_the_cpu_time_of_a_worker_counts_when_it_has_been_waited_for() -> None:
    context = multiprocessing.get_context("spawn")
    before, used = os.times(), cpu_seconds()
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(exec, BURN).result()
        during = os.times()
        assert during.children_user == before.children_user
    after = os.times()
    mine = sum(after[:2]) - sum(before[:2])
    assert cpu_seconds() - used >= mine + 0.17


def test_the_share_of_a_program_that_waits_for_a_worker_contains_it() -> None:
    clock = iter([0.0, 0.1])
    command = [sys.executable, "-c", BURN]
    found = cpu_share(
        partial(subprocess.run, command, check=True),
        wall=lambda: next(clock),
    )
    assert found >= 1.7


@every_method
def test_the_profile_of_the_workers_holds_each_call(method: str) -> None:
    results, profile = profile_workers(
        is_prime,
        iter([97, 99, 101]),
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert results == [True, False, True]
    assert calls(profile, "is_prime") == 3


@every_method
def test_the_jobs_run_in_as_many_workers_as_asked_for_of_the_kind_asked_for(
    method: str,
) -> None:
    context: Any = multiprocessing.get_context(method)
    kind = "type(__import__('multiprocessing').current_process()).__name__"
    pid = "__import__('os').getpid()"
    results, _ = profile_workers(
        cast("Any", eval),
        cast("Any", [kind, pid, pid, pid]),
        workers=1,
        context=context,
    )
    assert results[0] == context.Process.__name__
    assert len({os.getpid(), *results[1:]}) == 2


@every_method
def test_the_profile_of_the_parent_holds_no_call_of_a_job(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    worker = context.Process(target=is_prime, args=(97,))

    def work() -> None:
        worker.start()
        worker.join()

    profile = broken_profile(work)
    assert worker.exitcode == 0
    assert calls(profile, "join") == 1
    assert calls(profile, "is_prime") == 0


@posix
@with_gil
def test_what_the_profile_of_the_parent_holds_is_the_wait_for_the_answer(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    main_thread = threading.get_ident()
    context = multiprocessing.get_context("spawn")

    def let_the_job_go_on() -> None:
        deadline = time.monotonic() + 30
        while "result" not in names_of_calls(main_thread):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        gate.write_text("go")

    helper = threading.Thread(target=let_the_job_go_on)
    helper.start()
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        profile = broken_profile(
            lambda: executor.submit(Path.read_text, gate).result()
        )
    helper.join()
    # From 3.12 the calls of the executor's own threads can get in between
    # those of this one, and count as a call of it once more.
    assert calls(profile, "result") >= 1
    assert calls(profile, "read_text") == 0
    assert calls(profile, "<method 'acquire' of '_thread.lock' objects>")


def names_of_calls(thread: int) -> list[str]:
    stack = traceback.extract_stack(sys._current_frames()[thread])
    return [frame.name for frame in stack]


def test_no_numbers_give_an_empty_profile() -> None:
    results, profile = profile_workers(is_prime, [])
    assert results == []
    assert calls(profile, "is_prime") == 0


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
        profile_workers(
            is_prime,
            cast("Any", numbers),
            workers=cast("Any", workers),
            context=starts_nothing,
        )


def test_an_error_of_a_job_is_raised_in_the_parent() -> None:
    numbers: list[Any] = [7, "eight"]
    with pytest.raises(TypeError, match=r"^n must be an int, not 'eight'$"):
        profile_workers(
            is_prime, numbers, context=multiprocessing.get_context("spawn")
        )


def test_a_job_that_raises_leaves_the_worker_fit_for_the_next() -> None:
    with pytest.raises(TypeError):
        profiled(is_prime, cast("Any", "eight"))
    result, stats = profiled(is_prime, 7)
    assert result
    assert "is_prime" in {name for _, _, name in stats}


@posix
def test_a_killed_worker_breaks_the_pool_and_nothing_waits_for_ever() -> None:
    killer: Any = Call(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        profile_workers(
            is_prime,
            cast("Any", [killer]),
            context=multiprocessing.get_context("spawn"),
        )


@with_gil
@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_worker_forked_from_a_profiled_parent_has_no_second_profiler() -> (
    None
):
    fork = multiprocessing.get_context("fork")
    with cProfile.Profile():
        if GLOBAL:
            with pytest.raises(ValueError, match=TAKEN):
                profile_workers(is_prime, [7], context=fork)
        else:
            assert profile_workers(is_prime, [7], context=fork)[0] == [True]


def test_a_function_that_calls_itself_is_counted_with_all_its_calls() -> None:
    def countdown(n: int) -> None:
        if n:
            countdown(n - 1)

    profiler = cProfile.Profile()
    profiler.runcall(countdown, 2)
    assert calls(pstats.Stats(profiler), "countdown") == 3


@with_gil
def test_a_profiler_sees_other_threads_from_3_12_and_not_before() -> None:
    def job() -> None:
        pass

    with cProfile.Profile() as profiler:
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
    assert calls(pstats.Stats(profiler), "job") == (1 if GLOBAL else 0)


@with_gil
def test_two_threads_have_a_profiler_each_up_to_3_11_and_not_later() -> None:
    together = threading.Barrier(2, timeout=20)
    counts: list[int] = []
    errors: list[ValueError] = []

    def work() -> None:
        together.wait()
        is_prime(7)
        together.wait()

    def profile() -> None:
        profiler = cProfile.Profile()
        try:
            with contextlib.suppress(threading.BrokenBarrierError):
                profiler.runcall(work)
                counts.append(calls(pstats.Stats(profiler), "is_prime"))
        except ValueError as error:
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=profile) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counts, len(errors)) == (([], 1) if GLOBAL else ([1, 1], 0))
    for error in errors:
        assert re.fullmatch(TAKEN, str(error))


@with_gil
@pytest.mark.skipif(not GLOBAL, reason="from 3.12 a profiler sees all threads")
def test_the_times_of_threads_that_take_turns_are_wrong_in_one_profile() -> (
    None
):
    now = 0
    go_on = [_thread.allocate_lock() for _ in range(3)]
    for lock in go_on:
        lock.acquire()

    def slow() -> None:
        nonlocal now
        now += 10
        go_on[0].release()
        go_on[1].acquire()
        now += 10
        go_on[2].release()

    def quick() -> None:
        go_on[1].release()
        go_on[2].acquire()

    def start_quick() -> None:
        go_on[0].acquire()
        quick()

    profiler = cProfile.Profile(lambda: now, 1.0, builtins=False)
    threads = [threading.Thread(target=slow)]
    threads += [threading.Thread(target=start_quick)]
    with profiler:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    profiles = pstats.Stats(profiler).get_stats_profile().func_profiles
    assert now == 20
    assert profiles["slow"].tottime == 10


def test_from_3_15_c_profile_is_another_name_of_profiling_tracing() -> None:
    if sys.version_info >= (3, 15):
        tracing = importlib.import_module("profiling.tracing")
        assert tracing.Profile is cProfile.Profile
    else:
        assert importlib.util.find_spec("profiling") is None


def test_importtime_writes_the_time_of_each_import_to_standard_error() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import json.decoder"]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == ""
    assert re.search(
        r"^import time: +\d+ \| +\d+ \| +json\.decoder$",
        ended.stderr,
        re.MULTILINE,
    )


@contextlib.contextmanager
def busy_program(folder: Path) -> Iterator[int]:
    """Run a program with a busy thread and a busy worker; give its pid."""
    script = folder / "busy.py"
    script.write_text(BUSY)
    with subprocess.Popen(
        [sys.executable, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin
        assert program.stdout
        try:
            assert program.stdout.readline() == "ready\n"
            yield program.pid
        finally:
            program.stdin.close()


def sample(command: Sequence[object], folder: Path) -> str:
    """Run a sampler; return what it wrote into files of *folder*."""
    run = subprocess.run(
        [str(word) for word in command],
        check=False,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    if "ermission" in run.stdout or "not permitted" in run.stdout:
        pytest.skip("this machine forbids to look into another process")
    assert run.returncode == 0, run.stdout
    return "".join(one.read_text() for one in folder.glob("found*"))


@posix
@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_the_sampling_profiler_samples_all_threads_and_workers_if_told_to(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "profiling.sampling", "attach", "-d", 1]
    command += ["--collapsed", "-o", "found"]
    with busy_program(tmp_path) as pid:
        found = sample([*command, pid], tmp_path)
        assert "wait_for_the_end" in found
        assert "compute" not in found
        found = sample([*command, "-a", "--subprocesses", pid], tmp_path)
    assert "compute_in_a_thread" in found
    assert ":compute:" in found


@posix
@pytest.mark.skipif(not shutil.which("py-spy"), reason="py-spy is missing")
@pytest.mark.skipif(
    FREE_THREADED, reason="py-spy 0.4 cannot read a free-threaded build"
)
def test_py_spy_samples_all_threads_and_workers(tmp_path: Path) -> None:
    command = ["py-spy", "record", "--subprocesses", "-d", 1, "-f", "raw"]
    with busy_program(tmp_path) as pid:
        found = sample([*command, "-o", "found", "--pid", pid], tmp_path)
    assert "compute_in_a_thread (" in found
    assert "compute (" in found
