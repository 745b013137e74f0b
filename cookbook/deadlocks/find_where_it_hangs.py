"""Find where a program hangs.

Ask for the stack of every thread; the line on which each waits tells what it
waits for. What you can do depends on whether the program was prepared.

It hangs now, and was not prepared. As its user (or root), from a second shell:

- ``py-spy dump --pid PID`` (third party), only on builds with the GIL
  (observed on 0.4); ``pystack remote PID`` is another (documented: pystack);
- ``python -m profiling.sampling dump -a PID`` from 3.15;
- ``python -m pdb -p PID`` from 3.14, then ``w``, ``q``: the main thread only.
  While that is blocked in a system call, as by a lock or ``join()``, you get
  no answer before its next instruction or signal (documented: :mod:`pdb`);
- ``python -m asyncio ps PID``, or ``pstree``, from 3.14: what each task
  awaits.

Use the target's version of Python. It hangs on one machine and may again:
prepare it.

- Start it with ``python -X faulthandler``; ``kill -ABRT PID`` then prints all
  stacks and ends it.
- Call ``faulthandler.register(signal.SIGUSR1)`` first thing (not on Windows);
  ``kill -USR1 PID`` then prints all stacks, and the program goes on.
- :func:`dump_after` prints them when a block takes too long.
- :func:`stacks` gets them from inside, for a log or a web page.
- A coroutine lists the tasks of its loop by ``asyncio.all_tasks()``. Of each,
  ``task.print_stack()`` shows where the task's own coroutine waits, and
  ``asyncio.print_call_graph(task)``, from 3.14, the whole chain of awaits.

A test hangs: set ``faulthandler_timeout = 60`` in pytest's configuration, and
``faulthandler_exit_on_timeout = true`` (pytest 9) so that it cannot block CI.

:models: threads, asyncio
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`faulthandler`, which prints where every thread waits
:search: program hangs, stuck, freezes, not responding, dump all thread stacks,
    stack trace of a running process, attach debugger to running process,
    py-spy, gdb, pystack, faulthandler, SIGUSR1, hanging test, pytest timeout,
    CI job hangs, script does not exit, threading.enumerate,
    sys._current_frames, remote debugging, list all running asyncio tasks,
    what is each task waiting for, asyncio.all_tasks, task.print_stack,
    asyncio.print_call_graph, python -m asyncio pstree, "Timeout (0:01:00)!",
    "Fatal Python error: Aborted"

Use this when
    a program or a test stands still and prints nothing.

Prefer instead
    :mod:`cookbook.deadlocks.detect_a_cycle` for an error that names the locks.

Pitfalls
    - A process has one timer for ``faulthandler.dump_traceback_later``:
      starting it again replaces it (documented), and pytest's
      ``faulthandler_timeout`` is the same timer.
    - Each worker process has its own pid: ask each of them.
    - A script that does not exit after its last line waits for a thread that
      is no daemon: ``threading.enumerate()`` lists it. Or it waits for such a
      child process, which ``multiprocessing.active_children()`` lists, or for
      a ``QueueFeederThread``, whose items nobody takes
      (:mod:`cookbook.deadlocks.join_before_drain`).
    - On Linux, ``/proc/sys/kernel/yama/ptrace_scope`` above 0 forbids a look
      from outside without root (documented: ptrace(2)).

If it takes too long
    :func:`dump_after` prints all stacks to standard error and goes on waiting;
    with ``ends=True`` it ends the process, without cleaning up, with status 1.

On Ctrl-C
    the traceback shows the main thread alone; the other threads go on waiting,
    and the program does not end before they do. Up to 3.12 it does not wait
    for the one in whose ``join()`` Ctrl-C struck
    (:mod:`cookbook.threads.ctrl_c_threads`).
"""

import faulthandler
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


def stacks() -> list[tuple[str, traceback.StackSummary]]:
    """Return where each thread is: its name and its stack, innermost last.

    Example:
        >>> from cookbook.deadlocks.find_where_it_hangs import stacks
        >>> for name, stack in stacks():
        ...     print(name, stack[-1].name)
        MainThread stacks
    """
    frames = sys._current_frames()
    return [
        (thread.name, traceback.extract_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    ]


@contextmanager
def dump_after(seconds: float, *, ends: bool = False) -> Iterator[None]:
    """Print all stacks if the ``with`` block takes longer.

    Args:
        seconds: How long the block may take. The stacks are printed once.
        ends: Whether to end the process then.

    Raises:
        ValueError: If *seconds* is not above 0.
    """
    faulthandler.dump_traceback_later(seconds, exit=ends)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def read_data(lock: threading.Lock, arrived: threading.Barrier) -> None:
    """Wait for the data, which nobody gives away."""
    arrived.wait()
    with lock:
        pass


def write_log(lock: threading.Lock, arrived: threading.Barrier) -> None:
    """Wait for the log, which nobody gives away."""
    arrived.wait()
    with lock:
        pass


@contextmanager
def hanging_threads() -> Iterator[None]:
    """Run two threads that wait for locks until the block ends."""
    data, log = threading.Lock(), threading.Lock()
    arrived = threading.Barrier(3, timeout=10)
    threads = [
        threading.Thread(
            target=read_data, args=(data, arrived), name="reader"
        ),
        threading.Thread(target=write_log, args=(log, arrived), name="writer"),
    ]
    with data, log:
        for thread in threads:
            thread.start()
        arrived.wait()
        yield
    for thread in threads:
        thread.join()


def main() -> None:
    """Look where two threads wait.

    >>> main()
    reader is in read_data
    writer is in write_log
    """
    with dump_after(60), hanging_threads():
        for name, stack in stacks():
            own = [one for one in stack if one.filename != threading.__file__]
            if name in ("reader", "writer"):
                print(name, "is in", own[-1].name)


def broken_stacks() -> list[tuple[str, traceback.StackSummary]]:
    """Return what the traceback of a Ctrl-C shows.

    Warning:
        Python raises KeyboardInterrupt in the main thread, so the traceback
        is that of the one thread that waits where it should, in a
        ``join()`` or a ``result()``. Those that block it are not shown.
    """
    try:
        signal.default_int_handler(signal.SIGINT, None)
    except KeyboardInterrupt as error:
        stack = traceback.extract_tb(error.__traceback__)
        return [(threading.current_thread().name, stack)]


def broken_main() -> None:
    """Press Ctrl-C while the same two threads wait.

    >>> broken_main()
    Ctrl-C shows: MainThread
    """
    with hanging_threads():
        print("Ctrl-C shows:", *[name for name, _ in broken_stacks()])


if __name__ == "__main__":
    main()
    broken_main()
