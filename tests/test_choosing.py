import asyncio
import multiprocessing
import os
import threading

CONTEXT = multiprocessing.get_context("spawn")


def test_a_thousand_tasks_start_no_thread_and_no_process() -> None:
    async def where() -> tuple[int, int]:
        await asyncio.sleep(0)
        return os.getpid(), threading.get_native_id()

    async def main() -> set[tuple[int, int]]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(where()) for _ in range(1000)]
        return {task.result() for task in tasks}

    here = os.getpid(), threading.get_native_id()
    assert asyncio.run(main()) == {here}


def test_a_thread_is_one_of_the_system_in_the_same_process() -> None:
    found = set()

    def where() -> None:
        found.add((os.getpid(), threading.get_native_id()))

    thread = threading.Thread(target=where)
    thread.start()
    thread.join()
    [(process, native)] = found
    assert process == os.getpid()
    assert native != threading.get_native_id()


def test_a_worker_process_is_another_process() -> None:
    with CONTEXT.Pool(1) as pool:
        assert pool.apply(os.getpid) != os.getpid()


def test_a_thread_is_handed_the_object_itself() -> None:
    numbers: list[int] = []
    thread = threading.Thread(target=numbers.append, args=[1])
    thread.start()
    thread.join()
    assert numbers == [1]


def test_a_process_is_handed_a_copy() -> None:
    numbers: list[int] = []
    with CONTEXT.Pool(1) as pool:
        pool.apply(list.append, [numbers, 1])
    assert numbers == []
