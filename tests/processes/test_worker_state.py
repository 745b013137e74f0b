"""What the recipe says of a worker's own model, shown to be so."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from operator import methodcaller
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.processes import worker_state
from cookbook.processes.worker_state import (
    Model,
    broken_predict_all,
    load_model,
    predict,
    predict_all,
)

METHODS = multiprocessing.get_all_start_methods()

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a model's file."""
    path = tmp_path / "model.json"
    path.write_text("[3, 7]")
    return path


@every_method
def test_a_worker_loads_one_model_for_all_of_its_jobs(
    method: str, path: Path
) -> None:
    context = multiprocessing.get_context(method)
    found = predict_all(iter(range(9)), path, workers=1, context=context)
    assert found == [(10 * n, 1) for n in range(9)]


def test_a_relative_path_is_good_for_the_workers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    context = multiprocessing.get_context("spawn")
    found = predict_all([1], Path(path.name), workers=1, context=context)
    assert found == [(10, 1)]


@every_method
def test_neither_is_a_model_sent_nor_loaded_by_the_parent(
    method: str, path: Path
) -> None:
    before = Model.pickles
    context = multiprocessing.get_context(method)
    predict_all([1, 2, 3], path, context=context)
    assert Model.pickles == before
    assert worker_state.loads == 0
    assert not hasattr(worker_state, "model")


@every_method
def test_a_method_as_the_job_sends_its_object_for_every_job(
    method: str, path: Path
) -> None:
    before = Model.pickles
    context = multiprocessing.get_context(method)
    answers = broken_predict_all(range(5), path, workers=1, context=context)
    assert answers == [0, 10, 20, 30, 40]
    assert Model.pickles - before == 5


def test_an_object_given_as_an_argument_is_sent_again_for_each_job(
    path: Path,
) -> None:
    model, before = Model(path), Model.pickles
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        answers = list(executor.map(Model.predict, 3 * [model], range(3)))
        pickled_by_worker = executor.submit(getattr, Model, "pickles").result()
    assert answers == [0, 10, 20]
    assert Model.pickles - before == 3
    assert pickled_by_worker == 0


@every_method
def test_initargs_are_pickled_once_for_each_worker_and_not_under_fork(
    method: str, path: Path
) -> None:
    model, before = Model(path), Model.pickles
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(
        1, context, initializer=bool, initargs=(model,)
    ) as executor:
        list(executor.map(abs, range(5)))
    assert Model.pickles - before == (0 if method == "fork" else 1)


@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    numbers: object,
    workers: object,
    error: type[Exception],
    text: str,
    path: Path,
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(error, match=text):
        predict_all(
            cast("Any", numbers),
            path,
            workers=cast("Any", workers),
            context=starts_nothing,
        )


