"""Evaluations as the search asks for them: what has to be run is run, what is known already is inherited."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from pytest_gepa.errors import SetupError
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.tasks import CaseResult, Evaluate, Evaluated, Stopped
from pytest_gepa.optimize.state import RunState, Screen
from pytest_gepa.reflect.conversation import last_asked
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.reflect.withhold import Withholder
from pytest_gepa.run.blind_spots import prompts_without_calls, unseen_calls_warning
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.inherit import may_know, modelless, seen_to_arrive, untouched
from pytest_gepa.run.journal import Journal, attempt_fields, rollout_fields
from pytest_gepa.run.kept_answers import run_again, settled
from pytest_gepa.run.stale_copies import (
    stale_copies,
    told_of_copies,
    told_without_effect,
    uses_what_was_opened,
    with_doubts_settled,
    without_effect,
)
from pytest_gepa.run.trials import search_trial
from pytest_gepa.run.unreached import first_failure
from pytest_gepa.suite.charges import NO_ROOM, Allowance, charge
from pytest_gepa.suite.condensed import condensed, without_reports
from pytest_gepa.suite.evaluate import OUTAGE_CASES, Evaluation, Suite
from pytest_gepa.suite.rollout import Case, Outcome, Rollout
from pytest_gepa.trace.cut import cut_middle

LIKENESS_BYTES = 8_000
"""Of a failure, so much is enough to tell which others are like it."""

MOST_SILENT = 3
"""After so many evaluations in a row in which every case ended in an error, the search is ended."""

TEXT_BYTES = 1_000
"""Of a case's own text."""


