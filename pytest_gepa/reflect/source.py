"""What a test's source tells without being run: what its names come from, and which of its statements always run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from pytest_gepa.prompts.python_source import name_of, parse_module

_ENDS = frozenset({"skip", "xfail"})
_AWAITING = frozenset({"raises", "suppress", "assertRaises"})
_OF_CHECKS = frozenset({"AssertionError", "KeyError", "LookupError", "Exception", "BaseException"})
"""What is caught where an assert need not hold, or a key need not be there."""

UNKNOWN = ""
"""Stands for what a name is bound to where no expression says so: by a loop, by `with`, one of several at once."""


@lru_cache(maxsize=64)
def origins(node: ast.expr, source: str) -> frozenset[str]:
    """The names that the value of an expression in a test is made of, those that the test binds traced back."""
    tree = parse_module(source)
    if tree is None:
        return frozenset({UNKNOWN})
    nodes = list(ast.walk(tree))
    bound, changed = bindings(nodes), set(filter(None, map(_changed, nodes)))
    found, seen, waiting = set[str](), set[str](), list[ast.expr | None]([node])
    while waiting:
        made = waiting.pop()
        inner = [] if made is None else [one for one in ast.walk(made) if isinstance(one, ast.Name)]
        own = {one.id for one in inner if isinstance(one.ctx, ast.Store)}  # of a comprehension
        for name in {one.id for one in inner} - own - seen:
            seen.add(name)
            waiting += bound.get(name, [])
            if name not in bound or name in arguments(source):  # `wanted = wanted.lower()`
                found.add(name)
            if name in changed:
                found.add(UNKNOWN)
        if made is None:
            found.add(UNKNOWN)
    return frozenset(found)


@lru_cache(maxsize=64)
def arguments(source: str) -> frozenset[str]:
    """What the functions of a source are given, as a test its parameters and its fixtures."""
    return frozenset(
        node.arg for node in ast.walk(parse_module(source) or ast.Module([], [])) if isinstance(node, ast.arg)
    )


@lru_cache(maxsize=64)
def sometimes(source: str) -> frozenset[str]:
    """The first lines of the statements that do not run in every case of a test."""
    tree, lines = parse_module(source) or ast.Module([], []), source.split("\n")
    run = {id(one) for one in (*tree.body, *always_run(tree))}
    return frozenset(
        lines[node.lineno - 1].strip() for node in ast.walk(tree) if isinstance(node, ast.stmt) and id(node) not in run
    )


def always_run(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run whenever a test does, of an `if` or a loop its head alone. After one that may have ended
    the test early there are none, and none is where an error is awaited that may come of them.
    """
    for top in tree.body:
        yield from _always(top.body if isinstance(top, (ast.FunctionDef, ast.AsyncFunctionDef)) else [top])


def _always(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, (ast.With, ast.AsyncWith)):
            if not any(_named(item.context_expr, _AWAITING) for item in statement.items):
                yield from _always(statement.body)
        elif isinstance(statement, ast.Try):
            if all(one.type and not _named(one.type, _OF_CHECKS) for one in statement.handlers):
                yield from _always(statement.body)
            yield from _always(statement.finalbody)
        if _may_end(statement):
            return


def evaluated(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions that are evaluated whenever a statement runs: of `a or b` `a`, of a comprehension what it goes
    through, of an assert that holds not what it says.
    """
    if isinstance(statement, ast.Assert):
        for condition in demanded(statement.test):
            yield from _evaluated(condition)
    elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        for child in ast.iter_child_nodes(statement):
            if isinstance(child, (ast.expr, ast.withitem)):
                yield from _evaluated(child.context_expr if isinstance(child, ast.withitem) else child)


def demanded(test: ast.expr) -> Iterator[ast.expr]:
    """The conditions of which each is demanded: of `a and b` both, `a or b` as one."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from demanded(value)
    else:
        yield test


def _evaluated(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.expr):
        yield node
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.BoolOp):
        children = node.values[:1]
    elif isinstance(node, ast.IfExp):
        children = [node.test]
    elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        children = [node.generators[0].iter]
    elif isinstance(node, ast.Lambda):
        children = []
    for child in children:
        yield from _evaluated(child)


def _may_end(node: ast.AST) -> bool:
    """Whether a statement may end a test that does not fail."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    is_end = isinstance(node, ast.Return) or (isinstance(node, ast.Call) and name_of(node.func) in _ENDS)
    return is_end or any(map(_may_end, ast.iter_child_nodes(node)))


def bindings(nodes: Iterable[ast.AST]) -> defaultdict[str, list[ast.expr | None]]:
    """What each name is bound to, None where no expression says so."""
    nodes, known = list(nodes), set[int]()
    bound: defaultdict[str, list[ast.expr | None]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    known.add(id(target))
                    bound[target.id].append(node.value)
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in known:
            bound[node.id].append(None)
    return bound


def _changed(node: ast.AST) -> str:
    """The name whose value a statement changes: `allowed.append(wanted)`."""
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    stored = node if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) else None
    owner = called.value if isinstance(called, ast.Attribute) else stored and stored.value
    return owner.id if isinstance(owner, ast.Name) else ""


def names(node: ast.AST) -> Iterator[str]:
    """The names in an expression."""
    yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _named(node: ast.AST, names: frozenset[str]) -> bool:
    return any(name_of(one) in names for one in ast.walk(node))
