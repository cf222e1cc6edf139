"""Uniting texts that grew from one ancestor: line by line within a component, component by component in
a candidate.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple

from pytest_gepa.prompts.fenced import fenced_rows
from pytest_gepa.prompts.hunks import Frame, Piece, framed, is_frame_line, joined
from pytest_gepa.prompts.items import BULLET, with_numbers

_WORD = re.compile(r"[^\W_]{4,}")
_VALUE = re.compile(r"`[^`]+`|'[^']+'|\"[^\"]+\"|\b\d[\d.,]*\b|\b(?:no|not|never|yes)\b", re.IGNORECASE)
_LEAST_WORDS = 4
_REPEATED = 0.75
"""A line of at least so many longer words says what another says that holds this share of them, unless each has a value
that the other has not: rules for two labels differ in no more than that."""


@dataclass(slots=True)
class _Side:
    """One side's way from the base: what it inserts in each gap, what it deletes, and the blocks it
    rewrites.
    """

    inserts: dict[int, list[str]] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    rewrites: list[tuple[int, int, list[str]]] = field(default_factory=list)


def merge_text(base: str, preferred: str, other: str) -> str:
    """Unite two texts that were made from `base`: the additions of both are kept, and so are the
    deletions of both.

    Where both changed the same lines the preferred side's wording stands. What both added, wherever, is kept once: a
    rule, or an example with all of its lines. The text ends in a newline as the side that changed this says.
    """
    if other == base or preferred == other:
        return preferred
    if preferred == base:
        return other
    lines = _merge_lines(_lines(base), _lines(preferred), _lines(other))
    final = preferred if preferred.endswith("\n") != base.endswith("\n") else other
    return "\n".join(lines) + ("\n" if final.endswith("\n") and lines else "")


def loses_wording(base: str, preferred: str, other: str) -> bool:
    """Whether `merge_text` drops lines with which the other side replaced some that both have changed."""
    if base in (preferred, other):
        return False
    ours, theirs = (_changes(_lines(base), _lines(text)) for text in (preferred, other))
    kept = set(_lines(preferred))
    return any(_touches(block, ours) and not kept.issuperset(block[2]) for block in theirs.rewrites)


def merge_all(base: str, texts: Sequence[str]) -> str:
    """Unite any number of texts that were made from `base` without knowing of each other.

    Where two changed the same lines the earlier one's wording stands. Of two added rules from different
    texts of which one says what the other says, and more, the longer is kept.
    """
    merged = base
    for text in texts:
        kept, rest = _without_repeats(base, merged, text)
        merged = merge_text(base, kept, rest)
    return merged


def merge_components(base: Mapping[str, str], preferred: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Unite two candidates' texts component by component: the side that changed, or both sides' changes."""
    return {name: merge_text(base[name], preferred[name], other[name]) for name in preferred}


def _lines(text: str) -> list[str]:
    body = text.removesuffix("\n")
    return body.split("\n") if body else []


def _changes(base: list[str], lines: list[str]) -> _Side:
    side = _Side()
    for tag, start, stop, first, last in SequenceMatcher(None, base, lines, autojunk=False).get_opcodes():
        if tag == "insert":
            side.inserts[start] = lines[first:last]
        elif tag == "delete":
            side.deleted.update(range(start, stop))
        elif tag == "replace":
            side.rewrites.append((start, stop, lines[first:last]))
    return side


def _touches(block: tuple[int, int, list[str]], side: _Side) -> bool:
    start, stop, _ = block
    return any(row in side.deleted for row in range(start, stop)) or any(
        first < stop and start < last for first, last, _ in side.rewrites
    )


def _merge_lines(base: list[str], preferred: list[str], other: list[str]) -> list[str]:
    ours, theirs = _changes(base, preferred), _changes(base, other)
    # A rewrite of the other side stands only where the preferred side left all of its lines alone. The
    # lines of one that does not stand are the preferred side's to decide, or stay as they are in the base.
    standing = [block for block in theirs.rewrites if not _touches(block, ours)]
    ruled = {row for start, stop, _ in ours.rewrites for row in range(start, stop)}
    rewrites = {start: (stop, lines) for start, stop, lines in [*ours.rewrites, *standing]}
    deleted = ours.deleted | (theirs.deleted - ruled)
    added = [_said(lines) for lines in (*ours.inserts.values(), *(lines for _, _, lines in ours.rewrites))]

    def is_added(piece: list[str]) -> bool:
        said = _said(piece)
        return bool(said.strip()) and any(said in one for one in added)

    def inserted(gap: int) -> list[str]:
        mine = ours.inserts.get(gap, [])
        new = [piece for piece in framed(theirs.inserts.get(gap, [])) if not is_added(piece.lines)]
        more = _numbered_on(mine, joined(_under_the_last(framed(mine), new)))
        return mine + more if any(line.strip() for line in more) or not mine else mine

    merged: list[str] = []
    covered = 0
    for row in range(len(base) + 1):
        merged += inserted(row)
        if row < len(base) and row >= covered:
            if row in rewrites:
                covered, lines = rewrites[row]
                merged += lines
            elif row not in deleted:
                merged.append(base[row])
    return merged


def _under_the_last(mine: Sequence[Piece], more: Sequence[Piece]) -> list[Piece]:
    """Pieces that come behind those of one side, without the headings under which the last of these stands already."""
    known: set[Frame] = set()
    if mine and more:
        for ours, theirs in zip(mine[-1].frames, more[0].frames, strict=False):
            is_open = not any(line.strip() for line in ours.closing)
            if not is_open or _said(ours.opening) != _said(theirs.opening):
                break
            known.add(theirs)
    return [piece._replace(frames=tuple(frame for frame in piece.frames if frame not in known)) for piece in more]


