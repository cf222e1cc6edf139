"""Items of lists and wrapped lines, as edits see them: where one ends, and what is put below it in its likeness."""

from __future__ import annotations

import re
import textwrap

from pytest_gepa.prompts.hunks import indent

BULLET = re.compile(r"(?P<indent>[ \t]*)(?:(?P<mark>[-*+•])|(?P<number>\d{1,3})(?P<stop>[.)]))(?P<gap>[ \t]+)(?=\S)")
"""What a line of a list begins with."""

_OPENING = re.compile(r"[ \t]*(?:(?:[-*+•]|\d{1,3}[.)])[ \t]+)?")
_RULE = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1)+[ \t]*")
_SENTENCE_END = re.compile(r"[.!?:;|…。！？：；][\"'”’»)\]*_`]{0,3}\s*$")
_NO_PROSE = re.compile(r"\s*(?:[#<|]|```|~~~)")
_LABELLED = re.compile(r"\s*\w+(?: \w+)?[:：=]")
_LETTER = re.compile(r"[^\W\d_]")
_LEAST_WRAPPED = 3
"""Words of a line that may go on in the next one, and of that one unless it ends the sentence; labels stand on lines of
their own, too."""


def item_line(text: str, end: int) -> str:
    """The line that ends there, or the first line of the list item that it goes on with."""
    first = line = text[text.rfind("\n", 0, end) + 1 : end]
    start = end - len(line)
    while _goes_on(first) and start > 0:
        first = text[text.rfind("\n", 0, start - 1) + 1 : start - 1]
        start -= len(first) + 1
    bullet = BULLET.match(first)
    is_its = bullet is not None and indent(line) > len(bullet["indent"])
    return first if is_its else line


def outermost_line(text: str, end: int) -> str:
    """The first line of the list item that ends there with all that belongs to it; the line itself where it is of none.

    Behind an item of an inner list the next one of the outer list comes.
    """
    line = item_line(text, end)
    found = BULLET.match(line)
    rows = text[:end].split("\n")
    for row in reversed(rows):
        bullet = BULLET.match(row)
        if found is None or (row.strip() and bullet is None and not row[:1].isspace()):
            break
        if bullet is not None and len(bullet["indent"]) < len(found["indent"]):
            line, found = row, bullet
    return line


def item_end(text: str, end: int) -> int:
    """The end of the list item of which a line ends there, with all that belongs to it: items below it, paragraphs and
    fenced blocks. Where it is of none, the end of the sentence that goes on in the lines below.
    """
    bullet = BULLET.match(item_line(text, end))
    position = end
    while bullet is not None and position < len(text):
        following = text[position + 1 : line_end(text, position + 1)]
        position += 1 + len(following)
        if not following.strip():
            continue  # what comes behind it tells
        if indent(following) <= len(bullet["indent"]):
            break
        end = position
    return _wrapped_end(text, end)


def line_end(text: str, position: int) -> int:
    """Where the line ends that a position is on."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def item_like(line: str, addition: str) -> str:
    """An addition below `line` as the next item of its list, where it is of one."""
    bullet = BULLET.match(line)
    if bullet is None or _RULE.fullmatch(line):
        return addition
    own = BULLET.match(addition)
    if own is not None and not own["indent"]:
        return textwrap.indent(addition, bullet["indent"])
    if own is not None or "\n" in addition:
        return addition
    mark = bullet["mark"] or f"{int(bullet['number']) + 1}{bullet['stop']}"
    return f"{bullet['indent']}{mark}{bullet['gap']}{addition.strip()}"


def with_numbers(items: str, least: int) -> tuple[str, int]:
    """One item or several of one list, and the number that comes next. The first has `least` at least, and the others
    are as much higher. Without a number they stay as they are, and so does `least`.
    """
    first = BULLET.match(items)
    if first is None or not first["number"]:
        return items, least
    higher = max(least - int(first["number"]), 0)
    lines: list[str] = []
    for line in items.split("\n"):
        found = BULLET.match(line)
        if found is None or not found["number"] or found["indent"] != first["indent"]:
            lines.append(line)
            continue
        number = int(found["number"]) + higher
        least = max(least, number + 1)
        lines.append(f"{line[: found.start('number')]}{number}{line[found.end('number') :]}")
    return "\n".join(lines), least


def without_second_mark(text: str, start: int, new: str) -> str:
    """What takes the place of a passage that begins at `start`, without the mark of an item where that stands before
    it already: the passage was copied without it.
    """
    own, bullet = BULLET.match(new), BULLET.match(text, text.rfind("\n", 0, start) + 1)
    if own is None or bullet is None or bullet.end() != start:
        return new
    first, line_break, rest = new[own.end() :].partition("\n")
    return first + line_break + (rest if own["indent"] else textwrap.indent(rest, bullet["indent"]))


def whole_lines(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The span of the lines that a passage fills but for white space and the mark of an item, None if it does not.

    The mark of an item of which something is left below is not its own: what is left would join the item above.
    """
    row, stop = text.rfind("\n", 0, start) + 1, line_end(text, end)
    while start < end and text[start] in " \t":
        start += 1
    if _OPENING.fullmatch(text, row, start) is None or text[end:stop].strip():
        return None
    is_behind_mark = bool(text[row:start].strip())
    return None if is_behind_mark and item_end(text, stop) > stop else (row, stop)


def _goes_on(line: str) -> bool:
    """Whether a line may go on with the item above: it is indented, and none itself."""
    return line[:1] in (" ", "\t") and bool(line.strip()) and BULLET.match(line) is None


def _wrapped_end(text: str, end: int) -> int:
    """Where the lines end over which a sentence is wrapped that does not end in the line that ends there."""
    stop = end
    while stop < len(text):
        line = text[text.rfind("\n", 0, stop) + 1 : stop]
        following = text[stop + 1 : line_end(text, stop + 1)]
        if not _is_wrapped(line, following):
            break
        stop += 1 + len(following)
    return stop if stop > end and _opens_with_a_capital(text, end) else end


def _is_wrapped(line: str, following: str) -> bool:
    """Whether a line ends amid a sentence with which the following one goes on."""
    if len(line.split()) < _LEAST_WRAPPED or _SENTENCE_END.search(line) or _NO_PROSE.match(line):
        return False
    if len(following.split()) < _LEAST_WRAPPED and not _SENTENCE_END.search(following):
        return False
    is_its = following.lstrip()[:1].islower() and _LABELLED.match(following) is None
    return is_its and indent(following) <= indent(line)


def _opens_with_a_capital(text: str, end: int) -> bool:
    """Whether the paragraph, or the item, of which a line ends there is written in sentences that begin with a capital;
    in others each line may be one.
    """
    first = ""
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        row = text[start:end]
        if not row.strip():
            break
        first, end = row, start - 1
        if BULLET.match(row):
            break
    bullet = BULLET.match(first)
    letter = _LETTER.search(first, bullet.end() if bullet is not None else 0)
    return letter is not None and letter[0].isupper()
