"""The verdict on a winner: effect, interval and p-value over the cases, and what it fixed and broke."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_gepa.verdict.interval import paired_interval
from pytest_gepa.verdict.signflip import sign_flip_p

PROVEN = "proven"
NOT_PROVEN = "not proven"
WORSE = "worse"

ALPHA = 0.05
"""What p must be below; where several candidates are judged, that over their number does for each (`holm`)."""

LEAST_CHANGE = 0.005
"""Half a point: a smaller change, on average over the cases that changed at all, is no gain and no loss."""

_PRECISION = 1_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class CaseScore:
    """One case's scores, in [0, 1], under the seed and under the winner, trial by trial.

    The scores at one position belong to one trial. None, or a position that one side lacks, means that this
    side has no evidence from the trial, and so the pair is left out. `seed_passed` and `winner_passed` say for
    each trial whether the case passed; without them a score of `threshold` or more passes. `weight` is the
    case's weight in every mean. `seed_before` says whether it passed in each trial that the seed had before the
    comparison: they prove nothing, but what has ended both ways under the seed is neither fixed nor broken by others.
    The winner's are not asked for: it was chosen for what it passed in them. Cases of one `group` share answers of the
    model, and so luck: the test and the interval count them as one. "" is a case that stands alone. `is_graded` says
    whether its trials can end between 0 and 1; without it, they can if one of those given has.
    """

    case: str
    seed: tuple[float | None, ...]
    winner: tuple[float | None, ...]
    threshold: float = 0.5
    weight: float = 1.0
    seed_passed: tuple[bool | None, ...] = ()
    winner_passed: tuple[bool | None, ...] = ()
    seed_before: tuple[bool, ...] = ()
    group: str = ""
    is_graded: bool | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """One side of the comparison: how many cases passed at least half of their trials, and the weighted mean score."""

    passed: int
    total: int
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the confirm run says. `kind` is "proven" (better), "not proven" or "worse".

    `effect` is the weighted mean over cases of winner less seed, in [-1, 1], `interval` its 95 % interval, and
    `p_value` that of the sign-flip test that it is 0. `fixed` failed every seed trial and passed every winner
    trial, `broken` the reverse; the seed's trials before the comparison count there. `undecided` had no trial on both
    sides and count in nothing else. `groups` is how many independent groups the cases are, the number of cases where
    each stands alone.
    """

    kind: str
    effect: float
    interval: tuple[float, float]
    p_value: float
    baseline: Tally
    winner: Tally
    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    undecided: tuple[str, ...] = ()
    groups: int = 0

    @property
    def tied_groups(self) -> int:
        """How many independent groups the cases are, 0 where each stands alone."""
        return self.groups if self.groups < self.baseline.total else 0


@dataclass(frozen=True, slots=True)
class _Pairs:
    case: str
    group: str
    weight: Fraction
    seed: tuple[Fraction, ...]
    winner: tuple[Fraction, ...]
    seed_passed: tuple[bool, ...]
    winner_passed: tuple[bool, ...]
    seed_ever: tuple[bool, ...]
    is_graded: bool


def kind_of(
    p_value: float, gains: Sequence[Fraction] | Sequence[int], weights: Sequence[Fraction | int], alpha: float
) -> str:
    """Return the kind of verdict by the test's p-value and what each case gained, times its weight.

    Many graded cases that each gain a thousandth all point in one direction, which is all that the test sees: so the
    cases that changed must have done so by `LEAST_CHANGE` on average. Those that did not change are not counted in
    it, since a few cases that are fixed among a thousand are a gain.
    """
    total = math.fsum(map(float, gains))
    changed = math.fsum(float(weight) for weight, gain in zip(weights, gains, strict=True) if gain)
    if not total or p_value >= alpha or abs(total) < (LEAST_CHANGE - _ROUNDING) * changed:
        return NOT_PROVEN
    return PROVEN if total > 0 else WORSE


