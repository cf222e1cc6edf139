"""The rank-sum test of two samples with its exact permutation distribution, ties and all. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

TIE = 1e-9
"""Scores that differ by no more are the same."""


def rank_sum_p(better: Sequence[float], worse: Sequence[float]) -> float:
    """Return the one-sided p-value that `worse` is not the lower sample (Wilcoxon 1945, with mid-ranks for ties).

    It is the share of all ways to choose so many of the scores whose ranks add up to no more than those of `worse`.
    Equal scores all through: 1.0. Raises `ValueError` for an empty sample.
    """
    if not better or not worse:
        raise ValueError("a sample is empty")
    ranks = _double_ranks([*better, *worse])
    seen = sum(ranks[len(better) :])
    # One large integer for each size of a choice: its lanes count the choices by the sum of their ranks.
    lane = len(ranks) + 1
    mask = (1 << lane * (seen + 1)) - 1
    counts = [1] + [0] * len(worse)
    for rank in ranks:
        for size in range(len(worse), 0, -1):
            counts[size] = (counts[size] + (counts[size - 1] << lane * rank)) & mask
    # Modulo 2^lane - 1 a number is the sum of its lanes, which is smaller than that.
    extreme = counts[len(worse)] % ((1 << lane) - 1)
    return float(Fraction(extreme, math.comb(len(ranks), len(worse))))


def _double_ranks(values: Sequence[float]) -> list[int]:
    """Twice the mid-rank of each value, less the lowest: whole numbers from 0."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] - values[order[start]] <= TIE:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = start + end
        start = end + 1
    lowest = min(ranks)
    return [rank - lowest for rank in ranks]
