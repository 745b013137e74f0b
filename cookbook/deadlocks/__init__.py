"""Deadlocks.

In a deadlock, each waits for something that only another one who waits can
give: two threads for each other's locks, a job for a job in its own queue, a
process for a pipe that nobody reads, a thread for a lock that it holds
itself. None of them goes on, nothing is printed and they keep no processor
busy: the program hangs.

A deadlock over locks needs four things at once: a lock has one holder, a
holder waits for more, nobody can take a lock away, and the waiting closes a
cycle (documented: Coffman, Elphick and Shoshani, *System Deadlocks*). Prevent
one of them and it cannot happen. Taking all locks in one order prevents the
cycle; giving up after a while prevents the endless waiting.

Prefer one lock to two, hold it for as few lines as you can, and call nothing
that you do not know while you hold it.

critical section
    the lines that only one thread at a time may run, because it holds a lock.
deadlock
    threads, tasks or processes wait for each other, and none can ever go on.
cycle
    the circle of a deadlock: each thread holds what the one before it waits
    for.
lock order
    the order in which every thread takes its locks; where there is one, no
    cycle can close.
reentrant lock
    an :class:`~threading.RLock`: its holder may take it again; another thread
    waits as for any lock.
wait-for graph
    who waits for whom; a deadlock is a cycle in it.
self-deadlock
    a thread waits for a lock that it holds itself.
invariant
    what must hold of several values at once, whenever no thread is in the
    middle of a change.
timeout
    how long to wait before giving up; ``lock.acquire(timeout=1)`` returns
    False then.
livelock
    threads react to each other for ever: all are busy, and none gets on.
back-off
    a pause before the next attempt; a random length keeps two threads from
    meeting again.
jitter
    the random part of a pause.
fair lock
    one that threads get in the order in which they ask for it.
starvation
    a thread never gets its turn, although the others go on.
"""

__all__ = [
    # Locks
    "lock_ordering",
    "lock_timeout",
    "self_deadlock",
    "call_outside_the_lock",
    "one_big_lock",
    "dining_philosophers",
    "livelock_and_starvation",
    # Without a lock in sight
    "nested_submit",
    "join_before_drain",
    "fork_with_threads",
    "async_deadlock",
    # Find it
    "detect_a_cycle",
    "find_where_it_hangs",
]
