"""What the recipe says of pools and executors, shown to be so."""

import asyncio
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import (
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from cookbook.primes import WORKERS, is_prime
from cookbook.processes import pool_or_executor
from cookbook.processes.pool_or_executor import (
    UNLUCKY,
    answers_of_executor,
    answers_of_pool,
    broken_answers_of_pool,
    is_prime_or_crash,
)

METHODS = multiprocessing.get_all_start_methods()
ONE = multiprocessing.get_context(METHODS[0])
NO_NUMBER: Any = "eight"

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a pipe that a job reads until somebody writes into it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until *condition* returns what is true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@every_method
def test_both_give_the_same_answers_in_the_order_of_the_items(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    numbers = [97, 100, 2, 1]
    expected = [True, False, True, False]
    answers = answers_of_executor(
        is_prime_or_crash, iter(numbers), workers=2, context=context
    )
    assert answers == expected
    answers = answers_of_pool(
        is_prime_or_crash,
        iter(numbers),
        workers=2,
        timeout=60,
        context=context,
    )
    assert answers == expected


@every_method
def test_when_a_worker_dies_the_executor_raises(method: str) -> None:
    with pytest.raises(BrokenProcessPool):
        answers_of_executor(
            is_prime_or_crash,
            [7, UNLUCKY, 8],
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert not multiprocessing.active_children()


@every_method
def test_when_a_worker_dies_the_pool_waits_until_the_timeout(
    method: str,
) -> None:
    with pytest.raises(multiprocessing.TimeoutError):
        answers_of_pool(
            is_prime_or_crash,
            [7, UNLUCKY, 8],
            workers=2,
            timeout=0.2,
            context=multiprocessing.get_context(method),
        )
    assert not multiprocessing.active_children()


def test_the_timeout_is_for_all_jobs_of_the_pool_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeouts = []
    get = AsyncResult.get

    def note(result: AsyncResult[object], timeout: float) -> object:
        timeouts.append(timeout)
        return get(result, timeout)

    monkeypatch.setattr(AsyncResult, "get", note)
    answers = answers_of_pool(abs, [-1, -2, -3], workers=1, timeout=60)
    assert answers == [1, 2, 3]
    assert timeouts == [60]


@every_method
def test_when_a_worker_dies_the_broken_way_gets_no_answer_and_no_error(
    method: str,
) -> None:
    answers = broken_answers_of_pool(
        is_prime_or_crash,
        [7, UNLUCKY, 8],
        workers=2,
        patience=0.2,
        context=multiprocessing.get_context(method),
    )
    assert answers is None


@every_method
def test_the_pool_starts_a_new_worker_and_gives_the_lost_job_to_nobody(
    method: str,
) -> None:
    with multiprocessing.get_context(method).Pool(1) as pool:
        first_worker = pool.apply(os.getpid)
        lost = pool.apply_async(is_prime_or_crash, (UNLUCKY,))
        # A pool of one worker answers in turn: these come after that job.
        assert pool.map(is_prime_or_crash, [7, 8]) == [True, False]
        assert pool.apply(os.getpid) != first_worker
        assert not lost.ready()


def test_an_executor_that_is_broken_takes_no_more_jobs() -> None:
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        future = executor.submit(is_prime_or_crash, UNLUCKY)
        with pytest.raises(BrokenProcessPool):
            future.result(timeout=60)
        with pytest.raises(BrokenProcessPool):
            executor.submit(is_prime_or_crash, 7)


@every_method
def test_when_a_job_raises_both_raise_and_go_on(method: str) -> None:
    context = multiprocessing.get_context(method)
    numbers = [7, NO_NUMBER, 8]
    text = "^n must be an int, not 'eight'$"
    with context.Pool(1) as pool:
        with pytest.raises(TypeError, match=text):
            pool.map(is_prime_or_crash, numbers)
        assert pool.map(is_prime_or_crash, [7, 8]) == [True, False]
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        answers = executor.map(is_prime_or_crash, numbers)
        assert next(answers) is True
        with pytest.raises(TypeError, match=text):
            next(answers)
        assert list(executor.map(is_prime_or_crash, [7, 8])) == [True, False]


def test_the_error_of_a_job_leaves_both_functions() -> None:
    with pytest.raises(TypeError, match="'eight'"):
        answers_of_executor(is_prime, [NO_NUMBER], workers=1)
    with pytest.raises(TypeError, match="'eight'"):
        answers_of_pool(is_prime, [NO_NUMBER], workers=1, timeout=60)


def test_leaving_the_block_ends_the_jobs_of_a_pool_not_of_an_executor() -> (
    None
):
    with ONE.Pool(1) as pool:
        result = pool.apply_async(time.sleep, (60,))
    assert not result.ready()
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        future = executor.submit(time.sleep, 0.05)
    assert future.done()


@posix
@every_method
def test_a_job_of_an_executor_can_be_cancelled_until_it_is_on_its_way(
    method: str, gate: Path
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        runs = executor.submit(Path.read_text, gate)
        others = [executor.submit(is_prime, 7) for _ in range(9)]
        wait_until(others[0].running)
        assert not runs.cancel()
        assert not others[0].cancel()
        assert others[-1].cancel()
        gate.write_text("go", encoding="utf-8")
        assert runs.result(timeout=60) == "go"
        assert others[0].result(timeout=60) is True


def test_a_job_of_a_pool_has_no_cancel() -> None:
    with ONE.Pool(1) as pool:
        result = pool.apply_async(is_prime, (7,))
        assert not hasattr(result, "cancel")
        assert result.get(timeout=60) is True


@posix
def test_terminate_ends_the_jobs_of_a_pool_that_run(gate: Path) -> None:
    with ONE.Pool(1) as pool:
        result = pool.apply_async(Path.read_text, (gate,))
        pool.terminate()
        assert not multiprocessing.active_children()
        assert not result.ready()


@posix
@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in Python 3.14")
@pytest.mark.parametrize("way", ["terminate_workers", "kill_workers"])
def test_an_executor_ends_the_jobs_that_run_since_3_14(
    way: str, gate: Path
) -> None:
    executor = ProcessPoolExecutor(1, mp_context=ONE)
    future = executor.submit(Path.read_text, gate)
    wait_until(future.running)
    getattr(executor, way)()
    with pytest.raises(BrokenProcessPool):
        future.result(timeout=60)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there from 3.14")
def test_up_to_3_13_an_executor_cannot_end_jobs_that_run() -> None:
    assert not hasattr(ProcessPoolExecutor, "terminate_workers")
    assert not hasattr(ProcessPoolExecutor, "kill_workers")


def test_a_loop_awaits_a_job_of_an_executor() -> None:
    async def main(executor: ProcessPoolExecutor) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(executor, is_prime, 7)

    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        assert asyncio.run(main(executor)) is True


def test_a_loop_does_not_await_a_job_of_a_pool() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, is_prime, 7)

    with ONE.Pool(1) as pool:
        executor: Any = pool
        with pytest.raises(AttributeError, match="no attribute 'submit'"):
            asyncio.run(main())


def test_both_have_a_way_to_give_answers_as_they_come() -> None:
    with ONE.Pool(2) as pool:
        assert set(pool.imap_unordered(abs, [-1, -2])) == {1, 2}
    with ProcessPoolExecutor(2, mp_context=ONE) as executor:
        futures: list[Future[int]] = [
            executor.submit(abs, n) for n in (-1, -2)
        ]
        assert {done.result() for done in as_completed(futures)} == {1, 2}


@every_method
def test_a_pool_starts_all_its_workers_and_an_executor_those_it_needs(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with context.Pool(3):
        assert len(multiprocessing.active_children()) == 3
    with ProcessPoolExecutor(3, mp_context=context) as executor:
        assert len(multiprocessing.active_children()) == 0
        future = executor.submit(is_prime, 7)
        started = len(multiprocessing.active_children())
        assert started == (3 if method == "fork" else 1)
        assert future.result(timeout=60) is True


IDLE = """
import multiprocessing, os, signal, sys, threading, time

def main():
    pool = multiprocessing.get_context(sys.argv[1]).Pool(1)
    worker = pool.apply(os.getpid)
    lock = pool._inqueue._rlock
    while lock.acquire(block=False):
        lock.release()
        time.sleep(0.01)
    print("the worker holds the lock of the queue")
    os.kill(worker, signal.SIGKILL)
    while [one.pid for one in pool._pool] in ([], [worker]):
        time.sleep(0.01)
    result = pool.apply_async(os.getpid)
    result.wait(0.2)
    print("a new worker has answered:", result.ready())
    leave = threading.Thread(target=pool.__exit__, args=(None, None, None))
    leave.daemon = True
    leave.start()
    leave.join(0.2)
    print("the block is left:", not leave.is_alive())

if __name__ == "__main__":
    try:
        main()
    finally:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()
        sys.stdout.flush()
        os._exit(0)
"""


@posix
@every_method
def test_a_worker_killed_while_it_waits_keeps_the_lock_of_the_pools_queue(
    method: str, tmp_path: Path
) -> None:
    program = tmp_path / "idle.py"
    program.write_text(IDLE, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", program, method],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines() == [
        "the worker holds the lock of the queue",
        "a new worker has answered: False",
        "the block is left: False",
    ]


@posix
@every_method
def test_a_worker_killed_while_it_waits_breaks_an_executor(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        worker = executor.submit(os.getpid).result(timeout=60)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            executor.submit(is_prime, 7).result(timeout=60)


@every_method
def test_the_workers_of_an_executor_do_not_ignore_ctrl_c(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    job: Any = signal.getsignal
    handlers = answers_of_executor(
        job, [signal.SIGINT], workers=1, context=context
    )
    assert handlers == [signal.default_int_handler]
    handlers = answers_of_pool(
        job, [signal.SIGINT], workers=1, timeout=60, context=context
    )
    assert handlers == [signal.SIG_IGN]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"items": 7}, TypeError, "^'int' object is not iterable$"),
        ({"timeout": 0}, ValueError, "^timeout must be positive, not 0$"),
        ({"timeout": -1}, ValueError, "^timeout must be positive, not -1$"),
        ({"timeout": math.inf}, ValueError, "not inf$"),
        ({"timeout": math.nan}, ValueError, "not nan$"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    given: Any = {"items": [7], "context": starts_nothing} | options
    if "timeout" not in given:
        with pytest.raises(error, match=text):
            answers_of_executor(is_prime, **given)
    with pytest.raises(error, match=text):
        answers_of_pool(is_prime, **({"timeout": 1} | given))


def test_both_have_the_workers_asked_for_and_a_pools_ignore_ctrl_c(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spawn = multiprocessing.get_context("spawn")
    executor = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(pool_or_executor, "ProcessPoolExecutor", executor)
    assert answers_of_executor(abs, [], context=spawn) == []
    assert executor.mock_calls[0] == call(WORKERS, mp_context=spawn)
    context = Mock(wraps=ONE)
    assert answers_of_pool(abs, [], timeout=60, context=context) == []
    ignoring = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    assert context.Pool.mock_calls == [call(WORKERS, *ignoring)]
