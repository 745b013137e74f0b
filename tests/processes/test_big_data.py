"""What the recipe says of large data, shown by what is pickled."""

import multiprocessing
import os
import pickle
import signal
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cookbook.processes import big_data
from cookbook.processes.big_data import (
    BrokenTable,
    broken_by_method,
    by_path,
    by_range,
    by_slice,
    bytes_sent,
    sum_kept,
    sum_of_file,
    total,
)

METHODS = multiprocessing.get_all_start_methods()
NUMBERS = array("q", range(1, 1001))
SIZE = 8000
SMALL = 300  # bytes of a job that sends no data

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


class Counted:
    """Numbers that count how often they are pickled; copies are plain."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = array("q", numbers)
        self.pickled = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, span: slice) -> Sequence[int]:
        return self.numbers[span]

    def __reduce__(self) -> tuple[Any, tuple[str, list[int]]]:
        self.pickled += 1
        return array, ("q", self.numbers.tolist())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with the numbers."""
    path = tmp_path / "numbers"
    path.write_bytes(NUMBERS)
    return path


@every_method
def test_the_jobs_of_each_way_find_the_sum(method: str, path: Path) -> None:
    context = multiprocessing.get_context(method)
    for jobs in by_path(path, 3), by_slice(NUMBERS, 3):
        assert total(jobs, workers=2, context=context) == sum(NUMBERS)
    jobs = by_range(NUMBERS, 3)
    found = total(jobs, kept=NUMBERS, workers=2, context=context)
    assert found == sum(NUMBERS)


@pytest.mark.parametrize("parts", [1, 4])
def test_jobs_with_a_path_or_a_range_send_no_data(
    path: Path, parts: int
) -> None:
    for jobs in by_path(path, parts), by_range(NUMBERS, parts):
        assert len(jobs) == parts
        assert 0 < bytes_sent(jobs) < parts * SMALL


@pytest.mark.parametrize("parts", [1, 4])
def test_jobs_with_slices_send_each_number_once(parts: int) -> None:
    jobs = by_slice(NUMBERS, parts)
    assert len(jobs) == parts
    assert SIZE < bytes_sent(jobs) < SIZE + parts * SMALL


@pytest.mark.parametrize("parts", [1, 4])
def test_jobs_bound_to_the_data_send_all_of_it_each(parts: int) -> None:
    jobs = broken_by_method(NUMBERS, parts)
    assert len(jobs) == parts
    assert parts * SIZE < bytes_sent(jobs) < parts * (SIZE + SMALL)


def test_bytes_sent_is_what_pickle_makes_of_each_job() -> None:
    jobs = by_slice(NUMBERS, 2)
    assert bytes_sent(jobs) == sum(len(pickle.dumps(job)) for job in jobs)


@every_method
def test_four_jobs_bound_to_the_data_pickle_it_four_times(method: str) -> None:
    numbers: Any = Counted(1, 2, 3, 4)
    context = multiprocessing.get_context(method)
    jobs = broken_by_method(numbers, 4)
    assert total(jobs, workers=1, context=context) == 10
    assert numbers.pickled == 4


@every_method
def test_a_range_sends_the_data_once_to_each_worker_and_not_under_fork(
    method: str,
) -> None:
    numbers: Any = Counted(1, 2, 3, 4)
    context = multiprocessing.get_context(method)
    jobs = by_range(numbers, 4)
    assert total(jobs, kept=numbers, workers=1, context=context) == 10
    assert numbers.pickled == (0 if method == "fork" else 1)


def test_the_object_of_a_method_is_sent_with_each_chunk_of_map() -> None:
    numbers: Any = Counted(1, 2, 3, 4)
    context = multiprocessing.get_context("spawn")
    starts, stops = [0, 1, 2, 3], [1, 2, 3, 4]
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        job = BrokenTable(numbers).sum
        assert list(executor.map(job, starts, stops)) == [1, 2, 3, 4]
        assert numbers.pickled == 4
        answers = executor.map(job, starts, stops, chunksize=2)
        assert list(answers) == [1, 2, 3, 4]
        assert numbers.pickled == 4 + 2


def test_the_object_of_a_method_is_sent_with_each_chunk_of_a_pool() -> None:
    numbers: Any = Counted(1, 2, 3, 4)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        spans = [(0, 2), (2, 3), (3, 4)]
        job = BrokenTable(numbers).sum
        assert pool.starmap(job, spans, chunksize=1) == [3, 3, 4]
        assert numbers.pickled == 3
        assert pool.starmap(job, spans, chunksize=3) == [3, 3, 4]
        assert numbers.pickled == 4


def test_a_partial_sends_its_arguments_with_each_job() -> None:
    numbers: Any = Counted(1, 2)
    context = multiprocessing.get_context("spawn")
    jobs: list[Callable[[], int]] = [partial(len, numbers)] * 3
    assert total(jobs, workers=1, context=context) == 6
    assert numbers.pickled == 3


def test_a_job_reads_its_part_of_the_file_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    with path.open("wb") as file:
        file.seek(2**33)  # a hole of 8 GiB
        file.write(array("q", [5, 7, 9]))
    first = 2**30
    assert sum_of_file(path, first, first + 2) == 12
    assert sum_of_file(path, first + 2, first + 3) == 9


def test_a_file_that_is_missing_or_too_short_is_an_error(path: Path) -> None:
    with pytest.raises(EOFError):
        sum_of_file(path, 999, 1001)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        by_path(path, 2)


def test_what_is_kept_replaces_what_was_kept_before() -> None:
    try:
        big_data.keep([1, 2])
        big_data.keep([3, 4, 5])
        assert len(big_data.KEPT) == 1
        assert sum_kept(1, 3) == 9
    finally:
        big_data.KEPT.clear()


def test_the_jobs_run_in_as_many_workers_as_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def executor(workers: int, **options: object) -> ThreadPoolExecutor:
        asked.append((workers, options.pop("mp_context")))
        return ThreadPoolExecutor(workers)

    monkeypatch.setattr(big_data, "ProcessPoolExecutor", executor)
    context: Any = object()
    jobs = by_slice(NUMBERS, 2)
    assert total(jobs, workers=3, context=context) == sum(NUMBERS)
    assert asked == [(3, context)]


def test_fewer_workers_than_one_or_parts_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="max_workers must be greater"):
        total([], workers=0)
    with pytest.raises(ValueError, match="parts must be at least 1, not 0"):
        by_range(NUMBERS, 0)


@every_method
def test_an_error_of_a_job_is_raised_and_the_other_jobs_run(
    method: str, tmp_path: Path
) -> None:
    folder = tmp_path / "made"
    jobs: list[Callable[[], Any]] = [
        partial(int, "eight"),
        partial(os.mkdir, folder),
    ]
    with pytest.raises(ValueError, match="'eight'"):
        total(jobs, workers=1, context=multiprocessing.get_context(method))
    assert folder.exists()


@posix
@every_method
def test_a_killed_worker_is_told_of(method: str) -> None:
    jobs: list[Callable[[], Any]] = [
        partial(signal.raise_signal, signal.SIGKILL)
    ]
    with pytest.raises(BrokenProcessPool):
        total(jobs, workers=1, context=multiprocessing.get_context(method))
