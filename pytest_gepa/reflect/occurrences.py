"""Where thousands of texts stand in another, which may be of megabytes: it is read once for all of them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

LEAST = 4
"""Shorter texts are not looked for."""

_HEADS = (LEAST, 12, 48, 192, 4096)
"""A text is filed under its beginning, a long one under a long beginning: letters may all begin alike."""

_NUMBER = re.compile(r"[-+]?\d[\d.,_]*")


class Occurrence(NamedTuple):
    """Where one of the texts stands."""

    start: int
    end: int
    text: str


class Occurrences:
    """Finds where any of these texts stands, however they overlap; of those that begin at one place the longest.

    A number is not found within another one.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._shelves: dict[str, _Shelf] = {}
        for text in sorted(set(texts)):
            heads = [text[:size] for size in _HEADS if size <= len(text)]
            for head in heads:
                shelf = self._shelves.setdefault(head, _Shelf())
                if head is heads[-1]:
                    shelf.add(text)
        self._first = frozenset(head for head in self._shelves if len(head) == LEAST)

    def find(self, text: str) -> Iterator[Occurrence]:
        """Where they stand, in order."""
        first = self._first
        for at in [at for at in range(len(text) - LEAST + 1) if text[at : at + LEAST] in first]:
            found = self._longest(text, at)
            if found is not None:
                yield Occurrence(at, at + len(found), found)

    def _longest(self, text: str, at: int) -> str | None:
        found: str | None = None
        for size in _HEADS:
            shelf = self._shelves.get(text[at : at + size])
            if shelf is None:
                break
            found = shelf.longest(text, at) or found
        return found


@dataclass(slots=True)
class _Shelf:
    """Texts that begin alike, in order, each with the longest other one that it begins with."""

    texts: list[str] = field(default_factory=list)
    shorter: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, text: str) -> None:
        """Add a text that comes after all others."""
        at = len(self.texts) - 1
        while at >= 0 and not text.startswith(self.texts[at]):
            at = self.shorter[at]
        self.texts.append(text)
        self.shorter.append(at)
        self.size = max(self.size, len(text))

    def longest(self, text: str, start: int) -> str | None:
        """The longest of the texts that stands at `start`."""
        # It is the last one that is not behind what stands there, or one that this begins with.
        at = bisect_right(self.texts, text[start : start + self.size]) - 1
        while at >= 0 and not _stands_at(text, start, self.texts[at]):
            at = self.shorter[at]
        return self.texts[at] if at >= 0 else None


def _stands_at(text: str, start: int, one: str) -> bool:
    if not text.startswith(one, start):
        return False
    end = start + len(one)
    if not (text[end : end + 1].isdecimal() or text[start - 1 : start].isdecimal()):
        return True
    return _NUMBER.fullmatch(one) is None
