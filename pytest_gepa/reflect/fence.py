"""Markdown fences around text that is not ours: writing one that the text cannot close, and reading a reply's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RUN = re.compile(r"`+")
_FENCE_LINE = re.compile(r" {0,3}(?P<run>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block of a text: its info string, its content without the fence lines, and where it stands."""

    info: str
    content: str
    start: int
    end: int


class UnclosedFenceError(Exception):
    """A fence is opened and never closed."""


def fence(text: str, info: str = "") -> str:
    """The text between fences that are longer than any run of backticks inside it; no line end after the last."""
    longest = max((len(run) for run in _RUN.findall(text)), default=0)
    marks = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{marks}{info}\n{text}{end}{marks}"


def find_fences(text: str) -> tuple[Fence, ...]:
    """The outermost fenced blocks of a reply with "\\n" line ends, in order.

    Inside a block, a fence line at least as long as the open one and with an info string opens an inner
    block, and a bare one closes the innermost: that is how models nest a block in a text that they were
    asked to fence. Shorter runs and the other fence character are content. Raises `UnclosedFenceError`.
    """
    found: list[Fence] = []
    open_runs: list[str] = []
    info, start, inside = "", 0, 0
    position = 0
    for line in text.split("\n"):
        end = min(position + len(line) + 1, len(text))
        run, words = _fence_line(line)
        if run and not open_runs:
            open_runs, info, start, inside = [run], words, position, end
        elif run and run[0] == open_runs[-1][0] and len(run) >= len(open_runs[-1]):
            if words:
                open_runs.append(run)
            else:
                open_runs.pop()
            if not open_runs:
                found.append(Fence(info, text[inside:position], start, end))
        position = end
    if open_runs:
        raise UnclosedFenceError
    return tuple(found)


def _fence_line(line: str) -> tuple[str, str]:
    """The run of marks and the info string of a line, ("", "") if it is no fence line."""
    mark = _FENCE_LINE.match(line)
    if mark is None or (mark["run"][0] == "`" and "`" in mark["info"]):
        return "", ""
    return mark["run"], mark["info"].strip()
