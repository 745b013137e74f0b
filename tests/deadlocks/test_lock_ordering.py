"""What the recipe says of the order of locks, shown to be so."""

import contextlib
import inspect
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest

from cookbook.deadlocks import lock_ordering
from cookbook.deadlocks.lock_ordering import (
    Account,
    MeetingLock,
    broken_transfer,
    transfer,
)
from cookbook.testing.every_interleaving import DEADLOCK, every_interleaving
from tests.exploring import Explore

Transfer = Callable[[Account, Account, int], None]
Functions = Sequence[Callable[[], object]]


def opposite(
    transfer: Transfer,
) -> Callable[[], tuple[Functions, Callable[[], Hashable]]]:
    """Return a set-up of two transfers between the same two accounts."""

    def make() -> tuple[Functions, Callable[[], Hashable]]:
        one, two = Account(1, 100), Account(2, 100)
        return [
            partial(transfer, one, two, 10),
            partial(transfer, two, one, 30),
        ], lambda: (one.balance, two.balance)

    return make


def test_opposite_transfers_end_right_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        opposite(transfer),
        "``transfer``: both ways",
        right={(120, 80): "both payments made"},
    )


def test_opposite_transfers_in_call_order_deadlock_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        opposite(broken_transfer),
        "``broken_transfer``: both ways",
        right={(120, 80): "both payments made"},
        wrong={DEADLOCK: "deadlock"},
    )


def test_three_transfers_in_a_ring_end_right_whoever_is_first() -> None:
    accounts = [Account(number, 100) for number in (3, 1, 2)]
    all_there = threading.Barrier(3, timeout=10)

    def pay(source: Account, target: Account) -> None:
        all_there.wait()
        for _ in range(100):
            transfer(source, target, 1)

    with ThreadPoolExecutor(max_workers=3) as pool:
        pairs = zip(accounts, accounts[1:] + accounts[:1], strict=True)
        payments = [pool.submit(pay, *pair) for pair in pairs]
    assert [payment.exception() for payment in payments] == [None] * 3
    assert [account.balance for account in accounts] == [100, 100, 100]


def test_a_transfer_in_call_order_to_the_same_account_waits_for_itself() -> (
    None
):
    def make() -> tuple[Functions, Callable[[], Hashable]]:
        account = Account(1, 100)
        return [
            lambda: broken_transfer(account, account, 10)
        ], lambda: account.balance

    assert set(every_interleaving(make)) == {"deadlock"}


def test_sorting_by_a_balance_that_changes_meanwhile_still_deadlocks() -> None:
    def by_balance(source: Account, target: Account) -> None:
        first, second = sorted((source, target), key=attrgetter("balance"))
        with first.lock, second.lock:
            target.balance += 0

    def make() -> tuple[Functions, Callable[[], Hashable]]:
        low, high = Account(1, 10), Account(2, 20)

        def pay_in_and_pay_back() -> None:
            low.balance += 20
            by_balance(high, low)

        return [
            partial(by_balance, low, high),
            pay_in_and_pay_back,
        ], lambda: "ended"

    assert set(every_interleaving(make)) == {"ended", "deadlock"}


def test_reentrant_locks_taken_in_call_order_deadlock_all_the_same() -> None:
    def make() -> tuple[Functions, Callable[[], Hashable]]:
        one = Account(1, 100, threading.RLock())
        two = Account(2, 100, threading.RLock())
        return [
            partial(broken_transfer, one, two, 10),
            partial(broken_transfer, two, one, 30),
        ], lambda: (one.balance, two.balance)

    assert set(every_interleaving(make)) == {(120, 80), "deadlock"}


def test_a_callback_that_takes_a_lock_of_its_own_deadlocks_its_caller() -> (
    None
):
    def make() -> tuple[Functions, Callable[[], Hashable]]:
        mine, others = threading.Lock(), threading.Lock()

        def callback() -> None:
            with others:
                pass

        def caller() -> None:
            with mine:
                callback()

        def other() -> None:
            with others, mine:
                pass

        return [caller, other], lambda: "ended"

    assert set(every_interleaving(make)) == {"ended", "deadlock"}


