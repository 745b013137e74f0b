"""What the recipe says of results and errors of threads, shown to be so."""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cookbook.threads.thread_results import (
    ResultThread,
    broken_outcomes,
    outcomes,
)


def run(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a bare interpreter."""
    return subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


def fail() -> None:
    raise LookupError("no such thing")


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what the excepthook of threads is told, and by which thread."""
    found: list[str] = []

    def note(failed: threading.ExceptHookArgs) -> None:
        assert failed.thread is threading.current_thread()
        found.append(repr(failed.exc_value))

    monkeypatch.setattr(threading, "excepthook", note)
    return found


def test_the_pool_returns_values_and_errors_in_the_order_of_the_items() -> (
    None
):
    values = outcomes(lambda n: 6 // n, [1, 0, 3, 2], workers=3)
    assert [type(values.pop(1)), *values] == [ZeroDivisionError, 6, 2, 3]


def test_an_error_that_is_returned_looks_like_one_that_is_raised() -> None:
    error = LookupError("here I am")

    def raise_it() -> None:
        raise error

    found = outcomes(lambda call: call(), [lambda: error, raise_it])
    assert found == [error, error]


def test_the_map_of_a_pool_raises_the_first_error_in_the_order_of_items() -> (
    None
):
    second_failed = threading.Event()

    def job(number: int) -> None:
        if number == 2:
            second_failed.set()
        assert second_failed.wait(timeout=10)
        raise LookupError(number)

    with ThreadPoolExecutor(2) as pool, pytest.raises(LookupError) as caught:
        list(pool.map(job, [1, 2]))
    assert caught.value.args == (1,)


def test_the_pool_has_as_many_threads_as_workers() -> None:
    meeting = threading.Barrier(4, timeout=10)
    places = outcomes(lambda _: meeting.wait(), range(4))
    assert {0, 1, 2, 3} == set(places)
    meeting = threading.Barrier(2, timeout=0.1)
    [first, second] = outcomes(lambda _: meeting.wait(), range(2), workers=1)
    assert isinstance(first, threading.BrokenBarrierError)
    assert isinstance(second, threading.BrokenBarrierError)


def test_no_items_give_no_outcomes() -> None:
    assert outcomes(len, []) == []


def test_fewer_than_one_worker_is_an_error_before_anything_starts() -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        outcomes(called.append, [1], workers=0)
    assert not called


def test_the_result_of_a_thread_is_what_its_function_returns() -> None:
    thread = ResultThread(sorted, [3, 1, 2], reverse=True)
    thread.start()
    assert thread.result() == [3, 2, 1]
    assert thread.result() == [3, 2, 1]
    assert not thread.is_alive()


def test_the_result_of_a_thread_that_failed_raises_with_its_traceback(
    reported: list[str],
) -> None:
    thread = ResultThread(fail)
    thread.start()
    for _ in range(2):
        with pytest.raises(LookupError, match="no such thing") as caught:
            thread.result()
        assert "fail" in [one.name for one in traceback.extract_tb(caught.tb)]
    assert not reported


def test_the_result_of_a_future_raises_the_error_of_the_job() -> None:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(fail)
        with pytest.raises(LookupError, match="no such thing") as caught:
            future.result()
    assert "fail" in [one.name for one in traceback.extract_tb(caught.tb)]


def test_sys_exit_in_a_thread_is_raised_by_its_result() -> None:
    thread = ResultThread(sys.exit, 3)
    thread.start()
    with pytest.raises(SystemExit, match="3"):
        thread.result()
    [error] = outcomes(sys.exit, [3])
    assert isinstance(error, SystemExit)


def test_a_late_result_is_a_timeout_error_and_can_be_asked_for_again() -> None:
    go_on = threading.Event()
    thread = ResultThread(go_on.wait, timeout=10)
    thread.start()
    try:
        message = f"^{thread.name} still runs after 0.01 s$"
        with pytest.raises(TimeoutError, match=message):
            thread.result(timeout=0.01)
        assert thread.is_alive()
    finally:
        go_on.set()
    assert thread.result(timeout=10) is True


def test_a_thread_that_was_not_started_has_no_result_to_wait_for() -> None:
    message = "^cannot join thread before it is started$"
    with pytest.raises(RuntimeError, match=message):
        ResultThread(fail).result()


@pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="only Unix has pthread_kill"
)
def test_after_ctrl_c_the_result_can_be_asked_for_again() -> None:
    main = threading.main_thread().ident or 0
    go_on = threading.Event()
    pressed: list[int] = []

    def handler(signum: int, _: object) -> None:
        if not pressed:
            pressed.append(signum)
            raise KeyboardInterrupt

    def job() -> str:
        # A signal just before the wait is seen at the next one.
        assert asked.wait(timeout=10)
        while not pressed:
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.02)
        assert go_on.wait(timeout=10)
        return "here I am"

    asked = threading.Event()
    thread = ResultThread(job)
    before = signal.signal(signal.SIGINT, handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            asked.set()
            thread.result()
        message = r" still runs after 0\.01 s$"
        with pytest.raises(TimeoutError, match=message):
            thread.result(timeout=0.01)
    finally:
        signal.signal(signal.SIGINT, before)
        go_on.set()
    assert thread.result() == "here I am"


def test_join_with_a_timeout_returns_none_whether_the_thread_has_ended() -> (
    None
):
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, args=[10])
    thread.start()
    ended = [thread.join(timeout=0.01), thread.is_alive()]  # type: ignore[func-returns-value]
    go_on.set()
    ended += [thread.join(timeout=10), thread.is_alive()]  # type: ignore[func-returns-value]
    assert ended == [None, True, None, False]


