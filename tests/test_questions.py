"""Readers' questions, and the facts that answer them on a recipe's page.

``questions.tsv`` has one line for each: an id, the question, the recipe, and
the facts, literal texts that the page must show. An id that starts with N is
of our own; the others came from readers.
"""

from pathlib import Path
from typing import NamedTuple

import pytest

from cookbook import catalogue

PATH = Path(__file__).with_name("questions.tsv")


class Question(NamedTuple):
    """What a reader asks, and where the answer stands."""

    name: str
    text: str
    recipe: str
    facts: str


QUESTIONS = [
    Question(*line.split("\t"))
    for line in PATH.read_text(encoding="utf-8").splitlines()
]

PAGES = {one.name: one for one in catalogue.recipes()}
every_question = pytest.mark.parametrize(
    "question",
    QUESTIONS,
    ids=lambda question: f"{question.name}-{question.recipe}",
)


def test_each_question_is_asked_once_of_each_page() -> None:
    asked = [(one.name, one.recipe) for one in QUESTIONS]
    assert len(set(asked)) == len(asked)


@every_question
def test_the_facts_of_the_answer_stand_on_the_page(
    question: Question,
) -> None:
    page = " ".join(PAGES[question.recipe].source.split())
    facts = question.facts.split("|")
    assert all(len(fact) >= 4 for fact in facts)
    assert [fact for fact in facts if fact not in page] == []
