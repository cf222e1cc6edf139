"""Rounds of trials: cases run under the texts of a side, several at once, until each is decided."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Protocol

from pytest_gepa.check.baselines import rounded
from pytest_gepa.check.state import BASE, TODAY, CheckState, SideName
from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.candidate import Candidate, seed_candidate
from pytest_gepa.prompts.components import Component, todays_texts
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.journal import Journal, rollout_fields
from pytest_gepa.run.kept_answers import run_again, settled
from pytest_gepa.run.shared_budget import SharedBudget
from pytest_gepa.settings import Settings
from pytest_gepa.suite.condensed import condensed, without_reports
from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.own_answers import ENOUGH, not_compared, repeating_cases, telling_cases
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.verdict.sequential import CAP, look_at, next_look


class CheckScreen(Protocol):
    """Where a check shows itself while it goes on."""

    def first_trial(self, rollout: Rollout) -> None:
        """A case has been run under today's prompts for the first time."""

    def progress(self, state: CheckState) -> None:
        """A rollout has come in."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases to be run on one side in one trial."""

    side: SideName
    trial: int
    cases: tuple[str, ...]


def most_trials(case: Case, settings: Settings) -> int:
    """The most trials that a case may have on a side."""
    return case.trials or settings.trials or CAP


@dataclass(frozen=True, slots=True)
class Bench:
    """What trials are run with. `run` names the run in its trials, which no other run has; `components` are those of
    today, `cases` all of the session's."""

    settings: Settings
    run: str
    cases: Sequence[Case]
    components: Sequence[Component]
    suite: Suite
    journal: Journal
    screen: CheckScreen

    @property
    def today(self) -> Candidate:
        """The prompts of today."""
        return seed_candidate(todays_texts(self.components))


