"""An edit in short: the lines that it changed. Pure."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence

from pytest_gepa.cut import cut

CHARACTERS = 400
_LINE = 160
_INDENT = 24
"""Most characters of a summary, of a line in it, and of what a line is indented by."""

_AROUND = 30
"""Characters that are shown before and after what differs in a long line."""

_SHARE_OF_REMOVED = 3
"""What was taken out may have a third of the room, and what is left by what was put in."""

_ALL_CHARACTERS = 4_000
_WHOLE_LINE = 1_000
"""The same of all that was changed."""


def summarize(before: str, after: str, characters: int = CHARACTERS, *, in_part: bool = False) -> str:
    """The changed lines, `- removed` and `+ added`, in about so many characters at most. Where there is no room for
    all, most of it is for what was added.

    Of a long line the beginning is shown, or `in_part` where it differs: then a line of a secret over several lines is
    not known for one any more.
    """
    return _changed(before, after, characters, _LINE, in_part=in_part)


def all_changes(before: str, after: str) -> str:
    """The changed lines as `summarize` has them, but whole and as many as 4,000 characters hold."""
    return _changed(before, after, _ALL_CHARACTERS, _WHOLE_LINE)


def _changed(before: str, after: str, characters: int, longest: int, *, in_part: bool = False) -> str:
    lines = [
        f"{sign} {_indent(line)}{one_line(line, longest)}"
        for sign, line in _differing(before.split("\n"), after.split("\n"), longest if in_part else sys.maxsize)
        if line.strip()
    ]
    removed = sum(len(line) + 1 for line in lines if line.startswith("-"))
    room = {"-": max(characters // _SHARE_OF_REMOVED, characters - _length(lines) + removed)}
    room["+"] = characters - min(room["-"], removed)
    shown: list[str] = []
    for line in lines:
        room[line[0]] -= len(line) + 1
        if room[line[0]] >= 0:
            shown.append(line)
        else:
            room[line[0]] = 0
    left = len(lines) - len(shown)
    return "\n".join([*shown, *([f"({left} more changed lines)"] if left else [])])


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _differing(before: list[str], after: list[str], longest: int) -> Iterator[tuple[str, str]]:
    """The lines taken out and put in, in order; of long ones that stand for each other the part that differs."""
    matcher = difflib.SequenceMatcher(None, before, after)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        old, new = before[start:end], after[new_start:new_end]
        if len(old) == len(new):
            pairs = [_where_they_differ(one, other, longest) for one, other in zip(old, new, strict=True)]
            old, new = [one for one, _ in pairs], [other for _, other in pairs]
        yield from (("-", line) for line in old)
        yield from (("+", line) for line in new)


def _where_they_differ(old: str, new: str, longest: int) -> tuple[str, str]:
    """Two lines without most of what they begin and end with alike, where one of them is long."""
    if max(len(old), len(new)) <= longest:
        return old, new
    start = agreement(old, new)
    end = min(min(len(old), len(new)) - start, agreement(old[::-1], new[::-1]))
    head = max(0, start - _AROUND)
    tail = max(0, end - _AROUND)
    shown = [f"{'... ' if head else ''}{line[head : len(line) - tail]}{' ...' if tail else ''}" for line in (old, new)]
    return shown[0], shown[1]


def agreement(one: str, other: str) -> int:
    """How many first characters two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _indent(line: str) -> str:
    line = line.expandtabs(4)
    return " " * min(_INDENT, len(line) - len(line.lstrip(" ")))


def one_line(text: str, most: int = 300) -> str:
    """The text for a heading or label: printable, on one line, not longer than `most` characters."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 2 * most]).split())
    return cut(flat, most)
