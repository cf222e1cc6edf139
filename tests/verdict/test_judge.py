from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.codec import from_json, to_json
from pytest_gepa.verdict.interval import paired_interval
from pytest_gepa.verdict.judge import NOT_PROVEN, PROVEN, WORSE, CaseScore, Tally, Verdict, judge, least_gain

SCORES = st.sampled_from([0.0, 0.25, 1 / 3, 0.7, 1.0, None])
CASES = st.lists(st.tuples(st.lists(SCORES, max_size=4), st.lists(SCORES, max_size=4)), max_size=8).map(
    lambda rows: [CaseScore(f"case {at}", tuple(seed), tuple(winner)) for at, (seed, winner) in enumerate(rows)]
)
LOW, HIGH = st.sampled_from([0.0, 0.3]), st.sampled_from([0.7, 1.0])
DECIDED = st.one_of(
    st.lists(st.tuples(st.just(1), *sides), min_size=6, max_size=24).map(lambda groups: cases(*groups))
    for sides in ((LOW, HIGH), (HIGH, LOW))
)


def cases(*groups: tuple[int, float, float]) -> list[CaseScore]:
    rows = [(seed, winner) for count, seed, winner in groups for _ in range(count)]
    return [CaseScore(f"case {at}", (seed,), (winner,)) for at, (seed, winner) in enumerate(rows)]


def test_many_cases_fixed_and_none_broken_is_proven():
    verdict = judge(cases((6, 0, 1), (4, 1, 1)))
    assert verdict.kind == PROVEN
    assert (verdict.effect, verdict.p_value) == (0.6, 0.03125)
    assert verdict.interval[0] > 0
    assert (verdict.baseline, verdict.winner) == (Tally(4, 10, 0.4), Tally(10, 10, 1.0))
    assert verdict.fixed == tuple(f"case {at}" for at in range(6))
    assert verdict.broken == verdict.undecided == ()


def test_too_few_cases_fixed_is_not_proven():
    verdict = judge(cases((5, 0, 1), (5, 1, 1)))
    assert (verdict.kind, verdict.p_value, verdict.effect) == (NOT_PROVEN, 0.0625, 0.5)


def test_many_cases_broken_is_worse():
    verdict = judge(cases((1, 0, 1), (12, 1, 0)))
    assert verdict.kind == WORSE
    assert verdict.effect == pytest.approx(-11 / 13)
    assert (verdict.fixed, len(verdict.broken)) == (("case 0",), 12)


def test_a_thousandth_in_every_case_is_no_gain_that_is_proven():
    better = judge([CaseScore(str(n), seed=(0.5,), winner=(0.502,)) for n in range(15)])
    assert better.p_value < 0.001
    assert better.kind == "not proven"
    assert judge([CaseScore(str(n), seed=(0.502,), winner=(0.5,)) for n in range(15)]).kind == "not proven"
    assert judge([CaseScore(str(n), seed=(0.5,), winner=(0.8,)) for n in range(15)]).kind == "proven"


@pytest.mark.parametrize(
    ("number", "before", "after"), [(20, 0.7, 0.78), (30, 0.8, 0.85), (10, 0.7, 0.8), (6, 0.25, 0.26)]
)
def test_a_few_hundredths_in_every_case_are_a_gain_and_the_interval_says_so_too(number, before, after):
    better = judge([CaseScore(str(n), (before,) * 3, (after,) * 3) for n in range(number)])
    assert (better.kind, better.fixed) == (PROVEN, ())
    assert 0 < better.interval[0] < better.effect < better.interval[1]
    worse = judge([CaseScore(str(n), (after,) * 3, (before,) * 3) for n in range(number)])
    assert (worse.kind, worse.broken) == (WORSE, ())
    assert worse.interval == pytest.approx((-better.interval[1], -better.interval[0]))


def test_half_a_point_in_the_cases_that_changed_is_the_least_gain():
    def gained(points: float, unchanged: int = 0) -> str:
        same = [CaseScore(f"same {n}", (0.5,), (0.5,)) for n in range(unchanged)]
        return judge([*(CaseScore(str(n), (0.7,), (0.7 + points / 100,)) for n in range(12)), *same]).kind

    assert (gained(0.5), gained(0.49), gained(-0.5), gained(-0.49)) == (PROVEN, NOT_PROVEN, WORSE, NOT_PROVEN)
    assert gained(0.5, unchanged=30) == PROVEN


