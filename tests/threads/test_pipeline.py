"""What the recipe says of pipelines, shown to be so."""

import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from cookbook.testing.every_interleaving import DEADLOCK, Setup
from cookbook.threads import pipeline
from cookbook.threads.pipeline import (
    STOP,
    Stage,
    broken_stage,
    feed,
    run_pipeline,
    run_stage,
)
from tests.exploring import Explore

MiddleStage = Callable[
    [Stage, "Queue[Any]", "Queue[Any]", threading.Event], None
]


def fail(item: object) -> None:
    raise ValueError(item)


def three_stages(middle: MiddleStage) -> Callable[[], Setup]:
    """Return a set-up of three stages, of which the second one fails."""

    def make() -> Setup:
        first: Queue[Any] = Queue(maxsize=1)
        second: Queue[Any] = Queue(maxsize=1)
        failed = threading.Event()
        errors: list[str] = []
        first.put(1)

        def read_input() -> None:
            feed([2], first, failed)
            first.put(STOP)

        def second_stage() -> None:
            try:
                middle(fail, first, second, failed)
            except ValueError as error:
                errors.append(str(error))

        def third_stage() -> None:
            assert second.get() is STOP

        return [read_input, second_stage, third_stage], lambda: tuple(errors)

    return make


THREADS = ("input", "second stage", "third stage")
ENDED: dict[Hashable, str] = {("1",): "all have ended, with the error"}


def test_when_a_stage_fails_all_threads_end_wherever_they_switch_once(
    explore: Explore,
) -> None:
    explore(
        three_stages(run_stage),
        "``run_stage``: the second of three stages fails",
        right=ENDED,
        preemptions=1,
        threads=THREADS,
    )


def test_when_a_broken_stage_fails_the_others_wait_wherever_they_switch_once(
    explore: Explore,
) -> None:
    def middle(
        function: Stage,
        inbox: "Queue[Any]",
        outbox: "Queue[Any]",
        _: threading.Event,
    ) -> None:
        broken_stage(function, inbox, outbox)

    explore(
        three_stages(middle),
        "``broken_stage``: the second of three stages fails",
        right={},
        wrong={DEADLOCK: "the others wait for ever"},
        preemptions=1,
        threads=THREADS,
    )


@pytest.mark.parametrize("ahead", [1, 2, 100])
@pytest.mark.parametrize("stages", [1, 2, 5])
def test_each_item_passes_all_stages_in_order(ahead: int, stages: int) -> None:
    done: list[list[int | None]] = []

    def add(item: list[int | None]) -> list[int | None]:
        return [*item, None]

    items = [[number] for number in range(20)]
    run_pipeline(items, *[add] * (stages - 1), done.append, ahead=ahead)
    nones = [None] * (stages - 1)
    assert done == [[number, *nones] for number in range(20)]


def test_all_stages_work_at_once() -> None:
    together: list[int] = []
    begun = threading.Barrier(2, timeout=10)

    def first(item: int) -> int:
        if item == 1:
            begun.wait()
        return item

    def second(item: int) -> None:
        if item == 0:
            begun.wait()
        together.append(item)

    run_pipeline(range(2), first, second)
    assert together == [0, 1]


@pytest.mark.parametrize(
    ("options", "taken"), [({"ahead": 1}, 2 * 2), ({}, 2 * 5)]
)
def test_a_slow_last_stage_holds_back_the_input(
    options: dict[str, int], taken: int
) -> None:
    read: list[int] = []
    most: list[int] = []
    held_back = threading.Event()

    def items() -> Iterator[int]:
        for number in range(30):
            read.append(number)
            if number == taken:  # each stage has one, each queue is full
                held_back.set()
            yield number

    def slow(number: int) -> None:
        if number == 0:
            assert held_back.wait(timeout=10)
            threading.Event().wait(0.05)  # time in which it would read more
            most.append(len(read))

    run_pipeline(items(), abs, slow, **options)
    assert most == [taken + 1]
    assert len(read) == 30


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_any_stage_stops_an_endless_input_and_leaves_no_thread(
    failing: int,
) -> None:
    def break_at_5(number: int) -> int:
        if number == 5:
            raise ValueError("at 5")
        return number

    stages: list[Stage] = [abs, abs, abs]
    stages[failing] = break_at_5
    before = threading.active_count()
    with pytest.raises(ValueError, match="at 5"):
        run_pipeline(count(), *stages, ahead=1)
    assert threading.active_count() == before


