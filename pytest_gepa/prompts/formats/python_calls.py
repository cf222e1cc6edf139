"""Calls around a string constant that change it before anyone reads it: `dedent`, `cleandoc` and the `strip` methods.

Each can be undone: what must stand in the source, so that the call makes a given text of it."""

from __future__ import annotations

import inspect
import textwrap
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Protocol

from pytest_gepa.prompts.formats.document import FormatError

STRIPS = ("strip", "lstrip", "rstrip")


class Wrapper(Protocol):
    """A call around a text."""

    def apply(self, text: str) -> str:
        """What the call makes of a text."""

    def undo(self, old: str, text: str) -> str:
        """What to write in place of `old` for the call to make `text` of it; raises `FormatError` if nothing does."""


@dataclass(frozen=True, slots=True)
class Strip:
    """`.strip()`, `.lstrip()` or `.rstrip()`, with the characters that it takes off; None for white space."""

    method: str
    characters: str | None

    def apply(self, text: str) -> str:
        """What the method makes of a text."""
        stripped: str = getattr(text, self.method)(self.characters)
        return stripped

    def undo(self, old: str, text: str) -> str:
        """Put back what stood at the ends."""
        kept = self.apply(old)
        start = old.index(kept)
        return _checked(self, old[:start] + text + old[start + len(kept) :], text, f".{self.method}()")


@dataclass(frozen=True, slots=True)
class Dedent:
    """`textwrap.dedent(...)`."""

    def apply(self, text: str) -> str:
        """The text without the indentation that all its lines share."""
        return textwrap.dedent(text)

    def undo(self, old: str, text: str) -> str:
        """Indent the lines that are new as the old ones are."""
        before, kept, after = old.split("\n"), self.apply(old).split("\n"), text.split("\n")
        margin = next(
            (line[: len(line) - len(short)] for line, short in zip(before, kept, strict=True) if short.strip()),
            "",
        )
        # The line before the closing quotes keeps its indentation, which is no blank line between paragraphs.
        closing = [before.pop()] if not kept[-1] and not after[-1] else []
        if closing:
            kept, after = kept[:-1], after[:-1]
        made: list[str] = []
        for tag, i, j, k, m in SequenceMatcher(None, kept, after, autojunk=False).get_opcodes():
            new = [margin + line if line.strip() else "" for line in after[k:m]]
            made += before[i:j] if tag == "equal" else new
        made += closing
        return _checked(self, "\n".join(made), text, "dedent()")


@dataclass(frozen=True, slots=True)
class CleanDoc:
    """`inspect.cleandoc(...)`, which is also what every reader does to a docstring."""

    def apply(self, text: str) -> str:
        """The text without blank lines around it and without the indentation below its first line."""
        return inspect.cleandoc(text)

    def undo(self, old: str, text: str) -> str:
        """Indent the lines as the old ones are, and put the blank lines around them back."""
        lines = old.split("\n")
        filled = [number for number, line in enumerate(lines) if line.strip()] or [0]
        first, last = filled[0], filled[-1]
        below = [line for line in lines[max(first, 1) :] if line.strip()]
        margin = min((line[: len(line) - len(line.lstrip())] for line in below), key=len, default="")
        made = [margin + line if line else "" for line in text.split("\n")]
        if first == 0:
            head = lines[0]
            made[0] = head[: len(head) - len(head.lstrip())] + made[0][len(margin) :]
        return _checked(self, "\n".join([*lines[:first], *made, *lines[last + 1 :]]), text, "cleandoc()")


def _checked(wrapper: Wrapper, source: str, text: str, call: str) -> str:
    if wrapper.apply(source) == text:
        return source
    if wrapper.apply(text) != text:
        raise FormatError(
            f"{call} around the constant would change the new text: leave out white space at its ends, on blank "
            "lines, and in front of all of its lines"
        )
    return text
