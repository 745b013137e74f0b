"""What the recipe says of turns, shown to be so."""

import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial

import pytest

from cookbook.deadlocks.livelock_and_starvation import (
    FairLock,
    broken_retry,
    poll_in_lockstep,
    retry,
    step_aside_in_lockstep,
)
from cookbook.testing.every_interleaving import Setup, every_interleaving
from tests.exploring import Explore

Log = list[str]


class NotedQueue(deque[threading.Lock]):
    """A queue that notes who joins it."""

    def __init__(self, note: Callable[[], object]) -> None:
        super().__init__()
        self.note = note

    def append(self, turn: threading.Lock, /) -> None:
        """Note it, and join."""
        self.note()
        super().append(turn)


class NotedLock(FairLock):
    """A fair lock that notes who joins its queue."""

    def __init__(self, note: Callable[[], object]) -> None:
        super().__init__()
        self._queue = NotedQueue(note)


def one_takes_turns_one_asks(*, fair: bool) -> Callable[[], Setup]:
    """Return a set-up of a thread with two turns, and one that asks once.

    The result is how many turns began after the other thread had asked.
    """

    def make() -> Setup:
        log: Log = []
        asked: list[int] = []
        askers: list[int] = []
        lock: AbstractContextManager[object] = threading.Lock()

        def note() -> None:
            if threading.get_ident() in askers:
                asked.append(len(log))

        if fair:
            lock = NotedLock(note)

        def take_turns() -> None:
            for _ in range(2):
                with lock:
                    log.append("turn")

        def ask() -> None:
            askers.append(threading.get_ident())
            if not fair:
                asked.append(len(log))
            with lock:
                log.append("asker")

        def waited() -> int:
            return log.index("asker") - asked[0] if asked else 0

        return [take_turns, ask], waited

    return make


def test_a_plain_lock_may_be_taken_again_and_again_before_one_who_asked(
    explore: Explore,
) -> None:
    explore(
        one_takes_turns_one_asks(fair=False),
        "``Lock``: one takes two turns, one asks once",
        right={0: "gets it at once", 1: "gets it after one turn"},
        wrong={2: "gets it after all turns"},
        preemptions=1,
        threads=("takes turns", "asks"),
    )


def test_a_fair_lock_is_not_taken_again_before_one_who_is_in_its_queue(
    explore: Explore,
) -> None:
    explore(
        one_takes_turns_one_asks(fair=True),
        "``FairLock``: one takes two turns, one asks once",
        right={0: "gets it at once", 1: "gets it after one turn"},
        preemptions=1,
        threads=("takes turns", "asks"),
    )


def three_enter_once() -> Setup:
    """Set up three threads at a fair lock; tell if the order was kept."""
    asked: list[int] = []
    entered: list[int] = []
    numbers: dict[int, int] = {}
    lock = NotedLock(lambda: asked.append(numbers[threading.get_ident()]))

    def enter(number: int) -> None:
        numbers[threading.get_ident()] = number
        with lock:
            entered.append(number)

    def is_kept() -> bool:
        return [one for one in entered if one in asked] == asked

    return [partial(enter, number) for number in range(3)], is_kept


def test_three_threads_get_a_fair_lock_in_the_order_of_asking() -> None:
    outcomes = every_interleaving(three_enter_once, preemptions=1)
    assert set(outcomes) == {True}


def test_one_thread_at_a_time_holds_a_fair_lock() -> None:
    def make() -> Setup:
        lock = FairLock()
        box = [0]

        def add_one() -> None:
            with lock:
                value = box[0]
                box[0] = value + 1

        return [add_one, add_one], box.pop

    assert set(every_interleaving(make, preemptions=2)) == {2}


def wait_for_queue(lock: FairLock, length: int) -> None:
    """Return when so many threads wait."""
    deadline = time.monotonic() + 10
    while lock.waiting != length:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_hundred_turns_of_two_threads_alternate_while_both_want_them() -> (
    None
):
    lock = FairLock()
    turns: Log = []

    def take_turns(name: str) -> None:
        for _ in range(50):
            with lock:
                turns.append(name)

    with ThreadPoolExecutor(max_workers=2) as pool, lock:
        pool.submit(take_turns, "a")
        wait_for_queue(lock, 1)
        pool.submit(take_turns, "b")
        wait_for_queue(lock, 2)
        assert turns == []
    assert turns[:2] == ["a", "b"]
    assert turns.count("a") == turns.count("b") == 50


