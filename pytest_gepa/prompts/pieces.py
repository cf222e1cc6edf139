"""Pieces of a prompt, and the prompt without one of them: what an audit takes away to see who notices. Pure.

A piece is a paragraph, a bullet or numbered item with the lines that go on with it, a fenced block, a `field: value`
line, or a heading. A heading stands for its section: without it all that is under it goes too. So does the tag of an
XML element that stands alone on its line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from pytest_gepa.own import OwnName
from pytest_gepa.prompts.hunks import indent
from pytest_gepa.prompts.markup import TAG
from pytest_gepa.prompts.placeholders import EVERY, placeholders
from pytest_gepa.prompts.sections import headings
from pytest_gepa.prompts.templates import template_problems

WHOLE = "whole prompt"
SPANNING = ("heading", "element")
"""Kinds of pieces without which all that is under them goes too."""

Problem = Callable[[str], "str | None"]
"""Takes a text; says why the prompt's file cannot hold it, or None."""

_BULLET = re.compile(r"[ \t]*[-*+•][ \t]+\S")
_NUMBERED = re.compile(r"[ \t]*\(?\d{1,3}[.)][ \t]+\S")
_FENCE = re.compile(r"[ \t]*(`{3,}(?!.*`)|~{3,})")
_FIELD = re.compile(r"[ \t]*(?:[\w\"'*`-]+ ?){1,3}:(?:[ \t]+\S|[ \t]*$)")
_LINE_OF_MARKS = re.compile(r"[ \t]*([-=*_#~])(?:[ \t]*\1){2,}[ \t]*")
_OWN_COMMENT = re.compile(r"[ \t]*(?:<!--|\{#-?|\{\{!(?:--)?|<%#|/\*|#+|//+|;+|--+|%+)[ \t]*gepa:.*")
_UNSEEN_COMMENT = re.compile(r"\s*\{#(?:(?!#\}).)*#\}\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines `first` to `last` of a text, counted from 1.

    Of a heading or an element `reach` is the last line of all that stands under it, of every other piece it is `last`.
    """

    kind: str
    first: int
    last: int
    reach: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A prompt without lines `first` to `last`, which are `kind`: the whole prompt, or a piece.

    `text` is what is left, None where they cannot be left out, for the `reason`.
    """

    kind: OwnName
    first: int
    last: int
    text: str | None
    reason: str = ""


def find_pieces(text: str) -> tuple[Piece, ...]:
    """Return the pieces of a text in order. They do not overlap, and only blank lines stand between them."""
    lines = text.split("\n")
    titles = {one.first: one for one in headings(text) if not one.is_numbered}
    found: list[tuple[str, list[int]]] = []
    row = 0
    while row < len(lines):
        if not lines[row].strip():
            row += 1
            continue
        if (heading := titles.get(row)) is not None:
            rows, kind = list(range(heading.first, heading.last + 1)), "heading"
        elif _LINE_OF_MARKS.fullmatch(lines[row]) and found:
            found[-1][1].extend(range(found[-1][1][-1] + 1, row + 1))
            row += 1
            continue
        else:
            kind = _kind(lines[row])
            rows = list(range(row, _end(lines, row, kind, titles)))
        found.append((kind, rows))
        row = rows[-1] + 1
    pieces = [Piece(kind, rows[0] + 1, rows[-1] + 1, rows[-1] + 1) for kind, rows in found]
    return tuple(_with_reach(lines, pieces, text))


def without(text: str, pieces: Collection[Piece]) -> str:
    """Return the text without some of its pieces, and without the blank lines that only set these apart."""
    lines = text.split("\n")
    dropped = {row for piece in pieces for row in range(piece.first - 1, piece.last)}
    kept: list[str] = []
    after_cut = False
    for row, line in enumerate(lines):
        if row in dropped:
            after_cut = True
        elif line.strip():
            kept.append(line)
            after_cut = False
        elif not (after_cut and (not kept or not kept[-1].strip())) or row == len(lines) - 1:
            kept.append(line)
    return "\n".join(kept)


def find_cuts(text: str, within: frozenset[str] = EVERY, problem: Problem = lambda _: None) -> tuple[Cut, ...]:
    """Return what can be taken from a text: first the whole prompt, then each piece in order.

    Placeholders stay: without its prompt a case must still be one. `within` are the template syntaxes that may be in
    use, `problem` says what the file cannot hold.
    """
    pieces = find_pieces(text)
    if not pieces:
        return ()

    def reason_against(left: str) -> str:
        lost = sorted(placeholders(text, within) - placeholders(left, within))
        if lost:
            return f"it holds the only {', '.join(lost)}"
        return next(template_problems(text, left, within), None) or problem(left) or ""

    return (_blank(text, pieces, within, reason_against), *_single_cuts(text, pieces, reason_against))


def _blank(text: str, pieces: Sequence[Piece], within: frozenset[str], reason_against: Callable[[str], str]) -> Cut:
    """The prompt with nothing but its placeholders."""
    first, last = pieces[0].first, pieces[-1].last
    lines = text.split("\n")
    names = placeholders(text, within)
    bare = "\n".join(sorted(names, key=lambda name: (text.find(name) < 0, text.find(name), name)))
    plain = [one for one in pieces if not placeholders("\n".join(lines[one.first - 1 : one.last]), within) & names]
    # A template with blocks is none without the lines around them.
    left = without(text, plain)
    for attempt in dict.fromkeys((bare, left)):
        if attempt != text and attempt.strip() != text.strip() and not reason_against(attempt):
            return Cut(WHOLE, first, last, attempt)
    return Cut(WHOLE, first, last, None, reason_against(bare) or "it is nothing but placeholders")


def _single_cuts(text: str, pieces: Sequence[Piece], reason_against: Callable[[str], str]) -> Iterator[Cut]:
    lines = text.split("\n")
    for piece in pieces:
        inside = [one for one in pieces if piece.first <= one.first <= piece.reach]
        shown = "\n".join(lines[piece.first - 1 : piece.reach])
        if piece.kind == "end of element":
            continue  # it goes with the element
        if piece.kind == "comment":
            yield Cut(piece.kind, piece.first, piece.reach, None, "it marks a protected passage")
        elif _UNSEEN_COMMENT.fullmatch(shown):
            yield Cut("comment", piece.first, piece.reach, None, "it is a comment, which no model sees")
        else:
            left = without(text, inside)
            reason = reason_against(left)
            yield Cut(piece.kind, piece.first, piece.reach, None if reason else left, reason)


def _kind(line: str) -> str:
    """The kind of the piece that a line begins, where the line before does not go on with it."""
    if _OWN_COMMENT.fullmatch(line):
        return "comment"
    if (tag := TAG.fullmatch(line)) is not None:
        return "end of element" if tag["slash"] else "element"
    kinds = ((_FENCE, "fenced block"), (_BULLET, "bullet"), (_NUMBERED, "numbered item"), (_FIELD, "field"))
    return next((kind for pattern, kind in kinds if pattern.match(line)), "paragraph")


def _end(lines: Sequence[str], row: int, kind: str, titles: Collection[int]) -> int:
    """The row behind the piece of this kind that begins in `row`."""
    if kind == "fenced block":
        return _fence_end(lines, row)
    if kind in ("comment", "element", "end of element"):
        return row + 1
    margin = indent(lines[row])
    end = at = row + 1
    while at < len(lines):
        line = lines[at]
        is_apart = end < at
        if not line.strip():
            at += 1
            continue
        is_inner = kind != "paragraph" and indent(line) > margin
        if at in titles or (is_apart and not is_inner):
            break
        begun = _kind(line)
        if begun == "fenced block" and is_inner:
            at = end = _fence_end(lines, at)
            continue
        if begun == "paragraph" or (begun == "field" and kind != "field"):
            at = end = at + 1
            continue
        break
    return end


def _fence_end(lines: Sequence[str], row: int) -> int:
    opening = _FENCE.match(lines[row])
    mark = opening[1] if opening else "```"
    for at in range(row + 1, len(lines)):
        closing = _FENCE.match(lines[at])
        if closing and closing[1].startswith(mark):
            return at + 1
    return len(lines) - (not lines[-1].strip() and len(lines) - 1 > row)


def _with_reach(lines: Sequence[str], pieces: Sequence[Piece], text: str) -> Iterator[Piece]:
    """The pieces, headings and elements with the last line of what is under them."""
    depths = {one.first + 1: one.depth for one in headings(text) if not one.is_numbered}
    for at, piece in enumerate(pieces):
        later = pieces[at + 1 :]
        stop = len(later)
        if piece.kind == "heading":
            depth = depths[piece.first]
            higher = (n for n, one in enumerate(later) if depths.get(one.first, 99) <= depth)
            stop = next(higher, len(later))
        elif piece.kind == "element":
            stop = _element_stop(lines, piece, later)
        inside = later[:stop] if piece.kind in SPANNING else ()
        yield Piece(piece.kind, piece.first, piece.last, inside[-1].last if inside else piece.last)


def _element_stop(lines: Sequence[str], piece: Piece, later: Sequence[Piece]) -> int:
    """How many of the later pieces are in the element; none of one that is not closed."""
    opening = TAG.fullmatch(lines[piece.first - 1])
    name = opening["name"] if opening else ""
    depth = 1
    for at, one in enumerate(later):
        tag = TAG.fullmatch(lines[one.first - 1])
        if tag is not None and tag["name"] == name:
            depth += -1 if tag["slash"] else 1
        if not depth:
            return at + 1
    return 0
