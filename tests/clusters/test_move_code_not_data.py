"""What the recipe says of where data lives, shown to be so."""

import operator
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cookbook.clusters.move_code_not_data import (
    broken_count,
    connected,
    count_scattered,
    count_where_it_lies,
    count_zeros_in_file,
)

LIMIT = 120
TABLE = bytes(range(256)) * 20


class Counted:
    """A table that notes when it is packed to be sent, and then is bytes."""

    packed = 0

    def __len__(self) -> int:
        return len(TABLE)

    def __reduce__(self) -> tuple[object, ...]:
        Counted.packed += 1
        return bytes, (TABLE,)


@pytest.fixture
def client(scheduler: str) -> Iterator[Any]:
    with connected(scheduler, 1) as client:
        yield client


@pytest.fixture
def table() -> Any:
    Counted.packed = 0
    return Counted()


def where(client: Any, handle: Any) -> list[str]:
    return list(client.who_has([handle])[handle.key])


def test_scattered_data_is_packed_once_for_all_jobs(
    client: Any, table: Any
) -> None:
    assert count_scattered(client, table, 8) == 20
    assert Counted.packed == 1


def test_an_argument_is_packed_into_every_job(client: Any, table: Any) -> None:
    assert broken_count(client, table, 8) == 20
    assert Counted.packed == 8


@pytest.mark.parametrize("jobs", [1, 3, 20])
def test_the_parts_that_workers_read_make_up_the_file(
    client: Any, tmp_path: Path, jobs: int
) -> None:
    path = tmp_path / "table"
    path.write_bytes(TABLE)
    assert count_where_it_lies(client, path, jobs) == 20


def test_a_part_of_a_file_is_from_start_up_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(b"\0\1\0\0")
    assert count_zeros_in_file(path, 0, 1) == 1
    assert count_zeros_in_file(path, 1, 2) == 0
    assert count_zeros_in_file(path, 1, 4) == 2


@pytest.mark.parametrize(("size", "warned"), [(9_000_000, 0), (12_000_000, 1)])
def test_dask_warns_of_a_call_that_sends_more_than_ten_megabytes(
    client: Any, size: int, warned: int
) -> None:
    data = bytes(size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert client.submit(len, data, pure=False).result(LIMIT) == size
    texts = [str(one.message) for one in caught]
    assert len(texts) == warned
    for text in texts:
        assert text.startswith(
            "Sending large graph of size 11.44 MiB.\n"
            "This may cause some slowdown.\n"
        )


def test_many_calls_below_the_limit_warn_of_nothing(client: Any) -> None:
    data = bytes(2_000_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sent = [client.submit(len, data, pure=False) for _ in range(8)]
        assert [one.result(LIMIT) for one in sent] == [2_000_000] * 8
    assert not caught


def test_a_list_is_scattered_item_by_item_unless_it_is_in_a_list(
    client: Any,
) -> None:
    handles = client.scatter([7, 8])
    assert [one.result(LIMIT) for one in handles] == [7, 8]
    [handle] = client.scatter([[7, 8]])
    assert client.submit(sum, handle).result(LIMIT) == 15
    assert set(client.scatter({"a": 1})) == {"a"}


def test_scattered_data_is_with_one_worker_or_when_broadcast_with_all(
    client: Any,
) -> None:
    one = client.scatter(b"one", hash=False)
    both = client.scatter(b"both", hash=False, broadcast=True)
    assert len(where(client, one)) == 1
    assert len(where(client, both)) == 2


def test_a_job_runs_where_its_data_is(client: Any) -> None:
    for address in client.scheduler_info(-1)["workers"]:
        handle = client.scatter([bytes(100_000)], workers=[address])[0]
        length = client.submit(len, handle, pure=False)
        assert length.result(LIMIT) == 100_000
        assert where(client, length) == [address]


def test_a_worker_that_lacks_the_data_fetches_it_from_one_that_has_it(
    client: Any, table: Any
) -> None:
    first, second = client.scheduler_info(-1)["workers"]
    [handle] = client.scatter([table], workers=[first], hash=False)
    jobs = [
        client.submit(len, handle, workers=[second], pure=False)
        for _ in range(3)
    ]
    assert [one.result(LIMIT) for one in jobs] == [5120] * 3
    assert sorted(where(client, handle)) == sorted([first, second])
    assert Counted.packed == 1


def test_the_data_goes_when_nobody_holds_the_handle(client: Any) -> None:
    handle = client.scatter(b"here", hash=False)
    key = handle.key
    assert client.has_what()
    del handle
    deadline = time.monotonic() + LIMIT
    while any(key in keys for keys in client.has_what().values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_future_of_a_job_may_be_an_argument_of_another(
    client: Any,
) -> None:
    half = client.submit(operator.add, 20, 1)
    assert client.submit(operator.mul, half, 2).result(LIMIT) == 42


def test_an_error_of_a_job_leaves_the_handle_good(client: Any) -> None:
    handle = client.scatter(b"abc", hash=False)
    with pytest.raises(TypeError):
        client.submit(operator.add, handle, 1).result(LIMIT)
    assert client.submit(len, handle).result(LIMIT) == 3


def test_the_scheduler_keeps_an_argument_until_the_future_is_released(
    client: Any,
) -> None:
    length = client.submit(len, bytes(100), pure=False)
    assert length.result(LIMIT) == 100
    key = length.key

    def kept(key: str, dask_scheduler: Any) -> bool:
        task = dask_scheduler.tasks.get(key)
        return task is not None and task.run_spec is not None

    assert client.run_on_scheduler(kept, key)
    del length
    deadline = time.monotonic() + LIMIT
    while client.run_on_scheduler(kept, key):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_equal_data_has_one_handle_unless_hash_is_false(client: Any) -> None:
    first, second = (client.scatter(b"same") for _ in range(2))
    assert first.key == second.key
    first, second = (client.scatter(b"same", hash=False) for _ in range(2))
    assert first.key != second.key
