"""What the recipe says of producers and consumers, shown to be so."""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads import producer_consumer
from cookbook.threads.producer_consumer import (
    STOP,
    broken_produce,
    consume,
    finish,
    process_until_sentinel,
    process_until_shutdown,
    produce,
)
from tests.exploring import Explore

HAS_SHUTDOWN = sys.version_info >= (3, 13)
WAYS: list[Callable[..., None]] = [process_until_sentinel]
if HAS_SHUTDOWN:
    WAYS.append(process_until_shutdown)

SHUT_DOWN: type[Exception] = getattr(queue, "ShutDown", NotImplementedError)

from_3_13 = pytest.mark.skipif(not HAS_SHUTDOWN, reason="new in Python 3.13")
each_way = pytest.mark.parametrize("process", WAYS)


def two_consumers(
    feed: Callable[["queue.Queue[int]"], None],
) -> Callable[[], Setup]:
    """Return a set-up of two consumers that find what *feed* has put."""

    def make() -> Setup:
        jobs: queue.Queue[int] = queue.Queue()
        feed(jobs)
        failed = threading.Event()
        done: list[int] = []

        def consumer() -> None:
            consume(jobs, done.append, failed)

        return [consumer, consumer], lambda: tuple(done)

    return make


CONSUMERS = ("consumer 1", "consumer 2")
DONE: dict[Hashable, str] = {(1,): "the item is done, both have ended"}


def test_a_sentinel_for_each_ends_both_consumers_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    def feed(jobs: "queue.Queue[int]") -> None:
        produce([1], jobs, threading.Event())
        finish(jobs, 2)

    explore(
        two_consumers(feed),
        "``finish``: a sentinel for each of two consumers",
        right=DONE,
        preemptions=2,
        threads=CONSUMERS,
    )


def test_with_one_sentinel_the_second_waits_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        two_consumers(partial(broken_produce, [1])),
        "``broken_produce``: one sentinel for two consumers",
        right={},
        wrong={DEADLOCK: "a consumer waits for ever"},
        preemptions=2,
        threads=CONSUMERS,
    )


def test_when_work_fails_nobody_waits_for_ever_wherever_they_switch_once(
    explore: Explore,
) -> None:
    def make() -> Setup:
        jobs: queue.Queue[int] = queue.Queue(maxsize=1)
        failed = threading.Event()

        def fail(item: int) -> None:
            raise ValueError(item)

        def producer() -> None:
            produce([1, 2], jobs, failed)
            finish(jobs, 1)

        def consumer() -> None:
            consume(jobs, fail, failed)

        return [producer, consumer], jobs.qsize

    explore(
        make,
        "``consume``: the work fails at the first of two",
        right={"ValueError: 1": "the error is raised, both have ended"},
        threads=("producer", "consumer"),
        preemptions=1,
    )


def test_asking_empty_before_get_lets_a_consumer_wait_on_some_schedules() -> (
    None
):
    def make() -> Setup:
        jobs: queue.Queue[int] = queue.Queue()
        jobs.put(1)

        def take() -> None:
            if not jobs.empty():
                jobs.get()

        return [take, take], jobs.qsize

    assert set(every_interleaving(make)) == {0, DEADLOCK}


@each_way
@pytest.mark.parametrize("consumers", [1, 2, 5])
def test_each_item_is_worked_on_once_whatever_the_number_of_consumers(
    process: Callable[..., None], consumers: int
) -> None:
    done: list[int | None] = []
    items = [None, *range(20)]
    process(items, done.append, consumers=consumers, ahead=1)
    assert sorted(done, key=str) == sorted(items, key=str)


@each_way
def test_as_many_items_as_there_are_consumers_are_worked_on_at_once(
    process: Callable[..., None],
) -> None:
    meeting = threading.Barrier(3, timeout=10)
    process(range(6), lambda _: meeting.wait(), consumers=3)
    assert not meeting.broken


@each_way
@pytest.mark.parametrize(
    ("options", "taken"),
    [({"consumers": 3, "ahead": 1}, 3 + 1), ({}, 2 + 10)],
)
def test_the_producer_is_held_back_while_the_consumers_are_busy(
    process: Callable[..., None], options: dict[str, int], taken: int
) -> None:
    read: list[int] = []
    most: list[int] = []
    held_back, go_on = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        for number in range(20):
            read.append(number)
            if number == taken:  # the one that finds no place
                held_back.set()
            yield number

    def work(_: int) -> None:
        assert go_on.wait(timeout=10)

    def watch() -> None:
        assert held_back.wait(timeout=10)
        threading.Event().wait(0.05)  # time in which it would read more
        most.append(len(read))
        go_on.set()

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        process(items(), work, **options)
    assert watching.exception() is None
    assert most == [taken + 1]
    assert len(read) == 20


