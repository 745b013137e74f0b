"""Threads.

Threads share one memory...
"""

__all__ = ["shared_counter"]
