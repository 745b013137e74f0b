"""One page for each recipe and each chapter, with none kept by hand.

When the build starts, each page is rendered from its module and the template
``recipe.rst.jinja`` or ``chapter.rst.jinja`` into ``docs/recipes/``; so are
the lists that hand-written pages show (see ``references.py``), and the two
programs of each recipe that a reader can download. A file is written only
when its text has changed, so that Sphinx reads again only what is new.
"""

import ast
import os
import re
import textwrap
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import charts
import disturbed
import drawing
import errors
import figures
import grids
import happens
import lanes
import memory
import names
import schedules
import sources
import terms
import verified
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.rst import escape
from sphinx.util.template import ReSTRenderer
from sphinx.util.typing import ExtensionMetadata

from cookbook import catalogue, forms

logger = logging.getLogger(__name__)

LISTS = (
    "chapters",
    "error-messages",
    "faults",
    "glossary-terms",
    "measurements",
    "names",
    "pictures",
    "traps",
    "versions",
)
DESCRIPTIONS = {  # of the pages that Sphinx makes up itself
    "404": "There is no page at this address; where to look instead.",
    "genindex": "Every name, term and error message of the book, in order.",
    "search": "Search the book for a task, a word or an error message.",
}
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# What Sphinx and Furo leave out: (part of the page, what it holds, right).
REPAIRS = (
    ("body", "<pre>", '<pre tabindex="0">'),  # scrolled with the keyboard
    (
        "furo_navigation_tree",
        'role="heading"',
        'role="heading" aria-level="2"',
    ),
)
MODULE = re.compile(r"^([a-z_]+\.)+(?=[A-Z])")  # concurrent.futures.Error
MODULE_ROLE = re.compile(r":mod:`~?cookbook\.([a-z_.]+)`")
OWN_ROLE = re.compile(r":[a-z]+:`(\w+)`")
RETURNS = re.compile(r"^Returns:\n( +)", re.MULTILINE)
TERM = re.compile(r"\n\n(?=\S.*\n[ ])")  # before a definition list
WARNING = re.compile(r"^Warning:\n((?:[ ].*\n|\n)+)", re.MULTILINE)


def write_pages(app: Sphinx) -> None:
    """Write what has changed below ``docs/recipes/``; delete what is stale."""
    docs = Path(app.srcdir)
    folder = docs / "recipes"
    rendered = Path(app.doctreedir, "rendered.json")
    known = memory.Memory(rendered, memory.shared(docs))
    files = dict(render(docs / "_templates", known))
    known.save()
    for name, text in files.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.*"):
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()


