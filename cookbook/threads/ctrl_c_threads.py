"""Stop threads on Ctrl-C.

Ctrl-C raises ``KeyboardInterrupt`` in the main thread only; the others do not
notice, and the interpreter waits for them at its end. So let the main thread
start the others and wait, give them an event to look at, and set the event in
a ``finally`` block. Wait with a timeout, again and again: Ctrl-C is then
noticed even on a system where it does not interrupt the wait itself.

:models: threads
:work: I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: Ctrl-C does not stop my program, KeyboardInterrupt ignored in threads,
    press Ctrl-C several times, SIGINT, SIGTERM, signal handler in a thread,
    graceful shutdown, program does not exit, ThreadPoolExecutor Ctrl-C hangs,
    asyncio.to_thread Ctrl-C, join blocks Ctrl-C, cancel_futures,
    add_signal_handler, Flask in a thread, use_reloader,
    signal only works in main thread,
    "ValueError: signal only works in main thread of the main interpreter"

Use this when
    a program with threads must end when somebody presses Ctrl-C. Call it in
    the main thread.

Prefer instead
    :mod:`cookbook.threads.stop_a_thread` when the program itself decides when
    a thread ends.

Pitfalls
    - Do not wait in ``Thread.join()``. In Python 3.11 and 3.12 a join that
      Ctrl-C interrupts marks the thread as ended though it runs: it is no
      longer alive by ``is_alive()``, another ``join()`` returns at once, and
      the interpreter does not wait for it (CPython issue 90882). On Windows
      Ctrl-C may not interrupt it (issue 139689), nor, up to 3.13, any wait
      for a lock, and so for an event, a queue or a future (documented:
      :meth:`threading.Lock.acquire`). Join when the event is set.
    - ``signal.signal()`` in another thread raises ``ValueError: signal only
      works in main thread of the main interpreter``. Register the handler in
      the main thread, before a server is started in another. Give one that
      registers handlers itself the main thread, or stop it from that: Flask's
      ``app.run()`` with ``use_reloader=False``, for it is the reloader that
      registers one (documented: ``run_with_reloader`` of Werkzeug). In
      asyncio call ``loop.add_signal_handler()``, on Unix, for the loop of the
      main thread.
    - A handler runs in the main thread, between two of its steps. Let it raise
      like ``signal.default_int_handler`` or put a note into a
      :class:`queue.SimpleQueue`. Let it set an event only if the main thread
      never uses that: in one of its methods it holds the lock that ``set()``
      waits for (:mod:`cookbook.deadlocks.self_deadlock`).
    - SIGTERM, which service managers send, raises nothing and ends the program
      without a ``finally`` block, until the main thread has called
      ``signal.signal(signal.SIGTERM, signal.default_int_handler)``. Then it is
      another Ctrl-C.
    - Daemon threads let the program end at once, in the middle of whatever
      they do.
    - ``asyncio.run()`` waits for the calls of :func:`asyncio.to_thread` too
      (:mod:`cookbook.coroutines.blocking_call`). A second Ctrl-C ends that
      wait with ``KeyboardInterrupt``, but the interpreter waits for the
      threads at its end; a third cuts them off in mid-call.

If a job raises
    jobs that have not started are cancelled, the event is set, jobs that run
    are waited for, and the error is raised; errors after the first are lost.

On Ctrl-C
    the same, and :exc:`KeyboardInterrupt` goes on. One press is enough if the
    jobs look at the event. Another one ends the wait, not the jobs; but up to
    3.12 the interpreter does not wait at its end for the job whose thread was
    being joined.
"""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

R = TypeVar("R")

# Seconds until a Ctrl-C is noticed where it does not interrupt a wait.
PATIENCE = 0.1


def run_stoppable(
    jobs: Iterable[Callable[[threading.Event], R]], *, workers: int = 4
) -> list[R]:
    """Run *jobs* in threads until all have ended, one fails, or Ctrl-C.

    Args:
        jobs: Functions that get an event, and return soon after it is set.
        workers: How many threads to use.

    Returns:
        What the jobs returned, in the order given.

    Raises:
        ValueError: If *workers* is less than 1.

    Example:
        >>> from cookbook.threads.ctrl_c_threads import run_stoppable
        >>> run_stoppable([lambda stop: stop.is_set()])
        [False]
    """
    stop = threading.Event()
    futures: list[Future[R]] = []
    # In C all through: Ctrl-C cannot strike while it holds a lock.
    ended: SimpleQueue[Future[R]] = SimpleQueue()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                futures.append(pool.submit(job, stop))
                futures[-1].add_done_callback(ended.put)
            for _ in futures:
                patient_get(ended).result()
            return [future.result() for future in futures]
        finally:
            try:
                pool.shutdown(wait=False, cancel_futures=True)
            finally:  # after another Ctrl-C too
                stop.set()


def patient_get(queue: SimpleQueue[R]) -> R:
    """Get the next item, with a wait in steps, between which Ctrl-C acts."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=PATIENCE)


def main() -> None:
    """Press Ctrl-C while one job waits, and another for its turn.

    >>> main()
    KeyboardInterrupt
    ['tidied up']
    """
    steps: list[str] = []
    began = threading.Event()

    def work(stop: threading.Event) -> None:
        began.set()
        steps.append("tidied up" if stop.wait(10) else "not told to stop")

    def jobs() -> Iterator[Callable[[threading.Event], None]]:
        yield work
        yield lambda _: steps.append("began too late")
        began.wait(10)
        signal.raise_signal(signal.SIGINT)

    try:
        run_stoppable(jobs(), workers=1)
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
    print(steps)


def broken_run_threads(works: Iterable[Callable[[], object]]) -> None:
    """Run each function in a thread and wait for all of them.

    Warning:
        After Ctrl-C the main thread leaves this function; the others are not
        told and run on. The interpreter waits for them, so the program does
        not end; in Python 3.11 and 3.12 it forgets the one in whose ``join()``
        Ctrl-C struck, and cuts it off in the middle of its work.
    """
    threads: list[threading.Thread] = []
    for work in works:
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    for thread in threads:
        thread.join()


def broken_run_pool(jobs: Iterable[Callable[[], object]]) -> None:
    """Run *jobs* in a pool and wait for all of them.

    Warning:
        After Ctrl-C the ``with`` block waits for all jobs, also those that
        have not started. Another Ctrl-C ends this wait. Then the interpreter
        joins the threads of all pools at its end: from Python 3.13 the
        program ends when the job has; in 3.11 and 3.12 the interrupted join
        has marked the thread as ended, and it ends in mid-job.
    """
    with ThreadPoolExecutor(1) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def broken_main() -> None:
    """Press Ctrl-C in vain, twice.

    >>> broken_main()
    threads: still running
    pool: 3 more jobs have run
    """
    go_on = threading.Event()
    ended: list[str] = []

    def work() -> None:
        go_on.wait(10)
        ended.append("thread")

    def works() -> Iterator[Callable[[], object]]:
        yield work
        signal.raise_signal(signal.SIGINT)

    try:
        broken_run_threads(works())
    except KeyboardInterrupt:
        print("threads:", "ended" if ended else "still running")
    finally:
        go_on.set()

    pressed = threading.Event()

    def jobs() -> Iterator[Callable[[], object]]:
        yield partial(pressed.wait, 10)
        for _ in range(3):
            yield partial(ended.append, "job")
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            pressed.set()

    try:
        broken_run_pool(jobs())
    except KeyboardInterrupt:
        print("pool:", ended.count("job"), "more jobs have run")


if __name__ == "__main__":
    main()
    broken_main()
