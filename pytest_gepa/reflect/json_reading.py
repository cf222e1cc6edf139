"""What a test's source tells of the JSON that it reads: whether it reads an answer as JSON, and what is to be in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_gepa.prompts.pairs import READS_JSON
from pytest_gepa.prompts.python_source import name_of, parse_module, plain_value
from pytest_gepa.reflect.source import always_run, bindings, demanded, evaluated, names
from pytest_gepa.suite.rollout import Case

_MODULES = frozenset({"json", "orjson", "ujson", "simplejson"})
_READERS = frozenset({"model_validate_json", "parse_raw"})
_OTHERS = frozenset({"open", "Path", "read", "read_text", "read_bytes", "environ", "getenv"})
_OTHERS |= {"arguments", "tool_calls", "requests", "body"}
_BODIES = frozenset({"data", "get_data"})
"""What is read from there is no answer of a model: files, the environment, requests, the arguments of tools,
what a web service answers with."""

_WRAPPERS = frozenset({"dict", "set", "frozenset", "sorted", "list", "tuple", "approx"})
_LOOKING = _WRAPPERS | {"len", "zip", "enumerate", "all", "any", "sum", "bool", "int", "float", "repr", "str"}
_LOOKING |= {"get", "isinstance", "dumps", "print", "log", "score"}
"""Functions to which a test gives what it wants; what it gives to others may be an input."""

_VIEWS = frozenset({"items", "keys"})


@dataclass(frozen=True, slots=True)
class Reading:
    """How a test reads an answer as JSON.

    `is_json` is whether it does so itself. `equal` names the parameters that the whole of an answer is compared with,
    `inside` those of which every key is looked for in it. `keys` are those that it looks up by name in every case, and
    `is_object` is whether it takes the answer for an object: both of an answer that is the only one which it reads.
    `is_divided` is whether it divides an answer, and reads each part.
    """

    is_json: bool
    equal: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    is_object: bool = False
    is_divided: bool = False


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
    statements = list(always_run(tree)) if test.reads_one() else []
    sure = [node for statement in statements for node in evaluated(statement)]
    return Reading(
        any(map(test.is_read, test.nodes)),
        tuple(name for name in wanted if name in equal),
        tuple(name for name in wanted if name in inside - equal),
        tuple(dict.fromkeys(key for statement in statements for key in test.keys(statement))),
        any(map(test.is_object, sure)) or any(map(test.is_told_object, statements)),
        any(map(test.is_divided, test.nodes)),
    )


class _Test:
    """The nodes of a test, and what its names are bound to."""

    def __init__(self, tree: ast.Module, parameters: Sequence[str]) -> None:
        self.nodes = list(ast.walk(tree))
        self._parameters = frozenset(parameters)
        self._bound = bindings(self.nodes)
        loops = (node for node in self.nodes if isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)))
        self._looped = {name for loop in loops for name in names(loop.target)}

    def equal(self, node: ast.Compare) -> Iterator[str]:
        """The parameter that a comparison wants the whole of an answer to be equal to."""
        if len(node.ops) == 1 and isinstance(node.ops[0], ast.Eq):
            left, right = _unwrapped(node.left), _unwrapped(node.comparators[0])
            for side, other in ((left, right), (right, left)):
                if isinstance(side, ast.Name) and side.id in self._parameters and self._is_made(other):
                    yield side.id

    def keys(self, statement: ast.stmt) -> Iterator[str]:
        """The keys that a statement looks up in an answer: `data["total"]`, `assert data.get("total") == wanted`."""
        for node in evaluated(statement):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and self._reads(node.value):
                yield from _constant(node.slice)
        for condition in _graded(statement):
            if isinstance(condition, ast.Compare) and len(condition.ops) == 1:
                yield from self._got(condition.left, condition.ops[0], condition.comparators[0])

    def _got(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> Iterator[str]:
        """The key by which one side of a comparison was got that does not hold without it."""
        for side, other in ((left, right), (right, left)) if isinstance(sign, (ast.Eq, ast.In)) else ():
            for call in self._made_by(side):
                if not _may_be_nothing(other) and ast.dump(other) not in map(ast.dump, call.args[1:]):
                    yield from _constant(call.args[0])

    def is_object(self, node: ast.expr) -> bool:
        """Whether an expression takes an answer for an object."""
        if isinstance(node, ast.Attribute):
            return node.attr in {*_VIEWS, "values", "get"} and self._reads(node.value)
        return isinstance(node, ast.Call) and name_of(node.func) in _READERS and self.is_read(node)

    def is_told_object(self, statement: ast.stmt) -> bool:
        """Whether a statement is `assert isinstance(data, dict)`."""
        return isinstance(statement, ast.Assert) and any(
            isinstance(node, ast.Call)
            and name_of(node.func) == "isinstance"
            and len(node.args) == 2
            and name_of(node.args[1]) == "dict"
            and self._reads(node.args[0])
            for node in demanded(statement.test)
        )

    def is_divided(self, node: ast.AST) -> bool:
        """Whether an expression reads what a loop has given it: `for line in ...: json.loads(line)`."""
        if not isinstance(node, ast.Call) or not node.args:
            return False
        if name_of(node.func) == "map":
            return name_of(node.args[0]) in {*_READERS, "loads"}
        return self.is_read(node) and self._is_looped(node.args[0])

    def reads_one(self) -> bool:
        """Whether a test reads one answer as JSON, so that all that it looks up is looked up there."""
        readers = [node for node in self.nodes if isinstance(node, ast.Call) and self.is_read(node)]
        texts = {name for node in readers for name in names(node.args[0])}
        is_same = all(len(self._bound.get(name, ())) < 2 for name in texts)
        is_one = len(readers) == 1 or (is_same and len(set(map(ast.dump, readers))) == 1)
        return is_one and not any(map(self.is_divided, self.nodes))

    def _reads(self, node: ast.expr) -> bool:
        """Whether an expression is an answer that was read."""
        bound = self._bound.get(node.id, []) if isinstance(node, ast.Name) else [node]
        return bool(bound) and all(map(self.is_read, bound))

    def _made_by(self, node: ast.expr) -> Iterator[ast.Call]:
        """The `get` of an answer that an expression comes from."""
        bound = self._bound.get(node.id, []) if isinstance(node, ast.Name) else [node]
        for one in _downwards(_unwrapped(bound[0])) if len(bound) == 1 and bound[0] is not None else ():
            if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute) or not one.args:
                continue
            if one.func.attr == "get" and self._reads(one.func.value):
                yield one

    def _is_looped(self, node: ast.AST | None, seen: frozenset[str] = frozenset()) -> bool:
        found = {one.id for one in _downwards(node) if isinstance(one, ast.Name)} - seen
        return bool(found & self._looped) or any(
            self._is_looped(bound, seen | found) for name in found for bound in self._bound.get(name, [])
        )

    def is_read(self, node: ast.AST | None) -> bool:
        """Whether an expression reads an answer as JSON: no parameter, and nothing that is read from elsewhere."""
        if not isinstance(node, ast.Call) or not node.args:
            return False
        function, text = node.func, node.args[0]
        if isinstance(function, ast.Attribute) and function.attr == "loads":
            is_reader = isinstance(function.value, ast.Name) and function.value.id in _MODULES
        else:
            is_reader = name_of(function) in {*_READERS, "loads"}
        texts = self._bound.get(text.id, []) if isinstance(text, ast.Name) else [text]
        is_given = isinstance(text, ast.Name) and text.id in self._parameters
        return is_reader and not is_given and not any(map(_is_other, texts))

    def _is_made(self, node: ast.expr | None, seen: frozenset[str] = frozenset()) -> bool:
        """Whether an expression is all that a call has given: no part of it, and no parameter or constant."""
        if isinstance(node, ast.Await):
            return self._is_made(node.value, seen)
        if isinstance(node, ast.Call):
            is_part = any(isinstance(one, ast.Subscript) for one in _downwards(node))
            return not is_part and name_of(node.func) not in {*_LOOKING, "pop"}
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
    yield from _viewed([loop.iter for loop in loops if not given.intersection(names(loop.target))])


def _judges(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and name_of(node.func) == "score")


def _viewed(nodes: Sequence[ast.expr]) -> Iterator[str]:
    for node in map(_unwrapped, nodes):
        is_view = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _VIEWS
        inner = node.func.value if is_view else node  # type: ignore[attr-defined]
        if isinstance(inner, ast.Name):
            yield inner.id


def _constant(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _graded(statement: ast.stmt) -> Iterator[ast.expr]:
    """The conditions of which a statement demands each, or gives points for it."""
    if isinstance(statement, ast.Assert):
        yield from demanded(statement.test)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield from statement.value.args if name_of(statement.value.func) == "score" else ()


def _may_be_nothing(node: ast.expr) -> bool:
    """Whether an expression is a constant that counts as false, or is one of several with such a one."""
    if isinstance(node, ast.Constant):
        return not node.value
    value = plain_value(node)
    if isinstance(value, dict):
        return not value
    return isinstance(value, (tuple, list, set)) and (not value or not all(value))


def _unwrapped(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Call) and name_of(node.func) in _WRAPPERS and node.args:
        node = node.args[0]
    return node


def _given(call: ast.Call) -> Iterator[str]:
    """The names that a call gives away, whole or in part."""
    if name_of(call.func) not in _LOOKING:
        for argument in (*call.args, *(word.value for word in call.keywords)):
            yield from names(argument)


def _is_other(node: ast.AST | None) -> bool:
    """Whether an expression is no answer, or a part of what is none."""
    return any(
        name_of(one) in _OTHERS or (isinstance(one, ast.Attribute) and one.attr in _BODIES) for one in _downwards(node)
    )


def _downwards(node: ast.AST | None) -> Iterator[ast.AST]:
    """An expression and what it is called on, read from or a part of: `a.b()["c"]`, `a.b()`, `a.b`, `a`."""
    while node is not None:
        yield node
        node = node.func if isinstance(node, ast.Call) else getattr(node, "value", None)
        node = node if isinstance(node, ast.AST) else None  # a constant has a value, too
