"""Edits: the changes that a proposal consists of, and the text that they make. Guards say if it is fit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from pytest_gepa.cut import cut
from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.input_place import addition_place
from pytest_gepa.prompts.items import (
    item_end,
    item_like,
    item_line,
    line_end,
    outermost_line,
    whole_lines,
    with_numbers,
    without_second_mark,
)
from pytest_gepa.prompts.protected import editable_end
from pytest_gepa.prompts.reasons import together
from pytest_gepa.prompts.sections import SectionError, section_body

KINDS = ("add", "example", "replace", "delete", "section", "rewrite")

_LABELLED = re.compile(r"[ \t]*[*_]{0,2}[^\W\d_][\w ()-]{0,30}[:：][*_]{0,2}[ \t]*(?!//)\S.*")
_BLANK = re.compile(r"\n[ \t]*\n")
ADDITIONS = ("add", "example")
_MOST_LINES = 50
"""Lines of one item or sentence that a passage may be on for it to name that."""

_T = TypeVar("_T")
_SEARCHED_LINES = 500
_SHOWN = 60


class EditError(GepaError):
    """An edit cannot be made; the message opens with a few fixed words, and tells the model what to do instead."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to a component's text; `kind` is one of `KINDS`.

    `add` puts `text` after the line that holds `find`, or at the end if `find` is empty (before an input that is
    filled in there: `addition_place`). `example` does the same with an example; `case` is then the failing case that
    it was taken from, as the model named it, "" for an invented one. `replace` and `delete` act on `find`. `section`
    gives the section under the heading `find` a new body. `rewrite` gives the whole text, and `find` is empty.
    """

    kind: str
    find: str = ""
    text: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True)
class _Change:
    start: int
    end: int
    text: str
    edit: Edit


def apply_edits(text: str, edits: Sequence[Edit]) -> str:
    """Return `text` with all `edits` made.

    Every `find` is looked for in `text` as it was given, never in what another edit has put there, and must
    name one place. Line ends around a `find` or a `text` are not part of it, so that no lines are joined or
    left empty by chance. A last line with or without its newline stays so, and line ends that are all of one kind stay
    of that. Raises `EditError`, for the first few edits that cannot be made.
    """
    if not edits:
        return text
    if 0 < text.count("\r\n") == text.count("\n"):
        # In a string of JSON or Python they stand as they are, and no model writes them.
        plain = [replace(edit, find=_with_plain_ends(edit.find), text=_with_plain_ends(edit.text)) for edit in edits]
        return apply_edits(_with_plain_ends(text), plain).replace("\n", "\r\n")
    _each(edits, _check_shape)
    if any(edit.kind == "rewrite" for edit in edits):
        return _rewritten(text, edits)
    at_end = [edit for edit in edits if edit.kind in ADDITIONS and not edit.find.strip()]
    placed = [edit for edit in edits if edit not in at_end]
    result = _spliced(text, _numbered(_each(placed, partial(_located, text))))
    for edit in at_end:
        # What is protected up to the end stays the end, and so does the input that is filled in there.
        limit = editable_end(result)
        end = addition_place(result[:limit])
        before = _appended(result[:end], edit)
        gap = "\n\n" if end < limit else "\n" if end < len(result) else ""
        result = before + ("" if before.endswith("\n") else gap) + result[end:]
    return _with_end_of(text, result)


def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n")


def _each(edits: Sequence[Edit], make: Callable[[Edit], _T]) -> list[_T]:
    """What `make` gives of each edit. Raises `EditError` for the first few that cannot be made."""
    made: list[_T] = []
    problems: list[str] = []
    for edit in edits:
        try:
            made.append(make(edit))
        except EditError as error:
            problems.append(str(error))
    if problems:
        raise EditError(together(problems))
    return made


def _check_shape(edit: Edit) -> None:
    if edit.kind not in KINDS:
        raise EditError(f"no such kind: {_shown(edit.kind)} is no kind of edit; use one of {', '.join(KINDS)}")
    if edit.kind not in ("replace", "delete") and not edit.text.strip():
        raise EditError(
            f"empty edit: the text of this edit of kind {edit.kind} is empty; write the text that it is to put in"
        )
    if edit.kind in ("replace", "delete") and not edit.find.strip():
        raise EditError(f"nothing to find: an edit of kind {edit.kind} needs in `find` the passage that it acts on")
    if edit.kind == "section" and not edit.find.strip():
        raise EditError("nothing to find: an edit of kind section needs in `find` the heading of the section")
    if edit.kind == "delete" and edit.text.strip() not in ("", edit.find.strip()):
        raise EditError(
            "text in a deletion: an edit of kind delete takes no text; use replace to put something in the "
            "passage's place"
        )


def _rewritten(text: str, edits: Sequence[Edit]) -> str:
    edit = edits[0]
    if len(edits) > 1:
        raise EditError("rewrite with other edits: a rewrite gives the whole text, so it must be the only edit")
    if edit.find.strip() not in ("", text.strip()):
        raise EditError(
            "rewrite of a passage: a rewrite replaces the whole text; leave `find` empty, or use replace for "
            "one passage"
        )
    return _with_end_of(text, edit.text.rstrip("\n"))


def _with_end_of(original: str, text: str) -> str:
    """Give `text` the newline that `original` ends with, or none, and blank lines only if it has some."""
    if original.endswith("\n\n") and text.endswith("\n"):
        return text
    body = text.rstrip("\n")
    return body + "\n" if body and (not original or original.endswith("\n")) else body


def _located(text: str, edit: Edit) -> _Change:
    if edit.kind == "section":
        return _section(text, edit)
    places = _places(text, edit.find)
    if not places:
        raise EditError(_not_found(text, edit.find))
    if edit.kind in ADDITIONS:
        return _after_line(text, places, edit)
    if len(places) > 1:
        raise EditError(
            f"ambiguous passage: {_shown(edit.find)} occurs {len(places)} times; copy a longer passage that "
            "occurs only once"
        )
    start, end = places[0]
    if edit.kind == "replace" and edit.text.strip():
        return _Change(start, end, without_second_mark(text, start, edit.text.strip("\n")), edit)
    return _Change(*_deleted_span(text, start, end), "", edit)


def _section(text: str, edit: Edit) -> _Change:
    try:
        body = section_body(text, edit.find, edit.text)
    except SectionError as error:
        raise EditError(str(error)) from None
    return _Change(body.start, body.end, body.text, edit)


def _places(text: str, find: str) -> list[tuple[int, int]]:
    """Where a passage stands, without the line ends around it.

    One that stands nowhere as it is may differ by white space at the ends of its lines, which a model cannot see, and
    by these ends themselves.
    """
    places = []
    before, inside = len(find) - len(find.lstrip("\n")), len(find.strip("\n"))
    start = text.find(find)
    while start >= 0:
        places.append((start + before, start + before + inside))
        start = text.find(find, start + 1)
    if places or not find.strip():
        return places
    lines = [re.escape(line.rstrip()) for line in find.strip("\n").split("\n")]
    alike = re.compile(r"[ \t\r]*\n".join(lines) + r"(?=[ \t\r]*(?:\n|\Z))")
    return [found.span() for found in alike.finditer(text)]


def _after_line(text: str, places: list[tuple[int, int]], edit: Edit) -> _Change:
    found = sorted({line_end(text, end) for _, end in places})
    # Where items end takes long to find for thousands of lines, and need not be known if all are not of the first one.
    is_one = len(found) <= _MOST_LINES and item_end(text, found[0]) >= found[-1]
    items = {item_end(text, end): item_line(text, end) for end in found} if is_one else {}
    if len(items) != 1:
        raise EditError(
            f"ambiguous passage: {_shown(edit.find)} occurs on {len(found)} lines; copy a longer passage "
            "that is on one only"
        )
    ((end, line),) = items.items()
    addition = edit.text.strip("\n")
    if _is_block(edit):
        addition = _set_off(line, addition, text[end + 1 : line_end(text, end + 1)])
    return _Change(end, end, "\n" + item_like(line, addition), edit)


def _numbered(changes: Iterable[_Change]) -> list[_Change]:
    """Give additions behind the same item of a numbered list numbers that follow one another.

    The items below keep theirs: a number that changes makes a changed line, by which two candidates that add to one
    list could not be merged line by line, nor one rule be taken back without the other.
    """
    least: dict[int, int] = {}
    numbered: list[_Change] = []
    for change in changes:
        if change.edit.kind in ADDITIONS:
            text, least[change.start] = with_numbers(change.text[1:], least.get(change.start, 0))
            change = replace(change, text="\n" + text)
        numbered.append(change)
    return numbered


def _is_block(edit: Edit) -> bool:
    """Whether the addition is a paragraph of its own: an example of several lines."""
    return edit.kind == "example" and "\n" in edit.text.strip("\n")


def _set_off(before: str, addition: str, after: str) -> str:
    """Put a blank line before and after a block where text stands there."""
    return ("\n" if before.strip() else "") + addition + ("\n" if after.strip() else "")


def _deleted_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span of whole lines by its line end, and by one of two blank lines that would then meet.

    The mark of an item goes with all that the item says.
    """
    lines = whole_lines(text, start, end)
    if lines is None:
        return start, end
    start, end = lines
    end = min(end + 1, len(text))
    follows_blank = start == 0 or text[:start].endswith("\n\n") or text[:start] == "\n"
    return start, end + 1 if follows_blank and text.startswith("\n", end) else end


