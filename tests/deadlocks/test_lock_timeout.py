"""What the recipe says of deadlines for locks, shown to be so."""

import math
import multiprocessing
import random
import re
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from cookbook.deadlocks import lock_timeout
from cookbook.deadlocks.lock_timeout import (
    Lockable,
    LockstepLock,
    acquire_all,
    broken_acquire_all,
    broken_retry_at_once,
    take,
)
from cookbook.testing.every_interleaving import DEADLOCK
from tests.exploring import Explore

Functions = Sequence[Callable[[], object]]


def are_free(*locks: threading.Lock) -> bool:
    """Tell whether nobody holds any of *locks*."""
    return not any(lock.locked() for lock in locks)


def test_all_locks_are_held_in_the_block_and_none_after_it() -> None:
    locks = [threading.Lock() for _ in range(3)]
    with acquire_all(*locks, timeout=0):
        assert all(lock.locked() for lock in locks)
    assert are_free(*locks)


def test_an_error_in_the_block_goes_on_and_leaves_all_locks_free() -> None:
    locks = [threading.Lock() for _ in range(3)]
    error = OSError("no answer")
    with (
        pytest.raises(OSError, match="no answer") as caught,
        acquire_all(*locks, timeout=0),
    ):
        raise error
    assert caught.value is error
    assert are_free(*locks)


@pytest.mark.parametrize("timeout", [0, 0.05])
@pytest.mark.parametrize("held", [0, 1, 2])
def test_when_one_lock_stays_held_timeout_error_is_raised_and_none_is_held(
    timeout: float, held: int
) -> None:
    locks = [threading.Lock() for _ in range(3)]
    with locks[held]:
        with (
            pytest.raises(
                TimeoutError, match=rf"not free within {timeout} s$"
            ),
            acquire_all(*locks, timeout=timeout),
        ):
            pytest.fail("the block was run")
        assert [lock.locked() for lock in locks].count(True) == 1
    assert are_free(*locks)


def crosswise(
    function: Callable[[threading.Lock, threading.Lock], None],
) -> Callable[[], tuple[Functions, Callable[[], Hashable]]]:
    """Return a set-up of *function* and a thread that takes b, then a."""

    def make() -> tuple[Functions, Callable[[], Hashable]]:
        a, b = threading.Lock(), threading.Lock()

        def other() -> None:
            with b, a:
                pass

        return [partial(function, a, b), other], lambda: are_free(a, b)

    return make


def test_on_every_schedule_a_try_ends_and_leaves_the_locks_free(
    explore: Explore,
) -> None:
    def try_once(*locks: Lockable) -> None:
        with ExitStack() as held:
            take(list(locks), 0, held)

    explore(
        crosswise(try_once),
        "``take``: one try, against a crosswise thread",
        right={True: "both end, all locks free"},
    )


def test_on_some_schedules_waiting_for_every_lock_is_a_deadlock(
    explore: Explore,
) -> None:
    def wait(*locks: Lockable) -> None:
        with broken_acquire_all(*locks):
            pass

    explore(
        crosswise(wait),
        "``broken_acquire_all``, against a crosswise thread",
        right={True: "both end, all locks free"},
        wrong={DEADLOCK: "deadlock"},
    )


def test_a_thread_that_takes_all_locks_waits_only_while_it_holds_none() -> (
    None
):
    locks = [threading.Lock() for _ in range(3)]
    held_while_waiting = []

    class Watched:
        """A lock that notes how many locks are held while it is waited for."""

        def __init__(self, lock: threading.Lock) -> None:
            self.lock = lock
            self.release = lock.release

        def acquire(self, *, timeout: float = -1) -> bool:
            """Take the lock."""
            if timeout:
                held_while_waiting.append(sum(one.locked() for one in locks))
            return self.lock.acquire(timeout=timeout)

    with (
        locks[1],
        pytest.raises(TimeoutError),
        acquire_all(*map(Watched, locks), timeout=0.05),
    ):
        pytest.fail("the block was run")
    assert len(held_while_waiting) >= 1
    assert set(held_while_waiting) == {1}  # the one that stays held


class LockstepOnceLock(LockstepLock):
    """A lock in lockstep with the other one until both have let go once."""

    def __init__(
        self, step: threading.Barrier, in_lockstep: threading.Event
    ) -> None:
        super().__init__(step)
        self.in_lockstep = in_lockstep
        self.tries: list[bool] = []

    def acquire(self, *, timeout: float = -1) -> bool:
        """Take the lock."""
        if self.in_lockstep.is_set():
            taken = super().acquire(timeout=timeout)
        else:
            taken = self._lock.acquire(timeout=timeout)
        self.tries.append(taken)
        return taken

    def release(self) -> None:
        """Let go."""
        if self.in_lockstep.is_set():
            super().release()
        else:
            self._lock.release()


def in_lockstep(times: int) -> tuple[LockstepOnceLock, LockstepOnceLock]:
    """Return two locks taken and let go in lockstep so many times."""
    forced = threading.Event()
    forced.set()
    passes = 0

    def count() -> None:
        nonlocal passes
        passes += 1
        if passes == 2 * times:
            forced.clear()

    step = threading.Barrier(2, action=count, timeout=10)
    return LockstepOnceLock(step, forced), LockstepOnceLock(step, forced)


