"""Recipes for concurrency and parallelism in Python, proved to work.

Each recipe is one module. Its right way comes first and can be pasted as it
is; the trap beside it is the wrong version that people really write, and a
test forces it to fail on every supported Python. Everything the book shows is
derived from these modules and has been run.
"""

__all__ = [
    "threads",
    "coroutines",
    "processes",
    "parallel_threads",
    "deadlocks",
    "testing",
    "measuring",
    "clusters",
]
