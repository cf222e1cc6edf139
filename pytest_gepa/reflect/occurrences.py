"""Where thousands of texts stand in another, which may be of megabytes: it is read once for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LEAST = 4
"""Characters of a text that is looked for."""

_HEADS = (192, 48, 12, LEAST)
"""A text is filed under its beginning, a long one under a long beginning: letters may all begin alike."""


class Occurrence(NamedTuple):
    """Where one of the texts stands."""

    start: int
    end: int
    text: str


class Occurrences:
    """Finds where any of these texts stands, however they overlap; of those that begin at one place the longest."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._filed: dict[str, list[str]] = defaultdict(list)
        for text in sorted(set(texts), key=lambda text: (-len(text), text)):
            self._filed[_head(text)].append(text)
        self._first = frozenset(head[:LEAST] for head in self._filed)
        # Most of what begins like a long text ends to be like it within a word or two.
        self._second = frozenset(head if len(head) == LEAST else head[: _HEADS[-2]] for head in self._filed)

    def find(self, text: str) -> Iterator[Occurrence]:
        """Where they stand, in order."""
        first, second, size = self._first, self._second, _HEADS[-2]
        for at in [at for at in range(len(text) - LEAST + 1) if text[at : at + LEAST] in first]:
            if text[at : at + size] in second or text[at : at + LEAST] in second:
                found = self._longest(text, at)
                if found is not None:
                    yield Occurrence(at, at + len(found), found)

    def _longest(self, text: str, at: int) -> str | None:
        for size in _HEADS:
            for one in self._filed.get(text[at : at + size], ()):
                if text.startswith(one, at):
                    return one
        return None


def _head(text: str) -> str:
    return text[: next(size for size in _HEADS if len(text) >= size)]
