"""Texts cut in the middle, visibly: their beginning and end stay, and a line between them says how much is gone."""

from __future__ import annotations

import re
from collections.abc import Sequence

MARK_ROOM = 48
"""Bytes that the line takes, at most."""

_STATEMENT = 200
"""Characters of a statement that are kept."""

_MARGIN = "E       "

_LONGEST_WORD = 200
"""A run of signs beyond this is data, or a secret of which a part is known too, and may be cut anywhere."""

_OPEN_WORD = re.compile(rf"[\w.~+/=%@:#-]{{1,{_LONGEST_WORD}}}\Z")
_IN_WORD = re.compile(r"[\w.~+/=%@:#-]")

_MARK = re.compile(r"\[\.\.\. ([\d,]+) characters cut \.\.\.\]")


def byte_length(text: str) -> int:
    """Length in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def mark(count: int) -> str:
    """The line that stands for so many characters."""
    return f"[... {count:,} characters cut ...]"


def beginning(text: str, limit: int) -> str:
    """The beginning of a text, `limit` characters or a few less: no word is cut in two, since half of a secret would
    not be known for one when secrets are taken out."""
    head = text[:limit]
    if len(text) <= limit or not _IN_WORD.match(text, limit):
        return head
    tail = head[-_LONGEST_WORD - 1 :]
    word = _OPEN_WORD.search(tail)
    if word is None or (word.start() and _IN_WORD.match(tail, word.start() - 1)):
        return head
    return head[: len(head) - len(word.group())]


def cut_middle(text: str, limit: int) -> str:
    """The text, or its beginning and end with a line between them that counts the characters cut.

    `limit` is in UTF-8 bytes; a limit that holds no more than the line gives the line alone, which may be
    longer. Cuts at line ends where one is near. What was cut before is counted in.
    """
    if byte_length(text) <= limit:
        return text
    head, gone, tail = _divided(text, limit)
    return f"{head}\n{mark(_count(gone))}\n{tail}" if head else mark(_count(text))


def cut_report(text: str, limit: int) -> str:
    """As `cut_middle`, for a failure as pytest prints it: of what is cut, the failing statements stay (`> assert x`).

    They take a third of the limit at most; the last ones, which raised what the test ended with, come first. Where
    lines with pytest's margin are cut, the mark and the rest of the line have it too.
    """
    if byte_length(text) <= limit:
        return text
    kept: list[str] = []
    room = limit // 3
    head, gone, tail = _divided(text, limit - room - 2 * len(_MARGIN))
    if not head:
        return cut_middle(text, limit)
    for line in reversed([line for line in gone.split("\n") if line.startswith(">")]):
        line = line[:_STATEMENT]
        room -= byte_length(line) + 1
        if room < 0:
            break
        kept.insert(0, line)
    if not kept:
        head, gone, tail = _divided(text, limit - 2 * len(_MARGIN))
    margin = _margin(text, len(head) + 1)
    if not gone.endswith("\n") and not tail.startswith("\n"):
        tail = _margin(text, len(text) - len(tail)) + tail
    return "\n".join([head, margin + mark(_count(gone) - sum(map(len, kept))), *kept, tail])


def _margin(text: str, at: int) -> str:
    """The margin of the line that a place is in, "" if it has none."""
    return _MARGIN if text.startswith("E  ", text.rfind("\n", 0, at) + 1) else ""


def is_mark(text: str) -> bool:
    """Whether a text is such a line and nothing else."""
    return _MARK.fullmatch(text) is not None


def level(sizes: Sequence[int], room: int) -> int:
    """The greatest cap for which the capped sizes sum to no more than `room`; 0 if there is none."""
    left, count = max(0, room), len(sizes)
    for size in sorted(sizes):
        if size * count > left:
            return left // count
        left -= size
        count -= 1
    return max(sizes, default=0)


def _divided(text: str, limit: int) -> tuple[str, str, str]:
    """The beginning and the end that leave room for a mark, and what is between; a beginning of "" for no room."""
    room = limit - MARK_ROOM
    if room < 2:
        return "", text, ""
    head, tail = _beginning(text, room - room // 2), _end(text, room // 2)
    return head, text[len(head) : len(text) - len(tail)], tail


def _count(gone: str) -> int:
    """The characters of a text, and those that marks in it stand for."""
    marks = list(_MARK.finditer(gone)) if "characters cut ...]" in gone else []
    return len(gone) + sum(int(found[1].replace(",", "")) - len(found[0]) for found in marks)


def _beginning(text: str, room: int) -> str:
    piece = text[:room].encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    line_end = piece.rfind("\n", len(piece) * 3 // 4)
    return piece if line_end < 0 else piece[:line_end]


def _end(text: str, room: int) -> str:
    piece = text[-room:].encode("utf-8", "replace")[-room:].decode("utf-8", "ignore")
    line_end = piece.find("\n", 0, len(piece) // 4)
    return piece if line_end < 0 else piece[line_end + 1 :]
