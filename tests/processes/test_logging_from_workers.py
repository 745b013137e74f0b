"""What the recipe says of logging from workers, shown to be so."""

import logging
import multiprocessing
import multiprocessing.util
import operator
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import pytest

from cookbook.processes.logging_from_workers import (
    WorkersListener,
    broken_worker,
    log_to_queue,
    map_and_log,
    square,
)
from tests.programs import group_is_gone

METHODS = multiprocessing.get_all_start_methods()
ROOT = Path(__file__).parents[2]
NAME = "cookbook.processes.logging_from_workers"

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
# The watchdog of faulthandler is a thread, so every fork of a test warns.
pytestmark = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"
)


class Kept(logging.Handler):
    """Keeps the records that it handles."""

    def __init__(self, level: int = logging.INFO) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep *record*."""
        self.records.append(record)

    @property
    def lines(self) -> list[str]:
        """The messages, as they are formatted."""
        return [self.format(record) for record in self.records]


@contextmanager
def attached(handler: logging.Handler, name: str = "") -> Iterator[None]:
    """Let *handler* handle what this process logs, as a program does."""
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def call(
    *jobs: Callable[[], object], handler: logging.Handler, method: str
) -> None:
    """Run *jobs*, one after the other, in a worker."""
    map_and_log(
        cast("Callable[[int], object]", operator.call),
        cast("Any", jobs),
        handler=handler,
        workers=1,
        context=multiprocessing.get_context(method),
    )


@pytest.mark.parametrize("method", METHODS)
def test_each_line_of_each_worker_is_handled_once_in_the_parent(
    method: str,
) -> None:
    handler = Kept()
    with attached(handler):
        answers = map_and_log(
            square,
            range(50),
            handler=handler,
            workers=2,
            context=multiprocessing.get_context(method),
        )
    assert answers == [n * n for n in range(50)]
    assert sorted(handler.lines) == sorted(f"square of {n}" for n in range(50))
    assert os.getpid() not in {one.process for one in handler.records}
    assert {one.name for one in handler.records} == {NAME}


def test_a_long_line_is_waited_for_before_the_listener_stops() -> None:
    handler = Kept()
    line = "x" * 5_000_000
    call(
        partial(logging.warning, line),
        handler=handler,
        method="spawn",
    )
    assert handler.lines == [line]


@pytest.mark.parametrize("method", METHODS)
def test_what_a_worker_logs_when_it_ends_is_handled(method: str) -> None:
    handler = Kept()
    at_the_end = partial(
        multiprocessing.util.Finalize,
        None,
        logging.warning,
        ["the worker ends"],
        exitpriority=10,
    )
    call(at_the_end, handler=handler, method=method)
    assert handler.lines == ["the worker ends"]


def test_no_numbers_give_no_answers_and_no_lines() -> None:
    handler = Kept()
    assert map_and_log(square, [], handler=handler) == []
    assert handler.lines == []


def test_what_is_below_the_level_of_the_handler_is_not_sent() -> None:
    handler = Kept(logging.ERROR)
    call(
        partial(logging.warning, "not sent"),
        partial(logging.error, "sent"),
        handler=handler,
        method="spawn",
    )
    assert handler.lines == ["sent"]


@pytest.mark.parametrize(
    ("numbers", "options", "error", "text"),
    [
        ([7], {"workers": 0}, ValueError, "workers must be at least 1, not 0"),
        ([7], {"workers": "2"}, TypeError, "workers must be an int, not '2'"),
        (7, {}, TypeError, "numbers must be iterable, not 7"),
        (
            [7],
            {"handler": "jobs.log"},
            TypeError,
            "handler must be a logging.Handler, not 'jobs.log'",
        ),
    ],
)
def test_bad_arguments_are_refused_before_a_process_is_started(
    numbers: object,
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    starts_nothing: Any = object()
    options = {"handler": Kept(), "context": starts_nothing, **options}
    with pytest.raises(error, match=f"^{text}$"):
        map_and_log(square, cast("Any", numbers), **options)


@pytest.mark.parametrize("method", METHODS)
def test_an_error_in_a_job_is_raised_when_all_lines_are_handled(
    method: str,
) -> None:
    handler = Kept()
    with pytest.raises(ValueError, match="'eight'"):
        call(
            partial(int, "eight"),
            partial(logging.warning, "after it"),
            handler=handler,
            method=method,
        )
    assert handler.lines == ["after it"]


def test_a_traceback_is_sent_as_a_part_of_the_line() -> None:
    handler = Kept()
    error = ValueError("eight")
    call(
        partial(logging.error, "failed: %s", 8, exc_info=error),
        handler=handler,
        method="spawn",
    )
    assert handler.lines == ["failed: 8\nValueError: eight"]


@pytest.mark.parametrize("method", METHODS)
def test_handlers_of_a_named_logger_are_copied_by_fork_alone(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.log"
    with closing(logging.FileHandler(path)) as handler:
        handler.setLevel(logging.INFO)
        with attached(handler, NAME):
            map_and_log(
                square,
                [7],
                handler=handler,
                workers=1,
                context=multiprocessing.get_context(method),
            )
    lines = path.read_text().splitlines()
    assert lines == ["square of 7"] * (2 if method == "fork" else 1)


@posix
@pytest.mark.parametrize("method", METHODS)
def test_a_worker_writes_to_a_file_that_another_has_had_deleted(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.log"
    context = multiprocessing.get_context(method)
    with (
        broken_worker(path, context) as first,
        broken_worker(path, context) as second,
    ):
        second.submit(abs, 7).result()
        list(first.map(square, range(1001, 1013)))
        second.submit(square, 7).result()
    files = sorted(tmp_path.iterdir())
    assert [one.read_text().split()[2::3] for one in files] == [
        ["1010", "1011", "1012"],
        ["1007", "1008", "1009"],
    ]


@pytest.mark.parametrize("method", METHODS)
def test_the_last_line_is_in_the_file_if_the_parent_alone_writes(
    method: str, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.log"
    with closing(
        RotatingFileHandler(path, maxBytes=60, backupCount=1)
    ) as handler:
        handler.setLevel(logging.INFO)
        for numbers in [*range(1001, 1013)], [7]:
            map_and_log(
                square,
                numbers,
                handler=handler,
                workers=1,
                context=multiprocessing.get_context(method),
            )
    assert path.read_text().splitlines()[-1] == "square of 7"


def run(
    program: str, *arguments: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, and see that it leaves no process."""
    path = folder / "program.py"
    path.write_text(program)
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(path), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDEVMODE": ""},
        start_new_session=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            output, errors = started.communicate(timeout=60)
        finally:
            gone = os.name == "nt" or group_is_gone(started.pid)
            if not gone:
                os.killpg(started.pid, signal.SIGKILL)
    assert gone
    assert started.returncode is not None
    return subprocess.CompletedProcess(
        program, started.returncode, output, errors
    )


