"""Suites of flaky cases without models, whose prompt an edit makes better by a known amount or not at all, and one run
of the product's search, shrinking and confirm run over them, in this process.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from product import default_plan

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.changes import changes, fair_share
from pytest_gepa.evolve.problem import SearchCase
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.shrink import Shrink
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Evaluated, Reflect, Reflected
from pytest_gepa.run.plan import search_settings
from pytest_gepa.verdict.judge import PROVEN, CaseScore, judge

FLAKY_RATE = 0.5
PROMPT = "prompts/answer.md"
SEED_TEXT = "Answer the question.\n"
GOOD = "- The rule that helps.\n"
CHANCE_OF_GOOD = 0.25
"""Of the edits, where there is a gain to be had."""
NOISE = 0.2
LOWEST_AND_HIGHEST = (0.2, 0.5)
"""Of the mean scores of graded cases under today's prompt, so that no noise nor gain (of up to +15) leaves [0, 1]."""
PASSES = 0.5
"""The score from which a graded case passes."""


@dataclass(frozen=True)
class Cell:
    """A kind of suite: its cases, the share of them that is flaky, and the true gain of the edit that helps.

    Half of the cases that are not flaky pass, the others fail. A gain is had by mending failing cases; where every case
    is flaky, by a higher pass rate of all.
    """

    cases: int
    flaky: float
    gain: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.cases} cases, {100 * self.flaky:.0f} % flaky, gain {100 * self.gain:+.0f}"


@dataclass(frozen=True)
class GradedCell(Cell):
    """A kind of suite whose every case has a score: its own mean, and in each trial noise of up to `NOISE` around it.

    Every second case gains half as much again as the mean does, the others half as much.
    """

    @property
    def name(self) -> str:
        return f"{self.cases} graded cases, gain {100 * self.gain:+.0f}"


class World:
    """One suite: the mean scores of its cases under a text, pass rates where they are not graded, and draws of what a
    rollout gives.
    """

    def __init__(self, cell: Cell, seed: int) -> None:
        self.cell = cell
        self.source = random.Random(f"{cell} {seed}")
        number = cell.cases
        self.names = [f"tests/test_it.py::test[{at}]" for at in range(number)]
        self._at = {name: at for at, name in enumerate(self.names)}
        if isinstance(cell, GradedCell):
            self.rates = [self.source.uniform(*LOWEST_AND_HIGHEST) for _ in range(number)]
            self.better = [rate + cell.gain * (0.5 + at % 2) for at, rate in enumerate(self.rates)]
            return
        flaky = max(1, round(cell.flaky * number))
        steady = [float(at % 2) for at in range(number - flaky)]
        self.rates = [FLAKY_RATE] * flaky + steady
        self.source.shuffle(self.rates)
        failing = [at for at, rate in enumerate(self.rates) if rate == 0]
        mended = failing[: round(cell.gain * number)]
        if cell.flaky == 1:
            self.better = [rate + cell.gain for rate in self.rates]
        else:
            self.better = [1.0 if at in mended else rate for at, rate in enumerate(self.rates)]

    def rates_of(self, text: str) -> list[float]:
        return self.better if GOOD in text else self.rates

    def true_gain(self, text: str) -> float:
        """The gain of a text over today's, in mean score."""
        return (sum(self.rates_of(text)) - sum(self.rates)) / len(self.rates)

    def passes(self, text: str, case: str) -> bool:
        return self.source.random() < self.rates_of(text)[self._at[case]]

    def score(self, text: str, case: str) -> float:
        """The score of a trial."""
        if not isinstance(self.cell, GradedCell):
            return float(self.passes(text, case))
        return round(self.rates_of(text)[self._at[case]] + self.source.uniform(-NOISE, NOISE), 2)

    def edit(self, text: str, number: int) -> str:
        """An edit that changes nothing, or now and then the one that helps, where there is one."""
        helps = self.cell.gain and GOOD not in text and self.source.random() < CHANCE_OF_GOOD
        return text + (GOOD if helps else f"- Remark {number}.\n")


