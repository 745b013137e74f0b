"""Run tests again and again while the processor is busy.

``python -m tests.soak 200 tests/processes`` runs the tests 200 times, twice as
many runs at once as there are cores, and stops when one fails. A test that
needs the machine to be quiet, or to itself, does not last long here. The runs
take turns in how they are made hard: see ``WAYS``.
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

TESTS = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-x"]
TESTS += ["-p", "no:cacheprovider"]  # runs at once would share the cache
AT_ONCE = 2 * (os.cpu_count() or 1)
LIMIT = 3600.0  # seconds for one run
USUAL = "test_the_switch_interval_is_5_ms_and_cannot_be_zero"
WAYS: dict[str, list[str]] = {
    "as ever": [],
    "switching all the time": [
        *("-p", "tests.hurried"),
        f"--deselect=tests/testing/test_force_a_race.py::{USUAL}",
    ],
    "in random order": ["--random-order", "--random-order-bucket=global"],
    "in two processes": ["--numprocesses=2"],
}


def soak(runs: int, arguments: list[str]) -> int:
    """Run pytest *runs* times, and no more once a run has failed.

    Args:
        runs: How often, unless a run fails.
        arguments: Of pytest.

    Returns:
        How many runs failed.
    """
    failed = threading.Event()

    def run(number: int) -> bool:
        return failed.is_set() or passes(number, runs, arguments, failed)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, range(1, runs + 1))).count(False)


def passes(
    number: int, runs: int, arguments: list[str], failed: threading.Event
) -> bool:
    """Run pytest once, and report how it ended."""
    way, options = [*WAYS.items()][number % len(WAYS)]
    begin = time.monotonic()
    run = subprocess.run(
        [*TESTS, *options, *arguments],
        check=False,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=LIMIT,
    )
    if run.returncode:
        failed.set()
        print(run.stdout, run.stderr, sep="\n")
    outcome = "failed" if run.returncode else "passed"
    seconds = time.monotonic() - begin
    told = f"run {number} of {runs}, {way}, {outcome}, {seconds:.0f} s"
    print(told, flush=True)
    return not run.returncode


if __name__ == "__main__":
    sys.exit(bool(soak(int(sys.argv[1]), sys.argv[2:])))
