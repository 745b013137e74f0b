"""Fail a test that leaves something behind.

A test that starts a thread and does not wait for it passes, and what goes on
changes the tests after it. Look what is there before the test and after it:
threads, processes and asyncio tasks; on Linux also open file descriptors and
shared memory. What is new and does not go within a moment fails the test. An
autouse fixture in ``conftest.py`` that yields inside ``with no_leaks():``
holds every test to it, as this book's does.

:models: threads, asyncio, processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: the recipe's own ``no_leaks``
:search: pytest thread leak, detect leaked threads, test leaves thread running,
    leaked process, zombie processes in tests, file descriptor leak, leaked
    asyncio task, autouse fixture, flaky tests,
    test isolation, psm_, tests affect each other, pytest does not exit,
    ResourceWarning

Use this when
    your code starts threads, processes or tasks, opens files, or shares
    memory, and its tests should show that it ends and closes them.

Prefer instead
    ``python -X dev`` or ``-W error::ResourceWarning`` for a file or a socket
    that is dropped unclosed: the warning names it. This fixture sees it only
    while somebody still holds it.

Pitfalls
    - With ``unittest``, call ``self.enterContext(no_leaks())`` in ``setUp``.
    - It is the test that fails at its end, not the line that leaks. pytest
      reports the test as passed, and an error at its teardown.
    - A fixture that starts something for all tests must start it before this
      one looks: what was there before is not counted.
    - It sees the threads that :mod:`threading` started, not those of a C
      library (documented: :func:`threading.enumerate`), and the children of
      this process, not their children.
    - On other systems than Linux it sees the threads, the tasks and the
      processes of :mod:`multiprocessing` alone.
    - A block of shared memory has no owner. One that another process has
      mapped is taken for that one's, so that two test runs do not see each
      other's; a child that keeps a block is found as a process.

If a job raises
    an error in the block goes on as it is, and nothing is looked for; a
    fixture looks even then.

If it takes too long
    what has been told to end gets *grace* seconds to be gone; a test that
    leaves nothing does not wait.
"""

import asyncio
import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

Found = dict[Hashable, str]

# What multiprocessing starts for itself, and ends when the interpreter does.
SERVICES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
ARENA = "/pym-"  # memory that it keeps for the next Value, Array or Barrier


def threads() -> Found:
    """Return the threads that run."""
    return {one: f"thread {one.name}" for one in threading.enumerate()}


def tasks() -> Found:
    """Return the asyncio tasks that nobody waited for."""
    return {
        one: f"task {one!r}"
        for one in gc.get_objects()
        if issubclass(type(one), asyncio.Task) and not one.done()
    }


def processes() -> Found:
    """Return the child processes; on Linux those of any module."""
    found: Found = {
        ("process", str(one.pid)): f"process {one.pid}: {one.name}"
        for one in multiprocessing.active_children()
    }
    for pid, command in children().items():
        if not is_service(command):
            found["process", pid] = f"process {pid}: {command}"
    return found


def children() -> dict[str, str]:
    """Return the command line of each child process, on Linux."""
    lists = [read(one) for one in Path("/proc/self/task").glob("*/children")]
    commands = {pid: command_line(pid) for pid in " ".join(lists).split()}
    return {pid: command for pid, command in commands.items() if command}


def command_line(pid: str) -> str:
    """Return how a process was started; nothing if it has ended, on Linux."""
    if command := read(Path("/proc", pid, "cmdline")):
        return command.replace("\0", " ").strip()
    state = read(Path("/proc", pid, "stat")).rpartition(") ")[2][:1]
    return "" if state in ("", "Z") else "(starting)"


def is_service(command: str) -> bool:
    """Tell whether a process is one of the interpreter's own."""
    return any(service in command for service in SERVICES)


