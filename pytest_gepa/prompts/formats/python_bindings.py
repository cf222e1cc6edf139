"""Which names a Python module binds at module and class level, and to what. Reads the tree only."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.addresses import FieldPath

DOCSTRING = "__doc__"


@dataclass(frozen=True, slots=True)
class Binding:
    """One assignment to a name: the value, None if it is none that the source shows.

    `same_as` is the name before it in `A = B = "..."`.
    """

    value: ast.expr | None
    line: int
    same_as: FieldPath | None = None


def bindings(tree: ast.Module) -> dict[FieldPath, list[Binding]]:
    """Every name, attribute and item that is assigned to outside of functions, in order; docstrings too."""
    collector = _Collector()
    collector.docstring(tree, ())
    collector.statements(tree.body, ())
    return collector.bound


def imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for, in full."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def key_of(node: ast.expr) -> str:
    """The key that an expression gives in an address: a constant's value, else its source."""
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)


class _Collector:
    """One pass over the statements of a module."""

    def __init__(self) -> None:
        self.bound: dict[FieldPath, list[Binding]] = {}

    def statements(self, statements: Sequence[ast.stmt], scope: FieldPath) -> None:
        """Take in statements and those inside them, but no functions."""
        for statement in statements:
            if isinstance(statement, ast.Assign):
                self._assign(statement, scope)
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                self._bind(statement.target, statement.value, scope, statement.lineno)
            elif isinstance(statement, ast.AugAssign):
                self._bind(statement.target, None, scope, statement.lineno)
            elif isinstance(statement, ast.ClassDef):
                self.docstring(statement, (*scope, statement.name))
                self.statements(statement.body, (*scope, statement.name))
            elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self.docstring(statement, (*scope, statement.name))
            else:
                for inner in _inner_statements(statement):
                    self.statements(inner, scope)

    def docstring(
        self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, scope: FieldPath
    ) -> None:
        """Take in the docstring of a node, if it has one."""
        first = node.body[0] if node.body else None
        value = first.value if isinstance(first, ast.Expr) else None
        if first is not None and isinstance(value, ast.Constant) and isinstance(value.value, str):
            self._add((*scope, DOCSTRING), Binding(value, first.lineno))

    def _add(self, path: FieldPath, binding: Binding) -> None:
        self.bound.setdefault(path, []).append(binding)

    def _assign(self, statement: ast.Assign, scope: FieldPath) -> None:
        first, *others = statement.targets
        self._bind(first, statement.value, scope, statement.lineno)
        for other in others:
            path = _target(other, scope)
            if path is not None:
                self._add(path, Binding(None, statement.lineno, _target(first, scope)))

    def _bind(self, target: ast.expr, value: ast.expr | None, scope: FieldPath, line: int) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values: Sequence[ast.expr | None] = [None] * len(target.elts)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
                values = value.elts
            for one, its_value in zip(target.elts, values, strict=True):
                self._bind(one, its_value, scope, line)
            return
        path = _target(target, scope)
        if path is not None:
            self._add(path, Binding(value, line))


def _target(target: ast.expr, scope: FieldPath) -> FieldPath | None:
    """The path of what is assigned to: a name, an attribute or an item of one."""
    if isinstance(target, ast.Name):
        return (*scope, target.id)
    if isinstance(target, ast.Attribute | ast.Subscript):
        base = _target(target.value, scope)
        key = target.attr if isinstance(target, ast.Attribute) else key_of(target.slice)
        return (*base, key) if base is not None else None
    return None


def _inner_statements(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for name in ("handlers", "cases"):
        for part in getattr(statement, name, []):
            yield part.body
