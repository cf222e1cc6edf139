"""Markup that stands alone on its lines: the tags of XML elements, and whether one is left without the other. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pytest_gepa.prompts.fenced import fenced_rows

ANY_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[A-Za-z][\w.-]{0,60})(?: [^<>\n]*)?(?<!/)>")
"""A tag, wherever it stands; one that closes itself (`<br />`) is none."""

TAG = re.compile(rf"[ \t]*{ANY_TAG.pattern}[ \t\r]*")
"""A line that is a tag and nothing else."""

_FENCE_MARKS = re.compile(r"`{3,}|~{3,}")
_FENCE = re.compile(r" {0,3}(?:`{3,}|~{3,})[ \t]*[\w+#.-]*[ \t\r]*")


class Element(NamedTuple):
    """An element whose tags stand alone on the rows `first` and `last`, counted from 0."""

    name: str
    first: int
    last: int


def elements(lines: Sequence[str]) -> list[Element]:
    """Return the elements whose two tags stand alone on their lines, by their ends; what stands in fences is no tag."""
    fenced = fenced_rows(lines)
    found: list[Element] = []
    opened: list[tuple[str, int]] = []
    for row, line in enumerate(lines):
        if row in fenced or (tag := TAG.fullmatch(line)) is None:
            continue
        if not tag["slash"]:
            opened.append((tag["name"], row))
            continue
        at = next((at for at in reversed(range(len(opened))) if opened[at][0] == tag["name"]), None)
        if at is not None:
            found.append(Element(tag["name"], opened[at][1], row))
            del opened[at:]
    return found


def markup_problem(original: str, parent: str, text: str) -> str | None:
    """Return why `text`, made by editing `parent`, leaves a fence or a tag on a line of its own without the other, or
    None. `original` is today's text.

    Nothing is said of what did not pair up before, nor of a new tag that is only opened: an answer may be asked to
    begin with it.
    """
    before, after, today = (_Marks.of(one) for one in (parent, text, original))
    if after.has_open_fence and not before.has_open_fence:
        return "markup broken: a fence stands alone; a block has a line of marks above it and one below"
    for name, surplus in after.alone.items():
        # A tag that has moved into a line is not lost, and one that is spoken of there opens nothing.
        is_new = not before.alone[name] and surplus * (after.anywhere[name] - before.anywhere[name]) > 0
        if is_new and (surplus < 0 or name in before.alone or name in today.alone):
            told = f"</{name}> closes nothing" if surplus < 0 else f"<{name}> is never closed"
            return f"markup broken: {told}; write both tags of an element, or none"
    return None


class _Marks(NamedTuple):
    """How many more tags of each name open an element than close one: those `alone` on their lines, and those
    `anywhere`.
    """

    alone: Counter[str]
    anywhere: Counter[str]
    has_open_fence: bool

    @classmethod
    def of(cls, text: str) -> _Marks:
        lines = text.split("\n")
        fenced = fenced_rows(lines)
        alone: Counter[str] = Counter()
        anywhere: Counter[str] = Counter()
        for row, line in enumerate(lines):
            for tag in ANY_TAG.finditer(line) if row not in fenced else ():
                step = -1 if tag["slash"] else 1
                anywhere[tag["name"]] += step
                if TAG.fullmatch(line) is not None:
                    alone[tag["name"]] += step
        fences = [row for row, line in enumerate(lines) if _FENCE.fullmatch(line) is not None]
        # Models put one block into another with the same marks, or begin one behind a text: they pair up all the same.
        is_odd = len(_FENCE_MARKS.findall(text)) % 2 > 0
        has_open_fence = is_odd and len(fences) % 2 > 0 and not fenced.issuperset(fences)
        return cls(alone, anywhere, has_open_fence)
