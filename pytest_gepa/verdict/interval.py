"""The intervals around a mean of paired differences and around a share, for the small suites that people have."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from operator import getitem

FEWEST_CHANGED = 6
"""With fewer differences that are not 0 the sign-flip test rejects nothing, and their sizes tell little of others."""

_Z = 1.959963984540054  # the normal distribution's 97.5 % point
_TAIL = 0.025
_ENUMERATED = 13
_SUBSETS = 10_000
# A mean of fractions that add up to 0 is not quite 0 in floats.
_DIGITS = 12


def paired_interval(
    differences: Sequence[Fraction | float],
    weights: Sequence[Fraction | float] = (),
    *,
    is_graded: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % interval of the weighted mean of paired differences, each in [-1, 1].

    Of pass and fail, and where few differences are not 0, this is the interval of Agresti & Min (`_adjusted`). Of
    graded scores (`is_graded`) it is made of the means that the sign-flip test does not reject (`_not_rejected`, with
    random subsets drawn from `seed` where there are many cases). No differences: the whole of [-1, 1].
    """
    if not differences:
        return -1.0, 1.0
    values = [float(difference) for difference in differences]
    shares = [float(weight) for weight in weights] or [1.0] * len(values)
    is_by_test = is_graded and sum(value != 0 for value in values) >= FEWEST_CHANGED
    low, high = _not_rejected(values, shares, seed) if is_by_test else _adjusted(values, shares)
    return max(low, -1.0), min(high, 1.0)


def _adjusted(values: Sequence[float], shares: Sequence[float]) -> tuple[float, float]:
    """The adjusted Wald interval of Agresti & Min (2005, Statistics in Medicine 24, 729-740).

    They add half an observation to each cell of the 2 x 2 table of pairs: half a difference of +1, half of -1 and one
    of 0. So the interval has a width even when all cases agree.
    """
    number = _counted(shares)
    one = number / math.fsum(shares)
    total = one * math.fsum(share * value for share, value in zip(shares, values, strict=True))
    squares = one * math.fsum(share * value * value for share, value in zip(shares, values, strict=True)) + 1
    count = number + 2
    center = total / count
    half = _Z * math.sqrt(max(squares - total * total / count, 0.0)) / count
    return center - half, center + half


def _counted(shares: Sequence[float]) -> float:
    """Cases of unequal weight count for as many as tell as much in a mean (Kish 1965)."""
    return math.fsum(shares) ** 2 / math.fsum(share * share for share in shares)


def _not_rejected(values: Sequence[float], shares: Sequence[float], seed: int) -> tuple[float, float]:
    """The means that the two-sided sign-flip test does not reject, so that p < 0.05 and 0 outside are the same, but for
    bounds next to 0 where the subsets are a sample.

    A mean is rejected if fewer than 2.5 % of all subsets of the cases have one that is lower (or higher), so that the
    bounds are quantiles of the means of subsets (Hartigan 1969, Journal of the American Statistical Association 64,
    1303-1317). Pseudo-observations of full size would swamp graded differences, which are of a few hundredths. Where
    all cases agree the bounds would meet: but of cases like these a share of 1 - 0.025^(1/n) may not change at all
    though each of n has, so they are as far from the mean at least as such cases would draw it.
    """
    means = sorted(_subset_means(values, shares, seed))
    beyond = int(_TAIL * (len(means) + 1))
    mean = math.fsum(map(float.__mul__, values, shares)) / math.fsum(shares)
    least = abs(mean) * (1 - _TAIL ** (1 / _counted(shares)))
    return (
        round(min(means[beyond - 1], mean - least), _DIGITS),
        round(max(means[-beyond], mean + least), _DIGITS),
    )


def _subset_means(values: Sequence[float], shares: Sequence[float], seed: int) -> Iterator[float]:
    """The weighted mean of every subset that is not empty, or of many random ones, where there are many cases."""
    pairs = [complex(share, share * value) for share, value in zip(shares, values, strict=True)]
    if len(pairs) <= _ENUMERATED:
        sums: Sequence[complex] = _subset_sums(pairs)
    else:
        # Eight cases at a time: one table look-up per byte of randomness.
        tables = [_subset_sums(pairs[at : at + 8]) for at in range(0, len(pairs), 8)]
        tables[-1] *= 256 // len(tables[-1])
        source = random.Random(seed)
        sums = [sum(map(getitem, tables, source.randbytes(len(tables)))) for _ in range(_SUBSETS)]
    return (one.imag / one.real for one in sums if one.real)


def _subset_sums(numbers: Sequence[complex]) -> list[complex]:
    sums = [0j]
    for number in numbers:
        sums += [total + number for total in sums]
    return sums


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Return the 95 % interval of the share `hits` of `number` independent trials.

    This is the score interval of Wilson (1927, Journal of the American Statistical Association 22, 209-212), which
    keeps its promise for few trials and for shares near 0 and 1 too. No trials: the whole of [0, 1].
    """
    if not number:
        return 0.0, 1.0
    share, square = hits / number, _Z * _Z / number
    center = (share + square / 2) / (1 + square)
    half = _Z * math.sqrt(share * (1 - share) / number + square / (4 * number)) / (1 + square)
    # Of no hits and of nothing but hits the share is a bound, which rounding must not lose.
    return max(min(center - half, share), 0.0), min(max(center + half, share), 1.0)
