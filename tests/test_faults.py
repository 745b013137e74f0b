"""The script that disturbs programs, and the table that it fills."""

import json
import os
import sys
from pathlib import Path

import disturbed
import pytest

from cookbook import catalogue, forms
from tests import faults

LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="programs are disturbed on Linux"
)
CHILD = (
    "import subprocess, sys\n"
    "sleep = 'import time; time.sleep(60)'\n"
    "subprocess.Popen([sys.executable, '-c', sleep])"
)
FILE = "import os; open(os.environ['TMPDIR'] + '/left', 'w').close()"


@LINUX
@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("print('fine')", ("done", "")),
        ("raise ValueError", ("ValueError", "")),
        ("raise SystemExit(3)", ("silent", "")),
        ("import os; os.kill(os.getpid(), 9)", ("SIGKILL", "")),
        (CHILD, ("done", "processes")),
        (FILE, ("done", "files")),
    ],
)
def test_it_is_told_how_a_program_ends_and_what_it_leaves(
    source: str, found: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "GRACE", 0)
    assert faults.run([sys.executable, "-c", source]) == found


@LINUX
def test_a_program_that_does_not_end_is_said_to_wait_and_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(faults, "LIMIT", 0.1)
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert faults.run(waits) == ("waits", "")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"done": 3, "SIGINT": 7, "OSError": 1}, "✓"),
        ({"done": 8, "waits": 2}, "2 wait on, of 10"),
        ({"silent": 1}, "1 fail and say nothing, of 1"),
        (
            {"SIGTERM processes": 1, "silent processes": 2, "done files": 3},
            "2 fail and say nothing, 3 leave processes, 3 leave files, of 6",
        ),
        (
            {"done": 4, "left in /dev/shm": 1},
            "1 left in shared memory, of 4",
        ),
    ],
)
def test_a_cell_tells_what_did_not_go_well_and_nothing_else(
    counts: dict[str, int], words: str
) -> None:
    assert disturbed.cell(counts) == words


def test_ten_programs_were_disturbed_as_they_are() -> None:
    known = json.loads(faults.PATH.read_text(encoding="utf-8"))
    assert list(known) == list(faults.RECIPES)
    stale = [
        name
        for name, one in known.items()
        if one["code"] != forms.fingerprint(catalogue.find(name).source)
    ]
    if stale and "CI" not in os.environ:
        pytest.skip(f"run nox -s faults: {', '.join(stale)} changed")
    assert not stale, "run nox -s faults"


def test_each_signal_was_sent_two_hundred_times_and_each_fault_recorded() -> (
    None
):
    known = json.loads(faults.PATH.read_text(encoding="utf-8"))
    every = [*faults.SIGNALS, *faults.SHORTAGES, "full /dev/shm"]
    for one in known.values():
        assert list(one["faults"]) == every
        for fault in faults.SIGNALS:
            counts = dict(one["faults"][fault])
            counts.pop(disturbed.SHM, None)
            assert sum(counts.values()) == 200


def test_what_was_disturbed_as_other_code_is_a_warning_in_ci(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    facts = {"code": "other", "python": "3.14.0", "faults": {"x": {"done": 1}}}
    kept = tmp_path / "recorded" / "faults.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({faults.RECIPES[0]: facts}), encoding="utf-8")
    monkeypatch.setenv("CI", "true")
    found = disturbed.load(tmp_path)
    assert found == ("3.14.0", ["x"], [(faults.RECIPES[0], ["✓"])])
    assert "run nox -s faults" in caplog.text
