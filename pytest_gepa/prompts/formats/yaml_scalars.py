"""How a text is written in place of a YAML scalar: in its present style if that can hold it, else in one that can."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_gepa.prompts.formats.document import line_end_of
from pytest_gepa.prompts.formats.splice import Spelled, hunks, is_shown, spelled_by, spliced
from pytest_gepa.prompts.formats.yaml_blocks import folded, literal, new_block, read_block

# What plain text may be taken for something else by: words that are truth values, nothing or numbers to some reader.
_TAKEN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", "none"})
_NOT_PLAIN = re.compile(r":(?:\s|\Z)|\s#|[\[\]{},`]|\s\Z")
_FOLD = re.compile(r"[ \t]*(?P<breaks>(?:(?:\r\n|\r|\n)[ \t]*)+)")
_ESCAPE = re.compile(
    r"\\(?:x(?P<x>.{2})|u(?P<u>.{4})|U(?P<U>.{8})|(?P<fold>(?:(?:\r\n|\r|\n)[ \t]*)+)|(?P<one>.))", re.DOTALL
)
_RUN = re.compile(r"[^\s\\']+")
_ESCAPED = {
    "0": "\0",
    "a": "\x07",
    "b": "\x08",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\x0b",
    "f": "\x0c",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", '"': '\\"', "\\": "\\\\"}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A scalar in the content of its file. `style` is "" for a plain one.

    `column` is that of the collection that holds it, None where no block may stand: inside brackets.
    """

    content: str
    start: int
    end: int
    text: str
    style: str
    column: int | None

    @property
    def source(self) -> str:
        """What stands in the file."""
        return self.content[self.start : self.end]


def spellings(scalar: Scalar, text: str) -> Iterator[str]:
    """Replacements of the scalar that should read as `text`, the one most like today's first."""
    if scalar.style in ("|", ">"):
        block = read_block(scalar.source, scalar.text, scalar.column)
        if block is not None:
            if scalar.style == ">":
                yield from folded(block, scalar.text, text)
            yield from literal(block, scalar.text, text)
        yield from _quoted_in_place_of_a_block(scalar, text)
        return
    if "\n" in text and ("\n" not in scalar.text or scalar.style != '"'):
        yield from _as_new_block(scalar, text)
    yield from _as_it_is(scalar, text)
    yield _double_quoted(text)


def _quoted_in_place_of_a_block(scalar: Scalar, text: str) -> Iterator[str]:
    """On the line of the block's header, whose comment stays."""
    header, line_end = scalar.source.splitlines()[0], re.search(r"(?:\r\n|\r|\n)?\Z", scalar.source)
    comment = header.lstrip("|>+-0123456789").rstrip("\r\n")
    yield _double_quoted(text) + comment + (line_end.group() if line_end is not None else "")


def _as_new_block(scalar: Scalar, text: str) -> Iterator[str]:
    """A literal block, if the scalar is the last thing on its line."""
    if scalar.column is not None and scalar.content[scalar.end : scalar.end + 1] in ("", "\r", "\n"):
        yield from literal(new_block(scalar.column, line_end_of(scalar.content)), "", text)


def _as_it_is(scalar: Scalar, text: str) -> Iterator[str]:
    """In the present style: with today's folds and escapes first, then on one line."""
    spell = {"": _plain_run, "'": _single_run, '"': _double_run}[scalar.style]
    if scalar.style == "" and not _is_plain(text):
        return
    spelled = _read(scalar.source, scalar.style)
    if spelled.text == scalar.text:
        source = spliced(scalar.source, spelled, hunks(scalar.text, text), spell)
        if source is not None:
            yield source
    whole = spell(text)
    if whole is not None:
        yield scalar.style + whole + scalar.style


def _is_plain(text: str) -> bool:
    """Whether every YAML reader, of 1.1 or 1.2, would take the text without quotes for a text."""
    return (
        text[:1].isalpha()
        and text.lower() not in _TAKEN
        and all(map(is_shown, text))
        and _NOT_PLAIN.search(text) is None
    )


def _plain_run(text: str) -> str | None:
    return text if all(map(is_shown, text)) else None


def _single_run(text: str) -> str | None:
    return text.replace("'", "''") if all(map(is_shown, text)) else None


def _double_run(text: str) -> str:
    return "".join(one if is_shown(one) and one not in '"\\' else _SHORT.get(one) or _number(one) for one in text)


def _number(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02X}" if code < 0x100 else f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _double_quoted(text: str) -> str:
    return f'"{_double_run(text)}"'


def _read(source: str, style: str) -> Spelled:
    """Read a plain or quoted scalar; not always right where the source is odd."""
    end = len(source) - len(style)
    return spelled_by(0, len(source), end, _parts(source, style, end))


def _parts(source: str, style: str, end: int) -> Iterator[tuple[str, int, int]]:
    position = len(style)
    while position < end:
        fold = _FOLD.match(source, position, end)
        escape = _ESCAPE.match(source, position, end) if style == '"' else None
        run = _RUN.match(source, position, end)
        if fold is not None:
            count = len(re.findall(r"\r\n|\r|\n", fold["breaks"])) - 1
            said, finish = "\n" * count or " ", fold.end()
        elif escape is not None:
            said, finish = _said(escape), escape.end()
        elif style == "'" and source.startswith("''", position):
            said, finish = "'", position + 2
        else:
            finish = run.end() if run is not None else position + 1
            said = source[position:finish]
        yield said, position, finish
        position = finish


def _said(escape: re.Match[str]) -> str:
    digits = escape["x"] or escape["u"] or escape["U"]
    if digits:
        try:
            return chr(int(digits, 16))
        except ValueError:
            return "\0"
    if escape["fold"] is not None:
        return "\n" * (len(re.findall(r"\r\n|\r|\n", escape["fold"])) - 1)
    return _ESCAPED.get(escape["one"], "\0")
