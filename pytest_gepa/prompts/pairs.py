"""What a case gives and what it wants, as far as its test tells: an object that it reads as JSON, and which of its
strings can be no answer. Strings in, strings out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from pytest_gepa.prompts.leaks import literals
from pytest_gepa.prompts.python_source import name_of, parse_module, plain_value

READS_JSON = re.compile(r"\bjson\.loads\(|\bmodel_validate_json\(|\bparse_raw\(")
"""How a test, or what it calls, reads an answer as JSON. What a response's `.json()` gives is no answer of a model."""

_READERS = frozenset({"loads", "model_validate_json", "parse_raw"})
_NOT_EQUAL = (ast.NotIn, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


def json_pair(parameters: Iterable[tuple[str, str]], source: str) -> tuple[str, str] | None:
    """The one text among the parameters ("" where there is none, or several) and the one object or list, as JSON.

    `parameters` are names and reprs, `source` is the test's. None where the test reads no JSON, or it is not plain
    which parameter the answer is to be like.
    """
    if not READS_JSON.search(source):
        return None
    given = _given(source)
    values = [(name, plain_value(shown)) for name, shown in parameters]
    texts = [value for _, value in values if isinstance(value, str)]
    objects = [value for name, value in values if isinstance(value, (dict, list)) and value and name not in given]
    if len(objects) != 1:
        return None
    try:
        wanted = json.dumps(objects[0], ensure_ascii=False)
        is_same = json.loads(wanted) == objects[0]
    except (TypeError, ValueError):
        return None
    return (texts[0] if len(texts) == 1 else "", wanted) if is_same else None


def no_answers(parameters: Iterable[tuple[str, str]], source: str) -> frozenset[str]:
    """The strings and numbers of a case that its test rules out, or that bound something: none of them is an answer.

    `assert secret not in answer(text)`, `assert len(answer(text)) <= most`.
    """
    shown = dict(parameters)
    found: set[str] = set()
    for node in _nodes(source):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            is_count = any(isinstance(one, ast.Call) and name_of(one.func) == "len" for one in sides)
            if is_count or any(isinstance(sign, _NOT_EQUAL) for sign in node.ops):
                found.update(text for side in sides for text in _literals_of(side, shown))
    return frozenset(found)


def _literals_of(node: ast.expr, shown: Mapping[str, str]) -> list[str]:
    """The literals that an operand is, or that the parameter has which it names."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value  # `secret.lower()`
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    value = shown.get(node.id, "") if isinstance(node, ast.Name) else ""
    return (literals(value) or [value]) if value else []


@lru_cache(maxsize=64)
def _given(source: str) -> frozenset[str]:
    """The names that a test gives to what answers: `ticket` in `json.loads(route(ticket))`."""
    reads = [one for one in _nodes(source) if isinstance(one, ast.Call) and name_of(one.func) in _READERS]
    found = {name for call in reads for value in call.args[:1] for name in _names(value)}
    assigned = [one for one in _nodes(source) if isinstance(one, ast.Assign)]
    is_growing = True
    while is_growing:
        before = len(found)
        for one in assigned:
            if any(name in found for target in one.targets for name in _names(target)):
                found.update(_names(one.value))
        is_growing = len(found) > before
    return frozenset(found)


def _names(node: ast.AST) -> Iterator[str]:
    return (one.id for one in ast.walk(node) if isinstance(one, ast.Name))


@lru_cache(maxsize=64)
def _nodes(source: str) -> tuple[ast.AST, ...]:
    """All of a source; the cases of one test share it."""
    tree = parse_module(source)
    return () if tree is None else tuple(ast.walk(tree))
