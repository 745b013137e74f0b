"""What the recipe says of periodic calls, shown to be so."""

import logging
import math
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from cookbook.threads import run_periodically
from cookbook.threads.run_periodically import (
    broken_call_every,
    call_every,
    periodically,
)


class Hour(threading.Event):
    """An hour that is over at once: it passes while somebody waits.

    Attributes:
        now: The minutes since it began; at the end the event is set.
        begins: At which minutes a job began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.begins: list[int] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Let *timeout* minutes pass; return whether the hour is over."""
        self.now += timeout or 0
        if self.now >= 60:
            self.set()
        return self.is_set()

    def work(self, minutes: float) -> None:
        """Be busy for some minutes."""
        self.begins.append(round(self.now))
        self.wait(minutes)

    def call(self, interval: float, job: Callable[[], object]) -> None:
        """Call *job* every *interval* minutes, until the hour is over."""
        clock = SimpleNamespace(monotonic=lambda: self.now)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_periodically, "time", clock)
            call_every(interval, job, self)


def begins(interval: float, durations: Callable[[int], float]) -> list[int]:
    """Return when jobs begin of which each takes as long as told."""
    hour = Hour()

    def job() -> None:
        hour.work(durations(len(hour.begins)))

    hour.call(interval, job)
    return hour.begins


@pytest.mark.parametrize("duration", [0, 1, 9.5, 10])
def test_calls_do_not_drift_however_long_each_takes(duration: float) -> None:
    assert begins(10, lambda _: duration) == [0, 10, 20, 30, 40, 50]


def test_the_first_call_is_at_once() -> None:
    assert begins(100, lambda _: 0) == [0]


def test_a_tenth_of_a_minute_does_not_drift_by_rounding() -> None:
    hour = Hour()
    exact: list[float] = []
    hour.call(0.1, lambda: exact.append(hour.now))
    assert len(exact) == 600
    assert all(
        math.isclose(found, number * 0.1, abs_tol=1e-9)
        for number, found in enumerate(exact)
    )


def test_a_late_wake_up_does_not_move_the_calls_after_it() -> None:
    class LateHour(Hour):
        def wait(self, timeout: float | None = None) -> bool:
            """Let a minute more pass if there is something to wait for."""
            return super().wait(timeout and timeout + 1)

    hour = LateHour()
    hour.call(10, partial(hour.work, 0))
    assert hour.begins == [0, 11, 21, 31, 41, 51]


def test_calls_that_were_missed_are_left_out() -> None:
    durations = [3, 25, 3, 14, 3]
    found = begins(10, lambda number: durations[number % 5])
    assert found == [0, 10, 40, 50]


def test_the_broken_calls_drift_by_the_time_of_each_call() -> None:
    hour = Hour()
    broken_call_every(10, partial(hour.work, 3), hour, hour.wait)
    assert hour.begins == [0, 13, 26, 39, 52]


def test_the_broken_loop_ends_when_it_has_slept_and_not_when_it_is_told() -> (
    None
):
    steps: list[str] = []
    stop = threading.Event()

    def sleep(seconds: float) -> None:
        stop.set()
        steps.append(f"slept for {seconds} s")

    broken_call_every(60, lambda: steps.append("called"), stop, sleep)
    assert steps == ["called", "slept for 60 s"]


def test_a_wait_of_days_ends_at_once_when_the_block_ends() -> None:
    called = threading.Event()
    with periodically(called.set, interval=100_000):
        assert called.wait(timeout=10)
    assert threading.active_count() == 1


def test_no_call_begins_after_the_block() -> None:
    calls = threading.Semaphore(0)
    with periodically(calls.release, interval=0.001):
        for _ in range(5):
            assert calls.acquire(timeout=10)
    while calls.acquire(blocking=False):
        pass
    assert not calls.acquire(timeout=0.02)


