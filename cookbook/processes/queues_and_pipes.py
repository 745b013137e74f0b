"""Choose a pipe or a queue between processes.

A pipe has two ends, one process at each. ``send()`` pickles and writes at
once, and raises what goes wrong; ``recv()`` raises :exc:`EOFError` when all
copies of the other end are closed, so close each end that you do not use. A
:class:`multiprocessing.Queue` may have several writers and readers, and any
size: ``put()`` only adds to a list, and a thread of the queue, the feeder,
pickles and writes later. It has an error nobody to raise to. It prints the
traceback on standard error and drops the item.

A :class:`~multiprocessing.Process` does not return its function's value; it is
lost. Let the child send it through a pipe, as here, or use an executor.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:told by: the traceback of the feeder thread, on standard error
:search: multiprocessing Pipe vs Queue, return value from multiprocessing
    Process, get result of Process, exitcode, Connection, recv blocks, recv
    hangs, SimpleQueue, JoinableQueue, feeder thread, multiprocessing queue put
    pickling error lost item, item disappears from queue,
    AWS Lambda multiprocessing, Docker shm-size, TMPDIR,
    "OSError: [Errno 28] No space left on device",
    "OSError: [Errno 38] Function not implemented",
    "OSError: AF_UNIX path too long", "EOFError", "queue.Empty", "SemLock",
    "Bus error", "EOFError: EOF when reading a line"

Use this when
    processes that you start yourself talk to each other: a pipe for two, a
    queue for more. An item took 3/4 of the time through a pipe (measured on
    Python 3.11 to 3.13).

Prefer instead
    ``executor.submit(job).result()``, as in
    :mod:`cookbook.processes.executor_map`: it brings answers and errors back,
    and reports a dead worker. For several large results
    :mod:`cookbook.deadlocks.join_before_drain`, which says why to read before
    ``join()``.

Pitfalls
    - One process at each end: two that read or write the same end at a time
      may corrupt the data (documented: :func:`multiprocessing.Pipe`).
    - The reader of a queue gets no :exc:`EOFError` when the writers have
      ended. Put an item that says so, or give ``get()`` a timeout.
    - A :class:`multiprocessing.SimpleQueue` is a pipe with locks: several
      processes may use it, and ``put()`` raises at once. It waits when the
      pipe is full.
    - A :class:`multiprocessing.JoinableQueue` counts an item that was dropped;
      ``join()`` then waits for ever.
    - ``OSError: [Errno 28] No space left on device`` for a queue, a lock or
      shared memory: they are in ``/dev/shm``, which has 64 MB in Docker by
      default. Start the container with ``--shm-size`` or ``--ipc=host``, and
      delete what was left there; if it fills up later, the program can end
      with ``Bus error`` (documented: Docker, CPython issue 93253).
    - ``input()`` in a child raises ``EOFError: EOF when reading a line``: see
      :mod:`cookbook.coroutines.subprocesses`.
    - ``OSError: [Errno 38] Function not implemented``: there is no
      ``/dev/shm``, as on AWS Lambda (documented: Stack Overflow 34005930), so
      no queue, lock, pool or executor of processes. A ``Process`` with a pipe
      needs none; threads do not either.
    - ``OSError: AF_UNIX path too long``: forkserver, the default on Linux
      from Python 3.14, and managers listen on a socket in the temporary
      folder, and its path may have about 108 characters. Set ``TMPDIR=/tmp``.
      Recent releases from 3.13 on take a shorter folder by themselves, if not
      always (documented: CPython issues 132124 and 149527).

If a job raises
    :func:`result_of` raises it in the parent. Without that the child prints
    its traceback and ends with exit code 1, and the parent learns only that.

On Ctrl-C
    the child is killed and :func:`result_of` raises :exc:`KeyboardInterrupt`.
    If it comes inside ``start()``, before the id of the child is known, nobody
    can kill that child; from a terminal it gets Ctrl-C, too.

If a worker is killed
    the pipe ends, and :func:`result_of` raises :exc:`RuntimeError` with the
    exit code.
"""

import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any, TypeVar

T = TypeVar("T")


def send_result(
    sender: Connection, job: Callable[..., object], args: tuple[object, ...]
) -> None:
    """Send what *job* returns or raises to the parent; runs in the child."""
    try:
        sender.send((job(*args), None))
    except Exception as error:
        sender.send((None, error))


