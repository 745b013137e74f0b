import gc
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import permutations

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    Step,
    broken_test,
    crosswise_locks,
    every_interleaving,
    locked_counter,
    replay,
    steps,
    unlocked_counter,
)


def counts(outcomes: dict) -> dict:  # type: ignore[type-arg]
    return {end: found.schedules for end, found in outcomes.items()}


def test_every_order_of_the_steps_is_tried_once() -> None:
    def make() -> Setup:
        log: list[str] = []

        def write(name: str) -> None:
            log.append(name)
            log.append(name)

        return [lambda: write("a"), lambda: write("b")], lambda: "".join(log)

    # Three steps each, the call among them: 6! / (3! 3!) orders.
    outcomes = every_interleaving(make)
    assert counts(outcomes) == {
        "aabb": 4,
        "abab": 3,
        "abba": 3,
        "baab": 3,
        "baba": 3,
        "bbaa": 4,
    }


def test_a_job_that_makes_a_lock_takes_no_step_in_the_tool_itself() -> None:
    def make() -> Setup:
        jobs = [lambda: bool(threading.Lock()), lambda: bool(threading.Lock())]
        return jobs, lambda: None

    # One step each.
    assert counts(every_interleaving(make)) == {None: 2}


def test_an_unlocked_counter_loses_an_update_on_4_of_6_schedules() -> None:
    assert counts(every_interleaving(unlocked_counter)) == {2: 2, 1: 4}


def test_a_locked_counter_keeps_both_updates_on_all_8_schedules() -> None:
    assert counts(every_interleaving(locked_counter)) == {2: 8}


def test_crosswise_locks_deadlock_on_12_of_42_schedules() -> None:
    found = counts(every_interleaving(crosswise_locks))
    assert found == {"done": 30, DEADLOCK: 12}


def test_locks_taken_in_one_order_never_deadlock() -> None:
    def make() -> Setup:
        one, two = threading.Lock(), threading.Lock()

        def take() -> None:
            with one, two:
                pass

        return [take, take], lambda: "done"

    assert set(every_interleaving(make)) == {"done"}


def test_a_schedule_replays_to_the_outcome_it_was_found_with() -> None:
    for make in unlocked_counter, locked_counter, crosswise_locks:
        for outcome, found in every_interleaving(make).items():
            assert replay(make, found.shortest) == outcome


def test_the_schedule_returned_is_one_with_the_fewest_switches() -> None:
    outcomes = every_interleaving(unlocked_counter)
    assert outcomes[2].shortest == (0, 0, 1, 1)
    assert outcomes[1].shortest == (0, 1, 1, 0)


def add_in_one_line() -> Setup:
    box = [0]

    def add_one() -> None:
        box[0] += 1

    return [add_one, add_one], box.pop


def test_a_race_within_a_line_is_missed_by_line() -> None:
    assert set(every_interleaving(add_in_one_line)) == {2}


def test_a_race_within_a_line_is_found_by_bytecode() -> None:
    outcomes = every_interleaving(add_in_one_line, by="bytecode")
    # Four instructions of each thread touch what the other can see, on all
    # of 3.11 to 3.15: 8! / (4! 4!) orders.
    assert counts(outcomes) == {2: 10, 1: 60}
    for outcome, found in outcomes.items():
        again = replay(add_in_one_line, found.shortest, by="bytecode")
        assert again == outcome


def test_a_function_without_a_line_of_python_is_one_step() -> None:
    def make() -> Setup:
        log: list[int] = []
        functions = [partial(log.append, 1), partial(log.append, 2)]
        return functions, lambda: tuple(log)

    assert counts(every_interleaving(make)) == {(1, 2): 1, (2, 1): 1}


def test_the_outcomes_of_three_threads_are_those_of_a_model() -> None:
    def make() -> Setup:
        functions, result = unlocked_counter()
        return [*functions, functions[0]], result

    model: Counter[int] = Counter()
    for schedule in set(permutations([0, 0, 1, 1, 2, 2])):
        value = 0
        has_read: dict[int, int] = {}
        for thread in schedule:
            if thread in has_read:
                value = has_read[thread] + 1
            else:
                has_read[thread] = value
        model[value] += 1
    assert counts(every_interleaving(make)) == model