@pytest.mark.parametrize("failing", ["input", "stage"])
def test_after_an_error_no_stage_begins_another_item(failing: str) -> None:
    begun: list[int] = []
    last_began, has_failed = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield from range(4)
        if failing == "input":
            assert last_began.wait(timeout=10)
            has_failed.set()
            raise ValueError("no more")
        yield from range(4, 100)

    def first(number: int) -> int:
        if number == 3 and failing == "stage":
            assert last_began.wait(timeout=10)
            has_failed.set()
            raise ValueError("no more")
        return number

    def last(number: int) -> None:
        begun.append(number)
        last_began.set()
        assert has_failed.wait(timeout=10)
        threading.Event().wait(0.05)  # time in which the others see it

    with pytest.raises(ValueError, match="no more"):
        run_pipeline(items(), first, last, ahead=5)
    assert begun == [0]


def test_after_an_error_at_most_one_more_item_of_the_input_is_read() -> None:
    failed = threading.Event()

    class Box(Queue[Any]):
        def put(self, item: object, *_: object) -> None:
            super().put(item)
            failed.set()

    items, box = iter(range(9)), Box()
    feed(items, box, failed)
    assert (box.get(), box.qsize()) == (0, 0)
    assert next(items) == 2


def test_if_two_stages_fail_it_is_the_error_of_the_earlier_one() -> None:
    both = threading.Barrier(2, timeout=10)

    def first(number: int) -> int:
        if number == 1:
            both.wait()
            raise ValueError("first")
        return number

    def second(_: int) -> None:
        both.wait()
        raise ValueError("second")

    with pytest.raises(ValueError, match="first"):
        run_pipeline(range(2), first, second)


def test_while_the_input_waits_the_error_of_a_stage_waits_too() -> None:
    seen: list[bool] = []
    has_failed = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert has_failed.wait(timeout=10)
        seen.append(True)
        yield 2
        seen.append(True)

    def stage(number: int) -> None:
        has_failed.set()
        raise ValueError(number)

    with pytest.raises(ValueError, match="1"):
        run_pipeline(items(), stage)
    assert seen[0]


INTERRUPTED = """
import signal, threading
from cookbook.threads.pipeline import *

full, interrupted = threading.Event(), threading.Event()
begun = []

def items():
    for number in range({items}):
        if number == 4:  # one with each stage, one in each queue
            full.set()
        yield number
    full.set()

def interrupt(*_):
    if not interrupted.is_set():
        interrupted.set()
        raise KeyboardInterrupt

def last(number):
    begun.append(number)
    full.wait(10)
    # Again: one that comes just before the wait is seen after it.
    while not interrupted.wait(0.1):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    threading.Event().wait(0.1)  # until the event is set

signal.signal(signal.SIGINT, interrupt)
try:
    run_pipeline(items(), abs, last, ahead=1)
except KeyboardInterrupt:
    print("interrupted:", begun, threading.active_count())
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run *program* by itself."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        cwd=Path(pipeline.__file__).parents[2],
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(
    sys.platform == "win32", reason="there a lock is not interrupted"
)
@pytest.mark.parametrize("items", [100, 3])
def test_ctrl_c_in_put_or_at_the_end_stops_all_stages(items: int) -> None:
    ended = run(INTERRUPTED.format(items=items))
    assert (ended.stdout, ended.stderr) == ("interrupted: [0] 1\n", "")


HANGING = """
import faulthandler, threading
from queue import Queue
from cookbook.threads.pipeline import *

first, second = Queue(maxsize=1), Queue(maxsize=1)
failed = threading.Event()
threading.excepthook = lambda _: faulthandler.dump_traceback_later(
    0.1, exit=True
)
for job in [
    (feed, range(10), first, failed),
    (broken_stage, divide, first, second),
    (run_stage, abs, second, None, failed),
]:
    threading.Thread(target=job[0], args=job[1:]).start()
"""


def test_faulthandler_shows_one_thread_in_put_and_one_in_get() -> None:
    ended = run(HANGING)
    assert ended.returncode == 1
    lines = [line for line in ended.stderr.splitlines() if "queue.py" in line]
    assert sorted(line.split()[-1] for line in lines) == ["get", "put"]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="new in Python 3.13")
def test_shutdown_wakes_who_waits_at_this_queue_alone() -> None:
    first: Any = Queue(maxsize=1)
    second: Any = Queue(maxsize=1)
    first.shutdown(immediate=True)
    assert (first.is_shutdown, second.is_shutdown) == (True, False)


@pytest.mark.parametrize("ahead", [0, -1])
def test_a_queue_without_a_bound_is_refused_by_value(ahead: int) -> None:
    message = f"^1 stages with {ahead} items ahead$"
    with pytest.raises(ValueError, match=message):
        run_pipeline([1], abs, ahead=ahead)


def test_a_pipeline_without_a_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="0 stages with 4 items ahead"):
        run_pipeline([1])
