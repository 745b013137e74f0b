"""Explore every schedule in a test, and record for the page what came of it.

What is recorded stands in ``docs/recorded/``, one file for each recipe, which
``nox -s record`` writes. Otherwise a test compares what it finds with it.
For one build it also holds where the steps lead to, for the reader to step
through.
"""

import json
import sys
import sysconfig
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from cookbook import catalogue, forms
from cookbook.testing.every_interleaving import (
    Make,
    Outcome,
    every_interleaving,
    replay,
    steps,
)
from tests import stepping

RECORDED = Path(__file__).parent.parent / "docs" / "recorded"
BUILDS = ("3.11", "3.12", "3.13", "3.13t", "3.14", "3.15")
BUILD = f"{sys.version_info[0]}.{sys.version_info[1]}" + "t" * bool(
    sysconfig.get_config_var("Py_GIL_DISABLED")
)
STEPPED = "3.14"  # the build whose steps can be stepped through
LARGEST = 1_000  # states that are worth their place in a page
Facts = dict[str, Any]


class Explore:
    """The fixture ``explore``, for the tests of one recipe.

    Attributes:
        recipe: Its name, such as ``threads.barrier``.
        code: The fingerprint of its code.
        recorded: By build, what was found there, in the order of the tests.
        graphs: By what was run, where its steps lead to.
        files: The recipe's and the test's, whose lines the page may show.
        begun: The recipes recorded by this run; None to compare instead.
    """

    def __init__(self, recipe: str, begun: set[str] | None) -> None:
        self.recipe = recipe
        self.begun = begun
        self.path = RECORDED / f"{recipe.replace('.', '/')}.json"
        chapter, name = recipe.split(".")
        source = catalogue.ROOT / chapter / f"{name}.py"
        proof = Path(__file__).parent / chapter / f"test_{name}.py"
        self.files = {str(source), str(proof)}
        self.code = forms.fingerprint(source.read_text(encoding="utf-8"))
        self.recorded: dict[str, list[Facts]] = {}
        self.graphs: dict[str, Facts] = {}
        if self.path.exists():
            record = json.loads(self.path.read_text(encoding="utf-8"))
            if begun is None or record["code"] == self.code:
                self.recorded = record["builds"]
                self.graphs = record.get("graphs", {})

    def __call__(
        self,
        make: Make,
        subject: str,
        *,
        right: Mapping[Any, str],
        wrong: Mapping[Any, str] | None = None,
        by: str = "line",
        preemptions: int | None = None,
        threads: tuple[str, ...] = (),
    ) -> dict[Hashable, Outcome]:
        """Explore *make*; its outcomes must be those of *right* and *wrong*.

        Args:
            make: As for ``every_interleaving``.
            subject: What is run, for the page; unique within the recipe.
            right: The words for each outcome that is as it should be.
            wrong: The words for each other one. The steps that lead to the
                first of them are shown.
            by: As for ``every_interleaving``.
            preemptions: As for ``every_interleaving``.
            threads: What the page calls the threads, in their order.

        Returns:
            What ``every_interleaving`` returns.
        """
        wrong = wrong or {}
        found = every_interleaving(make, by=by, preemptions=preemptions)
        assert set(found) == {*right, *wrong}
        facts: Facts = {
            "subject": subject,
            "by": by,
            "preemptions": preemptions,
            "threads": list(threads),
            "outcomes": [
                [words, outcome in wrong, found[outcome].schedules]
                for outcome, words in {**right, **wrong}.items()
            ],
        }
        for outcome in list(wrong)[:1]:
            schedule = found[outcome].shortest
            assert replay(make, schedule, by=by) == outcome
            facts["steps"] = [*map(list, steps(make, schedule, by=by))]
        if self.begun is not None:
            graph = None
            if BUILD == STEPPED and by == "line":
                outcomes = [*right, *wrong]
                graph = stepping.graph(make, preemptions, outcomes, self.files)
                if graph and "steps" in facts:
                    graph["losing"] = [step[0] for step in facts["steps"]]
            self.record(facts, graph)
        elif known := self.recorded.get(BUILD):  # test_book: none is left out
            name = self.recipe.rpartition(".")[2]
            assert facts in known, (
                f"not what is recorded: nox -s record -- -k {name}"
            )
        return found

    def record(self, facts: Facts, graph: Facts | None) -> None:
        """Write *facts* down, after what this run has found before."""
        assert self.begun is not None
        if self.recipe not in self.begun:
            self.begun.add(self.recipe)
            self.recorded[BUILD] = []
            if BUILD == STEPPED:
                self.graphs = {}
        found = self.recorded[BUILD]
        assert facts["subject"] not in [one["subject"] for one in found]
        found.append(facts)
        if graph and len(graph["nodes"]) <= LARGEST:
            self.graphs[facts["subject"]] = graph
        entries = []
        for build in BUILDS:
            if known := self.recorded.get(build):
                lines = ",\n".join(f"  {json.dumps(one)}" for one in known)
                entries.append(f" {json.dumps(build)}: [\n{lines}\n ]")
        lines = ",\n".join(
            f" {json.dumps(name)}: {json.dumps(one, separators=(',', ':'))}"
            for name, one in self.graphs.items()
        )
        graphs = f', "graphs": {{\n{lines}\n}}' if lines else ""
        code, builds = json.dumps(self.code), ",\n".join(entries)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(
            f'{{"code": {code}, "builds": {{\n{builds}\n}}{graphs}}}\n',
            encoding="utf-8",
        )
