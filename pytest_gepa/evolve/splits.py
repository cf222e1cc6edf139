"""Which cases nobody can decide: their trials end differently under several candidates, whatever these are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SPLIT = 3
"""Under so many candidates the trials of a case must differ before it is set aside."""


class Asked(NamedTuple):
    """Requests for one case by their keys, and whether the trials in which they were sent ended otherwise."""

    keys: frozenset[str]
    differ: bool


def split_cases(asked: Iterable[tuple[str, Asked]]) -> frozenset[str]:
    """Return the cases whose trials differ under too many candidates for any edit to be to blame.

    Candidates whose requests for a case have any in common count as one: the same answers serve them all.
    """
    known: dict[str, list[Asked]] = {}
    for case, new in asked:
        known[case] = _with(known.get(case, ()), new)
    return frozenset(
        case for case, apart in known.items() if sum(one.differ for one in apart) >= max(_SPLIT, len(apart) / 2)
    )


def _with(known: Sequence[Asked], new: Asked) -> list[Asked]:
    """The known requests and new ones, those together that have any in common."""
    apart = []
    for one in known:
        if one.keys.isdisjoint(new.keys):
            apart.append(one)
        else:
            new = Asked(one.keys | new.keys, one.differ or new.differ)
    return [*apart, new]
