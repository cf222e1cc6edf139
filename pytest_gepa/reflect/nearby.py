"""What a long text says about the codes and numbers of a case: the row of a table that a question is about, say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from pytest_gepa.trace.spans import joined

LEAST = 2_000
"""Characters of a text that is short enough to be read as a whole."""

MOST = 1_200
"""Characters of all passages, at most."""

_AROUND = 120
_OFTEN = 5
"""A code that stands in the text more often tells no place in it."""

_CODES = 200
_WORD = re.compile(r"\w+(?:[./:-]+\w+)*")


def nearby(text: str, about: str) -> str:
    """Return the passages of a long text around what of `about` has digits in it; "" where there are none."""
    if len(text) < LEAST:
        return ""
    wanted = dict.fromkeys(word.group() for word in _codes(about))
    if not wanted:
        return ""
    places: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for word in _codes(text):
        places[word.group()].append(word.span())
    spans = [
        (max(0, start - _AROUND), end + _AROUND)
        for code in list(wanted)[:_CODES]
        if len(places.get(code, ())) <= _OFTEN
        for start, end in places.get(code, ())
    ]
    passages: list[str] = []
    room = MOST
    for start, end in joined(spans):
        if room <= 0:
            break
        passages.append(text[start : min(end, start + room)].strip("\n"))
        room -= end - start
    return "\n...\n".join(passages)


def _codes(text: str) -> Iterator[re.Match[str]]:
    """The words of three signs and more with a digit in them."""
    for word in _WORD.finditer(text):
        if len(word.group()) > 2 and any(sign.isdigit() for sign in word.group()):
            yield word
