"""The string literals of Python: how to read them piece by piece, and how another text is written in their place."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.splice import Spelled, Splice, hunks, is_shown, spelled_by, spliced

_LITERAL = re.compile(
    r"(?P<prefix>[rRuU]?)(?P<quote>'''|\"\"\"|'|\")(?P<body>(?:\\(?:\r\n|.)|[^\\])*?)(?P=quote)", re.DOTALL
)
_BETWEEN = re.compile(r"(?:\s|\\(?:\r\n|\r|\n)|#[^\r\n]*)*")
_COMMENT = re.compile(r"[ \t]*#[^\r\n]*")
_LINE_END = r"\r\n|\r|\n"
_PART = re.compile(
    rf"\\(?P<fold>{_LINE_END})|\\(?P<octal>[0-7]{{1,3}})|\\x(?P<x>[0-9a-fA-F]{{2}})|\\u(?P<u>[0-9a-fA-F]{{4}})"
    rf"|\\U(?P<U>[0-9a-fA-F]{{8}})|\\N\{{(?P<name>[^}}]+)\}}|\\(?P<one>[\\'\"abfnrtv])|(?P<end>\r\n|\r)"
    r"|[^\\\r]+|\\",
    re.DOTALL,
)
_RAW_PART = re.compile(r"(?P<end>\r\n|\r)|[^\r]+")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


@dataclass(frozen=True, slots=True)
class Literal:
    """One string literal in a source: its prefix and quotes, and what its characters spell."""

    prefix: str
    quote: str
    spelled: Spelled

    @property
    def is_raw(self) -> bool:
        """Whether backslashes stand for themselves."""
        return self.prefix in ("r", "R")


@dataclass(frozen=True, slots=True)
class Writing:
    """What a file asks of what is written into it: its line ends, and the characters that its encoding can hold."""

    line_end: str
    can_hold: Callable[[str], bool]


def read_literals(source: str, start: int, end: int) -> list[Literal]:
    """Read the literals of one constant, several where they are concatenated. Raises `FormatError`."""
    literals: list[Literal] = []
    position = start
    while position < end:
        literal = _LITERAL.match(source, position, end)
        if literal is None:
            raise FormatError("the literal is written in a way that is not understood")
        literals.append(_read(source, literal))
        between = _BETWEEN.match(source, literal.end(), end)
        position = between.end() if between is not None else literal.end()
    return literals


def spellings(source: str, literals: Sequence[Literal], text: str, writing: Writing) -> Iterator[str]:
    """Replacements of the source, from its first literal to its last, that should read as `text`."""
    old = "".join(literal.spelled.text for literal in literals)
    first = literals[0]
    # A text that gets its first line end is easier to review as lines than as one line with escapes.
    if len(literals) == 1 and len(first.quote) == 1 and "\n" in text and "\n" not in old:
        yield _whole(_with_quote(first, first.quote * 3), text, writing)
    changes = hunks(old, text)
    yield from _with_lines_of_their_own(source, literals, changes, old, writing)
    changes_by_literal = _distributed(literals, changes)
    for write in (_spliced_literal, _respelled_literal, _without_raw):
        made = [
            write(source, literal, of_literal, writing) if of_literal else _source(source, literal)
            for literal, of_literal in zip(literals, changes_by_literal, strict=True)
        ]
        if None not in made:
            yield _joined(source, literals, [one or "" for one in made])


def _read(source: str, literal: re.Match[str]) -> Literal:
    pattern, said = (_RAW_PART, _said_raw) if literal["prefix"] in ("r", "R") else (_PART, _said)
    parts = ((said(part), *part.span()) for part in pattern.finditer(source, *literal.span("body")))
    spelled = spelled_by(*literal.span(), literal.end("body"), parts)
    return Literal(literal["prefix"], literal["quote"], spelled)


def _said_raw(part: re.Match[str]) -> str:
    return "\n" if part["end"] else part.group()


def _said(part: re.Match[str]) -> str:
    digits = part["x"] or part["u"] or part["U"]
    if part["fold"]:
        return ""
    if part["octal"]:
        return chr(int(part["octal"], 8))
    if digits:
        return chr(int(digits, 16))
    if part["name"]:
        try:
            return unicodedata.lookup(part["name"])
        except KeyError:
            raise FormatError(f"\\N{{{part['name']}}} is no character that is known here") from None
    if part["one"]:
        return _ESCAPED.get(part["one"], part["one"])
    return _said_raw(part)


def _source(source: str, literal: Literal) -> str:
    return source[literal.spelled.start : literal.spelled.end]


def _joined(source: str, literals: Sequence[Literal], made: Sequence[str]) -> str:
    """Put literals into the places of others; what stands between them, comments for one, stays."""
    parts = []
    position = literals[0].spelled.start
    for literal, one in zip(literals, made, strict=True):
        parts += [source[position : literal.spelled.start], one]
        position = literal.spelled.end
    return "".join(parts)


def _distributed(literals: Sequence[Literal], changes: Sequence[Splice]) -> list[list[Splice]]:
    """Give each literal the changes inside it; what is put in at a border goes to the literal before it."""
    ends = list(accumulate(len(literal.spelled.text) for literal in literals))
    found: list[list[Splice]] = [[] for _ in literals]
    for change in changes:
        text = change.text
        at = bisect_left(ends, change.start if change.start == change.end else change.start + 1)
        while True:
            start = ends[at - 1] if at else 0
            stop = min(change.end, ends[at])
            found[at].append(Splice(max(change.start, start) - start, stop - start, text))
            text = ""
            at += 1
            if change.end <= stop:
                break
    return found


def _with_lines_of_their_own(
    source: str, literals: Sequence[Literal], changes: Sequence[Splice], old: str, writing: Writing
) -> Iterator[str]:
    """Where each line of the text is a literal on a line of its own, add and remove whole literals."""
    texts = [literal.spelled.text for literal in literals]
    if len(literals) < 2 or not all(text.endswith("\n") for text in texts[:-1]):
        return
    ends = list(accumulate(map(len, texts)))
    added: dict[int, str] = {}  # by the literal before it
    removed: set[int] = set()
    inner: list[Splice] = []
    for change in changes:
        is_added = change.start == change.end and change.start in ends and old[change.start - 1] == "\n"
        covered = {at for at, end in enumerate(ends) if change.start <= end - len(texts[at]) and end <= change.end}
        if is_added and change.text.endswith("\n"):
            added[ends.index(change.start)] = change.text
        elif covered and not change.text and change.end - change.start == sum(len(texts[at]) for at in covered):
            removed |= covered
        else:
            inner.append(change)
    if not added and (not removed or len(removed) == len(literals)):
        return
    made = []
    for at, (literal, of_literal) in enumerate(zip(literals, _distributed(literals, inner), strict=True)):
        one = _spliced_literal(source, literal, of_literal, writing)
        if one is None:
            return
        made.append("" if at in removed else one)
    lines = [_lines_after(source, one, added.get(at, ""), writing) for at, one in enumerate(literals)]
    yield _joined_with_lines(source, literals, made, lines)


def _lines_after(source: str, literal: Literal, text: str, writing: Writing) -> str:
    """New literals below another one, a line each."""
    line = max(source.rfind("\n", 0, literal.spelled.start), source.rfind("\r", 0, literal.spelled.start)) + 1
    margin = source[line : literal.spelled.start]
    if margin.strip():
        margin = " " * len(margin)
    like = Literal("", literal.quote[0], literal.spelled)
    return "".join(
        writing.line_end + margin + _whole(like, one, writing) for one in re.findall(r"[^\n]*\n|[^\n]+", text)
    )


def _joined_with_lines(source: str, literals: Sequence[Literal], made: Sequence[str], added: Sequence[str]) -> str:
    """Join as `_joined` does, with lines added below literals, and without those of which nothing is made."""
    parts: list[str] = []
    position = literals[0].spelled.start
    waiting = ""
    for literal, one, lines in zip(literals, made, added, strict=True):
        gap = source[position : literal.spelled.start]
        comment = _COMMENT.match(gap)
        head = comment.group() if comment is not None else ""  # it belongs to the line of the literal before
        gap = head + waiting + gap[len(head) :]
        if not one:
            gap = gap.rstrip() if parts else gap
        elif not "".join([*parts, gap]).strip():
            gap = ""
        parts += [gap, one]
        position, waiting = literal.spelled.end, lines
    return "".join([*parts, waiting])


def _spliced_literal(source: str, literal: Literal, changes: Sequence[Splice], writing: Writing) -> str | None:
    return spliced(source, literal.spelled, changes, lambda run: _run(literal, run, writing))


def _respelled_literal(source: str, literal: Literal, changes: Sequence[Splice], writing: Writing) -> str | None:
    body = _body(literal, _changed(literal, changes), writing)
    return None if body is None else literal.prefix + literal.quote + body + literal.quote


def _without_raw(source: str, literal: Literal, changes: Sequence[Splice], writing: Writing) -> str:
    return _whole(literal, _changed(literal, changes), writing)


def _changed(literal: Literal, changes: Sequence[Splice]) -> str:
    text = literal.spelled.text
    for change in reversed(changes):
        text = text[: change.start] + change.text + text[change.end :]
    return text


def _with_quote(literal: Literal, quote: str) -> Literal:
    return Literal(literal.prefix, quote, literal.spelled)


def _whole(literal: Literal, text: str, writing: Writing) -> str:
    """The text with escapes, between quotes like the literal's, without its prefix if that is raw."""
    prefix = "" if literal.is_raw else literal.prefix
    body = _body(Literal(prefix, literal.quote, literal.spelled), text, writing)
    return prefix + literal.quote + (body or "") + literal.quote


