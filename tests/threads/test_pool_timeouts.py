"""What the recipe says of timeouts in pools, shown to be so."""

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import threading
from asyncio import constants
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cookbook.threads import pool_timeouts
from cookbook.threads.pool_timeouts import broken_result, map_with_timeout

IMPORTS = """
import asyncio, faulthandler, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor, thread
from cookbook.threads.pool_timeouts import broken_result, map_with_timeout

MAIN = threading.main_thread().ident
interrupted = threading.Event()

def interrupt(*_):
    if not interrupted.is_set():
        interrupted.set()
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)

def press_ctrl_c_in(place):
    while place not in calls_of_main():
        time.sleep(0.001)
    interrupted.clear()
    # Again: one that comes just before the wait is seen after it.
    while not interrupted.wait(0.1):
        signal.pthread_kill(MAIN, signal.SIGINT)

def calls_of_main():
    frame = sys._current_frames().get(MAIN)
    while frame:
        yield frame.f_code.co_name
        frame = frame.f_back
"""

no_windows = pytest.mark.skipif(
    sys.platform == "win32", reason="there a lock is not interrupted"
)


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run *program* by itself."""
    return subprocess.run(
        [sys.executable, "-c", IMPORTS + textwrap.dedent(program)],
        capture_output=True,
        check=False,
        cwd=Path(pool_timeouts.__file__).parents[2],
        text=True,
        timeout=60,
    )


def test_in_time_the_results_come_in_the_order_of_the_items() -> None:
    def job(stop: threading.Event, number: int) -> int:
        assert not stop.is_set()
        return number * number

    assert map_with_timeout(job, range(20), timeout=60) == [
        number * number for number in range(20)
    ]


@pytest.mark.parametrize(
    ("options", "workers"), [({}, 4), ({"workers": 2}, 2)]
)
def test_so_many_jobs_run_at_once_and_by_default_four(
    options: dict[str, int], workers: int
) -> None:
    running: list[int] = []
    all_there = threading.Barrier(workers, timeout=10)
    met = threading.Event()

    def job(stop: threading.Event, number: int) -> None:
        running.append(number)
        if all_there.wait() == 0:
            met.set()
        stop.wait(timeout=10)

    def items() -> Iterator[int]:
        yield from range(workers)
        assert met.wait(timeout=10)
        yield from range(9)

    with pytest.raises(TimeoutError):
        map_with_timeout(job, items(), timeout=0.05, **options)
    assert len(running) == workers


def test_when_time_is_up_running_jobs_stop_and_waiting_ones_never_start() -> (
    None
):
    begun = threading.Event()
    ran, stopped = [], []

    def job(stop: threading.Event, number: int) -> None:
        ran.append(number)
        begun.set()
        if stop.wait(timeout=10):
            stopped.append(number)

    def items() -> Iterator[int]:
        yield 1
        assert begun.wait(timeout=10)
        yield from (2, 3)

    with pytest.raises(TimeoutError):
        map_with_timeout(job, items(), timeout=0.01, workers=1)
    assert ran == stopped == [1]


def test_after_an_error_running_jobs_stop_and_at_most_one_more_starts() -> (
    None
):
    begun = threading.Barrier(2, timeout=10)
    ran, stopped = [], []

    def job(stop: threading.Event, number: int) -> None:
        ran.append(number)
        begun.wait()
        if number == 1:
            raise ValueError("job 1")
        if stop.wait(timeout=10):
            stopped.append(number)
        begun.abort()

    with pytest.raises(ValueError, match="job 1"):
        map_with_timeout(job, range(1, 10), timeout=60, workers=2)
    assert stopped == [2]
    # The worker of the failed job may have been quicker than the reader.
    assert set(ran) <= {1, 2, 3}


def test_after_an_error_in_the_items_waiting_jobs_never_start() -> None:
    begun = threading.Event()
    ran: list[int] = []

    def job(stop: threading.Event, number: int) -> None:
        ran.append(number)
        begun.set()
        assert stop.wait(timeout=10)

    def items() -> Iterator[int]:
        yield 1
        assert begun.wait(timeout=10)
        yield from (2, 3)
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        map_with_timeout(job, items(), timeout=60, workers=1)
    assert ran == [1]


def test_an_error_is_raised_when_the_results_before_it_are_there() -> None:
    failed, waited = threading.Event(), []

    def job(stop: threading.Event, number: int) -> None:
        if number == 2:
            failed.set()
            raise ValueError("job 2")
        assert failed.wait(timeout=10)
        waited.append(stop.wait(timeout=0.05))

    with pytest.raises(ValueError, match="job 2"):
        map_with_timeout(job, [1, 2], timeout=60)
    assert waited == [False]


def test_a_job_that_does_not_look_at_the_event_holds_up_everything() -> None:
    go_on = threading.Event()

    def job(_: threading.Event, __: int) -> None:
        assert go_on.wait(timeout=10)

    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(map_with_timeout, job, [1], timeout=0)
        with pytest.raises(TimeoutError):
            calling.result(timeout=0.05)
        assert calling.running()
        go_on.set()
        assert isinstance(calling.exception(timeout=10), TimeoutError)


def test_result_raises_without_a_text_and_the_job_runs_on_after_cancel() -> (
    None
):
    begun, go_on = threading.Event(), threading.Event()

    def job() -> str:
        begun.set()
        assert go_on.wait(timeout=10)
        return "too late"

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(job)
        waiting = pool.submit(job)
        assert begun.wait(timeout=10)
        with pytest.raises(TimeoutError, match=r"^$"):
            future.result(timeout=0)
        assert not future.done()
        assert future.cancel() is False
        assert waiting.cancel() is True
        assert broken_result(future, timeout=0) is None
        go_on.set()
    assert future.result() == "too late"


def test_a_timeout_error_of_the_job_itself_leaves_the_future_done() -> None:
    def job() -> None:
        raise TimeoutError

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(job)
        with pytest.raises(TimeoutError):
            future.result(timeout=10)
        assert future.done()


def test_the_timeout_error_of_futures_is_the_built_in_one() -> None:
    assert concurrent.futures.TimeoutError is TimeoutError


def test_cancel_futures_drops_what_waits_and_lets_what_runs_end() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def job() -> None:
        begun.set()
        assert go_on.wait(timeout=10)

    pool = ThreadPoolExecutor(1)
    running, waiting = pool.submit(job), pool.submit(job)
    assert begun.wait(timeout=10)
    pool.shutdown(wait=False, cancel_futures=True)
    assert running.running()
    assert waiting.cancelled()
    go_on.set()
    pool.shutdown()
    assert running.exception() is None


def test_after_shutdown_or_the_with_block_submit_raises() -> None:
    with ThreadPoolExecutor(1) as pool:
        pass
    message = "^cannot schedule new futures after shutdown$"
    with pytest.raises(RuntimeError, match=message):
        pool.submit(print)


def test_when_the_main_thread_has_ended_submit_raises_in_other_threads() -> (
    None
):
    ended = run("""
        pool = ThreadPoolExecutor(1)

        def late():
            while not thread._shutdown:
                time.sleep(0.001)
            try:
                pool.submit(print)
            except RuntimeError as error:
                print(error)

        threading.Thread(target=late).start()
    """)
    message = "cannot schedule new futures after interpreter shutdown\n"
    assert (ended.stdout, ended.stderr) == (message, "")


def test_in_an_atexit_handler_submit_raises_the_same_error() -> None:
    ended = run("""
        import atexit

        pool = ThreadPoolExecutor(1)

        @atexit.register
        def late():
            try:
                pool.submit(print)
            except RuntimeError as error:
                print(error)
    """)
    message = "cannot schedule new futures after interpreter shutdown\n"
    assert (ended.stdout, ended.stderr) == (message, "")


def test_at_exit_the_interpreter_waits_for_jobs_in_spite_of_wait_false() -> (
    None
):
    ended = run("""
        def job():
            while not thread._shutdown:
                time.sleep(0.001)
            print("the job ends, daemon:", threading.current_thread().daemon)

        pool = ThreadPoolExecutor(1)
        pool.submit(job)
        pool.shutdown(wait=False)
        print("main ends", flush=True)
    """)
    assert ended.stdout == "main ends\nthe job ends, daemon: False\n"
    assert ended.returncode == 0


def test_asyncio_run_waits_for_the_threads_of_to_thread_too() -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def job() -> None:
        begun.set()
        assert go_on.wait(timeout=10)
        threading.Event().wait(0.02)
        ended.append("job")

    async def give_up() -> None:
        thread = asyncio.create_task(asyncio.to_thread(job))
        await asyncio.sleep(0)
        assert begun.wait(timeout=10)  # or it would not run at all
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(thread, timeout=0.01)
        assert ended == []
        go_on.set()

    asyncio.run(give_up())
    assert ended == ["job"]


@pytest.mark.skipif(sys.version_info < (3, 12, 3), reason="from 3.12.3 on")
def test_from_3_12_3_on_asyncio_run_waits_for_300_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert vars(constants)["THREAD_JOIN_TIMEOUT"] == 300
    monkeypatch.setattr(constants, "THREAD_JOIN_TIMEOUT", 0.01)
    begun, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def job() -> None:
        begun.set()
        assert go_on.wait(timeout=10)
        ended.append("job")

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, job)
        assert begun.wait(timeout=10)

    with pytest.warns(RuntimeWarning, match="within 0.01 seconds"):
        asyncio.run(main())
    assert ended == []
    go_on.set()


def test_from_3_14_on_a_process_pool_can_terminate_its_workers() -> None:
    pool = concurrent.futures.ProcessPoolExecutor
    has_it = hasattr(pool, "terminate_workers")
    assert has_it == (sys.version_info >= (3, 14))


@no_windows
def test_one_ctrl_c_stops_the_jobs_and_ends_the_program() -> None:
    ended = run("""
        def job(stop, number):
            if number == 1:
                press_ctrl_c_in("result")
            print("stopped:", stop.wait(10))

        try:
            map_with_timeout(job, [1, 2], timeout=20, workers=1)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert ended.stdout == "stopped: True\ninterrupted\n"
    assert (ended.stderr, ended.returncode) == ("", 0)


