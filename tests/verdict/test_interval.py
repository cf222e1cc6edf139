from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.verdict.interval import FEWEST_CHANGED, paired_interval, wilson
from pytest_gepa.verdict.signflip import sign_flip_p


def test_of_pass_and_fail_it_is_the_interval_of_agresti_and_min():
    fixed, broken, cases = 9, 2, 20
    b, c, n = fixed + 0.5, broken + 0.5, cases + 2
    center = (b - c) / n
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / n) / n
    assert paired_interval([1] * fixed + [-1] * broken + [0] * 9) == pytest.approx(
        (center - half, center + half), abs=1e-6
    )


def test_unequal_weights_count_for_fewer_cases():
    differences = [1, 0, -1, 0, 1, 0, 0, 1]
    equal = paired_interval(differences)
    assert paired_interval(differences, [3] * 8) == pytest.approx(equal)
    low, high = paired_interval(differences, [9, 1, 9, 1, 9, 1, 1, 9])
    assert high - low > equal[1] - equal[0]


def test_without_cases_anything_is_possible():
    assert paired_interval([]) == (-1.0, 1.0)


@given(st.lists(st.floats(-1, 1) | st.fractions(-1, 1), min_size=1, max_size=30))
def test_the_interval_lies_in_range_around_the_shrunken_mean_and_has_a_width(differences):
    low, high = paired_interval(differences)
    assert -1 <= low < high <= 1
    assert low <= float(sum(map(Fraction, differences))) / (len(differences) + 2) <= high


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_interval_of_the_other_side_is_its_mirror_image(differences):
    low, high = paired_interval(differences)
    assert paired_interval([-difference for difference in differences]) == pytest.approx((-high, -low))


def test_more_cases_make_it_narrower():
    widths = [high - low for low, high in (paired_interval([1, 0, 0, -1, 1] * times) for times in (1, 4, 16))]
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ((1, 0, -1), (0.3, 0.6, 0.1)),
        ((1, 0, -1), (0.1, 0.8, 0.1)),
        ((1, 0, -1), (0.7, 0.25, 0.05)),
        ((1, 2 / 3, 1 / 3, 0, -1 / 3, -1), (0.1, 0.2, 0.2, 0.3, 0.15, 0.05)),
    ],
)
@pytest.mark.parametrize("cases", [10, 20, 50])
def test_it_covers_the_true_mean_as_often_as_it_says(values, weights, cases):
    source = random.Random(f"{values}{weights}{cases}")
    mean = sum(value * weight for value, weight in zip(values, weights, strict=True))
    intervals = [paired_interval(source.choices(values, weights, k=cases)) for _ in range(2_000)]
    covered = sum(low <= mean <= high for low, high in intervals) / len(intervals)
    assert 0.93 <= covered <= 0.99


# Graded differences


HUNDREDTHS = st.integers(-100, 100).map(lambda points: Fraction(points, 100))
GRADED = st.lists(st.tuples(HUNDREDTHS, st.integers(1, 3)), min_size=1, max_size=16)


@given(GRADED)
def test_of_graded_differences_0_lies_outside_exactly_where_the_test_rejects_it(rows):
    if sum(difference != 0 for difference, _ in rows) < FEWEST_CHANGED:
        return
    differences, weights = zip(*rows, strict=True)
    low, high = paired_interval(differences, weights, is_graded=True)
    p_value = sign_flip_p([weight * difference for difference, weight in rows])
    if len(rows) <= 13 or abs(p_value - 0.05) > 0.01:  # else the subsets are random ones
        assert (not low <= 0 <= high) == (p_value < 0.05)


