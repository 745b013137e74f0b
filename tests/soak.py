"""Run tests again and again while the processor is busy.

``python -m tests.soak 200 tests/processes`` runs the tests 200 times, with two
busy processes for each core beside them, and stops at the first failure. A
test that needs the machine to be quiet does not last long here.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY = [sys.executable, "-c", "while True: pass"]
TESTS = [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-x"]
LIMIT = 3600.0  # seconds for one run


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep every core busy twice over."""
    loads = [subprocess.Popen(BUSY) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for load in loads:
            load.kill()
            load.wait()


def soak(runs: int, arguments: list[str]) -> int:
    """Run pytest *runs* times; return the number of the run that failed.

    Args:
        runs: How often, unless a run fails.
        arguments: Of pytest.

    Returns:
        0 if every run passed.
    """
    for number in range(1, runs + 1):
        begin = time.monotonic()
        run = subprocess.run(
            [*TESTS, *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LIMIT,
        )
        if run.returncode:
            print(run.stdout, run.stderr, sep="\n")
            print(f"run {number} of {runs} failed")
            return number
        seconds = time.monotonic() - begin
        print(f"run {number} of {runs} passed, {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    with busy_machine():
        sys.exit(bool(soak(int(sys.argv[1]), sys.argv[2:])))
