"""What the recipe says of locks that are taken again, shown to be so."""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.reentrant_lock import BrokenWallet, Wallet
from tests.exploring import Explore

AnyLock = Callable[[], threading.Lock]


def other_thread(function: Callable[[], object]) -> object:
    """Return what *function* returns in a thread of its own."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


def two_threads_spend(kind: type[Wallet]) -> Callable[[], Setup]:
    def make() -> Setup:
        wallet = kind(cash=10, card=90)

        def spend() -> None:
            wallet.spend(30)

        return [spend, spend], lambda: (wallet.cash, wallet.card)

    return make


class WalletWithLock(Wallet):
    """The same with a lock that cannot be taken again."""

    def __init__(self, cash: int, card: int) -> None:
        super().__init__(cash, card)
        vars(self)["lock"] = threading.Lock()


def test_methods_that_call_each_other_end_right_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        two_threads_spend(Wallet),
        "with an ``RLock``: two threads spend",
        right={(0, 40): "both have paid"},
        preemptions=2,
    )


def test_with_a_lock_methods_that_call_each_other_wait_for_themselves(
    explore: Explore,
) -> None:
    explore(
        two_threads_spend(WalletWithLock),
        "with a ``Lock``: two threads spend",
        right={},
        wrong={DEADLOCK: "the first waits for itself"},
        preemptions=2,
    )


def test_the_broken_wallet_shows_its_watcher_a_total_that_never_was() -> None:
    totals = []
    wallet = BrokenWallet(0, 100, lambda one: totals.append(one.total()))
    wallet.draw(40)
    assert totals == [60]
    assert wallet.total() == 100


def test_no_other_thread_sees_the_half_of_the_broken_change() -> None:
    started: list[threading.Thread] = []
    seen: list[int] = []

    def look(wallet: Wallet) -> None:
        other = threading.Thread(target=lambda: seen.append(wallet.total()))
        started.append(other)
        other.start()
        other.join(timeout=0.05)
        assert not seen

    wallet = BrokenWallet(0, 100, look)
    wallet.draw(40)
    started[0].join()
    assert seen == [100]


def test_a_thread_that_asks_while_another_draws_sees_the_whole_total() -> None:
    def make() -> Setup:
        wallet = Wallet(0, 100)
        seen: list[int] = []

        def ask() -> None:
            seen.append(wallet.total())

        return [lambda: wallet.draw(40), ask], seen.pop

    assert set(every_interleaving(make)) == {100}


def test_with_a_lock_the_watcher_that_comes_back_waits_for_itself() -> None:
    def make() -> Setup:
        wallet = BrokenWallet(0, 100, Wallet.total)
        vars(wallet)["lock"] = threading.Lock()
        return [lambda: wallet.draw(40)], wallet.total

    assert set(every_interleaving(make)) == {DEADLOCK}


def test_a_caller_who_holds_the_lock_makes_several_calls_one_step() -> None:
    wallet = Wallet(cash=0, card=100)
    asked = threading.Event()
    seen = []

    def look() -> None:
        asked.set()
        seen.append(wallet.total())

    other = threading.Thread(target=look)
    with wallet.lock:
        wallet.spend(10)
        other.start()
        assert asked.wait(timeout=10)
        other.join(timeout=0.05)
        wallet.spend(20)
    other.join()
    assert seen == [70]


@pytest.mark.parametrize(
    ("amount", "left"),
    [(0, (20, 80)), (10, (10, 80)), (30, (0, 70)), (100, (0, 0))],
)
def test_spending_takes_the_cash_first_and_draws_what_is_missing(
    amount: int, left: tuple[int, int]
) -> None:
    wallet = Wallet(cash=20, card=80)
    wallet.spend(amount)
    assert (wallet.cash, wallet.card) == left


@pytest.mark.parametrize("amount", [101, -50, float("nan")])
def test_an_amount_below_0_or_above_the_total_changes_nothing(
    amount: float,
) -> None:
    wallet = Wallet(cash=20, card=80)
    message = f"^amount must be 0 to 100, not {amount}$"
    with pytest.raises(ValueError, match=message):
        wallet.spend(amount)  # type: ignore[arg-type]
    assert (wallet.cash, wallet.card) == (20, 80)
    assert other_thread(wallet.total) == 100


def test_an_error_between_two_changes_frees_the_lock_but_undoes_nothing() -> (
    None
):
    def fail(_: Wallet) -> None:
        raise ZeroDivisionError

    wallet = BrokenWallet(0, 100, fail)
    with pytest.raises(ZeroDivisionError):
        wallet.spend(40)
    assert other_thread(wallet.total) == 60


def test_a_lock_taken_again_is_refused_where_an_rlock_lets_its_owner_in() -> (
    None
):
    lock, rlock = threading.Lock(), threading.RLock()
    with lock, rlock:
        assert not lock.acquire(timeout=0.01)
        assert rlock.acquire(timeout=0.01)
        rlock.release()


def test_an_rlock_is_free_when_it_was_released_as_often_as_acquired() -> None:
    rlock = threading.RLock()

    def try_it() -> bool:
        taken = rlock.acquire(blocking=False)
        if taken:
            rlock.release()
        return taken

    with rlock:
        with rlock:
            assert not other_thread(try_it)
        assert not other_thread(try_it)
    assert other_thread(try_it)


def test_any_thread_may_release_a_lock_and_it_is_free_under_its_holder() -> (
    None
):
    lock = threading.Lock()
    lock.acquire()
    other_thread(lock.release)
    assert not lock.locked()


def test_only_the_owner_may_release_an_rlock() -> None:
    rlock = threading.RLock()
    with rlock:
        message = r"^cannot release un-acquired lock$"
        with pytest.raises(RuntimeError, match=message):
            other_thread(rlock.release)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (threading.Lock, "release unlocked lock"),
        (threading.RLock, "cannot release un-acquired lock"),
    ],
)
def test_releasing_twice_raises_the_error_of_the_kind_of_lock(
    kind: AnyLock, message: str
) -> None:
    lock = kind()
    lock.acquire()
    lock.release()
    with pytest.raises(RuntimeError, match=f"^{message}$"):
        lock.release()


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
def test_releasing_after_acquire_gave_up_is_an_error_for_an_rlock_alone(
    kind: AnyLock,
) -> None:
    lock = kind()
    error: list[str] = []

    def give_up_and_release() -> None:
        assert not lock.acquire(timeout=0.01)
        try:
            lock.release()
        except RuntimeError as raised:
            error.append(str(raised))

    lock.acquire()
    other_thread(give_up_and_release)
    if kind is threading.Lock:
        assert not error
        assert not lock.locked()
    else:
        assert error == ["cannot release un-acquired lock"]
        lock.release()


def test_an_rlock_lets_in_all_tasks_of_an_event_loop_at_once() -> None:
    rlock = threading.RLock()
    inside = []

    async def enter(both: asyncio.Barrier) -> None:
        with rlock:
            inside.append(asyncio.current_task())
            await both.wait()
            assert len(inside) == 2

    async def enter_twice() -> None:
        both = asyncio.Barrier(2)
        await asyncio.wait_for(
            asyncio.gather(enter(both), enter(both)), timeout=10
        )

    asyncio.run(enter_twice())


async def take_the_last(tickets: list[str]) -> None:
    """Check, let the other tasks run, and act."""
    if tickets:
        await asyncio.sleep(0)
        tickets.pop()


async def take_the_last_with(lock: asyncio.Lock, tickets: list[str]) -> None:
    """Do the same while the lock is held."""
    async with lock:
        await take_the_last(tickets)


def test_tasks_with_an_await_between_check_and_act_need_an_asyncio_lock() -> (
    None
):
    async def without() -> None:
        tickets = ["the last"]
        with pytest.raises(IndexError):
            await asyncio.gather(
                take_the_last(tickets), take_the_last(tickets)
            )

    async def with_lock() -> None:
        lock, tickets = asyncio.Lock(), ["the last"]
        await asyncio.gather(
            take_the_last_with(lock, tickets),
            take_the_last_with(lock, tickets),
        )
        assert tickets == []

    asyncio.run(without())
    asyncio.run(with_lock())


def test_an_asyncio_lock_is_not_reentrant() -> None:
    async def take_twice() -> None:
        lock = asyncio.Lock()
        async with lock:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lock.acquire(), timeout=0.01)

    asyncio.run(take_twice())


def test_an_rlock_tells_whether_it_is_locked_from_3_14_on() -> None:
    assert hasattr(threading.Lock(), "locked")
    has_it = hasattr(threading.RLock(), "locked")
    assert has_it == (sys.version_info >= (3, 14))
