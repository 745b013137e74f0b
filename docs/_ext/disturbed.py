"""How ten programs end that are disturbed, for the page on the tests.

``docs/recorded/faults.json`` holds it, which ``nox -s faults`` writes.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sphinx.util import logging

from cookbook import catalogue, forms

logger = logging.getLogger(__name__)

Counts = Mapping[str, int]
LEAVES = ("processes", "files")
SHM = "left in /dev/shm"


class Table(NamedTuple):
    """What is shown of the faults.

    Attributes:
        python: The version that the programs ran on.
        faults: The titles of the columns.
        rows: The name of a recipe, and its cells.
    """

    python: str
    faults: list[str]
    rows: list[tuple[str, list[str]]]


def load(docs: Path) -> Table | None:
    """Return what was recorded; in CI a warning says what is of other code."""
    path = docs / "recorded" / "faults.json"
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    for name, one in known.items():
        code = forms.fingerprint(catalogue.find(name).source)
        if one["code"] != code and "CI" in os.environ:
            message = f"{name} was disturbed as other code: run nox -s faults"
            logger.warning(message, location=str(path))
    rows = [
        (name, [cell(counts) for counts in one["faults"].values()])
        for name, one in known.items()
    ]
    first = next(iter(known.values()))
    return Table(first["python"], [*first["faults"]], rows)


def cell(counts: Counts) -> str:
    """Tell of the runs of a program what did not go well, or ``✓``."""
    runs = sum(number for how, number in counts.items() if how != SHM)
    bad = {
        "wait on": counts.get("waits", 0),
        "fail and say nothing": sum(
            number
            for how, number in counts.items()
            if how.partition(" ")[0] == "silent"
        ),
        **{
            f"leave {what}": sum(
                number
                for how, number in counts.items()
                if what in how.split() and how != SHM
            )
            for what in LEAVES
        },
        "left in shared memory": counts.get(SHM, 0),
    }
    told = [f"{number} {what}" for what, number in bad.items() if number]
    return f"{', '.join(told)}, of {runs}" if told else "✓"
