"""What the recipe says of objects bound to a thread, shown to be so."""

import gc
import pickle
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    suppress,
)
from pathlib import Path

import pytest

from cookbook.testing.every_interleaving import Setup, every_interleaving
from cookbook.threads import objects_bound_to_a_thread as recipe
from cookbook.threads.objects_bound_to_a_thread import (
    OneEach,
    Owner,
    add,
    broken_add,
    create,
    main,
    numbers,
    open_closable_anywhere,
    open_database,
)
from tests.exploring import Explore

Add = Callable[[sqlite3.Connection, int, Callable[[int], object]], None]


def accept(_: int) -> None:
    """Let the row stay."""


def refuse(number: int) -> None:
    """Let the row not stay."""
    raise ValueError(f"{number} must not stay")


@pytest.fixture
def shared() -> Iterator[sqlite3.Connection]:
    """Yield a database that any thread may use."""
    with open_closable_anywhere() as database:
        database.execute("CREATE TABLE numbers (number)")
        yield database


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Yield one other thread."""
    with ThreadPoolExecutor(max_workers=1) as threads:
        yield threads


class Counted:
    """What opens objects and notes which threads open and close them."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []

    @contextmanager
    def open(self) -> Iterator[list[str]]:
        """Open one."""
        self.opened.append(threading.get_ident())
        try:
            yield []
        finally:
            self.closed.append(threading.get_ident())


def test_each_thread_opens_one_object_and_keeps_it(
    pool: ThreadPoolExecutor,
) -> None:
    counted = Counted()
    with OneEach(counted.open) as one_each:
        mine = one_each.get()
        theirs = pool.submit(one_each.get).result()
        assert one_each.get() is mine
        assert pool.submit(one_each.get).result() is theirs
        assert mine is not theirs
        worker = pool.submit(threading.get_ident).result()
        assert counted.opened == [threading.get_ident(), worker]
        assert counted.closed == []


def test_all_objects_are_closed_when_the_block_ends_even_by_an_error() -> None:
    counted = Counted()

    def leave_by_an_error() -> None:
        with OneEach(counted.open) as one_each:
            for _ in range(3):
                thread = threading.Thread(target=one_each.get)
                thread.start()
                thread.join()
            raise OSError

    with suppress(OSError):
        leave_by_an_error()
    assert len(counted.opened) == 3
    assert counted.closed == [threading.get_ident()] * 3


def test_one_each_keeps_what_ended_threads_opened_until_the_block_ends() -> (
    None
):
    counted = Counted()
    with OneEach(counted.open) as one_each:
        thread = threading.Thread(target=one_each.get)
        thread.start()
        thread.join()
        gc.collect()
        assert counted.closed == []
    assert len(counted.closed) == 1


def test_after_the_block_no_thread_opens_another_object() -> None:
    counted = Counted()
    with OneEach(counted.open) as one_each:
        pass
    with pytest.raises(RuntimeError, match="after the end of the block"):
        one_each.get()
    assert counted.opened == []


def opened_at_the_end() -> Setup:
    """Return a set-up in which a thread opens while the block ends."""
    counted = Counted()
    one_each = OneEach(counted.open)

    def use() -> None:
        with suppress(RuntimeError):
            one_each.get()

    def end_the_block() -> None:
        one_each.__exit__(None, None, None)

    def left_open() -> int:
        return len(counted.opened) - len(counted.closed)

    return [use, end_the_block], left_open


def test_what_opens_as_the_block_ends_is_closed_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        opened_at_the_end,
        "``OneEach``: one opens while the block ends",
        right={0: "all that is opened is closed"},
        preemptions=2,
        threads=("opens", "ends the block"),
    )


def two_open() -> Setup:
    """Return a set-up in which two threads open at the same time."""
    opening = most = 0

    @contextmanager
    def open_one() -> Iterator[None]:
        nonlocal opening, most
        opening += 1
        most = max(most, opening)
        opening -= 1
        yield

    one_each = OneEach(open_one)
    return [one_each.get, one_each.get], lambda: most


def test_one_thread_at_a_time_opens_an_object() -> None:
    assert set(every_interleaving(two_open, preemptions=1)) == {1}


def test_an_object_that_cannot_be_opened_is_tried_again_by_the_next_call() -> (
    None
):
    counted = Counted()
    failures = [OSError("no answer")]

    def open_late() -> AbstractContextManager[list[str]]:
        if failures:
            raise failures.pop()
        return counted.open()

    with OneEach(open_late) as one_each:
        with pytest.raises(OSError, match="no answer"):
            one_each.get()
        assert one_each.get() == []
    assert len(counted.closed) == 1


def test_the_owner_alone_opens_uses_and_closes_the_object() -> None:
    counted = Counted()
    with Owner(counted.open) as owner:
        user = owner.submit(lambda _: threading.get_ident()).result()
        assert counted.closed == []
    assert user != threading.get_ident()
    assert (counted.opened, counted.closed) == ([user], [user])


