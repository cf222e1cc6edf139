"""A report that fits a limit: its parts take room by rank, and what finds none is counted and named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 10_000
"""What a part may take before every other part has had its turn; its first item may be larger."""


@dataclass(frozen=True, slots=True)
class ReportPart:
    """A piece of a report: `head`, as many of the `items` as find room, `foot`; each brings its own line breaks.

    Parts of a lower `rank` take room first. `noun` is what the items are called where some are cut. Head and foot are
    always shown and must be small, save that those of a part that loses all of its items go with them.
    """

    rank: int
    head: str
    items: tuple[str, ...] = ()
    foot: str = ""
    noun: str = ""


def width(text: str) -> int:
    """Characters as the strictest reader counts them: one beyond the basic plane is two (UTF-16)."""
    return len(text) + sum(sign > "\uffff" for sign in text)


def fit(parts: Sequence[ReportPart], limit: int, where: str) -> str:
    """The parts in their order, at most `limit` characters in all; `where` tells where the rest can be found."""
    notes = [_note(part, len(part.items)) for part in parts]
    fixed = sum(width(part.head + part.foot + note) for part, note in zip(parts, notes, strict=True))
    room = limit - fixed - width(_closing(parts, [0] * len(parts), where))
    taken = [0] * len(parts)
    ranked = sorted(range(len(parts)), key=lambda index: parts[index].rank)
    for share in (SHARE, limit):
        for index in ranked:
            items, used = parts[index].items, 0
            while taken[index] < len(items):
                size = width(items[taken[index]])
                if size > room or (used + size > share and taken[index]):
                    break
                room, used = room - size, used + size
                taken[index] += 1
    shown = "".join(_shown(part, number) for part, number in zip(parts, taken, strict=True))
    return shown + _closing(parts, taken, where)


def _shown(part: ReportPart, number: int) -> str:
    note = _note(part, len(part.items) - number)
    if part.items and not number:
        return note
    return part.head + "".join(part.items[:number]) + note + part.foot


def _note(part: ReportPart, missing: int) -> str:
    return f"\n*{missing:,} {part.noun} left out here.*\n" if missing else ""


def _closing(parts: Sequence[ReportPart], taken: Sequence[int], where: str) -> str:
    cut = [
        f"{len(part.items) - number:,} {part.noun}"
        for part, number in zip(parts, taken, strict=True)
        if number < len(part.items)
    ]
    return f"\nLeft out, to fit: {', '.join(cut)}. {where}\n" if cut else ""
