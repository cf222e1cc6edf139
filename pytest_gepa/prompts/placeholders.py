"""Where a prompt's text is filled in: its placeholders, and the literal pieces between them.

Nothing here knows how a project fills its prompts in, so every common syntax is looked for in every text:

- `{x}`, `{x.y}`, `{x[0]}`, `{x!r:>10}` of `str.format`;
- `{{ x }}` and `{% ... %}` of Jinja2, and the tags of its relatives (`{{#if x}}`, `{{role "system"}}`);
  a comment `{# ... #}` and a raw block hold no placeholder;
- `$x` and `${x}` of `string.Template` (`$$` is an escape, `$5` a price);
- `<x>` in a text without `</x>`.

A `{` that opens JSON, a set or a sentence is prose. Doubled braces are escapes when what they hold is no
expression (`{{"a": 1}}`), and also when they hug a name (`{{x}}`) in a text with `str.format` fields and no
`{% ... %}`. When in doubt a thing is called a placeholder, since to lose one costs more than to keep one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMAT = "str.format"
JINJA = "Jinja2"
DOLLAR = "string.Template"
ANGLE = "angle brackets"
_COMMENT = "comment"

# How far the end of a tag or block is looked for: a bound keeps the scan linear on a text of openings only.
_LONGEST = 4_000

_SPECIAL = re.compile(r"[{$<]")
_BRACES = re.compile(r"\{+")
_FIELD = re.compile(
    r"\{[^\W\d]\w*(?:\.\w+|\[[^\[\]{}\n]{1,80}\])*(?:![rsa])?"
    r"(?::(?!\s)(?:[^{}\n]|\{[^{}\n]{0,80}\}){0,80})?\}"
)
# A name that a colon or comma follows is a key or an item of prose, not an expression.
_EXPRESSION = re.compile(r"[#/^>&@]?\s*[^\W\d][\w.-]*(?![\w.-])(?!\s*[:,])")
_STATEMENT = re.compile(r"[^\W\d]")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)", re.ASCII)
_TAG = re.compile(r"(?<![\w<])<([A-Za-z][\w-]{0,60})>")
_CLOSING_TAG = re.compile(r"</([A-Za-z][\w-]{0,60})\s{0,9}>")
_HTML_WITHOUT_END = frozenset({"br", "hr", "img", "input", "li", "p", "wbr"})
_BREAK = re.compile(r"\{\{|\}\}|\$\$")


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    syntax: str
    name: str


def placeholders(text: str) -> frozenset[str]:
    """Return every placeholder of `text` as it is written; white space inside Jinja2 tags is made uniform."""
    return frozenset(span.name for span in _spans(text) if span.syntax != _COMMENT)


def syntax(placeholder: str) -> str:
    """Return which of the four syntaxes a member of `placeholders(text)` belongs to."""
    if placeholder.startswith(("{{", "{%")):
        return JINJA
    return {"{": FORMAT, "$": DOLLAR, "<": ANGLE}[placeholder[0]]


def literal_segments(text: str, least: int = 16) -> tuple[str, ...]:
    """Return the pieces of `text` that reach a model as they stand: between placeholders and line ends.

    Each has `least` characters or more. A text without such a piece gives the longest one it has, line ends
    and all: the whole text, stripped, when nothing in it is filled in. Only blank text gives none.
    """
    blocks = _literal_blocks(text)
    lines = [line.strip() for block in blocks for line in re.split(r"[\r\n]+", block)]
    long_lines = tuple(line for line in lines if len(line) >= least)
    if long_lines:
        return long_lines
    longest = max((block.strip() for block in blocks), key=len, default="")
    return (longest,) if longest else ()


def _literal_blocks(text: str) -> list[str]:
    """Cut `text` at its placeholders, comments and escapes (which reach the model as something else)."""
    blocks = []
    position = 0
    for span in _spans(text):
        blocks += _BREAK.split(text[position : span.start])
        position = span.end
    return blocks + _BREAK.split(text[position:])


def _spans(text: str) -> list[_Span]:
    closed = frozenset(_CLOSING_TAG.findall(text))
    spans: list[_Span] = []
    position = 0
    while (special := _SPECIAL.search(text, position)) is not None:
        start = special.start()
        if special.group() == "{":
            found, position = _at_brace(text, start)
        elif special.group() == "$":
            found, position = _at_dollar(text, start)
        else:
            found, position = _at_angle(text, start, closed)
        spans += found
    return _without_escapes(text, spans)


def _without_escapes(text: str, spans: list[_Span]) -> list[_Span]:
    has_fields = any(span.syntax == FORMAT for span in spans)
    if not has_fields or any(span.name.startswith("{%") for span in spans):
        return spans
    return [span for span in spans if not (span.name.startswith("{{") and _hugs_a_name(text, span))]


def _hugs_a_name(text: str, span: _Span) -> bool:
    return text[span.start : span.end][2:-2].isidentifier()


def _at_brace(text: str, start: int) -> tuple[list[_Span], int]:
    if text.startswith("{%", start):
        return _at_statement(text, start)
    if text.startswith("{#", start):
        end = text.find("#}", start + 2, start + _LONGEST)
        return ([_Span(start, end + 2, _COMMENT, "")], end + 2) if end >= 0 else ([], start + 1)
    run = _BRACES.match(text, start)
    count = run.end() - start if run is not None else 1
    if count == 2:
        return _at_expression(text, start)
    # str.format reads a longer run as pairs of escapes, and an odd one out opens a field.
    opening = start + count - 1
    field = _FIELD.match(text, opening) if count % 2 else None
    if field is None:
        return [], start + count
    return [_Span(opening, field.end(), FORMAT, field.group())], field.end()


def _at_expression(text: str, start: int) -> tuple[list[_Span], int]:
    end = text.find("}}", start + 2, start + _LONGEST)
    inner = text[start + 2 : end].strip("-+~ \t\r\n") if end >= 0 else ""
    if "{{" in inner or _EXPRESSION.match(inner) is None:
        return [], start + 2
    return [_Span(start, end + 2, JINJA, "{{ " + " ".join(inner.split()) + " }}")], end + 2


def _at_statement(text: str, start: int) -> tuple[list[_Span], int]:
    end = text.find("%}", start + 2, start + _LONGEST)
    inner = text[start + 2 : end].strip("-+ \t\r\n") if end >= 0 else ""
    if _STATEMENT.match(inner) is None:
        return [], start + 1
    opening = _Span(start, end + 2, JINJA, "{% " + " ".join(inner.split()) + " %}")
    if _RAW.match(text, start) is not None:
        closing = _ENDRAW.search(text, end + 2, end + _LONGEST)
        if closing is not None:
            return [opening, _Span(*closing.span(), JINJA, "{% endraw %}")], closing.end()
    return [opening], end + 2


def _at_dollar(text: str, start: int) -> tuple[list[_Span], int]:
    if text.startswith("$$", start):
        return [], start + 2
    variable = _VARIABLE.match(text, start)
    if variable is None:
        return [], start + 1
    return [_Span(start, variable.end(), DOLLAR, variable.group())], variable.end()


def _at_angle(text: str, start: int, closed: frozenset[str]) -> tuple[list[_Span], int]:
    tag = _TAG.match(text, start)
    if tag is None or tag.group(1) in closed or tag.group(1).lower() in _HTML_WITHOUT_END:
        return [], start + 1
    return [_Span(start, tag.end(), ANGLE, tag.group())], tag.end()