def test_jobs_of_an_owner_run_one_after_another_in_the_order_sent() -> None:
    may_begin = threading.Event()
    with Owner(Counted().open) as owner:

        def first(log: list[str]) -> None:
            may_begin.wait(timeout=10)
            log.append("first")

        owner.submit(first)
        second = owner.submit(lambda log: [*log, "second"])
        may_begin.set()
        assert second.result(timeout=10) == ["first", "second"]


def test_jobs_sent_before_the_block_ends_run_before_the_object_is_closed() -> (
    None
):
    counted = Counted()
    may_begin = threading.Event()
    with Owner(counted.open) as owner:
        owner.submit(lambda _: may_begin.wait(timeout=10))
        job = owner.submit(lambda _: list(counted.closed))
        may_begin.set()
    assert job.result() == []
    assert len(counted.closed) == 1


def test_an_error_of_a_job_goes_to_its_future_and_the_owner_goes_on() -> None:
    with Owner(open_database) as owner:
        failed = owner.submit(lambda database: database.execute("SELEC"))
        rows = owner.submit(lambda db: db.execute("SELECT 1").fetchall())
        assert isinstance(failed.exception(), sqlite3.OperationalError)
        assert rows.result() == [(1,)]


def test_after_its_block_an_owner_takes_no_job() -> None:
    with Owner(open_database) as owner:
        pass
    message = "^cannot schedule new futures after shutdown$"
    with pytest.raises(RuntimeError, match=message):
        owner.submit(numbers)


def test_an_owner_that_cannot_open_raises_and_leaves_no_thread() -> None:
    def fail() -> AbstractContextManager[None]:
        raise OSError("no answer")

    before = threading.active_count()
    with pytest.raises(OSError, match="no answer"), Owner(fail):
        pytest.fail("the block was run")
    assert threading.active_count() == before


def test_an_error_at_closing_is_raised_and_leaves_no_thread() -> None:
    @contextmanager
    def fails_to_close() -> Iterator[None]:
        yield
        raise OSError("cannot close")

    before = threading.active_count()
    with pytest.raises(OSError, match="cannot close"), Owner(fails_to_close):
        pass
    assert threading.active_count() == before


def two_transactions(add_one: Add) -> Callable[[], Setup]:
    """Return a set-up in which row 1 is added while row 2 is refused."""

    def make() -> Setup:
        database = sqlite3.connect(":memory:", check_same_thread=False)
        database.execute("CREATE TABLE numbers (number)")

        def add_1() -> None:
            add_one(database, 1, accept)

        def refuse_2() -> None:
            with suppress(ValueError):
                add_one(database, 2, refuse)

        def rows() -> tuple[int, ...]:
            with closing(database):
                database.rollback()  # what nobody has committed
                return tuple(numbers(database))

        return [add_1, refuse_2], rows

    return make


def add_with_lock() -> Callable[[], Setup]:
    """Return the same set-up with one lock for both."""

    def make() -> Setup:
        lock = threading.Lock()

        def locked(
            shared: sqlite3.Connection,
            number: int,
            check: Callable[[int], object],
        ) -> None:
            add(shared, lock, number, check)

        return two_transactions(locked)()

    return make


def test_with_a_lock_a_refused_row_goes_alone_wherever_they_switch_twice(
    explore: Explore,
) -> None:
    explore(
        add_with_lock(),
        "``add``: one row is added, one refused",
        right={(1,): "the row that was added"},
        preemptions=2,
        threads=("adds 1", "refuses 2"),
    )


def test_without_a_lock_a_rollback_takes_the_other_threads_row_along(
    explore: Explore,
) -> None:
    explore(
        two_transactions(broken_add),
        "``broken_add``: one row is added, one refused",
        right={(1,): "the row that was added"},
        wrong={(): "neither", (1, 2): "the refused one too"},
        preemptions=2,
        threads=("adds 1", "refuses 2"),
    )


def test_a_refused_row_is_rolled_back_and_leaves_the_lock_free(
    shared: sqlite3.Connection,
) -> None:
    lock = threading.Lock()
    with pytest.raises(ValueError, match="2 must not stay"):
        add(shared, lock, 2, refuse)
    assert not lock.locked()
    assert not shared.in_transaction
    add(shared, lock, 1, accept)
    assert not shared.in_transaction
    assert numbers(shared) == [1]


def test_another_threads_row_waits_for_the_lock_until_the_commit(
    shared: sqlite3.Connection, pool: ThreadPoolExecutor
) -> None:
    lock = threading.Lock()
    others = []

    def meanwhile(_: int) -> None:
        others.append(pool.submit(add, shared, lock, 2, refuse))
        with pytest.raises(TimeoutError):
            others[0].result(timeout=0.05)

    add(shared, lock, 1, meanwhile)
    assert isinstance(others[0].exception(timeout=10), ValueError)
    assert numbers(shared) == [1]


