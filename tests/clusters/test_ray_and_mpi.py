"""What the recipe says of Ray and of MPI, shown to be so.

All tests of Ray look at what one program found out, for Ray takes its time to
start, and keeps descriptors open in the process that has talked to it.
"""

import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cookbook import forms
from cookbook.clusters import ray_and_mpi
from cookbook.clusters.ray_and_mpi import (
    PROGRAM,
    broken_start_on_mpi,
    parallelism_with_mpi_pool,
    parallelism_with_ray,
    ray_at,
    start_on_mpi,
)
from cookbook.primes import PRIMES, WORKERS

ROOT = Path(__file__).parents[2]
LIMIT = 200.0  # seconds that a program gets on a busy machine
ON_RANKS = ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures"]
ON_RAY = '''
import json, os, signal, subprocess, sys, time
from pathlib import Path

import psutil

from cookbook.clusters.ray_and_mpi import parallelism_with_ray, ray_at

FOLDER = Path(sys.argv[1])


def meet(mine, other, patience):
    """Come, and tell whether the other one comes in time."""
    (FOLDER / mine).touch()
    deadline = time.monotonic() + patience
    while not (FOLDER / other).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return (FOLDER / other).exists()


def runs(log, deaths):
    """Die so many times, then tell how often this has run."""
    with (FOLDER / log).open("a") as lines:
        lines.write("run\\n")
    count = len((FOLDER / log).read_text().split())
    if count <= deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def fail(log):
    with (FOLDER / log).open("a") as lines:
        lines.write("run\\n")
    raise ValueError("the first")


def error(reference, **options):
    try:
        return ray.get(reference, **options)
    except Exception as error:
        types = [type(error), *type(error).__mro__]
        return [str(error), *(one.__name__ for one in types)]


def times(log):
    return len((FOLDER / log).read_text().split())


found = {}
with ray_at(None, 2) as ray:
    children = psutil.Process().children(recursive=True)
    together = ray.remote(meet)
    found["together"] = ray.get(
        [together.remote("a", "b", 100.0), together.remote("b", "a", 100.0)]
    )
    found["in a loop"] = [
        ray.get(together.remote(mine, other, 0.1))
        for mine, other in ["cd", "dc"]
    ]
    found["dies once"] = ray.get(ray.remote(runs).remote("once", 1))
    found["dies always"] = error(ray.remote(runs).remote("always", 9))
    found["runs by default"] = times("always")
    once = ray.remote(max_retries=0)(runs)
    found["dies without retries"] = error(once.remote("without", 9))
    found["runs without retries"] = times("without")
    found["raises"] = error(ray.remote(fail).remote("raises"))
    found["runs of what raises"] = times("raises")
    late = together.remote("e", "f", 100.0)
    found["late"] = error(late, timeout=0.1)
    (FOLDER / "f").touch()
    found["late at last"] = ray.get(late)
    try:
        parallelism_with_ray(numbers=[7])
    except RuntimeError as twice:
        found["twice"] = str(twice)
    found["still there"] = ray.is_initialized()
    found["hosts"] = [
        connection.laddr.ip
        for connection in psutil.Process().net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    address = ray.get_runtime_context().gcs_address
    code = (
        "import json, sys\\n"
        "from cookbook.clusters.ray_and_mpi import parallelism_with_ray\\n"
        "numbers = iter([97, 100, 2, 1, 7, 7])\\n"
        "answers = parallelism_with_ray(numbers=numbers, address=sys.argv[1])"
        "\\nprint(json.dumps(answers))\\n"
    )
    command = [sys.executable, "-c", code, address]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    found["pid"] = other.pid
    found["with an address"] = json.loads(other.communicate(timeout=100)[0])
_, alive = psutil.wait_procs(children, timeout=30)
found["left"] = [one.pid for one in alive]
print(json.dumps(found))
'''