def test_an_error_in_a_function_is_an_outcome() -> None:
    def make() -> Setup:
        box = [0]

        def divide() -> None:
            1 // box[0]

        def set_one() -> None:
            box[0] = 1

        return [divide, set_one], lambda: "fine"

    text = "ZeroDivisionError: integer division or modulo by zero"
    if sys.version_info >= (3, 14):
        text = "ZeroDivisionError: division by zero"
    assert counts(every_interleaving(make)) == {text: 1, "fine": 1}


def test_an_error_that_leaves_a_lock_held_is_the_outcome() -> None:
    def make() -> Setup:
        lock = threading.Lock()

        def fail() -> None:
            lock.acquire()
            raise KeyError(1)

        def take() -> None:
            with lock:
                pass

        return [fail, take], lambda: "fine"

    assert set(every_interleaving(make)) == {"KeyError: 1"}


def test_a_thread_that_a_function_starts_may_not_use_a_lock() -> None:
    def make() -> Setup:
        lock = threading.Lock()
        seen: list[BaseException] = []

        def take() -> None:
            try:
                lock.acquire()
            except RuntimeError as error:
                seen.append(error)

        def start() -> None:
            thread = threading.Thread(target=take)
            thread.start()
            thread.join()

        return [start], lambda: len(seen)

    with pytest.raises(RuntimeError, match="a thread that a function started"):
        every_interleaving(make)


def test_a_condition_knows_who_holds_its_reentrant_lock() -> None:
    def make() -> Setup:
        condition = threading.Condition(threading.RLock())

        def notify() -> None:
            with condition:
                condition.notify()

        return [notify, notify], lambda: "notified"

    assert set(every_interleaving(make)) == {"notified"}


@pytest.mark.parametrize("arguments", [(False, 1), (True, -5)])
def test_acquire_refuses_what_a_real_lock_refuses(
    arguments: tuple[bool, float],
) -> None:
    def make() -> Setup:
        lock = threading.Lock()
        return [lambda: lock.acquire(*arguments)], lambda: "taken"

    with pytest.raises(ValueError) as raised:  # noqa: PT011 - its text is
        threading.Lock().acquire(*arguments)
    assert set(every_interleaving(make)) == {f"ValueError: {raised.value}"}


def test_a_lock_that_its_own_thread_holds_is_a_deadlock() -> None:
    def make() -> Setup:
        lock = threading.Lock()

        def twice() -> None:
            with lock, lock:
                pass

        return [twice], lambda: "done"

    assert set(every_interleaving(make)) == {DEADLOCK}


def test_a_reentrant_lock_may_be_taken_again_by_its_own_thread() -> None:
    def make() -> Setup:
        lock = threading.RLock()
        box = [0]

        def twice() -> None:
            with lock, lock:
                box[0] += 1

        return [twice, twice], box.pop

    assert set(every_interleaving(make)) == {2}


def test_an_acquire_with_a_timeout_both_gets_the_lock_and_gives_up() -> None:
    def make() -> Setup:
        lock = threading.Lock()
        got: list[bool] = []

        def hold() -> None:
            with lock:
                got.append(True)

        def try_it() -> None:
            got.append(lock.acquire(timeout=1))

        return [hold, try_it], lambda: tuple(sorted(got))

    outcomes = set(every_interleaving(make))
    assert outcomes == {(True, True), (False, True), DEADLOCK}


def test_an_acquire_that_does_not_block_returns_false_at_once() -> None:
    def make() -> Setup:
        lock = threading.Lock()
        lock.acquire()
        got: list[bool] = []
        return [lambda: got.append(lock.acquire(blocking=False))], got.pop

    assert set(every_interleaving(make)) == {False}


