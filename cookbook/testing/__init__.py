"""Testing.

A test of concurrent code has to bring about the schedule on which the code
breaks. If it only waits for that schedule, it passes on most days.

schedule
    an order in which the steps of all threads are taken.
interleaving
    the same, seen from two threads: one steps between two steps of the other.
race condition
    the outcome depends on the schedule.
stress test
    many runs, in the hope that one of them meets the schedule.
replay
    a run that follows a schedule found before.
"""

__all__ = ["every_interleaving"]
