"""Run ruff, to show that it reports the traps that it is said to report."""

import json
import subprocess
import sys


def ruff(source: str, select: str, *options: str) -> list[tuple[str, str]]:
    """Return what ruff reports: each rule's code, and the line's text.

    Args:
        source: The text of a module.
        select: The rules, as for ``ruff check --select``.
        options: More of its options.
    """
    # The ruff of this environment: there may be none on PATH, or another.
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "-q"]
    run = subprocess.run(
        [*command, "--select", select, "--output-format=json", *options, "-"],
        input=source,
        check=False,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert run.returncode in (0, 1), run.stderr
    lines = source.splitlines()
    return [
        (one["code"], lines[one["location"]["row"] - 1].strip())
        for one in json.loads(run.stdout)
    ]
