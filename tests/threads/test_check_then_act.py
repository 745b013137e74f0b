"""What the recipe says of checks and acts, shown to be so."""

import functools
import operator
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.check_then_act import Account, BrokenCache, Cache
from tests.exploring import Explore

AnyCache = type[Cache[str, object]] | type[BrokenCache[str, object]]


def two_threads_get(kind: AnyCache) -> Callable[[], Setup]:
    def make() -> Setup:
        cache = kind(lambda _: object())
        found = []

        def get() -> None:
            found.append(cache.get("key"))

        return [get, get], lambda: len(set(found))

    return make


def test_the_cache_gives_both_threads_one_object_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        two_threads_get(Cache),
        "``Cache``: two threads ask for one key",
        right={1: "one object"},
    )


def test_locks_around_the_check_and_the_act_alone_create_two_objects(
    explore: Explore,
) -> None:
    explore(
        two_threads_get(BrokenCache),
        "``BrokenCache``: two threads ask for one key",
        right={1: "one object"},
        wrong={2: "two objects"},
        preemptions=2,
    )


def test_eight_threads_that_ask_at_once_share_what_the_first_created() -> None:
    all_there = threading.Barrier(8, timeout=10)
    cache: Cache[str, object] = Cache(lambda _: object())

    def ask(_: int) -> object:
        all_there.wait()
        return cache.get("key")

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1


def test_the_broken_cache_forgets_the_value_that_the_first_thread_uses() -> (
    None
):
    keys = iter("ab")
    cache: BrokenCache[str, str]

    def create(_: str) -> str:
        mine = next(keys)
        if mine == "a":  # meanwhile, all of another thread's call
            thread = threading.Thread(target=cache.get, args=["key"])
            thread.start()
            thread.join()
        return mine

    cache = BrokenCache(create)
    assert cache.get("key") == "a"
    assert cache.get("key") == "a"
    assert next(keys, "used up") == "used up"


def test_a_thread_that_asks_while_the_value_is_created_waits_for_it() -> None:
    asked = threading.Event()
    found: list[object] = []

    def ask() -> None:
        asked.set()
        found.append(cache.get("key"))

    other = threading.Thread(target=ask)

    def create(key: str) -> str:
        other.start()
        assert asked.wait(timeout=10)
        other.join(timeout=0.05)
        assert not found
        return key.upper()

    cache = Cache(create)
    assert cache.get("key") == "KEY"
    other.join()
    assert found == ["KEY"]


def test_each_key_gets_a_value_of_its_own_once() -> None:
    created = []

    def create(key: int) -> int:
        created.append(key)
        return key * 2

    cache = Cache(create)
    assert [cache.get(key) for key in (1, 2, 1, 2)] == [2, 4, 2, 4]
    assert created == [1, 2]


def test_a_value_that_is_none_is_created_once_too() -> None:
    created: list[str] = []
    cache = Cache(created.append)
    assert [cache.get("key"), cache.get("key")] == [None, None]
    assert created == ["key"]


def test_an_error_in_create_stores_nothing_and_the_next_call_retries() -> None:
    answers = iter([0, 1])
    cache: Cache[str, float] = Cache(lambda _: 1 / next(answers))
    with pytest.raises(ZeroDivisionError):
        cache.get("key")
    assert cache.get("key") == 1


def test_a_value_whose_creation_asks_the_same_cache_waits_for_itself() -> None:
    def make() -> Setup:
        cache: Cache[str, object]
        cache = Cache(lambda key: (key, cache.get(key)))

        def get() -> None:
            cache.get("key")

        return [get], lambda: "ended"

    assert set(every_interleaving(make)) == {DEADLOCK}


def two_withdrawals(withdraw: Callable[[Account, int], bool]) -> Setup:
    account = Account(100)
    paid = []

    def take() -> None:
        paid.append(withdraw(account, 80))

    return [take, take], lambda: (sum(paid), account.balance)


def test_one_of_two_withdrawals_is_refused_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        functools.partial(two_withdrawals, Account.withdraw),
        "``Account``: two threads take 80 of 100",
        right={(1, 20): "paid once, balance 20"},
    )


def test_without_a_lock_two_withdrawals_overdraw_on_some_schedules() -> None:
    def withdraw(account: Account, amount: int) -> bool:
        if account.balance < amount:
            return False
        account.balance -= amount
        return True

    outcomes = every_interleaving(functools.partial(two_withdrawals, withdraw))
    assert set(outcomes) == {(1, 20), (2, -60)}


def test_the_whole_balance_can_be_withdrawn_and_no_more() -> None:
    account = Account(100)
    assert account.withdraw(100)
    assert account.balance == 0
    assert not account.withdraw(1)
    assert account.balance == 0


def test_setdefault_always_makes_the_value_and_keeps_the_first() -> None:
    def make() -> Setup:
        values: dict[str, list[int]] = {}
        made, found = [], []

        def get() -> None:
            value: list[int] = []
            made.append(value)
            found.append(values.setdefault("key", value))

        return [get, get], lambda: (len(made), found[0] is found[1])

    assert set(every_interleaving(make)) == {(2, True)}


def test_a_lock_for_each_key_lets_two_keys_be_created_at_once() -> None:
    locks: dict[str, threading.Lock] = {}
    both_create = threading.Barrier(2, timeout=10)

    def create(key: str) -> int:
        with locks.setdefault(key, threading.Lock()):
            return both_create.wait()

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert sorted(pool.map(create, ["one", "two"])) == [0, 1]
    assert locks.keys() == {"one", "two"}  # they stay


def test_a_lock_removed_while_another_thread_waits_for_it_lets_two_in() -> (
    None
):
    locks: dict[str, threading.Lock] = {}
    with locks.setdefault("key", threading.Lock()):
        of_who_waits = locks.setdefault("key", threading.Lock())
        del locks["key"]
    of_who_comes = locks.setdefault("key", threading.Lock())
    with of_who_waits:
        assert of_who_comes.acquire(blocking=False)


def test_pop_with_a_default_deletes_where_check_and_del_raise_key_error() -> (
    None
):
    def check_and_delete(values: dict[str, int]) -> None:
        if "key" in values:
            operator.delitem(values, "key")

    def pop(values: dict[str, int]) -> None:
        values.pop("key", None)

    def two_threads(delete: Callable[[dict[str, int]], None]) -> Setup:
        values = {"key": 1}
        work = functools.partial(delete, values)
        return [work, work], lambda: len(values)

    make = functools.partial(two_threads, check_and_delete)
    assert set(every_interleaving(make)) == {0, "KeyError: 'key'"}
    make = functools.partial(two_threads, pop)
    assert set(every_interleaving(make)) == {0}


def test_threads_that_miss_a_key_of_a_defaultdict_both_run_the_factory() -> (
    None
):
    both_have_missed = threading.Barrier(2, timeout=10)
    values: defaultdict[str, list[int]] = defaultdict(
        lambda: [both_have_missed.wait()]
    )
    with ThreadPoolExecutor(max_workers=2) as pool:
        one, two = pool.map(values.__getitem__, ["key", "key"])
    is_mended = sys.version_info >= (
        (3, 14, 3) if sys.version_info[:2] == (3, 14) else (3, 13, 12)
    )
    assert (one is two) == is_mended
