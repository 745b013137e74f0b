"""End workers whose parent was killed.

A parent that is killed, by SIGKILL or for want of memory, ends nothing: its
children go on as orphans. ``daemon=True`` is no help, since it is the parent
that ends daemonic children, at its own regular exit. So let each worker watch:
a thread waits for ``multiprocessing.parent_process().join()`` and ends the
process. The system closes a pipe when the parent is gone, however it went.

A child that has ended stays in the process table, shown as ``<defunct>``,
until its parent asks how: that is a zombie. ``join()`` asks, and so does
``close()``. An executor joins its workers itself.

:models: processes
:work: CPU-bound, I/O-bound
:level: everyday
:since: 3.11
:trap: every build, every start method
:search: orphan processes, orphaned workers, parent killed, kill -9, SIGKILL,
    child processes keep running, daemon=True, PR_SET_PDEATHSIG, prctl,
    parent_process, sentinel, os.getppid, zombie defunct processes
    multiprocessing join, zombie process, <defunct>, active_children, reap,
    out of memory, OOM killer, docker --init

Use this when
    a program with workers may be killed, and they would hold memory, a GPU, a
    port or a lock from its next run.

Prefer instead
    :mod:`cookbook.processes.ctrl_c_pools` for Ctrl-C and SIGTERM, in addition:
    there the parent still ends its workers itself.

Pitfalls
    - What becomes of workers that do not watch: a
      :class:`~multiprocessing.Process` goes on, and so does any worker that
      has a job. A worker of a :class:`~multiprocessing.pool.Pool` ends when it
      looks for the next job, one of an executor waits for that for ever.
    - Under fork, let all children watch. One that was forked later holds the
      pipes of those before it, and they end only after it.
    - ``os.getppid()`` changes when the parent dies, but under forkserver it is
      the fork server from the start. The same goes for ``prctl`` with
      ``PR_SET_PDEATHSIG`` on Linux, which besides tells of the end of the
      *thread* that forked (documented: prctl(2)).
    - :func:`os._exit` runs no ``finally`` block and writes no buffer out
      (documented there).
    - A parent that is killed leaves the folder ``pymp-...`` of its fork server
      in the temporary folder.
    - Zombies hold no memory, but each holds a process id (documented:
      wait(2)). Without ``join()``,
      :func:`multiprocessing.active_children` and the next ``start()`` remove
      them too. Under forkserver the fork server does so at once.
    - Orphans that have ended are removed by process 1. In a container that is
      your program, unless it is started with ``docker run --init``
      (documented: Docker).

If a worker is killed
    the parent does not notice by this: see
    :mod:`cookbook.processes.executor_map`.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection


def end_with_parent() -> None:
    """End this process when its parent has ended.

    Call it first in a process, or pass it as *initializer* to a pool or an
    executor.

    Raises:
        RuntimeError: If multiprocessing did not start this process.

    Example:
        >>> import multiprocessing
        >>> from cookbook.processes.orphans import end_with_parent
        >>> with multiprocessing.Pool(1, end_with_parent) as pool:
        ...     pool.map(abs, [-1, -2])
        [1, 2]
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("this process has no parent to watch")

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def work(link: Connection) -> None:
    """Say who this is, and work for a minute."""
    end_with_parent()
    link.send(os.getpid())
    time.sleep(60)


def run_job(job: Callable[[Connection], None], link: Connection) -> None:
    """Run *job* in a daemonic process, and wait for it."""
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=job, args=(link,), daemon=True)
    worker.start()
    worker.join()


def outlives_parent(
    job: Callable[[Connection], None], *, patience: float
) -> bool:
    """Kill the parent of a worker; tell whether the worker is left.

    Args:
        job: What the worker does: it sends its process id first.
        patience: How many seconds the worker gets to end.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    parent = context.Process(target=run_job, args=(job, there))
    parent.start()
    there.close()
    with here:
        try:
            worker = here.recv()
        finally:
            parent.kill()
            parent.join()
        # At the end of both their processes the pipe has an end, too.
        if left := not here.poll(patience):
            os.kill(worker, 9)
    return left


def main() -> None:
    """Kill the parent of a worker that watches it.

    >>> main()
    left after its parent: False
    """
    print("left after its parent:", outlives_parent(work, patience=30))


def broken_work(link: Connection) -> None:
    """Say who this is, and work for a minute.

    Warning:
        The process is daemonic, so a parent that exits would end it. A parent
        that is killed does not come to that.
    """
    link.send(os.getpid())
    time.sleep(60)


def broken_main() -> None:
    """Kill the parent of a daemonic worker.

    >>> broken_main()
    left after its parent: True
    """
    print("left after its parent:", outlives_parent(broken_work, patience=0.3))


if __name__ == "__main__":
    main()
    broken_main()
