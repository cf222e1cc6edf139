"""Protected regions: what a person has marked with `gepa: keep` in a comment, which no edit may touch.

A region opens with a comment that says `gepa: keep` and nothing else, and ends with one that says `gepa: end`, or
at the end of the text. Its markers belong to it. A comment is what the text's format makes one:

- `<!-- ... -->`, `{# ... #}`, `{{! ... }}`, `{{!-- ... --}}`, `<%# ... %>`, `/* ... */`, anywhere in a line;
- `#`, `//`, `;`, `--` or `%` at the start of a line, to its end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_gepa.errors import PromptError

_OPENING = r"<!--|\{#-?|\{\{!(?:--)?|<%#|/\*"
_CLOSING = r"-->|-?#\}|(?:--)?\}\}|%>|\*/"
_MARKER = re.compile(
    rf"(?:{_OPENING})[ \t]*gepa:[ \t]*(?P<inside>[^\n]*?)[ \t]*(?:{_CLOSING})"
    r"|^[ \t]*(?:#+|//+|;+|--+|%+)[ \t]*gepa:[ \t]*(?P<line>[^\n]*?)[ \t]*$",
    re.MULTILINE,
)
_UNCLOSED = re.compile(rf"(?:{_OPENING})[ \t]*gepa:")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Region:
    """A protected span of a text, from the start of its first marker; `is_open` says that it runs to the end."""

    start: int
    end: int
    is_open: bool = False


def protected_regions(text: str) -> tuple[Region, ...]:
    """Return the regions in order. Raises `PromptError`, naming the line, for markers that make no region."""
    regions: list[Region] = []
    opened: re.Match[str] | None = None
    closed_at: set[int] = set()
    for marker in _MARKER.finditer(text):
        closed_at.add(marker.start())
        word = marker["inside"] if marker["inside"] is not None else marker["line"]
        if word == "keep" and opened is None:
            opened = marker
        elif word == "end" and opened is not None:
            regions.append(Region(opened.start(), marker.end()))
            opened = None
        else:
            raise PromptError(_malformed(text, marker.start(), word))
    for opening in _UNCLOSED.finditer(text):
        if opening.start() not in closed_at:
            raise PromptError(f"line {_line(text, opening.start())}: a comment with gepa: is not closed")
    if opened is not None:
        regions.append(Region(opened.start(), len(text), is_open=True))
    return tuple(regions)


def kept(text: str) -> tuple[str, ...]:
    """Return what stands in each region, markers included. Raises `PromptError`."""
    return tuple(text[region.start : region.end] for region in protected_regions(text))


def editable_end(text: str) -> int:
    """Return where the part ends to which an addition may be made: the text's end, or that before an open region.

    A text with malformed markers has no region here.
    """
    try:
        regions = protected_regions(text)
    except PromptError:
        return len(text)
    return regions[-1].start if regions and regions[-1].is_open else len(text)


def protected_lines(text: str) -> tuple[tuple[int, int], ...]:
    """Return the first and last line of each region, counted from 1. Raises `PromptError`."""
    return tuple(
        (_line(text, region.start), _line(text, max(region.start, len(text[: region.end].rstrip("\n")) - 1)))
        for region in protected_regions(text)
    )


def protection_problem(original: str, text: str) -> str | None:
    """Return why an edited `text` harms the regions of today's text, `original`, or None.

    Every region must be there byte for byte, in order, and no other: only a person may protect a passage.
    """
    before = kept(original)
    try:
        after = kept(text)
    except PromptError:
        return "protected region: the comments with gepa: keep and gepa: end must stay as they are"
    if before == after:
        return None
    if not before:
        return "protected region: comments with gepa: are a person's to write, leave them out"
    return f"protected region: {told(protected_lines(original))} must stay as they are, to the letter"


def told(lines: Sequence[tuple[int, int]]) -> str:
    """Return line numbers in words: `lines 3 to 7 and 12`."""
    spans = [f"{first} to {last}" if last > first else f"{first}" for first, last in lines]
    return f"lines {' and '.join(spans)}"


def _malformed(text: str, position: int, word: str) -> str:
    line = _line(text, position)
    if word == "keep":
        return f"line {line}: gepa: keep stands inside a region that is protected already; close that with gepa: end"
    if word == "end":
        return f"line {line}: gepa: end closes nothing; put gepa: keep before what is to stay"
    return f"line {line}: a comment says gepa: {word[:_SHOWN]}; known are gepa: keep and gepa: end"


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def check_markers(originals: Mapping[str, str]) -> None:
    """Raise `PromptError`, naming the component and the line, for malformed markers of protected regions."""
    for component, text in originals.items():
        try:
            kept(text)
        except PromptError as error:
            raise PromptError(f"{component}: {error}") from None
