"""What a long text says about the codes and numbers of a case: the row of a table that a question is about, say."""

from __future__ import annotations

import re

LEAST = 2_000
"""Characters of a text that is short enough to be read as a whole."""

_AROUND = 120
_MOST = 10
_OFTEN = 5
"""A code that stands in the text more often tells no place in it."""

_CODE = re.compile(r"\w[\w./:-]*\d[\w./:-]*\w|\d{3,}")


def nearby(text: str, about: str) -> str:
    """Return the passages of a long text around what of `about` has digits in it; "" where there are none."""
    if len(text) < LEAST:
        return ""
    spans: list[tuple[int, int]] = []
    for code in dict.fromkeys(_CODE.findall(about)):
        places = [found.start() for found in re.finditer(rf"(?<!\w){re.escape(code)}(?!\w)", text)]
        if len(code) > 2 and len(places) <= _OFTEN:
            spans += [(max(0, at - _AROUND), at + len(code) + _AROUND) for at in places]
    passages = [text[start:end].strip("\n") for start, end in _joined(spans)[:_MOST]]
    return "\n...\n".join(passages)


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
