"""A file of figures that nobody measured, to try what draws them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import figures

Given = dict[str, Any]


def row(
    label: str, median: float, x: float | None = None, series: str = "3.13"
) -> Given:
    """Return a row, its spread a tenth to either side."""
    return {
        "series": series,
        "label": label,
        "x": x,
        "median": median,
        "low": median * 0.9,
        "high": median * 1.1,
        "rounds": 3,
    }


def chart(rows: Sequence[Given], **changes: object) -> Given:
    """Return a chart of *rows*: bars, if they have no place on an axis."""
    lines = rows[0]["x"] is not None
    return {
        "title": "A title",
        "sentence": "A sentence.",
        "holds": True,
        "recipes": [],
        "unit": "things",
        "kind": "lines" if lines else "bars",
        "x": {"label": "an axis", "log": False} if lines else None,
        "log": False,
        "reference": None,
        "rows": rows,
    } | changes


def file(charts: Mapping[str, Given], **changes: object) -> Given:
    """Return a file of *charts*."""
    return {
        "machine": {
            "cpu": "A chip",
            "cores": 2,
            "memory": "1 GB",
            "system": "A system",
        },
        "pythons": {"3.13": "3.13.0"},
        "packages": {"a-package": "1.0"},
        "source": {"bench": "0"},
        "charts": charts,
        "targets": [],
    } | changes


def drawn(rows: Sequence[Given], **changes: object) -> figures.Chart:
    """Return a chart as it is read from a file."""
    text = json.dumps(file({"name": chart(rows, **changes)}))
    return figures.read(text).charts[0]
