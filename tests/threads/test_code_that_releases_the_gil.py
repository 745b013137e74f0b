"""What the recipe says of calls and the GIL, shown to be so."""

import bz2
import hashlib
import inspect
import json
import lzma
import os
import re
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from cookbook.threads.code_that_releases_the_gil import (
    broken_checksum,
    broken_digest,
    digest,
    lets_others_run,
)

Call = Callable[[], object]
HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
BLOB = bytes(100_000)
NUMBERS = list(range(20_000))[::-1]
TEXT = json.dumps(NUMBERS)
COMPRESSED = zlib.compress(BLOB)

with_gil = pytest.mark.skipif(not HAS_GIL, reason="there is no GIL to keep")


def verdict(call: Call) -> bool:
    """Ask; with the GIL a short time is enough for a no."""
    return lets_others_run(call, patience=0.05 if HAS_GIL else 10)


@pytest.mark.parametrize(
    "call",
    [
        lambda: hashlib.sha256(BLOB),
        lambda: hashlib.md5(BLOB, usedforsecurity=False),
        lambda: hashlib.blake2b(BLOB),
        lambda: hashlib.pbkdf2_hmac("sha256", b"a", b"b", 1000),
        lambda: zlib.compress(BLOB),
        lambda: zlib.decompress(COMPRESSED),
        lambda: zlib.crc32(BLOB[:5121]),
        lambda: bz2.compress(BLOB),
        lambda: lzma.compress(BLOB),
        lambda: os.stat(os.curdir),  # noqa: PTH116
        lambda: time.sleep(0),
        lambda: threading.Event().wait(0.001),
    ],
    ids=[
        "sha256",
        "md5",
        "blake2b",
        "pbkdf2_hmac",
        "zlib.compress",
        "zlib.decompress",
        "zlib.crc32",
        "bz2.compress",
        "lzma.compress",
        "os.stat",
        "time.sleep",
        "Event.wait",
    ],
)
def test_calls_that_wait_or_compute_on_a_buffer_let_others_run(
    call: Call,
) -> None:
    assert lets_others_run(call)


