"""The addresses that the book has published: ``docs/published.txt``.

Run it, as ``nox -s publish`` does, to add those that are new in the book that
was built. None is ever taken out.
"""

import json
import re
from pathlib import Path

from tests.book.browser import BOOK, ROOT, pages

PUBLISHED = ROOT / "docs" / "published.txt"
MOVED = ROOT / "docs" / "moved.json"
# What a reader can copy the address of: headings and names with a sign.
OFFERED = re.compile(r'<a class="headerlink" href="#([^"]+)"')
THERE = re.compile(r' id="([^"]+)"')


def published() -> dict[str, set[str]]:
    """Return the anchors that each page has, or had."""
    lines = PUBLISHED.read_text(encoding="utf-8").splitlines()
    return {page: set(anchors) for page, *anchors in map(str.split, lines)}


def offered(page: str) -> set[str]:
    """Return the anchors of a page whose address a reader can copy."""
    return set(OFFERED.findall(_text(BOOK / page)))


def there(page: str) -> set[str]:
    """Return the anchors of a page that an address can lead to."""
    return set(THERE.findall(_text(BOOK / page)))


def moved() -> dict[str, str]:
    """Return the new address of each that is old."""
    table: dict[str, str] = json.loads(MOVED.read_text(encoding="utf-8"))
    return table


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def publish() -> None:
    """Add to the list what is new in the book."""
    every = published() if PUBLISHED.exists() else {}
    for page in {*pages()} - {"404.html"}:
        every.setdefault(page, set()).update(offered(page))
    lines = [" ".join([page, *sorted(every[page])]) for page in sorted(every)]
    PUBLISHED.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    publish()
