"""What the recipe says of readers and writers, shown to be so."""

import asyncio
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.readers_and_writers import (
    BrokenReadWriteLock,
    ReadWriteLock,
)
from tests.exploring import Explore

Kind = type[ReadWriteLock] | type[BrokenReadWriteLock]


def one_writes_and_one_reads() -> Setup:
    """Set up a writer of two numbers and a reader who compares them."""
    lock = ReadWriteLock()
    numbers = [0, 0]
    equal: list[bool] = []

    def write() -> None:
        with lock.writing():
            numbers[0] += 1
            numbers[1] += 1

    def read() -> None:
        with lock.reading():
            first = numbers[0]
            equal.append(first == numbers[1])

    return [write, read], lambda: all(equal)


def two_write() -> Setup:
    """Set up two writers, each of whom adds one in two steps."""
    lock = ReadWriteLock()
    numbers = [0]

    def write() -> None:
        with lock.writing():
            number = numbers[0]
            numbers[0] = number + 1

    return [write, write], numbers.pop


def one_reads_in_a_read_and_one_writes() -> Setup:
    """Set up a reader who reads again inside, and a writer."""
    lock = ReadWriteLock()

    def read_twice() -> None:
        with lock.reading(), lock.reading():
            pass

    def write() -> None:
        with lock.writing():
            pass

    return [read_twice, write], lambda: "ended"


def test_readers_see_no_half_written_value_wherever_threads_switch_twice(
    explore: Explore,
) -> None:
    explore(
        one_writes_and_one_reads,
        "``ReadWriteLock``: one writes, one reads",
        right={True: "no reader meets a writer"},
        preemptions=2,
        threads=("writer", "reader"),
    )


def test_writers_never_meet_inside_on_any_schedule(explore: Explore) -> None:
    explore(
        two_write,
        "``ReadWriteLock``: two write",
        right={2: "no writer meets another"},
        threads=("writer", "another writer"),
    )


def test_a_read_inside_a_read_is_a_deadlock_if_a_writer_comes_between(
    explore: Explore,
) -> None:
    explore(
        one_reads_in_a_read_and_one_writes,
        "``ReadWriteLock``: a read inside a read",
        right={"ended": "both end"},
        wrong={DEADLOCK: "each waits for the other"},
        preemptions=2,
        threads=("reader", "writer"),
    )


@pytest.mark.parametrize(
    ("outer", "inner"),
    [("reading", "writing"), ("writing", "reading"), ("writing", "writing")],
)
def test_any_other_block_inside_a_block_waits_for_itself_for_ever(
    outer: str, inner: str
) -> None:
    def make() -> Setup:
        lock = ReadWriteLock()

        def nest() -> None:
            with getattr(lock, outer)(), getattr(lock, inner)():
                pass

        return [nest], lambda: "ended"

    assert set(every_interleaving(make)) == {DEADLOCK}


def test_writes_without_a_pause_can_go_before_a_reader_who_came_first() -> (
    None
):
    def make() -> Setup:
        lock = ReadWriteLock()
        log: list[str] = []

        def write_twice() -> None:
            for _ in range(2):
                with lock.writing():
                    log.append("writes")

        def read() -> None:
            log.append("comes")
            with lock.reading():
                log.append("reads")

        return [read, write_twice], lambda: tuple(log)

    outcomes = every_interleaving(make, preemptions=1)
    assert ("comes", "reads", "writes", "writes") in outcomes
    assert ("comes", "writes", "writes", "reads") in outcomes


class CountedCondition(threading.Condition):
    """A condition that tells how many threads have begun to wait."""

    begun: threading.Semaphore

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be woken, and tell before."""
        self.begun.release()
        return super().wait(timeout)


def counted(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> tuple[ReadWriteLock | BrokenReadWriteLock, CountedCondition]:
    """Return a lock and the condition that it waits with."""
    condition = CountedCondition(threading.Lock())
    condition.begun = threading.Semaphore(0)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Condition", lambda _: condition)
        return kind(), condition


def who_goes_first(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let a writer and then a reader come while a reader is inside."""
    lock, condition = counted(kind, monkeypatch)
    went: list[str] = []

    def write() -> None:
        with lock.writing():
            went.append("writer")

    def read() -> None:
        with lock.reading():
            went.append("reader")

    with ThreadPoolExecutor(max_workers=2) as pool, lock.reading():
        pool.submit(write)
        assert condition.begun.acquire(timeout=10)
        late = pool.submit(read)
        if kind is ReadWriteLock:
            assert condition.begun.acquire(timeout=10)
        else:
            late.result(timeout=10)
        went.append("first reader")
    return went