@contextlib.contextmanager
def started(
    command: list[Any], cwd: Path, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a program in a session of its own, of which nothing may stay."""
    before = blocks()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
            # A rank that was spawned may end after the one that spawned it.
            deadline = time.monotonic() + 30
            while alive_in_session(process.pid):
                assert time.monotonic() < deadline
                time.sleep(0.01)
    finally:
        for pid in alive_in_session(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for block in blocks() - before:
            block.unlink()  # the page says when MPICH leaves one


def blocks() -> set[Path]:
    """Return the shared memory of MPICH."""
    return set(Path("/dev/shm").glob("mpich_shm_*"))


def alive_in_session(sid: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    import psutil

    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            ended = one.status() == psutil.STATUS_ZOMBIE
            if os.getsid(one.pid) == sid and not ended:
                found.append(one.pid)
    return found


def ran(
    command: list[Any], cwd: Path, **environment: str
) -> tuple[int, str, str]:
    """Run a program to its end; return how it ended and what it wrote."""
    with started(command, cwd, **environment) as process:
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, out, err


def program(folder: Path, text: str) -> Path:
    """Write a program into a folder."""
    path = folder / "program.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program on Ray has found out; it has left nothing behind."""
    folder = tmp_path_factory.mktemp("ray")
    # The sockets of Ray are in a folder whose path must be short.
    with tempfile.TemporaryDirectory() as short:
        code, out, err = ran(
            [sys.executable, program(folder, ON_RAY), folder],
            folder,
            TMPDIR=short,
        )
        assert code == 0, err
        assert not list(Path(short).iterdir())
    return cast("dict[str, Any]", json.loads(out.splitlines()[-1]))


def test_ray_answers_in_the_order_of_the_numbers_at_an_address_that_runs(
    found: dict[str, Any],
) -> None:
    answers = found["with an address"]
    assert [tuple(answer[:2]) for answer in answers] == [
        (97, True),
        (100, False),
        (2, True),
        (1, False),
        (7, True),
        (7, True),
    ]
    assert found["pid"] not in {pid for *_, pid in answers}


def test_ray_started_by_the_recipe_leaves_no_process(
    found: dict[str, Any],
) -> None:
    assert found["left"] == []


def test_jobs_of_a_list_meet_and_those_of_a_loop_that_gets_do_not(
    found: dict[str, Any],
) -> None:
    assert found["together"] == [True, True]
    assert found["in a loop"] == [False, True]


def test_ray_runs_the_job_of_a_worker_that_died_again(
    found: dict[str, Any],
) -> None:
    assert found["dies once"] == 2


def test_a_job_that_kills_each_worker_ends_after_three_more_runs(
    found: dict[str, Any],
) -> None:
    text, name, *_ = found["dies always"]
    assert name == "WorkerCrashedError"
    assert text.startswith(
        "The worker died unexpectedly while executing this task."
    )
    assert found["runs by default"] == 4


def test_without_retries_the_first_death_is_the_end_of_a_job(
    found: dict[str, Any],
) -> None:
    assert found["dies without retries"][1] == "WorkerCrashedError"
    assert found["runs without retries"] == 1


def test_an_error_in_a_job_of_ray_keeps_its_type_and_is_not_tried_again(
    found: dict[str, Any],
) -> None:
    text, *names = found["raises"]
    assert "in fail" in text
    assert {"ValueError", "RayTaskError"} <= set(names)
    assert found["runs of what raises"] == 1


def test_get_gives_up_after_its_timeout_and_the_job_goes_on(
    found: dict[str, Any],
) -> None:
    _, *names = found["late"]
    assert names[0] == "GetTimeoutError"
    assert "TimeoutError" in names
    assert found["late at last"] is True


def test_a_second_start_is_refused_and_the_first_one_goes_on(
    found: dict[str, Any],
) -> None:
    assert "Maybe you called ray.init twice by accident?" in found["twice"]
    assert found["still there"] is True


def test_ray_listens_at_all_addresses_though_it_is_told_one(
    found: dict[str, Any],
) -> None:
    assert {"::", "0.0.0.0"} & set(found["hosts"])


def test_ray_is_started_here_alone_unless_there_is_an_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    class Ray:
        """Notes how it is started and ended."""

        @staticmethod
        def init(*args: Any, **options: Any) -> None:
            folder = options.pop("_temp_dir", "none")
            calls.append((*args, options, Path(folder).is_dir()))

        @staticmethod
        def shutdown() -> None:
            calls.append("down")

    monkeypatch.setitem(sys.modules, "ray", cast("Any", Ray))
    with contextlib.suppress(ValueError), ray_at(None, 3):
        raise ValueError
    with ray_at("10.0.0.5:6379", 3):
        pass
    here = {
        "num_cpus": 3,
        "include_dashboard": False,
        "log_to_driver": False,
        "_node_ip_address": "127.0.0.1",
    }
    assert calls == [
        ("local", here, True),
        "down",
        ("10.0.0.5:6379", {"log_to_driver": False}, False),
        "down",
    ]


@pytest.mark.parametrize(
    "function", [parallelism_with_ray, parallelism_with_mpi_pool]
)
@pytest.mark.parametrize(
    ("numbers", "workers", "error", "text"),
    [
        ([7], 0, ValueError, "workers must be at least 1, not 0"),
        ([7], "2", TypeError, "workers must be an int, not '2'"),
        (7, 2, TypeError, "numbers must be iterable, not 7"),
    ],
)
def test_bad_arguments_are_refused_before_an_engine_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
    function: Any,
    numbers: object,
    workers: object,
    error: type[Exception],
    text: str,
) -> None:
    for engine in ("ray", "mpi4py", "mpi4py.futures"):
        monkeypatch.setitem(sys.modules, engine, cast("Any", None))
    with pytest.raises(error, match=text):
        function(numbers=numbers, workers=workers)


