"""What candidates are compared by besides the score of each case: named scores, the length of prompts, time, tokens.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_gepa.evolve.problem import TIE
from pytest_gepa.evolve.tasks import CaseResult

_ALIKE = 0.1
"""Times and tokens that differ by no more than this share say nothing."""


@dataclass(frozen=True, slots=True)
class Outlay:
    """What a candidate takes: characters of its prompts, and of a case's calls the mean seconds and tokens.

    `seconds` is None where most calls were answered from the cache, `tokens` where the server told none.
    """

    characters: int
    seconds: float | None
    tokens: float | None


def objective_names(results: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the names of the scores that cases are made of, sorted; () for fewer than two, which say nothing new."""
    names = sorted({name for result in results for name in result.objectives})
    return tuple(names) if len(names) > 1 else ()


def objective_means(
    names: Sequence[str], seed: Mapping[str, CaseResult], own: Mapping[str, CaseResult]
) -> list[float]:
    """Return the mean of each named score over the cases that have it under the seed, whose value stands where the
    candidate gave none.
    """
    return [
        fmean(
            own[case].objectives.get(name, result.objectives[name])
            if case in own
            else result.objectives[name]
            for case, result in seed.items()
            if name in result.objectives
        )
        for name in names
    ]


def outlay(characters: int, results: Iterable[CaseResult]) -> Outlay:
    """Return what a candidate takes, of the results of cases that use a component."""
    using = [result for result in results if result.uses]
    seconds = [result.seconds for result in using if result.seconds is not None]
    tokens = [result.tokens for result in using if result.tokens]
    return Outlay(
        characters,
        fmean(seconds) if 2 * len(seconds) > len(using) else None,
        fmean(tokens) if 2 * len(tokens) > len(using) else None,
    )


def worth_keeping(means: Mapping[str, float], outlays: Mapping[str, Outlay]) -> tuple[str, ...]:
    """Return the candidates of which no other has as good a mean and takes less, nor a better one and takes as much.

    They are the Pareto set over mean score, length, time and tokens, best mean first.
    """
    order = sorted(means, key=lambda name: (-means[name], outlays[name].characters))
    return tuple(
        name
        for name in order
        if not any(
            other != name and _beats(means[other], outlays[other], means[name], outlays[name])
            for other in order
        )
    )


def _beats(mean: float, one: Outlay, other_mean: float, other: Outlay) -> bool:
    sides = [_compare(mean - other_mean, TIE), _compare(other.characters - one.characters, 0)]
    for mine, theirs in ((one.seconds, other.seconds), (one.tokens, other.tokens)):
        if mine is not None and theirs is not None:
            sides.append(_compare(theirs - mine, _ALIKE * max(mine, theirs)))
    return min(sides) >= 0 and max(sides) > 0


def _compare(gain: float, least: float) -> int:
    return (gain > least) - (gain < -least)
