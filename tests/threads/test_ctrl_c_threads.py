"""What the recipe says of Ctrl-C and threads, shown to be so."""

import asyncio
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cookbook.threads import ctrl_c_threads
from cookbook.threads.ctrl_c_threads import (
    broken_run_pool,
    broken_run_threads,
    run_stoppable,
)

Job = Callable[[threading.Event], object]
ROOT = Path(__file__).parents[2]

posix = pytest.mark.skipif(
    os.name == "nt", reason="Windows cannot send Ctrl-C to one process alone"
)
linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists(),
    reason="only Linux tells whether a thread sleeps",
)

# A shell that starts a program in the background lets it ignore SIGINT.
START = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)

def say(text):
    print(f"{text}\\n", end="", flush=True)
"""


class Program(subprocess.Popen[str]):
    """A program that is told to end by Ctrl-C, and speaks line by line."""

    def __init__(self, source: str) -> None:
        super().__init__(
            [sys.executable, "-c", START + source],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Return the next line that it prints."""
        assert self.stdout
        return self.stdout.readline().rstrip()

    def press_ctrl_c(self, with_signal: int = signal.SIGINT) -> None:
        """Send the signal when all its threads wait."""
        asleep = 0
        while asleep < 3:
            asleep = asleep + 1 if all(self.sleeping()) else 0
            time.sleep(0.01)
        self.send_signal(with_signal)

    def sleeping(self) -> Iterator[bool]:
        """Tell for each thread whether it sleeps."""
        for task in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            yield task.read_text().rpartition(") ")[2].startswith("S")

    def go_on(self) -> None:
        """Let the thread go on that waits for a line of input."""
        assert self.stdin
        self.stdin.close()

    def complaint(self) -> str:
        """Return the last line of what it printed on stderr."""
        assert self.stderr
        return self.stderr.read().splitlines()[-1]


@contextlib.contextmanager
def program(source: str) -> Iterator[Program]:
    """Run a program, and kill it at the end if it still runs."""
    with Program(source) as running:
        try:
            yield running
        finally:
            running.kill()


def test_results_come_in_the_order_of_the_jobs() -> None:
    second_done = threading.Event()

    def first(_: threading.Event) -> str:
        assert second_done.wait(timeout=10)
        return "first"

    def second(stop: threading.Event) -> str:
        second_done.set()
        return f"second, stopped: {stop.is_set()}"

    results = run_stoppable([first, second])
    assert results == ["first", "second, stopped: False"]
    assert run_stoppable([]) == []


def test_there_are_four_workers_unless_told_otherwise() -> None:
    meeting = threading.Barrier(4, timeout=10)
    places = run_stoppable([lambda _: meeting.wait()] * 4)
    assert sorted(places) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        run_stoppable([lambda _: None], workers=0)
    meeting = threading.Barrier(2, timeout=0.1)
    with pytest.raises(threading.BrokenBarrierError):
        run_stoppable([lambda _: meeting.wait()] * 2, workers=1)


def test_a_job_longer_than_the_patience_is_waited_for_and_not_stopped() -> (
    None
):
    assert run_stoppable([lambda stop: stop.wait(0.25)]) == [False]


@pytest.mark.parametrize("error", [LookupError, queue.Empty])
def test_the_first_error_stops_the_other_jobs_and_is_raised_when_they_end(
    error: type[Exception],
) -> None:
    both_run = threading.Barrier(2, timeout=10)
    steps: list[str] = []

    def other(stop: threading.Event) -> None:
        both_run.wait()
        assert stop.wait(timeout=10)
        time.sleep(0.05)
        steps.append("tidied up")
        raise ValueError

    def fail(_: threading.Event) -> None:
        both_run.wait()
        raise error

    with pytest.raises(error):
        run_stoppable([other, fail])
    assert steps == ["tidied up"]


def test_after_an_error_a_job_that_has_not_started_is_cancelled() -> None:
    steps: list[str] = []

    def fail(_: threading.Event) -> None:
        raise LookupError

    def slow(stop: threading.Event) -> None:
        assert stop.wait(timeout=10)

    def late(_: threading.Event) -> None:
        steps.append("began too late")

    with pytest.raises(LookupError):
        run_stoppable([fail, slow, late], workers=1)
    assert steps == []


def interrupted_jobs(steps: list[str]) -> Iterator[Job]:
    """Yield jobs of which the first is interrupted when all are there."""
    all_there = threading.Event()

    def press_ctrl_c(stop: threading.Event) -> None:
        assert all_there.wait(timeout=10)
        try:
            signal.raise_signal(signal.SIGINT)
            assert stop.wait(timeout=10)
            steps.append("tidied up")
        except KeyboardInterrupt:
            steps.append("interrupted")

    yield press_ctrl_c
    for _ in range(3):
        yield lambda _: steps.append("began too late")
    all_there.set()


