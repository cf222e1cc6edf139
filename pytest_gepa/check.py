"""The story of one check: which cases use what changed, and trials of them under both texts until each is decided."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from pytest_gepa.base_prompts import BasePrompts
from pytest_gepa.check_state import BASE, TODAY, CheckState, SideName
from pytest_gepa.crew import Crew
from pytest_gepa.evolve.candidate import derive, seed_candidate
from pytest_gepa.journal import Journal
from pytest_gepa.prompts.components import Component
from pytest_gepa.run_state import rollout_fields
from pytest_gepa.settings import Settings
from pytest_gepa.shared_budget import SharedBudget
from pytest_gepa.suite.condensed import condensed, without_reports
from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.suite.usage import CaseUsage
from pytest_gepa.verdict.sequential import CAP, Trials, look_at, next_look


class CheckScreen(Protocol):
    """Where a check shows itself while it goes on."""

    def first_trial(self, rollout: Rollout) -> None:
        """A case has been run under today's prompts for the first time."""

    def progress(self, state: CheckState) -> None:
        """A rollout has come in."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Cases to be run on one side in one trial."""

    side: SideName
    trial: int
    cases: tuple[str, ...]


class Check:
    """One check. `run` may be interrupted at any time; `state` then holds what was found.

    `run` names the run in its trials, which no other run has; `known` is what earlier runs have learned of the cases.
    """

    def __init__(
        self,
        settings: Settings,
        run: str,
        cases: Sequence[Case],
        components: Sequence[Component],
        base: BasePrompts,
        suite: Suite,
        known: Mapping[str, CaseUsage],
        journal: Journal,
        screen: CheckScreen,
    ) -> None:
        today = seed_candidate({component.id: component.text for component in components})
        self.state = CheckState(today, derive(today, base.texts, origin="base"))
        self._settings = settings
        self._run = run
        self._cases = {case.id: case for case in cases}
        self._base = base
        self._suite = suite
        self._journal = journal
        self._screen = screen
        self._crew = Crew()
        self._budget = SharedBudget(sys.maxsize if settings.budget is None else settings.budget)
        self._seen = frozenset(name for usage in known.values() for name in usage.touches)
        is_whole = base.changed <= self._seen
        # Where no case was ever seen to use a changed prompt, that it is not used says nothing.
        self._known = {case: known[case].touches for case in self._cases if is_whole and case in known}

    @property
    def first_cases(self) -> tuple[str, ...]:
        """The cases that are run under today's prompts: those that use a changed one, as far as is known."""
        changed, added = self._base.changed, self._base.added
        return tuple(
            case
            for case in self._cases
            if case not in self._known or (self._known[case] & changed and not self._known[case] & added)
        )

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on."""
        try:
            with self._crew.interruptible():
                self._begin()
                while not self.state.stopped and (due := self._due()):
                    self._round(due)
                    self._look(due)
            self.state.has_ended = not self.state.stopped
        except BaseException:
            self._suite.stop()
            for message in self._crew.waiting():
                if callable(message):
                    message()  # a rollout that had come: it is paid for
            self._look(tuple(self.state.trials))
            raise

    # The first trial finds out which cases are concerned

    def _begin(self) -> None:
        changed, added = self._base.changed, self._base.added
        for case, used in self._known.items():
            if used & added:
                self.state.on_new_prompts[case] = min(used & added)
            elif not used & changed:
                self.state.untouched.add(case)
        first = self.first_cases
        sure = tuple(case for case in first if case in self._known)
        self._play([_Job(TODAY, 0, first), _Job(BASE, 0, sure)])
        concerned = [case for case in first if self._is_concerned(case)]
        self._play([_Job(BASE, 0, tuple(case for case in concerned if case not in sure))])
        for case in concerned:
            if self._has_same_requests(case):
                self.state.untouched.add(case)
            elif any(self.state.first(side, case) for side in (BASE, TODAY)):
                limit = self._cases[case].trials or self._settings.trials or CAP
                self.state.trials[case] = Trials(case, cap=limit)
        self._look(tuple(self.state.trials))

    def _is_concerned(self, case: str) -> bool:
        """Whether a changed prompt may have a part in a case, now that it has been run."""
        state, rollout = self.state, self.state.first(TODAY, case)
        if rollout is None:
            return False
        if rollout.outcome.is_trouble:
            state.uses[case] = self._known.get(case, frozenset()) & self._base.changed
            return case in self._known
        if not rollout.outcome.is_evidence:
            return False
        used = frozenset((*rollout.uses, *rollout.reads)) | self._known.get(case, frozenset())
        if used & self._base.added:
            state.on_new_prompts[case] = min(used & self._base.added)
            return False
        # What is read at import is seen by whoever looks at it there: no sign of use, no proof of none.
        used |= frozenset(rollout.imported) - self._arrived()
        state.uses[case] = used & self._base.changed
        if not state.uses[case]:
            state.untouched.add(case)
        return bool(state.uses[case])

    def _arrived(self) -> frozenset[str]:
        """The prompts whose text was seen to arrive in a request of some case."""
        used = (name for rollout in self.state.every_rollout(BASE, TODAY) for name in rollout.uses)
        return self._seen | frozenset(used)

    def _has_same_requests(self, case: str) -> bool:
        """Whether both sides have asked for the same, and it came to the same: the change did not arrive."""
        before, after = (self.state.first(side, case) for side in (BASE, TODAY))
        if before is None or after is None or not before.request_keys:
            return False
        return (
            before.request_keys == after.request_keys
            and before.outcome is after.outcome
            and before.score == after.score
        )

    # More trials, for the cases that are still undecided

    def _due(self) -> tuple[str, ...]:
        return tuple(tier.case for tier in self.state.tiers() if not tier.decided)

    def _round(self, due: Sequence[str]) -> None:
        """Run the trials up to the next look of these cases, on both sides."""
        wanted: dict[int, list[str]] = {}
        room = self._budget.remaining
        for case in due:
            one = self.state.trials[case]
            numbers = range(one.handed_out, next_look(one))
            if 2 * len(numbers) > room:
                self.state.stopped = f"the budget of {self._settings.budget} rollouts is used up"
                continue
            room -= 2 * len(numbers)
            for number in numbers:
                wanted.setdefault(number, []).append(case)
        self._play(
            [
                _Job(side, number, tuple(cases))
                for number, cases in sorted(wanted.items())
                for side in (BASE, TODAY)
            ]
        )

    def _look(self, cases: Iterable[str]) -> None:
        """Take in the trials of these cases."""
        for case in cases:
            one = self.state.trials[case]
            sides = {side: self.state.side(side, case) for side in (BASE, TODAY)}
            handed_out = min(1 + max((trial for trial, _ in sides[side]), default=-1) for side in sides)
            if handed_out <= one.handed_out:
                continue
            base, today = (
                tuple(score for _, run in sides[side] if (score := self._score(case, run)) is not None)
                for side in (BASE, TODAY)
            )
            self.state.trials[case] = look_at(
                replace(one, base=base, today=today, handed_out=min(handed_out, one.cap))
            )
            self._journal.write("look", trials=self.state.trials[case])

    def _score(self, case: str, rollout: Rollout) -> float | None:
        """What a trial counts in the comparison: under a threshold whether the case passed, else its score."""
        if not rollout.outcome.is_evidence or rollout.score is None:
            return None
        if self._cases[case].threshold is not None:
            return float(rollout.outcome is Outcome.passed)
        return rollout.score

    # Running

    def _play(self, jobs: Sequence[_Job]) -> None:
        """Run jobs, several at once; each takes its share of the budget before it begins."""
        waiting = [job for job in jobs if job.cases]
        while waiting or self._crew.busy:
            while waiting and self._has_room(waiting[0]):
                job = self._affordable(waiting.pop(0))
                if job.cases:
                    self._crew.start(partial(self._work, job))
            if self._crew.busy:
                message = self._crew.next()
                if callable(message):
                    message()

    def _has_room(self, job: _Job) -> bool:
        """Whether another job may begin: as many as fill the places for cases, and both sides at once."""
        concurrency = self._settings.concurrency
        return self._crew.busy < max(min(2, concurrency), concurrency // len(job.cases))

    def _affordable(self, job: _Job) -> _Job:
        self._check_limits()
        number = 0 if self._is_over() else min(len(job.cases), self._budget.remaining)
        if number < len(job.cases) and not self.state.stopped:
            self.state.stopped = f"the budget of {self._settings.budget} rollouts is used up"
        self._budget.reserve(number)
        return replace(job, cases=job.cases[:number])

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
        return bool(self.state.stopped) and not self.state.stopped.startswith("the budget")

    def _work(self, job: _Job) -> Evaluation:
        candidate = self.state.today if job.side == TODAY else self.state.base
        evaluation = self._suite.run(
            candidate.id,
            candidate.texts,
            job.cases,
            f"{self._run}/check/{job.trial}",
            allowance=self._budget,
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, job, rollout)),
        )
        self._budget.settle(len(job.cases), sum(evaluation.charged.values()))
        return evaluation

    def _note(self, job: _Job, rollout: Rollout) -> None:
        """Keep a rollout; runs in the deciding thread."""
        state = self.state
        runs = state.rollouts.setdefault((job.side, rollout.case), {})
        runs[job.trial] = condensed(without_reports(rollout))
        state.count(rollout)
        self._journal.write("rollout", **rollout_fields(rollout))
        if job.side == TODAY and job.trial == 0:
            self._screen.first_trial(rollout)
        self._check_limits()
        self._screen.progress(state)
