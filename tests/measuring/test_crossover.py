"""What the recipe says of the length of a job, shown to be so."""

import multiprocessing
import operator
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest.mock import Mock, call

import pytest

from cookbook.measuring import crossover as recipe
from cookbook.measuring.crossover import (
    JOBS,
    ROUNDS,
    Costs,
    Counted,
    broken_map_batches,
    crossover,
    items_in_a_job,
    map_batches,
    measured,
    nothing,
    worker_of,
)
from cookbook.primes import WORKERS

METHODS = multiprocessing.get_all_start_methods()
ONE = multiprocessing.get_context(METHODS[0])

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize("workers", [2, 3, 8, 100])
def test_at_the_cross_over_the_pool_takes_as_long_as_the_loop(
    workers: int,
) -> None:
    for cost in 90e-6, 0.02:
        work = crossover(cost, workers)
        assert work == pytest.approx(cost + work / workers)


@pytest.mark.parametrize("workers", [1, 0])
def test_fewer_than_two_workers_save_nothing_and_are_refused(
    workers: int,
) -> None:
    text = f"^workers must be at least 2, not {workers}$"
    with pytest.raises(ValueError, match=text):
        crossover(90e-6, workers)


@pytest.mark.parametrize("workers", [1, 2, 50])
def test_ten_elevenths_of_the_workers_time_is_work_in_jobs_of_this_size(
    workers: int,
) -> None:
    costs = Costs(start=0.02, job=90e-6, item=1e-9)
    items = items_in_a_job(costs, workers)
    work = items * costs.item / workers
    assert work / (work + costs.job) == pytest.approx(10 / 11)


def test_long_items_go_one_by_one_and_more_go_together_on_demand() -> None:
    costs = Costs(start=0.02, job=1e-4, item=1e-2)
    assert items_in_a_job(costs, workers=2) == 1
    assert items_in_a_job(costs, workers=2, times=1000) == 20


class Clock:
    """A clock that is read for its script, and notes when."""

    def __init__(self, *spans: float) -> None:
        self.log: list[str] = []
        self._readings = iter(
            reading
            for number, span in enumerate(spans)
            for reading in (number * 1000.0, number * 1000.0 + span)
        )

    def __call__(self) -> float:
        """Return the next time of the script."""
        self.log.append("clock")
        return next(self._readings)


@every_method
def test_costs_are_the_start_the_median_round_and_the_loop_by_the_clock(
    method: str,
) -> None:
    costs = measured(
        abs,
        [-1, -2, -3, -4],
        workers=2,
        context=multiprocessing.get_context(method),
        clock=Clock(0.5, 8.0, 4.0, 1.0, 2.0, 3.0, 6.0),
    )
    assert costs == Costs(start=0.5, job=3.0 / JOBS, item=6.0 / 4)


def test_a_pool_is_started_and_ended_in_the_first_span_and_the_work_is_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(*[1.0] * (ROUNDS + 2))

    class Pool:
        def __init__(self, workers: int, **options: object) -> None:
            clock.log.append(f"{workers} workers")
            assert options == {"mp_context": ONE}

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            clock.log.append("end")

        def map(
            self, function: Callable[[str], None], items: list[str]
        ) -> Iterator[None]:
            clock.log.append(f"{len(items)} jobs")
            return map(function, items)

    monkeypatch.setattr(recipe, "ProcessPoolExecutor", Pool)
    worked_in = []

    def work(item: str) -> None:
        clock.log.append(item)
        worked_in.append(os.getpid())

    measured(work, ["a", "b"], workers=3, context=ONE, clock=clock)
    assert clock.log == [
        *("clock", "3 workers", "3 jobs", "end", "clock"),
        "3 workers",
        *("clock", f"{JOBS} jobs", "clock") * ROUNDS,
        "end",
        *("clock", "a", "b", "clock"),
    ]
    assert worked_in == [os.getpid()] * 2


class Item:
    """Counts how often it is sent, and arrives as a zero."""

    sent = 0

    def __reduce__(self) -> tuple[type[int], tuple[()]]:
        self.sent += 1
        return int, ()