def test_the_pool_of_mpi_is_asked_for_the_workers_and_keeps_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        """Notes how many workers it is asked for."""

        def __init__(self, workers: int) -> None:
            asked.append(workers)
            super().__init__(workers)

    futures = SimpleNamespace(MPIPoolExecutor=Pool)
    monkeypatch.setitem(sys.modules, "mpi4py.futures", cast("Any", futures))
    monkeypatch.setitem(sys.modules, "mpi4py", cast("Any", futures))
    found = parallelism_with_mpi_pool(numbers=iter([97, 9, 2]), workers=3)
    here = os.getpid()
    assert found == [(97, True, here), (9, False, here), (2, True, here)]
    assert asked == [3]


def test_without_arguments_they_test_the_numbers_of_the_core() -> None:
    for function in (parallelism_with_ray, parallelism_with_mpi_pool):
        parameters = inspect.signature(function).parameters
        assert parameters["numbers"].default is PRIMES
        assert parameters["workers"].default is WORKERS


def test_the_program_of_the_page_runs_on_mpi_when_it_is_started_there(
    tmp_path: Path,
) -> None:
    source = inspect.getsource(ray_and_mpi)
    pasted = program(tmp_path, forms.program(source, "main"))
    code, out, err = ran([*ON_RANKS, pasted], tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "on MPI: [(2, True), (9, False), (97, True), (100, False)]",
        "all in worker processes: True",
    ]


def test_a_program_started_on_all_ranks_runs_on_each_of_them() -> None:
    assert broken_start_on_mpi(PROGRAM).count("sum: 3") == 3
    assert start_on_mpi(PROGRAM, "-m", "mpi4py.futures").count("sum: 3") == 1


def test_a_program_that_fails_on_mpi_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        start_on_mpi("raise SystemExit(3)")