@given(GRADED)
def test_the_graded_interval_lies_in_range_around_the_mean_and_mirrors_that_of_the_other_side(rows):
    differences, weights = zip(*rows, strict=True)
    low, high = paired_interval(differences, weights, is_graded=True)
    assert -1 <= low <= high <= 1
    assert low < high or sum(differences) == 0
    if sum(difference != 0 for difference in differences) < FEWEST_CHANGED:
        assert (low, high) == paired_interval(differences, weights)
        return
    mean = sum(weight * difference for difference, weight in rows) / sum(weights)
    assert low <= float(mean) + 1e-9
    assert float(mean) - 1e-9 <= high
    if len(rows) <= 13:
        other = paired_interval([-difference for difference in differences], weights, is_graded=True)
        assert other == pytest.approx((-high, -low))


def test_the_graded_interval_has_the_scale_of_the_differences():
    differences = [0.3, -0.1, 0.2, 0.25, 0.0, 0.4, 0.15, -0.05, 0.3]
    low, high = paired_interval(differences, is_graded=True)
    small = paired_interval([difference / 10 for difference in differences], is_graded=True)
    assert small == pytest.approx((low / 10, high / 10))


def test_where_every_graded_case_agrees_the_interval_is_narrower_the_more_there_are():
    intervals = [paired_interval([0.08] * number, is_graded=True) for number in (6, 12, 40)]
    assert all(0 < low < 0.08 < high for low, high in intervals)
    widths = [high - low for low, high in intervals]
    assert widths == sorted(widths, reverse=True)


def test_what_few_graded_cases_show_says_little_of_others():
    few = [0.01] * (FEWEST_CHANGED - 1) + [0.0] * 20
    assert paired_interval(few, is_graded=True) == paired_interval(few)


def noisy(source: random.Random, effect: float) -> float:
    """The difference of two means of three noisy scores."""
    before, after = (sum(source.gauss(mean, 0.15) for _ in "abc") / 3 for mean in (0.0, effect))
    return after - before


def uneven(source: random.Random, effect: float) -> float:
    """A case gains much or loses a little, beside its noise."""
    return noisy(source, effect + source.choice((0.1, -0.1)))


def steady(source: random.Random, effect: float) -> float:
    """Two cases of five can gain, without any noise, and so do by a tenth or a fifth."""
    return source.choice((0, 0, 0, 0.1, 0.2)) * effect / 0.06


@pytest.mark.parametrize("draw", [noisy, uneven, steady])
@pytest.mark.parametrize("effect", [0.0, 0.08])
@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize(("cases", "runs"), [(8, 800), (12, 300), pytest.param(30, 150, marks=pytest.mark.thorough)])
def test_the_graded_interval_covers_the_true_mean_as_often_as_it_says(draw, effect, is_weighted, cases, runs):
    source = random.Random(f"{draw.__name__}{effect}{is_weighted}{cases}")
    covered = 0
    for _ in range(runs):
        weights = [source.choice((1, 1, 2, 3)) if is_weighted else 1 for _ in range(cases)]
        low, high = paired_interval([draw(source, effect) for _ in weights], weights, is_graded=True)
        covered += low <= effect <= high
    assert covered / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs) - 0.01


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_of_a_share_it_is_the_interval_of_wilson(hits, number, low, high):
    # Newcombe (1998, Statistics in Medicine 17, 857-872), table I, method 3.
    assert wilson(hits, number) == pytest.approx((low, high), abs=5e-5)


def test_without_trials_any_share_is_possible():
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 10_000).flatmap(lambda number: st.tuples(st.integers(0, number), st.just(number))))
def test_the_interval_of_a_share_lies_in_range_around_it_and_mirrors_that_of_the_rest(trials):
    hits, number = trials
    low, high = wilson(hits, number)
    assert 0 <= low <= hits / number <= high <= 1
    assert low < high
    assert wilson(number - hits, number) == pytest.approx((1 - high, 1 - low))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(2, 20))
def test_more_trials_of_the_same_share_make_it_narrower(hits, misses, times):
    (low, high), (low_of_more, high_of_more) = (
        wilson(hits * factor, (hits + misses) * factor) for factor in (1, times)
    )
    assert low < low_of_more < high_of_more < high
