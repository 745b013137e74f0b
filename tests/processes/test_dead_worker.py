"""What the recipe says of workers that die, shown to be so."""

import multiprocessing
import operator
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from cookbook.processes.dead_worker import (
    broken_map_with_retries,
    map_with_retries,
    work,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
TERMINATED = (
    "A process in the process pool was terminated abruptly while the future"
    " was running or pending."
)
CALL: Any = operator.call  # a job that calls its item
SPAWN = multiprocessing.get_context("spawn")

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseProcess]]:
    """Note the processes that are started."""
    noted = []
    start = BaseProcess.start

    def note(process: BaseProcess) -> None:
        noted.append(type(process))
        start(process)

    monkeypatch.setattr(BaseProcess, "start", note)
    return noted


def names(answers: list[Any]) -> list[str]:
    """Return the results, and the name of the error where there is none."""
    return [
        type(one).__name__ if isinstance(one, BrokenProcessPool) else one
        for one in answers
    ]


@every_method
def test_each_job_has_its_result_but_the_one_that_always_kills(
    method: str, tmp_path: Path
) -> None:
    answers = map_with_retries(
        partial(work, folder=str(tmp_path)),
        iter(["a", "once", "b", "always", "c"]),
        context=multiprocessing.get_context(method),
    )
    assert names(answers) == ["done"] * 3 + ["BrokenProcessPool", "done"]


@posix
@every_method
def test_a_worker_that_is_killed_by_a_signal_is_no_other_case(
    method: str,
) -> None:
    answers = map_with_retries(
        CALL,
        [int, partial(signal.raise_signal, signal.SIGKILL), str],
        context=multiprocessing.get_context(method),
        workers=1,
    )
    assert names(answers) == [0, "BrokenProcessPool", ""]


def test_a_job_that_has_a_result_is_not_run_again(tmp_path: Path) -> None:
    # A second os.mkdir would raise FileExistsError.
    make = partial(os.mkdir, tmp_path / "made")
    answers = map_with_retries(CALL, [make, partial(os._exit, 3)], workers=1)
    assert names(answers) == [None, "BrokenProcessPool"]


def test_no_items_give_no_answers_and_no_process(
    started: list[type[BaseProcess]],
) -> None:
    assert map_with_retries(abs, []) == []
    assert not started


@pytest.mark.parametrize("attempts", [1, 3, None])
def test_a_job_that_kills_is_run_alone_as_often_as_asked_for_or_twice(
    attempts: int | None, started: list[type[BaseProcess]]
) -> None:
    given: Any = {} if attempts is None else {"attempts": attempts}
    answers = map_with_retries(
        os._exit, [3], workers=1, context=SPAWN, **given
    )
    assert names(answers) == ["BrokenProcessPool"]
    assert len(started) == 1 + (attempts or 2)


def test_a_job_that_works_when_alone_is_not_tried_again(
    tmp_path: Path, started: list[type[BaseProcess]]
) -> None:
    job = partial(work, folder=str(tmp_path))
    assert map_with_retries(
        job, ["once"], attempts=3, workers=1, context=SPAWN
    ) == ["done"]
    assert len(started) == 2


def test_after_a_kill_only_one_job_for_each_worker_is_run_alone(
    started: list[type[BaseProcess]],
) -> None:
    jobs = [partial(os._exit, 3), int, str, list]
    answers = map_with_retries(
        CALL, jobs, attempts=1, workers=1, context=SPAWN
    )
    assert names(answers) == ["BrokenProcessPool", 0, "", []]
    assert len(started) == 3  # all; the first alone; the three others


