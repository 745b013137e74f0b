"""What the recipe says of processes in a session, shown to be so."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cookbook.processes.repl_and_notebook import (
    BEGIN,
    JOBS,
    USE,
    broken_with_definition,
    type_in,
    with_import,
)

METHODS = multiprocessing.get_all_start_methods()
IMPORTING = [method for method in METHODS if method != "fork"]
NO_SUCH_NAME = (
    "AttributeError: module '__main__' has no attribute 'square'"
    if sys.version_info >= (3, 14)
    else "AttributeError: Can't get attribute 'square' on <module '__main__'"
)
if sys.version_info < (3, 12):
    NO_SUCH_NAME += " (built-in)>"
ANSWER = "[1, 4, 9]"

posix = pytest.mark.skipif(os.name == "nt", reason="needs a terminal of POSIX")
forks = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
every_method = pytest.mark.parametrize("method", METHODS)
importing = pytest.mark.parametrize("method", IMPORTING)

POOL = """
pool = context.Pool(1)
lost = pool.apply_async(square, [2])
print("another worker:", pool.apply(abs, [-1]))
print("the job is done:", lost.ready())
pool.terminate()
"""
PROCESS = """
process = context.Process(target=square, args=[2])
process.start()
process.join()
print("exit code", process.exitcode)
"""
POOL_FIRST = """
pool = context.Pool(1)
def square(n):
    return n * n

lost = pool.apply_async(square, [2])
print("another worker:", pool.apply(square, [-1]))
print("the job is done:", lost.ready())
pool.terminate()
"""
CHANGED = """
import jobs
from pathlib import Path
old = ProcessPoolExecutor(1, mp_context=context)
print(old.submit(jobs.square, 3).result())
_ = Path("jobs.py").write_text("def square(n):\\n    return 'renewed'\\n")
print(old.submit(jobs.square, 3).result())
new = ProcessPoolExecutor(1, mp_context=context)
print(new.submit(jobs.square, 3).result())
for executor in old, new: executor.shutdown()

