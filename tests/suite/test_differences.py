"""How many parts of two values differ."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.suite.differences import MOST, count_differences

Point = namedtuple("Point", "x y")


@dataclass
class Invoice:
    number: str
    lines: list[int]
    seen: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("a", "b")
    a: int
    b: int


class Plain:
    def __init__(self, **fields: object) -> None:
        vars(self).update(fields)


class Alike(Plain):
    """One that is equal to others, whatever it has kept."""

    def __init__(self, cached: int) -> None:
        super().__init__(cached=cached)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike)

    __hash__ = None  # type: ignore[assignment]


class Vague:
    """As an array: its comparison is neither true nor false."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a", "a", 0),
        ("a", "b", 1),
        (1, True, 0),
        (None, "b", 1),
        ({}, {}, 0),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 1),
        ({"a": 1}, {"a": 1, "b": 2}, 1),
        ({"a": 1, "x": 9}, {"a": 1, "b": 2}, 2),
        ({}, {"a": 1, "b": {"c": 2, "d": 3}}, 3),
        (None, {"a": 1, "b": {"c": 2, "d": 3}}, 3),
        ({"a": 1, "b": 2}, "text", 2),
        (["x", "y"], ["x", "z"], 1),
        (["x"], ["x", {"a": 1, "b": 2}], 2),
        ([], {}, 1),
        (("x", "y"), ["x", "y"], 2),
        ({"a", "b"}, {"b", "c"}, 2),
        (Point(1, 2), (1, 3), 1),
        (Invoice("1", [1, 2], seen=1), Invoice("1", [1, 3], seen=2), 1),
        (Slotted(1, 2), Slotted(2, 3), 2),
        (Plain(a=1, b=2), Plain(a=1, b=3), 1),
        (Plain(a=1), Invoice("1", [1, 2]), 3),
        ([Vague()], [Vague()], 1),
        ({"price": 3.0, "name": "y"}, {"price": pytest.approx(3.0), "name": "x"}, 1),
        ({"price": 3.0, "name": "x"}, {"price": pytest.approx(3.0), "name": "x"}, 0),
        (Alike(1), Alike(2), 0),
    ],
)
def test_what_differs_is_counted_part_by_part(left: object, right: object, expected: int) -> None:
    assert count_differences(left, right) == expected
    assert count_differences(right, left) == expected


def test_values_without_an_end_are_counted_as_far_as_they_go() -> None:
    ours: list[object] = []
    theirs: list[object] = []
    ours.append(ours)
    theirs.append(theirs)
    assert 0 < count_differences(ours, [*theirs, 1]) <= MOST
    assert count_differences([0] * 3 * MOST, [1] * 3 * MOST) == MOST - 1


values = st.recursive(
    st.none() | st.integers(0, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=12,
)


@given(values, values)
def test_equal_values_and_no_others_differ_in_nothing(left: object, right: object) -> None:
    assert (count_differences(left, right) == 0) is (left == right)
    assert count_differences(left, right) == count_differences(right, left)


@given(st.dictionaries(st.text(max_size=2), values, min_size=1, max_size=4))
def test_each_entry_that_is_put_right_makes_the_difference_smaller(right: dict[str, object]) -> None:
    given: dict[str, object] = {}
    counts = [count_differences(given, right)]
    for name, value in right.items():
        given[name] = value
        counts.append(count_differences(given, right))
    assert counts == sorted(set(counts), reverse=True)
    assert counts[-1] == 0
