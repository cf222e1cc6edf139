"""Where an addition goes that names no place: to the end, but not behind the input that is filled in there."""

from __future__ import annotations

import re
from itertools import groupby

from pytest_gepa.errors import PromptError
from pytest_gepa.prompts.format_fields import is_for_format
from pytest_gepa.prompts.formats.front_matter import has_block
from pytest_gepa.prompts.items import BULLET
from pytest_gepa.prompts.markup import elements
from pytest_gepa.prompts.placeholders import DOLLAR, FORMAT, JINJA, PRINTF, SQUARE, placeholders, syntax
from pytest_gepa.prompts.protected import protected_regions

_FILLED_IN = frozenset({FORMAT, JINJA, DOLLAR, SQUARE, PRINTF})
_POSITIONAL = re.compile(r"(?<!\{)\{\d*\}(?!\})")
_UNNAMED = re.compile(r"\{\d*\}|%[^(].*")
# Whatever is filled in, block tags included, as far as one line shows it.
_FIELD = re.compile(
    r"\{{1,3}[^{}\n]*\}{1,3}|\[\[[^\[\]\n]*\]\]|\$(?:\w+|\{\w+\})|%(?:\([^()\n]*\))?[-+#.\d]{0,6}[a-zA-Z]"
)
_BLOCK_TAG = re.compile(r"\{%|\{\{\s*(?:[#/^]|else\b)")
_JINJA_TAG = re.compile(r"\{%[-+~]?\s*(?P<name>\w+)(?P<rest>[^%]*)")
_MUSTACHE_TAG = re.compile(r"\{\{~?(?P<mark>[#^/])~?\s*[\w>*@.]")
# A line that belongs to what comes behind it: a heading, a name and a colon, a tag or a fence that opens.
_LEADS_IN = re.compile(r"#{1,6}\s.*|.*[:：]|<[^</>]+>|```.*|[-*_]{3,}|\"{3}|'{3}")
# One that may open a part of an example as well; fences and rules of dashes open anything.
_TURN = re.compile(r"#{1,6}\s.*|.*[:：]|<[^</>]+>")
_CODE = re.compile(r"\s*(?:```|~~~)\s*\w")
_CLOSING = re.compile(r"</[^<>]+>|\{%[-+~]?\s*end\w*\s*[-+~]?%\}|\{\{~?/[^{}]*\}\}")
# A heading that calls for rules and not for an answer.
_AWAITS_RULES = re.compile(
    r".*\b(?:rules|notes|guidelines|instructions|examples|hints|constraints|tips)\W*", re.IGNORECASE
)


def addition_place(text: str) -> int:
    """Return the position before which an addition to `text` goes: its end, or the start of the input at its end
    (`input_place`). Where the line that leads in to the input opens a paragraph above too, as `user:` does in examples
    told in turns, it is the start of the first of these: what stands between the last and the input is its answer.
    """
    found = _input(text)
    if found is None:
        return len(text)
    paragraphs, first = found
    lead = _first_line(paragraphs[first][1])
    if _TURN.fullmatch(lead) is not None:
        turn = _outside_of_elements(text, paragraphs, _first_turn(paragraphs, first, lead))
        turn = _outside_of_blocks(text, paragraphs, turn)
        first = _led_in(paragraphs, turn)
    place = paragraphs[first][0]
    return input_place(text) if _is_protected(text, place) else place


def input_place(text: str) -> int:
    """Return where the last paragraphs of `text` begin if these are filled in (`Text: {text}`), with what leads in to
    them and calls for the answer (`Answer:`); its end if they are not.

    A single paragraph is no input unless that calls for the answer; nor is a list of rules (`- Answer in {language}.`).
    An input is no part of a block of template code or of a protected region.
    """
    found = _input(text)
    if found is None:
        return len(text)
    paragraphs, first = found
    return paragraphs[first][0]


def _input(text: str) -> tuple[list[tuple[int, str]], int] | None:
    """The paragraphs of a text, and which of them is the first of the input at its end; None where there is none."""
    names = filled_in(text)
    paragraphs = _paragraphs(text) if names else []
    last = _last(paragraphs)
    if last is None or not _is_input(paragraphs[last][1], {name for name in names if not _is_tag(name)}):
        return None
    first = last
    while first and _is_input(paragraphs[first - 1][1], names):
        first -= 1
    if not first:
        first = _first_slots(paragraphs, last)
    is_parted = _parts_a_block(text, paragraphs[first][0])
    start = _outside_of_blocks(text, paragraphs, first)
    first = _led_in(paragraphs, start)
    place = paragraphs[first][0]
    is_alone = first == 0 and start == 0 and (is_parted or not _leads_in(paragraphs[-1][1]))
    is_none = is_alone or has_block(text) or "<%" in text[place:] or _is_protected(text, place)
    return None if is_none else (paragraphs, first)


def _outside_of_blocks(text: str, paragraphs: list[tuple[int, str]], first: int) -> int:
    """The paragraph at which no block of template code is open, the last up to this one."""
    while first and _parts_a_block(text, paragraphs[first][0]):
        first -= 1
    return first


def _first_turn(paragraphs: list[tuple[int, str]], first: int, lead: str) -> int:
    """The first paragraph that opens with the line, but for those above a heading of rules: they are no examples."""
    turn = first
    for at in range(first - 1, -1, -1):
        line = _first_line(paragraphs[at][1])
        if _AWAITS_RULES.fullmatch(line):
            break
        turn = at if line == lead else turn
    return turn


