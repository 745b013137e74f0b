"""What the recipe says of the limits of a speed-up, shown to be so."""

import errno
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cookbook.measuring import amdahl as recipe
from cookbook.measuring.amdahl import (
    amdahl,
    broken_parts,
    map_longest_first,
    schedule,
    speed_up,
)
from cookbook.primes import PRIMES, WORKERS, is_prime

METHODS = multiprocessing.get_all_start_methods()
ONE = multiprocessing.get_context(METHODS[0])
NO_NUMBER: Any = "eight"
SEVEN = [number % 2 for number in PRIMES]

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.mark.parametrize(
    ("serial", "workers", "times"),
    [(0, 8, 8), (1, 8, 1), (0.5, 2, 4 / 3), (0.1, 9, 5), (0.25, 1, 1)],
)
def test_a_serial_share_limits_the_speed_up_as_amdahl_says(
    serial: float, workers: int, times: float
) -> None:
    assert amdahl(serial, workers) == pytest.approx(times)


def test_a_measured_speed_up_gives_the_serial_share_back() -> None:
    for serial in 0.0, 0.1, 0.5, 1.0:
        for workers in 2, 3, 8:
            found = workers / amdahl(serial, workers) - 1
            assert found / (workers - 1) == pytest.approx(serial)


@pytest.mark.parametrize("serial", [0.1, 0.5])
def test_no_number_of_workers_gets_past_one_over_the_serial_share(
    serial: float,
) -> None:
    assert 0.99 / serial < amdahl(serial, 10_000) < 1 / serial


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_law_is_what_a_pool_does_with_equal_jobs_after_serial_work(
    workers: int,
) -> None:
    jobs = [0.75 / workers] * workers
    times = speed_up(jobs, workers, serial=0.25)
    assert times == pytest.approx(amdahl(0.25, workers))


def test_each_job_goes_to_the_worker_that_is_free_first() -> None:
    assert schedule([4, 1, 1, 1, 1, 2], 2) == [[4, 2], [1, 1, 1, 1]]
    assert schedule([2, 1, 3], 3) == [[2], [1], [3]]
    assert schedule([5], 2) == [[5], []]
    assert schedule([], 2) == [[], []]


lengths_of_jobs = st.lists(st.integers(0, 9), min_size=1, max_size=6)


@given(lengths_of_jobs, st.integers(1, 4))
def test_no_run_is_shorter_than_its_longest_job_or_its_share_of_the_work(
    lengths: list[int], workers: int
) -> None:
    shares = schedule(lengths, workers)
    assert sorted(chain(*shares)) == sorted(lengths)
    longest = max(map(sum, shares))
    assert longest >= max(lengths)
    assert longest >= sum(lengths) / workers


@given(lengths_of_jobs, st.integers(2, 3))
def test_longest_first_takes_at_most_a_third_longer_than_the_best_schedule(
    lengths: list[int], workers: int
) -> None:
    def end(given_to: Sequence[int]) -> int:
        shares = [0] * workers
        for number, length in zip(given_to, lengths, strict=True):
            shares[number] += length
        return max(shares)

    best = min(map(end, product(range(workers), repeat=len(lengths))))
    first = schedule(sorted(lengths, reverse=True), workers)
    assert max(map(sum, first)) * 3 <= best * 4


def begun(gate: Path) -> int | None:
    """Return a descriptor to write to a job with, if it has begun."""
    try:
        return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads
            return None
        raise


def virtual_time(
    run: Callable[[list[Path]], object],
    parts: Sequence[Sequence[int]],
    workers: int,
    folder: Path,
) -> int:
    """Return when *run* ends by a clock that moves when all workers work.

    Each job waits at a gate of its own. The gate opens when the clock has
    moved by the length of the job, and the clock moves when as many jobs have
    begun as there are workers with something to do.
    """
    lengths = [length for part in parts for length in part]
    gates = [folder / f"gate {number}" for number in range(len(lengths))]
    for gate in gates:
        os.mkfifo(gate)
    thread = threading.Thread(target=run, args=[gates])
    thread.start()
    now = 0
    waiting = dict(enumerate(gates))
    left = [len(part) for part in parts]
    part_of = [number for number, part in enumerate(parts) for _ in part]
    at_work: dict[int, tuple[int, int]] = {}
    deadline = time.monotonic() + 60
    while waiting or at_work:
        while len(at_work) < min(workers, sum(map(bool, left))):
            if time.monotonic() > deadline:
                for gate in waiting.values():
                    gate.unlink()
                for _, writer in at_work.values():
                    os.close(writer)
                thread.join()
                pytest.fail(f"only {sorted(at_work)} at work at {now}")
            time.sleep(0.001)
            for number, gate in list(waiting.items()):
                if (opened := begun(gate)) is not None:
                    at_work[number] = now + lengths[number], opened
                    del waiting[number]
        number = min(at_work, key=lambda number: at_work[number])
        now, writer = at_work.pop(number)
        os.close(writer)
        left[part_of[number]] -= 1
    thread.join()
    return now


