"""The product's own defaults for a number of cases, for benchmarks that run its parts in their own process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.run.plan import BudgetPlan, plan_budget, search_settings
from pytest_gepa.settings import Settings
from pytest_gepa.suite.rollout import Case


def default_plan(names: Sequence[str]) -> BudgetPlan:
    """The budget as it is shared out for these cases under the default settings."""
    here = Path()
    settings = Settings(
        mode="optimize",
        rootdir=here,
        prompts=(),
        prompts_base=here,
        reflection_model=None,
        budget=None,
        minutes=None,
        concurrency=1,
        trials=None,
        holdout=0.0,
        seed=0,
        timeout=1.0,
        max_broken=0,
        fail_on=None,
        isolation="auto",
    )
    return plan_budget(settings, [Case(name, name) for name in names])


def default_search(names: Sequence[str], seed: int) -> SearchSettings:
    """The settings of a search over these cases."""
    return search_settings(seed, default_plan(names))
