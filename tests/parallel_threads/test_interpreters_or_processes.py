"""Each cell of the recipe's table, and what else it says, shown to be so."""

import concurrent.futures
import mmap
import multiprocessing
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    Executor,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from pathlib import Path
from typing import Any

import pytest

from cookbook.parallel_threads import interpreters_or_processes
from cookbook.parallel_threads.interpreter_pool import FOUND, broken_primes_in
from cookbook.parallel_threads.interpreters_or_processes import (
    broken_count_files,
    kind_of_worker,
    map_in_parallel,
)
from cookbook.primes import count_primes, is_prime
from cookbook.threads.code_that_releases_the_gil import lets_others_run

ROOT = Path(__file__).parents[2]
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
HAS_INTERPRETERS = sys.version_info >= (3, 14)
# A type checker for 3.11 knows no interpreters.
Interpreters: Any = getattr(
    concurrent.futures, "InterpreterPoolExecutor", Executor
)
METHODS = multiprocessing.get_all_start_methods()

needs_interpreters = pytest.mark.skipif(
    not HAS_INTERPRETERS, reason="subinterpreters need Python 3.14"
)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
KINDS = [
    "thread",
    pytest.param("interpreter", marks=needs_interpreters),
    "process",
]
every_gil = pytest.mark.parametrize("gil", [True, False])
every_kind = pytest.mark.parametrize("kind", KINDS)


def pool(kind: str) -> Executor:
    """Return an executor with one worker of this kind."""
    if kind == "process":
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context)
    found: Executor = {"thread": ThreadPoolExecutor}.get(kind, Interpreters)(1)
    return found


def answer(kind: str, job: Callable[..., Any], *arguments: object) -> Any:
    with pool(kind) as executor:
        return executor.submit(job, *arguments).result(timeout=60)


def cell(row: str, kind: str) -> str:
    """Return what the table says."""
    lines = (interpreters_or_processes.__doc__ or "").splitlines()
    rows = {
        name: cells
        for line in lines
        if len(cells := re.split(r" {2,}", line)) == 4
        for name in cells[:1]
    }
    return rows[row][rows["a worker is a"].index(kind)]


def test_the_table_has_a_column_for_each_kind_and_seven_rows() -> None:
    lines = (interpreters_or_processes.__doc__ or "").splitlines()
    border = re.compile("(=+ +){3}=+")
    borders = [n for n, line in enumerate(lines) if border.fullmatch(line)]
    assert len(borders) == 3
    assert borders[2] - borders[1] == 8


ANSWER = """
import mmap
with open(path, "r+b") as file, mmap.mmap(file.fileno(), 3) as cells:
    cells[0] = 1
    while not cells[1]:
        pass
    cells[2] = 1
"""


def runs_beside_this_thread(kind: str, path: Path) -> bool:
    """Tell whether a job runs Python code while this thread does."""
    path.write_bytes(bytes(3))
    interval = sys.getswitchinterval()
    with (
        path.open("r+b") as file,
        mmap.mmap(file.fileno(), 3) as cells,
        pool(kind) as executor,
    ):
        job = executor.submit(exec, ANSWER, {"path": str(path)})
        try:
            start = time.monotonic()
            while not cells[0] and time.monotonic() < start + 60:
                time.sleep(0.001)
            sys.setswitchinterval(1000)  # seconds: who has it keeps it
            cells[1] = 1
            start = time.monotonic()
            while not cells[2] and time.monotonic() < start + 60:
                pass
            return bool(cells[2])
        finally:
            cells[1] = 1
            sys.setswitchinterval(interval)
            job.result(timeout=60)


def test_a_thread_runs_beside_this_one_only_without_the_gil() -> None:
    assert cell("runs in parallel", "thread") == "without the GIL"
    patience = 0.05 if HAS_GIL else 60
    runs = lets_others_run(lambda: sum(range(1000)), patience=patience)
    assert runs is not HAS_GIL


