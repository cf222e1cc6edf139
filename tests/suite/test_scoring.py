from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.suite.rollout import Grade, Outcome, Rollout
from pytest_gepa.suite.runner import Runner
from pytest_gepa.suite.scoring import MOST_GRADES, Scored, score_case
from pytest_gepa.trace.record import Score
from tests.suite.world import Build, evaluate

SCORES = """
    import fractions

    import pytest

    class Scalar:
        # As the scalars of NumPy and torch.
        def __init__(self, value):
            self.value = value

        def __float__(self):
            return self.value

    def test_one_score(gepa):
        gepa.score(0.25, feedback="nearly")

    def test_scores_of_any_type(gepa):
        gepa.score(Scalar(0.5), name="a")
        gepa.score(fractions.Fraction(1, 4), name="b")
        gepa.score(True, name="c")
        gepa.score(0, name="d")

    def test_objectives(gepa):
        gepa.score(0.5, name="facts", feedback="the date is wrong")
        gepa.score(1, name="tone")

    def test_an_objective_again(gepa):
        gepa.score(0.1, name="facts", feedback="first")
        gepa.score(1, name="tone")
        gepa.score(0.6, name="facts", feedback="second")

    def test_a_score_again(gepa):
        gepa.score(0.1, feedback="first")
        gepa.score(0.6)

    def test_a_score_beside_objectives(gepa):
        gepa.score(1, name="facts")
        gepa.score(1)

    def test_an_assert_that_fails_beside_a_score(gepa):
        gepa.score(0.8, feedback="fine words")
        assert "yes" == "no"

    def test_an_assert_that_fails_beside_objectives(gepa):
        gepa.score(1, name="facts")
        gepa.score(0.5, name="tone", feedback="rude")
        assert "yes" == "no"

    @pytest.mark.gepa(threshold=0.4)
    def test_an_assert_that_fails_above_the_threshold(gepa):
        gepa.score(1)
        assert "yes" == "no"

    @pytest.mark.gepa(threshold=0.8)
    def test_objectives_that_reach_the_threshold(gepa):
        gepa.score(0.7, name="facts")
        gepa.score(0.9, name="tone")

    @pytest.mark.gepa(threshold=0.8)
    def test_objectives_that_miss_the_threshold(gepa):
        gepa.score(0.7, name="facts")
        gepa.score(0.8, name="tone")

    def test_a_score_and_a_skip(gepa):
        gepa.score(1)
        pytest.skip("after all")

    def test_a_score_and_a_broken_connection(gepa):
        gepa.score(1)
        raise ConnectionError("no route")
"""
SCORED = {
    "test_one_score": ("passed", 0.25),
    "test_scores_of_any_type": ("passed", 0.4375),
    "test_objectives": ("passed", 0.75),
    "test_an_objective_again": ("passed", 0.8),
    "test_a_score_again": ("passed", 0.6),
    "test_a_score_beside_objectives": ("failed", 0.5),
    "test_an_assert_that_fails_beside_a_score": ("failed", 0.4),
    "test_an_assert_that_fails_beside_objectives": ("failed", 0.5),
    "test_an_assert_that_fails_above_the_threshold": ("failed", 0.5),
    "test_objectives_that_reach_the_threshold": ("passed", 0.8),
    "test_objectives_that_miss_the_threshold": ("failed", 0.75),
    "test_a_score_and_a_skip": ("skipped", None),
    "test_a_score_and_a_broken_connection": ("error", None),
}
SUBTESTS = """
    import unittest

    import pytest

    def test_two_of_three(subtests):
        for number in (1, 2, 3):
            with subtests.test("part", number=number):
                assert number != 2

    def test_all_of_two(subtests):
        with subtests.test("a"):
            pass
        with subtests.test("b"):
            pass

    def test_none_of_two(subtests):
        with subtests.test("a"):
            assert "yes" == "no"
        with subtests.test():
            raise ValueError("odd")

    def test_one_that_skips_does_not_count(subtests):
        with subtests.test("a"):
            pytest.skip("not here")
        with subtests.test("b"):
            assert 0
        with subtests.test("c"):
            pass

    def test_all_skip(subtests):
        with subtests.test("a"):
            pytest.skip("not here")

    def test_the_body_fails_after_them(subtests):
        for number in (1, 2, 3):
            with subtests.test(number=number):
                assert number != 2
        assert "yes" == "no"

    def test_the_body_fails_although_they_pass(subtests):
        with subtests.test("a"):
            pass
        assert "yes" == "no"

    @pytest.mark.gepa(threshold=0.6)
    def test_enough_for_the_threshold(subtests):
        for number in (1, 2, 3):
            with subtests.test(number=number):
                assert number != 2

    @pytest.mark.gepa(threshold=0.7)
    def test_too_few_for_the_threshold(subtests):
        for number in (1, 2, 3):
            with subtests.test(number=number):
                assert number != 2

    @pytest.mark.gepa(threshold=0.5)
    def test_enough_but_the_body_fails(subtests):
        for number in (1, 2, 3):
            with subtests.test(number=number):
                pass
        assert "yes" == "no"

    def test_a_score_beside_them_is_the_score(subtests, gepa):
        gepa.score(0.5)
        with subtests.test("a"):
            pass

    def test_one_that_fails_beside_a_score(subtests, gepa):
        gepa.score(0.5)
        with subtests.test("a"):
            pass
        with subtests.test("b"):
            assert 0

    @pytest.mark.xfail
    def test_is_expected_to_fail(subtests):
        with subtests.test("a"):
            assert 0
        assert 0

    def test_one_that_is_expected_to_fail(subtests):
        with subtests.test("a"):
            pytest.xfail("not yet")
        with subtests.test("b"):
            pass

    def test_a_broken_connection_in_one(subtests):
        with subtests.test("a"):
            raise ConnectionError("no route")
        with subtests.test("b"):
            pass

    def test_skips_after_them(subtests):
        with subtests.test("a"):
            assert 0
        pytest.skip("enough")

    class TestOfUnittest(unittest.TestCase):
        def test_two_of_three(self):
            for number in (1, 2, 3):
                with self.subTest("part", number=number):
                    self.assertNotEqual(number, 2)

        def test_all(self):
            with self.subTest("a"):
                pass

        def test_one_that_skips_does_not_count(self):
            with self.subTest("a"):
                self.skipTest("not here")
            with self.subTest("b"):
                self.fail("no")
            with self.subTest("c"):
                pass

        def test_the_body_fails_after_them(self):
            for number in (1, 2, 3):
                with self.subTest(number=number):
                    self.assertNotEqual(number, 2)
            self.fail("no")
"""
SUBTESTED = {
    "test_two_of_three": ("failed", 2 / 3),
    "test_all_of_two": ("passed", 1.0),
    "test_none_of_two": ("failed", 0.0),
    "test_one_that_skips_does_not_count": ("failed", 0.5),
    "test_all_skip": ("passed", 1.0),
    "test_the_body_fails_after_them": ("failed", 0.5),
    "test_the_body_fails_although_they_pass": ("failed", 0.5),
    "test_enough_for_the_threshold": ("passed", 2 / 3),
    "test_too_few_for_the_threshold": ("failed", 2 / 3),
    "test_enough_but_the_body_fails": ("failed", 0.75),
    "test_a_score_beside_them_is_the_score": ("passed", 0.5),
    "test_one_that_fails_beside_a_score": ("failed", 0.25),
    "test_is_expected_to_fail": ("xfailed", None),
    "test_one_that_is_expected_to_fail": ("passed", 1.0),
    "test_a_broken_connection_in_one": ("error", None),
    "test_skips_after_them": ("skipped", None),
    "TestOfUnittest::test_two_of_three": ("failed", 2 / 3),
    "TestOfUnittest::test_all": ("passed", 1.0),
    "TestOfUnittest::test_one_that_skips_does_not_count": ("failed", 0.5),
    "TestOfUnittest::test_the_body_fails_after_them": ("failed", 0.5),
}


