"""What the recipe says of stress, shown to be so."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from cookbook.testing.every_interleaving import Setup
from cookbook.testing.stress import (
    BrokenCounter,
    Counter,
    Number,
    Round,
    all_add_to,
    all_meet_in_the_gap,
    stress,
)
from tests.exploring import Explore

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_the_counter_with_a_lock_is_right_with_any_number_of_threads(
    threads: int,
) -> None:
    make = partial(all_add_to, Counter)
    assert stress(make, rounds=10, threads=threads) == 0


@pytest.mark.skipif(FREE_THREADED, reason="threads run at once")
def test_a_bare_counter_without_a_lock_passes_every_round_with_the_gil() -> (
    None
):
    assert stress(partial(all_add_to, BrokenCounter), rounds=100) == 0


def test_with_a_call_in_the_gap_the_same_counter_is_wrong_in_every_round() -> (
    None
):
    assert stress(all_meet_in_the_gap, rounds=7) == 7
    assert stress(all_meet_in_the_gap, rounds=2, threads=5) == 2


def two_add(make_counter: Callable[[Number], Counter]) -> Callable[[], Setup]:
    """Return a set-up of two threads that add one."""

    def make() -> Setup:
        number = Number()
        counter = make_counter(number)
        return [counter.add, counter.add], lambda: number.value

    return make


def test_the_lock_keeps_both_updates_wherever_threads_switch_twice(
    explore: Explore,
) -> None:
    explore(
        two_add(Counter),
        "``Counter``: two threads add one, by bytecode",
        right={2: "both updates kept"},
        by="bytecode",
        preemptions=2,
    )


def test_the_counter_that_passed_loses_an_update_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        two_add(BrokenCounter),
        "``BrokenCounter``: two threads add one, by bytecode",
        right={2: "both updates kept"},
        wrong={1: "one update lost"},
        by="bytecode",
        preemptions=2,
    )


@pytest.mark.parametrize("threads", [2, 5])
def test_all_threads_begin_at_once_and_each_runs_the_job_once(
    threads: int,
) -> None:
    rounds: list[list[int]] = []

    def make(number: int) -> Round:
        assert number == threads
        idents: list[int] = []
        rounds.append(idents)
        all_here = threading.Barrier(threads, timeout=10)

        def job() -> None:
            all_here.wait()
            idents.append(threading.get_ident())

        return job, lambda: len(idents) == threads

    assert stress(make, rounds=3, threads=threads) == 0
    assert [len(set(idents)) for idents in rounds] == [threads] * 3


def test_by_default_four_threads_run_a_hundred_rounds() -> None:
    rounds: list[list[None]] = []

    def make(_: int) -> Round:
        jobs: list[None] = []
        rounds.append(jobs)
        return lambda: jobs.append(None), lambda: True

    assert stress(make) == 0
    assert [len(jobs) for jobs in rounds] == [4] * 100


def test_a_job_does_not_begin_before_every_thread_is_there() -> None:
    seen: list[int] = []

    def make(_: int) -> Round:
        return lambda: seen.append(threading.active_count()), lambda: True

    before = threading.active_count()
    assert stress(make, rounds=1, threads=6) == 0
    assert seen == [before + 6] * 6


def test_an_error_of_a_job_is_raised_when_the_threads_of_its_round_end() -> (
    None
):
    ended: list[int] = []
    rounds: list[int] = []

    def make(_: int) -> Round:
        rounds.append(1)
        has_failed = threading.Event()
        tickets = iter(range(3))
        lock = threading.Lock()

        def job() -> None:
            with lock:
                ticket = next(tickets)
            if ticket == 1 and len(rounds) == 2:
                has_failed.set()
                raise OSError("no answer")
            has_failed.wait(timeout=0.05)
            ended.append(len(rounds))

        return job, lambda: True

    with pytest.raises(OSError, match=r"^no answer$"):
        stress(make, rounds=5, threads=3)
    assert len(rounds) == 2
    assert ended == [1, 1, 1, 2, 2]


def test_a_mistake_in_the_job_is_no_race() -> None:
    def job() -> None:
        raise NameError("name 'missing_name' is not defined")

    with pytest.raises(NameError, match="missing_name"):
        stress(lambda _: (job, lambda: False), rounds=10)


def test_a_round_with_a_wrong_result_is_broken() -> None:
    results = iter([True, False, True, False, False])
    assert (
        stress(lambda _: (int, lambda: next(results)), rounds=5, threads=2)
        == 3
    )


@pytest.fixture
def interval() -> Iterator[float]:
    """Set a switch interval of a test's own, and restore it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.003)
    yield sys.getswitchinterval()
    sys.setswitchinterval(before)