def read(path: Path) -> str:
    """Return what a file below /proc says; nothing if its owner has ended."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def descriptors() -> Found:
    """Return the open file descriptors, on Linux."""
    services = {
        target
        for pid, command in children().items()
        if is_service(command)
        for target in opened_by(pid).values()
        if target.startswith("pipe:")
    }
    return {
        ("descriptor", number, target): f"file descriptor {number}: {target}"
        for number, target in opened_by("self").items()
        if target not in services
        and not target.startswith("/proc/")
        and ARENA not in target
    }


def opened_by(pid: str) -> dict[str, str]:
    """Return what each file descriptor of a process is open on, on Linux."""
    found = {}
    for entry in Path("/proc", pid, "fd").glob("*"):
        try:
            found[entry.name] = str(entry.readlink())
        except OSError:  # closed meanwhile, as the one that lists this folder
            continue
    return found


def shared_memory() -> Found:
    """Return the blocks of shared memory that no other process maps."""
    blocks = list(Path("/dev/shm").glob("psm_*"))
    elsewhere = mapped_elsewhere() if blocks else ""
    return {
        one: f"shared memory {one.name}"
        for one in blocks
        if str(one) not in elsewhere
    }


def mapped_elsewhere() -> str:
    """Return the memory maps of all other processes, on Linux."""
    own = str(os.getpid())
    maps = Path("/proc").glob("[0-9]*/maps")
    return "".join(read(one) for one in maps if one.parent.name != own)


LOOKS: tuple[Callable[[], Found], ...] = (
    threads,
    tasks,
    processes,
    descriptors,
    shared_memory,
)


def present() -> Found:
    """Return all that a test could leave behind, with words for each."""
    return {key: words for look in LOOKS for key, words in look().items()}


def left_since(before: Found) -> list[str]:
    """Return the words for what is present and was not before."""
    found = present().items()
    return sorted(words for key, words in found if key not in before)


@contextmanager
def no_leaks(grace: float = 10.0) -> Iterator[None]:
    """Fail if the block leaves a thread, process, task or file behind.

    Args:
        grace: How many seconds what has been told to end gets to be gone.

    Raises:
        AssertionError: If something is left; it names what.
        ValueError: If *grace* is negative.

    Example:
        >>> import threading
        >>> from cookbook.testing.no_leaks import no_leaks
        >>> with no_leaks():
        ...     threading.Thread(target=sum, args=[range(10)]).start()
    """
    if not grace >= 0:
        raise ValueError(f"grace must be 0 or more, not {grace!r}")
    before = present()
    yield
    deadline = time.monotonic() + grace
    while left_since(before):
        gc.collect()  # closes what nobody holds
        if time.monotonic() >= deadline and (left := left_since(before)):
            raise AssertionError(f"left behind: {', '.join(left)}")
        time.sleep(0.01)


def main() -> None:
    """Watch a test that joins its thread, and one that forgets it.

    >>> main()
    joins: passed
    forgets: failed, left behind: thread worker
    """
    may_end = threading.Event()

    def joins() -> None:
        thread = threading.Thread(target=sum, args=[range(10)])
        thread.start()
        thread.join()

    def forgets() -> None:
        threading.Thread(target=may_end.wait, name="worker").start()

    try:
        for test in (joins, forgets):
            try:
                with no_leaks(grace=0.1):
                    test()
            except AssertionError as error:
                print(f"{test.__name__}: failed, {error}")
            else:
                print(f"{test.__name__}: passed")
    finally:
        may_end.set()


def broken_test(work: Callable[[], object]) -> None:
    """Test that *work* can be started in a thread.

    Warning:
        Nothing waits for the thread. The test passes while it still runs; it
        goes on into the next tests, its error fails none of them, and at the
        end the interpreter waits for it.
    """
    thread = threading.Thread(target=work)
    thread.start()
    assert thread.is_alive()


def broken_main() -> None:
    """Run that test, and then one that finds what it left.

    >>> broken_main()
    first test: passed
    next test: failed, the log is ['by the first test']
    """
    log: list[str] = []
    next_test_runs, has_gone_on = threading.Event(), threading.Event()

    def work() -> None:
        next_test_runs.wait(timeout=10)
        log.append("by the first test")
        has_gone_on.set()

    broken_test(work)
    print("first test: passed")
    log.clear()
    next_test_runs.set()
    has_gone_on.wait(timeout=10)
    print("next test:", f"failed, the log is {log}" if log else "passed")


if __name__ == "__main__":
    main()
    broken_main()
