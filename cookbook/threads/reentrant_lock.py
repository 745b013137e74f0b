"""Let locked methods call each other.

A thread that takes a :class:`threading.Lock` again waits for itself. Take a
:class:`threading.RLock` where a method that holds the lock calls another that
takes it: its owner may acquire it again, and it is free when it was released
as many times. Only the owner may release it; a Lock may be released by any
thread.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: RLock, reentrant lock, re-entrant lock, recursive lock, recursive
    mutex, difference between Lock and RLock, Lock vs RLock, who may release a
    lock, acquire twice, method calls another locked method, nested lock,
    with lock inside with lock, RLock locked, release another thread's lock,
    "RuntimeError: release unlocked lock",
    "RuntimeError: cannot release un-acquired lock"

Use this when
    public methods of one object need each other under its lock, or a caller
    must be able to make several calls one step.

Prefer instead
    a :class:`~threading.Lock` and private methods that expect it to be held,
    as in :mod:`cookbook.deadlocks.self_deadlock`, when you know who calls
    whom: a call that you did not foresee then hangs in your tests instead of
    seeing half a change.

Pitfalls
    - The end of an inner ``with`` block releases nothing: the lock is free
      only at the end of the outermost.
    - ``RuntimeError: release unlocked lock`` (a Lock) and ``RuntimeError:
      cannot release un-acquired lock`` (an RLock) mean a release without a
      matching acquire: twice, after ``acquire(timeout=...)`` returned False
      or, for an RLock, in another thread than its owner's. A Lock that
      another thread holds is released without an error, under its feet. Use
      ``with lock:``.
    - Call nothing that is not yours while something is half changed: a
      callback that comes back to the object sees it. Call it when the lock is
      free (:mod:`cookbook.deadlocks.call_outside_the_lock`).
    - All tasks of an event loop run in one thread, so an RLock lets them all
      in. Use :class:`asyncio.Lock`, which is not reentrant. In asyncio a lock
      is needed when a check and its act have an ``await`` in between.
    - ``locked()`` of an RLock exists from Python 3.14 on; a Lock always has
      it.

If a job raises
    each ``with`` block gives back its own acquire, and the lock is free at
    the end. What was changed before the error stays: check first.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class Wallet:
    """Money in cash and on a card, whose methods call each other.

    Attributes:
        cash: How much is at hand.
        card: How much can be drawn.
        lock: Hold it to make several calls one step.

    Example:
        >>> from cookbook.threads.reentrant_lock import Wallet
        >>> wallet = Wallet(cash=20, card=80)
        >>> with wallet.lock:
        ...     if wallet.total() >= 50:
        ...         wallet.spend(50)
        >>> wallet.cash, wallet.card
        (0, 50)
    """

    def __init__(self, cash: int, card: int) -> None:
        self.cash = cash
        self.card = card
        self.lock = threading.RLock()

    def total(self) -> int:
        """Return how much there is."""
        with self.lock:
            return self.cash + self.card

    def draw(self, amount: int) -> None:
        """Turn *amount* on the card into cash."""
        with self.lock:
            self.card -= amount
            self.cash += amount

    def spend(self, amount: int) -> None:
        """Pay in cash, drawing what is missing.

        Raises:
            ValueError: If *amount* is below 0 or more than there is; nothing
                has changed.
        """
        with self.lock:
            total = self.total()
            if not 0 <= amount <= total:
                raise ValueError(
                    f"amount must be 0 to {total}, not {amount!r}"
                )
            if amount > self.cash:
                self.draw(amount - self.cash)
            self.cash -= amount


def main() -> None:
    """Let two threads spend from one wallet, then try to spend too much.

    >>> main()
    left of 2000 after 2 threads spent 900: 200
    ValueError: amount must be 0 to 200, not 900
    """
    wallet = Wallet(cash=0, card=2000)

    def work() -> None:
        for _ in range(900):
            wallet.spend(1)

    with ThreadPoolExecutor(max_workers=2) as pool:
        for job in [pool.submit(work), pool.submit(work)]:
            job.result()
    print("left of 2000 after 2 threads spent 900:", wallet.total())
    try:
        wallet.spend(900)
    except ValueError as error:
        print(f"ValueError: {error}")


class BrokenWallet(Wallet):
    """A wallet that shows half a change.

    Warning:
        ``watch`` is called between the two steps. The lock keeps other
        threads out but not this one: an RLock lets its owner in again, so
        ``total()`` adds up what is half changed. A Lock would have made the
        mistake visible: the thread would wait for itself.
    """

    def __init__(
        self, cash: int, card: int, watch: Callable[[Wallet], object]
    ) -> None:
        super().__init__(cash, card)
        self.watch = watch

    def draw(self, amount: int) -> None:
        """Turn *amount* on the card into cash."""
        with self.lock:
            self.card -= amount
            self.watch(self)
            self.cash += amount


def broken_main() -> None:
    """Draw 40 of 100, and print the total that is seen meanwhile.

    >>> broken_main()
    before: 100
    meanwhile: 60
    after: 100
    """

    def watch(wallet: Wallet) -> None:
        print("meanwhile:", wallet.total())

    wallet = BrokenWallet(cash=0, card=100, watch=watch)
    print("before:", wallet.total())
    wallet.draw(40)
    print("after:", wallet.total())


if __name__ == "__main__":
    main()
    broken_main()
