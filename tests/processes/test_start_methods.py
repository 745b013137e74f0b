"""What the recipe says of the start methods, shown to be so."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest

from cookbook.primes import WORKERS
from cookbook.processes import start_methods
from cookbook.processes.start_methods import (
    SETTINGS,
    broken_scale,
    scale_by_argument,
    scale_by_initializer,
)

Scale = Callable[..., list[int]]
METHODS = multiprocessing.get_all_start_methods()
RIGHT = [scale_by_argument, scale_by_initializer]

GUARDED = """
import multiprocessing, sys
def job():
    return factor
if __name__ == "__main__":
    factor = 10
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        try:
            print(pool.apply(job))
        except NameError as error:
            print(f"NameError: {error}")
"""

# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of one line in a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-W", "always", "-c", program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", RIGHT)
def test_the_worker_gets_its_setting_under_every_start_method(
    scale: Scale, method: str
) -> None:
    context = multiprocessing.get_context(method)
    answers = scale(numbers=[3, 1, 2], factor=10, workers=2, context=context)
    assert answers == [30, 10, 20]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", RIGHT)
def test_the_setting_of_the_parent_stays_as_it_was(
    scale: Scale, method: str
) -> None:
    before = dict(SETTINGS)
    context = multiprocessing.get_context(method)
    scale(numbers=[1], factor=before["factor"] + 1, workers=1, context=context)
    assert before == SETTINGS


@pytest.mark.parametrize("method", METHODS)
def test_only_fork_copies_a_global_that_the_parent_has_changed(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "factor", 1)
    answers = broken_scale(
        numbers=[1, 2, 3],
        factor=10,
        workers=1,
        context=multiprocessing.get_context(method),
    )
    assert answers == ([10, 20, 30] if method == "fork" else [1, 2, 3])


@pytest.mark.parametrize("method", METHODS)
def test_a_global_under_the_main_guard_is_not_there_unless_forked(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "guarded.py"
    program.write_text(GUARDED)
    ended = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", program, method],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    refused = "NameError: name 'factor' is not defined"
    assert ended.stdout == ("10\n" if method == "fork" else f"{refused}\n")


@pytest.mark.parametrize("scale", RIGHT)
def test_the_workers_are_as_many_as_given_and_of_the_context(
    scale: Scale, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(start_methods, "ProcessPoolExecutor", executor)
    context = multiprocessing.get_context("spawn")
    for workers, options in (WORKERS, {}), (3, {"workers": 3}):
        executor.reset_mock()
        assert scale(numbers=[], factor=2, context=context, **options) == []
        assert executor.call_args.args == (workers,)
        assert executor.call_args.kwargs["mp_context"] is context


@pytest.mark.parametrize("scale", RIGHT)
@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    scale: Scale,
    numbers: object,
    workers: object,
    error: type[Exception],
    text: str,
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(error, match=text):
        scale(
            numbers=numbers, factor=1, workers=workers, context=starts_nothing
        )


def default() -> str:
    """Return the start method that this Python uses unless told otherwise."""
    if sys.platform in {"darwin", "win32"}:
        return "spawn"
    return "forkserver" if sys.version_info >= (3, 14) else "fork"


def test_the_default_is_the_one_of_the_platform_and_the_version() -> None:
    ended = run("import multiprocessing as m; print(m.get_start_method())")
    assert ended.stdout.strip() == default()


def test_windows_has_spawn_only_and_other_systems_have_all_three() -> None:
    every = {"spawn"} if os.name == "nt" else {"fork", "forkserver", "spawn"}
    assert set(METHODS) == every


def test_a_context_leaves_the_default_as_it_is() -> None:
    ended = run(
        "import multiprocessing as m; p = m.get_context('spawn').Process();"
        "p.start(); p.join(); print(m.get_start_method())"
    )
    assert ended.stdout.strip() == default()


@pytest.mark.parametrize(
    "first",
    ["m.set_start_method('spawn')", "p = m.Process(); p.start(); p.join()"],
)
def test_the_start_method_is_set_once_and_before_the_first_process(
    first: str,
) -> None:
    ended = run(
        f"import multiprocessing as m; {first}; m.set_start_method('spawn')"
    )
    assert ended.stderr.splitlines()[-1] == (
        "RuntimeError: context has already been set"
    )


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
def test_fork_warns_of_other_threads_from_python_3_12() -> None:
    ended = run(
        "import multiprocessing as m, threading; done = threading.Event();"
        "threading.Thread(target=done.wait).start();"
        "p = m.get_context('fork').Process(); p.start(); p.join(); done.set()"
    )
    text = "is multi-threaded, use of fork() may lead to deadlocks in the chi"
    assert (text in ended.stderr) == (sys.version_info >= (3, 12))


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
def test_a_forked_process_has_one_thread_and_the_locks_of_all() -> None:
    ended = run(
        "import multiprocessing as m, threading, warnings, sys\n"
        "warnings.simplefilter('ignore')\n"
        "lock, held, done = "
        "threading.Lock(), threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with lock: held.set(); done.wait()\n"
        "def look(): sys.exit(10 * lock.locked() + len(threading.enumerate()))"
        "\n"
        "threading.Thread(target=hold).start(); held.wait()\n"
        "p = m.get_context('fork').Process(target=look)\n"
        "p.start(); p.join(); done.set(); print(p.exitcode)"
    )
    assert ended.stdout.strip() == "11"


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_a_job_is_raised_in_the_parent(method: str) -> None:
    numbers = cast("Any", [None])
    with pytest.raises(TypeError, match="unsupported operand"):
        scale_by_argument(
            numbers=numbers,
            factor=2,
            workers=1,
            context=multiprocessing.get_context(method),
        )


@pytest.mark.parametrize("method", METHODS)
def test_an_initializer_that_raises_breaks_the_executor(method: str) -> None:
    context = multiprocessing.get_context(method)
    with (
        ProcessPoolExecutor(
            1, context, initializer=int, initargs=("no number",)
        ) as executor,
        pytest.raises(BrokenProcessPool),
    ):
        list(executor.map(abs, [1]))


def test_a_pool_replaces_each_worker_whose_initializer_raises(
    capfd: pytest.CaptureFixture[str],
) -> None:
    errors = ""
    deadline = time.monotonic() + 60
    with multiprocessing.get_context("spawn").Pool(1, int, ["no number"]):
        while errors.count("ValueError: invalid literal") < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            errors += capfd.readouterr().err
