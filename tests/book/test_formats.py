"""The book's other forms: each is there, complete, and says what is so."""

import json
import posixpath
import re
from functools import cache
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree as ET
from zipfile import ZIP_STORED, ZipFile

import pytest

from cookbook import catalogue, forms
from tests.book.browser import BOOK, ROOT, Site, pages

RECIPES = catalogue.recipes()
CHAPTERS = [f"recipes/{one.name}/index" for one in catalogue.chapters()]
EPUB = BOOK / "concurrency-cookbook.epub"
OPF = "{http://www.idpf.org/2007/opf}"
DC = "{http://purl.org/dc/elements/1.1/}"
XHTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
TYPE = "{http://www.idpf.org/2007/ops}type"
ITEM = re.compile(
    r"- \[(?P<title>[^]]+)\]\((?P<address>[^)]+)\): (?P<line>.+)"
)

every_recipe = pytest.mark.parametrize(
    "recipe", RECIPES, ids=lambda recipe: recipe.name
)


def test_the_home_page_leads_to_every_form() -> None:
    home = (BOOK / "index.html").read_text(encoding="utf-8")
    page = (BOOK / "formats.html").read_text(encoding="utf-8")
    assert 'href="formats.html"' in home.partition("<article")[2]
    for name in EPUB.name, "programs.zip", "recipes.json", "llms.txt":
        assert f'href="{name}"' in page
        assert (BOOK / name).is_file()


# llms.txt


def test_the_list_for_models_has_the_shape_of_llmstxt_org() -> None:
    title, summary, *parts = (
        (BOOK / "llms.txt").read_text(encoding="utf-8").split("\n\n")
    )
    assert title == "# Concurrency Cookbook"
    assert re.fullmatch(r"> .+", summary)
    lists = parts[parts.index("## The book") :]
    for heading, items in zip(lists[::2], lists[1::2], strict=True):
        assert re.fullmatch(r"## .+", heading)
        assert all(map(ITEM.fullmatch, items.splitlines()))


def test_the_list_for_models_has_each_page_once_and_no_other() -> None:
    text = (BOOK / "llms.txt").read_text(encoding="utf-8")
    listed = [match["address"] for match in ITEM.finditer(text)]
    made_up = {"404.html", "genindex.html", "index.html", "search.html"}
    chapters = {
        f"recipes/{one.name}/index.html" for one in catalogue.chapters()
    }
    assert sorted(listed) == sorted({*pages()} - made_up - chapters)


# recipes.json


@cache
def entries() -> dict[str, dict[str, Any]]:
    """Return what the index says of each recipe."""
    whole = json.loads((BOOK / "recipes.json").read_text(encoding="utf-8"))
    assert whole["title"] == "Concurrency Cookbook"
    return {one["name"]: one for one in whole["recipes"]}


def test_the_index_lists_the_recipes_in_the_order_of_the_book() -> None:
    assert list(entries()) == [one.name for one in RECIPES]


@every_recipe
def test_the_index_says_what_the_recipe_says(recipe: catalogue.Recipe) -> None:
    said = entries()[recipe.name]
    assert said["task"] == recipe.title
    for field in "models", "work":
        assert said[field] == recipe.values(field)
    for field in "level", "since":
        assert said[field] == recipe.fields[field]
    assert said["needs"] == recipe.needs
    assert said["search"]
    trap = said["trap"]
    assert trap is None or trap == recipe.fields["trap"]
    title = f"<h1>{said['task'][:10]}"
    assert title in (BOOK / said["page"]).read_text(encoding="utf-8")


@every_recipe
def test_the_index_leads_to_the_programs(recipe: catalogue.Recipe) -> None:
    said = entries()[recipe.name]
    program = (BOOK / said["program"]).read_text(encoding="utf-8")
    assert program == forms.program(recipe.source)
    assert (said["trap"] is None) == (said["trap_program"] is None)
    if said["trap_program"]:
        trap = (BOOK / said["trap_program"]).read_text(encoding="utf-8")
        assert trap == forms.program(recipe.source, "broken_main")


