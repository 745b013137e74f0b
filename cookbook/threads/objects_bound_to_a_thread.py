"""Use an object that belongs to one thread.

A database connection, a session or a GUI is made for one thread at a time.
Give each thread its own, and close them all when the threads have ended
(:class:`OneEach`). Or let one thread own the object, and send it what to do
(:class:`Owner`). Where you must share a connection, hold a lock for the whole
transaction (:func:`add`): ``check_same_thread=False`` alone ends the error
message, not the race.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the lost row
    on every run
:search: sqlite3 threads, connection per thread, share a connection between
    threads, "sqlite3.ProgrammingError: SQLite objects created in a thread can
    only be used in that same thread", check_same_thread, "database is
    locked", "ResourceWarning: unclosed database", "RuntimeError: main thread
    is not in main loop", "Calling Tcl from different apartment", tkinter
    threads, update GUI from thread, root.after, requests Session thread safe,
    httpx Client thread safe, session per thread, connection pool, owner
    thread, actor, "cannot pickle 'sqlite3.Connection' object"

Use this when
    threads use a connection, a session or a window. :class:`OneEach` when
    they may work at the same time, :class:`Owner` when the object may be used
    by the thread that made it alone, or when there can be only one.

Prefer instead
    the connection pool of your database library, if it has one.

Pitfalls
    - A :class:`OneEach` closes in the thread whose block ends, and sqlite3
      refuses that with a ``ProgrammingError``: open with
      ``check_same_thread=False``, and use each connection in its own thread.
    - ``with connection:`` ends a transaction; it does not close. Closing does
      not commit: what no job has committed is gone. From 3.13 a
      connection that is dropped unclosed warns: ``ResourceWarning: unclosed
      database``.
    - Hand rows to other threads, not cursors: those are bound too.
    - Each connection to ``":memory:"`` is a database of its own. Connections
      to one file wait for each other's writes, for 5 seconds by default
      (documented: :func:`sqlite3.connect`), and then raise
      ``OperationalError: database is locked``.
    - Each process needs its own connection. It cannot be pickled, and must
      not be carried across a fork (documented: sqlite.org, *How To Corrupt An
      SQLite Database File*).
    - A :class:`OneEach` closes when its block ends: end the threads first. It
      keeps what ended threads have opened until then, so let a pool use it,
      not a new thread for each job.
    - ``requests.Session``: one each. That it can be shared is not guaranteed
      (documented: requests issue 2766): its pool of connections is safe to
      share, its cookies and other state are not. ``httpx.Client`` can be
      shared (documented: its docstring).
    - tkinter: the thread that runs ``mainloop()`` is the owner, and touches
      the widgets alone. Workers put results on a :class:`queue.Queue`, which
      a function called by ``root.after(50, poll)`` empties. A call from
      another thread waits one second for the loop (documented:
      ``WaitForMainloop`` in CPython's ``_tkinter.c``), and then raises
      ``RuntimeError: main thread is not in main loop``. Keep references to
      images and variables: the thread that drops the last one calls Tk
      (documented: their ``__del__`` in CPython's ``tkinter``).

If a job raises
    an :class:`Owner` hands the error to the job's future and goes on.
    :func:`add` rolls back, and the lock is free. Either way the object is
    closed when the block ends.
"""

import sqlite3
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Generic, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class OneEach(Generic[T]):
    """An object for each thread that asks for one; the end closes all.

    Example:
        >>> from cookbook.threads.objects_bound_to_a_thread import *
        >>> with OneEach(open_closable_anywhere) as database:
        ...     database.get().execute("SELECT 1").fetchall()
        [(1,)]
    """

    def __init__(
        self, open_one: Callable[[], AbstractContextManager[T]]
    ) -> None:
        self._open_one = open_one
        self._here = threading.local()
        self._all = ExitStack()
        self._lock = threading.Lock()
        self._is_closed = False

    def get(self) -> T:
        """Return this thread's object; it is opened at the first call.

        Raises:
            RuntimeError: If the block has ended.
        """
        if not hasattr(self._here, "one"):
            with self._lock:
                if self._is_closed:
                    raise RuntimeError("opened after the end of the block")
                self._here.one = self._all.enter_context(self._open_one())
        one: T = self._here.one
        return one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closed = True
            self._all.close()


class Owner(Generic[T]):
    """A thread that alone opens, uses and closes an object.

    Example:
        >>> from cookbook.threads.objects_bound_to_a_thread import *
        >>> with Owner(open_database) as owner:
        ...     job = owner.submit(
        ...         lambda db: db.execute("SELECT 1").fetchall()
        ...     )
        >>> job.result()
        [(1,)]
    """

    def __init__(
        self, open_one: Callable[[], AbstractContextManager[T]]
    ) -> None:
        self._open_one = open_one
        self._opened = ExitStack()

    def submit(self, job: Callable[[T], R]) -> Future[R]:
        """Let the owner call *job* with the object, after earlier jobs."""
        return self._thread.submit(job, self._one)

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(max_workers=1)
        try:
            self._one = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    def _open(self) -> T:
        return self._opened.enter_context(self._open_one())

    def __exit__(self, *_: object) -> None:
        with self._thread:
            self._thread.submit(self._opened.close).result()