def result_of(
    job: Callable[..., T],
    *args: object,
    context: BaseContext | None = None,
) -> T:
    """Run *job* in a process of its own, and return what it returns.

    Args:
        job: A function of a module, which the child can import.
        *args: What it gets.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        RuntimeError: If the child ends without a result.
        Exception: Whatever *job* raises.

    Example:
        >>> from cookbook.processes.queues_and_pipes import result_of
        >>> result_of(pow, 2, 10)
        1024
    """
    own = (context or multiprocessing).get_context()
    receiver, sender = own.Pipe(duplex=False)
    process = own.Process(target=send_result, args=(sender, job, args))
    with receiver:
        try:
            with sender:  # ours, or the pipe would not end with the child
                process.start()
            try:
                answer: tuple[T, Exception | None] = receiver.recv()
            except (EOFError, OSError):  # before or in the message
                process.join()
                raise RuntimeError(
                    f"no result, exit code {process.exitcode}"
                ) from None
            process.join()
        finally:
            if process.pid:  # it was started
                process.kill()
                process.join()
    result, error = answer
    if error is not None:
        raise error
    return result


def put_or_raise(queue: "Queue[Any]", item: object) -> None:
    """Put *item* on the queue, or raise what pickle says against it.

    It is pickled once more by the queue.

    Example:
        >>> import multiprocessing
        >>> from cookbook.processes.queues_and_pipes import put_or_raise
        >>> queue = multiprocessing.Queue()
        >>> put_or_raise(queue, 7)
        >>> queue.get(timeout=10)
        7
        >>> put_or_raise(queue, {}.keys())
        Traceback (most recent call last):
        TypeError: cannot pickle 'dict_keys' object
        >>> queue.close()
        >>> queue.join_thread()
    """
    pickle.dumps(item)
    queue.put(item)


def received(queue: "Queue[Any]") -> list[Any]:
    """Return the next item, and those that are there after it; close."""
    items = [queue.get(timeout=10)]
    try:
        while True:
            items.append(queue.get_nowait())
    except Empty:
        return items
    finally:
        queue.close()
        queue.join_thread()


def main() -> None:
    """Take results from processes; put a lock and a text on a queue.

    >>> main()
    returned: 1024
    raised: invalid literal for int() with base 10: 'eight'
    ended: no result, exit code 7
    not put: cannot pickle '_thread.lock' object
    received: ['next']
    """
    print("returned:", result_of(pow, 2, 10))
    try:
        result_of(int, "eight")
    except ValueError as error:
        print("raised:", error)
    try:
        result_of(sys.exit, 7)
    except RuntimeError as error:
        print("ended:", error)
    queue: Queue[Any] = multiprocessing.Queue()
    try:
        put_or_raise(queue, threading.Lock())
    except TypeError as error:
        print("not put:", error)
    put_or_raise(queue, "next")
    print("received:", received(queue))


def broken_result_of(
    job: Callable[..., T],
    *args: object,
    patience: float | None = None,
    context: BaseContext | None = None,
) -> T:
    """Run *job* in a process; keep both ends of the pipe open.

    Args:
        job: A function of a module, which the child can import.
        *args: What it gets.
        patience: After how many seconds to give up; usually never.
        context: What :func:`multiprocessing.get_context` returned for a
            start method; by default the program's own.

    Raises:
        TimeoutError: If nothing has come by then.

    Warning:
        As long as this process could write to the pipe itself, the pipe has
        not ended. If the child ends without a result, ``recv()`` waits for
        ever.
    """
    own = (context or multiprocessing).get_context()
    receiver, sender = own.Pipe(duplex=False)
    process = own.Process(target=send_result, args=(sender, job, args))
    with receiver, sender:
        process.start()
        try:
            if receiver.poll(patience):
                answer: tuple[T, Exception | None] = receiver.recv()
                return answer[0]
        finally:
            process.join()
    raise TimeoutError(f"waited on after exit code {process.exitcode}")


def broken_put(queue: "Queue[Any]", *items: object) -> None:
    """Put the items on the queue.

    Warning:
        ``put()`` returns before the item is pickled. What cannot be pickled
        never arrives, and whoever waits for it waits for ever.
    """
    for item in items:
        queue.put(item)


def broken_main() -> None:
    """Wait for a child that has ended; put a lock and a text on a queue.

    >>> broken_main()
    waited on after exit code 7
    put: a lock and 'next'
    received: ['next']
    """
    try:
        broken_result_of(sys.exit, 7, patience=0.2)
    except TimeoutError as error:
        print(error)
    queue: Queue[Any] = multiprocessing.Queue()
    broken_put(queue, threading.Lock(), "next")
    print("put: a lock and 'next'")
    print("received:", received(queue))


if __name__ == "__main__":
    main()
    broken_main()
