"""What the recipe says of timing two ways, shown to be so."""

import asyncio
import gc
import inspect
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.measuring.time_it_right import (
    broken_time,
    check_result,
    in_fresh_processes,
    speed_up,
    time_in_turns,
)

posix = pytest.mark.skipif(os.name == "nt", reason="needs a named pipe")


class Machine:
    """A machine whose time passes only when it works.

    It gets busier: each call takes *slower* times as long as the one before.
    """

    def __init__(self, slower: float = 1.0) -> None:
        self.now, self.load, self.slower = 0.0, 1.0, slower
        self.calls: list[str] = []

    def clock(self) -> float:
        """Return what the clock shows."""
        return self.now

    def way(
        self, name: str, seconds: float, first: float = 0.0
    ) -> Callable[[], str]:
        """Return a way that takes *seconds*, and *first* more at first."""

        def work() -> str:
            if name not in self.calls:
                self.now += first
            self.calls.append(name)
            self.now += seconds * self.load
            self.load *= self.slower
            return name

        return work


def test_each_way_is_called_once_untimed_and_then_once_in_each_round() -> None:
    machine = Machine()
    ways = {"a": machine.way("a", 1.0), "b": machine.way("b", 2.0)}
    times = time_in_turns(ways, rounds=3, clock=machine.clock)
    assert times == {"a": [1.0, 1.0, 1.0], "b": [2.0, 2.0, 2.0]}
    assert machine.calls[:2] == ["a", "b"]
    assert len(machine.calls) == 8


def test_every_other_round_goes_backwards() -> None:
    machine = Machine()
    ways = {name: machine.way(name, 1.0) for name in "abc"}
    time_in_turns(ways, rounds=3, clock=machine.clock)
    assert "".join(machine.calls) == "abc" + "abc" + "cba" + "abc"


def test_what_the_first_call_pays_for_is_in_no_time() -> None:
    machine = Machine()
    ways = {
        "loop": machine.way("loop", 2.0),
        "pool": machine.way("pool", 1.0, first=50.0),
    }
    times = time_in_turns(ways, clock=machine.clock)
    assert speed_up(times, "pool", "loop") == (2.0, 2.0, 2.0)


def test_a_single_call_of_each_finds_the_faster_way_slower() -> None:
    machine = Machine()
    pool = broken_time(machine.way("pool", 1.0, first=50.0), machine.clock)
    loop = broken_time(machine.way("loop", 2.0), machine.clock)
    assert pool / loop == 25.5


def test_in_turns_a_machine_that_gets_busy_favours_no_way() -> None:
    machine = Machine(slower=1.1)
    ways = {"a": machine.way("a", 1.0), "b": machine.way("b", 1.0)}
    times = time_in_turns(ways, rounds=8, clock=machine.clock)
    _, low, high = speed_up(times, "a", "b")
    assert (low, high) == pytest.approx((1 / 1.1, 1.1))
    assert times["a"][-1] > 2 * times["a"][0]


def test_one_after_the_other_a_machine_that_gets_busy_favours_the_first() -> (
    None
):
    machine = Machine(slower=1.1)
    way = machine.way("same", 1.0)
    first = sum(broken_time(way, machine.clock) for _ in range(8))
    second = sum(broken_time(way, machine.clock) for _ in range(8))
    assert second > 2 * first


def test_seven_rounds_are_timed_in_seconds_by_default() -> None:
    parameters = inspect.signature(time_in_turns).parameters
    assert parameters["clock"].default is time.perf_counter
    assert parameters["rounds"].default == 7
    times = time_in_turns({"sum": lambda: sum(range(100))})["sum"]
    assert len(times) == 7
    assert min(times) > 0


@pytest.mark.parametrize("rounds", [0, -1])
def test_less_than_one_round_is_refused_before_anything_is_called(
    rounds: int,
) -> None:
    machine = Machine()
    text = f"rounds must be at least 1, not {rounds}"
    with pytest.raises(ValueError, match=text):
        time_in_turns({"a": machine.way("a", 1.0)}, rounds=rounds)
    assert machine.calls == []
    assert time_in_turns({"a": machine.way("a", 1.0)}, rounds=1).keys() == {
        "a"
    }


async def coroutine() -> None:
    raise AssertionError("nobody awaits it")


async def numbers() -> AsyncIterator[int]:
    yield 7


def generator() -> Iterator[int]:
    yield 7


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (generator, "generator"),
        (coroutine, "coroutine"),
        (numbers, "async_generator"),
        (Future, "Future"),
        (lambda: map(abs, [7]), "map"),
        (lambda: [7, Future(), iter("ab")], "Future"),
        (lambda: [coroutine(), coroutine()], "coroutine"),
        (lambda: (7, generator()), "generator"),
        (lambda: {zip([7])}, "zip"),
    ],
)
def test_a_way_that_returns_a_promise_is_refused(
    way: Callable[[], object], kind: str
) -> None:
    text = f"^'lazy' returned a promise, not a result: {kind}$"
    with pytest.raises(TypeError, match=text):
        time_in_turns({"lazy": way})
    gc.collect()  # a coroutine that nobody awaited would warn


