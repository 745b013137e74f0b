"""What the recipe says of taking a lock twice, shown to be so."""

import gc
import inspect
import io
import queue
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cookbook.deadlocks import self_deadlock
from cookbook.deadlocks.self_deadlock import (
    BrokenStock,
    ImpatientLock,
    Stock,
)
from cookbook.testing.every_interleaving import DEADLOCK, Setup
from tests.exploring import Explore

if TYPE_CHECKING:
    from typing_extensions import Buffer

Locked = list[bool]


def exchange_and_add(kind: type[Stock]) -> Callable[[], Setup]:
    """Return a set-up of two threads that change the same two things."""

    def make() -> Setup:
        stock = kind()
        stock.add("pear", 2)

        def exchange() -> None:
            stock.exchange("pear", "apple", 2)

        def add() -> None:
            stock.add("apple", 3)

        return [exchange, add], lambda: (
            stock.count("pear"),
            stock.count("apple"),
        )

    return make


def test_public_methods_over_private_ones_end_right_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        exchange_and_add(Stock),
        "``Stock``: one thread exchanges, one adds",
        right={(0, 5): "both changes made"},
        threads=("exchange", "add"),
    )


def test_a_locked_method_that_calls_another_hangs_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        exchange_and_add(BrokenStock),
        "``BrokenStock``: one thread exchanges, one adds",
        right={},
        wrong={DEADLOCK: "a thread waits for itself"},
        threads=("exchange", "add"),
    )


def test_the_broken_exchange_waits_for_the_thread_that_it_runs_in() -> None:
    stock = BrokenStock(ImpatientLock(patience=0.01))
    stock.add("pear", 1)

    def exchange() -> None:
        threading.current_thread().name = "mine"
        stock.exchange("pear", "apple", 1)

    with (
        ThreadPoolExecutor(max_workers=1) as pool,
        pytest.raises(TimeoutError, match=r"^mine waits for mine$"),
    ):
        pool.submit(exchange).result()
    assert (stock.count("pear"), stock.count("apple")) == (1, 0)


def test_a_reentrant_lock_lets_the_broken_exchange_end() -> None:
    stock = BrokenStock(threading.RLock())
    stock.add("pear", 3)
    stock.exchange("pear", "apple", 2)
    assert (stock.count("pear"), stock.count("apple")) == (1, 2)


def test_a_reentrant_lock_shows_its_holder_what_is_half_changed() -> None:
    lock = threading.RLock()
    seen = []

    class Watched(BrokenStock):
        def add(self, thing: str, count: int) -> None:
            super().add(thing, count)
            seen.append((self.count("pear"), self.count("apple")))

    stock = Watched(lock)
    stock.add("pear", 1)
    stock.exchange("pear", "apple", 1)
    assert seen == [(1, 0), (0, 0), (0, 1)]


HANGING = """
import faulthandler
from cookbook.deadlocks.self_deadlock import BrokenStock

faulthandler.dump_traceback_later(0.1, exit=True)
stock = BrokenStock()
stock.add("pear", 1)
stock.exchange("pear", "apple", 1)
"""


def line_of(method: Callable[..., object], text: str) -> int:
    lines, first = inspect.getsourcelines(method)
    return first + [text in line for line in lines].index(True)