@pytest.fixture(scope="module")
def scored(build: Build, fork_runner: Runner) -> dict[str, Rollout]:
    return run(build, fork_runner, SCORES, SCORED)


@pytest.fixture(scope="module")
def subtested(build: Build, usual_runner: Runner) -> dict[str, Rollout]:
    return run(build, usual_runner, SUBTESTS, SUBTESTED)


def run(
    build: Build, runner: Runner, source: str, names: Iterable[str], args: Sequence[str] = ()
) -> dict[str, Rollout]:
    suite = build({"test_it.py": source}).suite(runner, [f"test_it.py::{name}" for name in names], args=args)
    heard: list[Rollout] = []  # whole, with their reports
    evaluate(suite, heard=heard)
    return {rollout.case.split("::", 1)[1]: rollout for rollout in heard}


@pytest.mark.parametrize("name", SCORED)
def test_a_score_of_the_test_is_the_case_s(scored: dict[str, Rollout], name: str) -> None:
    outcome, score = SCORED[name]
    assert (scored[name].outcome.value, scored[name].score) == (outcome, score and pytest.approx(score))


def test_objectives_are_kept_and_told_one_by_one(scored: dict[str, Rollout]) -> None:
    rollout = scored["test_objectives"]

    assert rollout.grades == (Grade("facts", 0.5, "the date is wrong"), Grade("tone", 1.0))
    assert rollout.feedback == "facts 0.5 of 1: the date is wrong\ntone 1 of 1"


def test_the_last_word_on_an_objective_counts(scored: dict[str, Rollout]) -> None:
    assert scored["test_an_objective_again"].grades == (Grade("facts", 0.6, "second"), Grade("tone", 1.0))
    assert (scored["test_a_score_again"].grades, scored["test_a_score_again"].feedback) == ((), "")


def test_a_score_beside_objectives_is_refused_with_the_mend(scored: dict[str, Rollout]) -> None:
    failure = scored["test_a_score_beside_objectives"].trajectory.failure
    assert "give every score of the case a name, or only one and no name" in failure


