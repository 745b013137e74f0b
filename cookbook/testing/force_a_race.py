"""Force a race condition in a test.

A race needs two threads in one gap: between a check and the act on it, or
between a read and its write. Do not sleep, and do not repeat and hope. Put a
meeting into the gap: a :class:`threading.Barrier` in the job, the callback, or
the object that the code gets from you anyway. Both threads arrive there on
every run, so the broken code fails on every run. Where a lock keeps the second
thread out, let it come to the meeting before it waits for the lock: the right
code then passes on every run, without a timeout to wait for.

A loop does not show the race any more. With the GIL, since 3.10 (bpo-29988),
the interpreter switches threads only at a call and at the jump back at the end
of a loop. A bare ``counter += 1`` has neither between its read and its write,
so it loses nothing on 3.11 to 3.15, however many threads you start.
``sys.setswitchinterval(1e-6)`` makes the interpreter want to switch more
often, not in more places. On a free-threaded build nothing has to switch:
threads run at once, and the same loop loses updates (observed on 3.13).

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: builds with the GIL
:told by: :mod:`cookbook.testing.every_interleaving`, which sells the piece
    twice on some schedules; a test that you have seen fail
:search: test for race conditions, reproduce a race condition, flaky test,
    threading test without sleep, barrier in a test, inject a pause, check then
    act, sys.setswitchinterval,
    counter += 1 is thread-safe, race condition does not happen in 3.10,
    "ValueError: switch interval must be strictly positive"

Use this when
    you know the gap, or suspect it, and can put something into it: a callback,
    a fake, a property, ``side_effect=`` of a mock.

Prefer instead
    :mod:`cookbook.testing.every_interleaving` when you do not know the gap: it
    tries every schedule, and nothing has to be put in.

Pitfalls
    - Run the test on the broken code once and see it fail: take the lock out.
    - Give every meeting a timeout. A thread that nobody meets then ends with
      ``threading.BrokenBarrierError``, and the test fails instead of hanging.
    - ``time.sleep`` in the gap is only likely to force the race, and slow.
    - If you call ``sys.setswitchinterval``, restore what
      ``sys.getswitchinterval()`` returned before: it holds for the whole
      process. The default is 0.005 seconds. 0 raises ``ValueError: switch
      interval must be strictly positive``.

If a job raises
    :func:`sold_to_two` raises it in the test, after both threads have ended:
    ``result()`` does. In a bare :class:`threading.Thread` an error, or an
    ``assert`` that fails, does not reach the test.

If it takes too long
    a thread that waits alone at the meeting raises
    :exc:`threading.BrokenBarrierError` when its timeout is over.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager


class Stock:
    """What a shop has left."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces


class Shop:
    """The code under test: it sells each piece once."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock
        self.lock: AbstractContextManager[object] = threading.Lock()

    def sell(self) -> bool:
        """Sell a piece, and tell whether there was one."""
        with self.lock:
            if self.stock.pieces == 0:
                return False
            self.stock.pieces -= 1
            return True


class Meeting:
    """A place where two threads wait for each other, once.

    Call it in the gap. Whoever calls it again goes on at once.

    Args:
        timeout: For how many seconds to wait for the other.

    Raises:
        ValueError: If *timeout* is out of range.

    Example:
        >>> from unittest.mock import Mock
        >>> from cookbook.testing.force_a_race import Meeting
        >>> callback = Mock(side_effect=Meeting())
    """

    def __init__(self, timeout: float = 10.0) -> None:
        if not 0 <= timeout <= threading.TIMEOUT_MAX:
            raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
        self.is_over = False
        self._both = threading.Barrier(2, self._end, timeout)

    def __call__(self, *_: object) -> None:
        """Wait for the other thread, unless it has been here."""
        if not self.is_over:
            self._both.wait()

    def _end(self) -> None:
        self.is_over = True


class MeetingStock(Stock):
    """A stock whose reader comes to the meeting before acting."""

    def __init__(self, pieces: int, meeting: Meeting) -> None:
        self._meeting = meeting
        super().__init__(pieces)

    @property
    def pieces(self) -> int:
        """What was left when the reader looked."""
        seen = self._pieces
        self._meeting()
        return seen

    @pieces.setter
    def pieces(self, value: int) -> None:
        self._pieces = value


class MeetingLock:
    """A lock whose waiters come to the meeting before they wait."""

    def __init__(self, meeting: Meeting) -> None:
        self._meeting = meeting
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._meeting()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def sold_to_two(make_shop: Callable[[Stock], Shop]) -> int:
    """Sell the last piece to two threads that are in the gap at once.

    Args:
        make_shop: Gets the stock and returns the shop to test.

    Returns:
        How many were sold: 1 if the shop is right.

    Raises:
        threading.BrokenBarrierError: If only one thread came to the gap, so
            that there was no race.

    Example:
        >>> from cookbook.testing.force_a_race import Shop, sold_to_two
        >>> assert sold_to_two(Shop) == 1
    """
    meeting = Meeting()
    shop = make_shop(MeetingStock(1, meeting))
    shop.lock = MeetingLock(meeting)
    with ThreadPoolExecutor(max_workers=2) as pool:
        sales = [pool.submit(shop.sell) for _ in range(2)]
    return sum(sale.result() for sale in sales)


def main() -> None:
    """Test the shop with both buyers at the counter.

    >>> main()
    1 piece, 2 buyers in the gap: 1 sold
    """
    print("1 piece, 2 buyers in the gap:", sold_to_two(Shop), "sold")


class BrokenShop(Shop):
    """A shop that sells a piece twice."""

    def sell(self) -> bool:
        """Sell a piece, and tell whether there was one."""
        if self.stock.pieces == 0:
            return False
        self.stock.pieces -= 1
        return True


def broken_test(make_shop: Callable[[Stock], Shop], rounds: int) -> int:
    """Start two buyers, again and again, and count what goes wrong.

    Args:
        make_shop: Gets the stock and returns the shop to test.
        rounds: How many pieces to sell, each in a new shop.

    Returns:
        In how many rounds the piece was sold twice.

    Warning:
        With the GIL this test cannot fail: there is no call and no loop
        between the check and the act of the broken shop, so no thread ever
        stops there, whatever the switch interval. The race is there all the
        same: a call in the gap, a debugger, or a free-threaded build opens it.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        sold = [broken_sale(make_shop(Stock(1))) for _ in range(rounds)]
    finally:
        sys.setswitchinterval(interval)
    return rounds - sold.count(1)


def broken_sale(shop: Shop) -> int:
    """Start two buyers and hope that they meet."""
    sales: list[bool] = []
    threads = [
        threading.Thread(target=lambda: sales.append(shop.sell()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(sales)


def broken_main() -> None:
    """Test the broken shop by hoping, and then by force.

    >>> broken_main()  # with the GIL
    200 rounds of 2 buyers: wrong in 0
    1 piece, 2 buyers in the gap: 2 sold
    >>> broken_main()  # without the GIL
    200 rounds of 2 buyers: wrong in ...
    1 piece, 2 buyers in the gap: 2 sold
    """
    print("200 rounds of 2 buyers: wrong in", broken_test(BrokenShop, 200))
    print("1 piece, 2 buyers in the gap:", sold_to_two(BrokenShop), "sold")


if __name__ == "__main__":
    main()
    broken_main()
