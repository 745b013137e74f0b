"""What the recipe says of a manager and its proxies, shown to be so."""

import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, MutableMapping
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cookbook.primes import WORKERS, count_primes
from cookbook.processes.manager import (
    add_answer,
    add_up,
    broken_add_answer,
    broken_group_numbers,
    group_numbers,
    meet,
    put_into_group,
    run_jobs,
)

METHODS = multiprocessing.get_all_start_methods()

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


def all_have_ended() -> bool:
    """Wait until every child process has ended by itself."""
    children = multiprocessing.active_children()
    for process in children:
        process.join(60)
    return not multiprocessing.active_children()


@every_method
def test_what_workers_append_to_nested_proxies_is_there(method: str) -> None:
    context = multiprocessing.get_context(method)
    assert group_numbers(iter([9, 7, 8, 2]), workers=2, context=context) == {
        "prime": [2, 7],
        "other": [8, 9],
    }


@every_method
def test_what_workers_append_to_a_plain_list_in_a_shared_dict_is_lost(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    assert broken_group_numbers([9, 7], workers=1, context=context) == {
        "prime": [],
        "other": [],
    }


def test_two_workers_that_meet_at_work_lose_no_count() -> None:
    context = multiprocessing.get_context(METHODS[0])
    with context.Manager() as manager:
        jobs = [partial(meet, manager.Barrier(2, timeout=60))] * 2
        assert add_up(jobs, workers=2, context=context) == 2


@every_method
def test_two_workers_that_meet_between_read_and_write_lose_a_count(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with context.Manager() as manager:
        counts = manager.dict(primes=0)
        jobs = [partial(meet, manager.Barrier(2, timeout=60))] * 2
        add = partial(broken_add_answer, counts)
        run_jobs(add, jobs, workers=2, context=context)
        assert counts["primes"] == 1


class Counts(dict[str, int]):
    """Counts that note whether the lock is held when they are used."""

    def __init__(self, lock: threading.Lock) -> None:
        super().__init__(primes=0)
        self.lock = lock
        self.held: list[bool] = []

    def __getitem__(self, key: str) -> int:
        self.held.append(self.lock.locked())
        return super().__getitem__(key)

    def __setitem__(self, key: str, value: int) -> None:
        self.held.append(self.lock.locked())
        super().__setitem__(key, value)


def test_the_lock_is_held_to_read_and_to_write_but_not_by_the_job() -> None:
    lock = threading.Lock()
    counts = Counts(lock)
    add_answer(counts, lock, lambda: 5 + lock.locked())
    assert counts.held == [True, True]
    assert counts == {"primes": 5}


def test_a_copy_that_is_changed_and_assigned_back_is_there() -> None:
    with multiprocessing.get_context(METHODS[0]).Manager() as manager:
        groups = manager.dict({"prime": [2]})
        copied = groups["prime"]
        copied.append(3)
        assert groups["prime"] == [2]
        groups["prime"] = copied
        assert groups["prime"] == [2, 3]
        groups["prime"] += [5]
        assert groups["prime"] == [2, 3, 5]


def test_a_nested_proxy_prints_as_such_and_a_slice_of_it_is_a_list() -> None:
    with multiprocessing.get_context(METHODS[0]).Manager() as manager:
        groups = manager.dict(prime=manager.list([2, 3]))
        assert str(groups).startswith("{'prime': <ListProxy object, typeid ")
        assert groups["prime"][:] == [2, 3]


def test_an_error_in_a_call_is_raised_where_it_was_called() -> None:
    with (
        multiprocessing.get_context(METHODS[0]).Manager() as manager,
        pytest.raises(KeyError, match="missing"),
    ):
        manager.dict()["missing"]


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
    functions: list[Any] = [group_numbers]
    if isinstance(numbers, list):
        functions.append(add_up)
    for function in functions:
        with pytest.raises(error, match=text):
            function(numbers, workers=workers, context=starts_nothing)


def test_manager_and_workers_are_of_the_context_that_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", None)  # not called
    assert group_numbers([7], workers=1, context=context)["prime"] == [7]
    jobs = iter([partial(count_primes, 0, 10)])
    assert add_up(jobs, workers=1, context=context) == 4


def test_an_error_in_a_job_is_raised_in_the_parent_and_the_manager_ends() -> (
    None
):
    numbers: list[Any] = [7, "eight"]
    context = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="n must be an int, not 'eight'"):
        group_numbers(numbers, workers=1, context=context)
    assert all_have_ended()


class Killer:
    """Kills the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return signal.raise_signal, (signal.SIGKILL,)


@posix
def test_a_killed_worker_breaks_the_executor_and_the_manager_ends() -> None:
    numbers: list[Any] = [7, Killer()]
    context = multiprocessing.get_context("spawn")
    with pytest.raises(BrokenProcessPool):
        group_numbers(numbers, workers=1, context=context)
    assert all_have_ended()


def test_a_manager_ends_when_nothing_refers_to_it_or_to_a_proxy() -> None:
    def shared() -> MutableMapping[str, int]:
        return multiprocessing.get_context("spawn").Manager().dict(a=1)

    proxy = shared()
    [manager] = multiprocessing.active_children()
    assert proxy["a"] == 1
    del proxy
    manager.join(60)
    assert not manager.is_alive()


ENDS = """
import multiprocessing, os, signal, sys, time

def wait_for_the_end(pid):
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)

