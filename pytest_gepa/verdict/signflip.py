"""The paired sign-flip test: how often would chance, taking sides case by case, give a mean as far from 0?"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from operator import getitem

_LARGEST_DENOMINATOR = 360
# Floats such as 1/3 are taken for the fraction that they stand for; the next one of that size is 1e-5 away.
_TOLERANCE = 1e-12
# Bits that the exact sum may shift about: some tenths of a second.
_MOST_WORK = 5_000_000_000


def sign_flip_p(differences: Sequence[Fraction | float], *, seed: int = 0, draws: int = 100_000) -> float:
    """Return the two-sided p-value of the paired sign-flip test that the differences have mean zero.

    Under the null hypothesis each difference is as likely to have the other sign, so p is the share of all
    sign patterns whose sum is at least as far from zero as the one seen. It is exact for differences with a
    common denominator of up to 360. Others, and very many with a large one, are judged by `draws` random
    patterns drawn from `seed`; the observed one is counted in, which keeps the test valid (Phipson & Smyth
    2010). Zeros change nothing. Empty or all zero: 1.0. Raises `ValueError` for infinities and NaN.
    """
    if not all(math.isfinite(difference) for difference in differences):
        raise ValueError("differences must be finite")
    scaled = _as_integers(differences)
    if scaled is None:
        return _sampled_p([float(difference) for difference in differences if difference], seed, draws)
    exact = exact_p(scaled)
    if exact is None:
        return _sampled_p([float(difference) for difference in scaled if difference], seed, draws)
    return exact


def exact_p(differences: Sequence[int], most_work: int = _MOST_WORK) -> float | None:
    """Return the same p-value for whole numbers, always exact; None where it would take more than `most_work`."""
    factor = math.gcd(*differences) or 1
    nonzero = [difference // factor for difference in differences if difference]
    return None if _work(nonzero) > most_work else _exact_p(nonzero)


def _as_integers(differences: Sequence[Fraction | float]) -> list[int] | None:
    """Scale to integers; None if the common denominator is too large."""
    given = [Fraction(difference) for difference in differences]
    fractions = [fraction.limit_denominator(_LARGEST_DENOMINATOR) for fraction in given]
    if any(abs(near - exact) > _TOLERANCE for near, exact in zip(fractions, given, strict=True)):
        return None
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    if denominator > _LARGEST_DENOMINATOR:
        return None
    return [int(fraction * denominator) for fraction in fractions]


def _work(differences: list[int]) -> int:
    return len(differences) ** 2 * (_tail(differences) + 1)


def _tail(differences: list[int]) -> int:
    """Return the most that the negative ones may add up to in a pattern as extreme as the one seen."""
    return (sum(map(abs, differences)) - abs(sum(differences))) // 2


def _exact_p(differences: list[int]) -> float:
    """Count the patterns by the sum of their negative members, up to the tail, and double it by symmetry.

    The counts stand side by side in one large integer, each in a lane wide enough for the number of all
    patterns: to let one more difference be negative is to add the integer to itself, shifted that far.
    """
    if not sum(differences):
        return 1.0
    tail = _tail(differences)
    lane = len(differences) + 2
    mask = (1 << lane * (tail + 1)) - 1
    counts = 1
    for difference in sorted(map(abs, differences)):
        counts = (counts + (counts << lane * difference)) & mask
    # Modulo 2^lane - 1 a number is the sum of its lanes, which is smaller than that.
    extreme = counts % ((1 << lane) - 1)
    return float(Fraction(2 * extreme, 1 << len(differences)))


def _sampled_p(differences: list[float], seed: int, draws: int) -> float:
    observed = abs(math.fsum(differences)) * (1 - _TOLERANCE)
    # Eight signs at a time: one table look-up per byte of randomness.
    tables = [_signed_sums(differences[at : at + 8]) for at in range(0, len(differences), 8)]
    source = random.Random(seed)
    extreme = sum(abs(sum(map(getitem, tables, source.randbytes(len(tables))))) >= observed for _ in range(draws))
    return (extreme + 1) / (draws + 1)


def _signed_sums(differences: list[float]) -> list[float]:
    sums = [0.0]
    for difference in differences:
        sums = [total + difference for total in sums] + [total - difference for total in sums]
    return sums * (256 // len(sums))