def test_faulthandler_shows_one_thread_waiting_below_the_line_that_holds() -> (
    None
):
    process = subprocess.run(
        [sys.executable, "-c", HANGING],
        capture_output=True,
        check=False,
        cwd=Path(self_deadlock.__file__).parents[2],
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    found = re.findall(r'deadlock\.py", line (\d+) in', process.stderr)
    assert list(map(int, found)) == [
        line_of(Stock.add, "with self._lock"),
        line_of(BrokenStock.exchange, "self.add(old"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="needs pthread_kill")
def test_ctrl_c_ends_the_main_threads_wait_for_itself_and_frees_the_lock() -> (
    None
):
    real, waits = threading.Lock(), threading.Event()
    pressed: list[int] = []

    class Announced:
        """A lock that says when it is about to be waited for."""

        def __enter__(self) -> None:
            if real.locked():
                waits.set()
            real.acquire()

        def __exit__(self, *_: object) -> None:
            real.release()

    def handler(signum: int, _: object) -> None:
        if not pressed:
            pressed.append(signum)
            raise KeyboardInterrupt

    def press_ctrl_c() -> None:
        # A signal just before the wait is seen at the next one.
        assert waits.wait(timeout=10)
        while not pressed:
            signal.pthread_kill(main, signal.SIGINT)
            pause.wait(timeout=0.02)

    main = threading.main_thread().ident or 0
    pause = threading.Event()
    stock = BrokenStock(Announced())
    stock.add("pear", 1)
    thread = threading.Thread(target=press_ctrl_c)
    before = signal.signal(signal.SIGINT, handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            stock.exchange("pear", "apple", 1)
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not real.locked()
    assert stock.count("pear") == 1


def test_ctrl_c_does_not_end_another_threads_wait_for_itself() -> None:
    lock = threading.Lock()

    def hang() -> None:
        with lock:
            lock.acquire()

    def is_over() -> bool:
        thread.join(timeout=0.05)
        return not thread.is_alive()

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    assert not is_over()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not is_over()
    lock.release()  # any thread may; it is what ends the demonstration
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.fixture
def on_signal() -> "OnSignal":
    """Give a way to run a function as a signal handler, now."""

    def run(handler: Callable[[], object]) -> None:
        before = signal.signal(signal.SIGINT, lambda *_: handler())
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)

    return run


OnSignal = Callable[[Callable[[], object]], None]


def test_a_signal_handler_waits_for_the_lock_of_the_code_it_interrupts(
    on_signal: OnSignal,
) -> None:
    lock = threading.Lock()
    got: list[object] = []

    def handler() -> None:
        got.append(threading.current_thread() is threading.main_thread())
        got.append(lock.acquire(timeout=0.01))

    with lock:
        on_signal(handler)
    assert got == [True, False]


class Noisy:
    """Tries to take a lock when it goes."""

    def __init__(self, lock: threading.Lock, got: Locked) -> None:
        self.lock = lock
        self.got = got
        self.me = self

    def __del__(self) -> None:
        self.got.append(self.lock.acquire(timeout=0.01))


def test_a_finalizer_runs_under_the_lock_of_who_drops_the_last_reference() -> (
    None
):
    lock = threading.Lock()
    got: Locked = []
    noisy = [Noisy(lock, got)]
    del noisy[0].me
    with lock:
        noisy.clear()
    assert got == [False]


def test_a_finalizer_runs_under_the_lock_of_who_starts_a_collection() -> None:
    lock = threading.Lock()
    got: Locked = []
    Noisy(lock, got)  # refers to itself, so it stays
    assert got == []
    with lock:
        gc.collect()
    assert got == [False]


def test_a_weakref_callback_runs_under_the_lock_of_who_drops_the_object() -> (
    None
):
    lock = threading.Lock()
    got: Locked = []

    def callback() -> None:
        got.append(lock.acquire(timeout=0.01))

    stock = [Stock()]
    weakref.finalize(stock[0], callback)
    with lock:
        stock.clear()
    assert got == [False]


def test_a_simple_queue_takes_a_note_from_a_handler_while_it_is_used(
    on_signal: OnSignal,
) -> None:
    notes: queue.SimpleQueue[str] = queue.SimpleQueue()

    class Interrupting(str):
        """Raises a signal when the queue lets go of it."""

        __slots__ = ()

        def __del__(self) -> None:
            on_signal(lambda: notes.put("from the handler"))

    notes.put(Interrupting("first"))
    assert notes.get() == "first"
    assert notes.get(timeout=10) == "from the handler"


def test_a_queue_makes_a_handler_wait_for_the_code_that_it_interrupts(
    on_signal: OnSignal,
) -> None:
    got: Locked = []

    class Interrupted(queue.Queue[int]):
        """A queue that a signal meets in the middle of ``put``."""

        def _put(self, item: int) -> None:
            on_signal(lambda: got.append(self.mutex.acquire(timeout=0.01)))
            super()._put(item)

    notes = Interrupted()
    notes.put(1)
    assert got == [False]


def test_an_event_makes_a_handler_wait_for_the_code_that_it_interrupts(
    on_signal: OnSignal, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = threading.Lock()
    got: Locked = []

    class Interrupted(threading.Condition):
        """The condition of an event, met by a signal in ``set``."""

        def notify_all(self) -> None:
            on_signal(lambda: got.append(lock.acquire(timeout=0.01)))
            super().notify_all()

    event = threading.Event()
    monkeypatch.setattr(event, "_cond", Interrupted(lock))
    event.set()
    assert got == [False]


def test_print_in_a_handler_that_interrupts_a_print_fails(
    on_signal: OnSignal,
) -> None:
    class Interrupted(io.RawIOBase):
        """A file that a signal meets in the middle of its first write."""

        name = "<stdout>"
        writes = 0

        def writable(self) -> bool:
            return True

        def write(self, data: "Buffer", /) -> int:
            self.writes += 1
            if self.writes == 1:
                on_signal(lambda: print("handler", file=text, flush=True))
            return memoryview(data).nbytes

    buffer = io.BufferedWriter(Interrupted())
    text = io.TextIOWrapper(buffer)
    message = "reentrant call inside <_io.BufferedWriter name='<stdout>'>"
    with pytest.raises(RuntimeError, match=message):
        print("normally", file=text, flush=True)
    text.close()


def test_a_repr_that_takes_the_lock_hangs_a_log_message_under_it() -> None:
    class Shown(Stock):
        def __repr__(self) -> str:
            return f"<{self.count('pear')} pears>"

        def log(self) -> str:
            with self._lock:
                return f"stock is {self!r}"

    with pytest.raises(TimeoutError):
        Shown(ImpatientLock(patience=0.01)).log()


def test_too_large_an_exchange_is_refused_and_changes_nothing() -> None:
    stock = Stock()
    stock.add("pear", 1)
    with pytest.raises(ValueError, match=r"^-1 pear would be left$"):
        stock.exchange("pear", "apple", 2)
    with pytest.raises(ValueError, match=r"^-1 apple would be left$"):
        stock.add("apple", -1)
    assert (stock.count("pear"), stock.count("apple")) == (1, 0)
    stock.exchange("pear", "apple", 1)
    assert (stock.count("pear"), stock.count("apple")) == (0, 1)


def test_a_negative_exchange_is_refused_by_value_and_changes_nothing() -> None:
    stock = Stock()
    stock.add("pear", 5)
    with pytest.raises(ValueError, match=r"^count must be 0 or more, not -1$"):
        stock.exchange("pear", "apple", -1)
    stock.exchange("pear", "apple", 0)
    assert (stock.count("pear"), stock.count("apple")) == (5, 0)