def test_an_error_under_a_fair_lock_hands_it_to_the_next_in_the_queue() -> (
    None
):
    lock = FairLock()
    entered = threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    thread = threading.Thread(target=enter)

    def fail() -> None:
        with lock:
            thread.start()
            wait_for_queue(lock, 1)
            raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        fail()
    assert entered.wait(timeout=10)
    thread.join()
    with lock:
        assert lock.waiting == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs pthread_kill")
def test_ctrl_c_takes_a_thread_out_of_the_queue_and_the_others_go_on() -> None:
    lock = FairLock()
    pressed: list[int] = []
    over, entered = threading.Event(), threading.Event()
    main = threading.main_thread().ident or 0

    def handler(signum: int, _: object) -> None:
        if not pressed:
            pressed.append(signum)
            raise KeyboardInterrupt

    def hold() -> None:
        with lock:
            held.wait()
            wait_for_queue(lock, 1)
            while not pressed:
                signal.pthread_kill(main, signal.SIGINT)
                time.sleep(0.01)
            assert over.wait(timeout=10)

    def enter() -> None:
        with lock:
            entered.set()

    held = threading.Barrier(2, timeout=10)
    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(KeyboardInterrupt), lock:
            pytest.fail("the lock was free")
    finally:
        signal.signal(signal.SIGINT, before)
    assert lock.waiting == 0
    follower = threading.Thread(target=enter)
    follower.start()
    wait_for_queue(lock, 1)
    over.set()
    assert entered.wait(timeout=10)
    holder.join()
    follower.join()


