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
atomic
    in one piece: no other thread sees it half done.
thread-safe
    right even if several threads use it at once, with no lock of their own.
condition
    what a thread waits at until another one says that something has changed.
semaphore
    a number of places; who finds none free waits.
event
    a flag that threads wait for.
barrier
    a place where threads wait until a given number of them is there.
queue
    a line of items that some put in and others take out, with no lock of
    theirs: there is one for threads, one for tasks and one for processes.
back-pressure
    a full queue makes its producer wait.
snapshot
    an object that does not change after it is published.
check-then-act
    a decision on what was seen, which may have changed since.
sentinel
    an item that says that no more will come.
daemon thread
    a thread that does not keep the program alive: it is stopped wherever it
    is when the program ends.
pool
    threads that are kept for many jobs, which they take from a queue.
future
    a result that is not there yet; asking for it waits, or raises the job's
    error.
"""

__all__ = [
    # Jobs and their results
    "thread_pool",
    "thread_results",
    "as_completed",
    "bounded_map",
    "pool_timeouts",
    "code_that_releases_the_gil",
    # Shared state
    "shared_counter",
    "check_then_act",
    "what_needs_a_lock",
    "reentrant_lock",
    "initialise_once",
    "immutable_snapshot",
    "thread_local_state",
    "objects_bound_to_a_thread",
    # Waiting for one another
    "condition",
    "limit_concurrency",
    "barrier",
    "readers_and_writers",
    "producer_consumer",
    "pipeline",
    # Errors and the end
    "background_exceptions",
    "run_periodically",
    "stop_a_thread",
    "ctrl_c_threads",
]
