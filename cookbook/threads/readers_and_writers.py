"""Let many threads read, or one write.

Readers may be inside together, a writer only alone. Python's standard library
has no lock for that; a :class:`threading.Condition` and two numbers make one.
A reader waits while a writer waits, too: otherwise readers who come and go
could keep the writer out for ever, because one of them is always inside.

:models: threads
:work: I/O-bound, CPU-bound
:level: expert
:since: 3.11
:trap: every build
:search: read-write lock, readers-writer lock, RWLock, shared lock, exclusive
    lock, many readers one writer, reader writer problem, writer starvation,
    writer preference, upgrade read lock to write lock, concurrent reads

Use this when
    reads take long and are many, writes are few, and you have measured that
    the readers wait for each other: reads that wait for a disk or a network,
    or that compute on a build without the GIL.

Prefer instead
    one :class:`threading.Lock`. With the GIL one thread at a time runs Python
    code, so readers that compute take turns all the same; and a read takes
    the lock of the condition twice, where a plain lock is taken once.
    :mod:`cookbook.threads.immutable_snapshot` where readers can do with a
    version that is about to be replaced: they need no lock at all.

Pitfalls
    - There is no upgrade: ``writing()`` inside ``reading()`` waits for itself
      to leave, for ever. Leave, take it for writing, and look again, for
      another writer may have been there.
    - ``reading()`` inside ``reading()`` waits for ever when a writer has come
      in between: it waits for the first block, and the second for it. Any
      block inside ``writing()`` waits for ever, too.
    - Those who come while a writer is inside have no order: when it leaves,
      a second writer may go before a reader who came first, or the reader
      before the writer. Writers who come without a pause can keep readers out
      for ever.
    - What you read is yours only inside the block: copy it, do not hand out
      the object itself.

If a job raises
    the error goes on, and the lock is free of this reader or writer.

On Ctrl-C
    a writer that is interrupted while it waits lets in the readers that wait
    behind it.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager


class ReadWriteLock:
    """A lock for many readers or one writer.

    A writer that waits for readers to leave keeps out those who come later.

    Example:
        >>> from cookbook.threads.readers_and_writers import ReadWriteLock
        >>> lock, prices = ReadWriteLock(), {"tea": 2}
        >>> with lock.writing():
        ...     prices["tea"] += 1
        >>> with lock.reading():
        ...     print(prices["tea"])
        3
    """

    def __init__(self) -> None:
        # A Lock: an RLock would let a writer's inner block open the outer.
        self._changed = threading.Condition(threading.Lock())
        self._readers = 0
        self._waiting_writers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Be inside, perhaps with other readers, during a ``with`` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting_writers)
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be inside alone, during a ``with`` block."""
        with self._changed:
            self._waiting_writers += 1
            try:
                self._changed.wait_for(lambda: not self._readers)
            finally:
                self._waiting_writers -= 1
                self._changed.notify_all()
            yield  # the lock stays held: nobody else comes in


def main() -> None:
    """Let three readers meet inside, while a writer waits for its turn.

    >>> main()
    3 readers at once: [2, 2, 2]
    after the writer: 3
    """
    lock = ReadWriteLock()
    prices = {"tea": 2}
    all_inside = threading.Barrier(4, timeout=10)

    def read() -> int:
        with lock.reading():
            all_inside.wait()
            return prices["tea"]

    def write() -> None:
        all_inside.wait()
        with lock.writing():
            prices["tea"] += 1

    with ThreadPoolExecutor(max_workers=4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
    print("3 readers at once:", [reader.result() for reader in readers])
    with lock.reading():
        print("after the writer:", prices["tea"])


class BrokenReadWriteLock:
    """A lock for many readers or one writer; readers come in at any time.

    Warning:
        A writer gets in when there is no reader inside. If each reader comes
        before the one before has left, there always is one, and the writer
        waits for as long as readers come: it starves.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Be inside, perhaps with other readers, during a ``with`` block."""
        with self._changed:
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be inside alone, during a ``with`` block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._readers)
            yield


def broken_main() -> None:
    """Let a writer come after the first of a hundred readers.

    >>> broken_main()
    readers that came after the writer and went before it: 99
    """
    lock = BrokenReadWriteLock()
    went: list[str] = []
    writer_comes = threading.Event()

    def write() -> None:
        writer_comes.set()
        with lock.writing():
            went.append("writer")

    with ThreadPoolExecutor(max_workers=1) as pool, ExitStack() as inside:
        inside.enter_context(lock.reading())
        pool.submit(write)
        writer_comes.wait(timeout=10)
        for _ in range(99):
            next_one = ExitStack()
            next_one.enter_context(lock.reading())
            inside.close()
            went.append("reader")
            inside.enter_context(next_one)
    print(
        "readers that came after the writer and went before it:",
        went.index("writer"),
    )


if __name__ == "__main__":
    main()
    broken_main()
