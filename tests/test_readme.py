import re
from hashlib import sha256
from pathlib import Path

from cookbook import catalogue

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_picture_shows_the_recipe_as_it_is() -> None:
    [picture] = re.findall(r"\]\((\S+\.png)\)", README)
    record = (ROOT / picture).with_suffix(".sha256")
    source = catalogue.find("shared_counter").source
    shown = record.read_text(encoding="utf-8").strip()
    assert shown == sha256(source.encode()).hexdigest(), (
        "take it again, with `nox -s picture`"
    )


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https:)(\S+?)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_the_recipes_that_the_readme_names_exist() -> None:
    names = re.findall(r"cookbook (?:show|run) (\w+)", README)
    assert names
    assert all(catalogue.find(name) for name in names)
