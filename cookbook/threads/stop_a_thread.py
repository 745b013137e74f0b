"""Stop a thread.

Nothing ends a thread from outside: it must end itself. Give it a
:class:`threading.Event` and let it look at it often. Where it would sleep, let
it call ``stop.wait(seconds)``, which returns at once when the event is set;
give every other call that may block a timeout. What must be ended without its
help runs in a process: the system can kill that.

:models: threads, processes
:work: I/O-bound
:level: first steps
:since: 3.11
:trap: every build
:search: kill a thread, stop a running thread, terminate thread, cancel
    thread, thread.stop, threading.Event, daemon thread, daemon=True,
    background thread cleanup, finally not executed,
    PyThreadState_SetAsyncExc, interrupt time.sleep, kill after timeout,
    crash at exit, "TypeError: 'Event' object is not callable",
    "Fatal Python error: _enter_buffered_busy: could not acquire lock for"

Use this when
    a thread works until told to stop, and must tidy up: :func:`stoppable`. A
    call that never looks at an event, such as one into a C library:
    :func:`run_for`.

Prefer instead
    a ``None`` put on the :class:`queue.Queue` from which the thread takes its
    work, if it has one: it wakes up at once and needs no timeout.

Pitfalls
    - ``while not stop.is_set(): time.sleep(60)`` sleeps on for up to a minute.
      Wait with ``stop.wait(60)``.
    - Make a new event for each thread, and never clear it: a stop that comes
      before the thread has begun would be lost.
    - A daemon thread does not keep the interpreter alive: it is stopped
      abruptly at exit. Its ``finally`` blocks do not run, and what it has not
      flushed to a file is lost. If that happens inside ``print()``, the
      program aborts: ``Fatal Python error: _enter_buffered_busy: could not
      acquire lock for <_io.BufferedWriter name='<stdout>'>``. Use one only for
      work that may be lost. Other threads are joined at exit, so the program
      ends when the last one has.
    - In Python 3.11 and 3.12 a subclass of ``Thread`` that keeps its event as
      ``self._stop`` fails in ``join()`` with ``TypeError: 'Event' object is
      not callable``. Choose another name.

If a job raises
    the error goes to :func:`threading.excepthook`, as for every thread, and
    the ``with`` block goes on.

If it takes too long
    :exc:`TimeoutError` is raised if the thread has not ended within *timeout*
    seconds of the stop; an error of the block goes on instead, with a note
    that says so. The thread runs on: there is no way to end it.

On Ctrl-C
    the ``with`` block sets the event and waits for the thread; then
    :exc:`KeyboardInterrupt` goes on.

If a worker is killed
    by :func:`run_for`, it returns False; by anybody else, it raises
    :exc:`RuntimeError` with the exit code, as for a process that failed.
    ``finally`` blocks do not run in a process that was killed.
"""

import ctypes
import math
import multiprocessing
import operator
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.context import BaseContext


@contextmanager
def stoppable(
    work: Callable[[threading.Event], object], *, timeout: float = 10
) -> Iterator[None]:
    """Run *work* in a thread during a ``with`` block.

    Args:
        work: Gets an event, and must return soon after it is set.
        timeout: How long the end of the block waits for that, in seconds.

    Raises:
        TimeoutError: If *work* still runs after that time, and the block
            has raised nothing.
        ValueError: If *timeout* is out of range.

    Example:
        >>> from cookbook.threads.stop_a_thread import stoppable
        >>> with stoppable(lambda stop: print("stopped:", stop.wait(60))):
        ...     print("meanwhile")
        meanwhile
        stopped: True
    """
    if not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    late = f"{thread.name} still runs {timeout!r} s after the stop"

    def still_runs() -> bool:
        stop.set()
        if thread.ident:  # it was started
            thread.join(timeout)
        return thread.is_alive()

    try:
        thread.start()
        yield
    except BaseException as error:
        if still_runs():
            error.add_note(late)
        raise
    if still_runs():
        raise TimeoutError(late)


def run_for(
    work: Callable[..., object],
    *args: object,
    seconds: float,
    context: BaseContext | None = None,
) -> bool:
    """Run *work* in a process, and kill that after *seconds*.

    Args:
        work: A function that the process can import.
        args: Its arguments.
        seconds: How long it may take.
        context: What :func:`multiprocessing.get_context` returned for a start
            method; by default the program's own.

    Returns:
        True if *work* has returned, False if the process was killed.

    Raises:
        RuntimeError: If the process ended in another way. Its exit code is 1
            after an error, and negative after a signal.
        ValueError: If *seconds* is out of range.
    """
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds must be 0 or more, not {seconds!r}")
    own = (context or multiprocessing).get_context()
    process = own.Process(target=work, args=args)
    try:
        process.start()
        process.join(seconds)
        if process.exitcode:
            raise RuntimeError(f"the exit code is {process.exitcode}")
        return process.exitcode == 0
    finally:
        if process.pid:  # it was started
            process.kill()
            process.join()
        process.close()


def write_lines(
    stop: threading.Event, lines: list[str], pause: float = 60
) -> None:
    """Add a line, then another after each *pause*; stands for your work."""
    try:
        lines.append("began")
        while not stop.wait(pause):
            lines.append("goes on")
    finally:
        lines.append("tidied up")


def main() -> None:
    """Stop a thread between two lines, and a process within a call.

    >>> main()
    thread: ['began', 'tidied up']
    process returned: False
    """
    lines: list[str] = []
    with stoppable(partial(write_lines, lines=lines)):
        pass
    print("thread:", lines)
    print("process returned:", run_for(time.sleep, 60, seconds=0.1))


def broken_kill(thread: threading.Thread) -> None:
    """Have :exc:`SystemExit` raised in *thread*.

    Warning:
        The exception is raised when the thread runs Python code again. A
        thread that waits in C code, for a lock, a socket or a file, goes on
        waiting. In Python code it may strike in a ``finally`` block too, with
        a lock held, which then nobody releases.
        The C API manual wants it called from a C extension only, "to prevent
        naive misuse".
    """
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
    )


def wait_for(lock: threading.Lock, began: threading.Lock) -> None:
    """Release *began* and acquire *lock*, with no Python code in between."""
    steps: tuple[Callable[[], object], ...] = (began.release, lock.acquire)
    with suppress(SystemExit):
        list(map(operator.call, steps))


def broken_main() -> None:
    """Kill a thread that waits for a lock.

    >>> broken_main()
    alive after the kill: True
    """
    lock, began = threading.Lock(), threading.Lock()
    thread = threading.Thread(target=wait_for, args=(lock, began))
    with lock, began:
        thread.start()
        began.acquire(timeout=10)
        broken_kill(thread)
        thread.join(timeout=0.1)
        print("alive after the kill:", thread.is_alive())
    thread.join()


if __name__ == "__main__":
    main()
    broken_main()
