"""Deadlocks.

In a deadlock, threads wait for each other's locks for ever. As soon as a
thread that holds one lock waits for another, they can: they wait in a
circle. None of them goes on, nothing is printed and no processor
is busy: the program hangs.

A deadlock needs four things at once: a lock has one holder, a holder waits
for more, nobody can take a lock away, and the waiting closes a cycle. Prevent
one of them and it cannot happen. Taking all locks in one order prevents the
cycle; giving up after a while prevents the endless waiting.

Prefer one lock to two, hold it for as few lines as you can, and call nothing
that you do not know while you hold it.

critical section
    the lines that only one thread at a time may run, because it holds a lock.
deadlock
    threads wait for each other, and none can ever go on.
cycle
    the circle of a deadlock: each thread holds what the one before it waits
    for.
lock order
    the order in which every thread takes its locks; where there is one, no
    cycle can close.
reentrant lock
    an :class:`~threading.RLock`: its holder may take it again; another thread
    waits as for any lock.
timeout
    how long to wait before giving up; ``lock.acquire(timeout=1)`` returns
    False then.
livelock
    threads react to each other for ever: all are busy, and none gets on.
back-off
    a pause before the next attempt; a random length keeps two threads from
    meeting again.
starvation
    a thread never gets its turn, although the others go on.
"""

__all__ = ["lock_ordering", "lock_timeout"]
