"""What the recipe says of what can be sent, shown to be so."""

import contextlib
import functools
import multiprocessing
import pickle
import pickletools
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import resource_sharer
from operator import methodcaller
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import pytest

from cookbook import forms
from cookbook.processes import pickling
from cookbook.processes.pickling import (
    BrokenScaler,
    Scaler,
    Times,
    multiply,
    why_not,
)

METHODS = multiprocessing.get_all_start_methods()
ROW = re.compile(r"\* - (.*?)\n +- (3\.1.*?)\n +- ``(.*?)``\n", re.DOTALL)

LAMBDAS = [lambda: None]

every_method = pytest.mark.parametrize("method", METHODS)


def f() -> tuple[Callable[[], None], object, object]:
    """Return a local function, a lambda and an object of a local class."""

    def g() -> None:
        pass

    class C:
        pass

    return g, lambda: None, C()


def work() -> None:
    """Be decorated: the name leads to what the decorator returned."""


undecorated = work
work = functools.wraps(work)(functools.partial(undecorated))


def said_of(thing: object) -> str:
    """Return what pickle says, without an address and this module's name."""
    text = why_not(thing).split("\n")[0]
    text = re.sub(r"0x\w+", "0x...", text)
    text = text.replace("<locals>.<lambda>", "<locals>.g")
    return text.replace(__name__, "__main__")


def table() -> dict[str, str]:
    """Return what the page says of each thing on this Python."""
    found: dict[str, str] = {}
    for what, when, says in ROW.findall(pickling.__doc__ or ""):
        if forms.applies(when):
            thing = " ".join(what.split())
            assert thing not in found
            found[thing] = " ".join(says.split())
    return found


