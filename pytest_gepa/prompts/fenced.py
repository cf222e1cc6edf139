"""Fenced blocks of a Markdown text, by CommonMark's rules, save that one which is never closed is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPENING = re.compile(r" {0,3}(?:(?P<ticks>`{3,})[^`]*|(?P<tildes>~{3,}).*)")
_BARE = re.compile(r" {0,3}(?P<marks>`{3,}|~{3,})[ \t\r]*")


def fenced_rows(lines: Sequence[str]) -> frozenset[int]:
    """The rows, from 0, of all fenced blocks, with those of their fences."""
    bare = [(row, mark["marks"]) for row, line in enumerate(lines) if (mark := _BARE.fullmatch(line)) is not None]
    found: set[int] = set()
    row = 0
    while row < len(lines):
        marks = _opening_marks(lines[row])
        if marks:
            end = next((at for at, closing in bare if at > row and closing.startswith(marks)), row)
            found.update(range(row, end + 1) if end > row else ())
            row = end
        row += 1
    return frozenset(found)


def _opening_marks(line: str) -> str:
    """The marks by which a line opens a fenced block, "" if it opens none, as a run of code in backticks does not."""
    found = _OPENING.fullmatch(line)
    return "" if found is None else found["ticks"] or found["tildes"]
