"""What the recipe says of Dask's executor, shown to be so."""

import functools
import importlib
import inspect
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.clusters import real_cluster
from cookbook.clusters.executor_on_a_cluster import (
    broken_draw_tokens,
    connected,
    parallelism_with_cluster_executor,
)
from cookbook.primes import PRIMES, WORKERS
from cookbook.testing.without_sleeping import wait_until

DIFFERENT = (
    "^Error during deserialization of the task graph. This frequently\n"
    "occurs if the Scheduler and Client have different environments.\n"
)


def listening() -> Counter[str]:
    """Count the sockets of this process and its children that listen."""
    import psutil

    process = psutil.Process()
    return Counter(
        connection.laddr.ip
        for one in (process, *process.children(recursive=True))
        for connection in one.net_connections()
        if connection.status == psutil.CONN_LISTEN
    )


@pytest.fixture
def client(scheduler: str) -> Iterator[Any]:
    with connected(scheduler, 1) as client:
        yield client


def test_the_address_of_a_scheduler_is_all_that_changes(
    scheduler: str,
) -> None:
    answers = parallelism_with_cluster_executor(
        numbers=iter([97, 100, 2, 1]), address=scheduler
    )
    assert [answer[:2] for answer in answers] == [
        (97, True),
        (100, False),
        (2, True),
        (1, False),
    ]
    assert os.getpid() not in {pid for *_, pid in answers}


def test_without_an_address_it_starts_workers_that_nobody_else_can_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = listening()
    with connected(None, 2) as client:
        info = client.scheduler_info(n_workers=-1)
        workers = info["workers"].values()
        assert [one["nthreads"] for one in workers] == [1, 1]
        hosts = [info["address"], *info["workers"]]
        assert all(one.startswith("tcp://127.0.0.1:") for one in hosts)
        assert os.getpid() not in client.run(os.getpid).values()
        assert set(listening() - before) == {"127.0.0.1"}
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_the_dashboard_listens_everywhere_unless_an_address_is_named() -> None:
    from distributed import LocalCluster

    default = inspect.signature(LocalCluster).parameters["dashboard_address"]
    assert default.default == ":8787"
    before = listening()
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0"):
        assert sum((listening() - before).values()) == 2
        assert "0.0.0.0" in listening() - before


def test_equal_jobs_run_once_unless_the_executor_is_told_otherwise(
    client: Any, scheduler: str
) -> None:
    assert len(set(broken_draw_tokens(3, address=scheduler))) == 1
    with client.get_executor(pure=False) as executor:
        drawn = [executor.submit(secrets.token_hex) for _ in range(3)]
        assert len({one.result() for one in drawn}) == 3


@pytest.mark.parametrize(("options", "runs"), [({}, 1), ({"pure": False}, 2)])
def test_a_job_with_an_effect_has_it_once_for_equal_arguments(
    client: Any, tmp_path: Path, options: dict[str, bool], runs: int
) -> None:
    log = tmp_path / "log"

    def visit(_: str) -> None:
        with log.open("a") as lines:
            lines.write("visit\n")

    with client.get_executor(**options) as executor:
        list(executor.map(visit, ["home", "home"]))
    assert log.read_text() == "visit\n" * runs


