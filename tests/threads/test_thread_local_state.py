"""What the recipe says of thread-locals and contexts, shown to be so."""

import asyncio
import contextlib
import contextvars
import gc
import pickle
import subprocess
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from types import SimpleNamespace
from typing import Any

import pytest

from cookbook.testing.every_interleaving import Setup
from cookbook.threads.thread_local_state import (
    USER,
    Scratch,
    as_user,
    broken_greet,
    greet,
    submit_in_context,
)
from tests.exploring import Explore

needs_flag = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="the flag exists from 3.14"
)


def in_a_thread(function: Callable[[], object]) -> object:
    """Return what *function* returns in a new thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


def in_a_program(code: str, *options: str) -> str:
    """Return what *code* prints in an interpreter with these options."""
    command = [sys.executable, "-I", *options, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def two_threads_write_and_read(
    kind: Callable[[], Any],
) -> Callable[[], Setup]:
    """Return a set-up in which each thread sets a name and reads it."""

    def make() -> Setup:
        request = kind()
        seen: dict[str, str] = {}

        def serve(user: str) -> None:
            request.user = user
            seen[user] = request.user

        def serve_ann() -> None:
            serve("ann")

        def serve_bob() -> None:
            serve("bob")

        def wrong() -> int:
            return sum(user != found for user, found in seen.items())

        return [serve_ann, serve_bob], wrong

    return make


def test_a_local_keeps_two_requests_apart_on_every_schedule(
    explore: Explore,
) -> None:
    explore(
        two_threads_write_and_read(threading.local),
        "``threading.local``: two threads set and read",
        right={0: "each reads what it has set"},
    )


def test_a_global_mixes_two_requests_up_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        two_threads_write_and_read(SimpleNamespace),
        "one global for all: two threads set and read",
        right={0: "each reads what it has set"},
        wrong={1: "one reads what the other has set"},
    )


def test_a_request_without_a_user_is_taken_for_that_of_the_user_before() -> (
    None
):
    with ThreadPoolExecutor(max_workers=1) as pool:
        users = [None, "ann", None]
        assert list(pool.map(broken_greet, users)) == [
            "hello nobody",
            "hello ann",
            "hello ann",
        ]


def test_in_the_same_pool_a_job_in_its_callers_context_is_nobodys() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        with as_user("ann"):
            first = submit_in_context(pool, greet)
        second = submit_in_context(pool, greet)
    assert [first.result(), second.result()] == ["hello ann", "hello nobody"]


def test_a_job_sees_its_caller_as_it_was_at_the_submission() -> None:
    may_begin = threading.Event()
    with ThreadPoolExecutor(max_workers=1) as pool:
        try:
            pool.submit(may_begin.wait, 10)
            with as_user("ann"):
                job = submit_in_context(pool, greet)
            with as_user("bob"):
                may_begin.set()
                assert job.result(timeout=10) == "hello ann"
        finally:
            may_begin.set()


def test_what_a_job_sets_in_its_context_its_caller_does_not_see() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool, as_user("ann"):
        submit_in_context(pool, USER.set, "bob").result()
        assert USER.get() == "ann"
        assert submit_in_context(pool, greet).result() == "hello ann"


def test_arguments_results_and_errors_of_a_job_go_through() -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        job = submit_in_context(pool, int, "ff", base=16)
        assert isinstance(job, Future)
        assert job.result() == 255
        with pytest.raises(ValueError, match="'x'"):
            submit_in_context(pool, int, "x").result()


def test_after_an_error_the_context_is_fresh_and_the_local_is_not() -> None:
    scratch = Scratch()

    def fail() -> None:
        USER.set("ann")
        scratch.lines.append("left by a job that failed")
        raise OSError

    with ThreadPoolExecutor(max_workers=1) as pool:
        assert submit_in_context(pool, fail).exception()
        assert submit_in_context(pool, greet).result() == "hello nobody"
        left = pool.submit(lambda: scratch.lines).result()
    assert left == ["left by a job that failed"]


def test_the_user_is_set_back_after_the_block_even_if_it_raises() -> None:
    with as_user("ann"):
        with contextlib.suppress(OSError), as_user("bob"):
            assert USER.get() == "bob"
            raise OSError
        assert USER.get() == "ann"
    assert USER.get() == "nobody"


def test_from_3_14_a_with_block_over_set_sets_the_variable_back() -> None:
    token: Any = USER.set("ann")
    if sys.version_info >= (3, 14):
        with token:
            assert USER.get() == "ann"
    else:
        assert not hasattr(token, "__enter__")
        USER.reset(token)
    assert USER.get() == "nobody"


def test_an_attribute_set_by_the_importing_thread_is_missing_elsewhere() -> (
    None
):
    local = threading.local()
    local.x = 1
    message = r"^'_thread._local' object has no attribute 'x'$"
    with pytest.raises(AttributeError, match=message):
        in_a_thread(lambda: local.x)
    assert local.x == 1


def test_a_subclass_runs_its_init_in_each_thread_that_uses_it() -> None:
    runs = []

    class Counted(threading.local):
        def __init__(self, text: str) -> None:
            runs.append((text, threading.get_ident()))
            self.text = text

    counted = Counted("same arguments")
    with ThreadPoolExecutor(max_workers=1) as pool:
        assert pool.submit(lambda: counted.text).result() == counted.text
        assert pool.submit(lambda: counted.text).result() == counted.text
        worker = pool.submit(threading.get_ident).result()
    assert runs == [
        ("same arguments", threading.get_ident()),
        ("same arguments", worker),
    ]


def test_what_stands_in_the_class_is_one_object_for_all_threads() -> None:
    class Shared(threading.local):
        lines: list[str] = []  # noqa: RUF012

    shared = Shared()
    assert in_a_thread(lambda: shared.lines) is shared.lines
    scratch = Scratch()
    assert in_a_thread(lambda: scratch.lines) is not scratch.lines


def test_a_plain_local_takes_no_arguments() -> None:
    make: Callable[..., threading.local] = threading.local
    message = "^Initialization arguments are not supported$"
    with pytest.raises(TypeError, match=message):
        make(1)


def test_what_a_local_holds_for_a_thread_goes_when_the_thread_ends() -> None:
    class Buffer:
        pass

    local = threading.local()

    def work() -> weakref.ref[Buffer]:
        local.buffer = Buffer()
        return weakref.ref(local.buffer)

    found = in_a_thread(work)
    gc.collect()
    assert isinstance(found, weakref.ref)
    assert found() is None


def test_an_initializer_sets_a_local_in_each_thread_of_a_pool() -> None:
    local = threading.local()
    with ThreadPoolExecutor(
        max_workers=1, initializer=setattr, initargs=(local, "x", 1)
    ) as pool:
        assert pool.submit(getattr, local, "x").result() == 1
    assert not hasattr(local, "x")


def test_if_an_initializer_fails_each_job_ends_with_a_broken_pool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ThreadPoolExecutor(1, initializer=int, initargs=("x",)) as pool:
        error = pool.submit(int).exception(timeout=10)
        assert isinstance(error, BrokenThreadPool)
        text = "thread initializer failed, the thread pool is not usable any"
        assert str(error) == f"A {text}more"
        with pytest.raises(BrokenThreadPool, match=text):
            pool.submit(int)
    assert "Exception in initializer" in caplog.text


def test_tasks_share_a_local_and_each_has_a_context_of_its_own() -> None:
    local = threading.local()

    async def serve(user: str, both: asyncio.Barrier) -> tuple[str, str]:
        local.user = user
        USER.set(user)
        await both.wait()
        return local.user, USER.get()

    async def main() -> None:
        both = asyncio.Barrier(2)
        seen = await asyncio.gather(serve("ann", both), serve("bob", both))
        assert list(seen) == [("bob", "ann"), ("bob", "bob")]

    asyncio.run(main())


CALLERS = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context

USER = ContextVar("USER", default="nobody")

def in_thread(**kwargs):
    found = []
    def work():
        found.append(USER.get())
    thread = threading.Thread(target=work, **kwargs)
    thread.start()
    thread.join()
    return found[0]

async def in_loop():
    loop = asyncio.get_running_loop()
    return (
        await loop.run_in_executor(None, USER.get),
        await loop.run_in_executor(None, copy_context().run, USER.get),
        await asyncio.to_thread(USER.get),
    )

USER.set("ann")
print("thread", in_thread())
with ThreadPoolExecutor(1) as pool:
    print("pool", pool.submit(USER.get).result())
    USER.set("bob")
    print("later", pool.submit(USER.get).result())
    print("copy", pool.submit(copy_context().run, USER.get).result())
print("executor, executor with a copy, to_thread", *asyncio.run(in_loop()))
"""
EMPTY = """\
thread nobody
pool nobody
later nobody
copy bob
executor, executor with a copy, to_thread nobody bob bob
"""
INHERITED = """\
thread ann
pool ann
later ann
copy bob
executor, executor with a copy, to_thread bob bob bob
"""


