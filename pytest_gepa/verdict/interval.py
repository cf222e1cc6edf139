"""The intervals around a mean of paired differences and around a share, for the small suites that people have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def paired_interval(
    differences: Sequence[Fraction | float], weights: Sequence[Fraction | float] = ()
) -> tuple[float, float]:
    """Return the 95 % interval of the weighted mean of paired differences, each in [-1, 1].

    This is the adjusted Wald interval of Agresti & Min (2005, Statistics in Medicine 24, 729-740), who add
    half an observation to each cell of the 2 x 2 table of pairs: half a difference of +1, half of -1 and
    one of 0, which serves for differences between these too. So an interval has a width even when all cases
    agree. No differences: the whole of [-1, 1]. Cases of unequal weight count for as many as tell as much in a
    mean (Kish 1965): the square of the sum of the weights by the sum of their squares.
    """
    if not differences:
        return -1.0, 1.0
    values = [float(difference) for difference in differences]
    shares = [float(weight) for weight in weights] or [1.0] * len(values)
    number = math.fsum(shares) ** 2 / math.fsum(share * share for share in shares)
    one = number / math.fsum(shares)
    total = one * math.fsum(share * value for share, value in zip(shares, values, strict=True))
    squares = one * math.fsum(share * value * value for share, value in zip(shares, values, strict=True)) + 1
    count = number + 2
    center = total / count
    half = _Z * math.sqrt(max(squares - total * total / count, 0.0)) / count
    return max(center - half, -1.0), min(center + half, 1.0)


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