def _body(literal: Literal, text: str, writing: Writing) -> str | None:
    """All that stands between the quotes of a literal; None if a raw one cannot hold it."""
    body = _run(literal, text, writing)
    if body is not None and len(literal.quote) == 3 and not literal.is_raw and body.endswith(literal.quote[0]):
        return body[:-1] + "\\" + literal.quote[0]
    return body


def _run(literal: Literal, text: str, writing: Writing) -> str | None:
    """A stretch of text as it is written inside a literal; None if a raw one cannot hold it."""
    quote = literal.quote
    is_long = len(quote) == 3
    if literal.is_raw:
        held = quote not in text and not text.endswith(("\\", quote[0])) and (is_long or "\n" not in text)
        if not held or not all(_stands(one, writing) or one in "\t\n" for one in text):
            return None
        return text.replace("\n", writing.line_end)
    body = "".join(
        one if (is_long and one == "\n") or (one != "\\" and _stands(one, writing)) else _escaped(one) for one in text
    )
    mark = quote[0]
    # Three in a row would end a long literal.
    body = re.sub(rf"{mark}(?={mark}{mark})" if is_long else mark, "\\\\" + mark, body)
    return body.replace("\n", writing.line_end)


def _stands(character: str, writing: Writing) -> bool:
    return is_shown(character) and (character.isascii() or writing.can_hold(character))


def _escaped(character: str) -> str:
    code = ord(character)
    long = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _SHORT.get(character, long)
