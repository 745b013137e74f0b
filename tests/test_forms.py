import subprocess
import sys
from pathlib import Path

import pytest

from cookbook import catalogue, forms

MODULE = '''"""A module."""

import math
import os
from collections.abc import Callable, Iterable

from cookbook.primes import WORKERS, is_prime

LIMIT = 10
UNUSED = 11


def used(n: int) -> int:
    """Return *n* or the limit.

    More that the page shows elsewhere.
    """
    return min(n, LIMIT)


# Why the next one exists.
@staticmethod
def decorated() -> None:
    """Do nothing."""


def main() -> None:
    """Print a number.

    >>> main()
    10
    """
    print(used(12))


def broken_main() -> None:
    """Print another.

    >>> broken_main()  # 3.11 to 3.13
    4 old
    >>> broken_main()  # 3.14 and later
    4 ...
    """
    decorated()
    print(WORKERS, math.inf, is_prime(2))


if __name__ == "__main__":
    main()
    broken_main()
'''


def test_the_recipe_is_all_that_main_reaches_in_source_order() -> None:
    assert (
        forms.program(MODULE)
        == '''LIMIT = 10


def used(n: int) -> int:
    """Return *n* or the limit."""
    return min(n, LIMIT)


def main() -> None:
    """Print a number."""
    print(used(12))


if __name__ == "__main__":
    main()
'''
    )


def test_the_trap_holds_what_it_uses_of_the_core_before_its_own() -> None:
    program = forms.program(MODULE, "broken_main")
    assert program.startswith("import math\n\n")
    assert "\nWORKERS = 4\n\n\ndef is_prime(" in program
    assert "PRIMES" not in program
    assert "import os" not in program
    assert "LIMIT" not in program
    assert program.endswith('if __name__ == "__main__":\n    broken_main()\n')


def test_a_comment_and_a_decorator_stay_with_their_function() -> None:
    program = forms.program(MODULE, "broken_main")
    assert (
        "# Why the next one exists.\n@staticmethod\ndef decorated" in program
    )


def test_outputs_are_told_apart_by_build() -> None:
    assert forms.outputs(MODULE) == [forms.Output("", "10\n")]
    old, new = forms.outputs(MODULE, "broken_main")
    assert (old.when, old.text, old.varies) == (
        "3.11 to 3.13",
        "4 old\n",
        False,
    )
    assert (new.when, new.text, new.varies) == (
        "3.14 and later",
        "4 ...\n",
        True,
    )


@pytest.mark.parametrize(
    ("when", "version", "gil", "expected"),
    [
        ("", (3, 11), True, True),
        ("3.13", (3, 13), True, True),
        ("3.13", (3, 14), True, False),
        ("3.11 to 3.13", (3, 11), True, True),
        ("3.11 to 3.13", (3, 14), True, False),
        ("3.14 and later", (3, 13), True, False),
        ("3.14 and later", (3, 15), True, True),
        ("with the GIL", (3, 13), True, True),
        ("with the GIL", (3, 13), False, False),
        ("without the GIL", (3, 13), False, True),
        ("3.14 and later, without the GIL", (3, 14), True, False),
        ("3.14 and later, without the GIL", (3, 14), False, True),
    ],
)
def test_a_condition_names_the_builds_it_applies_to(
    when: str, version: tuple[int, int], gil: bool, expected: bool
) -> None:
    assert forms.applies(when, version=version, gil=gil) == expected


def test_a_condition_that_is_not_understood_is_an_error() -> None:
    with pytest.raises(ValueError, match="'sometimes'"):
        forms.applies("sometimes")


def test_a_missing_entry_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="'broken_main'"):
        forms.program("def main() -> None: ...\n", "broken_main")


def test_a_statement_that_cannot_be_sliced_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1 cannot be sliced: 'print"):
        forms.program("print(1)\n\ndef main() -> None: ...\n")


def programs() -> list[tuple[str, str]]:
    return [
        (recipe.name, entry)
        for recipe in catalogue.recipes()
        for entry in ("main", "broken_main")
        if f"def {entry}(" in recipe.source
    ]


@pytest.mark.parametrize(("name", "entry"), programs())
def test_a_program_needs_nothing_but_the_standard_library(
    name: str, entry: str, tmp_path: Path
) -> None:
    program = forms.program(catalogue.find(name).source, entry)
    assert "cookbook" not in program
    path = tmp_path / "pasted.py"
    path.write_text(program, encoding="utf-8")
    # Compiles, and every name that it uses at import is there.
    code = f"import runpy; runpy.run_path({str(path)!r}, run_name='pasted')"
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    subprocess.run(command, check=True, timeout=60)


def test_a_name_that_the_core_has_too_is_an_error() -> None:
    module = MODULE.replace("def used(", "def is_prime(").replace(
        "print(WORKERS, math.inf, is_prime(2))", "print(WORKERS, is_prime(2))"
    )
    module = module.replace("WORKERS, is_prime\n", "WORKERS, count_primes\n")
    module = module.replace("print(WORKERS,", "print(count_primes(0, 9),")
    with pytest.raises(ValueError, match="names of the module's"):
        forms.program(module, "broken_main")


def test_an_alias_of_a_name_of_the_core_is_an_error() -> None:
    module = MODULE.replace("WORKERS, is_prime\n", "is_prime as WORKERS\n")
    with pytest.raises(ValueError, match="is_prime of the core has an alias"):
        forms.program(module, "broken_main")


def test_a_fingerprint_changes_with_the_code_but_not_with_docstrings() -> None:
    source = '"""One."""\n\n\ndef f() -> int:\n    """Two."""\n    return 1\n'
    other = source.replace("One", "A\n\nlonger one").replace("Two", "Too")
    assert forms.fingerprint(source) == forms.fingerprint(other)
    changed = source.replace("return 1", "return 2")
    assert forms.fingerprint(source) != forms.fingerprint(changed)


def test_a_fingerprint_of_two_modules_leaves_out_the_docstrings_of_both() -> (
    None
):
    one, two = '"""One."""\na = 1\n', '"""Two."""\nb = 2\n'
    both = forms.fingerprint(one, two)
    assert both == forms.fingerprint("a = 1\n", "b = 2\n")
    assert both != forms.fingerprint(two, one)
    assert both != forms.fingerprint(one, two.replace("2", "3"))


def test_an_import_that_is_too_long_for_a_line_gets_one_for_each_name() -> (
    None
):
    names = [f"a_rather_long_name_{letter}" for letter in "abcd"]
    source = (
        f"from os import {', '.join(names)}\n\n\n"
        f"def main() -> None:\n    print({', '.join(names)})\n"
    )
    rows = "".join(f"    {name},\n" for name in names)
    assert forms.program(source).startswith(f"from os import (\n{rows})\n\n")
