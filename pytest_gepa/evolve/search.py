"""The loop as ask and tell: `ask` hands out tasks, `tell` takes what came of them and decides. It never
runs anything.

The state changes in `tell` only, as a function of the settings and the order of events: telling a new
search the events of a journal brings it to where the old one was.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence

from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.candidate import Candidate, derive, seed_candidate
from pytest_gepa.evolve.children import Children, Guard
from pytest_gepa.evolve.course import Course
from pytest_gepa.evolve.decisions import (
    Decisions,
    ParentChoice,
    Progress,
    WinnerChoice,
    draw_by_share,
    stop_at_last,
)
from pytest_gepa.evolve.frontier import Standing
from pytest_gepa.evolve.merges import Merges
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import SearchCase, SearchSettings
from pytest_gepa.evolve.proposal import Proposal, Round, Tip, usable
from pytest_gepa.evolve.pruning import prunings
from pytest_gepa.evolve.showcase import Showcase
from pytest_gepa.evolve.tasks import (
    CaseResult,
    Closing,
    Decision,
    Evaluate,
    Evaluated,
    Event,
    Reflected,
    Retried,
    Retrying,
    Task,
)
from pytest_gepa.evolve.work import Luck, SearchError, Work


def allow_all(component: str, parent: str, text: str, examples: Collection[str]) -> str | None:
    """Refuse no text: the guard of a driver that has none."""
    return None


class Search:
    """A search over the texts of the components, driven by its caller.

    `pool` holds the candidates and what is known of them. Texts that the search makes itself, by uniting, merging
    and pruning, are put before the `guard`. `decisions` are how it decides, the usual ones by default. `ancestor` are
    texts that were in use before, by component: they are run right after the baseline, on every case.
    """

    def __init__(
        self,
        cases: Sequence[SearchCase],
        seed_texts: Mapping[str, str],
        settings: SearchSettings,
        guard: Guard = allow_all,
        decisions: Decisions | None = None,
        ancestor: Mapping[str, str] | None = None,
    ) -> None:
        decisions = decisions or Decisions()
        self.settings = settings
        self.seed = seed_candidate(seed_texts)
        self.pool = Pool(cases, self.seed, decisions.propose_merge)
        self._draw = random.Random(f"pytest-gepa search {settings.seed}").random
        self._work = Work(settings.rollouts)
        self._luck = Luck(max(1, settings.groups))
        self._showcase = Showcase(self.pool.ledger, self.seed.id, settings, self._draw, decisions.choose_minibatches)
        common = (self.pool, self._work, self._luck, self._showcase, settings)
        self._children = Children(*common, guard)
        self._course = Course(*common, self._children, decisions)
        self._merges = Merges(self.pool, self._work, self._children, self._course)
        self._select_parent = decisions.select_parent
        self._stop = decisions.stop
        self._choose_winner = decisions.choose_winner
        self._ancestor = derive(self.seed, ancestor or {}, origin="ancestor")
        self._has_closed = False
        self._without_edit = 0
        if not self.budget.reserve(len(cases)):
            raise SearchError(f"{settings.rollouts} rollouts cannot hold one run of {len(cases)} cases")
        self._work.hand_out(Evaluate(self.seed, tuple(self.pool.ledger.cases), "baseline"))

    # What a driver uses

    @property
    def done(self) -> str:
        """Why the search ended, in words; "" while it goes on."""
        return self._work.done

    @property
    def budget(self) -> Budget:
        """The rollouts."""
        return self._work.budget

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
        return self._work.is_evaluating

    def ask(self) -> tuple[Task, ...]:
        """Return the tasks that have not been handed out yet; all of them may run at once.

        What is returned depends on earlier calls; nothing that is decided does.
        """
        return self._work.take_tasks()

    def tell(self, event: Event) -> tuple[Decision, ...]:
        """Take an event and return what was decided on it: nothing, on a retry, which other threads may tell of.

        Raises `SearchError` if it answers no open task.
        """
        if isinstance(event, Retrying):
            if not self.budget.reserve(event.rollouts):
                raise SearchError("the budget has no room for this retry")
            return ()
        if isinstance(event, Retried):
            self.budget.settle(event.reserved, event.charged)
            return ()
        if isinstance(event, Evaluated):
            self._evaluated(event)
        elif isinstance(event, Reflected):
            self._reflected(event)
        else:
            self._work.finish(event.reason, closes=isinstance(event, Closing))
        self._doubt_what_is_broken()
        self._go_on()
        if self._work.closes and not self._has_closed:
            self._has_closed = True
            self._course.complete_all()
        return self._work.take_decisions()

    def frontier(self) -> tuple[Standing, ...]:
        """Return the candidates on the frontier, best mean first, and then those that are kept for what they save."""
        return self.pool.standings()

    def best(self, max_broken: int = 0) -> Candidate:
        """Return the best of the candidates that were run on every case and break at most `max_broken`.

        The highest mean wins, then the fewest broken cases, the shortest texts, the newest. The seed
        breaks none.
        """
        return self.pool.best(max_broken)

    def choose_winner(self, max_broken: int = 0) -> Candidate:
        """Return the candidate to be shrunk and confirmed, the seed where none is better."""
        usual, finalists = self.best(max_broken), self.pool.finalists(max_broken)
        if usual.id == self.seed.id:
            return self.seed
        return self.candidates[self._choose_winner(WinnerChoice(finalists, usual.id))]

    def mean(self, candidate: Candidate) -> float:
        """Return the weighted mean score; cases without evidence count as under the seed."""
        return self.pool.ledger.mean(candidate.id)

    def broken(self, candidate: Candidate) -> tuple[str, ...]:
        """Return the cases that the seed passes and the candidate fails."""
        return self.pool.ledger.broken(candidate.id)

    # Events

    def _evaluated(self, event: Evaluated) -> None:
        task = self._work.evaluated(event.candidate)
        results = {case: event.results[case] for case in task.cases if case in event.results}
        self.budget.settle(len(task.cases), sum(result.charged for result in results.values()))
        if task.purpose == "baseline":
            self._begin(results)
            return
        if task.purpose == "repeat":
            self.pool.ledger.repeat(event.candidate, results)
            self.pool.heed_undecidable()
        else:
            self.pool.ledger.record(event.candidate, results, task.candidate.parents)
        if task.candidate is self.seed:
            self.pool.weigh_again()
            self._course.go_on_with_paused()
            return
        proposal = next(one for one in self._work.proposals if one.candidate is task.candidate)
        if len(results) < len(task.cases) and task.purpose != "repeat":
            self._course.drop(proposal, f"{len(task.cases) - len(results)} of its cases were not run")
        elif proposal.at_gate is not None:
            self._course.judge(proposal, proposal.at_gate)
        else:
            self._course.go_on(proposal)

    def _begin(self, results: Mapping[str, CaseResult]) -> None:
        self.pool.begin(results)
        active = len(self.pool.ledger.active)
        self._work.say("baseline", self.seed, f"{active} cases gave evidence", self.mean(self.seed))
        if self.pool.ledger.solved(self.seed.id):
            every = "every case" if active == len(self.pool.ledger.cases) else "every case that gave evidence"
            self._work.finish(f"{every} passes already" if active else "no case gave evidence")
        elif not self.pool.ledger.workable(self.seed.id):
            self._work.finish("no failing case uses a prompt")
        # First run what was in use before on every case: a child of the seed that has no gate to pass.
        if self.done or self._ancestor.id == self.seed.id:
            return
        self.pool.add(self._ancestor)
        proposal = Proposal(self.seed.id, Round(self.seed.id), tip=Tip(self._ancestor))
        self._work.proposals.append(proposal)
        self._course.run(proposal, self.pool.ledger.missing(self._ancestor.id))

    def _reflected(self, event: Reflected) -> None:
        proposal = self._work.reflected(event.proposal)
        if self.done:
            return
        parent = self.candidates[proposal.round.parent]
        for part in proposal.round.parts:
            if part.id == event.proposal:
                part.reply = event
                if usable(parent, event):
                    self._without_edit = 0
                elif proposal.round.merge is None and event.asked:
                    self._without_edit += 1
        if all(part.reply is not None for part in proposal.round.parts):
            (self._merges if proposal.round.merge else self._course).unite(proposal)

    # New work

    def _go_on(self) -> None:
        for proposal in [one for one in self._work.proposals if one.waiting]:
            cases, proposal.waiting = proposal.waiting, ()
            self._course.run(proposal, cases)
        while (
            not self.done
            and not self._work.runs(self.seed.id)  # what it tells may be decided on now
            and len(self._work.proposals) < self.settings.proposals_in_flight
        ):
            progress = self._progress()
            if reason := self._stop(progress) or stop_at_last(progress):
                if not self._course.mend_barred():
                    self._work.finish(reason, closes=True)
            elif self.budget.remaining < self.pool.least_cost():
                # What is under way may give some of its reservation back.
                if self._work.proposals or self.budget.reserved:
                    break
                left = self.budget.remaining
                self._work.finish(f"{left} rollouts are left, too few to run another candidate on every case")
            elif not (self._mend_when_stuck() or self._merges.start() or self._start_from_frontier()):
                break

    def _mend_when_stuck(self) -> bool:
        """Begin to mend the best candidate, where nothing that was tried lately is better and it may not be chosen.

        Where trials end differently much seems broken that is not: there this is left for the end.
        """
        is_stuck = self._luck.without_gain >= self.settings.stuck_after
        return is_stuck and not self.pool.ledger.noise and self._course.mend_barred()

    def _progress(self) -> Progress:
        return Progress(
            self.pool.best_mean,
            self.budget.spent,
            self.budget.remaining,
            self._luck.without_gain,
            self.settings.patience,
            self._without_edit,
            self.settings.invalid,
            self.settings.unite,
        )

    def _doubt_what_is_broken(self) -> None:
        """Give the seed further trials of what seems broken under candidates that would be chosen but for that.

        Where trials do not end alike, a case passes under the seed by chance and fails under a candidate by chance: in
        a suite with many such cases one of them would bar every candidate.
        """
        if self.done or not self.pool.ledger.noise or self._work.runs(self.seed.id):
            return
        cases = self.pool.in_doubt(self.settings.max_broken)
        if cases and self.budget.reserve(len(cases)):
            trial = self.pool.ledger.trials(self.seed.id, cases[0])
            self._work.hand_out(Evaluate(self.seed, cases, "repeat", trial))

    def _start_from_frontier(self) -> bool:
        number = self._draw()
        parents = tuple(
            one
            for one in self.pool.parents(self._luck.failures)
            if self.pool.least_cost(one.candidate) <= self.budget.remaining
        )
        starts_due = 3 * self._luck.without_gain // self.settings.patience
        has_room = self.pool.least_cost(self.seed.id) <= self.budget.remaining
        is_stuck = bool(parents) and has_room and starts_due > self._luck.fresh_starts
        if is_stuck:
            self._luck.fresh_starts = starts_due
        choice = ParentChoice(parents, self.seed.id, is_stuck, number)
        parent = self._select_parent(choice) if parents else None
        while parent is not None and not self.pool.ledger.workable(parent):
            # Repeats have shown since that nobody can decide the cases that it fails.
            self.pool.rule_out(parent)
            parents = tuple(one for one in parents if one.candidate != parent)
            rest = ParentChoice(parents, self.seed.id, False, number)
            parent = draw_by_share(rest) if parents else None
        if parent is None:
            if not self._work.proposals:
                self._work.finish("no failing case is left that an edit of a prompt can mend")
            return False
        proposal = Proposal(parent, Round(parent))
        self._work.proposals.append(proposal)
        stuck = self._luck.failures[parent] - self.settings.stuck_after
        if stuck < 0 or stuck % 2 or not self._prune(proposal, parent):
            self._children.reflect(proposal, parent)
        return True

    def _prune(self, proposal: Proposal, parent: str) -> bool:
        """Send the parent without one of its added lines to the gate; return False if every such text
        is known.
        """
        untried = (
            child for child in prunings(self.candidates[parent], self.seed.texts) if self._children.is_new(child)
        )
        child = next(untried, None)
        if child is None:
            return False
        (minibatch,) = self._showcase.minibatches(parent, 1)
        gate = (*minibatch.failing, *minibatch.neighbours)
        self._course.to_gate(proposal, child, (parent,), gate, len(minibatch.failing))
        return True
