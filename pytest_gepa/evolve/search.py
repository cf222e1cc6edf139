"""The loop as ask and tell: `ask` hands out tasks, `tell` takes what came of them and decides. It never
runs anything.

The state changes in `tell` only, as a function of the settings and the order of events: telling a new
search the events of a journal brings it to where the old one was.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from pytest_gepa.errors import GepaError
from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.candidate import Candidate, seed_candidate
from pytest_gepa.evolve.evidence import Showcase
from pytest_gepa.evolve.frontier import Standing
from pytest_gepa.evolve.gate import GateState, judge_gate, next_stage
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchCase, SearchSettings, spread
from pytest_gepa.evolve.proposal import Part, Proposal, gate_cases, prunings, repairs, unite, usable
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
    Task,
)

__all__ = ["Guard", "Search", "SearchCase", "SearchError", "SearchSettings"]


class SearchError(GepaError):
    """An event that answers nothing that was handed out, or a budget too small to begin: a fault of the
    driver.
    """


Guard: TypeAlias = Callable[[str, str, str, Collection[str]], "str | None"]
"""Takes a component, its text in the parent, a new one and the cases that stand in the candidate's texts as examples;
says why the new text is refused, or None. Pure."""


def allow_all(component: str, parent: str, text: str, examples: Collection[str]) -> str | None:
    """Refuse no text: the guard of a driver that has none."""
    return None


class Search:
    """A search over the texts of the components, driven by its caller.

    `pool` holds the candidates and what is known of them, `budget` the rollouts. `done` is the reason
    for which the search ended, in words, or "". Texts that the search makes itself, by uniting, merging
    and pruning, are put before the `guard`.
    """

    def __init__(
        self,
        cases: Sequence[SearchCase],
        seed_texts: Mapping[str, str],
        settings: SearchSettings,
        guard: Guard = allow_all,
    ) -> None:
        self.settings = settings
        self._guard = guard
        self.seed = seed_candidate(seed_texts)
        self.pool = Pool(cases, self.seed)
        self.budget = Budget(settings.rollouts)
        self.done = ""
        self._draw = random.Random(f"pytest-gepa search {settings.seed}").random
        self._showcase = Showcase(self.pool.ledger, self.seed.id, settings, self._draw)
        self._began = False
        self._full_cost = 0
        self._outbox: list[Task] = []
        self._evaluating: dict[str, Evaluate] = {}
        self._reflecting: dict[str, Proposal] = {}
        self._proposals: list[Proposal] = []
        self._numbered = 0
        self._rounds: Counter[str] = Counter()
        self._repaired: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._groups = max(1, settings.groups)
        self._without_gain = 0
        self._fresh_starts = 0
        self._without_edit = 0
        self._decisions: list[Decision] = []
        if not self.budget.reserve(len(cases)):
            raise SearchError(f"{settings.rollouts} rollouts cannot hold one run of {len(cases)} cases")
        self._hand_out(Evaluate(self.seed, tuple(self.pool.ledger.cases), "baseline"))

    # What a driver uses

    @property
    def results(self) -> Mapping[str, Mapping[str, CaseResult]]:
        """Every result so far, by candidate and case."""
        return self.pool.ledger.results

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        """Every candidate so far by its id, in order of birth."""
        return self.pool.candidates

    @property
    def is_evaluating(self) -> bool:
        """Whether an evaluation is under way."""
        return bool(self._evaluating)

    def ask(self) -> tuple[Task, ...]:
        """Return the tasks that have not been handed out yet; all of them may run at once.

        What is returned depends on earlier calls; nothing that is decided does.
        """
        tasks, self._outbox = tuple(self._outbox), []
        return tasks

    def tell(self, event: Event) -> tuple[Decision, ...]:
        """Take an event and return what was decided on it. Raises `SearchError` if it answers no open
        task.
        """
        self._decisions = []
        if isinstance(event, Evaluated):
            self._evaluated(event)
        elif isinstance(event, Reflected):
            self._reflected(event)
        elif isinstance(event, Retrying):
            if not self.budget.reserve(event.rollouts):
                raise SearchError("the budget has no room for this retry")
        elif isinstance(event, Retried):
            self.budget.settle(event.reserved, event.charged)
        else:
            self._finish(event.reason)
        self._go_on()
        return tuple(self._decisions)

    def reserve_retry(self, rollouts: int) -> bool:
        """Set rollouts aside for retries and return True, or False when fewer remain.

        A driver with a journal writes `Retrying(rollouts)` there when this is True; `Retried` tells
        that it is over.
        """
        if rollouts > self.budget.remaining:
            return False
        self.tell(Retrying(rollouts))
        return True

    def frontier(self) -> tuple[Standing, ...]:
        """Return the candidates on the frontier, best mean first, and then those that are kept for what they save."""
        return self.pool.standings()

    def best(self, max_broken: int = 0) -> Candidate:
        """Return the best of the candidates that were run on every case and break at most `max_broken`.

        The highest mean wins, then the fewest broken cases, the shortest texts, the newest. The seed
        breaks none.
        """
        return self.pool.best(max_broken)

    def mean(self, candidate: Candidate) -> float:
        """Return the weighted mean score; cases without evidence count as under the seed."""
        return self.pool.ledger.mean(candidate.id)

    def broken(self, candidate: Candidate) -> tuple[str, ...]:
        """Return the cases that the seed passes and the candidate fails."""
        return self.pool.ledger.broken(candidate.id)

    # Events

    def _evaluated(self, event: Evaluated) -> None:
        task = self._evaluating.pop(event.candidate, None)
        if task is None:
            raise SearchError(f"no evaluation of candidate {event.candidate} is under way")
        self._outbox = [one for one in self._outbox if one is not task]
        results = {case: event.results[case] for case in task.cases if case in event.results}
        self.budget.settle(len(task.cases), sum(result.charged for result in results.values()))
        if task.purpose == "baseline":
            self._begin(results)
            return
        if task.purpose == "repeat":
            self.pool.ledger.repeat(event.candidate, results)
        else:
            self.pool.ledger.record(event.candidate, results)
        if task.candidate is self.seed:
            self._began = True
            return
        proposal = next(one for one in self._proposals if one.candidate is task.candidate)
        if len(results) < len(task.cases):
            self._drop(proposal, f"{len(task.cases) - len(results)} of its cases were not run")
        elif task.purpose == "repeat":
            self._continue(proposal)
        elif proposal.child is not None:
            self._judge(proposal, proposal.child)
        else:
            self._continue(proposal)

    def _begin(self, results: Mapping[str, CaseResult]) -> None:
        self.pool.begin(results)
        # Cases that use no component are answered from the cache.
        self._full_cost = self.pool.ledger.cost(self.seed.texts.keys(), self.pool.ledger.active)
        active = len(self.pool.ledger.active)
        self._say("baseline", self.seed, f"{active} cases gave evidence", self.mean(self.seed))
        if self.pool.ledger.solved(self.seed.id):
            self._finish("every case passes already" if active else "no case gave evidence")
        probed = self._probed()
        self._began = not probed
        if probed and self.budget.reserve(len(probed)):
            self._hand_out(Evaluate(self.seed, probed, "repeat", 1))

    def _probed(self) -> tuple[str, ...]:
        """Some cases, spread over all that use a component, whose repetition tells whether trials end alike."""
        results = self.results[self.seed.id]
        using = [case for case in self.pool.ledger.active if results[case].uses]
        return () if self.done else spread(using, min(self.settings.probe, self.budget.remaining))

    def _reflected(self, event: Reflected) -> None:
        proposal = self._reflecting.pop(event.proposal, None)
        if proposal is None:
            raise SearchError(f"no reflection {event.proposal} is under way")
        self._outbox = [
            one for one in self._outbox if isinstance(one, Evaluate) or one.proposal != event.proposal
        ]
        parent = self.candidates[proposal.parent]
        for part in proposal.parts:
            if part.id == event.proposal:
                part.reply = event
                self._without_edit = 0 if usable(parent, event) else self._without_edit + 1
        if any(part.reply is None for part in proposal.parts):
            return
        useful = [part for part in proposal.parts if usable(parent, part.reply)]
        if not useful:
            refusals = [reason for part in proposal.parts if part.reply for reason in part.reply.rejections]
            self._fail(proposal, "invalid", None, refusals[0] if refusals else "no edit was proposed")
            return
        child = unite(parent, useful)
        while len(useful) > 1 and self._refused(child):
            # Each alone was allowed.
            useful.pop()
            child = unite(parent, useful)
        proposal.parts = useful
        if child.id in self.candidates:
            self._fail(proposal, "duplicate", child, "these texts have been tried before")
            return
        failing, passing = gate_cases(useful, self.settings.minibatch, self.settings.neighbours)
        self._to_gate(proposal, child, (parent.id,), (*failing, *passing), len(failing))

    # From a proposal to a place on the frontier

    def _to_gate(
        self, proposal: Proposal, child: Candidate, rivals: tuple[str, ...], gate: tuple[str, ...], first: int
    ) -> None:
        """Run a new candidate on the `first` cases of its gate; the others follow if they can change
        the verdict.
        """
        self.pool.add(child)
        proposal.child, proposal.rivals, proposal.gate = child, rivals, gate
        self._run(proposal, gate[:first])

    def _judge(self, proposal: Proposal, child: Candidate) -> None:
        state = judge_gate(self.pool.ledger, child, proposal.rivals, proposal.gate)
        if not state.verdict:
            # A repair takes a good part of the edit back as likely as not, and a few cases tell.
            done = len(proposal.gate) - len(state.open)
            self._run(proposal, state.open if proposal.repairs is None else state.open[:done])
            return
        if proposal.repairs is not None:
            self._judge_repair(proposal, child, state)
            return
        self._showcase.note_broken(proposal.parent, child.id, proposal.gate)
        scores = (state.before, state.after)
        if state.verdict == "not in effect":
            self._fail(proposal, "not in effect", child, "no request changed in the cases shown", *scores)
        elif state.verdict == "failed":
            reason = f"mean score {state.after:.2f} on the cases shown, {state.before:.2f} before"
            self._fail(proposal, "rejected", child, reason, *scores)
        else:
            self._say("accepted", child, "better on the cases shown", *scores)
            if len(proposal.parts) > 1:
                self._groups = min(self.settings.groups, self._groups + 1)
            proposal.tip, proposal.tip_parts, proposal.vain = child, proposal.parts, 0
            self._continue(proposal)

    def _continue(self, proposal: Proposal) -> None:
        """Run the tip on more cases, or reflect on it again, or let it take its place."""
        tip, ledger, settings = proposal.tip, self.pool.ledger, self.settings
        assert tip is not None
        proposal.child = None
        missing = ledger.missing(tip.id)
        if self._repeat(proposal, tip, is_last=not missing):
            return
        if not missing:
            self._enter(proposal, tip)
            return
        may_chain = (
            not self.done
            and proposal.vain < settings.chain_tries
            and len(missing) > settings.chain_share * len(ledger.active)
            and proposal.spent < settings.chain_cost * len(ledger.active)
            and self.budget.remaining >= self._full_cost
        )
        lacking = max(1, settings.chain_least) - len(ledger.workable(tip.id))
        if may_chain and lacking <= 0:
            self._reflect(proposal, tip.id)
            return
        stage = next_stage(
            ledger,
            tip,
            self.pool.best_scores,
            self.pool.best_mean,
            self._showcase.fragile,
            lacking if may_chain else 0,
            settings.stage,
        )
        if stage:
            self._run(proposal, stage)
        elif not (self._repeat(proposal, tip, is_last=True) or self._repair(proposal, tip)):
            self._drop(proposal, "it can no longer reach the best, nor be the best on any case")

    def _repeat(self, proposal: Proposal, tip: Candidate, *, is_last: bool) -> bool:
        """Run cases of the tip again whose result is in doubt; False if there are none, or no room for them.

        Those that fail, maybe by chance; before its place is decided (`is_last`) those that it seems to have
        broken, and all the others once before everything is taken for solved.
        """
        ledger = self.pool.ledger
        cases = ledger.unsettled(tip.id)
        if not cases and is_last and self.settings.probe:
            cases = ledger.fewest_trials(tip.id, ledger.turned(proposal.base, tip.id)[1])
            if not cases and ledger.noise and ledger.solved(tip.id):
                cases = tuple(case for case in ledger.active if ledger.trials(tip.id, case) == 1)
        if self.done or not cases or not self.budget.reserve(len(cases)):
            return False
        self._hand_out(Evaluate(tip, cases, "repeat", self.pool.ledger.trials(tip.id, cases[0])))
        return True

    def _enter(self, proposal: Proposal, tip: Candidate) -> None:
        before = self.pool.best_mean
        gain = self.pool.enter(tip)
        stands = tip.id in self.pool.frontier.members
        kind = "frontier" if stands else "dominated"
        reason = "among the best on some case" if stands else "others are as good on every case"
        self._say(kind, tip, reason, before, self.mean(tip))
        if gain:
            self._without_gain = self._fresh_starts = 0
        else:
            self._came_to_nothing(proposal, tip, reason)
        if self.pool.ledger.solved(tip.id):
            self._finish("every case passes")
        if self.done or not self._repair(proposal, tip):
            self._proposals.remove(proposal)

    def _repair(self, proposal: Proposal, tip: Candidate) -> bool:
        """Begin to take back parts of a tip that mended cases and broke others; False if there is nothing to try."""
        if self.done or tip.id in self._repaired or proposal.base == tip.id:
            return False
        mended, broken = self.pool.ledger.turned(proposal.base, tip.id)
        if not mended or not broken or len(broken) * 4 < len(mended):
            return False
        self._repaired.add(tip.id)
        base = self.candidates[proposal.base]
        proposal.repairs = [
            child
            for child in repairs(base, tip)
            if child.id not in self.candidates and not self._refused(child)
        ][: self.settings.repairs]
        proposal.gate = (*broken, *mended)
        proposal.rivals = (proposal.base, tip.id)
        return self._next_repair(proposal)

    def _next_repair(self, proposal: Proposal) -> bool:
        """Send the next version to its gate: first it must mend what the tip has broken."""
        if self.done or not proposal.repairs:
            proposal.repairs = None
            return False
        child = proposal.repairs.pop(0)
        self._to_gate(proposal, child, proposal.rivals, proposal.gate, self.settings.repair_stage)
        return True

    def _judge_repair(self, proposal: Proposal, child: Candidate, state: GateState) -> None:
        scores = (state.before, state.after)
        if state.verdict == "passed":
            self._say("accepted", child, "better where the edit before it had broken cases", *scores)
            proposal.tip, proposal.repairs = child, None
            self._continue(proposal)
            return
        self._say("rejected", child, "taking this part of the edit back mends too little", *scores)
        if not self._next_repair(proposal):
            self._leave_broken(proposal)

    def _leave_broken(self, proposal: Proposal) -> None:
        """End the repairs of a tip: it stays as it is, or is given up."""
        assert proposal.tip is not None
        proposal.repairs = proposal.child = None
        if proposal.tip.id in self.pool.frontier.means:
            self._proposals.remove(proposal)
        else:
            self._drop(proposal, "it mends some cases and breaks others, and no part of it does better")

    def _fail(
        self, proposal: Proposal, kind: str, child: Candidate | None, reason: str, *scores: float
    ) -> None:
        """Note that an attempt came to nothing; go on with the tip if there is one."""
        self._decisions.append(Decision(kind, child.id if child else "", proposal.parent, reason, scores))
        self._without_gain += 1
        self._failures[proposal.parent] += 1
        self._showcase.discard(proposal.parent, proposal.parts, reason)
        if len(proposal.parts) > 1:
            self._groups = max(1, self._groups // 2)
        proposal.vain += 1
        if proposal.tip is None:
            self._proposals.remove(proposal)
        else:
            self._continue(proposal)

    def _drop(self, proposal: Proposal, reason: str) -> None:
        """Give up the candidate under way; what passed its gate before it goes on without it."""
        candidate = proposal.candidate
        assert candidate is not None
        self._say("stopped", candidate, reason)
        if proposal.repairs is not None:
            self._leave_broken(proposal)
        elif proposal.child and proposal.tip:
            proposal.vain = self.settings.chain_tries
            self._continue(proposal)
        else:
            self._proposals.remove(proposal)
            self._came_to_nothing(proposal, candidate, reason)

    def _came_to_nothing(self, proposal: Proposal, candidate: Candidate, reason: str) -> None:
        self._failures[proposal.base] += 1
        self._without_gain += 1
        if candidate is proposal.tip:
            self._showcase.discard(candidate.parents[0], proposal.tip_parts, reason)

    # New work

    def _go_on(self) -> None:
        for proposal in [one for one in self._proposals if one.waiting]:
            cases, proposal.waiting = proposal.waiting, ()
            self._run(proposal, cases)
        while not self.done and self._began and len(self._proposals) < self.settings.proposals_in_flight:
            if self._without_gain >= self.settings.patience:
                self._finish(f"{self._without_gain} proposals in a row brought no gain")
            elif self._without_edit >= self.settings.invalid:
                self._finish(f"{self._without_edit} replies in a row held no edit that could be used")
            elif self.budget.remaining < self._full_cost:
                # What is under way may give some of its reservation back.
                if self._proposals or self.budget.reserved:
                    break
                left = self.budget.remaining
                self._finish(f"{left} rollouts are left, too few to run another candidate on every case")
            elif not (self._start_merge() or self._start_from_frontier()):
                break

    def _start_merge(self) -> bool:
        merge = self.pool.next_merge()
        while merge and self._refused(merge.child):
            merge = self.pool.next_merge()
        if merge is None:
            return False
        one, other = merge.child.parents
        proposal = Proposal(one, one)
        self._proposals.append(proposal)
        self._say("merge", merge.child, f"with {other}")
        self._to_gate(proposal, merge.child, (one, other), merge.cases, (len(merge.cases) + 1) // 2)
        return True

    def _start_from_frontier(self) -> bool:
        parent = self.pool.draw_parent(self._draw())
        starts_due = 3 * self._without_gain // self.settings.patience
        if parent and starts_due > self._fresh_starts:
            # Every line on the frontier has got stuck; one that begins anew may avoid what holds them up.
            self._fresh_starts = starts_due
            parent = self.seed.id
        if parent is None:
            if not self._proposals:
                self._finish("no failing case uses a prompt")
            return False
        proposal = Proposal(parent, parent)
        self._proposals.append(proposal)
        stuck = self._failures[parent] - self.settings.stuck_after
        if stuck < 0 or stuck % 2 or not self._prune(proposal):
            self._reflect(proposal, parent)
        return True

    def _reflect(self, proposal: Proposal, parent: str) -> None:
        results = self.results[parent]
        proposal.parent, proposal.child, proposal.parts = parent, None, []
        for minibatch in self._showcase.minibatches(parent, self._groups):
            self._numbered += 1
            used = {name for case in minibatch.failing for name in results[case].uses}
            part = Part(
                f"p{self._numbered}", minibatch, tuple(name for name in self.seed.texts if name in used)
            )
            proposal.parts.append(part)
            self._reflecting[part.id] = proposal
            self._hand_out(
                Reflect(
                    part.id,
                    self.candidates[parent],
                    part.components,
                    minibatch.failing,
                    minibatch.neighbours,
                    self._showcase.discarded(self.candidates, parent, part.components),
                    self._rounds[parent],
                )
            )
        self._rounds[parent] += 1

    def _prune(self, proposal: Proposal) -> bool:
        """Send the parent without one of its added lines to the gate; return False if every such text
        is known.
        """
        untried = (
            child
            for child in prunings(self.candidates[proposal.parent], self.seed.texts)
            if child.id not in self.candidates and not self._refused(child)
        )
        child = next(untried, None)
        if child is None:
            return False
        (minibatch,) = self._showcase.minibatches(proposal.parent, 1)
        gate = (*minibatch.failing, *minibatch.neighbours)
        self._to_gate(proposal, child, (proposal.parent,), gate, len(minibatch.failing))
        return True

    def _refused(self, child: Candidate) -> bool:
        before = self.candidates[child.parents[0]].texts
        return any(
            self._guard(name, before[name], child.texts[name], child.examples) for name in child.changed
        )

    # Tasks and the end

    def _run(self, proposal: Proposal, cases: Sequence[str]) -> None:
        """Hand out an evaluation of the proposal's candidate, as many of the cases as the budget has
        room for.
        """
        candidate = proposal.candidate
        assert candidate is not None
        if self.done:
            self._proposals.remove(proposal)
            return
        ledger, room = self.pool.ledger, self.budget.remaining
        base = self.candidates[proposal.base].texts
        changed = [name for name, text in candidate.texts.items() if text != base[name]]
        if room == 0 or ledger.cost(changed, ledger.missing(candidate.id)) > room:
            if self.budget.reserved:
                proposal.waiting = tuple(cases)
            else:
                self._drop(proposal, "the budget has no room for all of its cases")
            return
        chosen = tuple(cases[:room])
        self.budget.reserve(len(chosen))
        proposal.spent += len(chosen)
        purpose = "rest" if proposal.child is None else "gate" if candidate.origin != "merge" else "merge"
        self._hand_out(Evaluate(candidate, chosen, purpose))

    def _hand_out(self, task: Task) -> None:
        if isinstance(task, Evaluate):
            self._evaluating[task.candidate.id] = task
        self._outbox.append(task)

    def _say(self, kind: str, candidate: Candidate, reason: str, *scores: float) -> None:
        parent = candidate.parents[0] if candidate.parents else ""
        self._decisions.append(Decision(kind, candidate.id, parent, reason, scores))

    def _finish(self, reason: str) -> None:
        """End the search: nothing more is handed out; results of what is under way are still taken."""
        if not self.done:
            self.done = reason
            self._outbox = []
            self._decisions.append(Decision("done", "", "", reason))
