"""Hunks: how one text differs from another, in parts that can be taken back one by one. Pure.

What stands around several parts is none: the heading of what was added under it, and the tags of a list. It is there as
long as one of them is. So no heading goes while a rule that was written under it stays, nor one tag without the other,
and of a long list in tags each item can be taken back. All other elements stay whole, as an example must.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple, TypeAlias

from pytest_gepa.prompts.markup import TAG, elements

_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+\S")
_FENCE = re.compile(r"\s*(?:```(?!.*`)|~~~)")
_LABELLED = re.compile(r"\s*[\w*][\w* ]{0,30}:(?:\s|$)")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)`*_]{0,3}\s*$")
_OPENS_SENTENCE = re.compile(r"[\"'“‘(`*_]{0,3}[^\Wa-z_]")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})\s+\S")
_EXAMPLE = re.compile(r"[\w.-]*(?:example|sample|shot|demo)[_.-]?\d*", re.IGNORECASE)
"""The name of an element that is one example, however much stands in it."""

_WRAPPED = 60
"""A line of so many characters that ends no sentence was wrapped: the next one goes on with it."""


class Frame(NamedTuple):
    """What stands around pieces and is none itself: a heading, or the tags of an element. Its first `row` tells it from
    others.
    """

    row: int
    opening: tuple[str, ...]
    closing: tuple[str, ...] = ()


class Piece(NamedTuple):
    """Lines from `row` on that say something of their own, and what stands around them, the outermost first."""

    row: int
    lines: list[str]
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `start` to `end` (from 0, end excluded) of a text, `old`, in whose place stands `new`, in `frames` that
    were added with it and perhaps with others.
    """

    start: int
    end: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    frames: tuple[Frame, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is changed, `- removed` and `+ added`, without blank lines."""
        return tuple(
            f"{sign} {line}" for sign, lines in (("-", self.old), ("+", self.new)) for line in lines if line.strip()
        )


def find_hunks(before: str, after: str, wholes: Iterable[str] = (), *, divide: bool = True) -> tuple[Hunk, ...]:
    """Return the hunks that make `after` of `before`, in order.

    A block of added lines is divided where a rule, an item or a paragraph begins, unless `divide` is false, as for
    programs. None of the texts `wholes` (examples) is divided.
    """
    if before.endswith("\n") and after.endswith("\n"):
        # Nothing stands in the line after the last line end, so no blank line is to be taken for it.
        before, after = before[:-1], after[:-1]
    old, new = before.split("\n"), after.split("\n")
    kept_whole = [text.split("\n") for text in wholes if text.strip()]
    if any(line.endswith("\r") for line in new):
        kept_whole += [[f"{line}\r" for line in whole] for whole in kept_whole]
    found: list[Hunk] = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if divide:
            found += _divided(i, old[i:j], k, new[k:m], kept_whole)
        else:
            found.append(Hunk(i, j, tuple(old[i:j]), tuple(new[k:m])))
    return tuple(found)


def with_hunks(before: str, hunks: Iterable[Hunk]) -> str:
    """Return `before` with these of its hunks, which are in the order in which they were found."""
    old = before.split("\n")
    parts: list[_Part] = []
    position = 0
    for hunk in hunks:
        parts.append((old[position : hunk.start], hunk.new, hunk.frames))
        position = hunk.end
    return "\n".join(_in_frames([*parts, (old[position:], (), ())]))


def joined(pieces: Iterable[Piece]) -> list[str]:
    """Return the lines of pieces, in order, with what stands around them."""
    return _in_frames([*(((), piece.lines, piece.frames) for piece in pieces), ((), (), ())])


def framed(lines: Sequence[str], wholes: Sequence[list[str]] = (), first: int = 0) -> list[Piece]:
    """Divide lines as `pieces` does, with headings and the tags of lists as frames of what stands under and between.
    One with nothing there is a piece itself. Rows are counted from `first`; `joined` gives all of the lines again.
    """
    whole = {row for span in _spans(lines, wholes) for row in span} | _fenced(lines)
    # A tag that is indented belongs to an item.
    lasts = {
        one.first: one.last
        for one in elements(lines)
        if whole.isdisjoint((one.first, one.last)) and not indent(lines[one.first])
    }
    ends = set(lasts.values())
    framing = _Framing(lines, wholes, first)
    for row, line in enumerate(lines):
        if row in ends:
            framing.close_element(row)
        elif row in lasts:
            framing.open_element(row, lasts[row])
        elif row not in whole and (heading := _HEADING.match(line)) is not None:
            framing.open_heading(row, len(heading["marks"]))
    return framing.end()


def is_frame_line(line: str) -> bool:
    """Whether a line may be of a frame: it is a heading, or a tag and nothing else."""
    return _HEADING.match(line) is not None or TAG.fullmatch(line) is not None


def pieces(lines: Sequence[str], wholes: Sequence[list[str]] = ()) -> list[list[str]]:
    """Divide lines where something of its own begins: a rule, an item, a paragraph; the lines of an example, each with
    a label, stay together, and so do an element that is no list, and each of the texts `wholes`. Blank lines go with
    what follows, the last with what precedes.
    """
    together = {row for span in _spans(lines, wholes) for row in span[1:]}
    found: list[list[str]] = []
    blank: list[str] = []
    in_fence = False
    for row, line in enumerate(lines):
        if not line.strip() and not in_fence:
            blank.append(line)
            continue
        goes_on = in_fence or row in together
        if found and (goes_on or not (blank or _begins(found[-1], line))):
            found[-1] += [*blank, line]
        else:
            found.append([*blank, line])
        blank = []
        if _FENCE.match(line):
            in_fence = not in_fence
    if blank and found:
        found[-1] += blank
    elif blank:
        found.append(blank)
    return found


_Part: TypeAlias = tuple[Sequence[str], Sequence[str], tuple[Frame, ...]]
"""Lines that stay, those of a hunk or a piece behind them, and the frames of these."""


def _in_frames(parts: Iterable[_Part]) -> list[str]:
    """The lines of all parts; a frame opens before the first of its own and closes behind the last."""
    lines: list[str] = []
    around: tuple[Frame, ...] = ()
    for staying, own, frames in parts:
        for frame in reversed(around):
            lines += frame.closing if frame not in frames else ()
        lines += staying
        for frame in frames:
            lines += frame.opening if frame not in around else ()
        lines += own
        around = frames
    return lines


class _Framing:
    """Divides lines by the frames that open and close in them, which are told in their order."""

    def __init__(self, lines: Sequence[str], wholes: Sequence[list[str]], first: int) -> None:
        self._lines = lines
        self._wholes = wholes
        self._first = first
        self._found: list[Piece] = []
        self._around: list[tuple[int, Frame]] = []  # with the depth of a heading, 0 of an element
        self._done = 0

    def open_heading(self, row: int, depth: int) -> None:
        """Begin what stands under a heading, which ends what stands under one of its own depth or a deeper one."""
        self._divide_up_to(row)
        left = len(self._around)
        while left and self._around[left - 1][0] >= depth:
            left -= 1
        self._leave(left)
        self._open(row, depth)

    def open_element(self, row: int, last: int) -> None:
        """Begin an element whose closing tag is in the row `last`."""
        self._divide_up_to(row)
        self._open(row, 0, self._lines[_text_end(self._lines, row + 1, last) : last + 1])

    def close_element(self, row: int) -> None:
        """End the innermost element, and the headings in it."""
        self._divide_up_to(row)
        self._leave(max(at for at, (depth, _) in enumerate(self._around) if not depth))
        self._done = row + 1

    def end(self) -> list[Piece]:
        """Return the pieces; blank lines at the end go with the last."""
        self._divide_up_to(len(self._lines))
        self._leave(0)
        blank = self._lines[self._done :]
        if not blank:
            return self._found
        if not self._found:
            return [Piece(self._first, [*blank])]
        *before, last = self._found
        if not last.frames:
            return [*before, last._replace(lines=[*last.lines, *blank])]
        outer = last.frames[0]
        longer = outer._replace(closing=(*outer.closing, *blank))
        return [one._replace(frames=(longer, *one.frames[1:])) if outer in one.frames else one for one in self._found]

    def _divide_up_to(self, row: int) -> None:
        """Take the pieces above a row, but not the blank lines right above it."""
        stop = _text_end(self._lines, self._done, row)
        frames = tuple(frame for _, frame in self._around)
        for piece in pieces(self._lines[self._done : stop], self._wholes):
            self._found.append(Piece(self._first + self._done, piece, frames))
            self._done += len(piece)

    def _open(self, row: int, depth: int, closing: Sequence[str] = ()) -> None:
        opening = self._lines[self._done : row + 1]
        self._around.append((depth, Frame(self._first + self._done, tuple(opening), tuple(closing))))
        self._done = row + 1

    def _leave(self, left: int) -> None:
        """End all frames but the outermost so many."""
        while len(self._around) > left:
            _, frame = self._around.pop()
            if not self._found or self._found[-1].row < frame.row:  # nothing stands in it
                frames = tuple(outer for _, outer in self._around)
                self._found.append(Piece(frame.row, [*frame.opening, *frame.closing], frames))


def _text_end(lines: Sequence[str], start: int, stop: int) -> int:
    """The row behind the last from `start` to `stop` that is not blank; `start` where there is none."""
    while stop > start and not lines[stop - 1].strip():
        stop -= 1
    return stop


def _divided(start: int, old: list[str], first: int, new: list[str], wholes: Sequence[list[str]]) -> Iterator[Hunk]:
    """The hunks of one changed block, whose lines begin in the rows `start` and `first`: old pieces are paired with the
    new ones that take their places.
    """
    olds, news = pieces(old), framed(new, wholes, first)
    if any(map(is_frame_line, old)):
        # A heading that has taken the place of another goes with that one.
        news = [Piece(first, one) for one in pieces(new, wholes)]
        if len(olds) != len(news) and any(TAG.fullmatch(line) for line in old):
            olds, news = [old], [Piece(first, new)]
    if len(olds) == 1 and len(news) > 1:
        likeness = [SequenceMatcher(None, "\n".join(old), "\n".join(piece.lines)).ratio() for piece in news]
        at = likeness.index(max(likeness))
        olds = [[] for _ in news]
        olds[at] = old
    elif not olds:
        olds = [[] for _ in news]
    elif not news:
        news = [Piece(first, []) for _ in olds]
    elif len(olds) != len(news):
        olds, news = [old], [Piece(first, new)]
    for before, after in zip(olds, news, strict=True):
        yield Hunk(start, start + len(before), tuple(before), tuple(after.lines), after.frames)
        start += len(before)


def _spans(lines: Sequence[str], wholes: Sequence[list[str]]) -> Iterator[range]:
    """The rows of each part that is never divided: one of the texts that stay whole, or an element that is no list."""
    for whole in wholes:
        for row in range(len(lines) - len(whole) + 1):
            if list(lines[row : row + len(whole)]) == whole:
                yield range(row, row + len(whole))
    for one in elements(lines):
        if _EXAMPLE.fullmatch(one.name) or not _is_list(lines[one.first + 1 : one.last]):
            yield range(one.first, one.last + 1)


def _is_list(lines: Sequence[str]) -> bool:
    """Whether what stands in an element is several things: items, or elements of one name."""
    opened = [tag["name"] for line in lines if (tag := TAG.fullmatch(line)) is not None and not tag["slash"]]
    items = sum(_ITEM.match(line) is not None for line in lines)
    return max([items, *Counter(opened).values()]) > 1


def _fenced(lines: Sequence[str]) -> set[int]:
    """The rows of fenced blocks; one that is not closed here may be closed by a line that is no part of the change."""
    found: set[int] = set()
    in_fence = False
    for row, line in enumerate(lines):
        is_mark = _FENCE.match(line) is not None
        if in_fence or is_mark:
            found.add(row)
        in_fence = in_fence != is_mark
    return found


def _begins(piece: Sequence[str], line: str) -> bool:
    """Whether a line that follows a piece directly begins another."""
    first = next(one for one in piece if one.strip())
    last = piece[-1]
    if indent(line) > indent(first):
        return False
    if _ITEM.match(line):
        return True
    if _LABELLED.match(last) and _LABELLED.match(line):
        return False
    if not _OPENS_SENTENCE.match(line.strip()) and not _opens_element(line):
        return False
    if _SENTENCE_END.search(last):
        return True
    return len(last) < _WRAPPED and last.rstrip()[-1] not in ",:;-"


def _opens_element(line: str) -> bool:
    tag = TAG.fullmatch(line)
    return tag is not None and not tag["slash"]


def indent(line: str) -> int:
    """By how many characters a line is indented."""
    return len(line) - len(line.lstrip())
