from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_gepa.verdict.ranksum import rank_sum_p
from pytest_gepa.verdict.sequential import (
    ALPHA,
    CAP,
    LOOKS,
    Tier,
    Trials,
    fisher_p,
    judge_cases,
    look_at,
    looks,
    most_provable,
    next_look,
    share,
)

Rates = tuple[float, float]
HARMLESS: list[Rates] = [(1, 1)] * 15 + [(0.5, 0.5)] * 3 + [(0.9, 0.9)] * 2


def run_check(rates: list[Rates], seed: int, cap: int = CAP) -> tuple[tuple[Tier, ...], list[Trials]]:
    """One check of cases with these pass rates before and today, as `pytest_gepa.check.check` runs it."""
    draw = random.Random(seed).random
    cases = [Trials(str(number), cap=cap) for number in range(len(rates))]
    for _ in range(len(looks(cap)) + 1):
        tiers = judge_cases(cases)
        due = [at for at, tier in enumerate(tiers) if not tier.decided]
        if not due:
            return tiers, cases
        for at in due:
            one, (before, after) = cases[at], rates[at]
            more = range(next_look(one) - one.handed_out)
            cases[at] = look_at(
                replace(
                    one,
                    base=one.base + tuple(float(draw() < before) for _ in more),
                    today=one.today + tuple(float(draw() < after) for _ in more),
                    handed_out=next_look(one),
                )
            )
    raise AssertionError("the check does not end")


def trials(base: str, today: str, cap: int = CAP) -> Trials:
    """A case that was run trial by trial: `+` passed, `-` failed."""
    one = Trials("case", cap=cap)
    for number in (number for number in looks(cap) if number <= len(base)):
        sides = (tuple(float(sign == "+") for sign in side[:number]) for side in (base, today))
        one = look_at(replace(one, **dict(zip(("base", "today"), sides, strict=True)), handed_out=number))
    return one


def tier(base: str, today: str, cases: int = 20) -> Tier:
    others = [replace(trials("++++++", "++++++"), case=str(number)) for number in range(cases - 1)]
    return judge_cases([trials(base, today), *others])[0]


# The tests


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5),
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=5),
)
def test_the_rank_sum_test_counts_every_choice(better: list[float], worse: list[float]) -> None:
    pooled = sorted([*better, *worse])

    def rank(value: float) -> Fraction:
        return Fraction(pooled.index(value) + len(pooled) - pooled[::-1].index(value), 2)

    ranks = [rank(value) for value in (*better, *worse)]
    seen = sum(ranks[len(better) :])
    sums = [sum(chosen) for chosen in combinations(ranks, len(worse))]
    assert rank_sum_p(better, worse) == pytest.approx(sum(one <= seen for one in sums) / len(sums))


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_fishers_test_is_the_rank_sum_test_of_two_scores(base: int, today: int, data: st.DataObject) -> None:
    before, after = data.draw(st.integers(0, base)), data.draw(st.integers(0, today))
    scores = ([1.0] * before + [0.0] * (base - before), [1.0] * after + [0.0] * (today - after))
    assert fisher_p(before, base, after, today) == pytest.approx(rank_sum_p(*scores))


def test_a_complete_break_has_the_p_value_of_the_textbook() -> None:
    assert fisher_p(8, 8, 0, 8) == 1 / math.comb(16, 8)
    assert fisher_p(0, 8, 0, 8) == fisher_p(8, 8, 8, 8) == 1


def test_the_rank_sum_test_of_many_scores_takes_no_time() -> None:
    draw = random.Random(1).random
    higher, lower = [draw() + 0.5 for _ in range(32)], [draw() for _ in range(32)]
    assert 0 < rank_sum_p(higher, lower) < 1e-4 < 0.999 < rank_sum_p(lower, higher)


# Looks


@given(st.integers(1, 100))
def test_the_shares_of_the_looks_add_up_to_one(cap: int) -> None:
    every = looks(cap)
    assert every[-1] == cap
    assert list(every) == sorted(set(every))
    assert math.fsum(share(number, cap) for number in every) == pytest.approx(1)


def test_the_usual_looks() -> None:
    assert looks(CAP) == LOOKS
    assert looks(10) == (1, 3, 6, 8, 10)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("alpha", [0.001, 0.02])
