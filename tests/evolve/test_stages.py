from __future__ import annotations

import pytest

from pytest_gepa.evolve.candidate import derive
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.stages import Stage, run_what_can_matter, stage_of
from pytest_gepa.evolve.tasks import CaseResult
from tests.evolve.test_gate import CHILD, SEED, ledger_of

OTHER = derive(SEED, {"a": "2"})


def state(ledger: Ledger, best: str, mean: float, wanted: int = 0, least: int = 1) -> Stage:
    best_scores = {str(n): float(score) for n, score in enumerate(best)}
    return stage_of(ledger, CHILD, best_scores, mean, {"4": 2}, wanted, least)


def stage(ledger: Ledger, best: str, mean: float, wanted: int = 0, least: int = 1) -> str:
    return "".join(run_what_can_matter(state(ledger, best, mean, wanted, least)))


def test_a_stage_tells_what_was_measured_and_what_is_open() -> None:
    found = state(ledger_of("0?0011", "1?0---", {"3": 2.0}), "100101", 0.5)
    assert found.scores == {"0": 1.0, "2": 0.0}
    assert found.missing == ("3", "4", "5")
    assert found.unsolved == ("4",)
    assert found.weights == {"0": 1.0, "2": 1.0, "3": 2.0, "4": 1.0, "5": 1.0}
    assert found.failure_rate == 0.5
    assert found.slack == 1 + 4 - 0.5 * 6


def test_cases_that_nobody_solves_are_run_before_those_that_others_solve() -> None:
    ledger = ledger_of("000011", "1-----")
    assert stage(ledger, "100111", 0.5, wanted=1) == "12"


def test_as_many_cases_as_should_show_the_failures_that_are_wanted() -> None:
    ledger = ledger_of("0" * 9, "1000-----")
    assert len(stage(ledger, "100000000", 0.1, wanted=2)) == 3
    assert len(stage(ledger, "100000000", 0.1, wanted=1, least=4)) == 4


def test_a_child_that_is_the_best_somewhere_is_run_on_all_the_rest_fragile_cases_first() -> None:
    assert stage(ledger_of("000111", "011---"), "001111", 0.9) == "435"


def test_a_child_that_can_only_tie_is_run_in_steps_that_could_end_it() -> None:
    ledger = ledger_of("0000001111", "0011------")
    # One more failure keeps it level with the best, two put it out.
    assert stage(ledger, "1111111111", 0.7) == "45"


def test_a_child_that_can_neither_reach_the_best_nor_be_the_best_anywhere_is_out() -> None:
    assert stage(ledger_of("0001111", "0001---"), "1111111", 0.9) == ""


def test_a_case_that_nobody_can_decide_is_worth_no_run_of_its_own() -> None:
    ledger = ledger_of("0001111", "1000---")
    assert stage(ledger, "0001111", 0.9) == "456"
    ledger.record("other", {"0": CaseResult(1.0, ("a",), "", True, "k")})
    for name in (SEED.id, CHILD.id, "other"):
        again = 1.0 - (ledger.evidence(name, "0") or 0.0)
        ledger.repeat(name, {"0": CaseResult(again, ("a",), "", True, name)})
    assert ledger.undecidable == ("0",)
    assert stage(ledger, "0001111", 0.9) == ""
    # Nor is it run first because nobody has solved it.
    assert state(ledger, "0001111", 0.9).unsolved == ()
    assert stage_of(ledger, OTHER, {str(n): 0.0 for n in range(7)}, 0.0, {}, 1, 1).unsolved[0] == "1"


def test_a_lead_by_less_than_trials_of_one_text_lie_apart_is_none() -> None:
    def graded(score: float, keys: str) -> CaseResult:
        return CaseResult(score, ("a",), "", True, keys)

    ledger = Ledger([SearchCase(str(n)) for n in range(3)])
    ledger.record_seed(SEED.id, {str(n): graded(0.5, "s") for n in range(3)})
    ledger.repeat(SEED.id, {"0": graded(0.7, "s")})
    assert ledger.jitter == pytest.approx(0.2)
    ledger.record(CHILD.id, {"0": graded(0.7, "c"), "1": graded(0.4, "c")})

    def of(best: tuple[float, ...]) -> Stage:
        return stage_of(ledger, CHILD, {str(n): score for n, score in enumerate(best)}, 0.9, {}, 0, 1)

    # It lacks too much to come to the mean of the best, and is above it nowhere by more than chance.
    assert of((0.6, 0.9, 0.9)).unsolved == ()
    assert run_what_can_matter(of((0.6, 0.9, 0.9))) == ()
    assert run_what_can_matter(of((0.4, 0.9, 0.9))) == ("2",)
    assert of((0.6, 0.9, 0.7)).unsolved == ("2",)
