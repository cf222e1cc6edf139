"""What a run has spent, as its rollouts tell."""

from __future__ import annotations

from dataclasses import replace

from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.search import Search
from pytest_gepa.optimize.state import RunState
from pytest_gepa.run.history import Resumed
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Call, Message, Trajectory


def test_what_came_from_the_run_that_is_resumed_is_told_apart_with_its_retries() -> None:
    state = RunState(Search([SearchCase("a")], {"p": "Do it."}, SearchSettings(10)))
    state.resumed = Resumed("2026-11-22-1", 3, 0.0)
    call = Call("k", "model", (), Message("assistant", "yes"))
    asked = Rollout("c", "a", "search/0", Outcome.passed, 1.0, Trajectory((call,)), charged=True, in_vain=1)
    state.count(asked)
    assert (state.spent, state.paid_before, state.cached) == (2, 0, 0)
    stored = replace(asked, trajectory=Trajectory((replace(call, cached=True),)))
    state.count(stored, 2)
    assert (state.spent, state.paid_before, state.cached) == (4, 2, 1)
    state.count(replace(stored, charged=False), 1)
    assert (state.spent, state.paid_before, state.cached) == (5, 3, 2)
    state.count(asked, 1)  # it had ended in trouble there
    assert (state.spent, state.paid_before, state.cached) == (7, 4, 2)


def test_an_attempt_that_was_cut_off_before_the_next_one_is_spent() -> None:
    state = RunState(Search([SearchCase("a")], {"p": "Do it."}, SearchSettings(10)))
    lost = Rollout("c", "a", "search/0", Outcome.timeout, None, charged=True, in_vain=2)
    state.count_attempt(lost, 1)
    assert (state.spent, state.paid_before) == (2, 0)
    state.count(replace(lost, charged=False, in_vain=3), 1)
    assert (state.spent, state.paid_before) == (3, 1)


def test_what_was_refused_was_answered_by_nobody_and_not_by_the_cache_either() -> None:
    state = RunState(Search([SearchCase("a")], {"p": "Do it."}, SearchSettings(10)))
    call = Call("k", "model", (), None, status=401, error="wrong key")
    state.count(Rollout("c", "a", "search/0", Outcome.error, None, Trajectory((call,))))
    assert (state.spent, state.cached) == (0, 0)
