import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cookbook.primes import PRIMES
from cookbook.threads import thread_pool
from cookbook.threads.thread_pool import (
    broken_speed_up,
    concurrent_with_thread_pool,
)

ROOT = Path(thread_pool.__file__).parents[2]
BENCH = ROOT / "docs" / "recorded" / "bench.json"
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def test_answers_come_in_the_order_of_the_numbers_from_one_process() -> None:
    answers = concurrent_with_thread_pool(numbers=[9, 7, 8], workers=3)
    pid = os.getpid()
    assert answers == [(9, False, pid), (7, True, pid), (8, False, pid)]


def test_the_default_numbers_are_the_seven_of_the_book() -> None:
    answers = concurrent_with_thread_pool()
    assert [number for number, _, _ in answers] == list(PRIMES)
    assert [prime for _, prime, _ in answers] == [0, 1, 0, 1, 0, 1, 0]


def test_four_threads_wait_at_the_same_time() -> None:
    meeting = threading.Barrier(4, timeout=10)
    with ThreadPoolExecutor(4) as pool:
        places = list(pool.map(lambda _: meeting.wait(), range(4)))
    assert sorted(places) == [0, 1, 2, 3]


def test_three_threads_cannot_wait_for_a_fourth() -> None:
    meeting = threading.Barrier(4, timeout=0.1)
    with ThreadPoolExecutor(3) as pool:
        results = pool.map(lambda _: meeting.wait(), range(4))
        with pytest.raises(threading.BrokenBarrierError):
            list(results)


@pytest.mark.skipif(not HAS_GIL, reason="without the GIL this is no trap")
def test_with_the_gil_cpu_bound_threads_keep_at_most_one_core_busy() -> None:
    # Waiting threads wake up for the lock: some per cent come on top of 1.
    assert round(broken_speed_up(workers=8)) <= 1


def test_the_switch_interval_is_5_ms_unless_it_is_changed() -> None:
    program = "import sys; print(sys.getswitchinterval())"
    run = subprocess.run(
        [sys.executable, "-I", "-c", program],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert float(run.stdout) == pytest.approx(0.005)


def test_two_threads_with_the_gil_were_slower_than_a_loop_when_measured() -> (
    None
):
    record = json.loads(BENCH.read_text(encoding="utf-8"))
    [threads] = [
        row["median"]
        for row in record["charts"]["models"]["rows"]
        if (row["series"], row["label"]) == ("3.13", "ThreadPoolExecutor")
    ]
    assert threads == pytest.approx(3 / 4, abs=0.05)


def test_an_error_in_a_job_is_raised_when_its_result_is_reached() -> None:
    with pytest.raises(TypeError, match="n must be an int, not '8'"):
        concurrent_with_thread_pool(numbers=[7, "8", 9])  # type: ignore[list-item]


def test_jobs_that_have_not_started_when_the_error_is_read_never_do() -> None:
    ran = []
    go_on = threading.Event()

    def job(number: int) -> None:
        if number == 0:
            raise ValueError(number)
        go_on.wait(timeout=10)
        ran.append(number)

    with ThreadPoolExecutor(1) as pool:
        results = pool.map(job, range(10))
        with pytest.raises(ValueError, match="0"):
            next(results)
        go_on.set()
    # The worker of the failed job may have been quicker than the reader.
    assert ran in ([], [1])


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_worker_is_an_error_before_anything_starts(
    workers: int,
) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {workers}"):
        concurrent_with_thread_pool(workers=workers)


@pytest.mark.parametrize("workers", [1.5, "4", True, None])
def test_workers_that_are_no_int_are_an_error(workers: object) -> None:
    with pytest.raises(TypeError, match=f"not {workers!r}"):
        concurrent_with_thread_pool(workers=workers)  # type: ignore[arg-type]


def test_numbers_that_cannot_be_iterated_over_are_an_error() -> None:
    with pytest.raises(TypeError, match="numbers must be iterable, not 7"):
        concurrent_with_thread_pool(numbers=7)  # type: ignore[arg-type]


def test_no_numbers_give_no_answers() -> None:
    assert concurrent_with_thread_pool(numbers=[]) == []
