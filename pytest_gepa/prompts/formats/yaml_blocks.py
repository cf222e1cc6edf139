"""Block scalars of YAML, literal (`|`) and folded (`>`): how a text is written in one, line for line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pytest_gepa.prompts.formats.splice import Spelled, hunks, is_shown, spliced

STEP = 2
"""Columns by which the lines of a new block stand further right than the key above them."""

_HEADER = re.compile(r"[|>](?P<marks>[-+0-9]*)(?P<comment>[^\r\n]*)(?P<line_end>\r\n|\r|\n|\Z)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Block:
    """A block scalar as it stands: the marks behind `|` or `>`, the rest of that line, and the lines below it.

    `indent` is the number of columns before each line, `parent` the column of the collection that holds the
    scalar.
    """

    marks: str
    comment: str
    lines: tuple[str, ...]
    indent: int
    parent: int
    line_end: str


def block_end(content: str, start: int, end: int, text: str) -> int:
    """Where a block scalar ends: blank lines below it belong to it only if its header keeps them (`|+`)."""
    header = _HEADER.match(content, start)
    if header is None or "+" in header["marks"]:
        return end
    lines = _LINE.findall(content[header.end() : end])
    indent = _indent(lines, text) or 0
    while lines and len(lines[-1].rstrip("\r\n")) <= indent and not lines[-1].strip():
        end -= len(lines.pop())
    return end


def read_block(source: str, text: str, parent: int | None) -> Block | None:
    """Take a block scalar apart; None if it holds nothing but white space, or stands in no plain place."""
    header = _HEADER.match(source)
    if header is None or parent is None:
        return None
    lines = _LINE.findall(source[header.end() :])
    indent = _indent(lines, text)
    if indent is None:
        return None
    line_end = header["line_end"] or "\n"
    return Block(header["marks"], header["comment"], tuple(lines), indent, parent, line_end)


def new_block(parent: int, line_end: str) -> Block:
    """The frame of a literal block for a scalar that has been none."""
    return Block("", "", (), parent + STEP, parent, line_end)


def literal(block: Block, old: str, text: str) -> Iterator[str]:
    """The text as a literal block; lines that stay are taken over as they are. Nothing if no block can hold it."""
    header = _header("|", block, text, old if block.lines else "")
    if header is None:
        return
    known = [line.rstrip("\r\n") for line in block.lines]
    before, after = _lines(old), _lines(text)
    if len(known) != len(before):
        before = []
    made: list[str] = []
    for tag, i, j, k, m in _operations(before, after):
        if tag == "equal":
            made += known[i:j]
        else:
            made += [" " * block.indent + line if line else "" for line in after[k:m]]
    yield from _closed(block, [header, *made])


def folded(block: Block, old: str, text: str) -> Iterator[str]:
    """The text as a folded block: paragraphs that stay keep their folds, changed ones where they can."""
    header = _header(">", block, text, old)
    groups = _groups(block, old)
    if header is None or groups is None:
        return
    for keep_folds in (_spliced_group, _unfolded_group):
        before, after = [line for line in _lines(old) if line], [line for line in _lines(text) if line]
        made: list[str] = []
        for tag, i, j, k, m in _operations(before, after):
            if tag == "equal":
                made += groups[i:j]
            elif j - i == m - k:
                made += [
                    keep_folds(block, group, one, other)
                    for group, one, other in zip(groups[i:j], before[i:j], after[k:m], strict=True)
                ]
            else:
                made += [" " * block.indent + line for line in after[k:m]]
        yield from _closed(block, [header, *_with_blank_lines(_lines(text), made)])


def _indent(lines: Sequence[str], text: str) -> int | None:
    """The columns before each line: what the first line with a visible character has more than its text."""
    line = next((line for line in lines if line.strip()), None)
    said = next((line for line in text.split("\n") if line.strip()), None)
    if line is None or said is None:
        return None
    return _leading_spaces(line) - _leading_spaces(said)


def _leading_spaces(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _header(style: str, block: Block, text: str, old: str) -> str | None:
    """The first line of a block that holds the text; None if none can. What the `old` text has, a block can hold."""
    if not text.strip("\n") or not all(is_shown(one) or one in "\t\n" for one in set(text) - set(old)):
        return None
    digit = "".join(one for one in block.marks if one.isdigit())
    # White space before the first line would be taken for the indentation of all of them.
    if not digit and text.lstrip("\n")[0] in " \t":
        if not 1 <= block.indent - block.parent <= 9:
            return None
        digit = str(block.indent - block.parent)
    ends = len(text) - len(text.rstrip("\n"))
    is_kept = ends > 1 or (ends == 1 and "+" in block.marks)
    return style + digit + ("+" if is_kept else "" if ends else "-") + block.comment


def _closed(block: Block, lines: Sequence[str]) -> Iterator[str]:
    """Join lines such that the last one ends as today's, then in the other way."""
    joined = block.line_end.join(lines)
    is_open = not block.lines or not block.lines[-1].endswith(("\r", "\n"))
    ways = (joined, joined + block.line_end)
    yield from ways if is_open else reversed(ways)


def _operations(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    return list(SequenceMatcher(None, before, after, autojunk=False).get_opcodes())


def _groups(block: Block, text: str) -> list[str] | None:
    """The source lines of each paragraph of a folded block, without the last line end; None if they do not fit."""
    groups: list[list[str]] = []
    is_open = False
    for line in (line.rstrip("\r\n")[block.indent :] for line in block.lines):
        is_spaced = line.startswith((" ", "\t"))
        if line and is_open and not is_spaced:
            groups[-1].append(line)
        elif line:
            groups.append([line])
        is_open = bool(line) and not is_spaced
    if [" ".join(group) for group in groups] != [line for line in _lines(text) if line]:
        return None
    return [_joined(block, group) for group in groups]


def _joined(block: Block, group: Sequence[str]) -> str:
    margin = " " * block.indent
    return block.line_end.join(margin + line for line in group)


def _spliced_group(block: Block, group: str, old: str, text: str) -> str:
    """Change a paragraph between its folds, each of which is a space of the text."""
    fold = block.line_end + " " * block.indent
    offsets: list[int] = []
    position = block.indent
    for line in group[block.indent :].split(fold):
        offsets += range(position, position + len(line) + 1)  # the fold begins behind the line
        position += len(line) + len(fold)
    spelled = Spelled(0, len(group), old, offsets)
    if len(offsets) != len(old) + 1:
        return _unfolded_group(block, group, old, text)
    return spliced(group, spelled, hunks(old, text), lambda run: run) or ""


def _unfolded_group(block: Block, group: str, old: str, text: str) -> str:
    return " " * block.indent + text


def _with_blank_lines(lines: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Put the blank lines between paragraphs by which a folded block spells the line ends of its text."""
    made: list[str] = []
    waiting = list(groups)
    previous: str | None = None
    blanks = 0
    for line in lines:
        if not line:
            blanks += 1
            continue
        # Between two lines that could be folded a line end takes a blank line more.
        is_foldable = previous is not None and not line[0].isspace() and not previous[0].isspace()
        made += [""] * (blanks + is_foldable)
        made.append(waiting.pop(0))
        previous, blanks = line, 0
    return made + [""] * blanks