def render(templates: Path, known: memory.Memory) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each file below ``docs/recipes/``.

    Args:
        templates: The folder of the templates.
        known: What was rendered last time.
    """
    renderer = ReSTRenderer([templates])
    renderer.env.trim_blocks = renderer.env.lstrip_blocks = True
    renderer.env.filters |= {
        "sentence": first_sentence,
        "linked": link_modules,
        "label": label,
        "rule": name_rule,
        "escaped": escape,
        "number": figures.number,
        "svg": drawing.svg,
        "lanes": lanes.svg,
        "grid": grids.html,
        "thumbnail": lanes.thumbnail,
    }
    measured, stale = charts.load(sources.ROOT / "docs")
    chapters = [one for one in catalogue.chapters() if one.recipes]
    recipes = catalogue.recipes()
    for recipe in recipes:
        make = partial(files_of, recipe, renderer, measured, stale)
        yield from known.recall("files", recipe, make).items()
    for chapter in chapters:
        text, *words = TERM.split(chapter.introduction, maxsplit=1)
        parts = {"chapter": chapter, "introduction": text}
        parts["vocabulary"] = "".join(words)
        page = renderer.render("chapter.rst.jinja", parts)
        yield f"{chapter.name}/index.rst", page
    changes = (templates.parent / "versions.toml").read_text("utf-8")
    inventory = templates.parent / "_inventory" / "python.inv"
    manual = names.documented(inventory)
    used = {
        recipe.name: known.recall(
            "names", recipe, partial(names.used_by, recipe.source, manual)
        )
        for recipe in recipes
    }
    indexed = errors.load(sources.ROOT / "docs")
    whole = {
        "chapters": chapters,
        "changes": tomllib.loads(changes)["changes"],
        "indexed": indexed,
        "pythons": errors.pythons(sources.ROOT / "docs"),
        "messages": messages(recipes, indexed),
        "names": names.index(recipes, used),
        "parts": [
            *((one.title, one.recipes) for one in chapters),
            (recipes[0].title, recipes[:1]),
        ],
        "roles": manual,
        "terms": terms.load(templates.parent / "glossary.toml", chapters),
        "traps": traps,
        "figures": measured,
        "stale": stale,
        "disturbed": faults(),
        "pictures": pictures(chapters),
    }
    for name in LISTS:
        yield f"{name}.txt", renderer.render(f"{name}.rst.jinja", whole)


def faults() -> disturbed.Table | None:
    """Return how programs end; in CI warn of one that has changed since."""
    found = disturbed.load(sources.ROOT / "docs")
    if found and found.stale and "CI" in os.environ:
        told = ", ".join(found.stale)
        logger.warning("disturbed as other code: %s: run nox -s faults", told)
    return found


def files_of(
    recipe: catalogue.Recipe,
    renderer: ReSTRenderer,
    measured: figures.Figures | None,
    stale: list[str],
) -> memory.Files:
    """Return the page of *recipe* and its programs.

    Raises:
        ExtensionError: If a program cannot be cut out of the module.
    """
    if recipe.unwritten and "CI" in os.environ:
        message = f"not written yet: {recipe.unwritten[0]}"
        logger.warning(message, location=f"{recipe.path}:1")
    try:
        parts = anatomy(recipe, measured, stale)
    except (SyntaxError, ValueError) as error:
        raise ExtensionError(f"{recipe.path}: {error}") from error
    files = {
        f"{recipe.address}.rst": renderer.render("recipe.rst.jinja", parts),
        f"{recipe.address}.py": str(parts["program"]),
    }
    if has_trap(recipe):
        files[f"{recipe.address}_trap.py"] = str(parts["trap"])
    return files


def anatomy(
    recipe: catalogue.Recipe,
    measured: figures.Figures | None,
    stale: list[str],
) -> dict[str, object]:
    """Return what the template of a recipe's page may use."""
    trap = has_trap(recipe)
    source = recipe.source
    timeline, old = happens.of(recipe, sources.ROOT / "docs")
    grid, not_verified = verified.of(recipe, sources.ROOT / "docs")
    return {
        "recipe": recipe,
        "timeline": timeline,
        "timeline_stale": old,
        "verified": grid,
        "verified_stale": not_verified,
        "program": forms.program(source),
        "outputs": forms.outputs(source),
        "trap": forms.program(source, "broken_main") if trap else "",
        "trap_outputs": forms.outputs(source, "broken_main"),
        "warnings": warnings(source),
        "claims": sources.claims(sources.tests_of(recipe)),
        "record": schedules.of(recipe, sources.ROOT / "docs"),
        "figures": measured,
        "charts": measured.of(recipe.name) if measured else [],
        "stale": stale,
        "phrases": phrases(recipe),
        "words": search_words(recipe),
    }


def pictures(
    chapters: list[catalogue.Chapter],
) -> list[tuple[catalogue.Chapter, list[lanes.Timeline]]]:
    """Return what was recorded of each chapter's recipes, if anything was."""
    docs = sources.ROOT / "docs"
    found = [
        (
            chapter,
            [
                timeline
                for recipe in chapter.recipes
                if (timeline := happens.recorded(recipe, docs))
                and timeline.pictures
            ],
        )
        for chapter in chapters
    ]
    return [one for one in found if one[1]]


def has_trap(recipe: catalogue.Recipe) -> bool:
    """Tell whether *recipe* has a trap, or says why it has none."""
    return not recipe.fields.get("trap", "none").startswith("none")


def warnings(source: str) -> list[tuple[str, str]]:
    """Return the names of a module's objects with a ``Warning:``, and it."""
    return [
        (node.name, textwrap.dedent(match[1]).strip())
        for node in ast.parse(source).body
        if isinstance(node, DEFINITIONS)
        for match in WARNING.finditer(f"{ast.get_docstring(node) or ''}\n")
    ]


def traps(recipe: catalogue.Recipe) -> list[tuple[str, str, str]]:
    """Return the names of a recipe's traps, what each does, and why not to.

    Both texts are reStructuredText on one line; the second may be empty.
    """
    if not has_trap(recipe):
        return []
    found = [
        (node.name, ast.get_docstring(node) or "")
        for node in ast.parse(recipe.source).body
        if isinstance(node, DEFINITIONS)
    ]
    warned = dict(warnings(recipe.source))
    return [
        (name, one_line(text), one_line(warned.get(name, "")))
        for name, text in found
        if name in warned
        or (
            not warned
            and name.lower().startswith("broken")
            and name != "broken_main"
        )
    ]