def work(kind, shared, barrier, ready, pid):
    if kind == "used":
        shared.copy()
    ready.set()
    try:
        if kind == "waits":
            barrier.wait()
        wait_for_the_end(pid)
        shared.copy()
    except (OSError, EOFError) as error:
        shown = [kind, repr(error)]
        if error.__context__:
            shown.append(repr(error.__context__))
        os.write(1, (" ".join(shown) + "\\n").encode())

if __name__ == "__main__":
    how, method = sys.argv[1:]
    context = multiprocessing.get_context(method)
    manager = context.Manager()
    pid = manager._process.pid
    shared, barrier = manager.dict(), manager.Barrier(2)
    for kind in "fresh", "used", "waits":
        ready = context.Event()
        arguments = kind, shared, barrier, ready, pid
        context.Process(target=work, args=arguments).start()
        ready.wait()
    while barrier.n_waiting < 1:
        time.sleep(0.01)
    if how == "is shut down":
        manager.shutdown()
    elif how == "is killed":
        os.kill(pid, signal.SIGKILL)
        manager._process.join()
"""
UNKEPT = """
import multiprocessing, sys

def work(shared, may_go_on):
    may_go_on.wait()
    shared.copy()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    may_go_on = context.Event()
    process = context.Process(
        target=work, args=(context.Manager().dict(), may_go_on)
    )
    process.start()
    while multiprocessing.active_children() not in ([process], []):
        pass
    may_go_on.set()
    process.join()
"""
NO_CONNECTION = "'ForkAwareLocal' object has no attribute 'connection'"
REFUSED = "ConnectionRefusedError(111, 'Connection refused')"
NOT_FOUND = "FileNotFoundError(2, 'No such file or directory')"


def run(
    program: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run *program*, which has *folder* for its temporary files."""
    path = folder / "program.py"
    path.write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", path, *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="texts and numbers")
@pytest.mark.parametrize(
    ("how", "method"),
    [
        *[("ends with the parent", method) for method in METHODS],
        ("is shut down", METHODS[0]),
        ("is killed", METHODS[0]),
    ],
)
def test_the_error_after_the_manager_depends_on_what_the_worker_was_doing(
    how: str, method: str, tmp_path: Path
) -> None:
    ended = run(ENDS, how, method, folder=tmp_path)
    connects = REFUSED if how == "is killed" else NOT_FOUND
    assert sorted(ended.stdout.splitlines()) == [
        f'fresh {connects} AttributeError("{NO_CONNECTION}")',
        "used BrokenPipeError(32, 'Broken pipe')",
        "waits EOFError()",
    ]
    assert ended.returncode == 0


@posix
@every_method
def test_a_manager_that_nobody_keeps_ends_when_the_worker_is_started(
    method: str, tmp_path: Path
) -> None:
    errors = run(UNKEPT, method, folder=tmp_path).stderr
    assert f"\nAttributeError: {NO_CONNECTION}\n" in errors
    assert "\nFileNotFoundError: [Errno 2] No such file or directory" in errors


KILLED = """
import multiprocessing, os, signal

if __name__ == "__main__":
    manager = multiprocessing.get_context("spawn").Manager()
    print(manager._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_a_parent_that_is_killed_leaves_its_manager_running(
    tmp_path: Path,
) -> None:
    path = tmp_path / "program.py"
    path.write_text(KILLED, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-I", path],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        manager = int(parent.stdout.readline())
        try:
            assert parent.wait(timeout=60) == -signal.SIGKILL
            os.kill(manager, 0)  # raises ProcessLookupError if it has ended
        finally:
            os.kill(manager, signal.SIGKILL)


def test_the_number_of_workers_is_that_of_the_core_unless_it_is_given() -> (
    None
):
    for function in group_numbers, add_up:
        assert inspect.signature(function).parameters["workers"].default is (
            WORKERS
        )


def test_a_job_puts_a_number_into_the_group_that_it_belongs_to() -> None:
    groups: dict[str, list[int]] = {"prime": [], "other": []}
    for n in 1, 2:
        put_into_group(groups, n)
    assert groups == {"prime": [2], "other": [1]}
