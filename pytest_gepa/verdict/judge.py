"""The verdict on a winner: effect, interval and p-value over the cases, and what it fixed and broke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pytest_gepa.verdict.interval import paired_interval
from pytest_gepa.verdict.signflip import sign_flip_p

PROVEN = "proven"
NOT_PROVEN = "not proven"
WORSE = "worse"

_PRECISION = 1_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class CaseScore:
    """One case's scores, in [0, 1], under the seed and under the winner, trial by trial.

    The scores at one position belong to one trial. None, or a position that one side lacks, means that this
    side has no evidence from the trial, and so the pair is left out. A score of `threshold` or more passes;
    where pytest fails a case for anything below full marks (subtests), that is 1.0.
    """

    case: str
    seed: tuple[float | None, ...]
    winner: tuple[float | None, ...]
    threshold: float = 0.5


@dataclass(frozen=True, slots=True)
class Tally:
    """One side of the comparison: how many cases have a mean score that passes, and the mean over cases."""

    passed: int
    total: int
    score: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the confirm run says. `kind` is "proven" (better), "not proven" or "worse".

    `effect` is the mean over cases of winner less seed, in [-1, 1], `interval` its 95 % interval, and
    `p_value` that of the sign-flip test that it is 0. `fixed` failed every seed trial and passed every winner
    trial, `broken` the reverse. `undecided` had no trial on both sides and count in nothing else.
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


@dataclass(frozen=True, slots=True)
class _Pairs:
    case: str
    seed: tuple[Fraction, ...]
    winner: tuple[Fraction, ...]
    threshold: float


def judge(scores: Sequence[CaseScore], *, alpha: float = 0.05, seed: int = 0) -> Verdict:
    """Compare seed and winner over the cases, each case weighing the same however many trials it has.

    "Proven" and "worse" need a two-sided p below `alpha`. `seed` is for the test's random patterns, where it
    needs them. Raises `ValueError` for a score outside [0, 1] or two entries for one case.
    """
    if len({score.case for score in scores}) < len(scores):
        raise ValueError("a case has more than one entry")
    pairs = [_pairs(score) for score in scores]
    decided = [pair for pair in pairs if pair.seed]
    differences = [_mean(pair.winner) - _mean(pair.seed) for pair in decided]
    effect = _mean(differences)
    p_value = sign_flip_p(differences, seed=seed)
    kind = NOT_PROVEN
    if p_value < alpha:
        kind = PROVEN if effect > 0 else WORSE
    return Verdict(
        kind=kind,
        effect=float(effect),
        interval=paired_interval(differences),
        p_value=p_value,
        baseline=_tally([(pair.seed, pair.threshold) for pair in decided]),
        winner=_tally([(pair.winner, pair.threshold) for pair in decided]),
        fixed=tuple(pair.case for pair in decided if _turned(pair.seed, pair.winner, pair.threshold)),
        broken=tuple(pair.case for pair in decided if _turned(pair.winner, pair.seed, pair.threshold)),
        undecided=tuple(pair.case for pair in pairs if not pair.seed),
    )


def least_gain(n_cases: int, alpha: float = 0.05) -> int | None:
    """Return the fewest cases to fix, with none broken, for p < `alpha`; None if `n_cases` are too few.

    With all differences on one side the sign-flip test gives p = 2 / 2^k.
    """
    return next((fixed for fixed in range(1, n_cases + 1) if 2.0 * 0.5**fixed < alpha), None)


def _pairs(score: CaseScore) -> _Pairs:
    common = [
        (_exact(before), _exact(after))
        for before, after in zip(score.seed, score.winner, strict=False)
        if before is not None and after is not None
    ]
    if any(not 0 <= value <= 1 for pair in common for value in pair):
        raise ValueError(f"{score.case}: a score lies outside [0, 1]")
    return _Pairs(
        score.case,
        tuple(before for before, _ in common),
        tuple(after for _, after in common),
        score.threshold,
    )


def _exact(score: float) -> Fraction:
    """Return the fraction that a float such as 0.7 or 2/3 stands for: equal means then differ by 0."""
    return Fraction(score).limit_denominator(_PRECISION)


def _mean(values: Sequence[Fraction]) -> Fraction:
    return sum(values, Fraction()) / len(values) if values else Fraction()


def _tally(sides: Sequence[tuple[tuple[Fraction, ...], float]]) -> Tally:
    means = [_mean(values) for values, _ in sides]
    passed = sum(_passes(mean, threshold) for mean, (_, threshold) in zip(means, sides, strict=True))
    return Tally(passed, len(sides), float(_mean(means)))


def _turned(before: Sequence[Fraction], after: Sequence[Fraction], threshold: float) -> bool:
    return not any(_passes(score, threshold) for score in before) and all(
        _passes(score, threshold) for score in after
    )


def _passes(score: Fraction, threshold: float) -> bool:
    return float(score) >= threshold - _ROUNDING