def test_the_switch_interval_is_restored_after_the_stress_and_an_error(
    interval: float,
) -> None:
    seen: list[float] = []

    def make(_: int) -> Round:
        seen.append(sys.getswitchinterval())
        if len(seen) > 1:
            raise OSError("no answer")
        return int, lambda: True

    assert stress(make, rounds=1) == 0
    assert sys.getswitchinterval() == interval
    with pytest.raises(OSError, match=r"^no answer$"):
        stress(make)
    assert sys.getswitchinterval() == interval
    assert seen == [pytest.approx(1e-6)] * 2


def test_the_check_takes_the_sum_of_four_and_no_other() -> None:
    add, is_right = all_add_to(Counter, 4)
    verdicts = []
    for _ in range(5):
        add()
        verdicts.append(is_right())
    assert verdicts == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("rounds", "threads"), [(0, 2), (-1, 4), (1, 1), (1, 0)]
)
def test_too_few_rounds_or_threads_are_refused_by_value(
    rounds: int, threads: int
) -> None:
    message = f"^too few: rounds={rounds}, threads={threads}$"
    with pytest.raises(ValueError, match=message):
        stress(lambda _: (int, bool), rounds=rounds, threads=threads)


SHOW = "import sys; print(getattr(sys, '_is_gil_enabled', bool)())"


@pytest.mark.parametrize(
    ("options", "variables"),
    [(["-X", "gil=0"], {}), ([], {"PYTHON_GIL": "0"})],
)
def test_only_a_free_threaded_build_can_switch_the_gil_off(
    options: list[str], variables: dict[str, str]
) -> None:
    run = subprocess.run(
        [sys.executable, *options, "-c", SHOW],
        capture_output=True,
        check=False,
        env=os.environ | variables,
        text=True,
        timeout=60,
    )
    refused = "Disabling the GIL is not supported by this build" in run.stderr
    if FREE_THREADED:
        assert (run.returncode, run.stdout) == (0, "False\n")
    elif sys.version_info >= (3, 13):
        assert run.returncode == 1
        assert refused
    else:  # not even an error; there is no sys._is_gil_enabled() either
        assert run.returncode == 0
        assert not run.stderr


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="sys._is_gil_enabled is of 3.13"
)
def test_the_step_of_the_ci_fails_unless_the_gil_is_off() -> None:
    check = "import sys, cookbook; assert not sys._is_gil_enabled()"
    run = subprocess.run(
        [sys.executable, "-c", check],
        capture_output=True,
        check=False,
        cwd=Path(stress.__code__.co_filename).parents[2],
        env={k: v for k, v in os.environ.items() if k != "PYTHON_GIL"},
        text=True,
        timeout=60,
    )
    assert run.returncode == (0 if FREE_THREADED else 1)
    assert ("AssertionError" in run.stderr) != FREE_THREADED


PARALLEL = """
import threading

idents = set()
all_here = threading.Barrier(4, timeout=10)

def test_meets_itself(num_parallel_threads):
    all_here.wait()
    idents.add(threading.get_ident())
    assert num_parallel_threads == 4
"""


@pytest.mark.skipif(
    not importlib.util.find_spec("pytest_run_parallel"),
    reason="pytest-run-parallel is missing",
)
def test_pytest_run_parallel_runs_a_test_in_many_threads_at_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_it.py").write_text(PARALLEL)
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *("--rootdir", str(tmp_path), "--noconftest"),
            *("--parallel-threads=4", "--iterations=5"),
        ],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout
    assert "1 passed" in run.stdout
