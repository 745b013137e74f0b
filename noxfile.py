# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2026.10"]
# ///
"""The book's chores: ``nox -l`` lists them, ``nox`` runs the default ones.

What stands after ``--`` goes to the session's tool:
``nox -s tests-3.13 -- -k counter -x``.
"""

import os
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nox
from python_discovery import get_interpreter

ROOT = Path(__file__).parent
BUILT = ROOT / "docs" / "_build"
HTML = BUILT / "html"
PYPROJECT = nox.project.load_toml("pyproject.toml")
LOCK = ROOT / "docs" / "requirements.txt"
SCHEMAS = {  # what GitHub and Read the Docs would find wrong, too late
    "citation-file-format": "CITATION.cff",
    "dependabot": ".github/dependabot.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/recipe-*.yml",
    "github-workflows": ".github/workflows/*.yml",
    "readthedocs": ".readthedocs.yaml",
}
STILL = {"mpire"}  # measured as it is; nothing of the book is built on it
PYTHONS = ["3.11", "3.12", "3.13", "3.13t", "3.14", "3.15"]

nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.allow_parallel = True  # `nox -j auto`: one for each core


def is_missing(python: str) -> bool:
    """Tell whether nox finds no such interpreter that also starts."""
    return get_interpreter(python) is None


# At a desk a missing interpreter is skipped with a line that says so, in CI
# it is an error. Where all that are asked for are missing it is an error at
# a desk too: a run without a test must not look like a good one.
ASKED = [p for p in PYTHONS if any(arg.endswith(p) for arg in sys.argv[1:])]
nox.options.error_on_missing_interpreters = "CI" in os.environ or all(
    map(is_missing, ASKED or PYTHONS)
)


def install(session: nox.Session, *groups: str) -> None:
    """Install dependency groups of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))


def git(session: nox.Session, *arguments: str) -> str:
    """Return what git says, if it is there and this is a repository."""
    if not shutil.which("git"):
        return ""
    command = ("git", "-C", str(ROOT), *arguments)
    codes = (0, 128)  # where there is no repository, as in an sdist
    said = session.run(
        *command, external=True, silent=True, log=False, success_codes=codes
    )
    return str(said).strip()


def dated(session: nox.Session) -> dict[str, str]:
    """Return the variable that dates what is built by the last commit."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    told = told or git(session, "log", "-1", "--format=%ct")
    return {"SOURCE_DATE_EPOCH": told} if told.isdigit() else {}


def build_book(session: nox.Session, *options: str) -> None:
    """Build HTML and EPUB afresh; a warning or a dead reference is an error.

    The pages are read once, for both. The EPUB is put beside the HTML.
    """
    # A page that Sphinx does not read again keeps its warnings to itself, and
    # its index entries out of the search.
    shutil.rmtree(BUILT, ignore_errors=True)
    sphinx(session, BUILT, *options)
    [epub] = (BUILT / "epub").glob("*.epub")
    shutil.copy(epub, HTML)


