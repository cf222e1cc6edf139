"""The story of one optimization: baseline, search, confirm run, result. What each part means is told in its module."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from pytest_gepa.crew import Crew
from pytest_gepa.errors import ReflectionError
from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.search import Search, SearchCase, SearchSettings
from pytest_gepa.evolve.tasks import (
    CaseResult,
    Decision,
    Evaluate,
    Evaluated,
    Event,
    Reflect,
    Reflected,
    Retried,
    Retrying,
    Stopped,
    Task,
)
from pytest_gepa.journal import Journal
from pytest_gepa.plan import MINIBATCH, BudgetPlan
from pytest_gepa.prompts.components import Component
from pytest_gepa.prompts.guards import check_edit
from pytest_gepa.reflect.evidence import Exhibit
from pytest_gepa.reflect.failure import read_failure
from pytest_gepa.reflect.menu import MenuChoice, MenuName
from pytest_gepa.reflect.model import ReflectionModel
from pytest_gepa.reflect.propose import EvidenceBudget, Proposal, propose
from pytest_gepa.settings import Settings
from pytest_gepa.suite.evaluate import Evaluation, Suite
from pytest_gepa.suite.rollout import Case, Outcome, Rollout

SEARCH_TRIAL = "search/0"


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
    """What is known of a run so far; the result is made from it, however the run ends."""

    search: Search | None = None
    rollouts: dict[tuple[str, str], Rollout] = field(default_factory=dict)
    proposals: dict[str, Mapping[str, Proposal]] = field(default_factory=dict)
    menus: dict[str, MenuName] = field(default_factory=dict)
    asked: dict[str, Reflect] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    rejections: Counter[str] = field(default_factory=Counter)
    confirm: dict[str, dict[tuple[str, int], Rollout]] = field(default_factory=dict)
    confirm_spent: int = 0
    trials: int = 0
    winner: Candidate | None = None
    cached: int = 0
    reflections: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    task_models: set[str] = field(default_factory=set)
    search_ended: str = ""
    reflection_failed: str = ""
    is_confirmed: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> int:
        """Rollouts that were charged."""
        return (self.search.budget.spent if self.search else 0) + self.confirm_spent


class Optimization:
    """One run. `run` may be interrupted at any time; `state` then holds what was found."""

    def __init__(
        self,
        settings: Settings,
        run: str,
        cases: Sequence[Case],
        components: Sequence[Component],
        budget: BudgetPlan,
        suite: Suite,
        model: ReflectionModel,
        journal: Journal,
        screen: Screen,
    ) -> None:
        self.state = RunState()
        self._settings = settings
        self._run = run
        self._cases = {case.id: case for case in cases}
        self._searched = [case for case in cases if case.split == "search"]
        self._texts = {component.id: component.text for component in components}
        self._budget = budget
        self._suite = suite
        self._model = model
        self._journal = journal
        self._screen = screen
        self._crew = Crew()
        self._lock = threading.RLock()
        self._menus = MenuChoice()
        self._evidence = EvidenceBudget()
        self._search = Search(
            [SearchCase(case.id, case.weight) for case in self._searched],
            self._texts,
            SearchSettings(seed=settings.seed, rollouts=budget.search, minibatch=MINIBATCH),
            guard=lambda component, parent, text: check_edit(self._texts[component], parent, text),
        )
        self.state.search = self._search

    def run(self) -> None:
        """Search and confirm. On `KeyboardInterrupt` every child is ended and the interrupt goes on."""
        try:
            self._run_search()
            self._choose_winner()
            winner = self.state.winner
            if winner is not None and winner.id != self._search.seed.id:
                self._confirm(winner)
        except BaseException:
            self._suite.stop()
            if self.state.winner is None:
                self._choose_winner()
            raise

    def _choose_winner(self) -> None:
        self.state.winner = self._search.best(self._settings.max_broken)

    # The search: tasks out, events in, one thread decides.

    def _run_search(self) -> None:
        minutes = self._settings.minutes
        deadline = None if minutes is None else self.state.started + 60 * minutes
        while True:
            with self._lock:
                for task in self._search.ask():
                    self._begin(task)
            if not self._crew.busy:
                break
            try:
                message = self._crew.next(
                    None if deadline is None else max(0.05, deadline - time.monotonic())
                )
            except queue.Empty:
                deadline = None
                self._tell(Stopped(f"the {minutes:g} minutes are over"))
                continue
            if isinstance(message, (Evaluated, Reflected)):
                self._tell(message)
            else:
                message()
        self.state.search_ended = self._search.done

    def _tell(self, event: Event) -> None:
        with self._lock:
            decisions = self._search.tell(event)
        self._journal_event(event)
        for decision in decisions:
            self._heed(decision)

    def _journal_event(self, event: Event) -> None:
        self._journal.write("event", type=type(event).__name__, event=event)

    def _heed(self, decision: Decision) -> None:
        self.state.decisions.append(decision)
        candidate = self._search.candidates.get(decision.candidate)
        record = {}
        if decision.kind in ("accepted", "rejected", "merge", "duplicate", "not in effect") and candidate:
            record = {
                "changed": candidate.changed,
                "origin": candidate.origin,
                "proposal": candidate.proposal,
            }
        self._journal.write("decision", **_as_fields(decision), **record)
        if decision.kind in ("accepted", "rejected") and candidate is not None:
            self._grade_menus(candidate, gained=decision.kind == "accepted")
        self._screen.decision(decision, self.state)

    def _grade_menus(self, candidate: Candidate, *, gained: bool) -> None:
        for name in candidate.proposal.split("+"):
            if any(proposal.text is not None for proposal in self.state.proposals.get(name, {}).values()):
                self._menus = self._menus.record(self.state.menus[name], "gain" if gained else "no gain")

    def _begin(self, task: Task) -> None:
        if isinstance(task, Evaluate):
            self._journal.write(
                "evaluate",
                candidate=task.candidate,
                purpose=task.purpose,
                cases=task.cases,
                trial=SEARCH_TRIAL,
            )
            self._crew.start(partial(self._evaluate, task))
        else:
            self.state.asked[task.proposal] = task
            self.state.menus[task.proposal] = self._menus.current
            self._journal.write(
                "reflect",
                proposal=task.proposal,
                parent=task.parent.id,
                parent_mean=self._search.mean(task.parent),
                best_mean=max((standing.mean for standing in self._search.frontier()), default=None),
                components=task.components,
                failing=task.failing,
                neighbours=task.neighbours,
            )
            self._crew.start(partial(self._reflect, task, self._menus))

    def _evaluate(self, task: Evaluate) -> Evaluated:
        inherited = {} if task.purpose == "baseline" else self._modelless(task.cases)
        wanted = [case for case in task.cases if case not in inherited]
        evaluation = self._suite.run(
            task.candidate.id,
            task.candidate.texts,
            wanted,
            SEARCH_TRIAL,
            allowance=_SearchAllowance(self),
            on_rollout=lambda rollout: self._crew.tell(partial(self._note, rollout, task.purpose)),
        )
        results = {
            case: _case_result(rollout, evaluation.charged[case])
            for case, rollout in evaluation.rollouts.items()
        }
        results.update({case: _case_result(rollout, False) for case, rollout in inherited.items()})
        return Evaluated(task.candidate.id, results)

    def _modelless(self, cases: Sequence[str]) -> dict[str, Rollout]:
        """The cases that reached no model and read no prompt: their result is the same under every candidate."""
        seed = self._search.seed.id
        known = ((case, self.state.rollouts.get((seed, case))) for case in cases)
        return {
            case: r
            for case, r in known
            if r and r.outcome.is_evidence and not r.trajectory.calls and not r.reads
        }

    def _note(self, rollout: Rollout, purpose: str) -> None:
        """Keep a rollout; runs in the deciding thread."""
        state = self.state
        state.rollouts[rollout.candidate, rollout.case] = rollout
        self._count(rollout)
        if purpose == "baseline":
            self._screen.baseline_rollout(rollout)
        self._screen.progress(purpose, state)

    def _count(self, rollout: Rollout) -> None:
        state = self.state
        self._journal.write("rollout", **{**_as_fields(rollout), "reports": ()})
        calls = rollout.trajectory.calls
        state.cached += bool(calls) and not rollout.charged
        state.task_models.update(call.model for call in calls if call.model)
        state.input_tokens += sum(call.input_tokens for call in calls if not call.cached)
        state.output_tokens += sum(call.output_tokens for call in calls if not call.cached)

    # Reflection: one request for each implicated component, all in flight together.

    def _reflect(self, task: Reflect, menus: MenuChoice) -> Reflected:
        inner = Crew()
        for component in task.components:
            inner.start(partial(self._propose, task, component, menus))
        proposals = sorted((inner.next() for _ in task.components), key=lambda proposal: proposal.component)
        self._crew.tell(partial(self._keep_proposals, task, proposals))
        return Reflected(
            task.proposal,
            texts={p.component: p.text for p in proposals if p.text is not None},
            diagnosis="\n\n".join(f"{p.component}: {p.diagnosis}" for p in proposals if p.text is not None),
            summaries={p.component: p.summary for p in proposals if p.text is not None},
            rejections=tuple(reason for p in proposals for reason in p.rejections),
        )

    def _propose(self, task: Reflect, component: str, menus: MenuChoice) -> Proposal:
        try:
            return self._ask(task, component, menus)
        except ReflectionError as error:
            # What has been found so far is worth a confirm run, so the search ends here and not the session.
            self._crew.tell(partial(self._reflection_failed, str(error)))
            return Proposal(component, None)

    def _reflection_failed(self, reason: str) -> None:
        if not self.state.reflection_failed:
            self.state.reflection_failed = reason
            self._tell(Stopped(f"the reflection model cannot be used: {reason}"))

    def _ask(self, task: Reflect, component: str, menus: MenuChoice) -> Proposal:
        rollouts, parent = self.state.rollouts, task.parent
        exhibits = {
            case: Exhibit(self._cases[case], rollouts[parent.id, case])
            for case in (*task.failing, *task.neighbours)
            if (parent.id, case) in rollouts
        }
        involved = [exhibits[case] for case in task.failing if component in exhibits[case].rollout.uses]
        return propose(
            component,
            parent.texts[component],
            self._texts[component],
            failing=involved or [exhibits[case] for case in task.failing],
            neighbours=[exhibits[case] for case in task.neighbours if case in exhibits],
            discarded=[(edit.summary, edit.reason) for edit in task.discarded if edit.component == component],
            components=parent.texts,
            attempt=task.attempt,
            model=self._model,
            menu=menus.menu,
            budget=self._evidence,
        )

    def _keep_proposals(self, task: Reflect, proposals: Sequence[Proposal]) -> None:
        """Keep what the model said; runs in the deciding thread."""
        self.state.proposals[task.proposal] = {proposal.component: proposal for proposal in proposals}
        for proposal in proposals:
            self.state.reflections += proposal.calls
            self.state.input_tokens += proposal.input_tokens
            self.state.output_tokens += proposal.output_tokens
            self.state.rejections.update(proposal.rejections)
            if proposal.text is None and proposal.rejections:
                self._menus = self._menus.record(self.state.menus[task.proposal], "invalid")
            self._journal.write("proposal", id=task.proposal, parent=task.parent.id, **_as_fields(proposal))

    # The confirm run: fresh and paired, never read from another run nor shared with the search.

    def _confirm(self, winner: Candidate) -> None:
        seed = self._search.seed
        budget = Budget(self._budget.limit - self._search.budget.spent)
        trials = self._budget.trials
        if self._budget.probe and not self._is_flaky(budget):
            trials = 1
        self.state.trials = trials
        self._journal.write("confirm", winner=winner.id, trials=trials)
        self._screen.confirming(trials)
        for trial in range(trials + max((case.trials or 0 for case in self._cases.values()), default=0)):
            cases = [case.id for case in self._cases.values() if trial < (case.trials or trials)]
            if not cases:
                break
            for candidate in (seed, winner):
                self._crew.start(
                    partial(self._repeat, candidate, cases, f"{self._run}/confirm/{trial}", budget)
                )
            while self._crew.busy:
                message = self._crew.next()
                if callable(message):
                    message()
                    continue
                candidate_id, evaluation = message
                side = self.state.confirm.setdefault(candidate_id, {})
                side.update({(case, trial): rollout for case, rollout in evaluation.rollouts.items()})
                self.state.confirm_spent = budget.spent
        self.state.is_confirmed = True

    def _is_flaky(self, budget: Budget) -> bool:
        """Repeat some cases under today's prompts: does any answer or outcome differ from the baseline's?"""
        seed = self._search.seed
        known = [
            case.id for case in self._searched if self.state.rollouts[seed.id, case.id].outcome.is_evidence
        ]
        step = max(1, len(known) // self._budget.probe)
        chosen = known[::step][: self._budget.probe]
        self._crew.start(partial(self._repeat, seed, chosen, f"{self._run}/repeat/0", budget))
        _, evaluation = self._drain()
        self.state.confirm_spent = budget.spent
        return any(
            _said(rollout) != _said(self.state.rollouts[seed.id, case])
            for case, rollout in evaluation.rollouts.items()
        )

    def _drain(self) -> tuple[str, Evaluation]:
        while True:
            message = self._crew.next()
            if not callable(message):
                result: tuple[str, Evaluation] = message
                return result
            message()

    def _repeat(
        self, candidate: Candidate, cases: Sequence[str], trial: str, budget: Budget
    ) -> tuple[str, Evaluation]:
        with self._lock:
            if not budget.reserve(len(cases)):
                raise AssertionError("the confirm run's share was reserved from the start")
        evaluation = self._suite.run(
            candidate.id,
            candidate.texts,
            cases,
            trial,
            allowance=_LockedAllowance(budget, self._lock),
            on_rollout=lambda rollout: self._crew.tell(partial(self._note_repeat, rollout)),
        )
        with self._lock:
            budget.settle(len(cases), sum(evaluation.charged.values()))
        return candidate.id, evaluation

    def _note_repeat(self, rollout: Rollout) -> None:
        self._count(rollout)
        self._screen.progress("confirm run", self.state)


class _SearchAllowance:
    """Retries during the search are told to it, for its budget is part of what it replays."""

    def __init__(self, run: Optimization) -> None:
        self._run = run

    def reserve(self, rollouts: int) -> bool:
        """Set rollouts aside; False when they cannot be afforded."""
        with self._run._lock:
            granted = self._run._search.reserve_retry(rollouts)
        if granted:
            self._run._crew.tell(partial(self._run._journal_event, Retrying(rollouts)))
        return granted

    def settle(self, reserved: int, charged: int) -> None:
        """Close a reservation."""
        with self._run._lock:
            self._run._search.tell(Retried(reserved, charged))
        self._run._crew.tell(partial(self._run._journal_event, Retried(reserved, charged)))


@dataclass(frozen=True, slots=True)
class _LockedAllowance:
    """The confirm run's own budget, shared by both sides."""

    budget: Budget
    lock: AbstractContextManager[bool]

    def reserve(self, rollouts: int) -> bool:
        """Set rollouts aside; False when they cannot be afforded."""
        with self.lock:
            return self.budget.reserve(rollouts)

    def settle(self, reserved: int, charged: int) -> None:
        """Close a reservation."""
        with self.lock:
            self.budget.settle(reserved, charged)


def _case_result(rollout: Rollout, charged: bool) -> CaseResult:
    keys = "\n".join(rollout.request_keys)
    return CaseResult(
        score=rollout.score,
        uses=rollout.uses or rollout.reads,
        likeness="" if rollout.outcome is Outcome.passed else _likeness(rollout),
        charged=charged,
        keys=hashlib.sha256(keys.encode()).hexdigest() if keys else "",
    )


def _likeness(rollout: Rollout) -> str:
    return f"{read_failure(rollout.trajectory.failure).said}\n{rollout.feedback}".strip()


def _said(rollout: Rollout) -> tuple[Outcome, tuple[str, ...]]:
    answers = (call.answer.content if call.answer else "" for call in rollout.trajectory.calls)
    return rollout.outcome, tuple(answers)


def _as_fields(record: object) -> dict[str, object]:
    import dataclasses

    return {item.name: getattr(record, item.name) for item in dataclasses.fields(record)}  # type: ignore[arg-type]