def _numbered_on(mine: Sequence[str], more: list[str]) -> list[str]:
    """Lines that come behind those of one side, with the numbers that follow its own where both add to one list."""
    first = next((row for row, line in enumerate(more) if line.strip()), len(more))
    item = BULLET.match(more[first]) if first < len(more) else None
    if item is None or not item["number"]:
        return more
    fenced = fenced_rows(mine)
    rows = (line for row, line in enumerate(mine) if row not in fenced)
    bullets = (found for line in rows if (found := BULLET.match(line)) is not None)
    numbers = [int(one["number"]) for one in bullets if one["number"] and one["indent"] == item["indent"]]
    numbered, _ = with_numbers("\n".join(more[first:]), max(numbers, default=-1) + 1)
    return [*more[:first], *numbered.split("\n")]


def _said(lines: Sequence[str]) -> str:
    """The lines without the blank ones, each between line breaks, and without the numbers of items."""
    return "\n".join(["", *(_unnumbered(line) for line in lines if line.strip()), ""])


def _unnumbered(line: str) -> str:
    item = BULLET.match(line)
    return line[item.end() :] if item and item["number"] else line


def _without_repeats(base: str, one: str, other: str) -> tuple[str, str]:
    """Drop each line that one text added as a piece of its own and an added line of the other repeats."""
    old = set(base.split("\n"))
    sides = [one.split("\n"), other.split("\n")]
    # The same line on both sides is left to the merge, which keeps one of them where it belongs.
    old |= set(sides[0]) & set(sides[1])
    alone = [{row: _Line.read(lines[row]) for row in _rows_alone(lines, old)} for lines in sides]
    dropped: tuple[set[int], set[int]] = (set(), set())
    for row, mine in alone[0].items():
        for place, theirs in alone[1].items():
            if mine.says_the_same(theirs):
                if len(theirs.words) > len(mine.words):
                    dropped[0].add(row)
                else:
                    dropped[1].add(place)
    kept = [
        without_rows(lines, {row for row, line in enumerate(lines) if line not in old}, gone)
        for lines, gone in zip(sides, dropped, strict=True)
    ]
    return kept[0], kept[1]


class _Line(NamedTuple):
    words: frozenset[str]
    values: frozenset[str]

    @classmethod
    def read(cls, line: str) -> _Line:
        said = line.casefold()
        return cls(frozenset(_WORD.findall(said)), frozenset(_VALUE.findall(said)))

    def says_the_same(self, other: _Line) -> bool:
        shorter = min(len(self.words), len(other.words))
        is_alike = len(self.words & other.words) >= _REPEATED * shorter >= _REPEATED * _LEAST_WORDS
        return is_alike and (self.values <= other.values or other.values <= self.values)


def _rows_alone(lines: Sequence[str], old: Collection[str]) -> list[int]:
    """The rows of added lines that are no part of a longer piece."""
    added = {row for row, line in enumerate(lines) if line not in old}
    return [piece[0] for piece in added_pieces(lines, added) if len(piece) == 1]


def added_rows(before: str, after: str) -> set[int]:
    """The rows of `after` that a diff from `before` adds or changes. A line that stands in both may be added: the end
    of a fence is like any other.
    """
    codes = SequenceMatcher(None, before.split("\n"), after.split("\n"), autojunk=False).get_opcodes()
    return {row for tag, _, _, start, stop in codes if tag != "equal" for row in range(start, stop)}


def added_pieces(lines: Sequence[str], added: Collection[int], wholes: Sequence[list[str]] = ()) -> list[list[int]]:
    """The rows of the pieces that are made of the rows `added`. Blank lines are left out, and so is what stands around
    pieces: it is nothing by itself. None of the texts `wholes` is divided.
    """
    found: list[list[int]] = []
    start = 0
    for row in range(len(lines) + 1):
        if row < len(lines) and (row in added or not lines[row].strip()):
            continue
        for piece in framed(lines[start:row], wholes, start):
            rows = range(piece.row, piece.row + len(piece.lines))
            found.append([one for one in rows if lines[one].strip()])
        start = row + 1
    return [rows for rows in found if rows]


def without_rows(
    lines: Sequence[str], added: Collection[int], gone: Collection[int], wholes: Sequence[list[str]] = ()
) -> str:
    """The text without the rows `gone` of those that were `added`, and without a heading or tags that have nothing more
    to stand around.
    """
    missing = set(gone)
    if missing and any(is_frame_line(lines[row]) for row in added):
        before = {tuple(rows) for rows in added_pieces(lines, added, wholes)}
        while empty := _empty_frames(lines, added, missing, wholes) - before:
            missing.update(row for rows in empty for row in rows)
    return "\n".join(line for row, line in enumerate(lines) if row not in missing)


def _empty_frames(
    lines: Sequence[str], added: Collection[int], missing: Collection[int], wholes: Sequence[list[str]]
) -> set[tuple[int, ...]]:
    """The rows of what is nothing but headings and tags, where some rows are missing."""
    left = [row for row in range(len(lines)) if row not in missing]
    rest = [lines[row] for row in left]
    found = added_pieces(rest, {place for place, row in enumerate(left) if row in added}, wholes)
    return {tuple(left[place] for place in rows) for rows in found if all(is_frame_line(rest[place]) for place in rows)}
