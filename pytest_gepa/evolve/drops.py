"""Which changes to drop next, so that few rollouts find those that are needed: delta debugging. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple, TypeAlias

_DOUBT = 0.05
"""The least weight of a change that a case may need, of which nothing else is known."""

Blamed: TypeAlias = Callable[[str], Mapping[int, float]]
"""Says which changes a case may need by all that is known, and how much each is like the case's failure, 0 to 1."""


class Attempt(NamedTuple):
    """Drop these changes, and run the case `only`, or all cases (""), the likeliest to be worse first.

    With `only` nothing is dropped for good, nor with `is_known`: then it is known that the change must stay, and a few
    more of the cases that miss it are looked for.
    """

    dropping: tuple[int, ...]
    only: str = ""
    is_known: bool = False


class AttemptResult(NamedTuple):
    """What came of an attempt: `is_gone` for good, or cases that are `worse`, or neither: refused, or no loss in the
    one case.
    """

    is_gone: bool = False
    worse: tuple[str, ...] = ()


Plan: TypeAlias = Generator[Attempt, AttemptResult, None]


def drops(count: int, blamed: Blamed) -> Plan:
    """Yield which of `count` changes to drop next; the outcome is sent.

    All are dropped at once, as a whole run costs as much for one as for all. A case that is worse then needs one of
    them, which is looked for by that case alone, by halves; it stays, and the others go on. (Zeller and Hildebrandt,
    2002, with a case for the test.) When something has gone, those that were needed are tried again, until none can
    go alone. At the end the reviewer is found a few more cases for each.
    """
    left, needed = list(range(count)), list[int]()
    while left:
        left = yield from _round(left, needed, blamed)
    untried, needed = deque(needed), []
    while untried:
        one = untried.popleft()
        if (yield Attempt((one,))).is_gone:
            untried += needed
            needed.clear()
        else:
            needed.append(one)
    for one in needed:
        yield Attempt((one,), is_known=True)


def _round(left: list[int], needed: list[int], blamed: Blamed) -> Generator[Attempt, AttemptResult, list[int]]:
    """Drop as many of these as can go, at once where that can be, and add to `needed` what cannot go alone.

    Return the others, fewer than there were: with each of them gone beside the rest a case was worse.
    """
    waiting, doubtful = [left], list[int]()
    while waiting:
        group = waiting.pop()
        outcome = yield Attempt(tuple(group))
        if outcome.is_gone:
            continue
        if len(group) == 1:
            needed += group
        elif outcome.worse:
            case = outcome.worse[0]
            one = yield from _turning(group, case, blamed)
            alone = yield Attempt((one,), case)
            (needed if alone.worse else doubtful).append(one)
            waiting.append([other for other in group if other != one])
        else:
            waiting += [group[len(group) // 2 :], group[: len(group) // 2]]
    return doubtful


def _turning(group: list[int], case: str, blamed: Blamed) -> Generator[Attempt, AttemptResult, int]:
    """Return the change with which a case turns that is worse without the group: without those before it, it is not.

    The likeliest come last, and each half has the same weight, not the same number.
    """
    likely = blamed(case)
    order = sorted(group, key=lambda one: likely.get(one, -1.0))
    suspects = [one for one in order if one in likely] or order
    weights = [likely.get(one, 0.0) + _DOUBT for one in suspects]
    first = len(order) - len(suspects)
    fine, worse = 0, len(suspects)
    while worse - fine > 1:
        half = sum(weights[fine:worse]) / 2
        middle, held = fine + 1, weights[fine]
        while middle < worse - 1 and held + weights[middle] / 2 < half:
            held += weights[middle]
            middle += 1
        outcome = yield Attempt(tuple(sorted(order[: first + middle])), case)
        if outcome.worse:
            worse = middle
        else:
            fine = middle
    return suspects[worse - 1]
