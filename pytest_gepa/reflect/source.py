"""What a test's source tells: what its names come from, whether it reads an answer as JSON, what is to be in that."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_gepa.prompts.pairs import READS_JSON
from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.suite.rollout import Case

_MODULES = frozenset({"json", "orjson", "ujson", "simplejson"})
_READERS = frozenset({"model_validate_json", "parse_raw"})
_OTHERS = frozenset({"open", "Path", "read", "read_text", "read_bytes", "environ", "getenv"})
_OTHERS |= {"arguments", "tool_calls", "requests", "body"}
"""What is read from there is no answer of a model: files, the environment, requests, the arguments of tools."""

_WRAPPERS = frozenset({"dict", "set", "frozenset", "sorted", "list", "tuple", "approx"})
_LOOKING = _WRAPPERS | {"len", "zip", "enumerate", "all", "any", "sum", "bool", "int", "float", "repr", "str"}
_LOOKING |= {"get", "isinstance", "dumps", "print", "log", "score"}
"""Functions to which a test gives what it wants; what it gives to others may be an input."""

_VIEWS = frozenset({"items", "keys"})

_ENDS = frozenset({"skip", "xfail"})
_AWAITING = frozenset({"raises", "suppress", "assertRaises"})
_OF_CHECKS = frozenset({"AssertionError", "KeyError", "LookupError", "Exception", "BaseException"})
"""What is caught where an assert need not hold, or a key need not be there."""

UNKNOWN = ""
"""Stands for what a name is bound to where no expression says so: by a loop, by `with`, one of several at once."""


def origins(node: ast.expr, source: str) -> set[str]:
    """The names that the value of an expression in a test is made of, those that the test binds traced back."""
    nodes = list(ast.walk(parse_module(source) or ast.Module([], [])))
    bound, changed = bindings(nodes), set(filter(None, map(_changed, nodes)))
    found, seen, waiting = set[str](), set[str](), list[ast.expr | None]([node])
    while waiting:
        made = waiting.pop()
        inner = [] if made is None else [one for one in ast.walk(made) if isinstance(one, ast.Name)]
        own = {one.id for one in inner if isinstance(one.ctx, ast.Store)}  # of a comprehension
        for name in {one.id for one in inner} - own - seen:
            seen.add(name)
            waiting += bound.get(name, [])
            if name not in bound:
                found.add(name)
            if name in changed:
                found.add(UNKNOWN)
        if made is None:
            found.add(UNKNOWN)
    return found


def arguments(source: str) -> set[str]:
    """What the functions of a source are given, as a test its parameters and its fixtures."""
    return {
        node.arg for node in ast.walk(parse_module(source) or ast.Module([], [])) if isinstance(node, ast.arg)
    }


@lru_cache(maxsize=64)
def sometimes(source: str) -> frozenset[str]:
    """The first lines of the statements that do not run in every case of a test."""
    tree, lines = parse_module(source) or ast.Module([], []), source.split("\n")
    run = {id(one) for one in (*tree.body, *_always_run(tree))}
    return frozenset(
        lines[node.lineno - 1].strip()
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and id(node) not in run
    )


def _always_run(tree: ast.Module) -> Iterator[ast.stmt]:
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


def _may_end(node: ast.AST) -> bool:
    """Whether a statement may end a test that does not fail."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return False
    is_end = isinstance(node, ast.Return) or (isinstance(node, ast.Call) and _name(node.func) in _ENDS)
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


@dataclass(frozen=True, slots=True)
class Reading:
    """How a test reads an answer as JSON.

    `is_json` is whether it does so itself. `equal` names the parameters that the whole of an answer is compared with,
    `inside` those of which every key is looked for in it. `keys` are those that it looks up in the answer by name.
    """

    is_json: bool
    equal: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def reading(case: Case) -> Reading:
    """How the test of a case reads an answer."""
    return _reading(case.source, tuple(name for name, _ in case.parameters))


@lru_cache(maxsize=64)
def _reading(source: str, parameters: tuple[str, ...]) -> Reading:
    tree = parse_module(source)
    if tree is None:
        return Reading(READS_JSON.search(source) is not None)
    test = _Test(tree, parameters)
    given = {name for node in test.nodes if isinstance(node, ast.Call) for name in _given(node)}
    equal = {name for node in test.nodes if isinstance(node, ast.Compare) for name in test.equal(node)}
    inside = {name for node in test.nodes for name in _looked_for(node, given)}
    wanted = [name for name in parameters if name not in given]
    return Reading(
        any(map(test.is_read, test.nodes)),
        tuple(name for name in wanted if name in equal),
        tuple(name for name in wanted if name in inside - equal),
        tuple(dict.fromkeys(key for node in test.nodes for key in test.keys(node))),
    )


