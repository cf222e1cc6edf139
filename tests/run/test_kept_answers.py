"""Cases that may have been answered by what earlier ones of their process had asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pytest_gepa.run.inherit import may_know
from pytest_gepa.run.kept_answers import settled
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.usage import usage_of
from pytest_gepa.trace.trajectory import Call, Trajectory

BEHIND = Rollout("c", "facet", "t", Outcome.passed, 1.0, asked_before=("p",))
ASKS = replace(BEHIND, trajectory=Trajectory((Call("k", "m", (), None),)), uses=("p",), asked_before=())


def run_apart(
    found: Callable[[str, bool], Rollout], ran: list[Sequence[str]]
) -> Callable[[Sequence[str]], Mapping[str, Rollout]]:
    """Runs cases by `found`, which is told whether a case is the first one, and notes which."""

    def run(cases: Sequence[str]) -> Mapping[str, Rollout]:
        ran.append(list(cases))
        return {case: replace(found(case, case == cases[0]), case=case) for case in cases}

    return run


def test_a_case_behind_one_that_asked_may_repeat_its_answer_until_it_shows_a_call() -> None:
    assert BEHIND.may_repeat == {"p"}
    assert not replace(ASKS, asked_before=("p",)).may_repeat
    assert not replace(BEHIND, reads=("p",)).may_repeat
    assert may_know(replace(BEHIND, carried=("p",)), frozenset("p")) == {"p"}
    assert usage_of("r", {"p": "text"}, [BEHIND])["facet"].is_partial


def test_what_a_case_asks_apart_from_the_others_stands_for_it() -> None:
    paid = replace(BEHIND, charged=True)
    assert settled([paid, ASKS], run_apart(lambda *_: ASKS, [])) == {"facet": replace(ASKS, charged=True)}


def test_tests_that_ask_nothing_are_run_together() -> None:
    ran: list[Sequence[str]] = []
    runs = [replace(BEHIND, case=str(number)) for number in range(3)]
    found = settled(runs, run_apart(lambda *_: replace(BEHIND, asked_before=()), ran))
    assert ran == [["0", "1", "2"]]
    assert not any(run.may_repeat for run in found.values())


def test_cases_that_share_an_answer_are_run_by_themselves() -> None:
    ran: list[Sequence[str]] = []
    runs = [replace(BEHIND, case=str(number)) for number in range(3)]
    found = settled(runs, run_apart(lambda _, is_first: ASKS if is_first else BEHIND, ran))
    assert ran == [["0", "1", "2"], ["1"], ["2"]]
    assert [run.uses for run in found.values()] == [("p",)] * 3


def test_a_case_that_ends_otherwise_before_it_asks_or_is_not_run_stays_in_doubt() -> None:
    failed = replace(BEHIND, outcome=Outcome.failed, score=0.0, asked_before=())
    assert settled([BEHIND], run_apart(lambda *_: failed, [])) == {"facet": BEHIND}
    assert settled([BEHIND], lambda _: {}) == {}


def test_where_nothing_was_asked_before_nothing_is_run() -> None:
    ran: list[Sequence[str]] = []
    assert settled([ASKS, replace(BEHIND, asked_before=())], run_apart(lambda *_: ASKS, ran)) == {}
    assert not ran


BOTH = replace(ASKS, case="both", uses=("p", "q"))
ONE = replace(ASKS, case="one", uses=("q",), asked_before=("p", "q"))


def test_a_case_that_lacks_a_step_which_others_show_is_run_apart() -> None:
    """The application may have kept the first step's answer: then the case shows the second step alone."""
    ran: list[Sequence[str]] = []
    found = settled([BOTH, replace(ONE, charged=True)], run_apart(lambda *_: BOTH, ran))
    assert ran == [["one"]]
    assert found == {"one": replace(BOTH, case="one", charged=True)}


def test_a_case_that_asks_for_one_step_only_stays_as_it_was() -> None:
    ran: list[Sequence[str]] = []
    alone = replace(ONE, asked_before=("q",))
    runs = [BOTH, ONE, replace(ONE, case="two")]
    found = settled(runs, run_apart(lambda *_: alone, ran))
    assert ran == [["one", "two"]]  # nobody there asks for the other step
    assert found == {"one": runs[1], "two": runs[2]}


def test_where_steps_are_not_asked_for_together_nothing_is_run_again() -> None:
    ran: list[Sequence[str]] = []
    assert settled([replace(BOTH, uses=("p",)), ONE], run_apart(lambda *_: ONE, ran)) == {}
    assert settled([BOTH, replace(ONE, asked_before=("q",))], run_apart(lambda *_: ONE, ran)) == {}
    assert not ran
