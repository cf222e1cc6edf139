"""Holm's correction."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.verdict.holm import holm, holm_verdicts
from pytest_gepa.verdict.judge import NOT_PROVEN, PROVEN, WORSE, CaseScore, Verdict, judge

p_lists = st.lists(st.floats(0, 1), max_size=6)


def closed(p_values: list[float], alpha: float) -> set[int]:
    """What a closed test with Bonferroni's bound rejects: an index of which every set that holds it is rejected."""
    every = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(every, size)]
    kept = [chosen for chosen in sets if min(p_values[at] for at in chosen) * len(chosen) > alpha]
    return {at for at in every if not any(at in chosen for chosen in kept)}


def test_an_example_worked_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.04]) == (0.04,)


@given(p_lists, st.sampled_from([0.01, 0.05, 0.3]))
def test_it_rejects_what_the_closed_test_rejects(p_values: list[float], alpha: float):
    assert {at for at, p_value in enumerate(holm(p_values)) if p_value <= alpha} == closed(p_values, alpha)


@given(p_lists, st.randoms(use_true_random=False))
def test_the_order_in_which_they_are_given_does_not_matter(p_values: list[float], source: random.Random):
    order = list(range(len(p_values)))
    source.shuffle(order)
    assert holm([p_values[at] for at in order]) == tuple(holm(p_values)[at] for at in order)


def confirmed(fixed: int, broken: int) -> Verdict:
    sides = [(0.0, 1.0)] * fixed + [(1.0, 0.0)] * broken + [(1.0, 1.0)] * (12 - fixed - broken)
    return judge([CaseScore(f"c{at}", (seed,), (winner,)) for at, (seed, winner) in enumerate(sides)])


def test_a_gain_that_is_proven_alone_is_not_among_several():
    alone = confirmed(6, 0)
    assert (alone.kind, alone.p_value) == (PROVEN, 2 / 2**6)
    assert holm_verdicts([alone]) == (alone,)
    first, second, third = holm_verdicts([alone, confirmed(9, 0), confirmed(1, 10)])
    assert (first.kind, first.p_value, first.effect) == (PROVEN, 2 / 2**6, alone.effect)
    assert (second.kind, second.p_value) == (PROVEN, 3 * 2 / 2**9)
    assert third.kind == WORSE
    weaker, other = holm_verdicts([alone, confirmed(5, 0)])
    assert (weaker.kind, weaker.p_value, other.kind) == (NOT_PROVEN, 4 / 2**6, NOT_PROVEN)
