"""Every code block of the book, copied in Chromium, pasted and run."""

import difflib
import doctest
import re
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook import catalogue, forms
from tests.book import bare
from tests.book.blocks import Block, Program, programs
from tests.book.browser import missing, pages, pres

BlocksOf = Callable[[str], list[Block]]

WITH_CODE = [
    address
    for address in pages()
    if pres(address)
    and address != "errors.html"  # tests/test_errors.py runs what it shows
]
# tests/clusters pastes and runs what needs an engine
BARE = [
    address
    for address in WITH_CODE
    if address
    not in {
        f"recipes/{one.address}.html"
        for one in catalogue.recipes()
        if one.needs
    }
]
MASK = "…"
PROCESSES = re.compile(r"\bmultiprocessing\b|\bProcessPoolExecutor\b")
every_page = pytest.mark.parametrize("address", WITH_CODE)
every_bare_page = pytest.mark.parametrize("address", BARE)
ran: defaultdict[tuple[str, str], set[int]] = defaultdict(set)


@pytest.fixture(params=bare.NAMES)
def python(request: pytest.FixtureRequest) -> bare.Python:
    """Each Python that the book is for."""
    if (found := bare.find(request.param)) is None:
        missing(f"no {request.param} on PATH")
    return found


@every_page
def test_chromium_sees_every_block_and_each_is_of_a_known_kind(
    address: str, blocks_of: BlocksOf
) -> None:
    found = blocks_of(address)
    assert len(found) == pres(address)
    assert not [block for block in found if block.kind == "unknown"]


@every_page
def test_programs_doctests_and_commands_have_a_copy_button_and_no_other(
    address: str, blocks_of: BlocksOf
) -> None:
    for block in blocks_of(address):
        to_copy = block.kind in ("program", "doctest", "shell")
        assert (block.copied is not None) == to_copy, block


@every_bare_page
def test_a_program_prints_what_the_page_shows_and_leaves_nothing(
    address: str, python: bare.Python, blocks_of: BlocksOf
) -> None:
    runs = [
        (program, method)
        for program in programs(blocks_of(address))
        for method in start_methods(program.block, python)
    ]
    with ThreadPoolExecutor(2) as pool:
        wrong = pool.map(lambda one: wrong_with_program(python, *one), runs)
        report = "\n\n".join(filter(None, wrong))
    ran[address, python.name] |= {program.block.number for program, _ in runs}
    if report:
        pytest.fail(f"{address}\n{report}", pytrace=False)


@every_bare_page
def test_a_doctest_answers_what_the_page_shows(
    address: str, python: bare.Python, blocks_of: BlocksOf
) -> None:
    found = [one for one in blocks_of(address) if one.kind == "doctest"]
    with ThreadPoolExecutor(2) as pool:
        wrong = pool.map(lambda one: wrong_with_doctest(python, one), found)
        report = "\n\n".join(filter(None, wrong))
    ran[address, python.name] |= {block.number for block in found}
    if report:
        pytest.fail(f"{address}\n{report}", pytrace=False)


@every_page
def test_the_commands_for_python_end_well(
    address: str, blocks_of: BlocksOf
) -> None:
    for block in blocks_of(address):
        lines = (block.copied or "").splitlines()
        if block.kind == "shell" and all(
            line.startswith("python ") for line in lines
        ):
            ended = bare.run_commands(block.copied or "")
            assert ended.code == 0, f"{block.copied}{ended.stderr}"


def test_every_block_was_run_on_every_python(blocks_of: BlocksOf) -> None:
    left_out = [
        f"{address}, block {block.number}, {name}"
        for address in BARE
        for name in bare.NAMES
        if bare.find(name)
        for block in blocks_of(address)
        if block.kind not in ("shell", "output", "text")
        and block.number not in ran[address, name]
    ]
    assert not left_out
    assert ran


def start_methods(block: Block, python: bare.Python) -> list[str]:
    """Return the start methods to try; the empty one is the default."""
    if not PROCESSES.search(block.copied or ""):
        return [""]
    others = [one for one in bare.START_METHODS if one != python.method]
    return ["", *others]


def wrong_with_program(
    python: bare.Python, program: Program, method: str
) -> str:
    """Run a program as it is copied, and say what is not as shown."""
    ended = bare.run(python, program.block.copied or "", method)
    fitting = [
        shown.text
        for shown in program.outputs
        if forms.applies(shown.when, version=python.version, gil=python.gil)
    ]
    complaints = list(complaints_about(ended))
    if len(fitting) != min(1, len(program.outputs)):
        complaints.append(f"{len(fitting)} outputs are shown for this build")
    elif not same("".join(fitting), ended.stdout):
        complaints.append(difference("".join(fitting), ended.stdout))
    return report(python, program.block, complaints, ended, method)


def wrong_with_doctest(python: bare.Python, block: Block) -> str:
    """Type a doctest's inputs as they are copied, and say what differs."""
    copied = block.copied or ""
    examples = doctest.DocTestParser().get_examples(block.text)
    ended, answers = bare.run_as_typed(python, copied)
    complaints = list(complaints_about(ended))
    inputs = "".join(example.source for example in examples)
    if inputs.rstrip("\n") != copied.rstrip("\n"):
        complaints.append(difference(inputs, copied))
    if len(answers) != len(examples):
        complaints.append(f"{len(answers)} of {len(examples)} were answered")
    for example, answer in zip(examples, answers, strict=False):
        when = forms.condition(example.source)
        if not forms.applies(when, version=python.version, gil=python.gil):
            continue
        shown = example.want
        if example.exc_msg:
            shown = f"Traceback (most recent call last):\n{example.exc_msg}"
        if not same(shown.replace("...", MASK), answer):
            complaints.append(difference(shown, answer))
    return report(python, block, complaints, ended)


def complaints_about(ended: bare.Ended) -> list[str]:
    """Say how a run did not end well."""
    complaints = [f"left behind: {one}" for one in ended.left]
    if ended.code is None:
        complaints.append(f"ran for more than {bare.TIMEOUT} seconds")
    elif ended.code:
        complaints.append(f"exit code {ended.code}")
    return complaints


def same(shown: str, printed: str) -> bool:
    """Compare to the letter, but that a mask stands for any text."""
    parts = map(re.escape, shown.rstrip("\n").split(MASK))
    return bool(
        re.fullmatch(".*".join(parts), printed.rstrip("\n"), re.DOTALL)
    )


def difference(shown: str, printed: str) -> str:
    """Return the lines that differ."""
    return "\n".join(
        difflib.unified_diff(
            shown.splitlines(),
            printed.splitlines(),
            "shown",
            "printed",
            lineterm="",
        )
    )


def report(
    python: bare.Python,
    block: Block,
    complaints: list[str],
    ended: bare.Ended,
    method: str = "",
) -> str:
    """Return what a reader of the log needs; nothing if all is well."""
    if not complaints:
        return ""
    title = f"block {block.number} ({block.kind}), {python.name}"
    if method:
        title += f", start method {method}"
    if ended.stderr:
        complaints.append(f"stderr:\n{ended.stderr}")
    return "\n".join([title, *complaints])
