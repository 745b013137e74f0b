"""A plugin of pytest: threads take turns as often as they can.

A switch that is rare as a rule, and a schedule that needs one, comes about in
a few runs. In a child that is not forked the interval is the usual one.
"""

import sys


def pytest_configure() -> None:
    """Set the interval: not at import, which is to look for doctests."""
    sys.setswitchinterval(1e-6)  # seconds