class Rounds:
    """Runs trials for a check, keeps them in its `state`, and stops where budget, money or time do.

    `phase` is what its trials are called. `sides` are those that are run: both, or today's alone beside a recorded one.
    `repeating` are the cases that are run no more, as their application answers from a store of its own.
    """

    def __init__(self, bench: Bench, phase: str, sides: tuple[SideName, ...], state: CheckState) -> None:
        self.state = state
        self.repeating: set[str] = set()
        self._settings = bench.settings
        self._trials = f"{bench.run}/{phase}"
        self._cases = {case.id: case for case in bench.cases}
        self._sides = sides
        self._suite = bench.suite
        self._journal = bench.journal
        self._screen = bench.screen
        self._crew = Crew()
        budget = bench.settings.budget
        self._budget = SharedBudget(sys.maxsize if budget is None else budget)

    @property
    def spent(self) -> int:
        """Rollouts that were charged by now."""
        return self._budget.spent

    @property
    def remaining(self) -> int:
        """Rollouts that the budget still has."""
        return self._budget.remaining

    def run(self, begin: Callable[[], None]) -> None:
        """Run what `begin` plays, and then more trials of the state's cases until all are decided.

        When it is interrupted every child is ended, and the interrupt goes on.
        """
        try:
            with self._crew.interruptible():
                begin()
                self._look(tuple(self.state.trials))
                while not self.state.stopped and (due := self._due()):
                    self._round(due)
                    self._look(due)
            if self.repeating:
                names = [case.nodeid for name, case in self._cases.items() if name in self.repeating]
                self.state.stopped = self.state.stopped or not_compared(names)
            self.state.has_ended = not self.state.stopped
        except BaseException as error:
            if isinstance(error, GepaError):
                self.state.stopped = self.state.stopped or error.brief
            # A second Ctrl-C comes easily while children end; what was paid for must not be lost by it.
            with undisturbed():
                self._suite.stop()
                self._crew.keep_waiting()
                self._look(tuple(self.state.trials))
            raise

    # More trials, for the cases that are still undecided

    def _due(self) -> tuple[str, ...]:
        return tuple(tier.case for tier in self.state.tiers() if not tier.decided and tier.case not in self.repeating)

    def _round(self, due: Sequence[str]) -> None:
        """Run the trials up to the next look of these cases, on every side that is run."""
        wanted: dict[int, list[str]] = {}
        room = self._budget.remaining
        for case in due:
            one = self.state.trials[case]
            numbers = range(one.handed_out, next_look(one))
            if len(self._sides) * len(numbers) > room:
                self._run_out_of_budget()
                continue
            room -= len(self._sides) * len(numbers)
            for number in numbers:
                wanted.setdefault(number, []).append(case)
        self.play(
            [Batch(side, number, tuple(cases)) for number, cases in sorted(wanted.items()) for side in self._sides]
        )

    def _look(self, cases: Iterable[str]) -> None:
        """Take in the trials of these cases."""
        for case in cases:
            one = self.state.trials[case]
            sides = {side: self.state.side(side, case) for side in self._sides}
            handed_out = min(1 + max((trial for trial, _ in sides[side]), default=-1) for side in sides)
            if handed_out <= one.handed_out:
                continue
            scores = {
                side: tuple(score for _, run in runs if (score := self._score(case, run)) is not None)
                for side, runs in sides.items()
            }
            base = scores.get(BASE, one.base)
            today = tuple(map(rounded, scores[TODAY])) if one.is_recorded else scores[TODAY]
            self.state.trials[case] = look_at(replace(one, base=base, today=today, handed_out=min(handed_out, one.cap)))
            self._journal.write("look", trials=self.state.trials[case])

    def _score(self, case: str, rollout: Rollout) -> float | None:
        """What a trial counts in the comparison: under a threshold whether the case passed, else its score."""
        if not rollout.outcome.is_evidence or rollout.score is None:
            return None
        if self._cases[case].threshold is not None:
            return float(rollout.outcome is Outcome.passed)
        return rollout.score

    # Running

    def play(self, batches: Sequence[Batch]) -> None:
        """Run batches, several at once; each takes its share of the budget before it begins."""
        waiting = [batch for batch in batches if batch.cases]
        while waiting or self._crew.busy:
            while waiting and self._has_room(waiting[0]):
                batch = self._affordable(waiting.pop(0))
                if batch.cases:
                    self._crew.start(partial(self._work, batch))
            if self._crew.busy:
                message = self._crew.next()
                self.state.settled = self._budget.spent
                if callable(message):
                    message()
        for side in self._sides:
            self._doubt(side, [batch for batch in batches if batch.side == side and batch.trial > 0])

    def settle(self) -> None:
        """Run cases again of which the first trial of today tells nothing: earlier ones had asked in their process."""
        runs = [run for case in self._cases if (run := self.state.first(TODAY, case)) is not None]
        for case, rollout in settled(runs, self._run_again).items():
            self._runs(TODAY, case)[0] = condensed(without_reports(rollout))

    def _run_again(self, cases: Sequence[str]) -> Mapping[str, Rollout]:
        """Run cases again in the first trial of today."""
        if self._is_over():
            return {}
        today, trial = self.state.today, f"{self._trials}/0"
        return self._crew.wait_for(partial(run_again, self._suite, today, cases, trial, self._budget))

    def _doubt(self, side: SideName, batches: Sequence[Batch]) -> None:
        """Leave out cases whose application answers from a store of its own, and drop these trials of theirs: they
        repeat the first trial.
        """
        silent: dict[str, list[int]] = {}
        telling: Counter[str] = Counter()
        for batch in batches:
            runs = [self._runs(side, case) for case in batch.cases]
            before = [run for one in runs for number, run in one.items() if number < batch.trial]
            trial = [one[batch.trial] for one in runs if batch.trial in one]
            telling.update(telling_cases(before, trial))
            for case in repeating_cases(before, trial):
                silent.setdefault(case, []).append(batch.trial)
        for case, trials in silent.items():
            wanted = sum(case in batch.cases for batch in batches)
            if telling[case] == len(trials) >= min(ENOUGH, wanted):
                self.repeating.add(case)
                for number, any_side in product(trials, self._sides):
                    self._runs(any_side, case).pop(number, None)

    def _runs(self, side: SideName, case: str) -> dict[int, Rollout]:
        """The rollouts of a case on a side, by trial."""
        return self.state.rollouts.get((side, case), {})

    def _has_room(self, batch: Batch) -> bool:
        """Whether another batch may begin: as many as fill the places for cases, and both sides at once."""
        concurrency = self._settings.concurrency
        return self._crew.busy < max(min(2, concurrency), concurrency // len(batch.cases))

    def _affordable(self, batch: Batch) -> Batch:
        self._check_limits()
        number = 0 if self._is_over() else len(batch.cases)
        # What is left may be less by the time that it is asked for: the suite's threads take retries from it.
        while number and not self._budget.reserve(number):
            number = min(number, self._budget.remaining)
        if number < len(batch.cases) and not self.state.stopped:
            self._run_out_of_budget()
        return replace(batch, cases=batch.cases[:number])

    def _check_limits(self) -> None:
        state, minutes = self.state, self._settings.minutes
        if state.spending is not None and state.spending.stopped:
            state.stopped = state.stopped or state.spending.stopped
        is_replay = self._settings.replay == "only"
        if minutes is not None and not is_replay and time.monotonic() - state.started > 60 * minutes:
            state.is_out_of_time = True
            state.stopped = state.stopped or f"the {minutes:g} minutes are over"

    def _is_over(self) -> bool:
        """Whether nothing more may begin at all; an exhausted budget lets what it still holds begin."""
        state = self.state
        is_out_of_money = state.spending is not None and bool(state.spending.stopped)
        return state.is_out_of_time or is_out_of_money or (bool(state.stopped) and not state.is_out_of_budget)

    def _run_out_of_budget(self) -> None:
        self.state.is_out_of_budget = True
        self.state.stopped = self.state.stopped or f"the budget of {self._settings.budget} rollouts is used up"

    def _work(self, batch: Batch) -> Evaluation:
        candidate = self.state.today if batch.side == TODAY else self.state.base
        evaluation = self._suite.run(
            candidate.id,
            candidate.texts,
            batch.cases,
            f"{self._trials}/{batch.trial}",
            allowance=self._budget,
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, batch, rollout)),
        )
        self._budget.settle(len(batch.cases), sum(evaluation.charged.values()))
        return evaluation

    def _note(self, batch: Batch, rollout: Rollout) -> None:
        """Keep a rollout; runs in the deciding thread."""
        state = self.state
        runs = state.rollouts.setdefault((batch.side, rollout.case), {})
        runs[batch.trial] = condensed(without_reports(rollout))
        state.count(rollout)
        self._journal.write("rollout", **rollout_fields(rollout))
        if batch.side == TODAY and batch.trial == 0:
            self._screen.first_trial(rollout)
        self._check_limits()
        state.stopped = state.stopped or rollout.stop
        self._screen.progress(state)