# programs.zip


def test_the_archive_holds_every_program_and_the_licence() -> None:
    with ZipFile(BOOK / "programs.zip") as archive:
        assert archive.testzip() is None
        held = {
            name.removeprefix("concurrency-cookbook/"): archive.read(name)
            for name in archive.namelist()
        }
        assert archive.namelist() == sorted(archive.namelist())
        assert {one.date_time[0] for one in archive.infolist()} == {1980}
    wanted = {"LICENSE": (ROOT / "LICENSE").read_bytes()}
    for name, said in entries().items():
        address = name.replace(".", "/")
        wanted[f"{address}.py"] = (BOOK / said["program"]).read_bytes()
        if said["trap_program"]:
            trap = (BOOK / said["trap_program"]).read_bytes()
            wanted[f"{address}_trap.py"] = trap
    assert held == wanted


# EPUB


@cache
def parts() -> dict[str, bytes]:
    """Return the files of the EPUB."""
    with ZipFile(EPUB) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@cache
def page(name: str) -> ET.Element:
    """Return a page of the EPUB, which is well-formed or fails the test."""
    return ET.fromstring(parts()[name])


@cache
def anchors(name: str) -> list[str]:
    """Return the ids of a page of the EPUB."""
    return [
        one.attrib["id"] for one in page(name).iter() if "id" in one.attrib
    ]


def manifest() -> dict[str, dict[str, str]]:
    """Return what the EPUB says of each of its files."""
    items = ET.fromstring(parts()["content.opf"]).iter(f"{OPF}item")
    return {unquote(one.attrib["href"]): dict(one.attrib) for one in items}


def epub_pages() -> list[str]:
    """Return the pages of the EPUB; none if it was not built."""
    return [one for one in parts() if one.endswith(".xhtml")]


def test_the_epub_is_one_to_whoever_looks_at_its_first_bytes() -> None:
    with ZipFile(EPUB) as archive:
        first = archive.infolist()[0]
    assert first.filename == "mimetype"
    assert first.compress_type == ZIP_STORED
    assert parts()["mimetype"].strip() == b"application/epub+zip"
    assert b'full-path="content.opf"' in parts()["META-INF/container.xml"]


def test_the_files_in_the_epub_have_a_date_that_says_nothing() -> None:
    with ZipFile(EPUB) as archive:
        dates = {one.date_time for one in archive.infolist()}
    assert dates == {(1980, 1, 1, 0, 0, 0)}


def test_the_manifest_of_the_epub_names_each_file_once() -> None:
    apart = {"mimetype", "META-INF/container.xml", "content.opf"}
    assert {*manifest()} == {*parts()} - apart
    ids = [one["id"] for one in manifest().values()]
    assert len(set(ids)) == len(ids)


def test_the_epub_has_one_name_for_new_readers_and_for_old() -> None:
    opf, ncx = (
        ET.fromstring(parts()[name]) for name in ("content.opf", "toc.ncx")
    )
    [old] = [
        one.attrib["content"]
        for one in ncx.iter()
        if one.attrib.get("name") == "dtb:uid"
    ]
    assert [one.text for one in opf.iter(f"{DC}identifier")] == [old]


def test_the_manifest_of_the_epub_tells_of_drawings() -> None:
    for name in epub_pages():
        drawn = next(page(name).iter(f"{SVG}svg"), None) is not None
        properties = manifest()[name].get("properties", "").split()
        assert ("svg" in properties) == drawn, name


def test_the_epub_is_read_in_the_order_of_the_book() -> None:
    opf = ET.fromstring(parts()["content.opf"])
    names = {one["id"]: name for name, one in manifest().items()}
    spine = [names[one.attrib["idref"]] for one in opf.iter(f"{OPF}itemref")]
    assert spine[0] == "index.xhtml"
    order = [f"recipes/{one.address}.xhtml" for one in RECIPES[1:]]
    assert [one for one in spine if one in order] == order