@needs_interpreters
def test_an_interpreter_runs_beside_this_thread_from_python_3_14(
    tmp_path: Path,
) -> None:
    assert cell("runs in parallel", "interpreter") == "from Python 3.14"
    assert runs_beside_this_thread("interpreter", tmp_path / "cells")


def test_a_process_runs_beside_this_thread_on_every_python(
    tmp_path: Path,
) -> None:
    assert cell("runs in parallel", "process") == "always"
    assert runs_beside_this_thread("process", tmp_path / "cells")


@every_kind
def test_a_job_changes_the_list_itself_only_in_a_thread(kind: str) -> None:
    numbers = [1]
    answer(kind, list.append, numbers, 2)
    found = "shared" if numbers == [1, 2] else "copied"
    assert cell("arguments", kind) == found


@every_kind
def test_a_job_fills_the_global_of_this_module_only_in_a_thread(
    kind: str,
) -> None:
    try:
        answer(kind, broken_primes_in, (0, 10))
        found = "shared" if FOUND == [4] else "one each"
    finally:
        FOUND.clear()
    assert cell("globals", kind) == found


@every_kind
def test_a_job_sets_the_variable_of_this_program_only_in_a_thread(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKBOOK", "")
    answer(kind, exec, "import os; os.environ['COOKBOOK'] = 'x'", {})
    found = "shared" if os.environ["COOKBOOK"] == "x" else "one each"
    assert cell("``os.environ``", kind) == found


@every_kind
def test_a_job_moves_the_program_unless_it_runs_in_a_process(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").touch()
    assert answer(kind, broken_count_files, str(tmp_path)) == 1
    moved = Path.cwd().resolve() == tmp_path.resolve()
    found = "shared" if moved else "one each"
    assert cell("current folder", kind) == found


CRASH = """
import concurrent.futures, os, sys
NAMES = {
    "thread": "ThreadPoolExecutor",
    "interpreter": "InterpreterPoolExecutor",
    "process": "ProcessPoolExecutor",
}
if __name__ == "__main__":
    with getattr(concurrent.futures, NAMES[sys.argv[1]])(1) as pool:
        try:
            pool.submit(os.abort).result()
        except concurrent.futures.BrokenExecutor:
            print("the worker")
"""


@posix
@every_kind
def test_a_crash_ends_the_program_unless_a_process_has_the_job(
    kind: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(CRASH, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, script, kind],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    found = ended.stdout.strip() if ended.returncode == 0 else "the program"
    assert ended.returncode in (0, -6)
    assert cell("a crash ends", kind) == found


@every_kind
@pytest.mark.parametrize("name", ["_curses", "readline"])
def test_an_extension_that_is_not_made_for_it_loads_in_no_interpreter(
    kind: str, name: str
) -> None:
    pytest.importorskip(name)
    said = ""
    try:
        answer(kind, exec, f"import {name}", {})
    except ImportError as error:
        said = str(error)
        text = f"module {name} does not support loading in subinterpreters"
        assert said == text
    assert cell("any extension", kind) == ("no" if said else "yes")


NO_DAEMONS = (
    "RuntimeError: daemon threads are disabled in this (sub)interpreter"
)
NO_SIGNALS = (
    "ValueError: signal only works in main thread of the main interpreter"
)


@needs_interpreters
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "import os; os.fork()",
            "RuntimeError: fork not supported for isolated subinterpreters",
        ),
        (
            "import os; os.execv('/bin/true', ['true'])",
            "RuntimeError: exec not supported for isolated subinterpreters",
        ),
        (
            "from threading import *; Thread(daemon=True).start()",
            NO_DAEMONS,
        ),
        (
            "import signal; signal.signal(2, signal.SIG_IGN)",
            NO_SIGNALS,
        ),
        ("import subprocess; subprocess.run(['true'])", ""),
    ],
)
@posix
def test_what_is_for_the_main_interpreter_raises_in_another(
    code: str, error: str
) -> None:
    from concurrent import interpreters  # type: ignore[attr-defined]

    interpreter = interpreters.create()
    try:
        said = ""
        try:
            interpreter.exec(code)
        except interpreters.ExecutionFailed as failed:
            said = str(failed).splitlines()[0]
        assert said == error
    finally:
        interpreter.close()