def test_a_task_and_a_result_that_a_pool_will_have_are_promises_too() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(TypeError, match=r"a result: (_asyncio\.)?Task$"):
            check_result("lazy", task)
        with pytest.raises(TypeError, match=r"a result: (_asyncio\.)?Task$"):
            check_result("lazy", [task])
        await task

    asyncio.run(main())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        later = pool.map_async(abs, [-7])
        with pytest.raises(TypeError, match=r"a result: MapResult$"):
            check_result("lazy", later)
        with pytest.raises(TypeError, match=r"a result: MapResult$"):
            check_result("lazy", [later])
        with pytest.raises(TypeError, match=r"a result: IMapIterator$"):
            check_result("lazy", pool.imap(abs, [-7]))
        assert later.get() == [7]


@pytest.mark.parametrize("result", [None, 0, [7], (7,), {7}, {7: 7}, "text"])
def test_a_result_is_no_promise_even_if_it_can_be_iterated_over(
    result: object,
) -> None:
    assert time_in_turns({"done": lambda: result}, rounds=1)["done"]


def test_the_time_of_a_coroutine_that_run_runs_contains_its_work() -> None:
    done: list[int] = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(7)

    ways = {"run": lambda: asyncio.run(work())}
    times = time_in_turns(ways, rounds=2, clock=lambda: len(done))
    assert times["run"] == [1, 1]


def test_a_way_that_raises_ends_the_measurement_with_its_error() -> None:
    machine = Machine()
    ways = {
        "good": machine.way("good", 1.0),
        "bad": cast("Callable[[], object]", partial(divmod, 7, 0)),
    }
    with pytest.raises(ZeroDivisionError):
        time_in_turns(ways, clock=machine.clock)
    assert machine.calls == ["good"]


def test_the_speed_up_is_taken_round_by_round_and_its_median_given() -> None:
    times = {"new": [1.0, 9.0, 2.0], "old": [2.0, 9.0, 8.0]}
    assert speed_up(times, "new", "old") == (2.0, 1.0, 4.0)
    assert speed_up(times, "old", "new") == (0.5, 0.25, 1.0)


def test_a_way_that_took_no_time_has_no_speed_up() -> None:
    times = {"a": [1.0, 1.0], "b": [1.0, 0.0]}
    with pytest.raises(ValueError, match="'b' is too short for this clock"):
        speed_up(times, "b", "a")
    assert speed_up(times, "a", "b") == (0.5, 0.0, 1.0)


def test_times_of_unequal_rounds_are_not_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        speed_up({"a": [1.0], "b": [1.0, 2.0]}, "a", "b")


def test_each_measurement_runs_in_a_process_of_its_own() -> None:
    found = in_fresh_processes(os.getpid, 2)
    assert len({os.getpid(), *found}) == 3
    parameters = inspect.signature(in_fresh_processes).parameters
    assert parameters["processes"].default == 3


def test_the_processes_are_started_by_spawn() -> None:
    with patch.object(
        multiprocessing, "get_context", wraps=multiprocessing.get_context
    ) as get_context:
        assert in_fresh_processes(int, 1) == [0]
    get_context.assert_any_call("spawn")


def test_an_error_of_a_measurement_is_raised_in_the_parent() -> None:
    with pytest.raises(ZeroDivisionError):
        in_fresh_processes(partial(divmod, 7, 0), 2)


@posix
def test_imap_of_a_pool_returns_while_the_worker_waits(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    answers: list[Any] = []
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        times = broken_time(
            lambda: answers.append(pool.imap(Path.read_text, [gate]))
        )
        assert times > 0
        gate.write_text("go")  # waits for the reader
        assert list(answers[0]) == ["go"]


def test_the_time_of_a_call_that_waits_for_its_jobs_contains_them() -> None:
    done: list[int] = []

    def way() -> None:
        thread = threading.Thread(target=done.append, args=(7,))
        thread.start()
        thread.join()

    assert broken_time(way, lambda: len(done)) == 1


def test_the_clock_of_time_time_can_be_set_and_that_of_perf_counter_not() -> (
    None
):
    settable = time.get_clock_info("time")
    assert settable.adjustable
    assert not settable.monotonic
    steady = time.get_clock_info("perf_counter")
    assert not steady.adjustable
    assert steady.monotonic


def test_cpu_time_counts_all_threads_of_the_process() -> None:
    def compute() -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass

    def way() -> None:
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()

    times = time_in_turns({"way": way}, rounds=2, clock=time.process_time)
    assert min(times["way"]) >= 0.02


def test_timeit_runs_in_one_process_with_the_garbage_collector_off() -> None:
    setup, statement = "import gc, os", "print(os.getpid(), gc.isenabled())"
    command = [sys.executable, "-m", "timeit", "-n", "2", "-r", "2"]
    ended = subprocess.run(
        [*command, "-s", setup, statement],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    printed = [
        line for line in ended.stdout.splitlines() if line.endswith("False")
    ]
    assert len(printed) == 4
    assert len(set(printed)) == 1
