"""Keep a value for each thread, or for each job.

A :class:`threading.local` has other attributes in each thread. Put there what
belongs to the thread and outlives a job: a buffer, a connection. What belongs
to one job, such as who asked for it, goes into a
:class:`~contextvars.ContextVar`: :func:`submit_in_context` runs each job in a
copy of its caller's context; a pool alone does not (but see
``thread_inherit_context``). A pool's thread keeps its locals from job to job:
the next job finds what the former has left.

:models: threads, asyncio
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build
:search: thread-local storage, threading.local, per-thread data, global
    variable per thread, ContextVar, contextvars, context variable empty in a
    thread, run_in_executor loses ContextVar, ContextVar not propagated,
    copy_context, Thread(context=), thread_inherit_context, request id in log,
    current user, "AttributeError: '_thread._local' object has no attribute",
    "LookupError: <ContextVar name=", "cannot enter context", "was created in
    a different Context", "Initialization arguments are not supported",
    "TypeError: cannot pickle '_contextvars.Context' object",
    "concurrent.futures.thread.BrokenThreadPool: A thread initializer failed,
    the thread pool is not usable anymore"

Use this when
    functions far down need a value that differs by thread or by job, and you
    cannot pass it as an argument.

Prefer instead
    an argument. A process pool has no other way: a context cannot be pickled.
    :mod:`cookbook.threads.objects_bound_to_a_thread` for what must be closed.

Pitfalls
    - An attribute that is set when the module is imported is set in the
      importing thread alone; elsewhere it raises ``AttributeError:
      '_thread._local' object has no attribute 'x'``. Make a subclass: its
      ``__init__`` runs in each thread that uses the object. What stands in
      the class itself is one object for all threads.
    - A pool's ``initializer`` sets a local in each of its threads. If it
      fails, each job ends with ``BrokenThreadPool: A thread initializer
      failed, the thread pool is not usable anymore``.
    - All tasks of an event loop share one thread, and so its locals. Each
      task has a context of its own.
    - A new thread starts with an empty context, and so do the threads of a
      pool and of ``run_in_executor``. :func:`asyncio.to_thread` copies the
      caller's, and ``run_in_executor(None, copy_context().run, f)`` hands it
      over. From 3.14 ``Thread(context=copy_context())`` does.
    - Where ``sys.flags.thread_inherit_context`` is 1, a new thread starts
      with a copy of the context of the one that started it. It exists from
      3.14: the default is 1 on free-threaded builds, 0 with the GIL, and
      ``-X thread_inherit_context`` sets it. It does not help with a pool:
      later jobs find the context of the job that the thread was started for.
    - Take one copy for each job. A second thread that enters the same one
      gets ``RuntimeError: cannot enter context``.
    - What a job sets in its copy, the caller does not see.

If a job raises
    what it set in its copy of the context is gone, and the next job starts
    afresh. What it set in a thread-local stays.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

T = TypeVar("T")

USER = ContextVar("USER", default="nobody")


class Scratch(threading.local):
    """A list of lines for each thread that uses it.

    Example:
        >>> from cookbook.threads.thread_local_state import Scratch
        >>> scratch = Scratch()
        >>> scratch.lines.append("only this thread sees it")
    """

    def __init__(self) -> None:
        self.lines: list[str] = []


@contextmanager
def as_user(name: str) -> Iterator[None]:
    """Set the user for what is called, and submitted, in a ``with`` block.

    From 3.14 ``with USER.set(name):`` does the same.
    """
    token = USER.set(name)
    try:
        yield
    finally:
        USER.reset(token)


def submit_in_context(
    pool: ThreadPoolExecutor,
    job: Callable[..., T],
    *args: object,
    **kwargs: object,
) -> Future[T]:
    """Submit a job that sees the context variables of the caller.

    Args:
        pool: Where the job runs.
        job: Runs in a copy of the context as it is now.
        *args: What *job* is called with.
        **kwargs: The same, by keyword.

    Returns:
        The future of the job.
    """
    context = copy_context()
    return pool.submit(lambda: context.run(job, *args, **kwargs))


def greet() -> str:
    """Greet the user of this job."""
    return f"hello {USER.get()}"


def main() -> None:
    """Let one thread greet two users; then fill one list in each thread.

    >>> main()
    hello ann
    hello nobody
    lines of each thread: 1 1
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        with as_user("ann"):
            print(submit_in_context(pool, greet).result())
        print(submit_in_context(pool, greet).result())

    scratch = Scratch()
    both_have_written = threading.Barrier(2, timeout=10)

    def write() -> int:
        scratch.lines.append("one line")
        both_have_written.wait()
        return len(scratch.lines)

    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(write) for _ in range(2)]
    print("lines of each thread:", *(job.result() for job in jobs))


REQUEST = threading.local()


def broken_greet(user: str | None) -> str:
    """Greet the user of this request, if it names one.

    Warning:
        The thread outlives the request, and so does what the request sets in
        a :class:`threading.local`. A request that sets nothing is taken for
        one of the user before it.
    """
    if user is not None:
        REQUEST.user = user
    return f"hello {getattr(REQUEST, 'user', 'nobody')}"


def broken_main() -> None:
    """Let one thread greet Ann, and then a request without a user.

    >>> broken_main()
    hello ann
    hello ann
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        for user in ("ann", None):
            print(pool.submit(broken_greet, user).result())


if __name__ == "__main__":
    main()
    broken_main()
