"""What hand-written pages use to point at recipes and at proofs.

``:recipe:`threads.shared_counter```
    links to the recipe's page, with its task as the text.
``:proof:`threads/test_shared_counter::test_name```
    links to the test, with its sentence as the text.
``.. chapters::``, ``.. error-messages::`` and ``.. measurements::``
    show a list that ``recipes.py`` has written.
``.. found-by::``
    leads from each phrase in it, one a line, to the page it is on; with the
    option ``to``, to that anchor of it, and in the index alone.

A recipe or a test that does not exist is a warning.
"""

from functools import cache
from pathlib import Path
from typing import ClassVar

import recipes
import sources
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole, SphinxDirective
from sphinx.util.typing import ExtensionMetadata, OptionSpec

from cookbook import catalogue

# Where the standard library defines a class: the name its manual has.
DOCUMENTED = {
    "_asyncio.Future": "asyncio.Future",
    "_asyncio.Task": "asyncio.Task",
    "asyncio.locks.Semaphore": "asyncio.Semaphore",
    "concurrent.futures._base.Executor": "concurrent.futures.Executor",
    "concurrent.futures._base.Future": "concurrent.futures.Future",
    "concurrent.futures.process.ProcessPoolExecutor": (
        "concurrent.futures.ProcessPoolExecutor"
    ),
    "concurrent.futures.thread.ThreadPoolExecutor": (
        "concurrent.futures.ThreadPoolExecutor"
    ),
    "multiprocessing.process.BaseProcess": "multiprocessing.Process",
    "multiprocessing.queues.Queue": "multiprocessing.Queue",
    "multiprocessing.synchronize.Barrier": "multiprocessing.Barrier",
    "multiprocessing.synchronize.Event": "multiprocessing.Event",
    "multiprocessing.synchronize.Lock": "multiprocessing.Lock",
    "multiprocessing.synchronize.Semaphore": "multiprocessing.Semaphore",
}
logger = logging.getLogger(__name__)
Nodes = tuple[list[nodes.Node], list[nodes.system_message]]


@cache
def names() -> frozenset[str]:
    """Return the names of the recipes."""
    return frozenset(recipe.name for recipe in catalogue.recipes())


class RecipeRole(ReferenceRole):
    """A link to a recipe's page."""

    def run(self) -> Nodes:
        """Return a reference that Sphinx gives the page's title."""
        if self.target not in names():
            message = "there is no recipe %r"
            logger.warning(message, self.target, location=self.get_location())
            return [nodes.literal(text=self.target)], []
        reference = addnodes.pending_xref(
            "",
            nodes.inline(text=self.title),
            refdomain="std",
            reftype="doc",
            reftarget=f"/recipes/{self.target.replace('.', '/')}",
            refexplicit=self.has_explicit_title,
            refdoc=self.env.current_document.docname,
            refwarn=True,
        )
        return [reference], []


class ProofRole(ReferenceRole):
    """A link to a test, named by what it proves."""

    def run(self) -> Nodes:
        """Return a reference to the line that the test starts on."""
        file, _, name = self.target.partition("::")
        path = sources.TESTS / f"{file}.py"
        self.env.note_dependency(path)
        for claim in sources.claims(path):
            if claim.name == name:
                explicit = self.has_explicit_title
                text = self.title if explicit else claim.sentence
                return [nodes.reference("", text, refuri=claim.url)], []
        message = "there is no test %r"
        logger.warning(message, self.target, location=self.get_location())
        return [nodes.literal(text=self.target)], []


class ListDirective(SphinxDirective):
    """A list that was written when the build started."""

    def run(self) -> list[nodes.Node]:
        """Return the list of the directive's own name."""
        path = Path(self.env.srcdir, "recipes", f"{self.name}.txt")
        self.env.note_dependency(path)
        text = path.read_text(encoding="utf-8")
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class FoundByDirective(SphinxDirective):
    """Phrases that the page is found by, in the search and in the index."""

    has_content = True
    option_spec: ClassVar[OptionSpec] = {"to": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return entries that lead to the top of the page, or to an anchor."""
        anchor = self.options.get("to", "")
        entries = [
            ("single", phrase.replace(";", ","), anchor, "main", None)
            for phrase in self.content
        ]
        return [addnodes.index(entries=entries, unsearched=bool(anchor))]


def hide_anchors(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Keep phrases that lead to an anchor out of the search.

    It would list the page of error messages once for each that is like the
    query. The index has read them by now.
    """
    del app, page
    for node in list(doctree.findall(addnodes.index)):
        if node.get("unsearched"):
            node.parent.remove(node)


def use_documented_name(
    app: Sphinx,
    env: object,
    node: addnodes.pending_xref,
    contnode: nodes.Element,
) -> None:
    """Let a reference to where a class is defined find its manual entry."""
    del app, env, contnode
    target = node.get("reftarget", "")
    node["reftarget"] = DOCUMENTED.get(target, target)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the roles and the directives."""
    app.add_role("recipe", RecipeRole())
    app.add_role("proof", ProofRole())
    for name in recipes.LISTS:
        app.add_directive(name, ListDirective)
    app.add_directive("found-by", FoundByDirective)
    app.connect("doctree-resolved", hide_anchors)
    # before intersphinx
    app.connect("missing-reference", use_documented_name, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