def test_each_empty_job_is_sent_an_item_of_yours_and_sends_nothing_back() -> (
    None
):
    items = [Item(), Item()]
    measured(id, items, workers=2, context=ONE)
    assert [item.sent for item in items] == [1 + ROUNDS * JOBS / 2] * 2
    answer: Callable[[object], object] = nothing
    assert answer(items) is None


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"items": []}, ValueError, "^there are no items to measure$"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_clock_is_read(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    clock = Clock()
    given: Any = {"items": [7], "clock": clock} | options
    with pytest.raises(error, match=text):
        measured(abs, **given)
    assert clock.log == []


def test_an_error_in_the_work_is_raised_and_no_process_stays() -> None:
    with pytest.raises(ZeroDivisionError):
        measured(partial(operator.truediv, 1), [0], workers=1, context=ONE)


@pytest.mark.parametrize(
    ("method", "size", "messages"),
    [(METHODS[0], 1, 6), (METHODS[0], 1000, 2)]
    + [(method, 2, 4) for method in METHODS],
)
def test_one_pool_does_all_batches_with_a_message_for_each_size_items(
    method: str, size: int, messages: int
) -> None:
    job = Counted(worker_of)
    context = multiprocessing.get_context(method)
    names = map_batches(
        job, [range(3), range(3)], size=size, workers=1, context=context
    )
    assert [len(batch) for batch in names] == [3, 3]
    assert len({name for batch in names for name in batch}) == 1
    assert job.sent == messages


@every_method
def test_broken_starts_workers_for_each_batch_and_sends_each_item_alone(
    method: str,
) -> None:
    job = Counted(worker_of)
    context = multiprocessing.get_context(method)
    names = broken_map_batches(
        job, [range(3), range(3)], workers=1, context=context
    )
    assert [len(set(batch)) for batch in names] == [1, 1]
    assert len({name for batch in names for name in batch}) == 2
    assert job.sent == 6


def test_both_give_the_answers_of_each_batch_in_the_order_of_its_items() -> (
    None
):
    batches = [[-3, 1, -2], [], [-4]]
    right = [[3, 1, 2], [], [4]]
    assert map_batches(abs, batches, size=2, context=ONE) == right
    assert broken_map_batches(abs, batches, workers=2, context=ONE) == right


def two_that_meet(gate: Path) -> list[Callable[[], object]]:
    """Return two jobs that end only if they run at the same time."""
    os.mkfifo(gate)
    return [
        partial(Path.read_text, gate),
        partial(Path.write_text, gate, "met"),
    ]


@posix
@every_method
def test_in_one_pool_two_jobs_of_a_batch_run_at_the_same_time(
    method: str, tmp_path: Path
) -> None:
    answers = map_batches(
        operator.call,
        [two_that_meet(tmp_path / "gate")],
        size=1,
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert answers == [["met", 3]]


@posix
@every_method
def test_broken_sends_no_job_while_another_runs_though_a_worker_is_idle(
    method: str, tmp_path: Path
) -> None:
    gates = [tmp_path / "one", tmp_path / "two"]
    for gate in gates:
        os.mkfifo(gate)
    job = Counted(Path.read_text)
    context = multiprocessing.get_context(method)
    answers: list[list[str]] = []

    def run() -> None:
        answers.extend(
            broken_map_batches(job, [gates], workers=2, context=context)
        )

    thread = threading.Thread(target=run)
    thread.start()
    for number, gate in enumerate(gates, 1):
        with gate.open("w", encoding="utf-8") as writer:  # waits for the job
            assert job.sent == number
            writer.write(f"job {number}")
    thread.join()
    assert answers == [["job 1", "job 2"]]


def test_apply_of_a_pool_sends_no_job_before_the_answer_of_the_last() -> None:
    job: Counted[int, int] = Counted(abs)
    with ONE.Pool(2) as pool:
        for number in range(3):
            assert job.sent == number
            assert pool.apply(job, (-number,)) == number


def test_a_batch_is_read_when_the_one_before_it_is_done() -> None:
    job: Counted[int, int] = Counted(abs)
    seen = []

    def batches() -> Iterator[list[int]]:
        for _ in range(3):
            seen.append(job.sent)
            yield [1, 2]

    map_batches(job, batches(), size=2, workers=1, context=ONE)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"size": 0}, ValueError, "^size must be at least 1, not 0$"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    given: Any = {"size": 2, "context": starts_nothing} | options
    with pytest.raises(error, match=text):
        map_batches(abs, [[7]], **given)


def test_there_are_as_many_workers_as_asked_for_and_four_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(recipe, "ProcessPoolExecutor", pool)
    map_batches(abs, [[1]], size=1, context=ONE)
    broken_map_batches(abs, [[1]], context=ONE)
    measured(abs, [1], context=ONE)
    assert pool.mock_calls == [call(WORKERS, mp_context=ONE)] * 4
