"""What the recipe says of lost workers, shown to be so."""

import multiprocessing
import operator
import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cookbook.clusters.survive_a_lost_worker import connected, publish_once
from tests.dask_cluster import LIMIT, SCHEDULER, WORKER, Dask


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    """A cluster whose workers the tests kill; two deaths are too many."""
    dask = Dask(
        tmp_path_factory.mktemp("dask"),
        DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="1",
    )
    try:
        dask.start(*SCHEDULER)
        for _ in range(7):  # of which seven die in the tests, in this order
            dask.start(*WORKER)
        yield dask
    finally:
        dask.stop()


@pytest.fixture(scope="module")
def address(dask: Dask) -> str:
    return dask.address


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    with connected(address, 1) as client:
        yield client


def pids(client: Any) -> dict[str, int]:
    """Return the process of each worker that the scheduler knows, by name."""
    found: dict[str, int] = client.run(os.getpid, on_error="ignore")
    return found


def kill(client: Any, pid: int) -> None:
    """Kill a worker, and wait until the scheduler knows."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in pids(client).values())


def wait_until(true: Callable[[], object]) -> None:
    """Wait for a condition, for as long as a busy machine may take."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_answer_that_only_a_dead_worker_held_is_computed_again(
    client: Any, dask: Dask
) -> None:
    answer = client.submit(os.getpid, pure=False)
    first = answer.result(timeout=LIMIT)
    kill(client, first)
    assert answer.result(timeout=LIMIT) != first
    assert (
        "caused the cluster to lose already computed task(s),"
        " which will be recomputed elsewhere"
    ) in dask.log


def test_data_that_was_sent_to_a_dead_worker_alone_is_lost(
    client: Any, dask: Dask
) -> None:
    from distributed.client import FutureCancelledError

    [address, pid], *_ = pids(client).items()
    [lost] = client.scatter([1], workers=[address])
    kept = client.scatter(2, broadcast=True)
    kill(client, pid)
    with pytest.raises(FutureCancelledError):
        lost.result(timeout=LIMIT)
    assert kept.result(timeout=LIMIT) == 2
    assert (
        "caused the cluster to lose scattered data, which can't be recovered"
    ) in dask.log


def test_a_job_that_kills_its_workers_is_given_up_whatever_the_retries(
    client: Any,
) -> None:
    from distributed import KilledWorker

    killer = client.submit(
        signal.raise_signal, signal.SIGKILL, retries=5, key="killer"
    )
    text = (
        "^Attempted to run task 'killer' on 2 different workers, but all"
        " those workers died while running it"
    )
    with pytest.raises(KilledWorker, match=text):
        killer.result(timeout=LIMIT)
    wait_until(lambda: len(pids(client)) == 3)


def test_a_job_that_waits_for_its_turn_at_workers_that_die_is_given_up_too(
    client: Any,
) -> None:
    from distributed import KilledWorker

    where = pids(client)
    del where[min(where)]
    busy = [
        client.submit(time.sleep, 600, workers=[address], pure=False)
        for address in where
    ]
    wait_until(lambda: sum(map(len, client.processing().values())) == 2)
    waits = client.submit(operator.neg, 1, workers=list(where))
    for _ in where:

        def at() -> list[str]:
            jobs = client.processing()
            return [one for one in where if waits.key in jobs.get(one, ())]

        wait_until(at)
        kill(client, where[at()[0]])
    with pytest.raises(KilledWorker, match=r"on 2 different workers"):
        waits.result(timeout=LIMIT)
    del busy


def test_without_workers_a_job_waits(client: Any) -> None:
    for pid in pids(client).values():
        kill(client, pid)
    job = client.submit(operator.add, 40, 2)
    with pytest.raises(TimeoutError):
        job.result(timeout=0.1)
    assert job.status == "pending"


@pytest.mark.parametrize("retries", [0, 1])
def test_a_job_that_raises_runs_again_only_if_retries_says_so(
    scheduler: str, tmp_path: Path, retries: int
) -> None:
    seen = tmp_path / "seen"

    def fail_once() -> str:
        try:
            seen.touch(exist_ok=False)
        except FileExistsError:
            return "second time"
        raise ValueError("first time")

    with (
        connected(scheduler, 1) as client,
        client.get_executor(pure=False, retries=retries) as executor,
    ):
        job = executor.submit(fail_once)
        if retries:
            assert job.result(timeout=LIMIT) == "second time"
        else:
            with pytest.raises(ValueError, match="first time"):
                job.result(timeout=LIMIT)


def test_of_threads_that_publish_at_once_one_has_done_it(
    tmp_path: Path,
) -> None:
    barrier = threading.Barrier(4, timeout=60)

    def publish(text: str) -> bool:
        barrier.wait()
        return publish_once(tmp_path, "key", text)

    texts = [name * 10_000 for name in "abcd"]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(publish, texts))
    assert sorted(done) == [False, False, False, True]
    assert (tmp_path / "key").read_text() == texts[done.index(True)]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_run_that_is_killed_before_it_publishes_leaves_the_key_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", lambda *_: signal.raise_signal(9))
    process = multiprocessing.get_context("fork").Process(
        target=publish_once, args=(tmp_path, "key", "half")
    )
    process.start()
    process.join(60)
    monkeypatch.undo()
    assert process.exitcode == -signal.SIGKILL
    [draft] = tmp_path.iterdir()
    assert draft.name.startswith(".")
    assert draft.read_text() == "half"
    assert publish_once(tmp_path, "key", "whole")
    assert (tmp_path / "key").read_text() == "whole"


def test_a_file_created_by_a_run_that_dies_before_it_writes_looks_done(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").open("x").close()  # and here the worker is killed
    with pytest.raises(FileExistsError):
        (tmp_path / "key").open("x")
    assert (tmp_path / "key").read_text() == ""


def test_the_numbers_of_the_page_are_the_defaults_of_dask() -> None:
    import distributed
    from dask.config import get

    assert distributed.Client
    assert get("distributed.scheduler.allowed-failures") == 3
    assert get("distributed.scheduler.worker-ttl") == "5 minutes"
    assert get("distributed.worker.memory.terminate") == 0.95
