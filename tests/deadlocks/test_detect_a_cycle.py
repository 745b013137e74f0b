"""What the recipe says of detecting a cycle, shown to be so."""

import threading
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from functools import partial
from importlib import import_module

import pytest

from cookbook.deadlocks.detect_a_cycle import (
    BrokenLock,
    DeadlockError,
    GraphLock,
    WaitForGraph,
    take_crosswise,
)
from cookbook.testing.every_interleaving import DEADLOCK, Setup
from tests.exploring import Explore

Lock = AbstractContextManager[object]
IMPORTS = import_module("importlib._bootstrap")
CYCLE = "first wants b, held by second; second wants a, held by first"


def graph_locks(number: int) -> list[Lock]:
    """Return locks of one graph."""
    graph = WaitForGraph()
    return [graph.lock(name) for name in "abc"[:number]]


def plain_locks(number: int) -> list[Lock]:
    """Return plain locks."""
    return [threading.Lock() for _ in range(number)]


def in_a_ring(
    number: int, make_locks: Callable[[int], list[Lock]]
) -> Callable[[], Setup]:
    """Return a set-up of threads that take a lock and then the next one.

    The result is how many threads were refused, and whether there was a
    moment when each of them held its first lock.
    """

    def make() -> Setup:
        locks = make_locks(number)
        inside: set[int] = set()
        refused: list[int] = []
        moments: set[int] = set()

        def take(me: int) -> None:
            first, second = locks[me], locks[(me + 1) % number]
            try:
                with first:
                    inside.add(me)
                    moments.add(len(inside))
                    with second:
                        inside.remove(me)
            except DeadlockError:
                refused.append(me)

        def result() -> Hashable:
            return len(refused), number in moments

        return [partial(take, me) for me in range(number)], result

    return make


def test_crosswise_one_thread_is_refused_exactly_where_each_holds_a_lock(
    explore: Explore,
) -> None:
    explore(
        in_a_ring(2, graph_locks),
        "``GraphLock``: two threads, crosswise",
        right={
            (0, False): "both got both locks",
            (1, True): "one was told of the cycle",
        },
        preemptions=1,
    )


def test_plain_locks_taken_crosswise_deadlock_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        in_a_ring(2, plain_locks),
        "``threading.Lock``: two threads, crosswise",
        right={(0, False): "both got both locks"},
        wrong={DEADLOCK: "deadlock"},
        preemptions=1,
    )


def report(*locks: Lock, meeting: threading.Barrier) -> str:
    """Take two locks, the second when all threads have their first."""
    first, second = locks
    try:
        with first:
            meeting.wait()
            with second:
                return "finished"
    except DeadlockError as error:
        return str(error)