@every_kind
def test_an_error_of_a_job_is_the_same_whatever_the_worker(kind: str) -> None:
    with pytest.raises(
        TypeError, match=r"^a bound must be an int, not 'ten'$"
    ):
        answer(kind, count_primes, 0, "ten")


WITH_GIL = "interpreter" if HAS_INTERPRETERS else "process"


@pytest.mark.parametrize(
    ("gil", "expected"), [(True, WITH_GIL), (False, "thread")]
)
def test_the_first_of_the_three_that_runs_in_parallel_is_taken(
    gil: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = map_where_it_runs(gil, monkeypatch)
    assert kind_of_worker() == expected
    here = os.getpid(), threading.get_ident()
    assert here not in {(pid, thread) for pid, thread, _ in places}
    same_process = {pid == here[0] for pid, _, _ in places}
    assert same_process == {expected != "process"}
    if expected != "process":  # an interpreter has modules of its own
        same_modules = {modules == id(sys.modules) for *_, modules in places}
        assert same_modules == {expected == "thread"}


def map_where_it_runs(
    gil: bool, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, int, int]]:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: gil, raising=False)
    answers = map_in_parallel(eval, [WHERE] * 3, workers=2)
    return [(pid, thread, modules) for pid, thread, modules in answers]


WHERE = (
    "__import__('os').getpid(), __import__('threading').get_ident(),"
    " id(__import__('sys').modules)"
)


@every_gil
def test_the_answers_come_in_the_order_of_the_items(
    gil: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: gil, raising=False)
    assert map_in_parallel(abs, iter([-3, 2, -1]), workers=2) == [3, 2, 1]
    assert map_in_parallel(abs, [], workers=1) == []


@every_gil
def test_fewer_than_one_worker_is_refused_by_each_of_them(
    gil: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: gil, raising=False)
    with pytest.raises(ValueError, match="must be greater than 0"):
        map_in_parallel(abs, [-1], workers=0)


@every_gil
def test_each_pool_gets_as_many_workers_as_were_asked_for(
    gil: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Threads(ThreadPoolExecutor):
        def __init__(self, workers: int, **_: object) -> None:
            asked.append(workers)
            super().__init__(1)

    for module in (concurrent.futures, interpreters_or_processes):
        for name in (
            "ThreadPoolExecutor",
            "InterpreterPoolExecutor",
            "ProcessPoolExecutor",
        ):
            monkeypatch.setattr(module, name, Threads, raising=False)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: gil, raising=False)
    assert map_in_parallel(abs, [-1], workers=3) == [1]
    assert asked == [3]


@pytest.mark.skipif(HAS_INTERPRETERS, reason="it comes to no process")
@pytest.mark.parametrize("method", METHODS)
def test_up_to_python_3_13_the_context_chooses_how_processes_start(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    asked = []

    class Processes(ProcessPoolExecutor):
        def __init__(self, workers: int, mp_context: Any) -> None:
            asked.append(mp_context)
            super().__init__(workers, mp_context)

    monkeypatch.setattr(
        interpreters_or_processes, "ProcessPoolExecutor", Processes
    )
    context = multiprocessing.get_context(method)
    found = map_in_parallel(is_prime, [7, 8], workers=2, context=context)
    assert found == [True, False]
    assert asked == [context]


@pytest.fixture(autouse=True)
def no_interpreter_stays() -> Iterator[None]:
    yield
    if sys.version_info >= (3, 14):
        from concurrent import interpreters

        assert len(interpreters.list_all()) == 1
