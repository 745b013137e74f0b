"""What the recipe says of forcing a race, shown to be so."""

import dis
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from unittest.mock import Mock

import pytest

from cookbook.testing.every_interleaving import Setup
from cookbook.testing.force_a_race import (
    BrokenShop,
    Meeting,
    MeetingLock,
    MeetingStock,
    Shop,
    Stock,
    broken_test,
    sold_to_two,
)
from tests.exploring import Explore

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
only_with_the_gil = pytest.mark.skipif(
    FREE_THREADED, reason="threads run at once on a free-threaded build"
)


def test_the_forced_test_passes_on_the_shop_with_a_lock() -> None:
    assert sold_to_two(Shop) == 1


def test_the_forced_test_fails_on_the_shop_without_a_lock_on_every_run() -> (
    None
):
    assert [sold_to_two(BrokenShop) for _ in range(20)] == [2] * 20


def last_piece(make_shop: Callable[[Stock], Shop]) -> Callable[[], Setup]:
    """Return a set-up of two threads that want the last piece."""

    def make() -> Setup:
        shop = make_shop(Stock(1))
        sales: list[bool] = []

        def buy() -> None:
            is_sold = shop.sell()
            sales.append(is_sold)

        return [buy, buy], lambda: sum(sales)

    return make


def test_the_shop_with_a_lock_sells_once_wherever_threads_switch_twice(
    explore: Explore,
) -> None:
    explore(
        last_piece(Shop),
        "``Shop``: two buyers, one piece",
        right={1: "sold once"},
        preemptions=2,
    )


def test_the_shop_without_a_lock_sells_twice_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        last_piece(BrokenShop),
        "``BrokenShop``: two buyers, one piece",
        right={1: "sold once"},
        wrong={2: "sold twice"},
        preemptions=2,
    )


@only_with_the_gil
def test_the_test_that_hopes_never_fails_with_the_gil() -> None:
    assert broken_test(BrokenShop, 100) == 0
    assert broken_test(Shop, 1) == 0


def test_the_test_that_hopes_passes_on_the_right_shop_too() -> None:
    assert broken_test(Shop, 20) == 0


def test_the_test_that_hopes_would_count_a_piece_sold_twice() -> None:
    def make_shop(stock: Stock) -> Shop:
        return BrokenShop(MeetingStock(stock.pieces, Meeting()))

    assert broken_test(make_shop, 3) == 3


@pytest.fixture
def interval() -> Iterator[float]:
    """Restore the switch interval after a test."""
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def test_the_switch_interval_is_restored_even_after_an_error(
    interval: float,
) -> None:
    seen = []

    def make_shop(stock: Stock) -> Shop:
        seen.append(sys.getswitchinterval())
        raise OSError(stock.pieces)

    with pytest.raises(OSError, match="1"):
        broken_test(make_shop, 1)
    assert seen == [pytest.approx(1e-6)]
    assert sys.getswitchinterval() == interval


def test_the_switch_interval_is_5_ms_and_cannot_be_zero(
    interval: float,
) -> None:
    assert interval == pytest.approx(0.005)
    message = "^switch interval must be strictly positive$"
    with pytest.raises(ValueError, match=message):
        sys.setswitchinterval(0)


def changes_seen(step: str) -> Callable[[], int]:
    """Return a function that takes *step* 20,000 times, without a loop.

    It tells by how much another thread changed a number meanwhile.
    """
    names = {"box": [0], "call": lambda: None}
    source = "def probe():\n first = box[0]\n"
    source += f" {step}\n" * 20_000
    exec(f"{source} return box[0] - first\n", names)  # noqa: S102
    probe = names["probe"]
    assert callable(probe)

    def run() -> int:
        box, stop = names["box"], threading.Event()
        assert isinstance(box, list)

        def change() -> None:
            while not stop.is_set():
                box[0] += 1

        thread = threading.Thread(target=change)
        thread.start()
        try:
            return int(probe())
        finally:
            stop.set()
            thread.join()

    return run


@only_with_the_gil
def test_without_a_call_or_a_loop_no_other_thread_gets_in_with_the_gil(
    interval: float,
) -> None:
    sys.setswitchinterval(interval / 5000)
    run = changes_seen("value = box[0] + 1")
    assert [run() for _ in range(5)] == [0] * 5


@pytest.mark.parametrize("step", ["call()", "for _ in (1,): pass"])
def test_at_a_call_and_at_the_end_of_a_loop_another_thread_gets_in(
    interval: float, step: str
) -> None:
    sys.setswitchinterval(interval / 5000)
    run = changes_seen(step)
    deadline = time.monotonic() + 60
    while not run():
        assert time.monotonic() < deadline


