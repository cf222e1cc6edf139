"""Fenced blocks of a Markdown text, by CommonMark's rules, save that one which is never closed is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPENING = re.compile(r"(?P<indent> {0,3})(?:(?P<ticks>`{3,})[^`]*|(?P<tildes>~{3,}).*)")


def opening_marks(line: str) -> str:
    """The marks by which a line opens a fenced block, "" if it opens none: a run of code in backticks does not."""
    found = _OPENING.fullmatch(line)
    return "" if found is None else found["ticks"] or found["tildes"]


def closes(line: str, marks: str) -> bool:
    """Whether a line closes the block that was opened by these marks."""
    run = line.strip()
    indent = len(line) - len(line.lstrip(" "))
    return len(run) >= len(marks) and not run.strip(marks[0]) and indent <= 3


def fenced_rows(lines: Sequence[str]) -> frozenset[int]:
    """The rows, from 0, of all fenced blocks, with those of their fences."""
    found: set[int] = set()
    row = 0
    while row < len(lines):
        marks = opening_marks(lines[row])
        end = (
            next((at for at in range(row + 1, len(lines)) if closes(lines[at], marks)), None)
            if marks
            else None
        )
        if end is not None:
            found.update(range(row, end + 1))
            row = end
        row += 1
    return frozenset(found)
