"""What the recipe says of pipes and queues, shown to be so."""

import multiprocessing
import multiprocessing.synchronize
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection, Listener
from multiprocessing.context import BaseContext
from multiprocessing.queues import Queue
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cookbook.processes import queues_and_pipes
from cookbook.processes.queues_and_pipes import (
    broken_put,
    broken_result_of,
    put_or_raise,
    received,
    result_of,
)
from tests.programs import end_by_ctrl_c, group_is_gone, program

ROOT = Path(queues_and_pipes.__file__).parents[2]
METHODS = multiprocessing.get_all_start_methods()
SPAWN = multiprocessing.get_context("spawn")
REFUSED = "cannot pickle '_thread.lock' object"

every_method = pytest.mark.parametrize("method", METHODS)
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.fixture
def a_queue() -> "Iterator[Queue[Any]]":
    """Return a queue, which is closed after the test."""
    made = SPAWN.Queue()
    yield made
    made.close()
    made.join_thread()


@every_method
def test_what_the_job_returns_is_returned(method: str) -> None:
    context = multiprocessing.get_context(method)
    assert result_of(pow, 2, 10, context=context) == 1024
    assert len(result_of(bytes, 200_000, context=context)) == 200_000
    assert result_of(print, context=context) is None
    assert result_of(os.getpid, context=context) != os.getpid()


@every_method
def test_what_the_job_raises_is_raised(method: str) -> None:
    with pytest.raises(ValueError, match="'eight'"):
        result_of(int, "eight", context=multiprocessing.get_context(method))


@every_method
def test_a_child_that_ends_without_a_result_is_told_of_at_once(
    method: str,
) -> None:
    with pytest.raises(RuntimeError) as caught:
        result_of(sys.exit, 7, context=multiprocessing.get_context(method))
    assert str(caught.value) == "no result, exit code 7"


@posix
@every_method
def test_a_killed_child_is_told_of_at_once(method: str) -> None:
    context = multiprocessing.get_context(method)
    with pytest.raises(RuntimeError) as caught:
        result_of(signal.raise_signal, signal.SIGKILL, context=context)
    assert str(caught.value) == "no result, exit code -9"


def noting(written: bytes = b"") -> tuple[BaseContext, SimpleNamespace]:
    """Return a stand-in for a context, and what it has made.

    Args:
        written: What is in the pipe before the child has it.
    """
    made = SimpleNamespace(ends=[], processes=[])

    def pipe(*, duplex: bool) -> tuple[Connection, Connection]:
        receiver, sender = SPAWN.Pipe(duplex=duplex)
        os.write(sender.fileno(), written)
        made.ends += receiver, sender
        return receiver, sender

    def process(**options: object) -> object:
        made.processes.append(SPAWN.Process(**cast("Any", options)))
        return made.processes[-1]

    context = SimpleNamespace(Pipe=pipe, Process=process)
    context.get_context = lambda: context
    return cast("BaseContext", context), made


@pytest.mark.parametrize("written", [b"", b"\0", b"\0\0\0\x09half"])
def test_an_end_before_or_in_the_message_is_told_of_and_all_is_closed(
    written: bytes,
) -> None:
    context, made = noting(written)
    with pytest.raises(RuntimeError, match="no result, exit code 7"):
        result_of(sys.exit, 7, context=context)
    assert [end.closed for end in made.ends] == [True, True]


def test_after_a_result_the_pipe_is_closed_and_the_child_has_ended() -> None:
    context, made = noting()
    assert result_of(pow, 2, 10, context=context) == 1024
    assert [end.closed for end in made.ends] == [True, True]
    assert vars(made.processes[0])["_popen"].returncode == 0


def test_a_result_that_cannot_be_pickled_is_an_error_in_the_parent() -> None:
    with pytest.raises(TypeError, match=REFUSED):
        result_of(threading.Lock, context=SPAWN)


def test_a_job_that_cannot_be_pickled_leaves_no_process_and_no_pipe() -> None:
    with pytest.raises(TypeError, match=REFUSED):
        result_of(print, threading.Lock(), context=SPAWN)


@posix
@every_method
def test_the_parent_waits_on_after_the_end_if_its_own_end_is_open(
    method: str,
) -> None:
    context = multiprocessing.get_context(method)
    with pytest.raises(TimeoutError) as caught:
        broken_result_of(sys.exit, 7, patience=0.1, context=context)
    assert str(caught.value) == "waited on after exit code 7"


def test_with_both_ends_open_a_result_still_comes() -> None:
    assert broken_result_of(pow, 2, 10, context=SPAWN) == 1024


def test_an_item_that_cannot_be_pickled_disappears_from_a_queue(
    a_queue: "Queue[Any]", capfd: pytest.CaptureFixture[str]
) -> None:
    broken_put(a_queue, threading.Lock(), "next", threading.Lock(), "last")
    assert [a_queue.get(timeout=10) for _ in range(2)] == ["next", "last"]
    with pytest.raises(queue.Empty):
        a_queue.get_nowait()
    assert capfd.readouterr().err.count(f"TypeError: {REFUSED}") == 2


def test_to_pickle_first_raises_where_the_item_is_put(
    a_queue: "Queue[Any]",
) -> None:
    with pytest.raises(TypeError, match=REFUSED):
        put_or_raise(a_queue, threading.Lock())
    put_or_raise(a_queue, "next")
    assert a_queue.get(timeout=10) == "next"
    with pytest.raises(queue.Empty):
        a_queue.get_nowait()


