"""How far a test got before it failed: where it stopped, in which turn of its loops, and how much was not equal."""

from __future__ import annotations

import ast
import linecache
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

import pytest

from pytest_gepa.prompts.python_source import parse_module
from pytest_gepa.suite.differences import MOST, count_differences
from pytest_gepa.suite.pytest_internals import raised

REWRITTEN = "@pytest_ar"
"""A global name of every module whose assertions pytest has rewritten: tests, and modules that hold checks for them."""

LAST = 10**9
"""Follows the last function: what it failed by itself comes after what it called for that."""

MOST_FRAMES = 50
MOST_TURNS = 100_000
_SEQUENCES = (list, tuple, range, str)
_BEFORE = -1
"""The turn of a loop that has not begun."""

_UNKNOWN = object()
_ORDERS: Mapping[str, Callable[..., Iterable[object]]] = {
    "enumerate": enumerate,
    "list": list,
    "reversed": reversed,
    "sorted": sorted,
    "tuple": tuple,
    "zip": zip,
}

Loop = ast.For | ast.AsyncFor


class Reach:
    """A plugin that notes it for one case at a time, from `begin` on.

    Of two failures of one test, the one whose `reached` is greater has got further. It has, for each function of the
    tests that the failure went through, the lines and turns of the loops that it was in, and the line where it left,
    counted from the function's first; then `LAST`, and how many parts of the compared values differed, below
    zero, as far as that is known. () when nothing has failed.
    """

    def __init__(self) -> None:
        self._loops: dict[str, list[Loop]] = {}
        self.begin()

    def begin(self) -> None:
        """Forget the case before."""
        self.reached: tuple[int, ...] = ()
        self._differences = MOST

    @pytest.hookimpl(tryfirst=True)
    def pytest_assertrepr_compare(self, op: str, left: object, right: object) -> None:
        """Look at what was compared last: it is what the assertion failed by, if it was one."""
        try:
            self._differences = count_differences(left, right) if op == "==" else MOST
        except Exception:  # what values do when they are looked at is theirs
            self._differences = MOST

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Look at where the test's own phase has failed."""
        error = raised(item, call) if call.when == "call" else None
        if error is None:
            return
        places: list[int] = []
        for frame, line, end in _frames_of_tests(error.__traceback__, item.path.name):
            # Of two functions that a line calls, the one that is called inside of the other ends first.
            places += [*self._place(frame, line), *end]
        compared = self._differences if isinstance(error, AssertionError) else MOST
        self.reached = (*places, LAST, -compared) if places else ()

    def _place(self, frame: FrameType, line: int) -> list[int]:
        first = frame.f_code.co_firstlineno
        found: list[int] = []
        for loop in self._loops_of(frame):
            if first <= loop.lineno and loop.body[0].lineno <= line <= (loop.body[-1].end_lineno or 0):
                found += [loop.lineno - first, turn_of(loop, {**frame.f_globals, **frame.f_locals})]
            elif first <= loop.lineno <= line < loop.body[0].lineno:
                found += [loop.lineno - first, _BEFORE]  # what it goes over could not be made
        return [*found, line - first]

    def _loops_of(self, frame: FrameType) -> list[Loop]:
        """The loops of a frame's file, outer ones first."""
        file = frame.f_code.co_filename
        if file not in self._loops:
            source = "".join(linecache.getlines(file, frame.f_globals))
            tree = parse_module(source) or ast.Module([], [])
            loops = (node for node in ast.walk(tree) if isinstance(node, (ast.For, ast.AsyncFor)))
            self._loops[file] = sorted(loops, key=lambda loop: loop.lineno)
        return self._loops[file]


def _frames_of_tests(traceback: TracebackType | None, file: str) -> Iterator[tuple[FrameType, int, tuple[int, ...]]]:
    """The frames of the test's own file and of modules with checks, from the test inwards, with their lines and, where
    they have called another function, the place where that call ends.
    """
    is_inside, left = False, MOST_FRAMES
    while traceback is not None and left:
        frame = traceback.tb_frame
        # A path of its own leads there where a directory is linked.
        is_own = os.path.basename(frame.f_code.co_filename) == file
        is_inside = is_inside or is_own
        if is_own or (is_inside and REWRITTEN in frame.f_globals):
            is_called = traceback.tb_next is not None
            yield frame, traceback.tb_lineno, _end_of_call(traceback) if is_called else ()
            left -= 1
        traceback = traceback.tb_next