@posix
@every_method
@pytest.mark.parametrize(
    ("lengths", "workers", "end"),
    [(SEVEN, 2, 2), (SEVEN, 3, 1), (range(1, 9), 2, 18)],
)
def test_a_pool_that_begins_with_the_longest_ends_when_it_is_computed_to(
    method: str,
    lengths: Sequence[int],
    workers: int,
    end: int,
    tmp_path: Path,
) -> None:
    def run(gates: list[Path]) -> None:
        of = dict(zip(gates, lengths, strict=True))
        map_longest_first(
            Path.read_text,
            gates,
            length=of.__getitem__,
            workers=workers,
            context=multiprocessing.get_context(method),
        )

    jobs = [[length] for length in lengths]
    assert virtual_time(run, jobs, workers, tmp_path) == end
    first = sorted(lengths, reverse=True)
    assert speed_up(first, workers) == sum(lengths) / end


def in_pool(gates: list[Path], method: str, *, size: int) -> None:
    """Run the jobs in the order given, in two processes."""
    with multiprocessing.get_context(method).Pool(2) as pool:
        pool.map(Path.read_text, gates, size)


@posix
@every_method
def test_a_pool_takes_the_jobs_in_order_and_the_last_one_may_run_alone(
    method: str, tmp_path: Path
) -> None:
    run = partial(in_pool, method=method, size=1)
    lengths = [1, 1, 1, 1, 4]
    jobs = [[length] for length in lengths]
    assert virtual_time(run, jobs, 2, tmp_path) == 6
    assert speed_up(lengths, 2) == 8 / 6


@posix
def test_a_chunk_is_one_job_and_two_of_them_end_as_parts_do(
    tmp_path: Path,
) -> None:
    run = partial(in_pool, method=METHODS[0], size=4)
    parts = broken_parts(range(1, 9), 2)
    assert virtual_time(run, parts, 2, tmp_path) == 26


@posix
def test_with_one_part_for_each_worker_the_short_part_waits_for_the_long(
    tmp_path: Path,
) -> None:
    def work(part: Iterable[Path]) -> None:
        for gate in part:
            gate.read_text()

    def run(gates: list[Path]) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, broken_parts(gates, 2)))

    parts = broken_parts(range(1, 9), 2)
    assert [sum(part) for part in parts] == [10, 26]
    assert virtual_time(run, parts, 2, tmp_path) == 26


@pytest.mark.parametrize(("jobs", "sizes"), [(7, [3, 3, 1]), (2, [1, 1])])
def test_the_parts_hold_every_item_once_in_order(
    jobs: int, sizes: list[int]
) -> None:
    parts = broken_parts(range(jobs), 3)
    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == list(range(jobs))


@every_method
def test_the_answers_come_in_the_order_of_the_items_whatever_runs_first(
    method: str,
) -> None:
    asked = []

    def length(item: str) -> int:
        asked.append(item)
        return len(item)

    answers = map_longest_first(
        str.upper,
        iter(["bb", "a", "ccc", "a"]),
        length=length,
        workers=2,
        context=multiprocessing.get_context(method),
    )
    assert answers == ["BB", "A", "CCC", "A"]
    assert asked == ["bb", "a", "ccc", "a"]


def test_no_items_give_no_answers() -> None:
    assert map_longest_first(abs, [], length=abs, context=ONE) == []


def test_an_error_in_a_job_is_raised_here_with_its_own_message() -> None:
    with pytest.raises(TypeError, match="n must be an int, not 'eight'"):
        map_longest_first(
            is_prime,
            [7, NO_NUMBER, 9],
            length=lambda _: 1,
            workers=1,
            context=ONE,
        )


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"items": 7}, TypeError, "^'int' object is not iterable$"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    given_to: Any = {"items": [7], "context": starts_nothing} | options
    with pytest.raises(error, match=text):
        map_longest_first(is_prime, length=abs, **given_to)


@pytest.mark.parametrize(
    ("compute", "text"),
    [
        (partial(amdahl, -0.1, 2), "^serial must be from 0 to 1, not -0.1$"),
        (partial(amdahl, 1.1, 2), "^serial must be from 0 to 1, not 1.1$"),
        (partial(amdahl, 0.1, 0), "^workers must be at least 1, not 0$"),
        (partial(schedule, [1], 0), "^workers must be at least 1, not 0$"),
        (partial(schedule, [1, -2], 2), "^no job takes -2$"),
        (partial(speed_up, [0, 0], 2), "^there is no work$"),
        (partial(speed_up, [], 2), "^there is no work$"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_value(
    compute: Callable[[], object], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        compute()


def test_only_serial_work_is_no_faster_with_any_number_of_workers() -> None:
    assert speed_up([], 8, serial=3) == 1


def test_there_are_as_many_workers_as_asked_for_and_four_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(recipe, "ProcessPoolExecutor", pool)
    map_longest_first(abs, [1], length=abs, context=ONE)
    assert pool.mock_calls == [call(WORKERS, mp_context=ONE)]
