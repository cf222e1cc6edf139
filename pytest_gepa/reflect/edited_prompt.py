"""A prompt to edit, found again in the messages that it is part of: its text stands in the request already."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pytest_gepa.prompts.placeholders import literal_segments

_INLINE_LEAST = 60
"""A shorter prompt, or part of one, is not looked for inside longer messages: it may stand there by chance."""

_SEGMENTS = 8
"""So many pieces of the prompt, the longest, are looked for in a request."""


class EditedPrompt:
    """One prompt to edit."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self._segments = sorted(literal_segments(text), key=len, reverse=True)[:_SEGMENTS]
        lines = text.split("\n")
        # As `str.format` makes them of what the file says.
        lines += [line.replace("{{", "{").replace("}}", "}") for line in lines]
        self._lines = frozenset(line.strip() for line in lines if line.strip())

    def taken_from(self, text: str) -> str:
        """The text with a reference in place of the whole prompt, or of the lines in a row that are the prompt's."""
        if len(self._text) < _INLINE_LEAST:
            return text
        if self._text in text:
            return text.replace(self._text, f"(the text of {self._name})")
        told: list[str] = []
        for is_own, lines in groupby(text.split("\n"), key=self._is_own):
            run = list(lines)
            is_long = is_own and sum(map(len, run)) >= _INLINE_LEAST
            told += [f"(lines of {self._name}, as above)"] if is_long else run
        return "\n".join(told)

    def _is_own(self, line: str) -> bool:
        return not line.strip() or line.strip() in self._lines

    def is_in(self, contents: Sequence[str]) -> bool:
        """Whether half of its longest pieces are in these texts."""
        seen = sum(any(segment in content for content in contents) for segment in self._segments)
        return bool(self._segments) and 2 * seen >= len(self._segments)
