"""An edit in short: the lines that it changed. Pure."""

from __future__ import annotations

import difflib

from pytest_gepa.cut import cut

_CHARACTERS = 400
_LINE = 160
_INDENT = 24
"""Most characters of a summary, of a line in it, and of what a line is indented by."""

_ALL_CHARACTERS = 4_000
_WHOLE_LINE = 1_000
"""The same of all that was changed."""


def summarize(before: str, after: str) -> str:
    """The changed lines, `- removed` and `+ added`, in about 400 characters at most."""
    return _changed(before, after, _CHARACTERS, _LINE)


def all_changes(before: str, after: str) -> str:
    """The changed lines as `summarize` has them, but whole and as many as 4,000 characters hold."""
    return _changed(before, after, _ALL_CHARACTERS, _WHOLE_LINE)


def _changed(before: str, after: str, characters: int, longest: int) -> str:
    lines = [
        f"{line[0]} {_indent(line[1:])}{one_line(line[1:], longest)}"
        for line in list(difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm=""))[2:]
        if not line.startswith("@@") and line[1:].strip()
    ]
    shown: list[str] = []
    room = characters
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    left = len(lines) - len(shown)
    return "\n".join([*shown, *([f"({left} more changed lines)"] if left else [])])


def _indent(line: str) -> str:
    line = line.expandtabs(4)
    return " " * min(_INDENT, len(line) - len(line.lstrip(" ")))


def one_line(text: str, most: int = 300) -> str:
    """The text for a heading or label: printable, on one line, not longer than `most` characters."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 2 * most]).split())
    return cut(flat, most)
