"""Let many processes write to one file.

The text that a process writes first goes to its own buffer, and from there to
the file whenever the buffer is full, often in the middle of a line. When
several processes do that, their lines are torn and mixed, with no error. So
let one process write: the workers return their records, and the parent writes
them. Or let each worker make its whole record first, and then take a lock that
all of them share to open the file, append the record and close it.

:models: processes, threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: multiprocessing safely writing to a file, append to file from multiple
    processes, write results to one file, garbled lines, torn lines,
    interleaved output, corrupted CSV, mixed up log lines, file lock, O_APPEND
    atomic append, one writer process, lock around file write, flock

Use this when
    many jobs each make a record, a line or more, of one file.

Prefer instead
    a file for each worker, joined at the end, when there is much to write; a
    database such as :mod:`sqlite3` when records are read meanwhile; a
    :class:`logging.handlers.QueueHandler` to log.

Pitfalls
    Closing the file under the lock is what empties the buffer. A file that
    stays open needs ``file.flush()`` before the lock is let go.

    The lock keeps out only those who take it, and it is handed to the workers
    when they start. Programs that do not start one another can use
    :func:`fcntl.flock` (documented: Linux, macOS), which also lets go when a
    process ends.

    On Linux a file that was opened with :data:`os.O_APPEND` takes one
    ``os.write(descriptor, record)`` in one piece, without a lock, but for a
    full disk; the number of bytes that it returns tells. On NFS appends of
    several machines may overwrite each other (documented: open(2)). On Windows
    an append is a seek and a write (documented: the C runtime), so take the
    lock.

    Workers that run for long can put each record into a
    :class:`multiprocessing.Queue`, from which a thread of the parent writes.

If a job raises
    it is raised again in the parent. :func:`write_in_parent` has written the
    records of the jobs before that one, and none after it.
    :func:`append_in_workers` has written those of all the other jobs that
    ran. No record is written in part.

If a worker is killed
    :exc:`~concurrent.futures.process.BrokenProcessPool` is raised. What was
    written stays. If it held the lock, the executor ends those who wait for
    it.
"""

import multiprocessing
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Lock
from pathlib import Path
from threading import Barrier

from cookbook.primes import WORKERS, checked, is_prime

Job = Callable[[], Iterable[str]]

LOCKS: dict[str, Lock] = {}


def make_record(job: Job) -> str:
    """Return all that *job* yields, and the end of a line."""
    return "".join(job()) + "\n"


def write_in_parent(
    path: Path,
    jobs: Iterable[Job],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> None:
    """Append the records of *jobs* to a file, in the order of the jobs.

    Args:
        path: The file; it is made if there is none.
        jobs: Functions of a module, or :func:`functools.partial` of such.
            Each returns the pieces of its record.
        workers: How many processes to start at most.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        OSError: If the file cannot be opened, before a process is started.
        TypeError: If *workers* is not an int.
        ValueError: If *workers* is less than 1.
    """
    checked([], workers)
    context = context or multiprocessing.get_context()
    with (
        path.open("a", encoding="utf-8") as file,
        ProcessPoolExecutor(workers, mp_context=context) as executor,
    ):
        for record in executor.map(make_record, jobs):
            file.write(record)


def keep(lock: Lock) -> None:
    """Keep *lock* for the records that this worker will append."""
    LOCKS["file"] = lock


def append_record(path: Path, job: Job) -> None:
    """Make a record, then append it while no other worker does."""
    record = make_record(job)
    with LOCKS["file"], path.open("a", encoding="utf-8") as file:
        file.write(record)


def append_in_workers(
    path: Path,
    jobs: Iterable[Job],
    *,
    workers: int = WORKERS,
    context: BaseContext | None = None,
) -> None:
    """Append the records of *jobs* to a file, in the order of their ends.

    The arguments and the errors are those of :func:`write_in_parent`.
    """
    checked([], workers)
    context = context or multiprocessing.get_context()
    with ProcessPoolExecutor(
        workers,
        mp_context=context,
        initializer=keep,
        initargs=(context.Lock(),),
    ) as executor:
        for _ in executor.map(partial(append_record, path), jobs):
            pass  # reading raises what a job raised


def describe(n: int) -> Iterator[str]:
    """Yield the pieces of a line about *n*."""
    yield f"{n} is "
    yield "prime" if is_prime(n) else "not prime"


def main() -> None:
    """Write a line about each of four numbers, in two ways.

    >>> main()
    write_in_parent: ['7 is prime', '8 is not prime', '9 is not prime']
    append_in_workers: ['7 is prime', '8 is not prime', '9 is not prime']
    """
    jobs = [partial(describe, n) for n in (7, 8, 9)]
    with tempfile.TemporaryDirectory() as folder:
        for write in write_in_parent, append_in_workers:
            path = Path(folder, write.__name__)
            write(path, jobs, workers=2)
            lines = path.read_text(encoding="utf-8").splitlines()
            print(f"{write.__name__}:", sorted(lines))


def broken_append_record(path: Path, job: Job) -> None:
    """Append the pieces of a record as they come.

    Warning:
        Each piece goes to the buffer of this process. When that is full it
        goes to the file, and what other processes write comes between it and
        the rest of the line.
    """
    with path.open("a", encoding="utf-8") as file:
        for piece in job():
            file.write(piece)
        file.write("\n")


def fill_the_buffer(letter: str, turn: Barrier) -> Iterator[str]:
    """Yield more than a buffer holds; go on when others have done so."""
    yield letter * 200_000
    turn.wait()
    yield letter


def broken_main() -> None:
    """Let two processes write a line each, of one letter.

    >>> broken_main()
    letters in the first line: ['A', 'B']
    """
    context = multiprocessing.get_context()
    with (
        tempfile.TemporaryDirectory() as folder,
        context.Manager() as manager,
        ProcessPoolExecutor(2, mp_context=context) as executor,
    ):
        path, turn = Path(folder, "lines"), manager.Barrier(2, timeout=10)
        jobs = [partial(fill_the_buffer, letter, turn) for letter in "AB"]
        list(executor.map(partial(broken_append_record, path), jobs))
        first, _ = path.read_text(encoding="utf-8").splitlines()
        print("letters in the first line:", sorted(set(first)))


if __name__ == "__main__":
    main()
    broken_main()
