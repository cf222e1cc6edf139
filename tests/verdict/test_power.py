"""What a suite can prove."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gepa.verdict import power
from pytest_gepa.verdict.judge import LEAST_CHANGE, NOT_PROVEN, PROVEN, CaseScore, Verdict, judge, least_gain
from pytest_gepa.verdict.power import ProvableGain, SeenCase, least_effect, provable_gain

FAILS, PASSES, FLAKY = (0.0, 0.0), (1.0, 1.0), (0.0, 1.0)


def suite(failing: int, passing: int, flaky: int = 0, trials: int = 3) -> list[SeenCase]:
    groups = ((failing, FAILS), (passing, PASSES), (flaky, FLAKY))
    return [SeenCase(scores, trials) for number, scores in groups for _ in range(number)]


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4))
def test_where_nothing_is_flaky_the_least_gain_that_can_be_proven_always_is(failing: int, passing: int, trials: int):
    found = provable_gain(suite(failing, passing, trials=trials), runs=5)
    least = least_gain(failing)
    assert found == (None if least is None else ProvableGain(least, least / (failing + passing), 1.0))


def test_the_more_is_flaky_the_larger_the_gain_must_be():
    steady, some, all_flaky = (provable_gain(suite(20 - n, 0, n)) for n in (0, 6, 20))
    assert steady is not None
    assert some is not None
    assert all_flaky is not None
    assert steady.cases < some.cases < all_flaky.cases
    assert min(some.power, all_flaky.power) >= 0.8


def test_more_trials_prove_a_smaller_gain():
    one, five = (provable_gain(suite(10, 10, 20, trials)) for trials in (1, 5))
    assert one is not None
    assert five is not None
    assert five.points < one.points


def test_the_share_is_that_of_the_verdicts_own_test():
    cases = suite(8, 6, 6, trials=3)
    found = provable_gain(cases, runs=2000)
    assert found is not None
    source = random.Random(5)

    def side(case: SeenCase) -> tuple[float, ...]:
        return tuple(source.choice(case.scores) for _ in range(case.trials))

    proven, runs = 0, 1500
    for _ in range(runs):
        scores = [
            CaseScore(str(at), side(case), (1.0,) * 3 if at < found.cases else side(case))
            for at, case in enumerate(cases)
        ]
        proven += judge(scores).kind == PROVEN
    assert proven / runs == pytest.approx(found.power, abs=0.05)


def test_a_suite_that_can_prove_nothing_says_so():
    assert provable_gain(suite(5, 30)) is None
    assert provable_gain(suite(0, 30)) is None
    assert provable_gain([]) is None


def test_a_case_of_weight_counts_for_as_much():
    heavy = [SeenCase((0.0,), 1, 3.0), *(SeenCase((0.0,), 1) for _ in range(5)), SeenCase((1.0,), 1)]
    found = provable_gain(heavy)
    assert found is not None
    assert (found.cases, found.points) == (6, pytest.approx(8 / 9))


@pytest.mark.parametrize("score", [0.5, 0.8, 0.95])
def test_graded_scores_count_by_what_they_lack_and_the_verdict_agrees(score: float):
    found = provable_gain([SeenCase((score, score)) for _ in range(10)])
    assert found == ProvableGain(6, pytest.approx(0.6 * (1 - score)), 1.0)  # type: ignore[arg-type]

    def verdict(mended: int) -> str:
        after = [1.0] * mended + [score] * (10 - mended)
        return judge([CaseScore(str(at), (score,), (one,)) for at, one in enumerate(after)]).kind

    assert (verdict(6), verdict(5)) == (PROVEN, NOT_PROVEN)


def test_the_gain_of_noisy_graded_scores_is_the_share_of_confirm_runs_that_prove_it():
    seen = [SeenCase((0.5, 0.6, 0.7, 0.8, 0.9), 3) for _ in range(12)]
    found = provable_gain(seen, runs=1000)
    assert found is not None
    source, proven, runs = random.Random(8), 0, 600

    def side(case: SeenCase) -> tuple[float, ...]:
        return tuple(source.choices(case.scores, k=3))

    for _ in range(runs):
        scores = [
            CaseScore(str(at), side(case), (1.0,) * 3 if at < found.cases else side(case))
            for at, case in enumerate(seen)
        ]
        proven += judge(scores).kind == PROVEN
    assert proven / runs == pytest.approx(found.power, abs=0.06)


@pytest.mark.parametrize("failing", [6, 7, 12])
def test_the_more_candidates_are_judged_the_more_must_be_gained(failing: int):
    found = provable_gain(suite(failing, 4), candidates=3, runs=5)
    least = least_gain(failing, 0.05 / 3)
    assert least == (None if failing < 7 else 7)
    assert found == (None if least is None else ProvableGain(7, 7 / (failing + 4), 1.0, 3))


@settings(max_examples=15)
@given(
    st.lists(
        st.builds(
            SeenCase,
            st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=1, max_size=4).map(tuple),
            st.integers(1, 3),
            st.sampled_from([0.5, 1.0, 2.0]),
        ),
        max_size=30,
    )
)
def test_the_gain_can_be_had_and_the_same_cases_give_the_same_one(cases: list[SeenCase]):
    found = provable_gain(cases, runs=40)
    assert found == provable_gain(cases, runs=40)
    if found is not None:
        assert 1 <= found.cases <= sum(case.mean < 1 for case in cases)
        assert 0 < found.points <= 1
        assert found.power >= 0.8


def test_a_thousand_flaky_cases_are_judged_too():
    found = provable_gain([SeenCase(FLAKY, 3) for _ in range(1000)], runs=20)
    assert found is not None
    assert 0 < found.points < 0.2


def test_a_case_without_scores_is_refused():
    with pytest.raises(ValueError, match="says nothing about its flakiness"):
        provable_gain([SeenCase(())])


def test_cases_that_share_answers_prove_less():
    alone = [SeenCase((0.0,)) for _ in range(20)]
    tied = [SeenCase((0.0,), group=str(at // 4)) for at in range(20)]
    assert provable_gain(alone, runs=5) is not None
    assert provable_gain(tied, runs=5) is None  # five groups


def test_the_gain_of_groups_is_the_share_of_confirm_runs_that_prove_it():
    seen = [SeenCase(FLAKY, 3, group=str(at // 2)) for at in range(40)]
    found = provable_gain(seen, runs=400)
    assert found is not None
    source, proven = random.Random(3), 0

    def answers() -> list[list[float]]:
        return [source.choices(FLAKY, k=3) for _ in range(20)]

    for _ in range(300):
        before, after = answers(), answers()
        scores = [
            CaseScore(
                str(at),
                tuple(before[at // 2]),
                (1.0,) * 3 if at < found.cases else tuple(after[at // 2]),
                group=str(at // 2),
            )
            for at in range(40)
        ]
        proven += judge(scores).kind == PROVEN
    assert proven / 300 == pytest.approx(found.power, abs=0.08)


@pytest.mark.parametrize("trials", [1, 2, 3, 5])
@pytest.mark.parametrize("n_cases", [6, 9, 40])
def test_the_least_effect_is_proven_by_one_trial_of_six_cases_and_by_no_less(n_cases: int, trials: int):
    def found(better: int) -> Verdict:
        one = tuple(float(trial == 0) for trial in range(trials))
        none = (0.0,) * trials
        scores = [CaseScore(str(n), none, one if n < better else none) for n in range(n_cases)]
        return judge(scores)

    least = least_effect([SeenCase((0.0,), trials)] * n_cases)
    assert least == pytest.approx(6 / (trials * n_cases))
    assert (found(6).kind, found(6).effect) == (PROVEN, pytest.approx(least))
    assert found(5).kind == NOT_PROVEN


def test_the_least_effect_goes_by_groups_weights_grades_and_the_number_of_candidates():
    assert least_effect([SeenCase(())] * 5) is None
    assert least_effect([SeenCase((), group=str(n % 5)) for n in range(30)]) is None
    assert least_effect([SeenCase((), group=str(n % 6)) for n in range(30)]) == pytest.approx(6 / 30)
    heavy = [SeenCase((), weight=4.0)] * 4 + [SeenCase(())] * 6
    assert least_effect(heavy) == pytest.approx(6 / 22)
    assert least_effect([SeenCase(())] * 10, 0.05 / 3) == pytest.approx(7 / 10)
    assert least_effect([SeenCase((0.4, 0.6))] * 12) == pytest.approx(6 * LEAST_CHANGE / 12)


def test_the_least_effect_of_graded_cases_is_proven_and_a_smaller_one_is_not():
    def found(step: float) -> str:
        return judge([CaseScore(str(n), (0.5,), (0.5 + step * (n < 6),)) for n in range(12)]).kind

    assert (found(LEAST_CHANGE), found(0.9 * LEAST_CHANGE)) == (PROVEN, NOT_PROVEN)


def test_where_nothing_is_flaky_one_run_tells_all(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    usual = power._draw

    def draw(*given: Any) -> Any:
        drawn.append(1)
        return usual(*given)

    monkeypatch.setattr(power, "_draw", draw)
    assert provable_gain(suite(20, 20)) == ProvableGain(6, 6 / 40, 1.0)
    assert len(drawn) < 20
