"""What of a request is a case's own, and what stands in today's prompts, one of which it may fill in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pytest_gepa.prompts import fragments
from pytest_gepa.prompts.placeholders import literal_segments

LEAST_LINE = 20
"""So many characters of a line of a prompt, up to a placeholder, stand in no input by chance."""


class Today:
    """The fragments of today's prompts, all together."""

    def __init__(self, texts: Sequence[str]) -> None:
        text = f"\n{fragments.BREAK}\n".join(texts)
        listed = fragments.words(text)
        self.words = frozenset(listed)
        self.joined = fragments.joined(listed)
        self.numbers = frozenset({*fragments.numbers(text), *fragments.numbers_in_codes(text)})
        self.codes = frozenset(fragments.codes(text))
        self.uncapitalised = frozenset(fragments.uncapitalised(text))
        self._lines = frozenset(_lines(texts))

    def is_filled_in(self, sent: str) -> bool:
        """Whether one of the prompts was filled in to what was sent (as words): a line of it stands there."""
        return any(line in sent for line in self._lines)


def as_words(text: str) -> str:
    """A text as words, by which it is found again however it is spaced and spelt."""
    return fragments.joined(fragments.words(text))


def in_order(sent: str, parts: Iterable[str]) -> list[str]:
    """The parts that stand in what was sent, in its order, all of them as words. One that stands nowhere but inside of
    another is left out.
    """
    found: list[tuple[int, str]] = []
    for part in sorted(dict.fromkeys(parts), key=len, reverse=True):
        at = sent.find(part)
        if at >= 0:
            found.append((at, part))
            # The spaces at its ends are those of its neighbours, too.
            sent = f"{sent[: at + 1]}{fragments.BREAK * (len(part) - 2)}{sent[at + len(part) - 1 :]}"
    return [part for _, part in sorted(found)]


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of prompts that reach a model as they stand, as words."""
    for text in texts:
        for piece in literal_segments(text, LEAST_LINE):
            line = as_words(piece)
            if len(piece.strip()) >= LEAST_LINE and line.strip():
                yield line
