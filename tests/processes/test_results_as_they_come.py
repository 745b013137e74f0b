"""What the recipe says of answers as they come, shown to be so."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock, call

import pytest

from cookbook.primes import WORKERS, is_prime
from cookbook.processes.results_as_they_come import (
    answers_as_they_come,
    answers_of_apply_async,
    broken_leave_the_block,
    broken_never_get,
)

METHODS = multiprocessing.get_all_start_methods()
ONE = multiprocessing.get_context(METHODS[0])
NO_NUMBER: Any = "eight"

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Return a pipe that a job reads until somebody writes into it."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Return a file that a job reads at once."""
    path = tmp_path / "note"
    path.write_text("note", encoding="utf-8")
    return path


@posix
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_is_there_comes_before_one_that_is_not(
    method: str, gate: Path, note: Path
) -> None:
    answers = answers_as_they_come(
        Path.read_text,
        [gate, note],
        workers=2,
        timeout=60,
        context=multiprocessing.get_context(method),
    )
    assert next(answers) == (note, "note", "")
    gate.write_text("slow", encoding="utf-8")
    assert list(answers) == [(gate, "slow", "")]


@posix
def test_imap_holds_back_an_answer_until_those_before_it_are_there(
    gate: Path, note: Path
) -> None:
    with ONE.Pool(2) as pool:
        answers = pool.imap(Path.read_text, [gate, note])
        # The worker that does not read the gate answers in turn.
        assert pool.apply(Path.read_text, [note]) == "note"
        with pytest.raises(multiprocessing.TimeoutError):
            answers.next(timeout=0)
        gate.write_text("slow", encoding="utf-8")
        assert list(answers) == ["slow", "note"]


@posix
@pytest.mark.parametrize("starmap", [False, True])
def test_map_async_gives_at_once_a_result_that_gets_the_list_in_order(
    gate: Path, note: Path, starmap: object
) -> None:
    with ONE.Pool(2) as pool:
        result = (
            pool.starmap_async(Path.read_text, [(gate,), (note,)], 1)
            if starmap
            else pool.map_async(Path.read_text, [gate, note], 1)
        )
        assert pool.apply(Path.read_text, [note]) == "note"
        assert not result.ready()
        gate.write_text("slow", encoding="utf-8")
        assert result.get(timeout=60) == ["slow", "note"]


def test_the_methods_without_async_wait_and_give_the_answers_themselves() -> (
    None
):
    with ONE.Pool(2) as pool:
        assert pool.apply(int, ("ff",), {"base": 16}) == 255
        assert pool.map(abs, [-3, 4]) == [3, 4]
        assert pool.starmap(max, [(1, 2), (3, 0)]) == [2, 3]
        result = pool.apply_async(int, ("ff",), {"base": 16})
        assert result.get(timeout=60) == 255


@pytest.mark.parametrize("method", METHODS)
def test_each_item_comes_with_its_own_answer_or_the_traceback(
    method: str,
) -> None:
    found = {
        item: (answer, error.splitlines())
        for item, answer, error in answers_as_they_come(
            is_prime,
            iter([97, NO_NUMBER, 100]),
            workers=2,
            context=multiprocessing.get_context(method),
        )
    }
    assert len(found) == 3
    assert found[97] == (True, [])
    assert found[100] == (False, [])
    answer, lines = found["eight"]
    assert answer is None
    assert lines[0] == "Traceback (most recent call last):"
    assert "in is_prime" in lines[-2] + lines[-3]
    assert lines[-1] == "TypeError: n must be an int, not 'eight'"


def test_no_items_give_no_answers() -> None:
    assert list(answers_as_they_come(is_prime, [], workers=1)) == []
    assert answers_of_apply_async(is_prime, [], workers=1) == []


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "^workers must be at least 1, not 0$"),
        ({"workers": "2"}, TypeError, "^workers must be an int, not '2'$"),
        ({"items": 7}, TypeError, "^'int' object is not iterable$"),
        ({"timeout": 0}, ValueError, "^timeout must be positive, not 0$"),
        ({"timeout": -1}, ValueError, "^timeout must be positive, not -1$"),
        ({"timeout": math.inf}, ValueError, "not inf$"),
        ({"timeout": math.nan}, ValueError, "not nan$"),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    starts_nothing: Any = object()
    given: Any = {"items": [7], "context": starts_nothing} | options
    with pytest.raises(error, match=text):
        next(answers_as_they_come(is_prime, **given))
    if "timeout" not in given:
        with pytest.raises(error, match=text):
            answers_of_apply_async(is_prime, **given)


def test_a_pool_has_the_workers_asked_for_and_they_ignore_ctrl_c() -> None:
    ignoring = signal.signal, (signal.SIGINT, signal.SIG_IGN)
    context = Mock(wraps=ONE)
    assert len(list(answers_as_they_come(abs, [1], context=context))) == 1
    answers_of_apply_async(abs, [1], workers=1, context=context)
    made = [call(WORKERS, *ignoring), call(1, *ignoring)]
    assert context.Pool.mock_calls == made


def test_nothing_starts_before_the_first_answer_is_asked_for() -> None:
    context = Mock(wraps=ONE)
    answers = answers_as_they_come(abs, [1], workers=1, context=context)
    assert not context.Pool.called
    assert list(answers) == [(1, 1, "")]


