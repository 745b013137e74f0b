"""Measure what the book says about speed, cost and memory.

``python -m bench`` measures everything and writes
``docs/recorded/bench.json``, from which the charts are drawn. A figure is of
one run on one machine, and most are ratios within one round, for seconds
differ elsewhere.

:mod:`bench.charts` is the table of what is measured and of the sentences that
it supports, :mod:`bench.figures` turns samples into rows, and the other
modules measure: each round in a new interpreter, by :mod:`bench.child`.
"""

import time
from collections.abc import Callable

#: What a measurement yields: label, place on the x-axis if any, value.
Sample = tuple[str, float | None, float]


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