def test_ctrl_c_interrupts_the_main_thread_only_even_if_another_gets_it() -> (
    None
):
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_stoppable(interrupted_jobs(steps), workers=1)
    assert steps == ["tidied up"]


def test_a_second_ctrl_c_before_the_jobs_are_told_does_not_keep_it_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pool(ThreadPoolExecutor):
        """A pool whose shutdown is interrupted."""

        def shutdown(
            self, wait: bool = True, *, cancel_futures: bool = False
        ) -> None:
            super().shutdown(wait=wait, cancel_futures=cancel_futures)
            if cancel_futures:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ctrl_c_threads, "ThreadPoolExecutor", Pool)
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run_stoppable(interrupted_jobs(steps), workers=1)
    assert steps == ["tidied up"]


def test_an_error_while_the_jobs_are_taken_stops_those_that_run() -> None:
    began = threading.Event()
    steps: list[str] = []

    def work(stop: threading.Event) -> None:
        began.set()
        assert stop.wait(timeout=10)
        steps.append("tidied up")

    def jobs() -> Iterator[Job]:
        yield work
        assert began.wait(timeout=10)
        raise LookupError

    with pytest.raises(LookupError):
        run_stoppable(jobs())
    assert steps == ["tidied up"]


def test_the_broken_pool_runs_all_jobs_after_ctrl_c() -> None:
    pressed = threading.Event()
    ended: list[int] = []

    def jobs() -> Iterator[Callable[[], object]]:
        yield partial(pressed.wait, 10)
        for number in range(3):
            yield partial(ended.append, number)
        try:
            raise KeyboardInterrupt
        finally:
            assert ended == []
            pressed.set()

    with pytest.raises(KeyboardInterrupt):
        broken_run_pool(jobs())
    assert ended == [0, 1, 2]


def test_the_broken_threads_run_on_after_ctrl_c() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        assert go_on.wait(timeout=10)
        ended.set()

    def works() -> Iterator[Callable[[], object]]:
        yield work
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_run_threads(works())
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(timeout=10)


@linux
@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_one_press_ends_the_program_and_its_threads_tidy_up(
    with_signal: int,
) -> None:
    source = """
from cookbook.threads.ctrl_c_threads import run_stoppable

signal.signal(signal.SIGTERM, signal.default_int_handler)
both_run = threading.Barrier(2)

def work(stop):
    if both_run.wait() == 0:
        say("both run")
    stop.wait()
    say("tidied up")

run_stoppable([work, work])
"""
    with program(source) as running:
        assert running.says() == "both run"
        running.press_ctrl_c(with_signal)
        assert [running.says(), running.says()] == ["tidied up"] * 2
        assert running.wait(timeout=60) == -signal.SIGINT
        assert running.complaint() == "KeyboardInterrupt"


@posix
def test_sigterm_ends_a_program_without_its_finally_block() -> None:
    source = """
try:
    say("waits")
    threading.Event().wait()
finally:
    say("tidied up")
"""
    with program(source) as running:
        assert running.says() == "waits"
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == -signal.SIGTERM
        assert running.says() == ""


@linux
def test_after_ctrl_c_the_interpreter_waits_for_a_thread() -> None:
    source = """
def work():
    main.join()
    say("the main thread has ended")
    sys.stdin.readline()
    say("and now this one")

main = threading.current_thread()
threading.Thread(target=work).start()
say("both run")
threading.Event().wait()
"""
    with program(source) as running:
        assert running.says() == "both run"
        running.press_ctrl_c()
        assert running.says() == "the main thread has ended"
        assert running.poll() is None
        running.go_on()
        assert running.says() == "and now this one"
        assert running.wait(timeout=60) == -signal.SIGINT


@linux
def test_after_ctrl_c_a_daemon_thread_is_left_in_the_middle_of_its_work() -> (
    None
):
    source = """
def work():
    try:
        say("both run")
        threading.Event().wait()
    finally:
        say("tidied up")

thread = threading.Thread(target=work, daemon=True)
thread.start()
thread.join()
"""
    with program(source) as running:
        assert running.says() == "both run"
        running.press_ctrl_c()
        assert running.wait(timeout=60) == -signal.SIGINT
        assert running.says() == ""


@linux
def test_another_press_ends_the_wait_for_a_pool_and_up_to_3_12_its_job() -> (
    None
):
    source = """
from concurrent.futures import ThreadPoolExecutor

def work():
    say("runs")
    sys.stdin.readline()
    say("ended")

try:
    with ThreadPoolExecutor() as pool:
        try:
            pool.submit(work).result()
        except KeyboardInterrupt:
            say("first")
            raise
except KeyboardInterrupt as error:
    say("second")
"""
    with program(source) as running:
        assert running.says() == "runs"
        running.press_ctrl_c()
        assert running.says() == "first"
        running.press_ctrl_c()
        assert running.says() == "second"
        assert_thread_is_waited_for_from_3_13(running)


