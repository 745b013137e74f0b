"""Measure, judge and record: ``python -m bench``.

``--only models`` measures one chart again, and ``--quick`` shows that all of
it works; both print what they find and write it only to a file of your own.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.charts import CHARTS, Case, Chart, targets
from bench.figures import Rows, row, sources

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "docs" / "recorded" / "bench.json"
BUSY = 0.5  # processes that want to run, before anything is measured
PACKAGES = ("dask", "distributed", "joblib", "mpire", "ray")
WHICH = """
import platform, sys, sysconfig
free = "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print("{}.{}{}".format(*sys.version_info[:2], free), platform.python_version())
"""
Record = dict[str, Any]
Tell = Callable[[str], None]


class NotMeasuredError(Exception):
    """Something cannot be measured here; says why."""


class Pythons:
    """The interpreters that are found, by version.

    Attributes:
        own: The version of the one that runs this.
        paths: The program of each one that was found.
        versions: Its exact version.
    """

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.own = self._add(sys.executable)

    def _add(self, path: str) -> str:
        """Ask an interpreter who it is; return that."""
        ran = subprocess.run(
            [path, "-c", WHICH],
            capture_output=True,
            check=True,
            encoding="utf-8",
            timeout=60,
        )
        version, exactly = ran.stdout.split()
        self.paths.setdefault(version, path)
        self.versions.setdefault(version, exactly)
        return version

    def find(self, version: str) -> str:
        """Return the program of a version, such as ``3.13t``.

        Raises:
            NotMeasuredError: If there is none, or it does not start.
        """
        if version not in self.paths:
            path = shutil.which(f"python{version}")
            with suppress(OSError, subprocess.SubprocessError):
                self._add(path or "")
        if version not in self.paths:
            raise NotMeasuredError(f"there is no Python {version} on PATH")
        return self.paths[version]


def answer(command: Sequence[str], limit: float) -> Record:
    """Run a program, and return what it prints, which is JSON.

    Raises:
        NotMeasuredError: If it fails or takes more than *limit* seconds; it
            and all that it has started are ended then.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            command,
            cwd=ROOT,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        try:
            printed, _ = process.communicate(timeout=limit)
        except BaseException as error:
            end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise NotMeasuredError(f"more than {limit:g} s") from None
            raise
        if process.returncode:
            errors.seek(0)
            [*_, last] = errors.read().rstrip().splitlines() or [""]
            raise NotMeasuredError(last or f"exit code {process.returncode}")
    found: Record = json.loads(printed)
    return found


def end(process: "subprocess.Popen[str]") -> None:
    """End a program and what it has started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def turned(names: Sequence[str], number: int) -> list[str]:
    """Return the names in another order for each round.

    Example:
        >>> from bench.__main__ import turned
        >>> [turned("abc", number) for number in range(3)]
        [['a', 'b', 'c'], ['a', 'c', 'b'], ['c', 'a', 'b']]
    """
    first = number % max(1, len(names))
    order = [*names[first:], *names[:first]]
    return order[::-1] if number % 2 else order


class Run:
    """One run: what is measured, and what was left out.

    Attributes:
        pythons: The interpreters.
        quick: See only that it works.
        left_out: What was not measured, and why.
    """

    def __init__(self, *, quick: bool = False) -> None:
        self.pythons = Pythons()
        self.quick = quick
        self.left_out: dict[str, str] = {}

    def rounds(self, case: Case) -> int:
        """Return how many rounds a case gets."""
        return 1 if self.quick else case.rounds

    def measure(self, chart: Chart, tell: Tell = print) -> Rows:
        """Measure what a chart shows, and return its rows.

        Args:
            chart: What to measure.
            tell: Called before each round, with words for it.
        """
        found: dict[tuple[str, str, float | None], list[float]] = {}
        for case in chart.cases:
            python = case.python or self.pythons.own
            for number in range(self.rounds(case)):
                tell(f"{case.measurement}, Python {python}")
                samples = self.samples(case, python, number)
                if not samples:
                    break  # what fails once is not tried again
                for label, x, value in samples:
                    found.setdefault((python, label, x), []).append(value)
        rows = [row(*key, values) for key, values in found.items()]
        return Rows(rows, self.pythons.own)

    def samples(self, case: Case, python: str, number: int) -> list[Any]:
        """Measure one round of a case."""
        what = ", ".join([case.measurement, *case.names[:1]])
        try:
            size = "quick" if self.quick else "full"
            program = [self.pythons.find(python), "-m", "bench.child"]
            names = turned(case.names, number)
            found = answer(
                [*program, case.measurement, size, *names], case.limit
            )
        except NotMeasuredError as error:
            self.left_out[f"{what}, Python {python}"] = str(error)
            return []
        for name, reason in found["missing"].items():
            self.left_out[f"{name}, Python {python}"] = reason
        samples: list[Any] = found["samples"]
        return samples

    def record(self, measured: Mapping[str, Rows]) -> Record:
        """Return what is recorded of the charts that were measured."""
        charts = {}
        for name, rows in measured.items():
            try:
                charts[name] = drawn(CHARTS[name], rows, judged=not self.quick)
            except LookupError as error:
                self.left_out[f"the chart {name}"] = f"not measured: {error}"
        return {
            "machine": machine(),
            "own": self.pythons.own,
            "pythons": self.pythons.versions,
            "packages": packages(),
            "source": sources(),
            "charts": charts,
            "targets": [] if self.quick else targets(measured),
            "left out": self.left_out,
        }


def drawn(chart: Chart, rows: Rows, *, judged: bool = True) -> Record:
    """Return a chart and its rows as they are recorded.

    Args:
        chart: What was measured.
        rows: What came of it.
        judged: Whether they say anything about the sentence.

    Raises:
        LookupError: If its sentence cannot be judged.
    """
    reference = None
    if chart.reference and judged:
        label, value = chart.reference
        reference = {"label": label, "value": value(rows)}
    return {
        "title": chart.title,
        "sentence": chart.sentence,
        "holds": judged and chart.holds(rows),
        "recipes": [*chart.recipes],
        "unit": chart.unit,
        "kind": chart.kind,
        "x": chart.x,
        "log": chart.log,
        "reference": reference,
        "rows": rows.rows,
    }


def machine() -> Record:
    """Return what the figures were measured on."""
    model = platform.processor()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
    size = ""
    if hasattr(os, "sysconf"):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        size = f"{round(pages / 2**30)} GB"
    release = ".".join(platform.release().split(".")[:2])
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory": size,
        "system": f"{platform.system()} {release}",
    }


def packages() -> dict[str, str]:
    """Return the versions of the engines that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def text(record: Record) -> str:
    """Return what is written: JSON, with a row to a line."""
    parts = {key: json.dumps(value) for key, value in record.items()}
    charts = []
    for name, chart in record["charts"].items():
        head = {key: value for key, value in chart.items() if key != "rows"}
        rows = ",\n".join(f"   {json.dumps(one)}" for one in chart["rows"])
        start = json.dumps(head).removesuffix("}")
        charts.append(f'  "{name}": {start}, "rows": [\n{rows}\n  ]}}')
    parts["charts"] = "{\n" + ",\n".join(charts) + "\n }"
    parts["targets"] = "[\n  {}\n ]".format(
        ",\n  ".join(map(json.dumps, record["targets"]))
    )
    lines = ",\n".join(f' "{key}": {value}' for key, value in parts.items())
    return f"{{\n{lines}\n}}\n"


