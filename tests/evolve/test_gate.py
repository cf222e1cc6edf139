from __future__ import annotations

from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.evolve.gate import judge_gate
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.tasks import CaseResult

SEED = seed_candidate({"a": "0", "b": "0"})
CHILD = derive(SEED, {"a": "1"})


def ledger_of(seed: str, child: str, weights: dict[str, float] | None = None) -> Ledger:
    """Scores as one letter a case: 1, 0, ? for no evidence, - for not run. The cases are called 0, 1, 2
    ...
    """
    ledger = Ledger([SearchCase(str(n), (weights or {}).get(str(n), 1.0)) for n in range(len(seed))])
    ledger.record_seed(SEED.id, results(seed, "before"))
    ledger.record(CHILD.id, results(child, "after"))
    return ledger


def results(scores: str, keys: str, uses: tuple[str, ...] = ("a",)) -> dict[str, CaseResult]:
    return {
        str(n): CaseResult(None if score == "?" else float(score), uses, "", True, keys)
        for n, score in enumerate(scores)
        if score != "-"
    }


def verdict(seed: str, child: str, gate: str, weights: dict[str, float] | None = None) -> str:
    return judge_gate(ledger_of(seed, child, weights), CHILD, [SEED.id], list(gate)).verdict


def test_a_child_that_does_better_passes_and_an_equal_one_does_not() -> None:
    assert verdict("0001", "0101", "0123") == "passed"
    assert verdict("0001", "0100", "0123") == "failed"


def test_a_heavy_case_outweighs_two_light_ones() -> None:
    assert verdict("100", "011", "012", {"0": 3.0}) == "failed"
    assert verdict("100", "011", "012") == "passed"


def test_the_verdict_waits_only_for_cases_that_can_change_it() -> None:
    assert verdict("000111", "011---", "012345") == ""
    assert verdict("000111", "111---", "01234") == "passed"
    assert verdict("000111", "000---", "012345") == "failed"
    state = judge_gate(ledger_of("000111", "011---"), CHILD, [SEED.id], list("012345"))
    assert state.open == ("3", "4", "5")


def test_a_case_without_evidence_on_either_side_is_left_out() -> None:
    assert verdict("00?", "0?1", "012") == "failed"
    assert verdict("0001", "1?01", "0123") == "passed"
    state = judge_gate(ledger_of("0001", "1?01"), CHILD, [SEED.id], list("0123"))
    assert (state.before, state.after) == (1 / 3, 2 / 3)


def test_a_merge_must_beat_each_of_its_parents() -> None:
    ledger = ledger_of("1100", "0011")
    merged = derive(SEED, {"a": "1", "b": "1"}, others=(CHILD.id,))
    ledger.record(merged.id, results("1010", "merged"))
    assert judge_gate(ledger, merged, [SEED.id, CHILD.id], list("0123")).verdict == "failed"
    ledger.record(merged.id, results("1011", "merged"))
    assert judge_gate(ledger, merged, [SEED.id, CHILD.id], list("0123")).verdict == "passed"


def test_an_edit_that_changes_no_request_is_not_in_effect_whatever_the_scores() -> None:
    ledger = ledger_of("00", "--")
    for scores in ("11", "00"):
        ledger.record(CHILD.id, results(scores, "before"))
        assert judge_gate(ledger, CHILD, [SEED.id], list("01")).verdict == "not in effect"


def test_where_no_case_gave_evidence_there_is_none_of_an_effect_either() -> None:
    assert verdict("00", "??", "01") == "no evidence"


def test_cases_of_other_components_do_not_make_an_edit_take_effect() -> None:
    ledger = Ledger([SearchCase("0"), SearchCase("1")])
    ledger.record_seed(SEED.id, results("0", "before") | {"1": CaseResult(0.0, ("b",), "", True, "before")})
    ledger.record(CHILD.id, results("1", "before") | {"1": CaseResult(1.0, ("b",), "", True, "after")})
    assert judge_gate(ledger, CHILD, [SEED.id], list("01")).verdict == "not in effect"
