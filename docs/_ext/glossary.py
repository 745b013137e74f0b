"""Links the first use of each term to the glossary, when a page is read.

On a recipe's page and a chapter's, in the paragraphs at the top; on a page
that is written by hand, in all of its prose.
"""

import re
from collections.abc import Iterator
from functools import cache

import sources
import terms
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from cookbook import catalogue

PATH = sources.ROOT / "docs" / "glossary.toml"
WRITTEN = ("choosing", "errors", "index", "measured", "safety", "tested")
# In these, a word is no prose, leads somewhere already or is a heading.
APART = (
    nodes.FixedTextElement,
    nodes.literal,
    nodes.reference,
    nodes.table,
    nodes.term,
    nodes.title,
    addnodes.pending_xref,
    addnodes.download_reference,
)


@cache
def known() -> tuple[dict[str, str], re.Pattern[str]]:
    """Return each term by its small letters, and what finds them."""
    found = terms.load(PATH, catalogue.chapters())
    return {one.name.lower(): one.name for one in found}, terms.pattern(found)


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Link the first use of each term on the page."""
    page = app.env.current_document.docname
    names, found_by = known()
    seen = {*terms.other(PATH).get(page, [])}
    for paragraph in prose(doctree, page):
        for text in list(paragraph.findall(nodes.Text)):
            if is_apart(text, paragraph):
                continue
            parts = terms.split(text.astext(), found_by, seen)
            if any(term for _, term in parts):
                text.parent.replace(
                    text,
                    [
                        reference(part, names[term], page)
                        if term
                        else nodes.Text(part)
                        for part, term in parts
                    ],
                )
    if seen:
        app.env.note_dependency(PATH)


def prose(doctree: nodes.document, page: str) -> Iterator[nodes.paragraph]:
    """Yield the paragraphs of *page* whose terms are linked."""
    if page in WRITTEN:
        yield from doctree.findall(nodes.paragraph)
    elif page.startswith("recipes/"):
        for section in doctree.findall(nodes.section):
            for node in section.children:
                if isinstance(node, nodes.section | nodes.literal_block):
                    break
                if isinstance(node, nodes.paragraph):
                    yield node
            break


def is_apart(text: nodes.Text, paragraph: nodes.paragraph) -> bool:
    """Tell whether *text* stands in what is not searched for terms."""
    node: nodes.Node | None = text
    while (node := node.parent if node else None) is not None:
        if isinstance(node, APART) or "card" in getattr(
            node, "attributes", {}
        ).get("classes", []):
            return True
    return "quiet" in paragraph["classes"]


def reference(text: str, term: str, page: str) -> addnodes.pending_xref:
    """Return a link to the glossary."""
    return addnodes.pending_xref(
        "",
        nodes.inline(text=text, classes=["xref", "std", "std-term"]),
        refdomain="std",
        reftype="term",
        reftarget=term,
        refexplicit=True,
        refdoc=page,
        refwarn=True,
    )


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.connect("doctree-read", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