def report(record: Record, *, judged: bool) -> bool:
    """Print what came of a run; return whether every sentence holds.

    Args:
        record: What is recorded of it.
        judged: Whether it says anything about sentences and targets.
    """
    for chart in record["charts"].values():
        print(f"\n{chart['title']} ({chart['unit']})")
        for one in chart["rows"]:
            x = "" if one["x"] is None else f" at {one['x']:g}"
            print(
                f"  {one['median']:>9.4g}  ({one['low']:g} to {one['high']:g},"
                f" {one['rounds']} rounds)  {one['label']}{x}, {one['series']}"
            )
        words = "" if chart["holds"] else "NOT TRUE OF THIS RUN: "
        print(f"  {words}{chart['sentence']}" * judged)
    for one in record["targets"]:
        words = "met" if one["met"] else "MISSED"
        print(
            f"{words}: {one['text']}: {one['measured']:g} ({one['low']:g} to"
            f" {one['high']:g}), target {one['target']}"
        )
    for what, why in record["left out"].items():
        print(f"left out: {what}: {why}")
    return all(chart["holds"] for chart in record["charts"].values())


def measure(run: Run, names: Iterable[str]) -> dict[str, Rows]:
    """Measure charts, with a progress bar and a line for each chart."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    names = list(names)
    cases = [case for name in names for case in CHARTS[name].cases]
    measured = {}
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("", total=sum(map(run.rounds, cases)))
        done = -1

        def tell(words: str) -> None:
            nonlocal done
            done += 1
            progress.update(task, completed=done, description=words)

        for number, name in enumerate(names, 1):
            title = CHARTS[name].title
            progress.console.print(f"{number} of {len(names)}: {title}")
            measured[name] = run.measure(CHARTS[name], tell)
    return measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; return 0 if every sentence of the book holds.

    Args:
        arguments: Of the command line; by default those of this program.
    """
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CHARTS,
        metavar="CHART",
        help=f"measure these alone: {', '.join(CHARTS)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help="see only that it works"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"where to write; a whole run writes {RECORDED.name} of the book",
    )
    options = parser.parse_args(arguments)
    partly = options.quick or options.only
    output = options.output or (None if partly else RECORDED)
    if output and not output.absolute().parent.is_dir():
        parser.error(f"there is no folder {output.absolute().parent}")
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY:
        print("This machine is busy: expect other figures on a quiet one.")
    run = Run(quick=options.quick)
    record = run.record(measure(run, options.only or CHARTS))
    true = report(record, judged=not options.quick)
    if output:
        output.write_text(text(record), encoding="utf-8")
        print(f"written: {output}")
    return 0 if true or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
