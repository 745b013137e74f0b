"""What the recipe says of threads that leave each other alone."""

import operator
import os
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cookbook.parallel_threads.threads_that_scale import (
    TEXTS,
    CountedLock,
    broken_count_words,
    count_share,
    count_words,
)

HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_number_of_threads_finds_what_one_loop_finds(workers: int) -> None:
    texts = ["a b", "b c c", "", "a", "c"]
    expected = Counter(a=2, b=2, c=3)
    assert count_words(texts, workers=workers) == expected
    assert count_share(texts) == expected
    lock = threading.Lock()
    found = broken_count_words(texts, workers=workers, lock=lock)
    assert found == expected


def test_no_texts_have_no_words() -> None:
    assert count_words([]) == Counter()


class Meeting(str):
    """A text that two threads must split at the same time."""

    __slots__ = ()
    barrier = threading.Barrier(2, timeout=60)

    def split(self, *_: object) -> list[str]:
        """Wait for the other one."""
        self.barrier.wait()
        return super().split()


def test_two_threads_count_their_shares_at_the_same_time() -> None:
    found = count_words([Meeting("a"), Meeting("b")], workers=2)
    assert found == Counter("ab")


def test_every_thread_gets_one_share_and_each_text_is_counted_once() -> None:
    by_thread: dict[int, list[str]] = {}
    ready = threading.Barrier(3, timeout=60)

    class Text(str):
        __slots__ = ()

        def split(self, *_: object) -> list[str]:
            here = threading.get_ident()
            if here not in by_thread:
                ready.wait()
            by_thread.setdefault(here, []).append(str(self))
            return super().split()

    count_words([Text(n) for n in range(7)], workers=3)
    shares = sorted(by_thread.values())
    assert shares == [["0", "3", "6"], ["1", "4"], ["2", "5"]]


def test_a_share_is_counted_while_this_thread_runs_only_without_the_gil() -> (
    None
):
    go_on, counted = threading.Event(), [False]

    class Gate(str):
        __slots__ = ()

        def split(self, *_: object) -> list[str]:
            assert go_on.wait(timeout=60)
            return super().split()

    def count() -> None:
        count_share([Gate("a"), *TEXTS])
        counted[0] = True

    thread = threading.Thread(target=count)
    interval = sys.getswitchinterval()
    patience = 0.05 if HAS_GIL else 60
    sys.setswitchinterval(1000)  # seconds: who has the GIL keeps it
    try:
        thread.start()  # returns when the thread waits at the gate
        go_on.set()
        start = time.monotonic()
        while not counted[0] and time.monotonic() < start + patience:
            pass
        assert counted[0] is not HAS_GIL
    finally:
        sys.setswitchinterval(interval)
        go_on.set()
        thread.join()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_shared_counter_takes_the_lock_once_for_every_word(
    workers: int,
) -> None:
    lock = CountedLock()
    broken_count_words(TEXTS, workers=workers, lock=lock)
    assert lock.taken == sum(len(text.split()) for text in TEXTS)


def test_while_one_thread_has_the_lock_all_others_stand_still() -> None:
    arrived = threading.Semaphore(0)

    class Lock(CountedLock):
        def __enter__(self) -> None:
            arrived.release()
            super().__enter__()

    lock = Lock()
    with ThreadPoolExecutor(1) as pool:
        with lock.lock:
            job = pool.submit(broken_count_words, TEXTS, workers=2, lock=lock)
            for _ in range(2):
                assert arrived.acquire(timeout=60)
            assert lock.taken == 0
            assert count_words(TEXTS, workers=2) == count_share(TEXTS)
            assert not job.done()
        assert job.result(timeout=60) == count_share(TEXTS)


def test_the_counted_lock_lets_one_thread_in_and_is_free_after_an_error() -> (
    None
):
    lock = CountedLock()
    with pytest.raises(ZeroDivisionError), lock:
        operator.truediv(lock.lock.locked(), 0)
    assert not lock.lock.locked()
    assert lock.taken == 1


@pytest.mark.parametrize("workers", [0, -1])
def test_fewer_than_one_thread_is_refused(workers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {workers}"):
        count_words([], workers=workers)


def test_an_error_in_one_share_is_raised_when_the_others_have_ended() -> None:
    both = threading.Barrier(2, timeout=60)
    go_on = threading.Event()
    ended = []

    class Slow(str):
        __slots__ = ()

        def split(self, *_: object) -> list[str]:
            both.wait()
            assert go_on.wait(timeout=60)
            ended.append(str(self))
            return super().split()

    class Bad(str):
        __slots__ = ()

        def split(self, *_: object) -> list[str]:
            both.wait()
            go_on.set()
            raise RuntimeError("no text")

    with pytest.raises(RuntimeError, match="no text"):
        count_words([Bad("a"), Slow("b")], workers=2)
    assert ended == ["b"]


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the function is of Python 3.13"
)
def test_the_number_of_cores_of_the_process_is_known_from_python_3_13() -> (
    None
):
    count: Any = getattr(os, "process_cpu_count", None)
    assert count() >= 1
