"""Ctrl-C for the main thread of the tests, when a test wants it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def one_interrupt() -> Iterator[Callable[[], None]]:
    """Give a function that raises KeyboardInterrupt in the main thread.

    It is for another thread to call, and returns when it is raised. A signal
    that comes just before the main thread begins to wait is seen only after
    the wait, so it is sent again until it is seen.
    """
    raised = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(*_: object) -> None:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt

    def press() -> None:
        while not raised.wait(timeout=0.1):
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield press
    finally:
        raised.set()  # for a thread that still presses
        signal.signal(signal.SIGINT, before)
