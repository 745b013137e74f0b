"""What the recipe says of the build and of the run, shown to be so."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from cookbook.parallel_threads import is_the_gil_on
from cookbook.parallel_threads.is_the_gil_on import (
    answer_with_gil,
    broken_is_gil_on,
    can_run_without_gil,
    is_gil_on,
    refuse_the_gil,
)

ROOT = Path(__file__).parents[2]
FREE_THREADED = "free-threading build" in sys.version
TURNED_ON = (
    "the GIL was turned on: by -X gil=1, by PYTHON_GIL=1"
    " or by an extension module"
)
SAY = (
    "from cookbook.parallel_threads.is_the_gil_on import *\n"
    "print(can_run_without_gil(), is_gil_on(), broken_is_gil_on())\n"
)
UNMARKED = """
#include <Python.h>
static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "unmarked", NULL, -1};
PyMODINIT_FUNC PyInit_unmarked(void) { return PyModule_Create(&def); }
"""

default_build = pytest.mark.skipif(FREE_THREADED, reason="no default build")
free_threaded = pytest.mark.skipif(
    not FREE_THREADED, reason="this build always has the GIL"
)


def python(
    *arguments: str,
    path: Path = ROOT,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ
        | {"PYTHON_GIL": "", "PYTHONPATH": str(path), "PYTHONWARNINGS": ""}
        | dict(environment),
        text=True,
        timeout=60,
    )


def test_the_build_is_free_threaded_if_its_version_says_so() -> None:
    assert can_run_without_gil() is FREE_THREADED


def test_py_gil_disabled_is_1_or_0_and_none_before_3_13() -> None:
    found = sysconfig.get_config_var("Py_GIL_DISABLED")
    expected = int(FREE_THREADED) if sys.version_info >= (3, 13) else None
    assert found == expected


def test_only_a_free_threaded_build_starts_with_the_gil_off() -> None:
    ended = python("-c", SAY)
    assert ended.stdout == (
        "True False False\n" if FREE_THREADED else "False True True\n"
    )


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["-X", "gil=1"], {}),
        ([], {"PYTHON_GIL": "1"}),
        (["-X", "gil=1"], {"PYTHON_GIL": "0" if FREE_THREADED else "1"}),
    ],
)
def test_where_the_gil_is_turned_on_the_build_gives_the_wrong_answer(
    options: list[str], environment: dict[str, str]
) -> None:
    ended = python(*options, "-c", SAY, environment=environment)
    assert ended.stdout == (
        "True True False\n" if FREE_THREADED else "False True True\n"
    )


def test_the_child_that_is_asked_has_the_gil_on_whatever_the_build() -> None:
    assert answer_with_gil(is_gil_on) == "True"
    assert answer_with_gil(broken_is_gil_on) == str(not FREE_THREADED)


def fails() -> bool:
    raise ValueError("no answer")


def test_a_question_that_fails_is_no_answer_but_an_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        answer_with_gil(fails)
    assert "ValueError: no answer" in capfd.readouterr().err


def test_without_the_function_of_sys_the_gil_is_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(sys, "_is_gil_enabled", raising=False)
    assert is_gil_on() is True


@pytest.mark.parametrize("on", [True, False])
def test_what_the_interpreter_says_is_the_answer(
    on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)
    assert is_gil_on() is on


@pytest.mark.parametrize(
    ("can", "on", "reason"),
    [
        (False, True, "this build of Python always has the GIL"),
        (True, True, TURNED_ON),
        (True, False, ""),
    ],
)
def test_the_error_says_why_the_gil_is_on(
    can: bool, on: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(is_the_gil_on, "can_run_without_gil", lambda: can)
    monkeypatch.setattr(is_the_gil_on, "is_gil_on", lambda: on)
    said = ""
    try:
        refuse_the_gil()
    except RuntimeError as error:
        said = str(error)
    assert said == reason


@default_build
@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the option is of Python 3.13"
)
@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-X", "gil=0"], {}), ([], {"PYTHON_GIL": "0"})],
)
def test_the_default_build_refuses_to_turn_the_gil_off(
    options: list[str], environment: dict[str, str]
) -> None:
    ended = python(*options, "-c", SAY, environment=environment)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        "Fatal Python error: config_read_gil: Disabling the GIL is not"
        " supported by this build\n"
    )


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="the option is of Python 3.13"
)
def test_any_other_value_than_0_and_1_is_a_fatal_error() -> None:
    ended = python("-X", "gil=2", "-c", SAY)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        'Fatal Python error: config_read_gil: PYTHON_GIL / -X gil must be "0"'
        ' or "1"\n'
    )


@pytest.fixture
def unmarked(tmp_path: Path) -> Path:
    """Return the folder of an extension module that says nothing."""
    headers = sysconfig.get_path("include")
    if not (compiler := shutil.which("cc")) or not Path(headers).exists():
        pytest.skip("needs a compiler and the headers of Python")
    source = tmp_path / "unmarked.c"
    source.write_text(UNMARKED, encoding="utf-8")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    command = [compiler, "-shared", "-fPIC", f"-I{headers}", str(source)]
    subprocess.run(
        [*command, "-o", tmp_path / f"unmarked{suffix}"],
        check=True,
        timeout=60,
    )
    return tmp_path


IMPORT = (
    "import sys\n"
    "print(sys._is_gil_enabled())\n"
    "try:\n"
    "    import unmarked\n"
    "finally:\n"
    "    print(sys._is_gil_enabled())\n"
)


@free_threaded
def test_an_extension_that_says_nothing_turns_the_gil_on_with_a_warning(
    unmarked: Path,
) -> None:
    ended = python("-c", IMPORT, path=unmarked)
    assert ended.stdout == "False\nTrue\n"
    assert (
        "RuntimeWarning: The global interpreter lock (GIL) has been enabled to"
        " load module 'unmarked', which has not declared that it can run"
        " safely without the GIL. To override this behavior and keep the GIL"
        " disabled (at your own risk), run with PYTHON_GIL=0 or -Xgil=0.\n"
    ) in ended.stderr


@free_threaded
def test_as_an_error_the_warning_shows_who_imports_the_extension(
    unmarked: Path,
) -> None:
    ended = python("-W", "error::RuntimeWarning", "-c", IMPORT, path=unmarked)
    assert ended.returncode == 1
    assert ended.stdout == "False\nTrue\n"
    assert 'File "<string>", line 4, in <module>' in ended.stderr


@free_threaded
@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-X", "gil=0"], {}), ([], {"PYTHON_GIL": "0"})],
)
def test_turned_off_by_hand_the_gil_stays_off_for_any_extension(
    options: list[str], environment: dict[str, str], unmarked: Path
) -> None:
    ended = python(
        *options, "-c", IMPORT, path=unmarked, environment=environment
    )
    assert (ended.stdout, ended.stderr) == ("False\nFalse\n", "")
