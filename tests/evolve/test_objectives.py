from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.evolve.objectives import (
    SAVINGS,
    Measured,
    Outlay,
    beats,
    known_savings,
    objective_means,
    objective_names,
    outlay,
    takes_less,
    takes_over,
)
from pytest_gepa.evolve.tasks import CaseResult


def result(uses: tuple[str, ...] = ("a",), **changes: object) -> CaseResult:
    return CaseResult(0.5, uses, **changes)  # type: ignore[arg-type]


def test_one_named_score_says_nothing_new() -> None:
    assert objective_names([result(objectives={"form": 1.0})]) == ()
    assert objective_names([result(objectives={"form": 1.0}), result(objectives={"fact": 0.0})]) == (
        "fact",
        "form",
    )


def test_the_mean_of_a_named_score_takes_the_seeds_value_where_the_candidate_gave_none() -> None:
    seed = {"1": result(objectives={"form": 0.2}), "2": result(objectives={"form": 0.6}), "3": result()}
    own = {"1": result(objectives={"form": 1.0}), "2": result(), "3": result(objectives={"form": 0.0})}
    assert objective_means(["form"], seed, own) == [pytest.approx(0.8)]


def test_the_time_of_answers_from_the_cache_is_not_known() -> None:
    timed, cached, modelless = (
        result(seconds=2.0, tokens=10),
        result(tokens=30),
        result(uses=(), seconds=9.0, tokens=99),
    )
    assert outlay(7, [timed, timed, cached, modelless]) == Outlay(7, 2.0, pytest.approx(50 / 3))
    assert outlay(7, [timed, cached]) == Outlay(7, None, 20)
    assert outlay(7, []) == Outlay(7, None, None)


def test_a_price_that_is_not_known_is_no_objective() -> None:
    priced, unpriced = result(usd=0.002, tokens=10), result(tokens=10)
    assert known_savings([priced, priced, unpriced]) == ("characters", "tokens", "usd")
    assert known_savings([priced, unpriced]) == ("characters", "tokens")
    assert outlay(7, [priced, priced]).usd == pytest.approx(0.002)


def measured(mean: float = 0.5, characters: int = 100, **values: list[float]) -> Measured:
    """A candidate with these seconds, tokens or prices on the cases 0, 1, ..."""
    count = max((len(column) for column in values.values()), default=0)
    results = {str(case): result(**{name: column[case] for name, column in values.items()}) for case in range(count)}
    return Measured(mean, characters, results)


@pytest.mark.parametrize("name", ["seconds", "tokens", "usd"])
def test_less_is_less_on_most_cases_and_by_a_tenth(name: str) -> None:
    def of(*values: float) -> Measured:
        return measured(**{name: list(values)})

    usual = of(*[10.0] * 8)
    assert takes_less(name, of(*[7.0] * 8), usual)
    assert not takes_less(name, usual, of(*[7.0] * 8))
    assert not takes_less(name, of(*[9.5] * 8), usual)
    # One slow answer is not a difference, however slow.
    assert not takes_less(name, of(*[10.0] * 8), of(*[10.0] * 7, 900.0))
    # Neither are a few cases.
    assert not takes_less(name, of(*[7.0] * 5), of(*[10.0] * 5))


def test_only_cases_known_of_both_are_compared() -> None:
    one = Measured(0.5, 1, {str(case): result(seconds=1.0) for case in range(6)})
    other = Measured(0.5, 1, {str(case): result(seconds=9.0 if case < 6 else 0.1) for case in range(600)})
    assert takes_less("seconds", one, other)
    unknown = {str(case): result(seconds=9.0 if case < 6 else None) for case in range(12)}
    many = Measured(0.5, 1, {str(case): result(seconds=1.0) for case in range(12)})
    assert not takes_less("seconds", many, Measured(0.5, 1, unknown))


def test_noise_of_the_same_latency_seldom_looks_like_a_saving() -> None:
    draw = random.Random(7)

    def noisy() -> Measured:
        return measured(seconds=[draw.lognormvariate(0.0, 0.6) for _ in range(30)])

    found = sum(takes_less("seconds", noisy(), noisy()) for _ in range(400))
    assert 0 < found <= 20  # 2.5 % on either side are what the test lets pass


def test_where_chance_cannot_tell_the_better_one_takes_the_place() -> None:
    worse, better = measured(0.5, seconds=[1.0] * 8), measured(0.6, seconds=[1.02] * 8)
    assert takes_over("seconds", better, worse)
    assert not takes_over("seconds", worse, better)
    assert takes_over("seconds", measured(0.5, seconds=[0.5] * 8), better)


def test_what_is_as_good_and_takes_less_beats() -> None:
    assert beats(measured(0.8, 90), measured(0.8, 100))
    assert beats(measured(0.9, 100), measured(0.8, 100))
    assert not beats(measured(0.9, 101), measured(0.8, 100))
    assert not beats(measured(0.8, 100), measured(0.8, 100))
    assert not beats(measured(0.8, 90, tokens=[20.0] * 8), measured(0.8, 100, tokens=[10.0] * 8))
    assert beats(measured(0.8, 100, usd=[0.1] * 8), measured(0.8, 100, usd=[0.2] * 8))


sides = st.builds(
    lambda mean, length, seconds, usd: measured(mean, length, seconds=seconds, usd=usd),
    st.sampled_from([0.5, 0.7]),
    st.integers(1, 3),
    *[st.lists(st.sampled_from([1.0, 2.0, 4.0]), min_size=8, max_size=8)] * 2,
)


@given(sides, sides)
def test_of_two_candidates_at_most_one_beats_the_other_and_one_can_hold_a_place(one: Measured, other: Measured) -> None:
    assert not (beats(one, other) and beats(other, one))
    for name in SAVINGS:
        assert not (takes_less(name, one, other) and takes_less(name, other, one))
        assert takes_over(name, one, other) or takes_over(name, other, one)
