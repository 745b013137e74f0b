"""Call listeners and other foreign code without a lock.

Who calls code that it does not know, while it holds a lock, does not know
which locks that code takes. A listener that unsubscribes itself takes this
lock a second time; one that takes its own lock closes a cycle with a thread
that holds that lock and calls in here. Either way nothing goes on. Copy what
you need under the lock, let go, and call.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds both
    deadlocks on every run
:search: callback under a lock, listener, observer pattern, event handler,
    publish and subscribe, signal and slot, unsubscribe in callback, open
    call, alien method, deadlock in callback, hook, plug-in, on_change,
    "RuntimeError: dictionary changed size during iteration",
    "RuntimeError: Set changed size during iteration"

Use this when
    your class calls functions that it was given: listeners, hooks, key
    functions, factories, the methods of a subclass.

Prefer instead
    :mod:`cookbook.threads.producer_consumer` when each listener shall be
    called in a thread of its own, or be told of the events in their order.

Pitfalls
    - A listener may be called once more after ``unsubscribe`` has returned,
      by a thread that had made its copy before. So one that unsubscribes
      itself at its first event may get a second one, and unsubscribe again.
    - Two threads that notify at once call a listener at once, and not always
      in the order of the events; a lock in the listener is the listener's
      own affair.
    - An :class:`~threading.RLock` lets the listener of the same thread in,
      and the loop over the listeners skips one when it unsubscribes (with a
      dict: ``RuntimeError: dictionary changed size during iteration``). The
      cycle of two threads stays.

If a job raises
    the other listeners are called all the same; then their errors are raised
    together, as an :exc:`ExceptionGroup`.

If it takes too long
    a slow listener keeps only its caller waiting: the lock is free meanwhile.

On Ctrl-C
    :exc:`KeyboardInterrupt` is no :exc:`Exception`: it leaves ``notify`` at
    once, and the listeners that are left are not called.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

Listener = Callable[[str], object]


class Listeners:
    """The functions that want to be told of events.

    Example:
        >>> from cookbook.deadlocks.call_outside_the_lock import Listeners
        >>> listeners = Listeners()
        >>> listeners.subscribe(print)
        >>> listeners.notify("it rains")
        it rains
    """

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> None:
        """Call *listener* at each event from now on."""
        with self._lock:
            self._listeners.append(listener)

    def unsubscribe(self, listener: Listener) -> None:
        """Stop calling *listener*, if it is subscribed."""
        with self._lock, suppress(ValueError):
            self._listeners.remove(listener)

    def notify(self, event: str) -> None:
        """Call the listeners that are subscribed now, in their order.

        Raises:
            ExceptionGroup: The errors of the listeners, if there are any.
        """
        with self._lock:
            listeners = self._listeners.copy()
        errors = []
        for listener in listeners:
            try:
                listener(event)
            except Exception as error:
                errors.append(error)
        if errors:
            raise ExceptionGroup(f"listeners failed at {event!r}", errors)


def main() -> None:
    """Let a listener unsubscribe itself, and another one fail.

    >>> main()
    once: it rains
    always: it rains
    always: the sun shines
    listeners failed at 'the sun shines' (1 sub-exception)
    """
    listeners = Listeners()

    def once(event: str) -> None:
        listeners.unsubscribe(once)
        print("once:", event)

    def always(event: str) -> None:
        print("always:", event)

    def fail(event: str) -> None:
        raise ValueError(event)

    listeners.subscribe(once)
    listeners.subscribe(always)
    listeners.notify("it rains")
    listeners.subscribe(fail)
    try:
        listeners.notify("the sun shines")
    except ExceptionGroup as error:
        print(error)


class BrokenListeners(Listeners):
    """The same with listeners that are called under the lock.

    Warning:
        A listener that subscribes or unsubscribes waits for the lock that its
        own thread holds. One that waits for anything else (a lock, a result,
        a full queue) waits for ever if whoever could end this calls in here
        meanwhile.
    """

    def notify(self, event: str) -> None:
        """Call the listeners that are subscribed now, in their order."""
        with self._lock:
            for listener in self._listeners:
                listener(event)


def broken_main() -> None:
    """Notify while another thread holds the listener's lock and calls in.

    >>> broken_main()
    listener: waits for the model; gives up
    model: subscribes; is held up until the listener gives up
    """
    listeners = BrokenListeners()
    model = threading.Lock()
    both_hold_one = threading.Barrier(2, timeout=10)
    steps = []

    def show(_: str) -> None:
        both_hold_one.wait()
        if not model.acquire(timeout=0.1):
            steps.append("gives up")

    def change() -> None:
        with model:
            both_hold_one.wait()
            listeners.subscribe(print)
            steps.append("is held up until the listener gives up")

    listeners.subscribe(show)
    thread = threading.Thread(target=change)
    thread.start()
    listeners.notify("it rains")
    thread.join()
    print("listener: waits for the model;", steps[0])
    print("model: subscribes;", steps[1])


if __name__ == "__main__":
    main()
    broken_main()