def test_files_sockets_and_databases_let_others_run(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert lets_others_run(lambda: path.write_bytes(b"x"))
    assert lets_others_run(path.read_bytes)
    one, other = socket.socketpair()
    with one, other:
        assert lets_others_run(lambda: (one.send(b"x"), other.recv(1)))
    with closing(sqlite3.connect(":memory:")) as database:
        assert lets_others_run(lambda: database.execute("SELECT 1"))


@pytest.mark.parametrize(
    "call",
    [
        lambda: broken_digest(BLOB),
        lambda: broken_checksum(BLOB),
        lambda: json.loads(TEXT),
        lambda: re.findall("9", TEXT),
        lambda: sorted(NUMBERS),
        lambda: 3**10_000,
        lambda: BLOB.replace(b"\0", b"ab"),
        lambda: zlib.crc32(BLOB[:5120]),
    ],
    ids=[
        "hashlib, 1 KiB at a time",
        "a loop in Python",
        "json.loads",
        "re.findall",
        "sorted",
        "a power",
        "bytes.replace",
        "zlib.crc32, 5 KiB",
    ],
)
def test_other_calls_keep_the_others_waiting_only_where_there_is_a_gil(
    call: Call,
) -> None:
    assert verdict(call) == (not HAS_GIL)


@with_gil
@pytest.mark.parametrize("name", ["sha256", "md5", "blake2b", "sha3_256"])
def test_hashlib_lets_go_of_the_gil_for_more_than_2048_bytes(
    name: str,
) -> None:
    found = hashlib.new(name, usedforsecurity=False)
    small, limit, large = bytes(2047), bytes(2048), bytes(2049)
    assert not lets_others_run(lambda: found.update(small), patience=0.02)
    assert lets_others_run(lambda: found.update(large))
    at_limit = lets_others_run(
        lambda: found.update(limit),
        patience=10 if sys.version_info < (3, 15) else 0.02,
    )
    assert at_limit == (sys.version_info < (3, 15))


def test_file_digest_takes_256_kib_at_a_time() -> None:
    signature = inspect.signature(hashlib.file_digest)
    assert signature.parameters["_bufsize"].default == 256 * 1024


def test_a_thread_blocked_in_read_waits_for_what_another_thread_writes() -> (
    None
):
    read_end, write_end = os.pipe()
    try:
        with ThreadPoolExecutor(max_workers=2) as pool:
            reading = pool.submit(os.read, read_end, 1)
            pool.submit(os.write, write_end, b"x").result(timeout=10)
            assert reading.result(timeout=10) == b"x"
    finally:
        os.close(read_end)
        os.close(write_end)


def test_the_digest_is_the_same_in_one_call_and_in_pieces() -> None:
    blob = bytes(range(256)) * 20
    assert broken_digest(blob) == broken_digest(blob, piece=7) == digest(blob)
    assert broken_checksum(blob) == sum(blob) % 65_536


def test_looking_sets_the_switch_interval_back_and_ends_the_thread() -> None:
    sys.setswitchinterval(0.005)  # the default
    before = sys.getswitchinterval(), threading.active_count()
    during = []

    def look() -> None:
        during.append(sys.getswitchinterval())
        time.sleep(0.001)

    assert lets_others_run(look)
    assert during[0] >= 1000
    assert (sys.getswitchinterval(), threading.active_count()) == before


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_of_the_call_goes_on_after_the_interval_is_set_back(
    error: type[BaseException],
) -> None:
    sys.setswitchinterval(0.005)  # the default
    before = sys.getswitchinterval(), threading.active_count()

    def fail() -> None:
        raise error

    with pytest.raises(error):
        lets_others_run(fail)
    assert (sys.getswitchinterval(), threading.active_count()) == before


def test_the_call_is_made_even_if_another_thread_has_run_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_event = threading.Event.set
    mine = threading.get_ident()
    calls = []

    def set_and_wait(event: threading.Event) -> None:
        set_event(event)
        if threading.get_ident() == mine:
            for thread in threading.enumerate():
                if thread.ident != mine:
                    thread.join(timeout=10)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "set", set_and_wait)
        assert lets_others_run(lambda: calls.append(1))
    assert calls


def test_without_patience_the_call_is_not_made() -> None:
    assert not lets_others_run(lambda: pytest.fail("called"), patience=0)


def python(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run an interpreter; return its exit code and what it prints."""
    process = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        text=True,
        timeout=60,
    )
    return process.returncode, process.stdout, process.stderr


def test_the_interpreter_takes_the_gil_away_every_5_milliseconds() -> None:
    _, output, _ = python("-c", "import sys; print(sys.getswitchinterval())")
    assert output == "0.005\n"


IS_ON = "import sys; print(getattr(sys, '_is_gil_enabled', lambda: True)())"


def test_the_default_build_has_the_gil_and_the_free_threaded_has_not() -> None:
    code, output, _ = python("-c", IS_ON, PYTHON_GIL="")
    assert (code, output) == (0, f"{not FREE_THREADED}\n")
    assert hasattr(sys, "_is_gil_enabled") == (sys.version_info >= (3, 13))


@pytest.mark.skipif(FREE_THREADED, reason="this build can do without")
@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-X", "gil=0"], {}), ([], {"PYTHON_GIL": "0"})],
)
def test_the_gil_of_a_default_build_cannot_be_switched_off(
    options: list[str], environment: dict[str, str]
) -> None:
    code, output, errors = python(*options, "-c", IS_ON, **environment)
    if sys.version_info >= (3, 13):
        assert (code, output) == (1, "")
        assert errors.startswith(
            "Fatal Python error: config_read_gil:"
            " Disabling the GIL is not supported by this build\n"
        )
    else:
        assert (code, output, errors) == (0, "True\n", "")


@pytest.mark.skipif(not FREE_THREADED, reason="this build always has the GIL")
@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-X", "gil=1"], {}), ([], {"PYTHON_GIL": "1"})],
)
def test_the_gil_of_a_free_threaded_build_can_be_switched_on(
    options: list[str], environment: dict[str, str]
) -> None:
    code, output, _ = python(*options, "-c", IS_ON, **environment)
    assert (code, output) == (0, "True\n")