def sphinx(
    session: nox.Session, built: Path, *options: str, **variables: str
) -> None:
    """Build HTML and EPUB from the folder ``docs`` into folders of *built*."""
    for builder in ("html", "epub"):
        session.run(
            *("sphinx-build", "-b", builder, "-d", built / "doctrees"),
            *("-W", "-n", "--keep-going", *options),
            *("docs", built / builder),
            # extensions for Python 3.11 use what a later Sphinx will drop
            env={
                "PYTHONWARNINGS": "ignore::DeprecationWarning",
                **dated(session),
                **variables,
            },
        )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and spelling; `-- --fix` repairs what it can."""
    install(session, "lint")
    fixing = "--fix" in session.posargs
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if fixing else ["--check"]))
    built = [f"--ignore=docs/{folder}" for folder in ("_build", "recipes")]
    session.run("sphinx-lint", *built, "bench", "cookbook", "docs", "tests")
    session.run("codespell")
    session.run("shellcheck", ".ci/run", ".ci/get-pythons")
    for schema, files in SCHEMAS.items():
        session.run(
            *("check-jsonschema", "--builtin-schema", f"vendor.{schema}"),
            *sorted(ROOT.glob(files)),
        )
    session.run("zizmor", "--offline", "--quiet", ".github")
    lint_programs(session)


def lint_programs(session: nox.Session) -> None:
    """Check the programs that are cut out of the recipes."""
    script = (
        "import pathlib, sys\n"
        "from cookbook import catalogue, forms\n"
        "for recipe in catalogue.recipes():\n"
        "    for entry in ['main', 'broken_main']:\n"
        "        if f'def {entry}(' in recipe.source:\n"
        "            path = pathlib.Path(sys.argv[1], recipe.name, entry)\n"
        "            path.parent.mkdir(exist_ok=True)\n"
        "            text = forms.program(recipe.source, entry)\n"
        "            path.with_suffix('.py').write_text(text, 'utf-8')\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-c", script, folder, silent=True)
        config = "--config=pyproject.toml"
        rules = "--select=E,F,I,W"
        traps = "--per-file-ignores=broken_main.py:E722"  # is one of them
        session.run("ruff", "check", config, rules, traps, folder)
        session.run("ruff", "format", config, "--check", "--diff", folder)


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything, strictly."""
    install(session, "types")
    session.run("mypy", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests and every doctest; coroutines without debug mode too."""
    install(session, "tests")
    session.run("python", "-X", "dev", "-m", "pytest", *session.posargs)
    # CI has the run written down, for the page: it is whole all the same.
    if all(one.startswith("--verify=") for one in session.posargs):
        # -X dev turns on asyncio's debug mode, in which a loop does more and
        # a mistake is reported that is silent without it.
        folders = ("cookbook/coroutines", "tests/coroutines")
        session.run("python", "-m", "pytest", *folders)


@nox.session(
    python="3.13",
    allow_parallel=False,  # Ray gives up if its start takes half a minute
)
def engines(session: nox.Session) -> None:
    """Run the recipes for clusters on Dask, Ray and MPI."""
    install(session, "tests", "engines")
    folders = session.posargs or ("cookbook/clusters", "tests/clusters")
    session.run("python", "-m", "pytest", "--engines", *folders)


@nox.session(allow_parallel=False)  # `browser` builds into the same folder
def book(session: nox.Session) -> None:
    """Build the book and say where to open it."""
    install(session, "docs")
    # A warning stands alone, not among the names of all pages.
    build_book(session, "-q", *session.posargs)
    session.log(f"Open {(HTML / 'index.html').as_uri()}")


@nox.session(python="3.13", default=False)
def site(session: nox.Session) -> None:
    """Build the book for its readers, and beside it those released before."""
    session.install("--require-hashes", "-r", str(LOCK))
    with tempfile.TemporaryDirectory() as folder:
        versions = released(git(session, "tag", "--list", "v*"))
        for name, tag in versions.items():
            book = build_released(session, tag, Path(folder, tag), name)
            shutil.copytree(book, Path(folder, "books", name))
        options = ["-D", f"editions={folder}/books"] if versions else []
        build_book(session, "-q", *options, *session.posargs)


def released(tags: str) -> dict[str, str]:
    """Return the last release of each version: 0.1, of 0.1.0 and 0.1.1.

    Its address stays while what is found there gets better.
    """
    found = re.findall(r"^v(\d+)\.(\d+)\.(\d+)$", tags, re.MULTILINE)
    numbers = sorted(tuple(map(int, one)) for one in found)
    return {f"{x}.{y}": f"v{x}.{y}.{z}" for x, y, z in numbers}


def build_released(
    session: nox.Session, tag: str, copy: Path, name: str
) -> Path:
    """Build the book of a tag as it was built then; return where it is."""
    archive = copy.with_name(f"{tag}.tar")
    git(session, "archive", f"--output={archive}", tag)
    date = git(session, "log", "-1", "--format=%ct", tag)
    with tarfile.open(archive) as files:
        files.extractall(copy, filter="data")
    session.run(
        *(sys.executable, "-m", "nox", "-f", copy / "noxfile.py"),
        *("-s", "site", "--", "-D", f"edition={name}", *session.posargs),
        env={"SOURCE_DATE_EPOCH": date},
        external=True,
    )
    return copy / HTML.relative_to(ROOT)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Lock what builds the site, by hash, to what is new; needs uv."""
    session.run(
        *("uv", "pip", "compile", "--group", "pyproject.toml:docs"),
        *("--upgrade", "--universal", "--python-version", "3.13"),
        *("--generate-hashes", "--no-emit-index-url", "--no-annotate"),
        *("--no-header", "--quiet", "--output-file", LOCK),
        external=True,
    )


@nox.session
def browser(session: nox.Session) -> None:
    """Build the book and read it in Chromium, as a reader would."""
    install(session, "docs", "browser")
    build_book(session, "-q")
    # Two files at a time: each has one Chromium, which leaves a core idle.
    at_once = ("-n", "2", "--dist", "loadfile")
    session.run(
        "python", "-m", "pytest", *at_once, "tests/book", *session.posargs
    )


@nox.session
def package(session: nox.Session) -> None:
    """Build sdist and wheel, and try each where nothing else is."""
    install(session, "package", "tests")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    # With no option given, the wheel is built from the sdist.
    session.run("python", "-m", "build", *session.posargs, env=dated(session))
    [sdist] = (ROOT / "dist").glob("*.tar.gz")
    [wheel] = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        try_wheel(session, wheel, Path(folder))
        unpacked = try_sdist(session, sdist, Path(folder))
        build_again(session, unpacked)


def try_wheel(session: nox.Session, wheel: Path, folder: Path) -> None:
    """Install the wheel in an environment of its own and use it there."""
    if "cookbook/py.typed" not in zipfile.ZipFile(wheel).namelist():
        session.error("the wheel lacks py.typed")
    session.run("python", "-m", "venv", folder / "venv")
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    python = (scripts / "python", "-I")
    pip = ("-m", "pip", "install", "--quiet", "--no-index")
    session.run(*python, *pip, wheel, external=True)
    cookbook = (*python, "-m", "cookbook")
    with session.chdir(folder):
        session.run(*cookbook, "list", external=True)
        session.run(*cookbook, "run", "shared_counter", external=True)
        with Path("mine.py").open("w", encoding="utf-8") as mine:
            show = (*cookbook, "show", "shared_counter")
            session.run(*show, stdout=mine, external=True)
        session.run(*python, "mine.py", external=True)


def try_sdist(session: nox.Session, sdist: Path, folder: Path) -> Path:
    """Unpack the sdist and hold its recipes to what the book promises."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    with session.chdir(folder / sdist.name.removesuffix(".tar.gz")):
        session.run("python", "-m", "pytest", "-q", "tests/test_book.py")
        return Path.cwd()


def build_again(session: nox.Session, unpacked: Path) -> None:
    """Build what is in the sdist: it must come out the same to the byte."""
    session.run(
        *("python", "-m", "build", "--outdir", unpacked.parent / "again"),
        *(unpacked,),
        env=dated(session),
    )
    for built in (ROOT / "dist").iterdir():
        again = unpacked.parent / "again" / built.name
        if built.read_bytes() != again.read_bytes():
            session.error(f"{built.name} differs when it is built again")


@nox.session(default=False)
def reproduce(session: nox.Session) -> None:
    """Build the book in two folders: it must come out the same to the byte."""
    install(session, "docs")
    left_out = shutil.ignore_patterns(".*", "_build", "dist", "__pycache__")
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder, name) for name in ("one", "one more")]
        for seed, copy in enumerate(copies):
            shutil.copytree(ROOT, copy, ignore=left_out)
            shutil.rmtree(copy / "docs" / "recipes", ignore_errors=True)
            with session.chdir(copy):
                built = copy / "docs" / "_build"
                sphinx(session, built, "-q", PYTHONHASHSEED=str(seed))
        one, other = (contents(copy / "docs" / "_build") for copy in copies)
    differing = [n for n in one | other if one.get(n) != other.get(n)]
    if differing:
        session.error(f"built twice, these differ: {differing}")
    session.log(f"The same twice: {len(one)} files")


def contents(folder: Path) -> dict[str, bytes]:
    """Return what a reader gets of the book built in *folder*."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for kind in ("html", "epub")
        for path in (folder / kind).rglob("*")
        if path.is_file()
    }