def _outside_of_elements(text: str, paragraphs: list[tuple[int, str]], first: int) -> int:
    """The last paragraph up to this one that begins in no element."""
    row = text.count("\n", 0, paragraphs[first][0])
    for one in elements(text.split("\n")):
        if one.first < row <= one.last:
            row = one.first
    while first and text.count("\n", 0, paragraphs[first][0]) > row:
        first -= 1
    return first


def _led_in(paragraphs: list[tuple[int, str]], first: int) -> int:
    """The first of the paragraphs that lead in to this one, or this one."""
    while first and _leads_in(paragraphs[first - 1][1]):
        first -= 1
    return first


def _first_line(paragraph: str) -> str:
    return paragraph.split("\n", 1)[0].strip()


def filled_in(text: str) -> frozenset[str]:
    """Return the placeholders by which an input may get into `text`: the tags of blocks too, and fields without a name
    where no brace speaks against `str.format`.
    """
    named = {name for name in placeholders(text) if syntax(name) in _FILLED_IN}
    return frozenset(named.union(_POSITIONAL.findall(text)) if is_for_format(text) else named)


def _paragraphs(text: str) -> list[tuple[int, str]]:
    """The lines between blank ones, joined, each with the position at which it begins."""
    rows: list[tuple[int, str]] = []
    position = 0
    for line in text.split("\n"):
        rows.append((position, line))
        position += len(line) + 1
    groups = (list(group) for _, group in groupby(rows, key=lambda row: bool(row[1].strip())))
    return [(group[0][0], "\n".join(line for _, line in group)) for group in groups if group[0][1].strip()]


def _last(paragraphs: list[tuple[int, str]]) -> int | None:
    """The last paragraph but for those that do no more than to call for the answer; None where there is none.

    They do so only below what is an input and nothing else: below `You help {name}.` a heading awaits a text.
    """
    last = len(paragraphs) - 1
    while last > 0 and _calls(paragraphs[last][1]):
        last -= 1
    if last < len(paragraphs) - 1 and not any(map(_is_slot, paragraphs[last][1].split("\n"))):
        return None
    return last if last >= 0 else None


def _first_slots(paragraphs: list[tuple[int, str]], last: int) -> int:
    """The first paragraph of the input where all are filled in: the last one, with those above it that have places of
    their own to be filled in. What the text is about stands above them, in one at least (`You help {name}.`).
    """
    first = last
    while first > 1 and any(map(_is_slot, paragraphs[first - 1][1].split("\n"))):
        first -= 1
    return first


def _calls(paragraph: str) -> bool:
    """Whether a paragraph is only what leads in to the answer, or what closes the tag around the input."""
    lines = [line.strip() for line in paragraph.split("\n")]
    return all(
        (_LEADS_IN.fullmatch(line) and not _AWAITS_RULES.fullmatch(line)) or _CLOSING.fullmatch(line) for line in lines
    )


def _is_input(paragraph: str, names: frozenset[str] | set[str]) -> bool:
    """Whether a paragraph is filled in with one of these placeholders, and is no list of rules."""
    lines = paragraph.split("\n")
    if _is_list_of_rules(lines):
        return False
    unnamed = {name for name in names if _UNNAMED.fullmatch(name)}
    return _has_slot(lines, unnamed) or not placeholders(paragraph).isdisjoint(names - unnamed)


def _has_slot(lines: list[str], unnamed: set[str]) -> bool:
    """Whether one of these fields without a name stands where an input does: `{}` is an empty object as well, and `%d`
    a part of a date.
    """
    if any(_CODE.match(line) for line in lines):
        return False
    return any(name in line for line in lines for name in unnamed if _is_slot(line) and not line[0].isspace())


def _is_list_of_rules(lines: list[str]) -> bool:
    """Whether a paragraph ends with a list whose items say more than what is filled in (`- Subject: {subject}`)."""
    items = [row for row, line in enumerate(lines) if BULLET.match(line)]
    if not items or any(not line[:1].isspace() for line in lines[items[-1] + 1 :]):
        return False
    return 2 * sum(_is_slot(lines[row]) for row in items) < len(items)


def _is_slot(line: str) -> bool:
    """Whether a line is nothing but a place to be filled in, with its label or its tags."""
    bullet = BULLET.match(line)
    before, *behind = _FIELD.split(line[bullet.end() :] if bullet is not None else line)
    if not behind or re.search(r"\w", _CLOSING.sub("", "".join(behind))):
        return False
    return not re.search(r"\w", before) or before.rstrip(" \t\"'`*_([").endswith((":", "：", ">", "="))


def _is_tag(name: str) -> bool:
    return _BLOCK_TAG.match(name) is not None


def _parts_a_block(text: str, place: int) -> bool:
    """Whether a block of template code is open at a place of a text."""
    depth = sum({"/": -1}.get(tag["mark"], 1) for tag in _MUSTACHE_TAG.finditer(text, 0, place))
    blocks = {tag["name"] for tag in _JINJA_TAG.finditer(text)}
    for tag in _JINJA_TAG.finditer(text, 0, place):
        name, is_assignment = tag["name"], tag["name"] == "set" and "=" in tag["rest"]
        depth += f"end{name}" in blocks and not is_assignment
        depth -= name.startswith("end")
    return depth != 0


def _leads_in(paragraph: str) -> bool:
    return _LEADS_IN.fullmatch(paragraph.rsplit("\n", 1)[-1].strip()) is not None


def _is_protected(text: str, place: int) -> bool:
    try:
        regions = protected_regions(text)
    except PromptError:
        return False
    return any(region.start < place < region.end for region in regions)