def test_looking_often_errs_no_more_often_than_allowed(rate: float, alpha: float) -> None:
    """Exact: the chance that one unharmed case is ever called worse, over all ways its trials can go."""
    states = {(0, 0): 1.0}
    done, found = 0, 0.0
    for number in LOOKS:
        for _ in range(number - done):
            grown: dict[tuple[int, int], float] = {}
            for (before, after), chance in states.items():
                for one, first in ((1, rate), (0, 1 - rate)):
                    for other, second in ((1, rate), (0, 1 - rate)):
                        key = (before + one, after + other)
                        grown[key] = grown.get(key, 0.0) + chance * first * second
            states = grown
        done = number
        spent = share(number, CAP)
        crossed = [key for key in states if spent and fisher_p(key[0], number, key[1], number) / spent <= alpha]
        found += sum(states.pop(key) for key in crossed)
    assert found <= alpha


# Tiers


@pytest.mark.parametrize(
    ("base", "today", "name"),
    [
        ("++++++", "++++++", "stable"),
        ("---", "---", "failing"),
        ("++++++++", "--------", "regressed"),
        ("--------", "++++++++", "improved"),
        ("++++++++", "+-+-+-+-", "suspect"),
        ("+-+-+-+-", "-+-+-+-+", "flaky"),
        ("++++++++", "-+++++++", "flaky"),
    ],
)
def test_tiers(base: str, today: str, name: str) -> None:
    assert tier(base, today).tier == name


def test_three_clean_trials_are_not_enough() -> None:
    assert not tier("+++", "+++").decided
    assert tier("++++++", "++++++").decided


def test_a_case_goes_on_while_it_could_be_proven_and_no_longer() -> None:
    assert not tier("++++++++", "+-+-+-+-").decided
    assert tier("+-+-+-+-" * 2, "-+-+-+-+" * 2).decided


def test_one_case_alone_is_proven_sooner_than_one_of_twenty() -> None:
    assert tier("++++++", "------", cases=1).tier == "regressed"
    assert tier("++++++", "------").tier == "suspect"


def test_no_evidence_is_trouble() -> None:
    assert judge_cases([Trials("case", base=(1.0,), handed_out=3)])[0].tier == "trouble"
    assert judge_cases([]) == ()


def test_graded_scores_are_compared_as_they_are() -> None:
    def graded(base: float, today: float, number: int) -> Tier:
        one = Trials("case")
        for look in (look for look in LOOKS if look <= number):
            one = look_at(replace(one, base=(base,) * look, today=(today,) * look, handed_out=look))
        return judge_cases([one])[0]

    assert graded(0.8, 0.8, 6) == Tier("case", "stable", 1.0, True)
    assert graded(0.8, 0.7, 8).tier == "regressed"
    assert graded(0.7, 0.8, 8).tier == "improved"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4), st.integers(0, 99), st.integers(1, 40))
def test_every_check_comes_to_an_end(rates: list[Rates], seed: int, cap: int) -> None:
    tiers, cases = run_check(rates, seed, cap)
    assert all(one.handed_out <= cap for one in cases)
    assert all(0 <= one.p_value <= 1 for one in tiers)


# Whole checks; `benchmarks/check/sequential.py` has the figures


def test_harmless_changes_pass() -> None:
    alarms = sum(any(tier.tier == "regressed" for tier in run_check(HARMLESS, seed)[0]) for seed in range(60))
    assert alarms <= 60 * ALPHA + 1


def test_half_broken_is_found_among_twenty_and_at_the_low_cap_suspected() -> None:
    rates = [*HARMLESS[1:], (1, 0.5)]
    found = [run_check(rates, seed)[0][-1].tier for seed in range(60)]
    assert found.count("regressed") >= 54
    low = [run_check(rates, seed, cap=8)[0][-1].tier for seed in range(60)]
    assert low.count("suspect") >= 40


def test_a_break_of_all_trials_is_found_in_eight() -> None:
    rates = [*HARMLESS[1:], (1, 0)]
    for seed in range(10):
        tiers, cases = run_check(rates, seed)
        assert (tiers[-1].tier, cases[-1].handed_out) == ("regressed", 8)


def test_an_unchanged_suite_takes_six_trials_a_side() -> None:
    _, cases = run_check([(1, 1)] * 20, 0)
    assert [one.handed_out for one in cases] == [6] * 20


# A recorded sample


def recorded(base: str, today: str, cap: int = CAP) -> Trials:
    """A case with recorded trials, run trial by trial today."""
    one = Trials("case", base=tuple(float(sign == "+") for sign in base), cap=cap, is_recorded=True)
    for number in (number for number in looks(cap) if number <= len(today)):
        scores = tuple(float(sign == "+") for sign in today[:number])
        one = look_at(replace(one, today=scores, handed_out=number))
    return one


