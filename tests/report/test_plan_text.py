"""The plan as text, and the arithmetic of the budget below it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_gepa.errors import SettingsError
from pytest_gepa.plan import MINIBATCH, plan_budget
from pytest_gepa.prompts.components import Component
from pytest_gepa.report.plan_text import plan_lines
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case
from tests.report.runs import case

HERE = Path("/nowhere")
SETTINGS = Settings(
    mode="plan",
    rootdir=HERE,
    prompts=(),
    prompts_base=HERE,
    reflection_model="large",
    budget=None,
    minutes=None,
    concurrency=8,
    trials=None,
    holdout=0.0,
    seed=3,
    timeout=120.0,
    max_broken=0,
    fail_on=None,
    isolation="auto",
)
COMPONENTS = (
    Component("prompts/a.md", HERE / "prompts/a.md", "x" * 1234),
    Component("prompts/b.md", HERE / "prompts/b.md", "For {name}: {{ question }}"),
)


def cases(searched: int, held_out: int = 0) -> list[Case]:
    found = [case(f"s{n}") for n in range(searched)]
    return found + [case(f"h{n}", split="holdout") for n in range(held_out)]


def text(settings: Settings, chosen: Sequence[Case]) -> str:
    return "\n".join(plan_lines(settings, chosen, COMPONENTS, "large", plan_budget(settings, chosen)))


def test_a_plan_names_prompts_cases_and_costs():
    told = text(SETTINGS, cases(31, 10))
    assert "prompts              2\n  prompts/a.md: 1,234 characters\n" in told
    assert re.search(r"prompts/b\.md: \d+ characters, placeholders .*name", told)
    assert "cases                41 (31 search, 10 held out)" in told
    assert "who reads what       unknown until the baseline" in told
    assert "reflection model     large" in told
    assert "seed 3, concurrency 8, 120 s a case; nothing was run" in told
    assert "from 6 cases fixed with none broken (p < 0.05)" in told


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, budget=200), replace(SETTINGS, trials=2)])
def test_the_parts_of_the_budget_add_up_to_its_limit(settings: Settings):
    told = text(settings, cases(12, 3))
    limit = int(re.search(r"at most ([\d,]+) rollouts;", told)[1].replace(",", ""))  # type: ignore[index]
    parts = re.findall(r"^  (?:baseline|search|repeats|confirm run) +(?:at most )?([\d,]+)", told, re.M)
    assert sum(int(part.replace(",", "")) for part in parts) == limit


def test_too_few_cases_to_prove_anything_are_said():
    assert "provable             nothing: 5 cases are too few for p < 0.05 (6 would do)" in text(
        SETTINGS, cases(5)
    )
    assert "from 6 cases fixed" in text(SETTINGS, cases(6))


# The budget itself


def test_the_default_budget_is_twenty_rollouts_a_search_case_and_the_confirm_run():
    plan = plan_budget(SETTINGS, cases(31, 10))
    assert plan.trials == 3
    assert plan.confirm == 2 * 41 * 3
    assert plan.search == 20 * 31
    assert plan.limit == plan.search + plan.confirm + plan.probe


def test_a_marker_sets_the_trials_of_its_case():
    chosen = [*cases(9), case("often", trials=5)]
    assert plan_budget(replace(SETTINGS, trials=2), chosen).confirm == 2 * (9 * 2 + 5)


@pytest.mark.parametrize("searched", [1, 5, 12, 40])
@pytest.mark.parametrize("held_out", [0, 7])
@pytest.mark.parametrize("trials", [None, 1, 3])
def test_the_smallest_budget_that_is_named_will_do_and_one_less_will_not(
    searched: int, held_out: int, trials: int | None
):
    settings, chosen = replace(SETTINGS, trials=trials), cases(searched, held_out)
    with pytest.raises(SettingsError, match="the smallest that can is --gepa-budget") as caught:
        plan_budget(replace(settings, budget=1), chosen)
    smallest = int(str(caught.value).rsplit(" ", 1)[1])
    plan = plan_budget(replace(settings, budget=smallest), chosen)
    assert (plan.limit, plan.search + plan.confirm + plan.probe) == (smallest, smallest)
    assert plan.search >= searched + min(searched, MINIBATCH)
    with pytest.raises(SettingsError):
        plan_budget(replace(settings, budget=smallest - 1), chosen)


@pytest.mark.parametrize("budget", range(24 + 12 + min(12, MINIBATCH), 240, 7))
def test_a_confirm_run_with_more_trials_takes_no_more_than_a_third_of_a_given_budget(budget: int):
    plan = plan_budget(replace(SETTINGS, budget=budget), cases(12))
    assert plan.trials == 1 or 3 * plan.confirm <= budget
    assert plan.search >= 12 + min(12, MINIBATCH)
