"""How much of a value is not as expected: the parts of two values that differ, counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

MOST = 10_000
"""Differences are counted so far, and so many parts are looked at."""

DEPTH = 50
"""Values are taken apart so deep; one may hold itself."""


def count_differences(left: object, right: object) -> int:
    """Return how many parts of two values differ, 0 to `MOST`: entries of mappings, items of sequences and sets, fields
    of objects of one class. What is missing counts with all of its parts. Texts and numbers are parts themselves.
    """
    return min(MOST, _Count().differences(left, right, DEPTH))


class _Count:
    def __init__(self) -> None:
        self._left = MOST

    def differences(self, left: object, right: object, depth: int) -> int:
        self._left -= 1
        if left is right or self._left < 0:
            return 0
        if isinstance(left, (set, frozenset)) and isinstance(right, (set, frozenset)):
            return len(left ^ right)
        ours, theirs = _parts(left), _parts(right)
        if not depth or (ours is None and theirs is None):
            return 0 if _is_equal(left, right) else 1
        # What tells equality in its own way, as `pytest.approx` does, is asked.
        if (_tells_equality(left) or _tells_equality(right)) and _is_equal(left, right):
            return 0
        if ours is None or theirs is None or _kind(left) is not _kind(right):
            return max(self._size(left, depth), self._size(right, depth))
        found = 0
        for name in {**ours, **theirs}:
            if name in ours and name in theirs:
                found += self.differences(ours[name], theirs[name], depth - 1)
            else:
                found += self._size(ours[name] if name in ours else theirs[name], depth - 1)
        return found

    def _size(self, value: object, depth: int) -> int:
        """How many parts a value has in all, at least one."""
        self._left -= 1
        parts = _parts(value)
        if not parts or not depth or self._left < 0:
            return 1
        return sum(self._size(part, depth - 1) for part in parts.values())


def _parts(value: object) -> Mapping[Any, object] | None:
    """The parts of a value by name or place; None for one that is a part itself."""
    if isinstance(value, dict):
        return value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        return {name: getattr(value, name, None) for name in names}
    own = getattr(value, "__dict__", None)
    return own if isinstance(own, dict) and own and not isinstance(value, type) else None


def _tells_equality(value: object) -> bool:
    kind = type(value)
    return kind.__eq__ not in (object.__eq__, dict.__eq__, list.__eq__, tuple.__eq__)


def _kind(value: object) -> type:
    """What a value must share with another to be compared part by part."""
    for kind in (dict, list, tuple):
        if isinstance(value, kind):
            return kind
    return type(value)


def _is_equal(left: object, right: object) -> bool:
    try:
        return bool(left == right)
    except Exception:  # an array, for one, is neither true nor false
        return False
