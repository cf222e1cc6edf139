"""The confirm run: seed and winner again, fresh and paired; never read from another run nor shared with the search."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.run.clock import ConfirmCut, RunClock
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.journal import Journal, as_fields, attempt_fields, rollout_fields
from pytest_gepa.run.plan import BudgetPlan
from pytest_gepa.run.shared_budget import SharedBudget
from pytest_gepa.run.trials import confirm_trial
from pytest_gepa.run.unreached import FEW, first_failure
from pytest_gepa.suite.condensed import without_reports
from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.own_answers import ENOUGH, NOT_CONFIRMED, asks_nothing_more
from pytest_gepa.suite.rollout import Case, Rollout


class ConfirmRun:
    """Runs both sides on every case, held-out ones included; its rollouts go to `state.confirm`.

    Candidates that are judged beside the winner share the trials of today's prompts. `clock` bounds it: a trial for
    which the time left is too short is not begun, the first one if nothing is left. `cut` is what it has left of
    the run that is replayed, which knows no time.
    """

    def __init__(
        self,
        run: str,
        state: RunState,
        cases: Mapping[str, Case],
        plan: BudgetPlan,
        suite: Suite,
        journal: Journal,
        screen: Screen,
        clock: RunClock,
        cut: ConfirmCut | None = None,
    ) -> None:
        self._run = run
        self._state = state
        self._cases = cases
        self._plan = plan
        self._suite = suite
        self._journal = journal
        self._screen = screen
        self._clock = clock
        self._cut = cut
        self._crew = Crew()
        self._silent: Counter[str] = Counter()
        self._budget = SharedBudget(plan.limit - state.search.budget.spent)

    def run(self, winner: Candidate, rivals: Sequence[Candidate] = ()) -> None:
        """Run it to its end. Raises what the work raises, and `KeyboardInterrupt`."""
        if self._state.spending is not None:
            self._state.spending.open_confirm_share()
        try:
            with self._crew.interruptible():
                self._compare((winner, *rivals))
        except BaseException:
            self._crew.keep_waiting()
            raise

    def _compare(self, candidates: Sequence[Candidate]) -> None:
        state, seed = self._state, self._state.search.seed
        trials = most = self._plan.trials
        if self._plan.is_adaptive and state.has_repeated_exactly:
            trials = 1
        if state.spending is not None:
            most = state.spending.affordable_trials(most)
            trials = min(trials, most)
        if cut := self._cut_before(0, 0.0):
            self._heed_cut(cut, trials)
            return
        self._announce(candidates, trials)
        # What stands in a candidate's texts as an example says nothing about it; of no use to any, it is not run.
        wanted = {one.id: self._cases.keys() - set(one.examples) for one in candidates}
        wanted[seed.id] = set().union(*wanted.values())
        rounds = [
            [(one, [case for case in every if case in wanted[one.id]]) for one in (seed, *candidates)]
            for every in self._rounds(most)
        ]
        # Reserved as a whole, so that no retry can eat a later trial's share.
        self._reserve_share(sum(len(cases) for sides in rounds for _, cases in sides))
        cut, began, done = self._cut, time.monotonic(), 0
        for trial, sides in enumerate(rounds):
            if trial == 1 and trials < most and self._is_unlike_the_search(wanted):
                trials = most
                self._announce(candidates, trials)
            sides = [
                (candidate, chosen)
                for candidate, cases in sides
                if (chosen := [case for case in cases if trial < (self._cases[case].trials or trials)])
            ]
            rollouts = sum(len(cases) for _, cases in sides)
            if done and rollouts:
                seconds = (time.monotonic() - began) * rollouts / done
                if cut := self._cut_before(trial, seconds):
                    break
            began, done = time.monotonic(), rollouts
            for candidate, cases in sides:
                self._crew.start(partial(self._repeat, candidate, cases, confirm_trial(self._run, trial)))
            for _ in sides:
                name, evaluation = self._next()
                side = state.confirm.setdefault(name, {})
                side.update({(case, trial): without_reports(run) for case, run in evaluation.rollouts.items()})
            if state.confirm_stopped:
                return
            names = [candidate.id for candidate, _ in sides]
            if why := self._gave_no_evidence(names, trial):
                state.confirm_stopped = why
                return
            if self._are_no_draws(names, trial):
                state.unconfirmed = NOT_CONFIRMED
                return
        if cut is not None:  # a replay has no more rounds than the run had that it replays
            self._heed_cut(cut, trials)
        state.is_confirmed = True

    def _gave_no_evidence(self, candidates: Sequence[str], trial: int) -> str:
        """Why nothing can be learned of a trial, "" where something can.

        Nothing can where on a side every case ended in trouble that has given evidence before and goes by a prompt. No
        prompt is to blame then, and what was not compared must not be taken for alike.
        """
        ledger = self._state.search.pool.ledger
        telling = [case for case in ledger.active if case not in ledger.inherited]
        for name in candidates:
            side = self._state.confirm[name]
            runs = [side[case, trial] for case in telling if (case, trial) in side]
            # Where a few cases alone are run so often, as their markers say, their trouble may be their own.
            is_enough = len(runs) > FEW and 2 * len(runs) > len(telling)
            if is_enough and all(run.outcome.is_trouble for run in runs):
                return f"no case gave evidence in trial {trial + 1}; the first failure: {first_failure(runs)}"
        return ""

    def _are_no_draws(self, candidates: Sequence[str], trial: int) -> bool:
        """Whether trials repeat what the application has kept of the search, or of an earlier trial: enough of them in
        a row, on one side or on several."""
        for name in candidates:
            self._silent[name] = self._silent[name] + 1 if self._is_silent(name, trial) else 0
        return self._silent.total() >= ENOUGH

    def _is_silent(self, candidate: str, trial: int) -> bool:
        searched = (run for (name, _), run in self._state.rollouts.items() if name == candidate)
        side = self._state.confirm[candidate].items()
        earlier = (run for (_, number), run in side if number < trial)
        return asks_nothing_more((*searched, *earlier), (run for (_, number), run in side if number == trial))

    def _cut_before(self, trial: int, seconds: float) -> ConfirmCut | None:
        """What the time leaves of the confirm run, where it ends before this trial, which would take so many seconds.

        How the cases have ended is not looked at: who sees results and then stops has chosen them.
        """
        if self._cut is not None:
            return self._cut if self._cut.trials == trial else None
        if time.monotonic() + seconds < self._clock.end:
            return None
        reason = self._clock.what_is_over(time.monotonic()) if not seconds else self._clock.what_is_too_short()
        return ConfirmCut(trial, reason)

    def _heed_cut(self, cut: ConfirmCut, trials: int) -> None:
        """Go by the trials that are there, if any is."""
        self._journal.write("confirm cut", **as_fields(cut))
        if cut.trials:
            self._state.trials = min(cut.trials, trials)
            self._state.confirm_cut = cut.reason
        else:
            self._state.confirm_stopped = cut.reason

    def _announce(self, candidates: Sequence[Candidate], trials: int) -> None:
        winner, *rivals = (one.id for one in candidates)
        self._state.trials = trials
        self._journal.write("confirm", winner=winner, rivals=rivals, trials=trials)
        self._screen.confirming(trials)

    def _rounds(self, trials: int) -> list[list[str]]:
        """The cases of each trial, in the order of the suite."""
        cases = self._cases.values()
        return [
            [case.id for case in cases if trial < (case.trials or trials)]
            for trial in range(max(case.trials or trials for case in cases))
        ]

    def _is_unlike_the_search(self, wanted: Mapping[str, Collection[str]]) -> bool:
        """Whether a case's sides differ more or less in the first trial than they did in the search; `wanted` are the
        cases of each side.

        Where nothing is flaky none does. Which side was better is not looked at, nor which is which: what is seen here
        is the same when two sides of a case change places, and the test of the verdict asks for no more.
        """
        ledger, confirm = self._state.search.pool.ledger, self._state.confirm
        for case in self._cases:
            sides = [name for name, cases in wanted.items() if case in cases]
            found = [confirm[name].get((case, 0)) for name in sides]
            scores = [run.score if run is not None else None for run in found]
            if _unlike([ledger.evidence(name, case) for name in sides], scores):
                return True
        return False

    def _reserve_share(self, rollouts: int) -> None:
        if not self._budget.reserve(rollouts):
            raise AssertionError("the confirm run's share was kept from the start")

    def _next(self) -> tuple[str, Evaluation]:
        while True:
            message = self._crew.next()
            self._state.confirm_spent = self._budget.spent
            if not callable(message):
                result: tuple[str, Evaluation] = message
                return result
            message()

    def _repeat(self, candidate: Candidate, cases: Sequence[str], trial: str) -> tuple[str, Evaluation]:
        evaluation = self._suite.run(
            candidate.id,
            candidate.texts,
            cases,
            trial,
            allowance=self._budget,
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, rollout)),
            on_attempt=lambda rollout: self._crew.tell(partial(self._note_attempt, rollout)),
        )
        self._budget.settle(len(cases), sum(evaluation.charged.values()))
        stops = (run.stop for run in evaluation.rollouts.values() if run.stop)
        by_cap = self._state.spending.stopped if self._state.spending is not None else ""
        self._state.confirm_stopped = self._state.confirm_stopped or by_cap or next(stops, "")
        return candidate.id, evaluation

    def _note_attempt(self, rollout: Rollout) -> None:
        self._state.count_attempt(rollout, self._suite.paid_before(rollout))
        self._journal.write("attempt", **attempt_fields(rollout))

    def _note(self, rollout: Rollout) -> None:
        self._state.count(rollout, self._suite.paid_before(rollout))
        self._journal.write("rollout", **rollout_fields(rollout))
        is_today = rollout.candidate == self._state.search.seed.id and rollout.trial == confirm_trial(self._run, 0)
        if is_today and self._cases[rollout.case].split == "holdout":
            self._screen.baseline_rollout(rollout)  # the first time that it runs
        self._screen.progress("confirm run", self._state)


def _unlike(expected: Sequence[float | None], found: Sequence[float | None]) -> bool:
    """Whether scores lie otherwise apart than was expected; not where one of them is unknown."""
    before, after = _gaps(expected), _gaps(found)
    if before is None or after is None:
        return False
    return any(abs(one - other) > TIE for one, other in zip(before, after, strict=True))


def _gaps(scores: Sequence[float | None]) -> list[float] | None:
    known = sorted(score for score in scores if score is not None)
    return [high - low for low, high in pairwise(known)] if len(known) == len(scores) else None