@nox.session(default=False)
def new(session: nox.Session) -> None:
    """Write the files of a new recipe: `-- threads my_recipe`."""
    session.run("python", "-m", "tests.new_recipe", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure what the book says of speed; `-- --only models` one chart."""
    install(session, "bench")
    session.run("python", "-m", "bench", *session.posargs)


@nox.session(default=False)
def serve(session: nox.Session) -> None:
    """Show the book in your browser, and rebuild it as you edit."""
    install(session, "serve")
    session.run(
        *("sphinx-autobuild", "--open-browser", "--port=0"),
        *("--watch=cookbook", "--watch=tests", "--ignore=*/docs/recipes/*"),
        *session.posargs,
        *("docs", HTML),
        # Each edit starts Python anew, which would compile all of Sphinx.
        env={"PYTHONDONTWRITEBYTECODE": ""},
    )


@nox.session(python=PYTHONS, default=False)
def record(session: nox.Session) -> None:
    """Record what the tests find: schedules, and the words of errors."""
    install(session, "tests")
    session.run("python", "-m", "pytest", "--record", *session.posargs)


@nox.session(
    python=PYTHONS,
    default=False,
    allow_parallel=False,  # each adds to the same files
)
def verify(session: nox.Session) -> None:
    """Record what passes where of the changed recipes: `-- threads.barrier`.

    `nox -s verify-3.13 -- --merge FILE...` adds what CI wrote elsewhere, and
    `-- --engines` is for the recipes that need an engine.
    """
    engines = ["engines"] if "--engines" in session.posargs else []
    install(session, "tests", *engines)
    session.run("python", "-m", "tests.verify", *session.posargs)


@nox.session(python="3.14", default=False)
def timelines(session: nox.Session) -> None:
    """Record what the changed recipes do: `-- threads.barrier` for one."""
    session.run("python", "-m", "timelines", *session.posargs)


@nox.session(python=PYTHONS, default=False)
def soak(session: nox.Session) -> None:
    """Run tests many times on a busy machine: `-- 200 tests/processes`."""
    install(session, "soak")
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session(python="3.13", default=False)
def mutants(session: nox.Session) -> None:
    """Change a recipe, and see its tests fail: `-- threads.barrier`."""
    install(session, "mutants")
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session(python="3.14", default=False)
def faults(session: nox.Session) -> None:
    """Disturb ten programs: `-- 200` times each; needs Linux and root."""
    session.run(
        *("unshare", "--mount", "python", "-m", "tests.faults"),
        *(session.posargs or ("200",)),
        external=True,
    )


@nox.session(default=False)
def publish(session: nox.Session) -> None:
    """Note the addresses of this book: a later one must keep them."""
    install(session, "docs", "browser")
    build_book(session, "-q")
    session.run("python", "-m", "tests.book.addresses")


@nox.session(default=False)
def picture(session: nox.Session) -> None:
    """Take the README's picture of a page again."""
    install(session, "docs", "browser")
    build_book(session, "-q")
    session.run("python", "-m", "tests.book.picture")


@nox.session(default=False)
def linkcheck(session: nox.Session) -> None:
    """Look for dead links; needs the network."""
    install(session, "docs")
    session.run(
        *("sphinx-build", "-b", "linkcheck", *session.posargs),
        *("docs", HTML.with_name("linkcheck")),
    )


@nox.session(default=False)
def alive(session: nox.Session) -> None:
    """Ask if what we depend on is kept: a release in two years; needs uv."""
    groups = [*PYPROJECT["dependency-groups"].values()]
    wanted = [one for group in groups for one in group if isinstance(one, str)]
    wanted += PYPROJECT["build-system"]["requires"]
    names = sorted({re.split(r"[^\w.-]", one)[0] for one in wanted})
    then = datetime.now(UTC) - timedelta(days=2 * 365)
    until = f"--exclude-newer={then:%Y-%m-%d}"
    dead = []
    for name in names:
        now = newest(session, name)
        session.log(f"{name} {now or 'has no release'}")
        if name in STILL:
            continue
        if not now or now == newest(session, name, until):
            dead.append(name)
    if "yanked" in resolved(session, LOCK.read_text("utf-8")):
        session.error("a release in the lock was taken back: nox -s lock")
    if dead:
        session.error(f"no release since {then:%Y-%m-%d}: {', '.join(dead)}")


def newest(session: nox.Session, name: str, *options: str) -> str:
    """Return the newest version of a package; an empty text if none is."""
    found = re.search(r"==(\S+)", resolved(session, name, *options))
    return found[1] if found else ""


def resolved(session: nox.Session, text: str, *options: str) -> str:
    """Return what uv says of requirements, without what they require."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requirements.in")
        path.write_text(text, encoding="utf-8")
        said = session.run(
            *("uv", "pip", "compile", "--no-deps", "--universal"),
            *("--python-version", "3.13", "--no-header", "--no-annotate"),
            *("--color=never", *options),
            path,
            external=True,
            silent=True,
            log=False,
            success_codes=(0, 1),  # 1: there is none
        )
    return str(said)


if __name__ == "__main__":
    nox.main()