"""


@every_method
def test_an_imported_function_works_under_every_start_method(
    method: str,
) -> None:
    output, errors = with_import(method=method)
    assert output.strip() == ANSWER
    assert "Error" not in errors


def test_the_session_uses_the_start_method_that_it_is_given() -> None:
    _, errors = with_import(method="none")
    assert "ValueError: cannot find context for 'none'" in errors


def test_what_a_session_has_printed_is_returned_if_it_fails_in_the_end() -> (
    None
):
    output, errors = type_in("import sys\nprint(7)\nsys.exit('failed')\n")
    assert output == "7\n"
    assert errors.endswith("failed\n")


@importing
def test_a_typed_function_breaks_the_executor_unless_its_worker_is_forked(
    method: str,
) -> None:
    output, errors = broken_with_definition(method=method)
    assert ANSWER not in output
    assert NO_SUCH_NAME in errors
    assert "BrokenProcessPool: A process in the process pool was" in errors


@forks
def test_under_fork_the_typed_function_works_as_well() -> None:
    output, errors = broken_with_definition(method="fork")
    assert output.strip() == ANSWER
    assert "Error" not in errors


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_by_default_a_typed_function_works_on_linux_up_to_3_13_only() -> None:
    by_default = BEGIN.replace("sys.argv[1]", "")
    output, errors = type_in(by_default + JOBS + USE)
    if sys.version_info >= (3, 14):
        assert NO_SUCH_NAME in errors
    else:
        assert output.strip() == ANSWER


@importing
def test_a_pool_starts_another_worker_and_never_finishes_the_lost_job(
    method: str,
) -> None:
    output, errors = type_in(BEGIN + JOBS + POOL, method=method)
    assert output.splitlines() == [
        "another worker: 1",
        "the job is done: False",
    ]
    assert NO_SUCH_NAME in errors


@importing
def test_a_process_ends_with_exit_code_1_and_nothing_is_raised(
    method: str,
) -> None:
    output, errors = type_in(BEGIN + JOBS + PROCESS, method=method)
    assert output.strip() == "exit code 1"
    assert NO_SUCH_NAME in errors


@forks
def test_a_forked_pool_does_not_know_a_function_defined_after_it() -> None:
    before = POOL_FIRST.replace("apply(square", "apply(abs")
    output, errors = type_in(BEGIN + before, method="fork")
    assert output.splitlines() == [
        "another worker: 1",
        "the job is done: False",
    ]
    assert NO_SUCH_NAME in errors


@importing
@pytest.mark.parametrize(
    "lines", [JOBS + USE, "from jobs import square\n" + USE]
)
def test_after_python_c_it_is_as_at_the_prompt(
    lines: str, method: str, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    ended = subprocess.run(
        [sys.executable, "-E", "-c", BEGIN + lines, method],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        text=True,
        timeout=60,
    )
    if lines.startswith("from"):
        assert ended.stdout.strip() == ANSWER
    else:
        assert NO_SUCH_NAME in ended.stderr


@importing
def test_a_program_on_standard_input_fails_even_with_an_import(
    method: str, tmp_path: Path
) -> None:
    (tmp_path / "jobs.py").write_text(JOBS)
    ended = subprocess.run(
        [sys.executable, "-E", "-", method],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        input=BEGIN + "from jobs import square\n" + USE,
        text=True,
        timeout=60,
    )
    error = "FileNotFoundError: [Errno 2] No such file or directory: "
    assert f"{error}'{tmp_path}/<stdin>'" in ended.stderr
    # Or the fork server fails, and the parent does not reach it.
    last = ended.stderr.splitlines()[-1]
    assert last.partition(": ")[0].rpartition(".")[2] in (
        "BrokenProcessPool",
        *(
            ["EOFError", "ConnectionResetError", "BrokenPipeError"]
            if method == "forkserver"
            else []
        ),
    )


@importing
def test_a_worker_keeps_a_module_that_has_changed_and_a_new_one_does_not(
    method: str,
) -> None:
    output, _ = type_in(BEGIN + CHANGED, method=method)
    assert output.split() == ["9", "9", "renewed"]


def at_a_terminal(lines: str, folder: Path) -> str:
    """Type *lines* at the prompt of a terminal; return all that appears."""
    import pty  # noqa: PLC0415 - POSIX has it

    (folder / "jobs.py").write_text(JOBS)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-E", "-q"],
        cwd=folder,
        env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
        stderr=theirs,
        stdin=theirs,
        stdout=theirs,
    ) as session:
        os.close(theirs)
        shown = b""
        try:
            for line in [*lines.splitlines(), "exit()"]:
                while not shown.endswith((b">>> ", b"... ")):
                    shown += os.read(ours, 1000)
                shown += b"\n"
                os.write(ours, f"{line}\n".encode())
            while data := read(ours):
                shown += data
            session.wait(timeout=60)
        finally:
            session.kill()
            os.close(ours)
    return shown.decode()


def read(terminal: int) -> bytes:
    """Return what appears next; nothing when the session has ended."""
    try:
        return os.read(terminal, 1000)
    except OSError:
        return b""


@posix
@pytest.mark.parametrize("typed", [False, True])
def test_at_the_prompt_of_a_terminal_an_import_works_and_a_definition_fails(
    typed: bool, tmp_path: Path
) -> None:
    define = JOBS + "\n" if typed else "from jobs import square\n"
    begin = BEGIN.replace("sys.argv[1]", "'spawn'")
    shown = at_a_terminal(begin + define + USE.strip(), tmp_path)
    assert (ANSWER in shown) is not typed
    # The prompt of 3.13 runs in a module that workers can import.
    other = (
        "AttributeError: Can't get attribute 'square' on <module '__mp_main"
    )
    assert (NO_SUCH_NAME in shown or other in shown) is typed
