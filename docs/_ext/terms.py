"""The book's terms: what each means, and where a text uses it.

The chapters' introductions define them, ``docs/glossary.toml`` the few that
belong to no chapter. ``glossary.py`` makes the page and the links.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cookbook.catalogue import Chapter

DEFINITION = re.compile(
    r"^(?P<term>\S[^\n]*)\n(?P<text>(?: {4}\S[^\n]*(?:\n|\Z))+)", re.MULTILINE
)


class TermsError(ValueError):
    """A term is defined twice, or not where it should be."""


@dataclass(frozen=True)
class Term:
    """A term of the glossary.

    Attributes:
        name: The term.
        text: What it means, in reStructuredText.
        chapter: The chapter that defines it; empty if none does.
        linked: Whether pages link to it where they use it.
    """

    name: str
    text: str
    chapter: str
    linked: bool


def other(path: Path) -> dict[str, list[str]]:
    """Return the words that are no terms, by the page they stand on."""
    return dict(tomllib.loads(path.read_text(encoding="utf-8"))["other"])


def load(path: Path, chapters: Iterable[Chapter]) -> list[Term]:
    """Return the terms of *chapters* and of the file *path*, sorted.

    Raises:
        TermsError: If it is not clear which definition of a term stands.
    """
    given = tomllib.loads(path.read_text(encoding="utf-8"))
    unlinked, picked = set(given["unlinked"]), given["chapters"]
    found: dict[str, dict[str, str]] = {
        name: {"": text} for name, text in given["terms"].items()
    }
    for chapter in chapters:
        for name, text in defined(chapter.introduction):
            found.setdefault(name, {})[chapter.name] = text
    if stray := (unlinked | picked.keys()) - found.keys():
        raise TermsError(f"{path}: nothing defines {sorted(stray)}")
    terms = []
    for name, texts in found.items():
        if (len(texts) > 1) is not (name in picked):
            raise TermsError(f"{path}: {name!r} is defined by {list(texts)}")
        chapter = picked.get(name, next(iter(texts)))
        if chapter not in texts:
            raise TermsError(f"{path}: {chapter} does not define {name!r}")
        linked = name not in unlinked
        terms.append(Term(name, texts[chapter], chapter, linked))
    return sorted(terms, key=lambda term: term.name.lower())


def defined(introduction: str) -> Iterator[tuple[str, str]]:
    """Yield the terms of a chapter's vocabulary, and what each means."""
    for match in DEFINITION.finditer(introduction):
        yield match["term"], " ".join(match["text"].split())


def pattern(terms: Iterable[Term]) -> re.Pattern[str]:
    """Return what finds the terms that are linked, also in the plural."""
    names = sorted(
        (re.escape(term.name) for term in terms if term.linked),
        key=len,
        reverse=True,  # an event loop is no event
    )
    return re.compile(
        rf"(?<![\w-])(?P<term>{'|'.join(names)})(?:s|es)?(?![\w-])",
        re.IGNORECASE,
    )


def split(
    text: str, found_by: re.Pattern[str], seen: set[str]
) -> list[tuple[str, str]]:
    """Cut *text* at each term that is not in *seen*, and add it there.

    Returns:
        The parts in order: the text of each, and its term in small letters,
        which is empty if the part is none.
    """
    parts = []
    end = 0
    for match in found_by.finditer(text):
        term = match["term"].lower()
        if term not in seen:
            seen.add(term)
            parts += [(text[end : match.start()], ""), (match[0], term)]
            end = match.end()
    return [part for part in [*parts, (text[end:], "")] if part[0]]
