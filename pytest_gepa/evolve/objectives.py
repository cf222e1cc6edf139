"""What candidates are compared by besides the score of each case: named scores, the length of prompts, time, tokens,
cost. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean

from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.tasks import CaseResult

CHARACTERS = "characters"
SAVINGS = (CHARACTERS, "seconds", "tokens", "usd")
"""What a candidate can take less of, besides doing better."""

_ALIKE = 0.1
"""Times, tokens and costs that differ by no more than this share say nothing."""

_FEWEST = 6
"""On fewer common cases no difference is more than chance: 2 / 2^5 is above 0.05."""

_NORMAL = 1.96
"""Standard deviations of a sign test at 5 %, two-sided."""


@dataclass(frozen=True, slots=True)
class Outlay:
    """What a candidate takes: characters of its prompts, and of a case's calls the mean seconds, tokens and USD.

    `seconds` is None where most calls were answered from the cache, `tokens` where the server told none, `usd` (at list
    prices, whether or not a call was answered from the cache) where a price is unknown.
    """

    characters: int
    seconds: float | None
    tokens: float | None
    usd: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate as far as savings go: its mean score, its length, its results by case."""

    mean: float
    characters: int
    results: Mapping[str, CaseResult] = field(hash=False)


def objective_names(results: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the names of the scores that cases are made of, sorted; () for fewer than two, which say nothing new."""
    names = sorted({name for result in results for name in result.objectives})
    return tuple(names) if len(names) > 1 else ()


def objective_means(names: Sequence[str], seed: Mapping[str, CaseResult], own: Mapping[str, CaseResult]) -> list[float]:
    """Return the mean of each named score over the cases that have it under the seed, whose value stands where the
    candidate gave none.
    """
    return [
        fmean(
            own[case].objectives.get(name, result.objectives[name]) if case in own else result.objectives[name]
            for case, result in seed.items()
            if name in result.objectives
        )
        for name in names
    ]


def outlay(characters: int, results: Iterable[CaseResult]) -> Outlay:
    """Return what a candidate takes, of the results of cases that use a component."""
    using = [result for result in results if result.uses]

    def mean(name: str) -> float | None:
        values = [value for result in using if (value := _taken(result, name)) is not None]
        return fmean(values) if 2 * len(values) > len(using) else None

    return Outlay(characters, mean("seconds"), mean("tokens"), mean("usd"))


def known_savings(results: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the savings that are known for most cases; one that is unknown for most is no objective."""
    known = outlay(0, results)
    return tuple(name for name in SAVINGS if getattr(known, name) is not None)


def takes_less(name: str, one: Measured, other: Measured) -> bool:
    """Whether a candidate takes less than another by more than chance, case by case.

    Lengths are exact. Of times, tokens and costs the sum over the cases known of both must be less by a tenth, and the
    cases where it is less must be more than a sign test lets pass: a few slow answers are no difference.
    """
    if name == CHARACTERS:
        return one.characters < other.characters
    pairs: list[tuple[float, float]] = []
    using = 0
    for case, mine in one.results.items():
        theirs = other.results.get(case)
        if theirs is not None and mine.uses and theirs.uses:
            using += 1
            values = _taken(mine, name), _taken(theirs, name)
            if values[0] is not None and values[1] is not None:
                pairs.append((values[0], values[1]))
    less, more = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    return (
        2 * len(pairs) > using
        and less + more >= _FEWEST
        and less - more > _NORMAL * sqrt(less + more)
        and sum(a for a, _ in pairs) < (1 - _ALIKE) * sum(b for _, b in pairs)
    )


def takes_over(name: str, newcomer: Measured, holder: Measured) -> bool:
    """Whether a newcomer is now the one that takes least of something; where chance cannot tell, the better mean is."""
    if takes_less(name, newcomer, holder):
        return True
    return not takes_less(name, holder, newcomer) and newcomer.mean >= holder.mean - TIE


def beats(one: Measured, other: Measured) -> bool:
    """Whether a candidate is as good as another and takes no more of anything, and is better or takes less."""
    if one.mean < other.mean - TIE or any(takes_less(name, other, one) for name in SAVINGS):
        return False
    return one.mean > other.mean + TIE or any(takes_less(name, one, other) for name in SAVINGS)


def _taken(result: CaseResult, name: str) -> float | None:
    if name == "tokens":
        return result.tokens or None
    return result.seconds if name == "seconds" else result.usd
