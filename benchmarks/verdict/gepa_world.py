"""The same suites and edits through `gepa.optimize`, with its default settings and the budget that our search has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gepa
from flaky_world import PROMPT, SEED_TEXT, Cell, World
from gepa.core.adapter import EvaluationBatch
from product import default_plan


class Adapter:
    """Runs cases of a world."""

    propose_new_texts = None

    def __init__(self, world: World) -> None:
        self._world = world

    def evaluate(
        self, batch: Sequence[str], candidate: Mapping[str, str], capture_traces: bool = False
    ) -> EvaluationBatch[Any, Any]:
        scores = [float(self._world.passes(candidate[PROMPT], case)) for case in batch]
        return EvaluationBatch(list(scores), scores, list(scores) if capture_traces else None)

    def make_reflective_dataset(
        self, candidate: Mapping[str, str], batch: EvaluationBatch[Any, Any], components: Sequence[str]
    ) -> dict[str, list[dict[str, str]]]:
        return {name: [{"Feedback": str(score)} for score in batch.scores] for name in components}


class Silent:
    """Its log, unread."""

    def log(self, *_args: object, **_kwargs: object) -> None:
        pass


def run_gepa(cell: Cell, seed: int) -> dict[str, Any]:
    """One optimization, and what it reports: the best validation score less the first one's."""
    world = World(cell, seed)
    asked = 0

    def reflect(prompt: object) -> str:
        nonlocal asked
        asked += 1
        return f"```\n{world.edit(SEED_TEXT, asked)}```"

    result = gepa.optimize(
        {PROMPT: SEED_TEXT},
        trainset=world.names,
        valset=world.names,
        adapter=Adapter(world),
        reflection_lm=reflect,
        max_metric_calls=default_plan(world.names).search,
        seed=seed,
        logger=Silent(),
    )
    scores = result.val_aggregate_scores
    return {
        "method": "gepa",
        **asdict(cell),
        "seed": seed,
        "rollouts": result.total_metric_calls,
        "searched": scores[result.best_idx] - scores[0],
        "true": world.true_gain(result.candidates[result.best_idx][PROMPT]),
        "shipped": result.best_idx != 0 and scores[result.best_idx] > scores[0],
    }
