from __future__ import annotations

import itertools
import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.verdict.signflip import sign_flip_p

RATIONALS = st.lists(st.integers(-12, 12).map(lambda n: Fraction(n, 12)), max_size=9)


def enumerated_p(differences: list[Fraction]) -> float:
    observed = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    extreme = sum(
        abs(sum(sign * difference for sign, difference in zip(signs, differences, strict=True))) >= observed
        for signs in patterns
    )
    return extreme / len(patterns)


@given(RATIONALS)
def test_p_is_the_share_of_all_sign_patterns_that_are_as_extreme(differences):
    assert sign_flip_p(differences) == enumerated_p(differences)


@given(st.lists(st.fractions(-1, 1, max_denominator=19), max_size=2).map(lambda pair: pair * 4))
def test_p_is_exact_for_any_small_common_denominator(differences):
    assert sign_flip_p(differences) == enumerated_p(differences)


@given(RATIONALS, st.integers(0, 5))
def test_zeros_change_nothing(differences, zeros):
    assert sign_flip_p([*differences, *[Fraction()] * zeros]) == sign_flip_p(differences)


@given(RATIONALS, st.randoms(use_true_random=False))
def test_neither_order_nor_side_matters(differences, shuffler):
    shuffled = list(differences)
    shuffler.shuffle(shuffled)
    assert sign_flip_p(shuffled) == sign_flip_p([-difference for difference in differences])


@given(RATIONALS)
def test_floats_stand_for_the_fractions_they_come_from(differences):
    assert sign_flip_p([float(difference) for difference in differences]) == sign_flip_p(differences)


@pytest.mark.parametrize("differences", [[], [0.0], [0, 0, 0], [1, -1], [0.5, 0.25, -0.75]])
def test_without_a_mean_there_is_no_evidence(differences):
    assert sign_flip_p(differences) == 1.0


@pytest.mark.parametrize(("fixed", "p"), [(1, 1.0), (5, 0.0625), (6, 0.03125), (10, 2 / 1024)])
def test_cases_that_all_gain_halve_p_each(fixed, p):
    assert sign_flip_p([1] * fixed) == p


def test_a_thousand_cases_are_judged_exactly():
    assert sign_flip_p([Fraction(1)] * 1_000) == 2.0**-999
    fixed, broken = 540, 460
    exact = 2 * sum(math.comb(1_000, k) for k in range(broken + 1)) / 2**1_000
    assert sign_flip_p([Fraction(1)] * fixed + [Fraction(-1)] * broken) == pytest.approx(exact, rel=1e-12)


def test_differences_without_a_small_denominator_are_sampled_from_the_seed():
    source = random.Random(5)
    differences = [source.uniform(-1, 1) + 0.3 for _ in range(12)]
    exact = enumerated_p([Fraction(difference) for difference in differences])
    sampled = sign_flip_p(differences, seed=1, draws=20_000)
    assert sampled == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert sampled == sign_flip_p(differences, seed=1, draws=20_000)
    assert sampled != sign_flip_p(differences, seed=2, draws=20_000)


def test_fractions_without_a_small_common_denominator_are_sampled_too():
    differences = [Fraction(1, 97), Fraction(1, 89), Fraction(-1, 300)] * 3
    exact = enumerated_p(differences)
    assert sign_flip_p(differences, draws=20_000) == pytest.approx(exact, abs=0.015)


def test_a_sampled_p_is_never_zero():
    differences = [math.pi / 10 + at / 1_000 for at in range(40)]
    assert sign_flip_p(differences, draws=999) == 0.001


def test_more_cases_than_can_be_counted_exactly_are_sampled():
    source = random.Random(3)
    differences = [Fraction(source.randint(-360, 360), 360) for _ in range(1_000)]
    deviation = math.sqrt(sum(float(difference) ** 2 for difference in differences))
    normal = math.erfc(abs(float(sum(differences))) / deviation / math.sqrt(2))
    assert sign_flip_p(differences, draws=4_000) == pytest.approx(normal, abs=0.03)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_difference_must_be_a_number(bad):
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p([0.5, bad])


def test_under_the_null_p_is_small_no_more_often_than_it_says():
    source = random.Random(11)
    values = [-1, -Fraction(2, 3), -Fraction(1, 3), 0, 0, Fraction(1, 3), Fraction(2, 3), 1]
    ps = [sign_flip_p([source.choice(values) for _ in range(20)]) for _ in range(2_000)]
    for alpha in (0.01, 0.05, 0.2):
        assert sum(p <= alpha for p in ps) / len(ps) <= alpha + 3 * math.sqrt(alpha / len(ps))
