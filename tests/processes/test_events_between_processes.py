"""What the recipe says of signals between processes, shown to be so."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.processes import events_between_processes
from cookbook.processes.events_between_processes import (
    STOP,
    broken_stop,
    broken_turns,
    call_alone,
    hold,
    run_meanwhile,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
ROOT = Path(events_between_processes.__file__).parents[2]
FOREVER = 600

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture(autouse=True)
def nobody_is_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STOP, "now", False)


def all_have_ended() -> None:
    """Wait until every child process has ended by itself."""
    for process in multiprocessing.active_children():
        process.join(60)


@every_method
def test_workers_go_on_until_they_are_told_to_stop_and_end_by_themselves(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    turns = context.Semaphore(0)

    def work() -> None:
        for _ in range(20):
            assert turns.acquire(timeout=60)
        assert len(multiprocessing.active_children()) == 2

    turn = partial(methodcaller("release"), turns)
    codes = run_meanwhile(turn, work, timeout=60, context=context)
    assert codes == [0, 0]
    assert not multiprocessing.active_children()


def test_the_work_does_not_begin_before_all_workers_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_between_processes, "START", 1)
    one_can: Any = Call(Path.mkdir, tmp_path / "made by the first")
    begun: list[None] = []
    with pytest.raises(TimeoutError, match="a worker is not ready"):
        run_meanwhile(
            one_can,
            lambda: begun.append(None),
            context=multiprocessing.get_context("spawn"),
        )
    assert not begun
    assert not multiprocessing.active_children()


@every_method
def test_a_worker_never_sees_a_global_that_the_parent_sets(
    method: str,
) -> None:
    assert broken_turns(multiprocessing.get_context(method)) == 3
    assert STOP["now"] is True
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_an_event_for_threads_cannot_be_sent_to_a_fresh_process(
    method: str,
) -> None:
    if method not in METHODS:
        pytest.skip(f"no {method} here")
    context = multiprocessing.get_context(method).get_context()
    event: Any = threading.Event()
    process = context.Process(target=hold, args=(event,))
    with pytest.raises(TypeError) as caught:
        process.start()
    assert str(caught.value) == "cannot pickle '_thread.lock' object"


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_process_has_a_copy_of_an_event_for_threads() -> None:
    context = multiprocessing.get_context("fork")
    event = threading.Event()
    process = context.Process(target=event.set)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert not event.is_set()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (threading.Event, "lock"),
        (threading.Lock, "lock"),
        (threading.RLock, "RLock"),
        (threading.Condition, "RLock"),
    ],
)
def test_no_object_of_threading_can_be_pickled(
    make: Callable[[], object], name: str
) -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(make())
    assert str(caught.value) == f"cannot pickle '_thread.{name}' object"


@posix
@every_method
def test_a_worker_that_is_terminated_in_the_lock_keeps_it(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    lock = context.Lock()
    assert broken_stop(lock, context) == -signal.SIGTERM
    text = r"^the lock was not free within 0\.01 s$"
    with pytest.raises(TimeoutError, match=text):
        call_alone(lock, int, timeout=0.01)


@posix
@pytest.mark.parametrize("name", ["Lock", "RLock", "Semaphore", "Condition"])
def test_whatever_a_killed_worker_holds_is_never_let_go(name: str) -> None:
    context = multiprocessing.get_context(METHODS[0]).get_context()
    lock = getattr(context, name)()
    held = context.Event()
    arguments = lock, partial(hold, held)
    process = context.Process(target=call_alone, args=arguments)
    process.start()
    assert held.wait(60)
    process.kill()
    process.join()
    assert not lock.acquire(timeout=0.01)


class HeldLock:
    """A lock that is not free; it notes how long it was waited for."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def acquire(self, *, timeout: float) -> bool:
        """Say that it is not free."""
        self.waits.append(timeout)
        return False


def test_the_lock_is_waited_for_as_long_as_it_is_said() -> None:
    lock: Any = HeldLock()
    with pytest.raises(TimeoutError, match="not free within 7 s"):
        call_alone(lock, int, timeout=7)
    assert lock.waits == [7]


