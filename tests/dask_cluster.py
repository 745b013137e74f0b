"""Clusters of Dask for tests, as processes on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 120.0  # seconds that a process gets to start on a busy machine
SCHEDULER = ["scheduler", "--port=0"]
WORKER = ["worker", "--nthreads=1", "--no-nanny"]


class Dask:
    """Processes of Dask that listen on this machine alone.

    Args:
        folder: Where they run, and keep their files. They can import the
            book, and no other module of the test run.
        environment: More variables for them, such as Dask's settings.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = {"PYTHONPATH": str(ROOT), **environment}
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one process, such as ``start(*WORKER)``."""
        command = [sys.executable, "-m", "dask", *arguments]
        options = [
            "--host=127.0.0.1",
            "--dashboard-address=127.0.0.1:0",
            f"--scheduler-file={self.file}",
        ]
        if arguments[0] == "worker":
            options.append(f"--local-directory={self.folder}")
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, *options],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stderr=log,
            )
        self.processes.append(process)
        return process

    @property
    def address(self) -> str:
        """The address of the scheduler; waits until it has one.

        And until the workers that run are those that it knows.
        """
        deadline = time.monotonic() + LIMIT
        while not self.file.exists():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        from distributed import Client

        with Client(scheduler_file=str(self.file)) as client:
            while len(client.scheduler_info(-1)["workers"]) != self.workers:
                assert time.monotonic() < deadline, self.log
                time.sleep(0.01)
            return str(client.scheduler.address)

    @property
    def workers(self) -> int:
        """How many workers are running."""
        running = [one for one in self.processes if one.poll() is None]
        return len(running) - 1

    @property
    def log(self) -> str:
        """What the processes have written so far."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """End all processes at once."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
