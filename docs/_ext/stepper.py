"""Schedules that the reader can step through, on the pages that have some.

Below its tables a page holds, as JSON, each state of the threads and where
each step leads to; ``stepper.js`` lets the reader decide who takes it.
"""

import json
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

MARK = '<script type="application/json" class="stepper">'


def script(facts: list[dict[str, Any]], graphs: dict[str, Any]) -> str:
    """Return the element that holds the *graphs* of what was explored.

    What can go wrong comes first. Without a graph the text is empty.
    """
    explorations = [
        {
            "subject": one["subject"].replace("``", ""),
            "outcomes": [[words, bad] for words, bad, _ in one["outcomes"]],
            "threads": one["threads"],
            "preemptions": one["preemptions"],
            **graphs[one["subject"]],
        }
        for one in facts
        if one["subject"] in graphs
    ]
    if not explorations:
        return ""
    explorations.sort(key=lambda one: "losing" not in one)
    text = json.dumps(explorations, separators=(",", ":"))
    return MARK + text.replace("<", r"\u003c") + "</script>"


def load_stepper(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: nodes.document | None,
) -> None:
    """Load what steps through schedules only where there are some."""
    del page, template, doctree
    if MARK in str(context.get("body", "")):
        app.add_js_file("stepper.js", loading_method="defer")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.connect("html-page-context", load_stepper)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
