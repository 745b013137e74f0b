"""What the recipe says of jobs that make jobs, shown to be so."""

import inspect
import multiprocessing
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from cookbook.deadlocks import nested_submit
from cookbook.deadlocks.nested_submit import (
    SITE,
    broken_crawl,
    broken_pair,
    count_in_two_pools,
    crawl,
)
from cookbook.testing.every_interleaving import DEADLOCK, Setup
from tests.exploring import Explore

P = ParamSpec("P")
R = TypeVar("R")
ROOT = Path(nested_submit.__file__).parents[2]
links_of = SITE.__getitem__


def chain(length: int) -> dict[str, list[str]]:
    """Return a site in which each page links to the next."""
    pages = [str(number) for number in range(length)]
    return {page: pages[n + 1 : n + 2] for n, page in enumerate(pages)}


@contextmanager
def pool_to_be_freed(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool, and cancel what its jobs still wait for."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def closing(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what is set as soon as one of the recipe's pools is closed."""
    begun = threading.Event()

    class Pool(ThreadPoolExecutor):
        """A pool that tells when it is closed."""

        def shutdown(
            self, wait: bool = True, *, cancel_futures: bool = False
        ) -> None:
            """Close it."""
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            begun.set()
            super().shutdown(wait=wait)

    monkeypatch.setattr(nested_submit, "ThreadPoolExecutor", Pool)
    return begun


class Links(list[str]):
    """Links that tell when somebody has gone through them."""

    def __init__(self, links: list[str], submitted: threading.Event) -> None:
        super().__init__(links)
        self.submitted = submitted

    def __iter__(self) -> Iterator[str]:
        yield from super().__iter__()
        self.submitted.set()


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_a_crawl_reaches_every_page_with_any_number_of_workers(
    workers: int,
) -> None:
    assert crawl("/", links_of, workers=workers) == SITE
    deep = chain(20)
    assert crawl("0", deep.__getitem__, workers=workers) == deep


def test_a_page_that_many_link_to_is_fetched_one_time_and_cycles_end() -> None:
    site = {"a": ["b", "c", "b", "a"], "b": ["a", "c"], "c": ["a", "b", "c"]}
    fetched = []

    def fetch(page: str) -> list[str]:
        fetched.append(page)
        return site[page]

    assert crawl("a", fetch, workers=2) == site
    assert sorted(fetched) == ["a", "b", "c"]


def test_jobs_that_come_out_of_one_job_run_at_once() -> None:
    both_run = threading.Barrier(2, timeout=10)

    def fetch(page: str) -> list[str]:
        if page != "/":
            both_run.wait()
        return ["/a", "/b"] if page == "/" else []

    assert set(crawl("/", fetch, workers=2)) == {"/", "/a", "/b"}


def test_by_default_four_jobs_run_at_once_and_not_five() -> None:
    four = [f"/{number}" for number in range(4)]
    four_run = threading.Barrier(4, timeout=10)
    lock = threading.Lock()
    running = most = 0

    def fetch(page: str) -> list[str]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        if page in four:
            four_run.wait()
        with lock:
            running -= 1
        return [*four, "/4", "/5"] if page == "/" else []

    assert len(crawl("/", fetch)) == 7
    assert most == 4


def test_by_default_four_jobs_run_at_once_in_each_of_the_two_pools() -> None:
    outer = [f"outer {number}" for number in range(4)]
    inner = [f"inner {number}" for number in range(4)]
    four_run = threading.Barrier(4, timeout=10)

    def fetch(page: str) -> list[str]:
        four_run.wait()
        return [inner[outer.index(page)]] if page in outer else [""]

    assert count_in_two_pools(outer, fetch) == [1] * 4
    for function in crawl, count_in_two_pools:
        assert inspect.signature(function).parameters["workers"].default == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_wait_for_a_second_pool_end_with_any_number_of_workers(
    workers: int,
) -> None:
    counts = count_in_two_pools(["/", "/a", "/b"], links_of, workers=workers)
    assert counts == [1, 0, 0]


def test_the_jobs_of_the_outer_pool_can_use_the_inner_until_they_end(
    closing: threading.Event,
) -> None:
    slow_runs = threading.Event()
    counted = []

    def fetch(page: str) -> list[str]:
        if page == "bad":
            assert slow_runs.wait(timeout=10)
            raise OSError("no answer")
        if page == "slow":
            slow_runs.set()
            assert closing.wait(timeout=10)
            return ["inner"]
        counted.append(page)
        return []

    with pytest.raises(OSError, match="no answer"):
        count_in_two_pools(["bad", "slow"], fetch, workers=2)
    assert counted == ["inner"]


def test_an_error_reaches_the_caller_cancels_the_queue_and_waits_for_the_rest(
    closing: threading.Event,
) -> None:
    log = []
    slow_runs = threading.Event()
    error = OSError("no answer")

    def fetch(page: str) -> list[str]:
        if page == "/":
            return ["bad", "slow", "slow too", "never", "never"]
        if page == "bad":
            assert slow_runs.wait(timeout=10)
            raise error
        slow_runs.set()
        assert closing.wait(timeout=10)
        log.append(page)
        return []

    with pytest.raises(OSError, match="no answer") as caught:
        crawl("/", fetch, workers=2)
    assert caught.value is error
    assert "slow" in log
    assert "never" not in log


@pytest.mark.skipif(os.name == "nt", reason="needs pthread_kill")
def test_ctrl_c_is_raised_cancels_the_queue_and_waits_for_the_rest(
    closing: threading.Event,
) -> None:
    log = []
    raised = threading.Event()
    main = threading.main_thread().ident or 0

    def fetch(page: str) -> list[str]:
        if page == "/":
            return ["/a", "/b", "/c"]
        # A signal just before the main thread begins to wait is not noticed.
        while not raised.wait(timeout=0.1):
            signal.pthread_kill(main, signal.SIGINT)
        assert closing.wait(timeout=10)
        log.append(page)
        return []

    def interrupt(*_: object) -> None:
        raised.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            crawl("/", fetch, workers=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert log == ["/a"]


@pytest.mark.parametrize("workers", [0, -1])
def test_less_than_one_worker_is_refused_and_no_job_is_run(
    workers: int,
) -> None:
    ran: list[str] = []

    def fetch(page: str) -> list[str]:
        ran.append(page)
        return []

    message = "^max_workers must be greater than 0$"
    with pytest.raises(ValueError, match=message):
        crawl("/", fetch, workers=workers)
    with pytest.raises(ValueError, match=message):
        count_in_two_pools(["/"], fetch, workers=workers)
    assert ran == []


class QueuePool(ThreadPoolExecutor):
    """A pool whose jobs are run by the workers of an exploration."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.workers = workers
        self.queue: queue.Queue[Callable[[], None] | None] = queue.Queue()

    def submit(
        self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """Put a job into the queue."""
        future: Future[R] = Future()

        def run() -> None:
            future.set_result(function(*args, **kwargs))

        self.queue.put(run)
        return future

    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False
    ) -> None:
        """Let each worker end when the queue is empty."""
        if wait and not cancel_futures:
            for _ in range(self.workers):
                self.queue.put(None)

    def work(self) -> None:
        """Run the jobs of the queue."""
        while job := self.queue.get():
            job()


TWO_PAGES = {"a": ["b"], "b": []}


def test_two_broken_crawls_in_two_workers_hang_on_some_schedules(
    explore: Explore,
) -> None:
    def make() -> Setup:
        pool = QueuePool(2)
        links = TWO_PAGES.__getitem__
        one = pool.submit(broken_crawl, "a", links, pool)

        def caller() -> None:
            two = pool.submit(broken_crawl, "a", links, pool)
            two.result()
            one.result()
            pool.shutdown()

        return [caller, pool.work, pool.work], one.result

    explore(
        make,
        "``broken_crawl``: two crawls, a pool of two",
        right={2: "all pages counted"},
        wrong={DEADLOCK: "all workers wait"},
        preemptions=0,
        threads=("caller", "worker", "worker"),
    )


def test_a_crawl_ends_with_one_worker_wherever_threads_switch_once(
    explore: Explore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Setup:
        pool = QueuePool(1)
        monkeypatch.setattr(
            nested_submit, "ThreadPoolExecutor", lambda _: pool
        )
        found: list[int] = []

        def caller() -> None:
            links = crawl("a", TWO_PAGES.__getitem__, workers=1)
            found.append(len(links))

        return [caller, pool.work], lambda: tuple(found)

    explore(
        make,
        "``crawl``: one crawl, a pool of one",
        right={(2,): "all pages counted"},
        preemptions=1,
        threads=("caller", "worker"),
    )


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_broken_crawl_ends_while_workers_outnumber_the_jobs_that_wait(
    depth: int,
) -> None:
    with pool_to_be_freed(workers=depth) as pool:
        pages = chain(depth)
        job = pool.submit(broken_crawl, "0", pages.__getitem__, pool)
        assert job.result(timeout=60) == depth


@pytest.mark.parametrize("workers", [1, 4])
def test_broken_crawl_waits_for_ever_as_soon_as_every_worker_waits(
    workers: int,
) -> None:
    all_wait = threading.Semaphore(0)
    pages = chain(workers + 1)

    def fetch(page: str) -> list[str]:
        all_wait.release()
        return pages[page]

    with pool_to_be_freed(workers) as pool:
        job = pool.submit(broken_crawl, "0", fetch, pool)
        for _ in range(workers):
            assert all_wait.acquire(timeout=10)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.05)
        assert job.running()
        assert not all_wait.acquire(blocking=False)


def test_cancelling_the_queued_jobs_frees_a_pool_that_hangs() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        job = pool.submit(broken_crawl, "/", links_of, pool)
        with pytest.raises(TimeoutError):
            job.result(timeout=0.05)
        pool.shutdown(wait=False, cancel_futures=True)
        assert type(job.exception(timeout=10)) is CancelledError


def test_leaving_the_with_block_of_a_pool_that_hangs_waits_for_it() -> None:
    pool = ThreadPoolExecutor(max_workers=1)
    submitted, left = threading.Event(), threading.Event()

    def fetch(page: str) -> list[str]:
        return Links(SITE[page], submitted)

    def leave() -> None:
        with pool:
            pool.submit(broken_crawl, "/", fetch, pool)
            assert submitted.wait(timeout=10)
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    assert not left.wait(timeout=0.1)
    pool.shutdown(wait=False, cancel_futures=True)
    assert left.wait(timeout=10)
    thread.join()


def test_a_job_that_submits_to_a_pool_that_is_being_left_gets_an_error() -> (
    None
):
    may_go_on = threading.Event()

    def fetch(page: str) -> list[str]:
        assert may_go_on.wait(timeout=10)
        return SITE[page]

    with ThreadPoolExecutor(max_workers=1) as pool:
        job = pool.submit(broken_crawl, "/", fetch, pool)
        pool.shutdown(wait=False)
        may_go_on.set()
    message = "^cannot schedule new futures after shutdown$"
    with pytest.raises(RuntimeError, match=message):
        job.result()


def test_a_timeout_in_result_ends_the_waiting_and_frees_the_worker() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:

        def outer() -> str:
            inner = pool.submit(str, "ran")
            with pytest.raises(TimeoutError):
                inner.result(timeout=0.01)
            waited_for.append(inner)
            return "ended"

        waited_for: list[Future[str]] = []
        assert pool.submit(outer).result(timeout=10) == "ended"
        assert waited_for[0].result(timeout=10) == "ran"


@pytest.mark.parametrize("workers", [2, 5])
def test_two_jobs_that_wait_for_each_other_hang_in_a_pool_of_any_size(
    workers: int,
) -> None:
    with ThreadPoolExecutor(workers) as pool:
        assert broken_pair(pool, timeout=0.05) == ["TimeoutError"] * 2


def test_cancelling_the_queue_does_not_end_jobs_that_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs: list[Future[None]] = []

    def submit(function: Callable[[int], None], other: int) -> Future[None]:
        jobs.append(pool_submit(function, other))
        if len(jobs) == 2:
            while not all(job.running() for job in jobs):
                time.sleep(0.001)
            pool.shutdown(wait=False, cancel_futures=True)
        return jobs[-1]

    with ThreadPoolExecutor(max_workers=2) as pool:
        pool_submit = pool.submit
        monkeypatch.setattr(pool, "submit", submit)
        assert broken_pair(pool, timeout=0.05) == ["TimeoutError"] * 2


def test_a_callback_that_waits_for_its_own_pool_hangs_in_its_worker() -> None:
    ended = threading.Event()
    may_end = threading.Event()
    where: list[str] = []
    errors: list[object] = []

    def follow_up(_: Future[bool]) -> None:
        where.append(threading.current_thread().name)
        try:
            pool.submit(str).result()
        except CancelledError as error:
            errors.append(error)
        ended.set()

    with pool_to_be_freed(workers=1) as pool:
        job = pool.submit(may_end.wait, 10)
        job.add_done_callback(follow_up)
        may_end.set()
        assert job.result(timeout=10)
        assert not ended.wait(timeout=0.05)
    assert where[0].startswith("ThreadPoolExecutor")
    assert len(errors) == 1


def test_a_callback_that_only_submits_does_not_hang() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        found: Future[Future[str]] = Future()
        job = pool.submit(str)
        job.add_done_callback(
            lambda _: found.set_result(pool.submit(str, "ran"))
        )
        assert found.result(timeout=10).result(timeout=10) == "ran"


def test_executors_and_pools_of_processes_do_not_travel_to_a_worker() -> None:
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(1, mp_context=context)
    with pytest.raises(TypeError, match=r"^cannot pickle '_thread.lock' obj"):
        pickle.dumps(executor)
    executor.shutdown()
    message = "^pool objects cannot be passed between processes or pickled$"
    with (
        context.Pool(1) as pool,
        pytest.raises(NotImplementedError, match=message),
    ):
        pickle.dumps(pool)


IN_A_FORKED_WORKER = """
import multiprocessing, os, signal, threading
from concurrent.futures import ProcessPoolExecutor

def inner():
    return "ran"

def outer():
    started.set()
    return executor.submit(inner).result()

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    started = context.Event()
    executor = ProcessPoolExecutor(1, mp_context=context)
    job = executor.submit(outer)
    assert started.wait(10)
    try:
        job.result(timeout=0.2)
    except TimeoutError:
        print("still waiting")
    for process in multiprocessing.active_children():
        process.kill()
    print(type(job.exception(10)).__name__)
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"
)
def test_a_forked_worker_that_submits_to_its_executor_waits_for_ever() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_FORKED_WORKER],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert run.stdout.split("\n")[:2] == ["still waiting", "BrokenProcessPool"]


HANGING = """
import faulthandler, threading
from concurrent.futures import ThreadPoolExecutor
from cookbook.deadlocks.nested_submit import *

submitted = threading.Event()
def links_of(page):
    yield from SITE[page]
    submitted.set()

pool = ThreadPoolExecutor(max_workers=1)
pool.submit(broken_crawl, "/", links_of, pool)
submitted.wait(10)
faulthandler.dump_traceback_later(0.2, exit=True)
"""


def test_faulthandler_shows_the_line_where_each_worker_waits_for_ever() -> (
    None
):
    run = subprocess.run(
        [sys.executable, "-c", HANGING],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        timeout=60,
    )
    lines, first = inspect.getsourcelines(broken_crawl)
    where = first + [".result()" in line for line in lines].index(True)
    assert run.returncode == 1
    assert f'nested_submit.py", line {where} in' in run.stderr
