"""A Dask cluster for all tests of a run: a scheduler and two workers."""

from collections.abc import Iterator

import pytest

from tests.dask_cluster import SCHEDULER, WORKER, Dask


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a scheduler with two workers."""
    dask = Dask(tmp_path_factory.mktemp("dask"))
    try:
        dask.start(*SCHEDULER)
        for _ in range(2):
            dask.start(*WORKER)
        yield dask.address
    finally:
        dask.stop()
