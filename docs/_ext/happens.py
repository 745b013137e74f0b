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


def of(recipe: Recipe, docs: Path) -> tuple[lanes.Timeline | None, bool]:
    """Return what was recorded of *recipe*, and whether it is of other code.

    In CI the latter is a warning. There is nothing if the lanes would show
    nothing, or if nothing was recorded.
    """
    path = docs / "recorded" / "timelines" / f"{recipe.address}.json"
    if not path.exists():
        return None, False
    found = lanes.read(recipe.name, path.read_text(encoding="utf-8"))
    stale = found.code != forms.fingerprint(recipe.source)
    if stale and "CI" in os.environ:
        message = "the timeline is of other code: run nox -s timelines"
        logger.warning(message, location=str(path))
    return (found if found.pictures else None), stale
