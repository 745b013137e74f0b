"""Let the search form find an error message as it is pasted.

Below the form ``messages.js`` shows which of the messages of ``errors.py`` was
meant. The index of messages holds them anyway; the search page is given them.
"""

import json
from pathlib import Path

import errors
import recipes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from cookbook import catalogue

PAGES = ("errors", "search")


def add_messages(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: object,
) -> None:
    """Give the page the script that finds messages, and what it looks in."""
    del template, context, doctree
    if page not in PAGES:
        return
    if app.builder.name != "epub":  # in which nothing can be typed
        if page == "search":
            found = json.dumps(known(Path(app.srcdir)), ensure_ascii=False)
            found = found.replace("</", r"<\/")  # which would end the script
            app.add_js_file(None, body=f"const MESSAGES = {found};")
        app.add_js_file("messages.js", loading_method="defer")


def known(docs: Path) -> list[list[object]]:
    """Return of each message: anchor, words, meaning, titles, addresses."""
    titles = {one.name: one for one in catalogue.recipes()}
    return [
        [
            entry.anchor,
            entry.messages,
            recipes.plain(entry.says),
            [
                [titles[name].title, f"recipes/{titles[name].address}.html"]
                for name in entry.recipes
            ],
        ]
        for part in errors.load(docs)
        for entry in part.entries
    ]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.connect("html-page-context", add_messages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
