"""Tables of cases in sources: which texts stand in one row with the values of a case. Pure: no file is opened."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pytest_gepa.suite.values import tells

Texts = frozenset[str]
"""Strings and numbers, as they stand in the source; nested ones too."""


@dataclass(frozen=True, slots=True)
class Node:
    """Data that is written out: parts with their names, which are positions where there are no other.

    Lists, sets and dicts are tables; the names of a dict are texts too. A record (a call, a line) is a row only.
    """

    kind: Literal["list", "set", "dict", "record", "other"]
    parts: tuple[tuple[str, Node | str], ...]


class Row(NamedTuple):
    """All texts of a row, and those by which a row may be known: its key, and what it has for itself, by name."""

    texts: Texts
    fields: tuple[tuple[str, str], ...]

    def values(self) -> Iterator[str]:
        """The texts by which the row may be known."""
        return (value for _, value in self.fields)


@dataclass(frozen=True, slots=True)
class Table:
    """A list, tuple, set or dict that is written out. `is_list` says that its rows have a number that may name a case:
    it is a list or tuple, and no row of another.
    """

    rows: tuple[Row, ...]
    is_list: bool


_KEY, _WHOLE = "key", "value"
_DEPTH_OF_FIELDS = 2
_SHORTEST = 4
_NUMBER = re.compile(r"[-+]?[\d.,]{1,4}")


def python_nodes(source: str) -> list[Node]:
    """Every outermost list, tuple, set and dict of a Python source; none if Python cannot read it."""
    try:
        return [node_of(display) for display in _outermost(ast.parse(source))]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []


Display = ast.List | ast.Tuple | ast.Set | ast.Dict
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


def _outermost(tree: ast.AST) -> Iterator[Display]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _DISPLAYS):
            yield node
        else:
            waiting += reversed(list(ast.iter_child_nodes(node)))


def node_of(node: Display | ast.Call) -> Node:
    """A display or a call, with all that is written out inside. Marks of a `pytest.param` are no part of a case."""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return Node("dict", tuple((_key(key), _part(value)) for key, value in pairs))
    if isinstance(node, ast.Call):
        named = [(word.arg or "", word.value) for word in node.keywords if word.arg != "marks"]
        parts = [*_numbered(node.args), *named]
        return Node("record", (*((name, _part(value)) for name, value in parts), ("", _part(node.func))))
    kind: Literal["set", "list"] = "set" if isinstance(node, ast.Set) else "list"
    return Node(kind, tuple((name, _part(value)) for name, value in _numbered(node.elts)))


def _numbered(nodes: Sequence[ast.expr]) -> list[tuple[str, ast.expr]]:
    return [(str(at), node) for at, node in enumerate(nodes)]


def _key(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) and _is_text(node.value) else ""


def _is_text(value: object) -> bool:
    return type(value) in (str, int, float)


def _part(node: ast.expr) -> Node | str:
    if isinstance(node, ast.Constant):
        return str(node.value) if _is_text(node.value) else ""
    if isinstance(node, (*_DISPLAYS, ast.Call)):
        return node_of(node)
    inner: list[Node | str] = []
    waiting: list[ast.AST] = list(ast.iter_child_nodes(node))
    while waiting:  # not by recursion: a sum of strings may be as deep as it is long
        below = waiting.pop()
        if isinstance(below, (ast.Constant, *_DISPLAYS, ast.Call)):
            inner.append(_part(below))
        else:
            waiting += reversed(list(ast.iter_child_nodes(below)))
    return Node("other", tuple(("", part) for part in inner))


def tables(nodes: Iterable[Node]) -> list[Table]:
    """Every table in these nodes, those inside others too. A row of a dict is a key with its value.

    A key that two dicts have is the name of a field, and none of the texts.
    """
    nodes = list(nodes)
    keys = Counter(key for node in nodes for key in _keys(node))
    names = {key for key, count in keys.items() if count > 1}
    found: list[Table] = []
    for node in nodes:
        _add_tables(node, names, found, is_root=True)
    return found


def _keys(node: Node) -> Iterator[str]:
    if node.kind == "dict":
        yield from dict.fromkeys(name for name, _ in node.parts)
    for _, part in node.parts:
        if isinstance(part, Node):
            yield from _keys(part)


def _add_tables(node: Node, names: Set[str], found: list[Table], is_root: bool = False) -> Texts:
    """Add the tables of a node to `found`, and return its texts."""
    rows: list[Row] = []
    texts: set[str] = set()
    for name, part in node.parts:
        inside = _add_tables(part, names, found) if isinstance(part, Node) else frozenset([part])
        if node.kind == "dict":
            own = inside if name in names else inside | {name}
            rows.append(Row(own - {""}, ((_KEY, name), *_fields_of_value(part))))
        else:
            own = inside
            rows.append(Row(own - {""}, _fields(part)))
        texts |= own
    if node.kind in ("list", "set", "dict"):
        found.append(Table(tuple(rows), is_root and node.kind == "list"))
    return frozenset(texts - {""})


def _fields_of_value(part: Node | str) -> tuple[tuple[str, str], ...]:
    return () if isinstance(part, Node) and part.kind in ("list", "set") else _fields(part)


def _fields(part: Node | str, depth: int = _DEPTH_OF_FIELDS) -> tuple[tuple[str, str], ...]:
    """The texts that stand in a part itself, and in the dicts that it holds."""
    if isinstance(part, str):
        return ((_WHOLE, part),) if part else ()
    fields: list[tuple[str, str]] = []
    for name, inner in part.parts:
        if isinstance(inner, str):
            fields += [(f".{name}", inner)] if inner else []
        elif depth > 1 and inner.kind == "dict":
            fields += [(f".{name}{below}", value) for below, value in _fields(inner, depth - 1)]
    return tuple(fields)


def whole(node: Node) -> Table:
    """A node as the only row of a table."""
    return Table((Row(_add_tables(node, frozenset(_keys(node)), []), _fields(node)),), is_list=False)


def beside(found: Iterable[Table], own: Set[str], other: Set[str], is_strict: bool = False) -> Texts:
    """The texts of the rows that belong to `own` and not to `other`.

    Whose a row is, the column decides by which most rows of the table are known; failing that, its values that tell
    more than a number or two letters; failing that, any value, but not if `is_strict`: then a row is known by its key
    or its fields alone. Single words that other rows of the table have too are left out.
    """
    texts: set[str] = set()
    for table in found:
        columns = _columns(table, own, other)
        taken = [_is_own(row, columns, own, other, is_strict) for row in table.rows]
        if any(taken):
            rest = frozenset[str]().union(
                *(row.texts for row, is_taken in zip(table.rows, taken, strict=True) if not is_taken)
            )
            for row, is_taken in zip(table.rows, taken, strict=True):
                if is_taken:
                    texts.update(text for text in row.texts if text not in rest or tells(text))
    return frozenset(texts)


def _columns(table: Table, own: Set[str], other: Set[str]) -> Set[str]:
    """The columns by which most rows are known, two at least."""
    hits = Counter(column for row in table.rows for column, value in row.fields if value in own or value in other)
    most = max(hits.values(), default=0)
    return {column for column, count in hits.items() if count == most} if most > 1 else set()


def _is_own(row: Row, columns: Set[str], own: Set[str], other: Set[str], is_strict: bool) -> bool:
    keys = {value for column, value in row.fields if column in columns}
    fields = set(row.values())
    steps = [keys, {value for value in fields if identifies(value)}]
    if not is_strict:
        every = fields | row.texts
        steps += [{value for value in every if identifies(value)}, every]
    for values in steps:
        if not own.isdisjoint(values) or not other.isdisjoint(values):
            return not own.isdisjoint(values) and other.isdisjoint(values)
    return False


def identifies(value: str) -> bool:
    """Whether a value says by itself whose a row is: small numbers and a few letters may stand anywhere."""
    return len(value) >= _SHORTEST and not _NUMBER.fullmatch(value)


def numbered(found: Iterable[Table], length: int, numbers: Iterable[int]) -> Texts:
    """The texts of these rows of the lists that have `length` of them."""
    chosen = list(numbers)
    lists = (table.rows for table in found if table.is_list and len(table.rows) == length)
    return frozenset[str]().union(*(rows[at].texts for rows in lists for at in chosen))
