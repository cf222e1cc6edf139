"""Hunks: how one text differs from another, in parts that can be taken back one by one. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+\S")
_FENCE = re.compile(r"\s*(?:```(?!.*`)|~~~)")
_LABELLED = re.compile(r"\s*[\w*][\w* ]{0,30}:(?:\s|$)")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)`*_]{0,3}\s*$")
_OPENS_SENTENCE = re.compile(r"[\"'“‘(`*_]{0,3}[^\Wa-z_]")
_WRAPPED = 60
"""A line of so many characters that ends no sentence was wrapped: the next one goes on with it."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `start` to `end` (from 0, end excluded) of a text, `old`, in whose place stands `new`."""

    start: int
    end: int
    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What is changed, `- removed` and `+ added`, without blank lines."""
        return tuple(
            f"{sign} {line}"
            for sign, lines in (("-", self.old), ("+", self.new))
            for line in lines
            if line.strip()
        )


def find_hunks(
    before: str, after: str, wholes: Iterable[str] = (), *, divide: bool = True
) -> tuple[Hunk, ...]:
    """Return the hunks that make `after` of `before`, in order.

    A block of added lines is divided where a rule, an item or a paragraph begins, unless `divide` is false, as for
    programs. None of the texts `wholes` (examples) is divided.
    """
    if before.endswith("\n") and after.endswith("\n"):
        # Nothing stands in the line after the last line end, so no blank line is to be taken for it.
        before, after = before[:-1], after[:-1]
    old, new = before.split("\n"), after.split("\n")
    kept_whole = [text.split("\n") for text in wholes if text.strip()]
    found: list[Hunk] = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if divide:
            found += _divided(i, old[i:j], new[k:m], kept_whole)
        else:
            found.append(Hunk(i, j, tuple(old[i:j]), tuple(new[k:m])))
    return tuple(found)


def with_hunks(before: str, hunks: Iterable[Hunk]) -> str:
    """Return `before` with these of its hunks, which are in the order in which they were found."""
    old = before.split("\n")
    lines: list[str] = []
    position = 0
    for hunk in hunks:
        lines += [*old[position : hunk.start], *hunk.new]
        position = hunk.end
    return "\n".join([*lines, *old[position:]])


def pieces(lines: Sequence[str], wholes: Sequence[list[str]] = ()) -> list[list[str]]:
    """Divide lines where something of its own begins: a rule, an item, a paragraph; the lines of an example, each with
    a label, stay together, and none of the texts `wholes` is divided. Blank lines go with what follows, the last with
    what precedes.
    """
    together = _inside(lines, wholes)
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


def _divided(start: int, old: list[str], new: list[str], wholes: Sequence[list[str]]) -> Iterator[Hunk]:
    """The hunks of one changed block: old pieces are paired with the new ones that take their places."""
    olds, news = pieces(old), pieces(new, wholes)
    if len(olds) == 1 and len(news) > 1:
        likeness = [SequenceMatcher(None, "\n".join(old), "\n".join(piece)).ratio() for piece in news]
        at = likeness.index(max(likeness))
        olds = [[] for _ in news]
        olds[at] = old
    elif not olds:
        olds = [[] for _ in news]
    elif not news:
        news = [[] for _ in olds]
    elif len(olds) != len(news):
        olds, news = [old], [new]
    for before, after in zip(olds, news, strict=True):
        yield Hunk(start, start + len(before), tuple(before), tuple(after))
        start += len(before)


def _inside(lines: Sequence[str], wholes: Sequence[list[str]]) -> Collection[int]:
    """The rows that go on with the one before, as one of the texts that stay whole stands there."""
    return {
        row + more
        for whole in wholes
        for row in range(len(lines) - len(whole) + 1)
        if list(lines[row : row + len(whole)]) == whole
        for more in range(1, len(whole))
    }


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
    if not _OPENS_SENTENCE.match(line.strip()):
        return False
    if _SENTENCE_END.search(last):
        return True
    return len(last) < _WRAPPED and last.rstrip()[-1] not in ",:;-"


def indent(line: str) -> int:
    """By how many characters a line is indented."""
    return len(line) - len(line.lstrip())
