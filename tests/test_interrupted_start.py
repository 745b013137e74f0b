"""Ctrl-C just after a process or a thread was started leaves none."""

import multiprocessing
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from cookbook.deadlocks.fork_with_threads import exit_code_of
from cookbook.deadlocks.join_before_drain import (
    collect_from_pipes,
    collect_from_queue,
)
from cookbook.measuring.memory_per_worker import worker
from cookbook.processes.events_between_processes import run_meanwhile
from cookbook.processes.main_guard import run_in_process
from cookbook.processes.queues_and_pipes import result_of
from cookbook.processes.shared_counter_processes import run_in_processes
from cookbook.processes.stuck_worker import call_with_timeout
from cookbook.threads.run_periodically import periodically
from cookbook.threads.stop_a_thread import run_for, stoppable

METHODS = multiprocessing.get_all_start_methods()
LONG = 60  # seconds: the job of a child that nobody ends
sleep = partial(time.sleep, LONG)


def load_worker(context: BaseContext) -> None:
    with ExitStack() as stack:
        stack.enter_context(worker(sleep, context=context))


CALLS: dict[str, Callable[[Any], object]] = {
    "collect_from_pipes": lambda own: collect_from_pipes(
        time.sleep, [LONG, LONG], context=own
    ),
    "collect_from_queue": lambda own: collect_from_queue(
        time.sleep, [LONG, LONG], context=own
    ),
    "call_with_timeout": lambda own: call_with_timeout(
        time.sleep, LONG, timeout=LONG, context=own
    ),
    "exit_code_of": lambda own: exit_code_of(sleep, context=own),
    "worker": load_worker,
    "result_of": lambda own: result_of(time.sleep, LONG, context=own),
    "run_for": lambda own: run_for(
        time.sleep, LONG, seconds=LONG, context=own
    ),
    "run_in_process": lambda own: run_in_process(2**127 - 1, context=own),
    "run_in_processes": lambda own: run_in_processes(
        time.sleep, [(LONG,), (LONG,)], context=own
    ),
    "run_meanwhile": lambda own: run_meanwhile(sleep, sleep, context=own),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_ctrl_c_just_after_the_start_leaves_no_process(
    call: Callable[[Any], object], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = BaseProcess.start

    def interrupted(process: BaseProcess) -> None:
        start(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseProcess, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        call(multiprocessing.get_context(method))
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
        process.join()
    assert left == []


@pytest.mark.parametrize(
    "block",
    [
        lambda: stoppable(lambda stop: stop.wait(LONG)),
        lambda: periodically(int, interval=LONG),
    ],
    ids=["stoppable", "periodically"],
)
def test_ctrl_c_just_after_the_start_leaves_no_thread(
    block: Callable[[], AbstractContextManager[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt), block():
        pytest.fail("the block began")
    assert threading.enumerate() == [threading.main_thread()]


def test_a_thread_that_cannot_be_started_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fails)
    for block in stoppable(bool), periodically(int, interval=LONG):
        with pytest.raises(RuntimeError, match=r"^can't start"), block:
            pytest.fail("the block began")
