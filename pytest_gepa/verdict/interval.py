"""The interval around a mean of paired differences, for the small suites that people have."""

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
