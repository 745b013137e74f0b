"""Run the programs of the error messages, and record what they print.

What is recorded stands in ``docs/recorded/errors.json``, which
``nox -s record -- tests/test_errors.py`` writes. Otherwise a test compares
what a program prints with it.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from errors import MESSAGES, Entry

from tests.exploring import BUILD, BUILDS
from tests.programs import ROOT, end_group, group_is_gone

DOCS = ROOT / "docs"
TIMEOUT = 60  # seconds that a program gets on a busy machine
MESSAGE = re.compile(r"^[A-Za-z_][\w.]*(?:: .*)?$", re.MULTILINE)
MASK = "…"
# What varies from run to run, or from machine to machine.
VARYING = re.compile(
    r"(?<=0x)[0-9a-f]+"  # addresses
    r"|(?<=pid=)\d+|(?<=process )\d+|(?<=pid )\d+"
    r"|(?<=took )[\d.]+(?= seconds)"
    r"|/\S*/python3\.\d+t?/(?=\w)|/\S*/(?=python3)"
    r"|(?<=\.py:)\d+"
)


def output(entry: Entry) -> str:
    """Return all that the program of *entry* prints, until it is gone.

    It runs in an empty folder, in a process group of its own, with no
    variable that speaks to Python.
    """
    with tempfile.TemporaryDirectory(prefix="book-") as name:
        folder = Path(name)
        program, printed = folder / "program.py", folder / "printed"
        program.write_text(entry.program, encoding="utf-8")
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "PYTEST", "FORCE_COLOR"))
        }
        with (
            printed.open("wb") as file,
            subprocess.Popen(
                [sys.executable, "-IB", *entry.options, program.name],
                cwd=folder,
                env=environment | {"NO_COLOR": "1", "TMPDIR": name},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            ) as running,
        ):
            try:
                running.wait(TIMEOUT)
                # The tracker of shared memory reports when all have ended.
                assert group_is_gone(running.pid), "it leaves a process"
            finally:
                end_group(running.pid)
        text = printed.read_text(encoding="utf-8")
        return text.replace(f"{folder}/", "")


def words(entry: Entry, text: str) -> str:
    """Return the message in what a program printed; empty if there is none.

    Without a pattern it is the last line that can be one, and of a symptom
    all that is printed.
    """
    if entry.symptom:
        return masked(entry, text.rstrip())
    pattern = re.compile(entry.finds, re.MULTILINE) if entry.finds else MESSAGE
    found = [" ".join(match[0].split()) for match in pattern.finditer(text)]
    return masked(entry, found[0 if entry.finds else -1]) if found else ""


def masked(entry: Entry, text: str) -> str:
    """Put a mask in the place of what varies."""
    for pattern in [VARYING, *map(re.compile, entry.mask)]:
        text = pattern.sub(MASK, text)
    return text


def record(entry: Entry, found: str) -> None:
    """Write down what the program of *entry* says on this build."""
    path = DOCS / MESSAGES
    known = (
        json.loads(path.read_text(encoding="utf-8"))
        if path.exists()
        else {"pythons": {}, "entries": {}}
    )
    known["pythons"][BUILD] = platform.python_version()
    facts = known["entries"].get(entry.anchor, {})
    if facts.get("program") != entry.fingerprint:
        facts = {"program": entry.fingerprint, "words": {}}
    facts["words"][BUILD] = found
    facts["words"] = in_order(facts["words"])
    known["pythons"] = in_order(known["pythons"])
    known["entries"][entry.anchor] = facts
    lines = ",\n".join(
        f"  {json.dumps(anchor)}: "
        + json.dumps(known["entries"][anchor], ensure_ascii=False)
        for anchor in sorted(known["entries"])
    )
    path.write_text(
        f'{{\n "pythons": {json.dumps(known["pythons"])},\n'
        f' "entries": {{\n{lines}\n }}\n}}\n',
        encoding="utf-8",
    )


def in_order(by_build: dict[str, str]) -> dict[str, str]:
    """Return the same, the oldest build first."""
    return {build: by_build[build] for build in BUILDS if build in by_build}