def run_crosswise(
    work: Callable[[Lockable, Lockable], None], a: Lockable, b: Lockable
) -> list[BaseException | None]:
    """Run *work* in two threads, and return what they raised."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(work, a, b), pool.submit(work, b, a)]
    return [job.exception() for job in jobs]


@pytest.mark.parametrize("attempts", [1, 2, 10])
def test_in_lockstep_retrying_at_once_fails_at_every_attempt(
    attempts: int,
) -> None:
    a, b = in_lockstep(attempts)

    def work(first: Lockable, second: Lockable) -> None:
        with broken_retry_at_once(first, second, attempts=attempts):
            pytest.fail("both locks were taken")

    errors = run_crosswise(work, a, b)
    message = f"locks not free in {attempts} attempts"
    assert [str(error) for error in errors] == [message, message]
    assert a.tries.count(False) == b.tries.count(False) == attempts


def test_after_three_failures_in_lockstep_a_pause_lets_both_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = in_lockstep(3)
    pauses: list[threading.Thread] = []
    counting, passed = threading.Lock(), threading.Event()
    inside = []

    def sleep(_: float) -> None:
        with counting:
            pauses.append(threading.current_thread())
            is_last = len(pauses) == 6
        if is_last:  # this thread's pause is the longer one
            assert passed.wait(timeout=10)

    def work(first: Lockable, second: Lockable) -> None:
        with acquire_all(first, second, timeout=60):
            inside.append(threading.current_thread())
        passed.set()

    monkeypatch.setattr(time, "sleep", sleep)
    assert run_crosswise(work, a, b) == [None, None]
    assert len(set(inside)) == 2
    assert inside[1] is pauses[5]
    assert [pauses.count(thread) for thread in inside] == [3, 3]


class Clock:
    """A clock that only sleeping moves, and pauses of 4 ms."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.bounds: list[tuple[float, float]] = []
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(random, "uniform", self.uniform)

    def sleep(self, seconds: float) -> None:
        """Move the clock on."""
        self.pauses.append(seconds)
        self.now += seconds

    def uniform(self, low: float, high: float) -> float:
        """Note the bounds."""
        self.bounds.append((low, high))
        return 0.004


class BusyWhenTried:
    """A lock that others hold for a moment, each time that it is tried."""

    def __init__(self) -> None:
        self.times_held = 0
        self.held = False

    def acquire(self, *, timeout: float = -1) -> bool:
        """Take the lock, if there is time to wait for it."""
        self.held = timeout != 0
        self.times_held += self.held
        return self.held

    def release(self) -> None:
        """Let go."""
        self.held = False


def test_pauses_are_random_and_no_longer_than_the_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    with (
        pytest.raises(TimeoutError),
        acquire_all(BusyWhenTried(), BusyWhenTried(), timeout=0.01),
    ):
        pytest.fail("the block was run")
    assert clock.pauses == pytest.approx([0.004, 0.004, 0.002])
    assert set(clock.bounds) == {(0, lock_timeout.LONGEST_PAUSE)}


def test_locks_that_others_take_in_turn_starve_a_thread_until_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Clock(monkeypatch)
    a, b = BusyWhenTried(), BusyWhenTried()
    with pytest.raises(TimeoutError), acquire_all(a, b, timeout=0.016):
        pytest.fail("the block was run")
    assert (a.times_held, b.times_held) == (2, 2)
    assert not a.held
    assert not b.held


def test_a_lock_that_this_thread_already_holds_ends_in_timeout_error() -> None:
    lock = threading.Lock()
    with (
        acquire_all(lock, timeout=0),
        pytest.raises(TimeoutError),
        acquire_all(lock, timeout=0.01),
    ):
        pytest.fail("the block was run")


def test_reentrant_locks_semaphores_and_process_locks_work_too() -> None:
    context = multiprocessing.get_context("spawn")
    locks = threading.RLock(), threading.Semaphore(1), context.Lock()
    for _ in range(2):
        with acquire_all(*locks, timeout=1):
            assert not locks[1].acquire(blocking=False)
            assert not locks[2].acquire(block=False)


def test_the_block_is_run_at_once_if_no_lock_is_given() -> None:
    ran = False
    with acquire_all(timeout=0):
        ran = True
    assert ran


@pytest.mark.parametrize(
    "timeout", [-1, -0.001, math.nan, math.inf, threading.TIMEOUT_MAX * 2]
)
def test_a_timeout_that_is_negative_or_too_large_is_refused_by_value(
    timeout: float,
) -> None:
    lock = threading.Lock()
    with (
        pytest.raises(ValueError, match=re.escape(f"not {timeout!r}")),
        acquire_all(lock, timeout=timeout),
    ):
        pytest.fail("the block was run")
    assert are_free(lock)


def test_a_lock_given_twice_is_refused_and_no_lock_is_taken() -> None:
    lock, other = threading.Lock(), threading.Lock()
    with (
        pytest.raises(ValueError, match=r"given twice: \(<unlocked .*lock"),
        acquire_all(lock, other, lock, timeout=0),
    ):
        pytest.fail("the block was run")
    assert are_free(lock, other)


def test_waiting_without_a_timeout_lasts_as_long_as_the_lock_is_held() -> None:
    lock = threading.Lock()

    def wait() -> None:
        with broken_acquire_all(lock):
            pass

    thread = threading.Thread(target=wait)
    with lock:
        thread.start()
        thread.join(timeout=0.05)
        assert thread.is_alive()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_releasing_a_lock_after_acquire_gave_up_frees_that_of_another() -> (
    None
):
    lock = threading.Lock()
    with suppress(RuntimeError), lock:
        assert not lock.acquire(timeout=0.01)
        lock.release()
        assert are_free(lock)


def test_releasing_a_free_lock_raises_release_unlocked_lock() -> None:
    with pytest.raises(RuntimeError, match=r"^release unlocked lock$"):
        threading.Lock().release()
    message = "^cannot release un-acquired lock$"
    with pytest.raises(RuntimeError, match=message):
        threading.RLock().release()
