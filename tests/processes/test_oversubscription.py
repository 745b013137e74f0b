"""What the recipe says of jobs with threads, shown to be so."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.processes import oversubscription
from cookbook.processes.oversubscription import (
    VARIABLES,
    broken_job,
    job,
    limit_threads,
    map_with_threads,
    threads_of_library,
)

METHODS = multiprocessing.get_all_start_methods()
ROOT = Path(__file__).parents[2]

# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def library_not_imported(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start each test without a limit and before the import."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    threads_of_library.cache_clear()
    yield
    threads_of_library.cache_clear()


@pytest.mark.parametrize("method", METHODS)
def test_the_library_of_each_worker_has_the_threads_it_is_given(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    for threads in 1, 3:
        answers = map_with_threads(
            job, [9, 7, 8], threads=threads, workers=2, context=context
        )
        assert answers == [(9, threads), (7, threads), (8, threads)]


def test_as_many_workers_as_asked_for_start_as_asked_for() -> None:
    context = multiprocessing.get_context("spawn")
    with patch.object(
        oversubscription, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        found = map_with_threads(abs, [-7], workers=1, context=context)
    assert found == [7]
    assert executor.call_args.args == (1,)
    assert executor.call_args.kwargs["mp_context"] == context


@pytest.mark.parametrize("method", METHODS)
def test_a_limit_after_the_import_changes_nothing_in_the_worker(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        [(number, before, after)] = pool.map(broken_job, [7])
    assert (number, after) == (7, before)
    if method != "forkserver":  # a server that runs may have a limit
        assert before == os.cpu_count()


def test_without_a_limit_there_is_a_thread_for_each_cpu() -> None:
    assert job(7) == (7, os.cpu_count())


@pytest.mark.parametrize("name", VARIABLES)
def test_the_workers_have_each_variable_and_the_parent_has_none(
    name: str,
) -> None:
    context = multiprocessing.get_context("spawn")
    getenv, names = cast("Any", os.getenv), cast("Any", [name])
    found = map_with_threads(
        getenv, names, threads=5, workers=1, context=context
    )
    assert found == ["5"]
    assert name not in os.environ


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "workers must be at least 1, not 0"),
        ({"workers": "2"}, TypeError, "workers must be an int, not '2'"),
        ({"numbers": 7}, TypeError, "numbers must be iterable, not 7"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"threads": "1"}, TypeError, "threads must be an int, not '1'"),
        ({"threads": True}, TypeError, "threads must be an int, not True"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, object], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    options = {"numbers": [7], "context": starts_nothing, **options}
    with pytest.raises(error, match=f"^{text}$"):
        map_with_threads(job, **cast("Any", options))


def test_an_error_in_a_job_is_raised_in_the_parent() -> None:
    context = multiprocessing.get_context("spawn")
    numbers = cast("Any", [7, None])
    with pytest.raises(TypeError, match="NoneType"):
        map_with_threads(abs, numbers, workers=1, context=context)


LIBRARY = """
import os
THREADS = os.environ.get("OMP_NUM_THREADS", "unlimited")
"""
TOP = """
import os
os.environ["OMP_NUM_THREADS"] = "1"
"""
PROGRAM = """
import multiprocessing, sys
import library
from cookbook.processes.oversubscription import limit_threads
def job(n):
    return library.THREADS
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1, limit_threads, [1]) as pool:
        print(pool.apply(job, [7]))
"""


def shown_by(program: str, method: str, folder: Path) -> str:
    """Return what *program* prints beside a library that reads a limit."""
    folder.joinpath("library.py").write_text(LIBRARY)
    path = folder / "program.py"
    path.write_text(program)
    return subprocess.run(
        [sys.executable, "-W", "ignore", path, method],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout.strip()


@pytest.mark.parametrize("method", METHODS)
def test_the_initializer_is_too_late_if_the_main_module_imports_the_library(
    method: str, tmp_path: Path
) -> None:
    assert shown_by(PROGRAM, method, tmp_path) == "unlimited"


@pytest.mark.parametrize("method", METHODS)
def test_the_first_lines_of_the_main_module_are_in_time(
    method: str, tmp_path: Path
) -> None:
    assert shown_by(TOP + PROGRAM, method, tmp_path) == "1"


@pytest.mark.parametrize("method", METHODS)
def test_a_library_that_the_job_imports_finds_the_limit_of_the_initializer(
    method: str, tmp_path: Path
) -> None:
    program = PROGRAM.replace("import library\n", "").replace(
        "    return", "    import library\n    return"
    )
    assert shown_by(program, method, tmp_path) == "1"


@pytest.mark.parametrize("method", METHODS)
def test_a_running_forkserver_keeps_the_environment_it_was_started_with(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(os.getenv, ["OMP_NUM_THREADS"]) is None
    limit_threads(1)
    try:
        with context.Pool(1) as pool:
            found = pool.apply(os.getenv, ["OMP_NUM_THREADS"])
    finally:
        for name in VARIABLES:
            monkeypatch.delenv(name)
    assert found == (None if method == "forkserver" else "1")