@each_way
def test_an_error_in_the_work_stops_an_endless_producer_and_is_raised(
    process: Callable[..., None],
) -> None:
    done: list[int] = []

    def items() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    def work(number: int) -> None:
        if number == 5:
            raise ValueError(number)
        done.append(number)

    with pytest.raises(ValueError, match="5"):
        process(items(), work, consumers=3, ahead=1)
    assert 5 not in done


@each_way
def test_after_an_error_what_is_in_the_queue_is_thrown_away(
    process: Callable[..., None],
) -> None:
    is_full = threading.Event()
    done: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            if number == 4:  # 0 is worked on, 1 to 3 are in the queue
                is_full.set()
            yield number

    def work(number: int) -> None:
        assert is_full.wait(timeout=10)
        done.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        process(items(), work, consumers=1, ahead=3)
    assert done == [0]


@from_3_13
def test_after_an_error_and_shutdown_another_consumer_begins_no_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_full, is_shut = threading.Event(), threading.Event()
    done: list[int] = []
    shutdown = vars(queue.Queue)["shutdown"]

    def shut(jobs: "queue.Queue[int]", **options: bool) -> None:
        shutdown(jobs, **options)
        is_shut.set()

    def items() -> Iterator[int]:
        for number in range(100):
            if number == 5:  # 0 and 1 are worked on, 2 to 4 are in the queue
                is_full.set()
            yield number

    def work(number: int) -> None:
        if number == 0:
            assert is_full.wait(timeout=10)
            raise ValueError(number)
        assert is_shut.wait(timeout=10)
        done.append(number)

    monkeypatch.setattr(queue.Queue, "shutdown", shut)
    with pytest.raises(ValueError, match="0"):
        process_until_shutdown(items(), work, consumers=2, ahead=3)
    assert done == [1]


def test_after_an_error_another_consumer_throws_items_away_too() -> None:
    jobs: queue.Queue[int] = queue.Queue()
    failed = threading.Event()
    failed.set()
    jobs.put(1)
    finish(jobs, 1)
    done: list[int] = []
    consume(jobs, done.append, failed)
    assert done == []
    assert jobs.empty()


@each_way
def test_an_error_in_the_items_is_raised_when_the_queue_is_worked_off(
    process: Callable[..., None],
) -> None:
    go_on = threading.Event()
    done: list[int] = []

    def items() -> Iterator[int]:
        yield from range(4)
        go_on.set()
        raise OSError("no more")

    def work(number: int) -> None:
        assert go_on.wait(timeout=10)
        done.append(number)

    with pytest.raises(OSError, match="no more"):
        process(items(), work, consumers=1, ahead=3)
    assert done == [0, 1, 2, 3]


@each_way
@pytest.mark.parametrize("ahead", [0, -1])
def test_a_queue_without_a_bound_is_refused_by_value(
    process: Callable[..., None], ahead: int
) -> None:
    message = f"^ahead must be at least 1, not {ahead}$"
    with pytest.raises(ValueError, match=message):
        process([1], print, ahead=ahead)


@each_way
@pytest.mark.parametrize("consumers", [0, -1])
def test_fewer_than_one_consumer_is_refused_and_nothing_is_read(
    process: Callable[..., None], consumers: int
) -> None:
    items = iter([1])
    message = "^max_workers must be greater than 0$"
    with pytest.raises(ValueError, match=message):
        process(items, print, consumers=consumers)
    assert next(items) == 1


