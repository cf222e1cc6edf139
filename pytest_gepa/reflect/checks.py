"""The asserts that failed, each with the values that pytest shows of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pytest_gepa.prompts.python_source import parse_expression, parse_module, plain_value
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.reflect.source import sometimes
from pytest_gepa.reflect.transcript import Exhibit

_TRIED = 40
"""Lines of a failure that are looked at."""

_ASSERT = re.compile(r"(?:AssertionError: )?assert (.+)")
_MADE = re.compile(r" *\+ +(?:where|and) +(.+)")
_LENGTH = re.compile(r"\d+ = len\((.+)\)")
_METHOD = re.compile(r"<built-in method (\w+) of str object at [^>]*> = (.+)\.\1")
_FUNCTION = re.compile(r"None = <function (\w+) at [^>]*>(\(.+\))")

_BRANCH = re.compile(r"\s*(?:async\s+)?(?:if|elif|else|for|while|match|case|except)\b")


@dataclass(frozen=True, slots=True)
class Check:
    """An assert that failed: its condition as it stands in the source (`test`) and with values in the place of names
    (`printed`), each None where it cannot be read, and the lines that tell how a value came about (`made`).
    """

    test: ast.expr | None
    printed: ast.expr | None
    made: tuple[str, ...]
    is_own: bool
    is_always: bool

    @property
    def compared(self) -> ast.Compare | None:
        """The comparison with its values, where the condition is one: `'x' == 'billing'`."""
        is_one = isinstance(self.printed, ast.Compare) and len(self.printed.ops) == 1
        return self.printed if is_one and isinstance(self.printed, ast.Compare) else None

    def right_side(self, node: ast.expr) -> object:
        """The value of an expression on the right of a comparison, None where it is not shown."""
        if self.test is None or self.printed is None:
            return None
        for test, shown in _paired(self.test, self.printed):
            if len(test.ops) == 1 and ast.dump(test.comparators[0]) == ast.dump(node):
                return plain_value(shown.comparators[0])
        return None

    def counted(self) -> object:
        """What `len` was taken of, None where that is not shown or was taken of several."""
        return _single([match[1] for line in self.made if (match := _LENGTH.fullmatch(line))])

    def owner(self, method: str) -> object:
        """The text whose method was called, None where it is not shown or that was done to several."""
        found = [match for line in self.made if (match := _METHOD.fullmatch(line))]
        return _single([match[2] for match in found if match[1] == method])

    def last_argument(self, function: str) -> object:
        """What a function that gave None was last given, None where it is not shown or was called more than once."""
        found = [match[2] for line in self.made if (match := _FUNCTION.fullmatch(line)) and match[1] == function]
        calls = [parse_expression(f"f{given}") for given in found]
        return _single([call.args[-1] for call in calls if isinstance(call, ast.Call) and call.args])


def checks(exhibit: Exhibit) -> Iterator[Check]:
    """The asserts that failed in a run, in the order in which they are told."""
    failure, source = exhibit.rollout.trajectory.failure, exhibit.case.source
    is_always = _is_always(failure.split("\n"), source)
    statement, printed = "", list[str]()
    for line in [*read_failure(failure).said.split("\n")[:_TRIED], "> "]:
        if not line.startswith("> "):
            printed.append(line)
            continue
        yield from _check(statement, printed, source, is_always)
        statement, printed = line[2:].strip(), []


def _check(statement: str, printed: Sequence[str], source: str, is_always: bool) -> Iterator[Check]:
    found = (match[1] for line in printed if (match := _ASSERT.fullmatch(line.strip())))
    shown = next((tree for text in found if (tree := parse_expression(text)) is not None), None)
    test = _condition(statement, source)
    if test is not None or shown is not None:
        made = tuple(match[1] for line in printed if (match := _MADE.fullmatch(line)))
        is_own = statement in map(str.strip, source.split("\n"))
        yield Check(test, shown, made, is_own, is_always)


def _is_always(lines: Sequence[str], source: str) -> bool:
    """Whether each statement on the way to an assert runs in every case: the source of the test tells it of its own,
    and of others the code above them, as far as pytest shows that.
    """
    marked = [at for at, line in enumerate(lines) if line.startswith(">")]
    some = sometimes(source)
    return not any(lines[at][1:].strip() in some or _is_in_branch(lines, at) for at in marked)


def _is_in_branch(lines: Sequence[str], at: int) -> bool:
    depth = _depth(lines[at])
    for line in reversed(lines[:at]):
        if line.strip() and _depth(line) < depth:
            depth = _depth(line)
            if depth == 0 or _BRANCH.match(line):
                return depth > 0
    return False


def _depth(line: str) -> int:
    return len(line) - len(line.removeprefix(">").lstrip())


@lru_cache(maxsize=256)
def _condition(statement: str, source: str) -> ast.expr | None:
    """What a statement asserts. Of one on several lines only the first is marked: the others are in the source."""
    found = _asserts(statement)
    if not found:
        lines = source.split("\n")
        found = [node for node in _asserts(source) if lines[node.lineno - 1].strip() == statement]
    return found[0].test if len(found) == 1 else None


def _asserts(source: str) -> list[ast.Assert]:
    return [node for node in ast.walk(parse_module(source) or ast.Module([], [])) if isinstance(node, ast.Assert)]


def _paired(test: ast.expr, shown: ast.expr) -> Iterator[tuple[ast.Compare, ast.Compare]]:
    """The comparisons of a condition beside the same with values. Of `a and b` pytest shows what was reached."""
    if isinstance(test, ast.BoolOp):
        is_whole = isinstance(shown, ast.BoolOp) and type(shown.op) is type(test.op)
        values = shown.values if is_whole and isinstance(shown, ast.BoolOp) else [shown]
        for one, its_value in zip(test.values, values, strict=False):
            yield from _paired(one, its_value)
    elif isinstance(test, ast.Compare) and isinstance(shown, ast.Compare) and len(test.ops) == len(shown.ops):
        yield test, shown


def _single(values: Sequence[str | ast.expr]) -> object:
    """The value that all of these have, None if they differ or one is no plain data."""
    found = [plain_value(value) for value in values]
    return found[0] if found and all(one == found[0] for one in found) else None
