"""The methods that are run side by side on the simulated worlds, each as a function of a bench, a seed and a limit of
rollouts. What a method would return at any time is on the bench's curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from simulated import Driver

from pytest_gepa.evolve.decisions import Decisions, ParentChoice

GEPA: Mapping[str, Mapping[str, Any]] = {
    "gepa": {},
    "gepa, merge": {"merge": True},
    "gepa, minibatch 6": {"mb": 6},
    "gepa, minibatch 10": {"mb": 10},
    "gepa, greedy": {"select": "current_best"},
    "gepa, greedy, minibatch 6": {"select": "current_best", "mb": 6},
    "gepa, greedy, minibatch 10": {"select": "current_best", "mb": 10},
    "gepa, all": {"modules": "all"},
    "gepa, all, minibatch 10": {"modules": "all", "mb": 10},
    "gepa, all, greedy": {"modules": "all", "select": "current_best"},
    "gepa, all, greedy, minibatch 10": {"modules": "all", "select": "current_best", "mb": 10},
    "gepa, all, greedy, minibatch 10, merge": {
        "modules": "all",
        "select": "current_best",
        "mb": 10,
        "merge": True,
    },
}
"""Settings of the reference: its default, each of those that are said to help, and combinations of them."""


def ours(bench: Any, seed: int, limit: int) -> None:
    """Run pytest-gepa's search with its default settings."""
    Driver(bench, seed).run()


def greedy(bench: Any, seed: int, limit: int, merges: bool = True) -> None:
    """Run the same search, where the parent is always the best mean instead of a draw from the frontier."""

    def best_mean(choice: ParentChoice) -> str | None:
        pool = driver.search.pool
        best = pool.best(len(bench.cases))
        if not pool.ledger.workable(best.id):
            return None
        return choice.seed if choice.is_stuck else best.id

    decisions = Decisions(select_parent=best_mean)
    if not merges:
        decisions = replace(decisions, propose_merge=lambda pair: None)
    driver = Driver(bench, seed, decisions=decisions)
    driver.run()


def gepa(settings: Mapping[str, Any], bench: Any, seed: int, limit: int) -> None:
    """Run `gepa.optimize` through simbench's adapter."""
    from runners import gepa_ref

    gepa_ref.run(bench, seed, limit, **settings)


def climb(bench: Any, seed: int, limit: int) -> None:
    """Run simbench's hill climber: up to ten failing cases in a reflection, kept if the whole suite improves."""
    from runners import hillclimb

    hillclimb.run(bench, seed, limit, mb=10)


def dspy(settings: Mapping[str, Any], bench: Any, seed: int, limit: int) -> None:
    """Run DSPy's GEPA, which merges by default."""
    import dspy_gepa

    dspy_gepa.run(bench, seed, limit, **settings)


METHODS: Mapping[str, Callable[[Any, int, int], None]] = {
    "pytest-gepa": ours,
    "greedy": greedy,
    "greedy, no merge": partial(greedy, merges=False),
    "hill climber": climb,
    **{name: partial(gepa, settings) for name, settings in GEPA.items()},
    "DSPy GEPA": partial(dspy, {}),
    "DSPy GEPA, all, greedy, minibatch 10": partial(
        dspy,
        {
            "component_selector": "all",
            "candidate_selection_strategy": "current_best",
            "reflection_minibatch_size": 10,
        },
    ),
}


ONLY_SEVERAL = tuple(name for name in GEPA if "all" in name and not name.endswith("merge"))
"""Settings that are another one where there is one component."""