@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_releasing_a_lock_that_nobody_holds_raises_what_python_raises(
    kind: str,
) -> None:
    def make() -> Setup:
        return [getattr(threading, kind)().release], lambda: "released"

    with pytest.raises(RuntimeError) as raised:
        getattr(threading, kind)().release()
    assert set(every_interleaving(make)) == {f"RuntimeError: {raised.value}"}


def test_a_thread_that_waits_out_of_control_ends_the_exploration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cookbook.testing.every_interleaving.PATIENCE", 0.2)
    released = threading.Lock()
    released.acquire()

    def make() -> Setup:
        return [released.acquire], lambda: None

    with pytest.raises(RuntimeError, match="thread 0 waits for something"):
        every_interleaving(make)
    released.release()


def test_threads_that_change_their_steps_end_the_exploration() -> None:
    runs: list[int] = []

    def make() -> Setup:
        runs.append(1)

        def first() -> None:
            if len(runs) == 1:
                runs.count(1)
                runs.count(1)

        return [first, first], lambda: None

    with pytest.raises(RuntimeError, match="cannot take step"):
        every_interleaving(make)


def test_an_endless_loop_is_an_error_not_a_hang() -> None:
    def make() -> Setup:
        def spin() -> None:
            while True:
                pass

        return [spin], lambda: None

    with pytest.raises(ValueError, match="more than 50 steps"):
        every_interleaving(make, most=50)


def test_too_many_schedules_are_an_error() -> None:
    with pytest.raises(ValueError, match="more than 5 schedules"):
        every_interleaving(unlocked_counter, most=5)
    found = every_interleaving(unlocked_counter, most=6)
    assert counts(found) == {1: 4, 2: 2}


def test_an_unknown_grain_is_an_error() -> None:
    with pytest.raises(ValueError, match="not 'instruction'"):
        every_interleaving(unlocked_counter, by="instruction")


def test_locks_of_other_threads_stay_real_while_it_explores() -> None:
    kinds = set()

    def make() -> Setup:
        thread = threading.Thread(
            target=lambda: kinds.add(type(threading.Lock()).__name__)
        )
        thread.start()
        thread.join()
        return [], lambda: None

    every_interleaving(make)
    assert kinds == {type(threading.Lock()).__name__}


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="only Linux tells the cores"
)
def test_the_functions_run_on_one_core_and_the_caller_on_all_as_before() -> (
    None
):
    before = os.sched_getaffinity(0)

    def make() -> Setup:
        cores: list[int] = []
        work = [lambda: cores.append(len(os.sched_getaffinity(0)))] * 2
        return work, lambda: tuple(cores)

    assert set(every_interleaving(make)) == {(1, 1)}
    assert os.sched_getaffinity(0) == before


def test_a_collection_takes_no_step_of_its_own() -> None:
    def callback(_phase: str, _info: dict[str, int]) -> None:
        len("a step, if it were taken")

    thresholds = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    try:
        found = counts(every_interleaving(locked_counter))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(callback)
    assert found == {2: 8}
    assert gc.isenabled()


def test_the_real_locks_are_back_after_an_error() -> None:
    before = threading.Lock, threading.RLock

    def make() -> Setup:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        every_interleaving(make)
    assert (threading.Lock, threading.RLock) == before


def test_a_stress_test_that_joins_each_thread_sees_one_schedule() -> None:
    assert broken_test(unlocked_counter, runs=200) == {2}
    assert set(every_interleaving(unlocked_counter)) == {1, 2}


def test_a_waiting_thread_goes_on_when_its_condition_is_notified() -> None:
    def make() -> Setup:
        condition = threading.Condition()
        items: list[int] = []

        def put() -> None:
            with condition:
                items.append(1)
                condition.notify()

        def take() -> int:
            with condition:
                condition.wait_for(lambda: items)
                return items.pop()

        return [put, take], lambda: tuple(items)

    assert set(every_interleaving(make)) == {()}


def test_a_notification_that_nobody_waits_for_yet_is_lost() -> None:
    def make() -> Setup:
        condition = threading.Condition()

        def notify() -> None:
            with condition:
                condition.notify()

        def wait() -> None:
            with condition:
                condition.wait()

        return [notify, wait], lambda: "woken"

    assert set(every_interleaving(make)) == {"woken", DEADLOCK}


