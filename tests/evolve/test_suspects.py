"""Which cases may need which changes: what is learnt of runs without them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.suspects import Suspects, parts
from pytest_gepa.evolve.tasks import CaseResult
from pytest_gepa.prompts.hunks import find_hunks

SEED = {"a": "Do it.", "b": "Send it."}
WINNER = {"a": "Do it.\n- Mind the dates.\n- Mind the names.\n- Mind the sums.", "b": "Send it.\n- In time."}
HUNKS = [(name, hunk) for name in SEED for hunk in find_hunks(SEED[name], WINNER[name])]
FAILED = {"x": "AssertionError: the names are wrong", "y": "AssertionError: late", "z": ""}


def suspects(uses: Mapping[str, tuple[str, ...]] | None = None) -> tuple[Suspects, Ledger]:
    """The cases x and y fail under the seed, z passes; all pass under the winner. The seed is learnt."""
    ledger = Ledger([SearchCase(case) for case in FAILED])
    ledger.record_seed("seed", {case: CaseResult(float(not said), ("a", "b"), said) for case, said in FAILED.items()})
    ledger.record("winner", {case: CaseResult(1.0, ("a", "b")) for case in FAILED})
    used = uses or {}
    found = Suspects(ledger, "seed", "winner", HUNKS, lambda name, case: name in used.get(case, ("a", "b")))
    found.learn("seed", range(len(HUNKS)))
    return found, ledger


def ran(ledger: Ledger, name: str, **scores: float) -> str:
    ledger.record(name, {case: CaseResult(score, ("a", "b")) for case, score in scores.items()})
    return name


def test_a_case_that_passed_before_needs_nothing_as_far_as_is_known():
    found, _ = suspects()
    assert [found.suspicion([number], "z") for number in range(4)] == [0.0] * 4
    assert [found.suspicion([number], "x") for number in range(4)] == [0.25] * 4


def test_what_a_case_has_done_without_it_does_not_need():
    found, ledger = suspects()
    found.learn(ran(ledger, "half", x=1.0, y=0.0), [0, 2])
    assert found.suspicion([1], "x") == 0.5
    assert found.suspicion([0, 2], "x") == 0.0
    assert found.suspicion([0], "y") == 0.5
    assert set(found.blamed("y")) == {0, 2}


def test_only_changes_of_a_prompt_that_the_case_uses_are_suspected():
    found, _ = suspects({"y": ("b",)})
    assert found.suspicion([3], "y") == 1.0
    assert found.suspicion([0, 1, 2], "y") == 0.0


def test_what_could_be_spared_beside_a_change_may_be_needed_when_that_is_gone():
    found, ledger = suspects()
    found.learn(ran(ledger, "less", x=1.0), [1])
    assert found.suspicion([1], "x") == 0.0
    found.drop([0])
    assert found.suspicion([1], "x") == pytest.approx(1 / 3)


def test_of_equal_suspicion_the_case_of_which_the_change_speaks_comes_first():
    found, _ = suspects()
    assert [case for case, _ in found.order([1], ["z", "y", "x"])] == ["x", "y", "z"]
    assert max(found.blamed("x").items(), key=lambda one: one[1])[0] == 1


def test_candidates_made_of_some_of_the_changes_are_known_by_what_they_lack():
    texts = {
        "seed": SEED,
        "some": {"a": "Do it.\n- Mind the sums.\n- Mind the dates.", "b": "Send it."},
        "winner": WINNER,
        "other": {"a": "Do it.\n- Something else.", "b": "Send it."},
    }
    assert parts(texts, SEED, WINNER, HUNKS) == {"seed": (0, 1, 2, 3), "some": (1, 3), "winner": ()}
