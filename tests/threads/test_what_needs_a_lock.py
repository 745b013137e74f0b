"""What the recipe says of each operation, as far as it can be shown."""

import dis
import functools
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from cookbook import forms
from cookbook.testing.every_interleaving import Setup, every_interleaving
from cookbook.threads.what_needs_a_lock import (
    OPERATIONS,
    broken_count,
    main,
)
from tests.exploring import Explore

NO_LOCK = [one.code for one in OPERATIONS if not one.without]
PROVED = {one.code: one.without for one in OPERATIONS if one.known == "proved"}

# What the other thread does, where it is not the same.
OTHERS = {
    "x = items[0]": "items[0] = x",
    "x = table[key]": "table[key] = x",
    "x = table.copy()": "table['new'] = x",
    "for key in table: x = key": "table['new'] = x",
}


class Shared:
    """The objects of the table, and two functions that work on them."""

    def __init__(self, code: str) -> None:
        self.names: dict[str, Any] = {
            "total": 0,
            "box": SimpleNamespace(total=0),
            "items": [1] if code.startswith("if items") else [1, 2],
            "table": {"key": 3},
            "queue": deque([4, 5]),
            "results": [None, None],
        }
        self.work = [
            self.function(0, code),
            self.function(1, OTHERS.get(code, code)),
        ]

    def function(self, number: int, code: str) -> Callable[[], None]:
        """Return a function that does *code* and keeps the x that it has."""
        x = 10 + number
        more = [x] if "items" in code else {"more": x}
        exec(
            f"def work(x={x}, key='key', more={more}):\n"
            "    global total\n"
            f"    {code}\n"
            f"    results[{number}] = x\n",
            self.names,
        )
        work: Callable[[], None] = self.names.pop("work")
        return work

    def state(self) -> Hashable:
        """Return what has become of all objects."""
        return repr({**self.names, "__builtins__": None})


def two_threads(code: str) -> Setup:
    shared = Shared(code)
    return shared.work, shared.state


def one_after_the_other(code: str) -> set[Hashable]:
    """Return the outcomes without any switch in the middle."""
    outcomes = set()
    for order in (1, -1):
        shared = Shared(code)
        for work in shared.work[::order]:
            work()
        outcomes.add(shared.state())
    return outcomes


@functools.cache
def switched_once(code: str) -> set[Hashable]:
    """Return the outcomes with at most one switch between instructions."""
    make = functools.partial(two_threads, code)
    return set(every_interleaving(make, by="bytecode", preemptions=1))


def test_what_needs_no_lock_ends_as_if_one_thread_came_after_the_other() -> (
    None
):
    found = {code: switched_once(code) for code in NO_LOCK}
    assert found == {code: one_after_the_other(code) for code in NO_LOCK}


def test_each_operation_said_to_be_proved_goes_wrong_on_a_schedule() -> None:
    for code, without in PROVED.items():
        wrong = switched_once(code) - one_after_the_other(code)
        if without.endswith("Error"):
            wrong = {one for one in wrong if str(one).startswith(without)}
        assert wrong, code


def test_what_is_lost_is_what_the_table_says() -> None:
    lost = {
        "total += 1": "'total': 1,",
        "box.total += 1": "namespace(total=1)",
        "items[0] += 1": "'items': [2, 2]",
        "table[key] = table.get(key, 0) + 1": "{'key': 4}",
        "items.append(len(items))": "[1, 2, 2, 2]",
        "items[0], items[1] = items[1], items[0]": "'items': [2, 2]",
    }
    for code, part in lost.items():
        assert any(part in str(state) for state in switched_once(code)), code
    errors = {code for code in PROVED if PROVED[code].endswith("Error")}
    assert lost.keys() | errors == PROVED.keys()


def add_one_setup() -> Setup:
    box = SimpleNamespace(total=0)

    def add_one() -> None:
        box.total += 1

    return [add_one, add_one], lambda: box.total


def append_setup() -> Setup:
    items: list[int] = []

    def append() -> None:
        items.append(1)

    return [append, append], lambda: len(items)


def delete_setup() -> Setup:
    table = {"key": 1}

    def delete() -> None:
        if "key" in table:
            del table["key"]

    return [delete, delete], lambda: len(table)


def test_a_plus_equals_loses_an_update_between_its_instructions(
    explore: Explore,
) -> None:
    explore(
        add_one_setup,
        "``box.total += 1``: two threads",
        right={2: "both updates kept"},
        wrong={1: "one update lost"},
        by="bytecode",
    )


def test_a_check_and_a_del_raise_key_error_between_their_instructions(
    explore: Explore,
) -> None:
    explore(
        delete_setup,
        "``if key in table: del table[key]``",
        right={0: "deleted once"},
        wrong={"KeyError: 'key'": "deleted meanwhile"},
        by="bytecode",
    )


def test_appends_keep_both_items_however_their_instructions_are_ordered(
    explore: Explore,
) -> None:
    explore(
        append_setup,
        "``items.append(1)``: two threads",
        right={2: "both items kept"},
        by="bytecode",
    )


def touches(code: str) -> int:
    """Count the instructions that read or change what is shared."""
    count = 0
    before = ""
    for step in dis.get_instructions(compile(code, "operation", "exec")):
        name, value = step.opname, str(step.argval)
        count += (
            name in {"CALL", "CONTAINS_OP", "DELETE_SUBSCR", "GET_ITER"}
            or name in {"BINARY_SUBSCR", "STORE_SUBSCR", "FOR_ITER"}
            or (name == "BINARY_OP" and step.argrepr == "[]")
            or (name in {"LOAD_NAME", "STORE_NAME"} and value == "total")
            or (name in {"LOAD_ATTR", "STORE_ATTR"} and value == "total")
            or (before == "LOAD_NAME" and name == "TO_BOOL")
            or (before == "LOAD_NAME" and name.startswith("POP_JUMP"))
        )
        before = name
    return count


