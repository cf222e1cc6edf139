"""Edits: the changes that a proposal consists of, and the text that they make. Guards say if it is fit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_gepa.cut import cut
from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.input_place import addition_place
from pytest_gepa.prompts.protected import editable_end
from pytest_gepa.prompts.sections import SectionError, section_body

KINDS = ("add", "example", "replace", "delete", "section", "rewrite")

_BULLET = re.compile(
    r"(?P<indent>[ \t]*)(?:(?P<mark>[-*+•])|(?P<number>\d{1,3})(?P<stop>[.)]))(?P<gap>[ \t]+)(?=\S)"
)
_RULE = re.compile(r"[ \t]*([-*_])(?:[ \t]*\1)+[ \t]*")
_ADDITIONS = ("add", "example")
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
    left empty by chance. A last line with or without its newline stays so. Raises `EditError`.
    """
    if not edits:
        return text
    for edit in edits:
        _check_shape(edit)
    if any(edit.kind == "rewrite" for edit in edits):
        return _rewritten(text, edits)
    at_end = [edit for edit in edits if edit.kind in _ADDITIONS and not edit.find.strip()]
    result = _spliced(text, [_located(text, edit) for edit in edits if edit not in at_end])
    for edit in at_end:
        # What is protected up to the end stays the end, and so does the input that is filled in there.
        limit = editable_end(result)
        end = addition_place(result[:limit])
        before = _appended(result[:end], edit)
        gap = "\n\n" if end < limit else "\n" if end < len(result) else ""
        result = before + ("" if before.endswith("\n") else gap) + result[end:]
    return _with_end_of(text, result)


def _check_shape(edit: Edit) -> None:
    if edit.kind not in KINDS:
        raise EditError(
            f"no such kind: {_shown(edit.kind)} is no kind of edit; use one of {', '.join(KINDS)}"
        )
    if edit.kind not in ("replace", "delete") and not edit.text.strip():
        raise EditError(
            f"empty edit: the text of this edit of kind {edit.kind} is empty; write the text that it is to put in"
        )
    if edit.kind in ("replace", "delete") and not edit.find.strip():
        raise EditError(
            f"nothing to find: an edit of kind {edit.kind} needs in `find` the passage that it acts on"
        )
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
        raise EditError(
            "rewrite with other edits: a rewrite gives the whole text, so it must be the only edit"
        )
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
    if edit.kind in _ADDITIONS:
        return _after_line(text, places, edit)
    if len(places) > 1:
        raise EditError(
            f"ambiguous passage: {_shown(edit.find)} occurs {len(places)} times; copy a longer passage that "
            "occurs only once"
        )
    start, end = places[0]
    if edit.kind == "replace" and edit.text.strip():
        return _Change(start, end, edit.text.strip("\n"), edit)
    return _Change(*_deleted_span(text, start, end), "", edit)


def _section(text: str, edit: Edit) -> _Change:
    try:
        body = section_body(text, edit.find, edit.text)
    except SectionError as error:
        raise EditError(str(error)) from None
    return _Change(body.start, body.end, body.text, edit)


def _places(text: str, find: str) -> list[tuple[int, int]]:
    """Where a passage stands, without the line ends around it.

    One that stands nowhere as it is may differ by white space at the ends of its lines, which a model cannot see.
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
    alike = re.compile(r"[ \t]*\n".join(lines) + r"(?=[ \t]*(?:\n|\Z))")
    return [found.span() for found in alike.finditer(text)]


def _after_line(text: str, places: list[tuple[int, int]], edit: Edit) -> _Change:
    found = {_line_end(text, end) for _, end in places}
    items = {_item_end(text, end): _item_line(text, end) for end in found}
    if len(items) > 1:
        raise EditError(
            f"ambiguous passage: {_shown(edit.find)} occurs on {len(items)} lines; copy a longer passage "
            "that is on one only"
        )
    ((end, line),) = items.items()
    addition = edit.text.strip("\n")
    if _is_block(edit):
        addition = _set_off(line, addition, text[end + 1 : _line_end(text, end + 1)])
    return _Change(end, end, "\n" + _as_item_like(line, addition), edit)


def _item_line(text: str, end: int) -> str:
    """The line that ends there, or the first line of the list item that it goes on with."""
    first = line = text[text.rfind("\n", 0, end) + 1 : end]
    start = end - len(line)
    while _goes_on(first) and start > 0:
        first = text[text.rfind("\n", 0, start - 1) + 1 : start - 1]
        start -= len(first) + 1
    bullet = _BULLET.match(first)
    is_its = bullet is not None and len(line) - len(line.lstrip()) > len(bullet["indent"])
    return first if is_its else line


def _outermost(text: str, end: int) -> str:
    """The first line of the list item that ends there with all that belongs to it; the line itself where it is of none.

    Behind an item of an inner list the next one of the outer list comes.
    """
    line = _item_line(text, end)
    found = _BULLET.match(line)
    rows = text[:end].split("\n")
    for row in reversed(rows):
        bullet = _BULLET.match(row)
        if found is None or (row.strip() and bullet is None and not row[:1].isspace()):
            break
        if bullet is not None and len(bullet["indent"]) < len(found["indent"]):
            line, found = row, bullet
    return line


def _item_end(text: str, end: int) -> int:
    """The end of the list item of which a line ends there, with all that belongs to it: items below it, paragraphs and
    fenced blocks. The line's own where it is of none.
    """
    bullet = _BULLET.match(_item_line(text, end))
    position = end
    while bullet is not None and position < len(text):
        following = text[position + 1 : _line_end(text, position + 1)]
        position += 1 + len(following)
        if not following.strip():
            continue  # what comes behind it tells
        if len(following) - len(following.lstrip()) <= len(bullet["indent"]):
            break
        end = position
    return end


def _goes_on(line: str) -> bool:
    """Whether a line may go on with the item above: it is indented, and none itself."""
    return line[:1] in (" ", "\t") and bool(line.strip()) and _BULLET.match(line) is None


def _is_block(edit: Edit) -> bool:
    """Whether the addition is a paragraph of its own: an example of several lines."""
    return edit.kind == "example" and "\n" in edit.text.strip("\n")


def _set_off(before: str, addition: str, after: str) -> str:
    """Put a blank line before and after a block where text stands there."""
    return ("\n" if before.strip() else "") + addition + ("\n" if after.strip() else "")


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _deleted_span(text: str, start: int, end: int) -> tuple[int, int]:
    """Widen a span of whole lines by its line end, and by one of two blank lines that would then meet."""
    opens_line = start == 0 or text[start - 1] == "\n"
    if not opens_line or (end < len(text) and text[end] != "\n"):
        return start, end
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
    end = _line_end(text, len(text.rstrip()))
    last = _outermost(text, end)
    if not last.strip():
        return addition + text[end:]
    if _is_block(edit):
        addition = _set_off(last, addition, "")
    return text[:end] + "\n" + _as_item_like(last, addition) + text[end:]


def _as_item_like(line: str, addition: str) -> str:
    bullet = _BULLET.match(line)
    if bullet is None or _RULE.fullmatch(line) or "\n" in addition or _BULLET.match(addition):
        return addition
    mark = bullet["mark"] or f"{int(bullet['number']) + 1}{bullet['stop']}"
    return f"{bullet['indent']}{mark}{bullet['gap']}{addition.strip()}"


def _not_found(text: str, find: str) -> str:
    reason = (
        f"not found: {_shown(find)} does not occur in the text; copy the passage exactly as it stands there"
    )
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
