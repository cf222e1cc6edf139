"""Parts of evidence made to fit a budget: the least telling are cut first, from the middle, visibly.

What a part is and how telling it is is decided elsewhere; nothing here knows of cases or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from pytest_gepa.trace.cut import MARK_ROOM, byte_length, cut_middle, cut_report, is_mark, level

BYTES_PER_TOKEN = 3.6
"""UTF-8 bytes to a token, on the careful side for English prose, code and the larger scripts."""

_PART_OVERHEAD = 12
_SECTION_OVERHEAD = 30


class Rank(IntEnum):
    """How telling a part is, the least telling first."""

    output = 0
    reasoning = 1
    middle = 2
    input = 3
    answer = 4
    failure = 5


@dataclass(frozen=True, slots=True)
class EvidencePart:
    """A piece of evidence: one line of ours, and the text that stands fenced below it ("" for none)."""

    label: str
    text: str
    rank: Rank
    info: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The parts under one heading."""

    title: str
    parts: tuple[EvidencePart, ...]


# What is cut in turn, and down to how many bytes each part, until all fits. A part's floor is the last one
# named here.
_CUTS: Sequence[tuple[Rank, int]] = (
    (Rank.output, MARK_ROOM),
    (Rank.reasoning, MARK_ROOM),
    (Rank.middle, 200),
    (Rank.input, 400),
    (Rank.middle, MARK_ROOM),
    (Rank.input, 160),
    (Rank.answer, 240),
    (Rank.failure, 240),
)
_FLOOR = dict(_CUTS)


def estimate_tokens(text: str) -> int:
    """Tokens of a text, from its UTF-8 bytes."""
    return -int(-byte_length(text) // BYTES_PER_TOKEN)


def least_size(section: Section) -> int:
    """Bytes that a section takes when all its parts are cut to their floors."""
    sizes = (min(byte_length(part.text), _FLOOR[part.rank]) for part in section.parts)
    return _frame(section) + sum(sizes)


def thin(section: Section, most: int) -> Section:
    """The section with about `most` parts: those of little rank leave from the middle, and one line says so.

    A run of many calls would otherwise spend the budget on headings. What tells the input, the answer and the
    failure stays whatever its number.
    """
    spare = [index for index, part in enumerate(section.parts) if part.rank <= Rank.middle]
    excess = len(section.parts) - most
    if excess <= 0 or not spare:
        return section
    first = (len(spare) - min(excess, len(spare))) // 3
    gone = spare[first : first + excess]
    count = sum(len(section.parts[index].text) for index in gone)
    note = EvidencePart(f"[... {len(gone):,} parts of this run, {count:,} characters, cut ...]", "", Rank.middle)
    left = set(gone)
    parts = [
        note if index == gone[0] else part
        for index, part in enumerate(section.parts)
        if index not in left or index == gone[0]
    ]
    return replace(section, parts=tuple(parts))


def fit(sections: Sequence[Section], limit: int) -> list[Section]:
    """The sections with parts cut so that all together take about `limit` UTF-8 bytes, fences included.

    Never below the floors of `least_size`: a caller that has more sections than the limit can hold leaves
    some out.
    """
    sizes = [[byte_length(part.text) for part in section.parts] for section in sections]
    room = limit - sum(_frame(section) for section in sections)
    caps: dict[Rank, int] = {}
    for rank, floor in _CUTS:
        mine = [
            size
            for section, lengths in zip(sections, sizes, strict=True)
            for part, size in zip(section.parts, lengths, strict=True)
            if part.rank is rank
        ]
        others = _total(sections, sizes, caps, rank)
        if others + sum(min(size, caps.get(rank, size)) for size in mine) <= room:
            break
        caps[rank] = max(floor, level(mine, room - others))
    return [
        replace(section, parts=tuple(_cut(part, caps.get(part.rank)) for part in section.parts)) for section in sections
    ]


def _total(sections: Sequence[Section], sizes: Sequence[Sequence[int]], caps: dict[Rank, int], without: Rank) -> int:
    return sum(
        min(size, caps.get(part.rank, size))
        for section, lengths in zip(sections, sizes, strict=True)
        for part, size in zip(section.parts, lengths, strict=True)
        if part.rank is not without
    )


def _cut(part: EvidencePart, cap: int | None) -> EvidencePart:
    if cap is None or not part.text:
        return part
    text = (cut_report if part.rank is Rank.failure else cut_middle)(part.text, cap)
    # A line that only says how much was cut needs no fence.
    if is_mark(text):
        return replace(part, label=f"{part.label} {text}", text="")
    return replace(part, text=text)


def _frame(section: Section) -> int:
    labels = sum(byte_length(part.label) + _PART_OVERHEAD for part in section.parts)
    return _SECTION_OVERHEAD + byte_length(section.title) + labels
