"""Versions of a candidate that mended cases and broke others, in which a part of what it changed is taken back."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_gepa.evolve.candidate import Candidate
from pytest_gepa.evolve.changes import changes
from pytest_gepa.prompts.hunks import with_hunks

_FEW = 4
"""One broken case for more than so many mended ones is left alone, as long as it does not bar the candidate."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A candidate, `tip`, that does better than its `base` in the cases `mended` and worse in those `broken`: one of
    each at least. It `is_barred` when it may not be chosen for what it breaks.
    """

    base: Candidate
    tip: Candidate
    mended: tuple[str, ...]
    broken: tuple[str, ...]
    is_barred: bool = False


def take_back_parts(damage: Damage) -> list[dict[str, str]]:
    """Return the tip's texts with a part of its change taken back, the most promising first; nothing for a few broken
    cases among many mended ones, unless they bar it, or for a change of one hunk, which has no parts.

    First without all that removed something, then hunk by hunk: those that removed something, then those that only
    added, the last first.
    """
    if len(damage.broken) * _FEW < len(damage.mended) and not damage.is_barred:
        return []
    base = damage.base.texts
    hunks = changes(damage.base, damage.tip)
    if len(hunks) < 2:
        return []
    removing = [entry for entry in hunks if any(line.strip() for line in entry[1].old)]
    adding = [entry for entry in reversed(hunks) if entry not in removing]
    choices = [[entry] for entry in (*removing, *adding)]
    if len(removing) > 1 and adding:
        choices.insert(0, removing)
    return [
        {
            name: with_hunks(text, [hunk for at, hunk in hunks if at == name and (name, hunk) not in gone])
            for name, text in base.items()
        }
        for gone in choices
    ]
