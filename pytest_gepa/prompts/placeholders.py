"""Where a prompt's text is filled in: its placeholders, and the literal pieces between them.

Nothing here knows how a project fills its prompts in. Where the file's type does not say it (`declared`), every
common syntax is looked for:

- `{x}`, `{x.y}`, `{x[0]}`, `{x!r:>10}` of `str.format`;
- `{{ x }}` and `{% ... %}` of Jinja2, and the tags of its relatives (`{{#if x}}`, `{{role "system"}}`,
  `{{ .x }}`); a comment `{# ... #}` and a raw block hold no placeholder;
- `$x` and `${x}` of `string.Template` (`$$` is an escape, `$5` a price);
- `<x>` in a text without `</x>`, `<<x>>`, `<% ... %>`, `[[x]]`, `__X__` in capitals;
- `%(x)s`, and `%s`, `%d` and the like in a text in which every `%` is one of these or `%%`.

A `{` that opens JSON, a set or a sentence is prose. Doubled braces are escapes when what they hold is no
expression (`{{"a": 1}}`), and also when they hug a name (`{{x}}`) in a text with `str.format` fields and no
`{% ... %}`. When in doubt a thing is called a placeholder, since to lose one costs more than to keep one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pytest_gepa.prompts.programs import is_program

FORMAT = "str.format"
JINJA = "Jinja2"
DOLLAR = "string.Template"
ANGLE = "angle brackets"
MUSTACHE = "Mustache or Handlebars"
EMBEDDED = "embedded code"
PRINTF = "printf"
SQUARE = "double square brackets"
CAPITALS = "capitals between underscores"
_COMMENT = "comment"

EVERY = frozenset({FORMAT, JINJA, DOLLAR, ANGLE, EMBEDDED, PRINTF, SQUARE, CAPITALS})
"""What is looked for where a file's type does not say which syntax is in use."""

_DECLARED = {
    ".j2": frozenset({JINJA}),
    ".jinja": frozenset({JINJA}),
    ".jinja2": frozenset({JINJA}),
    ".hbs": frozenset({MUSTACHE}),
    ".handlebars": frozenset({MUSTACHE}),
    ".mustache": frozenset({MUSTACHE}),
    ".liquid": frozenset({MUSTACHE}),
    ".gotmpl": frozenset({MUSTACHE}),
    ".erb": frozenset({EMBEDDED}),
    ".ejs": frozenset({EMBEDDED}),
}

# How far the end of a tag or block is looked for: a bound keeps the scan linear on a text of openings only.
_LONGEST = 4_000

_SPECIAL = re.compile(r"[{$<%]|\[\[|__(?=[A-Z])")
_BRACES = re.compile(r"\{+")
_FIELD = re.compile(
    r"\{[^\W\d]\w*(?:\.\w+|\[[^\[\]{}\n]{1,80}\])*(?:![rsa])?"
    r"(?::(?!\s)(?:[^{}\n]|\{[^{}\n]{0,80}\}){0,80})?\}"
)
# A name that a colon or comma follows is a key or an item of prose, not an expression.
_EXPRESSION = re.compile(r"[#/^>&@.]?\s*[^\W\d][\w.-]*(?![\w.-])(?!\s*[:,])")
_STATEMENT = re.compile(r"[^\W\d]")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_VARIABLE = re.compile(r"\$(?:\{[A-Za-z_]\w*\}|[A-Za-z_]\w*)", re.ASCII)
_TAG = re.compile(r"(?<![\w<])<([A-Za-z][\w-]{0,60})>")
_DOUBLE_TAG = re.compile(r"(?<![\w<])<<\s?([A-Za-z][\w.-]{0,60})\s?>>(?!>)")
_CLOSING_TAG = re.compile(r"</([A-Za-z][\w-]{0,60})\s{0,9}>")
_HTML_WITHOUT_END = frozenset({"br", "hr", "img", "input", "li", "p", "wbr"})
_LINK = re.compile(r"\[\[\s{0,3}([A-Za-z_][\w.-]{0,60})\s{0,3}\]\]")
_CAPITALS = re.compile(r"(?<!\w)__[A-Z](?:[A-Z0-9]|_(?!_)){0,60}__(?!\w)", re.ASCII)
_CONVERSION = re.compile(
    r"%(?:(?P<escape>%)|\((?P<name>[^()%\n]{1,60})\)[#0+-]*\d*(?:\.\d+)?[diouxXeEfFgGcrsa]"
    r"|(?<!\d%)[#0+-]*(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*))?[diouxXeEfFgGcrsa](?!\w))"
)
_BREAK = re.compile(r"\{\{|\}\}|\$\$")


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    syntax: str
    name: str


