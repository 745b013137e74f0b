"""What the recipe says of several arguments, shown to be so."""

import functools
import multiprocessing
import os
import pickle
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import repeat
from typing import Any, cast
from unittest.mock import Mock, call

import pytest

from cookbook.primes import WORKERS, count_primes
from cookbook.processes import several_arguments
from cookbook.processes.several_arguments import (
    broken_count_with_executor,
    broken_count_with_map,
    count_with_executor,
    count_with_partial,
    count_with_starmap,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
SPANS = [(0, 10), (10, 20), (20, 24)]
ONE = multiprocessing.get_context(METHODS[0])

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


class Pickled:
    """An int that counts how often it is pickled."""

    def __init__(self) -> None:
        self.times = 0

    def __reduce__(self) -> tuple[type[int], tuple[()]]:
        self.times += 1
        return int, ()


@pytest.mark.parametrize("method", METHODS)
def test_each_way_answers_for_every_job_in_order(method: str) -> None:
    context = multiprocessing.get_context(method)
    starts, stops = zip(*SPANS, strict=True)
    spans = iter(SPANS)
    counts = count_with_starmap(spans=spans, workers=2, context=context)
    assert counts == [4, 4, 1]
    counts = count_with_executor(
        starts=iter(starts), stops=iter(stops), workers=2, context=context
    )
    assert counts == [4, 4, 1]
    counts = count_with_partial(
        start=5, stops=iter(stops), workers=2, context=context
    )
    assert counts == [2, 6, 7]


def test_no_jobs_give_no_answers() -> None:
    assert count_with_starmap(spans=[], workers=1) == []
    assert count_with_partial(start=0, stops=[], workers=1) == []
    assert count_with_executor(starts=[], stops=[], workers=1) == []


@pytest.mark.parametrize(
    ("workers", "error", "text"),
    [
        (0, ValueError, "^workers must be at least 1, not 0$"),
        ("2", TypeError, "^workers must be an int, not '2'$"),
    ],
)
def test_bad_workers_are_refused_before_a_process_is_started(
    workers: object, error: type[Exception], text: str
) -> None:
    options: Any = {"workers": workers, "context": object()}
    with pytest.raises(error, match=text):
        count_with_starmap(spans=SPANS, **options)
    with pytest.raises(error, match=text):
        count_with_partial(start=0, stops=[10], **options)
    with pytest.raises(error, match=text):
        count_with_executor(starts=[0], stops=[10], **options)


def test_what_is_not_iterable_is_refused_before_a_process_is_started() -> None:
    starts_nothing: Any = object()
    wrong: Any = 7
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        count_with_starmap(spans=wrong, context=starts_nothing)
    with pytest.raises(TypeError, match="must be iterable, not 7"):
        count_with_partial(start=0, stops=wrong, context=starts_nothing)
    with pytest.raises(TypeError, match="'int'"):
        count_with_executor(starts=wrong, stops=[1], context=starts_nothing)


@pytest.mark.parametrize(
    ("starts", "stops", "text"),
    [
        ([0, 10], [10], r"^zip\(\) argument 2 is shorter than argument 1$"),
        ([0], [10, 20], r"^zip\(\) argument 2 is longer than argument 1$"),
    ],
)
def test_iterables_of_unequal_length_are_refused_before_a_process_is_started(
    starts: list[int], stops: list[int], text: str
) -> None:
    starts_nothing: Any = object()
    with pytest.raises(ValueError, match=text):
        count_with_executor(starts=starts, stops=stops, context=starts_nothing)


def test_a_pool_has_the_workers_asked_for_and_they_ignore_ctrl_c() -> None:
    ignoring = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    context = Mock(wraps=ONE)
    count_with_starmap(spans=SPANS, workers=1, context=context)
    count_with_partial(start=0, stops=[10], workers=2, context=context)
    assert context.Pool.mock_calls == [call(1, *ignoring), call(2, *ignoring)]


def test_an_executor_gets_the_workers_and_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = Mock(wraps=ProcessPoolExecutor)
    monkeypatch.setattr(several_arguments, "ProcessPoolExecutor", executor)
    spawn = multiprocessing.get_context("spawn")
    count_with_executor(starts=[0], stops=[10], context=spawn)
    assert executor.mock_calls[0] == call(WORKERS, mp_context=spawn)


@pytest.mark.parametrize("method", METHODS)
def test_map_hands_a_tuple_over_as_one_argument(method: str) -> None:
    text = r"^count_primes\(\) missing 1 required positional argument: 'stop'$"
    with pytest.raises(TypeError, match=text):
        broken_count_with_map(
            count_primes,
            spans=SPANS,
            workers=1,
            context=multiprocessing.get_context(method),
        )


@pytest.mark.parametrize("method", METHODS)
def test_the_map_of_an_executor_drops_what_the_shortest_iterable_lacks(
    method: str,
) -> None:
    counts = broken_count_with_executor(
        starts=[0, 10, 20],
        stops=[10],
        workers=1,
        context=multiprocessing.get_context(method),
    )
    assert counts == [4]


def test_map_takes_a_second_iterable_for_the_chunk_size() -> None:
    text = "^'<=' not supported between instances of 'list' and 'int'$"
    stops: Any = [10, 20]
    with ONE.Pool(1) as pool, pytest.raises(TypeError, match=text):
        pool.map(cast("Any", count_primes), [0, 10], stops)


def test_a_partial_fills_places_from_the_left_and_the_rest_by_keyword() -> (
    None
):
    with ONE.Pool(1) as pool:
        assert pool.map(partial(count_primes, stop=10), [0, 5]) == [4, 2]
        text = "got multiple values for argument 'start'"
        with pytest.raises(TypeError, match=text):
            pool.map(partial(count_primes, start=0), [10])


@pytest.mark.skipif(sys.version_info < (3, 14), reason="new in Python 3.14")
def test_a_placeholder_leaves_the_first_place_free() -> None:
    job = partial(count_primes, vars(functools)["Placeholder"], 10)
    with ONE.Pool(1) as pool:
        assert pool.map(job, [0, 5]) == [4, 2]


def test_starmap_unpacks_a_string_and_a_dictionary_too() -> None:
    jobs: Any = ["ab", {"c": 1, "d": 2}]
    with ONE.Pool(1) as pool:
        assert pool.starmap(max, jobs) == ["b", "d"]


def test_apply_async_and_submit_take_keyword_arguments_for_each_job() -> None:
    with ONE.Pool(1) as pool:
        result = pool.apply_async(count_primes, (0,), {"stop": 10})
        assert result.get(timeout=60) == 4
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        future = executor.submit(count_primes, 0, stop=10)
        assert future.result(timeout=60) == 4


def test_apply_async_needs_a_tuple_even_for_one_argument() -> None:
    five: Any = 5
    who = "Value" if sys.version_info >= (3, 15) else r"abs\(\) argument"
    text = rf"^{who} after \* must be an iterable, not int$"
    with ONE.Pool(1) as pool:
        assert pool.apply_async(abs, (five,)).get(timeout=60) == 5
        with pytest.raises(TypeError, match=text):
            pool.apply_async(abs, five).get(timeout=60)


@pytest.mark.parametrize(("chunksize", "times"), [(1, 4), (2, 2)])
def test_what_a_partial_holds_is_sent_again_with_every_chunk(
    chunksize: int, times: int
) -> None:
    start = Pickled()
    job = partial(count_primes, cast("Any", start))
    with ONE.Pool(1) as pool:
        assert pool.map(job, [10] * 4, chunksize) == [4] * 4
    assert start.times == times


def test_a_partial_of_a_lambda_cannot_be_sent_either() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(partial(lambda start, stop: (start, stop), 0))


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_a_job_is_raised_in_the_parent(method: str) -> None:
    context = multiprocessing.get_context(method)
    wrong: Any = "ten"
    text = "^a bound must be an int, not 'ten'$"
    with pytest.raises(TypeError, match=text):
        count_with_starmap(
            spans=[(0, 10), (10, wrong)], workers=1, context=context
        )
    with pytest.raises(TypeError, match=text):
        count_with_partial(
            start=0, stops=[10, wrong], workers=1, context=context
        )
    with pytest.raises(TypeError, match=text):
        count_with_executor(
            starts=[0, 10], stops=[10, wrong], workers=1, context=context
        )


def test_a_span_that_is_not_of_two_is_an_error_of_its_job() -> None:
    spans: Any = [(0, 10, 20)]
    text = "takes 2 positional arguments but 3 were given$"
    with pytest.raises(TypeError, match=text):
        count_with_starmap(spans=spans, workers=1)


@posix
def test_a_killed_worker_breaks_the_executor_and_starmap_waits_for_ever() -> (
    None
):
    killer: Any = Call(signal.raise_signal, signal.SIGKILL)
    with pytest.raises(BrokenProcessPool):
        count_with_executor(
            starts=repeat(0, 1), stops=[killer], workers=1, context=ONE
        )
    with ONE.Pool(1) as pool:
        first_worker = pool.apply(os.getpid)
        jobs = [(signal.SIGKILL,)]
        job = pool.starmap_async(signal.raise_signal, jobs)
        # A pool of one worker answers in turn: this comes after that job.
        assert pool.apply(os.getpid) != first_worker
        assert not job.ready()
