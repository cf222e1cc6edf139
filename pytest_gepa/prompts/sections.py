"""Sections of a text: what stands under a heading, and the change that gives one a new body. Nothing is guarded here.

Headings are those of Markdown (`## Title`, or a title underlined with `===` or `---`), whole lines in bold, and
numbered lines (`2. Title`, `2.1 Title`). An XML element whose tags stand alone on their lines is a section too; one
that a section stands in ends it, and so does the input that is filled in at the end of the text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from pytest_gepa.errors import GepaError
from pytest_gepa.prompts.fenced import fenced_rows
from pytest_gepa.prompts.input_place import filled_in, input_place
from pytest_gepa.prompts.markup import ANY_TAG, TAG

_HASHES = re.compile(r" {0,3}(?P<mark>#{1,6})[ \t]+(?P<title>\S.*?)(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*")
_BOLD = re.compile(r"(?P<mark>\*\*|__)(?P<title>[^\s*_](?:.*?[^\s*_:])?:?)(?P=mark):?[ \t]*")
_NUMBERED = re.compile(r"(?P<number>\d{1,2}(?:\.\d{1,2}){0,4})[.)]?[ \t]+(?P<title>\S.*?)[ \t]*")
_BOLD_DEPTH = 7
_NUMBERED_DEPTH = 10
_LISTED = 8


class SectionError(GepaError):
    """The section cannot be told or rewritten; the message opens with a few fixed words."""


@dataclass(frozen=True, slots=True)
class Body:
    """The span that a section's body takes, and the text to put there."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading over lines `first` to `last` (from 0); `depth` is 1 for the highest. `title` is without its marks."""

    first: int
    last: int
    depth: int
    title: str

    @property
    def is_numbered(self) -> bool:
        """Whether it is a numbered line, which may as well be an item of a list."""
        return self.depth >= _NUMBERED_DEPTH


def headings(text: str) -> tuple[Heading, ...]:
    """Return the headings of a text in order; what stands in fences holds none."""
    return tuple(_headings(text.split("\n")))


def section_body(text: str, heading: str, new: str) -> Body:
    """Return where the body of the section under `heading` stands, and `new` fitted in there.

    `heading` is the heading line as it stands, or its title alone. Headings of deeper levels, and what stands under
    them, belong to the section; the end of an element around it does not, nor does an input at the end of the text
    that `new` does not hold. Blank lines around the body stay. `new` may open with the heading itself. Raises
    `SectionError` if the heading is not there once, or `new` holds a heading of the section's own level or higher.
    """
    lines = text.split("\n")
    wanted = heading.strip()
    if (element := _element(lines, wanted)) is not None:
        return _fitted(lines, *element, _without_tags(new.strip("\n"), lines[element[0] - 1], lines[element[1]]))
    headings = _headings(lines)
    matching = [one for one in headings if wanted in (_as_written(lines, one), lines[one.first].strip())]
    matching = matching or [one for one in headings if one.title == wanted]
    if len(matching) != 1:
        raise SectionError(_not_one(wanted, matching, headings, lines))
    found = matching[0]
    rest = [one.first for one in headings if one.first > found.last and one.depth <= found.depth]
    body = _without_heading(new, _as_written(lines, found))
    for inner in _headings(body.split("\n")):
        if inner.depth <= found.depth < _NUMBERED_DEPTH:
            raise SectionError(
                f"section too wide: the new body of {wanted!r} holds the heading {inner.title!r} of its own level "
                "or higher; give the body alone, and edit other sections by themselves"
            )
    stop = min(rest, default=len(lines))
    closing = _closing_row(lines, found.last + 1, stop)
    if closing < stop and body.rstrip().endswith(tag := lines[closing].strip()):
        body = body.rstrip().removesuffix(tag).rstrip()  # a model has copied the section up to there
    elif closing < stop and _closes(body, lines[closing]):
        closing = stop  # or farther, with what stands behind the element
    return _fitted(lines, found.last + 1, min(closing, _input_row(text, lines, found.last + 1, stop, body)), body)


def _closing_row(lines: list[str], first: int, stop: int) -> int:
    """The row from `first` on that closes an element which is opened above, `stop` where none before that does."""
    fenced = fenced_rows(lines)
    above: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for row, line in enumerate(lines[:stop]):
        for tag in ANY_TAG.finditer(line) if row not in fenced else ():
            name, opened = tag["name"], inside if row >= first else above
            if not tag["slash"]:
                opened[name] += 1
            elif opened[name]:
                opened[name] -= 1
            elif above[name] and TAG.fullmatch(line):
                return row
    return stop