def test_a_few_cases_that_are_fixed_among_very_many_are_a_gain():
    assert judge(cases((6, 0, 1), (2_000, 1, 1))).kind == PROVEN


def test_trials_that_pass_or_fail_have_the_wider_interval_until_one_is_graded():
    flaky = [CaseScore(str(n), (1, 0, 0), (1, 1, 0)) for n in range(12)]
    by_pass = judge(flaky).interval
    assert by_pass == pytest.approx(paired_interval([1 / 3] * 12))
    graded = judge([*flaky[1:], CaseScore("0", (1, 0.5, 0), (1, 1, 0.5))]).interval
    assert graded[1] - graded[0] < by_pass[1] - by_pass[0]
    told = [CaseScore(str(n), (1 / 3,), (2 / 3,), is_graded=False) for n in range(12)]
    assert judge(told).interval == pytest.approx(by_pass)


def test_alpha_is_a_bound_that_p_must_be_under():
    scores = cases((6, 0, 1))
    assert judge(scores, alpha=0.03125).kind == NOT_PROVEN
    assert judge(scores, alpha=0.032).kind == PROVEN


def test_fixed_and_broken_mean_every_trial():
    verdict = judge(
        [
            CaseScore("fixed", (0, 0, 0), (1, 1, 1)),
            CaseScore("broken", (1, 1, 1), (0, 0, 0)),
            CaseScore("flaky before", (0, 1, 0), (1, 1, 1)),
            CaseScore("flaky after", (1, 1, 1), (0, 1, 0)),
        ]
    )
    assert (verdict.fixed, verdict.broken) == (("fixed",), ("broken",))
    assert verdict.baseline == Tally(2, 4, pytest.approx(7 / 12))
    assert verdict.winner == Tally(2, 4, pytest.approx(7 / 12))
    assert verdict.effect == 0


def test_a_case_that_has_ended_both_ways_under_the_seed_is_neither_fixed_nor_broken():
    verdict = judge(
        [
            CaseScore("fixed", (0,), (1,), seed_before=(False,)),
            CaseScore("passed today too", (0,), (1,), seed_before=(True,)),
            CaseScore("broken", (1,), (0,), seed_before=(True, True)),
            CaseScore("failed today too", (1,), (0,), seed_before=(True, False)),
        ]
    )
    assert (verdict.fixed, verdict.broken) == (("fixed",), ("broken",))
    # What was before proves nothing.
    assert (verdict.baseline.passed, verdict.winner.passed, verdict.effect) == (2, 2, 0.0)


def test_a_threshold_says_what_a_pass_is():
    partial = CaseScore("a", (0.6,), (1.0,))
    assert judge([partial]).fixed == ()
    strict = judge([CaseScore("a", (0.6,), (1.0,), threshold=1.0)])
    assert (strict.fixed, strict.baseline.passed, strict.winner.passed) == (("a",), 0, 1)
    lenient = judge([CaseScore("a", (0.7, 0.7, 0.7), (0.8, 0.9, 0.7), threshold=0.7)])
    assert (lenient.fixed, lenient.baseline.passed) == ((), 1)


def test_what_is_known_of_a_pass_goes_before_the_score():
    graded = CaseScore("a", (0.6, 0.6), (0.9, 0.9), seed_passed=(False, False), winner_passed=(True, True))
    failed = CaseScore("b", (1.0,), (0.9,), seed_passed=(True,), winner_passed=(False,))
    unknown = CaseScore("c", (1.0,), (0.0,), seed_passed=(None,))

    verdict = judge([graded, failed, unknown])

    assert (verdict.fixed, verdict.broken) == (("a",), ("b", "c"))
    assert (verdict.baseline.passed, verdict.winner.passed) == (2, 1)


def test_what_is_known_of_a_pass_belongs_to_its_trial():
    scores = (None, 0.5, 0.5)
    case = CaseScore("a", scores, scores, seed_passed=(None, False, False), winner_passed=(None, True, True))
    assert judge([case]).fixed == ("a",)


def test_a_case_passes_that_passed_in_half_of_its_trials():
    halves = CaseScore("a", (0, 1, 0, 1), (0, 0, 0, 1))
    verdict = judge([halves])
    assert (verdict.baseline.passed, verdict.winner.passed) == (1, 0)