def test_the_recipe_counts_a_number_as_often_as_it_is_given(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    asked: list[object] = []
    get_executor = Client.get_executor

    def note(client: Any, **options: object) -> object:
        asked.append(options)
        return get_executor(client, **options)

    monkeypatch.setattr(Client, "get_executor", note)
    answers = parallelism_with_cluster_executor(
        numbers=[7, 7], address=scheduler
    )
    assert [answer[:2] for answer in answers] == [(7, True)] * 2
    assert asked == [{"pure": False}]


@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    numbers: object, workers: object, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        parallelism_with_cluster_executor(
            numbers=cast("Any", numbers),
            workers=cast("Any", workers),
            address="nowhere://",
        )


def test_without_arguments_it_tests_the_numbers_of_the_core() -> None:
    parameters = inspect.signature(
        parallelism_with_cluster_executor
    ).parameters
    assert parameters["numbers"].default is PRIMES
    assert parameters["workers"].default is WORKERS
    assert parameters["address"].default is None


def test_an_error_of_a_job_is_raised_with_the_lines_of_the_worker(
    scheduler: str,
) -> None:
    numbers: list[Any] = [7, "eight"]
    text = "^n must be an int, not 'eight'$"
    with pytest.raises(TypeError, match=text) as caught:
        parallelism_with_cluster_executor(numbers=numbers, address=scheduler)
    names = [
        one.name for one in traceback.extract_tb(caught.value.__traceback__)
    ]
    assert names[-2:] == ["is_prime_with_pid", "is_prime"]


def test_after_an_error_jobs_that_no_worker_has_begun_are_cancelled(
    client: Any, tmp_path: Path
) -> None:
    log, gate = tmp_path / "log", tmp_path / "gate"

    def work(n: int) -> None:
        if n == 0:
            raise ValueError("the first")
        with log.open("a") as lines:
            lines.write(f"{n}\n")
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    with client.get_executor(pure=False) as executor:
        with pytest.raises(ValueError, match="the first"):
            list(executor.map(work, range(20)))
        gate.touch()
    assert len(log.read_text().split()) < 19


def test_after_a_timeout_jobs_not_begun_are_cancelled_and_others_go_on(
    client: Any, tmp_path: Path
) -> None:
    begun, ended, gate = (tmp_path / name for name in ("begun", "ended", "go"))

    def work(n: int) -> None:
        with begun.open("a") as lines:
            lines.write(f"{n}\n")
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with ended.open("a") as lines:
            lines.write(f"{n}\n")

    with client.get_executor(pure=False) as executor:
        answers = executor.map(work, range(20), timeout=0.1)
        wait_until(begun.exists)
        with pytest.raises(TimeoutError):
            next(answers)
        gate.touch()
        assert executor.submit(abs, -1).result(timeout=60) == 1  # comes last
        wait_until(ended.exists)
        wait_until(lambda: lines_of(ended) == lines_of(begun))
    assert 0 < len(lines_of(ended)) < 20


def lines_of(path: Path) -> list[str]:
    return sorted(path.read_text().split())


def test_a_lambda_is_sent_along_and_a_module_is_not(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs_of_this_test.py"
    path.write_text("def double(n):\n    return 2 * n\n")
    monkeypatch.syspath_prepend(tmp_path)
    jobs = importlib.import_module("jobs_of_this_test")
    with client.get_executor(pure=False) as executor:
        assert list(executor.map(lambda n: 2 * n, [1, 2])) == [2, 4]
        with pytest.raises(RuntimeError, match=DIFFERENT) as caught:
            list(executor.map(jobs.double, [1, 2]))
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)
        client.upload_file(str(path))
        assert list(executor.map(jobs.double, [1, 2])) == [2, 4]


def test_what_cannot_be_pickled_is_refused_with_its_type_as_the_cause(
    client: Any,
) -> None:
    with client.get_executor(pure=False) as executor:
        text = "Could not serialize object of type LLGExpr"
        with pytest.raises(TypeError, match=text) as caught:
            executor.submit(print, threading.Lock())
        assert "cannot pickle '_thread.lock' object" in str(
            caught.value.__cause__
        )


def test_map_takes_a_timeout_ignores_the_chunksize_and_refuses_buffersize(
    client: Any,
) -> None:
    with client.get_executor(pure=False) as executor:
        assert list(executor.map(abs, [-1, 2], chunksize=0)) == [1, 2]
        text = r"unexpected arguments to map\(\): \['buffersize'\]"
        with pytest.raises(TypeError, match=text):
            executor.map(abs, [-1], buffersize=1)
        with pytest.raises(TimeoutError):
            list(executor.map(time.sleep, [1], timeout=0.1))


def test_map_takes_a_list_and_no_iterator(client: Any) -> None:
    with client.get_executor(pure=False) as executor:
        assert list(executor.map(abs, [-1])) == [1]
        text = "^Dask no longer supports mapping over Iterators or Queues"
        with pytest.raises(TypeError, match=text):
            executor.map(abs, iter([-1]))


def test_submit_keeps_what_is_named_like_an_option_of_its_own(
    client: Any,
) -> None:
    with client.get_executor(pure=False) as executor:
        kept = executor.submit(dict, key="mine", other=1)
        assert kept.result() == {"other": 1}
        passed = executor.submit(functools.partial(dict, key="mine"), other=1)
        assert passed.result() == {"key": "mine", "other": 1}


def test_waiting_for_more_workers_than_there_are_ends_with_its_timeout(
    client: Any,
) -> None:
    with pytest.raises(TimeoutError, match="Only 2/3 workers arrived after"):
        client.wait_for_workers(3, timeout=0.1)


def test_an_address_where_nobody_listens_is_an_oserror_after_the_timeout() -> (
    None
):
    program = (
        "from cookbook.clusters.executor_on_a_cluster import connected\n"
        "with connected('tcp://127.0.0.1:9', 1):\n    pass\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=False,
        env={
            **os.environ,
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "0.5s",
        },
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "OSError: Timed out trying to connect to tcp://127.0.0.1:9 after 0.5 s"
    )


def test_the_defaults_of_dask_are_spawned_workers_and_30_seconds() -> None:
    import distributed
    from dask.config import get

    assert distributed.Client
    assert get("distributed.worker.multiprocessing-method") == "spawn"
    assert get("distributed.comm.timeouts.connect") == "30s"


def test_with_a_certificate_it_joins_a_cluster_that_speaks_tls() -> None:
    with real_cluster.cluster("127.0.0.1", "127.0.0.1") as (address, security):
        answers = parallelism_with_cluster_executor(
            numbers=[2, 9], address=address, security=security
        )
    assert [answer[:2] for answer in answers] == [(2, True), (9, False)]