@no_windows
def test_if_the_job_goes_on_ctrl_c_is_needed_at_each_place_that_waits() -> (
    None
):
    ended = run("""
        def job():
            for place in "result", "shutdown", "_python_exit":
                press_ctrl_c_in(place)
            time.sleep(20)
            print("the job was waited for")

        try:
            with ThreadPoolExecutor(1) as pool:
                try:
                    pool.submit(job).result(timeout=20)
                except KeyboardInterrupt:
                    print("at result")
                    raise
        except KeyboardInterrupt:
            print("at the end of the block", flush=True)
    """)
    assert ended.stdout == "at result\nat the end of the block\n"
    at_exit = "in _python_exit" in ended.stderr
    assert at_exit == (sys.version_info >= (3, 13))


def test_faulthandler_shows_where_the_job_runs_and_what_waits_for_it() -> None:
    ended = run("""
        def job():
            faulthandler.dump_traceback_later(0.1, exit=True)
            time.sleep(20)

        with ThreadPoolExecutor(1) as pool:
            print(broken_result(pool.submit(job), timeout=0))
    """)
    assert ended.returncode == 1
    assert " in job\n" in ended.stderr
    assert " in shutdown\n" in ended.stderr


def test_broken_result_returns_the_result_of_a_job_that_is_in_time() -> None:
    with ThreadPoolExecutor(1) as pool:
        squared = pool.submit(partial(pow, 3), 2)
        assert broken_result(squared, timeout=10) == 9


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_refused(workers: int) -> None:
    message = "^max_workers must be greater than 0$"
    with pytest.raises(ValueError, match=message):
        map_with_timeout(lambda _, n: n, [1], timeout=1, workers=workers)
