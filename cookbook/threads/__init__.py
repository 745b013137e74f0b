"""Threads.

Threads of one process share its memory, so handing over an object copies
nothing, and changing one that another thread uses needs care. They are the
model for code that waits: while one thread waits for a disk, a network or a
lock, the others run.

With the global interpreter lock (GIL), one thread at a time runs Python code,
so threads do not make CPU-bound Python code faster. On a free-threaded build,
which exists since Python 3.13, they do.

thread
    a line of execution with a stack of its own, in memory that it shares.
GIL
    the lock that a thread holds while it runs Python code, on builds that are
    not free-threaded.
race condition
    the outcome depends on which thread comes first.
critical section
    lines that one thread at a time may be in.
lock
    what a thread holds in a critical section; others wait for it.
barrier
    a place where threads wait until a given number of them is there.
pool
    a fixed number of threads that take jobs from a queue.
future
    a result that is not there yet; asking for it waits, or raises the job's
    error.
"""

__all__ = ["thread_pool", "shared_counter"]
