"""What a suite can prove: the gain that a confirm run over these cases, as flaky as they are, would find proven."""

from __future__ import annotations

import math
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_gepa.verdict.judge import ALPHA, LEAST_CHANGE, PROVEN, kind_of, least_gain
from pytest_gepa.verdict.signflip import exact_p

POWER = 0.8
"""The share of confirm runs in which a gain is proven that a suite is said to be able to prove."""

RUNS = 500
"""Confirm runs that are simulated for one gain: the share is known to 2 points where it is 80 %."""

FEWEST_RUNS = 100
_MOST_DRAWS = 300_000

_STEPS = 20
_WEIGHTS = 8
_EXACT_WORK = 3_000_000


@dataclass(frozen=True, slots=True)
class SeenCase:
    """A case as it is known under today's prompts: the scores of its runs, in [0, 1], as far as there were any.

    `trials` is how often the confirm run would run it on each side, `weight` its weight in every mean. Cases of one
    `group` share answers of the model ("" stands alone): scores at the same place are taken to be of the same answer.
    """

    scores: tuple[float, ...]
    trials: int = 1
    weight: float = 1.0
    group: str = ""

    @property
    def mean(self) -> float:
        """The mean of the scores: the pass rate of a case that is not graded."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def is_flaky(self) -> bool:
        """Whether its runs have not all ended with the same score."""
        return min(self.scores) < max(self.scores)


@dataclass(frozen=True, slots=True)
class ProvableGain:
    """A gain that would be found proven in the share `power` of confirm runs.

    It is to give `cases` cases full marks in every trial and to leave the others as they are; `points` is what this
    adds to the weighted mean score, in [0, 1]. `candidates` are judged in each of these runs.
    """

    cases: int
    points: float
    power: float
    candidates: int = 1


def provable_gain(
    cases: Sequence[SeenCase],
    *,
    candidates: int = 1,
    runs: int | None = None,
    seed: int = 0,
) -> ProvableGain | None:
    """Return the least gain that at least the share `POWER` of confirm runs would prove; None if there is none.

    `candidates` are judged in each, which p pays for.

    The cases with the lowest means are mended first. Confirm runs are simulated: each trial of a case that is not
    mended is one of the scores seen, drawn anew on either side, and for all cases of a group at once. `seed` is for
    these draws, the same for every gain; `runs` are as many as `RUNS`, fewer for a suite of thousands of rollouts.
    Raises `ValueError` for a case without scores.
    """
    if any(not case.scores for case in cases):
        raise ValueError("a case without scores says nothing about its flakiness")
    order = sorted((case for case in cases if case.mean < 1), key=lambda case: case.mean)
    perfect = [case for case in cases if case.mean >= 1]
    arranged = [*order, *perfect]
    runners = _runners(arranged)
    groups = _groups(arranged)
    draws = 1 + sum(2 * case.trials for case in cases if case.is_flaky)
    # Where nothing is flaky all runs are the same.
    number = runs or (max(FEWEST_RUNS, min(RUNS, _MOST_DRAWS // draws)) if draws > 1 else 1)

    def share(mended: int) -> float:
        source = random.Random(seed)
        drawn = (_draw(runners, groups, source, mended) for _ in range(number))
        return sum(_proves(gains, runners, groups, ALPHA / candidates) for gains in drawn) / number

    # The more is mended, the more runs prove it, but for chance.
    least = bisect_left(range(1, len(order) + 1), POWER, key=share) + 1
    if least > len(order):
        return None
    gained = math.fsum(case.weight * (1 - case.mean) for case in order[:least])
    points = gained / math.fsum(case.weight for case in cases)
    return ProvableGain(least, points, share(least), candidates)


def least_effect(cases: Sequence[SeenCase], alpha: float = ALPHA) -> float | None:
    """Return the smallest effect, in (0, 1], that can reach p < `alpha`; None if no gain of these cases can.

    It has one case of as few groups as will do (`least_gain`) better in a single trial, and none worse: by all of
    that trial's score where a case passes or fails, by `LEAST_CHANGE` of its mean where its scores are graded.
    """
    steps: dict[tuple[str, int], float] = {}
    for place, case in enumerate(cases):
        is_graded = any(0 < score < 1 for score in case.scores)
        step = case.weight * (min(LEAST_CHANGE, 1 / case.trials) if is_graded else 1 / case.trials)
        unit = (case.group, -1 if case.group else place)
        steps[unit] = min(step, steps.get(unit, step))
    number = least_gain(len(steps), alpha)
    if number is None:
        return None
    return math.fsum(sorted(steps.values())[:number]) / math.fsum(case.weight for case in cases)


@dataclass(frozen=True, slots=True)
class _Runner:
    """One case in whole numbers: scores in steps, scaled so that a mean over its trials times its weight is one too."""

    scores: tuple[int, ...]
    trials: int
    full: int

    @property
    def weight(self) -> int:
        """What it adds to the sum of the differences where its difference is 1."""
        return self.trials * self.full

    def at(self, places: Sequence[float], is_mended: bool) -> int:
        """The difference where the scores of each trial stand at a place in [0, 1): the seed's, then the winner's."""
        before, after = (
            sum(self.scores[int(place * len(self.scores))] for place in side[: self.trials])
            for side in (places[: len(places) // 2], places[len(places) // 2 :])
        )
        return (self.weight if is_mended else after) - before

    def draw(self, source: random.Random, is_mended: bool) -> int:
        """The difference, winner less seed, of one confirm run."""
        if len(self.scores) == 1:
            return self.trials * (self.full - self.scores[0]) if is_mended else 0
        before = sum(source.choices(self.scores, k=self.trials))
        after = sum(source.choices(self.scores, k=self.trials))
        return (self.weight if is_mended else after) - before


def _groups(cases: Sequence[SeenCase]) -> list[list[int]]:
    """The places of the cases of each group, in the order of their first ones."""
    found: dict[object, list[int]] = {}
    for at, case in enumerate(cases):
        found.setdefault(case.group or at, []).append(at)
    return list(found.values())


def _draw(runners: Sequence[_Runner], groups: Sequence[Sequence[int]], source: random.Random, mended: int) -> list[int]:
    """The difference of each case in one confirm run."""
    drawn = [0] * len(runners)
    for members in groups:
        if len(members) == 1:
            drawn[members[0]] = runners[members[0]].draw(source, members[0] < mended)
            continue
        places = [source.random() for _ in range(2 * max(runners[at].trials for at in members))]
        for at in members:
            drawn[at] = runners[at].at(places, at < mended)
    return drawn


def _runners(cases: Sequence[SeenCase]) -> list[_Runner]:
    weights = [max(Fraction(case.weight).limit_denominator(_WEIGHTS), Fraction(1, _WEIGHTS)) for case in cases]
    unit = math.lcm(*(weight.denominator for weight in weights)) * math.lcm(*(case.trials for case in cases))
    runners = []
    for case, weight in zip(cases, weights, strict=True):
        scale = int(unit * weight) // case.trials
        scores = [scale * round(_STEPS * score) for score in case.scores]
        kept = tuple(scores) if case.is_flaky else (scores[0],)
        runners.append(_Runner(kept, case.trials, scale * _STEPS))
    return runners


def _proves(gains: Sequence[int], runners: Sequence[_Runner], groups: Sequence[Sequence[int]], alpha: float) -> bool:
    """Whether the verdict on these differences is "proven"."""
    if sum(gains) <= 0:
        return False
    sums = [sum(gains[at] for at in members) for members in groups]
    p_value = exact_p(sums, _EXACT_WORK)
    if p_value is None:
        # So many differences that their sum is as good as normal.
        p_value = math.erfc(sum(sums) / math.sqrt(2 * sum(one * one for one in sums)))
    return kind_of(p_value, gains, [runner.weight for runner in runners], alpha) == PROVEN