def _spliced(text: str, changes: Sequence[_Change]) -> str:
    pieces: list[str] = []
    position = 0
    previous: _Change | None = None
    for change in sorted(changes, key=lambda change: (change.start, change.end)):
        start = change.start
        if start < position and previous is not None:
            if change.text or previous.text:
                raise EditError(
                    f"overlapping edits: those of {_shown(previous.edit.find)} and {_shown(change.edit.find)} overlap; "
                    "make one edit of them"
                )
            start = position
        pieces += [text[position:start], change.text]
        position = max(position, change.end)
        previous = change
    return "".join(pieces) + text[position:]


def _appended(text: str, edit: Edit) -> str:
    """Put an addition after the last line that is not blank, as a list item if that line is one."""
    addition = edit.text.strip("\n")
    end = line_end(text, len(text.rstrip()))
    last = outermost_line(text, end)
    if not last.strip():
        return addition + text[end:]
    if _is_block(edit) or _is_below_pairs(text[:end], addition):
        addition = _set_off(last, addition, "")
    return text[:end] + "\n" + item_like(last, addition) + text[end:]


def _is_below_pairs(text: str, addition: str) -> bool:
    """Whether an addition to the end of a text would be read as a part of the example there, whose lines have labels
    (`Input: a`, `Output: b`), and is no further line of that form.
    """
    lines = _BLANK.split(text)[-1].split("\n")
    *above, last = (_LABELLED.fullmatch(line) is not None for line in lines)
    is_pair = last and any((*above[:1], *above[-1:]))  # a heading may stand above the two, and text between them
    return is_pair and _LABELLED.fullmatch(addition) is None