def refused(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the row of the table and something that it is about."""
    local, a_lambda, an_object = f()
    yield "a function or a lambda inside a function", local
    yield "a function or a lambda inside a function", a_lambda
    yield "a lambda outside of any function", LAMBDAS[0]
    yield "an object of a local class", an_object
    decorated = (
        "a function whose name leads to another, such as its decorated form"
    )
    yield decorated, undecorated
    yield "a generator", (n for n in range(3))
    yield "``table.keys()``", {}.keys()
    with path.open(encoding="utf-8") as file:
        yield "an open text file", file
    connection = sqlite3.connect(":memory:")
    yield "a database connection", connection
    connection.close()
    yield "an SSL context", ssl.create_default_context()
    yield "a module", sys
    lock = (
        "a lock of threading, or what holds one: an event, a queue, an"
        " executor"
    )
    yield lock, threading.Lock()
    yield lock, threading.Event()
    yield lock, Queue[int]()
    yield lock, ProcessPoolExecutor(1)
    shared = (
        "a lock of multiprocessing, as an argument of a job; it is for"
        " ``initargs``, or the ``args`` of a process"
    )
    yield shared, multiprocessing.get_context("spawn").Lock()


def test_pickle_refuses_each_thing_of_the_table_in_these_words() -> None:
    rows = table()
    seen = set()
    for row, thing in refused(Path(__file__)):
        assert said_of(thing) == rows[row], row
        seen.add(row)
    assert seen == rows.keys()


def test_the_table_has_one_row_of_each_thing_for_each_python() -> None:
    rows = ROW.findall(pickling.__doc__ or "")
    things = {what for what, _, _ in rows}
    assert len(rows) == (pickling.__doc__ or "").count("       * - ")
    for version in ((3, minor) for minor in range(11, 16)):
        fitting = [
            what
            for what, when, _ in rows
            if forms.applies(when, version=version)
        ]
        assert sorted(fitting) == sorted(things)


@pytest.mark.parametrize(
    "thing",
    [
        {"numbers": [1, 2.5, 3j], "texts": ("a", b"b"), "more": {None, True}},
        print,
        multiply,
        Path("a"),
        functools.partial(multiply, 10),
        Times(10),
        Times(10).__call__,
    ],
)
def test_plain_data_and_what_an_import_leads_to_can_be_pickled(
    thing: object,
) -> None:
    assert why_not(thing) == ""


def test_a_function_is_written_as_its_name_alone() -> None:
    names = {
        argument
        for _, argument, _ in pickletools.genops(pickle.dumps(multiply))
        if isinstance(argument, str)
    }
    assert names == {"cookbook.processes.pickling", "multiply"}


def test_from_python_314_the_notes_lead_to_the_attribute() -> None:
    job = BrokenScaler(10, threading.Lock()).scale
    first, *notes = why_not(job).split("\n")
    assert first == "TypeError: cannot pickle '_thread.lock' object"
    if sys.version_info >= (3, 14):
        assert notes[0] == "when serializing dict item 'kept'"
    else:
        assert notes == []


def test_whatever_pickling_raises_is_told_and_not_raised() -> None:
    class Refuses:
        def __reduce__(self) -> str:
            raise LookupError("not me")

    assert why_not(Refuses()).split("\n")[0] == "LookupError: not me"


@every_method
@pytest.mark.parametrize(
    "job", [functools.partial(multiply, 10), Times(10)], ids=["partial", "obj"]
)
def test_a_partial_or_an_object_takes_a_setting_to_a_worker(
    method: str, job: Callable[[int], int]
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        assert list(executor.map(job, [1, 2])) == [10, 20]


@every_method
def test_an_object_that_leaves_out_its_lock_and_pool_sends_its_methods(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        scaler = Scaler(10, executor)
        assert scaler.scale_all([1, 2]) == [10, 20]
        assert scaler.scale_all(iter([3])) == [30]
        assert scaler.scaled == 3


def test_the_copy_has_the_factor_a_lock_of_its_own_and_no_executor() -> None:
    with ThreadPoolExecutor(1) as executor:
        scaler = Scaler(10, executor)
        copy = pickle.loads(pickle.dumps(scaler))
        here, there = vars(scaler), vars(copy)
        assert here.keys() - there.keys() == {"_executor"}
        assert here["_lock"] is not there["_lock"]
        assert copy.scale(2) == 20
        assert (copy.scaled, scaler.scaled) == (1, 0)


@pytest.mark.parametrize(
    ("method", "argument"), [("scale", 1), ("scale_all", [1])]
)
def test_the_object_loses_no_count_when_threads_share_it(
    method: str, argument: object
) -> None:
    barrier = threading.Barrier(2)

    class Met(int):
        """Lets the other thread in between the read and the write."""

        def __add__(self, other: int) -> int:
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(timeout=0.1)
            return int(self) + other

    answers_at_once: Any = SimpleNamespace(map=lambda _, numbers: numbers)
    scaler = Scaler(10, answers_at_once)
    scaler.scaled = Met(0)
    with ThreadPoolExecutor(2) as executor:
        calls = [getattr(scaler, method)] * 2
        futures = [executor.submit(call, argument) for call in calls]
    assert [future.exception() for future in futures] == [None, None]
    assert scaler.scaled == 2


@every_method
def test_a_method_of_an_object_with_a_lock_cannot_be_sent(method: str) -> None:
    with (
        multiprocessing.get_context(method).Pool(1) as pool,
        pytest.raises(TypeError) as caught,
    ):
        pool.map(BrokenScaler(10, threading.Lock()).scale, [1])
    assert str(caught.value) == "cannot pickle '_thread.lock' object"


@every_method
def test_a_method_of_an_object_that_holds_the_pool_cannot_be_sent(
    method: str,
) -> None:
    with (
        multiprocessing.get_context(method).Pool(1) as pool,
        pytest.raises(NotImplementedError) as caught,
    ):
        pool.map(BrokenScaler(10, pool).scale, [1])
    text = "pool objects cannot be passed between processes or pickled"
    assert str(caught.value) == text


@every_method
def test_what_a_method_changes_in_a_worker_is_changed_in_the_copy(
    method: str,
) -> None:
    scaler = BrokenScaler(10, None)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(scaler.scale, [1, 2]) == [10, 20]
    assert scaler.scaled == 0


@every_method
def test_only_under_fork_a_process_takes_a_lambda(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=lambda: None)
    if method != "fork":
        with pytest.raises((AttributeError, pickle.PicklingError)):
            process.start()
        return
    process.start()
    process.join()
    assert process.exitcode == 0


LATE = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[2] == "executor":
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            executor.submit(os.getpid).result()

            def work():
                return "found"

            try:
                executor.submit(work).result()
            except BrokenProcessPool:
                print("broken")
    else:
        with context.Pool(1) as pool:
            first = pool.apply(os.getpid)

            def work():
                return "found"

            job = pool.apply_async(work)
            # A pool of one worker answers in turn: this comes after that job.
            replaced = pool.apply(os.getpid) != first
            print("replaced" if replaced else "same", job.ready())
"""


@pytest.mark.parametrize(
    ("kind", "outcome"), [("executor", "broken"), ("pool", "replaced False")]
)
@every_method
def test_a_worker_that_does_not_find_the_name_fails_and_a_pool_waits(
    method: str, kind: str, outcome: str, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(LATE, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-I", str(program), method, kind],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert ended.stdout.strip() == outcome
    module = "__main__" if method == "fork" else "__mp_main__"
    text = (
        f"AttributeError: module '{module}' has no attribute 'work'"
        if sys.version_info >= (3, 14)
        else f"AttributeError: Can't get attribute 'work' on <module"
        f" '{module}' from '{program}'>"
    )
    assert ended.stderr.splitlines().count(text) == 1


def test_a_socket_is_refused_by_pickle_and_sent_to_a_worker() -> None:
    ours, theirs = socket.socketpair()
    context = multiprocessing.get_context("spawn")
    send: Any = methodcaller("send", b"from the worker")
    with ours, theirs:
        reason = "TypeError: cannot pickle 'socket' object"
        assert pickling.why_not(theirs).splitlines()[0] == reason
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            assert executor.submit(send, theirs).result() == 15
        assert ours.recv(100) == b"from the worker"
        with context.Pool(1) as pool:
            assert pool.apply(send, (theirs,)) == 15
        assert ours.recv(100) == b"from the worker"
    resource_sharer.stop(timeout=60)  # the thread that has handed it over