def test_two_calls_never_run_at_the_same_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    in_it = threading.Lock()
    calls = threading.Semaphore(0)

    def job() -> None:
        assert in_it.acquire(blocking=False)
        time.sleep(0.003)
        in_it.release()
        calls.release()

    with periodically(job, interval=0.001):
        for _ in range(5):
            assert calls.acquire(timeout=10)
    assert not caplog.records


def test_the_end_of_the_block_waits_for_the_call_that_runs() -> None:
    began, go_on = threading.Event(), threading.Event()
    steps: list[str] = []

    def job() -> None:
        began.set()
        assert go_on.wait(timeout=10)
        steps.append("call ended")

    def block() -> None:
        with periodically(job, interval=60):
            assert began.wait(timeout=10)
            steps.append("block ended")
            threading.Timer(0.05, go_on.set).start()

    block()
    assert steps == ["block ended", "call ended"]


def test_an_error_is_logged_at_once_and_the_next_call_is_at_its_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hour = Hour()
    logged: list[int] = []

    def job() -> None:
        logged.append(len(caplog.records))
        hour.work(3)
        if len(hour.begins) % 2:
            raise LookupError(hour.now)

    hour.call(20, job)
    assert hour.begins == [0, 20, 40]
    assert logged == [0, 1, 1]
    first, second = caplog.records
    assert first.getMessage() == f"{job!r} failed"
    assert first.levelno == second.levelno == logging.ERROR
    assert "LookupError: 3.0\n" in caplog.text
    assert caplog.text.endswith("LookupError: 43.0\n")


def test_a_log_that_nobody_has_set_up_prints_the_error_on_stderr() -> None:
    program = f"""
import runpy, threading
names = runpy.run_path({run_periodically.__file__!r})
calls = iter("fs")
def job():
    if next(calls) == "f":
        raise LookupError
    second.set()
second = threading.Event()
with names["periodically"](job, interval=0.01):
    second.wait(10)
"""
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    first, second, *_ = ended.stderr.splitlines()
    assert first.startswith("<function job at ")
    assert first.endswith(" failed")
    assert second == "Traceback (most recent call last):"
    assert "\nLookupError\n" in ended.stderr


def test_a_job_that_calls_sys_exit_ends_the_calls_without_a_word(
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    calls: list[threading.Thread] = []
    called = threading.Event()

    def job() -> None:
        calls.append(threading.current_thread())
        called.set()
        sys.exit(3)

    with periodically(job, interval=0.001):
        assert called.wait(timeout=10)
        calls[0].join(timeout=10)
        assert not calls[0].is_alive()
    assert len(calls) == 1
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_an_error_in_the_block_stops_the_calls_and_goes_on() -> None:
    def block() -> None:
        with periodically(lambda: None, interval=100_000):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()


@pytest.mark.parametrize(
    "interval", [0, -1, math.nan, math.inf, threading.TIMEOUT_MAX * 2]
)
def test_an_interval_out_of_range_is_refused_by_value_and_nothing_is_called(
    interval: float,
) -> None:
    calls: list[int] = []
    message = re.escape(f"interval is out of range: {interval!r}")
    with (
        pytest.raises(ValueError, match=message),
        periodically(partial(calls.append, 1), interval),
    ):
        pass
    assert calls == []


def test_a_timer_calls_once_and_the_next_one_is_another_thread() -> None:
    threads: list[threading.Thread] = []
    third = threading.Event()

    def job() -> None:
        threads.append(threading.current_thread())
        if len(threads) < 3:
            threading.Timer(0, job).start()
        else:
            third.set()

    threading.Timer(0, job).start()
    assert third.wait(timeout=10)
    assert len(set(threads)) == 3


def test_an_interval_of_up_to_the_longest_wait_is_accepted() -> None:
    called = threading.Event()
    with periodically(called.set, interval=threading.TIMEOUT_MAX):
        assert called.wait(timeout=10)


def test_the_monotonic_clock_cannot_be_set_but_the_system_clock_can() -> None:
    assert not time.get_clock_info("monotonic").adjustable
    assert time.get_clock_info("time").adjustable
