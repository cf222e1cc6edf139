"""What has been measured: every candidate's results, and what follows from them (means, failing cases,
broken ones).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import sqrt
from statistics import median
from typing import NamedTuple

from pytest_gepa.evolve.minibatch import FailedCase
from pytest_gepa.evolve.problem import TIE, SearchCase
from pytest_gepa.evolve.splits import Asked, split_cases
from pytest_gepa.evolve.tasks import CaseResult

_LEAST_LACK = 0.1
"""What is left to mend in a failing case, however near it has come."""


class Mark(NamedTuple):
    """What counts for a candidate on one case."""

    score: float
    passed: bool


class Ledger:
    """Results by candidate and case.

    A case takes part (is in `active`) when the seed's run gave evidence on it. A candidate without
    evidence on such a case is given neither a zero nor the benefit of the doubt: the seed's score
    stands, as nothing is known to have changed. A case that reaches no model under the seed is not run
    again: every candidate inherits its result. A case that a candidate is not judged by, as it stands in
    its texts as an example, stands for it as `leave_out` found it.
    """

    def __init__(self, cases: Sequence[SearchCase]) -> None:
        self.cases = {case.id: case for case in cases}
        if len(self.cases) != len(cases):
            raise ValueError("two search cases have the same id")
        self.results: dict[str, dict[str, CaseResult]] = {}
        self.active: tuple[str, ...] = ()
        self.weights: tuple[float, ...] = ()
        self._seed: dict[str, float] = {}
        self._seed_passes: dict[str, bool] = {}
        self._uses: dict[str, set[str]] = {}
        self.reach: Counter[str] = Counter()
        """How many active cases were seen to use a component, under any candidate: an edit may open a way to it."""
        self._inherited: dict[str, CaseResult] = {}
        self._left_out: dict[str, Mapping[str, Mark]] = {}
        self._trials: dict[tuple[str, str], list[CaseResult]] = {}
        self._mute: set[tuple[str, str]] = set()
        self._seed_id = ""
        self._aside: tuple[str, ...] | None = ()
        self._compared = self._differing = 0
        self._was_noisy = False
        self.jitter = 0.0
        """How far apart the scores of two trials of a case were, at the most, under the seed, where both ended alike:
        in [0, 1], 0.0 where no case is graded, or all are graded in the same way each time."""
        self._graded: set[str] = set()

    def record_seed(self, seed: str, results: Mapping[str, CaseResult]) -> None:
        """Take the baseline; it decides which cases take part."""
        self._seed_id = seed
        self.results[seed] = {case: results[case] for case in self.cases if case in results}
        for case, result in self.results[seed].items():
            if result.score is not None:
                self._take_seed(case, result)
                self._note(case, result)
                if not (result.keys or result.uses or result.charged or result.depends):
                    self._inherited[case] = result
        self.active = tuple(self._seed)
        self.weights = tuple(self.cases[case].weight for case in self.active)

    def _take_seed(self, case: str, result: CaseResult) -> None:
        """Note what stands for every candidate that gives no evidence."""
        assert result.score is not None
        self._seed[case] = result.score
        self._seed_passes[case] = self._passed(case, result.score, result.passed)

    def record(self, candidate: str, results: Mapping[str, CaseResult], elders: Iterable[str] = ()) -> None:
        """Add results of a candidate. One that it has from an elder stands for all trials that this one had."""
        known, names = self.results.setdefault(candidate, dict(self._inherited)), tuple(elders)
        for case, result in results.items():
            if case not in self._seed:
                continue
            known[case] = result
            self._note(case, result)
            for elder in names:
                trials = self._trials.get((elder, case))
                if trials and _is_same(result, self.results[elder][case]):
                    self._trials[candidate, case] = [*trials]
                    break

    def _note(self, case: str, result: CaseResult) -> None:
        """Note what a result tells of its case, whoever it is of."""
        if result.score is not None and TIE < result.score < 1 - TIE:
            self._graded.add(case)
        known = self._uses.setdefault(case, set())
        for name in result.uses:
            if name not in known:
                known.add(name)
                self.reach[name] += 1

    def repeat(self, candidate: str, results: Mapping[str, CaseResult]) -> None:
        """Add another trial of cases that have a result: from now on they are judged by the median of their trials."""
        known, self._aside = self.results[candidate], None
        for case, result in results.items():
            if result.score is None:
                self._mute.add((candidate, case))
                continue
            if known[case].score is None:  # the first trial that tells anything
                known[case], self._trials[candidate, case] = result, [result]
                continue
            trials = self._trials.setdefault((candidate, case), [known[case]])
            trials.append(result)
            self._note(case, result)
            differs = self._verdict(case, result) != self._verdict(case, trials[0])
            if candidate == self._seed_id:
                self._compared += 1
                self._differing += differs
                verdict = self._verdict(case, result)
                alike = [one.score or 0.0 for one in trials[:-1] if self._verdict(case, one) is verdict]
                self.jitter = max([self.jitter, *(abs(result.score - score) for score in alike)])
            else:
                self._was_noisy |= differs
            known[case] = self._median(case, trials)
            if candidate == self._seed_id:
                self._take_seed(case, known[case])

    def trials(self, candidate: str, case: str) -> int:
        """Return how many trials of a case gave evidence."""
        if self.evidence(candidate, case) is None:
            return 0
        return len(self._trials.get((candidate, case), (None,)))

    def was_repeated(self, candidate: str) -> bool:
        """Whether a case of a candidate has had a further trial."""
        return any(name == candidate for name, _ in self._trials)

    def run_once(self, candidate: str) -> tuple[str, ...]:
        """Return the active cases that have had one trial, but for those whose further trials give no evidence."""
        return tuple(
            case for case in self.active if self.trials(candidate, case) == 1 and self.may_repeat(candidate, case)
        )

    def without_evidence(self, candidate: str) -> tuple[str, ...]:
        """Return the active cases that were run and came to nothing, where another trial may tell."""
        known = self.results.get(candidate, {})
        return tuple(
            case
            for case in self.active
            if case in known and known[case].score is None and self.may_repeat(candidate, case)
        )

    def may_repeat(self, candidate: str, case: str) -> bool:
        """Whether another trial of a case may tell anything: of some only the first gave evidence."""
        return (candidate, case) not in self._mute

    def is_settled(self, candidate: str, case: str) -> bool:
        """Whether the trials of a case, two or more, ended in one way more often than in the other."""
        trials = self._trials.get((candidate, case), ())
        passed = sum(self._verdict(case, result) for result in trials)
        return len(trials) > 1 and 2 * passed != len(trials)

    @property
    def undecidable(self) -> tuple[str, ...]:
        """The cases whose trials differed under several candidates, at least half of those under which they were
        repeated: no edit is to blame, and none can mend them (see `split_cases`).
        """
        if self._aside is None:
            asked = (
                (
                    case,
                    Asked(
                        frozenset(result.keys or candidate for result in trials),
                        len({self._verdict(case, result) for result in trials}) > 1,
                    ),
                )
                for (candidate, case), trials in self._trials.items()
            )
            split = split_cases(asked)
            self._aside = tuple(case for case in self.active if case in split)
        return self._aside

    @property
    def noise(self) -> float:
        """The chance that a trial does not end as the case usually does, as far as repeats of the seed tell."""
        # Two trials differ when one of them does, either way. Of others than the seed only suspect cases are repeated.
        differing = self._differing or 0.5 * self._was_noisy
        return min(0.5, differing / (2 * max(1, self._compared)))

    def _verdict(self, case: str, result: CaseResult) -> bool:
        """How a trial ended, to be compared with others: one that has nothing of its score is not like one that has
        some, though a test that only reports a score passes in both.
        """
        assert result.score is not None
        return self._passed(case, result.score, result.passed) and result.score > TIE

    def _median(self, case: str, trials: Sequence[CaseResult]) -> CaseResult:
        """One result for all trials: the median score, and the failure text of a trial that failed."""
        score = median(result.score for result in trials if result.score is not None)
        failing = [result for result in trials if not self._verdict(case, result)]
        passing = [result for result in trials if self._verdict(case, result)]
        shown = failing[0] if len(failing) >= len(passing) else passing[0]
        return replace(shown, score=score)

    def leave_out(self, candidate: str, cases: Iterable[str], elders: Iterable[str]) -> None:
        """Judge the candidate not by its own results on these cases, but as the worst of its elders stands there."""
        names = tuple(elders)
        worst = {
            case: Mark(min(self.score(name, case) for name in names), all(self.passes(name, case) for name in names))
            for case in cases
            if case in self._seed
        }
        if worst:
            self._left_out[candidate] = worst

    def left_out(self, candidate: str) -> Mapping[str, Mark]:
        """Return the cases that the candidate is not judged by, with what stands there for it."""
        return self._left_out.get(candidate, {})

    @property
    def inherited(self) -> Collection[str]:
        """The cases that no candidate can change, so that the seed's results are every candidate's."""
        return self._inherited.keys()

    def missing(self, candidate: str) -> tuple[str, ...]:
        """Return the active cases that judge the candidate and on which it has not been run."""
        known, left_out = self.results.get(candidate, self._inherited), self.left_out(candidate)
        return tuple(case for case in self.active if case not in known and case not in left_out)

    @property
    def uses(self) -> Mapping[str, Collection[str]]:
        """The components that each case was seen to use, under any candidate."""
        return self._uses

    def cost(self, components: Collection[str], cases: Iterable[str]) -> int:
        """Return how many of the cases use one of these components: the others' requests stay as they
        were.
        """
        wanted = set(components)
        return sum(not wanted.isdisjoint(self._uses[case]) for case in cases)

    def evidence(self, candidate: str, case: str) -> float | None:
        """Return the candidate's own score on a case, None where there is none."""
        result = self.results.get(candidate, {}).get(case)
        return None if result is None else result.score

    def score(self, candidate: str, case: str) -> float:
        """Return the score that counts for the candidate on an active case: its own, else the seed's."""
        if (given := self.left_out(candidate).get(case)) is not None:
            return given.score
        own = self.evidence(candidate, case)
        return self._seed[case] if own is None else own

    def scores(self, candidate: str) -> list[float]:
        """Return the score on every active case, in their order."""
        known = self.results.get(candidate, {})
        own = ((known[case].score if case in known else None, seed) for case, seed in self._seed.items())
        scores = [seed if score is None else score for score, seed in own]
        if given := self.left_out(candidate):
            return [
                given[case].score if case in given else score for case, score in zip(self._seed, scores, strict=True)
            ]
        return scores

    def sum(self, candidate: str, cases: Iterable[str]) -> float:
        """Return the weighted sum of the scores on these cases."""
        return sum(self.cases[case].weight * self.score(candidate, case) for case in cases)

    def is_graded(self, case: str) -> bool:
        """Whether a score of the case was between nothing and all."""
        return case in self._graded

    def by_chance(self, cases: Iterable[str]) -> float:
        """Return how far two weighted sums over these cases may lie apart by chance: by `jitter` in one graded case, in
        many by less than as often, as chance goes either way.
        """
        return self.jitter * sqrt(sum(self.cases[case].weight ** 2 for case in cases if self.is_graded(case)))

    def mean(self, candidate: str) -> float:
        """Return the weighted mean over the active cases, 0.0 when there are none."""
        total = sum(self.weights)
        scores = zip(self.weights, self.scores(candidate), strict=True)
        return sum(weight * score for weight, score in scores) / total if total else 0.0

    def is_pass(self, case: str, score: float) -> bool:
        """Whether a score reaches the case's threshold: below it there is something left to mend."""
        return score >= self.cases[case].threshold - TIE

    def passes(self, candidate: str, case: str) -> bool:
        """Whether an active case ended as passed under the candidate, under the seed where nothing is known.

        A case that was graded may have passed with something left to mend.
        """
        if (given := self.left_out(candidate).get(case)) is not None:
            return given.passed
        own = self.results.get(candidate, {}).get(case)
        if own is None or own.score is None:
            return self._seed_passes[case]
        return self._passed(case, own.score, own.passed)

    def _passed(self, case: str, score: float, passed: bool | None) -> bool:
        return self.is_pass(case, score) if passed is None else passed

    def divide(self, candidate: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the cases with something left to mend under the candidate, and the others, of those that
        gave evidence.
        """
        failing: list[str] = []
        passing: list[str] = []
        for case, result in self.results.get(candidate, {}).items():
            if result.score is not None and case in self._seed:
                is_done = result.passed is not False and self.is_pass(case, result.score)
                (passing if is_done else failing).append(case)
        return tuple(failing), tuple(passing)

    def workable(self, candidate: str) -> dict[str, FailedCase]:
        """Return the failing cases that an edit can reach, as they used a component."""
        results, idle = self.results.get(candidate, {}), {*self.left_out(candidate), *self.undecidable}
        failing, _ = self.divide(candidate)
        found = {case: results[case] for case in failing if results[case].uses and case not in idle}
        return {
            case: FailedCase(one.likeness, one.uses, one.text, self._lack(case, one.score))
            for case, one in found.items()
        }

    def _lack(self, case: str, score: float | None) -> float:
        return max(_LEAST_LACK, self.cases[case].threshold - (score or 0.0))

    def solved(self, candidate: str) -> bool:
        """Whether nothing is left to mend in any active case that can be decided and judges the candidate."""
        idle = {*self.left_out(candidate), *self.undecidable}
        return all(
            self.passes(candidate, case) and self.is_pass(case, self.score(candidate, case))
            for case in self.active
            if case not in idle
        )

    def turned(self, before: str, after: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the cases with a better score under `after` than under `before`, by more than `jitter`, and those with
        a worse one, of those that can be decided, and on which both gave evidence and are judged.
        """
        better: list[str] = []
        worse: list[str] = []
        left_out = {*self.left_out(before), *self.left_out(after), *self.undecidable}
        for case in self.active:
            old, new = self.evidence(before, case), self.evidence(after, case)
            if old is None or new is None or case in left_out or abs(new - old) <= self.jitter + TIE:
                continue
            (better if new > old else worse).append(case)
        return tuple(better), tuple(worse)

    def further(self, before: str, after: str, cases: Iterable[str]) -> int:
        """Return how many of these cases fail under both candidates, and get further `after`: 0 when a case does worse
        or gets less far.
        """
        later = 0
        for case in cases:
            old, new = (self.results.get(name, {}).get(case) for name in (before, after))
            if old is None or new is None or old.score is None or new.score is None:
                continue
            if new.score < old.score - self.jitter - TIE or (old.reached and () < new.reached < old.reached):
                return 0
            later += bool(old.reached) and new.reached > old.reached
        return later

    def broken(self, candidate: str) -> tuple[str, ...]:
        """Return the cases that the seed passed in every trial, and that the candidate failed in every one.

        A case that is sometimes passed under both has been broken by nobody.
        """
        return tuple(
            case
            for case in self.active
            if self._seed_passes[case]
            and not self.passes(candidate, case)
            and self._is_always(self._seed_id, case, passed=True)
            and (case in self.left_out(candidate) or self._is_always(candidate, case, passed=False))
        )

    def _is_always(self, candidate: str, case: str, *, passed: bool) -> bool:
        """Whether all trials of a case that was repeated ended so."""
        return all(self._verdict(case, result) is passed for result in self._trials.get((candidate, case), ()))


def _is_same(one: CaseResult, other: CaseResult) -> bool:
    """Whether two results are one, whoever was charged for it."""
    return replace(one, charged=False) == replace(other, charged=False)
