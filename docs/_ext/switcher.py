"""Versions of the book side by side, and the way from one to another.

The latest is at the root of the site; each that was released is in a folder of
its own, named for it. Sphinx is told so; else the book stands alone, and says
nothing of others:

``-D edition=0.1``
    this book will be in the folder ``0.1`` of the site.
``-D editions=FOLDER``
    this book is the latest, and those in *FOLDER* are put beside it.

A page's sidebar leads to the list of them, ``other-versions.html``, which is
the latest's. Where there are scripts it leads to the same page of another: the
pages of each are in ``versions.json``, so nothing is asked for in vain.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.typing import ExtensionMetadata

LATEST = "latest"
ALL = "other-versions"
PAGES = "versions.json"


def newest_first(folder: Path) -> list[str]:
    """Return the names of the versions whose books are in *folder*."""
    names = [path.parent.name for path in folder.glob("*/index.html")]

    def numbers(name: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", name)]

    return sorted(names, key=numbers, reverse=True)


def pages(book: Path) -> list[str]:
    """Return the addresses of the pages of a book."""
    found = (path.relative_to(book) for path in book.rglob("*.html"))
    return sorted({path.as_posix() for path in found} - {"404.html"})


def tell_templates(_: Sphinx, config: Config) -> None:
    """Tell the sidebar what this book is called, and where the list is."""
    edition = config.edition or (config.editions and LATEST)
    up = "" if edition == LATEST else "../"
    config.html_context |= {"edition": edition, "list": f"{up}{ALL}.html"}


def extra_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield the list of all versions."""
    if app.builder.name == "html" and app.config.editions:
        names = newest_first(Path(app.config.editions))
        yield ALL, {"editions": names}, "other-versions.html"


def put_together(app: Sphinx, error: Exception | None) -> None:
    """Put the other versions beside the latest, and say what is in each."""
    if error or app.builder.name != "html" or not app.config.editions:
        return
    folder, site = Path(app.config.editions), Path(app.outdir)
    names = newest_first(folder)
    for name in names:
        shutil.rmtree(site / name, ignore_errors=True)
    listed = {LATEST: pages(site)} | {n: pages(folder / n) for n in names}
    text = json.dumps(listed, indent=1)
    (site / PAGES).write_text(f"{text}\n", encoding="utf-8")
    # a host has one page for what is not found: the latest's
    ignored = shutil.ignore_patterns("404.html", ".buildinfo")
    for name in names:
        shutil.copytree(folder / name, site / name, ignore=ignored)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.add_config_value("edition", "", "html", str)
    app.add_config_value("editions", "", "html", str)
    app.connect("config-inited", tell_templates)
    app.connect("html-collect-pages", extra_pages)
    app.connect("build-finished", put_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
