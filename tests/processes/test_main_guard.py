"""What the recipe says of the main guard, shown to be so."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from cookbook import forms
from cookbook.processes import main_guard
from cookbook.processes.main_guard import (
    broken_run_unguarded,
    run_in_process,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
IMPORTING = [method for method in METHODS if method != "fork"]
LATER = sys.version_info >= (3, 15)  # and most of 3.13 and 3.14
REFUSED = "An attempt has been made to start a new process before the"

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)

NAMED = """\
import multiprocessing, sys
print(__name__, flush=True)
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process()
    process.start()
    process.join()
"""
IMPORTED = """\
import multiprocessing, os, sys
here = os.getpid()
def own():
    return here == os.getpid()
if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as pool:
        print("each worker" if pool.apply(own) else "once")
"""
UNGUARDED_POOL = """\
import multiprocessing, sys
multiprocessing.get_context(sys.argv[1]).Pool(1).map(abs, [1])
"""
UNGUARDED_EXECUTOR = """\
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
context = multiprocessing.get_context(sys.argv[1])
with ProcessPoolExecutor(1, mp_context=context) as executor:
    print(list(executor.map(abs, [1])))
"""
TYPED = """\
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
def f(n):
    return n
context = multiprocessing.get_context(sys.argv[1])
with ProcessPoolExecutor(1, mp_context=context) as executor:
    print(list(executor.map(f, [1])))
"""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", *arguments],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("number", "code"), [(97, 0), (100, 3)])
def test_the_exit_code_of_the_worker_is_its_answer(
    method: str, number: int, code: int
) -> None:
    context = multiprocessing.get_context(method)
    assert run_in_process(number, context=context) == code


@pytest.mark.parametrize("method", METHODS)
def test_the_guarded_program_works_under_every_start_method(
    method: str, tmp_path: Path
) -> None:
    source = Path(main_guard.__file__).read_text(encoding="utf-8")
    program = tmp_path / "pasted.py"
    program.write_text(forms.program(source), encoding="utf-8")
    ended = run(
        "-c",
        "import multiprocessing, runpy, sys;"
        "multiprocessing.set_start_method(sys.argv[1]);"
        "runpy.run_path(sys.argv[2], run_name='__main__')",
        method,
        program,
    )
    assert ended.stdout == forms.outputs(source)[0].text


@pytest.mark.parametrize("method", IMPORTING)
def test_a_worker_imports_the_main_module_as_mp_main(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "named.py"
    program.write_text(NAMED)
    ended = run(program, method)
    assert set(ended.stdout.split()) == {"__main__", "__mp_main__"}


@pytest.mark.parametrize("method", METHODS)
def test_a_later_fork_server_imports_the_main_module_for_its_workers(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "imported.py"
    program.write_text(IMPORTED)
    imported = run(program, method).stdout.strip()
    expected = {"fork": {"once"}, "spawn": {"each worker"}}.get(
        method, {"once"} if LATER else {"once", "each worker"}
    )
    assert imported in expected


@pytest.mark.parametrize("method", IMPORTING)
def test_without_the_guard_the_worker_is_refused_its_own_start(
    method: str,
) -> None:
    output, errors = broken_run_unguarded(method)
    assert REFUSED in errors
    if output:
        assert output == "exit code of the worker: 1\n"
    else:  # the fork server failed, and the parent could not reach it
        assert method == "forkserver"
        assert sys.version_info < (3, 15)
        assert errors.splitlines()[-1].startswith(
            ("EOFError", "ConnectionResetError", "BrokenPipeError")
        )


@pytest.mark.skipif("fork" not in METHODS, reason="no fork here")
def test_under_fork_the_missing_guard_goes_unnoticed() -> None:
    output, errors = broken_run_unguarded("fork")
    assert output == "exit code of the worker: 0\n"
    assert errors == ""


def test_a_pool_without_the_guard_replaces_each_worker_that_fails(
    tmp_path: Path,
) -> None:
    program = tmp_path / "unguarded_pool.py"
    program.write_text(UNGUARDED_POOL)
    with subprocess.Popen(
        [sys.executable, "-I", program, "spawn"],
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        refused = (line for line in running.stderr if REFUSED in line)
        try:
            for _ in range(3):
                assert next(refused)
            assert running.poll() is None
        finally:
            running.kill()
            running.stderr.read()  # ends with the last of its processes


@pytest.mark.parametrize("method", IMPORTING)
def test_an_executor_without_the_guard_ends_and_says_so(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "unguarded_executor.py"
    program.write_text(UNGUARDED_EXECUTOR)
    ended = run(program, method)
    assert ended.returncode == 1
    assert REFUSED in ended.stderr
    if method == "spawn":
        assert "BrokenProcessPool: " in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("method", IMPORTING)
def test_a_function_that_is_in_no_file_cannot_be_imported_by_a_worker(
    method: str,
) -> None:
    ended = run("-c", TYPED, method)
    text = (
        "AttributeError: module '__main__' has no attribute 'f'"
        if sys.version_info >= (3, 14)
        else "AttributeError: Can't get attribute 'f' on <module '__main__'"
    )
    assert ended.returncode == 1
    assert text in ended.stderr
    assert "BrokenProcessPool: " in ended.stderr.splitlines()[-1]


def test_an_error_in_the_worker_is_printed_and_not_raised_in_the_parent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    seven: Any = "seven"
    context = multiprocessing.get_context("spawn")
    assert run_in_process(seven, context=context) == 1
    text = "TypeError: n must be an int, not 'seven'\n"
    assert capfd.readouterr().err.endswith(text)


@posix
def test_the_exit_code_of_a_killed_worker_is_the_negative_signal() -> None:
    killer: Any = Call(signal.raise_signal, signal.SIGKILL)
    context = multiprocessing.get_context("spawn")
    assert run_in_process(killer, context=context) == -signal.SIGKILL


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_wait_leaves_no_worker(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context(method)
    join = BaseProcess.join

    def interrupted_join(process: BaseProcess) -> None:
        monkeypatch.setattr(BaseProcess, "join", join)
        assert process.is_alive()
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseProcess, "join", interrupted_join)
    with contextlib.suppress(KeyboardInterrupt):
        run_in_process(2**127 - 1, context=context)
    left = multiprocessing.active_children()
    for worker in left:
        worker.kill()
    assert left == []