def compare(rates: list[Rates], seed: int, size: int = CAP, cap: int = CAP) -> tuple[Tier, ...]:
    """One comparison of fresh samples of recorded trials with trials of today."""
    draw = random.Random(seed).random
    cases = [
        Trials(
            str(number),
            base=tuple(float(draw() < then) for _ in range(size)),
            cap=cap,
            is_recorded=True,
        )
        for number, (then, _) in enumerate(rates)
    ]
    for _ in range(len(looks(cap)) + 1):
        tiers = judge_cases(cases)
        due = [at for at, tier in enumerate(tiers) if not tier.decided]
        if not due:
            return tiers
        for at in due:
            one, rate = cases[at], rates[at][1]
            more = range(next_look(one) - one.handed_out)
            today = one.today + tuple(float(draw() < rate) for _ in more)
            cases[at] = look_at(replace(one, today=today, handed_out=next_look(one)))
    raise AssertionError("the comparison does not end")


@pytest.mark.parametrize("size", [4, 16, 32])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8, 0.95])
def test_looking_often_at_a_recorded_sample_errs_no_more_often_than_allowed(rate: float, size: int) -> None:
    """Exact: the chance that one unharmed case is ever called worse, over all recorded samples and all trials."""
    found = 0.0
    for before in range(size + 1):
        states = {0: math.comb(size, before) * rate**before * (1 - rate) ** (size - before)}
        done = 0
        for number in LOOKS:
            for _ in range(number - done):
                grown: dict[int, float] = {}
                for after, chance in states.items():
                    grown[after + 1] = grown.get(after + 1, 0.0) + chance * rate
                    grown[after] = grown.get(after, 0.0) + chance * (1 - rate)
                states = grown
            done = number
            spent = share(number, CAP)
            crossed = [after for after in states if spent and fisher_p(before, size, after, number) / spent <= ALPHA]
            found += sum(states.pop(after) for after in crossed)
    assert found <= ALPHA


@pytest.mark.parametrize(
    ("base", "today", "name", "decided"),
    [
        ("+" * 32, "++++++", "stable", True),
        ("+" * 32, "+++", "stable", False),
        (
            "+++",
            "++++++",
            "stable",
            True,
        ),  # the recorded side gets no more: to wait for it would take all trials
        ("-" * 32, "---", "failing", True),
        ("+" * 32, "------", "regressed", True),
        ("-" * 32, "++++++", "improved", True),
        ("+" * 32, "+-+-+-+-", "suspect", False),
        ("+-" * 16, "+-" * 8, "flaky", True),
        ("+", "--------", "suspect", True),  # one recorded trial proves nothing, whatever comes
        ("+" * 32, "", "trouble", False),
    ],
)
def test_tiers_beside_a_recorded_sample(base: str, today: str, name: str, decided: bool) -> None:
    others = [replace(recorded("+" * 32, "++++++"), case=str(number)) for number in range(9)]
    found = judge_cases([recorded(base, today), *others])[0]
    assert (found.tier, found.decided) == (name, decided)


def test_most_provable_is_what_the_verdict_goes_by() -> None:
    most = most_provable(32, 20)
    assert most is not None
    others = [replace(recorded("+" * 32, "++++++"), case=str(number)) for number in range(19)]
    for passes, name in ((most, "regressed"), (most + 1, "suspect")):
        # Spread evenly enough, so that no earlier look proves it.
        scores = (1.0,) * passes + (0.0,) * (CAP - passes)
        last = look_at(Trials("case", base=(1.0,) * 32, today=scores, handed_out=CAP, is_recorded=True))
        assert judge_cases([last, *others])[0].tier == name
    assert most_provable(1, 20) is None


def test_a_model_that_stays_the_same_passes() -> None:
    alarms = sum(any(tier.tier == "regressed" for tier in compare(HARMLESS, seed)) for seed in range(60))
    assert alarms <= 60 * ALPHA + 1


def test_half_broken_is_found_among_twenty_beside_recorded_trials() -> None:
    rates = [*HARMLESS[1:], (1, 0.5)]
    found = [compare(rates, seed)[-1].tier for seed in range(60)]
    assert found.count("regressed") >= 54


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4), st.integers(0, 99), st.integers(1, 40),
    st.integers(1, 40),
)  # fmt: skip
def test_every_comparison_comes_to_an_end(rates: list[Rates], seed: int, size: int, cap: int) -> None:
    assert all(0 <= one.p_value <= 1 for one in compare(rates, seed, size, cap))
