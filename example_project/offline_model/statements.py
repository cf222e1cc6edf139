"""What a prompt states: its sentences and list items, and how one of them is recognised as a convention."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

ATTENTION_WORDS = 380
"""A prompt is followed up to this many words; what stands after them is lost on the model."""

_BULLET = re.compile(r"\s*(?:[-*•]|\d+[.)])\s+")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=[A-Z\"'`(*])")


@dataclass(frozen=True, slots=True)
class Convention:
    """A convention of the desk, or a mistaken idea of one, that a prompt may state.

    A statement is recognised by words: each pattern of `says` must be found in it and `unsaid` must not be.
    `careful` holds further patterns that make it the careful form, which names the exception. `wordings` and
    `careful_wordings` are how an editor would put it. `gap` and `overdone` are what one says of a prompt that
    lacks the convention, or states it without its exception. A mistaken idea has in `lesson_of` the keys of
    the conventions whose cases might suggest it, and in `mended_by` the one that it stands in for.
    """

    key: str
    stage: str
    says: tuple[str, ...]
    wordings: tuple[str, ...]
    gap: str = ""
    unsaid: str = ""
    careful: tuple[str, ...] = ()
    careful_wordings: tuple[str, ...] = ()
    overdone: str = ""
    lesson_of: tuple[str, ...] = ()
    mended_by: str = ""


def form_in(convention: Convention, statement: str) -> str:
    """How a statement puts a convention: "plain", "careful", or "" when it does not."""
    words = statement.lower()
    if not all(re.search(pattern, words) for pattern in convention.says):
        return ""
    if convention.careful and all(re.search(pattern, words) for pattern in convention.careful):
        return "careful"
    return "" if convention.unsaid and re.search(convention.unsaid, words) else "plain"


def statements(prompt: str) -> Iterator[str]:
    """The statements of a prompt: each list item whole, and each sentence of a paragraph."""
    for block, is_item in _blocks(prompt):
        if is_item:
            yield block
        else:
            yield from _SENTENCE.split(block)


def attended(prompt: str) -> str:
    """The part of a prompt that the model still has in mind when it answers."""
    words = list(re.finditer(r"\S+", prompt))
    return prompt if len(words) <= ATTENTION_WORDS else prompt[: words[ATTENTION_WORDS - 1].end()]


def _blocks(prompt: str) -> Iterator[tuple[str, bool]]:
    lines: list[str] = []
    is_item = False
    for line in [*prompt.splitlines(), ""]:
        bullet = _BULLET.match(line)
        if (bullet or not line.strip()) and lines:
            yield " ".join(lines), is_item
            lines = []
        if bullet:
            is_item = True
            lines = [line[bullet.end() :].strip()]
        elif line.strip():
            is_item = is_item and bool(lines)
            lines.append(line.strip())
