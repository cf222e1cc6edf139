"""Escaping the signs by which a prompt is filled in, in what an edit adds: `{"a": 1}` is `{{"a": 1}}` to `str.format`.

A reflection model, or a case that is taken as an example, gives the words that the task model shall read. Where the
application fills the prompt in, the file has to spell them so.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, PRINTF

_SIGNS = {FORMAT: "{}", DOLLAR: "$", PRINTF: "%"}


def escaped(text: str, parent: str, fields: Collection[str], syntax: str, *, is_raw: bool = False) -> str:
    """Return `text`, which is to become part of `parent`, with the signs of its `syntax` doubled.

    Left as they are: `fields` that it is to be filled in at, lines that stand in it already, and lines in which
    each sign is doubled and each brace has its end, as whoever wrote them has seen to that; not so in what `is_raw`, as
    a case's own text is.
    """
    known = {line.strip() for line in parent.split("\n")}
    signs = f"[{re.escape(_SIGNS[syntax])}]"
    own = re.compile("|".join([*map(_exactly, sorted(fields, key=len, reverse=True)), f"(?P<sign>{signs})"]))
    lines = text.split("\n")
    new = [number for number, line in enumerate(lines) if line.strip() not in known]
    rest = "\n".join(own.sub(lambda found: found["sign"] or "", lines[number]) for number in new)
    if is_raw or _has_single(rest, signs):
        for number in new:
            if is_raw or not _is_escaped(lines[number], signs, own):
                lines[number] = own.sub(lambda found: 2 * (found["sign"] or "") or found[0], lines[number])
    return "\n".join(lines)


def _is_escaped(line: str, signs: str, own: re.Pattern[str]) -> bool:
    rest = own.sub(lambda found: found["sign"] or "", line)
    return not _has_single(rest, signs) and rest.count("{") == rest.count("}")


def _has_single(text: str, signs: str) -> bool:
    return re.search(signs, re.sub(rf"({signs})\1", "", text)) is not None


def _exactly(field: str) -> str:
    """A pattern for a field: `$x` does not stand in `$xy`."""
    return re.escape(field) + (r"(?!\w)" if field[-1:].isalnum() else "")
