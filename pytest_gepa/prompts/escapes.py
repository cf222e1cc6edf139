"""Escaping the signs by which a prompt is filled in, in what an edit adds: `{"a": 1}` is `{{"a": 1}}` to `str.format`.

A reflection model, or a case that is taken as an example, gives the words that the task model shall read. Where the
application fills the prompt in, the file has to spell them so.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, PRINTF

_SIGNS = {FORMAT: "{}", DOLLAR: "$", PRINTF: "%"}


def escaped(
    text: str,
    parent: str,
    fields: Collection[str],
    syntax: str,
    spoken: Collection[str] = (),
    *,
    is_raw: bool = False,
) -> str:
    """Return `text`, which is to become part of `parent`, with the signs of its `syntax` doubled.

    Left as they are: `fields` that it is to be filled in at, lines that stand in it already, and lines in which each
    sign is doubled and each brace has its end, as whoever wrote them has seen to that; not so in what `is_raw`, as a
    case's own text is. Of fields that are `spoken` of alone the signs are doubled where all others are doubled already,
    over however many lines.
    """
    signs = _SIGNS[syntax]
    known = frozenset() if is_raw else frozenset(line.strip() for line in parent.split("\n"))
    lines = [_Line(line, signs, fields) for line in text.split("\n")]
    new = [line for line in lines if line.text.strip() not in known]
    if not is_raw and not _has_single("\n".join(line.rest for line in new), signs):
        return text
    apart = {line.text: _Line(line.text, signs, spoken) for line in new} if spoken and not is_raw else {}
    if apart and not _has_single("\n".join(line.rest for line in apart.values()), signs):
        return "\n".join(apart[line.text].named if line.text in apart else line.text for line in lines)
    told = {id(line): line.doubled for line in new if is_raw or not _is_escaped(line.rest, signs)}
    return "\n".join(told.get(id(line), line.text) for line in lines)


class _Line:
    """A line of an edit, taken apart: `rest` is what it is with a blank for each of its fields, `doubled` has every
    other sign twice, and `named` has those of its fields twice.
    """

    def __init__(self, text: str, signs: str, fields: Collection[str]) -> None:
        self.text = text
        rest: list[str] = []
        doubled: list[str] = []
        named: list[str] = []
        at = 0
        while at < len(text):
            field = _field_at(text, at, signs, fields)
            step = field or text[at]
            twice = "".join(2 * sign if sign in signs else sign for sign in step)
            doubled.append(step if field else twice)
            named.append(twice if field else step)
            rest.append(" " if field else step)
            at += len(step)
        self.rest, self.doubled, self.named = "".join(rest), "".join(doubled), "".join(named)


def _field_at(text: str, at: int, signs: str, fields: Collection[str]) -> str:
    """The longest field that stands at a place, "" for none: behind a sign that stands alone it is escaped."""
    sign = text[at]
    before = len(text[:at]) - len(text[:at].rstrip(sign)) if sign in signs else 0
    if sign not in signs or before % 2:
        return ""
    found = [field for field in fields if text.startswith(field, at)]
    longest = max(found, key=len, default="")
    # `$x` does not stand in `$xy`, nor `{x}` in `{x}` of a brace that is doubled.
    after = text[at + len(longest) : at + len(longest) + 1]
    return "" if longest[-1:].isalnum() and (after.isalnum() or after == "_") else longest


def _is_escaped(rest: str, signs: str) -> bool:
    return not _has_single(rest, signs) and rest.count("{") == rest.count("}")


def _has_single(text: str, signs: str) -> bool:
    one = f"[{re.escape(signs)}]"
    return re.search(one, re.sub(rf"({one})\1", "", text)) is not None
