"""Trials in which cases ask no model: a flaky step before it, or an application that keeps answers of its own."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.trajectory import Trajectory
from tests.baseline_world import ModelWorld
from tests.check_world import World


class Stepping(World):
    """A step of the application before its model breaks in one of ten further trials."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if trial.endswith("/0") or random.Random(f"{case} {trial} {candidate}").random() > 0.1:
            return run
        told = Trajectory(failure="assert 500 == 200")
        return replace(run, outcome=Outcome.failed, score=0.0, trajectory=told)


@pytest.mark.parametrize("seed", range(4))
def test_a_step_that_breaks_before_the_model_ends_no_check(seed: int, tmp_path: Path) -> None:
    world = Stepping({"broken": (1, 0.3), "steady": (1, 1)}, seed=seed)
    result = world.check(tmp_path)
    assert (result.verdict, result.stopped) == ("regressed", "")


class Keeping(World):
    """The application keeps the answer to `kept` in the trials `silent` of both sides."""

    kept = ("kept",)
    silent: tuple[int, ...] = tuple(range(1, 99))

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        if case not in self.kept or int(trial.rpartition("/")[2]) not in self.silent:
            return super().rollout(candidate, texts, case, trial)
        first = super().rollout(candidate, texts, case, f"{trial.rpartition('/')[0]}/0")
        return replace(first, trajectory=replace(first.trajectory, calls=()))


def test_one_trial_without_a_request_is_no_store(tmp_path: Path) -> None:
    world = Keeping({"kept": (1, 1)})
    world.silent = (2,)
    result = world.check(tmp_path)
    assert (result.verdict, result.stopped) == ("no regression", "")
    assert result.cases[0].today.trials == 6


class Alone(Keeping):
    """The server has no answer for the other cases in the trials that come first."""

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if case in self.kept or not trial.endswith(("/1", "/2")):
            return run
        return replace(run, outcome=Outcome.error, score=None, trajectory=Trajectory(failure="503"))


def test_a_case_that_is_answered_from_a_store_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    result = Alone({"kept": (1, 1), "broken": (1, 0)}).check(tmp_path)
    trials = {case.case: (case.tier, case.today.trials) for case in result.cases}
    assert trials == {"kept": ("stable", 1), "broken": ("regressed", 9)}
    assert result.stopped.startswith("kept asked no model in further trials")


def test_a_store_of_all_cases_ends_the_check(tmp_path: Path) -> None:
    world = Keeping({"kept": (1, 1)})
    result = world.check(tmp_path)
    assert result.verdict == "not finished"
    assert result.stopped.startswith("kept asked no model in further trials, though it did in the first")
    assert [case.today.trials for case in result.cases] == [1]


def test_nothing_is_saved_of_a_suite_in_which_a_case_is_answered_from_a_store(tmp_path: Path) -> None:
    world = ModelWorld({"kept": 1.0, "other": 1.0})
    usual = world.suite.run_case

    def run(candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        found = usual(candidate, texts, case, trial)
        if trial.endswith("/0"):
            return found
        return replace(found, trajectory=replace(found.trajectory, calls=()))

    world.suite.run_case = run
    _, state = world.save(tmp_path)
    assert not state.has_ended
    assert state.stopped.startswith("kept and 1 other case asked no model in further trials, though they did")
    assert len(world.ran("kept")) == 3