NOT_SET_UP = """
import logging, multiprocessing, sys
logger = logging.getLogger("jobs")
def job():
    logger.info("an info")
    logger.warning("a warning")
if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s", level="INFO")
    process = multiprocessing.get_context(sys.argv[1]).Process(target=job)
    process.start()
    process.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_what_the_parent_has_set_up_is_in_a_forked_worker_alone(
    method: str, tmp_path: Path
) -> None:
    shown = run(NOT_SET_UP, method, folder=tmp_path).stderr.splitlines()
    if method == "fork":
        assert shown == ["INFO an info", "WARNING a warning"]
    else:
        assert shown == ["a warning"]


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_no_thread_runs_when_the_workers_are_forked(tmp_path: Path) -> None:
    shown = run(
        "import multiprocessing\n"
        f"from {NAME} import main\n"
        "multiprocessing.set_start_method('fork')\n"
        "main()\n",
        folder=tmp_path,
    )
    assert (shown.stderr, shown.returncode) == ("", 0)
    assert shown.stdout.startswith("[1, 4, 9]\n")


KILLED = f"""
import logging, multiprocessing, os, signal, sys
from {NAME} import *
from {NAME} import QueueListener
from cookbook.processes import logging_from_workers
from concurrent.futures.process import BrokenProcessPool
def die_with_the_lock(n):
    logging.getLogger().handlers[0].queue._wlock.acquire()
    signal.raise_signal(signal.SIGKILL)
if __name__ == "__main__":
    if sys.argv[2] == "ordinary":
        logging_from_workers.WorkersListener = QueueListener
    try:
        map_and_log(
            die_with_the_lock, [1], handler=logging.NullHandler(), workers=1,
            context=multiprocessing.get_context(sys.argv[1]),
        )
    except BrokenProcessPool as error:
        print(type(error).__name__)
