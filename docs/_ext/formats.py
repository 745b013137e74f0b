"""The book in other forms, beside its pages: for programs and for models.

``llms.txt``
    the pages, each with one line on it, in the shape of llmstxt.org.
``recipes.json``
    what each recipe says of itself, and where its page and programs are.
``programs.zip``
    every program, ready to run.

All addresses are relative, for the book may be read from anywhere. The EPUB
has a module of its own: ``ebook.py``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import sources
from docutils import nodes
from recipes import first_sentence, has_trap
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from cookbook import catalogue

ABOUT = """\
Each recipe's page gives the right program first, then a trap that its tests
prove to be one. [recipes.json](recipes.json) lists each recipe with its
fields and its programs; [programs.zip](programs.zip) holds all programs.
"""
ARCHIVE = "concurrency-cookbook"  # the folder that everything is in
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say; the same on every build


class Entry(TypedDict):
    """What ``recipes.json`` says of a recipe.

    Attributes:
        name: Its name on the command line.
        task: Its title.
        summary: The first sentence of its answer.
        models: Threads, asyncio, processes, interpreters, cluster.
        work: CPU-bound, I/O-bound.
        level: First steps, everyday or expert.
        since: The first Python that it runs on.
        trap: The builds on which the trap is one; None if there is no trap.
        needs: The requirements to install first.
        search: The words and messages that readers look for.
        page: The address of its page.
        program: The address of the right program.
        trap_program: The address of the trap; None if there is none.
    """

    name: str
    task: str
    summary: str
    models: list[str]
    work: list[str]
    level: str
    since: str
    trap: str | None
    needs: list[str]
    search: list[str]
    page: str
    program: str
    trap_program: str | None


def entry(recipe: catalogue.Recipe, downloads: dict[str, str]) -> Entry:
    """Return what the index says of *recipe*.

    Args:
        recipe: A recipe.
        downloads: The address of each file that a page offers.
    """
    trap = has_trap(recipe)
    return Entry(
        name=recipe.name,
        task=recipe.title,
        summary=first_sentence(recipe.answer),
        models=recipe.values("models"),
        work=recipe.values("work"),
        level=recipe.fields["level"],
        since=recipe.fields["since"],
        trap=recipe.fields["trap"] if trap else None,
        needs=recipe.needs,
        search=[one.strip('"') for one in recipe.values("search")],
        page=page_of(recipe.address),
        program=downloads[f"{recipe.address}.py"],
        trap_program=downloads[f"{recipe.address}_trap.py"] if trap else None,
    )


def index(title: str, version: str, entries: list[Entry]) -> str:
    """Return the text of ``recipes.json``."""
    whole = {"title": title, "version": version, "recipes": entries}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def llms(title: str, summary: str, pages: list[tuple[str, str, str]]) -> str:
    """Return the text of ``llms.txt``.

    Args:
        title: The book's title.
        summary: What it is, in a sentence.
        pages: The hand-written pages: address, title, and a line on each.
    """
    parts = [f"# {title}", f"> {summary}", ABOUT.strip()]
    parts += ["## The book", "\n".join(_items(pages))]
    for chapter in catalogue.chapters():
        recipes = [
            (page_of(one.address), one.title, first_sentence(one.answer))
            for one in chapter.recipes
        ]
        if recipes:
            parts += [f"## {chapter.title}", "\n".join(_items(recipes))]
    return "\n\n".join(parts) + "\n"


def _items(pages: list[tuple[str, str, str]]) -> Iterator[str]:
    for address, title, line in pages:
        yield f"- [{title}]({address}): {line}"


def pack(archive: Path, folder: Path) -> None:
    """Write all programs below *folder* to *archive*.

    Order and dates are fixed, so the same programs give the same bytes.
    """
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*.py")
    }
    files["LICENSE"] = sources.ROOT / "LICENSE"
    with ZipFile(archive, "w") as file:
        for name in sorted(files):
            info = ZipInfo(f"{ARCHIVE}/{name}", EARLIEST)
            info.compress_type = ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            file.writestr(info, files[name].read_bytes())


def page_of(document: str) -> str:
    """Return the address of the page of a recipe."""
    return f"recipes/{document}.html"


def description(document: nodes.document) -> str:
    """Return what a page's ``meta`` directive says that it is about."""
    return next(
        (
            one["content"]
            for one in document.findall(nodes.meta)
            if one.get("name") == "description"
        ),
        "",
    )


def hand_written(app: Sphinx) -> Iterator[tuple[str, str, str]]:
    """Yield address, title and description of the pages that are no recipe.

    They come in the order of the sidebar; the core is among them.
    """
    root = app.config.root_doc
    for name in app.env.toctree_includes.get(root, []):
        if not name.endswith("/index"):
            title = app.env.titles[name].astext()
            line = description(app.env.get_doctree(name))
            yield f"{name}.html", title, line


def write(app: Sphinx, exception: Exception | None) -> None:
    """Write every form once the pages are there."""
    if exception or app.builder.name != "html":
        return
    # A book of some pages only, as for a test, has not all programs.
    downloads = {
        path.as_posix().removeprefix("recipes/"): f"_downloads/{target}"
        for path, (_, target) in app.env.dlfiles.items()
    }
    entries = [
        entry(one, downloads)
        for one in catalogue.recipes()
        if f"{one.address}.py" in downloads
    ]
    title = app.config.project
    summary = description(app.env.get_doctree(app.config.root_doc))
    texts = {
        "llms.txt": llms(title, summary, list(hand_written(app))),
        "recipes.json": index(title, app.config.version, entries),
    }
    out = Path(app.outdir)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    pack(out / "programs.zip", Path(app.srcdir, "recipes"))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Write the forms at the end of each build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