@pytest.mark.parametrize("depth", [1, 2])
def test_a_condition_frees_a_lock_however_often_it_was_taken(
    depth: int,
) -> None:
    def make() -> Setup:
        lock = threading.RLock()
        condition = threading.Condition(lock)
        items: list[int] = []

        def put() -> None:
            with condition:
                items.append(1)
                condition.notify()

        def take() -> None:
            for _ in range(depth):
                lock.acquire()
            condition.wait_for(lambda: items)
            for _ in range(depth):
                lock.release()

        return [put, take], lambda: lock.acquire(blocking=False)

    assert set(every_interleaving(make)) == {True}


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_a_semaphore_lets_in_as_many_threads_as_it_says(
    kind: str, slots: int
) -> None:
    def make() -> Setup:
        semaphore = getattr(threading, kind)(slots)
        inside = [0]
        most = [0]

        def enter() -> None:
            with semaphore:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

        return [enter, enter], most.pop

    assert set(every_interleaving(make)) == set(range(1, slots + 1))


def test_an_event_holds_a_thread_until_it_is_set() -> None:
    def make() -> Setup:
        event = threading.Event()
        log: list[str] = []

        def wait() -> None:
            event.wait()
            log.append("went on")

        def set_it() -> None:
            log.append("set")
            event.set()

        return [wait, set_it], lambda: tuple(log)

    assert set(every_interleaving(make)) == {("set", "went on")}


def test_a_barrier_holds_each_thread_until_all_are_there() -> None:
    def make() -> Setup:
        barrier = threading.Barrier(2)
        log: list[str] = []

        def work() -> None:
            log.append("before")
            barrier.wait()
            log.append("after")

        return [work, work], lambda: tuple(log)

    expected = ("before", "before", "after", "after")
    assert set(every_interleaving(make)) == {expected}


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_full_queue_holds_its_producer_back(kind: str) -> None:
    def make() -> Setup:
        items = getattr(queue, kind)(maxsize=1)
        most = [0]
        got: list[int] = []

        def put() -> None:
            for number in range(2):
                items.put(number)
                most[0] = max(most[0], items.qsize())

        def get() -> None:
            got.append(items.get())
            got.append(items.get())

        return [put, get], lambda: (most[0] <= 1, *got)

    assert set(every_interleaving(make)) == {(True, 0, 1)}


def test_a_future_holds_a_thread_until_it_has_its_result() -> None:
    def make() -> Setup:
        future: Future[int] = Future()
        got: list[int] = []

        def ask() -> None:
            got.append(future.result())

        def answer() -> None:
            future.set_result(42)

        return [ask, answer], got.pop

    assert set(every_interleaving(make)) == {42}


WAITS: dict[str, Callable[[], Setup]] = {}


def wait_with_a_timeout(make: Callable[[], Setup]) -> Callable[[], Setup]:
    WAITS[make.__name__] = make
    return make


@wait_with_a_timeout
def an_empty_queue() -> Setup:
    items: queue.Queue[int] = queue.Queue()
    got: list[object] = []

    def get() -> None:
        try:
            got.append(items.get(timeout=3600) == 1)
        except queue.Empty:
            got.append(False)

    return [get, lambda: items.put(1)], got.pop


@wait_with_a_timeout
def a_condition() -> Setup:
    condition = threading.Condition()
    items: list[int] = []
    got: list[object] = []

    def get() -> None:
        with condition:
            got.append(bool(condition.wait_for(lambda: items, timeout=0.1)))

    def put() -> None:
        with condition:
            items.append(1)
            condition.notify()

    return [get, put], got.pop


@wait_with_a_timeout
def an_event() -> Setup:
    event = threading.Event()
    got: list[object] = []
    return [lambda: got.append(event.wait(3600)), event.set], got.pop


@wait_with_a_timeout
def a_semaphore() -> Setup:
    semaphore = threading.Semaphore(0)
    got: list[object] = []

    def acquire() -> None:
        got.append(semaphore.acquire(timeout=3600))

    return [acquire, semaphore.release], got.pop


