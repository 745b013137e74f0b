"""Share a block of memory between processes.

:class:`~multiprocessing.shared_memory.SharedMemory` is a block of bytes with a
name. One process creates it; the others attach by the name, which is all that
is sent, and read and write the same bytes. Each closes its own access when it
is done. The block itself stays until somebody unlinks it: let the process that
created it do so, once, in a ``finally``.

A *resource tracker*, a process that Python starts beside yours on Linux and
macOS, unlinks what is left when your program has ended. It counts a process
that attaches as an owner too. A worker of :mod:`multiprocessing` shares your
tracker. Another program has its own, which unlinks your block as soon as that
program ends, and so does a worker that was forked before your tracker was
started. From Python 3.13, ``track=False`` prevents that. Before, create the
first block before you start the workers.

:models: processes
:work: CPU-bound
:level: expert
:since: 3.11
:trap: every build, on Linux and macOS
:told by: a warning of the resource tracker when the program has ended
:search: shared memory numpy array, multiprocessing.shared_memory,
    SharedMemory, share a large array between processes, zero copy,
    without copying, track=False, resource tracker, unlink, close, psm_,
    /dev/shm, ShareableList, memoryview cast, segmentation fault,
    "resource_tracker: There appear to be 1 leaked shared_memory objects to
    clean up at shutdown",
    "BufferError: cannot close exported pointers exist",
    "FileNotFoundError: [Errno 2] No such file or directory: '/psm_",
    "OSError: [Errno 28] No space left on device"

Use this when
    workers read or write one large array of numbers, more than once. Sending
    the name of a filled block of 100 MB took 1/220 of the time of sending the
    bytes through a pool; creating and filling the block as well, 2/5 of it
    (measured on CPython 3.13).

Prefer instead
    a path, a slice or nothing, as in :mod:`cookbook.processes.big_data`, when
    each worker needs a part of the data once. A file and :mod:`mmap` between
    programs that are not parent and child, on Python 3.11 and 3.12.

Pitfalls
    - Nothing in it is locked. Give each worker bytes of its own, or a
      :class:`multiprocessing.Lock` to all.
    - ``close()`` raises ``BufferError: cannot close exported pointers exist``
      while a view of ``block.buf`` is in use. Open each view in a ``with``.
    - With NumPy: ``np.frombuffer(block.buf, dtype="q", count=n)``, and ``del``
      the array before you close. One of ``np.ndarray(n, buffer=block.buf)``
      does not keep the block open: used after ``close()`` it ends the process
      with a segmentation fault (observed with NumPy 2.4).
    - When ``/dev/shm`` is full, or small, as in Docker, a lock or a queue
      raises ``OSError: [Errno 28] No space left on device`` (see
      :mod:`cookbook.processes.queues_and_pipes`). A block can be made, and
      who writes to it is killed by SIGBUS.
    - A block can be larger than you asked, in whole pages (documented:
      :mod:`multiprocessing.shared_memory`; not on Linux). Send the length too.
    - On Windows ``unlink()`` does nothing, and the block is gone when the last
      process has closed it (documented there).

If a job raises
    the error is raised in the parent when the other spans are done, and the
    block is unlinked.

On Ctrl-C
    the block is unlinked when the jobs that run have ended, since ``finally``
    runs. It stays if Ctrl-C comes while it is being made, before Python has
    told its tracker: :doc:`/tested` has how often.

If a worker is killed
    the parent gets :exc:`~concurrent.futures.process.BrokenProcessPool` and
    unlinks the block. If the parent is ended by SIGTERM or SIGKILL, its
    tracker unlinks the block and warns, when the workers have ended too. Those
    of an executor do not end by themselves: see
    :mod:`cookbook.processes.orphans`. If the tracker is killed as well, the
    block takes up memory, as a file in ``/dev/shm`` on Linux, until you delete
    it.
"""

import multiprocessing
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.context import BaseContext
from multiprocessing.shared_memory import SharedMemory

from cookbook.primes import WORKERS, checked, split_range


@contextmanager
def shared_block(size: int) -> Iterator[SharedMemory]:
    """Create a block, and unlink it at the end of the ``with``.

    Args:
        size: How many bytes to share, at least one.

    Raises:
        BufferError: At the end, if a view of the block is still in use; the
            block is unlinked all the same.

    Example:
        >>> from cookbook.processes.shared_memory import is_there, shared_block
        >>> with shared_block(8) as block:
        ...     is_there(block.name)
        True
        >>> is_there(block.name)
        False
    """
    with closing(SharedMemory(create=True, size=size)) as block:
        try:
            yield block
        finally:
            block.unlink()  # before close(), which may fail


