"""Cases that contradict each other: the same test, alike inputs, another expected value. Pure; few false alarms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.prompts.python_source import parse_expression, parse_module
from pytest_gepa.suite.rollout import Case, function_of

_EXPECTED = re.compile(r"(?:^|[_.])(?:expected|expect|want|wanted|label|target|gold|golden|truth|correct)(?:$|_)", re.I)
_EXPLAINS = re.compile(
    r"(?:^|[_.])(?:why|note|notes|reason|comment|description|id|name|title|msg|message|tags?)$", re.I
)
_AT_WORD_END = re.compile(r"[.,;:!?\"'`]+(?=\s|$)|(?:(?<=\s)|^)[\"'`]+")


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Cases, by id, with alike inputs, and what each of them expects, as it is written in their parameters."""

    cases: tuple[str, ...]
    expected: tuple[str, ...]


def find_contradictions(cases: Iterable[Case]) -> tuple[Contradiction, ...]:
    """Return the groups of cases that no prompt can satisfy at once, in the order of the suite.

    Inputs are alike when they are equal but for case, white space and the punctuation of words. A parameter is expected
    if it is called so, or is compared in an `assert` and handed to nothing. Where a test has no such parameter, or no
    other, nothing is said of it.
    """
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[str, str]]] = {}
    roles: dict[tuple[str, tuple[str, ...]], frozenset[str]] = {}
    for case in cases:
        values = dict(_flat(case.parameters))
        asked = (case.source, tuple(values))
        if asked not in roles:
            roles[asked] = _expected_names(case.source, values)
        expected = [(name, value) for name, value in values.items() if name in roles[asked]]
        given = tuple(
            (name, _normalised(value))
            for name, value in values.items()
            if name not in roles[asked] and not _EXPLAINS.search(name)
        )
        if expected and given:
            shown = ", ".join(f"{name} = {' '.join(value.split())}" for name, value in expected)
            groups.setdefault((function_of(case.id), given), []).append((case.id, shown))
    return tuple(
        Contradiction(tuple(case for case, _ in group), tuple(shown for _, shown in group))
        for group in groups.values()
        if len({shown for _, shown in group}) > 1
    )


def _flat(parameters: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The parameters; those of a record or a dictionary one by one where one of them is expected by its name."""
    for name, shown in parameters:
        inner = {f"{name}.{key}": value for key, value in _members(shown)}
        if any(_EXPECTED.search(key) for key in inner):
            yield from inner.items()
        else:
            yield name, shown


def _members(shown: str) -> Iterator[tuple[str, str]]:
    tree = parse_expression(shown)
    if isinstance(tree, ast.Dict):
        for key, value in zip(tree.keys, tree.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, ast.unparse(value)
    elif isinstance(tree, ast.Call) and not tree.args:
        for keyword in tree.keywords:
            if keyword.arg:
                yield keyword.arg, ast.unparse(keyword.value)


def _expected_names(source: str, values: Mapping[str, str]) -> frozenset[str]:
    """Which parameters hold what the test expects."""
    named = frozenset(name for name in values if _EXPECTED.search(name))
    if named:
        return named
    tree = parse_module(source)
    if tree is None:
        return frozenset()
    tests = [node.test for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    handed = {name for node in ast.walk(tree) if isinstance(node, ast.Call) for name in _handed(node)}
    compared = {name for test in tests for name in _names(test)}
    return frozenset(compared - handed) & values.keys()


def _handed(call: ast.Call) -> Iterator[str]:
    for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
        yield from _names(argument)


def _names(tree: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def _normalised(shown: str) -> str:
    tree = parse_expression(shown)
    text = tree.value if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else shown
    return " ".join(_AT_WORD_END.sub("", text).casefold().split())
