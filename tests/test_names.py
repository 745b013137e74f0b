"""The index of names, as it is read out of programs."""

from pathlib import Path

import names
import pytest

from cookbook import catalogue

DOCS = Path(__file__).parent.parent / "docs"
KNOWN = names.documented(DOCS / "_inventory" / "python.inv")


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import threading\nthreading.Lock()", {"threading.Lock"}),
        ("from threading import Lock as L\nL()", {"threading.Lock"}),
        ("import threading as t\nt.Lock()", {"threading.Lock"}),
        ("import os.path, os\nos.getpid()", {"os.getpid"}),
        ("def f():\n    import queue\n    queue.Queue", {"queue.Queue"}),
        (
            "import threading\nlock = threading.Lock()\nlock.acquire()",
            {"threading.Lock", "threading.Lock.acquire"},
        ),
        (
            "from queue import Queue\ndef f(q: Queue[int]): q.get()",
            {"queue.Queue", "queue.Queue.get"},
        ),
        (
            "from queue import Queue\ndef f(q: Queue[int] | None): q.get()",
            {"queue.Queue", "queue.Queue.get"},
        ),
        (
            (
                "import queue\nclass C:\n"
                "    def __init__(self): self.q = queue.LifoQueue()\n"
                "    def f(self): self.q.get()"
            ),
            {"queue.LifoQueue", "queue.Queue.get"},
        ),
        (
            (
                "from concurrent import futures\n"
                "with futures.ThreadPoolExecutor() as pool: pool.map(f, x)"
            ),
            {
                "concurrent.futures.ThreadPoolExecutor",
                "concurrent.futures.Executor.map",
            },
        ),
        (
            (
                "import multiprocessing as mp\ncontext = mp.get_context()\n"
                "with context.Pool() as pool: pool.map(f, x)"
            ),
            {
                "multiprocessing.get_context",
                "multiprocessing.pool.Pool",
                "multiprocessing.pool.Pool.map",
            },
        ),
        (
            (
                "import multiprocessing as mp\n"
                "def f(context=None): (context or mp).Process()"
            ),
            {"multiprocessing.Process"},
        ),
    ],
)
def test_a_name_counts_if_an_import_or_a_known_class_leads_to_it(
    source: str, used: set[str]
) -> None:
    assert set(names.used_by(source, KNOWN)) == used


@pytest.mark.parametrize(
    "source",
    [
        "Lock()",
        "lock.acquire()",
        "from mine import Lock\nLock()",
        "from .threading import Lock\nLock()",
        "import textwrap\ntextwrap.dedent",
        "import threading\nthreading.no_such_name",
        "# threading.Lock\n'threading.Lock'",
    ],
)
def test_no_name_is_guessed(source: str) -> None:
    assert names.used_by(source, KNOWN) == []


def test_a_name_that_holds_objects_of_two_classes_tells_nothing() -> None:
    source = (
        "import asyncio, threading\n"
        "def f(): e = threading.Event(); e.set()\n"
        "def g(): e = asyncio.Event(); e.set()"
    )
    assert names.used_by(source, KNOWN) == [
        "asyncio.Event",
        "threading.Event",
    ]


def index() -> dict[str, dict[str, list[catalogue.Recipe]]]:
    """Return the book's index."""
    recipes = catalogue.recipes()
    return names.index(
        recipes,
        {one.name: names.used_by(one.source, KNOWN) for one in recipes},
    )


def test_the_index_leads_from_a_name_to_its_recipes_best_first() -> None:
    found = index()
    assert list(found) == sorted(found)
    assert set(found) <= set(names.MODULES)
    locks = [one.name for one in found["threading"]["threading.RLock"]]
    assert locks[0] == "threads.reentrant_lock"
    groups = found["asyncio"]["asyncio.TaskGroup.create_task"]
    assert "coroutines.task_groups" in [one.name for one in groups]


def test_every_name_of_the_index_is_used_by_the_recipes_beside_it() -> None:
    for module in index().values():
        for name, users in module.items():
            last = name.rpartition(".")[2]
            assert all(last in recipe.source for recipe in users)