@wait_with_a_timeout
def a_barrier() -> Setup:
    barrier = threading.Barrier(2)
    got: list[object] = []

    def wait() -> None:
        try:
            barrier.wait(timeout=3600)
            got.append(True)
        except threading.BrokenBarrierError:
            got.append(False)

    return [wait, wait], got.pop


@pytest.mark.parametrize("make", WAITS.values(), ids=WAITS)
def test_a_wait_with_a_timeout_both_succeeds_and_times_out_in_no_time(
    make: Callable[[], Setup],
) -> None:
    assert set(every_interleaving(make)) == {True, False}


def test_what_a_thread_object_waits_with_stays_real() -> None:
    def make() -> Setup:
        def start() -> None:
            thread = threading.Thread(target=len, args=[""])
            thread.start()
            thread.join()

        return [start], lambda: "joined"

    assert set(every_interleaving(make)) == {"joined"}


def write_twice() -> Setup:
    log: list[str] = []

    def write(name: str) -> None:
        log.append(name)
        log.append(name)

    return [lambda: write("a"), lambda: write("b")], lambda: "".join(log)


@pytest.mark.parametrize(
    ("preemptions", "found"),
    [
        (0, {"aabb": 1, "bbaa": 1}),
        (1, {"aabb": 2, "abba": 1, "bbaa": 2, "baab": 1}),
    ],
)
def test_a_bound_on_preemptions_leaves_out_the_schedules_with_more(
    preemptions: int, found: dict[str, int]
) -> None:
    outcomes = every_interleaving(write_twice, preemptions=preemptions)
    assert counts(outcomes) == found


def test_a_bound_that_no_schedule_reaches_leaves_out_none() -> None:
    bounded = every_interleaving(write_twice, preemptions=6)
    assert bounded == every_interleaving(write_twice)


def test_a_switch_away_from_a_thread_that_waits_is_no_preemption() -> None:
    def make() -> Setup:
        event = threading.Event()
        return [event.wait, event.set], lambda: "done"

    outcomes = every_interleaving(make, preemptions=0)
    assert counts(outcomes) == {"done": 2}


def test_a_negative_bound_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 or more, not -1"):
        every_interleaving(unlocked_counter, preemptions=-1)


def test_the_steps_of_a_schedule_name_the_line_that_each_thread_runs() -> None:
    assert steps(unlocked_counter, [0, 1, 1, 0]) == [
        Step(0, "value = box[0]"),
        Step(1, "value = box[0]"),
        Step(1, "box[0] = value + 1"),
        Step(0, "box[0] = value + 1"),
    ]


def test_the_steps_to_a_deadlock_end_with_each_thread_waiting() -> None:
    schedule = every_interleaving(crosswise_locks)[DEADLOCK].shortest
    told = steps(crosswise_locks, schedule)
    last = {step.thread: step.note for step in told}
    assert last == {0: "waits", 1: "waits"}


def test_the_steps_tell_where_a_wait_gives_up() -> None:
    outcomes = every_interleaving(an_event)
    assert "gives up" in [s.note for s in steps(an_event, outcomes[False][1])]
    assert "gives up" not in [
        step.note for step in steps(an_event, outcomes[True][1])
    ]


def test_a_thread_that_is_given_up_still_leaves_its_with_blocks() -> None:
    left: list[str] = []

    @contextmanager
    def block() -> Iterator[None]:
        try:
            yield
        finally:
            left.append("left")

    def make() -> Setup:
        lock = threading.Lock()
        lock.acquire()

        def wait() -> None:
            with block():
                lock.acquire()

        return [wait], lambda: None

    assert set(every_interleaving(make)) == {DEADLOCK}
    assert left == ["left"]


def test_the_steps_by_bytecode_name_the_instructions() -> None:
    told = steps(add_in_one_line, [], by="bytecode")
    assert [step.thread for step in told] == [0] * 4 + [1] * 4
    assert [step.code for step in told][3].startswith("STORE_SUBSCR")