def test_the_contents_of_the_epub_list_chapters_and_recipes() -> None:
    assert manifest()["nav.xhtml"]["properties"] == "nav"
    [contents] = [
        one
        for one in page("nav.xhtml").iter(f"{XHTML}nav")
        if one.attrib[TYPE] == "toc"
    ]
    listed = {one.attrib["href"] for one in contents.iter(f"{XHTML}a")}
    wanted = {
        f"recipes/{one.name}/index.xhtml" for one in catalogue.chapters()
    }
    wanted |= {f"recipes/{one.address}.xhtml" for one in RECIPES}
    assert wanted <= listed


def test_every_page_of_the_epub_has_a_title_and_each_id_once() -> None:
    assert len(epub_pages()) > len(RECIPES)
    for name in epub_pages():
        title = page(name).find(f"{XHTML}head/{XHTML}title")
        assert title is not None, name
        assert title.text, name
        assert len(set(anchors(name))) == len(anchors(name)), name


def test_every_link_inside_the_epub_leads_somewhere() -> None:
    dead = []
    for name in epub_pages():
        for one in page(name).iter():
            for attribute in "href", "src":
                link = one.attrib.get(attribute, "")
                path, anchor = urldefrag(link)
                if urlsplit(path).scheme or not link:
                    continue
                folder = PurePosixPath(name).parent.as_posix()
                path = posixpath.normpath(
                    posixpath.join(folder, unquote(path)) if path else name
                )
                if path not in parts() or (
                    anchor and unquote(anchor) not in anchors(path)
                ):
                    dead.append(f"{name}: {link}")
    assert not dead


def test_nothing_in_the_epub_needs_a_script_or_a_file_beside_it() -> None:
    for name in epub_pages():
        tags = {one.tag.removeprefix(XHTML) for one in page(name).iter()}
        assert not tags & {"button", "form", "input", "script"}, name
        small = [
            "".join(one.itertext())
            for one in page(name).iter(f"{XHTML}p")
            if "quiet" in one.attrib.get("class", "")
        ]
        assert not [one for one in small if one.endswith(("·", "Download"))]


@every_recipe
def test_the_epub_shows_the_programs_whole(recipe: catalogue.Recipe) -> None:
    shown = [
        "".join(one.itertext()).strip()
        for one in page(f"recipes/{recipe.address}.xhtml").iter(f"{XHTML}pre")
    ]
    assert forms.program(recipe.source).strip() in shown


# On paper

PAPER = 680  # pixels between the margins of an A4 sheet, about
CUT = """() => [...document.querySelectorAll("article pre")]
  .filter(one => one.scrollWidth > one.clientWidth + 1)
  .map(one => one.textContent.slice(0, 40))"""


@pytest.mark.parametrize(
    "address",
    [
        "recipes/threads/shared_counter.html",
        "recipes/clusters/real_cluster.html",
        "measured.html",
    ],
)
def test_on_paper_there_are_no_controls_and_nothing_is_cut_off(
    address: str, site: Site
) -> None:
    with site.page(address, width=PAPER, theme="dark") as page:
        page.emulate_media(media="print")
        assert not page.evaluate(CUT)
        for what in "button", "aside", "footer", ".mobile-header", "form":
            for one in page.locator(what).all():
                assert not one.is_visible(), what
        for one in page.locator("div.chart details table").all():
            assert one.is_visible()
        body = "getComputedStyle(document.body)"
        assert page.evaluate(f"{body}.backgroundColor") in (
            "rgb(255, 255, 255)",
            "rgba(0, 0, 0, 0)",
        )


def test_on_paper_a_trap_is_marked_without_its_colour(site: Site) -> None:
    with site.page("recipes/threads/shared_counter.html") as page:
        page.emulate_media(media="print")
        style = "one => getComputedStyle(one).borderLeftStyle"
        trap = page.locator("div.trap .highlight").first
        right = page.locator("div.output:not(.trap) .highlight").first
        assert trap.evaluate(style) != right.evaluate(style)
