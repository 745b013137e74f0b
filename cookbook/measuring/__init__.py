"""Measuring.

Whether threads, coroutines or processes pay is a question about your work and
your machine, and a figure answers it. First find out whether the program waits
or computes, and where. Then measure one change in the same run as what it
replaces, and quote the ratio: seconds are of one machine on one day.

speed-up
    the time of the plain loop divided by the time of the parallel one.
ceiling
    the speed-up that a machine allows: that of processes with nothing to send
    and nothing to wait for.
latency
    how long one job takes, from its start to its answer.
throughput
    how many jobs end in a second.
overhead
    what a job costs on top of its work: to send it, start it and bring its
    answer back.
cross-over
    the length of a job from which on a pool is faster than the plain loop.
contention
    several threads or processes want the same lock, and wait.
profiler
    a program that says where another one spends its time.
wall-clock time
    what passes on a clock, waiting included; CPU time is what a core works.
resident memory
    what a process holds of the machine's memory; some of it may be shared.
spread
    how far apart the figures of several rounds lie.
"""

__all__ = [
    "time_it_right",
    "find_the_bottleneck",
    "see_your_program",
    "crossover",
    "amdahl",
    "contention",
    "memory_per_worker",
]
