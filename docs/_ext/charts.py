"""What was measured, for the pages: ``docs/recorded/bench.json``.

The file is read by ``figures.py`` and drawn by ``drawing.py``; here is said
what must not be published.
"""

import os
from pathlib import Path

import sources
from figures import Figures, FiguresError, read
from sphinx.errors import ExtensionError
from sphinx.util import logging

from cookbook import catalogue

logger = logging.getLogger(__name__)


def load(docs: Path) -> tuple[Figures | None, list[str]]:
    """Return what was measured, and the modules that have changed since.

    A sentence that its figures do not bear out is a warning; in CI, so are
    figures that were measured on other code.

    Raises:
        ExtensionError: If the file does not hold what it should.
    """
    path = docs / "recorded" / "bench.json"
    if not path.exists():
        return None, []
    try:
        found = read(path.read_text(encoding="utf-8"))
    except FiguresError as error:
        raise ExtensionError(f"{path}: {error}") from error
    for problem in found.problems({one.name for one in catalogue.recipes()}):
        logger.warning("%s: %s", path, problem)
    stale = found.stale(sources.ROOT)
    if stale and "CI" in os.environ:
        message = "%s: measured on other code (%s): run nox -s bench"
        logger.warning(message, path, ", ".join(stale))
    return found, stale
