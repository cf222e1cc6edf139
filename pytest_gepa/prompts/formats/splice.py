"""Changing a spelling as little as possible: the stretches in which two texts differ, and their place in the source.

Also which characters may stand in a source as they are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

Spell = Callable[[str], str | None]
"""How a stretch of text is written in some style; None if that style cannot hold it."""

JOINERS = "\u200c\u200d"
"""Characters that show nothing, and are needed by Persian, Indic scripts and emoji."""

_MOST_PAIRS = 1_000_000  # of lines or words that are compared; the time goes with it
_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})


class Splice(NamedTuple):
    """`text` in place of the characters from `start` to `end` of the old text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Spelled:
    """A stretch of source that spells `text`: `offsets[i]` is where character i begins in it.

    One offset more tells where the last one ends. Source between `start` and the first offset, as well as behind
    the last, spells nothing: quotes, line ends that do not count.
    """

    start: int
    end: int
    text: str
    offsets: Sequence[int]


def spelled_by(start: int, end: int, last: int, parts: Iterable[tuple[str, int, int]]) -> Spelled:
    """Put together what parts of a source spell: for each what it says, and where it begins and ends.

    A part that says as many characters as it has says them one by one. `last` is where the last part ends.
    """
    text: list[str] = []
    offsets: list[int] = []
    for said, begin, finish in parts:
        text.append(said)
        if len(said) == finish - begin:
            offsets += range(begin, finish)
        else:
            # All but the first of several characters begin behind the part: they cannot be told apart.
            offsets += [begin, *[finish] * (len(said) - 1)][: len(said)]
    return Spelled(start, end, "".join(text), [*offsets, last])


def hunks(old: str, new: str) -> list[Splice]:
    """The stretches in which two texts differ, in order: lines are compared, then words inside changed lines."""
    found = [
        hunk
        for lines in _compared(old.splitlines(keepends=True), new.splitlines(keepends=True))
        for hunk in _narrowed(lines, old[lines.start : lines.end])
    ]
    limits = [*(hunk.start for hunk in found[1:]), len(old)][: len(found)]
    return [_slid_to_line(old, hunk, limit) for hunk, limit in zip(found, limits, strict=True)]


def spliced(source: str, spelled: Spelled, changes: Iterable[Splice], spell: Spell) -> str | None:
    """The source from `spelled.start` to its end with `changes` made to its text; None if `spell` cannot write one."""
    made = []
    position = spelled.start
    for hunk in changes:
        written = spell(hunk.text) if hunk.text else ""
        if written is None:
            return None
        made += [source[position : spelled.offsets[hunk.start]], written]
        position = spelled.offsets[hunk.end]
    return "".join([*made, source[position : spelled.end]])


def is_shown(character: str) -> bool:
    """Whether a reader of the source would see the character; those that he would not are written as escapes."""
    if " " <= character <= "~":
        return True
    return character in JOINERS or unicodedata.category(character) not in _HIDDEN


def _narrowed(hunk: Splice, old: str) -> Iterator[Splice]:
    """Narrow a hunk of whole lines down to the words that differ."""
    if old and hunk.text:
        inner = _compared(_WORD.findall(old), _WORD.findall(hunk.text))
    else:
        inner = [Splice(0, len(old), hunk.text)]
    for start, end, text in inner:
        yield Splice(hunk.start + start, hunk.start + end, text)


def _slid_to_line(old: str, hunk: Splice, limit: int) -> Splice:
    """Let what is put in or taken out begin with a line, where the same change can be seen so."""
    start, end, text = hunk
    moved = old[start:end] or text
    if text and end > start:
        return hunk
    for shift in range(len(moved)):
        if start + shift and old[start + shift - 1] == "\n":
            return Splice(start + shift, end + shift, text[shift:] + text[:shift])
        if end + shift >= limit or old[end + shift] != moved[shift]:
            break
    return hunk


def _compared(old: Sequence[str], new: Sequence[str]) -> list[Splice]:
    """Compare two sequences of parts; places are counted in characters."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(before) * len(after) > _MOST_PAIRS:
        operations = [("replace", 0, len(before), 0, len(after))]
    else:
        operations = list(SequenceMatcher(None, before, after, autojunk=False).get_opcodes())
    places = [0]
    for part in old:
        places.append(places[-1] + len(part))
    return [
        Splice(places[head + i], places[head + j], "".join(after[k:m]))
        for tag, i, j, k, m in operations
        if tag != "equal"
    ]
