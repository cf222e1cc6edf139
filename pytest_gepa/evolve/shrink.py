"""Shrinking the winner: its changes are dropped as long as no case is worse. Ask and tell, like the search; pure.

What is measured goes to the search's ledger and is paid from its budget; what it has measured is not run again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_gepa.evolve.budget import Budget
from pytest_gepa.evolve.candidate import Candidate, candidate_id, derive
from pytest_gepa.evolve.changes import Need, changes
from pytest_gepa.evolve.children import Guard
from pytest_gepa.evolve.doubt import fewest_trials
from pytest_gepa.evolve.drops import Attempt, AttemptResult, drops
from pytest_gepa.evolve.pool import Pool
from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.search import allow_all
from pytest_gepa.evolve.suspects import Suspects, is_worse, parts
from pytest_gepa.evolve.tasks import Decision, Evaluate, Evaluated, Stopped
from pytest_gepa.prompts.hunks import with_hunks

_TOLD = 3
"""So many cases are looked for that are worse without a change, where there is room."""

_SURE = 0.9
"""A case with a greater suspicion is run alone."""

_FIRST = 2
"""Cases of the first run of a smaller candidate; each further run has twice as many."""


class Shrink:
    """Makes the winner as small as it can be with no case worse, for at most `most` rollouts of the `budget`,
    retries of what had failed on the way not counted.

    `before` is the winner as the search has found it, `winner` the smallest so far, at any time. `done` is the reason
    for which it ended, in words, or "". When that is that every change was tried, none of those left can be dropped
    alone.
    """

    def __init__(self, pool: Pool, winner: Candidate, budget: Budget, most: int, guard: Guard = allow_all) -> None:
        self.winner = winner
        self.done = ""
        self._pool = pool
        self.before = winner
        self._budget = budget
        self._room = most
        self._guard = guard
        self._hunks = changes(pool.seed, winner)
        self._kept = set(range(len(self._hunks)))
        self._known: dict[int, Need] = {}
        self._attempt = Attempt(())
        self._child = winner
        self._size = _FIRST
        self._absent: set[int] = set()
        self._task: Evaluate | None = None
        self._outbox: Evaluate | None = None
        self._decisions: list[Decision] = []
        self._suspects = self._learnt()
        self._plan = drops(len(self._hunks), self._suspects.blamed)
        self._go_on(None)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What is known of each change, in the order in which they stand in the prompts."""
        return tuple(self._need(number) for number in range(len(self._hunks)))

    def ask(self) -> Evaluate | None:
        """Return the evaluation that has not been handed out yet, None while one is under way and at the end."""
        task, self._outbox = self._outbox, None
        return task

    def tell(self, event: Evaluated | Stopped) -> tuple[Decision, ...]:
        """Take the results of the evaluation under way, or the end; return what was decided."""
        if isinstance(event, Stopped):
            self._end(event.reason)
            return self.decided()
        task, self._task = self._task, None
        if task is None or task.candidate.id != event.candidate:
            raise ValueError(f"no evaluation of candidate {event.candidate} is under way")
        results = {case: event.results[case] for case in task.cases if case in event.results}
        charged = sum(result.charged for result in results.values())
        self._budget.settle(len(task.cases), charged)
        self._room -= charged
        if task.purpose == "repeat":
            self._pool.ledger.repeat(event.candidate, results)
        else:
            self._pool.ledger.record(event.candidate, results)
        if len(results) < len(task.cases):
            self._end("the run was stopped")
        if not self.done and (outcome := self._judged()) is not None:
            self._go_on(outcome)
        return self.decided()

    def decided(self) -> tuple[Decision, ...]:
        """Return what was decided and not told yet: the search may have measured before what is to be tried first."""
        decisions, self._decisions = tuple(self._decisions), []
        return decisions

    # One attempt

    def _go_on(self, outcome: AttemptResult | None) -> None:
        """Follow the plan to the next attempt that has to be run; `outcome` is what came of the last one."""
        while True:
            if outcome is not None:
                self._suspects.learn(self._child.id, self._absent)
            try:
                self._attempt = next(self._plan) if outcome is None else self._plan.send(outcome)
            except StopIteration:
                self._end("every change was tried")
                return
            self._child, self._size = self._without(self._attempt.dropping), _FIRST
            self._absent = {*range(len(self._hunks))} - self._kept | {*self._attempt.dropping}
            outcome = self._judged()
            if outcome is None:
                return

    def _judged(self) -> AttemptResult | None:
        """What comes of the attempt; None when further cases of the child must be run, or cannot be."""
        worse, unknown = self._compared()
        if self._attempt.is_known:
            if worse and (further := self._further(len(worse))):
                self._run(further)
                return None
            return self._keep("needed", worse) if worse else AttemptResult()
        if worse:
            return None if self._repeats(worse) else self._keep("needed", worse)
        if refusal := self._refusal():
            return self._keep("not measured", reason=refusal)
        if unknown:
            return self._keep("not measured", reason=f"without it {len(unknown)} of the cases gave no evidence")
        if wanted := self._wanted():
            self._run(wanted)
            return None
        if self._attempt.only:
            return AttemptResult()
        if self._loses_in_all():
            return self._keep("not measured", reason="no case shows it, but without it their mean is lower")
        self._drop()
        return AttemptResult(is_gone=True)

    def _loses_in_all(self) -> bool:
        """Whether graded losses, each too small to be told from chance, add up to more than that: against the first
        winner, as they could do so over several changes.
        """
        ledger, child, idle = self._pool.ledger, self._child.id, self._idle()
        judged = [case for case in ledger.results.get(child, {}) if case not in idle]
        lost = ledger.sum(self.before.id, judged) - ledger.sum(child, judged)
        return ledger.jitter > 0 and lost > ledger.by_chance(judged) + TIE

    def _keep(self, state: str, cases: tuple[str, ...] = (), reason: str = "") -> AttemptResult:
        if len(self._attempt.dropping) == 1:
            (number,) = self._attempt.dropping
            at_least = state == "needed" and bool(self._unrun())
            self._known[number] = Need(*self._hunks[number], state, cases, reason, at_least)
        return AttemptResult(worse=cases)

    def _run(self, wanted: Sequence[str]) -> None:
        """Hand out the next cases of the child, as many as there is room for."""
        room = min(self._room, self._budget.remaining)
        if room < 1:
            self._end("the budget had no room for it")
            return
        chosen = tuple(wanted[:room])
        self._budget.reserve(len(chosen))
        self._task = self._outbox = Evaluate(self._child, chosen, "shrink")

    def _repeats(self, worse: tuple[str, ...]) -> bool:
        """Run cases again that may be worse by chance; False where trials end alike, or the loss is settled."""
        ledger, child = self._pool.ledger, self._child
        if not self._may_be_chance(worse) or child.id == self._pool.seed.id:
            return False
        doubtful = fewest_trials(ledger, child.id, worse)
        is_settled = any(ledger.is_settled(child.id, case) for case in worse)
        if not doubtful or is_settled or len(doubtful) > self._room or not self._budget.reserve(len(doubtful)):
            return False
        trial = ledger.trials(child.id, doubtful[0])
        self._task = self._outbox = Evaluate(child, doubtful, "repeat", trial)
        return True

    def _may_be_chance(self, worse: Sequence[str]) -> bool:
        """Whether another trial of these cases may show that none is worse. In all comparisons together some graded
        score lies further off than the few trials of today's prompts did.
        """
        ledger = self._pool.ledger
        return ledger.noise > 0 or (ledger.jitter > 0 and all(map(ledger.is_graded, worse)))

    def _drop(self) -> None:
        """Take the child for the winner: on the cases that its change cannot reach it has the winner's results."""
        ledger, child = self._pool.ledger, self._child
        own = ledger.results.get(child.id, {})
        theirs = ledger.results[self.winner.id]
        spared = {case: result for case, result in theirs.items() if case not in own}
        ledger.record(child.id, spared, (self.winner.id,))
        self._kept.difference_update(self._attempt.dropping)
        self._suspects.drop(self._attempt.dropping)
        gone = len(self._hunks) - len(self._kept)
        means = ledger.mean(self.winner.id), ledger.mean(child.id)
        reason = f"{gone} of {len(self._hunks)} changes are gone, and no case is worse"
        self._decisions.append(Decision("shrunk", child.id, self.before.id, reason, means))
        self.winner = child

    def _end(self, reason: str) -> None:
        if not self.done:
            self.done = reason
            self._outbox = None

    # What a child is, and how it stands

    def _without(self, dropped: Sequence[int]) -> Candidate:
        """The winner without these changes; one that the search has had before is that one."""
        texts = {
            name: with_hunks(
                text,
                [
                    hunk
                    for number, (where, hunk) in enumerate(self._hunks)
                    if where == name and number in self._kept and number not in dropped
                ],
            )
            for name, text in self._pool.seed.texts.items()
        }
        known = self._pool.candidates.get(candidate_id(texts))
        return known or derive(self.before, texts, origin="shrink")

    def _refusal(self) -> str:
        """Why the child must not be tried, "" if nothing speaks against it. Today's own texts need no leave."""
        child, texts = self._child, self.winner.texts
        seed = self._pool.seed
        if child.id == seed.id:
            return "without it nothing is changed"
        if child.id not in self._pool.candidates:
            for name, text in child.texts.items():
                if text not in (texts[name], seed.texts[name]):
                    refusal = self._guard(name, texts[name], text, child.examples)
                    if refusal is not None:
                        return f"the text without it is refused: {refusal}"
            self._pool.add(child)
        return ""

    def _compared(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The cases in which the child is known to be worse than the winner, and those that gave no evidence."""
        ledger, child, winner = self._pool.ledger, self._child.id, self.winner.id
        known, idle = ledger.results.get(child, {}), self._idle()
        judged = [case for case in ledger.active if case in known and case not in idle]
        unknown = [
            case
            for case in judged
            if ledger.evidence(child, case) is None and ledger.evidence(winner, case) is not None
        ]
        worse = [case for case in judged if case not in unknown and is_worse(ledger, child, winner, case)]
        return tuple(worse), tuple(unknown)

    def _wanted(self) -> list[str]:
        """The cases to run next, the likeliest to be worse first; () when the attempt has gone as far as it should."""
        attempt, missing = self._attempt, self._unrun()
        if attempt.only:
            return [case for case in missing if case == attempt.only]
        order = self._suspects.order(attempt.dropping, missing)
        size, self._size = self._size, 2 * self._size
        if order and order[0][1] > _SURE:
            size = 1
        return [case for case, _ in order[:size]]

    def _unrun(self) -> list[str]:
        """The cases that may be worse under the child and have not been run."""
        ledger, child, idle = self._pool.ledger, self._child, self._idle()
        changed = {name for name, text in child.texts.items() if text != self.winner.texts[name]}
        return [
            case
            for case in ledger.missing(child.id)
            if case not in idle and any(self._reaches(name, case) for name in changed)
        ]

    def _further(self, known: int) -> list[str]:
        """A few more cases that will be worse without the one change, by all that is known; () after the first time.

        Where trials end differently one trial would not tell.
        """
        ledger, size = self._pool.ledger, self._size
        self._size = 0
        room = min(size, _TOLD - known, self._room, self._budget.remaining)
        if room < 1 or ledger.noise or ledger.jitter:
            return []
        idle = self._idle()
        missing = [case for case in ledger.missing(self._child.id) if case not in idle]
        order = self._suspects.order(self._attempt.dropping, missing)
        return [case for case, suspicion in order[:room] if suspicion > _SURE]

    def _idle(self) -> set[str]:
        """The cases that say nothing of the child: its examples, and what nobody can decide."""
        ledger = self._pool.ledger
        return {*ledger.left_out(self._child.id), *ledger.undecidable}

    def _reaches(self, component: str, case: str) -> bool:
        """Whether a case was seen to use a component, or may do so unseen."""
        results = [self._pool.ledger.results[one.id].get(case) for one in (self._pool.seed, self.before)]
        known = [result for result in results if result is not None]
        uses = {name for result in known for name in result.uses}
        return component in uses or (not uses and any(result.depends for result in known))

    def _learnt(self) -> Suspects:
        """What the search has seen of the winner without some of its changes."""
        pool, before = self._pool, self.before
        suspects = Suspects(pool.ledger, pool.seed.id, before.id, self._hunks, self._reaches)
        texts = {name: one.texts for name, one in pool.candidates.items() if name in pool.ledger.results}
        found = parts(texts, pool.seed.texts, before.texts, self._hunks)
        for name, absent in found.items():
            if absent:
                suspects.learn(name, absent)
        return suspects

    def _need(self, number: int) -> Need:
        if number not in self._kept:
            return Need(*self._hunks[number], "dropped")
        return self._known.get(number) or Need(
            *self._hunks[number], "not measured", reason=self.done or "the run ended before"
        )
