"""The frontier: for every case the candidates that are best on it, kept as bit sets, and the draw of a
parent.

Results are held elsewhere; a frontier takes each candidate's scores once and keeps two bits of every
case at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from pytest_gepa.evolve.problem import TIE

_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate's place on the frontier, with its weighted mean over the cases.

    One that is best on no case is kept for a named score, or for what it saves: length, time, tokens or cost.
    """

    candidate: str
    mean: float


class Weights:
    """Sums of case weights over bit sets, by a few popcounts: one mask for each weight that occurs.

    Many different weights are rounded to a 65535th of the largest, up to one at the least, and get a mask for each
    binary digit.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        if any(weight <= 0 for weight in weights):
            raise ValueError("the weight of a case must be positive")
        masks: dict[float, list[int]] = {}
        for case, weight in enumerate(weights):
            masks.setdefault(weight, []).append(case)
        if len(masks) > _DIGITS:
            unit = max(masks) / ((1 << _DIGITS) - 1)
            units = {weight: max(1, round(weight / unit)) for weight in masks}
            masks = {
                (1 << digit) * unit: [c for c, weight in enumerate(weights) if units[weight] >> digit & 1]
                for digit in range(_DIGITS)
            }
        self._masks = [(worth, bits(chosen)) for worth, chosen in masks.items() if chosen]

    def total(self, cases: int) -> float:
        """Return the sum of the weights of the cases in the bit set."""
        return sum(worth * (mask & cases).bit_count() for worth, mask in self._masks)


def bits(positions: Iterable[int]) -> int:
    """Return the bit set that holds these positions."""
    chosen = list(positions)
    if not chosen:
        return 0
    marks = bytearray(max(chosen) // 8 + 1)
    for position in chosen:
        marks[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(marks, "little")


class Frontier:
    """The candidates that are best on some case, of all that were added. Cases are known by their
    position; behind them stand the named scores, `objectives` in number, and the things of which one candidate takes
    least, `savings` in number, each with the weight of a case. Cases that are set `aside` count in the means only: who
    passes there was lucky.
    """

    def __init__(
        self, weights: Sequence[float], objectives: int = 0, savings: int = 0, aside: Iterable[int] = ()
    ) -> None:
        one = sum(weights) / len(weights) if weights else 1.0
        self._weights = Weights([*weights, *[one] * (objectives + savings)])
        self._case_weights = tuple(weights)
        self._aside = frozenset(aside)
        self._scored = (1 << len(weights) + objectives) - 1
        self.best_scores = [-1.0] * (len(weights) + objectives)
        """The best score on each case and objective so far, -1 before the first candidate."""
        self._best_on: dict[str, int] = {}
        self._worth: dict[str, float] = {}
        self._length: dict[str, int] = {}
        self.means: dict[str, float] = {}
        """Weighted mean of every candidate that was added, in the order of adding."""
        self._members: tuple[str, ...] = ()

    def add(
        self,
        candidate: str,
        scores: Sequence[float],
        least: Sequence[int] = (),
        length: int = 0,
        margin: float = 0.0,
    ) -> int:
        """Take in a candidate with its score on every case, and its mean of every objective; return on how many it
        beats all earlier ones by more than a `margin`, in a mean over all cases by what that comes to there. `least`
        are the savings of which it takes less than all, and so the place from another. `length` is that of its texts.
        """
        ahead, cases = 0, len(self._case_weights)
        in_mean = margin / sqrt(max(1, cases))
        better: list[int] = []
        equal: list[int] = []
        for case, (score, best) in enumerate(zip(scores, self.best_scores, strict=True)):
            if score > best + TIE:
                self.best_scores[case] = score
                if case not in self._aside:
                    better.append(case)
                    ahead += score > best + (margin if case < cases else in_mean) + TIE
            elif score >= best - TIE and case not in self._aside:
                equal.append(case)
        lost = bits([*better, *(len(self.best_scores) + saving for saving in least)])
        for name, mask in self._best_on.items():
            if mask & lost:
                self._best_on[name] = mask & ~lost
                self._worth[name] = self._weights.total(mask & ~lost)
        self._length[candidate] = length
        self._best_on[candidate] = lost | bits(equal)
        self._worth[candidate] = self._weights.total(self._best_on[candidate])
        total = sum(self._case_weights)
        self.means[candidate] = (
            sum(weight * score for weight, score in zip(self._case_weights, scores, strict=False)) / total
            if total
            else 0.0
        )
        covering = self._without_redundant()
        # A redundant candidate stays so, as whatever beats those that cover it on a case beats it there too.
        for name in [name for name in self._best_on if name not in covering]:
            # Who takes least of something keeps that place, and is not drawn for cases that better ones have as well.
            if mask := self._best_on[name] & ~self._scored:
                self._best_on[name], self._worth[name] = mask, self._weights.total(mask)
            else:
                del self._best_on[name], self._worth[name]
        self._members = tuple(reversed(self._worst_first()))
        return ahead

    def _without_redundant(self) -> set[str]:
        """Drop, lowest mean first, each candidate that is on no score the only one left among the best; return
        the others.

        Of equal means the longest goes first, and of these the oldest: whoever breaks ties toward the old stands still.
        """
        order = self._worst_first()
        better_ones = [0] * (len(order) + 1)
        for position in range(len(order) - 1, -1, -1):
            better_ones[position] = better_ones[position + 1] | self._best_on[order[position]] & self._scored
        kept: set[str] = set()
        held = 0
        for position, name in enumerate(order):
            mask = self._best_on[name] & self._scored
            if mask & ~(held | better_ones[position + 1]):
                kept.add(name)
                held |= mask
        return kept

    def _worst_first(self) -> list[str]:
        """Who is best somewhere, by mean: of equal means the longest first, and of these the oldest."""
        age = {name: position for position, name in enumerate(self.means)}
        return sorted(self._best_on, key=lambda name: (self.means[name], -self._length[name], age[name]))

    @property
    def members(self) -> tuple[str, ...]:
        """The candidates on the frontier, best mean first."""
        return self._members

    def shares(self, names: Sequence[str]) -> list[float]:
        """Return each candidate's chance to be drawn among `names`: the weight of the cases where it is
        among the best.
        """
        total = sum(self._worth[name] for name in names)
        return [self._worth[name] / total for name in names]

    def partners(self, name: str) -> tuple[str, ...]:
        """Return the other members, first those with which `name` is among the best on the most weight
        of cases.
        """
        mask = self._best_on[name]
        gains = {
            other: self._worth[other] - self._weights.total(mask & theirs)
            for other, theirs in self._best_on.items()
            if other != name
        }
        return tuple(sorted(gains, key=lambda other: -gains[other]))

    def standings(self) -> tuple[Standing, ...]:
        """Describe the members, best mean first."""
        return tuple(Standing(name, self.means[name]) for name in self._members)
