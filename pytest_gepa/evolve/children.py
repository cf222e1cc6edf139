"""Children: asking for the edits that make one, uniting what came, and the guard before texts of the search's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import TypeAlias

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.minibatch import Minibatch
from pytest_gepa.evolve.pool import Merge, Pool
from pytest_gepa.evolve.problem import SearchSettings
from pytest_gepa.evolve.proposal import Part, Proposal, Round, unite, usable, without_rival_rewrites
from pytest_gepa.evolve.showcase import Showcase
from pytest_gepa.evolve.tasks import OtherVersion, Reflect
from pytest_gepa.evolve.union import seen_apart, union
from pytest_gepa.evolve.work import Luck, Work

Guard: TypeAlias = Callable[[str, str, str, Collection[str]], "str | None"]
"""Takes a component, its text in the parent, a new one and the cases that stand in the candidate's texts as examples;
says why the new text is refused, or None. Pure."""


class Children:
    """Asks for the reflections of a proposal and makes its child of the replies; nothing is run here."""

    def __init__(
        self,
        pool: Pool,
        work: Work,
        luck: Luck,
        showcase: Showcase,
        settings: SearchSettings,
        guard: Guard,
    ) -> None:
        self._pool = pool
        self._work = work
        self._luck = luck
        self._showcase = showcase
        self._settings = settings
        self._guard = guard
        self._numbered = 0
        self._rounds: Counter[str] = Counter()

    def is_new(self, child: Candidate) -> bool:
        """Whether a child's texts have never been tried, and the guard refuses none that it has changed."""
        return child.id not in self._pool.candidates and not self.is_refused(child)

    def is_refused(self, child: Candidate) -> bool:
        """Whether the guard refuses one of the texts that the child has changed."""
        return bool(self.why_refused(child))

    def why_refused(self, child: Candidate) -> str:
        """For what the guard refuses one of the texts that the child has changed, in the words that its reason opens
        with, "" if it refuses none.
        """
        before = self._pool.candidates[child.parents[0]].texts
        reasons = (self._guard(name, before[name], child.texts[name], child.examples) for name in child.changed)
        return next((reason.partition(":")[0] for reason in reasons if reason), "")

    def reflect(self, proposal: Proposal, parent: str) -> None:
        """Ask for edits of a candidate, each reflection about other failing cases."""
        results = self._pool.ledger.results[parent]
        proposal.round, proposal.at_gate = Round(parent), None
        within = self._pool.affordable(self._work.budget.remaining)
        for minibatch in self._showcase.minibatches(parent, self._luck.groups, within):
            used = {name for case in minibatch.failing for name in results[case].uses}
            components = tuple(name for name in self._pool.seed.texts if name in used)
            # What can no longer be run on all cases is not asked for, unless there is nothing else.
            components = tuple(name for name in components if name in within) or components
            self._ask(proposal, minibatch, components, self._rounds[parent])
        self._rounds[parent] += 1

    def reflect_on_both(self, proposal: Proposal, merge: Merge) -> bool:
        """Ask for the texts that both sides of a merge have changed, united; False if there is nothing to ask for."""
        minibatch, components = seen_apart(self._pool.ledger, merge.pair, self._settings)
        if not (self._settings.unite and components):
            return False
        self._ask(proposal, minibatch, components, 0, OtherVersion(merge.pair.other, merge.pair.ancestor.texts))
        return True

    def _ask(
        self,
        proposal: Proposal,
        minibatch: Minibatch,
        components: tuple[str, ...],
        attempt: int,
        other: OtherVersion | None = None,
    ) -> None:
        self._numbered += 1
        part = Part(f"p{self._numbered}", minibatch, components)
        proposal.round.parts.append(part)
        self._work.reflecting[part.id] = proposal
        parent, family = proposal.round.parent, self._pool.candidates
        self._work.hand_out(
            Reflect(
                part.id,
                family[parent],
                components,
                minibatch.failing,
                minibatch.neighbours,
                self._showcase.discarded(family, parent, components),
                attempt,
                other,
                self._tally(parent, components),
            )
        )

    def _tally(self, parent: str, components: tuple[str, ...]) -> tuple[int, int]:
        """How many cases that use one of these components pass under a candidate, and how many do not."""
        results = self._pool.ledger.results[parent]
        failing, passing = self._pool.ledger.divide(parent)
        passes, fails = (
            sum(not {*components}.isdisjoint(results[case].uses) for case in cases if case in results)
            for cases in (passing, failing)
        )
        return passes, fails

    def child_of(self, proposal: Proposal) -> tuple[Candidate | None, str]:
        """The child that the replies make, or None and why there is none. Parts that it is not made of are dropped."""
        round = proposal.round
        parent = self._pool.candidates[round.parent]
        useful = [part for part in round.parts if usable(parent, part.reply)]
        if not useful:
            refusals = [reason for part in round.parts if part.reply for reason in part.reply.rejections]
            return None, refusals[0] if refusals else "no edit was proposed"
        if round.merge is not None:
            child = union(round.merge.pair, useful[0])
            return (None, "the union is refused") if self.is_refused(child) else (child, "")
        useful = without_rival_rewrites(parent, useful)
        child = unite(parent, useful)
        while len(useful) > 1 and self.is_refused(child):
            # Each alone was allowed.
            useful.pop()
            child = unite(parent, useful)
        round.parts = useful
        return child, ""