def test_a_reader_that_comes_after_a_writer_goes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    went = who_goes_first(ReadWriteLock, monkeypatch)
    assert went == ["first reader", "writer", "reader"]


def test_a_writer_waits_until_the_last_reader_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, condition = counted(ReadWriteLock, monkeypatch)
    went: list[str] = []

    def write() -> None:
        with lock.writing():
            went.append("writer")

    with ThreadPoolExecutor(max_workers=1) as pool, lock.reading():
        with lock.reading():
            pool.submit(write)
            assert condition.begun.acquire(timeout=10)
        assert condition.begun.acquire(timeout=10)  # it waits, again
        went.append("last reader")
    assert went == ["last reader", "writer"]


def test_on_the_same_schedule_the_broken_lock_lets_the_reader_in_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    went = who_goes_first(BrokenReadWriteLock, monkeypatch)
    assert went == ["reader", "first reader", "writer"]


def test_the_writer_of_the_broken_lock_waits_while_readers_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, condition = counted(BrokenReadWriteLock, monkeypatch)

    def write() -> None:
        with lock.writing():
            pass

    with ThreadPoolExecutor(max_workers=1) as pool, ExitStack() as inside:
        inside.enter_context(lock.reading())
        writer = pool.submit(write)
        for _ in range(20):
            assert condition.begun.acquire(timeout=10)  # it waits, again
            next_one = ExitStack()
            next_one.enter_context(lock.reading())
            inside.close()
            inside.enter_context(next_one)
            assert not writer.done()
    assert writer.result(timeout=10) is None


@pytest.mark.parametrize("kind", [ReadWriteLock, BrokenReadWriteLock])
def test_readers_are_inside_at_the_same_time(kind: Kind) -> None:
    lock = kind()
    all_inside = threading.Barrier(3, timeout=10)

    def read() -> None:
        with lock.reading():
            all_inside.wait()

    with ThreadPoolExecutor(max_workers=3) as pool:
        for reader in [pool.submit(read) for _ in range(3)]:
            reader.result(timeout=10)


def test_a_reader_waits_while_a_writer_is_inside_and_sees_what_it_wrote() -> (
    None
):
    lock = ReadWriteLock()
    numbers = [1]

    def read() -> int:
        with lock.reading():
            return numbers[0]

    with ThreadPoolExecutor(max_workers=1) as pool:
        with lock.writing():
            reader = pool.submit(read)
            with pytest.raises(TimeoutError):
                reader.result(timeout=0.05)
            numbers[0] = 2
        assert reader.result(timeout=10) == 2


@pytest.mark.parametrize("block", ["reading", "writing"])
def test_an_error_inside_goes_on_and_leaves_the_lock_free(block: str) -> None:
    lock = ReadWriteLock()
    error = OSError("no answer")
    with (
        pytest.raises(OSError, match="no answer") as caught,
        getattr(lock, block)(),
    ):
        raise error
    assert caught.value is error

    def take_both_in_turn() -> str:
        with lock.writing():
            pass
        with lock.reading():
            return "free"

    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(take_both_in_turn).result(timeout=10) == "free"


def test_a_writer_interrupted_while_it_waits_lets_in_who_waits_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, condition = counted(ReadWriteLock, monkeypatch)
    wait = condition.wait

    def interrupted_wait(timeout: float | None = None) -> bool:
        woken = wait(timeout)
        if threading.current_thread().name.startswith("writer"):
            raise KeyboardInterrupt
        return woken

    monkeypatch.setattr(condition, "wait", interrupted_wait)

    def write() -> None:
        with lock.writing():
            pytest.fail("it was let in")

    def read() -> str:
        with lock.reading():
            return "let in"

    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as one,
        ThreadPoolExecutor(max_workers=1) as pool,
        lock.reading(),
    ):
        writer = one.submit(write)
        assert condition.begun.acquire(timeout=10)
        reader = pool.submit(read)
        assert condition.begun.acquire(timeout=10)
        with condition:
            condition.notify()  # the writer, which came first
        assert isinstance(writer.exception(timeout=10), KeyboardInterrupt)
        assert reader.result(timeout=10) == "let in"


def test_the_standard_library_has_no_such_lock() -> None:
    names = {*dir(threading), *dir(multiprocessing), *dir(asyncio)}
    both = [
        name
        for name in map(str.lower, names)
        if "rwlock" in name or ("read" in name and "writ" in name)
    ]
    assert both == []
