"""What can be stepped through on a page is what was explored."""

import json
import threading
from collections.abc import Iterator

import pytest

from cookbook import catalogue
from cookbook.testing.every_interleaving import DEADLOCK, Setup
from tests.exploring import RECORDED, STEPPED
from tests.stepping import Facts, endings, follow, graph

RECORDS = {
    recipe.name: json.loads(path.read_text(encoding="utf-8"))
    for recipe in catalogue.recipes()
    if (path := RECORDED / f"{recipe.address}.json").exists()
}
STEPPED_THROUGH = [
    name for name, record in RECORDS.items() if "graphs" in record
]

every_recipe = pytest.mark.parametrize("recipe", STEPPED_THROUGH)


def explored(recipe: str) -> Iterator[tuple[Facts, Facts]]:
    """Yield what was explored, and where its steps lead to."""
    graphs = RECORDS[recipe]["graphs"]
    subjects = []
    for facts in RECORDS[recipe]["builds"][STEPPED]:
        if facts["subject"] in graphs:
            subjects.append(facts["subject"])
            yield facts, graphs[facts["subject"]]
    assert subjects == list(graphs)


@every_recipe
def test_the_steps_lead_to_each_outcome_on_as_many_schedules(
    recipe: str,
) -> None:
    for facts, steps in explored(recipe):
        counts = [count for _, _, count in facts["outcomes"]]
        assert endings(steps) == dict(enumerate(counts))


@every_recipe
def test_the_losing_schedule_leads_to_the_first_wrong_outcome(
    recipe: str,
) -> None:
    for facts, steps in explored(recipe):
        wrong = [n for n, (_, bad, _) in enumerate(facts["outcomes"]) if bad]
        assert ("losing" in steps) is bool(wrong)
        if wrong:
            losing = [number for number, _, _ in facts["steps"]]
            assert steps["losing"] == losing
            assert follow(steps, losing) == wrong[0]


@every_recipe
def test_the_lines_shown_stand_in_the_recipe_or_in_its_test(
    recipe: str,
) -> None:
    chapter, name = recipe.split(".")
    proof = RECORDED.parents[1] / "tests" / chapter / f"test_{name}.py"
    text = proof.read_text(encoding="utf-8") + catalogue.find(recipe).source
    lines = {line.strip() for line in text.splitlines()}
    for _, steps in explored(recipe):
        for shown in steps["sources"]:
            assert {line.strip() for line in shown} <= lines


def test_a_state_tells_lines_own_and_shared_values_and_who_waits() -> None:
    def make() -> Setup:
        lock = threading.Lock()
        log: list[int] = []

        def work() -> None:
            with lock:
                log.append(1)

        return [work, work], lambda: len(log)

    found = graph(make, None, [2], {__file__})
    assert found
    assert found["sources"] == [
        ["def work() -> None:", "    with lock:", "        log.append(1)"]
    ]
    node = found["nodes"][-1]
    assert found["values"][node[1]] == [("lock", "free"), ("log", "[]")]
    node = found["nodes"][node[2][0]]
    assert found["values"][node[1]] == [("lock", "held by 1"), ("log", "[]")]
    first, second = (found["views"][number] for number in node[0])
    assert first == (((0, 2),), (), False)
    assert second == (((0, 1),), (), False)
    node = found["nodes"][node[2][1]]
    assert found["views"][node[0][1]] == (((0, 1),), (), True)
    assert node[2][1] == -1


def test_a_deadlock_is_an_outcome_of_the_steps() -> None:
    def make() -> Setup:
        lock = threading.Lock()

        def work() -> None:
            with lock, lock:
                pass

        return [work], lambda: "done"

    found = graph(make, None, [DEADLOCK], {__file__})
    assert found
    assert endings(found) == {0: 1}


def test_nothing_is_shown_that_stands_in_other_files() -> None:
    def make() -> Setup:
        return [threading.Lock().acquire, lambda: None], lambda: "done"

    assert graph(make, None, ["done"], set()) is None