class _Test:
    """The nodes of a test, and what its names are bound to."""

    def __init__(self, tree: ast.Module, parameters: Sequence[str]) -> None:
        self.nodes = list(ast.walk(tree))
        self._parameters = frozenset(parameters)
        self._bound = bindings(self.nodes)

    def equal(self, node: ast.Compare) -> Iterator[str]:
        """The parameter that a comparison wants the whole of an answer to be equal to."""
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            left, right = _unwrapped(node.left), _unwrapped(node.comparators[0])
            for side, other in ((left, right), (right, left)):
                if isinstance(side, ast.Name) and side.id in self._parameters and self._is_made(other):
                    yield side.id

    def keys(self, node: ast.AST) -> Iterator[str]:
        """The key that is looked up in an answer."""
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.slice, ast.Constant)
        ):
            value = node.value
            bound = self._bound.get(value.id, []) if isinstance(value, ast.Name) else [value]
            if isinstance(node.slice.value, str) and bound and all(map(self.is_read, bound)):
                yield node.slice.value

    def is_read(self, node: ast.AST | None) -> bool:
        """Whether an expression reads an answer as JSON: no parameter, and nothing that is read from elsewhere."""
        if not isinstance(node, ast.Call) or not node.args:
            return False
        function, text = node.func, node.args[0]
        if isinstance(function, ast.Attribute) and function.attr == "loads":
            is_reader = isinstance(function.value, ast.Name) and function.value.id in _MODULES
        else:
            is_reader = _name(function) in {*_READERS, "loads"}
        texts = self._bound.get(text.id, []) if isinstance(text, ast.Name) else [text]
        is_given = isinstance(text, ast.Name) and text.id in self._parameters
        return is_reader and not is_given and not any(map(_is_other, texts))

    def _is_made(self, node: ast.expr | None, seen: frozenset[str] = frozenset()) -> bool:
        """Whether an expression is all that a call has given: no part of it, and no parameter or constant."""
        if isinstance(node, ast.Await):
            return self._is_made(node.value, seen)
        if isinstance(node, ast.Call):
            is_part = any(isinstance(one, ast.Subscript) for one in _downwards(node))
            return not is_part and _name(node.func) not in {*_LOOKING, "pop"}
        if not isinstance(node, ast.Name) or node.id in self._parameters or node.id in seen:
            return False
        bound = self._bound.get(node.id, [])
        return bool(bound) and all(self._is_made(one, seen | {node.id}) for one in bound)


def _looked_for(node: ast.AST, given: set[str]) -> Iterator[str]:
    """The names of which every key is looked for by a node: `for k, v in wanted.items(): assert ...`, or a subset."""
    if isinstance(node, ast.Compare) and all(isinstance(sign, (ast.LtE, ast.GtE)) for sign in node.ops):
        yield from _viewed([node.left, *node.comparators])
    loops: list[ast.For | ast.comprehension] = []
    if isinstance(node, ast.For) and any(map(_judges, ast.walk(node))):
        loops = [node]
    elif _judges(node):
        loops = [inner for inner in ast.walk(node) if isinstance(inner, ast.comprehension)]
    # What is given away piece by piece is an input.
    yield from _viewed([loop.iter for loop in loops if not given.intersection(_names(loop.target))])


def _judges(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and _name(node.func) == "score")


def _viewed(nodes: Sequence[ast.expr]) -> Iterator[str]:
    for node in map(_unwrapped, nodes):
        is_view = (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS
        )
        inner = node.func.value if is_view else node  # type: ignore[attr-defined]
        if isinstance(inner, ast.Name):
            yield inner.id


def _unwrapped(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Call) and _name(node.func) in _WRAPPERS and node.args:
        node = node.args[0]
    return node


def _given(call: ast.Call) -> Iterator[str]:
    """The names that a call gives away, whole or in part."""
    if _name(call.func) not in _LOOKING:
        for argument in (*call.args, *(word.value for word in call.keywords)):
            yield from _names(argument)


def _names(node: ast.AST) -> Iterator[str]:
    yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))


def _is_other(node: ast.AST | None) -> bool:
    """Whether an expression is no answer, or a part of what is none."""
    return any(_name(one) in _OTHERS for one in _downwards(node))


def _downwards(node: ast.AST | None) -> Iterator[ast.AST]:
    """An expression and what it is called on, read from or a part of: `a.b()["c"]`, `a.b()`, `a.b`, `a`."""
    while node is not None:
        yield node
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
        node = node if isinstance(node, ast.AST) else None  # a constant has a value, too


def _named(node: ast.AST, names: frozenset[str]) -> bool:
    return any(_name(one) in names for one in ast.walk(node))


def _name(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))