def _not_found(text: str, find: str) -> str:
    reason = f"not found: {_shown(find)} does not occur in the text; copy the passage exactly as it stands there"
    told = find.strip("\n").split("\n")
    if (apart := _first_difference(text.split("\n")[:_SEARCHED_LINES], told)) is not None:
        number, line = apart
        return f"{reason} (line {number} of it is {_shown(line)} there, not {_shown(told[number - 1])})"
    wanted = told[0].strip()
    lines = [line.strip() for line in text.split("\n")[:_SEARCHED_LINES]]
    nearest = difflib.get_close_matches(wanted[:200], [line[:200] for line in lines if line], n=1)
    return f"{reason} (the nearest line is {_shown(nearest[0])})" if nearest else reason


def _first_difference(lines: list[str], wanted: list[str]) -> tuple[int, str] | None:
    """Of a passage of several lines whose first one is there: the number of the first line that is not, and what stands
    in its place where most of them fit. None where not even the first line is there."""
    best: tuple[int, str] | None = None
    for row, line in enumerate(lines):
        if len(wanted) < 2 or line.strip() != wanted[0].strip():
            continue
        there = lines[row : row + len(wanted)] + [""] * len(wanted)
        fits = next((at for at, one in enumerate(wanted) if there[at].rstrip() != one.rstrip()), None)
        if fits is not None and (best is None or fits + 1 > best[0]):
            best = fits + 1, there[fits]
    return best


def _shown(passage: str) -> str:
    return repr(cut(passage, _SHOWN))