def assert_thread_is_waited_for_from_3_13(running: Program) -> None:
    """Let *running* come to its end; before, a thread is left unfinished."""
    if sys.version_info >= (3, 13):
        assert running.poll() is None
        running.go_on()
        assert running.says() == "ended"
    assert running.wait(timeout=60) == 0
    assert running.says() == ""


@linux
def test_an_interrupted_join_marks_a_running_thread_as_ended_up_to_3_12() -> (
    None
):
    source = """
def work():
    sys.stdin.readline()
    say("ended")

thread = threading.Thread(target=work)
thread.start()
say("both run")
try:
    thread.join()
except KeyboardInterrupt:
    thread.join(timeout=0.01)
    say(thread.is_alive())
"""
    with program(source) as running:
        assert running.says() == "both run"
        running.press_ctrl_c()
        still_alive = sys.version_info >= (3, 13)
        assert running.says() == str(still_alive)
        assert_thread_is_waited_for_from_3_13(running)


def test_a_signal_handler_cannot_be_registered_in_another_thread() -> None:
    errors: list[str] = []

    def register() -> None:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=register)
    thread.start()
    thread.join()
    message = "signal only works in main thread of the main interpreter"
    assert errors == [message]


def test_a_handler_may_set_an_event_that_the_main_thread_never_uses() -> None:
    told = threading.Event()
    ran_in: list[threading.Thread] = []

    def handler(*_: object) -> None:
        ran_in.append(threading.current_thread())
        told.set()

    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        assert told.wait(timeout=10)

    before = signal.signal(signal.SIGINT, handler)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            thread.join(timeout=0.01)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ran_in == [threading.main_thread()]


def test_a_handler_hangs_that_sets_an_event_the_main_thread_waits_in() -> None:
    stop = threading.Event()
    setter = threading.Thread(target=stop.set)
    waited: list[bool] = []

    def handler(*_: object) -> None:
        setter.start()  # set() in the handler itself would hang
        setter.join(timeout=0.05)
        waited.append(setter.is_alive())

    class Interrupted(threading.Condition):
        """The condition of the event, met by a signal in a wait for it."""

        def wait(self, timeout: float | None = None) -> bool:
            """Wait after the signal; the lock is held."""
            signal.raise_signal(signal.SIGINT)
            return super().wait(timeout)

    stop._cond = Interrupted()  # type: ignore[attr-defined] # noqa: SLF001
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert stop.wait(timeout=10)
    finally:
        signal.signal(signal.SIGINT, before)
    setter.join()
    assert waited == [True]


@pytest.mark.skipif(os.name == "nt", reason="asyncio has it on Unix only")
def test_asyncio_registers_a_handler_for_the_loop_of_the_main_thread() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_signal_handler(signal.SIGINT, told.set)
        signal.raise_signal(signal.SIGINT)
        await asyncio.wait_for(told.wait(), timeout=10)
        loop.remove_signal_handler(signal.SIGINT)

    async def elsewhere() -> None:
        loop = asyncio.get_running_loop()
        message = "only works in main thread of the main interpreter$"
        with pytest.raises(RuntimeError, match=message):
            loop.add_signal_handler(signal.SIGINT, print)
        ran.append("elsewhere")

    asyncio.run(main())
    ran: list[str] = []
    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    thread.join()
    assert ran == ["elsewhere"]


TO_THREAD = """
import asyncio

def work():
    say("runs")
    sys.stdin.readline()
    say("ended")

async def main():
    try:
        await asyncio.to_thread(work)
    finally:
        say("cancelled")

try:
    asyncio.run(main())
finally:
    say("left")
"""


@linux
@pytest.mark.parametrize("another", [False, True])
def test_a_second_ctrl_c_ends_the_wait_of_asyncio_and_a_third_the_thread(
    *, another: bool
) -> None:
    with program(TO_THREAD) as running:
        assert running.says() == "runs"
        running.press_ctrl_c()
        assert running.says() == "cancelled"
        running.press_ctrl_c()
        assert running.says() == "left"
        if another:
            running.press_ctrl_c()
        else:
            assert running.poll() is None
            running.go_on()
            assert running.says() == "ended"
        assert running.wait(timeout=60)
        assert running.says() == ""


@linux
def test_ctrl_c_ends_asyncio_only_when_the_call_in_a_thread_has_ended() -> (
    None
):
    with program(TO_THREAD) as running:
        assert running.says() == "runs"
        running.press_ctrl_c()
        assert running.says() == "cancelled"
        assert running.poll() is None
        running.go_on()
        assert running.says() == "ended"
        assert running.says() == "left"
        assert running.wait(timeout=60) == -signal.SIGINT