class FirstMeeting(threading.Barrier):
    """A meeting that is called off, for all, when the other stays away."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the other thread, or until the meeting is called off."""
        with contextlib.suppress(threading.BrokenBarrierError):
            return super().wait(timeout)
        return -1


def forced(
    transfer: Transfer, timeout: float
) -> tuple[dict[str, list[str]], Account, Account]:
    """Run opposite transfers whose threads meet when they hold one lock."""
    steps: dict[str, list[str]] = {"first": [], "second": []}
    meeting = FirstMeeting(2, timeout=timeout)
    one = Account(1, 100, MeetingLock("1", 10, meeting, steps))
    two = Account(2, 100, MeetingLock("2", 0.1, meeting, steps))

    def pay(source: Account, target: Account) -> None:
        with contextlib.suppress(TimeoutError):
            transfer(source, target, 10)

    threads = [
        threading.Thread(target=pay, args=(one, two), name="first"),
        threading.Thread(target=pay, args=(two, one), name="second"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return steps, one, two


def test_in_call_order_each_thread_holds_the_lock_that_the_other_wants() -> (
    None
):
    steps, one, two = forced(broken_transfer, timeout=10)
    assert steps["first"] == ["wants 1", "holds 1", "wants 2", "gives up"]
    assert steps["second"] == ["wants 2", "holds 2", "wants 1", "holds 1"]
    assert (one.balance, two.balance) == (110, 90)


def test_on_the_same_schedule_nobody_gives_up_if_the_locks_have_an_order() -> (
    None
):
    steps, one, two = forced(transfer, timeout=0.05)
    in_order = ["wants 1", "holds 1", "wants 2", "holds 2"]
    assert steps == {"first": in_order, "second": in_order}
    assert (one.balance, two.balance) == (100, 100)


HANGING = """
import faulthandler, threading, time
from cookbook.deadlocks.lock_ordering import *

steps = {"first": [], "second": []}
meeting = threading.Barrier(2)
one = Account(1, 100, MeetingLock("1", -1, meeting, steps))
two = Account(2, 100, MeetingLock("2", -1, meeting, steps))
for name, order in ("first", (one, two)), ("second", (two, one)):
    threading.Thread(
        target=broken_transfer, args=(*order, 10), name=name
    ).start()
while min(map(len, steps.values())) < 3:
    time.sleep(0.001)
faulthandler.dump_traceback_later(0.1, exit=True)
"""


def test_faulthandler_shows_the_line_where_each_thread_waits_for_ever() -> (
    None
):
    root = Path(lock_ordering.__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", HANGING],
        capture_output=True,
        check=False,
        cwd=root,
        text=True,
        timeout=60,
    )
    lines, first = inspect.getsourcelines(broken_transfer)
    where = first + [" with " in line for line in lines].index(True)
    assert process.returncode == 1
    waiting = f'lock_ordering.py", line {where} in broken_transfer'
    assert process.stderr.count(waiting) == 2


@pytest.mark.parametrize("amount", [-1, 101, math.nan])
def test_an_amount_out_of_range_is_refused_by_value_and_nothing_moves(
    amount: int,
) -> None:
    one, two = Account(1, 100), Account(2, 50)
    message = f"^amount must be 0 to 100, not {amount!r}$"
    with pytest.raises(ValueError, match=message):
        transfer(one, two, amount)
    assert (one.balance, two.balance) == (100, 50)
    transfer(one, two, 100)
    transfer(two, one, 0)
    assert (one.balance, two.balance) == (0, 150)


@pytest.mark.parametrize("same_object", [True, False])
def test_two_accounts_of_one_number_are_refused_and_no_lock_is_taken(
    *, same_object: bool
) -> None:
    lock = threading.Lock()
    one = Account(7, 100, lock)
    message = "^both accounts have the number 7$"
    with lock, pytest.raises(ValueError, match=message):
        transfer(one, one if same_object else Account(7, 0), 10)
    assert one.balance == 100