def test_a_connection_used_by_another_thread_raises_programming_error(
    pool: ThreadPoolExecutor,
) -> None:
    message = (
        r"^SQLite objects created in a thread can only be used in that same"
        r" thread\. The object was created in thread id \d+ and this is"
        r" thread id \d+\.$"
    )
    with open_database() as database:
        cursor = database.cursor()
        for use in (
            database.commit,
            database.close,
            database.cursor,
            cursor.fetchall,
        ):
            with pytest.raises(sqlite3.ProgrammingError, match=message):
                pool.submit(use).result()


def test_a_cursor_of_an_owner_cannot_be_read_by_another_thread() -> None:
    with Owner(open_database) as owner:
        cursor = owner.submit(lambda db: db.execute("SELECT 1")).result()
        with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
            cursor.fetchall()


def test_each_connection_to_memory_is_a_database_of_its_own(
    shared: sqlite3.Connection,
) -> None:
    assert numbers(shared) == []
    with (
        open_database() as other,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
    ):
        numbers(other)


def test_a_second_writer_of_one_file_gets_database_is_locked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file.db"
    with (
        closing(sqlite3.connect(path)) as one,
        closing(sqlite3.connect(path, timeout=0)) as other,
    ):
        one.execute("CREATE TABLE numbers (number)")
        one.execute("INSERT INTO numbers VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match=r"is locked$"):
            other.execute("INSERT INTO numbers VALUES (2)")
        one.commit()
        other.execute("INSERT INTO numbers VALUES (2)")
        assert numbers(other) == [1, 2]


def test_a_with_block_over_a_connection_commits_and_does_not_close() -> None:
    with open_database() as database:
        with database:
            database.execute("CREATE TABLE numbers (number)")
            database.execute("INSERT INTO numbers VALUES (1)")
        assert not database.in_transaction
        assert numbers(database) == [1]


def test_one_each_cannot_close_what_only_its_own_thread_may_use(
    pool: ThreadPoolExecutor,
) -> None:
    def leave() -> None:
        with OneEach(open_database) as one_each:
            opened.append(pool.submit(one_each.get).result())

    opened: list[sqlite3.Connection] = []
    with pytest.raises(sqlite3.ProgrammingError, match="same thread"):
        leave()
    pool.submit(opened[0].close).result()


def test_what_the_owner_of_the_page_adds_to_a_file_is_there_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.db"
    monkeypatch.setattr(
        recipe, "open_database", lambda: closing(sqlite3.connect(path))
    )
    main()
    with closing(sqlite3.connect(path)) as database:
        assert numbers(database) == [0, 1, 2, 3]


def test_what_no_job_has_committed_is_gone_when_the_file_is_closed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file.db"
    with closing(sqlite3.connect(path)) as database:
        create(database)
        database.execute("INSERT INTO numbers VALUES (1)")
    with closing(sqlite3.connect(path)) as database:
        assert numbers(database) == []


def test_from_3_13_a_connection_that_is_dropped_unclosed_warns() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sqlite3.connect(":memory:")
        gc.collect()
    found = [str(one.message) for one in caught]
    if sys.version_info >= (3, 13):
        assert len(found) == 1
        assert found[0].startswith("unclosed database in <sqlite3.Connection")
    else:
        assert found == []


def test_a_connection_cannot_be_pickled_for_another_process() -> None:
    message = "^cannot pickle 'sqlite3.Connection' object$"
    with open_database() as database, pytest.raises(TypeError, match=message):
        pickle.dumps(database)


IN_ANOTHER_THREAD = """
import tkinter
from concurrent.futures import ThreadPoolExecutor

root = tkinter.Tcl()  # as Tk(), without a window
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(root.tk.call, "expr", "1 + 1").exception())
    print(pool.submit(root.tk.eval, "expr 1 + 1").exception())
"""
NOT_IN_MAIN_LOOP = """\
main thread is not in main loop
Calling Tcl from different apartment
"""
BY_A_QUEUE = """
import queue, threading, tkinter

root = tkinter.Tcl()
results = queue.Queue()

def poll():
    try:
        print(results.get_nowait(), threading.current_thread().name)
    except queue.Empty:
        root.after(1, poll)
    else:
        root.quit()

root.after(0, poll)
worker = threading.Thread(target=results.put, args=["the answer"])
worker.start()
root.tk.mainloop(-1)  # without a window there are 0 to wait for
worker.join()
"""


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            IN_ANOTHER_THREAD,
            NOT_IN_MAIN_LOOP,
        ),
        (BY_A_QUEUE, "the answer MainThread\n"),
    ],
    ids=["in another thread", "by a queue"],
)
def test_tk_refuses_other_threads_and_takes_their_results_from_a_queue(
    code: str, expected: str
) -> None:
    pytest.importorskip("tkinter")
    process = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert process.stdout == expected
