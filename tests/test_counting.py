"""How rollouts are counted: those that a model has answered from the store, and those in which none was asked."""

from __future__ import annotations

import pytest

from pytest_gepa.check.state import CheckState
from pytest_gepa.evolve.candidate import seed_candidate
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.optimize.state import RunState
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory

SEED = seed_candidate({"a.md": "Be brief."})


def rollout(*calls: Call) -> Rollout:
    return Rollout(SEED.id, "a", "search/1", Outcome.passed, 1.0, Trajectory(calls))


def states() -> list[CheckState | RunState]:
    search = Search([SearchCase("a")], SEED.texts, SearchSettings(40, probe=2))
    return [CheckState(SEED, SEED), RunState(search)]


STORED = Call("asked", "m", (), Message("assistant", "yes"), cached=True)
SEARCH = Call("searched", "", (), Message("assistant", "[]"), kind="other")


@pytest.mark.parametrize("state", states(), ids=lambda state: type(state).__name__)
def test_a_rollout_without_a_model_is_not_counted_as_answered_from_the_cache(
    state: CheckState | RunState,
) -> None:
    for calls in [(STORED,), (SEARCH, STORED), (SEARCH,), ()]:
        state.count(rollout(*calls))

    assert (state.charged, state.cached) == (0, 2)