@each_way
@pytest.mark.parametrize("can_start", [0, 1, 3])
def test_if_threads_cannot_start_the_error_is_raised_and_none_is_left(
    process: Callable[..., None],
    can_start: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_some(thread: threading.Thread) -> None:
        if len(started) == can_start:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    with pytest.raises(RuntimeError, match=r"^can't start new thread$"):
        process([1, 2], print, consumers=20, ahead=10)
    assert [thread.is_alive() for thread in started] == [False] * can_start


@pytest.mark.skipif(HAS_SHUTDOWN, reason="from 3.13 there is a shutdown")
def test_before_3_13_a_queue_cannot_be_shut_down() -> None:
    message = "^Queue.shutdown needs Python 3.13$"
    with pytest.raises(NotImplementedError, match=message):
        process_until_shutdown([1], print)
    message = "^'Queue' object has no attribute 'shutdown'$"
    with pytest.raises(AttributeError, match=message):
        queue.Queue().shutdown()  # type: ignore[attr-defined]


INTERRUPTED = """
import signal, threading
from cookbook.threads.producer_consumer import *

held_back, interrupted = threading.Event(), threading.Event()
done = []

def items():
    for number in range(4):
        if number == 3:  # 0 is worked on, 1 and 2 are in the queue
            held_back.set()
        yield number

def interrupt(*_):
    if not interrupted.is_set():
        interrupted.set()
        raise KeyboardInterrupt

def work(number):
    if number == 0:
        held_back.wait(10)
        # Again: one that comes just before the wait is seen after it.
        while not interrupted.wait(0.1):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    done.append(number)

signal.signal(signal.SIGINT, interrupt)
try:
    {way}(items(), work, consumers=1, ahead=2)
except KeyboardInterrupt:
    print("interrupted:", interrupted.is_set(), done)
"""


@each_way
@pytest.mark.skipif(
    sys.platform == "win32", reason="there a lock is not interrupted"
)
def test_ctrl_c_ends_a_producer_that_waits_and_the_queue_is_worked_off(
    process: Callable[..., None],
) -> None:
    root = Path(producer_consumer.__file__).parents[2]
    program = INTERRUPTED.format(way=process.__name__)
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        cwd=root,
        text=True,
        timeout=60,
    )
    assert run.stderr == ""
    assert run.stdout == "interrupted: True [0, 1, 2]\n"


def test_ctrl_c_just_after_put_took_the_lock_of_the_queue_waits_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main: list[int] = []
    held: list[Any] = []
    ended: list[BaseException] = []
    interrupted = threading.Event()
    enter = threading.Condition.__enter__

    def interrupt(self: threading.Condition) -> bool:
        entered = enter(self)
        if threading.get_ident() in main and not held:
            held.append(self)  # as the signal handler does at this place
            interrupted.set()
            raise KeyboardInterrupt
        return entered

    def items() -> Iterator[int]:
        main.append(threading.get_ident())  # from here on only `put` follows
        yield 1

    def run() -> None:
        try:
            process_until_sentinel(items(), print)
        except KeyboardInterrupt as error:
            ended.append(error)

    monkeypatch.setattr(threading.Condition, "__enter__", interrupt)
    runs = threading.Thread(target=run)
    runs.start()
    assert interrupted.wait(timeout=60)
    runs.join(timeout=0.2)
    assert runs.is_alive()
    held[0].release()  # which nobody does in a program
    runs.join()
    assert ended


def test_one_call_of_task_done_too_many_raises_a_value_error() -> None:
    jobs: queue.Queue[int] = queue.Queue()
    jobs.put(1)
    jobs.get()
    jobs.task_done()
    message = r"^task_done\(\) called too many times$"
    with pytest.raises(ValueError, match=message):
        jobs.task_done()


def join_after_consumer(*, counts_sentinel: bool) -> Callable[[], Setup]:
    """Return a set-up of a producer that waits for the queue, not a thread."""

    def make() -> Setup:
        jobs: queue.Queue[Any] = queue.Queue()

        def producer() -> None:
            jobs.put(STOP)
            jobs.join()

        def consumer() -> None:
            jobs.get()
            if counts_sentinel:
                jobs.task_done()

        return [producer, consumer], lambda: "ended"

    return make


def test_join_waits_until_task_done_was_called_for_the_sentinel_too() -> None:
    with_it = join_after_consumer(counts_sentinel=True)
    assert set(every_interleaving(with_it, preemptions=2)) == {"ended"}
    without = join_after_consumer(counts_sentinel=False)
    assert set(every_interleaving(without, preemptions=2)) == {DEADLOCK}


@from_3_13
def test_after_shutdown_put_raises_at_once_and_get_when_it_is_empty() -> None:
    jobs: Any = queue.Queue()
    jobs.put(1)
    jobs.shutdown()
    with pytest.raises(SHUT_DOWN, match=r"^$"):
        jobs.put(2)
    assert jobs.get() == 1
    with pytest.raises(SHUT_DOWN, match=r"^$"):
        jobs.get()


@from_3_13
def test_immediate_shutdown_throws_items_away_and_counts_them_as_done() -> (
    None
):
    jobs: Any = queue.Queue()
    jobs.put(1)
    jobs.put(2)
    jobs.shutdown(immediate=True)
    jobs.join()
    with pytest.raises(SHUT_DOWN):
        jobs.get()
