"""What the recipe says of barriers, shown to be so."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.barrier import (
    Phase,
    broken_take_part,
    run_in_phases,
    take_part,
)
from tests.exploring import Explore

TakePart = Callable[[threading.Barrier, list[Phase]], None]
Broken = threading.BrokenBarrierError
HEARD = ("ValueError", "BrokenBarrierError")


def nothing() -> None:
    """Be a phase that does nothing."""


def fail() -> None:
    """Be a phase that fails."""
    raise ValueError("no number: 'x'")


def one_of_two_fails(take_part: TakePart) -> Callable[[], Setup]:
    """Return a set-up of a worker that fails and of one that waits for it."""

    def make() -> Setup:
        barrier = threading.Barrier(2)
        ends = ["", ""]

        def run(number: int, phase: Phase) -> None:
            try:
                take_part(barrier, [phase])
            except (ValueError, Broken) as error:
                ends[number] = type(error).__name__

        def failing_worker() -> None:
            run(0, fail)

        def other_worker() -> None:
            run(1, nothing)

        return [failing_worker, other_worker], lambda: tuple(ends)

    return make


def two_phases_of_two() -> Setup:
    """Set up two workers that log the number of their phase."""
    barrier = threading.Barrier(2)
    log: list[int] = []

    def first() -> None:
        log.append(1)

    def second() -> None:
        log.append(2)

    def worker() -> None:
        take_part(barrier, [first, second])

    return [worker, worker], lambda: tuple(log)


def test_no_worker_is_a_phase_ahead_wherever_threads_switch_twice(
    explore: Explore,
) -> None:
    explore(
        two_phases_of_two,
        "``take_part``: two workers, two phases",
        right={(1, 1, 2, 2): "both end a phase before the next"},
        preemptions=2,
        threads=("worker", "another"),
    )


def test_the_other_hears_of_a_failure_wherever_threads_switch_twice(
    explore: Explore,
) -> None:
    explore(
        one_of_two_fails(take_part),
        "``take_part``: one of two workers fails",
        right={HEARD: "the other gets BrokenBarrierError"},
        preemptions=2,
        threads=("failing worker", "the other"),
    )


def test_without_abort_the_other_waits_for_ever_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        one_of_two_fails(broken_take_part),
        "``broken_take_part``: one of two workers fails",
        right={},
        wrong={DEADLOCK: "the other waits for ever"},
        preemptions=2,
        threads=("failing worker", "the other"),
    )


def forced(take_part: TakePart) -> tuple[bool, str, str]:
    """Let one fail while another waits; tell if it had to be helped."""
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(max_workers=2) as pool:
        other = pool.submit(take_part, barrier, [nothing])
        deadline = time.monotonic() + 10
        while not barrier.n_waiting and time.monotonic() < deadline:
            time.sleep(0.001)
        failing = pool.submit(take_part, barrier, [fail])
        try:
            other.exception(timeout=0.2)
            helped = False
        except TimeoutError:
            helped = True
        finally:
            barrier.abort()
    return helped, repr(failing.exception()), repr(other.exception())


def test_the_one_that_waits_is_let_go_when_another_fails() -> None:
    ends = repr(ValueError("no number: 'x'")), "BrokenBarrierError()"
    assert forced(take_part) == (False, *ends)


def test_on_the_same_schedule_it_waits_until_somebody_else_aborts() -> None:
    ends = repr(ValueError("no number: 'x'")), "BrokenBarrierError()"
    assert forced(broken_take_part) == (True, *ends)


def test_the_error_of_a_phase_is_raised_not_those_of_the_others() -> None:
    error = OSError("no answer")

    def fail() -> None:
        raise error

    workers: list[list[Phase]] = [[nothing] * 3 for _ in range(4)]
    workers[2][1] = fail
    with pytest.raises(OSError, match="no answer") as caught:
        run_in_phases(workers)
    assert caught.value is error


def test_what_the_failing_worker_raises_may_be_no_exception() -> None:
    def leave() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        run_in_phases([[nothing], [leave]])


def test_an_error_that_is_false_as_a_bool_is_raised_all_the_same() -> None:
    class EmptyError(Exception):
        def __bool__(self) -> bool:
            return False

    def fail() -> None:
        raise EmptyError

    with pytest.raises(EmptyError):
        run_in_phases([[fail]])


def test_no_phase_begins_after_one_has_failed() -> None:
    begun: list[str] = []

    def second() -> None:
        begun.append("second")

    with pytest.raises(ValueError, match="no number"):
        run_in_phases([[fail, second], [nothing, second]])
    assert begun == []


def test_every_phase_of_every_worker_runs_once_and_in_order() -> None:
    log: list[tuple[int, int]] = []

    def phases(worker: int) -> list[Phase]:
        return [partial(log.append, (phase, worker)) for phase in range(5)]

    run_in_phases([phases(worker) for worker in range(4)])
    assert [phase for phase, _ in log] == sorted(list(range(5)) * 4)
    assert len(set(log)) == 20


def test_the_phases_of_all_workers_run_at_once() -> None:
    meeting = threading.Barrier(3, timeout=10)
    run_in_phases([[meeting.wait, meeting.wait]] * 3)
    assert not meeting.broken


def test_the_action_runs_once_a_phase_when_all_are_there() -> None:
    log: list[str] = []

    def phase() -> None:
        log.append("phase")

    run_in_phases([[phase] * 2] * 3, action=lambda: log.append("action"))
    assert log == (["phase"] * 3 + ["action"]) * 2


def test_an_action_that_raises_breaks_the_barrier_for_the_others() -> None:
    begun: list[int] = []

    def second() -> None:
        begun.append(2)

    with pytest.raises(ValueError, match="no number"):
        run_in_phases([[nothing, second]] * 3, action=fail)
    assert begun == []


def test_a_worker_that_is_late_breaks_the_barrier_for_itself_too() -> None:
    barrier = threading.Barrier(2, timeout=0.05)
    broken = threading.Event()

    def late() -> None:
        broken.wait(timeout=10)

    with ThreadPoolExecutor(max_workers=2) as pool:
        parts = [
            pool.submit(take_part, barrier, [phase])
            for phase in (nothing, late)
        ]
        assert isinstance(parts[0].exception(timeout=10), Broken)
        broken.set()
        assert isinstance(parts[1].exception(timeout=10), Broken)


def test_the_timeout_is_that_of_each_wait_and_no_action_runs() -> None:
    log: list[str] = []
    with pytest.raises(Broken):
        run_in_phases(
            [[nothing]] * 2, timeout=0, action=lambda: log.append("action")
        )
    assert log == []


@pytest.mark.parametrize("wake", ["abort", "reset"])
def test_all_that_wait_get_the_error_on_abort_and_on_reset(wake: str) -> None:
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(max_workers=3) as pool:
        waiting = [pool.submit(barrier.wait, 10) for _ in range(3)]
        deadline = time.monotonic() + 10
        while barrier.n_waiting < 3 and time.monotonic() < deadline:
            time.sleep(0.001)
        getattr(barrier, wake)()
        errors = [type(one.exception(timeout=10)) for one in waiting]
    assert errors == [Broken] * 3
    assert barrier.broken == (wake == "abort")


def test_one_that_times_out_breaks_the_barrier_for_all_that_wait() -> None:
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(max_workers=3) as pool:
        waiting = [
            pool.submit(barrier.wait, timeout) for timeout in (10, 10, 0.02)
        ]
        errors = [type(one.exception(timeout=10)) for one in waiting]
    assert errors == [Broken] * 3


def test_a_broken_barrier_stays_broken_until_it_is_reset() -> None:
    barrier = threading.Barrier(1)
    barrier.abort()
    for _ in range(2):
        with pytest.raises(Broken):
            barrier.wait()
    barrier.reset()
    assert barrier.wait() == 0


def test_after_a_reset_the_late_one_meets_the_next_round() -> None:
    barrier = threading.Barrier(2)
    with pytest.raises(Broken):
        barrier.wait(timeout=0)  # the first round: the other is late
    barrier.reset()
    with ThreadPoolExecutor(max_workers=2) as pool:
        late = pool.submit(barrier.wait, 10)
        next_round = pool.submit(barrier.wait, 10)
        assert {late.result(), next_round.result()} == {0, 1}


def test_an_abort_also_hits_who_has_not_yet_left_the_phase_before() -> None:
    def make() -> Setup:
        barrier = threading.Barrier(2)
        begun: list[int] = []

        def fail_in_the_second() -> None:
            with suppress(ValueError):
                take_part(barrier, [nothing, fail])

        def run_both() -> None:
            with suppress(Broken):
                take_part(barrier, [partial(begun.append, n) for n in (1, 2)])

        return [fail_in_the_second, run_both], lambda: tuple(begun)

    outcomes = every_interleaving(make, preemptions=1)
    assert set(outcomes) == {(1,), (1, 2)}


def test_a_pool_smaller_than_the_barrier_waits_for_its_own_queue() -> None:
    barrier = threading.Barrier(2, timeout=0.05)
    with ThreadPoolExecutor(max_workers=1) as pool:
        parts = [pool.submit(take_part, barrier, [nothing]) for _ in range(2)]
    errors = [type(part.exception()) for part in parts]
    assert errors == [Broken] * 2


def test_a_broken_barrier_error_is_a_runtime_error_without_a_message() -> None:
    barrier = threading.Barrier(2)
    with pytest.raises(RuntimeError) as caught:
        barrier.wait(timeout=0)
    assert repr(caught.value) == "BrokenBarrierError()"


@pytest.mark.parametrize("workers", [[], [[nothing], []]])
def test_workers_without_the_same_number_of_phases_are_refused(
    workers: list[list[Phase]],
) -> None:
    message = "^each worker needs the same number of phases$"
    with pytest.raises(ValueError, match=message):
        run_in_phases(workers)


def test_a_thread_that_cannot_be_started_lets_the_started_ones_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    starts = iter([start, start])

    def refuse_the_third(thread: threading.Thread) -> None:
        if (start := next(starts, None)) is None:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_third)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run_in_phases([[nothing]] * 3)


def test_ctrl_c_aborts_the_barrier_and_each_thread_ends_with_its_phase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_second_phase = threading.Barrier(4, timeout=10)
    aborted = threading.Event()
    log: list[str] = []

    class Watched(threading.Barrier):
        """A barrier that tells when it has been aborted."""

        def abort(self) -> None:
            """Break the barrier."""
            super().abort()
            aborted.set()

    def press_ctrl_c(_: object) -> None:
        in_second_phase.wait()
        raise KeyboardInterrupt

    def second() -> None:
        in_second_phase.wait()
        assert aborted.wait(timeout=10)
        log.append("second")

    def third() -> None:
        log.append("third")

    monkeypatch.setattr(threading, "Barrier", Watched)
    monkeypatch.setattr("cookbook.threads.barrier.wait", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        run_in_phases([[nothing, second, third]] * 3)
    assert log == ["second"] * 3