def test_of_three_threads_that_hold_one_lock_each_one_is_told_the_cycle() -> (
    None
):
    locks = graph_locks(3)
    meeting = threading.Barrier(3, timeout=10)
    reports: list[str] = []

    def take(number: int) -> None:
        pair = locks[number], locks[(number + 1) % 3]
        reports.append(report(*pair, meeting=meeting))

    threads = [
        threading.Thread(target=take, args=(number,), name=name)
        for number, name in enumerate(["x", "y", "z"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cycle = "x wants b, held by y; y wants c, held by z; z wants a, held by x"
    assert sorted(reports) == ["finished", "finished", cycle]
    for lock in locks:
        with lock:
            pass


def test_of_two_threads_that_hold_one_lock_each_one_is_told() -> None:
    graph = WaitForGraph()
    for _ in range(20):
        reports = take_crosswise(graph.lock("a"), graph.lock("b"))
        assert reports == [f"DeadlockError: {CYCLE}", "finished"]
    assert not graph.wanted


def test_the_error_names_the_same_cycle_whoever_closes_it() -> None:
    graph = WaitForGraph()
    a, b = graph.lock("a"), graph.lock("b")
    first, second = threading.Thread(name="first"), threading.Thread()
    second.name = "second"
    a.holder, b.holder = first, second
    graph.wanted = {second: a}
    assert "; ".join(graph.cycle(first, b)) == CYCLE
    graph.wanted = {first: b}
    assert "; ".join(graph.cycle(second, a)) == CYCLE


def test_a_wait_that_leads_to_a_running_thread_is_no_cycle() -> None:
    graph = WaitForGraph()
    a, b = graph.lock("a"), graph.lock("b")
    first, second = threading.Thread(), threading.Thread()
    assert graph.cycle(first, a) == []
    a.holder = second
    assert graph.cycle(first, a) == []
    graph.wanted = {second: b}
    assert graph.cycle(first, a) == []


def test_a_thread_that_takes_its_own_lock_again_is_refused_and_keeps_it() -> (
    None
):
    graph = WaitForGraph()
    lock = graph.lock("a")
    name = threading.current_thread().name
    with lock:
        with pytest.raises(DeadlockError) as caught, lock:
            pytest.fail("the lock was taken twice")
        assert holders([lock]) == [threading.current_thread()]
    assert str(caught.value) == f"{name} wants a, held by {name}"
    assert holders([lock]) == [None]
    assert not graph.wanted


def holders(locks: list[GraphLock]) -> list[threading.Thread | None]:
    """Return who holds each of *locks*."""
    return [lock.holder for lock in locks]


def wait_until_wanted(graph: WaitForGraph, number: int) -> None:
    """Return when *number* threads wait for a lock of *graph*."""
    while True:
        with graph.changed:
            if len(graph.wanted) == number:
                return


def test_one_thread_at_a_time_is_in_the_block_and_each_gets_a_turn() -> None:
    graph = WaitForGraph()
    lock = graph.lock("a")
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with lock:
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    with lock:
        for thread in threads:
            thread.start()
        wait_until_wanted(graph, 3)
        assert most == []
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1]


def test_an_error_in_the_block_goes_on_and_leaves_the_lock_free() -> None:
    lock = WaitForGraph().lock("a")
    with pytest.raises(OSError, match="no answer"), lock:
        raise OSError("no answer")
    assert lock.holder is None


def test_on_ctrl_c_a_main_thread_that_waits_leaves_the_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = WaitForGraph()
    lock = graph.lock("a")
    other = threading.Thread()
    lock.holder = other
    waited: list[threading.Thread] = []

    def wait(*_: object) -> bool:
        waited.extend(graph.wanted)
        raise KeyboardInterrupt

    monkeypatch.setattr(graph.changed, "wait", wait)
    with pytest.raises(KeyboardInterrupt), lock:
        pytest.fail("the lock was taken")
    assert waited == [threading.current_thread()]
    assert lock.holder is other
    assert not graph.wanted
    assert graph.changed.acquire(blocking=False)


def test_locks_of_two_graphs_and_plain_locks_are_not_seen_together() -> None:
    reports = take_crosswise(WaitForGraph().lock("a"), BrokenLock("b", 0.01))
    assert reports == ["TimeoutError: no b within 0.01 s", "finished"]


def test_a_thread_that_ends_while_it_holds_a_lock_is_no_cycle() -> None:
    graph = WaitForGraph()
    lock = graph.lock("a")
    owner = threading.Thread(target=lock.__enter__)
    owner.start()
    owner.join()
    assert lock.holder is owner
    assert graph.cycle(threading.current_thread(), lock) == []


def test_plain_locks_end_by_their_timeout_and_name_no_cycle() -> None:
    reports = take_crosswise(BrokenLock("a", 10), BrokenLock("b", 0.01))
    assert reports == ["TimeoutError: no b within 0.01 s", "finished"]
    assert not any("held by" in one for one in reports)


def test_a_plain_lock_does_not_know_its_holder() -> None:
    lock = threading.Lock()
    with lock:
        assert "owner" not in repr(lock)
        assert not hasattr(lock, "owner")


class ImportLock:
    """The lock that the import system has for each module."""

    def __init__(self, name: str) -> None:
        self.lock = vars(IMPORTS)["_ModuleLock"](name)

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_the_locks_of_the_import_system_raise_deadlock_detected_too() -> None:
    meeting = threading.Barrier(2, timeout=10)
    error = vars(IMPORTS)["_DeadlockError"]
    reports: list[str] = []

    def take(first: Lock, second: Lock) -> None:
        try:
            with first:
                meeting.wait()
                with second:
                    reports.append("finished")
        except error as refused:
            reports.append(f"{error.__module__}.{error.__name__}: {refused}")

    one, two = ImportLock("one"), ImportLock("two")
    threads = [
        threading.Thread(target=take, args=pair)
        for pair in [(one, two), (two, one)]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused, finished = sorted(reports)
    message = "_frozen_importlib._DeadlockError: deadlock detected by"
    assert refused.startswith(f"{message} _ModuleLock(")
    assert finished == "finished"


def test_two_graph_locks_in_one_order_are_held_together() -> None:
    graph = WaitForGraph()
    locks: list[GraphLock] = [graph.lock("a"), graph.lock("b")]
    with locks[0], locks[1]:
        assert holders(locks) == [threading.current_thread()] * 2
    assert holders(locks) == [None] * 2
