"""Tables of cases in test files: which texts stand in one row with the values of a case. Pure: Python source in."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


Texts = frozenset[str]
"""The strings and numbers of one row, as they stand in the source; nested ones too."""


@dataclass(frozen=True, slots=True)
class Table:
    """A list, tuple, set or dict that is written out. `is_list` says that its rows have a number that may name a case:
    it is a list or tuple, and no row of another.
    """

    rows: tuple[Texts, ...]
    is_list: bool


def tables(source: str) -> list[Table]:
    """Return every table of a source, those inside others too; none if Python cannot read it.

    A row of a dict is a key with its value.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [node for node in ast.walk(tree) if isinstance(node, _DISPLAYS)]
    inner = {
        id(below)
        for node in found
        for below in ast.walk(node)
        if below is not node and isinstance(below, _DISPLAYS)
    }
    return [
        Table(
            tuple(frozenset(_texts(parts)) for parts in _rows(node)),
            isinstance(node, (ast.List, ast.Tuple)) and id(node) not in inner,
        )
        for node in found
    ]


def _rows(node: ast.List | ast.Tuple | ast.Set | ast.Dict) -> Iterator[tuple[ast.AST, ...]]:
    if isinstance(node, ast.Dict):
        yield from (
            (key, value) if key else (value,) for key, value in zip(node.keys, node.values, strict=True)
        )
    else:
        yield from ((element,) for element in node.elts)


def _texts(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for part in nodes:
        for node in ast.walk(part):
            if isinstance(node, ast.Constant) and type(node.value) in (str, int, float):
                yield str(node.value)


def beside(found: Iterable[Table], own: Set[str], other: Set[str]) -> Texts:
    """Return the texts of the rows that hold something of `own` and nothing of `other`."""
    rows = (row for table in found for row in table.rows)
    return frozenset().union(*(row for row in rows if not own.isdisjoint(row) and other.isdisjoint(row)))


def numbered(found: Iterable[Table], length: int, numbers: Iterable[int]) -> Texts:
    """Return the texts of these rows of the lists that have `length` of them."""
    chosen = list(numbers)
    lists = (table.rows for table in found if table.is_list and len(table.rows) == length)
    return frozenset().union(*(rows[at] for rows in lists for at in chosen))
