"""What the recipe says of the number of workers, shown to be so."""

import math
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from cookbook.processes import how_many_workers
from cookbook.processes.how_many_workers import (
    broken_workers,
    cpu_quota,
    on_one_cpu,
    usable_cpus,
    workers_for,
)

MACHINE = os.cpu_count() or 1
SEES_AFFINITY = sys.version_info >= (3, 13)

affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity"
)


def set_cpus(monkeypatch: pytest.MonkeyPatch, cpus: int) -> None:
    """Let the recipe find so many CPUs, whatever the machine has."""
    monkeypatch.setattr(how_many_workers, "usable_cpus", lambda: cpus)


@affinity
def test_on_one_cpu_there_is_one_worker_for_any_number_of_jobs() -> None:
    before = os.sched_getaffinity(0)
    with on_one_cpu():
        assert usable_cpus() == workers_for(100) == 1
    assert os.sched_getaffinity(0) == before
    assert usable_cpus() == len(before)


@affinity
def test_on_one_cpu_the_count_of_the_machine_stays_what_it_is() -> None:
    with on_one_cpu():
        assert broken_workers() == multiprocessing.cpu_count() == MACHINE


@affinity
def test_the_affinity_is_restored_when_the_block_raises() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), on_one_cpu():
        raise KeyError
    assert os.sched_getaffinity(0) == before


@affinity
def test_a_process_that_has_its_last_cpu_only_stays_on_that_one() -> None:
    before = os.sched_getaffinity(0)
    last = {max(before)}
    os.sched_setaffinity(0, last)
    try:
        with on_one_cpu():
            assert os.sched_getaffinity(0) == last
        assert os.sched_getaffinity(0) == last
    finally:
        os.sched_setaffinity(0, before)


def test_a_system_without_affinity_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    text = "^this system does not set CPU affinity$"
    with pytest.raises(RuntimeError, match=text), on_one_cpu():
        pytest.fail("the block was entered")


def test_where_nothing_else_is_known_the_cpus_of_the_machine_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "process_cpu_count", lambda: None, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cpus() == (1 if SEES_AFFINITY else 3)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == broken_workers() == 1


@pytest.mark.parametrize(
    ("cpus", "jobs", "quota", "workers"),
    [
        (8, 100, math.inf, 8),
        (8, 5, math.inf, 5),
        (8, 0, math.inf, 1),
        (8, 100, 1.5, 2),
        (8, 100, 0.1, 1),
        (8, 100, 0.0, 1),
        (8, 100, 20.0, 8),
    ],
)
def test_jobs_cpus_and_the_quota_each_limit_the_number_of_workers(
    cpus: int,
    jobs: int,
    quota: float,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_cpus(monkeypatch, cpus)
    assert workers_for(jobs, quota=quota) == workers


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        ("max 100000\n", math.inf),
        ("150000 100000\n", 1.5),
        ("200000 100000\n", 2),
    ],
)
def test_the_quota_of_a_container_limits_the_number_of_workers(
    text: str, quota: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert cpu_quota(path) == quota
    assert cpu_quota(tmp_path / "missing") == math.inf
    set_cpus(monkeypatch, 8)
    monkeypatch.setattr(how_many_workers, "cpu_quota", lambda: quota)
    assert workers_for(100) == min(8, math.ceil(min(quota, 8)))


def test_on_windows_there_are_sixty_workers_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_cpus(monkeypatch, 128)
    assert workers_for(1000, quota=math.inf) == (
        60 if os.name == "nt" else 128
    )
    with monkeypatch.context() as patched:
        patched.setattr(os, "name", "nt")
        workers = workers_for(1000, quota=math.inf)
    assert workers == 60


def test_on_windows_an_executor_refuses_sixty_two_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "platform", "win32")
        with pytest.raises(ValueError, match=r"^max_workers must be <= 61$"):
            ProcessPoolExecutor(62)


@pytest.mark.parametrize(
    ("jobs", "quota", "error", "text"),
    [
        ("7", 1, TypeError, "jobs must be an int, not '7'"),
        (True, 1, TypeError, "jobs must be an int, not True"),
        (-1, 1, ValueError, "not 0 or more: jobs=-1, quota=1"),
        (1, -0.5, ValueError, "not 0 or more: jobs=1, quota=-0.5"),
        (1, math.nan, ValueError, "not 0 or more: jobs=1, quota=nan"),
    ],
)
def test_bad_arguments_are_refused_with_their_value(
    jobs: object, quota: float, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=f"^{text}$"):
        workers_for(cast("Any", jobs), quota=quota)


@affinity
def test_pool_and_executor_see_the_affinity_from_python_3_13() -> None:
    expected = 1 if SEES_AFFINITY else MACHINE
    context = multiprocessing.get_context("spawn")
    with on_one_cpu():
        with ProcessPoolExecutor(mp_context=context) as executor:
            assert vars(executor)["_max_workers"] == expected
        with context.Pool() as pool:
            assert vars(pool)["_processes"] == expected


@affinity
def test_a_worker_inherits_the_affinity_and_its_initializer_can_reset_it() -> (
    None
):
    before = os.sched_getaffinity(0)
    context = multiprocessing.get_context("spawn")
    with on_one_cpu():
        with context.Pool(1) as pool:
            assert len(pool.apply(os.sched_getaffinity, [0])) == 1
        with context.Pool(1, os.sched_setaffinity, (0, before)) as pool:
            assert pool.apply(os.sched_getaffinity, [0]) == before


@pytest.mark.parametrize("by", ["option", "variable"])
def test_the_count_can_be_set_from_outside_from_python_3_13(by: str) -> None:
    code = (
        "import os; from cookbook.processes.how_many_workers import *; "
        "print(os.cpu_count(), usable_cpus())"
    )
    option = ["-X", "cpu_count=77"] if by == "option" else []
    variable = {"PYTHON_CPU_COUNT": "77"} if by == "variable" else {}
    shown = subprocess.run(
        [sys.executable, *option, "-c", code],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **variable},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    expected = [77, 77] if SEES_AFFINITY else [MACHINE, usable_cpus()]
    assert [int(one) for one in shown.stdout.split()] == expected
