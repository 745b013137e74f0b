"""Testing.
"""

__all__: list[str] = []
