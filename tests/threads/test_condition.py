"""What the recipe says of conditions, shown to be so."""

import linecache
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.condition import (
    CountedCondition,
    Shelf,
    broken_take_if,
    broken_take_unasked,
    put,
    take,
)
from tests.exploring import Explore
from tests.interrupts import one_interrupt

Take = Callable[[Shelf], Iterable[str]]
BOTH = ("milk", "tea")
NAMES = ("producer", "consumer", "another")


def two_items_for_two(take_one: Take) -> Callable[[], Setup]:
    """Return a set-up of two consumers and of a producer of two items."""

    def make() -> Setup:
        shelf = Shelf()
        taken: list[str] = []

        def produce() -> None:
            put(shelf, "tea")
            put(shelf, "milk")

        def consume() -> None:
            taken.extend(take_one(shelf))

        return [produce, consume, consume], lambda: tuple(sorted(taken))

    return make


def one_item_for_one(take_one: Take) -> Callable[[], Setup]:
    """Return a set-up of one consumer and of a producer of one item."""

    def make() -> Setup:
        shelf = Shelf()

        def produce() -> None:
            put(shelf, "tea")

        def consume() -> None:
            take_one(shelf)

        return [produce, consume], lambda: len(shelf.items)

    return make


def broken_take_if_as_list(shelf: Shelf) -> list[str]:
    return [broken_take_if(shelf)]


def test_both_consumers_get_an_item_wherever_threads_switch_once(
    explore: Explore,
) -> None:
    explore(
        two_items_for_two(take),
        "``take``: two items, two consumers",
        right={BOTH: "each gets one"},
        preemptions=1,
        threads=NAMES,
    )


def test_with_if_a_consumer_finds_the_item_gone_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        two_items_for_two(broken_take_if_as_list),
        "``broken_take_if``: two items, two consumers",
        right={BOTH: "each gets one"},
        wrong={"IndexError: pop from empty list": "the item was gone"},
        preemptions=1,
        threads=NAMES,
    )


def test_an_item_put_before_the_wait_is_taken_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        one_item_for_one(take),
        "``take``: one item, one consumer",
        right={0: "the item is taken"},
        threads=NAMES[:2],
    )


def test_an_unasked_wait_misses_what_came_before_and_lasts_for_ever(
    explore: Explore,
) -> None:
    explore(
        one_item_for_one(broken_take_unasked),
        "``broken_take_unasked``: one item, one consumer",
        right={0: "the item is taken"},
        wrong={DEADLOCK: "the wake-up is lost"},
        threads=NAMES[:2],
    )


def test_a_thread_that_waits_with_another_lock_held_keeps_that_lock() -> None:
    def make() -> Setup:
        shelf = Shelf()
        other = threading.Lock()

        def consume() -> None:
            with other:
                take(shelf)

        def produce() -> None:
            with other:
                put(shelf, "tea")

        return [consume, produce], lambda: len(shelf.items)

    assert set(every_interleaving(make)) == {0, DEADLOCK}


def test_two_threads_woken_for_one_item_share_it_out_or_wait_again() -> None:
    changed = CountedCondition()
    shelf = Shelf(changed)
    with ThreadPoolExecutor(max_workers=2) as pool:
        takers = [pool.submit(take, shelf, timeout=10) for _ in range(2)]
        assert changed.begun.acquire(timeout=10)
        assert changed.begun.acquire(timeout=10)
        put(shelf, "tea")
        assert changed.begun.acquire(timeout=10)  # one of them, again
        put(shelf, "milk")
    assert {*takers[0].result(), *takers[1].result()} == {"tea", "milk"}


def test_two_threads_woken_for_one_item_break_the_if() -> None:
    changed = CountedCondition()
    shelf = Shelf(changed)
    with ThreadPoolExecutor(max_workers=2) as pool:
        takers = [pool.submit(broken_take_if, shelf) for _ in range(2)]
        assert changed.begun.acquire(timeout=10)
        assert changed.begun.acquire(timeout=10)
        put(shelf, "tea")
    errors = [repr(taker.exception()) for taker in takers]
    assert sorted(errors) == ["IndexError('pop from empty list')", "None"]


