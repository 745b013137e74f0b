"""What every test and every doctest is held to: it leaves nothing behind."""

import gc
import itertools
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import none

from cookbook import forms
from cookbook.testing.no_leaks import no_leaks
from tests import engines, verifying
from tests.exploring import Explore

# A slow machine is no failure.
settings.register_profile("book", deadline=None)
settings.load_profile("book")

RECIPES = Path(__file__).with_name("cookbook")
GRACE = 10.0  # seconds that an ended thread or process gets to be gone
# Without the GIL a collection goes through what is frozen, too.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
TESTS_TO_A_COLLECTION = 50 if FREE_THREADED else 1
TESTS_DONE = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def engines_started(pytestconfig: pytest.Config) -> None:
    """Start what an engine keeps, before a test is held to leave nothing."""
    if pytestconfig.getoption(engines.OPTION):
        engines.warm_up()


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail the test if a thread, process, task, block or file stays."""
    with no_leaks(grace=GRACE):
        yield
    if next(TESTS_DONE) % TESTS_TO_A_COLLECTION == 0:
        gc.collect()
        # What is left is the run's own, such as its reports. If each
        # collection went through that again, the later half of a run would
        # do little else.
        gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C through: a shell's job in the background ignores it."""
    if path := config.getoption(verifying.OPTION):
        config.pluginmanager.register(verifying.Recorder(Path(path).resolve()))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let ``nox -s record`` and ``nox -s engines`` ask for what they are."""
    parser.addoption("--record", action="store_true", help="record schedules")
    parser.addoption(
        engines.OPTION, action="store_true", help="run what needs an engine"
    )
    parser.addoption(
        verifying.OPTION, metavar="FILE", help="record what was checked there"
    )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the engines that the run is about."""
    return engines.versions() if config.getoption(engines.OPTION) else None


RECIPES_BEGUN = pytest.StashKey[set[str]]()


@pytest.fixture
def explore(request: pytest.FixtureRequest) -> Explore:
    """Explore schedules for the recipe that the test file is about."""
    path = request.path
    recipe = f"{path.parent.name}.{path.stem.removeprefix('test_')}"
    recording = request.config.getoption("--record")
    begun = request.config.stash.setdefault(RECIPES_BEGUN, set())
    return Explore(recipe, begun if recording else None)


@given(none())
def set_up_hypothesis(_: None) -> None:
    """Let hypothesis look for who refers to its generator.

    It warns if it finds nobody, as it would once the objects are frozen.
    """


def pytest_collection_finish() -> None:
    """Keep what the test run itself consists of out of each collection."""
    set_up_hypothesis()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out of each doctest the outputs of other builds.

    In a recipe only the doctests are tests: a test case there is an example.
    """
    items[:] = [
        item
        for item in items
        if isinstance(item, pytest.DoctestItem)
        or RECIPES not in item.path.parents
    ]
    if not config.getoption(engines.OPTION):
        for item in items:
            engines.leave_out(item)
    else:
        for item in items:
            engines.leave_to_the_programs(item)
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.dtest is not None:
            item.dtest.examples = [
                example
                for example in item.dtest.examples
                if forms.applies(forms.condition(example.source))
            ]
