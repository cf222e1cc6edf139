"""Rows that are a case's by its position: those of the lists that its test function is parametrized with."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.reflect.tables import Node, Row, Texts, node_of, tables
from pytest_gepa.suite.rollout import POSITIONS, Case
from pytest_gepa.suite.sources import Source

_DEEPEST = 8
"""Names that stand for names, and lists in lists, are followed so far."""

_MOST_VALUES = 4
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that cases are made from. `function` is the test function, as in a case's id, "" where it is not known;
    `names` are its arguments. Of a list that `is_derived` only something was made that may have other positions.
    """

    function: str
    names: frozenset[str]
    rows: tuple[Texts, ...]
    is_derived: bool


def positioned(sources: Iterable[Source], cases: Sequence[Case]) -> tuple[Texts, Texts]:
    """The texts of the rows whose positions are those of held-out cases, and of search cases."""
    splits = _splits(cases)
    texts: dict[str, set[str]] = {"holdout": set(), "search": set()}
    for listed in _listed(sources):
        for (function, name), by_position in splits.items():
            if name not in listed.names or listed.function not in ("", function):
                continue
            if listed.is_derived and by_position.keys() != set(range(len(listed.rows))):
                continue
            for at, here in by_position.items():
                for split in here if at < len(listed.rows) else ():
                    texts[split] |= listed.rows[at]
    return frozenset(texts["holdout"]), frozenset(texts["search"])


def _splits(cases: Iterable[Case]) -> Mapping[tuple[str, str], Mapping[int, set[str]]]:
    """By test function and argument, the splits of the cases at each position."""
    found: dict[tuple[str, str], dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for case in cases:
        match = POSITIONS.search(case.id)
        names = sorted(name for name, _ in case.parameters)
        positions = match[1].split(".") if match else []
        if len(positions) == len(names):
            for name, position in zip(names, positions, strict=True):
                found[case.id[: match.start()] if match else "", name][int(position)].add(case.split)
    return found


def _listed(sources: Iterable[Source]) -> Iterator[Listed]:
    trees = [(source, tree) for source in sources if (tree := parse_module(source.text)) is not None]
    defined = {source.path: _assigned(tree) for source, tree in trees}
    for source, tree in trees:
        known = _known(source.path, tree, defined)
        for function, names, given in _calls(tree):
            where = f"{source.path}::{function}" if function else ""
            for rows, is_derived in _rows(given, known):
                yield Listed(where, names, tuple(row.texts for row in rows), is_derived)


def _known(
    path: str, tree: ast.Module, defined: Mapping[str, Mapping[str, list[ast.expr]]]
) -> Mapping[str, list[ast.expr]]:
    """What names stand for in a source: its own, and those that one module alone has, of those that it imports or else
    of all. Of others it is not known which is meant."""
    imported = _imported(tree)
    near = [other for other in defined if PurePosixPath(other.removesuffix("/__init__.py")).stem in imported]
    known: dict[str, list[ast.expr]] = {}
    for modules in (list(defined), near):
        counts = Counter(name for module in modules for name in defined[module])
        known |= {name: values for module in modules for name, values in defined[module].items() if counts[name] == 1}
    return {**known, **defined[path]}


def _imported(tree: ast.Module) -> set[str]:
    """The words of all names that a source imports."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return {word for name in names for word in name.split(".")}


def _assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found[target.id].append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id].append(node.value)
    return found


def _calls(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, frozenset[str], ast.expr]]:
    """Calls of `parametrize` and fixtures with `params`: function, arguments and values."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for decorator in node.decorator_list:
                yield from _of_call(decorator, f"{prefix}{node.name}", node.name)
            for statement in node.body:
                yield from _calls_inside(statement)
        elif isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                yield from _of_call(decorator, "", "")
            yield from _calls(ast.Module(node.body, []), f"{prefix}{node.name}::")
        else:
            yield from _calls_inside(node)


def _calls_inside(tree: ast.AST) -> Iterator[tuple[str, frozenset[str], ast.expr]]:
    for node in ast.walk(tree):
        yield from _of_call(node, "", "")


def _of_call(node: ast.AST, function: str, fixture: str) -> Iterator[tuple[str, frozenset[str], ast.expr]]:
    if not isinstance(node, ast.Call):
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    words = {word.arg: word.value for word in node.keywords}
    if called == "parametrize":
        given = dict(zip(("argnames", "argvalues"), node.args, strict=False)) | words
        if "argnames" in given and "argvalues" in given:
            yield function, _names(given["argnames"]), given["argvalues"]
    elif called == "fixture" and "params" in words:
        name = words.get("name")
        named = str(name.value) if isinstance(name, ast.Constant) else fixture
        yield "", frozenset([named]), words["params"]


def _names(node: ast.expr) -> frozenset[str]:
    constants = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return frozenset(name.strip() for value in constants if isinstance(value, str) for name in value.split(","))


def _rows(values: ast.expr, known: Mapping[str, list[ast.expr]]) -> Iterator[tuple[tuple[Row, ...], bool]]:
    """The rows that the values of a call are written with; True for those that something else is made of."""
    direct = list(_direct(values, known))
    if direct:
        yield from ((rows, False) for rows in direct)
        return
    for node in ast.walk(values):
        for rows in _direct(node, known) if isinstance(node, ast.expr) else ():
            yield rows, True


def _direct(node: ast.expr, known: Mapping[str, list[ast.expr]], depth: int = _DEEPEST) -> Iterator[tuple[Row, ...]]:
    """The rows of a list that is written out, or that a name stands for, or a sum of such lists."""
    if depth == 0:
        return
    if isinstance(node, (ast.Name, ast.Attribute)):
        for value in known.get(_name(node), ())[:_MOST_VALUES]:
            yield from _direct(value, known, depth - 1)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [next(_direct(side, known, depth - 1), None) for side in (node.left, node.right)]
        if None not in sides:
            yield tuple(row for side in sides for row in side or ())
    elif isinstance(node, _DISPLAYS):
        yield tuple(_unpacked(node, known, depth))


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def _unpacked(
    node: ast.List | ast.Tuple | ast.Set | ast.Dict, known: Mapping[str, list[ast.expr]], depth: int
) -> Iterator[Row]:
    """The rows of a display up to the first that an unknown number of others stands for."""
    whole: Node = node_of(node)
    rows = next(table.rows for table in reversed(tables([whole])))
    starred = node.elts if not isinstance(node, ast.Dict) else []
    for at, row in enumerate(rows):
        element = starred[at] if starred else None
        if not isinstance(element, ast.Starred):
            yield row
            continue
        inner = next(_direct(element.value, known, depth - 1), None)
        if inner is None:
            return
        yield from inner