def test_one_instruction_touches_the_object_where_no_lock_is_needed() -> None:
    for code in NO_LOCK:
        assert touches(code) == 1, code
    for code in PROVED:
        assert touches(code) > 1, code


# What follows observes; a run that loses nothing proves nothing.

TIMES = 1000


def at_once(work: Callable[[int], object]) -> list[Any]:
    """Return what *work* returns for the numbers from 0 and from TIMES."""
    start = threading.Barrier(2, timeout=10)

    def run(first: int) -> object:
        start.wait()
        return work(first)

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(run, [0, TIMES]))


@pytest.mark.parametrize("kind", [list, deque])
def test_appends_and_extends_of_two_threads_were_observed_to_keep_all(
    kind: Callable[[], Any],
) -> None:
    items = kind()

    def append(first: int) -> None:
        for number in range(first, first + TIMES, 2):
            items.append(number)
            items.extend([number + 1])

    at_once(append)
    assert sorted(items) == list(range(2 * TIMES))


@pytest.mark.parametrize(
    ("items", "pop"),
    [
        (list(range(2 * TIMES)), list.pop),
        (deque(range(2 * TIMES)), deque.popleft),
    ],
)
def test_pops_of_two_threads_were_observed_to_give_each_item_once(
    items: object, pop: Callable[[object], int]
) -> None:
    one, two = at_once(lambda _: [pop(items) for _ in range(TIMES)])
    assert sorted(one + two) == list(range(2 * TIMES))


def test_keys_set_and_updated_by_two_threads_were_observed_to_stay() -> None:
    table: dict[int, int] = {}

    def fill(first: int) -> None:
        for number in range(first, first + TIMES, 2):
            table[number] = number
            table.update({number + 1: number})

    at_once(fill)
    assert sorted(table) == list(range(2 * TIMES))


def test_setdefault_was_observed_to_give_both_threads_one_value() -> None:
    table: dict[int, object] = {}
    one, two = at_once(
        lambda _: [table.setdefault(key, object()) for key in range(TIMES)]
    )
    assert one == two


def test_pop_was_observed_to_give_each_key_to_one_thread() -> None:
    table = dict.fromkeys(range(TIMES), 1)
    one, two = at_once(lambda _: [table.pop(key, 0) for key in range(TIMES)])
    assert sorted(map(sum, zip(one, two, strict=True))) == [1] * TIMES


def test_copies_of_a_dict_that_grows_were_observed_to_be_whole() -> None:
    table: dict[int, int] = {}

    def work(first: int) -> list[int]:
        if first:
            return [len(table.copy()) for _ in range(TIMES)]
        return [table.setdefault(number, 0) for number in range(TIMES)]

    _, lengths = at_once(work)
    assert lengths == sorted(lengths)


def test_a_reader_was_observed_to_see_only_values_that_were_assigned() -> None:
    box = SimpleNamespace(total=(0, 0))
    items = [(0, 0)]

    def work(first: int) -> list[tuple[int, int]]:
        seen = []
        for number in range(TIMES):
            if first:
                seen += [box.total, items[0]]
            else:
                box.total = (number, number)
                items[0] = (number, number)
        return seen

    _, seen = at_once(work)
    assert all(one == other for one, other in seen)


@pytest.mark.skipif(
    forms.applies("with the GIL"),
    reason="with the GIL a bare += may lose nothing, however often it runs",
)
def test_a_bare_plus_equals_was_observed_to_lose_updates_without_the_gil() -> (
    None
):
    box = SimpleNamespace(total=0)

    def add(_: int) -> None:
        for _ in range(TIMES):
            box.total += 1

    for rounds in range(1, 101):
        at_once(add)
        if box.total < rounds * 2 * TIMES:
            return
    pytest.skip(f"{rounds} rounds of 2 * {TIMES} additions lost none")


# What the pitfalls say.


def test_python_code_of_a_key_lets_other_threads_in() -> None:
    class Key:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            thread = threading.Thread(target=table.update, args=[{2: "in"}])
            thread.start()
            thread.join()
            return self is other

    table: dict[object, str] = {1: "first"}
    assert table.setdefault(Key(), "mine") == "mine"
    assert table[2] == "in"


def test_python_code_of_a_replaced_value_runs_within_the_assignment() -> None:
    class Value:
        def __del__(self) -> None:
            seen.append(dict(table))

    seen: list[dict[str, object]] = []
    table: dict[str, object] = {"key": Value()}
    table["key"] = 1
    assert seen == [{"key": 1}]


def test_a_list_looks_empty_while_it_is_sorted() -> None:
    items = [2, 1]
    seen = []

    def look(item: int) -> int:
        seen.append(list(items))
        return item

    items.sort(key=look)
    assert items == [1, 2]
    assert seen == [[], []]


def test_in_the_broken_count_a_thread_in_the_gap_loses_its_update() -> None:
    class Table(dict[str, int]):
        meanwhile = True

        def __getitem__(self, word: str) -> int:
            found = super().__getitem__(word)
            if self.meanwhile:
                self.meanwhile = False
                thread = threading.Thread(
                    target=broken_count, args=[self, word]
                )
                thread.start()
                thread.join()
            return found

    table = Table(word=0)
    broken_count(table, "word")
    assert dict(table) == {"word": 1}


def test_main_prints_each_operation_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main()
    lines = capsys.readouterr().out.splitlines()
    printed = [line[:40].rstrip() for line in lines]
    codes = [one.code for one in OPERATIONS]
    assert sorted(printed) == sorted([*codes, "NO LOCK NEEDED", "LOCK NEEDED"])
