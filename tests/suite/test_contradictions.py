"""Cases that no prompt can satisfy at once."""

from __future__ import annotations

import pytest

from pytest_gepa.suite.contradictions import find_contradictions
from pytest_gepa.suite.rollout import Case

ROUTE = "def test_route(text, queue):\n    assert route(text) == queue, text"


def case(number: int, source: str = ROUTE, **parameters: object) -> Case:
    shown = tuple((name, repr(value)) for name, value in parameters.items())
    return Case(f"test_a.py::test_route[{number}]", f"test_route[{number}]", source, shown)


def test_alike_inputs_with_different_expected_values_contradict():
    found = find_contradictions(
        [
            case(0, text="Where is my card?", queue="cards"),
            case(1, text="Where is my money?", queue="billing"),
            case(2, text="where is my  card", queue="support"),
        ]
    )
    assert len(found) == 1
    assert found[0].cases == ("test_a.py::test_route[0]", "test_a.py::test_route[2]")
    assert found[0].expected == ("queue = 'cards'", "queue = 'support'")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"text": "Same.", "queue": "a"}, {"text": "same", "queue": "a"}),
        ({"text": "It costs 1.5", "queue": "a"}, {"text": "It costs 15", "queue": "b"}),
        ({"text": "-3", "queue": "a"}, {"text": "3", "queue": "b"}),
        ({"text": "Same", "queue": "a", "lang": "en"}, {"text": "Same", "queue": "b", "lang": "de"}),
    ],
)
def test_others_do_not(first, second):
    assert not find_contradictions([case(0, **first), case(1, **second)])


def test_which_value_is_expected_is_not_guessed():
    source = "def test_route(kind, word):\n    assert route(kind, word) == f'{word}-{kind}'"
    assert not find_contradictions([case(0, source, kind="a", word="x"), case(1, source, kind="a", word="y")])
    assert not find_contradictions([case(0, "", text="a", queue="x"), case(1, "", text="a", queue="y")])


def test_a_note_is_neither_input_nor_expected():
    cases = [case(0, text="a", expected=1, why="so"), case(1, text="A", expected=2, why="or so")]
    assert len(find_contradictions(cases)) == 1


def test_the_members_of_a_record_are_looked_at():
    cases = [case(n, "", example={"input": "Hi!", "expected": n}) for n in range(2)]
    assert find_contradictions(cases)[0].expected == ("example.expected = 0", "example.expected = 1")
