"""What the recipe says of queues between interpreters, shown to be so."""

import datetime as dt
import fractions
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

import pytest

from cookbook.parallel_threads import interpreter_queues
from cookbook.parallel_threads.interpreter_queues import (
    add_up,
    broken_sum_of_squares,
    broken_sums,
    needs_interpreters,
    sums,
)

needs = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="subinterpreters need Python 3.14"
)


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    if sys.version_info >= (3, 14):
        assert len(needs_interpreters().list_all()) == 1


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="has interpreters")
def test_up_to_python_3_13_the_error_says_which_python_is_needed() -> None:
    with pytest.raises(RuntimeError) as caught:
        sums([[1]])
    assert str(caught.value) == "subinterpreters need Python 3.14 or later"


@needs
def test_each_list_is_added_up_and_the_sums_are_in_order() -> None:
    assert sums(iter([[1, 2], [], [3, 4]])) == [3, 0, 7]
    assert sums([]) == []


@needs
def test_the_other_interpreter_works_while_the_lists_still_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interpreters = needs_interpreters()
    queues: list[Any] = []
    create = interpreters.create_queue

    def create_queue() -> Any:
        queues.append(create())
        return queues[-1]

    monkeypatch.setattr(interpreters, "create_queue", create_queue)

    def lists() -> Iterator[list[int]]:
        yield [1, 2]
        deadline = time.monotonic() + 60
        while queues[1].empty() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert queues[1].qsize() == 1
        yield [3]

    assert sums(lists()) == [3, 3]


@needs
def test_an_error_there_ends_the_worker_and_is_told_here() -> None:
    lists: Any = [[1], ["one"], [2]]
    with pytest.raises(
        needs_interpreters().ExecutionFailed, match="TypeError: unsupported"
    ):
        sums(lists)


@needs
def test_an_error_of_the_caller_ends_the_worker_and_goes_on() -> None:
    def lists() -> Iterator[list[int]]:
        yield [1]
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        sums(lists())


@needs
def test_ctrl_c_just_after_the_worker_was_started_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "add_done_callback", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sums([[1]])
    assert threading.active_count() == 1


@needs
def test_a_worker_that_cannot_start_is_an_error_and_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = threading.Lock()

    def no_worker(_jobs: object, _answers: object) -> None:
        lock.acquire()

    monkeypatch.setattr(interpreter_queues, "add_up", no_worker)
    with pytest.raises(needs_interpreters().NotShareableError):
        sums([[1]])


class Pair:
    """An object that can be pickled."""

    def __init__(self, one: object) -> None:
        self.one = one

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair) and self.one == other.one

    __hash__ = None  # type: ignore[assignment]


DIRECT = [
    None,
    True,
    7,
    1.5,
    "text",
    b"bytes",
    (1, ("a", None)),
]
PICKLED = [
    [1],
    {"a": 1},
    {1},
    bytearray(b"a"),
    1j,
    dt.date(2026, 1, 1),
    fractions.Fraction(1, 2),
    Pair(2),
]


@needs
@pytest.mark.parametrize("value", DIRECT, ids=repr)
def test_simple_values_cross_directly_and_are_equal(value: object) -> None:
    assert needs_interpreters().is_shareable(value)
    there_and_back = needs_interpreters().create_queue()
    there_and_back.put(value)
    found = there_and_back.get()
    assert (type(found), found) == (type(value), value)


@needs
@pytest.mark.parametrize("value", PICKLED, ids=lambda one: type(one).__name__)
def test_what_can_be_pickled_crosses_as_a_copy(value: object) -> None:
    assert not needs_interpreters().is_shareable(value)
    there_and_back = needs_interpreters().create_queue()
    there_and_back.put(value)
    found = there_and_back.get()
    assert found == value
    assert found is not value


@needs
@pytest.mark.parametrize("kind", ["lock", "file", "generator", "queue"])
def test_locks_files_generators_and_queues_of_threads_cannot_cross(
    kind: str,
) -> None:
    value = {
        "lock": threading.Lock(),
        "file": sys.__stdout__,
        "generator": (n for n in [1]),
        "queue": queue.Queue[int](),
    }[kind]
    there = needs_interpreters().create_queue()
    with pytest.raises(needs_interpreters().NotShareableError) as caught:
        there.put(value)
    assert str(caught.value) == (
        f"{value!r} does not support cross-interpreter data"
    )
    assert there.empty()


@needs
def test_a_tuple_is_called_shareable_whatever_is_in_it() -> None:
    value = (1, threading.Lock())
    assert needs_interpreters().is_shareable(value)
    with pytest.raises(needs_interpreters().NotShareableError):
        needs_interpreters().create_queue().put(value)


@needs
def test_a_list_that_arrives_is_another_and_a_memoryview_the_same() -> None:
    def change(items: Any) -> None:
        for item in [items.get(), items.get()]:
            item[0] = 90

    interpreters = needs_interpreters()
    cells, numbers = bytearray(b"abc"), [1]
    items = interpreters.create_queue()
    with closing(interpreters.create()) as interpreter, memoryview(cells) as v:
        items.put(v)
        items.put(numbers)
        interpreter.call(change, items)
    assert (bytes(cells), numbers) == (b"Zbc", [1])


@needs
def test_a_queue_crosses_and_is_the_same_queue_there() -> None:
    def answer(queues: Any) -> None:
        queues.get().put("there")

    interpreters = needs_interpreters()
    queues, answers = interpreters.create_queue(), interpreters.create_queue()
    queues.put(answers)
    with closing(interpreters.create()) as interpreter:
        interpreter.call(answer, queues)
        assert answers.get(timeout=60) == "there"


@needs
def test_a_timeout_below_a_second_is_none_and_the_queue_is_called_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interpreters = needs_interpreters()
    empty = interpreters.create_queue()
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(queue.Empty) as caught:
        empty.get(timeout=0.9)
    assert isinstance(caught.value, interpreters.QueueEmpty)
    assert slept == []


@needs
def test_get_looks_every_10_milliseconds_for_an_item(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    late = needs_interpreters().create_queue()
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            late.put("item")

    monkeypatch.setattr(time, "sleep", sleep)
    assert late.get() == "item"
    assert slept == [0.01] * 3


@needs
def test_what_a_closed_interpreter_has_put_is_unbound() -> None:
    found = broken_sums([[1, 2], [3]])
    text = "concurrent.interpreters._queues.UNBOUND"
    assert [str(one) for one in found] == [text] * 2


@needs
def test_read_before_the_interpreter_is_closed_the_items_are_there() -> None:
    interpreters = needs_interpreters()
    jobs, answers = interpreters.create_queue(), interpreters.create_queue()
    with closing(interpreters.create()) as interpreter:
        for item in ([1, 2], [3], None):
            jobs.put(item)
        interpreter.call(add_up, jobs, answers)
        assert [answers.get(), answers.get()] == [3, 3]


@needs
def test_a_generator_is_refused_and_the_worker_ends() -> None:
    with pytest.raises(
        needs_interpreters().NotShareableError,
        match=r"^<generator object .* does not support cross-interpreter",
    ):
        broken_sum_of_squares([[1, 2]])


@needs
def test_an_interpreter_that_nobody_closes_is_told_of_at_exit() -> None:
    code = "from concurrent import interpreters as i; kept = i.create()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert (
        "RuntimeWarning: remaining subinterpreters; close them with"
        " Interpreter.close()" in ended.stderr
    )
