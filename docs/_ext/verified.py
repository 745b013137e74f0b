"""What was verified of each recipe, for its page.

``docs/recorded/verified/`` holds it, which ``nox -s verify`` writes. It is
read and drawn by ``grids.py``; here is said what must not be published.
"""

import os
from pathlib import Path

import grids
import sources
from sphinx.util import logging

from cookbook import forms
from cookbook.catalogue import Recipe

logger = logging.getLogger(__name__)


def of(recipe: Recipe, docs: Path) -> tuple[grids.Verified | None, bool]:
    """Return what was verified of *recipe*, and whether it is of other code.

    In CI the latter is a warning. That something is recorded of each recipe
    is for ``tests/test_verified.py`` to see.

    Raises:
        ValueError: If a test fails somewhere and the recipe does not say
            what happens there.
    """
    path = docs / "recorded" / "verified" / f"{recipe.address}.json"
    if not path.exists():
        return None, False
    text = path.read_text(encoding="utf-8")
    found = grids.read(text, recipe.fields["since"])
    if found.failing and "fails" not in recipe.fields:
        raise ValueError(
            f"fails on {', '.join(found.failing)}: "
            "the field :fails: must say what happens there"
        )
    stale = (found.code, found.proof) != now(recipe)
    if stale and "CI" in os.environ:
        message = "verified on other code: run nox -s verify -- %s"
        logger.warning(message, recipe.name, location=f"{path}:1")
    return found, stale


def now(recipe: Recipe) -> tuple[str, str]:
    """Return the fingerprints of a recipe's code and of its tests' code."""
    proof = sources.tests_of(recipe)
    text = proof.read_text(encoding="utf-8") if proof.exists() else ""
    return forms.fingerprint(recipe.source), forms.fingerprint(text)