def test_received_returns_all_items_and_joins_the_feeder() -> None:
    called: list[str] = []
    several: Any = queue.Queue()
    for name in "close", "join_thread":
        setattr(several, name, partial(called.append, name))
    broken_put(several, 1, 2, 3)
    assert received(several) == [1, 2, 3]
    assert called == ["close", "join_thread"]
    items: Any = SPAWN.Queue()
    broken_put(items, 1)
    assert received(items) == [1]
    with pytest.raises(ValueError, match="is closed"):
        items.put(2)


def test_a_pipe_and_a_simple_queue_raise_where_the_item_is_put() -> None:
    receiver, sender = SPAWN.Pipe(duplex=False)
    simple: Any = SPAWN.SimpleQueue()
    with receiver, sender:
        for send, get in (
            (sender.send, receiver.recv),
            (simple.put, simple.get),
        ):
            with pytest.raises(TypeError, match=REFUSED):
                send(threading.Lock())
            send("next")
            assert get() == "next"
    simple.close()


def test_a_simple_queue_waits_when_the_pipe_is_full() -> None:
    simple: Any = SPAWN.SimpleQueue()
    ended = threading.Event()

    def put() -> None:
        simple.put(bytes(10**6))
        ended.set()

    thread = threading.Thread(target=put)
    thread.start()
    assert not ended.wait(timeout=0.1)
    assert len(simple.get()) == 10**6
    thread.join()
    simple.close()


def test_recv_raises_eoferror_only_when_each_copy_of_the_end_is_closed() -> (
    None
):
    receiver, sender = SPAWN.Pipe(duplex=False)
    with receiver:
        copy = os.dup(sender.fileno())
        sender.close()
        assert not receiver.poll(0)
        os.close(copy)
        assert receiver.poll(0)
        with pytest.raises(EOFError):
            receiver.recv()


def test_a_joinable_queue_waits_for_an_item_that_was_dropped() -> None:
    items: Any = SPAWN.JoinableQueue()
    broken_put(items, threading.Lock(), "next")
    assert items.get(timeout=10) == "next"
    items.task_done()
    thread = threading.Thread(target=items.join)
    thread.start()
    thread.join(timeout=0.1)
    assert thread.is_alive()
    items.task_done()  # for the one that never came
    thread.join()
    items.close()
    items.join_thread()


def test_a_process_with_a_pipe_needs_no_semaphore_and_a_queue_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    lock = multiprocessing.synchronize.SemLock
    monkeypatch.setattr(lock, "__init__", missing)
    for method in METHODS:
        context = multiprocessing.get_context(method)
        assert result_of(pow, 2, 10, context=context) == 1024
        for make in context.Queue, context.Lock, context.Pool:
            with pytest.raises(OSError, match="Function not implemented"):
                make()


@pytest.mark.skipif(sys.platform != "linux", reason="is of Linux")
def test_the_path_of_a_socket_may_have_about_108_characters(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="AF_UNIX path too long"):
        Listener(str(tmp_path / ("x" * 108)))


INTERRUPTED = """
import multiprocessing, os, sys
from multiprocessing.connection import Connection
from cookbook.processes.queues_and_pipes import result_of

receive = Connection.recv

def wait_for_result(receiver):
    os.write(1, b"the parent waits\\n")
    return receive(receiver)

if __name__ == "__main__":
    Connection.recv = wait_for_result
    context = multiprocessing.get_context(sys.argv[1])
    result_of(exec, sys.argv[2], context=context)
"""
WAITS = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as one in C code may
os.write(1, b"a job runs\\n")
while True:
    time.sleep(1)
"""


@posix
@every_method
def test_ctrl_c_kills_the_child_and_leaves_nothing(
    method: str, tmp_path: Path
) -> None:
    with program(tmp_path, INTERRUPTED, method, WAITS) as running:
        assert running.stdout
        assert running.stderr
        said = {running.stdout.readline() for _ in range(2)}
        assert said == {"a job runs\n", "the parent waits\n"}
        end_by_ctrl_c(running)
        assert running.returncode == -signal.SIGINT
        assert running.stderr.read().endswith("\nKeyboardInterrupt\n")
        assert group_is_gone(running.pid)


INSIDE = """
import multiprocessing, os, time
from cookbook.processes.queues_and_pipes import result_of

def interrupted_fork():
    child = fork()
    if child:
        children.append(child)
        raise KeyboardInterrupt
    return child

children, fork = [], os.fork
os.fork = interrupted_fork
try:
    result_of(time.sleep, 60, context=multiprocessing.get_context("fork"))
except KeyboardInterrupt:
    print(multiprocessing.active_children(), os.waitpid(*children, os.WNOHANG))
os.kill(*children, 9)
os.waitpid(*children, 0)
"""


@pytest.mark.skipif("fork" not in METHODS, reason="needs fork")
def test_ctrl_c_inside_start_may_leave_a_child_that_nobody_knows(
    tmp_path: Path,
) -> None:
    with program(tmp_path, INSIDE) as running:
        printed, errors = running.communicate(timeout=60)
    assert (printed, errors) == ("[] (0, 0)\n", "")
