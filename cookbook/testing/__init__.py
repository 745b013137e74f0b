"""Testing.

A test of concurrent code has to bring about the schedule on which the code
breaks. If it only waits for that schedule, it passes on most days.

schedule
    an order in which the steps of all threads are taken.
interleaving
    a schedule of several threads, in which one steps between two steps of
    another.
race condition
    the outcome depends on the schedule.
stress test
    many runs, in the hope that one of them meets the schedule.
preemption
    a switch away from a thread that could have gone on.
flaky test
    one that passes or fails by the schedule that it happens to meet.
gap
    the place between a check and its act, or a read and its write, where
    another thread does harm.
switch interval
    how long a thread may keep the GIL once another one wants it.
leak
    what a test has started or opened and leaves behind.
virtual time
    a clock that jumps to the next timer instead of waiting.
replay
    a run that follows a schedule found before.
"""

__all__ = [
    "force_a_race",
    "every_interleaving",
    "stress",
    "without_sleeping",
    "no_leaks",
]
