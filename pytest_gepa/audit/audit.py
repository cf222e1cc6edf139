"""The story of one audit: today's prompts on every case, then each prompt without a piece on the cases that use it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pytest_gepa.audit.findings import Seen, can_notice, is_undecided, seen
from pytest_gepa.audit.plan import AuditPlan
from pytest_gepa.errors import SetupError
from pytest_gepa.evolve.candidate import candidate_id, seed_candidate
from pytest_gepa.prompts.pieces import WHOLE, Cut
from pytest_gepa.run.crew import Crew
from pytest_gepa.run.inherit import modelless
from pytest_gepa.run.interrupts import undisturbed
from pytest_gepa.run.journal import Journal, rollout_fields
from pytest_gepa.run.kept_answers import run_again, settled
from pytest_gepa.run.shared_budget import SharedBudget
from pytest_gepa.run.spending import Spending
from pytest_gepa.run.stale_copies import refuse_stale_copies, with_doubts_settled
from pytest_gepa.run.unreached import why_played
from pytest_gepa.suite.condensed import condensed, without_reports
from pytest_gepa.suite.evaluate import Suite
from pytest_gepa.suite.rollout import Outcome, Rollout
from pytest_gepa.trace.model_calls import is_served


@dataclass(frozen=True, slots=True)
class Ablation:
    """A text that one prompt is given in place of today's, and the cases that are run with it. Cuts that leave the same
    text are one; `is_whole` says that one of them is the whole prompt."""

    candidate: str
    component: str
    texts: Mapping[str, str] = field(repr=False)
    cases: tuple[str, ...]
    is_whole: bool


@dataclass(slots=True)
class AuditState:
    """What is known of an audit so far; the result is made from it, however it ends.

    `today` has the runs of each case under today's prompts, `ablated` those under other texts by candidate and case.
    `ablations` are by component and text, `unmeasured` says of a candidate why it was not run. `planned` counts those
    that are to be run, `tried` those that were. `is_out_of_time` says that the minutes were over before its end.
    """

    plan: AuditPlan
    baseline: dict[str, Rollout] = field(default_factory=dict)
    repeats: list[Rollout] = field(default_factory=list)
    today: dict[str, list[Seen]] = field(default_factory=dict)
    ablated: dict[tuple[str, str], list[Seen]] = field(default_factory=dict)
    ablations: dict[tuple[str, str], Ablation] = field(default_factory=dict)
    users: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    trouble: dict[str, Rollout] = field(default_factory=dict)
    planned: int = 0
    tried: int = 0
    settled: int = 0
    charged: int = 0
    cached: int = 0
    task_models: set[str] = field(default_factory=set)
    is_finished: bool = False
    is_out_of_time: bool = False
    spending: Spending | None = None
    problems: tuple[str, ...] = ()
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> int:
        """Rollouts that were paid for: settled ones, and those heard of in a piece of work that was cut off."""
        return max(self.settled, self.charged)

    def without_piece(self, component: str, cut: Cut) -> Ablation | None:
        """The ablation that leaves out a cut, None where there is none."""
        return None if cut.text is None else self.ablations.get((component, cut.text))


@dataclass(frozen=True, slots=True)
class _Work:
    candidate: str
    texts: Mapping[str, str]
    cases: tuple[str, ...]
    number: int
    ablation: Ablation | None = None

    @property
    def trial(self) -> str:
        """Named like a trial of the search: it may be answered from earlier audits."""
        return f"audit/{self.number}"


class Audit:
    """One audit. `run` may be interrupted at any time; `state` then holds what was found.

    `feed` is handed each rollout of the baseline, `tell` each ablation that has been run.
    """

    def __init__(
        self,
        plan: AuditPlan,
        texts: Mapping[str, str],
        suite: Suite,
        journal: Journal,
        concurrency: int,
        minutes: float | None,
        feed: Callable[[Rollout], None],
        tell: Callable[[Ablation, AuditState], None],
    ) -> None:
        self.state = AuditState(plan)
        self._seed = seed_candidate(texts)
        self._suite = suite
        self._journal = journal
        self._concurrency = concurrency
        self._minutes = minutes
        self._feed = feed
        self._tell = tell
        self._crew = Crew()
        self._budget = SharedBudget(plan.limit)
        self._in_flight = 0
        self._stop = ""

    def run(self) -> None:
        """Run it to its end. When it is interrupted every child is ended, and the interrupt goes on."""
        try:
            with self._crew.interruptible():
                self._run_all([self._today(tuple(self._suite.cases), 0)])
                self.state.baseline.update(settled(self.state.baseline.values(), self._run_again))
                baseline = with_doubts_settled(self.state.baseline.values(), self._run_again)
                refuse_stale_copies(baseline, self._suite.components)
                if reason := why_played(baseline):
                    raise SetupError(reason)
                self._run_all(self._repetitions())
                self._run_all(self._ablations())
            self.state.is_finished = True
        except BaseException:
            # A second Ctrl-C comes easily while children end; what was paid for must not be lost by it.
            with undisturbed():
                self._suite.stop()
                self._crew.keep_waiting()
            raise

    def _today(self, cases: tuple[str, ...], number: int) -> _Work:
        return _Work(self._seed.id, self._seed.texts, cases, number)

    def _run_again(self, cases: Sequence[str]) -> dict[str, Rollout]:
        """Run cases of the baseline again, apart from the others."""
        trial = self._today((), 0).trial
        again = self._crew.wait_for(partial(run_again, self._suite, self._seed, cases, trial, self._budget))
        return {case: condensed(without_reports(one)) for case, one in again.items()}

    def _repetitions(self) -> list[_Work]:
        """The other trials of today's prompts, of the cases that a model or a prompt has a part in."""
        rollouts = {(self._seed.id, case): run for case, run in self.state.baseline.items()}
        idle = modelless(self._seed, rollouts, self.state.baseline, self.state.baseline)
        again = tuple(case for case, run in self.state.baseline.items() if case not in idle and run.outcome.is_evidence)
        return [self._today(again, number) for number in range(1, self.state.plan.trials)] if again else []

    def _ablations(self) -> list[_Work]:
        """Whole prompts first, then the first piece of each prompt, the second of each, and so on."""
        state = self.state
        wholes: list[Ablation] = []
        pieces: list[tuple[int, Ablation]] = []
        for prompt in state.plan.prompts:
            users = self._users(prompt.component)
            state.users[prompt.component] = users
            able = tuple(case for case in users if can_notice(state.today.get(case, ())))
            for position, cut in enumerate(prompt.cuts):
                if cut.text is None or (prompt.component, cut.text) in state.ablations:
                    continue
                texts = {**self._seed.texts, prompt.component: cut.text}
                is_whole = cut.kind == WHOLE
                made = Ablation(candidate_id(texts), prompt.component, texts, able, is_whole)
                state.ablations[prompt.component, cut.text] = made
                self._journal.write(
                    "ablation", candidate=made.candidate, component=made.component, text=cut.text, cases=able
                )
                if not able:
                    continue
                if is_whole:
                    wholes.append(made)
                else:
                    pieces.append((position, made))
        pieces.sort(key=lambda pair: pair[0])
        state.planned = len(wholes) + len(pieces)
        return [self._work(one) for one in (*wholes, *(made for _, made in pieces))]

    def _work(self, made: Ablation) -> _Work:
        return _Work(made.candidate, made.texts, made.cases, 0, made)

    def _users(self, component: str) -> tuple[str, ...]:
        """The cases in which a prompt has a part, as the baseline has shown."""
        runs = self.state.baseline
        is_seen = any(component in run.uses for run in runs.values())
        # Seen in no request: any case whose process had read it, at import or for an earlier one, may depend on it.
        return tuple(
            case
            for case, run in runs.items()
            if component in (*run.uses, *run.reads, *run.may_repeat, *(() if is_seen else run.imported))
        )

    def _run_all(self, work: Iterable[_Work]) -> None:
        waiting = deque(work)
        while waiting or self._crew.busy:
            while waiting and (self._in_flight < self._concurrency or not self._crew.busy):
                if self.state.baseline and (reason := self._closed()):
                    self._give_up(waiting, reason)
                    waiting.clear()
                elif self._budget.reserve(len(waiting[0].cases)):
                    begun = waiting.popleft()
                    self._in_flight += len(begun.cases)
                    self._crew.start(partial(self._do, begun))
                elif self._crew.busy:
                    break  # what is in flight may give some of its share back
                else:
                    self._give_up([waiting.popleft()], "the budget had no room for it")
            if self._crew.busy:
                message = self._crew.next()
                if callable(message):
                    message()
                else:
                    waiting.extendleft(self._heed(message))

    def _closed(self) -> str:
        """Why nothing more is begun, "" while something may."""
        if self._minutes is not None and time.monotonic() - self.state.started > 60 * self._minutes:
            self.state.is_out_of_time = True
            return f"the {self._minutes:g} minutes were over"
        by_cap = self.state.spending.stopped if self.state.spending is not None else ""
        return by_cap or self._stop

    def _give_up(self, work: Iterable[_Work], reason: str) -> None:
        for one in work:
            if one.ablation is not None and one.number == 0:
                self.state.unmeasured[one.candidate] = reason

    def _do(self, work: _Work) -> _Work:
        evaluation = self._suite.run(
            work.candidate,
            work.texts,
            work.cases,
            work.trial,
            allowance=self._budget,
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, rollout, work)),
        )
        self._budget.settle(len(work.cases), sum(evaluation.charged.values()))
        return work

    def _note(self, rollout: Rollout, work: _Work) -> None:
        """Keep a rollout; runs in the deciding thread."""
        state = self.state
        self._in_flight -= 1
        calls = rollout.trajectory.calls
        state.charged += rollout.charged
        state.cached += any(map(is_served, calls)) and not rollout.charged
        state.task_models.update(call.model for call in calls if call.model)
        self._journal.write("rollout", **rollout_fields(rollout))
        self._stop = self._stop or rollout.stop
        if rollout.outcome.is_trouble:
            state.trouble.setdefault(rollout.case, without_reports(rollout))
        if work.ablation is None:
            state.today.setdefault(rollout.case, []).append(seen(rollout))
            if work.number == 0:
                state.baseline[rollout.case] = condensed(without_reports(rollout))
                self._feed(rollout)
            else:
                state.repeats.append(condensed(without_reports(rollout)))
        elif rollout.outcome is not Outcome.stopped:
            state.ablated.setdefault((rollout.candidate, rollout.case), []).append(seen(rollout))

    def _heed(self, work: _Work) -> list[_Work]:
        """What follows from a piece of work that has ended."""
        state, made = self.state, work.ablation
        state.settled = self._budget.spent
        if made is None:
            return []
        lacking = [case for case in work.cases if (work.candidate, case) not in state.ablated]
        if lacking and (reason := self._closed()):
            state.unmeasured[work.candidate] = reason
        if work.number == 0 and state.plan.trials > 1:
            # A case whose answers vary by themselves runs once more before it counts that it did worse.
            again = tuple(case for case in work.cases if is_undecided(state.today[case], runs_of(state, made, case)))
            if again:
                return [_Work(made.candidate, made.texts, again, 1, made)]
        state.tried += 1
        self._tell(made, state)
        return []


def runs_of(state: AuditState, made: Ablation, case: str) -> Sequence[Seen]:
    """The runs of a case with an ablation."""
    return state.ablated.get((made.candidate, case), ())
