"""Take two locks without a deadlock.

When each of two threads holds one lock and waits for the other's, both wait
for ever, without a message. Let every thread take its locks in one order, say
that of the accounts' numbers: then none waits for a lock while it holds a
later one, and no cycle can close.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :func:`faulthandler.dump_traceback_later`, which prints the line
    where each thread waits; :mod:`cookbook.testing.every_interleaving`, which
    finds the deadlock on every run
:search: deadlock, two locks, program hangs for ever, threads hang, hang with
    no error message, lock order, lock hierarchy, bank transfer, dining
    philosophers, circular wait, nested locks, RLock deadlock, faulthandler,
    py-spy, stuck in acquire

Use this when
    one step changes two objects, each with a lock of its own.

Prefer instead
    one lock for both objects, unless you have measured that threads wait for
    it too long. :mod:`cookbook.deadlocks.lock_timeout` when you cannot name
    an order that everybody keeps.

Pitfalls
    - Sort by something unique that never changes. Two transfers that sort by
      the balance still deadlock when a third changes it between the sorting
      and the locking.
    - An :class:`~threading.RLock` does not help: it lets in again the thread
      that holds it, not the other one.
    - A function called while you hold a lock, such as a callback, may take
      locks of its own, in an order that is not yours. Let go first.

If a job raises
    an amount below 0 or above the balance raises :exc:`ValueError`; no money
    moves, and both locks are free again.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from operator import attrgetter


class Account:
    """An account that threads may change while they hold its lock.

    Attributes:
        number: Unique; the order in which locks are taken.
        balance: In the smallest unit of money, so that it is exact.
        lock: The lock of this account alone.
    """

    def __init__(
        self,
        number: int,
        balance: int,
        lock: AbstractContextManager[object] | None = None,
    ) -> None:
        self.number = number
        self.balance = balance
        self.lock = threading.Lock() if lock is None else lock


def transfer(source: Account, target: Account, amount: int) -> None:
    """Move *amount*, the lock of the lower account number taken first.

    Args:
        source: The account that pays.
        target: The account that is paid.
        amount: At most the balance of *source*.

    Raises:
        ValueError: If *amount* is below 0 or above the balance, or if both
            accounts have the same number. Nothing has changed then.

    Example:
        >>> from cookbook.deadlocks.lock_ordering import Account, transfer
        >>> mine, yours = Account(1, balance=100), Account(2, balance=0)
        >>> transfer(mine, yours, 30)
        >>> mine.balance, yours.balance
        (70, 30)
    """
    if source.number == target.number:
        raise ValueError(f"both accounts have the number {source.number!r}")
    first, second = sorted((source, target), key=attrgetter("number"))
    with first.lock, second.lock:
        move(source, target, amount)


def move(source: Account, target: Account, amount: int) -> None:
    """Move *amount*; the caller holds both locks."""
    if not 0 <= amount <= source.balance:
        raise ValueError(
            f"amount must be 0 to {source.balance}, not {amount!r}"
        )
    source.balance -= amount
    target.balance += amount


def main() -> None:
    """Transfer in both directions at once, a thousand times each.

    >>> main()
    balances: 1000 and 1000
    """
    one, two = Account(1, balance=1000), Account(2, balance=1000)

    def pay(source: Account, target: Account) -> None:
        for _ in range(1000):
            transfer(source, target, 1)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for payment in [
            pool.submit(pay, one, two),
            pool.submit(pay, two, one),
        ]:
            payment.result()
    print("balances:", one.balance, "and", two.balance)


def broken_transfer(source: Account, target: Account, amount: int) -> None:
    """Move *amount*, the locks taken in the order of the call.

    Warning:
        Two opposite transfers take the locks in opposite order. When each
        holds its first lock, each waits for the other's, for ever. A transfer
        from an account to itself waits for itself.
    """
    with source.lock, target.lock:
        move(source, target, amount)


class MeetingLock:
    """A lock that its first holder gets when the other lock is held too.

    Attributes:
        name: What the steps call it.
        patience: How many seconds a thread waits for it before it gives up.
        both_held: Where the two first holders meet.
        steps: What each thread did, by the thread's name.
    """

    def __init__(
        self,
        name: str,
        patience: float,
        both_held: threading.Barrier,
        steps: dict[str, list[str]],
    ) -> None:
        self.name = name
        self.patience = patience
        self.both_held = both_held
        self.steps = steps
        self.was_held = False
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        steps = self.steps[threading.current_thread().name]
        steps.append(f"wants {self.name}")
        if not self._lock.acquire(timeout=self.patience):
            steps.append("gives up")
            raise TimeoutError(f"{self.name} is held by another thread")
        steps.append(f"holds {self.name}")
        if not self.was_held:
            self.was_held = True
            self.both_held.wait()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def broken_main() -> None:
    """Transfer both ways until each holds one lock; let the first give up.

    >>> broken_main()
    first: wants 1, holds 1, wants 2, gives up
    second: wants 2, holds 2, wants 1, holds 1
    balances: 110 and 90
    """
    steps: dict[str, list[str]] = {"first": [], "second": []}
    both_held = threading.Barrier(2, timeout=10)
    one = Account(1, 100, MeetingLock("1", 10, both_held, steps))
    two = Account(2, 100, MeetingLock("2", 0.1, both_held, steps))

    def pay(source: Account, target: Account) -> None:
        with suppress(TimeoutError):
            broken_transfer(source, target, 10)

    threads = [
        threading.Thread(target=pay, args=(one, two), name="first"),
        threading.Thread(target=pay, args=(two, one), name="second"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        print(f"{thread.name}: {', '.join(steps[thread.name])}")
    print("balances:", one.balance, "and", two.balance)


if __name__ == "__main__":
    main()
    broken_main()
