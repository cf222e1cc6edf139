"""The candidates of a search with all that is known of them: results, frontier, the best, and pairs
worth a merge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.evolve.candidate import Candidate, common_ancestor, derive
from pytest_gepa.evolve.decisions import Finalist, Pair, Parent, ProposeMerge, merge_lines
from pytest_gepa.evolve.doubt import open_to_doubt
from pytest_gepa.evolve.frontier import Frontier, Standing
from pytest_gepa.evolve.ledger import Ledger
from pytest_gepa.evolve.objectives import (
    Measured,
    Outlay,
    beats,
    known_savings,
    objective_means,
    objective_names,
    outlay,
    takes_over,
)
from pytest_gepa.evolve.problem import TIE, SearchCase
from pytest_gepa.evolve.tasks import CaseResult

_PARTNERS = 3
"""How many of the frontier's members a newcomer may be merged with."""

_DOUBTED = 3
"""Of candidates that are barred by what they seem to have broken, so many, the best ones, are looked at at once."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Two members of the frontier to be made one, and the cases on which they differ.

    `child` is what `propose_merge` makes of them, None where that failed at its gate.
    """

    pair: Pair
    child: Candidate | None
    cases: tuple[str, ...]


class Pool:
    """All candidates in order of birth. Only those that were run on every case are on the frontier or
    the best.
    """

    def __init__(self, cases: Sequence[SearchCase], seed: Candidate, propose_merge: ProposeMerge = merge_lines) -> None:
        self.seed = seed
        self._propose_merge = propose_merge
        self.candidates: dict[str, Candidate] = {seed.id: seed}
        self.ledger = Ledger(cases)
        self.frontier = Frontier(())
        self.unsettled: set[str] = set()
        """Candidates that have a place, while cases of theirs are run again."""
        self._broken: dict[str, int] = {}
        self._to_mend: dict[str, frozenset[str]] = {}
        self._objectives: tuple[str, ...] = ()
        self._savings: tuple[str, ...] = ()
        self._least: dict[str, str] = {}
        self._thrifty: list[str] = []
        self._aside: tuple[str, ...] = ()
        self._pairs: list[tuple[str, str]] = []
        self._tried: set[frozenset[str]] = set()
        self._failed: set[frozenset[str]] = set()

    def begin(self, results: Mapping[str, CaseResult]) -> None:
        """Take the baseline."""
        self.ledger.record_seed(self.seed.id, results)
        self._enter_all((self.seed.id,))

    def weigh_again(self) -> None:
        """Give all who have entered their places anew, after further trials of some."""
        self._enter_all(tuple(self.frontier.means))

    def heed_undecidable(self) -> None:
        """Weigh again when further trials have shown of other cases than before that nobody can decide them."""
        if self.ledger.undecidable != self._aside:
            self.weigh_again()

    def _enter_all(self, names: Sequence[str]) -> None:
        # A trial that fails may give no named score: what there is to compare by is found out anew as well.
        judged = self._judged(self.seed.id).values()
        self._objectives, self._savings = objective_names(judged), known_savings(judged)
        self._aside = self.ledger.undecidable
        aside = [self.ledger.active.index(case) for case in self._aside]
        self.frontier = Frontier(self.ledger.weights, len(self._objectives), len(self._savings), aside)
        self._least, self._thrifty = {}, []
        self._pairs = [pair for pair in self._pairs if frozenset(pair) in self._failed]
        for name in names:
            self.enter(self.candidates[name])

    def add(self, candidate: Candidate) -> None:
        """Take in a new candidate, of which nothing has been measured yet; its parents are here already.

        A case that stands in its texts as an example counts for it as for the worst of its parents and the seed: it
        can win nothing by the example, and not hide either what it broke.
        """
        self.candidates[candidate.id] = candidate
        self.ledger.leave_out(candidate.id, candidate.examples, (self.seed.id, *candidate.parents))

    def enter(self, candidate: Candidate) -> bool:
        """Take in a candidate that has been run on every case; return whether it is a gain.

        A gain is a mean above all others, or a case on which it is better than all others: that cannot go on for ever.
        It is one by more than the scores of one candidate differ from trial to trial, which in the mean over many cases
        they do less.
        """
        name, ledger, frontier = candidate.id, self.ledger, self.frontier
        before = self.best_mean
        means = objective_means(self._objectives, self._judged(self.seed.id), self._judged(name))
        scores = [*ledger.scores(name), *means]
        better = frontier.add(name, scores, self._saved_by(name), candidate.length, ledger.jitter)
        self._broken[name] = len(ledger.broken(name))
        self._to_mend[name] = self._used_by_failing(name)
        if name in frontier.members:
            pairs = [(name, other) for other in frontier.partners(name)[:_PARTNERS]]
            self._pairs += [pair for pair in pairs if frozenset(pair) not in self._tried]
        by_chance = ledger.by_chance(ledger.active) / (sum(ledger.weights) or 1.0)
        return better > 0 or frontier.means[name] > before + by_chance + TIE

    def enter_again(self, candidate: Candidate) -> bool:
        """Give a candidate its place anew, after further trials of it; return whether it is a gain over all others."""
        self._enter_all([name for name in self.frontier.means if name != candidate.id])
        return self.enter(candidate)

    def best_but(self, name: str) -> float:
        """The highest mean of all but one, -1.0 where there is no other."""
        return max((mean for one, mean in self.frontier.means.items() if one != name), default=-1.0)

    @property
    def best_mean(self) -> float:
        """The highest mean so far, -1.0 before the baseline."""
        return max(self.frontier.means.values(), default=-1.0)

    @property
    def best_scores(self) -> dict[str, float]:
        """The best score on each active case so far."""
        return dict(zip(self.ledger.active, self.frontier.best_scores, strict=False))

    def outlay(self, name: str) -> Outlay:
        """Return what a candidate takes: length, time, tokens, cost."""
        return outlay(self.candidates[name].length, self._judged(name).values())

    def _saved_by(self, name: str) -> list[int]:
        """Note of which savings a newcomer takes less than all others that do better than the seed."""
        if name == self.seed.id or self.ledger.mean(name) <= self.frontier.means[self.seed.id] + TIE:
            return []
        newcomer = self._measured(name)
        if not any(self._beats(other, name) for other in self._thrifty):
            self._thrifty = [other for other in self._thrifty if not self._beats(name, other)]
            self._thrifty.append(name)
        taken = [
            saving
            for saving in self._savings
            if saving not in self._least or takes_over(saving, newcomer, self._measured(self._least[saving]))
        ]
        self._least.update(dict.fromkeys(taken, name))
        return [self._savings.index(saving) for saving in taken]

    def _beats(self, one: str, other: str) -> bool:
        """Whether a candidate is as good as another and saves; the case-by-case comparison is left for the last."""
        if self.candidates[one].length > self.candidates[other].length:
            return False
        mine, theirs = self._mean(one), self._mean(other)
        return mine >= theirs - TIE and beats(self._measured(one), self._measured(other))

    def _mean(self, name: str) -> float:
        known = self.frontier.means.get(name)
        return self.ledger.mean(name) if known is None else known

    def _measured(self, name: str) -> Measured:
        return Measured(self._mean(name), self.candidates[name].length, self._judged(name))

    def bargains(self) -> tuple[str, ...]:
        """Return those of the candidates better than the seed that are not on the frontier, but of which no other is
        as good and takes less, best mean first.
        """
        means = self.frontier.means
        kept = [name for name in self._thrifty if name not in self.frontier.members]
        return tuple(sorted(kept, key=lambda name: -means[name]))

    def standings(self) -> tuple[Standing, ...]:
        """Describe the frontier, best mean first, and then the bargains."""
        saving = tuple(Standing(name, self.frontier.means[name]) for name in self.bargains())
        return (*self.frontier.standings(), *saving)

    def _judged(self, name: str) -> dict[str, CaseResult]:
        left_out = self.ledger.left_out(name)
        known = self.ledger.results[name]
        return {case: known[case] for case in self.ledger.active if case in known and case not in left_out}

    def best(self, max_broken: int) -> Candidate:
        """Return the best that breaks at most `max_broken` cases: by mean, fewest broken, shortest,
        newest.

        Two of which one has a case as an example are compared on the cases that neither has, where neither is
        worse than the seed.
        """
        means = self.frontier.means
        allowed = [name for name in means if self._broken[name] <= max_broken]
        if not allowed:
            return self.seed
        top = max(means[name] for name in allowed)
        age = {name: position for position, name in enumerate(means)}
        best = min(
            (self.candidates[name] for name in allowed if means[name] >= top - TIE),
            key=lambda one: (self._broken[one.id], one.length, -age[one.id]),
        )
        least = min(top, means[self.seed.id]) - TIE
        for name in sorted(allowed, key=lambda name: (-means[name], age[name])):
            rival = self.candidates[name]
            if means[name] < least:
                break
            if (rival.examples or best.examples) and self._is_ahead(rival, best):
                best = rival
        return best

    def finalists(self, max_broken: int) -> tuple[Finalist, ...]:
        """Return who may become the winner: all better than the seed that break at most `max_broken` cases, and the
        best of those that do, best mean first.
        """
        means, best = self.frontier.means, self.best(max_broken)
        least = means[self.seed.id] + TIE
        found = [
            name
            for name, mean in means.items()
            if (mean > least and self._broken[name] <= max_broken) or (name == best.id and best is not self.seed)
        ]
        return tuple(
            Finalist(self.candidates[name], means[name], self._broken[name], self.outlay(name))
            for name in sorted(found, key=lambda name: -means[name])
        )

    def barred(self, max_broken: int) -> Candidate | None:
        """Return the candidate with the highest mean, where it is above that of the best and breaks more than
        `max_broken` cases; None where the best has it.
        """
        means = self.frontier.means
        top = max(means, key=lambda name: means[name])
        return self.candidates[top] if means[top] > means[self.best(max_broken).id] + TIE else None

    def in_doubt(self, max_broken: int) -> tuple[str, ...]:
        """Return cases to run again under the seed: those that the best candidates seem to have broken, of which the
        seed may have passed some by chance. They keep a better one from being chosen, as more than `max_broken`.
        """
        means = self.frontier.means
        chosen = means[self.best(max_broken).id]
        settled = (name for name in means if name not in self.unsettled)
        barred = [name for name in settled if self._broken[name] > max_broken and means[name] > chosen + TIE]
        barred = sorted(barred, key=lambda name: -means[name])[:_DOUBTED]
        cases = dict.fromkeys(case for name in barred for case in self.ledger.broken(name))
        return open_to_doubt(self.ledger, self.seed.id, cases)

    def _is_ahead(self, one: Candidate, other: Candidate) -> bool:
        """Whether a candidate is better than another on the cases that neither has as an example."""
        ledger = self.ledger
        left_out = {*one.examples, *other.examples}
        fair = [case for case in ledger.active if case not in left_out]
        return ledger.sum(one.id, fair) > ledger.sum(other.id, fair) + TIE

    def parents(self, failures: Mapping[str, int]) -> tuple[Parent, ...]:
        """Return the members of the frontier that an edit could help, best mean first; `failures` counts the
        proposals from each that came to nothing.
        """
        names = [name for name in self.frontier.members if self._to_mend[name]]
        return tuple(
            Parent(name, self.frontier.means[name], share, failures.get(name, 0))
            for name, share in zip(names, self.frontier.shares(names), strict=True)
        )

    def rule_out(self, name: str) -> None:
        """Draw a candidate no more: what it fails turned out to be undecidable."""
        self._to_mend[name] = frozenset()

    def least_cost(self, candidate: str | None = None) -> int:
        """Return how many rollouts an edit takes on all cases, at the least: one of a prompt that a failing case uses,
        under a candidate, or under any on the frontier. The cases that it does not reach are answered from the cache.
        """
        if candidate is None:
            names = frozenset().union(*(self._to_mend[name] for name in self.frontier.members))
        else:
            names = self._to_mend.get(candidate) or self._used_by_failing(candidate)
        return min((self.ledger.reach[name] for name in names), default=0)

    def affordable(self, rollouts: int) -> frozenset[str]:
        """Return the components of which an edit takes no more than so many rollouts on all cases."""
        return frozenset(name for name in self.seed.texts if self.ledger.reach[name] <= rollouts)

    def _used_by_failing(self, name: str) -> frozenset[str]:
        return frozenset(component for failed in self.ledger.workable(name).values() for component in failed.uses)

    def next_merge(self) -> Merge | None:
        """Return a merge of two members of the frontier that could beat the best, None if there is none left.

        Each pair is considered once, and once more after `merge_failed`. The texts may have been tried before.
        """
        while self._pairs:
            pair = self._pairs.pop(0)
            if not all(name in self.frontier.members for name in pair):
                continue
            # Members are in order of mean, so the first is the better.
            one, other = sorted(pair, key=self.frontier.members.index)
            ancestor = common_ancestor(self.candidates, one, other)
            if ancestor in pair:
                continue
            ahead, behind, union = self._differences(one, other)
            if union <= self.best_mean + TIE:
                continue
            base, better, second = (self.candidates[name] for name in (ancestor, one, other))
            joined = Pair(base, better, second, tuple(ahead), tuple(behind))
            has_failed = frozenset(pair) in self._failed
            child = None if has_failed else self._merged(joined)
            if child is not None or has_failed:
                self._tried.add(frozenset(pair))
                return Merge(joined, child, _alternate(ahead, behind))
        return None

    def merge_failed(self, pair: Pair) -> None:
        """Note that the merge of a pair did not pass its gate: what both have changed may be united otherwise."""
        names = (pair.one.id, pair.other.id)
        self._failed.add(frozenset(names))
        self._pairs.insert(0, names)

    def _differences(self, one: str, other: str) -> tuple[list[str], list[str], float]:
        """Return the cases on which one is ahead, those on which it is behind, by more than `jitter` each, and the mean
        of what both have together: the score of `one`, but where it is behind. None is ahead where nobody can decide a
        case.
        """
        ledger, idle = self.ledger, {*self.ledger.undecidable}
        margin = ledger.jitter + TIE
        ahead: list[str] = []
        behind: list[str] = []
        union = 0.0
        rows = zip(ledger.active, ledger.weights, ledger.scores(one), ledger.scores(other), strict=True)
        for case, weight, mine, theirs in rows:
            is_behind = case not in idle and theirs > mine + margin
            union += weight * (theirs if is_behind else mine)
            if is_behind:
                behind.append(case)
            elif case not in idle and mine > theirs + margin:
                ahead.append(case)
        return ahead, behind, union / sum(ledger.weights)

    def _merged(self, pair: Pair) -> Candidate | None:
        texts = self._propose_merge(pair)
        if texts is None:
            return None
        diagnoses = dict.fromkeys(side.diagnosis for side in (pair.one, pair.other) if side.diagnosis)
        return derive(
            pair.one,
            texts,
            others=(pair.other.id,),
            origin="merge",
            diagnosis="\n\n".join(diagnoses),
            taken=pair.other.taken,
        )


def _alternate(one: list[str], other: list[str]) -> tuple[str, ...]:
    """Deal two lists like cards, so that any beginning holds of both."""
    paired = [case for pair in zip(one, other, strict=False) for case in pair]
    return (*paired, *one[len(other) :], *other[len(one) :])