@posix
@every_method
def test_the_executor_ends_its_other_workers_and_their_jobs_run_again_alone(
    method: str,
    tmp_path: Path,
    started: list[type[BaseProcess]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = threading.Event()
    start = BaseProcess.start

    def start_when_closed(process: BaseProcess) -> None:
        # A child forked before would hold the end that control() writes to.
        assert len(started) < 2 or closed.wait(60)
        start(process)

    monkeypatch.setattr(BaseProcess, "start", start_when_closed)
    other, killer = tmp_path / "other", tmp_path / "killer"
    for path in other, killer:
        os.mkfifo(path)

    def control() -> None:
        fd = os.open(other, os.O_WRONLY)  # waits until that job runs
        killer.write_text("die")
        poll = select.poll()
        poll.register(fd, select.POLLERR)
        poll.poll(60_000)  # until nobody reads
        os.close(fd)
        closed.set()
        other.write_text("alone")
        killer.write_text("die alone")

    thread = threading.Thread(target=control)
    thread.start()
    code: Any = Call(len, Call(Path.read_text, killer))
    jobs = [partial(Path.read_text, other), partial(os._exit, code), int]
    context = multiprocessing.get_context(method)
    answers = map_with_retries(
        CALL, jobs, attempts=1, workers=2, context=context
    )
    thread.join()
    assert names(answers) == ["alone", "BrokenProcessPool", 0]
    # Two; one for each of the two alone; a fork starts all at once.
    assert len(started) == 2 + 1 + 1 + (2 if method == "fork" else 1)


def test_jobs_that_were_not_handed_out_are_run_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit: Any = ProcessPoolExecutor.submit

    def late(executor: object, job: object, item: object) -> object:
        if item is str:
            for thread in threading.enumerate():
                if type(thread).__name__ == "_ExecutorManagerThread":
                    thread.join(60)  # it ends when the executor is broken
        return submit(executor, job, item)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", late)
    jobs = [partial(os._exit, 3), str, list]
    answers = map_with_retries(CALL, jobs, context=SPAWN)
    assert names(answers) == ["BrokenProcessPool", "", []]


def test_an_error_of_a_job_is_raised_and_leaves_no_process() -> None:
    with pytest.raises(ValueError, match="'eight'"):
        map_with_retries(int, ["7", "eight"])
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("name", ["attempts", "workers"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_bad_number_is_refused_before_a_process_is_started(
    name: str, value: int
) -> None:
    nothing: Any = object()
    options: Any = {name: value}
    text = rf"^{name} must be at least 1, not {value}$"
    with pytest.raises(ValueError, match=text):
        map_with_retries(abs, nothing, context=nothing, **options)


@pytest.mark.parametrize("method", [None, *METHODS])
def test_workers_are_started_by_the_context_or_the_default(
    method: str | None, started: list[type[BaseProcess]]
) -> None:
    context: Any = multiprocessing.get_context(method)
    given: Any = {} if method is None else {"context": context}
    assert map_with_retries(abs, [-1], workers=1, **given) == [1]
    assert started == [context.Process]


@every_method
def test_an_executor_that_lost_a_worker_refuses_a_job_that_would_work_now(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = partial(work, folder=str(tmp_path))
    context = multiprocessing.get_context(method)
    found = broken_map_with_retries(job, ["once"], attempts=3, context=context)
    assert found == []
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("the process pool is not usable anymore") == 2
    assert shown.startswith(f"attempt 1: {TERMINATED} attempt 2:")
    assert map_with_retries(job, ["once"], context=context) == ["done"]


def test_from_3_15_the_cause_names_the_exit_code() -> None:
    [error] = map_with_retries(os._exit, [7], context=SPAWN)
    cause: object = error.__cause__
    if sys.version_info >= (3, 15):
        assert cause is None or "with exit code 7" in str(cause)
    else:
        assert cause is None


@pytest.mark.parametrize(
    ("function", "argument", "code"),
    [
        (os._exit, 7, 7),
        pytest.param(signal.raise_signal, 9, -9, marks=posix),
        pytest.param(signal.raise_signal, 11, -11, marks=posix),
    ],
)
def test_the_exit_code_of_a_process_says_how_it_died(
    function: Callable[[int], object], argument: int, code: int
) -> None:
    process = SPAWN.Process(target=function, args=(argument,))
    process.start()
    process.join()
    assert process.exitcode == code


CRASH = """
import multiprocessing, signal, sys
from concurrent.futures import ProcessPoolExecutor

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        print(executor.submit(signal.raise_signal, signal.SIGSEGV).exception())
"""


@posix
@every_method
def test_faulthandler_prints_where_a_worker_crashed(
    method: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(CRASH, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(script), method],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ended.stdout == f"{TERMINATED}\n"
    assert "Fatal Python error: Segmentation fault" in ended.stderr
    assert "in _process_worker" in ended.stderr


def test_an_initializer_that_raises_breaks_the_executor_and_is_logged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ProcessPoolExecutor(
        1, mp_context=SPAWN, initializer=int, initargs=("eight",)
    ) as executor:
        error = executor.submit(abs, -1).exception()
    assert isinstance(error, BrokenProcessPool)
    err = capfd.readouterr().err
    assert err.startswith("Exception in initializer:\nTraceback")
    assert "ValueError: invalid literal" in err
