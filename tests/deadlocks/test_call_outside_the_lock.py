"""What the recipe says of calls under a lock, shown to be so."""

import queue
import threading
from collections.abc import Callable
from functools import partial

import pytest

from cookbook.deadlocks.call_outside_the_lock import (
    BrokenListeners,
    Listener,
    Listeners,
)
from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from tests.exploring import Explore


def one_unsubscribes_itself(kind: type[Listeners]) -> Callable[[], Setup]:
    """Return a set-up of a listener for one event, and two events."""

    def make() -> Setup:
        listeners = kind()
        heard: list[str] = []

        def once(event: str) -> None:
            listeners.unsubscribe(once)
            heard.append(event)

        def notify() -> None:
            listeners.notify("first")
            listeners.notify("second")

        listeners.subscribe(once)
        return [notify], lambda: tuple(heard)

    return make


def another_subscribes(kind: type[Listeners]) -> Callable[[], Setup]:
    """Return a set-up of a listener with a lock, and its holder, who calls."""

    def make() -> Setup:
        listeners = kind()
        model = threading.Lock()
        heard: list[str] = []

        def show(event: str) -> None:
            with model:
                heard.append(event)

        def notify() -> None:
            listeners.notify("it rains")

        def change() -> None:
            with model:
                listeners.subscribe(len)

        listeners.subscribe(show)
        return [notify, change], lambda: tuple(heard)

    return make


def test_a_listener_that_unsubscribes_itself_is_called_once() -> None:
    outcomes = every_interleaving(one_unsubscribes_itself(Listeners))
    assert set(outcomes) == {("first",)}


def test_under_the_lock_a_listener_that_unsubscribes_waits_for_itself() -> (
    None
):
    outcomes = every_interleaving(one_unsubscribes_itself(BrokenListeners))
    assert set(outcomes) == {DEADLOCK}


def test_outside_the_lock_a_listener_may_take_a_lock_wherever_threads_switch(
    explore: Explore,
) -> None:
    explore(
        another_subscribes(Listeners),
        "``Listeners``: one notifies, one subscribes",
        right={("it rains",): "the listener is told"},
        preemptions=2,
        threads=("notifies", "subscribes"),
    )


def test_under_the_lock_a_listener_with_a_lock_deadlocks_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        another_subscribes(BrokenListeners),
        "``BrokenListeners``: one notifies, one subscribes",
        right={("it rains",): "the listener is told"},
        wrong={DEADLOCK: "each waits for the other's lock"},
        preemptions=2,
        threads=("notifies", "subscribes"),
    )


def test_a_listener_may_be_called_once_more_after_unsubscribe_returned() -> (
    None
):
    def make() -> Setup:
        listeners = Listeners()
        log: list[str] = []

        def notify() -> None:
            listeners.notify("told")

        def leave() -> None:
            listeners.unsubscribe(log.append)
            log.append("left")

        listeners.subscribe(log.append)
        return [notify, leave], lambda: tuple(log)

    outcomes = every_interleaving(make, preemptions=2)
    assert set(outcomes) == {("told", "left"), ("left", "told"), ("left",)}


def test_two_threads_that_notify_at_once_call_a_listener_in_any_order() -> (
    None
):
    def make() -> Setup:
        listeners = Listeners()
        log: list[str] = []
        listeners.subscribe(log.append)
        return [
            partial(listeners.notify, "first"),
            partial(listeners.notify, "second"),
        ], lambda: tuple(log)

    outcomes = every_interleaving(make, preemptions=2)
    assert set(outcomes) == {("first", "second"), ("second", "first")}


def test_two_threads_that_notify_at_once_call_a_listener_at_once() -> None:
    listeners = Listeners()
    both_inside = threading.Barrier(2, timeout=10)
    listeners.subscribe(lambda _: both_inside.wait())
    thread = threading.Thread(target=listeners.notify, args=["one"])
    thread.start()
    listeners.notify("two")
    thread.join()
    assert not both_inside.broken


def test_the_lock_is_free_while_a_slow_listener_runs() -> None:
    listeners = Listeners()
    running, subscribed = threading.Event(), threading.Event()

    def slow(_: str) -> None:
        running.set()
        assert subscribed.wait(timeout=10)

    listeners.subscribe(slow)
    thread = threading.Thread(target=listeners.notify, args=["it rains"])
    thread.start()
    assert running.wait(timeout=10)
    listeners.subscribe(len)
    listeners.unsubscribe(len)
    subscribed.set()
    thread.join()


