"""How the budget of rollouts is shared out before anything is spent: baseline, search, shrinking, confirm run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gepa.errors import SettingsError
from pytest_gepa.evolve.changes import LEAST_SHARE
from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.settings import DEFAULT_TRIALS, Settings
from pytest_gepa.suite.rollout import Case

SEARCH_FACTOR = 20
MINIBATCH = 12
PROBE_CASES = 12
"""At most so many cases are repeated, and no more than a third of them where there are many."""


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """Shares of the budget, in rollouts. `search` includes the baseline; `confirm` is for `trials` of every case, for
    today's prompts and for each of the `candidates`. `shrink` is kept for shrinking the winner, which may take what the
    search leaves as well; what it does not use stays unspent.

    `probe` rollouts repeat some cases under today's prompts, to see whether they end alike: the search goes by that,
    and where even the answers are the same, one confirm trial will do if `is_adaptive`. It is 0 where one trial was
    asked for.
    """

    limit: int
    search: int
    confirm: int
    probe: int
    trials: int
    candidates: int = 1
    is_adaptive: bool = True
    shrink: int = 0


def confirm_rollouts(cases: Sequence[Case], trials: int, candidates: int = 1) -> int:
    """Rollouts of a confirm run: today's prompts and each candidate, every case, as many trials as its marker or the
    run says.
    """
    return (1 + candidates) * sum(case.trials or trials for case in cases)


def plan_budget(settings: Settings, cases: Sequence[Case]) -> BudgetPlan:
    """Share out the budget. Raises `SettingsError`, naming the smallest that would do, when it cannot hold the run."""
    searched = sum(case.split == "search" for case in cases)
    least_confirm = confirm_rollouts(cases, settings.trials or 1, settings.confirm)
    smallest = 2 * searched + least_confirm
    if settings.budget is not None and settings.budget < smallest:
        raise SettingsError(
            f"a budget of {settings.budget} rollouts cannot hold the baseline ({searched}), one candidate "
            f"({searched}) and the confirm run ({least_confirm}); the smallest that can is --gepa-budget {smallest}"
        )
    trials = settings.trials or _affordable_trials(settings, cases)
    probe = 0 if trials == 1 else min(searched, PROBE_CASES, max(PROBE_CASES // 3, searched // 3))
    confirm = confirm_rollouts(cases, trials, settings.confirm)
    if settings.budget:
        probe = min(probe, settings.budget - 2 * searched - confirm)
    limit = settings.budget or SEARCH_FACTOR * searched + confirm + probe
    search = limit - confirm - probe
    shrink = _shrink_share(searched, search - searched) if settings.shrinks else 0
    is_adaptive = not settings.trials
    return BudgetPlan(limit, search - shrink, confirm, probe, trials, settings.confirm, is_adaptive, shrink=shrink)


def search_settings(seed: int, plan: BudgetPlan, *, has_model: bool = True, max_broken: int = 0) -> SearchSettings:
    """The settings of a run's search; `has_model` says whether there is a model that reflects, `max_broken` how many
    cases the winner may break."""
    return SearchSettings(
        seed=seed,
        rollouts=plan.search + plan.probe,
        minibatch=MINIBATCH,
        probe=plan.probe,
        unite=has_model,
        max_broken=max_broken,
    )


def _shrink_share(searched: int, free: int) -> int:
    """What shrinking gets of the rollouts that baseline and confirm run leave: a third at most, and what is left must
    hold a candidate.
    """
    return max(0, min(LEAST_SHARE * searched, free // 3, free - searched))


def _affordable_trials(settings: Settings, cases: Sequence[Case]) -> int:
    """The most trials, up to the default, whose confirm run leaves two thirds of the budget to the search."""
    budget = settings.budget
    if budget is None:
        return DEFAULT_TRIALS
    fitting = [
        trials
        for trials in range(2, DEFAULT_TRIALS + 1)
        if confirm_rollouts(cases, trials, settings.confirm) <= budget / 3
    ]
    return max(fitting, default=1)
