"""Deadlocks.
"""

__all__: list[str] = []