def test_under_the_lock_a_listener_must_not_wait_for_whoever_calls_in() -> (
    None
):
    listeners = BrokenListeners()
    results: queue.Queue[str] = queue.Queue()
    got: list[str] = []
    waits = threading.Event()

    def wait_for_result(_: str) -> None:
        waits.set()
        with pytest.raises(queue.Empty):
            results.get(timeout=0.05)

    def call_in_and_deliver() -> None:
        assert waits.wait(timeout=10)
        listeners.subscribe(got.append)
        results.put("done")

    listeners.subscribe(wait_for_result)
    thread = threading.Thread(target=call_in_and_deliver)
    thread.start()
    listeners.notify("it rains")
    thread.join()
    assert results.get(timeout=10) == "done"


class ReentrantListeners(BrokenListeners):
    """The same with a lock that lets its holder in again."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()  # type: ignore[assignment]


def test_a_reentrant_lock_lets_the_loop_under_it_skip_a_listener() -> None:
    listeners = ReentrantListeners()
    heard: list[str] = []

    def once(event: str) -> None:
        listeners.unsubscribe(once)
        heard.append(f"once: {event}")

    listeners.subscribe(once)
    listeners.subscribe(heard.append)
    listeners.notify("it rains")
    assert heard == ["once: it rains"]


def test_a_reentrant_lock_does_not_end_the_deadlock_of_two_threads() -> None:
    outcomes = every_interleaving(
        another_subscribes(ReentrantListeners), preemptions=2
    )
    assert set(outcomes) == {("it rains",), DEADLOCK}


def remove_each(names: dict[str, int] | set[str]) -> None:
    """Let each name remove itself, as a listener does."""
    for name in names:
        if isinstance(names, dict):
            del names[name]
        else:
            names.remove(name)


@pytest.mark.parametrize(
    ("names", "kind"),
    [({"a": 1, "b": 2}, "dictionary"), ({"a", "b"}, "Set")],
)
def test_a_dict_or_set_that_changes_in_the_loop_raises_runtime_error(
    names: dict[str, int] | set[str], kind: str
) -> None:
    message = f"^{kind} changed size during iteration$"
    with pytest.raises(RuntimeError, match=message):
        remove_each(names)


def test_the_listeners_are_copied_under_the_lock_and_called_outside() -> None:
    locked: list[bool] = []

    class Watched(Listeners):
        """Notes whether its lock is held when its list is copied."""

        def __init__(self) -> None:
            super().__init__()
            self._listeners = WatchedList()

        def is_locked(self) -> bool:
            return self._lock.locked()

    class WatchedList(list[Listener]):
        def copy(self) -> list[Listener]:
            locked.append(listeners.is_locked())
            return super().copy()

    listeners = Watched()
    listeners.subscribe(lambda _: locked.append(listeners.is_locked()))
    listeners.notify("it rains")
    assert locked == [True, False]


def listeners_that_fail(
    *errors: BaseException,
) -> tuple[Listeners, list[str]]:
    """Return listeners that fail so, and one in the end that notes events."""
    listeners = Listeners()
    heard: list[str] = []

    def failing(error: BaseException) -> Listener:
        def fail(_: str) -> None:
            raise error

        return fail

    for error in errors:
        listeners.subscribe(failing(error))
    listeners.subscribe(heard.append)
    return listeners, heard


def test_listeners_that_raise_do_not_keep_the_others_from_being_called() -> (
    None
):
    one, two = ValueError("one"), OSError("two")
    listeners, heard = listeners_that_fail(one, two)
    with pytest.raises(
        ExceptionGroup, match=r"^listeners failed at 'it rains'$"
    ) as caught:
        listeners.notify("it rains")
    assert str(caught.value).endswith("(2 sub-exceptions)")
    assert caught.value.exceptions == (one, two)
    assert heard == ["it rains"]


def test_ctrl_c_in_a_listener_leaves_at_once_and_the_lock_is_free() -> None:
    listeners, heard = listeners_that_fail(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        listeners.notify("it rains")
    assert heard == []
    listeners.unsubscribe(heard.append)


def test_one_that_unsubscribes_itself_may_get_an_event_of_each_thread() -> (
    None
):
    def make() -> Setup:
        listeners = Listeners()
        heard: list[str] = []

        def once(event: str) -> None:
            listeners.unsubscribe(once)
            heard.append(event)

        listeners.subscribe(once)
        return [
            partial(listeners.notify, "a"),
            partial(listeners.notify, "b"),
        ], lambda: "".join(sorted(heard))

    outcomes = every_interleaving(make, preemptions=1)
    assert set(outcomes) == {"a", "b", "ab"}


def test_to_unsubscribe_who_is_not_subscribed_changes_nothing() -> None:
    listeners = Listeners()
    heard: list[str] = []
    listeners.subscribe(heard.append)
    listeners.subscribe(len)
    listeners.unsubscribe(len)
    listeners.notify("it rains")
    listeners.unsubscribe(len)
    listeners.notify("it snows")
    assert heard == ["it rains", "it snows"]
