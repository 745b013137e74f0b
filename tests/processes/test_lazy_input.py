"""What the recipe says of an endless input, shown to be so."""

import inspect
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from itertools import islice
from operator import call
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from cookbook.processes import lazy_input
from cookbook.processes.lazy_input import (
    CountedInput,
    broken_lazy_map,
    lazy_map,
)

METHODS = multiprocessing.get_all_start_methods()

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@every_method
def test_results_of_an_endless_input_come_in_order_with_few_items_read(
    method: str,
) -> None:
    source = CountedInput()
    context = multiprocessing.get_context(method)
    with closing(
        lazy_map(str, source.numbers(), ahead=5, context=context)
    ) as results:
        assert source.read == 0
        assert list(islice(results, 4)) == ["0", "1", "2", "3"]
        assert multiprocessing.active_children() != []
    assert multiprocessing.active_children() == []
    assert source.read == 8


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 9])
def test_an_input_that_ends_is_read_to_its_end(stop: int) -> None:
    found = lazy_map(abs, range(stop), workers=1, ahead=3, chunksize=2)
    assert list(found) == list(range(stop))


def test_ahead_counts_chunks_and_not_the_items_in_them() -> None:
    source = CountedInput()
    with closing(
        lazy_map(abs, source.numbers(), workers=1, ahead=2, chunksize=10)
    ) as results:
        assert next(results) == 0
        assert source.read == 20
        assert list(islice(results, 10)) == list(range(1, 11))
        assert source.read == 30


def test_by_default_two_chunks_are_ahead_for_each_of_two_workers() -> None:
    parameters = inspect.signature(lazy_map).parameters
    workers, ahead = (
        parameters[name].default for name in ("workers", "ahead")
    )
    assert (workers, ahead) == (2, 2 * workers)


@every_method
def test_imap_reads_all_of_the_input_before_a_result_is_taken(
    method: str,
) -> None:
    source = CountedInput()
    context = multiprocessing.get_context(method)
    read, results = broken_lazy_map(abs, source, 500, context=context)
    assert source.ended.is_set()
    assert (read, results) == (500, [0, 1, 2])


def test_the_results_of_imap_that_nobody_took_are_in_the_parent() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        results = pool.imap(abs, range(100))
        pool.close()
        pool.join()
        assert multiprocessing.active_children() == []
        assert list(results) == list(range(100))


def test_executor_map_and_pool_map_read_all_of_the_input_at_once() -> None:
    source, other = CountedInput(), CountedInput()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        executor.map(abs, source.numbers(50))
        assert source.read == 50
    with context.Pool(1) as pool:
        pool.map_async(abs, other.numbers(50))
        assert other.read == 50


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in Python 3.14")
def test_from_3_14_buffersize_gives_the_same_and_counts_chunks_too() -> None:
    source = CountedInput()
    options: dict[str, Any] = {"buffersize": 2, "chunksize": 10}
    with ProcessPoolExecutor(1) as executor:
        results = executor.map(abs, source.numbers(), **options)
        assert list(islice(results, 11)) == list(range(11))
        assert source.read == 40
        results.close()  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="only up to 3.13")
def test_up_to_3_13_executor_map_has_no_buffersize() -> None:
    text = r"^ProcessPoolExecutor\.map\(\) got an unexpected keyword argument"
    options: dict[str, Any] = {"buffersize": 2}
    with (
        ProcessPoolExecutor(1) as executor,
        pytest.raises(TypeError, match=text),
    ):
        executor.map(abs, [1], **options)


@pytest.mark.parametrize("name", ["workers", "ahead", "chunksize"])
def test_bad_arguments_are_refused_before_an_item_is_asked_for(
    name: str,
) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, not 0"):
        lazy_map(abs, CountedInput().numbers(), **options)


def test_as_many_workers_as_asked_for_start_as_asked_for() -> None:
    context = multiprocessing.get_context("spawn")
    with patch.object(
        lazy_input, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        assert list(lazy_map(abs, [-1], workers=1, context=context)) == [1]
    assert executor.call_args.args == (1, context)


@every_method
def test_an_error_ends_the_iteration_and_the_workers(method: str) -> None:
    items: list[Any] = [-1, None, -3, -4]
    context = multiprocessing.get_context(method)
    results = lazy_map(abs, items, workers=1, ahead=2, context=context)
    assert next(results) == 1
    with pytest.raises(TypeError, match="bad operand type"):
        next(results)
    assert multiprocessing.active_children() == []
    assert list(results) == []


def test_an_error_takes_the_results_of_its_chunk_along() -> None:
    items: list[Any] = [-1, None]
    with pytest.raises(TypeError, match="bad operand type"):
        next(lazy_map(abs, items, chunksize=2))


@posix
@pytest.mark.parametrize("end", ["close", "throw"])
def test_the_end_of_the_iteration_cancels_what_has_not_been_sent(
    tmp_path: Path, end: str
) -> None:
    gate, made = tmp_path / "gate", tmp_path / "made"
    os.mkfifo(gate)
    made.mkdir()

    kept = []  # else the executor may be gone before it cancels

    class Opening(ProcessPoolExecutor):
        def shutdown(
            self, wait: bool = True, *, cancel_futures: bool = False
        ) -> None:
            del wait
            if self not in kept:
                kept.append(self)
                super().shutdown(wait=False, cancel_futures=cancel_futures)
                opened.close()  # the job that reads it goes on

    jobs: list[Any] = [partial(abs, -1), partial(Path.read_text, gate)]
    jobs += [partial(os.mkdir, made / str(n)) for n in range(15)]
    with patch.object(lazy_input, "ProcessPoolExecutor", Opening):
        function: Any = call
        results = lazy_map(function, jobs, workers=1, ahead=17)
        assert next(results) == 1
        opened = gate.open("w")  # waits for the job that reads it
        if end == "close":
            results.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                results.throw(KeyboardInterrupt())
    for worker in multiprocessing.active_children():
        worker.join(timeout=60)
    assert len(list(made.iterdir())) <= 2


@posix
def test_a_killed_worker_is_reported_and_leaves_no_process() -> None:
    with pytest.raises(BrokenProcessPool):
        list(lazy_map(signal.raise_signal, [signal.SIGKILL], workers=1))
    assert multiprocessing.active_children() == []
