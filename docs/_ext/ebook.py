"""The book as an EPUB: what Sphinx's builder leaves out, or must not show."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from zipfile import ZipFile, ZipInfo

from docutils import nodes
from formats import EARLIEST
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.epub3 import Epub3Builder
from sphinx.util.typing import ExtensionMetadata

PAGE = re.compile(r'<item [^>]*href="([^"]+\.xhtml)"[^>]*?(?= ?/>)')
FORM = re.compile(r"<(button|form|script)\b")  # of no use without a script


class Builder(Epub3Builder):
    """Sphinx's builder, whose manifest names the pages that hold drawings."""

    def build_content(self) -> None:
        """Write ``content.opf``; a reader must be told of SVG in a page."""
        super().build_content()
        out = Path(self.outdir)

        def declared(match: re.Match[str]) -> str:
            page = out / match[1]
            drawn = page.is_file() and "<svg" in page.read_text("utf-8")
            return f'{match[0]} properties="svg"' if drawn else match[0]

        path = out / "content.opf"
        text = path.read_text(encoding="utf-8")
        path.write_text(PAGE.sub(declared, text), encoding="utf-8")

    def build_epub(self) -> None:
        """Pack the files; all have the same date, whenever they were made."""
        super().build_epub()
        path = Path(self.outdir, f"{self.config.epub_basename}.epub")
        with ZipFile(path) as archive:
            packed = [(one, archive.read(one)) for one in archive.infolist()]
        with ZipFile(path, "w") as archive:
            for old, data in packed:
                info = ZipInfo(old.filename, EARLIEST)
                info.compress_type = old.compress_type
                info.external_attr = 0o644 << 16
                archive.writestr(info, data)


def cut_ties(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take out what an EPUB does not hold: downloads, files, forms."""
    del docname
    if app.builder.name != "epub":
        return
    for download in list(doctree.findall(addnodes.download_reference)):
        paragraph = download.parent
        at = paragraph.index(download)
        before = paragraph[at - 1] if at else None
        if isinstance(before, nodes.Text):
            cut = before.astext().removesuffix(" · ")
            paragraph.replace(before, nodes.Text(cut))
        paragraph.remove(download)
    for raw in list(doctree.findall(nodes.raw)):
        if FORM.search(raw.astext()):
            raw.parent.remove(raw)
    for link in list(doctree.findall(nodes.reference)):
        uri = link.get("refuri", "")
        if uri and not link.get("internal") and not urlsplit(uri).scheme:
            link.replace_self(link.children)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Put the builder in the place of Sphinx's own."""
    app.add_builder(Builder, override=True)
    app.connect("doctree-resolved", cut_ties)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
