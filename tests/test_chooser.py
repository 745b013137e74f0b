"""The chooser: four questions, and a recipe for every way to answer them."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import choices
import figures
import flow
import pytest

from cookbook import catalogue

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CHOOSER = choices.load(DOCS)
LEAVES = CHOOSER.leaves()
REASONS = [leaf.why for _, leaf in CHOOSER.reasons()]
LINKS = flow.Links(
    {leaf.recipe: f"to-{leaf.recipe}" for leaf in LEAVES},
    {why: f"to-{why}" for why in REASONS},
)
TOO_FEW = """
[questions.waits]
asks = "What waits?"
answers.blocking = "calls"
[[exits]]
question = "waits"
answer = "blocking"
use = "threads"
recipe = "threads.thread_pool"
why = "chart:waits"
[[columns]]
answer = "blocking"
use = "threads"
why = "chart:waits"
[[rows]]
[rows.blocking]
use = "a pool"
recipe = "threads.thread_pool"
why = "chart:waits"
"""


def paths() -> Iterator[tuple[dict[str, str], list[choices.Leaf]]]:
    """Yield each way to answer, and the leaf of each row that fits."""
    for answers in CHOOSER.combinations():
        column = answers[choices.COLUMN]
        yield (
            answers,
            [
                row.leaves[column]
                for row in CHOOSER.exits + CHOOSER.rows
                if row.fits(answers)
            ],
        )


def test_the_chooser_asks_four_questions() -> None:
    assert list(CHOOSER.questions) == ["break", "much", "waits", "shared"]


def test_every_combination_of_answers_leads_to_the_first_row_that_fits() -> (
    None
):
    found = list(paths())
    assert len(found) == 3 * 3 * 3 * 2
    for answers, leaves in found:
        assert CHOOSER.decide(answers) == leaves[0]


def test_every_leaf_is_reached_and_every_answer_makes_a_difference() -> None:
    reached = {CHOOSER.decide(one) for one in CHOOSER.combinations()}
    assert reached == set(LEAVES)
    for name, question in CHOOSER.questions.items():
        for answer in question.answers:
            assert any(
                CHOOSER.decide(one | {name: answer})
                != CHOOSER.decide(one | {name: other})
                for one in CHOOSER.combinations()
                for other in question.answers
            )


def test_the_last_row_fits_always_and_no_other_does() -> None:
    assert [not row.question for row in CHOOSER.exits + CHOOSER.rows] == [
        *[False] * (len(CHOOSER.exits) + len(CHOOSER.rows) - 1),
        True,
    ]


def test_every_leaf_is_a_recipe_and_no_two_are_the_same() -> None:
    known = {recipe.name for recipe in catalogue.recipes()}
    led_to = [leaf.recipe for leaf in LEAVES]
    assert set(led_to) <= known
    assert len(set(led_to)) == len(led_to)


def test_every_reason_is_a_test_or_a_chart_that_bears_out_its_sentence() -> (
    None
):
    text = (DOCS / "recorded" / "bench.json").read_text(encoding="utf-8")
    charts = {one.name for one in figures.read(text).charts if one.holds}
    for _, leaf in CHOOSER.reasons():
        if leaf.measured:
            assert leaf.chart in charts
        else:
            file, _, name = leaf.why.partition("::")
            source = (ROOT / "tests" / f"{file}.py").read_text("utf-8")
            assert f"\ndef {name}(" in source


def test_a_leaf_is_of_the_model_of_its_column_or_of_processes_or_more() -> (
    None
):
    models = {"blocking": "threads", "awaited": "asyncio"}
    for row in CHOOSER.rows:
        for name, leaf in row.leaves.items():
            recipe = catalogue.find(leaf.recipe)
            # A thread cannot be ended, a process can.
            assert {models.get(name, "processes"), "processes"} & set(
                recipe.values("models")
            )


@pytest.mark.parametrize("name", flow.ROOMS)
def test_the_drawing_has_each_question_answer_and_leaf_with_its_links(
    name: str,
) -> None:
    root = ET.fromstring(flow.svg(CHOOSER, LINKS, name))
    svg = "{http://www.w3.org/2000/svg}"
    written = {"".join(one.itertext()) for one in root.iter(f"{svg}text")}
    assert {one.asks for one in CHOOSER.questions.values()} <= written
    rows = [row for row in CHOOSER.exits + CHOOSER.rows if row.question]
    assert {CHOOSER.words(row) for row in rows} <= written
    linked = {
        (link.get("href"), "".join(link.itertext()))
        for link in root.iter(f"{svg}a")
    }
    assert linked == {(f"to-{leaf.recipe}", leaf.use) for leaf in LEAVES} | {
        (f"to-{leaf.why}", leaf.mark) for _, leaf in CHOOSER.reasons()
    }
    assert len(list(root.iter(f"{svg}rect"))) == len(LEAVES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("answer = ", 'answer = "x"#', r"the columns are \['x'\], not"),
        ('question = "waits"', 'question = "who"', "'who'"),
        ('recipe = "threads.thread_pool"', "", "'recipe'"),
        ("[[rows]]", "[[rows", "TOMLDecodeError"),
    ],
)
def test_a_file_that_does_not_hold_what_it_should_is_refused(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert choices.read(TOO_FEW).leaves()
    path = tmp_path / "choosing.toml"
    path.write_text(TOO_FEW.replace(old, new), encoding="utf-8")
    with pytest.raises(choices.ChoicesError, match=message):
        choices.load(tmp_path)


def test_answers_that_no_row_fits_are_an_error() -> None:
    text = TOO_FEW.replace(
        "[[rows]]", '[[rows]]\nquestion = "waits"\nanswer = "blocking"'
    ).replace('answers.blocking = "calls"', 'answers.blocking = "calls"\n')
    chooser = choices.read(text)
    none = choices.Choices(chooser.questions, chooser.columns, (), ())
    with pytest.raises(choices.ChoicesError, match="no row fits"):
        none.decide({"waits": "blocking"})
