"""What was recorded of each recipe's programs, for its page.

``lanes.py`` reads and draws it; here is said what must not be published.
"""

import os
from pathlib import Path

import lanes
from sphinx.util import logging

from cookbook import forms
from cookbook.catalogue import Recipe

logger = logging.getLogger(__name__)


def recorded(recipe: Recipe, docs: Path) -> lanes.Timeline | None:
    """Return what was recorded of *recipe*; None if nothing was."""
    path = where(recipe, docs)
    if not path.exists():
        return None
    return lanes.read(recipe.name, path.read_text(encoding="utf-8"))


def where(recipe: Recipe, docs: Path) -> Path:
    """Return the file of what was recorded of *recipe*."""
    return docs / "recorded" / "timelines" / f"{recipe.address}.json"


def of(recipe: Recipe, docs: Path) -> tuple[lanes.Timeline | None, bool]:
    """Return the lanes of *recipe*, and whether they are of other code.

    In CI the latter is a warning. There are none if nothing was recorded, or
    if they would show nothing.
    """
    found = recorded(recipe, docs)
    if found is None:
        return None, False
    stale = found.code != forms.fingerprint(recipe.source)
    if stale and "CI" in os.environ:
        message = "the timeline is of other code: run nox -s timelines -- %s"
        location = f"{where(recipe, docs)}:1"
        logger.warning(message, recipe.name, location=location)
    return (found if found.pictures else None), stale