def test_threads_pools_and_executors_start_with_an_empty_context() -> None:
    options = (
        ["-X", "thread_inherit_context=0"]
        if sys.version_info >= (3, 14)
        else []
    )
    assert in_a_program(CALLERS, *options) == EMPTY


@needs_flag
def test_with_the_flag_a_pools_later_jobs_find_the_first_jobs_context() -> (
    None
):
    options = ["-X", "thread_inherit_context=1"]
    assert in_a_program(CALLERS, *options) == INHERITED


@needs_flag
def test_the_flag_is_on_by_default_only_on_free_threaded_builds() -> None:
    code = "import sys; print(sys.flags.thread_inherit_context)"
    free_threaded = sysconfig.get_config_var("Py_GIL_DISABLED") or 0
    assert in_a_program(code) == f"{free_threaded}\n"


@needs_flag
def test_a_thread_takes_a_context_since_3_14() -> None:
    code = CALLERS + "print(in_thread(context=copy_context()))"
    assert in_a_program(code).endswith("\nbob\n")


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="from 3.14 a thread takes a context"
)
def test_before_3_14_a_thread_takes_no_context() -> None:
    make: Callable[..., threading.Thread] = threading.Thread
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        make(context=contextvars.copy_context())


def test_a_second_thread_cannot_enter_the_same_context() -> None:
    context = contextvars.copy_context()
    message = r"^cannot enter context: <.*> is already entered$"

    def enter_again() -> None:
        with pytest.raises(RuntimeError, match=message):
            context.run(greet)

    context.run(in_a_thread, enter_again)


def test_a_token_of_another_context_is_refused() -> None:
    token = contextvars.copy_context().run(USER.set, "ann")
    with pytest.raises(ValueError, match="was created in a different Context"):
        USER.reset(token)


def test_a_variable_without_a_default_raises_lookup_error_when_not_set() -> (
    None
):
    unset: contextvars.ContextVar[str] = contextvars.ContextVar("unset")
    with pytest.raises(LookupError, match=r"^<ContextVar name='unset' at "):
        unset.get()


def test_a_context_cannot_be_pickled_for_another_process() -> None:
    message = "^cannot pickle '_contextvars.Context' object$"
    with pytest.raises(TypeError, match=message):
        pickle.dumps(contextvars.copy_context())