def _closes(body: str, closing: str) -> bool:
    """Whether a body has the tag, on a line of its own, of an element that is not opened in it."""
    inner = [closing.replace("</", "<", 1), *body.split("\n")]
    return _closing_row(inner, 1, len(inner)) < len(inner)


def _input_row(text: str, lines: list[str], first: int, stop: int, new: str) -> int:
    """The row from `first` on at which the input begins that is filled in at the end of the text; `stop` where there is
    none, or the body that is to take its place has it too.
    """
    row = text.count("\n", 0, input_place(text))
    if not first <= row < stop:
        return stop
    return stop if filled_in("\n".join(lines[row:stop])) <= filled_in(new) else row


def _fitted(lines: list[str], first: int, stop: int, new: str) -> Body:
    """Put `new` in place of the lines from `first` up to `stop`, less the blank ones at both ends."""
    inner_first, inner_stop = first, stop
    while inner_first < stop and not lines[inner_first].strip():
        inner_first += 1
    while inner_stop > inner_first and not lines[inner_stop - 1].strip():
        inner_stop -= 1
    if inner_first < inner_stop:
        start = _offset(lines, inner_first)
        return Body(start, _offset(lines, inner_stop) - 1, new)
    place = _offset(lines, first) - 1
    return Body(place, place, f"\n{new}")


def _offset(lines: list[str], row: int) -> int:
    return sum(len(line) + 1 for line in lines[:row])


def _headings(lines: list[str]) -> list[Heading]:
    fenced = fenced_rows(lines)
    found = (None if row in fenced else _heading_at(lines, row) for row in range(len(lines)))
    return [heading for heading in found if heading is not None]


def _heading_at(lines: list[str], row: int) -> Heading | None:
    line = lines[row]
    if (mark := _HASHES.fullmatch(line)) is not None:
        return Heading(row, row, len(mark["mark"]), mark["title"])
    below = lines[row + 1] if row + 1 < len(lines) else ""
    above = lines[row - 1] if row else ""
    if line.strip() and _UNDERLINE.fullmatch(below) and not above.strip() and not _UNDERLINE.fullmatch(line):
        return Heading(row, row + 1, 1 if "=" in below else 2, line.strip())
    if (mark := _BOLD.fullmatch(line)) is not None:
        return Heading(row, row, _BOLD_DEPTH, mark["title"].rstrip(":"))
    if (mark := _NUMBERED.fullmatch(line)) is not None:
        return Heading(row, row, _NUMBERED_DEPTH + mark["number"].count("."), mark["title"])
    return None


def _as_written(lines: list[str], heading: Heading) -> str:
    return "\n".join(lines[heading.first : heading.last + 1]).strip()


def _without_heading(new: str, heading: str) -> str:
    body = new.strip("\n")
    first = body.split("\n", 1)[0].strip()
    if body.startswith(heading):
        return body[len(heading) :].strip("\n") or body
    return body[len(first) :].strip("\n") or body if first == heading.split("\n")[0] else body


def _without_tags(new: str, opening: str, closing: str) -> str:
    """A body that came with the element's own tags, without them."""
    inner = new.split("\n")
    is_wrapped = len(inner) > 2 and (inner[0].strip(), inner[-1].strip()) == (
        opening.strip(),
        closing.strip(),
    )
    return "\n".join(inner[1:-1]) if is_wrapped else new


def _element(lines: list[str], wanted: str) -> tuple[int, int] | None:
    """Return the lines inside the XML element that `wanted` names by its tag, None if there is not one such element."""
    named = TAG.fullmatch(wanted)
    if named is None or named["slash"]:
        return None
    tags = [(row, tag) for row, line in enumerate(lines) if (tag := TAG.fullmatch(line)) is not None]
    opening = [row for row, tag in tags if tag["name"] == named["name"] and not tag["slash"]]
    closing = [row for row, tag in tags if tag["name"] == named["name"] and tag["slash"]]
    if len(opening) == len(closing) == 1 and opening[0] < closing[0]:
        return opening[0] + 1, closing[0]
    return None


def _not_one(wanted: str, matching: list[Heading], headings: list[Heading], lines: list[str]) -> str:
    if matching:
        return (
            f"ambiguous section: {len(matching)} sections are headed {wanted[:60]!r}; use replace on a passage that "
            "occurs only once"
        )
    if not headings:
        return f"no such section: the text has no headings, so not {wanted[:60]!r} either; use replace or add"
    known = ", ".join(repr(_as_written(lines, one).split("\n")[0]) for one in headings[:_LISTED])
    return f"no such section: no heading is {wanted[:60]!r}; copy one of them as it stands: {known}"