def declared(component: str) -> frozenset[str]:
    """Return the syntaxes that a component's file type admits (`.j2` is Jinja2 and nothing else), `EVERY` for most.

    `component` is an id: a path, perhaps with `::` and an address inside the file behind it. A program is no
    template.
    """
    if is_program(component):
        return frozenset()
    return _DECLARED.get(PurePosixPath(component.partition("::")[0]).suffix.lower(), EVERY)


def placeholders(text: str, within: frozenset[str] = EVERY) -> frozenset[str]:
    """Return every placeholder of `text` in the syntaxes `within`, as it is written.

    White space inside Jinja2 tags is made uniform.
    """
    return frozenset(span.name for span in _spans(text, within) if span.syntax != _COMMENT)


def syntax(placeholder: str) -> str:
    """Return which syntax a member of `placeholders(text)` belongs to. Mustache's tags count as Jinja2's."""
    opening = next((mark for mark in ("{{", "{%", "<%", "[[", "__") if placeholder.startswith(mark)), "")
    if opening:
        return {"{{": JINJA, "{%": JINJA, "<%": EMBEDDED, "[[": SQUARE, "__": CAPITALS}[opening]
    return {"{": FORMAT, "$": DOLLAR, "<": ANGLE, "%": PRINTF}[placeholder[0]]


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


def _spans(text: str, within: frozenset[str] = EVERY) -> list[_Span]:
    closed = frozenset(_CLOSING_TAG.findall(text))
    spans: list[_Span] = []
    position = 0
    while (special := _SPECIAL.search(text, position)) is not None:
        if MUSTACHE in within and text.startswith("{{{", special.start()):
            found, position = _at_triple_brace(text, special.start())
        else:
            found, position = _at(text, special.start(), special.group(), closed)
        spans += found
    spans = [span for span in _without_percents(text, spans) if _is_wanted(span, within)]
    return _without_escapes(text, spans)


def _at(text: str, start: int, mark: str, closed: frozenset[str]) -> tuple[list[_Span], int]:
    """Return what stands at a character that may open a placeholder, and where to go on."""
    if mark == "{":
        return _at_brace(text, start)
    if mark == "$":
        return _at_dollar(text, start)
    if mark == "<":
        return _at_angle(text, start, closed)
    pattern, kind = {"%": (_CONVERSION, PRINTF), "[[": (_LINK, SQUARE), "__": (_CAPITALS, CAPITALS)}[mark]
    found = pattern.match(text, start)
    if found is None:
        return [], start + len(mark)
    return [_Span(start, found.end(), kind, found.group())], found.end()


def _is_wanted(span: _Span, within: frozenset[str]) -> bool:
    if span.syntax == _COMMENT:
        return True
    return span.syntax in within or (span.syntax == JINJA and MUSTACHE in within)


def _without_percents(text: str, spans: list[_Span]) -> list[_Span]:
    """Drop `%%`, and `%s` and the like where another `%` shows that the text is not filled in by that operator."""
    told = sum(text.count("%", span.start, span.end) for span in spans)
    is_filled_in = told == text.count("%")
    return [
        span
        for span in spans
        if span.syntax != PRINTF or (span.name != "%%" and (is_filled_in or span.name.startswith("%(")))
    ]


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


def _at_triple_brace(text: str, start: int) -> tuple[list[_Span], int]:
    end = text.find("}}}", start + 3, start + _LONGEST)
    inner = text[start + 3 : end].strip() if end >= 0 else ""
    if _EXPRESSION.match(inner) is None:
        return [], start + 3
    return [_Span(start, end + 3, MUSTACHE, "{{{ " + " ".join(inner.split()) + " }}}")], end + 3


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
    if text.startswith("<%", start):
        end = text.find("%>", start + 2, start + _LONGEST)
        name = f"<% {' '.join(text[start + 2 : end].split())} %>"
        return ([_Span(start, end + 2, EMBEDDED, name)], end + 2) if end >= 0 else ([], start + 2)
    if (double := _DOUBLE_TAG.match(text, start)) is not None:
        return [_Span(start, double.end(), ANGLE, f"<<{double[1]}>>")], double.end()
    tag = _TAG.match(text, start)
    if tag is None or tag.group(1) in closed or tag.group(1).lower() in _HTML_WITHOUT_END:
        return [], start + 1
    return [_Span(start, tag.end(), ANGLE, tag.group())], tag.end()
