"""What the recipe says of values that are created once, shown to be so."""

import functools
import importlib
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.initialise_once import BrokenSettings, Once
from tests.exploring import Explore


class Settings(Protocol):
    """What both ways to keep settings have in common."""

    def get(self) -> dict[str, int]:
        """Return the settings."""


def two_threads_ask(
    kind: Callable[[Callable[[], dict[str, int]]], Settings],
) -> Callable[[], Setup]:
    def make() -> Setup:
        reads = []

        def read() -> dict[str, int]:
            reads.append(1)
            return {"port": 80}

        settings = kind(read)
        ports = []

        def ask() -> None:
            found = settings.get()
            ports.append(found["port"])

        return [ask, ask], lambda: (len(reads), ports.count(80))

    return make


def test_the_first_creates_the_value_for_both_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        two_threads_ask(Once),
        "``Once``: two threads ask",
        right={(1, 2): "read once, both have the port"},
        preemptions=2,
    )


def test_double_checked_locking_shows_the_value_before_it_is_complete(
    explore: Explore,
) -> None:
    explore(
        two_threads_ask(BrokenSettings),
        "``BrokenSettings``: two threads ask",
        right={(1, 2): "read once, both have the port"},
        wrong={"KeyError: 'port'": "one sees them empty"},
        preemptions=2,
    )


def test_a_value_finished_in_a_local_variable_is_seen_whole() -> None:
    class Local:
        def __init__(self, read: Callable[[], dict[str, int]]) -> None:
            self.read = read
            self.values: dict[str, int] | None = None
            self.lock = threading.Lock()

        def get(self) -> dict[str, int]:
            if self.values is None:
                with self.lock:
                    if self.values is None:
                        values: dict[str, int] = {}
                        values.update(self.read())
                        self.values = values
            return self.values

    make = two_threads_ask(Local)
    assert set(every_interleaving(make, preemptions=2)) == {(1, 2)}


def meanwhile(function: Callable[[], object]) -> threading.Thread:
    """Call *function* in another thread, and wait until it is done or stuck.

    Only what it has done is looked at: a thread that is not stuck but slow
    can make a test pass, never fail.
    """
    called = threading.Event()

    def call() -> None:
        called.set()
        function()

    thread = threading.Thread(target=call)
    thread.start()
    assert called.wait(timeout=10)
    thread.join(timeout=0.05)
    return thread


def test_whoever_comes_while_the_value_is_created_waits_for_it() -> None:
    found: list[object] = []
    others = []

    def create() -> object:
        others.append(meanwhile(lambda: found.append(once.get())))
        assert not found
        return object()

    once = Once(create)
    value = once.get()
    others[0].join()
    assert found == [value]
    assert len(others) == 1


def test_a_value_that_is_none_or_empty_is_created_once_too() -> None:
    values: list[None] = []
    once = Once(lambda: values.append(None))
    assert once.get() is once.get() is None
    assert len(values) == 1
    assert Once(list).get() == []


def test_after_an_error_in_create_the_next_caller_tries_again() -> None:
    answers = iter([0, 2])
    once = Once(lambda: 4 // next(answers))
    with pytest.raises(ZeroDivisionError):
        once.get()
    assert [once.get(), once.get()] == [2, 2]


def test_a_create_that_asks_for_the_value_waits_for_itself() -> None:
    def make() -> Setup:
        once: Once[object] = Once(lambda: (once.get(), 1))
        return [once.get], lambda: "ended"

    assert set(every_interleaving(make)) == {DEADLOCK}


@pytest.mark.parametrize(
    "cache",
    [functools.cache, functools.lru_cache, functools.lru_cache(maxsize=None)],
)
def test_a_cached_function_runs_in_both_threads_that_call_it_at_once(
    cache: Callable[[Callable[[], object]], Callable[[], object]],
) -> None:
    both_run = threading.Barrier(2, timeout=10)

    @cache
    def create() -> object:
        both_run.wait()
        return object()

    with ThreadPoolExecutor(max_workers=2) as pool:
        one, two = [pool.submit(create) for _ in range(2)]
    assert one.result() is not two.result()
    assert create() in {one.result(), two.result()}


class Report:
    """An object whose first rows are made while *meanwhile* happens."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile
        self.runs = 0

    @functools.cached_property
    def rows(self) -> object:
        """What is made."""
        self.runs += 1
        if self.runs == 1:
            self.meanwhile()
        return object()


@pytest.mark.parametrize("same_object", [True, False])
def test_up_to_3_11_a_cached_property_lets_others_wait_for_its_lock(
    same_object: bool,
) -> None:
    others = []
    runs_meanwhile = []

    def ask() -> None:
        assert (report if same_object else other).rows

    def look() -> None:
        others.append(meanwhile(ask))
        runs_meanwhile.append(report.runs + other.runs)

    report, other = Report(look), Report(int)
    assert report.rows
    others[0].join()
    has_lock = sys.version_info < (3, 12)
    assert runs_meanwhile == [1 if has_lock else 2]
    assert report.runs == (1 if has_lock or not same_object else 2)


SLOW_MODULE = """
import threading
runs = [threading.current_thread()]
hook(runs)
value = "complete"
"""


def test_a_module_is_run_once_and_who_imports_it_meanwhile_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[object] = []
    found: list[str] = []
    others = []

    def hook(thread: object) -> None:
        runs.append(thread)
        others.append(meanwhile(lambda: found.append(load().value)))
        assert not found

    def load() -> ModuleType:
        return importlib.import_module("slow_module_of_a_test")

    module = tmp_path / "slow_module_of_a_test.py"
    module.write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("builtins.hook", hook, raising=False)
    monkeypatch.delitem(sys.modules, module.stem, raising=False)
    assert load().value == "complete"
    others[0].join()
    assert len(runs) == 1
    assert found == ["complete"]
    del sys.modules[module.stem]