def run_product(cell: Cell, seed: int) -> dict[str, Any]:
    """One optimization: the real search, budget, choice of the winner, shrinking, rule of trials and verdict."""
    world = World(cell, seed)
    plan = default_plan(world.names)
    cases = [SearchCase(name) for name in world.names]
    search = Search(cases, {PROMPT: SEED_TEXT}, search_settings(seed, plan))
    reflections = 0
    baseline: dict[str, CaseResult] = {}
    is_flaky = False
    tasks = list(search.ask())
    while tasks:
        task = tasks.pop(0)
        if isinstance(task, Evaluate):
            results = _results(world, task)
            if task.purpose == "baseline":
                baseline = results
            elif task.candidate.id == search.seed.id:
                # An answer is but its outcome here.
                is_flaky |= any(result.score != baseline[name].score for name, result in results.items())
            search.tell(Evaluated(task.candidate.id, results))
        else:
            reflections += 1
            search.tell(_reflected(world, task, reflections))
        tasks += search.ask()
    found, today = search.best(0), search.seed
    winner = found if found.id == today.id else _shrunk(world, search, found, plan.shrink)
    row: dict[str, Any] = {
        "method": "product",
        **asdict(cell),
        "seed": seed,
        "rollouts": search.budget.spent,
        "searched": search.mean(found) - search.mean(today),
        "true": world.true_gain(winner.texts[PROMPT]),
        "true_before_shrinking": world.true_gain(found.texts[PROMPT]),
        "shipped": winner.id != today.id,
        "confirmed": 0.0,
        "trials": 0,
        "p_value": 1.0,
        "verdict": "not proven",
        "interval": [0.0, 0.0],
    }
    if winner.id == today.id:
        return row
    sides = [_trials(world, text, plan.trials) for text in (SEED_TEXT, winner.texts[PROMPT])]
    results = search.results
    trials = plan.trials if is_flaky or _is_unlike(results[today.id], results[winner.id], *sides) else 1
    scores = [
        CaseScore(name, *(tuple(side[name][:trials]) for side in sides))  # type: ignore[arg-type]
        for name in world.names
    ]
    verdict = judge(scores, seed=seed)
    return {
        **row,
        "confirmed": verdict.effect,
        "trials": trials,
        "p_value": verdict.p_value,
        "verdict": verdict.kind,
        "interval": list(verdict.interval),
    }


def is_proven(row: Mapping[str, Any]) -> bool:
    return bool(row["verdict"] == PROVEN)


def _shrunk(world: World, search: Search, winner: Candidate, kept: int) -> Candidate:
    """The smallest version of the winner, by the rollouts that are kept for that and what the search has left."""
    share = fair_share(len(world.names), len(changes(search.seed, winner)))
    search.budget.grant(kept)
    shrink = Shrink(search.pool, winner, search.budget, min(search.budget.remaining, share))
    while task := shrink.ask():
        shrink.tell(Evaluated(task.candidate.id, _results(world, task)))
    return shrink.winner


def _results(world: World, task: Evaluate) -> dict[str, CaseResult]:
    return {name: _result(world, task, name) for name in task.cases}


def _result(world: World, task: Evaluate, name: str) -> CaseResult:
    score = world.score(task.candidate.texts[PROMPT], name)
    passed = score >= PASSES
    return CaseResult(score, (PROMPT,), "" if passed else "the answer is wrong", True, task.candidate.id, passed)


def _reflected(world: World, task: Reflect, number: int) -> Reflected:
    text = world.edit(task.parent.texts[PROMPT], number)
    return Reflected(task.proposal, {PROMPT: text}, "the prompt does not say it", {PROMPT: "+ a remark"})


def _trials(world: World, text: str, trials: int) -> dict[str, list[float]]:
    return {name: [world.score(text, name) for _ in range(trials)] for name in world.names}


def _is_unlike(
    seed: Mapping[str, CaseResult],
    winner: Mapping[str, CaseResult],
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
) -> bool:
    """As the product decides it after the first trial: did a case's sides differ where in the search they did not?"""
    return any(
        abs(_score(winner[name]) - _score(seed[name])) != abs(after[name][0] - before[name][0]) for name in before
    )


def _score(result: CaseResult) -> float:
    return result.score or 0.0
