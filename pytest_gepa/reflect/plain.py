"""A text as it was before it was written as code, on a page or in an address: escapes are read, however deep, and
what begins a new line is a blank.

What a text has had done to it is unknown, and the same is done to it over and over: JSON in JSON, its repr in a log,
that in a diff. So no value is written in all these ways; the text is read back, and a value with it, in the same way.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_HEX = "[0-9a-fA-F]"
_MORE = f"(?:%[89abAB]{_HEX})"
# Each begins with a sign of its own, so that the text between them is passed over quickly, and none can fail late.
_ESCAPE = re.compile(
    rf"\\\\*(?:u(?P<pair>[dD][89abAB]{_HEX}{{2}}\\+u[dD][c-fC-F]{_HEX}{{2}})"
    rf"|(?:u(?={_HEX}{{4}})|U(?=00{_HEX}{{6}})|x(?={_HEX}{{2}}))(?P<hex>(?<=u){_HEX}{{4}}|(?<=U){_HEX}{{8}}|{_HEX}{{2}})"
    r"|(?P<sign>[nrtbf])|(?P<none>))"
    rf"|&(?:amp;)*(?:#(?P<decimal>\d{{1,7}})|#[xX](?P<entity>{_HEX}{{1,6}})|(?P<name>amp|lt|gt|quot|apos|nbsp));"
    rf"|%(?P<octets>[0-7]{_HEX}|[cCdD]{_HEX}{_MORE}|[eE]{_HEX}{_MORE}{{2}}|[fF][0-7]{_MORE}{{3}})"
)
# A margin is that of pytest's reports and diffs, of mails and comments; the quotes are those of a text that pprint has
# laid out in lines.
_LINE = r"""\n[ \t\r]*(?:(?:[>|#+?^"'-]|E(?=\s|\Z))[ \t\r]*)*"""
_BREAK = re.compile(rf"""[ \t\r]*(?:["'][ \t\r]*)?(?:{_LINE})+|[ \t\r]{{2,}}|[\t\r]""")
_SIGNS = {"": "", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": "\N{NO-BREAK SPACE}"}
_MOST_READINGS = 3
"""One is enough for escapes of escapes; an address may hold those that another reading finds."""

_Place = tuple[int, int]


class Plain:
    """A text that was read back: `text`, of which each part knows its place in the text that it was read from."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._changes: list[_Changes] = []
        for _ in range(_MOST_READINGS):
            if not self._change(_ESCAPE, _unescaped):
                break
        self._change(_BREAK, lambda _: " ")

    def place(self, start: int, end: int) -> _Place:
        """Where what stands at `start` to `end` of the plain text stands in the one that it was read from."""
        for changes in reversed(self._changes):
            start, end = changes.place(start, end)
        return start, end

    def _change(self, pattern: re.Pattern[str], instead: Callable[[re.Match[str]], str | None]) -> bool:
        changes, pieces = _Changes([], [], [], []), list[str]()
        done = size = 0
        for found in pattern.finditer(self.text):
            new = instead(found)
            if new is None:
                continue
            start, end = found.span()
            pieces += [self.text[done:start], new]
            changes.starts.append(size := size + start - done)
            changes.ends.append(size := size + len(new))
            changes.starts_before.append(start)
            changes.ends_before.append(done := end)
        if not pieces:
            return False
        self.text = "".join([*pieces, self.text[done:]])
        self._changes.append(changes)
        return True


@dataclass(frozen=True, slots=True)
class _Changes:
    """Where parts of a text stand that others were put in the place of, and where those had been. In order."""

    starts: list[int]
    ends: list[int]
    starts_before: list[int]
    ends_before: list[int]

    def place(self, start: int, end: int) -> _Place:
        """The place before; of what is no part of a change, or a whole one, it is exact."""
        at = bisect_right(self.starts, start) - 1
        if at >= 0:
            inside = start < self.ends[at]
            start = self.starts_before[at] if inside else self.ends_before[at] + start - self.ends[at]
        last = end - 1
        at = bisect_right(self.starts, last) - 1
        if at >= 0:
            inside = last < self.ends[at]
            end = self.ends_before[at] + (0 if inside else end - self.ends[at])
        return start, end


def _unescaped(found: re.Match[str]) -> str | None:
    """What an escape stands for; nothing for a backslash before any other sign, as it may be there for that sign."""
    kind = found.lastgroup or "none"
    code = found[kind]
    if kind in ("hex", "decimal", "entity"):
        number = int(code, 10 if kind == "decimal" else 16)
        return chr(number) if number <= sys.maxunicode else None
    if kind in ("sign", "none"):
        return _SIGNS[code]
    if kind == "pair":
        return chr(0x10000 + ((int(code[:4], 16) & 0x3FF) << 10 | int(code[-4:], 16) & 0x3FF))
    if kind == "name":
        return _ENTITIES[code]
    with suppress(UnicodeDecodeError):
        return bytes.fromhex(code.replace("%", "")).decode("utf-8")
    return None
