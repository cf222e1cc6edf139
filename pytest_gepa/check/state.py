"""What is known of a check while it goes on. Kept by one thread, read by the report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pytest_gepa.check.baselines import RecordedCase
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.run.spending import Spending
from pytest_gepa.run.unreached import first_failure, has_reached_a_model, why_unreached
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.model_calls import is_served
from pytest_gepa.verdict.sequential import FAILING, Tier, Trials, judge_cases

SideName: TypeAlias = Literal["base", "today"]
BASE: SideName = "base"
TODAY: SideName = "today"


@dataclass(slots=True)
class CheckState:
    """What is known of a check so far; the result is made from it, however the check ends.

    `rollouts` are by side and case, and then by trial. `trials` are the cases that are compared, by id, in the order of
    the suite. `untouched` are the cases that no change can reach, `alike` those of them that read a changed prompt
    and asked for the same under both texts, `on_new_prompts` those that use a prompt that the base has not, with its
    id, `passed_over` those that were to be compared and say nothing today: they are skipped, or expected to fail.
    `uses` are the changed prompts of each case, `has_same_code` says that the base has the code of today.
    `stopped` is why the check could not go on to its end, in words, `is_out_of_budget` that it was for want of
    rollouts, `is_out_of_time` that the minutes were over before it; `problems` tell what went wrong in the recording
    itself. `recorded` is what a saved baseline has of the cases, in place of a base that is run. `planned` are all
    trials of a baseline that is saved, once it is known which cases reach a model.
    """

    today: Candidate
    base: Candidate
    rollouts: dict[tuple[SideName, str], dict[int, Rollout]] = field(default_factory=dict)
    trials: dict[str, Trials] = field(default_factory=dict)
    recorded: Mapping[str, RecordedCase] = field(default_factory=dict)
    untouched: set[str] = field(default_factory=set)
    alike: set[str] = field(default_factory=set)
    on_new_prompts: dict[str, str] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)
    uses: dict[str, frozenset[str]] = field(default_factory=dict)
    planned: int = 0
    has_same_code: bool = False
    stopped: str = ""
    has_ended: bool = False
    is_out_of_budget: bool = False
    is_out_of_time: bool = False
    charged: int = 0
    settled: int = 0
    cached: int = 0
    task_models: set[str] = field(default_factory=set)
    problems: tuple[str, ...] = ()
    spending: Spending | None = None
    started: float = field(default_factory=time.monotonic)

    def side(self, side: SideName, case: str) -> list[tuple[int, Rollout]]:
        """The rollouts of a case on one side, with the numbers of their trials, in order."""
        return sorted(self.rollouts.get((side, case), {}).items(), key=lambda item: item[0])

    def every_rollout(self, *sides: SideName) -> list[Rollout]:
        """Every rollout of these sides."""
        return [run for (side, _), runs in self.rollouts.items() if side in sides for run in runs.values()]

    def first(self, side: SideName, case: str) -> Rollout | None:
        """The rollout of the first trial, None where it was not run."""
        return self.rollouts.get((side, case), {}).get(0)

    def imported(self, rollout: Rollout, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        """The prompts that a rollout has read at import and may go by: those of which the text was not seen to arrive
        in any request, here or in earlier runs (`seen`).

        What is read at import is seen by whoever looks at it there: no sign of use, no proof of none.
        """
        arrived = {name for one in self.every_rollout(BASE, TODAY) for name in one.uses}
        return frozenset(rollout.imported) - arrived - seen

    def unfit(self, case: str) -> str:
        """Why a case tells nothing of its prompts, "" where it may: an exception of the application has ended every
        trial under the old ones before a model was reached, and under today's one was reached.

        Code that was changed together with its prompt asks the old text for what is not in it. That the old side fails
        by this is no evidence that it was no better. With the same code the old prompt was at fault itself.
        """
        if self.recorded or self.has_same_code:
            return ""
        base, today = ([run for _, run in self.side(side, case)] for side in (BASE, TODAY))
        if any(run.outcome is Outcome.passed for run in base) or not why_unreached(base):
            return ""
        if not has_reached_a_model(today):
            return ""
        return f"the old prompt does not go with the code of today: {first_failure(base)}"

    def tiers(self) -> tuple[Tier, ...]:
        """The tier of every case that is compared."""
        unfit = {case for case in self.trials if self.unfit(case)}
        judged = iter(judge_cases([one for case, one in self.trials.items() if case not in unfit]))
        return tuple(_without_evidence(one) if case in unfit else next(judged) for case, one in self.trials.items())

    @property
    def spent(self) -> int:
        """Rollouts that were charged: settled ones, retries among them, and those heard of in one that was cut off."""
        return max(self.charged, self.settled)

    def count(self, rollout: Rollout) -> None:
        """Add what a rollout took."""
        calls = rollout.trajectory.calls
        self.charged += rollout.charged
        self.cached += any(map(is_served, calls)) and not rollout.charged
        self.task_models.update(call.model for call in calls if call.model)


def _without_evidence(trials: Trials) -> Tier:
    return Tier(trials.case, "trouble", 1.0, trials.handed_out >= min(trials.cap, FAILING))
