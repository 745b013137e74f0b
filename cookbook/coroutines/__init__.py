"""Coroutines.
"""

__all__: list[str] = []