def test_joining_each_thread_right_after_its_start_makes_the_work_serial() -> (
    None
):
    def meet(timeout: float, *, join_at_once: bool) -> list[object]:
        meeting = threading.Barrier(2, timeout=timeout)
        threads = [ResultThread(meeting.wait) for _ in range(2)]
        for thread in threads:
            thread.start()
            if join_at_once:
                thread.join()
        return [type(value_of(thread)) for thread in threads]

    def value_of(thread: ResultThread[int]) -> object:
        try:
            return thread.result()
        except threading.BrokenBarrierError as error:
            return error

    assert meet(10, join_at_once=False) == [int, int]
    broken = [threading.BrokenBarrierError] * 2
    assert meet(0.05, join_at_once=True) == broken


def test_broken_outcomes_loses_the_values_and_does_not_raise_the_errors(
    reported: list[str],
) -> None:
    assert broken_outcomes(int, ["4", "five"]) == [None, None]
    [error] = reported
    assert error.startswith('ValueError("invalid literal for int()')


UNHANDLED = """
import threading

def f():
    raise ValueError("lost")

thread = threading.Thread(target=f)
try:
    thread.start()
    thread.join()
except ValueError:
    print("caught")
print("the main thread goes on")
"""


def test_an_error_in_a_plain_thread_is_printed_and_the_exit_status_is_0() -> (
    None
):
    ended = run(UNHANDLED)
    first, second, *_, last = ended.stderr.splitlines()
    assert first == "Exception in thread Thread-1 (f):"
    assert second == "Traceback (most recent call last):"
    assert last == "ValueError: lost"
    assert ended.stdout == "the main thread goes on\n"
    assert ended.returncode == 0


def test_sys_exit_in_a_plain_thread_ends_the_thread_without_a_word() -> None:
    ended = run(UNHANDLED.replace("ValueError(", "SystemExit("))
    assert ended.stderr == ""
    assert ended.stdout == "the main thread goes on\n"
    assert ended.returncode == 0


LATE = """
import threading, sys

def work(main):
    main.join()
    print("the thread ends after the main thread")

main = threading.current_thread()
threading.Thread(target=work, args=[main]).start()
"""


def test_the_interpreter_waits_for_a_thread_that_nobody_joined() -> None:
    ended = run(LATE)
    assert ended.stdout == "the thread ends after the main thread\n"
    assert ended.returncode == 0


IGNORANT = """
import pytest, threading

strict = "error::pytest.PytestUnhandledThreadExceptionWarning"

def test_with_the_default_warning():
    thread = threading.Thread(target=int, args=["five"])
    thread.start()
    thread.join()

@pytest.mark.filterwarnings(strict)
def test_with_an_error():
    test_with_the_default_warning()
"""


def test_pytest_passes_with_a_warning_unless_that_is_made_an_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / "test_ignorant.py"
    path.write_text(IGNORANT, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(path)],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        text=True,
        timeout=60,
    )
    assert "1 failed, 1 passed, 1 warning" in ended.stdout
    assert "FAILED test_ignorant.py::test_with_an_error" in ended.stdout
    message = "PytestUnhandledThreadExceptionWarning: Exception in thread"
    assert message in ended.stdout