@posix
def test_to_leave_the_loop_terminates_the_workers(
    gate: Path, note: Path
) -> None:
    answers = answers_as_they_come(
        Path.read_text, [gate, note], workers=2, context=ONE
    )
    for path, _, _ in answers:
        assert path == note
        break
    assert len(multiprocessing.active_children()) == 2
    del answers
    assert not multiprocessing.active_children()


@posix
@pytest.mark.parametrize("method", METHODS)
def test_an_answer_that_does_not_come_in_time_ends_the_workers(
    method: str, gate: Path
) -> None:
    answers = answers_as_they_come(
        Path.read_text,
        [gate],
        workers=1,
        timeout=0.001,
        context=multiprocessing.get_context(method),
    )
    with pytest.raises(multiprocessing.TimeoutError):
        next(answers)
    assert not multiprocessing.active_children()


@posix
@pytest.mark.parametrize("method", METHODS)
def test_the_wait_for_a_killed_workers_answer_ends_by_the_timeout_alone(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    answers = answers_as_they_come(
        signal.raise_signal,
        [signal.SIGKILL],
        workers=1,
        timeout=0.3,
        context=context,
    )
    with pytest.raises(multiprocessing.TimeoutError):
        next(answers)


def test_the_timeout_error_of_multiprocessing_is_not_the_built_in_one() -> (
    None
):
    assert not issubclass(multiprocessing.TimeoutError, TimeoutError)


@pytest.mark.parametrize("method", METHODS)
def test_get_raises_what_the_job_raised(method: str) -> None:
    context = multiprocessing.get_context(method)
    text = "^n must be an int, not 'eight'$"
    with pytest.raises(TypeError, match=text):
        answers_of_apply_async(
            is_prime, [97, NO_NUMBER], workers=1, context=context
        )
    answers = answers_of_apply_async(
        is_prime, iter([97, 100]), workers=1, context=context
    )
    assert answers == [True, False]


@pytest.mark.parametrize("method", METHODS)
def test_close_and_join_end_without_the_error_of_a_job(
    method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    broken_never_get(
        is_prime,
        [NO_NUMBER],
        workers=1,
        context=multiprocessing.get_context(method),
    )
    assert capfd.readouterr() == ("", "")


@posix
def test_close_and_join_have_run_every_job(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    broken_never_get(os.mkdir, folders, workers=1, context=ONE)
    assert all(folder.exists() for folder in folders)


def test_the_error_callback_is_given_the_error_in_the_parent() -> None:
    errors: list[BaseException] = []
    with ONE.Pool(1) as pool:
        pool.apply_async(is_prime, (NO_NUMBER,), error_callback=errors.append)
        pool.close()
        pool.join()
    assert [str(error) for error in errors] == [
        "n must be an int, not 'eight'"
    ]


@posix
@pytest.mark.parametrize("method", METHODS)
def test_leaving_the_with_block_terminates_the_job_of_apply_async(
    method: str, gate: Path
) -> None:
    context = multiprocessing.get_context(method)
    [get] = broken_leave_the_block(
        Path.read_text, [gate], workers=1, context=context
    )
    assert not multiprocessing.active_children()
    with pytest.raises(multiprocessing.TimeoutError):
        get(0)


@posix
def test_leaving_the_with_block_terminates_the_jobs_of_imap(
    gate: Path, note: Path
) -> None:
    with ONE.Pool(1) as pool:
        answers = pool.imap(Path.read_text, [gate, note])
    assert not multiprocessing.active_children()
    with pytest.raises(multiprocessing.TimeoutError):
        answers.next(timeout=0)


def test_the_with_block_of_an_executor_waits_for_its_jobs() -> None:
    with ProcessPoolExecutor(1, mp_context=ONE) as executor:
        future = executor.submit(time.sleep, 0.05)
    assert future.done()


@pytest.mark.parametrize(("chunksize", "after"), [(1, [True]), (2, [])])
def test_the_error_of_imap_ends_it_if_a_chunk_holds_more_than_one_item(
    chunksize: int, after: list[bool]
) -> None:
    with ONE.Pool(1) as pool:
        answers = iter(pool.imap(is_prime, [NO_NUMBER, 97], chunksize))
        with pytest.raises(TypeError, match="'eight'"):
            next(answers)
        assert list(answers) == after
        answers = pool.imap_unordered(is_prime, [NO_NUMBER, 97], chunksize)
        with pytest.raises(TypeError, match="'eight'"):
            list(answers)


def test_an_iterator_over_chunks_has_no_timeout() -> None:
    with ONE.Pool(1) as pool:
        for method in pool.imap, pool.imap_unordered:
            assert hasattr(method(abs, [1], 1), "next")
            assert not hasattr(method(abs, [1], 2), "next")


def test_the_items_of_imap_are_read_ahead_of_the_answers_asked_for() -> None:
    tenth = threading.Event()

    def items() -> Iterator[int]:
        for n in range(20):
            if n == 10:
                tenth.set()
            yield n

    with ONE.Pool(1) as pool:
        answers = pool.imap(abs, items())
        assert tenth.wait(timeout=60)
        assert next(answers) == 0