def test_each_case_counts_with_its_weight():
    verdict = judge([CaseScore("a", (0,), (1,), weight=3), CaseScore("b", (1,), (0,))])
    assert verdict.effect == 0.5
    assert (verdict.baseline, verdict.winner) == (Tally(1, 2, 0.25), Tally(1, 2, 0.75))


def test_equal_weights_are_no_weights():
    rows = [(0, 1), (0, 1), (1, 0), (1, 1), (0.25, 0.5)]
    plain, weighed = (
        judge([CaseScore(str(at), (seed,), (winner,), weight=weight) for at, (seed, winner) in enumerate(rows)])
        for weight in (1.0, 2.5)
    )
    assert weighed.interval == pytest.approx(plain.interval)
    assert (weighed.effect, weighed.p_value) == (plain.effect, plain.p_value)
    assert (weighed.baseline, weighed.winner) == (plain.baseline, plain.winner)


def test_one_heavy_case_proves_nothing_that_light_ones_do_not():
    heavy = [CaseScore("heavy", (0,), (1,), weight=1000.0)]
    verdict = judge([*heavy, *(CaseScore(str(at), (1,), (1,)) for at in range(30))])
    assert verdict.effect > 0.9
    assert verdict.kind == NOT_PROVEN
    assert verdict.interval[1] - verdict.interval[0] > 1


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_weight_is_a_number_above_0(weight: float):
    with pytest.raises(ValueError, match="weight"):
        judge([CaseScore("a", (0,), (1,), weight=weight)])


def test_only_trials_with_evidence_on_both_sides_count():
    verdict = judge(
        [
            CaseScore("a", (0, None, 1, 1), (1, 0, None)),
            CaseScore("b", (None, 1), (0, None)),
            CaseScore("c", (), (1, 1)),
        ]
    )
    assert verdict.undecided == ("b", "c")
    assert (verdict.baseline, verdict.winner) == (Tally(0, 1, 0.0), Tally(1, 1, 1.0))
    assert (verdict.effect, verdict.fixed) == (1.0, ("a",))


def test_each_case_weighs_the_same_however_many_trials_it_has():
    verdict = judge([CaseScore("a", (0,) * 9, (1,) * 9), CaseScore("b", (1,), (0,))])
    assert verdict.effect == 0


def test_nothing_to_judge_is_not_proven():
    verdict = judge([CaseScore("a", (), ())])
    assert verdict == Verdict(NOT_PROVEN, 0.0, (-1.0, 1.0), 1.0, Tally(0, 0, 0.0), Tally(0, 0, 0.0), (), (), ("a",))


def test_scores_must_be_shares_and_cases_appear_once():
    with pytest.raises(ValueError, match="outside"):
        judge([CaseScore("a", (1.5,), (1,))])
    with pytest.raises(ValueError, match="more than one entry"):
        judge([CaseScore("a", (1,), (1,)), CaseScore("a", (1,), (1,))])


@given(CASES | DECIDED)
def test_the_other_way_round_is_the_mirror_image(scores):
    verdict = judge(scores)
    mirrored = judge([CaseScore(score.case, score.winner, score.seed) for score in scores])
    assert mirrored.effect == -verdict.effect
    assert mirrored.p_value == verdict.p_value
    assert (mirrored.fixed, mirrored.broken) == (verdict.broken, verdict.fixed)
    assert (mirrored.baseline, mirrored.winner) == (verdict.winner, verdict.baseline)
    assert (mirrored.kind == PROVEN) == (verdict.kind == WORSE)


@given(CASES | DECIDED)
def test_a_verdict_agrees_with_itself_and_survives_json(scores):
    verdict = judge(scores)
    assert verdict.winner.score - verdict.baseline.score == pytest.approx(verdict.effect)
    assert verdict.baseline.total + len(verdict.undecided) == len(scores)
    assert (verdict.kind == PROVEN) == (verdict.p_value < 0.05 and verdict.effect > 0)
    if verdict.kind != NOT_PROVEN and any(0 < s < 1 for score in scores for s in (*score.seed, *score.winner) if s):
        assert not verdict.interval[0] <= 0 <= verdict.interval[1]
    assert from_json(Verdict, to_json(verdict)) == verdict


