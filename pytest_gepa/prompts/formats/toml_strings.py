"""The four kinds of strings of TOML: how to read one, and how another text is written in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_gepa.prompts.formats.document import FormatError
from pytest_gepa.prompts.formats.splice import Spelled, hunks, is_shown, spelled_by, spliced

# Up to two quotes may stand before the three that end a string of several lines.
STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{1,2})?|'
    r"'''(?:[^']|'(?!''))*'''(?:'{1,2})?|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)
_PART = re.compile(r"[^\\\r]+|\\u(?P<u>.{4})|\\U(?P<U>.{8})|\\[ \t]*\r?\n\s*|\\(?P<one>.)|\r\n|\r", re.DOTALL)
_PLAIN_PART = re.compile(r"[^\r]+|\r\n|\r")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}
_SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def read_string(source: str) -> Spelled:
    """Read a string with its quotes; raises `FormatError` for an escape that TOML does not know."""
    quote = _quote(source)
    start, end = len(quote), len(source) - len(quote)
    opening = re.compile(r"\r?\n").match(source, start, end) if len(quote) == 3 else None
    position = opening.end() if opening is not None else start
    pattern, said = (_PART, _said) if quote[0] == '"' else (_PLAIN_PART, _said_plainly)
    parts = ((said(part), *part.span()) for part in pattern.finditer(source, position, end))
    return spelled_by(0, len(source), end, parts)


def spellings(source: str, line_end: str, text: str) -> Iterator[str]:
    """Replacements of the string that should read as `text`, the one most like today's first."""
    quote = _quote(source)
    spelled = read_string(source)
    # A text that gets its first line end is easier to review as lines than as one line with escapes.
    if len(quote) == 1 and "\n" in text and "\n" not in spelled.text:
        yield from _whole(quote * 3, line_end, text)

    def spell(run: str) -> str | None:
        return _run(quote, line_end, run)

    made = spliced(source, spelled, hunks(spelled.text, text), spell)
    if made is not None:
        yield made
    yield from _whole(quote, line_end, text)
    if len(quote) == 1 and "\n" in text:
        yield from _whole('"""', line_end, text)
    yield from _whole('"' * len(quote), line_end, text)


def _quote(source: str) -> str:
    return source[:3] if source[:3] in ('"""', "'''") and len(source) >= 6 else source[0]


def _said_plainly(part: re.Match[str]) -> str:
    return part.group().replace("\r\n", "\n")


def _said(part: re.Match[str]) -> str:
    digits = part["u"] or part["U"]
    if digits:
        return chr(int(digits, 16))
    if part["one"] is not None:
        if part["one"] not in _ESCAPED:
            raise FormatError(f"{part.group()} is no escape that is understood")
        return _ESCAPED[part["one"]]
    return "" if part.group().startswith("\\") else _said_plainly(part)


def _whole(quote: str, line_end: str, text: str) -> Iterator[str]:
    """The text between quotes of a kind, if they can hold it."""
    run = _run(quote, line_end, text)
    if run is None or (quote[0] == "'" and run.endswith("'")):
        return
    if quote == '"""' and run.endswith('"'):
        run = run[:-1] + '\\"'
    # The first line end of a string of several lines does not count.
    yield quote + (line_end if len(quote) == 3 and "\n" in text else "") + run + quote


def _run(quote: str, line_end: str, text: str) -> str | None:
    if quote[0] == "'":
        allowed = "\t\n" if len(quote) == 3 else "\t"
        is_held = quote not in text and all(is_shown(one) or one in allowed for one in text)
        return text.replace("\n", line_end) if is_held else None
    if len(quote) == 1:
        return "".join(map(_escaped, text))
    body = "".join(one if one in '\n\t"' else _escaped(one) for one in text)
    # Three in a row would end the string.
    body = re.sub(r'"(?="")', r"\"", body)
    return body.replace("\n", line_end)


def _escaped(character: str) -> str:
    if is_shown(character) and character not in '"\\':
        return character
    code = ord(character)
    return _SHORT.get(character) or (f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}")
