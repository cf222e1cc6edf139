from __future__ import annotations

import pytest

from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.tasks import CaseResult


def scored(score: float | None, **more: object) -> CaseResult:
    return CaseResult(score, **{"uses": ("a",), "keys": "k", **more})  # type: ignore[arg-type]


def ledger_of(seed: dict[str, float | None], **weights: float) -> Ledger:
    ledger = Ledger([SearchCase(case, weights.get(case, 1.0)) for case in seed])
    ledger.record_seed("seed", {case: scored(score) for case, score in seed.items()})
    return ledger


def test_means_are_weighted() -> None:
    ledger = ledger_of({"x": 1.0, "y": 0.0}, x=3.0)
    assert ledger.mean("seed") == 0.75


def test_a_case_without_evidence_under_the_seed_takes_no_part_for_anyone() -> None:
    ledger = ledger_of({"x": 1.0, "y": None})
    ledger.record("child", {"x": scored(0.0), "y": scored(1.0)})
    assert ledger.active == ("x",)
    assert ledger.mean("child") == 0.0
    assert ledger.divide("child") == (("x",), ())


def test_a_case_that_the_baseline_did_not_reach_takes_no_part() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(1.0)})
    assert ledger.active == ("x",)


@pytest.mark.parametrize(("before", "mean"), [(1.0, 1.0), (0.0, 0.5)])
def test_trouble_under_a_child_is_neither_a_failure_nor_a_gain(before: float, mean: float) -> None:
    ledger = ledger_of({"x": 1.0, "y": before})
    ledger.record("child", {"x": scored(1.0), "y": scored(None)})
    assert ledger.missing("child") == ()
    assert ledger.mean("child") == mean
    assert ledger.divide("child") == ((), ("x",))


def test_a_case_that_reaches_no_model_is_inherited_and_never_missing() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("plain")])
    modelless = CaseResult(0.0, (), "it fails", False, "")
    ledger.record_seed("seed", {"x": scored(0.0), "plain": modelless})
    assert ledger.missing("child") == ("x",)
    ledger.record("child", {"x": scored(1.0)})
    assert ledger.results["child"]["plain"] == modelless
    assert ledger.workable("child") == {}


def test_only_failures_that_used_a_component_can_be_worked_on() -> None:
    ledger = Ledger([SearchCase("x"), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.0, likeness="bad"), "y": scored(0.0, uses=())})
    assert ledger.workable("seed") == {"x": "bad"}
    assert ledger.cost(["a"], ledger.active) == 1


def test_a_case_passes_from_its_threshold_on() -> None:
    ledger = Ledger([SearchCase("x", threshold=0.8), SearchCase("y")])
    ledger.record_seed("seed", {"x": scored(0.8), "y": scored(0.99)})
    assert ledger.divide("seed") == (("y",), ("x",))
    assert not ledger.solved("seed")


def test_broken_are_the_cases_that_the_seed_passes_and_a_candidate_fails() -> None:
    ledger = ledger_of({"x": 1.0, "y": 0.0, "z": 1.0})
    ledger.record("child", {"x": scored(0.0), "y": scored(0.0), "z": scored(None)})
    assert ledger.broken("child") == ("x",)


def test_two_cases_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same id"):
        Ledger([SearchCase("x"), SearchCase("x")])
