"""Processes.
"""

__all__: list[str] = []