def test_feedback_says_that_an_assert_has_failed_beside_the_scores(scored: dict[str, Rollout]) -> None:
    rollout = scored["test_an_assert_that_fails_beside_objectives"]
    assert rollout.feedback.splitlines() == [
        "facts 1 of 1",
        "tone 0.5 of 1: rude",
        "0.5 of 1 in all, as an assert that failed counts as a score of 0",
    ]


def test_a_case_below_its_threshold_is_told_so_and_reported_as_failed(scored: dict[str, Rollout]) -> None:
    rollout = scored["test_objectives_that_miss_the_threshold"]

    assert rollout.trajectory.failure == "the score of 0.75 is below the threshold of 0.8"
    assert [report["outcome"] for report in rollout.reports] == ["passed", "failed", "passed"]
    assert rollout.reports[1]["longrepr"] == rollout.trajectory.failure


@pytest.mark.parametrize("name", SUBTESTED)
def test_the_share_of_subtests_that_pass_is_the_score(subtested: dict[str, Rollout], name: str) -> None:
    outcome, score = SUBTESTED[name]
    found = subtested[name]
    assert (found.outcome.value, found.score) == (outcome, score and pytest.approx(score))


@pytest.mark.parametrize("name", ["test_two_of_three", "TestOfUnittest::test_two_of_three"])
def test_each_subtest_is_a_part_of_the_score_with_its_own_feedback(subtested: dict[str, Rollout], name: str) -> None:
    rollout = subtested[name]

    assert [(grade.name, grade.score, grade.kind) for grade in rollout.grades] == [
        ("[part] (number=1)", 1.0, "subtest"),
        ("[part] (number=2)", 0.0, "subtest"),
        ("[part] (number=3)", 1.0, "subtest"),
    ]
    assert "2 != 2" in rollout.grades[1].feedback or "2 == 2" in rollout.grades[1].feedback
    assert rollout.grades[0].feedback == ""
    assert rollout.feedback == "2 of 3 subtests passed; failed: [part] (number=2)"
    assert rollout.trajectory.failure.count(rollout.grades[1].feedback.splitlines()[0]) == 1


def test_subtests_without_a_name_are_numbered(subtested: dict[str, Rollout]) -> None:
    names = [grade.name for grade in subtested["test_none_of_two"].grades]
    assert names == ["[a]", "subtest 2"]


def test_subtests_beside_a_score_are_no_parts_of_it(subtested: dict[str, Rollout]) -> None:
    assert subtested["test_one_that_fails_beside_a_score"].grades == ()


# The rules by themselves


UNITS = st.lists(st.sampled_from([0.0, 1.0]), max_size=12).map(
    lambda scores: [Grade(f"unit {at}", score, "", "subtest") for at, score in enumerate(scores)]
)
GIVEN = st.lists(st.floats(0, 1), max_size=4).map(
    lambda values: [Score(f"objective {at}", value) for at, value in enumerate(values)]
)


@given(GIVEN, UNITS, st.booleans(), st.none() | st.floats(0, 1))
def test_a_score_is_a_share_and_full_marks_mean_that_all_held(
    given_scores: list[Score], units: list[Grade], body_failed: bool, threshold: float | None
) -> None:
    failing = body_failed or any(unit.score < 1 for unit in units)
    outcome = Outcome.failed if failing else Outcome.passed

    scored = score_case(outcome, given_scores, units, body_failed=body_failed, threshold=threshold)

    assert scored.score is not None
    assert 0 <= scored.score <= 1
    assert scored.score < 1 or not failing
    assert scored.outcome is Outcome.failed or not body_failed
    if threshold is None:
        assert (scored.outcome is Outcome.failed) == failing
    elif scored.outcome is Outcome.passed:
        assert scored.score >= threshold - 1e-9
    assert bool(scored.below) <= (scored.outcome is Outcome.failed)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if not outcome.is_evidence])
def test_without_evidence_there_is_no_score(outcome: Outcome) -> None:
    unit = Grade("a", 1.0, "", "subtest")
    scored = score_case(outcome, [Score("", 1.0)], [unit], body_failed=False, threshold=0.5)
    assert scored == Scored(outcome, None)


def test_a_mean_may_miss_its_threshold_by_a_rounding() -> None:
    given_scores = [Score(str(value), value) for value in (0.1, 0.2, 0.3)]
    scored = score_case(Outcome.passed, given_scores, (), body_failed=False, threshold=0.2)
    assert (scored.outcome, scored.below) == (Outcome.passed, "")


def test_of_very_many_parts_those_that_failed_are_kept() -> None:
    units = [Grade(f"check {at}", float(at != 900), "", "check") for at in range(1000)]

    scored = score_case(Outcome.failed, (), units, body_failed=False, threshold=None)

    assert scored.score == pytest.approx(0.999)
    assert len(scored.grades) == MOST_GRADES
    assert [grade.name for grade in scored.grades][-1] == "check 900"
    assert scored.feedback == "999 of 1000 checks passed; failed: check 900"


def test_a_report_that_a_plugin_made_fail_is_a_failure_beside_units_that_passed() -> None:
    unit = Grade("a", 1.0, "", "subtest")
    scored = score_case(Outcome.failed, (), [unit], body_failed=False, threshold=0.4)
    assert (scored.outcome, scored.score) == (Outcome.failed, 0.5)
