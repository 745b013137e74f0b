"""Testing.

A test of concurrent code has to bring about the schedule on which the code
breaks. If it only waits for that schedule, it passes on most days.

Schedule
    An order in which the steps of all threads are taken.
Interleaving
    The same, seen from two threads: one steps between two steps of the other.
Race condition
    The outcome depends on the schedule.
Stress test
    Many runs, in the hope that one of them meets the schedule.
Replay
    A run that follows a schedule found before.
"""

__all__ = ["every_interleaving"]
