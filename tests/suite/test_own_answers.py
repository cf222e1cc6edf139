from __future__ import annotations

from dataclasses import replace

from pytest_gepa.suite.own_answers import asks_nothing_more
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

ASKED = Call("k", "task", (), Message("assistant", "yes"))
STORED = Call("k", "task", (), Message("assistant", "yes"), cached=True)
MOCKED = Call("k", "task", (), Message("assistant", "yes"), sent=False)
EMBEDDED = Call("k", "embedder", (), None, kind="embedding")


def ran(case: str, *calls: Call, outcome: Outcome = Outcome.passed) -> Rollout:
    return Rollout("c", case, "t", outcome, 1.0, Trajectory(calls))


def failed(case: str, told: str, *calls: Call) -> Rollout:
    return Rollout("c", case, "t", Outcome.failed, 0.0, Trajectory(calls, failure=told))


def test_a_trial_without_a_call_is_no_draw_where_its_cases_had_asked() -> None:
    before = [ran("a", ASKED), ran("b")]
    assert asks_nothing_more(before, [ran("a"), ran("b")])
    assert asks_nothing_more(before, [ran("a", EMBEDDED)])
    assert asks_nothing_more(before, [ran("a", MOCKED)])
    assert not asks_nothing_more(before, [ran("a", ASKED), ran("b")])
    assert not asks_nothing_more(before, [ran("b")])


def test_one_case_may_be_answered_by_what_another_of_its_process_has_asked() -> None:
    assert not asks_nothing_more([ran("a", ASKED), ran("b")], [ran("a"), ran("b", ASKED)])


def test_an_answer_from_the_own_store_was_asked_for() -> None:
    assert not asks_nothing_more([ran("a", ASKED)], [ran("a", STORED)])


def test_cases_that_never_asked_and_trouble_say_nothing() -> None:
    assert not asks_nothing_more([ran("a"), ran("b", MOCKED), ran("c", EMBEDDED)], [ran("a"), ran("b"), ran("c")])
    assert not asks_nothing_more([ran("a", ASKED)], [ran("a", outcome=Outcome.error)])
    assert not asks_nothing_more([ran("a", ASKED)], [])


def test_a_failure_before_the_first_call_is_no_sign_of_a_store() -> None:
    asked = [ran("a", ASKED), ran("b", ASKED)]
    broken = failed("a", "assert 500 == 200")
    assert not asks_nothing_more(asked, [broken])
    assert not asks_nothing_more([failed("a", "assert 'no' == 'yes'", ASKED)], [broken])
    assert asks_nothing_more(asked, [broken, ran("b")])


def test_a_failure_just_as_after_an_answer_is_one() -> None:
    before = failed("a", "assert 'no' == 'yes'", ASKED)
    assert asks_nothing_more([ran("a", ASKED), before], [failed("a", "assert 'no' == 'yes'")])
    placed, same, other = (
        replace(failed("a", told), reached=(line,)) for told, line in (("one", 3), ("two", 3), ("one", 2))
    )
    before = replace(placed, trajectory=Trajectory((ASKED,), failure="one"))
    assert asks_nothing_more([before], [same])
    assert not asks_nothing_more([before], [other])