@pytest.mark.parametrize("others", [0, 1])
def test_ctrl_c_just_after_the_lock_was_handed_over_hands_it_on(
    monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    new_lock = threading.Lock
    lock = FairLock()
    entered: list[int] = []

    class InterruptedLock:
        """A turn that is got, and interrupted, when it is waited for."""

        def __init__(self) -> None:
            self.lock = new_lock()

        def acquire(self) -> None:
            """Raise at the second time, after the lock was handed over."""
            if not self.lock.acquire(blocking=False):
                monkeypatch.undo()
                for thread in threads:
                    thread.start()
                    wait_for_queue(lock, 2)
                lock.__exit__()
                raise KeyboardInterrupt

        def release(self) -> None:
            """Let go."""
            self.lock.release()

    def enter() -> None:
        with lock:
            entered.append(1)

    threads = [threading.Thread(target=enter) for _ in range(others)]
    lock.__enter__()
    monkeypatch.setattr(threading, "Lock", InterruptedLock)
    with pytest.raises(KeyboardInterrupt), lock:
        pytest.fail("the turn was not interrupted")
    for thread in threads:
        thread.join(timeout=10)
    assert len(entered) == others
    with lock:
        assert lock.waiting == 0


class LeftLock(FairLock):
    """A fair lock that is held, and waited for by one who will leave."""

    def __init__(self) -> None:
        super().__init__()
        self._held = True
        self.turn = threading.Lock()
        self.turn.acquire()
        self._queue.append(self.turn)

    def leave(self) -> None:
        """Leave the queue, as one whom Ctrl-C interrupts."""
        self._leave(self.turn)

    def is_free(self) -> bool:
        """Tell whether nobody holds it or waits for it."""
        return not self._held and not self._queue


def test_who_leaves_the_queue_while_the_lock_is_let_go_leaves_it_free() -> (
    None
):
    def make() -> Setup:
        lock = LeftLock()
        return [lock.__exit__, lock.leave], lock.is_free

    assert set(every_interleaving(make)) == {True}


def test_a_fair_lock_is_not_reentrant() -> None:
    def make() -> Setup:
        lock = FairLock()

        def twice() -> None:
            with lock, lock:
                pass

        return [twice], lambda: "entered"

    assert set(every_interleaving(make)) == {"deadlock"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let each random pause be the longest possible, and note it."""
    found: list[float] = []

    def uniform(low: float, high: float) -> float:
        assert low == 0
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    return found


def test_a_failed_attempt_is_followed_by_longer_and_longer_pauses(
    pauses: list[float],
) -> None:
    with pytest.raises(TimeoutError, match=r"^no success in 6 attempts$"):
        retry(
            lambda: False,
            attempts=6,
            pause=0.5,
            longest_pause=3,
            sleep=pauses.append,
        )
    assert pauses == [0.5, 1, 2, 3, 3]


def test_the_pauses_begin_at_a_hundredth_of_a_second_and_end_at_one(
    pauses: list[float],
) -> None:
    tried: list[int] = []

    def fail() -> bool:
        tried.append(1)
        return False

    with pytest.raises(TimeoutError, match=r"^no success in 10 attempts$"):
        retry(fail, sleep=pauses.append)
    assert len(tried) == 10
    assert pauses[0] == 0.01
    assert pauses[6:] == [0.64, 1, 1]


def test_the_pauses_are_random_below_their_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[tuple[float, float]] = []
    slept: list[float] = []

    def uniform(low: float, high: float) -> float:
        limits.append((low, high))
        return 0.003

    monkeypatch.setattr(random, "uniform", uniform)
    answers = [True, False, False]
    retry(answers.pop, sleep=slept.append)
    assert limits == [(0, 0.01), (0, 0.02)]
    assert slept == [0.003, 0.003]


def test_a_first_attempt_that_succeeds_is_the_only_one(
    pauses: list[float],
) -> None:
    answers = [False, True]
    retry(answers.pop, attempts=1, sleep=pauses.append)
    assert answers == [False]
    assert pauses == []


def test_an_error_in_an_attempt_leaves_retry_at_once(
    pauses: list[float],
) -> None:
    with pytest.raises(ZeroDivisionError):
        retry(lambda: 1 // len(pauses) > 0, sleep=pauses.append)
    assert pauses == []


@pytest.mark.parametrize("attempts", [0, -1])
def test_fewer_than_one_attempt_is_refused_by_value(attempts: int) -> None:
    message = f"^attempts must be 1 or more, not {attempts}$"
    with pytest.raises(ValueError, match=message):
        retry(lambda: True, attempts=attempts)


@pytest.mark.parametrize("attempts", [1, 2, 8])
def test_in_lockstep_pauses_of_one_length_fail_at_every_attempt(
    attempts: int,
) -> None:
    errors = step_aside_in_lockstep(attempts)
    message = f"no success in {attempts} attempts"
    assert [str(error) for error in errors] == [message, message]


def test_after_a_failure_in_lockstep_pauses_that_differ_let_both_pass() -> (
    None
):
    sides = [0, 0]
    step = threading.Barrier(2, timeout=10)
    first_has_passed = threading.Event()
    attempts = [0, 0]

    def has_passed(me: int) -> bool:
        attempts[me] += 1
        blocked = sides[0] == sides[1]
        if attempts[me] == 1:
            step.wait()
        sides[me] ^= blocked
        if attempts[me] == 1:
            step.wait()
        return not blocked

    def longer_pause(_: float) -> None:
        assert first_has_passed.wait(timeout=10)

    def first() -> None:
        retry(partial(has_passed, 0), sleep=lambda _: None)
        first_has_passed.set()

    def second() -> None:
        retry(partial(has_passed, 1), sleep=longer_pause)

    with ThreadPoolExecutor(max_workers=2) as pool:
        walks = [pool.submit(first), pool.submit(second)]
    assert [walk.exception() for walk in walks] == [None, None]
    assert sides == [0, 1]
    assert attempts == [3, 2]


@pytest.mark.parametrize("attempts", [1, 5])
def test_who_polls_for_a_lock_starves_while_another_takes_it_in_turns(
    attempts: int,
) -> None:
    error = poll_in_lockstep(attempts)
    assert str(error) == f"no success in {attempts} attempts"


def test_who_queues_for_a_fair_lock_gets_it_between_two_turns() -> None:
    lock = FairLock()
    order: Log = []

    def ask() -> None:
        with lock:
            order.append("asker")

    thread = threading.Thread(target=ask)
    for turn in range(3):
        with lock:
            order.append("turn")
            if turn == 0:
                thread.start()
                wait_for_queue(lock, 1)
    thread.join()
    assert order == ["turn", "asker", "turn", "turn"]


def test_pauses_of_one_length_are_what_the_trap_sleeps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    answers = [True, False, False]
    broken_retry(answers.pop, pause=0.5)
    assert slept == [0.5, 0.5]
