"""How Sphinx builds the book."""

import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]
META = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = "Concurrency Cookbook"
author = META["authors"][0]["name"]
project_copyright = author
version = release = META["version"]
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "addresses",
    "chooser",
    "ebook",
    "formats",
    "glossary",
    "messages",
    "recipes",
    "references",
    "stepper",
    "switcher",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(cookbook\..*\.)?[A-Z]"),  # type variables have no page
    ("py:class", r"multiprocessing\.context\..*"),  # nor have these
]

# The committed inventory only: the build never asks the network.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "_inventory/python.inv")
}

# The reference part of a page. The types of arguments stand where each is
# explained, the type of the result in the signature.
add_module_names = False
always_document_param_types = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
toc_object_entries = False
typehints_document_rtype = False
typehints_use_signature_return = True

html_theme = "furo"
pygments_dark_style = "a11y-dark"
html_title = project
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_js_files = [
    ("copy.js", {"defer": "defer"}),
    ("keys.js", {"defer": "defer"}),
]
html_search_scorer = str(ROOT / "docs" / "_static" / "scorer.js")
html_copy_source = False
# Where Read the Docs shows it; other builds are told with -D. Where versions
# are side by side each is told where the latest is: the one to be found.
html_baseurl = os.environ.get("READTHEDOCS_CANONICAL_URL", "")
html_domain_indices = False

epub_basename = META["name"]
epub_identifier = epub_uid = META["name"]  # for new readers and for old
epub_description = META["description"]
epub_contributor = author
epub_tocscope = "includehidden"  # the chapters are in a hidden toctree
epub_show_urls = "no"  # links can be followed; their addresses are long
epub_css_files = ["ebook.css", "custom.css"]

html_theme_options = {
    "light_css_variables": {
        "color-api-name": "#0b6b4f",
        "color-api-pre-name": "#0b6b4f",
        "color-brand-primary": "#0b6b4f",
        "color-brand-content": "#0b6b4f",
        "color-brand-visited": "#0b6b4f",
        "color-trap": "#b3261e",
        "color-trap-background": "#fbeceb",
    },
    "dark_css_variables": {
        "color-api-name": "#5fcfa6",
        "color-api-pre-name": "#5fcfa6",
        "color-brand-primary": "#5fcfa6",
        "color-brand-content": "#5fcfa6",
        "color-brand-visited": "#5fcfa6",
        "color-trap": "#ff8a80",
        "color-trap-background": "#3a1f1d",
    },
}