class Evaluator:
    """Runs cases in trials of the search. Rollouts are noted in `state` and journal by the thread that reads the crew.

    Retries are paid from `allowance`. What a failing case says, by which the search groups it and which plugins are
    told, goes through `withholder` where it is given, so that nothing of a held-out case is in it.
    """

    def __init__(
        self,
        state: RunState,
        cases: Mapping[str, Case],
        suite: Suite,
        journal: Journal,
        screen: Screen,
        crew: Crew,
        allowance: Allowance,
        withholder: Withholder | None = None,
    ) -> None:
        self._state = state
        self._cases = cases
        self._suite = suite
        self._journal = journal
        self._screen = screen
        self._crew = crew
        self._allowance = allowance
        self._withholder = withholder
        self._sees_no_call = False
        self._trials: dict[tuple[str, str], list[Rollout]] = {}
        self._copies: set[str] = set()
        self._silent = 0

    def announce(self, task: Evaluate) -> None:
        """Write down what is going to be run."""
        self._journal.write(
            "evaluate",
            candidate=task.candidate,
            purpose=task.purpose,
            cases=task.cases,
            trial=search_trial(task.trial),
        )

    def run(self, task: Evaluate) -> Evaluated:
        """Run the cases of a task that have to be run. Blocks; what comes meanwhile is told to the crew."""
        inherited = {} if task.purpose in ("baseline", "repeat") else self._inherited(task)
        wanted = [case for case in task.cases if case not in inherited]
        evaluation = self._suite.run(
            task.candidate.id,
            task.candidate.texts,
            wanted,
            search_trial(task.trial),
            allowance=self._allowance,
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, rollout, task.purpose)),
            on_attempt=lambda rollout: self._crew.tell(partial(self._note_attempt, rollout)),
        )
        rollouts = evaluation.rollouts
        if task.purpose == "baseline":
            known = settled(rollouts.values(), partial(self._run_again, task))
            self._crew.tell(partial(self._keep_settled, known))
            rollouts = {**rollouts, **known}
            self._look_for_copies(task, rollouts.values())
            self._look_for_calls(rollouts.values())
        else:
            self._crew.tell(partial(self._heed_silence, tuple(rollouts.values())))
        if task.purpose == "gate":
            self._look_for_effect(task.candidate, rollouts)
        arrived = seen_to_arrive(rollouts.values())
        results = {
            case: self._result(rollout, evaluation.charged[case], arrived)
            for case, rollout in rollouts.items()
            if rollout.outcome is not Outcome.stopped
        }
        self._tell_of_stop(evaluation)
        results.update({case: self._as_under_parent(rollout, arrived) for case, rollout in inherited.items()})
        return Evaluated(task.candidate.id, results)

    def _heed_silence(self, rollouts: Iterable[Rollout]) -> None:
        """End the search where no server answers any more: edits would be given up for what is no fault of theirs. Runs
        in the deciding thread.

        That nothing is collected under an edit may be its own doing, and so may be that a few cases end in trouble, or
        take too long. What was not run tells nothing.
        """
        runs = [one for one in rollouts if one.trajectory.failure != NO_ROOM]
        if len(runs) < OUTAGE_CASES:
            return
        is_silent = all(one.outcome is Outcome.error for one in runs)
        self._silent = self._silent + 1 if is_silent else 0
        if self._silent == MOST_SILENT:
            raise SetupError(
                f"{MOST_SILENT} evaluations in a row gave no evidence: {first_failure(runs)}; when that is mended, "
                "--gepa-resume goes on"
            )

    def _look_for_copies(self, task: Evaluate, baseline: Collection[Rollout]) -> None:
        """Refuse prompts of which the code reads copies, before a reflection model is paid for edits that have no
        effect; where others are read as they should be, it is a warning.
        """
        runs = with_doubts_settled(baseline, partial(self._run_again, task))
        names = stale_copies(runs, self._suite.components)
        if names:
            self._tell_of_copies(
                names, told_of_copies(names, self._suite.components), is_all=not uses_what_was_opened(runs)
            )

    def _tell_of_copies(self, names: Iterable[str], told: str, *, is_all: bool) -> None:
        self._copies.update(names)
        if is_all:
            raise SetupError(told)
        self._crew.tell(partial(self._state.warnings.append, told))

    def _run_again(self, task: Evaluate, cases: Sequence[str]) -> Mapping[str, Rollout]:
        """Run cases of the baseline again, apart from the others."""
        return run_again(self._suite, task.candidate, cases, search_trial(task.trial), self._allowance)

    def _keep_settled(self, rollouts: Mapping[str, Rollout]) -> None:
        """Take in what stands for the cases of the baseline; runs in the deciding thread."""
        for rollout in rollouts.values():
            self._state.rollouts[rollout.candidate, rollout.case] = condensed(without_reports(rollout))

    def _look_for_effect(self, candidate: Candidate, rollouts: Mapping[str, Rollout]) -> None:
        """Refuse prompts of which an edit, as it shows, arrives nowhere; a warning where others are sent."""
        state, seed = self._state, self._state.search.seed
        changed = [name for name, text in candidate.texts.items() if text != seed.texts[name]]
        pairs = [
            (state.rollouts[seed.id, case], run) for case, run in rollouts.items() if (seed.id, case) in state.rollouts
        ]
        names = without_effect(pairs, (seed.texts, candidate.texts), changed)
        new = [name for name in names if name not in self._copies]
        if new:
            arrived = seen_to_arrive(state.baseline(self._cases))
            told = told_without_effect(new, self._suite.components)
            self._tell_of_copies(new, told, is_all=arrived <= self._copies.union(new))

    def _look_for_calls(self, baseline: Iterable[Rollout]) -> None:
        """Warn if the calls of no case are seen: what they used has to be taken from what was read then."""
        if prompts := prompts_without_calls(baseline):
            self._sees_no_call = True
            self._crew.tell(partial(self._state.warnings.append, unseen_calls_warning(prompts)))

    def _result(self, rollout: Rollout, charged: bool, arrived: frozenset[str]) -> CaseResult:
        spending = self._state.spending
        price = None if spending is None else spending.list_price(rollout.trajectory.calls)
        seconds = self._seconds(rollout)
        uses = rollout.uses or rollout.reads or (rollout.imported if self._sees_no_call else ())
        found = _case_result(self._cases[rollout.case], rollout, uses, charged, price, seconds, arrived)
        if self._withholder is None:
            return found
        cut = self._withholder.cut
        return replace(found, likeness=cut(found.likeness), text=cut(found.text))

    def _seconds(self, rollout: Rollout) -> float | None:
        """How long its calls took, those with stored answers when these came; None where that is not known."""
        calls = rollout.trajectory.calls
        before = self._suite.seconds_before(rollout) if any(call.cached for call in calls) else None
        known = [call.seconds for call in calls if call.seconds is not None]
        return sum(known) if before is None and len(known) == len(calls) else before

    def _as_under_parent(self, rollout: Rollout, arrived: frozenset[str]) -> CaseResult:
        """The result of the case under the parent that it is inherited from, over all of its trials."""
        known = self._state.search.results.get(rollout.candidate, {}).get(rollout.case)
        return self._result(rollout, False, arrived) if known is None else replace(known, charged=False)

    def _tell_of_stop(self, evaluation: Evaluation) -> None:
        """End the search when the run's cost has come to its cap, or cannot be counted any more. What was stopped may
        have been paid for in part.
        """
        state = self._state
        stops = {case: rollout.stop for case, rollout in evaluation.rollouts.items() if rollout.stop}
        by_cap = state.spending.stopped if state.spending is not None else ""
        reason = by_cap or next(iter(stops.values()), "")
        if not reason or self._suite.is_replay:  # whose record has the stop itself
            return
        charge(self._allowance, sum(evaluation.charged[case] for case in stops))
        state.stopped = state.stopped or reason
        self._crew.tell(Stopped(reason))

    def _inherited(self, task: Evaluate) -> dict[str, Rollout]:
        """The rollouts that need not be run: their result cannot differ from one that is there."""
        candidate, search = task.candidate, self._state.search
        parents = [search.candidates[parent] for parent in candidate.parents]
        used = search.pool.ledger.uses
        spared = untouched(candidate, parents, self._state.standing, self._cases, task.cases, used)
        if spared:
            self._crew.tell(partial(self._keep_inherited, candidate, spared))
        return {**spared, **modelless(search.seed, self._state.standing, self._cases, task.cases)}

    def _keep_inherited(self, candidate: Candidate, rollouts: Mapping[str, Rollout]) -> None:
        """Note rollouts that a candidate has from a parent; runs in the deciding thread."""
        for case, rollout in rollouts.items():
            self._state.rollouts[candidate.id, case] = replace(rollout, candidate=candidate.id, charged=False)
        self._journal.write("inherited", candidate=candidate.id, cases=list(rollouts))

    def _note_attempt(self, rollout: Rollout) -> None:
        """Write down that it was paid for, whatever becomes of the next one; runs in the deciding thread."""
        self._state.count_attempt(rollout, self._suite.paid_before(rollout))
        self._journal.write("attempt", **attempt_fields(rollout))

    def _note(self, rollout: Rollout, purpose: str) -> None:
        """Keep a rollout; runs in the deciding thread."""
        state = self._state
        place = rollout.candidate, rollout.case
        kept = condensed(without_reports(rollout))
        if purpose != "repeat":
            state.rollouts[place] = kept
        elif rollout.outcome.is_evidence and place in state.rollouts:
            first = state.rollouts[place]
            trials = self._trials.setdefault(place, [first] if first.outcome.is_evidence else [])
            trials.append(kept)
            state.usual[place] = _usual(trials)
        if purpose == "repeat" and rollout.candidate == state.search.seed.id:
            state.repeats.append(kept)
        state.count(rollout, self._suite.paid_before(rollout))
        self._journal.write("rollout", **rollout_fields(rollout), model_seconds=self._seconds(rollout))
        if purpose == "baseline":
            if state.spending is not None:
                state.spending.learn(rollout)
            self._screen.baseline_rollout(rollout)
        self._screen.progress(purpose, state)


