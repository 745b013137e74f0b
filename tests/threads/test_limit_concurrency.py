"""What the recipe says of limits, shown to be so."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from cookbook.testing.every_interleaving import (
    DEADLOCK,
    Setup,
    every_interleaving,
)
from cookbook.threads.limit_concurrency import (
    Visitors,
    broken_limited,
    limited,
)
from tests.exploring import Explore

Job = Callable[[], None]
Limit = Callable[[Job], Job]
ONE: dict[Hashable, str] = {1: "one at a time"}
TWO: dict[Hashable, str] = {2: "two at once"}


def one_visits_and_one_tries_twice(limit: Limit) -> Callable[[], Setup]:
    """Return a set-up of three visits, one after another as limits go."""

    def make() -> Setup:
        inside: list[str] = []
        most = [0]

        def visit() -> None:
            inside.append("me")
            most[0] = max(most[0], len(inside))
            inside.pop()

        job = limit(visit)

        def once() -> None:
            with suppress(TimeoutError):
                job()

        def twice() -> None:
            once()
            once()

        return [once, twice], lambda: most[0]

    return make


def with_a_place_for_one(job: Job) -> Job:
    return limited(job, 1, timeout=5)


def broken_with_a_place_for_one(job: Job) -> Job:
    return broken_limited(job, threading.Semaphore(1), timeout=5)


def test_one_at_a_time_is_inside_wherever_threads_switch_once(
    explore: Explore,
) -> None:
    explore(
        one_visits_and_one_tries_twice(with_a_place_for_one),
        "``limited``: one place, three calls",
        right=ONE,
        preemptions=1,
        threads=("visitor", "visitor who tries twice"),
    )


def test_a_place_given_back_untaken_lets_two_in_on_some_schedules(
    explore: Explore,
) -> None:
    explore(
        one_visits_and_one_tries_twice(broken_with_a_place_for_one),
        "``broken_limited``: one place, three calls",
        right=ONE,
        wrong=TWO,
        preemptions=1,
        threads=("visitor", "visitor who tries twice"),
    )


def test_a_job_that_calls_itself_through_the_limit_waits_for_itself() -> None:
    def make() -> Setup:
        def again() -> None:
            job()

        job = limited(again, 1)
        return [job], lambda: "ended"

    assert set(every_interleaving(make)) == {DEADLOCK}


@pytest.mark.parametrize("places", [1, 2, 3])
def test_as_many_threads_as_there_are_places_are_inside_at_once(
    places: int,
) -> None:
    visitors = Visitors()
    all_in = threading.Barrier(places, timeout=10)

    def visit(_: int) -> None:
        with visitors:
            all_in.wait()

    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(limited(visit, places), range(6)))
    assert visitors.most == places


@pytest.mark.parametrize("entered_before", [False, True])
def test_the_count_of_those_inside_is_exact_wherever_they_switch_once(
    entered_before: bool,
) -> None:
    def make() -> Setup:
        visitors = Visitors()
        stacks = ExitStack(), ExitStack()

        def enter() -> None:
            for stack in stacks:
                stack.enter_context(visitors)

        def three_more() -> int:
            if not entered_before:
                leave()
            with visitors, visitors, visitors:
                return visitors.most

        def leave() -> None:
            for stack in stacks:
                stack.close()

        if entered_before:
            enter()
            return [stack.close for stack in stacks], three_more
        return [
            partial(stack.enter_context, visitors) for stack in stacks
        ], three_more

    outcomes = every_interleaving(make, by="bytecode", preemptions=1)
    assert set(outcomes) == {3}


def test_the_count_of_those_inside_begins_and_ends_at_none() -> None:
    visitors = Visitors()
    assert visitors.most == 0
    for _ in range(2):
        with visitors:
            assert visitors.most == 1


def visit_while_one_is_inside(limit: Limit) -> tuple[int, list[str]]:
    """Return the most inside at once, and how two more calls ended."""
    visitors = Visitors()
    came_in, leave = threading.Event(), threading.Event()

    def visit() -> None:
        with visitors:
            if not came_in.is_set():
                came_in.set()
                leave.wait(timeout=10)

    job = limit(visit)
    ends = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        first = pool.submit(job)
        assert came_in.wait(timeout=10)
        for _ in range(2):
            try:
                job()
            except TimeoutError as error:
                ends.append(str(error))
            else:
                ends.append("came in")
        leave.set()
        first.result(timeout=10)
    return visitors.most, ends


def test_who_gets_no_place_in_time_raises_an_error_and_gives_none_back() -> (
    None
):
    most, ends = visit_while_one_is_inside(
        lambda job: limited(job, 1, timeout=0.02)
    )
    assert ends == ["no place within 0.02 s"] * 2
    assert most == 1


def test_on_the_same_schedule_the_place_too_many_lets_the_next_one_in() -> (
    None
):
    most, ends = visit_while_one_is_inside(
        lambda job: broken_limited(job, threading.Semaphore(1), timeout=0.02)
    )
    assert ends == ["no place within 0.02 s", "came in"]
    assert most == 2


def test_a_bounded_semaphore_blames_the_one_that_leaves_last() -> None:
    places = threading.BoundedSemaphore(1)
    with pytest.raises(
        ValueError, match=r"^Semaphore released too many times"
    ):
        visit_while_one_is_inside(
            lambda job: broken_limited(job, places, timeout=0.02)
        )


def test_a_plain_semaphore_takes_a_place_too_many_without_a_word() -> None:
    plain, bounded = threading.Semaphore(1), threading.BoundedSemaphore(1)
    plain.release()
    assert plain.acquire(blocking=False)
    assert plain.acquire(blocking=False)
    with pytest.raises(
        ValueError, match=r"^Semaphore released too many times$"
    ):
        bounded.release()
    assert bounded.acquire(blocking=False)
    assert not bounded.acquire(blocking=False)


def test_an_acquire_that_timed_out_returns_false_and_took_no_place() -> None:
    places = threading.BoundedSemaphore(1)
    with places:
        assert not places.acquire(timeout=0.01)
    with pytest.raises(ValueError, match="too many times"):
        places.release()


def test_a_job_that_raises_frees_its_place_and_its_error_comes_out() -> None:
    error = OSError("no answer")

    def fail() -> None:
        raise error

    job = limited(fail, 1, timeout=0)
    for _ in range(2):
        with pytest.raises(OSError, match="no answer") as caught:
            job()
        assert caught.value is error


def test_arguments_result_and_name_pass_through_the_limit() -> None:
    def power(base: int, *, exponent: int) -> int:
        return int(base**exponent)

    job = limited(power, 1)
    assert job(2, exponent=5) == 32
    assert job.__name__ == "power"


@pytest.mark.parametrize("at_most", [0, -1])
def test_a_limit_below_one_is_refused_by_value(at_most: int) -> None:
    message = f"^at_most must be 1 or more, not {at_most}$"
    with pytest.raises(ValueError, match=message):
        limited(str, at_most)


def test_without_a_timeout_a_caller_waits_until_there_is_a_place() -> None:
    came_in, leave = threading.Event(), threading.Event()

    def visit() -> None:
        came_in.set()
        leave.wait(timeout=10)

    job = limited(visit, 1)
    with ThreadPoolExecutor(max_workers=2) as pool:
        first = pool.submit(job)
        assert came_in.wait(timeout=10)
        second = pool.submit(job)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.05)
        leave.set()
        assert first.result(timeout=10) is second.result(timeout=10) is None


def test_a_pool_starts_no_more_threads_than_it_has_workers() -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [pool.submit(threading.get_ident) for _ in range(50)]
    assert len({job.result() for job in jobs}) <= 2


def test_the_semaphore_lets_all_threads_exist_and_wait() -> None:
    leave = threading.Event()
    job = limited(lambda: leave.wait(timeout=10), 1)
    before = threading.active_count()
    threads = [threading.Thread(target=job) for _ in range(10)]
    for thread in threads:
        thread.start()
    assert threading.active_count() == before + 10
    leave.set()
    for thread in threads:
        thread.join()


NO_ROOM = """
import resource, threading
threading.stack_size(1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
threading.Thread(target=print).start()
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the limit is one of Linux"
)
def test_a_thread_whose_stack_finds_no_room_can_not_be_started() -> None:
    process = subprocess.run(
        [sys.executable, "-c", NO_ROOM],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert re.fullmatch("RuntimeError: can't start new thread", last)
