"""Prompts that were changed together with code: today's code cannot fill in the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.report.check_markdown import render_check_markdown
from pytest_gepa.report.check_terminal import check_lines
from pytest_gepa.suite.rollout import Outcome, Rollout
from tests.check_world import EDITED, TODAY, World

CRASH = """\
app.py:7: in ask
    return model.ask(PROMPT.format(document=it))
E   KeyError: 'text'

app.py:7: KeyError"""
TOLD = "the old prompt does not go with the code of today: KeyError: 'text'"


class Renamed(World):
    """The code gives a placeholder another name than the base's prompt has for it, in the cases `crashing`."""

    crashing: tuple[str, ...] = ("case",)

    def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
        run = super().rollout(candidate, texts, case, trial)
        if case not in self.crashing or texts[EDITED] == TODAY:
            return run
        ended = replace(run.trajectory, calls=(), failure=CRASH)
        return replace(run, outcome=Outcome.failed, score=0.0, uses=(), trajectory=ended)


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.0])
def test_an_old_prompt_that_crashes_the_code_of_today_proves_nothing(rate: float, tmp_path: Path) -> None:
    world = Renamed({"case": (1.0, rate)})
    result = world.check(tmp_path)
    (case,) = result.cases
    assert (case.tier, case.base.trials, case.p_value) == ("trouble", 0, 1.0)
    assert (result.verdict, result.is_unmade) == ("not finished", True)
    assert result.reason == f"nothing was compared, as 1 case ended in trouble; the first: {TOLD}"
    assert (result.effect, max(int(trial[-1]) for _, _, trial in world.ran)) == (0.0, 2)


def test_a_case_that_the_old_prompt_crashes_is_listed_beside_those_that_are_compared(tmp_path: Path) -> None:
    rates = {"case": (1.0, 1.0), "steady": (1.0, 1.0)}
    result = Renamed(rates).check(tmp_path)
    assert {case.case: case.tier for case in result.cases} == {"case": "trouble", "steady": "stable"}
    assert (result.verdict, result.failed, result.effect) == ("no regression", False, 0.0)
    assert [(item.case, item.reason) for item in result.trouble] == [("case", TOLD)]
    assert TOLD in "\n".join(check_lines(result, "run"))
    assert "KeyError" in render_check_markdown(result)
    assert Renamed(rates).check(tmp_path, fails_on_trouble=True).failed


def test_an_old_prompt_that_was_asked_with_in_any_trial_is_compared(tmp_path: Path) -> None:
    class Seldom(Renamed):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            if trial.endswith("/2"):
                return World.rollout(self, candidate, texts, case, trial)
            return super().rollout(candidate, texts, case, trial)

    (case,) = Seldom({"case": (0.0, 0.0)}).check(tmp_path).cases
    assert case.tier == "failing"


def test_where_both_sides_crash_no_case_has_reached_a_model(tmp_path: Path) -> None:
    class Broken(Renamed):
        def rollout(self, candidate: str, texts: Mapping[str, str], case: str, trial: str) -> Rollout:
            return super().rollout(candidate, {**texts, EDITED: "as it was"}, case, trial)

    result = Broken({"case": (0.0, 0.0)}).check(tmp_path)
    assert (result.cases[0].tier, result.is_unmade) == ("failing", True)
    assert result.reason.startswith("nothing was compared, as no case reached a model")


def test_where_the_prompt_alone_was_changed_the_old_one_was_at_fault_itself(tmp_path: Path) -> None:
    (case,) = Renamed({"case": (1.0, 1.0)}, has_same_code=True).check(tmp_path).cases
    assert case.tier == "improved"