def test_an_item_put_first_is_found_or_missed_by_who_does_not_look() -> None:
    shelf = Shelf()
    put(shelf, "tea")
    with pytest.raises(TimeoutError, match=r"there are \['tea'\]$"):
        broken_take_unasked(shelf, timeout=0.01)
    assert take(shelf, timeout=0) == ["tea"]


def test_notify_wakes_one_that_cannot_go_on_while_the_other_sleeps() -> None:
    changed = CountedCondition()
    shelf = Shelf(changed)
    with ThreadPoolExecutor(max_workers=2) as pool:
        for_two = pool.submit(take, shelf, 2, timeout=10)
        assert changed.begun.acquire(timeout=10)
        for_one = pool.submit(take, shelf, 1, timeout=10)
        assert changed.begun.acquire(timeout=10)
        with changed:
            shelf.items.append("tea")
            changed.notify()
        assert changed.begun.acquire(timeout=10)  # it needs two
        assert not for_one.done()
        put(shelf)  # nothing new: notify_all() alone
        assert for_one.result(timeout=10) == ["tea"]
        put(shelf, "milk", "salt")
        assert for_two.result(timeout=10) == ["milk", "salt"]


def test_a_woken_thread_goes_on_when_the_block_that_woke_it_has_ended() -> (
    None
):
    changed = CountedCondition()
    shelf = Shelf(changed)
    with ThreadPoolExecutor(max_workers=1) as pool:
        taker = pool.submit(take, shelf, timeout=10)
        assert changed.begun.acquire(timeout=10)
        with changed:
            shelf.items.append("tea")
            changed.notify_all()
            with pytest.raises(TimeoutError):
                taker.result(timeout=0.05)
        assert taker.result(timeout=10) == ["tea"]


def test_all_items_asked_for_are_taken_at_once_in_order_or_none() -> None:
    shelf = Shelf()
    put(shelf, "tea", "milk")
    put(shelf, "salt")
    message = "^fewer than 4 items in 0.01 s$"
    with pytest.raises(TimeoutError, match=message):
        take(shelf, 4, timeout=0.01)
    assert take(shelf, 2) == ["tea", "milk"]
    assert take(shelf, timeout=0) == ["salt"]
    assert shelf.items == []


@pytest.mark.parametrize(
    ("word", "call"),
    [
        ("notify", threading.Condition.notify),
        ("notify", threading.Condition.notify_all),
        ("wait", threading.Condition.wait),
    ],
)
def test_without_the_lock_to_notify_or_to_wait_is_a_runtime_error(
    word: str, call: Callable[[threading.Condition], object]
) -> None:
    message = f"^cannot {word} on un-acquired lock$"
    with pytest.raises(RuntimeError, match=message):
        call(threading.Condition())


def test_an_error_in_the_function_of_wait_for_leaves_the_lock_free() -> None:
    changed = threading.Condition()
    with pytest.raises(ZeroDivisionError), changed:
        changed.wait_for(lambda: 1 // 0)
    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(changed.acquire, blocking=False).result()


def test_wait_for_returns_the_last_answer_of_its_function() -> None:
    changed = threading.Condition()
    with changed:
        assert changed.wait_for(str, timeout=0.01) == ""
        assert changed.wait_for(lambda: "there") == "there"


@pytest.mark.skipif(
    sys.platform == "win32", reason="a wait for a lock goes on there"
)
def test_ctrl_c_ends_the_wait_of_the_main_thread_and_takes_nothing() -> None:
    shelf = Shelf()
    put(shelf, "tea")
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def press_ctrl_c() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            frame = sys._current_frames()[main_thread]
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            if re.search(r"\bwaiter\.acquire\(True", line):
                break
            time.sleep(0.001)
        press()

    with one_interrupt() as press:
        thread = threading.Thread(target=press_ctrl_c)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            take(shelf, 2, timeout=30)
        thread.join()
    assert take(shelf, timeout=0) == ["tea"]
