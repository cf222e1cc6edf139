from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.budget import Budget


def test_what_was_reserved_and_not_charged_comes_back() -> None:
    budget = Budget(10)
    assert budget.reserve(8)
    assert budget.remaining == 2
    budget.settle(8, 3)
    assert (budget.spent, budget.remaining) == (3, 7)


def test_a_reservation_that_does_not_fit_changes_nothing() -> None:
    budget = Budget(5)
    assert not budget.reserve(6)
    assert budget.remaining == 5


@pytest.mark.parametrize(("reserved", "charged"), [(2, 3), (5, 1), (2, -1)])
def test_nothing_is_settled_that_was_not_reserved(reserved: int, charged: int) -> None:
    budget = Budget(10)
    budget.reserve(4)
    with pytest.raises(ValueError, match="cannot settle"):
        budget.settle(reserved, charged)
    assert (budget.spent, budget.reserved) == (0, 4)


def test_what_is_granted_may_be_reserved_too() -> None:
    budget = Budget(5)
    assert budget.reserve(4)
    budget.grant(3)
    assert (budget.limit, budget.remaining) == (8, 4)
    assert budget.reserve(4)
    assert not budget.reserve(1)
    with pytest.raises(ValueError, match="granted"):
        budget.grant(-1)


def test_neither_the_limit_nor_a_reservation_is_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        Budget(-1)
    with pytest.raises(ValueError, match="negative"):
        Budget(1).reserve(-1)


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 10), st.floats(0, 1), st.booleans())))
def test_no_order_of_reserving_and_settling_exceeds_the_limit(limit: int, steps: list[tuple[int, float, bool]]) -> None:
    budget = Budget(limit)
    spent = 0
    held: list[int] = []
    for rollouts, share, settles in steps:
        if budget.reserve(rollouts):
            held.append(rollouts)
        if settles and held:
            reserved = held.pop(0)
            charged = int(share * reserved)
            budget.settle(reserved, charged)
            spent += charged
        assert (budget.spent, budget.reserved) == (spent, sum(held))
        assert budget.remaining == limit - spent - sum(held) >= 0
