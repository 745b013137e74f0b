"""What tests found when they explored every schedule, for the page.

``docs/recorded/`` holds it, one file for each recipe and in it one entry for
each build of Python. ``nox -s record`` writes it; nothing is run here.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import stepper
from sphinx.util import logging

from cookbook import forms
from cookbook.catalogue import Recipe

logger = logging.getLogger(__name__)
SHOWN = "3.14"  # the build whose steps are shown
GRAINS = {
    "line": "one line at a time",
    "bytecode": "one bytecode instruction at a time",
}


@dataclass(frozen=True)
class Exploration:
    """All schedules of one set of threads, on every build.

    Attributes:
        subject: What was run.
        grain: How far a thread runs in one step, in words.
        outcomes: For each, its words, whether it is wrong, and on how many
            schedules it comes about.
        threads: What the threads are called.
        steps: How it comes to the first wrong outcome: for each run of steps
            of one thread, its number and the lines with what to note.
    """

    subject: str
    grain: str
    outcomes: list[tuple[str, bool, str]]
    threads: list[str]
    steps: list[tuple[int, list[tuple[str, str]]]]

    @property
    def wrong(self) -> str:
        """The words for the first wrong outcome; empty if there is none."""
        return next((words for words, bad, _ in self.outcomes if bad), "")


@dataclass(frozen=True)
class Record:
    """What a recipe's page shows of its schedules.

    Attributes:
        builds: The builds of Python that it was recorded on.
        stale: Whether the recipe's code has changed since.
        explorations: In the order of the tests.
        script: What the reader can step through, as HTML.
    """

    builds: list[str]
    stale: bool
    explorations: list[Exploration]
    script: str


def of(recipe: Recipe, docs: Path) -> Record | None:
    """Return what was recorded for *recipe*; None if nothing was.

    In CI facts that were recorded from other code are a warning.
    """
    path = docs / "recorded" / f"{recipe.address}.json"
    if not path.exists():
        return None
    text = json.loads(path.read_text(encoding="utf-8"))
    stale = text["code"] != forms.fingerprint(recipe.source)
    if stale and "CI" in os.environ:
        message = "the schedules are of other code: run nox -s record -- -k %s"
        name = recipe.name.rpartition(".")[2]
        logger.warning(message, name, location=f"{path}:1")
    builds = text["builds"]
    explorations = [
        explored(
            {
                build: fact
                for build, facts in builds.items()
                for fact in facts
                if fact["subject"] == shown["subject"]
            }
        )
        for shown in builds.get(SHOWN) or next(iter(builds.values()))
    ]
    script = stepper.script(builds.get(SHOWN, []), text.get("graphs", {}))
    return Record(list(builds), stale, explorations, script)


def explored(facts: dict[str, dict[str, Any]]) -> Exploration:
    """Return one exploration out of what each build has found."""
    shown = facts.get(SHOWN) or next(iter(facts.values()))
    grain = GRAINS[shown["by"]]
    if (limit := shown["preemptions"]) is not None:
        grain += f", at most {limit} preemption{'s' * (limit != 1)}"
    steps = shown.get("steps", [])
    count = 1 + max((thread for thread, _, _ in steps), default=0)
    return Exploration(
        shown["subject"],
        grain,
        [
            (words, wrong, "; ".join(counts(facts, words)))
            for words, wrong, _ in shown["outcomes"]
        ],
        shown["threads"] or [f"Thread {n + 1}" for n in range(count)],
        [
            (thread, [(code, note) for _, code, note in run])
            for thread, run in groupby(steps, key=lambda step: int(step[0]))
        ],
    )


def counts(facts: dict[str, dict[str, Any]], words: str) -> Iterator[str]:
    """Yield on how many schedules an outcome comes about, by builds."""
    found: dict[str, list[str]] = {}
    for build, fact in facts.items():
        numbers = {text: number for text, _, number in fact["outcomes"]}
        count = f"{numbers[words]:,} of {sum(numbers.values()):,}"
        found.setdefault(count, []).append(build)
    for count, builds in found.items():
        yield count if len(found) == 1 else f"{count} on {', '.join(builds)}"
