"""Is a case worse than it was? Two samples of trials that grow until it is decided; the earlier one may also be a
recorded one of a fixed size. Pure.

Different prompts share no randomness, so the trials of the two sides are not paired. They are looked at after `LOOKS`
trials a side, each time by an exact one-sided test: Fisher's for pass and fail, the rank-sum test with its exact
permutation distribution for graded scores (of which Fisher's is the special case of two scores).

Many looks and many cases are many chances to be wrong, and all of them are paid for. A case's p-value is the least of
its looks' p-values, each divided by that look's share of the error; the shares add up to 1, so by Bonferroni's
inequality that p-value holds whenever the trials are ended (alpha spending, Lan & DeMets 1983, Biometrika 70, 659-663;
a union bound in place of their joint distribution, so that nothing need be known of the pass rates). Over the cases
Holm's correction follows (`holm`). The chance that a check calls any case regressed that is not is at most `ALPHA`,
however flaky the cases are.

None of this asks that both samples grow, or that they are of one size: given all scores at a look, without a change
every way to deal them to the two sides is as likely as any other. But a recorded sample must not owe its size to its
own scores (trials that went on until the case had passed so often would be a sample of another kind).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from pytest_gepa.verdict.holm import holm
from pytest_gepa.verdict.ranksum import rank_sum_p

ALPHA = 0.02
"""The chance of one check or more to call any unharmed case regressed; the same again for "improved"."""

CAP = 32
LOOKS = (1, 3, 6, 8, 11, 16, 23, 32)
"""Few, as each is a round of its own, in which all undecided cases wait for the slowest."""

FIRST_TEST = 6
"""With fewer trials a side nothing could be proven among a few cases, so no share of the error is spent on them."""

LAST = 0.44
"""The share of the error kept for the last look, at the cap, where half a break is to be proven: with less that would
take one more failure."""

CLEAN = 6
"""A case that passes so often on both sides is called stable: one that fails every second time does so in 1.6 %."""

FAILING = 3
"""A case that fails so often on both sides is called failing."""

SUSPECT = 0.1
"""A case whose own p-value, corrected for nothing, is at most this is called suspect; so is one that has never failed
before and never passes today, however few its trials."""

FUTILE = 0.01
"""Trials of a case end when the chance that the cap would find something proven is below this."""

LEAST_IN_DOUBT = 8
"""A case that looks worse is tried so often at least, so that it is called suspect with reason."""

NO_TREND = 0.2
"""The same for graded scores: where the p-values of both directions are above this."""


@dataclass(frozen=True, slots=True)
class Trials:
    """A case's scores, in [0, 1], on both sides, those of trials without evidence left out.

    `handed_out` is how many trials a side were run, with evidence or not; `cap` is the most that it may have. For a
    case that passes or fails all scores are 0 or 1. `worse` and `better` are the p-values that its earlier looks have
    come to, over the looks; `as_is` is the one of the last look alone, that today is no worse. `is_recorded` says that
    `base` is a recorded sample: it is whole from the start, and all numbers of trials are today's.
    """

    case: str
    base: tuple[float, ...] = ()
    today: tuple[float, ...] = ()
    handed_out: int = 0
    cap: int = CAP
    worse: float = 1.0
    better: float = 1.0
    as_is: float = 1.0
    is_recorded: bool = False

    @property
    def number(self) -> int:
        """Trials with evidence on the side that has the fewest; a recorded side gets no more, so it is not counted."""
        return len(self.today) if self.is_recorded else min(len(self.base), len(self.today))

    @property
    def has_evidence(self) -> bool:
        """Whether there is a trial on either side."""
        return bool(self.base and self.today)

    @property
    def is_graded(self) -> bool:
        """Whether there is a score other than 0 and 1."""
        return any(0 < score < 1 for score in (*self.base, *self.today))


@dataclass(frozen=True, slots=True)
class Tier:
    """What is known of a case: `tier` as in `report.check_result.TIERS`, or "trouble" without evidence on a side.

    `p_value` is one-sided, that today is no worse (where the tier is "improved": no better), adjusted for the looks and
    the cases. `decided` says that more trials would change nothing, or nothing that is worth them.
    """

    case: str
    tier: str
    p_value: float
    decided: bool


def looks(cap: int) -> tuple[int, ...]:
    """The numbers of trials a side after which a case is looked at; the last is the cap."""
    found = [number for number in LOOKS if number < cap]
    while found and found[-1] >= LOOKS[-1] and found[-1] * 7 // 5 < cap:
        found.append(found[-1] * 7 // 5)
    return (*found, cap)


def share(look: int, cap: int) -> float:
    """The share of the error that is spent at a look: `LAST` at the cap, of the rest more the later it is."""
    tested = [number for number in looks(cap) if number >= min(FIRST_TEST, cap)]
    if look not in tested:
        return 0.0
    if look == cap:
        return LAST if len(tested) > 1 else 1.0
    return (1 - LAST) * math.sqrt(look) / math.fsum(map(math.sqrt, tested[:-1]))


def look_at(trials: Trials) -> Trials:
    """Note the p-values of a look. To be called once after each number of trials that `looks` names."""
    if not trials.has_evidence:
        return trials
    spent = share(trials.handed_out, trials.cap)
    worse, better = _p_values(trials)
    if not spent:
        return replace(trials, as_is=worse)
    return replace(
        trials,
        worse=min(trials.worse, worse / spent),
        better=min(trials.better, better / spent),
        as_is=worse,
    )


def most_provable(recorded: int, cases: int) -> int | None:
    """The most of `CAP` trials of today that may pass, so that a case which passed all of so many `recorded` ones is
    called regressed among so many cases; None where even none would not do."""
    level = ALPHA * share(CAP, CAP) / cases
    return next((few for few in range(CAP, -1, -1) if fisher_p(recorded, recorded, few, CAP) <= level), None)


def next_look(trials: Trials) -> int:
    """The number of trials a side that comes next; the cap after the last."""
    return next((number for number in looks(trials.cap) if number > trials.handed_out), trials.cap)


def judge_cases(cases: Sequence[Trials]) -> tuple[Tier, ...]:
    """Sort cases into tiers by all their looks so far. `cases` must be all that use a changed prompt."""
    worse, better = holm([one.worse for one in cases]), holm([one.better for one in cases])
    return tuple(
        _tier(one, p_worse, p_better, len(cases)) for one, p_worse, p_better in zip(cases, worse, better, strict=True)
    )


def _tier(trials: Trials, p_worse: float, p_better: float, cases: int) -> Tier:
    at_cap = trials.handed_out >= trials.cap
    if not trials.has_evidence:
        return Tier(trials.case, "trouble", 1.0, at_cap or trials.handed_out >= FAILING)
    if p_worse <= ALPHA:
        return Tier(trials.case, "regressed", p_worse, True)
    if p_better <= ALPHA:
        return Tier(trials.case, "improved", p_better, True)
    number = trials.number
    scores = {*trials.base, *trials.today}
    if scores == {0.0}:
        return Tier(trials.case, "failing", p_worse, at_cap or number >= FAILING)
    if len(scores) == 1:
        return Tier(trials.case, "stable", p_worse, at_cap or number >= CLEAN)
    name = "flaky"
    if trials.as_is <= SUSPECT or (min(trials.base) == 1 and max(trials.today) == 0):
        name = "suspect"
    elif trials.is_graded and trials.as_is > NO_TREND:
        name = "stable"
    return Tier(trials.case, name, p_worse, at_cap or _is_futile(trials, cases))


def _p_values(trials: Trials) -> tuple[float, float]:
    """One-sided: that today is no worse, and that it is no better."""
    base, today = trials.base, trials.today
    if trials.is_graded:
        return rank_sum_p(base, today), rank_sum_p(today, base)
    before, after = round(sum(base)), round(sum(today))
    return (
        fisher_p(before, len(base), after, len(today)),
        fisher_p(after, len(today), before, len(base)),
    )


@lru_cache(maxsize=65_536)
def fisher_p(before: int, base: int, after: int, today: int) -> float:
    """Return Fisher's exact p-value, one-sided, that today passes no less often: `after` of `today` trials pass, and
    `before` of `base`.

    It is the share of the ways to deal all passes to the trials that leave so few or fewer to today.
    """
    total, passed = base + today, before + after
    fewest = max(0, passed - base)
    ways = sum(math.comb(today, few) * math.comb(base, passed - few) for few in range(fewest, after + 1))
    return float(Fraction(ways, math.comb(total, passed)))


def _is_futile(trials: Trials, cases: int) -> bool:
    """Whether the trials that are left would hardly prove anything (predictive power, Spiegelhalter et al. 1986,
    Controlled Clinical Trials 7, 8-17). To stop by it can only lower the chance of a false alarm.
    """
    number = trials.number
    if number < LEAST_IN_DOUBT and sum(trials.today) * len(trials.base) < sum(trials.base) * len(trials.today):
        return False
    if trials.is_graded:
        worse, better = _p_values(trials)
        return number >= CLEAN and min(worse, better) > NO_TREND
    level = ALPHA * share(trials.cap, trials.cap) / cases
    left = trials.cap - trials.handed_out
    left_before = 0 if trials.is_recorded else left
    base = _outlook(round(sum(trials.base)), len(trials.base), left_before)
    today = _outlook(round(sum(trials.today)), len(trials.today), left)
    at_end = (len(trials.base) + left_before, len(trials.today) + left)
    return _power(base, today, *at_end, level) + _power(today, base, *at_end[::-1], level) < FUTILE


def _power(better: Mapping[int, float], worse: Mapping[int, float], many: int, few: int, level: float) -> float:
    """The chance that the side `better` turns out to be proven better at the end."""
    found = 0.0
    for before, chance in better.items():
        for after, other in worse.items():
            if after * many >= before * few or fisher_p(before, many, after, few) > level:
                break  # the more the other side passes, the less is proven
            found += chance * other
    return found


@lru_cache(maxsize=4_096)
def _outlook(passed: int, number: int, left: int) -> Mapping[int, float]:
    """The chances of each number of passes at the end, from the fewest on, by what was seen and a flat prior."""
    ahead, behind = passed + 1, number - passed + 1
    whole = _log_beta(ahead, behind)
    return {
        passed + more: math.exp(math.log(math.comb(left, more)) + _log_beta(ahead + more, behind + left - more) - whole)
        for more in range(left + 1)
    }


def _log_beta(one: int, other: int) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
