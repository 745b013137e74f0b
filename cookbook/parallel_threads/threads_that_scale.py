"""Keep every core busy with threads, without the GIL.

On a free-threaded build the pool of :mod:`cookbook.threads.thread_pool` runs
Python code on as many cores as it has threads. On two cores it did CPU-bound
work 1.96 times as fast as one thread (measured on the free-threaded 3.13), and
no faster on the default build of 3.13.

It does so only while the threads leave each other alone. Divide the data, let
each thread fill a result of its own, and merge the results at the end. A lock
that is taken at every step makes the threads take turns again.

:models: threads
:work: CPU-bound
:level: everyday
:since: 3.11
:trap: every build; on a free-threaded one it costs what you came for
:search: free threading no speedup, free-threaded Python slower, threads do not
    scale, contention, lock contention, shared dict slow without the GIL,
    nogil performance, parallel threads, use all cores with threads, map
    reduce with threads, partition data, merge results, python3.13t
    ThreadPoolExecutor, python3.14t ThreadPoolExecutor, how many threads,
    process_cpu_count, free-threaded build slower than normal Python, single
    thread performance without the GIL, free threading overhead, python3.14t
    slow, python3.13t slow

Use this when
    the jobs are CPU-bound Python code, the build is free-threaded, and the
    jobs read one large object that would have to be copied to processes.

Prefer instead
    :mod:`cookbook.processes.executor_map` on a build with the GIL. The program
    is right there too, but its threads take turns.

Pitfalls
    - One extension module can turn the GIL on: look at
      ``sys._is_gil_enabled()``, as in
      :mod:`cookbook.parallel_threads.is_the_gil_on`.
    - A list or dict without a lock of yours is no way out: it has one of its
      own, and each read of a shared object counts its references.
      :mod:`cookbook.threads.what_needs_a_lock` names what threads contend
      for.
    - One thread is slower without the GIL: by 1 % (macOS, ARM) to 8 % (Linux,
      x86-64) in 3.14, and by about 40 % in 3.13, on average over the programs
      of *pyperformance* (documented: :ref:`free threading
      <python:freethreading-python-howto>`, of 3.14 and of 3.13). Most of it
      pays for counting references and locking each object (documented: PEP
      703); 3.13 does without specialised bytecode, too.
    - Take one thread for each core: ``os.process_cpu_count()`` from 3.13,
      ``os.cpu_count()`` before. By default a pool starts at most
      ``min(32, CPUs + 4)``, for jobs that wait: too few above 32 cores
      (documented: :class:`~concurrent.futures.ThreadPoolExecutor`).
    - If the shares take unequal time, make more shares than threads.

If a job raises
    the error is raised here, after the shares that run have ended. The counts
    are lost.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

from cookbook.primes import WORKERS


def count_share(texts: Iterable[str]) -> Counter[str]:
    """Count the words of some of the texts, in a counter of its own."""
    counts: Counter[str] = Counter()
    for text in texts:
        for word in text.split():
            counts[word] += 1
    return counts


def count_words(
    texts: Sequence[str], *, workers: int = WORKERS
) -> Counter[str]:
    """Count the words of all texts; each thread counts a share of them.

    Args:
        texts: Every thread gets each *workers*-th of them.
        workers: How many threads to use.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.parallel_threads.threads_that_scale import (
        ...     count_words,
        ... )
        >>> count_words(["to be", "or not", "to be"], workers=2)["be"]
        2
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers!r}")
    shares = [texts[first::workers] for first in range(workers)]
    total: Counter[str] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for counts in pool.map(count_share, shares):
            total.update(counts)  # in this thread: nobody else is near
    return total


TEXTS = ("to be or not to be", "to be", "not to be", "or not") * 25


def main() -> None:
    """Count the words of a hundred texts in two threads.

    >>> main()
    be: 100
    not: 75
    or: 50
    to: 100
    """
    for word, count in sorted(count_words(TEXTS, workers=2).items()):
        print(f"{word}: {count}")


class CountedLock:
    """A lock that counts how often it is taken.

    Attributes:
        taken: How often.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = 0

    def __enter__(self) -> None:
        self.lock.acquire()
        self.taken += 1

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def broken_count_words(
    texts: Sequence[str],
    *,
    workers: int = WORKERS,
    lock: AbstractContextManager[object],
) -> Counter[str]:
    """Count the words of all texts in one counter for all threads.

    Args:
        texts: As for :func:`count_words`.
        workers: As for :func:`count_words`.
        lock: Guards the counter.

    Warning:
        The lock is needed, and the result is right. But a thread takes the
        lock for every word, and one thread has it at a time: more threads
        wait more, and the cores are idle.
    """
    total: Counter[str] = Counter()

    def count(share: Sequence[str]) -> None:
        for text in share:
            for word in text.split():
                with lock:
                    total[word] += 1

    shares = [texts[first::workers] for first in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(count, shares))
    return total


def broken_main() -> None:
    """Count how often the lock is taken.

    >>> broken_main()
    the same counts: True
    words: 325, lock taken: 325 times
    """
    lock = CountedLock()
    counts = broken_count_words(TEXTS, workers=2, lock=lock)
    print("the same counts:", counts == count_share(TEXTS))
    print(f"words: {counts.total()}, lock taken: {lock.taken} times")


if __name__ == "__main__":
    main()
    broken_main()
