"""What the recipe says of a durable queue of jobs, shown to be so."""

import gc
import multiprocessing
import operator
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cookbook.clusters.job_queue import (
    Job,
    JobQueue,
    broken_lease,
    broken_take_one,
    is_payload_prime,
    lease_one,
    take_and_be_killed,
    work,
)

METHODS = multiprocessing.get_all_start_methods()
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


class Clock:
    """The time of day, as the test has it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def queue(path: Path, clock: Clock) -> Iterator[JobQueue]:
    assert clock.now
    with JobQueue(path, lease=10.0, tries=3, pause=1.0) as queue:
        yield queue


def taken(queue: JobQueue) -> Job:
    job = queue.lease()
    assert job is not None
    return job


def row(queue: JobQueue, key: str) -> tuple[object, ...]:
    query = "select state, tries, result, error from jobs where key = ?"
    found: tuple[object, ...] = queue.db.execute(query, [key]).fetchone()
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_is_killed_with_a_job_gives_it_back(
    method: str, path: Path
) -> None:
    context = multiprocessing.get_context(method)
    with JobQueue(path) as queue:
        queue.add("a", "97")
        assert take_and_be_killed(lease_one, path, context) == "a"
        assert queue.count() == {"open": 1}
        work(queue, is_payload_prime)
        assert row(queue, "a") == ("done", 2, "True", None)


@pytest.mark.parametrize("method", METHODS)
def test_a_job_that_was_taken_out_is_lost_with_its_worker(
    method: str, path: Path
) -> None:
    context = multiprocessing.get_context(method)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("create table jobs (key text)")
        db.executemany("insert into jobs values (?)", ["a", "b"])
        assert take_and_be_killed(broken_take_one, path, context) == "a"
        assert broken_lease(db) == "b"
        assert broken_lease(db) is None


def test_the_jobs_are_there_when_the_program_comes_back(path: Path) -> None:
    with JobQueue(path) as queue:
        queue.add("a", "7")
    with JobQueue(path) as queue:
        assert queue.lease() == Job("a", "7", 1)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        queue.lease()


def test_a_key_is_added_once_even_when_its_job_is_done(
    queue: JobQueue,
) -> None:
    assert queue.add("a", "7")
    assert not queue.add("a", "8")
    job = taken(queue)
    assert queue.finish(job, "True")
    assert not queue.add("a", "9")
    assert queue.lease() is None
    assert row(queue, "a") == ("done", 1, "True", None)


def test_a_leased_job_is_handed_out_again_when_its_time_is_over(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    assert taken(queue).tries == 1
    clock.now += 9.9
    assert queue.lease() is None
    clock.now += 0.1
    assert taken(queue).tries == 2


def test_the_jobs_are_handed_out_in_the_order_in_which_they_are_due(
    queue: JobQueue, clock: Clock
) -> None:
    for key in "abc":
        queue.add(key, "7")
    first = taken(queue)
    assert queue.fail(first, ValueError("first"))
    assert [taken(queue).key for _ in "bc"] == ["b", "c"]
    clock.now += 10.0
    assert [taken(queue).key for _ in "abc"] == ["a", "b", "c"]


def test_a_lease_that_is_renewed_lasts_longer(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    job = taken(queue)
    clock.now += 9.0
    assert queue.renew(job)
    clock.now += 9.0
    assert queue.lease() is None
    clock.now += 1.0
    assert taken(queue).tries == 2
    assert not queue.renew(job)


def test_a_slow_worker_whose_job_was_given_on_stores_nothing(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    slow = taken(queue)
    clock.now += 10.0
    quick = taken(queue)
    assert not queue.finish(slow, "slow")
    assert not queue.fail(slow, ValueError("slow"))
    assert row(queue, "a") == ("open", 2, None, None)
    assert queue.finish(quick, "quick")
    assert not queue.finish(slow, "slow")
    assert not queue.finish(quick, "again")
    assert row(queue, "a") == ("done", 2, "quick", None)


def test_a_slow_worker_whose_job_nobody_else_took_stores_its_result(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    job = taken(queue)
    clock.now += 100.0
    assert queue.finish(job, "late")


def test_a_job_for_which_each_worker_is_too_slow_ends_as_dead(
    queue: JobQueue, path: Path, clock: Clock
) -> None:
    done: list[int] = []

    def slow(job: Job, _: object) -> str:
        clock.now += 10.0
        with JobQueue(path, lease=10.0, tries=3) as other:
            work(other, slow)  # another worker comes meanwhile
        done.append(job.tries)
        return "done"

    queue.add("a", "7")
    work(queue, slow)
    assert done == [3, 2, 1]
    assert row(queue, "a") == ("dead", 3, None, "lease ran out")


def test_a_job_that_renews_its_lease_is_done_once_though_it_is_slow(
    queue: JobQueue, path: Path, clock: Clock
) -> None:
    def slow(job: Job, renew: Callable[[], bool]) -> str:
        assert job == Job("a", "7", 1)
        with JobQueue(path) as other:
            for _ in range(5):
                clock.now += 9.0
                assert other.lease() is None
                assert renew()
        return "done"

    queue.add("a", "7")
    work(queue, slow)
    assert row(queue, "a") == ("done", 1, "done", None)


def test_the_sample_job_renews_its_lease_once() -> None:
    renewed: list[bool] = []

    def renew() -> bool:
        renewed.append(True)
        return True

    assert is_payload_prime(Job("a", "97", 1), renew)
    assert not is_payload_prime(Job("b", "100", 1), renew)
    assert renewed == [True, True]


def test_a_job_is_told_when_another_worker_has_it_by_now(
    queue: JobQueue, path: Path, clock: Clock
) -> None:
    told: list[bool] = []

    def slow(_: Job, renew: Callable[[], bool]) -> str:
        clock.now += 10.0
        with JobQueue(path) as other:
            assert other.finish(taken(other), "quick")
        told.append(renew())
        return "slow"

    queue.add("a", "7")
    work(queue, slow)
    assert told == [False]
    assert row(queue, "a") == ("done", 2, "quick", None)


def test_a_lease_is_renewed_in_the_thread_that_opened_the_file(
    queue: JobQueue,
) -> None:
    queue.add("a", "7")
    job = taken(queue)
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(sqlite3.ProgrammingError, match="same thread"),
    ):
        pool.submit(queue.renew, job).result(timeout=60)


def test_a_clock_that_is_set_ends_leases_early_or_makes_them_longer(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    assert taken(queue).tries == 1
    clock.now += 3600.0
    assert taken(queue).tries == 2
    clock.now -= 3600.0
    clock.now += 100.0
    assert queue.lease() is None


def test_the_error_beside_a_job_is_that_of_its_last_try(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    assert queue.fail(taken(queue), ValueError("first"))
    assert row(queue, "a") == ("open", 1, None, "ValueError('first')")
    clock.now += 1.0
    job = taken(queue)
    assert row(queue, "a") == ("open", 2, None, None)
    assert queue.finish(job, "True")
    assert row(queue, "a") == ("done", 2, "True", None)


def test_an_error_is_stored_and_the_pause_doubles_until_the_job_is_dead(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "one")
    for tries, pause in enumerate([1.0, 2.0, 4.0], start=1):
        job = taken(queue)
        assert job.tries == tries
        assert queue.fail(job, ValueError(tries))
        clock.now += pause - 0.1
        assert queue.lease() is None
        assert queue.count() == {"open": 1}
        clock.now += 0.1
    assert queue.lease() is None
    assert row(queue, "a") == ("dead", 3, None, "ValueError(3)")
    clock.now += 1000.0
    assert queue.lease() is None


def test_a_job_that_kills_each_of_its_workers_ends_as_dead(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    queue.add("b", "7")
    assert queue.finish(taken(queue), "done")
    for _ in range(3):
        last = taken(queue)
        clock.now += 10.0
    assert queue.lease() is None
    assert queue.count() == {"done": 1, "dead": 1}
    assert not queue.finish(last, "too late")
    assert row(queue, "b") == ("dead", 3, None, "lease ran out")


def test_dead_jobs_get_new_tries_when_they_are_asked_for(
    queue: JobQueue, clock: Clock
) -> None:
    queue.add("a", "7")
    queue.add("b", "7")
    assert queue.finish(taken(queue), "True")
    for _ in range(3):
        queue.fail(taken(queue), ValueError("no"))
        clock.now += 4.0
    assert queue.lease() is None
    assert queue.retry_dead()
    assert taken(queue) == Job("b", "7", 1)
    assert not queue.retry_dead()
    assert queue.count() == {"done": 1, "open": 1}


def test_threads_that_ask_at_the_same_time_never_get_the_same_job(
    path: Path,
) -> None:
    with JobQueue(path) as queue:
        for n in range(20):
            queue.add(str(n), "7")
    barrier = threading.Barrier(4, timeout=60)

    def take_five() -> list[str]:
        with JobQueue(path) as mine:
            barrier.wait()
            return [taken(mine).key for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(take_five) for _ in range(4)]
        keys = [key for future in futures for key in future.result()]
    assert sorted(keys, key=int) == [str(n) for n in range(20)]


def test_work_does_every_job_and_lays_aside_what_fails(path: Path) -> None:
    with JobQueue(path, tries=2, pause=0.0) as queue:
        for text in ("7", "one", "8"):
            queue.add(text, text)
        work(queue, is_payload_prime)
        assert queue.count() == {"done": 2, "dead": 1}
        state, tries, result, error = row(queue, "one")
        assert (state, tries, result) == ("dead", 2, None)
        assert str(error).startswith('ValueError("invalid literal for int()')
        assert row(queue, "8") == ("done", 1, "False", None)


def test_work_waits_for_a_job_that_another_worker_has(path: Path) -> None:
    with JobQueue(path, lease=0.2) as other:
        other.add("a", "7")
        assert taken(other).tries == 1
        with JobQueue(path) as queue:
            work(queue, is_payload_prime)
        assert row(other, "a") == ("done", 2, "True", None)


def test_ctrl_c_in_a_job_goes_through_and_the_job_comes_back(
    path: Path,
) -> None:
    def press(_: Job, __: Callable[[], bool]) -> None:
        raise KeyboardInterrupt

    with JobQueue(path, lease=0.01) as queue:
        queue.add("a", "7")
        with pytest.raises(KeyboardInterrupt):
            work(queue, press)
        work(queue, is_payload_prime)
        assert row(queue, "a") == ("done", 2, "True", None)


def test_a_file_that_is_no_database_is_refused_and_closed(
    path: Path,
) -> None:
    path.write_text(1000 * "no database", encoding="utf-8")
    with pytest.raises(sqlite3.DatabaseError, match="is not a database"):
        JobQueue(path)
    gc.collect()  # warns if the connection was left open


@pytest.mark.parametrize(
    "options", [{"lease": 0.0}, {"lease": -1.0}, {"tries": 0}]
)
def test_a_lease_or_a_number_of_tries_that_allows_nothing_is_refused(
    path: Path, options: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match=r"^not positive: "):
        JobQueue(path, **options)  # type: ignore[arg-type]
    assert not path.exists()


def test_a_file_that_another_holds_is_an_error_after_the_timeout(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    connect = sqlite3.connect

    def at_once(
        path: Path, *, timeout: float, isolation_level: None
    ) -> sqlite3.Connection:
        asked.append(timeout)
        return connect(path, timeout=0, isolation_level=isolation_level)

    monkeypatch.setattr(sqlite3, "connect", at_once)
    with JobQueue(path) as queue, JobQueue(path) as other:
        queue.db.execute("begin immediate")
        with pytest.raises(
            sqlite3.OperationalError, match=r"^database is locked$"
        ):
            other.add("a", "7")
        queue.db.execute("rollback")
    assert asked == [30, 30]


def test_a_worker_that_takes_no_job_ends_the_wait_for_it(path: Path) -> None:
    takes_none: Callable[..., Any] = operator.is_
    context = multiprocessing.get_context("spawn")
    with pytest.raises(EOFError):
        take_and_be_killed(takes_none, path, context)
