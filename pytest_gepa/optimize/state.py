"""What is known of a run while it goes on, and where it shows itself. Kept by one thread, read by the report."""

from __future__ import annotations

import time
from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.search import Search
from pytest_gepa.evolve.shrink import Shrink
from pytest_gepa.evolve.tasks import Decision, Reflect
from pytest_gepa.reflect.menu import MenuName
from pytest_gepa.reflect.propose import ProposedEdit
from pytest_gepa.run.history import Resumed
from pytest_gepa.run.spending import Spending
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.suite.usage import ReflectionUsage
from pytest_gepa.trace.model_calls import is_served
from pytest_gepa.trace.record import StrayCall


class Screen(Protocol):
    """Where a run shows itself while it goes on."""

    def baseline_rollout(self, rollout: Rollout) -> None:
        """A case has been run under today's prompts."""

    def progress(self, phase: str, state: RunState) -> None:
        """A rollout has come in."""

    def decision(self, decision: Decision, state: RunState) -> None:
        """The search has decided something."""

    def confirming(self, trials: int) -> None:
        """The confirm run begins."""


@dataclass(slots=True)
class RunState:
    """What is known of a run so far; the result is made from it, however the run ends.

    `warnings` tell what the baseline, or the reflection model, has shown that the run cannot see to. `rollouts` are
    first trials, by candidate and case; `usual` is the trial that stands for all of a case that was run again.
    `resumed` is the run that this one resumes, and `paid_before` counts those that it had paid for
    of the rollouts that have come so far. `unended` counts what this run has paid for attempts of cases that may be run
    again.
    `rivals` are the candidates that the confirm run judges beside the winner, `repeats` the rollouts that were to show
    whether answers repeat.
    `trial_passes` tells of each trial that was run and gave evidence whether it passed, by candidate and case, then by
    the trial's name. `trials` is how many a side the confirm run has of each case, `planned_trials` how many it would
    have had.

    How it has ended, each in words that a user reads, "" where it was not so: `search_ended` is the search's own
    reason, `stopped` what has cut it short (time, money, an error), `reflection_failed` the error by which the
    reflection model fell silent. `confirm_stopped` has cut the confirm run off, `confirm_cut` left it fewer trials
    than planned, `unconfirmed` says why its trials are no evidence; `is_confirmed` that it came to its end.
    """

    search: Search
    rollouts: dict[tuple[str, str], Rollout] = field(default_factory=dict)
    usual: dict[tuple[str, str], Rollout] = field(default_factory=dict)
    proposals: dict[str, Mapping[str, ProposedEdit]] = field(default_factory=dict)
    menus: dict[str, MenuName] = field(default_factory=dict)
    asked: dict[str, Reflect] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    rejections: Counter[str] = field(default_factory=Counter)
    repeats: list[Rollout] = field(default_factory=list)
    trial_passes: dict[tuple[str, str], dict[str, bool]] = field(default_factory=dict)
    confirm: dict[str, dict[tuple[str, int], Rollout]] = field(default_factory=dict)
    confirm_spent: int = 0
    charged: int = 0
    resumed: Resumed | None = None
    paid_before: int = 0
    unended: dict[tuple[str, str, str], int] = field(default_factory=dict)
    trials: int = 0
    planned_trials: int = 1
    winner: Candidate | None = None
    shrink: Shrink | None = None
    stopped: str = ""
    rivals: tuple[Candidate, ...] = ()
    cached: int = 0
    reflections: int = 0
    task_models: set[str] = field(default_factory=set)
    search_ended: str = ""
    reflection_failed: str = ""
    confirm_stopped: str = ""
    confirm_cut: str = ""
    unconfirmed: str = ""
    is_confirmed: bool = False
    spending: Spending | None = None
    stray: tuple[StrayCall, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def unshrunk(self) -> str:
        """The id of the winner before it was shrunk, "" where it was not."""
        return self.shrink.before.id if self.shrink else ""

    @property
    def spent(self) -> int:
        """Rollouts that were charged: settled ones, and those heard of in an evaluation that was cut off."""
        heard = self.charged + sum(self.unended.values())
        return max(heard, self.search.budget.spent + self.confirm_spent)

    @property
    def standing(self) -> Mapping[tuple[str, str], Rollout]:
        """What stands for every case, all trials taken together, by candidate and case."""
        return ChainMap(self.usual, self.rollouts)

    @property
    def has_repeated_exactly(self) -> bool:
        """Whether answers and outcomes of today's prompts were repeated, and each was the baseline's."""
        seed = self.search.seed.id
        return bool(self.repeats) and all(
            _said(found) == _said(self.rollouts[seed, found.case]) for found in self.repeats
        )

    def under_todays_prompts(self) -> list[Rollout]:
        """Every rollout of today's prompts so far, of whatever phase."""
        seed = self.search.seed.id
        first = [rollout for (candidate, _), rollout in self.rollouts.items() if candidate == seed]
        return [*first, *self.repeats, *self.confirm.get(seed, {}).values()]

    def baseline(self, cases: Iterable[str]) -> list[Rollout]:
        """The first rollout of each of these cases under today's prompts, where there is one."""
        seed = self.search.seed.id
        return [self.rollouts[seed, case] for case in cases if (seed, case) in self.rollouts]

    @property
    def has_replies(self) -> bool:
        """Whether the reflection model has replied at all, now or in a run before."""
        return any(one.replies for made in self.proposals.values() for one in made.values())

    @property
    def paid_reflections(self) -> int:
        """Replies of the reflection model that were paid for, those of a round that did not come to its end too."""
        parts = self.spending.account.parts if self.spending else {}
        billed = sum(part.calls for (role, _), part in parts.items() if role == "reflection")
        return max(billed, self.reflections)

    def reflection_usage(self) -> ReflectionUsage | None:
        """What the reflections took that were paid for; None if there were none."""
        parts = self.spending.account.parts if self.spending else {}
        found = [(model, part) for (role, model), part in parts.items() if role == "reflection"]
        # Of a run that goes on, replies were paid for here, and rollouts there.
        if not found or not self.search.budget.spent or self.resumed:
            return None
        ((model, part), *_) = found
        told = part.calls - part.untold
        if not told:
            return None
        return ReflectionUsage(model, told, self.search.budget.spent, part.input_tokens, part.output_tokens)

    def count_attempt(self, rollout: Rollout, before: int = 0) -> None:
        """Add what an attempt cost that may be run again; `before` were paid for by the run that is resumed."""
        place = rollout.candidate, rollout.case, rollout.trial
        self.unended[place] = rollout.charged + rollout.in_vain - before

    def count(self, rollout: Rollout, before: int = 0) -> None:
        """Add what a rollout cost and how it ended, of whatever phase; `before` of its attempts were paid for by the
        run that is resumed.
        """
        self.unended.pop((rollout.candidate, rollout.case, rollout.trial), None)
        calls = rollout.trajectory.calls
        if rollout.score is not None:
            trials = self.trial_passes.setdefault((rollout.candidate, rollout.case), {})
            trials[rollout.trial] = rollout.outcome is Outcome.passed
        paid = rollout.charged + rollout.in_vain
        self.charged += paid
        self.paid_before += before
        self.cached += any(map(is_served, calls)) and not (rollout.charged and paid > before)
        self.task_models.update(call.model for call in calls if call.model)


def _said(rollout: Rollout) -> tuple[Outcome, tuple[str, ...]]:
    answers = (call.answer.content if call.answer else "" for call in rollout.trajectory.calls)
    return rollout.outcome, tuple(answers)
