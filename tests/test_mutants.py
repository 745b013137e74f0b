"""The session that changes recipes, and what it found."""

import json

import pytest

from cookbook import catalogue
from tests import mutants

SOURCE = '''
LIMIT = 3


def work(number):
    """Return it."""
    return helper(number)


def helper(number):
    return number + LIMIT


def main():
    print(work(1))


def broken_work(number):
    return number


def broken_main():
    print(broken_work(1))
'''
DIFF = """\
--- mutation diff ---
--- acookbook/threads/x.py
+++ bcookbook/threads/x.py
@@ -1,3 +1,3 @@
 def at_least_1(number):
-    if number < 1:
+    if number <= 1:
         raise ValueError
"""


def test_only_what_a_reader_copies_to_use_is_changed() -> None:
    assert [*mutants.right_half(SOURCE)] == ["5-7", "10-11"]


def test_a_mutant_is_told_by_the_line_before_and_after() -> None:
    assert mutants.change(DIFF) == "if number < 1: -> if number <= 1:"


@pytest.mark.parametrize(
    ("name", "found"),
    json.loads(mutants.PATH.read_text(encoding="utf-8")).items(),
)
def test_each_mutant_that_passes_is_said_to_be_harmless_and_why(
    name: str, found: dict[str, dict[str, str]]
) -> None:
    assert name in [one.name for one in catalogue.recipes()]
    assert all(found["harmless"].values())
