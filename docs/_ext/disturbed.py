"""How ten programs end that are disturbed, for the page on the tests.

``docs/recorded/faults.json`` holds it, which ``nox -s faults`` writes.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from cookbook import catalogue, forms

Counts = Mapping[str, int]
SENT = {"SIGINT", "SIGTERM"}  # to the program; another one is a crash
WORDS = ("waits", "silent", "processes", "files")
OF_ONE = {
    "wait": "waits",
    "processes": "process",
    "files": "file",
    "semaphores": "semaphore",
    "blocks": "block",
}
LEFT = {"left a semaphore": "semaphores", "left a block": "blocks"}


class Table(NamedTuple):
    """What is shown of the faults.

    Attributes:
        python: The version that the programs ran on.
        faults: The titles of the columns.
        rows: The name of a recipe, and the words of its cells.
        stale: The names of those whose code is no longer what was disturbed.
    """

    python: str
    faults: list[str]
    rows: list[tuple[str, list[list[str]]]]
    stale: list[str]


def load(docs: Path) -> Table | None:
    """Return what was recorded, if anything was."""
    path = docs / "recorded" / "faults.json"
    if not path.exists():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    first = next(iter(known.values()))
    return Table(
        first["python"],
        [*first["faults"]],
        [
            (name, [cell(counts) for counts in one["faults"].values()])
            for name, one in known.items()
        ],
        [
            name
            for name, one in known.items()
            if one["code"] != forms.fingerprint(catalogue.find(name).source)
        ],
    )


def cell(counts: Counts) -> list[str]:
    """Return how often something did not go well, and the word for it."""
    found: Counter[str] = Counter()
    for how, number in counts.items():
        if how in LEFT:
            found[LEFT[how]] += number
            continue
        end, _, left = how.partition(" ")
        words = [word for word in (end, *left.split(" and ")) if word in WORDS]
        words = ["wait" if word == "waits" else word for word in words]
        if end.startswith("SIG") and end not in SENT:
            words.append(end)
        found.update(dict.fromkeys(words, number))
    return [
        f"{number} {OF_ONE.get(word, word) if number == 1 else word}"
        for word, number in found.items()
    ]
