"""The soft checks of pytest-check as parts of a score."""

from __future__ import annotations

import pytest

from pytest_gepa.suite.rollout import Rollout
from pytest_gepa.suite.runner import Runner
from tests.suite.test_scoring import run
from tests.suite.world import Build

CHECKS = """
    import threading

    import pytest
    import pytest_check
    from pytest_check import check, equal

    @pytest_check.check_func
    def is_polite(answer):
        check.is_in("please", answer)
        assert answer.endswith("!")

    @pytest.fixture
    def checked_before():
        check.equal(1, 1)

    def test_two_of_three_checks(check):
        check.equal(1, 1)
        check.equal("yes", "no", "not the word")
        check.is_in("a", "abc")

    def test_all_checks(check):
        check.equal(1, 1)
        check.is_true(True)

    def test_no_check(check):
        check.equal(1, 2)
        check.fail("no")

    def test_by_other_names():
        equal(1, 1)
        pytest_check.less(1, 2)
        check.greater(1, 2)
        pytest_check.check.between(1, 0, 2)

    def test_blocks():
        with check:
            assert 1 == 1
        with check("a reason"):
            assert "yes" == "no"
        with check.check:
            pass
        with check.raises(ValueError):
            raise ValueError
        with pytest_check.raises(ValueError):
            pass
        pytest_check.raises(ValueError, int, "x")

    def test_a_function_of_its_own_is_one_check():
        is_polite("please!")
        is_polite("please")
        is_polite("no")

    def test_in_a_thread():
        thread = threading.Thread(target=check.equal, args=(1, 2))
        thread.start()
        thread.join()
        check.equal(1, 1)

    def test_the_body_fails_after_checks(check):
        check.equal(1, 1)
        check.equal(1, 2)
        assert "yes" == "no"

    def test_the_body_fails_although_checks_pass(check):
        check.equal(1, 1)
        assert "yes" == "no"

    @pytest.mark.gepa(threshold=0.5)
    def test_enough_checks_for_the_threshold(check):
        check.equal(1, 1)
        check.equal(1, 2)

    def test_checks_beside_a_score(check, gepa):
        gepa.score(0.5)
        check.equal(1, 1)
        check.equal(1, 2)

    def test_a_check_in_a_subtest_is_part_of_it(check, subtests):
        with subtests.test("a"):
            check.equal(1, 2)
            check.equal(1, 1)
        with subtests.test("b"):
            check.equal(1, 1)

    def test_checks_after_subtests(check, subtests):
        with subtests.test("a"):
            check.equal(1, 1)
        check.equal(1, 1)
        check.equal(1, 2)

    @pytest.mark.xfail
    def test_with_checks_is_expected_to_fail(check):
        check.equal(1, 2)

    def test_a_check_that_is_expected_to_fail(check):
        check.equal(1, 1)
        check.equal(1, 2, xfail="not yet")

    def test_checks_of_a_fixture_do_not_count(checked_before, check):
        check.equal(1, 1)
        check.equal(1, 2)

    def test_at_most_one_may_fail(check):
        check.set_max_fail(1)
        check.equal(1, 1)
        check.equal(1, 2)
        check.equal(1, 3)

    def test_one_that_raises_is_no_check(check):
        check.equal(1, 1)
        check.less(1, "a")

    def test_none_is_made():
        pass

    def test_a_broken_connection_in_a_block(check):
        with check:
            raise ConnectionError("no route")
"""
CHECKED = {
    "test_two_of_three_checks": ("failed", 2 / 3),
    "test_all_checks": ("passed", 1.0),
    "test_no_check": ("failed", 0.0),
    "test_by_other_names": ("failed", 3 / 4),
    "test_blocks": ("failed", 4 / 6),
    "test_a_function_of_its_own_is_one_check": ("failed", 1 / 3),
    "test_in_a_thread": ("failed", 1 / 2),
    "test_the_body_fails_after_checks": ("failed", 1 / 3),
    "test_the_body_fails_although_checks_pass": ("failed", 1 / 2),
    "test_enough_checks_for_the_threshold": ("passed", 1 / 2),
    "test_checks_beside_a_score": ("failed", 0.25),
    "test_a_check_in_a_subtest_is_part_of_it": ("failed", 1 / 2),
    "test_checks_after_subtests": ("failed", 2 / 3),
    "test_with_checks_is_expected_to_fail": ("xfailed", None),
    "test_a_check_that_is_expected_to_fail": ("xfailed", None),
    "test_checks_of_a_fixture_do_not_count": ("failed", 1 / 2),
    "test_at_most_one_may_fail": ("failed", 1 / 3),
    "test_one_that_raises_is_no_check": ("failed", 1 / 2),
    "test_none_is_made": ("passed", 1.0),
    "test_a_broken_connection_in_a_block": ("error", None),
}


@pytest.fixture(scope="module")
def checked(build: Build, usual_runner: Runner) -> dict[str, Rollout]:
    return run(build, usual_runner, CHECKS, CHECKED)


@pytest.mark.parametrize("name", CHECKED)
def test_the_share_of_soft_checks_that_pass_is_the_score(checked: dict[str, Rollout], name: str) -> None:
    outcome, score = CHECKED[name]
    assert (checked[name].outcome.value, checked[name].score) == (outcome, score and pytest.approx(score))


def test_each_check_is_a_part_of_the_score_with_its_own_feedback(checked: dict[str, Rollout]) -> None:
    rollout = checked["test_two_of_three_checks"]

    assert [(grade.name, grade.score, grade.kind) for grade in rollout.grades] == [
        ("check 1", 1.0, "check"),
        ("check 2", 0.0, "check"),
        ("check 3", 1.0, "check"),
    ]
    assert "yes == no" in rollout.grades[1].feedback
    assert "not the word" in rollout.grades[1].feedback
    assert rollout.feedback == "2 of 3 checks passed; failed: check 2"


def test_the_place_of_a_check_in_the_test_is_told_as_without_us(checked: dict[str, Rollout]) -> None:
    failure = checked["test_two_of_three_checks"].trajectory.failure
    statement = 'check.equal("yes", "no", "not the word")'
    line = next(number for number, line in enumerate(CHECKS.splitlines(), start=1) if statement in line)
    assert f"test_it.py:{line} in test_two_of_three_checks() -> {statement}" in failure
    assert "pytest-gepa" not in failure


def test_subtests_and_checks_are_told_apart(checked: dict[str, Rollout]) -> None:
    rollout = checked["test_checks_after_subtests"]
    assert [grade.kind for grade in rollout.grades] == ["subtest", "check", "check"]
    assert rollout.feedback == "1 of 2 checks passed; failed: check 2"


def test_where_its_plugin_is_switched_off_nothing_is_counted(build: Build, fork_runner: Runner) -> None:
    source = """
        from pytest_check import check

        def test_it():
            check.equal(1, 2)
    """
    rollout = run(build, fork_runner, source, ["test_it"], args=["-p", "no:check"])["test_it"]
    assert (rollout.outcome.value, rollout.score, rollout.grades) == ("passed", 1.0, ())