def open_database() -> AbstractContextManager[sqlite3.Connection]:
    """Open a database that the thread that opened it uses and closes."""
    return closing(sqlite3.connect(":memory:"))


def open_closable_anywhere() -> AbstractContextManager[sqlite3.Connection]:
    """Open a database that any thread may use; see to it that none does.

    :class:`OneEach` closes it in the thread whose block ends.
    """
    return closing(sqlite3.connect(":memory:", check_same_thread=False))


def add(
    shared: sqlite3.Connection,
    lock: AbstractContextManager[object],
    number: int,
    check: Callable[[int], object],
) -> None:
    """Add a row through a connection that other threads use too.

    Args:
        shared: Opened with ``check_same_thread=False``.
        lock: Held for the whole transaction, here as everywhere else.
        number: The row.
        check: Raises an error if the row must not stay; it goes on to the
            caller.
    """
    with lock, shared:  # commits; after an error rolls back
        shared.execute("INSERT INTO numbers VALUES (?)", (number,))
        check(number)


def create(database: sqlite3.Connection) -> None:
    """Make the table for the rows."""
    database.execute("CREATE TABLE numbers (number)")


def refuse_even(number: int) -> None:
    """Check a row: the odd ones may stay."""
    if number % 2 == 0:
        raise ValueError(f"{number} must not stay")


def numbers(database: sqlite3.Connection) -> list[int]:
    """Return the rows."""
    rows = database.execute("SELECT number FROM numbers ORDER BY number")
    return [number for (number,) in rows]


def main() -> None:
    """Give two threads a database each; let one own one; share one.

    >>> main()
    one each: 2 threads, 2 databases
    one owner: 4 threads, rows [0, 1, 2, 3]
    one shared: 4 threads, refused 2, rows [1, 3]
    """
    both_have_one = threading.Barrier(2, timeout=10)
    with OneEach(open_closable_anywhere) as database:

        def use(_: int) -> int:
            both_have_one.wait()
            return id(database.get())

        with ThreadPoolExecutor(max_workers=2) as pool:
            used = set(pool.map(use, range(2)))
    print("one each: 2 threads,", len(used), "databases")

    with Owner(open_database) as owner:
        owner.submit(create).result()

        def insert(number: int) -> None:
            def job(db: sqlite3.Connection) -> None:
                with db:  # commits
                    db.execute("INSERT INTO numbers VALUES (?)", (number,))

            owner.submit(job).result()

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(insert, range(4)))
        print("one owner: 4 threads, rows", owner.submit(numbers).result())

    lock = threading.Lock()
    with open_closable_anywhere() as shared:
        create(shared)
        with ThreadPoolExecutor(max_workers=4) as pool:
            jobs = [
                pool.submit(add, shared, lock, number, refuse_even)
                for number in range(4)
            ]
        refused = sum(job.exception() is not None for job in jobs)
        print(
            f"one shared: 4 threads, refused {refused}, rows", numbers(shared)
        )


def broken_add(
    shared: sqlite3.Connection, number: int, check: Callable[[int], object]
) -> None:
    """Add a row through a connection that other threads use too.

    Warning:
        With ``check_same_thread=True``, the default, every use in a thread
        other than the one that opened it raises. ``False`` switches that check
        off and nothing else. A transaction belongs to the connection, not to
        the thread: when another thread rolls back, this row is gone as well,
        and the commit says nothing.
    """
    try:
        shared.execute("INSERT INTO numbers VALUES (?)", (number,))
        check(number)
    except BaseException:
        shared.rollback()
        raise
    shared.commit()


def broken_main() -> None:
    """Share a connection; then let two threads be in one transaction.

    >>> broken_main()
    ProgrammingError: SQLite objects created in a thread can only be used in
    that same thread
    added 1, refused 2: rows []
    """
    with (
        ThreadPoolExecutor(max_workers=1) as pool,
        open_database() as mine,
        open_closable_anywhere() as shared,
    ):
        error = pool.submit(mine.execute, "SELECT 1").exception()
        message = f"{type(error).__name__}: {str(error).partition('.')[0]}"
        print(textwrap.fill(message, width=74))

        def meanwhile(_: int) -> None:
            pool.submit(broken_add, shared, 2, refuse_even).exception()

        create(shared)
        broken_add(shared, 1, meanwhile)
        print("added 1, refused 2: rows", numbers(shared))


if __name__ == "__main__":
    main()
    broken_main()
