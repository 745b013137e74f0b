"""What the recipe says of queues between machines, shown to be so."""

import inspect
import multiprocessing
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import answer_challenge, deliver_challenge
from multiprocessing.context import AuthenticationError
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

import pytest

from cookbook.clusters import queue_between_machines
from cookbook.clusters.queue_between_machines import (
    QueueManager,
    broken_collect,
    broken_main,
    collect,
    do_jobs,
    main,
    queues_at,
    run_workers,
    take_one_and_die,
)
from tests.calls import Call

METHODS = multiprocessing.get_all_start_methods()
KEY = b"the key of the tests"
HERE = ("127.0.0.1", 0)
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


@pytest.fixture
def manager() -> Iterator[QueueManager]:
    context = multiprocessing.get_context(METHODS[0])
    with queues_at(HERE, KEY, context) as manager:
        yield manager
    process: Any = manager
    process._process.close()  # pytest still has the manager


def connected(manager: QueueManager, key: bytes = KEY) -> QueueManager:
    other = queues_at(manager_address(manager), key)
    other.connect()
    return other


def manager_address(manager: BaseManager) -> tuple[str, int]:
    address: Any = manager.address
    return str(address[0]), int(address[1])


@pytest.mark.parametrize("method", METHODS)
def test_jobs_of_workers_that_died_are_done_by_others(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(multiprocessing.get_context(method))
    assert capsys.readouterr().out.splitlines() == [
        "jobs left after two workers died: 2 of 4",
        "2 True",
        "9 False",
        "97 True",
        "100 False",
    ]


@pytest.mark.parametrize("method", METHODS)
def test_one_answer_for_each_job_waits_in_vain_for_those_of_dead_workers(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken_main(multiprocessing.get_context(method))
    assert capsys.readouterr().out.splitlines() == [
        "answered: {97: True, 100: False}",
        "no answer: [2, 9]",
    ]


def test_what_one_puts_the_other_gets(manager: QueueManager) -> None:
    other = connected(manager)
    manager.jobs().put(7)
    assert other.jobs().get() == 7
    other.answers().put((7, True))
    assert manager.answers().get() == (7, True)
    assert manager.jobs().empty()


def test_the_queues_are_served_at_the_address_alone(
    manager: QueueManager,
) -> None:
    assert manager_address(manager)[0] == "127.0.0.1"
    assert manager_address(manager)[1] > 0


@pytest.mark.parametrize("key", [b"another", b"\0" * 32])
def test_a_wrong_key_is_refused(manager: QueueManager, key: bytes) -> None:
    with pytest.raises(AuthenticationError, match="digest sent was rejected"):
        connected(manager, key)


def test_an_empty_key_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"^authkey must not be empty$"):
        queues_at(HERE, b"")


def test_with_an_empty_key_of_a_plain_manager_everybody_gets_in() -> None:
    queues_at(HERE, KEY)  # registers
    context = multiprocessing.get_context(METHODS[0])
    with QueueManager(HERE, authkey=b"", ctx=context) as open_to_all:
        stranger = QueueManager(manager_address(open_to_all), authkey=b"")
        stranger.connect()
        stranger.jobs().put(7)
        assert open_to_all.jobs().get() == 7


def test_without_a_key_that_of_the_process_is_used_and_it_is_random(
    manager: QueueManager,
) -> None:
    own = QueueManager(manager_address(manager))
    with pytest.raises(AuthenticationError, match="digest sent was rejected"):
        own.connect()
    assert len(multiprocessing.current_process().authkey) == 32


def test_whoever_knows_the_key_runs_any_code_on_the_server(
    manager: QueueManager,
) -> None:
    jobs: Any = connected(manager).jobs()
    jobs.put(Call(os.getpid))
    [server] = multiprocessing.active_children()
    assert jobs.get() == server.pid


def test_the_side_that_connects_needs_the_names_and_no_callable(
    manager: QueueManager,
) -> None:
    class Names(BaseManager):
        pass

    other: Any = Names(manager_address(manager), authkey=KEY)
    other.connect()
    with pytest.raises(AttributeError, match="object has no attribute 'jobs'"):
        other.jobs()
    Names.register("jobs")
    other.jobs().put(8)
    assert manager.jobs().get() == 8


def test_where_nobody_serves_the_connection_is_refused(
    manager: QueueManager,
) -> None:
    address = manager_address(manager)
    manager.shutdown()
    with pytest.raises(ConnectionRefusedError, match=r"refused|10061"):
        queues_at(address, KEY).connect()


def test_a_caller_that_is_gone_while_it_waits_takes_the_next_job_with_it(
    manager: QueueManager,
) -> None:
    def begin_to_wait_and_be_gone() -> None:
        gone: Any = connected(manager).jobs()
        assert gone.empty()
        connection = gone._tls.connection  # of this thread
        connection.send((gone._id, "get", (), {}))
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(begin_to_wait_and_be_gone).result(timeout=60)
    jobs = manager.jobs()
    jobs.put(7)
    deadline = time.monotonic() + 60
    while not jobs.empty():
        assert time.monotonic() < deadline
    assert broken_collect([7], manager.answers(), patience=0.01) == {}


def test_a_server_that_is_killed_takes_the_queues_with_it(
    manager: QueueManager,
) -> None:
    jobs = manager.jobs()
    jobs.put(7)
    [server] = multiprocessing.active_children()
    server.kill()
    server.join()
    with pytest.raises((EOFError, ConnectionError)):
        jobs.get()
    with pytest.raises((EOFError, ConnectionError)):
        connected(manager)


def test_a_get_as_the_with_block_ends_raises_or_returns_none() -> None:
    def get() -> object:
        jobs = connected(manager).jobs()
        comes.set()
        try:
            return jobs.get()
        except (EOFError, ConnectionError):
            return None

    comes = threading.Event()
    context = multiprocessing.get_context(METHODS[0])
    with ThreadPoolExecutor(1) as pool:
        with queues_at(HERE, KEY, context) as manager:
            waiting = pool.submit(get)
            assert comes.wait(60)
        assert waiting.result(timeout=60) is None


def test_a_server_that_ends_answers_a_new_connection_twice_with_none() -> None:
    server: Any = queues_at(HERE, KEY).get_server()
    server.stop_event = threading.Event()
    server.stop_event.set()  # its with-block has ended
    here, there = multiprocessing.Pipe()
    with here, server.listener, ThreadPoolExecutor(1) as pool:
        pool.submit(server.handle_request, there)
        answer_challenge(here, KEY)
        deliver_challenge(here, KEY)
        here.send((None, "accept_connection", ("a worker",), {}))
        assert here.recv() == ("#RETURN", None)
        assert here.recv() == ("#RETURN", None)  # what get would return


def answered(*pairs: tuple[int, bool]) -> "queue.Queue[tuple[int, bool]]":
    answers: queue.Queue[tuple[int, bool]] = queue.Queue()
    for pair in pairs:
        answers.put(pair)
    return answers


def test_only_what_was_not_answered_is_put_in_again() -> None:
    jobs: queue.Queue[int | None] = queue.Queue()
    answers = answered((7, True), (7, True))
    with pytest.raises(TimeoutError, match=r"^no answer for \[9, 8\]$"):
        collect([7, 9, 8], jobs, answers, patience=0.01, rounds=3)
    assert [jobs.get_nowait() for _ in range(jobs.qsize())] == [9, 8, 9, 8]


def test_an_answer_begins_the_patience_anew_and_a_second_one_is_harmless() -> (
    None
):
    class Slow(queue.Queue[tuple[int, bool]]):
        """Has an answer at every second time of asking."""

        asked = 0

        def get(
            self, block: bool = True, timeout: float | None = None
        ) -> tuple[int, bool]:
            assert (block, timeout) == (True, 5.0)
            self.asked += 1
            if self.asked % 2:
                raise queue.Empty
            return super().get()

    answers = Slow()
    for pair in [(7, True), (7, True), (8, False)]:
        answers.put(pair)
    jobs: queue.Queue[int | None] = queue.Queue()
    found = collect([7, 8], jobs, answers, patience=5.0, rounds=2)
    assert found == {7: True, 8: False}
    assert jobs.qsize() == 2 + 1 + 1


def test_a_late_answer_to_the_call_before_is_dropped() -> None:
    jobs: queue.Queue[int | None] = queue.Queue()
    answers = answered((7, True), (8, False), (7, False))
    assert collect([8], jobs, answers, patience=5.0) == {8: False}
    assert answers.qsize() == 1


def test_a_job_that_still_waits_is_put_in_again_and_done_twice(
    manager: QueueManager,
) -> None:
    jobs: Any = manager.jobs()
    answers: Any = manager.answers()
    jobs.put(7)
    with pytest.raises(TimeoutError):
        collect([7], jobs, answers, patience=0.01, rounds=2)
    jobs.put(None)
    do_jobs(manager_address(manager), KEY)
    assert [answers.get(timeout=60) for _ in range(2)] == [(7, True)] * 2
    assert answers.empty()


def code_blocks() -> list[str]:
    """Return what the page says to run on each machine."""
    page = inspect.getdoc(queue_between_machines) or ""
    blocks = page.split(".. code-block:: text\n\n")[1:]
    return [
        textwrap.dedent(re.split(r"\n(?=\S)", block)[0]) for block in blocks
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_lines_for_several_machines_work_over_loopback(
    method: str, tmp_path: Path
) -> None:
    with socket.create_server(HERE) as free:
        port = free.getsockname()[1]
    shutil.copy(queue_between_machines.__file__, tmp_path / "queues.py")
    (tmp_path / "key").write_bytes(KEY)
    script = tmp_path / "server.py"
    server_lines, worker_lines = (
        block.replace("10.0.0.5", "127.0.0.1").replace("50000", str(port))
        for block in code_blocks()
    )
    main_line = 'if __name__ == "__main__":\n'
    assert main_line in server_lines
    script.write_text(
        "import multiprocessing\n"
        + server_lines.replace(
            main_line,
            f"{main_line}    multiprocessing.set_start_method({method!r})\n",
        )
    )
    path = os.pathsep.join([str(tmp_path), str(Path.cwd())])
    environment = {**os.environ, "PYTHONPATH": path}
    program: Any = partial(
        subprocess.Popen,
        cwd=tmp_path,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with program([sys.executable, script]) as server:
        deadline = time.monotonic() + 60
        while not listens(port):
            assert time.monotonic() < deadline
        with program([sys.executable, "-c", worker_lines]) as worker:
            assert worker.communicate(timeout=60) == ("", None)
        said, _ = server.communicate("\n", timeout=60)
    assert (server.returncode, worker.returncode) == (0, 0)
    assert said.startswith("{97: True, 100: False}\nPress Enter")


def listens(port: int) -> bool:
    """Tell whether somebody serves at *port*."""
    try:
        queues_at(("127.0.0.1", port), KEY).connect()
    except ConnectionRefusedError:
        return False
    return True


def test_no_numbers_need_no_answer() -> None:
    assert collect([], queue.Queue(), answered()) == {}


def test_every_worker_ends_when_there_is_one_none(
    manager: QueueManager,
) -> None:
    context = multiprocessing.get_context(METHODS[0])
    workers = run_workers(do_jobs, manager, KEY, context)
    manager.jobs().put(7)
    manager.jobs().put(None)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert manager.answers().get() == (7, True)
    assert manager.jobs().get() is None


def test_an_error_in_a_job_ends_its_worker_without_an_answer(
    manager: QueueManager, capfd: pytest.CaptureFixture[str]
) -> None:
    jobs: Any = manager.jobs()
    context = multiprocessing.get_context("spawn")
    workers = run_workers(do_jobs, manager, KEY, context)
    for _ in workers:
        jobs.put("seven")
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 1
    assert "n must be an int, not 'seven'" in capfd.readouterr().err
    assert manager.answers().empty()


def test_the_worker_that_dies_has_taken_one_job(manager: QueueManager) -> None:
    manager.jobs().put(7)
    manager.jobs().put(8)
    manager.jobs().put(9)
    context = multiprocessing.get_context(METHODS[0])
    for worker in run_workers(take_one_and_die, manager, KEY, context):
        worker.join(60)
        assert worker.exitcode == 1
    assert manager.jobs().get() == 9
