"""Where an addition goes that names no place: to the end, but not behind the input that is filled in there."""

from __future__ import annotations

import re
from itertools import groupby

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, JINJA, SQUARE, placeholders, syntax
from pytest_gepa.prompts.protected import protected_regions

_FILLED_IN = frozenset({FORMAT, JINJA, DOLLAR, SQUARE})
_BLOCK_TAGS = ("{%", "{{#", "{{/", "<%")
# A line that belongs to what comes behind it: a heading, a name and a colon, a tag or a fence that opens.
_LEADS_IN = re.compile(r"#{1,6}\s.*|.*:|<[^</>]+>|```.*|[-*_]{3,}|\"{3}|'{3}")


def addition_place(text: str) -> int:
    """Return the position before which an addition to `text` goes: its end, or the start of the last paragraphs where
    these are filled in (`Text: {text}`), with what leads in to them.

    A single paragraph is added to at its end unless that calls for the answer (`Date:`). Nothing goes into a block of
    template code or into a protected region.
    """
    names = {name for name in placeholders(text) if syntax(name) in _FILLED_IN}
    paragraphs = _paragraphs(text) if names else []
    is_filled = [not names.isdisjoint(placeholders(paragraph)) for _, paragraph in paragraphs]
    if not is_filled or not is_filled[-1]:
        return len(text)
    first = len(paragraphs) - 1
    while first and is_filled[first - 1]:
        first -= 1
    if not first:
        first = len(paragraphs) - 1  # all are filled in: what the text is about stands above its last one
    start = first
    while first and _leads_in(paragraphs[first - 1][1]):
        first -= 1
    calls = _leads_in(paragraphs[-1][1])
    place = paragraphs[first][0]
    is_alone = first == 0 and start == 0 and not calls
    if is_alone or text.startswith("---") or any(tag in text[place:] for tag in _BLOCK_TAGS):
        return len(text)
    return len(text) if _is_protected(text, place) else place


def _paragraphs(text: str) -> list[tuple[int, str]]:
    """The lines between blank ones, joined, each with the position at which it begins."""
    rows: list[tuple[int, str]] = []
    position = 0
    for line in text.split("\n"):
        rows.append((position, line))
        position += len(line) + 1
    groups = (list(group) for _, group in groupby(rows, key=lambda row: bool(row[1].strip())))
    return [(group[0][0], "\n".join(line for _, line in group)) for group in groups if group[0][1].strip()]


def _leads_in(paragraph: str) -> bool:
    return _LEADS_IN.fullmatch(paragraph.rsplit("\n", 1)[-1].strip()) is not None


def _is_protected(text: str, place: int) -> bool:
    try:
        regions = protected_regions(text)
    except PromptError:
        return False
    return any(region.start < place < region.end for region in regions)