POOL = """
import os, signal, sys
from mpi4py.futures import MPIPoolExecutor

def rank(n):
    return os.getpid()

def die(n):
    os.kill(os.getpid(), signal.SIGKILL)

def fail(n):
    raise ValueError(n)

print("begin", flush=True)
"""
GUARD = 'if __name__ == "__main__":\n'


def test_without_the_guard_each_rank_runs_the_program(
    tmp_path: Path,
) -> None:
    body = (
        "with MPIPoolExecutor() as pool: found = [*pool.map(abs, [-40])]\n"
        'with open("found.txt", "a") as file: print(*found, file=file)\n'
    )
    path = program(tmp_path, POOL + body)
    code, _, _ = ran([*ON_RANKS, path], tmp_path)
    assert code == 0
    # MPICH loses a line that a rank prints last; a file has them all.
    found = (tmp_path / "found.txt").read_text(encoding="utf-8")
    assert found == "40\n40\n40\n"


def test_plain_python_spawns_as_many_ranks_as_there_are_workers(
    tmp_path: Path,
) -> None:
    body = (
        "    with MPIPoolExecutor(2) as pool:\n"
        "        print('workers', pool.num_workers)\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    code, out, _ = ran([sys.executable, path], tmp_path)
    assert code == 0
    assert "workers 2" in out


def test_after_mpiexec_all_ranks_but_the_first_are_workers_whatever_is_asked(
    tmp_path: Path,
) -> None:
    body = (
        "    with MPIPoolExecutor(7) as pool:\n"
        "        print('workers', pool.num_workers)\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    code, out, _ = ran([*ON_RANKS, path], tmp_path)
    assert code == 0
    assert "workers 2" in out


def test_an_mpi_job_ends_as_a_whole_when_a_rank_is_killed(
    tmp_path: Path,
) -> None:
    body = (
        "    with MPIPoolExecutor() as pool:\n"
        "        try:\n"
        "            print(*pool.map(die, [1]), flush=True)\n"
        "        finally:\n"
        "            print('told', flush=True)\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    code, out, _ = ran([*ON_RANKS, path], tmp_path)
    assert code == signal.SIGKILL
    assert "BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES" in out
    assert "told" not in out


def test_an_error_in_a_job_on_mpi_is_raised_with_the_lines_of_the_worker(
    tmp_path: Path,
) -> None:
    body = (
        "    with MPIPoolExecutor() as pool:\n"
        "        try:\n"
        "            list(pool.map(fail, [1]))\n"
        "        except ValueError as error:\n"
        "            print('raised', 'in fail' in str(error.__cause__))\n"
        "        print('goes on', *pool.map(abs, [-40]))\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    code, out, _ = ran([*ON_RANKS, path], tmp_path)
    assert code == 0
    assert "raised True" in out
    assert "goes on 40" in out


def test_an_error_of_the_main_program_ends_all_ranks(tmp_path: Path) -> None:
    body = (
        "    with MPIPoolExecutor() as pool:\n"
        "        pool.submit(abs, -40).result()\n"
        "    raise ValueError('main')\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    code, _, err = ran([*ON_RANKS, path], tmp_path)
    assert code == 1
    _, _, after = err.partition("ValueError: main\n")
    # MPICH ends the ranks while it passes on what they write: now and then
    # its own message is lost (in 1 of 40 runs here).
    message = "application called MPI_Abort(MPI_COMM_WORLD, 1)"
    assert message in after or not after


def test_plain_python_that_finds_no_mpiexec_says_so_and_waits(
    tmp_path: Path,
) -> None:
    body = (
        "    with MPIPoolExecutor(1) as pool: pool.submit(abs, 1).result()\n"
    )
    path = program(tmp_path, POOL + GUARD + body)
    command = [sys.executable, path]
    with started(command, tmp_path, PATH=str(tmp_path)) as process:
        assert process.stderr is not None
        said = "But the necessary mpiexec is not in your path."
        assert any(said in line for line in process.stderr)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
        process.wait()
