"""Which recipes use which names of the standard library, and which traps.

The recipes are read as syntax trees and never run: a name counts if an import
leads to it, and a method if the object was made by a class that is known, in
an assignment, a ``with`` statement or an annotation.
"""

import ast
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cookbook.catalogue import Recipe

# What the book is about; of the others the manual is the better index.
MODULES = (
    "asyncio",
    "concurrent.futures",
    "concurrent.interpreters",
    "contextvars",
    "faulthandler",
    "logging.handlers",
    "multiprocessing",
    "os",
    "pickle",
    "profiling.sampling",
    "queue",
    "sched",
    "signal",
    "sqlite3",
    "subprocess",
    "sys",
    "threading",
    "time",
)
ROLES = {
    "py:attribute": "attr",
    "py:class": "class",
    "py:data": "data",
    "py:exception": "exc",
    "py:function": "func",
    "py:method": "meth",
}
# Where a class gets the methods that the manual explains elsewhere.
PARENTS = {
    "concurrent.futures.InterpreterPoolExecutor": (
        "concurrent.futures.ThreadPoolExecutor",
        "concurrent.futures.Executor",
    ),
    "concurrent.futures.ProcessPoolExecutor": ("concurrent.futures.Executor",),
    "concurrent.futures.ThreadPoolExecutor": ("concurrent.futures.Executor",),
    "multiprocessing.Pool": ("multiprocessing.pool.Pool",),
    "queue.LifoQueue": ("queue.Queue",),
    "queue.PriorityQueue": ("queue.Queue",),
    "threading.BoundedSemaphore": ("threading.Semaphore",),
}
# What a context of multiprocessing makes goes by the name of the module.
CONTEXT = {
    "multiprocessing.get_context",
    "multiprocessing.context.BaseContext",
}


def documented(inventory: Path) -> dict[str, str]:
    """Return the role of each name in :data:`MODULES` that the manual has."""
    packed = inventory.read_bytes().split(b"\n", 4)[4]
    lines = (
        line.split(" ", 2)
        for line in zlib.decompress(packed).decode("utf-8").splitlines()
    )
    return {
        name: ROLES[kind]
        for name, kind, _ in lines
        if kind in ROLES and _module_of(name)
    }


def _module_of(name: str) -> str:
    """Return the module of *name*; empty if the index has none for it."""
    found = [one for one in MODULES if name.startswith(f"{one}.")]
    return max(found, key=len, default="")


def used_by(source: str, known: Mapping[str, str]) -> list[str]:
    """Return the names out of *known* that a module with this text uses."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    names = _imports(nodes)
    for _ in range(2):  # what a context makes is known once the context is
        names |= _objects(nodes, names)
    return sorted(
        {
            place
            for node in nodes
            if isinstance(node, ast.Name | ast.Attribute)
            for place in _places(_resolved(node, names))
            if place in known
        }
    )


def index(
    recipes: Iterable[Recipe], used: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, list[Recipe]]]:
    """Return by module and name the recipes that use it.

    A recipe that names it among its words comes first.

    Args:
        recipes: The recipes, in the order of the book.
        used: The names that each of them uses, by its own name.
    """
    found: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        for name in used[recipe.name]:
            found.setdefault(name, []).append(recipe)
    modules: dict[str, dict[str, list[Recipe]]] = {}
    for name in sorted(found, key=str.lower):
        last = name.rpartition(".")[2]
        users = sorted(
            found[name],
            key=lambda one: last not in one.title + one.fields["search"],
        )
        modules.setdefault(_module_of(name), {})[name] = users
    return dict(sorted(modules.items()))


def _imports(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return what each imported name stands for."""
    names: dict[str, str] = {}
    for node in nodes:
        match node:
            case ast.Import():
                for one in node.names:
                    top = one.name.partition(".")[0]
                    names[one.asname or top] = one.name if one.asname else top
            case ast.ImportFrom(module=str(module), level=0):
                for one in node.names:
                    names[one.asname or one.name] = f"{module}.{one.name}"
    return names


def _objects(
    nodes: Iterable[ast.AST], names: Mapping[str, str]
) -> dict[str, str]:
    """Return the class that made what a name holds, if it is always one."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[target], value=ast.Call(func=made)):
                pass
            case ast.withitem(
                optional_vars=ast.expr() as target,
                context_expr=ast.Call(func=made),
            ):
                pass
            case ast.AnnAssign(target=target, annotation=made):
                pass
            case ast.arg(arg=name, annotation=ast.expr() as made):
                target = ast.Name(name)
            case _:
                continue
        if isinstance(made, ast.BinOp):  # Lock | None
            made = made.left
        if isinstance(made, ast.Subscript):  # Queue[int]
            made = made.value
        kind = _resolved(made, names)
        kind = min(CONTEXT) if kind in CONTEXT else kind
        found.setdefault(_key(target), set()).add(kind)
    return {
        key: made.pop()
        for key, made in found.items()
        if key and len(made) == 1 and made != {""} and key not in names
    }


def _key(node: ast.expr) -> str:
    """Return what a name or an attribute of a name is known as."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return f"{name}.{attribute}"
        case _:
            return ""


def _resolved(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return the whole name of what *node* stands for; empty if unknown."""
    if found := names.get(_key(node)):
        return found
    match node:
        case ast.Attribute(value=value, attr=attribute):
            owner = _resolved(value, names)
            if owner in CONTEXT:
                owner = "multiprocessing"
            return f"{owner}.{attribute}" if owner else ""
        case ast.BoolOp(values=[*_, last]):  # context or multiprocessing
            return _resolved(last, names)
        case _:
            return ""


def _places(name: str) -> Iterator[str]:
    """Yield under which names the manual may have *name*."""
    yield name
    if name == "multiprocessing.Pool":
        yield "multiprocessing.pool.Pool"
    owner, _, last = name.rpartition(".")
    for parent in PARENTS.get(owner, ()):
        yield f"{parent}.{last}"
