"""Start processes from a program that has threads.

A forked child is a copy of the whole memory with only one of the threads. A
lock that another thread held at that moment is held in the child too, and
nobody is there to let go: whoever wants it waits for ever, at 0 % CPU. A
program starts its processes by forkserver or spawn, which copy no lock. A
library, which cannot choose, takes its lock around each fork, with
:func:`os.register_at_fork`.

:models: threads, processes
:work: CPU-bound, I/O-bound
:level: expert
:since: 3.11
:trap: every build, start method fork (POSIX; Linux's default up to 3.13)
:told by: the DeprecationWarning of every fork while threads run, from Python
    3.12, which ``python -X dev`` shows
:search: fork with threads, fork and locks, multiprocessing hangs on Linux,
    Pool stuck at 0 % CPU, child hangs in acquire, worker hangs in logging,
    logging deadlock after fork, os.register_at_fork, at fork handler,
    forkserver, spawn, threads do not survive fork, gunicorn preload,
    "DeprecationWarning: This process is multi-threaded, use of fork() may
    lead to deadlocks in the child."

Use this when
    threads run while processes are started: your own, or those of a library,
    a progress bar, a metrics client.

Prefer instead
    to fork before you start threads, if you must fork. On Linux, forkserver
    is the default from Python 3.14; up to 3.13 it is fork. On macOS and
    Windows it is spawn (documented: :mod:`multiprocessing`).

Pitfalls
    - Forking while threads run warns from Python 3.12: ``DeprecationWarning:
      This process (pid=...) is multi-threaded, use of fork() may lead to
      deadlocks in the child.`` It is hidden by default outside of
      ``__main__``.
    - A thread pool that was made before the fork has no threads in the child:
      its jobs never run.
    - :mod:`logging` renews its own locks in the child. The lock of a stream's
      buffer, such as that of ``sys.stdout``, and those of other libraries are
      not covered. To log from workers, use spawn or forkserver, and a
      :class:`logging.handlers.QueueHandler`, as in
      :mod:`cookbook.processes.logging_from_workers`.
    - What :func:`os.register_at_fork` was given stays until the program ends:
      register once for the module, not for each of many objects.
    - Taking the lock around the fork delays it while a thread holds the lock.
      Only renewing it in the child would let the child see a change half
      done.

If a job raises
    an error of *make* leaves the lines as they were and the lock free. An
    error in the child is an exit code of 1.

If it takes too long
    :func:`exit_code_of` kills the child after *timeout* seconds and returns
    the signal's number, negative.

On Ctrl-C
    the child is killed and waited for. If it comes inside ``start()``, the
    child may go on: see :mod:`cookbook.processes.queues_and_pipes`.
"""

import math
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.context import BaseContext


class Journal:
    """Lines that threads add; a forked child can add to its copy.

    Example:
        >>> from cookbook.deadlocks.fork_with_threads import Journal
        >>> journal = Journal()
        >>> journal.add(lambda: "one line")
        >>> journal.lines
        ['one line']
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        # Reentrant, for a fork by a thread that holds it.
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._lock.release,
            )

    def add(self, make: Callable[[], str]) -> None:
        """Add the line that *make* returns, called while nobody else adds."""
        with self._lock:
            self.lines.append(make())


JOURNAL = Journal()


def add_line() -> None:
    """Add a line to the journal of this process."""
    JOURNAL.add(lambda: "child")


def fresh_context() -> BaseContext:
    """Return a context whose processes copy no lock of this one.

    Example:
        >>> from cookbook.deadlocks.fork_with_threads import fresh_context
        >>> fresh_context().get_start_method() in ("forkserver", "spawn")
        True
    """
    methods = multiprocessing.get_all_start_methods()
    method = "forkserver" if "forkserver" in methods else "spawn"
    return multiprocessing.get_context(method)


def exit_code_of(
    job: Callable[[], object],
    *,
    timeout: float = 60,
    context: BaseContext | None = None,
) -> int | None:
    """Run *job* in a process, and return its exit code.

    Args:
        job: A function of a module, which the child can import.
        timeout: After how many seconds the child is killed.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default :func:`fresh_context`.

    Raises:
        ValueError: If *timeout* is out of range.
    """
    if not 0 <= timeout < math.inf:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    own = (context or fresh_context()).get_context()
    process = own.Process(target=job)
    try:
        process.start()
        process.join(timeout)
    finally:
        if process.pid:  # it was started
            process.kill()
            process.join()
    return process.exitcode


def main() -> None:
    """Start processes while a thread adds lines.

    >>> main()
    with any start method: {0}
    fresh, while a thread holds the lock: 0
    """
    ended, held = threading.Event(), threading.Event()

    def add_many() -> None:
        while not ended.wait(0.001):
            JOURNAL.add(lambda: "parent")

    def hold() -> str:
        held.set()
        ended.wait()
        return "parent"

    threads = [threading.Thread(target=add_many)]
    threads[0].start()
    try:
        methods = multiprocessing.get_all_start_methods()
        contexts = [multiprocessing.get_context(method) for method in methods]
        codes = {exit_code_of(add_line, context=one) for one in contexts}
        print("with any start method:", codes)
        threads.append(threading.Thread(target=JOURNAL.add, args=(hold,)))
        threads[1].start()
        held.wait()
        code = exit_code_of(add_line)
        print("fresh, while a thread holds the lock:", code)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


class BrokenJournal:
    """Lines that threads add; in a forked child, perhaps never.

    Warning:
        The child has the lock as it was when it was forked. If another thread
        held it, that thread does not exist in the child and never lets go.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._lock = threading.Lock()

    def add(self, make: Callable[[], str]) -> None:
        """Add the line that *make* returns, called while nobody else adds."""
        with self._lock:
            self.lines.append(make())


BROKEN_JOURNAL = BrokenJournal()


def broken_add_line() -> None:
    """Add a line to the journal of this process."""
    BROKEN_JOURNAL.add(lambda: "child")


def broken_main() -> None:
    """Fork while a thread holds the lock; kill the child after a while.

    >>> broken_main()
    forked, while a thread holds the lock: exit code -9
    """
    held, ended = threading.Event(), threading.Event()

    def hold() -> str:
        held.set()
        ended.wait()
        return "parent"

    fork = multiprocessing.get_context("fork")
    thread = threading.Thread(target=BROKEN_JOURNAL.add, args=(hold,))
    thread.start()
    try:
        held.wait()
        code = exit_code_of(broken_add_line, timeout=0.3, context=fork)
    finally:
        ended.set()
        thread.join()
    print("forked, while a thread holds the lock: exit code", code)


if __name__ == "__main__":
    main()
    broken_main()