def _usual(trials: Sequence[Rollout]) -> Rollout:
    """The trial that stands for all of a case: one that failed where it does not pass more often than not, as the
    search judges it.
    """
    failing = [one for one in trials if one.outcome is not Outcome.passed]
    return failing[0] if 2 * len(failing) >= len(trials) else next(one for one in trials if one not in failing)


def _case_result(
    case: Case,
    rollout: Rollout,
    uses: tuple[str, ...],
    charged: bool,
    price: float | None,
    seconds: float | None,
    arrived: frozenset[str],
) -> CaseResult:
    has_failed = rollout.outcome is not Outcome.passed or rollout.score != 1
    keys = "\n".join(rollout.request_keys)
    calls = rollout.trajectory.calls
    return CaseResult(
        score=rollout.score,
        uses=uses,
        likeness=likeness_of(rollout) if has_failed else "",
        charged=charged,
        keys=hashlib.sha256(keys.encode()).hexdigest() if keys else "",
        passed=rollout.outcome is Outcome.passed if rollout.outcome.is_evidence else None,
        # A prompt that was read before is seen by whoever looks at it there: no sign of use, no proof of none.
        depends=bool(may_know(rollout, arrived)),
        objectives={grade.name: grade.score for grade in rollout.grades if grade.kind == "objective"},
        seconds=seconds,
        tokens=sum(call.input_tokens + call.output_tokens for call in calls),
        text=text_of(case, rollout) if has_failed else "",
        usd=price,
        reached=rollout.reached if has_failed else (),
    )


def text_of(case: Case, rollout: Rollout) -> str:
    """What a case itself is about: its parameters, or what was asked last in its first call."""
    own = "\n".join(value for _, value in case.parameters)
    if not own:
        calls = rollout.trajectory.calls
        asked = last_asked(calls[0]) if calls else None
        own = asked.content if asked else ""
    return cut_middle(own, TEXT_BYTES)


def likeness_of(rollout: Rollout) -> str:
    """What the check of a rollout said, by which failures are grouped."""
    said = cut_middle(read_failure(rollout.trajectory.failure).said, LIKENESS_BYTES)
    return f"{said}\n{cut_middle(rollout.feedback, LIKENESS_BYTES)}".strip()