"""


@posix
@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_is_killed_with_the_lock_is_not_waited_for(
    method: str, tmp_path: Path
) -> None:
    ended = run(KILLED, method, "ours", folder=tmp_path)
    assert ended.stdout == "BrokenProcessPool\n"
    assert ended.returncode == 0


@posix
def test_an_ordinary_listener_waits_for_ever_for_the_lock_of_the_dead(
    tmp_path: Path,
) -> None:
    alarm = "    signal.setitimer(signal.ITIMER_REAL, 1)\n    try:\n"
    program = KILLED.replace("    try:\n", alarm)
    ended = run(program, "fork", "ordinary", folder=tmp_path)
    assert ended.returncode == -signal.SIGALRM


CUT = f"""
import logging, multiprocessing, os, signal, sys
from {NAME} import *
def log(queue, length):
    log_to_queue(queue, logging.INFO)
    logging.warning("x" * length)
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=log, args=(queue, int(sys.argv[1])))
    process.start()
    while not queue._poll():  # the pipe has a part of it, at least
        process.join(0.01)
    process.kill()
    process.join()
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    listener = WorkersListener(queue, logging.NullHandler())
    listener.start()
    listener.stop()
"""


@posix
@pytest.mark.parametrize(
    ("length", "code"), [(3000, 0), (10_000_000, -signal.SIGALRM)]
)
def test_the_rest_of_a_line_that_is_cut_by_a_kill_is_waited_for(
    length: int, code: int, tmp_path: Path
) -> None:
    assert run(CUT, str(length), folder=tmp_path).returncode == code


def test_basic_config_has_the_line_formatted_in_the_worker_too(
    tmp_path: Path,
) -> None:
    shown = run(
        "import logging\n"
        "from queue import SimpleQueue\n"
        "from logging.handlers import QueueHandler\n"
        "queue = SimpleQueue()\n"
        "logging.basicConfig(level='INFO', handlers=[QueueHandler(queue)])\n"
        "logging.getLogger('jobs').info('square of 7')\n"
        "format = logging.Formatter(logging.BASIC_FORMAT).format\n"
        "print(format(queue.get()))\n",
        folder=tmp_path,
    )
    assert shown.stdout == "INFO:jobs:INFO:jobs:square of 7\n"


def test_the_listener_asks_no_logger_and_a_handler_only_if_told_to() -> None:
    logger = logging.getLogger("tests.jobs")
    logger.setLevel(logging.ERROR)
    of_logger, plain, respected = Kept(), Kept(), Kept(logging.ERROR)
    plain.setLevel(logging.ERROR)
    record = logging.LogRecord(logger.name, logging.INFO, "", 0, "x", (), None)
    with attached(of_logger, logger.name):
        QueueListener(SimpleQueue(), plain).handle(record)
        QueueListener(
            SimpleQueue(), respected, respect_handler_level=True
        ).handle(record)
    assert (plain.lines, respected.lines, of_logger.lines) == (["x"], [], [])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_dict_config_makes_the_handler_and_its_listener(
    tmp_path: Path,
) -> None:
    shown = run(
        "import logging.config\n"
        "logging.config.dictConfig({\n"
        "    'version': 1,\n"
        "    'handlers': {\n"
        "        'out': {'class': 'logging.StreamHandler',\n"
        "                'stream': 'ext://sys.stdout'},\n"
        "        'queue': {'class': 'logging.handlers.QueueHandler',\n"
        "                  'handlers': ['out']},\n"
        "    },\n"
        "    'root': {'handlers': ['queue'], 'level': 'INFO'},\n"
        "})\n"
        "listener = logging.getHandlerByName('queue').listener\n"
        "listener.start()\n"
        "logging.info('square of 7')\n"
        "listener.stop()\n",
        folder=tmp_path,
    )
    assert shown.stdout == "square of 7\n"


@pytest.mark.parametrize("closed", [False, True])
def test_leaving_a_pool_loses_lines_unless_it_is_closed_and_joined(
    closed: bool,
) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    handler = Kept()
    listener = WorkersListener(queue, handler)
    with context.Pool(1, log_to_queue, (queue, logging.INFO)) as pool:
        pool.apply(logging.warning, ["x" * 1_000_000])
        if closed:
            listener.start()
            pool.close()
            pool.join()
    if closed:
        listener.stop()
    assert len(handler.lines) == closed
    queue.close()


def test_the_listener_handles_what_is_in_the_pipe_when_told_to_stop() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    handler = Kept()
    with context.Pool(1, log_to_queue, (queue, logging.INFO)) as pool:
        pool.map(logging.warning, ["one", "two"])
        pool.close()
        pool.join()
    listener = WorkersListener(queue, handler)
    listener.enqueue_sentinel()
    listener.start()
    listener.stop()
    assert handler.lines == ["one", "two"]
    queue.close()