def judge(scores: Sequence[CaseScore], *, alpha: float = ALPHA, seed: int = 0) -> Verdict:
    """Compare seed and winner over the cases, each with its own weight however many trials it has.

    The effect is the mean over cases; its chance is judged over the groups of those that share answers.
    "Proven" and "worse" need a two-sided p below `alpha`, and a change that is not too small (`kind_of`). `seed` is
    for the random patterns of test and interval, where they need them. Raises `ValueError` for a score outside
    [0, 1], a weight that is not above 0, or two entries for one case.
    """
    if len({score.case for score in scores}) < len(scores):
        raise ValueError("a case has more than one entry")
    pairs = [_pairs(score) for score in scores]
    decided = [pair for pair in pairs if pair.seed]
    differences = [_mean(pair.winner) - _mean(pair.seed) for pair in decided]
    weights = [pair.weight for pair in decided]
    effect = _weighted(differences, weights)
    # What shares an answer is one draw: if it had the other sign, all of the group would have it.
    sums: dict[tuple[str, str], Fraction] = {}
    shares: dict[tuple[str, str], Fraction] = {}
    for pair, difference in zip(decided, differences, strict=True):
        unit = (pair.group, "" if pair.group else pair.case)
        sums[unit] = sums.get(unit, Fraction()) + pair.weight * difference
        shares[unit] = shares.get(unit, Fraction()) + pair.weight
    p_value = sign_flip_p(list(sums.values()), seed=seed)
    interval = paired_interval(
        [sums[unit] / shares[unit] for unit in sums],
        list(shares.values()),
        is_graded=any(pair.is_graded for pair in decided),
        seed=seed,
    )
    fixed = tuple(pair.case for pair in decided if _turned(pair.seed_ever, pair.winner_passed))
    broken = tuple(pair.case for pair in decided if _turned(pair.winner_passed, pair.seed_ever))
    gains = [weight * difference for weight, difference in zip(weights, differences, strict=True)]
    return Verdict(
        kind=kind_of(p_value, gains, weights, alpha),
        effect=float(effect),
        interval=interval,
        p_value=p_value,
        baseline=_tally([pair.seed for pair in decided], [pair.seed_passed for pair in decided], weights),
        winner=_tally([pair.winner for pair in decided], [pair.winner_passed for pair in decided], weights),
        fixed=fixed,
        broken=broken,
        undecided=tuple(pair.case for pair in pairs if not pair.seed),
        groups=len(sums),
    )


def least_gain(n_cases: int, alpha: float = ALPHA) -> int | None:
    """Return the fewest cases that must be better, with none worse, for p < `alpha`; None if `n_cases` are too few.

    With all differences on one side the sign-flip test gives p = 2 / 2^k, however large they are. Where cases share
    answers, `n_cases` is the number of independent groups, and each of the better cases must be of another one.
    """
    return next((better for better in range(1, n_cases + 1) if 2.0 * 0.5**better < alpha), None)


def _pairs(score: CaseScore) -> _Pairs:
    if not 0 < score.weight < math.inf:
        raise ValueError(f"{score.case}: its weight of {score.weight} is not a number above 0")
    common = [
        (before, after, trial)
        for trial, (before, after) in enumerate(zip(score.seed, score.winner, strict=False))
        if before is not None and after is not None
    ]
    if any(not 0 <= value <= 1 for before, after, _ in common for value in (before, after)):
        raise ValueError(f"{score.case}: a score lies outside [0, 1]")
    seed_passed = tuple(_passed(before, score.seed_passed[trial:], score.threshold) for before, _, trial in common)
    winner_passed = tuple(_passed(after, score.winner_passed[trial:], score.threshold) for _, after, trial in common)
    return _Pairs(
        score.case,
        score.group,
        max(Fraction(score.weight).limit_denominator(_PRECISION), Fraction(1, _PRECISION)),
        tuple(_exact(before) for before, _, _ in common),
        tuple(_exact(after) for _, after, _ in common),
        seed_passed,
        winner_passed,
        (*seed_passed, *score.seed_before),
        _is_graded(score, [value for before, after, _ in common for value in (before, after)]),
    )


def _is_graded(score: CaseScore, values: Sequence[float]) -> bool:
    return any(0 < value < 1 for value in values) if score.is_graded is None else score.is_graded


def _passed(score: float, known: Sequence[bool | None], threshold: float) -> bool:
    """Whether a trial passed: as is `known` (its first), else by its score."""
    passed = known[0] if known else None
    return score >= threshold - _ROUNDING if passed is None else passed


def _exact(score: float) -> Fraction:
    """Return the fraction that a float such as 0.7 or 2/3 stands for: equal means then differ by 0."""
    return Fraction(score).limit_denominator(_PRECISION)


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values) if values else Fraction()


def _weighted(values: Sequence[Fraction], weights: Sequence[Fraction]) -> Fraction:
    total = sum(weights, Fraction())
    products = (value * weight for value, weight in zip(values, weights, strict=True))
    return sum(products, Fraction()) / total if total else Fraction()


def _tally(
    scores: Sequence[Sequence[Fraction]], passed: Sequence[Sequence[bool]], weights: Sequence[Fraction]
) -> Tally:
    number = sum(2 * sum(trials) >= len(trials) for trials in passed)
    return Tally(number, len(scores), float(_weighted([_mean(values) for values in scores], weights)))


def _turned(before: Sequence[bool], after: Sequence[bool]) -> bool:
    return not any(before) and all(after)
