"""What the recipe says of random numbers in workers, shown to be so."""

import multiprocessing
import os
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import pytest

from cookbook.processes import random_seeds
from cookbook.processes.random_seeds import (
    broken_draw,
    broken_draw_all,
    draw,
    draw_all,
)

METHODS = multiprocessing.get_all_start_methods()
LATER = sys.version_info >= (3, 15)  # and most of 3.13 and 3.14

# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.mark.parametrize("method", METHODS)
def test_the_results_are_the_same_with_any_number_of_workers(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    runs = [
        draw_all(seed=7, numbers=range(6), workers=workers, context=context)
        for workers in (1, 2)
    ]
    assert runs[0] == runs[1] == [draw(7, number) for number in range(6)]


def test_as_many_workers_as_asked_for_start_as_asked_for() -> None:
    context = multiprocessing.get_context("spawn")
    with patch.object(
        random_seeds, "ProcessPoolExecutor", wraps=ProcessPoolExecutor
    ) as executor:
        found = draw_all(seed=7, numbers=[5], workers=1, context=context)
    assert found == [draw(7, 5)]
    assert executor.call_args.args == (1,)
    assert executor.call_args.kwargs == {"mp_context": context}


def test_no_two_jobs_of_some_seeds_draw_the_same_number() -> None:
    seeds = [*range(-20, 20), 10, 100, 1001]
    drawn = {draw(seed, number) for seed in seeds for number in range(-5, 50)}
    assert len(drawn) == len(set(seeds)) * 55


def test_a_seed_plus_a_number_gives_two_jobs_the_same_sequence() -> None:
    second_of_one = random.Random(1 + 1).random()
    assert second_of_one == random.Random(2 + 0).random()


def test_the_numbers_are_the_same_on_every_python_and_in_every_run() -> None:
    assert draw(42, 0) == 0.2667506069151816
    assert draw(42, 1) != draw(1, 42)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "workers must be at least 1, not 0"),
        ({"workers": "2"}, TypeError, "workers must be an int, not '2'"),
        ({"numbers": 7}, TypeError, "numbers must be iterable, not 7"),
        ({"seed": None}, TypeError, "seed must be an int, not None"),
        ({"seed": True}, TypeError, "seed must be an int, not True"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, object], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    options = {"seed": 1, "numbers": [7], "context": starts_nothing, **options}
    with pytest.raises(error, match=f"^{text}$"):
        draw_all(**cast("Any", options))


@pytest.mark.parametrize("method", METHODS)
def test_the_first_jobs_of_all_workers_draw_the_same_number(
    method: str,
) -> None:
    drawn = broken_draw_all(
        numbers=range(3),
        workers=1,
        context=multiprocessing.get_context(method),
    )
    first = random.Random(42).random()
    if method == "fork":  # the state, wherever the parent's generator is
        first = drawn[0][1]
    assert drawn == [(0, first), (1, first), (2, first)]


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_a_forked_worker_goes_on_where_the_generator_of_the_parent_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ahead, same = random.Random(1), random.Random(1)
    assert ahead.random() == same.random()
    monkeypatch.setattr(random_seeds, "GENERATOR", ahead)
    context = multiprocessing.get_context("fork")
    drawn = broken_draw_all(numbers=[5, 6], workers=1, context=context)
    following = same.random()
    assert drawn == [(5, following), (6, following)]


def test_with_a_seed_for_each_worker_a_job_depends_on_those_before() -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        together = pool.map(broken_draw, [0, 1])
    with context.Pool(1) as pool:
        alone = pool.map(broken_draw, [1])
    assert together[1][0] == alone[0][0]
    assert together[1][1] != alone[0][1]


KINDS = """
import multiprocessing, random, sys
unseeded = random.Random()
random.seed(42)
def first(_):
    return unseeded.random(), random.random()
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1, maxtasksperchild=1) as pool:
        drawn = pool.map(first, range(3), chunksize=1)
    print(*(len(set(column)) for column in zip(*drawn)))
"""


@pytest.mark.parametrize("method", METHODS)
def test_fork_copies_a_generator_but_seeds_the_functions_of_random_anew(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "program.py"
    path.write_text(KINDS)
    shown = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", path, method],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    # How many different numbers three workers draw first.
    copied, made_anew = "1 3\n", "3 1\n"
    expected = {copied if method == "fork" else made_anew}
    if method == "forkserver":  # later ones import the main module, and fork
        expected = {copied} if LATER else {copied, made_anew}
    assert shown.stdout in expected


def test_a_tuple_is_no_seed_and_its_hash_differs_between_runs() -> None:
    text = (
        "The only supported seed types are:\n"
        "None, int, float, str, bytes, and bytearray."
    )
    with pytest.raises(TypeError) as caught:
        random.Random(cast("Any", (42, "name")))
    assert " ".join(str(caught.value).split()) == " ".join(text.split())
    hashes = {
        subprocess.run(
            [sys.executable, "-c", "print(hash((42, 'name')))"],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 3