def gap(function: Callable[..., object], name: str) -> list[str]:
    """Return the instructions from the first load of *name* to its store."""
    code = list(dis.get_instructions(function))
    uses = [n for n, one in enumerate(code) if one.argval == name]
    first = next(n for n in uses if code[n].opname.startswith("LOAD"))
    last = next(n for n in uses if code[n].opname.startswith("STORE"))
    return [one.opname for one in code[first:last]]


def test_the_gap_of_the_broken_shop_holds_no_call_and_no_jump_back() -> None:
    between = gap(BrokenShop.sell, "pieces")
    assert len(between) > 5
    assert not [
        name
        for name in between
        if name.startswith(("CALL", "PRECALL", "RESUME")) or "BACKWARD" in name
    ]


def test_the_gap_of_a_bare_counter_in_a_loop_holds_neither() -> None:
    def loop(counter: Stock) -> None:
        for _ in range(1000):
            counter.pieces += 1

    between = gap(loop, "pieces")
    assert len(between) in range(3, 8)
    assert not [name for name in between if "CALL" in name or "JUMP" in name]


@only_with_the_gil
def test_a_bare_counter_loop_loses_nothing_with_the_gil(
    interval: float,
) -> None:
    sys.setswitchinterval(interval / 5000)
    counter = Stock(0)
    all_there = threading.Barrier(4, timeout=10)

    def loop() -> None:
        all_there.wait()
        for _ in range(5000):
            counter.pieces += 1

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.pieces == 20_000


def test_a_bare_counter_loses_an_update_on_some_schedules_all_the_same(
    explore: Explore,
) -> None:
    def make() -> Setup:
        counter = Stock(0)

        def add_one() -> None:
            counter.pieces += 1

        return [add_one, add_one], lambda: counter.pieces

    explore(
        make,
        "``counter += 1``, by bytecode",
        right={2: "both updates kept"},
        wrong={1: "one update lost"},
        by="bytecode",
    )


def test_the_meeting_works_as_the_side_effect_of_a_mock() -> None:
    meeting = Meeting()
    callback = Mock(side_effect=meeting)
    threads = [
        threading.Thread(target=callback, args=(number,))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meeting.is_over
    assert callback.call_count == 2


def test_after_the_meeting_whoever_comes_goes_on_at_once() -> None:
    meeting = Meeting()
    meeting.is_over = True
    meeting()
    meeting("an argument of the callback")


def test_a_thread_that_nobody_meets_fails_the_test_instead_of_hanging() -> (
    None
):
    meeting = Meeting(timeout=0.01)
    with pytest.raises(threading.BrokenBarrierError):
        meeting()
    assert not meeting.is_over


def test_a_shop_that_never_lets_two_into_the_gap_breaks_the_meeting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(Shop):
        """A shop that looks at its stock once, whoever asks."""

        def sell(self) -> bool:
            """Sell nothing; the second thread never reads the stock."""
            with turn:
                if turns:
                    return False
                turns.append(1)
            return self.stock.pieces < 0

    turn = threading.Lock()
    turns: list[int] = []
    init = Meeting.__init__

    def impatient(self: Meeting, timeout: float = 0.01) -> None:
        init(self, timeout)

    monkeypatch.setattr(Meeting, "__init__", impatient)
    with pytest.raises(threading.BrokenBarrierError):
        sold_to_two(Closed)


def test_an_error_in_a_thread_reaches_the_test() -> None:
    class Failing(Shop):
        """A shop that fails."""

        def sell(self) -> bool:
            """Raise."""
            raise OSError("no answer")

    with pytest.raises(OSError, match=r"^no answer$"):
        sold_to_two(Failing)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
def test_an_assert_that_fails_in_a_bare_thread_does_not_reach_the_test() -> (
    None
):
    def check() -> None:
        assert sold == 1

    sold = 2
    thread = threading.Thread(target=check)
    thread.start()
    thread.join()
    assert not thread.is_alive()


def test_the_lock_of_the_meeting_lets_one_in_and_sends_the_other_there() -> (
    None
):
    meeting = Meeting()
    lock = MeetingLock(meeting)
    inside: list[str] = []

    def enter() -> None:
        with lock:
            inside.append("second")

    thread = threading.Thread(target=enter)
    with lock:
        thread.start()
        meeting()
        inside.append("first")
    thread.join()
    assert inside == ["first", "second"]
    with lock:
        assert meeting.is_over
