"""What the recipe says of snapshots, shown to be so."""

import builtins
import operator
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import FrozenInstanceError, dataclass
from types import MappingProxyType
from typing import Any

import pytest

from cookbook.testing.every_interleaving import Setup, every_interleaving
from cookbook.threads.immutable_snapshot import BrokenLimits, Published
from tests.exploring import Explore

Limits = Mapping[str, int]


def published() -> tuple[Callable[[], Limits], Callable[[], None]]:
    """Return how to read snapshots of limits and how to raise them."""
    first: Limits = MappingProxyType({"low": 10, "high": 20})
    limits = Published(first)

    def raise_limits(_: Limits) -> Limits:
        return MappingProxyType({"low": 30, "high": 40, "step": 5})

    return lambda: limits.current, lambda: limits.replace(raise_limits)


def in_place() -> tuple[Callable[[], Limits], Callable[[], None]]:
    """Return the same for limits that are changed in place."""
    limits = BrokenLimits(10, 20)
    return lambda: limits.current, lambda: limits.replace(30, 40, 5)


def reader_and_writer(
    limits: Callable[[], tuple[Callable[[], Limits], Callable[[], None]]],
) -> Callable[[], Setup]:
    def make() -> Setup:
        current, raise_limits = limits()
        seen: list[int] = []

        def read() -> None:
            now = current()
            seen.append(now["low"])
            seen.append(now["high"])

        return [read, raise_limits], lambda: tuple(seen)

    return make


WHOLE: dict[Hashable, str] = {(10, 20): "both old", (30, 40): "both new"}


def test_a_reader_sees_a_whole_snapshot_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        reader_and_writer(published),
        "``Published``: one reads, one replaces",
        right=WHOLE,
        threads=("reader", "writer"),
    )


def test_a_reader_of_what_is_changed_in_place_sees_half_a_change(
    explore: Explore,
) -> None:
    explore(
        reader_and_writer(in_place),
        "``BrokenLimits``: one reads, one changes",
        right=WHOLE,
        wrong={(30, 20): "low new, high old", (10, 40): "low old, high new"},
        threads=("reader", "writer"),
    )


CHANGED = "RuntimeError: dictionary changed size during iteration"


@pytest.mark.parametrize(
    ("limits", "outcomes"), [(published, {2, 3}), (in_place, {2, 3, CHANGED})]
)
def test_a_reader_that_iterates_gets_an_error_only_if_changed_in_place(
    limits: Callable[[], tuple[Callable[[], Limits], Callable[[], None]]],
    outcomes: set[object],
) -> None:
    def make() -> Setup:
        current, raise_limits = limits()
        seen = []

        def read() -> None:
            for name, value in current().items():
                seen.append((name, value))

        return [read, raise_limits], lambda: len(seen)

    assert set(every_interleaving(make, preemptions=2)) == outcomes


def test_two_reads_of_current_may_give_two_snapshots() -> None:
    def make() -> Setup:
        current, raise_limits = published()
        seen = []

        def read() -> None:
            seen.append(current()["low"])
            seen.append(current()["high"])

        return [read, raise_limits], lambda: tuple(seen)

    assert set(every_interleaving(make)) == {(10, 20), (30, 40), (10, 40)}


def two_writers(replace: Callable[[Published[int]], None]) -> set[object]:
    def make() -> Setup:
        number = Published(0)
        return [
            lambda: replace(number),
            lambda: replace(number),
        ], lambda: number.current

    return set(every_interleaving(make))


def test_the_lock_of_the_writers_keeps_both_changes() -> None:
    def with_lock(number: Published[int]) -> None:
        number.replace(lambda old: old + 1)

    def without_lock(number: Published[int]) -> None:
        old = number.current
        number.current = old + 1

    assert two_writers(with_lock) == {2}
    assert two_writers(without_lock) == {1, 2}


def test_a_reader_takes_no_lock_and_never_waits_for_a_writer() -> None:
    number = Published(1)
    seen = []

    def step(old: int) -> int:
        reader = threading.Thread(target=lambda: seen.append(number.current))
        reader.start()
        reader.join()
        return old + 1

    number.replace(step)
    assert seen == [1]
    assert number.current == 2


def test_an_error_in_step_leaves_the_old_snapshot_and_the_lock_free() -> None:
    number = Published(1)
    with pytest.raises(ZeroDivisionError):
        number.replace(lambda old: old // 0)
    assert number.current == 1
    number.replace(lambda old: old + 1)
    assert number.current == 2


def test_a_frozen_dataclass_refuses_a_change_but_not_one_of_its_list() -> None:
    @dataclass(frozen=True)
    class Frozen:
        names: list[str]

    one = Frozen(["a"])
    with pytest.raises(FrozenInstanceError):
        vars(type(one))["__setattr__"](one, "names", [])
    one.names.append("b")
    assert one.names == ["a", "b"]


def test_a_copy_of_a_dictionary_shares_its_values() -> None:
    first = {"names": ["a"]}
    second = {**first, "more": []}
    second["names"].append("b")
    assert first == {"names": ["a", "b"]}


def test_a_mapping_proxy_refuses_changes_as_a_frozendict_does_from_3_15() -> (
    None
):
    kinds: list[Any] = [MappingProxyType]
    if sys.version_info >= (3, 15):
        kinds.append(vars(builtins)["frozendict"])
    assert ("frozendict" in vars(builtins)) == (len(kinds) == 2)
    for kind in kinds:
        with pytest.raises(TypeError, match="not support item assignment"):
            operator.setitem(kind({}), "a", 1)


def test_iterating_over_a_copy_of_a_dictionary_raises_no_error() -> None:
    values = dict.fromkeys("ab", 0)
    for key in values.copy():
        values[key * 2] = 0
    assert sorted(values) == ["a", "aa", "b", "bb"]


def replace_key(values: dict[int, int]) -> None:
    del values[1]
    values[2] = 0


@pytest.mark.parametrize(
    ("values", "change", "message"),
    [
        (
            {1: 0},
            lambda values: values.update({2: 0}),
            "dictionary changed size during iteration",
        ),
        ({1: 0}, replace_key, "dictionary keys changed during iteration"),
        (
            {1},
            lambda values: values.add(2),
            "Set changed size during iteration",
        ),
        (
            deque([1]),
            lambda values: values.append(2),
            "deque mutated during iteration",
        ),
    ],
)
def test_each_collection_that_is_changed_while_iterated_says_so(
    values: Iterable[int], change: Callable[[object], None], message: str
) -> None:
    def iterate() -> None:
        for _ in values:
            change(values)

    with pytest.raises(RuntimeError, match=f"^{message}$"):
        iterate()


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda values: values.insert(0, 0), [1, 1, 2]),
        (lambda values: values.pop(0), [1]),
    ],
)
def test_a_list_changed_while_iterated_repeats_or_skips_without_an_error(
    change: Callable[[list[int]], None], seen: list[int]
) -> None:
    values = [1, 2]
    found: list[int] = []
    for value in values:
        if not found:
            change(values)
        found.append(value)
    assert found == seen
