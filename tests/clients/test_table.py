"""The table in `docs/clients.md` and the tests of clients say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.clients.checks import ClientChecks

HERE = Path(__file__).parent
DOCS = (HERE.parents[1] / "docs" / "clients.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in DOCS.splitlines() if re.match(r"\|.*::", line)
]


def ways_of(file: str, kind: str) -> set[str]:
    """The names of the ways that a class of tests goes through, read from the source: its client need not be here."""
    tree = ast.parse((HERE / file).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind]
    (given,) = [
        node.value for node in found.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ways"
    ]
    if isinstance(given, ast.Name):
        return {name for node in tree.body for name in _names(node, {})}
    return _names(given, functions)


def _names(tree: ast.AST, makers: dict[str, ast.FunctionDef]) -> set[str]:
    """What is given to `ways` in a piece of code, and in the functions that make ways for it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in makers:
                names |= _names(makers[node.func.id], makers)
            elif node.func.id == "ways" and isinstance(node.args[0], ast.Constant):
                names.add(str(node.args[0].value))
    return names


def named() -> dict[tuple[str, str], set[str]]:
    """The ways that the table names, by file and class."""
    table: dict[tuple[str, str], set[str]] = {}
    for _, _, tests, *cells in ROWS:
        file, _, kind = tests.strip("`").partition("::")
        table.setdefault((file, kind), set()).update(name for cell in cells for name in re.findall(r"`([^`]+)`", cell))
    return table


def test_every_way_in_the_table_is_tested_and_every_way_that_is_tested_is_in_the_table() -> None:
    table = named()
    assert len(table) == 13
    assert {place: ways_of(*place) for place in table} == table


def test_every_class_of_tests_has_its_rows() -> None:
    classes = {
        (path.name, node.name)
        for path in HERE.glob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test")
    }
    assert classes == set(named())


def test_every_cell_names_a_way_or_gives_a_reason() -> None:
    reasons = set(re.findall(r"^(\d+)\. ", DOCS, re.MULTILINE))
    for _, _, _, *cells in ROWS:
        assert len(cells) == 6
        for cell in cells:
            assert re.fullmatch(r"`.+`(?: \(\d+\))?|- \(\d+\)", cell), cell
            assert set(re.findall(r"\((\d+)\)", cell)) <= reasons


def test_the_test_that_the_text_names_exists() -> None:
    (file, kind, name) = re.findall(r"`tests/clients/(\w+\.py)::(\w+)::(\w+)\[", DOCS)[0]
    assert (HERE / file).exists()
    assert kind == "TestOpenAI"
    assert callable(getattr(ClientChecks, name))


def test_the_environments_of_ci_run_every_file() -> None:
    lists = (HERE.parents[1] / ".ci" / "client-environments").glob("*.txt")
    run = {name for path in lists for name in path.read_text().splitlines()[0].removeprefix("# tests: ").split()}
    # Those whose packages the extra `test` brings run with all other tests.
    assert run | {"test_plain", "test_table"} == {path.stem for path in HERE.glob("test_*.py")}