def _end_of_call(traceback: TracebackType) -> tuple[int, int]:
    """The line, from the function's first, and the column at which the expression under way ends; zeros before Python
    3.11, which does not tell.
    """
    code = traceback.tb_frame.f_code
    if not hasattr(code, "co_positions"):
        return 0, 0
    _, line, _, column = next(islice(code.co_positions(), traceback.tb_lasti // 2, None), (None,) * 4)
    return (line or code.co_firstlineno) - code.co_firstlineno, column or 0


def turn_of(loop: Loop, names: Mapping[str, Any]) -> int:
    """Return the turn that a loop is in, from 0, as the values of its variables tell; 0 where they do not.

    What the loop goes over is looked up, not made again: to make it may be to ask a model.
    """
    try:
        current, values = _current(loop.target, names), _values(loop.iter, names)
        values = tuple(values) if type(values) is dict else values
        # A variable that the loop itself sets tells nothing.
        if current is _UNKNOWN or type(values) not in _SEQUENCES or _is_set_inside(loop):
            return 0
        rows = isinstance(loop.target, (ast.Tuple, ast.List))
        for turn, value in enumerate(islice(values, MOST_TURNS)):
            if value is current or (tuple(value) if rows else value) == current:
                return turn
        return 0
    except Exception:  # values that do not compare, say
        return 0


def _is_set_inside(loop: Loop) -> bool:
    targets = {node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)}
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in targets
        for statement in loop.body
        for node in ast.walk(statement)
    )


def _current(target: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(target, ast.Name):
        return names.get(target.id, _UNKNOWN)
    if isinstance(target, (ast.Tuple, ast.List)):
        found = tuple(_current(part, names) for part in target.elts)
        return _UNKNOWN if any(part is _UNKNOWN for part in found) else found
    return _UNKNOWN


def _values(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """What an expression stands for, as far as it can be told without running code of the test; else `_UNKNOWN`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return names.get(node.id, _UNKNOWN)
    if isinstance(node, (ast.Tuple, ast.List)):
        parts = [_values(part, names) for part in node.elts]
        return parts if isinstance(node, ast.List) else tuple(parts)
    if isinstance(node, ast.Dict):
        keys = [_UNKNOWN if key is None else _values(key, names) for key in node.keys]
        values = [_values(value, names) for value in node.values]
        return dict(zip(keys, values, strict=True))
    if isinstance(node, ast.Attribute):
        return vars(_values(node.value, names)).get(node.attr, _UNKNOWN)
    if isinstance(node, ast.Subscript):
        container = _values(node.value, names)
        known = type(container) in (dict, list, tuple)
        return container[_values(node.slice, names)] if known else _UNKNOWN
    return _called(node, names) if isinstance(node, ast.Call) else _UNKNOWN


def _called(node: ast.Call, names: Mapping[str, Any]) -> Any:
    """The views of a dictionary, and what Python itself makes of sequences."""
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in ("items", "keys", "values"):
        owner = _values(function.value, names)
        return tuple(getattr(dict, function.attr)(owner)) if isinstance(owner, dict) else _UNKNOWN
    if not isinstance(function, ast.Name) or function.id in names:
        return _UNKNOWN
    given = [_values(argument, names) for argument in node.args]
    named = {word.arg: _values(word.value, names) for word in node.keywords if word.arg}
    if function.id == "range":
        return range(*given)
    # An order of the test's own (`key=`) is its code, and a generator can be gone through only once.
    if not all(map(_is_plain, (*given, *named.values()))):
        return _UNKNOWN
    if function.id == "len":
        return len(*given)
    return tuple(_ORDERS[function.id](*given, **named))


def _is_plain(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, (dict, list, range, str, tuple)) and len(value) <= MOST_TURNS)
