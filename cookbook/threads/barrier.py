"""Let threads wait for each other between phases.

At a :class:`threading.Barrier` of n parties threads wait until n are there;
then all go on, and the barrier is ready for the next phase. A thread that
never comes keeps the others waiting for ever. So who fails must break the
barrier: ``abort()`` ends the wait of all the others with a
:exc:`~threading.BrokenBarrierError`, now and at each later ``wait()``.

:models: threads
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:told by: :mod:`cookbook.testing.every_interleaving`, which finds the deadlock
    on every run
:search: barrier, phases, rendezvous, threads wait for each other,
    synchronise threads, start threads at the same time, cyclic barrier,
    barrier hangs, barrier timeout, broken barrier, abort, reset,
    "threading.BrokenBarrierError"

Use this when
    every thread must have ended one phase before any begins the next, because
    the next one uses what all of them have done.

Prefer instead
    one ``pool.map`` for each phase (:mod:`cookbook.threads.thread_pool`),
    unless the threads keep something from phase to phase: it waits for all
    results, and no error leaves anybody behind.

Pitfalls
    - :exc:`threading.BrokenBarrierError` says that another one failed, not
      what failed: a party's wait timed out, someone called ``abort()``, the
      action raised, or ``reset()`` was called while others waited. All that
      wait get it.
    - A broken barrier stays broken until ``reset()``. Make a new one instead:
      a thread that is late could meet the next round.
    - A pool with fewer workers than the barrier has parties waits for ever:
      the last jobs start when the first have ended.
    - ``abort()`` also hits a thread that has not yet left the phase before,
      which all had ended.

If a job raises
    the barrier is aborted, the others end at their next wait, and the job's
    own error is raised, not one of the BrokenBarrierErrors.

If it takes too long
    with a *timeout*, all that wait get a :exc:`~threading.BrokenBarrierError`,
    and so does the late one when it comes.

On Ctrl-C
    the barrier is aborted; each thread ends when its phase has.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

Phase = Callable[[], object]


def take_part(barrier: threading.Barrier, phases: Iterable[Phase]) -> None:
    """Run *phases* in this thread, and wait for the others after each.

    Args:
        barrier: Where they meet. If a phase raises, it is broken, and the
            others stop waiting.
        phases: What to do; as many as the others have.

    Raises:
        threading.BrokenBarrierError: If another thread failed or was late.
    """
    try:
        for phase in phases:
            phase()
            barrier.wait()
    except BaseException:
        barrier.abort()
        raise


def run_in_phases(
    workers: Sequence[Sequence[Phase]],
    *,
    action: Callable[[], None] | None = None,
    timeout: float | None = None,
) -> None:
    """Run *workers* at once; none is a phase ahead of another.

    Args:
        workers: The phases of each, the same number for all.
        action: Called after each phase, by one of the threads, before any of
            them goes on.
        timeout: For how many seconds to wait for the slowest; None is for
            ever.

    Raises:
        ValueError: If the workers do not all have the same number of phases,
            there is none, or *timeout* is out of range.
        threading.BrokenBarrierError: If one was late.

    Example:
        >>> from cookbook.threads.barrier import run_in_phases
        >>> log = []
        >>> run_in_phases([[lambda: log.append(1), lambda: log.append(2)]] * 3)
        >>> log
        [1, 1, 1, 2, 2, 2]
    """
    if len({len(phases) for phases in workers}) != 1:
        raise ValueError("each worker needs the same number of phases")
    if timeout is not None and not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"timeout must be 0 or more, not {timeout!r}")
    barrier = threading.Barrier(len(workers), action, timeout)
    with ThreadPoolExecutor(max_workers=len(workers)) as pool:
        try:
            parts = [pool.submit(take_part, barrier, own) for own in workers]
            wait(parts)
        except BaseException:
            barrier.abort()
            raise
    errors = [
        error for part in parts if (error := part.exception()) is not None
    ]
    errors.sort(key=lambda e: isinstance(e, threading.BrokenBarrierError))
    if errors:
        raise errors[0]


def main() -> None:
    """Turn three amounts into shares of their sum, in two phases.

    >>> main()
    sum known to all: 40
    shares in %: [25, 50, 25]
    """
    amounts = [0, 0, 0]
    shares = [0, 0, 0]

    def worker(number: int, amount: int) -> list[Phase]:
        def read() -> None:
            amounts[number] = amount

        def divide() -> None:
            shares[number] = 100 * amount // sum(amounts)

        return [read, divide]

    run_in_phases([worker(0, 10), worker(1, 20), worker(2, 10)], timeout=60)
    print("sum known to all:", sum(amounts))
    print("shares in %:", shares)


def broken_take_part(
    barrier: threading.Barrier, phases: Iterable[Phase]
) -> None:
    """Run *phases* in this thread, and wait for the others after each.

    Warning:
        A thread whose phase raises ends without a word to the others, who
        wait for it at the barrier, for ever. Its error waits in its future,
        which nobody reads, because everybody waits.
    """
    for phase in phases:
        phase()
        barrier.wait()


def broken_main() -> None:
    """Let one of two threads fail before the barrier.

    >>> broken_main()
    one has failed: ValueError: no number: 'x'
    the other: still waiting
    after abort(): BrokenBarrierError
    """
    barrier = threading.Barrier(2)

    def fail() -> None:
        raise ValueError("no number: 'x'")

    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting = pool.submit(broken_take_part, barrier, [lambda: None])
        try:
            error = pool.submit(broken_take_part, barrier, [fail]).exception()
            print(f"one has failed: {type(error).__name__}: {error}")
            waiting.exception(timeout=0.1)
        except TimeoutError:
            print("the other: still waiting")
        finally:
            barrier.abort()
    print("after abort():", type(waiting.exception()).__name__)


if __name__ == "__main__":
    main()
    broken_main()
