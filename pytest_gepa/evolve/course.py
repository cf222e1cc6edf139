"""The way of a proposal: reflections, a child, its gate, the cases that are left, a place on the frontier."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.children import Children
from pytest_gepa.evolve.decisions import Decisions
from pytest_gepa.evolve.gate import GateState, judge_gate, why_no_evidence
from pytest_gepa.evolve.mending import Mending
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.evolve.proposal import AtGate, Part, Proposal, Repair, Round, Tip, gate_cases
from pytest_gepa.evolve.repeats import Repeats
from pytest_gepa.evolve.showcase import Showcase
from pytest_gepa.evolve.sift import next_alone, unchecked
from pytest_gepa.evolve.stages import run_what_can_matter, stage_of
from pytest_gepa.evolve.tasks import Decision, Evaluate
from pytest_gepa.evolve.work import Luck, Work

OUT = "it can no longer reach the best, nor be the best on any case"
GIVEN_UP = "it is not run on the cases that are left"
ALL_EXAMPLES = "all cases shown are examples in it, and cannot judge it"
NONE_DECIDABLE = "the cases shown end by chance, and cannot judge it"
ONLY_A_STEP = "its cases got further before they failed, but none passes"


class Course:
    """Leads proposals on; each method takes one of them and hands out what it needs next, or ends it."""

    def __init__(
        self,
        pool: Pool,
        work: Work,
        luck: Luck,
        showcase: Showcase,
        settings: SearchSettings,
        children: Children,
        decisions: Decisions,
    ) -> None:
        self._pool = pool
        self._work = work
        self._luck = luck
        self._showcase = showcase
        self._settings = settings
        self._children = children
        self._decisions = decisions
        shared = (pool, work, showcase, settings, children)
        self._mending = Mending(*shared, decisions.propose_repairs, self.to_gate)
        self._repeats = Repeats(pool, work, settings)
        self._paused: list[Proposal] = []

    # A child

    def unite(self, proposal: Proposal) -> None:
        """Make a child of what the reflections gave, now that all have, and send it to its gate."""
        child, problem = self._children.child_of(proposal)
        if child is None:
            self.fail(proposal, "invalid", None, problem)
        elif child.id in self._pool.candidates:
            self.fail(proposal, "duplicate", child, "these texts have been tried before")
        else:
            settings = self._settings
            failing, passing = gate_cases(proposal.round.parts, settings.minibatch, settings.neighbours)
            self.to_gate(proposal, child, (proposal.round.parent,), (*failing, *passing), len(failing))

    # Its gate, and the way from there to the frontier

    def to_gate(
        self, proposal: Proposal, child: Candidate, rivals: tuple[str, ...], gate: tuple[str, ...], first: int
    ) -> None:
        """Run a new candidate on the `first` cases of its gate; the others follow if they can change
        the verdict. Cases that do not judge it, as they are its examples or nobody can decide them, are not run.
        """
        self._pool.add(child)
        left_out, undecidable = self._pool.ledger.left_out(child.id), self._pool.ledger.undecidable
        idle = {*left_out, *undecidable}
        first -= sum(case in idle for case in gate[:first])
        gate = tuple(case for case in gate if case not in idle)
        proposal.at_gate = AtGate(child, rivals, gate)
        if gate:
            self.run(proposal, gate[: max(1, first)])
        elif proposal.repair is not None:
            self._judge_repair(proposal, proposal.repair, child, GateState("failed", 0.0, 0.0, ()))
        else:
            proposal.round.merge = None
            told = ALL_EXAMPLES if left_out else NONE_DECIDABLE
            self.fail(proposal, "rejected", child, told)

    def judge(self, proposal: Proposal, gate: AtGate) -> None:
        """Decide on a child by what is known of it at its gate."""
        child, ledger, repair = gate.child, self._pool.ledger, proposal.repair
        # Its own further trials may have shown that nobody can decide a case.
        idle = {*ledger.undecidable}
        gate.cases = tuple(case for case in gate.cases if case not in idle)
        state = judge_gate(ledger, child, gate.rivals, gate.cases, self._decisions.accept)
        if not state.verdict:
            # A repair takes a good part of the edit back as likely as not, and a few cases tell.
            done = len(gate.cases) - len(state.open)
            self.run(proposal, state.open if repair is None else state.open[: max(1, done)])
        elif state.verdict == "passed" and self._repeats.of_leads(child, gate.rivals, gate.cases):
            return
        elif state.verdict == "passed" and (kept := unchecked(ledger, proposal, child)):
            self.run(proposal, kept)
        elif repair is not None:
            self._judge_repair(proposal, repair, child, state)
        else:
            self._judge_child(proposal, gate, state)

    def _judge_child(self, proposal: Proposal, gate: AtGate, state: GateState) -> None:
        child, round, scores = gate.child, proposal.round, (state.before, state.after)
        self._showcase.note_broken(round.parent, child.id, gate.cases)
        merge, round.merge = round.merge, None
        if state.verdict == "not in effect":
            self.fail(proposal, "not in effect", child, "no request changed in the cases shown", *scores)
        elif state.verdict == "no evidence":
            self.fail(proposal, "rejected", child, why_no_evidence(self._pool.ledger, child.id, gate.cases))
        elif state.verdict == "passed" and not self._undoes(proposal, child):
            # A plugin may take one that is no better.
            is_better = state.after > state.before
            told = "better on the cases shown" if is_better else state.compared
            self._work.say("accepted", child, told, *scores)
            if round.sifted is not None:
                round.sifted = round.parts
            elif len(round.parts) > 1:
                self._luck.groups = min(self._settings.groups, self._luck.groups + 1)
            proposal.tip = Tip(child, round.parts)
            if not self._sift(proposal):
                self.go_on(proposal)
        elif later := self._steps(proposal, gate):
            told = f"no case passes by it, but {later} got further before failing"
            self._work.say("step", child, told, *scores)
            vain = 0 if proposal.tip is None else proposal.tip.vain
            proposal.tip = Tip(child, round.parts, vain + 1, is_step=True)
            self.go_on(proposal)
        else:
            if len(round.parts) > 1 and round.sifted is None:
                round.alone = list(round.parts)
            self.fail(proposal, "rejected", child, state.compared, *scores)
            if merge is not None and merge.child is child:
                self._pool.merge_failed(merge.pair)

    def _undoes(self, proposal: Proposal, child: Candidate) -> bool:
        """Whether an edit that is tried behind others undoes something of theirs."""
        kept = proposal.tip if proposal.round.sifted else None
        return kept is not None and bool(self._pool.ledger.turned(kept.candidate.id, child.id)[1])

    def _steps(self, proposal: Proposal, gate: AtGate) -> int:
        """In how many cases a child that mended nothing has got further; 0 where it is not worth a reflection."""
        round, tip = proposal.round, proposal.tip
        # One that passes cases is better than any step, and would be lost.
        has_better = tip is not None and (not tip.is_step or tip.vain + 1 >= self._settings.chain_tries)
        if has_better or gate.child.origin == "merge" or not round.parts or round.sifted is not None:
            return 0
        return self._pool.ledger.further(round.parent, gate.child.id, gate.cases)

    def _sift(self, proposal: Proposal) -> bool:
        """Send the next of the edits that failed together, behind those that have passed since, to a gate of its own
        cases; False if there is none.
        """
        settings, round = self._settings, proposal.round
        parent = self._pool.candidates[round.parent]
        while not self._work.done and (child := next_alone(round, parent)) is not None:
            if self._children.is_new(child):
                share = max(1, settings.minibatch // settings.groups)
                failing, passing = gate_cases(round.parts[-1:], share, settings.neighbours)
                self.to_gate(proposal, child, (parent.id,), (*failing, *passing), len(failing))
                return True
        return False

    def go_on(self, proposal: Proposal) -> None:
        """Run the tip on more cases, or reflect on it again, or let it take its place."""
        assert proposal.tip is not None
        tip, ledger, settings = proposal.tip.candidate, self._pool.ledger, self._settings
        proposal.at_gate = None
        missing = ledger.missing(tip.id)
        may_reflect = (
            not self._work.done
            and proposal.tip.vain < settings.chain_tries
            and self._work.budget.remaining >= self._pool.least_cost(tip.id)
        )
        if proposal.tip.is_step:
            # Repeats may have shown that nobody can decide what it fails.
            if may_reflect and ledger.workable(tip.id):
                self._children.reflect(proposal, tip.id)
            else:
                self.drop(proposal, ONLY_A_STEP)
            return
        if not missing:
            self._settle(proposal, proposal.tip)
            return
        may_chain = (
            may_reflect
            and len(missing) > settings.chain_share * len(ledger.active)
            and proposal.spent < settings.chain_cost * len(ledger.active)
        )
        lacking = max(1, settings.chain_least) - len(ledger.workable(tip.id))
        if may_chain and lacking <= 0:
            if not self._repeats.of_failures(tip):
                self._children.reflect(proposal, tip.id)
            return
        stage = stage_of(
            ledger,
            tip,
            self._pool.best_scores,
            self._pool.best_mean,
            self._showcase.fragile,
            lacking if may_chain else 0,
            settings.stage,
        )
        if cases := self._decisions.next_stage(stage):
            self.run(proposal, cases)
        elif not (self._repeats.before_its_place(tip, proposal.base) or self._mending.begin(proposal, tip)):
            # A plugin may give up one that could matter.
            self.drop(proposal, GIVEN_UP if run_what_can_matter(stage) else OUT)

    def _settle(self, proposal: Proposal, tip: Tip) -> None:
        """Give a tip that was run on every case its place; then repeat what is in doubt, which may move it."""
        candidate = tip.candidate
        if candidate.id not in self._pool.frontier.means:
            # Whatever ends the search from here on, it is among those that may win.
            tip.is_gain = self._pool.enter(candidate)
            self._pool.unsettled.add(candidate.id)
        if self._repeats.probe() or self._work.runs(self._pool.seed.id):
            self._paused.append(proposal)
        elif not self._repeats.before_its_place(candidate, proposal.base):
            self._enter(proposal, tip)

    def go_on_with_paused(self) -> None:
        """Go on with what has waited for further trials of the seed."""
        paused, self._paused = self._paused, []
        for proposal in paused:
            if proposal in self._work.proposals:
                self.go_on(proposal)

    def _enter(self, proposal: Proposal, tip: Tip) -> None:
        candidate, ledger = tip.candidate, self._pool.ledger
        if ledger.was_repeated(candidate.id):
            tip.is_gain = self._pool.enter_again(candidate)
        self._pool.unsettled.discard(candidate.id)
        before = self._pool.best_but(candidate.id)
        stands = candidate.id in self._pool.frontier.members
        kind = "frontier" if stands else "dominated"
        reason = "among the best on some case" if stands else "others are as good on every case"
        self._work.say(kind, candidate, reason, before, ledger.mean(candidate.id))
        if tip.is_gain:
            self._luck.without_gain = self._luck.fresh_starts = 0
        else:
            self._came_to_nothing(proposal, candidate, reason)
        if ledger.solved(candidate.id):
            self._work.finish("every case passes")
        if self._work.done or not self._mending.begin(proposal, candidate):
            self._work.proposals.remove(proposal)

    # Repairs

    def mend_barred(self) -> bool:
        """Begin to take back parts of the best candidate where it breaks too many cases to be chosen: parts of all that
        it has changed in today's prompts, as an earlier edit may be to blame. False if there is nothing to try.
        """
        barred, seed = self._pool.barred(self._settings.max_broken), self._pool.seed
        if barred is None:
            return False
        proposal = Proposal(seed.id, Round(seed.id), tip=Tip(barred))
        self._work.proposals.append(proposal)
        if self._mending.begin(proposal, barred, is_barred=True):
            return True
        self._work.proposals.remove(proposal)
        return False

    def _judge_repair(self, proposal: Proposal, repair: Repair, child: Candidate, state: GateState) -> None:
        if not self._mending.judge(proposal, repair, child, state):
            return
        if state.verdict == "passed":
            self.go_on(proposal)
        else:
            self._leave_broken(proposal, repair)

    def _leave_broken(self, proposal: Proposal, repair: Repair) -> None:
        """End the repairs of a tip: it stays as it is, or is given up."""
        self._mending.give_up(proposal, repair)
        if proposal.candidate is not None and proposal.candidate.id in self._pool.frontier.means:
            self._work.proposals.remove(proposal)
        else:
            self.drop(proposal, "it mends some cases and breaks others, and no part of it does better")

    # What came to nothing

    def fail(self, proposal: Proposal, kind: str, child: Candidate | None, reason: str, *scores: float) -> None:
        """Note that an attempt came to nothing; go on with the tip if there is one."""
        round, tip = proposal.round, proposal.tip
        self._work.note(Decision(kind, child.id if child else "", round.parent, reason, scores))
        if round.sifted is not None:  # the round has failed already, and is counted
            self._tell_of(round, round.parts[-1:], child, reason)
        else:
            self._luck.without_gain += 1
            self._luck.failures[round.parent] += 1
            if tip is not None:
                tip.vain += 1
            if len(round.parts) > 1:
                self._luck.groups = max(1, self._luck.groups // 2)
                reason = f"tried together with other edits: {reason}"
            if not round.alone:
                self._tell_of(round, round.parts, child, reason)
        if self._sift(proposal):
            return
        if tip is None:
            self._work.proposals.remove(proposal)
        else:
            self.go_on(proposal)

    def drop(self, proposal: Proposal, reason: str) -> None:
        """Give up the candidate under way; what passed its gate before it goes on without it."""
        candidate = proposal.candidate
        assert candidate is not None
        self._work.say("stopped", candidate, reason)
        if proposal.repair is not None:
            self._leave_broken(proposal, proposal.repair)
        elif proposal.at_gate and proposal.tip:
            proposal.tip.vain = self._settings.chain_tries
            self.go_on(proposal)
        else:
            self._work.proposals.remove(proposal)
            self._came_to_nothing(proposal, candidate, reason)

    def _came_to_nothing(self, proposal: Proposal, candidate: Candidate, reason: str) -> None:
        tip, round = proposal.tip, proposal.round
        if tip is None and round.sifted is not None:  # the round has failed already, and is counted
            self._tell_of(round, [*round.parts[-1:], *round.alone], candidate, reason)
            return
        self._luck.failures[proposal.base] += 1
        self._luck.without_gain += 1
        if tip is not None and candidate is tip.candidate:
            self._tell_of(round, tip.parts, candidate, reason)
        elif not round.parts:
            self._tell_of(round, (), candidate, reason)

    def _tell_of(self, round: Round, parts: Sequence[Part], child: Candidate | None, reason: str) -> None:
        self._showcase.came_to_nothing(self._pool.candidates, round.parent, parts, child, reason)

    # Evaluations

    def run(self, proposal: Proposal, cases: Sequence[str]) -> None:
        """Hand out an evaluation of the proposal's candidate, as many of the cases as the budget has
        room for.
        """
        candidate = proposal.candidate
        assert candidate is not None
        if self._work.done:
            self._complete(proposal)
            return
        room = self._work.budget.remaining
        if not self._has_room(proposal, candidate):
            if self._work.budget.reserved:
                proposal.waiting = tuple(cases)
            else:
                self.drop(proposal, "the budget has no room for all of its cases")
            return
        chosen = tuple(cases[:room])
        self._work.budget.reserve(len(chosen))
        proposal.spent += len(chosen)
        purpose = "rest" if proposal.at_gate is None else "gate" if candidate.origin != "merge" else "merge"
        self._work.hand_out(Evaluate(candidate, chosen, purpose))

    def complete_all(self) -> None:
        """When the search closes: run what has passed its gate on the cases that it lacks. Reflections that are under
        way are not waited for.
        """
        for proposal in list(self._work.proposals):
            if not self._work.is_running(proposal):
                self._complete(proposal)

    def _complete(self, proposal: Proposal) -> None:
        proposal.at_gate = proposal.repair = None
        proposal.waiting = ()  # what it waited for room with is run now, or never
        tip = None if proposal.tip is None or proposal.tip.is_step else proposal.tip.candidate
        missing = () if tip is None else self._pool.ledger.missing(tip.id)
        if tip is None or not (self._work.closes and missing and self._has_room(proposal, tip)):
            self._work.proposals.remove(proposal)
            return
        # Cases that turn out to be free give their room to those for which there was none.
        chosen = missing[: self._work.budget.remaining]
        self._work.budget.reserve(len(chosen))
        self._work.hand_out(Evaluate(tip, chosen, "rest"))

    def _has_room(self, proposal: Proposal, candidate: Candidate) -> bool:
        """Whether the budget holds the cases that a candidate lacks, as far as what it changes reaches them."""
        ledger, room = self._pool.ledger, self._work.budget.remaining
        base = self._pool.candidates[proposal.base].texts
        changed = [name for name, text in candidate.texts.items() if text != base[name]]
        return 0 < room >= ledger.cost(changed, ledger.missing(candidate.id))
