import subprocess
import sys
from pathlib import Path

import pytest

from cookbook import catalogue, forms
from cookbook.__main__ import main

Capture = pytest.CaptureFixture[str]


def test_without_a_command_it_lists_every_task(capsys: Capture) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    for recipe in catalogue.recipes():
        assert f"{recipe.name} " in printed
        assert recipe.title in printed
    assert main(["list"]) == 0
    assert capsys.readouterr().out == printed


def test_show_prints_the_program_that_can_be_copied(capsys: Capture) -> None:
    source = catalogue.find("shared_counter").source
    assert main(["show", "shared_counter"]) == 0
    assert capsys.readouterr().out == forms.program(source)
    assert main(["show", "--trap", "threads.shared_counter"]) == 0
    assert capsys.readouterr().out == forms.program(source, "broken_main")


@pytest.mark.parametrize("command", ["show", "run"])
def test_an_unknown_name_brings_the_nearest_and_exit_status_2(
    command: str, capsys: Capture
) -> None:
    assert main([command, "shared_countre"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second, *_ = captured.err.splitlines()
    assert first == "no recipe is called 'shared_countre'"
    assert second.strip() == "threads.shared_counter"


def test_a_name_like_no_other_brings_no_matches(capsys: Capture) -> None:
    assert main(["show", "%%%"]) == 2
    assert capsys.readouterr().err == "no recipe is called '%%%'\n"


def test_run_prints_the_outputs_of_the_recipe_and_its_trap() -> None:
    source = catalogue.find("shared_counter").source
    outputs = [forms.outputs(source, e)[0] for e in ("main", "broken_main")]
    command = [sys.executable, "-m", "cookbook", "run", "shared_counter"]
    run = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    assert run.stdout == "".join(output.text for output in outputs)


def test_run_works_for_a_recipe_that_starts_processes() -> None:
    command = [sys.executable, "-m", "cookbook", "run", "executor_map"]
    run = subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent,
    )
    source = catalogue.find("executor_map").source
    assert run.stdout.startswith(forms.outputs(source)[0].text)