def test_of_edits_that_change_nothing_few_are_called_proven():
    source = random.Random(4)
    runs = [
        judge(
            [
                CaseScore(
                    f"{at}",
                    tuple(source.choice((0, 1)) for _ in "abc"),
                    tuple(source.choice((0, 1)) for _ in "abc"),
                )
                for at in range(20)
            ]
        ).kind
        for _ in range(1_000)
    ]
    assert runs.count(PROVEN) <= 35
    assert runs.count(WORSE) <= 35


@pytest.mark.parametrize(
    ("n_cases", "alpha", "least"),
    [
        (100, 0.05, 6),
        (6, 0.05, 6),
        (5, 0.05, None),
        (0, 0.05, None),
        (20, 0.01, 8),
        (10, 0.0, None),
        (10, 1.5, 1),
    ],
)
def test_the_least_gain_is_the_first_that_can_be_proven(n_cases, alpha, least):
    assert least_gain(n_cases, alpha) == least


@pytest.mark.parametrize("n_cases", [6, 12, 40])
def test_the_least_gain_is_proven_and_one_less_is_not(n_cases):
    least = least_gain(n_cases)
    assert least is not None
    assert judge(cases((least, 0, 1), (n_cases - least, 1, 1))).kind == PROVEN
    assert judge(cases((least - 1, 0, 1), (n_cases - least + 1, 1, 1))).kind == NOT_PROVEN


def grouped(size: int, *groups: tuple[int, float, float]) -> list[CaseScore]:
    """Groups of so many cases each, by number, seed's score and winner's."""
    rows = [(seed, winner) for count, seed, winner in groups for _ in range(count)]
    return [
        CaseScore(f"{at}/{n}", (seed,), (winner,), group=str(at))
        for at, (seed, winner) in enumerate(rows)
        for n in range(size)
    ]


def test_cases_that_share_answers_count_as_one_in_the_test_and_in_the_interval():
    one_each, five_each = judge(cases((6, 0, 1), (4, 1, 1))), judge(grouped(5, (6, 0, 1), (4, 1, 1)))
    assert (five_each.effect, five_each.p_value) == (one_each.effect, one_each.p_value)
    assert five_each.interval == pytest.approx(one_each.interval)
    assert (five_each.groups, five_each.baseline.total, len(five_each.fixed)) == (10, 50, 30)


def test_what_one_answer_has_mended_is_not_proven_however_many_cases_look_at_it():
    verdict = judge([*grouped(20, (1, 0, 1)), *cases((5, 1, 1))])
    assert (verdict.kind, verdict.groups) == (NOT_PROVEN, 6)


def test_a_group_of_one_is_a_case_alone():
    rows = ((6, 0, 1), (4, 1, 1), (2, 1, 0))
    assert judge(grouped(1, *rows)).p_value == judge(cases(*rows)).p_value


def test_a_group_counts_with_the_weights_of_its_cases():
    scores = [
        CaseScore("a", (0,), (1,), weight=3, group="one"),
        CaseScore("b", (1,), (0,), weight=1, group="one"),
        CaseScore("c", (0,), (1,), weight=2),
    ]
    verdict = judge(scores)
    assert verdict.effect == pytest.approx(4 / 6)
    assert (verdict.p_value, verdict.groups) == (0.5, 2)


def null_shares(by_answer: bool) -> float:
    """How often a difference is claimed where there is none: 10 documents, 5 tests of the one answer to each."""
    source, claimed, runs = random.Random(7), 0, 200
    for _ in range(runs):
        sides = [[[source.random() < 0.5 for _ in range(3)] for _ in range(10)] for _ in range(2)]
        scores = [
            CaseScore(f"{at}/{n}", tuple(map(float, sides[0][at])), tuple(map(float, sides[1][at])), group=group)
            for at in range(10)
            for n in range(5)
            for group in [str(at) if by_answer else ""]
        ]
        claimed += judge(scores).kind != NOT_PROVEN
    return claimed / runs


def test_where_nothing_changed_cases_that_share_answers_are_called_proven_as_seldom_as_others():
    assert null_shares(by_answer=True) <= 0.05
    assert null_shares(by_answer=False) > 0.25


def test_a_weight_that_is_next_to_nothing_is_counted_and_no_error() -> None:
    light, heavy = CaseScore("light", (0.0,), (1.0,), weight=1e-7), CaseScore("heavy", (0.0,), (0.0,))
    assert 0 < judge([light, heavy]).effect < 1e-3
