"""Escaping the signs by which a prompt is filled in, in what an edit adds: `{"a": 1}` is `{{"a": 1}}` to `str.format`.

A reflection model, or a case that is taken as an example, gives the words that the task model shall read. Where the
application fills the prompt in, the file has to spell them so.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, PRINTF

_SIGNS = {FORMAT: "{}", DOLLAR: "$", PRINTF: "%"}


def escaped(addition: str, parent: str, fields: Collection[str], syntax: str) -> str:
    """Return `addition`, which is to become part of `parent`, with the signs of its `syntax` doubled.

    Left as they are: the `fields` that the parent is filled in at, lines that stand in it already, and all of an
    addition in which each sign is doubled, as whoever wrote it has seen to that.
    """
    known = {line.strip() for line in parent.split("\n")}
    lines = addition.split("\n")
    new = [number for number, line in enumerate(lines) if line.strip() not in known]
    signs = f"[{re.escape(_SIGNS[syntax])}]"
    own = re.compile("|".join([*map(_exactly, sorted(fields, key=len, reverse=True)), f"(?P<sign>{signs})"]))
    rest = own.sub(lambda found: found["sign"] or "", "\n".join(lines[number] for number in new))
    if re.search(signs, re.sub(rf"({signs})\1", "", rest)):
        for number in new:
            lines[number] = own.sub(lambda found: 2 * (found["sign"] or "") or found[0], lines[number])
    return "\n".join(lines)


def _exactly(field: str) -> str:
    """A pattern for a field: `$x` does not stand in `$xy`."""
    return re.escape(field) + (r"(?!\w)" if field[-1:].isalnum() else "")
