"""Find the races that the GIL hides.

Code without a lock can be wrong and never fail. With the GIL, threads switch
at three places of Python code alone: where a function starts, where it calls
something, and at the end of a loop's turn (observed on 3.11 to 3.15). A race
that lies between two such places never shows. Without the GIL another thread
can come in at any instruction. So the rule is the same on every build: what
threads change together needs a lock.

``may_switch`` tells of a function whether there is one after its start. The
trap's output is the table: what goes wrong on a free-threaded build, and
whether the GIL hides it.

:models: threads
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: free-threaded builds; the GIL hides all but the last
:told by: :mod:`cookbook.testing.every_interleaving`, by bytecode, on any build
:search: does my code work without the GIL, free threading race condition,
    port code to free-threaded Python, code breaks without the GIL, thread
    safety free threading, eval breaker, when does Python switch threads,
    switch interval, share an iterator between threads, torn read, lazy
    attribute thread-safe, threading.serialize_iterator, nogil bugs,
    "ValueError: generator already executing"

Use this when
    code that has always worked in threads is to run on a free-threaded build.

Prefer instead
    objects that no two threads change:
    :mod:`cookbook.threads.immutable_snapshot`, a queue
    (:mod:`cookbook.threads.producer_consumer`), or a result of its own for
    each thread (:mod:`cookbook.threads.thread_local_state`).

Pitfalls
    - Do not rely on what the GIL hides, on any build: a call that someone adds
      between the read and the write is such a place. ``may_switch`` does not
      see the calls behind an operator, a property or a ``__del__``.
    - :mod:`cookbook.threads.what_needs_a_lock` lists single operations.
    - Do not share an iterator. With the GIL, threads that call ``next()`` on
      an iterator over a list get each item once. Without it they may get one
      twice or miss one (documented: *Glossary*, iterator; CPython issue
      120496). A generator raises ``ValueError: generator already executing``
      on every build. Take items under a lock, or, from Python 3.15, from
      ``threading.serialize_iterator(iterator)``.
"""

import dis
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial


class Office:
    """Sells seats to several threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.visitors = 0
        self.seats: dict[str, str] = {}
        self.low, self.high = 0, 10
        self.log: list[str] | None = None

    def count(self) -> None:
        """Count a visitor."""
        with self.lock:
            self.visitors += 1

    def reserve(self, seat: str, name: str) -> bool:
        """Give *seat* to *name* if it is free, and tell whether it was."""
        with self.lock:
            if seat in self.seats:
                return False
            self.seats[seat] = name
            return True

    def move(self, low: int) -> None:
        """Let the prices begin at *low*, and end at 10 more."""
        with self.lock:
            self.low = low
            self.high = low + 10

    def prices(self) -> tuple[int, int]:
        """Return the lowest and the highest price."""
        with self.lock:
            return self.low, self.high

    def notes(self) -> list[str]:
        """Return the log, which is made when it is first asked for."""
        with self.lock:
            if self.log is None:
                self.log = []
            return self.log

    def seats_of(self, name: str) -> int:
        """Return how many seats *name* has."""
        number = 0
        with self.lock:
            for owner in self.seats.values():
                number += owner == name
        return number


def visit(office: Office, name: str) -> int:
    """Ask for a hundred seats; return how many *name* got."""
    sold = 0
    for number in range(100):
        office.count()
        office.move(number)
        low, high = office.prices()
        office.notes().append(f"width {high - low}")
        sold += office.reserve(f"seat {number}", name)
    return sold


def main() -> None:
    """Let four threads ask for the same hundred seats.

    >>> main()
    visitors: 400
    seats: 100, sold: 100
    400 notes: {'width 10'}
    """
    office = Office()
    with ThreadPoolExecutor(max_workers=4) as pool:
        sold = sum(pool.map(partial(visit, office), "abcd"))
    print("visitors:", office.visitors)
    print(f"seats: {len(office.seats)}, sold: {sold}")
    notes = office.notes()
    print(len(notes), "notes:", set(notes))


def may_switch(function: Callable[..., object]) -> bool:
    """Tell whether the GIL can change hands in the midst of *function*.

    Args:
        function: One written in Python, no generator, whose operators work on
            numbers, strings and containers of these.

    Example:
        >>> from cookbook.parallel_threads.what_breaks_without_the_gil import (
        ...     may_switch,
        ... )
        >>> def add(box):
        ...     box.total += 1
        >>> def add_length(box):
        ...     box.total += len(box.items)
        >>> may_switch(add), may_switch(add_length)
        (False, True)
    """
    names = [one.opname for one in dis.get_instructions(function)]
    return any(
        name.startswith("CALL") or "JUMP_BACKWARD" in name for name in names
    )


class BrokenOffice(Office):
    """Sells seats to several threads, without a lock.

    Warning:
        Each method reads something that is shared and then relies on it.
        Another thread that comes in between makes it wrong.
    """

    def count(self) -> None:
        """Count a visitor, unless another thread counts one."""
        self.visitors += 1

    def reserve(self, seat: str, name: str) -> bool:
        """Give *seat* to *name*, and perhaps to somebody else."""
        if seat in self.seats:
            return False
        self.seats[seat] = name
        return True

    def move(self, low: int) -> None:
        """Set the two prices, one after the other."""
        self.low = low
        self.high = low + 10

    def prices(self) -> tuple[int, int]:
        """Return two prices, which may not belong together."""
        return self.low, self.high

    def notes(self) -> list[str]:
        """Return the log, or one that another thread replaces."""
        if self.log is None:
            self.log = []
        return self.log

    def seats_of(self, name: str) -> int:
        """Return how many seats *name* has, unless one is sold meanwhile."""
        number = 0
        for owner in self.seats.values():
            number += owner == name
        return number


def broken_main() -> None:
    """Print what goes wrong, and whether the GIL hides it.

    >>> broken_main()
    count    loses a visitor              hidden by the GIL
    reserve  sells one seat twice         hidden by the GIL
    move     shows half of a change       hidden by the GIL
    prices   shows half of a change       hidden by the GIL
    notes    loses a note                 hidden by the GIL
    seats_of RuntimeError: size changed   happens on every build
    """
    for method, wrong in (
        (BrokenOffice.count, "loses a visitor"),
        (BrokenOffice.reserve, "sells one seat twice"),
        (BrokenOffice.move, "shows half of a change"),
        (BrokenOffice.prices, "shows half of a change"),
        (BrokenOffice.notes, "loses a note"),
        (BrokenOffice.seats_of, "RuntimeError: size changed"),
    ):
        hidden = "happens on every build"
        if not may_switch(method):
            hidden = "hidden by the GIL"
        print(f"{method.__name__:8} {wrong:28} {hidden}")


if __name__ == "__main__":
    main()
    broken_main()