def attach(name: str) -> SharedMemory:
    """Open a block of another process, which is to unlink it.

    Raises:
        FileNotFoundError: If there is no block of this name.
    """
    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    return SharedMemory(name)


def is_there(name: str) -> bool:
    """Tell whether there is a block of this name."""
    try:
        attach(name).close()
    except FileNotFoundError:
        return False
    return True


def numbers_in(block: SharedMemory) -> memoryview:
    """Return a view of the block as ints of 64 bits.

    Release it before you close the block.

    Raises:
        ValueError: If the block is closed.
    """
    if block.buf is None:
        raise ValueError("the block is closed")
    return block.buf.cast("q")


def double_span(name: str, start: int, stop: int) -> None:
    """Double the numbers from *start* to *stop* where they are."""
    with closing(attach(name)) as block, numbers_in(block) as numbers:
        for index in range(start, stop):
            numbers[index] *= 2


def double_all(
    *,
    numbers: Iterable[int],
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> list[int]:
    """Double each number, in workers that share one block.

    Args:
        numbers: What to double.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TypeError: If one of *numbers*, or *workers*, is not an int.
        OverflowError: If one of *numbers* does not fit into 64 bits.
        ValueError: If *workers* is less than 1; or from a worker, if what it
            doubles does not fit.
        concurrent.futures.process.BrokenProcessPool: If a worker is killed.

    Example:
        >>> from cookbook.processes.shared_memory import double_all
        >>> double_all(numbers=[1, 2, 3], workers=2)
        [2, 4, 6]
    """
    values = array("q", checked(numbers, workers))
    if not values:
        return []
    context = context or multiprocessing.get_context()
    # The block comes before the workers, so that they share its tracker.
    with shared_block(len(values) * values.itemsize) as block:
        with numbers_in(block) as shared:
            shared[: len(values)] = values
        with ProcessPoolExecutor(workers, mp_context=context) as executor:
            spans = split_range(0, len(values), workers)
            jobs = [
                executor.submit(double_span, block.name, start, stop)
                for start, stop in spans
            ]
        for job in jobs:
            job.result()
        with numbers_in(block) as shared:
            return list(shared[: len(values)])


def main() -> None:
    """Double numbers in two processes; look for a block during and after.

    >>> main()
    [2, 4, 6, 8]
    in the with-block: True
    after it: False
    """
    print(double_all(numbers=[1, 2, 3, 4], workers=2))
    with shared_block(8) as block:
        print("in the with-block:", is_there(block.name))
    print("after it:", is_there(block.name))


def broken_share(work: Callable[[str], object]) -> None:
    """Create a block, let *work* have its name, unlink it afterwards.

    Warning:
        If *work* raises, nothing is unlinked. The block holds its memory
        until the program ends, and the next call leaves one more.
    """
    block = SharedMemory(create=True, size=8)
    work(block.name)
    block.close()
    block.unlink()


PROGRAM = """\
import sys
from multiprocessing.shared_memory import SharedMemory

block = SharedMemory(sys.argv[1])
print("read elsewhere:", block.buf[0])
block.close()
"""


def broken_read_elsewhere(name: str) -> str:
    """Read the block in a program of its own, without ``track=False``.

    Warning:
        That program has a resource tracker of its own. It knows nothing of
        yours, takes the block for one that was forgotten, and unlinks it.
    """
    ended = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, name],
        capture_output=True,  # to the end of the tracker, which has it too
        check=True,
        text=True,
        timeout=60,
    )
    return ended.stdout


def unlink(name: str) -> None:
    """Unlink a block, which this process takes for its own."""
    block = SharedMemory(name)
    block.close()
    block.unlink()


def broken_main() -> None:
    """Fail while a block is shared; read another one elsewhere.

    >>> broken_main()
    left behind after an error: True
    read elsewhere: 0
    still there: False
    FileNotFoundError: No such file or directory
    """
    names = []

    def fail(name: str) -> None:
        names.append(name)
        raise ValueError

    try:
        broken_share(fail)
    except ValueError:
        print("left behind after an error:", is_there(names[0]))
    unlink(names[0])
    try:
        with shared_block(8) as block:
            print(broken_read_elsewhere(block.name), end="")
            print("still there:", is_there(block.name))
    except FileNotFoundError as error:
        print("FileNotFoundError:", error.strerror)
    # The tracker of this program would report the block that it has lost.
    SharedMemory(block.name, create=True, size=8).close()
    unlink(block.name)


if __name__ == "__main__":
    main()
    broken_main()
