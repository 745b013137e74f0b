"""Addresses that do not break, and the page for those that never were.

``docs/moved.json`` says where a page, or an anchor of a page, has gone::

    {"old.html": "new.html", "page.html#old": "page.html#new"}

A page that has moved leaves one behind that leads to the new one. An anchor
that has a new name on its page keeps the old one too. What has been published
stands in ``docs/published.txt``; a test holds the book to it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.osutil import relative_uri
from sphinx.util.typing import ExtensionMetadata

Page = tuple[str, dict[str, object], str]


def moved(docs: Path) -> dict[str, str]:
    """Return the new address of each that is old.

    Raises:
        ExtensionError: If an anchor is said to be on another page now: no
            page can lead there without a script.
    """
    text = (docs / "moved.json").read_text(encoding="utf-8")
    table = {str(old): str(new) for old, new in json.loads(text).items()}
    for old, new in table.items():
        page, anchor, _ = old.partition("#")
        if anchor and new.partition("#")[:2] != (page, "#"):
            raise ExtensionError(
                f"moved.json: {old} can only move on its page"
            )
    return table


def extra_pages(app: Sphinx) -> Iterator[Page]:
    """Yield the pages that lead to others, and the one for those not found."""
    if app.builder.name != "html":
        return
    for old, new in moved(Path(app.srcdir)).items():
        if "#" not in old:
            page = PurePosixPath(old).with_suffix("").as_posix()
            yield page, {"target": relative_uri(old, new)}, "moved.html"
    base = urlsplit(app.config.html_baseurl).path or "/"
    yield "404", {"base": base}, "404.html"


def keep_anchors(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: nodes.document | None,
) -> None:
    """Let the anchors that have a new name be found by the old one."""
    del template
    if doctree is None or not isinstance(body := context.get("body"), str):
        return
    for old, new in moved(Path(app.srcdir)).items():
        name, _, anchor = old.partition("#")
        if anchor and name == f"{page}.html":
            at = re.escape(new.partition("#")[2])
            alias = rf'\g<0><span id="{anchor}"></span>'
            body = re.sub(rf'<\w+[^>]* id="{at}"[^>]*>', alias, body, count=1)
    context["body"] = body


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.connect("html-collect-pages", extra_pages)
    app.connect("html-page-context", keep_anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
