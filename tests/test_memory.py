from pathlib import Path

import pytest
from memory import Files, Memory, shared

from cookbook import catalogue

ROOT = Path(__file__).parent.parent


class Desk:
    """A recipe, what every page depends on, and how often it was rendered."""

    def __init__(self, folder: Path) -> None:
        self.recipe = catalogue.Recipe("threads.one", folder / "one.py")
        self.recipe.path.write_text('"""One."""\n', encoding="utf-8")
        self.template = folder / "page.jinja"
        self.template.write_text("a page", encoding="utf-8")
        self.kept = folder / "rendered.json"
        self.rendered = 0

    def build(self) -> Files:
        """Return the recipe's files, as a build does."""
        known = Memory(self.kept, [self.template])
        found = known.recall("files", self.recipe, self._render)
        known.save()
        return found

    def _render(self) -> Files:
        self.rendered += 1
        return {"one.rst": f"page {self.rendered}"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk at which the recipe was rendered once."""
    found = Desk(tmp_path)
    assert found.build() == {"one.rst": "page 1"}
    return found


def test_what_has_not_changed_is_not_rendered_again(desk: Desk) -> None:
    assert desk.build() == {"one.rst": "page 1"}
    assert desk.rendered == 1


def test_a_recipe_that_was_edited_is_rendered_again(desk: Desk) -> None:
    desk.recipe.path.write_text('"""Two."""\n', encoding="utf-8")
    assert desk.build() == {"one.rst": "page 2"}


def test_a_template_that_was_edited_has_every_recipe_rendered_again(
    desk: Desk,
) -> None:
    desk.template.write_text("another page", encoding="utf-8")
    assert desk.build() == {"one.rst": "page 2"}


def test_ci_where_what_is_stale_is_a_warning_renders_for_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "another")
    assert desk.build() == {"one.rst": "page 2"}


def test_what_differs_is_made_for_itself(desk: Desk) -> None:
    known = Memory(desk.kept, [desk.template])
    assert known.recall("names", desk.recipe, lambda: ["Lock"]) == ["Lock"]
    found = known.recall("files", desk.recipe, dict[str, str])
    assert found == {"one.rst": "page 1"}


def test_every_page_depends_on_templates_code_and_what_was_recorded() -> None:
    found = {one.relative_to(ROOT).as_posix() for one in shared(ROOT / "docs")}
    assert {
        "cookbook/forms.py",
        "cookbook/primes.py",
        "docs/_ext/recipes.py",
        "docs/_inventory/python.inv",
        "docs/_templates/recipe.rst.jinja",
        "docs/recorded/threads/shared_counter.json",
    } <= found
