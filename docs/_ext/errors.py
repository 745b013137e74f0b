"""Error messages and silent symptoms: what they mean, and what they say where.

An entry stands in a file of ``docs/errors/``, one for each part of the page.
What its program printed on each build stands in ``docs/recorded/errors.json``,
which ``nox -s record`` writes.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypedDict

PARTS = ("threads", "asyncio", "processes", "interpreters", "silent")
MESSAGES = "recorded/errors.json"


class Record(TypedDict):
    """What was recorded of a program: its fingerprint, its words by build."""

    program: str
    words: dict[str, str]


@dataclass(frozen=True)
class Entry:
    """A message or a symptom.

    Attributes:
        anchor: Where it stands on the page; never to be changed.
        says: What it means, and what to do, in reStructuredText.
        recipes: The names of those that explain it, the best one first.
        symptom: What is seen, in words, where there is no message.
        program: What brings it about; empty if nothing here can.
        options: What the interpreter is given before the program's path.
        needs: A module that has to be installed.
        when: The builds that it can be seen on, as on a recipe's page.
        finds: A pattern for the message, where it is not the last line.
        mask: Patterns for what else varies from run to run.
        words: The message of a program that cannot be run here.
        why: What such a program needs.
        recorded: What the program printed, by build; empty for no message.
    """

    anchor: str
    says: str
    recipes: list[str]
    symptom: str = ""
    program: str = ""
    options: list[str] = field(default_factory=list)
    needs: str = ""
    when: str = ""
    finds: str = ""
    mask: list[str] = field(default_factory=list)
    words: str = ""
    why: str = ""
    recorded: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of what decides what is recorded."""
        parts = [self.program, *self.options, self.finds, *self.mask]
        text = "\0".join(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def variants(self) -> list[tuple[str, str]]:
        """The words that differ, the oldest first, and the builds of each."""
        if self.words:
            return [(self.words, "")]
        found = list(dict.fromkeys(self.recorded.values()))
        if not found[1:]:
            return [(one, self.when) for one in found]
        return [(words, self._builds_of(words)) for words in found]

    def _builds_of(self, words: str) -> str:
        """Name the builds that print *words*, those in a row as a span."""
        names = []
        for same, row in groupby(self.recorded, self.recorded.get):
            run = list(row)
            if same == words:
                names += [f"{run[0]} to {run[-1]}"] if run[2:] else run
        return ", ".join(names)

    @property
    def messages(self) -> list[str]:
        """The words by which a reader may look for it."""
        if self.symptom:
            return [self.symptom]
        return [words for words, _ in self.variants if words]


@dataclass(frozen=True)
class Part:
    """A part of the page.

    Attributes:
        title: Its heading.
        entries: What stands in it, in order.
    """

    title: str
    entries: list[Entry]


def load(docs: Path) -> list[Part]:
    """Return the parts of the page, with what was recorded."""
    known = recording(docs)
    parts = []
    for name in PARTS:
        text = (docs / "errors" / f"{name}.toml").read_text(encoding="utf-8")
        table = tomllib.loads(text)
        title = table.pop("title")
        entries = [
            Entry(
                anchor,
                recorded=known[anchor]["words"] if anchor in known else {},
                **fields,
            )
            for anchor, fields in table.items()
        ]
        parts.append(Part(title, entries))
    return parts


def recording(docs: Path) -> dict[str, Record]:
    """Return what was recorded, by anchor."""
    path = docs / MESSAGES
    if not path.exists():
        return {}
    entries = json.loads(path.read_text(encoding="utf-8"))["entries"]
    return dict(entries)


def pythons(docs: Path) -> dict[str, str]:
    """Return the version of each build that the words were recorded on."""
    path = docs / MESSAGES
    if not path.exists():
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8"))["pythons"])