def phrases(recipe: catalogue.Recipe) -> list[str]:
    """Return what readers look for, errors also without their module."""
    found = [one.strip('"') for one in recipe.values("search")]
    return list(dict.fromkeys(found + [MODULE.sub("", one) for one in found]))


def search_words(recipe: catalogue.Recipe) -> list[str]:
    """Return each word that must lead to *recipe*, once.

    Sphinx looks a keyword up as a whole, and the query word by word: a phrase
    would never be found.
    """
    text = " ".join([recipe.name, recipe.title, *recipe.values("search")])
    return list(dict.fromkeys(re.findall(r"\w+", text.lower())))


def messages(
    recipes: list[catalogue.Recipe], parts: list[errors.Part]
) -> list[tuple[str, catalogue.Recipe]]:
    """Return the messages that recipes name and *parts* do not hold."""
    known = [
        words.lower()
        for part in parts
        for entry in part.entries
        for words in entry.messages
    ]
    return sorted(
        (
            (message, recipe)
            for recipe in recipes
            for value in recipe.values("search")
            if value.startswith('"') and " " in (message := value.strip('"'))
            if not any(message.lower() in words for words in known)
        ),
        key=lambda found: (found[0].lower(), found[1].name),
    )


def first_sentence(text: str) -> str:
    """Return the first sentence of *text*, its markup taken off."""
    return re.split(r"(?<=[.!?]) ", plain(text.partition("\n\n")[0]))[0]


def one_line(text: str) -> str:
    """Return the first paragraph of *text* on one line.

    A role with a name of the module finds it on the module's page alone.
    """
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return OWN_ROLE.sub(r"``\1``", paragraph)


def plain(text: str) -> str:
    """Return *text* on one line, its markup taken off."""
    unmarked = re.sub(r":[\w:]+:(?=`)|(?<!except)[*]", "", text)
    return " ".join(unmarked.replace("`", "").split())


def link_modules(text: str) -> str:
    """Let ``:mod:`` roles that name a recipe show its task."""
    return MODULE_ROLE.sub(r":recipe:`\1`", text)


def label(when: str) -> str:
    """Return the words above an output of the builds that *when* names."""
    return f"On {when}" if when[:1].isdigit() else when[:1].upper() + when[1:]


def name_rule(told_by: str) -> str:
    """Spell a linter's rule out: ``ruff B023``; leave other words alone."""
    return re.sub(r"^(ruff) ([A-Z]+[0-9]+)$", r"``\1``, rule ``\2``", told_by)


def trim_reference(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    lines: list[str],
) -> None:
    """Leave out of the reference what stands on the page already.

    And tell napoleon, by an empty type, that what comes before a colon in
    ``Returns:`` is no type: types are in the annotations alone.
    """
    del app, name, obj, options
    text = "\n".join(lines)
    if what == "module":
        text = ""
    elif what in ("class", "function"):
        text = WARNING.sub("", text)
    lines[:] = RETURNS.sub(r"\g<0>:\n\1", text).splitlines()


def mark_doctests(app: Sphinx, doctree: nodes.document) -> None:
    """Let doctests be shown, and copied, as sessions at the prompt."""
    del app
    for block in doctree.findall(nodes.doctest_block):
        block["language"] = "pycon"


def adapt_page(
    app: Sphinx,
    page: str,
    template: str,
    context: dict[str, object],
    doctree: nodes.document | None,
) -> None:
    """Link the page to its source; make it pass as accessible."""
    del template, doctree
    for part, old, new in REPAIRS:
        if isinstance(html := context.get(part), str):
            context[part] = html.replace(old, new)
    if page in DESCRIPTIONS:
        tag = f'<meta name="description" content="{DESCRIPTIONS[page]}" />'
        context["metatags"] = f"{context.get('metatags', '')}{tag}"
    if path := source_of(app, page):
        view, edit = sources.address(path), sources.address(path, "edit")
        context["theme_source_view_link"] = view
        context["theme_source_edit_link"] = edit


def source_of(app: Sphinx, page: str) -> Path | None:
    """Return the file to change in order to change *page*; None if none."""
    if page not in app.env.found_docs:
        return None
    folder, _, name = page.partition("/")
    if folder != "recipes":
        return Path(app.env.doc2path(page))
    if name.endswith("/index"):
        name = name.replace("/index", "/__init__")
    return catalogue.ROOT / f"{name}.py"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Connect the above to the build."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", trim_reference, priority=100)
    app.connect("doctree-read", mark_doctests)
    app.connect("html-page-context", adapt_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