def test_a_job_that_raises_lets_go_of_the_lock() -> None:
    lock = multiprocessing.get_context("spawn").Lock()
    with pytest.raises(ZeroDivisionError):
        call_alone(lock, lambda: 1 / 0)
    assert call_alone(lock, lambda: "free", timeout=0) == "free"


def test_the_job_is_called_while_the_lock_is_held() -> None:
    lock = multiprocessing.get_context("spawn").Lock()
    assert call_alone(lock, lambda: lock.acquire(timeout=0)) is False


WAITERS = """
import multiprocessing, sys, threading, time

def wait(event, ready):
    ready.set()
    event.wait()

def look(event, ready):
    ready.set()
    while not event.is_set():
        time.sleep(0.001)

def wait_for_condition(condition, ready):
    with condition:
        ready.set()
        condition.wait()

def wait_at_barrier(barrier, ready):
    ready.set()
    barrier.wait()

def notify_all(condition):
    with condition:
        condition.notify_all()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    event, looked_at = context.Event(), context.Event()
    condition, barrier = context.Condition(), context.Barrier(2)
    for name, job, one, wake in (
        ("Event", wait, event, event.set),
        ("Condition", wait_for_condition, condition,
         lambda: notify_all(condition)),
        ("Barrier", wait_at_barrier, barrier, lambda: barrier.wait(0.1)),
        ("is_set", look, looked_at, looked_at.set),
    ):
        ready = context.Event()
        process = context.Process(target=job, args=(one, ready))
        process.start()
        ready.wait()
        cond = getattr(one, "_cond", one)
        while job is not look and not cond._sleeping_count.get_value():
            time.sleep(0.001)
        with cond:  # so it does not hold the lock, and waits or sleeps
            process.kill()
            process.join()
        thread = threading.Thread(target=wake, daemon=True)
        thread.start()
        thread.join(0.3 if job is not look else 60)
        print(name, "hangs" if thread.is_alive() else "returns", flush=True)
"""


@posix
def test_to_wake_a_process_that_was_killed_while_it_waited_takes_for_ever(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(WAITERS, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-I", program, METHODS[0]],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == [
        "Event hangs",
        "Condition hangs",
        "Barrier hangs",
        "is_set returns",
    ]


@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (0, ValueError, "workers must be at least 1, not 0"),
        ("2", TypeError, "workers must be an int, not '2'"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    workers: object, error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    number = cast("Any", workers)
    with pytest.raises(error, match=text):
        run_meanwhile(int, int, workers=number, context=starts_nothing)


def test_a_worker_whose_job_raises_prints_it_and_ends_with_exit_code_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    job = partial(int, "no number")
    context = multiprocessing.get_context("spawn")
    codes = run_meanwhile(job, all_have_ended, workers=1, context=context)
    assert codes == [1]
    assert "ValueError: invalid literal for int()" in capfd.readouterr().err


def test_a_job_that_cannot_be_sent_is_an_error_before_the_work_begins() -> (
    None
):
    begun: list[None] = []
    context = multiprocessing.get_context("spawn")
    with pytest.raises(TypeError, match="cannot pickle"):
        run_meanwhile(
            partial(id, threading.Lock()),
            lambda: begun.append(None),
            context=context,
        )
    assert not begun


@every_method
def test_ctrl_c_kills_the_workers_and_leaves_none_behind(method: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_meanwhile(
            partial(time.sleep, FOREVER),
            partial(signal.raise_signal, signal.SIGINT),
            context=multiprocessing.get_context(method),
        )
    assert not multiprocessing.active_children()


@posix
@every_method
def test_a_worker_that_does_not_end_in_time_is_killed(method: str) -> None:
    context = multiprocessing.get_context(method)
    begun = context.Event()
    codes = run_meanwhile(
        partial(hold, begun),
        partial(begun.wait, 60),
        workers=1,
        timeout=0.01,
        context=context,
    )
    assert codes == [-signal.SIGKILL]


@posix
def test_the_exit_code_of_a_killed_worker_is_the_signals_number() -> None:
    kill = partial(signal.raise_signal, signal.SIGKILL)
    codes = run_meanwhile(
        kill, all_have_ended, context=multiprocessing.get_context(METHODS[0])
    )
    assert codes == [-signal.SIGKILL] * 2