def test_there_are_as_many_workers_as_asked_for(path: Path) -> None:
    with patch.object(
        worker_state, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        predict_all([1], path, workers=1)
    assert executor.call_args.args[0] == 1


def test_a_missing_file_is_told_before_a_process_is_started(
    tmp_path: Path,
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(FileNotFoundError, match=r"missing\.json"):
        predict_all([1], tmp_path / "missing.json", context=starts_nothing)


@every_method
def test_an_error_in_the_initializer_breaks_an_executor(
    method: str, path: Path
) -> None:
    path.write_text("[3,")
    context = multiprocessing.get_context(method)
    with pytest.raises(BrokenProcessPool) as caught:
        predict_all([1], path, workers=1, context=context)
    assert "JSONDecodeError" not in f"{caught.value} {caught.value.__cause__}"


def test_why_the_initializer_failed_stands_on_the_standard_error(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path.write_text("[3,")
    context = multiprocessing.get_context("spawn")
    with pytest.raises(BrokenProcessPool):
        predict_all([1], path, workers=1, context=context)
    errors = capfd.readouterr().err
    assert "Exception in initializer:\nTraceback" in errors
    assert "json.decoder.JSONDecodeError: " in errors


def test_a_job_that_raises_leaves_the_worker_its_model(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        1, context, initializer=load_model, initargs=(path,)
    ) as executor:
        bad: Any = None
        with pytest.raises(TypeError):
            executor.submit(predict, bad).result()
        assert executor.submit(predict, 1).result() == (10, 1)


def test_without_the_initializer_the_name_is_not_defined() -> None:
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context) as executor,
        pytest.raises(NameError, match=r"^name 'model' is not defined$"),
    ):
        executor.submit(predict, 1).result()


FAILING = """\
import multiprocessing, os, sys

def fail():
    os.write(1, b"a worker\\n")
    raise OSError("no model")

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(1, fail) as pool:
        job = pool.apply_async(os.getpid)
        os.read(0, 1)
        os.write(1, b"ready: %r\\n" % job.ready())
"""


@every_method
def test_a_pool_replaces_a_worker_that_cannot_start_for_ever(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(FAILING)
    with subprocess.Popen(
        [sys.executable, program, method],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        seen = [parent.stdout.readline() for _ in range(4)]
        assert seen == 4 * ["a worker\n"]
        rest, _ = parent.communicate("end\n", timeout=60)
    assert "ready: False\n" in rest
    assert parent.returncode == 0


@posix
def test_the_successor_of_a_killed_worker_loads_the_model(
    path: Path,
) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, load_model, (path,)) as pool:
        killed = pool.apply(os.getpid)
        pool.apply_async(signal.raise_signal, [signal.SIGKILL])
        assert pool.apply(predict, [2]) == (20, 1)
        assert pool.apply(os.getpid) != killed


def test_a_connection_cannot_be_sent_to_a_worker() -> None:
    text = "^cannot pickle 'sqlite3.Connection' object"
    context = multiprocessing.get_context("spawn")
    connection = sqlite3.connect(":memory:")
    try:
        with (
            ProcessPoolExecutor(1, context) as executor,
            pytest.raises(TypeError, match=text),
        ):
            executor.submit(sqlite3.Connection.cursor, connection).result()
    finally:
        connection.close()


def test_a_lock_is_refused_in_a_job_and_welcome_in_initargs() -> None:
    context = multiprocessing.get_context("spawn")
    lock = context.Lock()
    text = (
        "^Lock objects should only be shared between processes through"
        " inheritance"
    )
    with ProcessPoolExecutor(
        1, context, initializer=methodcaller("release"), initargs=(lock,)
    ) as executor:
        assert lock.acquire(timeout=60)
        assert executor.submit(abs, -1).result() == 1
        assert lock.acquire(timeout=60), "the initializer releases it"
        with pytest.raises(RuntimeError, match=text):
            executor.submit(repr, lock).result()


AT_EXIT = """\
import atexit, functools, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor

def open_connection():
    atexit.register(os.write, 1, b"closed\\n")

@functools.cache
def model(path):
    os.write(1, b"load\\n")
    return open(path)

def use(path):
    return model(path) is not None

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, context, open_connection) as executor:
        assert list(executor.map(use, [os.devnull] * 3)) == [True] * 3
        try:
            executor.submit(use, "missing").result()
        except FileNotFoundError:
            os.write(1, b"missing\\n")
"""


@pytest.fixture(scope="module", params=METHODS)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[str]]:
    """Run the program; give the start method, and what was written."""
    program = tmp_path_factory.mktemp("at_exit") / "program.py"
    program.write_text(AT_EXIT)
    method: str = request.param
    words = subprocess.run(
        [sys.executable, program, method],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    return method, words


def test_a_cached_function_loads_once_and_its_error_is_that_of_the_job(
    written: tuple[str, list[str]],
) -> None:
    assert written[1][:3] == ["load", "load", "missing"]


def test_an_executors_workers_call_atexit_from_3_13_or_under_spawn(
    written: tuple[str, list[str]],
) -> None:
    method, words = written
    closed = words[3:] == ["closed"]
    assert closed is (method == "spawn" or sys.version_info >= (3, 13))
