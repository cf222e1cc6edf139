"""Reading a failure as pytest prints it: what the check said, and the code around it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby

_ERROR_LINE = re.compile(r"E(?: {3,}.*| *)")
_PLACE = re.compile(r"\S.{0,400}?:\d+: \S.*")
_ITEMS = re.compile(r"Common items:|Differing items:|Extra items in the .*|(?:Left|Right) contains \d+ more items?:")
_MARKS = re.compile(r"\?[ ^+-]+")
_RULER = re.compile(r"(?:_ ){3,}_?|_{10,}.*")


MOST_ITEM = 300
"""Characters of an item that differs, up to which it tells more than a diff of the whole."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`printed` is what the check printed, each line whole; `said` adds the failing statements and their places.

    `around` is other code of the traceback, "" if there is none.
    """

    printed: str
    said: str
    around: str


def read_failure(text: str, known_lines: Iterable[str] = (), arguments: Iterable[str] = ()) -> Failure:
    """Divide a failure into the lines that the check printed and the rest.

    pytest's `E` margin is taken off, and what it says a second time in a diff. `known_lines` (the test's own body) and
    the values of the test's `arguments` are left out of `around`, as they are shown elsewhere. A text that is not in
    pytest's format is all `printed`.
    """
    lines = text.split("\n")
    is_report = any(map(_is_error, lines)) and any(map(_PLACE.fullmatch, lines))
    known = {line.strip() for line in known_lines}
    given = tuple(f"{name} = " for name in arguments)
    printed: list[str] = []
    said: list[str] = []
    around: list[str] = []
    for is_error, lines_alike in groupby(lines, key=_is_error):
        group = list(lines_alike)
        if is_error or not is_report:
            whole = _said_once(_without_margin(group)) if is_error else group
            printed += whole
            said += whole
            continue
        for line in group:
            if line.startswith(">"):
                said.append(f"> {line[1:].strip()}")
            elif _PLACE.fullmatch(line):
                said.append(line)
            elif _tells_more(line, known) and (said or not line.startswith(given)):
                around.append(line)
    return Failure(*("\n".join(part).strip("\n") for part in (printed, said, around)))


def _said_once(lines: list[str]) -> list[str]:
    """What a comparison printed: without marks under lines of a diff and without equal items; without the whole diff,
    too, where the items that differ stand before it and are short.
    """
    lines = [line for line in lines if not _MARKS.fullmatch(line.strip())]
    start = next((at for at, line in enumerate(lines) if line.strip().startswith("Full diff:")), len(lines))
    items = next((at for at in range(start) if _ITEMS.fullmatch(lines[at].strip())), start)
    told = _without_equal(lines[items:start])
    if told and max(map(len, told)) <= MOST_ITEM:
        return [*lines[:items], *told]
    return [*lines[:items], *told, *lines[start:]]


def _without_equal(items: list[str]) -> list[str]:
    """The items, each kind under a heading, without those under `Common items:`."""
    is_equal, kept = False, []
    for line in items:
        if _ITEMS.fullmatch(line.strip()):
            is_equal = line.strip() == "Common items:"
        if not is_equal:
            kept.append(line)
    return kept


def _tells_more(line: str, known: Collection[str]) -> bool:
    bare = line.strip()
    return bool(bare) and bare not in known and not bare.startswith("@pytest.") and not _RULER.fullmatch(line)


def _is_error(line: str) -> bool:
    return _ERROR_LINE.fullmatch(line) is not None


def _without_margin(lines: list[str]) -> list[str]:
    """Error lines without the `E` and the indentation that they share (that of the failing statement)."""
    texts = [line[1:] for line in lines]
    shared = min((len(text) - len(text.lstrip(" ")) for text in texts if text.strip()), default=0)
    return [text[shared:] for text in texts]
