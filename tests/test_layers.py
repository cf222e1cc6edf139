"""How the package is built: imports point one way, the search is pure, pytest's internals are touched in one file."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pytest_gepa"
LAYERS = (
    ("cut", "errors", "own", "shared_lines"),
    ("codec", "redaction", "options", "stash", "hook_calls", "fixture"),
    ("cost", "prompts", "verdict"),
    ("wording", "settings"),
    ("trace", "evolve"),
    ("hookspecs", "suite"),
    ("reflect", "resolve"),
    ("run",),
    ("optimize", "check", "audit"),
    ("report",),
    ("front", "commands"),
    ("plugin", "cli"),
)
"""From the bottom up: a module imports from its own package and from layers below, never beside or above."""

PURE = {
    "bisect",
    "collections",
    "dataclasses",
    "difflib",
    "fractions",
    "functools",
    "hashlib",
    "json",
    "math",
}
PURE |= {"operator", "random", "re", "statistics", "typing", "__future__"}
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def imports(path: Path) -> tuple[str, ...]:
    """The modules that a file imports when it runs, at its top or later; those for the type checker alone are none."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom):
            inside = node.module == "pytest_gepa"
            yield from [f"pytest_gepa.{name.name}" for name in node.names] if inside else [str(node.module)]
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        waiting.extend(ast.iter_child_nodes(node))


def part_of(module: str) -> str:
    """The package, or the module of the top level, that a module is in."""
    return module.split(".")[1]


def name_of(path: Path) -> str:
    return ".".join(("pytest_gepa", *path.relative_to(PACKAGE).with_suffix("").parts))


def test_every_package_has_a_layer():
    assert {part_of(name_of(path)) for path in MODULES} - {"__init__"} == set(LEVEL)


def test_imports_point_down():
    against = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in MODULES
        if path != PACKAGE / "__init__.py"
        for module in imports(path)
        if module.startswith("pytest_gepa.") and module != "pytest_gepa.__version__"
        if part_of(module) != part_of(name_of(path)) and LEVEL[part_of(module)] >= LEVEL[part_of(name_of(path))]
    ]
    assert not against


@pytest.mark.parametrize("package", ["evolve", "verdict"])
def test_search_and_verdict_know_no_clock_no_file_and_no_pytest(package):
    used = {
        module.partition(".")[0]
        for path in (PACKAGE / package).glob("*.py")
        for module in imports(path)
        if not module.startswith("pytest_gepa.")
    }
    assert used
    assert used <= PURE


def test_internals_of_pytest_are_touched_in_one_file():
    touching = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        for module in imports(path)
        if module.partition(".")[0] == "_pytest"
    }
    assert touching == {"suite/pytest_internals.py"}


def test_what_every_session_loads_is_the_standard_library_and_pytest():
    waiting, seen, used = ["plugin"], set[str](), set[str]()
    while waiting:
        part = waiting.pop()
        seen.add(part)
        tree = ast.parse((PACKAGE / f"{part}.py").read_bytes())
        for node in tree.body:
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            own = {part_of(module) for module in found if module.startswith("pytest_gepa.")}
            waiting += own - seen
            used |= {module.partition(".")[0] for module in found} - {"pytest_gepa"}
    assert seen > {"plugin"}
    assert used - {"pytest"} <= sys.stdlib_module_names


@pytest.mark.parametrize(
    "path", sorted((PACKAGE.parent / "benchmarks").rglob("*.py")), ids=lambda path: "/".join(path.parts[-2:])
)
def test_a_benchmark_imports_what_is_there(path: Path):
    """Benchmarks are run seldom, and would else be found broken when their figures are wanted."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pytest_gepa":
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), name
